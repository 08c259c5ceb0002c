//! Cursors: how far each metric is stored, and from where the next run reads.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde::{Deserialize, Serialize};

use super::config::Start;
use super::response::Series;
use super::target;
use super::window::Window;
use crate::jobs::run::{Run, RunError};
use crate::received::cut;

/// The cursor of a full refresh that is not complete.
pub(super) const RUN_KEY: &str = "run";
/// The cursor of the incremental modes that is not of one metric.
pub(super) const POSITION_KEY: &str = "position";

/// Bytes of a metric's name that are part of a key as they are: a key of DynamoDB has 1,024 bytes.
const MAX_KEY_NAME_BYTES: usize = 1_000;

/// One run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Started {
    /// When it started, in milliseconds; the version of its records, where they have one.
    pub(super) at: i64,
    /// The first millisecond that it reads of a metric without a cursor.
    pub(super) start: i64,
    /// The last millisecond that it reads.
    pub(super) end: i64,
}

/// The progress of the incremental modes, as far as it is not the matter of one metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Every metric that had samples before this millisecond has a cursor, or is pending.
    pub(super) since: i64,
    /// The start that was configured.
    #[serde(default)]
    pub(super) configured: Option<Start>,
    /// Metrics that failed in the last run. They are read again even if no list names them any more.
    #[serde(default)]
    pub(super) pending: Vec<String>,
}

/// The progress of a metric.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// The last run that read the metric, by its start.
    pub(super) run: i64,
    /// All up to this millisecond is stored.
    pub(super) through: i64,
    /// The last stretch of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tail: Option<Tail>,
    /// The next window, if part of it is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) partial: Option<Partial>,
    /// The longest windows, if the server refused longer ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ceiling: Option<i64>,
}

/// The last stretch before a cursor, which the next run reads again: samples arrive late.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tail {
    /// Its first millisecond; it ends where the cursor is.
    pub(super) from: i64,
    /// Of the points that were found in it, if they were found in one window.
    digest: Option<u64>,
}

/// A window of which part is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Partial {
    pub(super) start: i64,
    pub(super) end: i64,
    /// The series and the time of the last point that is stored; what comes before it, by labels and
    /// time, is stored.
    pub(super) series: Vec<(String, String)>,
    pub(super) time: i64,
    /// The digest of all points that were found in the window: the place says something of the same ones
    /// only. Earlier versions saved none.
    #[serde(default)]
    pub(super) content: Option<u64>,
}

impl Partial {
    pub(super) fn is_of(&self, window: Window) -> bool {
        (self.start, self.end) == (window.start, window.end)
    }
}

impl Cursor {
    /// Returns the cursor of a metric of which nothing before `start` is wanted.
    pub(super) fn at(start: i64) -> Self {
        Self {
            run: i64::MIN,
            through: start - 1,
            tail: None,
            partial: None,
            ceiling: None,
        }
    }

    /// Returns the first millisecond that is read next.
    pub(super) fn next(&self) -> i64 {
        self.tail.map_or(self.through + 1, |tail| tail.from)
    }

    /// Returns whether `series`, found from `from` to `end`, has the same points in the last stretch as
    /// when that was stored, so that there is no need to store them again.
    pub(super) fn has_same_tail(&self, from: i64, end: i64, series: &[Series]) -> bool {
        self.tail.is_some_and(|tail| {
            let is_whole = from <= tail.from && self.through <= end;
            is_whole && tail.digest == Some(digest(series, tail.from, self.through))
        })
    }

    /// Notes that all points from `from` to `end`, those of `series`, are stored, and that the next run
    /// reads the last `lateness_ms` of what is stored again.
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

/// A number that stands for the points from `from` to `end`, in whatever order series are.
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

/// Cursors as JSON.
#[derive(Clone, Copy)]
pub(super) struct Saved<'r>(pub(super) &'r Run<'r>);

impl Saved<'_> {
    pub(super) async fn load<T: for<'de> Deserialize<'de>>(
        self,
        key: &str,
    ) -> Result<Option<T>, RunError> {
        match self.0.cursors.get(key).await? {
            Some(text) if !text.is_empty() => {
                let read = serde_json::from_str(&text);
                let unreadable = |error| format!("the cursor '{key}' cannot be read: {error}");
                read.map(Some)
                    .map_err(|error| RunError::Failed(unreadable(error)))
            }
            _ => Ok(None),
        }
    }

    pub(super) async fn save<T: Serialize>(self, key: &str, value: &T) -> Result<(), RunError> {
        let text = serde_json::to_string(value).expect("texts and numbers are always valid JSON");
        Ok(self.0.cursors.set(key, &text).await?)
    }

    pub(super) async fn forget(self, key: &str) -> Result<(), RunError> {
        Ok(self.0.cursors.set(key, "").await?)
    }
}

/// The key of the cursor of a metric.
pub(super) fn key(metric: &str) -> String {
    if metric.len() <= MAX_KEY_NAME_BYTES {
        return format!("metric {metric}");
    }
    let begin = cut(metric, MAX_KEY_NAME_BYTES / 2);
    format!("metric {begin} {}", target::digest(metric))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Label, Labels, Sample};

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
    fn the_last_stretch_is_read_again_but_nothing_before_the_start() {
        let mut cursor = Cursor::at(1_000);
        assert_eq!(cursor.next(), 1_000);
        cursor.advance(1_000, 1_500, &[], 600);
        assert_eq!((cursor.through, cursor.next()), (1_500, 1_000));
        cursor.advance(1_501, 3_000, &[], 600);
        assert_eq!((cursor.through, cursor.next()), (3_000, 2_401));
        // The stretch alone, without anything new.
        cursor.advance(2_401, 2_700, &[], 600);
        assert_eq!((cursor.through, cursor.next()), (3_000, 2_401));
        cursor.advance(3_001, 3_300, &[], 0);
        assert_eq!((cursor.through, cursor.next()), (3_300, 3_301));
    }

    #[test]
    fn a_stretch_is_the_same_if_all_its_points_are() {
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
        // Found in two windows, it is not known as a whole.
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
