//! Samples to rows that name metric and labels themselves, for those who query with SQL: one table has
//! all metrics, whatever labels they have.
//!
//! A record has the dimension `series_id` and a multi-measure value: the metric's name, its labels as
//! JSON and the value.

use std::borrow::Cow;
use std::fmt::Write as _;

use hashbrown::HashMap;
use md5::{Digest, Md5};
use prom_model::METRIC_NAME_LABEL;
use prom_wire::request::{Datapoint, DatapointRange, Label, Request, to_u32};

use super::route::SeriesError;
use super::series::{Conversion, DestinationRecords, DropReason, Dropped, IgnoreReason, Record};
use super::value::{Attribute, Scalar, Value};
use crate::storage::destination::Destination;
use crate::storage::limits::{MAX_RECORD_BYTES, TIME_BYTES};

/// The measure name of all these records.
const MEASURE_NAME: &str = "sample";
/// The dimension that tells series apart.
const SERIES_ID: &str = "series_id";

/// The records for the float samples of `request`, in `destination`. Native histograms and exemplars
/// are dropped, as is what has no finite value, a time before 1970 or more bytes than a record may.
pub fn samples_to_rows<'a>(request: &Request<'a>, destination: Destination) -> Conversion<'a> {
    let mut conversion = Conversion::default();
    let measure = conversion
        .stored
        .add_measure_name(Cow::Borrowed(MEASURE_NAME));
    let mut known = HashMap::new();
    let (mut series_ids, mut records) = (Vec::new(), Vec::new());
    for series in request.iter() {
        if let Some(unreadable) = series.unreadable {
            let reason = DropReason::Invalid(SeriesError::of_series(unreadable));
            conversion.dropped.push(Dropped {
                items: series.range,
                reason,
            });
            continue;
        }
        let (name, labels) = parts(series.labels.iter());
        let id = series_id(name, &labels);
        let place = *known.entry(id.clone()).or_insert_with(|| {
            let dimension = Cow::Owned(id);
            let dimension = conversion
                .stored
                .add_dimension(Cow::Borrowed(SERIES_ID), dimension);
            let added = conversion
                .stored
                .add(measure, &[dimension], MAX_RECORD_BYTES);
            series_ids.push(added.expect("an identifier is short"));
            series_ids.len() - 1
        });
        let fixed = conversion.stored.bytes(series_ids[place]) + TIME_BYTES;
        let json = json(&labels);
        for (item, content) in series.range.iter().zip(series.datapoints) {
            match value(name, &json, content, fixed) {
                Ok((timestamp_ms, value)) => records.push(Record {
                    item,
                    series: to_u32(place),
                    timestamp_ms,
                    nanos: 0,
                    value,
                }),
                Err(reason) => conversion.dropped.push(dropped(item, reason)),
            }
        }
    }
    conversion.destinations.push(DestinationRecords {
        destination,
        series: series_ids,
        records,
    });
    conversion
}

fn dropped(items: DatapointRange, reason: IgnoreReason) -> Dropped {
    Dropped {
        items,
        reason: DropReason::Ignored(reason),
    }
}

/// The metric's name and the other labels, sorted, without empty ones.
fn parts<'a>(labels: impl Iterator<Item = Label<'a>> + Clone) -> (&'a str, Vec<Label<'a>>) {
    let is_name = |label: &Label<'a>| label.0 == METRIC_NAME_LABEL;
    let name = labels.clone().find(is_name).map_or("", |label| label.1);
    let others = labels.filter(|label| !is_name(label) && !label.1.is_empty());
    let mut others: Vec<_> = others.collect();
    others.sort_unstable();
    others.dedup_by_key(|label| label.0);
    (name, others)
}

