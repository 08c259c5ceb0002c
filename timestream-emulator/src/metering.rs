//! What AWS would bill for a write.
//!
//! Developer guide, "Metering and pricing", writes: the size of an event is 8 bytes of time, the
//! UTF-8 bytes of dimension names, dimension values and measure names, and the value (boolean 1
//! byte, bigint and double 8, string its length). What stands in the common attributes counts once
//! per call. A call is billed in units of 1 KiB.

use crate::{
    protocol::{Record, WriteRecordsRequest},
    store::value::{Dimensions, Value},
};

const UNIT_BYTES: usize = 1024;
const TIME_BYTES: usize = 8;

/// Units billed for the request.
pub(crate) fn write_units(request: &WriteRecordsRequest) -> u64 {
    let no_common = Record::default();
    let common = request.common_attributes.as_ref().unwrap_or(&no_common);
    let common_type = common.measure_value_type.as_deref();
    let bytes: usize = std::iter::once(common)
        .chain(request.records.iter().flatten())
        .map(|record| sent_bytes(record, common_type))
        .sum();
    bytes.div_ceil(UNIT_BYTES) as u64
}

/// Size of a whole event, common attributes merged in.
pub(crate) fn event_bytes(dimensions: &Dimensions, measure_name: &str, value: &Value) -> usize {
    TIME_BYTES + dimension_bytes(dimensions) + measure_name.len() + value_bytes(value)
}

/// Size of the names and values of a series' dimensions.
pub(crate) fn dimension_bytes(dimensions: &Dimensions) -> usize {
    dimensions
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// Size of a measure value; of a multi-measure value with the names of its attributes.
pub(crate) fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Double(_) | Value::Bigint(_) | Value::Timestamp(_) => 8,
        Value::Boolean(_) => 1,
        Value::Varchar(text) => text.len(),
        Value::Multi(attributes) => attributes
            .iter()
            .map(|(name, value)| name.len() + value_bytes(value))
            .sum(),
    }
}

/// Size of what one `Record` shape carries itself.
fn sent_bytes(record: &Record, common_type: Option<&str>) -> usize {
    let text_bytes = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let dimensions: usize = record
        .dimensions
        .iter()
        .flatten()
        .map(|dimension| text_bytes(&dimension.name) + text_bytes(&dimension.value))
        .sum();
    let value_type = record
        .measure_value_type
        .as_deref()
        .or(common_type)
        .unwrap_or("DOUBLE");
    let value = record
        .measure_value
        .as_ref()
        .map_or(0, |text| scalar_bytes(value_type, text));
    let values: usize = record
        .measure_values
        .iter()
        .flatten()
        .map(|value| {
            let text = value.value.as_deref().unwrap_or_default();
            text_bytes(&value.name)
                + scalar_bytes(value.r#type.as_deref().unwrap_or("DOUBLE"), text)
        })
        .sum();
    let time = if record.time.is_some() { TIME_BYTES } else { 0 };
    time + dimensions + text_bytes(&record.measure_name) + value + values
}

fn scalar_bytes(value_type: &str, text: &str) -> usize {
    match value_type {
        "VARCHAR" => text.len(),
        "BOOLEAN" => 1,
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the guide's example: 12 events fit a unit in a plain batch.
    fn event(index: usize) -> String {
        format!(
            r#"{{"Dimensions":[{{"Name":"region","Value":"us-east-1"}},{{"Name":"az","Value":"1d"}},
            {{"Name":"vpc","Value":"vpc-1a2b3c4d"}},{{"Name":"host","Value":"host-24Gju"}}],
            "MeasureName":"cpu_utilization_pct","MeasureValue":"1.5","Time":"{index}"}}"#
        )
    }

    fn units(body: &str) -> u64 {
        write_units(&serde_json::from_str(body).expect("a valid request"))
    }

    #[test]
    fn plain_batches() {
        // 8 + (6+9) + (2+2) + (3+12) + (4+10) + 19 + 8 = 83 bytes each.
        for (count, expected) in [(1, 1), (12, 1), (13, 2), (24, 2), (25, 3)] {
            let records: Vec<String> = (0..count).map(event).collect();
            assert_eq!(
                units(&format!(r#"{{"Records":[{}]}}"#, records.join(","))),
                expected
            );
        }
    }

    #[test]
    fn common_attributes_count_once() {
        // 48 bytes once, 35 bytes each: 27 events fit.
        let common = r#"{"Dimensions":[{"Name":"region","Value":"us-east-1"},{"Name":"az","Value":"1d"},
            {"Name":"vpc","Value":"vpc-1a2b3c4d"},{"Name":"host","Value":"host-24Gju"}]}"#;
        let record = r#"{"MeasureName":"cpu_utilization_pct","MeasureValue":"1.5","Time":"1"}"#;
        for (count, expected) in [(1, 1), (27, 1), (28, 2)] {
            let records = vec![record; count].join(",");
            let body = format!(r#"{{"CommonAttributes":{common},"Records":[{records}]}}"#);
            assert_eq!(units(&body), expected, "{count}");
        }
    }

    #[test]
    fn values_by_type() {
        let cases = [
            (Value::Double(1.0), 8),
            (Value::Bigint(1), 8),
            (Value::Boolean(true), 1),
            (Value::Varchar("héllo".to_owned()), 6),
        ];
        for (value, expected) in cases {
            assert_eq!(value_bytes(&value), expected);
        }
    }
}
