//! A batch to the JSON body of a WriteRecords call.
//!
//! Attributes that all records of the batch share go to `CommonAttributes`, because AWS bills what is left
//! in units of 1 KiB. Field names:
//! <https://docs.aws.amazon.com/timestream/latest/developerguide/API_WriteRecords.html>. What is
//! billed: <https://docs.aws.amazon.com/timestream/latest/developerguide/metering-and-pricing.writes.html>.

use std::io::Write as _;

use bytes::Bytes;

use super::batch::{Batch, BatchRecord};
use super::json::push_string;
use super::stored::{AttributeId, SeriesId, StoredSeries};
use super::value::NUMBER_BYTES;

/// Bytes of a call beside its names, attributes and records.
const CALL_BYTES: usize = 256;
/// Bytes of a record beside its value and its attributes: names and punctuation, and the fields that not all have.
const RECORD_BYTES: usize = 20;
const VALUE_TYPE_BYTES: usize = 30;
const MEASURE_NAME_BYTES: usize = 17;
const TIME_BYTES: usize = 30;
const VERSION_BYTES: usize = 30;
/// Bytes of a dimension beside its name and its value.
const DIMENSION_BYTES: usize = 23;

/// Bytes of one billed unit.
pub const UNIT_BYTES: usize = 1024;

/// A WriteRecords call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WriteCall {
    /// The whole body, as JSON.
    pub body: Bytes,
    /// The units that AWS bills for it if it stores anything.
    pub write_units: u64,
}

/// The versions of records. Of two values for one time the one with the higher version wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// That of the request's first record; they grow with the position in the request, so the later
    /// one wins, whatever the order in which calls arrive.
    From(i64),
    /// All have this one.
    All(i64),
}

impl Versions {
    /// The version of the record at a position in the request.
    fn of(self, position: usize) -> i64 {
        match self {
            Self::From(first) => first.saturating_add_unsigned(position as u64),
            Self::All(version) => version,
        }
    }
}

/// The call that writes `batch`, whose records have versions if there are `versions`; they are not
/// billed.
pub fn write_call(batch: Batch<'_>, versions: Option<Versions>) -> WriteCall {
    let common = Common::of(batch);
    WriteCall {
        body: body(batch, &common, versions),
        write_units: write_units(batch, &common),
    }
}

/// Time, value, names of dimensions and measures and values of dimensions, in UTF-8; what is
/// common counts once.
fn write_units(batch: Batch<'_>, common: &Common) -> u64 {
    let time = common.time.map_or(NUMBER_BYTES, |_| 0);
    // Every record has each common attribute.
    let own_bytes = |it: &BatchRecord<'_>| {
        batch.stored.bytes(it.series) - common.attribute_bytes + time + it.record.value.bytes()
    };
    let common_bytes = common.attribute_bytes + common.time.map_or(0, |_| NUMBER_BYTES);
    let bytes = common_bytes + batch.records.iter().map(own_bytes).sum::<usize>();
    bytes.div_ceil(UNIT_BYTES) as u64
}

/// Returns about as many bytes as the body has, and no less unless many characters are escaped.
fn body_bytes(batch: Batch<'_>, common: &Common, versions: Option<Versions>) -> usize {
    let stored = batch.stored;
    let own = |is_common: bool, bytes: usize| if is_common { 0 } else { bytes };
    let each = RECORD_BYTES
        + own(common.value_type.is_some(), VALUE_TYPE_BYTES)
        + own(common.measure.is_some(), MEASURE_NAME_BYTES)
        + own(common.time.is_some(), TIME_BYTES)
        + versions.map_or(0, |_| VERSION_BYTES);
    let own_bytes = |it: &BatchRecord<'_>| {
        let dimensions = stored.dimensions(it.series).len() - common.dimensions.len();
        let attributes = stored.bytes(it.series) - common.attribute_bytes;
        each + attributes + dimensions * DIMENSION_BYTES + it.record.value.text_bytes()
    };
    let names = batch.destination.database.len() + batch.destination.table.len();
    let attributes = common.attribute_bytes + common.dimensions.len() * DIMENSION_BYTES;
    CALL_BYTES + names + attributes + batch.records.iter().map(own_bytes).sum::<usize>()
}

