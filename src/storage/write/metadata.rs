//! Metadata of metric families to the records of a table of their own.
//!
//! A record has the dimension `metric_name` and a multi-measure value of up to three texts. Its
//! time is when it is written, so the newest one of a metric counts.

use std::borrow::Cow;

use prom_model::visible::truncate;
use prom_wire::request::{DatapointRange, Metadata, to_u32};

use crate::storage::destination::Destination;
use crate::storage::limits::{MAX_MEASURE_NAME_BYTES, MAX_RECORD_BYTES};
use crate::storage::names::escape;
use crate::storage::write::series::{Conversion, DestinationRecords, Record};
use crate::storage::write::value::{Attribute, NUMBER_BYTES, Scalar, Value};

/// The measure name of all these records.
const MEASURE_NAME: &str = "metadata";
/// The dimension that holds the name of the metric family.
pub const METRIC_NAME: &str = "metric_name";
/// The texts.
const METRIC_TYPE: &str = "metric_type";
const HELP: &str = "help_text";
const UNIT: &str = "unit";

/// Bytes of a unit that are stored.
const MAX_UNIT_BYTES: usize = 256;

/// Returns true if the metric family can have a name in Timestream: samples of one with a longer name are
/// dropped too.
pub fn is_storable(metadata: &Metadata<'_>) -> bool {
    !metadata.metric_name.is_empty()
        && metadata.metric_name.len() <= MAX_MEASURE_NAME_BYTES
        && escape(metadata.metric_name).len() <= MAX_MEASURE_NAME_BYTES
}

/// The records for `entries`, which are [storable](is_storable), each once; they are called by
/// their position among the entries.
///
/// An empty help text or unit is dropped, as Timestream accepts no empty value; one that does not
/// fit the record is cut.
pub fn metadata_to_records<'a>(
    destination: Destination,
    entries: &[Metadata<'a>],
    now_ms: i64,
) -> Conversion<'a> {
    let mut conversion = Conversion::default();
    let stored = &mut conversion.stored;
    let measure = stored.add_measure_name(Cow::Borrowed(MEASURE_NAME));
    let series = entries.iter().map(|entry| {
        let metric = Cow::Borrowed(entry.metric_name);
        let metric = stored.add_dimension(Cow::Borrowed(METRIC_NAME), metric);
        let added = stored.add(measure, &[metric], MAX_RECORD_BYTES);
        added.expect("a storable name fits into a record")
    });
    let series = series.collect();
    let records = entries.iter().enumerate().map(|(index, entry)| Record {
        item: DatapointRange::single(index),
        series: to_u32(index),
        timestamp_ms: now_ms,
        nanos: 0,
        value: Value::Multi(texts(entry)),
    });
    conversion.destinations.push(DestinationRecords {
        destination,
        series,
        records: records.collect(),
    });
    conversion
}

fn texts<'a>(entry: &Metadata<'a>) -> Vec<Attribute<'a>> {
    let mut texts = vec![Attribute {
        name: METRIC_TYPE,
        value: Scalar::Varchar(Cow::Borrowed(entry.metric_type.as_str())),
    }];
    let mut left = MAX_RECORD_BYTES
        - (NUMBER_BYTES + MEASURE_NAME.len() + METRIC_NAME.len() + entry.metric_name.len())
        - (METRIC_TYPE.len() + entry.metric_type.as_str().len());
    // The help text is the longer one, so it gets what the unit leaves.
    for (name, text, limit) in [
        (UNIT, entry.unit, MAX_UNIT_BYTES),
        (HELP, entry.help, MAX_RECORD_BYTES),
    ] {
        if text.is_empty() {
            continue;
        }
        let value = shortened(text, limit.min(left - name.len()));
        left -= name.len() + value.len();
        let value = Scalar::Varchar(value);
        texts.push(Attribute { name, value });
    }
    texts
}

/// `text`, or its start with dots where it has more than so many bytes.
fn shortened(text: &str, max_bytes: usize) -> Cow<'_, str> {
    const DOTS: usize = 3;
    if text.len() <= max_bytes {
        Cow::Borrowed(text)
    } else {
        truncate(text, max_bytes - DOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prom_model::MetricType;

    fn entry<'a>(metric_name: &'a str, help: &'a str, unit: &'a str) -> Metadata<'a> {
        Metadata {
            metric_name,
            metric_type: MetricType::Counter,
            help,
            unit,
            series: None,
        }
    }

    fn records<'a>(entries: &[Metadata<'a>]) -> Conversion<'a> {
        let destination = Destination {
            database: "db".to_owned(),
            table: "metrics".to_owned(),
        };
        metadata_to_records(destination, entries, 5)
    }

    fn text<'v>(value: &'v Scalar<'_>) -> &'v str {
        match value {
            Scalar::Varchar(text) => text,
            Scalar::Double(number) => panic!("{number}"),
        }
    }

    #[test]
    fn empty_texts_are_dropped() {
        let conversion = records(&[
            entry("a", "Help.", "bytes"),
            entry("b", "", "bytes"),
            entry("c", "", ""),
        ]);
        let [records] = conversion.destinations.as_slice() else {
            panic!("one destination")
        };
        let texts = |value: &Value<'_>| {
            let Value::Multi(texts) = value else {
                panic!("{value:?}")
            };
            let texts = texts
                .iter()
                .map(|it| format!("{}={}", it.name, text(&it.value)));
            texts.collect::<Vec<_>>().join(" ")
        };
        let seen = records.records.iter().map(|record| {
            let series = conversion
                .stored
                .show(records.series[record.series as usize]);
            format!("{} {series} {}", record.timestamp_ms, texts(&record.value))
        });
        let expected = [
            r#"5 metadata{metric_name="a"} metric_type=counter unit=bytes help_text=Help."#,
            r#"5 metadata{metric_name="b"} metric_type=counter unit=bytes"#,
            r#"5 metadata{metric_name="c"} metric_type=counter"#,
        ];
        assert_eq!(seen.collect::<Vec<_>>(), expected);
        let positions = records.records.iter().map(|record| record.item.position());
        assert!(positions.eq([0, 1, 2]));
    }

    #[test]
    fn long_texts_are_cut_to_what_a_record_holds() {
        let name = "n".repeat(256);
        for length in [1, 200, 257, 1_000, 2_000, 4_000] {
            let (help, unit) = ("ü".repeat(length), "ä".repeat(length));
            let entry = entry(&name, &help, &unit);
            assert!(is_storable(&entry));
            let conversion = records(&[entry]);
            let records = &conversion.destinations[0];
            let record = &records.records[0];
            let bytes = 8 + conversion.stored.bytes(records.series[0]) + record.value.bytes();
            assert!(bytes <= MAX_RECORD_BYTES, "{length}: {bytes}");
            let Value::Multi(texts) = &record.value else {
                panic!("{record:?}")
            };
            for (text, whole) in [(&texts[1].value, &unit), (&texts[2].value, &help)] {
                let text = self::text(text);
                let start = text.strip_suffix("...").unwrap_or(text);
                assert!(
                    whole.starts_with(start) && (start.len() == whole.len() || text.len() > 250)
                );
            }
        }
    }

    #[test]
    fn names_that_no_sample_can_have() {
        let long = "n".repeat(257);
        // Only the escaped form is too long.
        let escaped = ".".repeat(65);
        for (name, expected) in [
            ("", false),
            (&long, false),
            (&escaped, false),
            ("a.b", true),
        ] {
            assert_eq!(is_storable(&entry(name, "", "")), expected, "{name}");
        }
    }
}
