//! A storage in memory.

mod chunk;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use prom_model::{FloatHistogram, HistogramError, Labels, STALE_MARKER_BITS, Sample};

use self::chunk::Chunk;
use crate::storage::{Selection, StartTimestamps, Storage, StoredSeries};
use crate::text::quote;
use crate::value::{HistogramSample, SampleValue};

/// A storage in memory, for tests and for small amounts of samples.
///
/// It returns what Prometheus' database would: series in the order of their first samples, and histograms with the
/// hints about resets of that database. A histogram has [`Unknown`](prom_model::ResetHint::Unknown) if it is the first
/// of its series or follows a reset, a float, a stale marker, or a histogram of another schema, zero threshold or list
/// of custom boundaries; [`NotReset`](prom_model::ResetHint::NotReset) otherwise; and
/// [`Gauge`](prom_model::ResetHint::Gauge) as appended. Unlike in that database, neither size nor time make a
/// difference.
///
/// ```
/// use prom_model::{Label, Labels};
/// use promql::{Engine, EngineOptions, MemoryStorage, SampleValue, Value};
///
/// let labels = Labels::new(vec![Label { name: "__name__".to_owned(), value: "up".to_owned() }]);
/// let mut storage = MemoryStorage::default();
/// storage.append(&labels, 0, SampleValue::Float(1.0))?;
/// storage.append(&labels, 15_000, SampleValue::Float(0.0))?;
/// assert!(storage.append(&labels, 10_000, SampleValue::Float(1.0)).is_err());
///
/// let outcome = Engine::new(EngineOptions::default()).instant("up", 20_000)?.run(&storage)?;
/// let Ok(Value::Vector(vector)) = outcome.value else { unreachable!() };
/// assert!(matches!(vector[0].value, SampleValue::Float(0.0)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStorage {
    series: Vec<MemorySeries>,
    places: HashMap<Arc<Labels>, usize>,
}

/// The reason for which a sample is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The series has a newer sample.
    #[error(
        "the sample of {series} at {timestamp_ms} ms is older than the newest one, at {newest_ms} ms; append samples \
         in the order of their times"
    )]
    OutOfOrder {
        /// The labels.
        series: String,
        /// The time of the sample.
        timestamp_ms: i64,
        /// The time of the newest sample.
        newest_ms: i64,
    },
    /// The series has a sample with another value at the same time.
    #[error(
        "{series} has a sample with another value at {timestamp_ms} ms; append one sample for each time"
    )]
    Duplicate {
        /// The labels.
        series: String,
        /// The time of both.
        timestamp_ms: i64,
    },
    /// The histogram breaks a rule.
    #[error("the histogram of {series} at {timestamp_ms} ms is invalid: {error}")]
    Histogram {
        /// The labels.
        series: String,
        /// The time of the sample.
        timestamp_ms: i64,
        /// The rule.
        error: HistogramError,
    },
}

impl MemoryStorage {
    /// Appends a sample to the series with these labels. It has to be newer than the samples that the series has; one
    /// that is equal to the newest changes nothing. A stale marker after a histogram becomes one of histograms.
    ///
    /// # Errors
    /// The sample is not newer, or it is an invalid histogram.
    pub fn append(
        &mut self,
        labels: &Labels,
        timestamp_ms: i64,
        value: SampleValue,
    ) -> Result<(), AppendError> {
        self.append_with_start(labels, 0, timestamp_ms, value)
    }

    /// Appends a sample of a counter that began at `start_ms`; 0 if that is unknown.
    ///
    /// # Errors
    /// As for [`append`](Self::append).
    pub fn append_with_start(
        &mut self,
        labels: &Labels,
        start_ms: i64,
        timestamp_ms: i64,
        value: SampleValue,
    ) -> Result<(), AppendError> {
        if let SampleValue::Histogram(histogram) = &value {
            let checked = histogram.to_histogram(timestamp_ms).validate();
            checked.map_err(|error| AppendError::Histogram {
                series: text(labels),
                timestamp_ms,
                error,
            })?;
        }
        let place = match self.places.get(labels) {
            Some(&place) => place,
            None => {
                let labels = Arc::new(labels.clone());
                self.places.insert(Arc::clone(&labels), self.series.len());
                self.series.push(MemorySeries::new(labels));
                self.series.len() - 1
            }
        };
        self.series[place].append(start_ms, timestamp_ms, value)
    }
}

impl Storage for MemoryStorage {
    type Error = Infallible;

