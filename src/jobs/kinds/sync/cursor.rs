//! Cursors: the progress of each metric, and the start of the next run.

use std::hash::{DefaultHasher, Hash, Hasher};

use prom_model::visible::truncate;
use serde::{Deserialize, Serialize};

use super::config::Start;
use super::response::Series;
use super::target;
use super::window::Window;
use crate::jobs::job::{JobContext, RunError};

/// The key of an incomplete full refresh.
pub(super) const RUN_KEY: &str = "run";
/// The key of the progress of the incremental modes across metrics.
pub(super) const POSITION_KEY: &str = "position";

/// Maximum bytes of a metric's name that go into a key unchanged: a key of DynamoDB has up to 1,024 bytes.
const MAX_KEY_NAME_BYTES: usize = 1_000;

/// Start of a run, and the time that it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    /// Time of the start in milliseconds; the version of its records, if they have one.
    pub(super) at: i64,
    /// First millisecond to read of a metric without a cursor.
    pub(super) start: i64,
    /// Last millisecond to read.
    pub(super) end: i64,
}

/// The progress of the incremental modes across metrics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Every metric that had samples before this millisecond has a cursor, or is pending.
    pub(super) since: i64,
    /// The start that was configured.
    #[serde(default)]
    pub(super) configured: Option<Start>,
    /// Metrics that failed in the last run. They are read again even if the server no longer lists them.
    #[serde(default)]
    pub(super) pending: Vec<String>,
}

/// The progress of a metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The last run that read the metric, by its start.
    pub(super) run: i64,
    /// All samples up to this millisecond are stored.
    pub(super) through: i64,
    /// The end of the stored time, which is read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tail: Option<Tail>,
    /// The next window, if part of it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) partial: Option<Partial>,
    /// The longest windows, if the server rejected longer ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ceiling: Option<i64>,
}

/// The time before a cursor that the next run reads again, because samples may arrive late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tail {
    /// First millisecond; the tail ends at the cursor.
    pub(super) from: i64,
    /// Digest of its points, if one window had them all.
    digest: Option<u64>,
}

/// A partly stored window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Partial {
    pub(super) start: i64,
    pub(super) end: i64,
    /// The series and the time of the last stored point; all points before it, by labels and time, are stored.
    pub(super) series: Vec<(String, String)>,
    pub(super) time: i64,
    /// Digest of all points of the window: if they have changed, the position is not valid. Earlier versions saved none.
    #[serde(default)]
    pub(super) content: Option<u64>,
}

impl Partial {
    pub(super) fn is_of(&self, window: Window) -> bool {
        (self.start, self.end) == (window.start, window.end)
    }
}

impl Cursor {
    /// Returns a cursor that reads from `start` on.
    pub(super) fn at(start: i64) -> Self {
        Self {
            run: i64::MIN,
            through: start - 1,
            tail: None,
            partial: None,
            ceiling: None,
        }
    }

    /// Returns the first millisecond to read.
    pub(super) fn next(&self) -> i64 {
        self.tail.map_or(self.through + 1, |tail| tail.from)
    }

    /// Returns true if `series`, read from `from` to `end`, have the same points in the tail as when it was stored, so
    /// that they need not be stored again.
    pub(super) fn has_same_tail(&self, from: i64, end: i64, series: &[Series]) -> bool {
        self.tail.is_some_and(|tail| {
            let is_whole = from <= tail.from && self.through <= end;
            is_whole && tail.digest == Some(digest(series, tail.from, self.through))
        })
    }

    /// Advances the cursor after the points of `series`, read from `from` to `end`, are stored. The next run reads the
    /// last `lateness_ms` again.
    pub(super) fn advance(&mut self, from: i64, end: i64, series: &[Series], lateness_ms: i64) {
        let first = self.next();
        self.through = self.through.max(end);
        self.partial.take_if(|partial| partial.start <= end);
        let tail_from = (self.through + 1 - lateness_ms).max(first);
        self.tail = (lateness_ms > 0).then(|| Tail {
            from: tail_from,
            digest: (from <= tail_from && self.through <= end)
                .then(|| digest(series, tail_from, self.through)),
        });
    }
}

/// Returns a digest of the points from `from` to `end` that does not depend on the order of series.
pub(super) fn digest(series: &[Series], from: i64, end: i64) -> u64 {
    let is_inside = |time: i64| (from..=end).contains(&time);
    let mut sum = 0_u64;
    for series in series {
        let mut of_series = DefaultHasher::new();
        for label in series.labels.iter() {
            (&label.name, &label.value).hash(&mut of_series);
        }
        let samples = series
            .samples
            .iter()
            .filter(|it| is_inside(it.timestamp_ms));
        for sample in samples {
            let mut hasher = of_series.clone();
            (sample.timestamp_ms, sample.value.to_bits()).hash(&mut hasher);
            sum = sum.wrapping_add(hasher.finish());
        }
        let histograms = series.histograms.iter();
        for histogram in histograms.filter(|it| is_inside(it.timestamp_ms)) {
            let mut hasher = of_series.clone();
            format!("{histogram:?}").hash(&mut hasher);
            sum = sum.wrapping_add(hasher.finish());
        }
    }
    sum
}

