//! Rows, as JSON objects, to samples.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::temporal::{DateTimeParser, Pieces};
use jiff::tz::{Disambiguation, OffsetConflict, TimeZone};
use prom_model::visible::truncate;
use prom_model::{Label, Labels, METRIC_NAME_LABEL, Sample};
use serde_json::{Map, Value};

use super::point::{Content, Point};
use super::reader::RawRow;
use crate::json::tree_bytes;

/// Bytes of a row that an error quotes, and of a value in it.
const MAX_SHOWN_BYTES: usize = 300;
/// Bytes of a row: some 2,000 labels.
pub(super) const MAX_ROW_BYTES: usize = 64 << 10;
/// Bytes of memory that a row occupies while it is read.
pub(super) const MAX_ROW_MEMORY: usize = 2 << 20;

/// The names of the fields of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fields {
    /// A map of labels, the metric name among them.
    pub(super) labels: String,
    /// The value.
    pub(super) value: String,
    /// The time; a row without it has the time at which it is read.
    pub(super) timestamp: Option<String>,
}

/// A row that is not a sample.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("row {number}: {error}; the row: {row}")]
pub(super) struct BadRow {
    /// Its number, from 1.
    pub(super) number: usize,
    /// The error of the row.
    pub(super) error: String,
    /// Its start.
    pub(super) row: String,
}

/// Converts a row to a sample. A row that is too large is not parsed.
pub(super) fn sample_of(row: RawRow<'_>, fields: &Fields, now_ms: i64) -> Result<Point, BadRow> {
    let bad = |error: &str, shown: &str| BadRow {
        number: row.number,
        error: truncate(error, MAX_SHOWN_BYTES).into_owned(),
        row: truncate(shown, MAX_SHOWN_BYTES).into_owned(),
    };
    let as_given = |error: &str| {
        // An error is one line.
        let start = truncate(row.json, MAX_SHOWN_BYTES).replace(['\n', '\r', '\t'], " ");
        bad(error, &start)
    };
    let bytes = row.json.len();
    if bytes > MAX_ROW_BYTES {
        let error = format!("it has {bytes} bytes of JSON; expected at most {MAX_ROW_BYTES}");
        return Err(as_given(&error));
    }
    let memory = tree_bytes(row.json.as_bytes());
    if memory > MAX_ROW_MEMORY {
        let error = format!(
            "it has so many values that it needs {memory} bytes of memory; expected at most \
             {MAX_ROW_MEMORY}"
        );
        return Err(as_given(&error));
    }
    let value: Value = serde_json::from_str(row.json).map_err(|it| as_given(&it.to_string()))?;
    point(&value, fields, now_ms).map_err(|error| bad(&error, &value.to_string()))
}

/// Converts a parsed row to a sample.
fn point(row: &Value, fields: &Fields, now_ms: i64) -> Result<Point, String> {
    let row = row.as_object().ok_or("expected an object")?;
    let given = |key: &str| row.get(key).filter(|it| !it.is_null());
    let labels = given(&fields.labels).ok_or_else(|| absent(&fields.labels))?;
    let labels = match labels {
        Value::Object(labels) => labels_of(labels)?,
        Value::String(text) => labels_of_text(text)?,
        _ => return Err(format!("'{}' is no map of labels", fields.labels)),
    };
    // A row without a value is not a NaN either: NaN makes NaN of each sum.
    let value = match row.get(&fields.value) {
        None => return Err(absent(&fields.value)),
        Some(Value::Null) => {
            return Err(format!(
                "'{}' is null, so the row is no sample; a sample without a number is \"NaN\"",
                fields.value
            ));
        }
        Some(value) => value,
    };
    let number = match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => number(text),
        _ => None,
    };
    let value = number.ok_or_else(|| format!("'{}' is no number: {value}", fields.value))?;
    let time = fields.timestamp.as_deref().and_then(given);
    Ok(Point {
        labels: Arc::new(labels),
        content: Content::Float(Sample {
            timestamp_ms: time.map_or(Ok(now_ms), timestamp_ms)?,
            value,
        }),
    })
}

fn absent(key: &str) -> String {
    format!("the field '{key}' is absent")
}