    fn select(&self, selection: &Selection) -> Result<Vec<StoredSeries>, Infallible> {
        let range = selection.time_range_ms();
        let matches = |series: &&MemorySeries| {
            selection.matchers.iter().all(|matcher| {
                let value = matcher.name.as_str().map(|name| series.labels.get(name));
                matcher.matches(value.unwrap_or(""))
            })
        };
        let selected = self.series.iter().filter(matches);
        Ok(selected.filter_map(|series| series.select(range)).collect())
    }
}

/// A series with all its samples.
#[derive(Clone, Debug)]
struct MemorySeries {
    labels: Arc<Labels>,
    floats: Vec<Sample>,
    histograms: Vec<HistogramSample>,
    starts: StartTimestamps,
    /// The chunks of histograms, in the order of their times.
    chunks: Vec<Chunk>,
    newest: Option<Newest>,
}

/// The newest sample of a series: the last of the floats, or the last of the histograms.
#[derive(Clone, Copy, Debug)]
enum Newest {
    Float,
    Histogram,
}

impl MemorySeries {
    fn new(labels: Arc<Labels>) -> Self {
        Self {
            labels,
            floats: Vec::new(),
            histograms: Vec::new(),
            starts: StartTimestamps::default(),
            chunks: Vec::new(),
            newest: None,
        }
    }

    fn append(
        &mut self,
        start_ms: i64,
        timestamp_ms: i64,
        value: SampleValue,
    ) -> Result<(), AppendError> {
        if let Some((newest_ms, newest)) = self.newest() {
            if timestamp_ms < newest_ms {
                return Err(AppendError::OutOfOrder {
                    series: text(&self.labels),
                    timestamp_ms,
                    newest_ms,
                });
            }
            if timestamp_ms == newest_ms {
                return match is_equal(&newest, &value) {
                    true => Ok(()),
                    false => Err(AppendError::Duplicate {
                        series: text(&self.labels),
                        timestamp_ms,
                    }),
                };
            }
        }
        match value {
            SampleValue::Float(value) => match self.newest {
                Some(Newest::Histogram) if value.to_bits() == STALE_MARKER_BITS => {
                    self.push_histogram(start_ms, timestamp_ms, &stale_histogram());
                }
                _ => self.push_float(start_ms, timestamp_ms, value),
            },
            SampleValue::Histogram(histogram) => {
                self.push_histogram(start_ms, timestamp_ms, &histogram);
            }
        }
        Ok(())
    }

    /// Returns the newest sample with its time.
    fn newest(&self) -> Option<(i64, SampleValue)> {
        match self.newest? {
            Newest::Float => {
                let sample = self.floats.last()?;
                Some((sample.timestamp_ms, SampleValue::Float(sample.value)))
            }
            Newest::Histogram => {
                let sample = self.histograms.last()?;
                let histogram = Arc::clone(&sample.histogram);
                Some((sample.timestamp_ms, SampleValue::Histogram(histogram)))
            }
        }
    }

    fn push_float(&mut self, start_ms: i64, timestamp_ms: i64, value: f64) {
        self.floats.push(Sample {
            timestamp_ms,
            value,
        });
        self.starts.floats.push(start_ms);
        self.newest = Some(Newest::Float);
    }

    fn push_histogram(&mut self, start_ms: i64, timestamp_ms: i64, histogram: &FloatHistogram) {
        let chunk = match self.newest {
            Some(Newest::Histogram) => self.chunks.last_mut(),
            // A float ends the chunk.
            _ => None,
        };
        let hint = match chunk.and_then(|chunk| chunk.push(histogram)) {
            Some(hint) => hint,
            None => {
                let chunk = Chunk::new(histogram, self.histograms.len());
                let hint = chunk.first_hint();
                self.chunks.push(chunk);
                hint
            }
        };
        let mut histogram = histogram.clone();
        histogram.set_reset_hint(hint);
        self.histograms.push(HistogramSample {
            timestamp_ms,
            histogram: Arc::new(histogram),
        });
        self.starts.histograms.push(start_ms);
        self.newest = Some(Newest::Histogram);
    }

