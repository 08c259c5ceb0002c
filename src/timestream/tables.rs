//! Tables: what they are like, creating and deleting them.

use aws_sdk_timestreamwrite::types as sdk;
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};

use super::client::Timestream;
use super::failure::classify;
use super::retry::Limits;
use super::{ErrorKind, TimestreamError};
use crate::storage::destination::Destination;

/// The properties of a table with which it can be created again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// Retention of the memory store, in hours; that of the service, if absent.
    pub memory_hours: Option<i64>,
    /// Retention of the magnetic store, in days; that of the service, if absent.
    pub magnetic_days: Option<i64>,
    /// True if it accepts data older than the memory store's.
    pub magnetic_writes: bool,
    /// The location of reports about records that the magnetic store rejects.
    pub rejected_data: Option<RejectedData>,
    /// The key that it is partitioned by; the measure name, if absent.
    pub partition_key: Option<PartitionKey>,
}

/// A place in S3.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectedData {
    bucket: Option<String>,
    prefix: Option<String>,
    encryption: Option<String>,
    kms_key: Option<String>,
}

/// A dimension or the measure name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionKey {
    kind: String,
    name: Option<String>,
    enforcement: Option<String>,
}

/// The error of a call about a table.
pub type TableError = TimestreamError;

impl Timestream {
    /// Describes a table; returns `None` if there is no such table.
    ///
    /// # Errors
    /// The call fails.
    pub async fn describe_table(
        &self,
        destination: &Destination,
        limits: Limits,
    ) -> Result<Option<Table>, TableError> {
        match self.describe(destination, limits).await {
            Ok((table, _)) => Ok(Some(table)),
            Err(error) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Describes a table, and returns its ARN if the service names it.
    ///
    /// # Errors
    /// There is no such table, or the call fails.
    pub async fn describe(
        &self,
        destination: &Destination,
        limits: Limits,
    ) -> Result<(Table, Option<String>), TableError> {
        let described = self.write_service().call(limits, |client| {
            let request = client
                .describe_table()
                .database_name(&destination.database)
                .table_name(&destination.table);
            async { request.send().await.map_err(classify) }.boxed()
        });
        match &described.await.result?.table {
            Some(table) => Ok((Table::of(table), table.arn().map(str::to_owned))),
            None => Err(TableError::new(
                ErrorKind::UnexpectedResponse,
                "the response to DescribeTable has no Table",
            )),
        }
    }

    /// Creates a table.
    ///
    /// # Errors
    /// It cannot be created.
    pub async fn create_table(
        &self,
        destination: &Destination,
        table: &Table,
        limits: Limits,
    ) -> Result<(), TableError> {
        let created = self.write_service().call(limits, |client| {
            let request = client
                .create_table()
                .database_name(&destination.database)
                .table_name(&destination.table)
                .set_retention_properties(table.retention())
                .set_magnetic_store_write_properties(table.magnetic_store())
                .set_schema(table.schema());
            async { request.send().await.map(drop).map_err(classify) }.boxed()
        });
        created.await.result
    }

    /// Deletes a table with all that is in it; that there is none is no error.
    ///
    /// # Errors
    /// It cannot be deleted.
    pub async fn delete_table(
        &self,
        destination: &Destination,
        limits: Limits,
    ) -> Result<(), TableError> {
        let deleted = self.write_service().call(limits, |client| {
            let request = client
                .delete_table()
                .database_name(&destination.database)
                .table_name(&destination.table);
            async { request.send().await.map(drop).map_err(classify) }.boxed()
        });
        match deleted.await.result {
            Err(error) if error.kind == ErrorKind::NotFound => Ok(()),
            result => result,
        }
    }
}

/// The default retention, of the memory store in hours and of the magnetic store in days
/// (<https://docs.aws.amazon.com/timestream/latest/developerguide/ts-limits.html>).
pub const DEFAULT_RETENTION: (i64, i64) = (6, 73_000);

impl Table {
    /// Returns the dimension that each record must have, if the table is partitioned by one.
    pub fn required_dimension(&self) -> Option<&str> {
        let key = self.partition_key.as_ref()?;
        // The default is not documented: the stricter one is assumed.
        let is_required = key.kind == "DIMENSION" && key.enforcement.as_deref() != Some("OPTIONAL");
        key.name.as_deref().filter(|_| is_required)
    }

    fn of(table: &sdk::Table) -> Self {
        let retention = table.retention_properties();
        let magnetic = table.magnetic_store_write_properties();
        let location = magnetic
            .and_then(|it| it.magnetic_store_rejected_data_location())
            .and_then(|it| it.s3_configuration());
        let text = |text: Option<&str>| text.map(str::to_owned);
        let rejected_data = location.map(|it| RejectedData {
            bucket: text(it.bucket_name()),
            prefix: text(it.object_key_prefix()),
            encryption: it.encryption_option().map(|it| it.as_str().to_owned()),
            kms_key: text(it.kms_key_id()),
        });
        let keys = table
            .schema()
            .map(|schema| schema.composite_partition_key());
        let key = keys.and_then(|keys| keys.first());
        Self {
            memory_hours: retention.map(|it| it.memory_store_retention_period_in_hours()),
            magnetic_days: retention.map(|it| it.magnetic_store_retention_period_in_days()),
            magnetic_writes: magnetic.is_some_and(|it| it.enable_magnetic_store_writes()),
            rejected_data,
            partition_key: key.map(|key| PartitionKey {
                kind: key.r#type().as_str().to_owned(),
                name: text(key.name()),
                enforcement: key.enforcement_in_record().map(|it| it.as_str().to_owned()),
            }),
        }
    }

    fn retention(&self) -> Option<sdk::RetentionProperties> {
        if self.memory_hours.is_none() && self.magnetic_days.is_none() {
            return None;
        }
        let (memory, magnetic) = DEFAULT_RETENTION;
        let properties = sdk::RetentionProperties::builder()
            .memory_store_retention_period_in_hours(self.memory_hours.unwrap_or(memory))
            .magnetic_store_retention_period_in_days(self.magnetic_days.unwrap_or(magnetic));
        properties.build().ok()
    }

    fn magnetic_store(&self) -> Option<sdk::MagneticStoreWriteProperties> {
        let location = self.rejected_data.as_ref().map(|it| {
            let configuration = sdk::S3Configuration::builder()
                .set_bucket_name(it.bucket.clone())
                .set_object_key_prefix(it.prefix.clone())
                .set_encryption_option(it.encryption.as_deref().map(Into::into))
                .set_kms_key_id(it.kms_key.clone())
                .build();
            sdk::MagneticStoreRejectedDataLocation::builder()
                .s3_configuration(configuration)
                .build()
        });
        let properties = sdk::MagneticStoreWriteProperties::builder()
            .enable_magnetic_store_writes(self.magnetic_writes)
            .set_magnetic_store_rejected_data_location(location);
        properties.build().ok()
    }

    fn schema(&self) -> Option<sdk::Schema> {
        let key = self.partition_key.as_ref()?;
        let key = sdk::PartitionKey::builder()
            .r#type(key.kind.as_str().into())
            .set_name(key.name.clone())
            .set_enforcement_in_record(key.enforcement.as_deref().map(Into::into))
            .build()
            .ok()?;
        Some(sdk::Schema::builder().composite_partition_key(key).build())
    }
}
