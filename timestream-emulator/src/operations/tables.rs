//! The operations on tables.

use super::{
    ARN_PREFIX, checked_name, conflict, database, epoch_seconds, list_page, partition_key, quota,
    required, tags,
};
use crate::{
    error::ServiceError,
    limits,
    protocol::{
        ListRequest, ListTablesResponse, MagneticStoreWriteProperties, RejectedDataLocation,
        RetentionProperties, TableDescription, TableRequest, TableResponse,
    },
    store::{
        Writer,
        catalog::{Catalog, PartitionKey, Table, TableSettings},
    },
    write::{Violations, Window},
};

pub(crate) fn create(
    writer: &mut Writer,
    request: &TableRequest,
    now_ns: i64,
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
    let tags = tags::checked_tags(request.tags.as_deref())?;
    writer.create_table(database_name, name, settings, tags, epoch_seconds(now_ns))?;
    describe(&writer.catalog, request)
}

pub(crate) fn describe(
    catalog: &Catalog,
    request: &TableRequest,
) -> Result<TableResponse, ServiceError> {
    let (database, name) = table_names(request)?;
    let table = catalog.table(database, name)?;
    Ok(TableResponse {
        table: table_description(database, name, table),
    })
}

pub(crate) fn update(
    writer: &mut Writer,
    request: &TableRequest,
    now_ns: i64,
) -> Result<TableResponse, ServiceError> {
    let (database, name) = table_names(request)?;
    let current = &writer.catalog.table(database, name)?.settings;
    let mut settings = settings(request, Some(current))?;
    if settings.memory_hours > current.memory_hours {
        settings.memory_floor_ns = Window::of(current, now_ns).memory_start_ns;
    }
    writer.update_table(database, name, settings, epoch_seconds(now_ns))?;
    describe(&writer.catalog, request)
}

pub(crate) fn delete(writer: &mut Writer, request: &TableRequest) -> Result<(), ServiceError> {
    let (database, name) = table_names(request)?;
    writer.delete_table(database, name)
}

pub(crate) fn list(
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

fn settings(
    request: &TableRequest,
    current: Option<&TableSettings>,
) -> Result<TableSettings, ServiceError> {
    let mut settings = current.cloned().unwrap_or(TableSettings {
        memory_hours: limits::DEFAULT_MEMORY_HOURS,
        memory_floor_ns: i64::MIN,
        magnetic_days: limits::DEFAULT_MAGNETIC_DAYS,
        magnetic_writes: false,
        partition_key: PartitionKey::Measure,
        rejected_data_location: None,
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
    let location = request
        .magnetic_store_write_properties
        .as_ref()
        .and_then(|properties| properties.magnetic_store_rejected_data_location.clone());
    if let Some(location) = location {
        check_location(&mut violations, &location);
        settings.rejected_data_location = Some(location);
    }
    violations.into_result()?;
    let current = current.map(|settings| &settings.partition_key);
    if let Some(key) = partition_key::requested(request.schema.as_ref(), current)? {
        settings.partition_key = key;
    }
    Ok(settings)
}

/// Checks the bounds of the service model, but not that the bucket exists.
fn check_location(violations: &mut Violations, location: &RejectedDataLocation) {
    let Some(s3) = &location.s3_configuration else {
        return;
    };
    let at = |member: &str| {
        let path = "magneticStoreWriteProperties.magneticStoreRejectedDataLocation.s3Configuration";
        format!("{path}.{member}")
    };
    let lengths = [
        ("bucketName", &s3.bucket_name, limits::BUCKET_NAME_CHARS),
        (
            "objectKeyPrefix",
            &s3.object_key_prefix,
            limits::OBJECT_KEY_PREFIX_CHARS,
        ),
        ("kmsKeyId", &s3.kms_key_id, limits::KMS_KEY_CHARS),
    ];
    for (member, value, allowed) in lengths {
        if let Some(value) = value {
            violations.length(at(member), value, allowed);
        }
    }
    let option = s3.encryption_option.as_deref();
    violations.one_of(at("encryptionOption"), option, &["SSE_S3", "SSE_KMS"]);
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
            magnetic_store_rejected_data_location: settings.rejected_data_location.clone(),
        },
        schema: partition_key::schema(&settings.partition_key),
    }
}

fn table_names(request: &TableRequest) -> Result<(&str, &str), ServiceError> {
    let database = required("databaseName", request.database_name.as_deref())?;
    Ok((
        database,
        required("tableName", request.table_name.as_deref())?,
    ))
}