/// Returns the labels of a map.
///
/// # Errors
/// They are not the labels of a series; Prometheus would drop such a series silently.
pub(super) fn labels_of(map: &Map<String, Value>) -> Result<Labels, String> {
    let mut labels = Vec::with_capacity(map.len());
    for (name, value) in map {
        let value = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            Value::Null => continue,
            Value::Array(_) | Value::Object(_) => {
                return Err(format!("the label '{name}' has no text as its value"));
            }
        };
        labels.push(Label {
            name: name.clone(),
            value,
        });
    }
    checked(labels)
}

/// Returns the labels of a JSON object in a string.
pub(super) fn labels_of_text(text: &str) -> Result<Labels, String> {
    let map = serde_json::from_str(text).map_err(|error| format!("no map of labels: {error}"))?;
    labels_of(&map)
}

/// Returns a label set with a metric name and no empty name.
pub(super) fn checked(labels: Vec<Label>) -> Result<Labels, String> {
    if labels.iter().any(|label| label.name.is_empty()) {
        return Err("a label has an empty name".to_owned());
    }
    let labels = Labels::new(labels);
    if labels.get(METRIC_NAME_LABEL).is_empty() {
        return Err(format!(
            "the labels have no {METRIC_NAME_LABEL}, the name of the metric"
        ));
    }
    Ok(labels)
}

/// Parses a number in Go's or JSON's spelling, the special ones included.
pub(super) fn number(text: &str) -> Option<f64> {
    text.trim().parse().ok()
}

/// Returns milliseconds since 1970: of a whole number itself, of another number its seconds; of a string the time by
/// RFC 3339 or RFC 9557, in its zone, or in UTC without one.
pub(super) fn timestamp_ms(value: &Value) -> Result<i64, String> {
    let invalid = || {
        format!(
            "no time: {value}; expected milliseconds as a whole number, seconds as another number, or a text such as 2026-01-31T00:00:00Z"
        )
    };
    let of_seconds = |seconds: f64| {
        let ms = (seconds * 1e3).round();
        // Beyond that a double cannot distinguish milliseconds.
        (ms.abs() < 9e15).then_some(ms as i64)
    };
    let read = match value {
        Value::Number(number) => match number.as_i64() {
            Some(ms) => Some(ms),
            None => number.as_f64().and_then(of_seconds),
        },
        Value::String(text) => {
            let text = text.trim();
            if let Some(time) = time_of_text(text) {
                return time;
            }
            match text.parse() {
                Ok(ms) => Some(ms),
                Err(_) => text.parse().ok().and_then(of_seconds),
            }
        }
        _ => None,
    };
    read.ok_or_else(invalid)
}

/// Returns the time of a string with a date; `None` if it has none.
fn time_of_text(text: &str) -> Option<Result<i64, String>> {
    let pieces = Pieces::parse(text).ok()?;
    // The types of a time and of a date and time both ignore a zone.
    if pieces.time_zone_annotation().is_some() {
        return Some(time_in_zone(text));
    }
    let time = match pieces.offset() {
        Some(_) => text.parse::<Timestamp>().ok()?,
        None => {
            let time: DateTime = text.parse().ok()?;
            time.to_zoned(TimeZone::UTC).ok()?.timestamp()
        }
    };
    Some(Ok(time.as_millisecond()))
}

