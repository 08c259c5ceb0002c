//! Size of a write as AWS bills it.
//!
//! Developer guide, "Metering and pricing", writes: the size of an event is 8 bytes of time, the
//! UTF-8 bytes of dimension names, dimension values and measure names, and the value (boolean 1
//! byte, bigint and double 8, string its length). Common attributes count once per call. A call is
//! billed in units of 1 KiB.

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

/// Returns the size of a whole event, common attributes merged in.
pub(crate) fn event_bytes(dimensions: &Dimensions, measure_name: &str, value: &Value) -> usize {
    TIME_BYTES + dimension_bytes(dimensions) + measure_name.len() + value_bytes(value)
}

/// Returns the size of the names and values of a series' dimensions.
pub(crate) fn dimension_bytes(dimensions: &Dimensions) -> usize {
    dimensions
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum()
}

/// Returns the size of a measure value; of a multi-measure value with the names of its attributes.
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

/// Returns the size of the fields that one `Record` shape has itself.
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

    /// The guide's example: 15 + 4 + 15 + 18 = 52 bytes.
    const DIMENSIONS: &str = r#"[{"Name":"region","Value":"us-east-1"},{"Name":"az","Value":"1d"},
        {"Name":"vpc","Value":"vpc-1a2b3c4d"},{"Name":"hostname","Value":"host-24Gju"}]"#;

    fn units(body: &str) -> u64 {
        write_units(&serde_json::from_str(body).expect("a valid request"))
    }

    #[test]
    fn the_event_of_the_guide() {
        let dimensions = [
            ("region", "us-east-1"),
            ("az", "1d"),
            ("vpc", "vpc-1a2b3c4d"),
            ("hostname", "host-24Gju"),
        ];
        let dimensions = dimensions.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let dimensions = dimensions.into();
        assert_eq!(dimension_bytes(&dimensions), 52);
        let event = event_bytes(&dimensions, "cpu_utilization", &Value::Double(35.0));
        assert_eq!(event, 83);
    }

    #[test]
    fn twelve_events_of_the_guide_fit_a_unit() {
        let event = format!(
            r#"{{"Dimensions":{DIMENSIONS},"MeasureName":"cpu_utilization","MeasureValue":"35.0",
            "Time":"1602983435238563000","TimeUnit":"NANOSECONDS"}}"#
        );
        for (count, expected) in [(1, 1), (12, 1), (13, 2), (24, 2), (25, 3)] {
            let records = vec![&*event; count].join(",");
            let body = format!(r#"{{"Records":[{records}]}}"#);
            assert_eq!(units(&body), expected, "{count}");
        }
    }

    /// The guide puts 52 bytes into the common attributes and counts 27 for the rest of an event,
    /// so that 36 fit. By the sizes it gives itself the rest is 8 + 15 + 8 = 31; 27 is that of a
    /// measure name of 11 bytes.
    #[test]
    fn common_attributes_count_once() {
        let cases = [
            ("cpu_percent", 36, 1),
            ("cpu_percent", 37, 2),
            ("cpu_utilization", 31, 1),
            ("cpu_utilization", 32, 2),
        ];
        for (name, count, expected) in cases {
            let record = format!(r#"{{"MeasureName":"{name}","MeasureValue":"1","Time":"1"}}"#);
            let records = vec![&*record; count].join(",");
            let common = format!(r#"{{"Dimensions":{DIMENSIONS}}}"#);
            let body = format!(r#"{{"CommonAttributes":{common},"Records":[{records}]}}"#);
            assert_eq!(units(&body), expected, "{count} of {name}");
        }
        // Common attributes may be anything: here all but the time.
        let common = format!(
            r#"{{"Dimensions":{DIMENSIONS},"MeasureName":"cpu_utilization","MeasureValue":"1"}}"#
        );
        let records = vec![r#"{"Time":"1"}"#; 100].join(",");
        let body = format!(r#"{{"CommonAttributes":{common},"Records":[{records}]}}"#);
        assert_eq!(units(&body), 1, "75 + 100 * 8 bytes");
    }

    #[test]
    fn multi_measure_records_count_all_names_and_values() {
        // 1 + 1 + 1 + 8 + (1 + 8) + (1 + 1) + (1 + length).
        let body = |length: usize| {
            let text = "v".repeat(length);
            format!(
                r#"{{"Records":[{{"Dimensions":[{{"Name":"d","Value":"v"}}],"MeasureName":"m",
                "MeasureValueType":"MULTI","Time":"1","MeasureValues":[
                {{"Name":"a","Value":"1","Type":"BIGINT"}},{{"Name":"b","Value":"true","Type":"BOOLEAN"}},
                {{"Name":"c","Value":"{text}","Type":"VARCHAR"}}]}}]}}"#
            )
        };
        assert_eq!(units(&body(1024 - 23)), 1);
        assert_eq!(units(&body(1024 - 22)), 2);
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
