//! The record by which `bootstrap doctor` checks that a table can be written.

use bytes::Bytes;
use serde_json::json;

use crate::storage::destination::Destination;
use crate::storage::names::{NO_LABELS_DIMENSION, NO_LABELS_VALUE, TEST_MEASURE};

/// Returns the body of a WriteRecords call with one record of the test series: a BIGINT, which no read selects, and
/// the dimension of series without labels, so that the table gets no other one. `required` is the dimension that the table
/// requires of every record, if it does.
pub fn test_record(destination: &Destination, required: Option<&str>, time_ms: i64) -> Bytes {
    let time = time_ms.to_string();
    let mut dimensions = vec![json!({"Name": NO_LABELS_DIMENSION, "Value": NO_LABELS_VALUE})];
    if let Some(name) = required.filter(|name| *name != NO_LABELS_DIMENSION) {
        dimensions.push(json!({"Name": name, "Value": TEST_MEASURE}));
    }
    let body = json!({
        "DatabaseName": destination.database,
        "TableName": destination.table,
        "Records": [{
            "Dimensions": dimensions,
            "MeasureName": TEST_MEASURE,
            "MeasureValueType": "BIGINT",
            "MeasureValue": time,
            "Time": time,
            "TimeUnit": "MILLISECONDS",
        }],
    });
    Bytes::from(body.to_string())
}
