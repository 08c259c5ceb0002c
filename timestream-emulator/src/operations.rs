//! The operations on databases and tables.

use crate::{
    error::{ErrorKind, ServiceError},
    limits,
    protocol::{
        DatabaseDescription, DatabaseRequest, DatabaseResponse, ListDatabasesResponse, ListRequest,
        ListTablesResponse, MagneticStoreWriteProperties, RetentionProperties, TableDescription,
        TableRequest, TableResponse,
    },
    store::{
        Writer,
        catalog::{Catalog, Database, Table, TableSettings, no_database},
    },
    write::Violations,
};

const ARN_PREFIX: &str = "arn:aws:timestream:us-east-1:000000000000:database/";
const DEFAULT_KMS_KEY: &str = "arn:aws:kms:us-east-1:000000000000:key/local";
const NAME_PATTERN: &str = "[a-zA-Z0-9_.-]+";

pub(crate) fn create_database(
    writer: &mut Writer,
    request: &DatabaseRequest,
    now: f64,
) -> Result<DatabaseResponse, ServiceError> {
    let name = checked_name("databaseName", request.database_name.as_deref())?;
    if writer.catalog.databases.contains_key(name) {
        return Err(conflict(format!("The database {name} already exists.")));
    }
    if writer.catalog.databases.len() >= limits::MAX_DATABASES {
        return Err(quota("databases", limits::MAX_DATABASES));
    }
    let kms_key_id = request.kms_key_id.as_deref().unwrap_or(DEFAULT_KMS_KEY);
    writer.create_database(name, kms_key_id, now)?;
    describe_database(&writer.catalog, request)
}

pub(crate) fn describe_database(
    catalog: &Catalog,
    request: &DatabaseRequest,
) -> Result<DatabaseResponse, ServiceError> {
    let name = required("databaseName", request.database_name.as_deref())?;
    Ok(DatabaseResponse {
        database: database_description(name, database(catalog, name)?),
    })
}

pub(crate) fn update_database(
    writer: &mut Writer,
    request: &DatabaseRequest,
    now: f64,
) -> Result<DatabaseResponse, ServiceError> {
    let name = required("databaseName", request.database_name.as_deref())?;
    let kms_key_id = required("kmsKeyId", request.kms_key_id.as_deref())?;
    database(&writer.catalog, name)?;
    writer.update_database(name, kms_key_id, now)?;
    describe_database(&writer.catalog, request)
}

pub(crate) fn delete_database(
    writer: &mut Writer,
    request: &DatabaseRequest,
) -> Result<(), ServiceError> {
    let name = required("databaseName", request.database_name.as_deref())?;
    if !database(&writer.catalog, name)?.tables.is_empty() {
        return Err(ServiceError::validation(format!(
            "The database {name} still contains tables. Delete all tables before the database."
        )));
    }
    writer.delete_database(name)
}

pub(crate) fn list_databases(
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

pub(crate) fn create_table(
    writer: &mut Writer,
    request: &TableRequest,
    now: f64,
) -> Result<TableResponse, ServiceError> {
    let database_name = checked_name("databaseName", request.database_name.as_deref())?;
    let name = checked_name("tableName", request.table_name.as_deref())?;
    let settings = settings(request, None)?;
    if database(&writer.catalog, database_name)?
        .tables
        .contains_key(name)
    {
        return Err(conflict(format!("The table {name} already exists.")));
    }
    let tables: usize = writer
        .catalog
        .databases
        .values()
        .map(|each| each.tables.len())
        .sum();
    if tables >= limits::MAX_TABLES {
        return Err(quota("tables", limits::MAX_TABLES));
    }
    writer.create_table(database_name, name, settings, now)?;
    describe_table(&writer.catalog, request)
}

pub(crate) fn describe_table(
    catalog: &Catalog,
    request: &TableRequest,
) -> Result<TableResponse, ServiceError> {
    let (database, name) = table_names(request)?;
    let table = catalog.table(database, name)?;
    Ok(TableResponse {
        table: table_description(database, name, table),
    })
}

pub(crate) fn update_table(
    writer: &mut Writer,
    request: &TableRequest,
    now: f64,
) -> Result<TableResponse, ServiceError> {
    let (database, name) = table_names(request)?;
    let current = &writer.catalog.table(database, name)?.settings;
    let settings = settings(request, Some(current))?;
    writer.update_table(database, name, settings, now)?;
    describe_table(&writer.catalog, request)
}

pub(crate) fn delete_table(
    writer: &mut Writer,
    request: &TableRequest,
) -> Result<(), ServiceError> {
    let (database, name) = table_names(request)?;
    writer.delete_table(database, name)
}

pub(crate) fn list_tables(
    catalog: &Catalog,
    request: &ListRequest,
) -> Result<ListTablesResponse, ServiceError> {
    if let Some(name) = &request.database_name {
        database(catalog, name)?;
    }
    let databases = catalog.databases.iter();
    let wanted = databases.filter(|(name, _)| {
        request
            .database_name
            .as_ref()
            .is_none_or(|wanted| wanted == *name)
    });
    let all = wanted.flat_map(|(database, content)| {
        content
            .tables
            .iter()
            .map(move |(name, table)| (database, name, table))
    });
    let (page, next_token) = list_page(all, request, |(database, name, _)| {
        format!("{database}/{name}")
    })?;
    let tables = page.map(|(database, name, table)| table_description(database, name, table));
    Ok(ListTablesResponse {
        tables: tables.collect(),
        next_token,
    })
}

/// The entries after the token's, and the token of the next page if there is one.
fn list_page<T>(
    all: impl Iterator<Item = T>,
    request: &ListRequest,
    key: impl Fn(&T) -> String,
) -> Result<(std::vec::IntoIter<T>, Option<String>), ServiceError> {
    let limit = request.max_results.unwrap_or(limits::MAX_LIST_RESULTS);
    let mut violations = Violations::default();
    violations.range("maxResults", limit, 1..=limits::MAX_LIST_RESULTS);
    violations.into_result()?;
    let after = request.next_token.as_deref().map(last_key).transpose()?;
    let mut rest: Vec<T> = all
        .filter(|entry| after.as_ref().is_none_or(|after| key(entry) > *after))
        .collect();
    rest.sort_by_key(&key);
    let has_more = rest.len() > limit as usize;
    rest.truncate(limit as usize);
    let next_token = rest
        .last()
        .filter(|_| has_more)
        .map(|last| hex::encode(key(last)));
    Ok((rest.into_iter(), next_token))
}

fn last_key(token: &str) -> Result<String, ServiceError> {
    hex::decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| ServiceError::validation("Invalid pagination token."))
}

