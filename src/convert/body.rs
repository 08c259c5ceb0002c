//! A batch to the JSON body of a WriteRecords call.
//!
//! What all records of the batch share goes to `CommonAttributes`, because AWS bills what is left
//! in units of 1 KiB. Field names:
//! <https://docs.aws.amazon.com/timestream/latest/developerguide/API_WriteRecords.html>. What is
//! billed: <https://docs.aws.amazon.com/timestream/latest/developerguide/metering-and-pricing.writes.html>.

use std::io::Write as _;

use bytes::Bytes;

use super::batch::BatchRecord;
use super::series::Dimension;
use super::value::NUMBER_BYTES;
use crate::model::Destination;

/// Bytes reserved for each record, about what one with ten labels of its own takes.
const EXPECTED_RECORD_BYTES: usize = 256;

/// Bytes of one billed unit.
pub(super) const UNIT_BYTES: usize = 1024;

/// A WriteRecords call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteCall {
    /// The whole body, as JSON.
    pub body: Bytes,
    /// The units that AWS bills for it if it stores anything.
    pub write_units: u64,
}

/// The call that writes `records`, which must not be empty, to `destination`.
///
/// With `first_version` each record has a version, which grows with its position in the request: of
/// two values for one time the later one wins, whatever the order in which calls arrive. Versions
/// are not billed.
pub fn write_call(
    destination: &Destination,
    records: &[BatchRecord<'_>],
    first_version: Option<i64>,
) -> WriteCall {
    let common = Common::of(records);
    WriteCall {
        body: body(destination, records, &common, first_version),
        write_units: write_units(records, &common),
    }
}

/// Time, value, names of dimensions and measures and values of dimensions, in UTF-8; what is
/// common counts once.
fn write_units(records: &[BatchRecord<'_>], common: &Common<'_>) -> u64 {
    let common_dimensions: usize = common.dimensions.iter().map(|it| it.bytes()).sum();
    let common_bytes = common_dimensions
        + common.measure_name.map_or(0, str::len)
        + common.time.map_or(0, |_| NUMBER_BYTES);
    let own_bytes = |record: &BatchRecord<'_>| {
        let dimensions: usize = record.series.dimensions.iter().map(Dimension::bytes).sum();
        let measure_name = match common.measure_name {
            Some(_) => 0,
            None => record.series.measure_name.len(),
        };
        let time = match common.time {
            Some(_) => 0,
            None => NUMBER_BYTES,
        };
        // Every record holds each common dimension.
        dimensions - common_dimensions + measure_name + time + record.value.bytes()
    };
    let bytes = common_bytes + records.iter().map(own_bytes).sum::<usize>();
    bytes.div_ceil(UNIT_BYTES) as u64
}

fn body(
    destination: &Destination,
    records: &[BatchRecord<'_>],
    common: &Common<'_>,
    first_version: Option<i64>,
) -> Bytes {
    let mut body = Vec::with_capacity(512 + records.len() * EXPECTED_RECORD_BYTES);
    body.extend_from_slice(b"{\"DatabaseName\":");
    push_string(&mut body, &destination.database);
    body.extend_from_slice(b",\"TableName\":");
    push_string(&mut body, &destination.table);
    let unit = TimeUnit::of(records);
    body.extend_from_slice(b",\"CommonAttributes\":{\"TimeUnit\":\"");
    body.extend_from_slice(unit.name().as_bytes());
    body.push(b'"');
    if let Some(value_type) = common.value_type {
        push_value_type(&mut body, value_type);
    }
    push_dimensions(&mut body, common.dimensions.iter().copied());
    if let Some(measure_name) = common.measure_name {
        push_measure_name(&mut body, measure_name);
    }
    if let Some(time) = common.time {
        push_time(&mut body, time, unit);
    }
    body.extend_from_slice(b"},\"Records\":[");
    for (index, record) in records.iter().enumerate() {
        body.extend_from_slice(if index == 0 { b"{" } else { b",{" });
        record.value.push(&mut body);
        if common.value_type.is_none() {
            push_value_type(&mut body, record.value.type_name());
        }
        let own = record
            .series
            .dimensions
            .iter()
            .filter(|dimension| !common.holds(dimension));
        push_dimensions(&mut body, own);
        if common.measure_name.is_none() {
            push_measure_name(&mut body, &record.series.measure_name);
        }
        if common.time.is_none() {
            push_time(&mut body, time(record), unit);
        }
        if let Some(first) = first_version {
            let version = first.saturating_add_unsigned(record.item.position() as u64);
            write!(body, ",\"Version\":{version}").expect("writing to a Vec cannot fail");
        }
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    Bytes::from(body)
}

/// What all records of a batch share.
struct Common<'r> {
    /// Sorted by name, as in a series.
    dimensions: Vec<&'r Dimension<'r>>,
    measure_name: Option<&'r str>,
    value_type: Option<&'static str>,
    time: Option<Time>,
}

/// Milliseconds since the Unix epoch, and the nanoseconds past them.
type Time = (i64, u32);

fn time(record: &BatchRecord<'_>) -> Time {
    (record.timestamp_ms, record.nanos)
}

/// The unit of all times of a call.
#[derive(Clone, Copy)]
enum TimeUnit {
    Milliseconds,
    /// Needed where some time has a part below the millisecond.
    Nanoseconds,
}

impl TimeUnit {
    fn of(records: &[BatchRecord<'_>]) -> Self {
        match records.iter().all(|record| record.nanos == 0) {
            true => Self::Milliseconds,
            false => Self::Nanoseconds,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Milliseconds => "MILLISECONDS",
            Self::Nanoseconds => "NANOSECONDS",
        }
    }
}

impl<'r> Common<'r> {
    fn of(records: &[BatchRecord<'r>]) -> Self {
        let Some((first, rest)) = records.split_first() else {
            return Self {
                dimensions: Vec::new(),
                measure_name: None,
                value_type: None,
                time: None,
            };
        };
        let mut common = Self {
            dimensions: first.series.dimensions.iter().collect(),
            measure_name: Some(&first.series.measure_name),
            value_type: Some(first.value.type_name()),
            time: Some(time(first)),
        };
        for record in rest {
            if !std::ptr::eq(record.series, first.series) {
                let theirs = &record.series.dimensions;
                common
                    .dimensions
                    .retain(|ours| theirs.binary_search(ours).is_ok());
            }
            common.measure_name = common
                .measure_name
                .filter(|name| *name == record.series.measure_name);
            common.value_type = common
                .value_type
                .filter(|name| *name == record.value.type_name());
            common.time = common.time.filter(|common| *common == time(record));
        }
        common
    }

    fn holds(&self, dimension: &Dimension<'_>) -> bool {
        // Every record holds each common dimension, so the name alone decides.
        self.dimensions
            .binary_search_by(|common| common.name.cmp(&dimension.name))
            .is_ok()
    }
}

fn push_dimensions<'d>(body: &mut Vec<u8>, dimensions: impl Iterator<Item = &'d Dimension<'d>>) {
    let mut separator: &[u8] = b",\"Dimensions\":[";
    let mut any = false;
    for dimension in dimensions {
        body.extend_from_slice(separator);
        body.extend_from_slice(b"{\"Name\":");
        push_string(body, &dimension.name);
        body.extend_from_slice(b",\"Value\":");
        push_string(body, &dimension.value);
        body.push(b'}');
        separator = b",";
        any = true;
    }
    if any {
        body.push(b']');
    }
}

fn push_measure_name(body: &mut Vec<u8>, measure_name: &str) {
    body.extend_from_slice(b",\"MeasureName\":");
    push_string(body, measure_name);
}

fn push_value_type(body: &mut Vec<u8>, value_type: &str) {
    write!(body, ",\"MeasureValueType\":\"{value_type}\"").expect("writing to a Vec cannot fail");
}

fn push_time(body: &mut Vec<u8>, (timestamp_ms, nanos): Time, unit: TimeUnit) {
    match unit {
        TimeUnit::Milliseconds => write!(body, ",\"Time\":\"{timestamp_ms}\""),
        TimeUnit::Nanoseconds => {
            let time = i128::from(timestamp_ms) * 1_000_000 + i128::from(nanos);
            write!(body, ",\"Time\":\"{time}\"")
        }
    }
    .expect("writing to a Vec cannot fail");
}

/// Writes `text` as a JSON string.
pub(super) fn push_string(body: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(body, text).expect("a string is always valid JSON and a Vec takes all");
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use serde_json::{Value, json};

    use super::*;
    use crate::convert::series::StoredSeries;
    use crate::convert::value::{Attribute, Value as MeasureValue};
    use crate::received::Items;

    fn series(
        measure_name: &'static str,
        dimensions: &[(&'static str, &'static str)],
    ) -> StoredSeries<'static> {
        StoredSeries {
            measure_name: Cow::Borrowed(measure_name),
            dimensions: dimensions
                .iter()
                .map(|&(name, value)| Dimension {
                    name: Cow::Borrowed(name),
                    value: Cow::Borrowed(value),
                })
                .collect(),
        }
    }

    fn body(records: &[(&StoredSeries<'static>, i64, f64)]) -> Value {
        let values: Vec<_> = records
            .iter()
            .map(|&(_, _, value)| MeasureValue::Double(value))
            .collect();
        let records: Vec<_> = records
            .iter()
            .zip(&values)
            .map(|(&(series, timestamp_ms, _), value)| (series, timestamp_ms, value))
            .collect();
        body_of(&records)
    }

    fn body_of(records: &[(&StoredSeries<'static>, i64, &MeasureValue<'_>)]) -> Value {
        let with_nanos: Vec<_> = records
            .iter()
            .map(|&(series, timestamp_ms, value)| (series, (timestamp_ms, 0), value))
            .collect();
        body_at(&with_nanos)
    }

    fn body_at(records: &[(&StoredSeries<'static>, Time, &MeasureValue<'_>)]) -> Value {
        let destination = Destination {
            database: "db".to_owned(),
            table: "t".to_owned(),
        };
        let records: Vec<_> = records
            .iter()
            .map(|&(series, (timestamp_ms, nanos), value)| BatchRecord {
                item: Items::default(),
                series,
                timestamp_ms,
                nanos,
                value,
            })
            .collect();
        serde_json::from_slice(&write_call(&destination, &records, None).body).unwrap()
    }

    #[test]
    fn shared_attributes_are_written_once() {
        let a = series("up", &[("instance", "a"), ("job", "\"j\"\n")]);
        let b = series("up", &[("instance", "b"), ("job", "\"j\"\n")]);
        assert_eq!(
            body(&[(&a, 1, 0.1), (&b, 1, 1e300)]),
            json!({
                "DatabaseName": "db",
                "TableName": "t",
                "CommonAttributes": {
                    "MeasureValueType": "DOUBLE",
                    "TimeUnit": "MILLISECONDS",
                    "Dimensions": [{"Name": "job", "Value": "\"j\"\n"}],
                    "MeasureName": "up",
                    "Time": "1",
                },
                "Records": [
                    {"MeasureValue": "0.1", "Dimensions": [{"Name": "instance", "Value": "a"}]},
                    {"MeasureValue": "1e300", "Dimensions": [{"Name": "instance", "Value": "b"}]},
                ],
            })
        );
    }

    #[test]
    fn nothing_shared_leaves_only_the_units_common() {
        let a = series("up", &[("a", "1")]);
        let b = series("down", &[("a", "2"), ("b", "1")]);
        let body = body(&[(&a, 1, 1.0), (&b, 2, 2.0)]);
        assert_eq!(
            body["CommonAttributes"],
            json!({"MeasureValueType": "DOUBLE", "TimeUnit": "MILLISECONDS"})
        );
        assert_eq!(
            body["Records"][1],
            json!({
                "MeasureValue": "2.0",
                "Dimensions": [{"Name": "a", "Value": "2"}, {"Name": "b", "Value": "1"}],
                "MeasureName": "down",
                "Time": "2",
            })
        );
    }

    #[test]
    fn times_below_the_millisecond_make_all_times_of_a_call_nanoseconds() {
        let a = series("up", &[("a", "1")]);
        let value = MeasureValue::Double(1.0);
        let written = body_at(&[(&a, (7, 42), &value), (&a, (7, 0), &value)]);
        assert_eq!(written["CommonAttributes"]["TimeUnit"], "NANOSECONDS");
        assert_eq!(written["CommonAttributes"].get("Time"), None);
        assert_eq!(written["Records"][0]["Time"], "7000042");
        assert_eq!(written["Records"][1]["Time"], "7000000");
        // An exemplar without a time: no number starts with needless zeros.
        let written = body_at(&[(&a, (0, 42), &value)]);
        assert_eq!(written["CommonAttributes"]["Time"], "42");
    }

    #[test]
    fn values_of_several_types_say_so_themselves() {
        let a = series("up", &[("a", "1")]);
        let b = series("text", &[("a", "1")]);
        let text = MeasureValue::Varchar("\"ü\"".into());
        let attribute = |name, value: &'static str| Attribute {
            name,
            value: value.into(),
        };
        let multi = MeasureValue::Multi(vec![attribute("unit", "bytes"), attribute("help", "H.")]);
        let written = body_of(&[
            (&a, 1, &MeasureValue::Double(1.0)),
            (&b, 1, &text),
            (&b, 1, &multi),
        ]);
        assert_eq!(written["CommonAttributes"].get("MeasureValueType"), None);
        assert_eq!(
            written["Records"],
            json!([
                {"MeasureName": "up", "MeasureValue": "1.0", "MeasureValueType": "DOUBLE"},
                {"MeasureName": "text", "MeasureValue": "\"ü\"", "MeasureValueType": "VARCHAR"},
                {
                    "MeasureName": "text",
                    "MeasureValues": [
                        {"Name": "unit", "Value": "bytes", "Type": "VARCHAR"},
                        {"Name": "help", "Value": "H.", "Type": "VARCHAR"},
                    ],
                    "MeasureValueType": "MULTI",
                },
            ])
        );
        let alike = body_of(&[(&b, 1, &text), (&b, 2, &text)]);
        assert_eq!(alike["CommonAttributes"]["MeasureValueType"], "VARCHAR");
        assert_eq!(
            alike["Records"][0],
            json!({"MeasureValue": "\"ü\"", "Time": "1"})
        );
    }

    #[test]
    fn values_read_back_to_the_same_bits() {
        let a = series("up", &[("a", "1")]);
        for value in [
            0.1,
            5e-324,
            f64::MAX,
            f64::MIN_POSITIVE,
            1e16,
            123_456_789.012_345_67,
            -1.5e-7,
        ] {
            let body = body(&[(&a, 1, value), (&a, 2, value)]);
            let text = body["Records"][0]["MeasureValue"].as_str().unwrap();
            assert_eq!(
                text.parse::<f64>().unwrap().to_bits(),
                value.to_bits(),
                "{text}"
            );
        }
    }
}