/// Loads and saves cursors as JSON.
#[derive(Clone, Copy)]
pub(super) struct CursorStore<'r>(pub(super) &'r JobContext<'r>);

impl CursorStore<'_> {
    pub(super) async fn load<T: for<'de> Deserialize<'de>>(
        self,
        key: &str,
    ) -> Result<Option<T>, RunError> {
        match self.0.cursors.get(key).await? {
            Some(text) if !text.is_empty() => {
                let read = serde_json::from_str(&text);
                let unreadable = |error| {
                    format!(
                        "the cursor '{key}' cannot be read: {error}; delete and create the definition to start over"
                    )
                };
                read.map(Some)
                    .map_err(|error| RunError::Failed(unreadable(error)))
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn save<T: Serialize>(self, key: &str, value: &T) -> Result<(), RunError> {
        let text = serde_json::to_string(value).expect("strings and numbers are always valid JSON");
        Ok(self.0.cursors.set(key, &text).await?)
    }

    pub(super) async fn forget(self, key: &str) -> Result<(), RunError> {
        Ok(self.0.cursors.set(key, "").await?)
    }
}

/// Returns the key of the cursor of a metric.
pub(super) fn key(metric: &str) -> String {
    if metric.len() <= MAX_KEY_NAME_BYTES {
        return format!("metric {metric}");
    }
    let begin = truncate(metric, MAX_KEY_NAME_BYTES / 2);
    format!("metric {begin} {}", target::digest(metric))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prom_model::{Label, Labels, Sample};

    fn series(id: &str, points: &[(i64, f64)]) -> Series {
        let label = Label {
            name: "id".to_owned(),
            value: id.to_owned(),
        };
        let samples = points.iter().map(|(timestamp_ms, value)| Sample {
            timestamp_ms: *timestamp_ms,
            value: *value,
        });
        Series {
            labels: Labels::new(vec![label]),
            samples: samples.collect(),
            histograms: Vec::new(),
        }
    }

    #[test]
    fn the_tail_is_read_again_but_nothing_before_the_start() {
        let mut cursor = Cursor::at(1_000);
        assert_eq!(cursor.next(), 1_000);
        cursor.advance(1_000, 1_500, &[], 600);
        assert_eq!((cursor.through, cursor.next()), (1_500, 1_000));
        cursor.advance(1_501, 3_000, &[], 600);
        assert_eq!((cursor.through, cursor.next()), (3_000, 2_401));
        // The tail alone, without anything new.
        cursor.advance(2_401, 2_700, &[], 600);
        assert_eq!((cursor.through, cursor.next()), (3_000, 2_401));
        cursor.advance(3_001, 3_300, &[], 0);
        assert_eq!((cursor.through, cursor.next()), (3_300, 3_301));
    }

    #[test]
    fn a_tail_is_the_same_if_all_its_points_are() {
        let old = [
            series("a", &[(900, 1.0), (950, 2.0)]),
            series("b", &[(960, 3.0)]),
        ];
        let mut cursor = Cursor::at(0);
        cursor.advance(0, 1_000, &old, 100);
        assert_eq!(cursor.next(), 901);
        let is_same = |from: i64, end: i64, all: &[Series]| cursor.has_same_tail(from, end, all);
        // Points before it and after it do not matter, nor does the order of series.
        let more = [
            series("b", &[(960, 3.0), (1_001, 7.0)]),
            series("a", &[(899, 5.0), (950, 2.0)]),
        ];
        assert!(is_same(901, 1_100, &more));
        assert!(!is_same(902, 1_100, &more));
        assert!(!is_same(901, 999, &more));
        for other in [
            [series("a", &[(950, 2.0)]), series("b", &[])],
            [series("a", &[(950, 2.5)]), series("b", &[(960, 3.0)])],
            [series("a", &[(951, 2.0)]), series("b", &[(960, 3.0)])],
            [series("b", &[(950, 2.0)]), series("a", &[(960, 3.0)])],
            [
                series("a", &[(950, 2.0), (980, 1.0)]),
                series("b", &[(960, 3.0)]),
            ],
        ] {
            assert!(!is_same(901, 1_100, &other), "{other:?}");
        }
        // A tail that was read in two windows is not known as a whole.
        cursor.advance(951, 1_010, &[], 100);
        assert!(!cursor.has_same_tail(0, 1_100, &[]));
    }

    #[test]
    fn keys_are_short_whatever_the_name() {
        assert_eq!(key("up"), "metric up");
        let name = "a".repeat(1_000);
        assert_eq!(key(&name), format!("metric {name}"));
        let [one, other] = ["1", "2"].map(|end| key(&("ü".repeat(9_999) + end)));
        assert_ne!(one, other);
        assert!(one.len() < 1_000, "{}", one.len());
    }

    #[test]
    fn cursors_of_earlier_versions_are_read() {
        let cursor: Cursor = serde_json::from_str(r#"{"run":1,"through":5}"#).unwrap();
        assert_eq!((cursor.next(), cursor.tail), (6, None));
        let started = r#"{"at":3,"start":1,"end":3,"is_ready":true}"#;
        let started: Started = serde_json::from_str(started).unwrap();
        assert_eq!((started.start, started.end), (1, 3));
    }
}