fn settings(
    request: &TableRequest,
    current: Option<&TableSettings>,
) -> Result<TableSettings, ServiceError> {
    let mut settings = current.cloned().unwrap_or(TableSettings {
        memory_hours: limits::DEFAULT_MEMORY_HOURS,
        magnetic_days: limits::DEFAULT_MAGNETIC_DAYS,
        magnetic_writes: false,
        schema: serde_json::Value::Null,
    });
    let mut violations = Violations::default();
    if let Some(retention) = &request.retention_properties {
        let hours = retention.memory_store_retention_period_in_hours;
        let days = retention.magnetic_store_retention_period_in_days;
        let (Some(hours), Some(days)) = (hours, days) else {
            violations.required("retentionProperties", None);
            return violations.into_result().map(|()| settings);
        };
        let path = "retentionProperties.memoryStoreRetentionPeriodInHours";
        violations.range(path, hours, limits::MEMORY_HOURS);
        let path = "retentionProperties.magneticStoreRetentionPeriodInDays";
        violations.range(path, days, limits::MAGNETIC_DAYS);
        settings.memory_hours = hours;
        settings.magnetic_days = days;
    }
    if let Some(properties) = &request.magnetic_store_write_properties {
        match properties.enable_magnetic_store_writes {
            Some(enabled) => settings.magnetic_writes = enabled,
            None => violations.required(
                "magneticStoreWriteProperties.enableMagneticStoreWrites",
                None,
            ),
        }
    }
    violations.into_result()?;
    if let Some(schema) = &request.schema {
        check_schema(schema)?;
        settings.schema = schema.clone();
    }
    Ok(settings)
}

fn check_schema(schema: &serde_json::Value) -> Result<(), ServiceError> {
    let keys = schema
        .get("CompositePartitionKey")
        .and_then(serde_json::Value::as_array);
    if keys.is_some_and(|keys| keys.len() > 1) {
        return Err(ServiceError::validation(
            "You have specified too many partition keys to be used in your composite partition \
             key. Only 1 partition keys can be specified.",
        ));
    }
    Ok(())
}

fn database<'a>(catalog: &'a Catalog, name: &str) -> Result<&'a Database, ServiceError> {
    catalog.databases.get(name).ok_or_else(|| no_database(name))
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

fn table_description(database: &str, name: &str, table: &Table) -> TableDescription {
    let settings = &table.settings;
    TableDescription {
        arn: format!("{ARN_PREFIX}{database}/table/{name}"),
        table_name: name.to_owned(),
        database_name: database.to_owned(),
        table_status: "ACTIVE",
        retention_properties: RetentionProperties {
            memory_store_retention_period_in_hours: Some(settings.memory_hours),
            magnetic_store_retention_period_in_days: Some(settings.magnetic_days),
        },
        creation_time: table.created,
        last_updated_time: table.updated,
        magnetic_store_write_properties: MagneticStoreWriteProperties {
            enable_magnetic_store_writes: Some(settings.magnetic_writes),
        },
        schema: match &settings.schema {
            serde_json::Value::Null => {
                serde_json::json!({"CompositePartitionKey": [{"Type": "MEASURE"}]})
            }
            schema => schema.clone(),
        },
    }
}

fn table_names(request: &TableRequest) -> Result<(&str, &str), ServiceError> {
    let database = required("databaseName", request.database_name.as_deref())?;
    Ok((
        database,
        required("tableName", request.table_name.as_deref())?,
    ))
}

fn checked_name<'a>(path: &str, name: Option<&'a str>) -> Result<&'a str, ServiceError> {
    let name = required(path, name)?;
    let mut violations = Violations::default();
    violations.pattern(
        path,
        name,
        NAME_PATTERN,
        crate::config::is_catalog_name(name),
    );
    violations.into_result()?;
    Ok(name)
}

fn required<'a>(path: &str, value: Option<&'a str>) -> Result<&'a str, ServiceError> {
    let mut violations = Violations::default();
    violations.required(path, value);
    violations.into_result()?;
    Ok(value.unwrap_or_default())
}

fn conflict(message: String) -> ServiceError {
    ServiceError::new(ErrorKind::Conflict, message)
}

fn quota(what: &str, limit: usize) -> ServiceError {
    ServiceError::new(
        ErrorKind::ServiceQuotaExceeded,
        format!("The number of {what} exceeds the limit of {limit}."),
    )
}
