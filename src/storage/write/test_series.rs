//! The record by which `bootstrap doctor` checks that a table can be written.

use bytes::Bytes;
use serde_json::json;

use crate::storage::destination::Destination;
use crate::storage::names::{NO_LABELS_DIMENSION, NO_LABELS_VALUE, TEST_MEASURE};

/// Returns the body of a WriteRecords call with one record of the test series: a BIGINT, which no read selects, and
/// the dimension of series without labels, so that the table gets no other one.
pub fn test_record(destination: &Destination, time_ms: i64) -> Bytes {
    let time = time_ms.to_string();
    let body = json!({
        "DatabaseName": destination.database,
        "TableName": destination.table,
        "Records": [{
            "Dimensions": [{"Name": NO_LABELS_DIMENSION, "Value": NO_LABELS_VALUE}],
            "MeasureName": TEST_MEASURE,
            "MeasureValueType": "BIGINT",
            "MeasureValue": time,
            "Time": time,
            "TimeUnit": "MILLISECONDS",
        }],
    });
    Bytes::from(body.to_string())
}