/// The MD5 sum, in hexadecimal, of `name{k=v,k=v}`.
fn series_id(name: &str, labels: &[Label<'_>]) -> String {
    let mut text = format!("{name}{{");
    for (place, (name, value)) in labels.iter().enumerate() {
        let comma = if place == 0 { "" } else { "," };
        write!(text, "{comma}{name}={value}").expect("a String takes all");
    }
    text.push('}');
    let sum = Md5::digest(text.as_bytes());
    sum.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn json(labels: &[Label<'_>]) -> String {
    let members = labels.iter().map(|(name, value)| {
        let text = |text: &str| serde_json::to_string(text).expect("any text is valid JSON");
        format!("{}:{}", text(name), text(value))
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// The time and the value of a record that has `fixed` bytes beside it.
fn value<'a>(
    name: &'a str,
    labels: &str,
    item: &Datapoint<'a>,
    fixed: usize,
) -> Result<(i64, Value<'a>), IgnoreReason> {
    let Datapoint::Sample(sample) = item else {
        return Err(IgnoreReason::NotAFloat);
    };
    if !sample.value.is_finite() {
        return Err(IgnoreReason::ValueNotFinite);
    }
    if let Some(reason) = IgnoreReason::of_time(sample.timestamp_ms) {
        return Err(reason);
    }
    let attribute = |name, value| Attribute { name, value };
    let mut attributes = vec![
        attribute("labels", Scalar::Varchar(Cow::Owned(labels.to_owned()))),
        // Timestream does not take the negative zero.
        attribute("value", Scalar::Double(sample.value + 0.0)),
    ];
    if !name.is_empty() {
        let name = Scalar::Varchar(Cow::Borrowed(name));
        attributes.insert(0, attribute("metric_name", name));
    }
    let value = Value::Multi(attributes);
    match fixed + value.bytes() > MAX_RECORD_BYTES {
        true => Err(IgnoreReason::RecordTooLarge),
        false => Ok((sample.timestamp_ms, value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prom_model::Sample;

    #[test]
    fn identifiers_are_md5_sums_of_the_series() {
        let labels = [
            ("job", "a"),
            ("__name__", "up"),
            ("empty", ""),
            ("instance", "b:1"),
        ];
        let (name, others) = parts(labels.into_iter());
        assert_eq!(others, [("instance", "b:1"), ("job", "a")]);
        // printf 'up{instance=b:1,job=a}' | md5sum
        assert_eq!(series_id(name, &others), "a1882848e1802573c67244a1e31ae02a");
        assert_eq!(json(&others), r#"{"instance":"b:1","job":"a"}"#);
        // printf 'up{}' | md5sum
        assert_eq!(series_id("up", &[]), "19ede979e2cce48f2e866497621ff1ab");
        assert_eq!(json(&[]), "{}");
    }

    #[test]
    fn each_sample_is_a_row_or_dropped() {
        let long = "x".repeat(2_000);
        let mut request = Request::default();
        let sample = |timestamp_ms, value| Sample {
            timestamp_ms,
            value,
        };
        for (labels, samples) in [
            (
                &[("__name__", "up"), ("a", "\"1\"")][..],
                &[sample(5, -0.0), sample(6, f64::NAN)][..],
            ),
            (
                &[("a", "\"1\""), ("__name__", "up")],
                &[sample(7, 2.5), sample(-1, 1.0)],
            ),
            (&[("__name__", "up"), ("a", &long)], &[sample(8, 1.0)]),
        ] {
            for (name, value) in labels {
                request.push_label(name, value);
            }
            for sample in samples {
                request.push_sample(*sample);
            }
            request.end_series();
        }
        let destination = Destination {
            database: "db".to_owned(),
            table: "time_series".to_owned(),
        };
        let conversion = samples_to_rows(&request, destination);
        let [records] = conversion.destinations.as_slice() else {
            panic!("one destination")
        };
        let rows: Vec<_> = records
            .records
            .iter()
            .map(|it| {
                (
                    it.item.position(),
                    it.series,
                    it.timestamp_ms,
                    it.value.clone(),
                )
            })
            .collect();
        let value = |number| {
            let attribute = |name, value| Attribute { name, value };
            Value::Multi(vec![
                attribute("metric_name", Scalar::Varchar("up".into())),
                attribute("labels", Scalar::Varchar(r#"{"a":"\"1\""}"#.into())),
                attribute("value", Scalar::Double(number)),
            ])
        };
        assert_eq!(rows, [(0, 0, 5, value(0.0)), (2, 0, 7, value(2.5))]);
        let dropped: Vec<_> = conversion
            .dropped
            .iter()
            .map(|it| (it.items.position(), it.reason))
            .collect();
        let ignored = DropReason::Ignored;
        let expected = [
            (1, ignored(IgnoreReason::ValueNotFinite)),
            (3, ignored(IgnoreReason::NegativeTimestamp)),
            (4, ignored(IgnoreReason::RecordTooLarge)),
        ];
        assert_eq!(dropped, expected);
    }
}
