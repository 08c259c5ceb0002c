//! The JSON shapes of requests and responses (service model 2018-11-01).
//!
//! Members that the emulator has no use for are not modelled; unknown members are ignored, as the
//! service does. A required member is an `Option` here, so that its absence is reported in the
//! service's own words.

mod strict;

use axum::{body::Body, response::Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use serde::{Deserialize, Serialize};

use crate::error::{ErrorKind, ServiceError};

/// Content type of every request and response.
pub(crate) const CONTENT_TYPE_JSON: &str = "application/x-amz-json-1.0";

/// Reads a request; anything but an object of members with the model's types is a
/// SerializationException.
pub(crate) fn parse<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ServiceError> {
    let mut json = serde_json::Deserializer::from_slice(body);
    strict::deserialize(&mut json)
        .and_then(|request| json.end().map(|()| request))
        .map_err(|error| ServiceError::new(ErrorKind::Serialization, error.to_string()))
}

/// Returns the body of a response with status 200.
pub(crate) fn response<T: Serialize>(value: &T) -> Result<Vec<u8>, ServiceError> {
    serde_json::to_vec(value)
        .map_err(|error| ServiceError::new(ErrorKind::InternalServer, error.to_string()))
}

/// Returns the body in the service's content type.
pub(crate) fn json_response(status: StatusCode, body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE_JSON));
    response
}

/// The names a call is about; every operation's request can be read as this.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(crate) struct Names {
    pub(crate) database_name: Option<String>,
    pub(crate) table_name: Option<String>,
    pub(crate) query_string: Option<String>,
}

