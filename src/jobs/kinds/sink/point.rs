//! Samples for the endpoint, and their order.

use std::sync::Arc;

use prom_model::{Label, Labels, Sample};
use prom_wire::prompb;

/// One sample or native histogram of a series.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Point {
    /// The labels of its series, the metric name among them.
    pub(super) labels: Arc<Labels>,
    pub(super) content: Content,
}

/// The content of a series at a time.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Content {
    Float(Sample),
    Histogram(Arc<prompb::Histogram>),
}

impl Point {
    /// Milliseconds since the Unix epoch.
    pub(super) fn timestamp_ms(&self) -> i64 {
        match &self.content {
            Content::Float(sample) => sample.timestamp_ms,
            Content::Histogram(histogram) => histogram.timestamp,
        }
    }

    /// Returns the bytes of memory that a sample with these labels occupies at most.
    pub(super) fn memory(&self) -> usize {
        // Two allocations a label, and the vector of labels may be twice as large as needed.
        let label =
            |label: &Label| 2 * size_of::<Label>() + 2 * 24 + label.name.len() + label.value.len();
        2 * size_of::<Self>() + 64 + self.labels.iter().map(label).sum::<usize>()
    }

    /// Returns true if it belongs to the same series.
    pub(super) fn is_same_series(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.labels, &other.labels) || self.labels == other.labels
    }

    /// Returns true if it has the same content for the same series and time.
    fn repeats(&self, other: &Self) -> bool {
        self.is_same_series(other)
            && match (&self.content, &other.content) {
                (Content::Float(a), Content::Float(b)) => {
                    a.timestamp_ms == b.timestamp_ms && a.value.to_bits() == b.value.to_bits()
                }
                (Content::Histogram(a), Content::Histogram(b)) => a == b,
                _ => false,
            }
    }
}

/// Sorts by series and time, removes samples that repeat the one before, and returns their number.
pub(super) fn arrange(points: &mut Vec<Point>) -> u64 {
    let before = points.len();
    points.sort_by(|a, b| {
        let labels = match Arc::ptr_eq(&a.labels, &b.labels) {
            true => std::cmp::Ordering::Equal,
            false => a.labels.cmp(&b.labels),
        };
        labels.then_with(|| a.timestamp_ms().cmp(&b.timestamp_ms()))
    });
    points.dedup_by(|later, first| later.repeats(first));
    (before - points.len()) as u64
}

/// Returns the arranged points by series.
pub(super) fn by_series(points: &[Point]) -> impl Iterator<Item = &[Point]> {
    points.chunk_by(Point::is_same_series)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A sample of the metric `name` with the label `x`.
    pub(crate) fn point(name: &str, x: &str, timestamp_ms: i64, value: f64) -> Point {
        let label = |name: &str, value: &str| Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        Point {
            labels: Arc::new(Labels::new(vec![label("x", x), label("__name__", name)])),
            content: Content::Float(Sample {
                timestamp_ms,
                value,
            }),
        }
    }

    #[test]
    fn series_together_times_ascending_repetitions_once() {
        let nan = f64::NAN;
        let mut points = vec![
            point("b", "1", 2, 1.0),
            point("a", "2", 3, nan),
            point("a", "1", 5, 1.0),
            point("b", "1", 1, 1.0),
            point("a", "2", 3, nan),
            point("a", "1", 5, 2.0),
            point("b", "1", 2, 1.0),
        ];
        assert_eq!(arrange(&mut points), 2);
        let seen: Vec<Vec<_>> = by_series(&points)
            .map(|series| series.iter().map(Point::timestamp_ms).collect())
            .collect();
        // The receiver decides between two values of one time.
        assert_eq!(seen, [vec![5, 5], vec![3], vec![1, 2]]);
    }
}