/// Returns the time of a string such as `2026-08-15T17:00:00[Europe/Berlin]`.
fn time_in_zone(text: &str) -> Result<i64, String> {
    // An hour that a clock shows twice, or never, is an error.
    const PARSER: DateTimeParser = DateTimeParser::new()
        .disambiguation(Disambiguation::Reject)
        .offset_conflict(OffsetConflict::Reject);
    let zoned = PARSER.parse_zoned(text).map_err(|error| {
        format!(
            "no time: {text:?}: {error}; an offset such as +02:00 in place of the zone says it too"
        )
    })?;
    Ok(zoned.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::reader::RowReader;
    use super::*;

    /// Returns all samples of a body, and the rows that are not samples.
    fn read_rows(
        body: &[u8],
        fields: &Fields,
        now_ms: i64,
    ) -> Result<(Vec<Point>, Vec<BadRow>), String> {
        let mut reader = RowReader::new(body);
        let (mut points, mut bad) = (Vec::new(), Vec::new());
        while let Some(row) = reader.next() {
            match sample_of(row?, fields, now_ms) {
                Ok(point) => points.push(point),
                Err(row) => bad.push(row),
            }
        }
        Ok((points, bad))
    }

    fn fields() -> Fields {
        Fields {
            labels: "labels".to_owned(),
            value: "value".to_owned(),
            timestamp: Some("time".to_owned()),
        }
    }

    #[test]
    fn rows_come_as_an_array_or_on_lines() {
        let rows = [
            json!({"labels": {"__name__": "a", "x": "1", "y": ""}, "value": 1, "time": 5, "more": {}}),
            json!({"labels": "{\"__name__\": \"b\", \"n\": 7}", "value": "2.5e1"}),
        ];
        let array = json!(rows).to_string();
        let lines = rows.iter().map(|row| format!("{row}\n\n"));
        let lines: String = lines.collect();
        for body in [array, lines, format!("\n {}", json!(rows))] {
            let (points, bad) = read_rows(body.as_bytes(), &fields(), 77).unwrap();
            assert_eq!(bad, []);
            let shown: Vec<_> = points
                .iter()
                .map(|point| {
                    let labels = point.labels.iter();
                    let labels: Vec<_> = labels
                        .map(|it| format!("{}={}", it.name, it.value))
                        .collect();
                    let Content::Float(sample) = &point.content else {
                        panic!("{point:?}")
                    };
                    (labels.join(","), sample.timestamp_ms, sample.value)
                })
                .collect();
            let expected = [("__name__=a,x=1", 5, 1.0), ("__name__=b,n=7", 77, 25.0)];
            assert_eq!(shown, expected.map(|(a, b, c)| (a.to_owned(), b, c)));
        }
        assert_eq!(read_rows(b"", &fields(), 0).unwrap().0.len(), 0);
        assert!(read_rows(b"[{", &fields(), 0).is_err());
        assert!(read_rows(b"{}\n{", &fields(), 0).is_err());
    }

    #[test]
    fn invalid_rows_are_reported() {
        let name = json!({"__name__": "a"});
        for (row, error) in [
            (json!(1), "expected an object"),
            (json!({"value": 1}), "the field 'labels' is absent"),
            (json!({"labels": name}), "the field 'value' is absent"),
            (
                json!({"labels": name, "value": null}),
                "'value' is null, so the row is no sample",
            ),
            (
                json!({"labels": [], "value": 1}),
                "'labels' is no map of labels",
            ),
            (
                json!({"labels": "x", "value": 1}),
                "no map of labels: expected value",
            ),
            (
                json!({"labels": {"a": "b"}, "value": 1}),
                "the labels have no __name__",
            ),
            (
                json!({"labels": {"__name__": "a", "": "b"}, "value": 1}),
                "a label has an empty name",
            ),
            (
                json!({"labels": {"__name__": "a", "b": []}, "value": 1}),
                "the label 'b'",
            ),
            (
                json!({"labels": name, "value": true}),
                "'value' is no number: true",
            ),
            (
                json!({"labels": name, "value": "x"}),
                "'value' is no number: \"x\"",
            ),
            (
                json!({"labels": name, "value": 1, "time": "noon"}),
                "no time: \"noon\"",
            ),
        ] {
            let (points, bad) =
                read_rows(json!([row]).to_string().as_bytes(), &fields(), 0).unwrap();
            assert_eq!(points.len(), 0);
            assert!(
                bad[0].to_string().starts_with(&format!("row 1: {error}")),
                "{}",
                bad[0]
            );
        }
    }

    #[test]
    fn a_row_that_is_too_large_is_not_parsed() {
        let read = |row: &str| {
            let row = RawRow {
                number: 7,
                json: row,
            };
            sample_of(row, &fields(), 0).map_err(|bad| bad.to_string())
        };
        let row = |more: &str| {
            format!("{{\"labels\": {{\"__name__\": \"a\"}},\n\"value\": 1, \"more\": {more}}}")
        };
        assert!(read(&row(&json!("x".repeat(60_000)).to_string())).is_ok());
        let error = read(&row(&json!("x".repeat(70_000)).to_string())).unwrap_err();
        let expected = "row 7: it has 70053 bytes of JSON; expected at most 65536; the row: \
                        {\"labels\": {\"__name__\": \"a\"}, \"value\": 1";
        assert!(error.starts_with(expected), "{error}");
        assert!(error.len() < 500, "{error}");
        // As a tree this would occupy 10 MB.
        let dense = row(&format!("[{}0]", "{\"\":0},".repeat(9_000)));
        let error = read(&dense).unwrap_err();
        assert!(error.contains("so many values"), "{error}");
        let deep = row(&format!("{}{}", "[".repeat(5_000), "]".repeat(5_000)));
        let error = read(&deep).unwrap_err();
        assert!(error.contains("recursion limit exceeded"), "{error}");
        let error = read(&row("1e999")).unwrap_err();
        assert!(error.contains("number out of range"), "{error}");
        let long = json!({"labels": {"__name__": "a"}, "value": "x".repeat(60_000)});
        assert!(read(&long.to_string()).unwrap_err().len() < 800);
    }

    /// Values as rows may hold them, at the places where something is read and at others.
    fn json_value() -> impl Strategy<Value = Value> {
        let text = prop_oneof![
            Just("__name__".to_owned()),
            Just("1600000000.5".to_owned()),
            Just(r#"{"__name__":"a"}"#.to_owned()),
            "-?[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]{0,12}Z?",
            "\\PC{0,5}",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        let key = prop_oneof![
            Just("labels".to_owned()),
            Just("value".to_owned()),
            Just("time".to_owned()),
            Just("__name__".to_owned()),
            "\\PC{0,3}",
        ];
        leaf.prop_recursive(3, 24, 5, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(key.clone(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_row_is_a_sample_or_reported(rows in prop::collection::vec(json_value(), 0..6)) {
            let body = Value::from(rows.clone()).to_string();
            let (points, bad) = read_rows(body.as_bytes(), &fields(), 7).unwrap();
            prop_assert_eq!(points.len() + bad.len(), rows.len());
            for point in points {
                prop_assert!(!point.labels.get(METRIC_NAME_LABEL).is_empty());
                prop_assert!(point.labels.iter().all(|it| !it.name.is_empty()));
            }
            for bad in bad {
                prop_assert!(bad.row.len() <= MAX_SHOWN_BYTES + "...".len(), "{}", bad);
            }
        }

        #[test]
        fn no_body_is_too_strange(body in "[\\[\\]{}:,\"a0-9e.\n -]{0,40}") {
            let _ = read_rows(body.as_bytes(), &fields(), 7);
        }
    }

    #[test]
    fn times() {
        for (time, ms) in [
            (json!(1_600_000_000_000_i64), 1_600_000_000_000),
            (json!(1_600_000_000.5), 1_600_000_000_500),
            (json!(1.6e9), 1_600_000_000_000),
            (json!("1600000000000"), 1_600_000_000_000),
            (json!("2020-09-13T12:26:40Z"), 1_600_000_000_000),
            (json!("2020-09-13T14:26:40.25+02:00"), 1_600_000_000_250),
            (json!("2020-09-13T12:26:40"), 1_600_000_000_000),
            (json!("2020-09-13 12:26:40.001000000"), 1_600_000_000_001),
            (json!("2020-09-13"), 1_599_955_200_000),
            (
                json!("2026-08-15T17:00:00[Europe/Berlin]"),
                1_786_806_000_000,
            ),
            (
                json!("2026-08-15 17:00:00.5[!America/New_York]"),
                1_786_827_600_500,
            ),
            (
                json!("2026-08-15T17:00:00+02:00[Europe/Berlin]"),
                1_786_806_000_000,
            ),
            (json!("2026-08-15T15:00Z[Europe/Berlin]"), 1_786_806_000_000),
            (json!("2026-08-15T17:00[+02:00]"), 1_786_806_000_000),
            (
                json!("2026-10-25T02:30+01:00[Europe/Berlin]"),
                1_792_891_800_000,
            ),
            (json!("2026-08-15[Europe/Berlin]"), 1_786_744_800_000),
            (json!("2026-08-15T15:00[UTC]"), 1_786_806_000_000),
        ] {
            assert_eq!(timestamp_ms(&time), Ok(ms), "{time}");
        }
        for wrong in [json!("noon"), json!([]), json!(1e300), json!("")] {
            assert!(timestamp_ms(&wrong).is_err(), "{wrong}");
        }
        for (wrong, expected) in [
            ("2026-08-15T17:00:00[Europe/Berlim]", "Europe/Berlim"),
            ("2026-08-15T17:00:00+01:00[Europe/Berlin]", "offset"),
            // The clocks show it twice, and never.
            ("2026-10-25T02:30[Europe/Berlin]", "ambiguous"),
            ("2026-03-29T02:30[Europe/Berlin]", "ambiguous"),
        ] {
            let error = timestamp_ms(&json!(wrong)).unwrap_err();
            let has = |part: &str| error.contains(part);
            assert!(
                has(wrong) && has(expected) && has("an offset such as +02:00"),
                "{error}"
            );
        }
    }
}