fn body(batch: Batch<'_>, common: &Common, versions: Option<Versions>) -> Bytes {
    let Batch {
        destination,
        stored,
        records,
    } = batch;
    let mut body = Vec::with_capacity(body_bytes(batch, common, versions));
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
    push_dimensions(&mut body, stored, common.dimensions.iter().copied());
    if let Some(measure) = common.measure {
        body.extend_from_slice(stored.text(measure));
    }
    if let Some(time) = common.time {
        push_time(&mut body, time, unit);
    }
    body.extend_from_slice(b"},\"Records\":[");
    for (index, &BatchRecord { record, series }) in records.iter().enumerate() {
        body.extend_from_slice(if index == 0 { b"{" } else { b",{" });
        record.value.push(&mut body);
        if common.value_type.is_none() {
            push_value_type(&mut body, record.value.type_name());
        }
        push_own_dimensions(&mut body, stored, series, common);
        if common.measure.is_none() {
            body.extend_from_slice(stored.text(stored.measure(series)));
        }
        if common.time.is_none() {
            push_time(&mut body, record.time(), unit);
        }
        if let Some(versions) = versions {
            body.extend_from_slice(b",\"Version\":");
            push_number(&mut body, versions.of(record.item.position()));
        }
        body.push(b'}');
    }
    body.extend_from_slice(b"]}");
    // Calls wait for their responses; where characters are escaped, the body has grown by doubling.
    body.shrink_to_fit();
    Bytes::from(body)
}

/// The attributes that all records of a batch share.
struct Common {
    dimensions: Vec<AttributeId>,
    /// True if each series has these dimensions in this order. Usually they have, because senders sort labels by name.
    is_in_order: bool,
    measure: Option<AttributeId>,
    value_type: Option<&'static str>,
    time: Option<Time>,
    /// Bytes of dimensions and measure, as AWS counts them.
    attribute_bytes: usize,
}

/// Milliseconds since the Unix epoch, and the nanoseconds past them.
type Time = (i64, u32);

/// The unit of all times of a call.
#[derive(Clone, Copy)]
enum TimeUnit {
    Milliseconds,
    /// Needed where some time has a part below the millisecond.
    Nanoseconds,
}

