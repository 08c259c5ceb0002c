//! Samples of both sides, and their differences.

use std::collections::BTreeMap;

use serde_json::Value;
use timestream_emulator::{Point, Value as StoredValue};
use timestream_prometheus_connector::storage::names::{VALUE_BITS_DIMENSION, unescape};

/// A label set.
pub type Labels = BTreeMap<String, String>;

/// Values as bits by series, then by time in milliseconds.
#[derive(Debug, Default)]
pub struct Samples(pub BTreeMap<Labels, BTreeMap<i64, u64>>);

impl Samples {
    /// Returns the finite samples that the points of a table stand for.
    pub fn of_points(points: Vec<Point>) -> Self {
        let mut samples = Self::default();
        // The points of a series follow one another.
        for series in points
            .chunk_by(|a, b| (&a.measure_name, &a.dimensions) == (&b.measure_name, &b.dimensions))
        {
            let mut labels = Labels::new();
            // A value that Timestream does not accept is in a dimension.
            let mut special = None;
            for (name, value) in &series[0].dimensions {
                match name == VALUE_BITS_DIMENSION {
                    true => special = Some(f64::from_bits(bits(value))),
                    false => drop(labels.insert(unescape(name).into_owned(), value.clone())),
                }
            }
            let name = unescape(&series[0].measure_name).into_owned();
            labels.insert("__name__".to_owned(), name);
            let values = series.iter().map(|point| {
                let StoredValue::Double(value) = point.value else {
                    panic!("no connector writes {point:?}")
                };
                assert_eq!(point.time_ns % 1_000_000, 0, "{point:?}");
                (
                    point.time_ns / 1_000_000,
                    positive_zero(special.unwrap_or(value)),
                )
            });
            samples.add(labels, values.filter(|(_, value)| value.is_finite()));
        }
        samples
    }

    /// Adds the finite samples of a matrix, as Prometheus' API returns one.
    pub fn add_matrix(&mut self, matrix: &Value) {
        for series in matrix.as_array().expect("a matrix is an array") {
            let labels = series["metric"].as_object().expect("series have labels");
            let labels = labels.iter();
            let labels: Labels = labels
                .map(|(name, value)| (name.clone(), text(value).to_owned()))
                .collect();
            let values = series["values"].as_array().expect("series have samples");
            let values = values.iter().map(|pair| {
                let seconds = pair[0].as_f64().expect("samples have times");
                let value: f64 = text(&pair[1]).parse().expect("samples have values");
                ((seconds * 1000.0).round() as i64, positive_zero(value))
            });
            self.add(labels, values.filter(|(_, value)| value.is_finite()));
        }
    }

    fn add(&mut self, labels: Labels, values: impl Iterator<Item = (i64, f64)>) {
        let mut values = values.peekable();
        if values.peek().is_none() {
            return;
        }
        let series = self.0.entry(labels).or_default();
        for (time_ms, value) in values {
            let earlier = series.insert(time_ms, value.to_bits());
            assert_eq!(earlier, None, "two samples of one series at {time_ms}");
        }
    }

    /// Removes the samples after this time.
    pub fn end_at(&mut self, end_ms: i64) {
        for values in self.0.values_mut() {
            values.retain(|time_ms, _| *time_ms <= end_ms);
        }
    }

    /// Returns the number of samples.
    pub fn count(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }
}

/// Returns the value, a zero without its sign: Timestream does not accept the negative one, and
/// responses of remote read lose it.
fn positive_zero(value: f64) -> f64 {
    if value == 0.0 { 0.0 } else { value }
}

fn bits(hexadecimal: &str) -> u64 {
    u64::from_str_radix(hexadecimal, 16).expect("16 hexadecimal digits")
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

/// Difference between the stored samples and the sent ones.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Sent, but not stored.
    pub missing: usize,
    /// Stored with another value.
    pub different: usize,
    /// Stored, but never sent.
    pub invented: usize,
    /// A few of them in words.
    pub examples: Vec<String>,
}

impl Difference {
    /// Returns true if there is none.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }

    fn example(&mut self, what: &str, labels: &Labels, time_ms: i64) {
        if self.examples.len() < 5 {
            self.examples
                .push(format!("{what}: {labels:?} at {time_ms}"));
        }
    }
}

/// Compares sample by sample.
pub fn compare(sent: &Samples, stored: &Samples) -> Difference {
    let mut difference = Difference::default();
    let none = BTreeMap::new();
    for (labels, samples) in &sent.0 {
        let counterpart = stored.0.get(labels).unwrap_or(&none);
        for (time_ms, value) in samples {
            match counterpart.get(time_ms) {
                Some(stored) if stored == value => {}
                Some(_) => {
                    difference.different += 1;
                    difference.example("different", labels, *time_ms);
                }
                None => {
                    difference.missing += 1;
                    difference.example("missing", labels, *time_ms);
                }
            }
        }
    }
    for (labels, samples) in &stored.0 {
        let counterpart = sent.0.get(labels).unwrap_or(&none);
        for time_ms in samples.keys() {
            if !counterpart.contains_key(time_ms) {
                difference.invented += 1;
                difference.example("never sent", labels, *time_ms);
            }
        }
    }
    difference
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn samples(values: Value) -> Samples {
        let mut samples = Samples::default();
        samples.add_matrix(&json!([{ "metric": { "__name__": "m" }, "values": values }]));
        samples
    }

    #[test]
    fn every_kind_of_difference_is_found() {
        let sent = samples(json!([[1.001, "1"], [2, "2"], [3, "NaN"], [4, "-0"]]));
        assert_eq!(sent.count(), 3);
        assert!(compare(&sent, &samples(json!([[1.001, "1"], [2, "2"], [4, "0"]]))).is_none());
        let stored = samples(json!([[1.002, "1"], [2, "2.5"], [4, "0"]]));
        let difference = compare(&sent, &stored);
        let counts = (
            difference.missing,
            difference.different,
            difference.invented,
        );
        assert_eq!(counts, (1, 1, 1), "{difference:?}");
        assert_eq!(difference.examples.len(), 3);
    }
}