/// A request without members.
#[derive(Debug, Deserialize)]
pub(crate) struct Empty {}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Endpoints {
    pub(crate) endpoints: [Endpoint; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Endpoint {
    pub(crate) address: String,
    pub(crate) cache_period_in_minutes: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WriteRecordsRequest {
    pub(crate) database_name: Option<String>,
    pub(crate) table_name: Option<String>,
    pub(crate) common_attributes: Option<Record>,
    pub(crate) records: Option<Vec<Record>>,
}

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Record {
    pub(crate) dimensions: Option<Vec<Dimension>>,
    pub(crate) measure_name: Option<String>,
    pub(crate) measure_value: Option<String>,
    pub(crate) measure_value_type: Option<String>,
    pub(crate) time: Option<String>,
    pub(crate) time_unit: Option<String>,
    pub(crate) version: Option<i64>,
    pub(crate) measure_values: Option<Vec<MeasureValue>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Dimension {
    pub(crate) name: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) dimension_value_type: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MeasureValue {
    pub(crate) name: Option<String>,
    pub(crate) value: Option<String>,
    pub(crate) r#type: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct WriteRecordsResponse {
    pub(crate) records_ingested: RecordsIngested,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RecordsIngested {
    pub(crate) total: usize,
    pub(crate) memory_store: usize,
    pub(crate) magnetic_store: usize,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DatabaseRequest {
    pub(crate) database_name: Option<String>,
    pub(crate) kms_key_id: Option<String>,
    pub(crate) tags: Option<Vec<Tag>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TableRequest {
    pub(crate) database_name: Option<String>,
    pub(crate) table_name: Option<String>,
    pub(crate) retention_properties: Option<RetentionProperties>,
    pub(crate) magnetic_store_write_properties: Option<MagneticStoreWriteProperties>,
    pub(crate) schema: Option<Schema>,
    pub(crate) tags: Option<Vec<Tag>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListRequest {
    pub(crate) database_name: Option<String>,
    pub(crate) next_token: Option<String>,
    pub(crate) max_results: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RetentionProperties {
    pub(crate) memory_store_retention_period_in_hours: Option<i64>,
    pub(crate) magnetic_store_retention_period_in_days: Option<i64>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct MagneticStoreWriteProperties {
    pub(crate) enable_magnetic_store_writes: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) magnetic_store_rejected_data_location: Option<RejectedDataLocation>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RejectedDataLocation {
    #[serde(rename = "S3Configuration", skip_serializing_if = "Option::is_none")]
    pub(crate) s3_configuration: Option<S3Configuration>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct S3Configuration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) bucket_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) object_key_prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) encryption_option: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kms_key_id: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Schema {
    pub(crate) composite_partition_key: Option<Vec<PartitionKeyShape>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PartitionKeyShape {
    pub(crate) r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) enforcement_in_record: Option<String>,
}

/// TagResource, UntagResource and ListTagsForResource.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TagsRequest {
    #[serde(rename = "ResourceARN")]
    pub(crate) resource_arn: Option<String>,
    pub(crate) tags: Option<Vec<Tag>>,
    pub(crate) tag_keys: Option<Vec<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    pub(crate) key: Option<String>,
    pub(crate) value: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTagsResponse {
    pub(crate) tags: Vec<Tag>,
}

/// Request of UpdateAccountSettings; response of it and of DescribeAccountSettings.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct AccountSettings {
    #[serde(rename = "MaxQueryTCU")]
    pub(crate) max_query_tcu: Option<i64>,
    pub(crate) query_pricing_model: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DatabaseResponse {
    pub(crate) database: DatabaseDescription,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DatabaseDescription {
    pub(crate) arn: String,
    pub(crate) database_name: String,
    pub(crate) table_count: usize,
    pub(crate) kms_key_id: String,
    pub(crate) creation_time: f64,
    pub(crate) last_updated_time: f64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TableResponse {
    pub(crate) table: TableDescription,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct TableDescription {
    pub(crate) arn: String,
    pub(crate) table_name: String,
    pub(crate) database_name: String,
    pub(crate) table_status: &'static str,
    pub(crate) retention_properties: RetentionProperties,
    pub(crate) creation_time: f64,
    pub(crate) last_updated_time: f64,
    pub(crate) magnetic_store_write_properties: MagneticStoreWriteProperties,
    pub(crate) schema: Schema,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListDatabasesResponse {
    pub(crate) databases: Vec<DatabaseDescription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct ListTablesResponse {
    pub(crate) tables: Vec<TableDescription>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_token: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct QueryRequest {
    pub(crate) query_string: Option<String>,
    pub(crate) client_token: Option<String>,
    pub(crate) next_token: Option<String>,
    pub(crate) max_rows: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct PrepareQueryRequest {
    pub(crate) query_string: Option<String>,
    pub(crate) validate_only: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CancelQueryRequest {
    pub(crate) query_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct CancelQueryResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cancellation_message: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_strict_and_unknown_members_are_not() {
        let accepted = [
            "{}",
            r#"{"Unknown":[1],"Records":[{"Unknown":{}}]}"#,
            r#"{"Records":null,"DatabaseName":null}"#,
            r#"{"Records":[{"Version":9223372036854775807}]}"#,
        ];
        for body in accepted {
            assert!(
                parse::<WriteRecordsRequest>(body.as_bytes()).is_ok(),
                "{body}"
            );
        }
        let invalid = [
            "",
            "x",
            "{} {}",
            "{",
            "null",
            "[]",
            r#"["db","t",null,[]]"#,
            r#"{"CommonAttributes":[null,"up"]}"#,
            r#"{"Records":[[null,"up"]]}"#,
            r#"{"Records":[{"Dimensions":[["a","b",null]]}]}"#,
            r#"{"Records":[{"MeasureValues":[["a","1","DOUBLE"]]}]}"#,
            r#"{"Records":[{"Dimensions":{"Name":"a"}}]}"#,
            r#"{"Records":[null]}"#,
            r#"{"Records":[1]}"#,
            r#"{"CommonAttributes":"up"}"#,
            r#"{"DatabaseName":["db"]}"#,
            r#"{"DatabaseName":"db","DatabaseName":"db"}"#,
            r#"{"Records":[{"Version":true}]}"#,
            r#"{"Records":[{"Version":1.0}]}"#,
            "{\"DatabaseName\":\"\u{1}\"}",
            r#"{"DatabaseName":1}"#,
            r#"{"Records":{}}"#,
            r#"{"Records":[{"Time":1}]}"#,
            r#"{"Records":[{"MeasureValue":1.5}]}"#,
            r#"{"Records":[{"Version":"1"}]}"#,
            r#"{"Records":[{"Version":1.5}]}"#,
            r#"{"Records":[{"Version":9223372036854775808}]}"#,
            r#"{"Records":[{"Dimensions":[{"Name":"a","Value":true}]}]}"#,
        ];
        for body in invalid {
            let error = parse::<WriteRecordsRequest>(body.as_bytes()).expect_err(body);
            assert_eq!(error.kind, ErrorKind::Serialization, "{body}");
        }
    }
}