impl TimeUnit {
    fn of(records: &[BatchRecord<'_>]) -> Self {
        match records.iter().all(|it| it.record.nanos == 0) {
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

impl Common {
    fn of(batch: Batch<'_>) -> Self {
        let stored = batch.stored;
        let Some((first, rest)) = batch.records.split_first() else {
            return Self {
                dimensions: Vec::new(),
                is_in_order: true,
                measure: None,
                value_type: None,
                time: None,
                attribute_bytes: 0,
            };
        };
        let mut common = Self {
            dimensions: stored.dimensions(first.series).to_vec(),
            is_in_order: true,
            measure: Some(stored.measure(first.series)),
            value_type: Some(first.record.value.type_name()),
            time: Some(first.record.time()),
            attribute_bytes: 0,
        };
        let mut before = first.series;
        for BatchRecord { record, series } in rest {
            if *series != before {
                let theirs = stored.dimensions(*series);
                if !is_in_order(&common.dimensions, theirs) {
                    common.dimensions.retain(|ours| theirs.contains(ours));
                    common.is_in_order &= is_in_order(&common.dimensions, theirs);
                }
                before = *series;
            }
            let measure = stored.measure(*series);
            common.measure = common.measure.filter(|name| *name == measure);
            common.value_type = common
                .value_type
                .filter(|name| *name == record.value.type_name());
            common.time = common.time.filter(|common| *common == record.time());
        }
        let attributes = common.dimensions.iter().chain(&common.measure);
        common.attribute_bytes = attributes.map(|&id| stored.attribute(id).bytes()).sum();
        common
    }
}

/// Returns true if all of `some` are among `all` in the same order.
fn is_in_order(some: &[AttributeId], all: &[AttributeId]) -> bool {
    let mut found = 0;
    for dimension in all {
        // Without a branch, as it would be mispredicted.
        found += usize::from(some.get(found) == Some(dimension));
    }
    found == some.len()
}

/// Writes the dimensions that a series has beside the common ones.
fn push_own_dimensions(
    body: &mut Vec<u8>,
    stored: &StoredSeries<'_>,
    series: SeriesId,
    common: &Common,
) {
    let all = stored.dimensions(series).iter().copied();
    if common.is_in_order {
        // Both lists are walked side by side.
        let mut common = common.dimensions.iter().copied().peekable();
        let own = all.filter(|dimension| common.next_if_eq(dimension).is_none());
        push_dimensions(body, stored, own);
    } else {
        let own = all.filter(|dimension| !common.dimensions.contains(dimension));
        push_dimensions(body, stored, own);
    }
}

fn push_dimensions(
    body: &mut Vec<u8>,
    stored: &StoredSeries<'_>,
    mut dimensions: impl Iterator<Item = AttributeId>,
) {
    let Some(first) = dimensions.next() else {
        return;
    };
    body.extend_from_slice(b",\"Dimensions\":[");
    // Without the comma, with which the others begin.
    body.extend_from_slice(&stored.text(first)[1..]);
    for dimension in dimensions {
        body.extend_from_slice(stored.text(dimension));
    }
    body.push(b']');
}

fn push_value_type(body: &mut Vec<u8>, value_type: &str) {
    body.extend_from_slice(b",\"MeasureValueType\":\"");
    body.extend_from_slice(value_type.as_bytes());
    body.push(b'"');
}

fn push_time(body: &mut Vec<u8>, (timestamp_ms, nanos): Time, unit: TimeUnit) {
    body.extend_from_slice(b",\"Time\":\"");
    match unit {
        TimeUnit::Milliseconds => push_number(body, timestamp_ms),
        TimeUnit::Nanoseconds => {
            let time = i128::from(timestamp_ms) * 1_000_000 + i128::from(nanos);
            write!(body, "{time}").expect("writing to a Vec cannot fail");
        }
    }
    body.push(b'"');
}

fn push_number(body: &mut Vec<u8>, number: i64) {
    serde_json::to_writer(body, &number).expect("a number is always valid JSON, a Vec takes all");
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::storage::destination::Destination;
    use crate::storage::write::series::Record;
    use crate::storage::write::value::{
        Attribute as MeasureAttribute, Scalar, Value as MeasureValue,
    };
    use prom_wire::request::DatapointRange;

    /// A measure name and dimensions.
    type Series<'s> = (&'s str, &'s [(&'s str, &'s str)]);

    fn body(records: &[(Series<'_>, i64, f64)]) -> Value {
        let records: Vec<_> = records
            .iter()
            .map(|&(series, timestamp_ms, value)| {
                (series, (timestamp_ms, 0), MeasureValue::Double(value))
            })
            .collect();
        body_of(&records)
    }

    /// The body of the call that writes these records.
    fn body_of(records: &[(Series<'_>, Time, MeasureValue<'_>)]) -> Value {
        let mut stored = StoredSeries::default();
        let add = |((measure, dimensions), _, _): &(Series<'_>, _, _)| {
            stored.add_new(measure, dimensions)
        };
        let series: Vec<_> = records.iter().map(add).collect();
        let records: Vec<_> = records
            .iter()
            .map(|(_, (timestamp_ms, nanos), value)| Record {
                item: DatapointRange::default(),
                series: 0,
                timestamp_ms: *timestamp_ms,
                nanos: *nanos,
                value: value.clone(),
            })
            .collect();
        let records = records.iter().zip(series);
        let records: Vec<_> = records
            .map(|(record, series)| BatchRecord { record, series })
            .collect();
        let batch = Batch {
            destination: &Destination {
                database: "db".to_owned(),
                table: "t".to_owned(),
            },
            stored: &stored,
            records: &records,
        };
        for versions in [None, Some(Versions::All(i64::MIN))] {
            let len = write_call(batch, versions).body.len();
            let expected = body_bytes(batch, &Common::of(batch), versions);
            let most = len + CALL_BYTES + 64 * records.len();
            assert!((len..most).contains(&expected), "{expected} for {len}");
        }
        serde_json::from_slice(&write_call(batch, None).body).unwrap()
    }

    #[test]
    fn shared_attributes_are_written_once() {
        let a: Series<'_> = ("up", &[("instance", "a"), ("job", "\"j\"\n")]);
        let b: Series<'_> = ("up", &[("instance", "b"), ("job", "\"j\"\n")]);
        assert_eq!(
            body(&[(a, 1, 0.1), (b, 1, 1e300)]),
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
                    {"MeasureValue": "1e+300", "Dimensions": [{"Name": "instance", "Value": "b"}]},
                ],
            })
        );
    }

    #[test]
    fn shared_dimensions_may_be_in_any_order() {
        let a: Series<'_> = ("up", &[("a", "1"), ("b", "2"), ("c", "3")]);
        let b: Series<'_> = ("up", &[("b", "2"), ("c", "4"), ("a", "1")]);
        let c: Series<'_> = ("up", &[("a", "1"), ("b", "2")]);
        let dimension = |name, value| json!({"Name": name, "Value": value});
        for records in [[a, b, c, a], [b, a, a, c], [a, a, c, b]] {
            let written = body(&records.map(|series| (series, 1, 1.0)));
            let mut common = written["CommonAttributes"]["Dimensions"].clone();
            common.as_array_mut().unwrap().sort_by_key(Value::to_string);
            assert_eq!(common, json!([dimension("a", "1"), dimension("b", "2")]));
            for (series, record) in records.iter().zip(written["Records"].as_array().unwrap()) {
                let own = series.1.iter().find(|it| it.0 == "c");
                let own = own.map(|(name, value)| json!([dimension(name, value)]));
                assert_eq!(record.get("Dimensions"), own.as_ref(), "{written}");
            }
        }
    }

    #[test]
    fn nothing_shared_leaves_only_the_units_common() {
        let a: Series<'_> = ("up", &[("a", "1")]);
        let b: Series<'_> = ("down", &[("a", "2"), ("b", "1")]);
        let body = body(&[(a, 1, 1.0), (b, 2, 2.0)]);
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
        let a: Series<'_> = ("up", &[("a", "1")]);
        let value = MeasureValue::Double(1.0);
        let written = body_of(&[(a, (7, 42), value.clone()), (a, (7, 0), value.clone())]);
        assert_eq!(written["CommonAttributes"]["TimeUnit"], "NANOSECONDS");
        assert_eq!(written["CommonAttributes"].get("Time"), None);
        assert_eq!(written["Records"][0]["Time"], "7000042");
        assert_eq!(written["Records"][1]["Time"], "7000000");
        // An exemplar without a time: no number starts with needless zeros.
        let written = body_of(&[(a, (0, 42), value)]);
        assert_eq!(written["CommonAttributes"]["Time"], "42");
    }

    #[test]
    fn values_of_several_types_say_so_themselves() {
        let a: Series<'_> = ("up", &[("a", "1")]);
        let b: Series<'_> = ("text", &[("a", "1")]);
        let text = MeasureValue::Varchar("\"ü\"".into());
        let attribute = |name, value| MeasureAttribute { name, value };
        let multi = MeasureValue::Multi(vec![
            attribute("unit", Scalar::Varchar("bytes".into())),
            attribute("value", Scalar::Double(0.1)),
        ]);
        let written = body_of(&[
            (a, (1, 0), MeasureValue::Double(1.0)),
            (b, (1, 0), text.clone()),
            (b, (1, 0), multi),
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
                        {"Name": "value", "Value": "0.1", "Type": "DOUBLE"},
                    ],
                    "MeasureValueType": "MULTI",
                },
            ])
        );
        let alike = body_of(&[(b, (1, 0), text.clone()), (b, (2, 0), text.clone())]);
        assert_eq!(alike["CommonAttributes"]["MeasureValueType"], "VARCHAR");
        assert_eq!(
            alike["Records"][0],
            json!({"MeasureValue": "\"ü\"", "Time": "1"})
        );
    }

    #[test]
    fn values_read_back_to_the_same_bits() {
        let a: Series<'_> = ("up", &[("a", "1")]);
        for value in [
            0.1,
            5e-324,
            f64::MAX,
            f64::MIN_POSITIVE,
            1e16,
            123_456_789.012_345_67,
            -1.5e-7,
        ] {
            let body = body(&[(a, 1, value), (a, 2, value)]);
            let text = body["Records"][0]["MeasureValue"].as_str().unwrap();
            assert_eq!(
                text.parse::<f64>().unwrap().to_bits(),
                value.to_bits(),
                "{text}"
            );
        }
    }
}