    /// Returns the samples after the first time, up to the last one; `None` if there are none.
    fn select(&self, (after, last): (i64, i64)) -> Option<StoredSeries> {
        let floats = self.floats.partition_point(|it| it.timestamp_ms <= after)
            ..self.floats.partition_point(|it| it.timestamp_ms <= last);
        let first = self
            .histograms
            .partition_point(|it| it.timestamp_ms <= after);
        let end = self
            .histograms
            .partition_point(|it| it.timestamp_ms <= last);
        if floats.is_empty() && first >= end {
            return None;
        }
        let histograms = self.widened(first, end);
        let starts = StartTimestamps {
            floats: self.starts.floats[floats.clone()].to_vec(),
            histograms: self.starts.histograms[first..first + histograms.len()].to_vec(),
        };
        let mut known = starts.floats.iter().chain(&starts.histograms);
        Some(StoredSeries {
            labels: Arc::clone(&self.labels),
            floats: self.floats[floats].to_vec(),
            histograms,
            starts: known.any(|&start| start != 0).then(|| Box::new(starts)),
        })
    }

    /// Returns histograms with all buckets of their chunks.
    fn widened(&self, first: usize, end: usize) -> Vec<HistogramSample> {
        let mut chunk = self.chunks.partition_point(|it| it.start <= first);
        let mut histograms = Vec::new();
        for place in first..end {
            if self.chunks.get(chunk).is_some_and(|it| it.start <= place) {
                chunk += 1;
            }
            let sample = &self.histograms[place];
            histograms.push(HistogramSample {
                timestamp_ms: sample.timestamp_ms,
                histogram: self.chunks[chunk - 1].widened(&sample.histogram),
            });
        }
        histograms
    }
}

fn is_equal(a: &SampleValue, b: &SampleValue) -> bool {
    match (a, b) {
        (SampleValue::Float(a), SampleValue::Float(b)) => a.to_bits() == b.to_bits(),
        (SampleValue::Histogram(a), SampleValue::Histogram(b)) => a.equals(b),
        _ => false,
    }
}

fn stale_histogram() -> FloatHistogram {
    let marker = prom_model::Histogram {
        sum: f64::from_bits(STALE_MARKER_BITS),
        count: Some(prom_model::Count::Float(0.0)),
        ..prom_model::Histogram::default()
    };
    FloatHistogram::try_from(&marker).expect("a stale marker has no layout")
}

