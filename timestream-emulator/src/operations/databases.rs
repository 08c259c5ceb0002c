//! The operations on databases.

use super::{
    ARN_PREFIX, checked_name, conflict, database, epoch_seconds, list_page, quota, required, tags,
};
use crate::{
    error::ServiceError,
    limits,
    protocol::{
        DatabaseDescription, DatabaseRequest, DatabaseResponse, ListDatabasesResponse, ListRequest,
    },
    store::{
        Writer,
        catalog::{Catalog, Database},
    },
    write::Violations,
};

const DEFAULT_KMS_KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/local";

pub(crate) fn create(
    writer: &mut Writer,
    request: &DatabaseRequest,
    now_ns: i64,
) -> Result<DatabaseResponse, ServiceError> {
    let name = checked_name("databaseName", request.database_name.as_deref())?;
    if writer.catalog.databases.contains_key(name) {
        return Err(conflict(format!("The database {name} already exists.")));
    }
    if writer.catalog.databases.len() >= limits::MAX_DATABASES {
        return Err(quota("databases", limits::MAX_DATABASES));
    }
    check_key(request.kms_key_id.as_deref())?;
    let kms_key_id = request.kms_key_id.as_deref().unwrap_or(DEFAULT_KMS_KEY);
    let tags = tags::checked_tags(request.tags.as_deref())?;
    writer.create_database(name, kms_key_id, tags, epoch_seconds(now_ns))?;
    describe(&writer.catalog, request)
}

pub(crate) fn describe(
    catalog: &Catalog,
    request: &DatabaseRequest,
) -> Result<DatabaseResponse, ServiceError> {
    let name = required("databaseName", request.database_name.as_deref())?;
    Ok(DatabaseResponse {
        database: database_description(name, database(catalog, name)?),
    })
}

pub(crate) fn update(
    writer: &mut Writer,
    request: &DatabaseRequest,
    now_ns: i64,
) -> Result<DatabaseResponse, ServiceError> {
    let name = required("databaseName", request.database_name.as_deref())?;
    let kms_key_id = required("kmsKeyId", request.kms_key_id.as_deref())?;
    check_key(Some(kms_key_id))?;
    database(&writer.catalog, name)?;
    writer.update_database(name, kms_key_id, epoch_seconds(now_ns))?;
    describe(&writer.catalog, request)
}

pub(crate) fn delete(writer: &mut Writer, request: &DatabaseRequest) -> Result<(), ServiceError> {
    let name = required("databaseName", request.database_name.as_deref())?;
    if !database(&writer.catalog, name)?.tables.is_empty() {
        return Err(ServiceError::validation(format!(
            "The database {name} still contains tables. Delete all tables before the database."
        )));
    }
    writer.delete_database(name)
}

pub(crate) fn list(
    catalog: &Catalog,
    request: &ListRequest,
) -> Result<ListDatabasesResponse, ServiceError> {
    let all = catalog.databases.iter();
    let (page, next_token) = list_page(all, request, |(name, _)| (*name).clone())?;
    let databases = page
        .map(|(name, database)| database_description(name, database))
        .collect();
    Ok(ListDatabasesResponse {
        databases,
        next_token,
    })
}

fn check_key(kms_key_id: Option<&str>) -> Result<(), ServiceError> {
    let mut violations = Violations::default();
    if let Some(key) = kms_key_id {
        violations.length("kmsKeyId", key, limits::KMS_KEY_CHARS);
    }
    violations.into_result()
}

fn database_description(name: &str, database: &Database) -> DatabaseDescription {
    DatabaseDescription {
        arn: format!("{ARN_PREFIX}{name}"),
        database_name: name.to_owned(),
        table_count: database.tables.len(),
        kms_key_id: database.kms_key_id.clone(),
        creation_time: database.created,
        last_updated_time: database.updated,
    }
}