/// Returns the labels as Prometheus writes them.
fn text(labels: &Labels) -> String {
    let pairs = labels
        .iter()
        .map(|label| format!("{}={}", label.name, quote(label.value.as_bytes())));
    format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Engine, EngineOptions, Value};
    use prom_model::{Buckets, Count, Histogram, Label, ResetHint, Span};

    const STALE: f64 = f64::from_bits(STALE_MARKER_BITS);

    fn labels(name: &str) -> Labels {
        Labels::new(vec![Label {
            name: "__name__".to_owned(),
            value: name.to_owned(),
        }])
    }

    /// Returns a histogram with buckets from an index on.
    fn histogram(offset: i32, counts: &[f64]) -> FloatHistogram {
        FloatHistogram::try_from(&Histogram {
            count: Some(Count::Float(counts.iter().sum())),
            positive: Buckets {
                spans: vec![Span {
                    offset,
                    length: counts.len() as u32,
                }],
                deltas: vec![],
                counts: counts.to_vec(),
            },
            ..Histogram::default()
        })
        .unwrap()
    }

    fn with_hint(mut histogram: FloatHistogram, hint: ResetHint) -> SampleValue {
        histogram.set_reset_hint(hint);
        SampleValue::Histogram(Arc::new(histogram))
    }

    fn counter(offset: i32, counts: &[f64]) -> SampleValue {
        with_hint(histogram(offset, counts), ResetHint::Unknown)
    }

    fn gauge(offset: i32, counts: &[f64]) -> SampleValue {
        with_hint(histogram(offset, counts), ResetHint::Gauge)
    }

    /// Stores samples at 0, 1, 2 and so on; returns what a query finds in the last milliseconds.
    fn found(samples: Vec<SampleValue>, milliseconds: usize) -> Vec<StoredSeries> {
        let mut storage = MemoryStorage::default();
        let count = samples.len();
        for (time, value) in samples.into_iter().enumerate() {
            storage.append(&labels("m"), time as i64, value).unwrap();
        }
        let query = format!("m[{milliseconds}ms]");
        let query = Engine::new(EngineOptions::default()).instant(&query, count as i64 - 1);
        let Ok(series) = storage.select(&query.unwrap().selections()[0]);
        series
    }

    /// Returns the hints and the numbers of buckets of the histograms that a query finds.
    fn hints(samples: Vec<SampleValue>) -> Vec<(ResetHint, usize)> {
        let count = samples.len();
        let histograms = found(samples, count).remove(0).histograms.into_iter();
        histograms
            .map(|it| {
                (
                    it.histogram.reset_hint(),
                    it.histogram.positive_buckets().len(),
                )
            })
            .collect()
    }

    #[test]
    fn histograms_without_a_reset_between_them_share_a_chunk() {
        use ResetHint::{NotReset, Unknown};
        let float = || SampleValue::Float(1.0);
        for (samples, expected) in [
            (
                vec![counter(0, &[1.0]), counter(0, &[1.0]), counter(0, &[2.0])],
                vec![Unknown, NotReset, NotReset],
            ),
            (
                vec![counter(0, &[2.0]), counter(0, &[1.0])],
                vec![Unknown; 2],
            ),
            // A bucket fell, though not the count.
            (
                vec![counter(0, &[2.0, 1.0]), counter(0, &[1.0, 4.0])],
                vec![Unknown; 2],
            ),
            (
                vec![counter(0, &[2.0, 1.0]), counter(1, &[4.0])],
                vec![Unknown; 2],
            ),
            // An empty bucket may disappear.
            (
                vec![counter(0, &[0.0, 1.0]), counter(1, &[1.0])],
                vec![Unknown, NotReset],
            ),
            (
                vec![counter(0, &[1.0]), float(), counter(0, &[1.0])],
                vec![Unknown; 2],
            ),
            (
                vec![
                    counter(0, &[1.0]),
                    with_hint(histogram(0, &[1.0]), ResetHint::Reset),
                    with_hint(histogram(0, &[2.0]), ResetHint::NotReset),
                ],
                vec![Unknown, Unknown, NotReset],
            ),
            (
                vec![
                    counter(0, &[1.0]),
                    SampleValue::Float(STALE),
                    SampleValue::Float(STALE),
                    counter(0, &[1.0]),
                ],
                vec![Unknown; 4],
            ),
        ] {
            let hints: Vec<_> = hints(samples).into_iter().map(|it| it.0).collect();
            assert_eq!(hints, expected);
        }
    }

    #[test]
    fn other_layouts_start_a_chunk() {
        let changed = |change: fn(&mut Histogram)| {
            let mut plain = histogram(0, &[1.0]).to_histogram(0);
            change(&mut plain);
            with_hint(
                FloatHistogram::try_from(&plain).unwrap(),
                ResetHint::Unknown,
            )
        };
        let custom = |bound: f64| {
            let mut plain = histogram(0, &[1.0]).to_histogram(0);
            (plain.schema, plain.custom_values) = (-53, vec![bound]);
            plain.zero_count = None;
            with_hint(
                FloatHistogram::try_from(&plain).unwrap(),
                ResetHint::Unknown,
            )
        };
        for (first, second, hint) in [
            (
                counter(0, &[1.0]),
                changed(|it| it.schema = 1),
                ResetHint::Unknown,
            ),
            (
                counter(0, &[1.0]),
                changed(|it| it.zero_threshold = 0.5),
                ResetHint::Unknown,
            ),
            (
                changed(|it| it.zero_count = Some(Count::Float(1.0))),
                counter(0, &[1.0]),
                ResetHint::Unknown,
            ),
            (counter(0, &[1.0]), custom(1.0), ResetHint::Unknown),
            (custom(1.0), custom(2.0), ResetHint::Unknown),
            (custom(1.0), custom(1.0), ResetHint::NotReset),
            (counter(0, &[1.0]), gauge(0, &[1.0]), ResetHint::Gauge),
            (gauge(0, &[1.0]), counter(0, &[1.0]), ResetHint::Unknown),
            (gauge(0, &[2.0]), gauge(0, &[1.0]), ResetHint::Gauge),
        ] {
            assert_eq!(hints(vec![first, second])[1].0, hint);
        }
    }

    #[test]
    fn histograms_of_a_chunk_have_the_buckets_of_all() {
        let samples = vec![
            counter(2, &[1.0]),
            counter(0, &[1.0, 0.0, 1.0]),
            counter(0, &[1.0, 0.0, 1.0, 0.0, 0.0, 5.0]),
            // Starts a chunk.
            counter(2, &[1.0]),
            gauge(7, &[1.0]),
            gauge(1, &[1.0]),
        ];
        let buckets: Vec<_> = hints(samples.clone()).into_iter().map(|it| it.1).collect();
        assert_eq!(buckets, [6, 6, 6, 1, 2, 2]);
        // A query for a part of the chunk finds the same.
        let series = found(samples, 4).remove(0);
        let texts: Vec<_> = series
            .histograms
            .iter()
            .map(|it| it.histogram.to_string())
            .collect();
        assert_eq!(
            texts,
            [
                "{count:7, sum:0, (0.5,1]:1, (2,4]:1, (16,32]:5}",
                "{count:1, sum:0, (2,4]:1}",
                "{count:1, sum:0, (64,128]:1}",
                "{count:1, sum:0, (1,2]:1}",
            ]
        );
        let wide = &series.histograms[2].histogram;
        let bounds: Vec<_> = wide
            .positive_buckets()
            .map(|it| (it.upper, it.count))
            .collect();
        assert_eq!(bounds, [(2.0, 0.0), (128.0, 1.0)]);
    }

    #[test]
    fn samples_are_appended_in_the_order_of_their_times() {
        let mut storage = MemoryStorage::default();
        let m = labels("m");
        for (time, value, error) in [
            (10, SampleValue::Float(1.0), None),
            (10, SampleValue::Float(1.0), None),
            (
                10,
                SampleValue::Float(2.0),
                Some("{__name__=\"m\"} has a sample with another value at 10 ms"),
            ),
            (
                10,
                counter(0, &[1.0]),
                Some("{__name__=\"m\"} has a sample with another value at 10 ms"),
            ),
            (
                9,
                SampleValue::Float(1.0),
                Some(
                    "the sample of {__name__=\"m\"} at 9 ms is older than the newest one, at 10 ms",
                ),
            ),
            (11, counter(0, &[1.0]), None),
            (11, counter(0, &[1.0]), None),
            (
                11,
                counter(0, &[2.0]),
                Some("{__name__=\"m\"} has a sample with another value at 11 ms"),
            ),
            (
                12,
                counter(0, &[-1.0]),
                Some("the histogram of {__name__=\"m\"} at 12 ms is invalid"),
            ),
        ] {
            let result = storage
                .append(&m, time, value)
                .map_err(|error| error.to_string());
            match (result, error) {
                (Ok(()), None) => {}
                (Err(text), Some(error)) => assert!(text.starts_with(error), "{text}"),
                (result, error) => panic!("{result:?} {error:?}"),
            }
        }
        let [series] = storage.series.as_slice() else {
            panic!("{storage:?}");
        };
        assert_eq!((series.floats.len(), series.histograms.len()), (1, 1));
    }

    #[test]
    fn series_are_selected_by_labels_and_times_in_the_order_of_their_creation() {
        let mut storage = MemoryStorage::default();
        for name in ["c", "a", "b"] {
            for time in 0..5 {
                storage
                    .append_with_start(&labels(name), 0, time, SampleValue::Float(time as f64))
                    .unwrap();
            }
        }
        storage
            .append_with_start(&labels("a"), 3, 5, SampleValue::Float(0.0))
            .unwrap();
        let select = |query: &str, time| {
            let query = Engine::new(EngineOptions::default())
                .instant(query, time)
                .unwrap();
            let Ok(series) = storage.select(&query.selections()[0]);
            series
        };
        let series = select("{__name__=~\"a|c\",job=\"\"}[2ms]", 3);
        let found: Vec<_> = series
            .iter()
            .map(|it| {
                let times: Vec<_> = it.floats.iter().map(|it| it.timestamp_ms).collect();
                (it.labels.get("__name__"), times, it.starts.is_some())
            })
            .collect();
        assert_eq!(found, [("c", vec![2, 3], false), ("a", vec![2, 3], false)]);
        let starts = select("a[2ms]", 5).remove(0).starts.unwrap();
        assert_eq!(
            (starts.floats.as_slice(), starts.histograms.len()),
            (&[0, 3][..], 0)
        );
        assert!(select("a[2ms]", 100).is_empty());
        assert!(select("{__name__=\"a\",job=\"x\"}", 3).is_empty());
    }

    #[test]
    fn a_query_runs_over_it() {
        let mut storage = MemoryStorage::default();
        storage.append(&labels("m"), 0, counter(0, &[4.0])).unwrap();
        let query = Engine::new(EngineOptions::default())
            .instant("m", 1000)
            .unwrap();
        let Ok(outcome) = query.run(&storage);
        let Ok(Value::Vector(vector)) = outcome.value else {
            panic!("{outcome:?}");
        };
        assert!(matches!(&vector[0].value, SampleValue::Histogram(it) if it.count() == 4.0));
    }
}
