//! The interface to the samples: the selections that a query needs, and the series that a storage returns for them.

use std::collections::HashMap;
use std::sync::Arc;

use prom_model::{Labels, Sample};

use crate::ast::Matcher;
use crate::value::HistogramSample;

/// The samples that one selector of a query can touch.
///
/// The evaluation looks at the samples in the windows `(t - before_ms, t + after_ms]` for the times `t` = `first_ms`,
/// `first_ms + step_ms`, ... up to `last_ms`, and at no others. A storage may return more.
///
/// ```
/// use promql::{Engine, EngineOptions, WindowSamples};
///
/// let engine = Engine::new(EngineOptions::default());
/// let query = engine.range("sum by (job) (rate(m[5m] offset 1h))", 7_200_000, 10_800_000, 60_000)?;
/// let selection = &query.selections()[0];
/// assert_eq!((selection.first_ms, selection.last_ms, selection.step_ms), (3_600_000, 7_200_000, 60_000));
/// assert_eq!((selection.before_ms, selection.after_ms), (300_000, 0));
/// assert_eq!(selection.function, Some("rate"));
/// assert_eq!(selection.samples, WindowSamples::All);
/// # Ok::<(), promql::QueryError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selection {
    /// The conditions on the labels, all of which have to be fulfilled.
    pub matchers: Vec<Matcher>,
    /// The first time in milliseconds since the Unix epoch, offsets and `@` included.
    pub first_ms: i64,
    /// The last time, not before the first.
    pub last_ms: i64,
    /// The distance of the times, at least 1.
    pub step_ms: i64,
    /// The length of a window before its time, which is excluded itself.
    pub before_ms: i64,
    /// The length of a window after its time, which is included. 0 except for `smoothed`.
    pub after_ms: i64,
    /// The samples of each window that matter.
    pub samples: WindowSamples,
    /// The function or aggregation around the selector, if no operator is between; `None` if several selectors share
    /// the selection and differ in it.
    pub function: Option<&'static str>,
    /// The grouping of an aggregation directly around the selector; `None` as for the function.
    pub grouping: Option<Grouping>,
}

/// The samples of a window that an evaluation looks at.
///
/// ```
/// use promql::{Engine, EngineOptions, WindowSamples};
///
/// let engine = Engine::new(EngineOptions::default());
/// for (query, samples) in [
///     ("up", WindowSamples::Newest),
///     ("last_over_time(up[1h])", WindowSamples::NewestNotStale),
///     ("avg_over_time(up[1h])", WindowSamples::All),
/// ] {
///     assert_eq!(engine.instant(query, 0)?.selections()[0].samples, samples);
/// }
/// # Ok::<(), promql::QueryError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowSamples {
    /// All.
    All,
    /// The newest one, be it a stale marker or not.
    Newest,
    /// The newest one that is no stale marker.
    NewestNotStale,
}

/// The labels by which an aggregation groups.
///
/// ```
/// use promql::{Engine, EngineOptions, Grouping};
///
/// let query = Engine::new(EngineOptions::default()).instant("sum by (job) (up)", 0)?;
/// let grouping = Grouping { labels: vec!["job".to_owned()], without: false };
/// assert_eq!(query.selections()[0].grouping, Some(grouping));
/// # Ok::<(), promql::QueryError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grouping {
    /// The labels of `by` or `without`.
    pub labels: Vec<String>,
    /// True if the labels are those of `without`.
    pub without: bool,
}

impl Selection {
    /// Returns the time after which samples matter, and the last time at which they do.
    ///
    /// ```
    /// use promql::{Engine, EngineOptions};
    ///
    /// let query = Engine::new(EngineOptions::default()).instant("up", 1_000_000)?;
    /// assert_eq!(query.selections()[0].time_range_ms(), (700_000, 1_000_000));
    /// # Ok::<(), promql::QueryError>(())
    /// ```
    pub fn time_range_ms(&self) -> (i64, i64) {
        let after = self.first_ms.saturating_sub(self.before_ms);
        (after, self.last_ms.saturating_add(self.after_ms))
    }
}

/// A series as a storage returns it: floats and histograms, each in the order of their times. No time occurs twice.
/// Stale markers are samples like others.
///
/// ```
/// use prom_model::Sample;
/// use promql::StoredSeries;
///
/// let floats = vec![Sample { timestamp_ms: 0, value: 1.0 }];
/// let series = StoredSeries { floats, ..StoredSeries::default() };
/// assert!(series.labels.is_empty() && series.histograms.is_empty());
/// ```
#[derive(Clone, Debug, Default)]
pub struct StoredSeries {
    /// The labels.
    pub labels: Arc<Labels>,
    /// The floats.
    pub floats: Vec<Sample>,
    /// The native histograms.
    pub histograms: Vec<HistogramSample>,
    /// The times at which the counters began, if the storage has them.
    pub starts: Option<Box<StartTimestamps>>,
}

/// The times at which the counters of a series began, in milliseconds since the Unix epoch; 0 if unknown. As many as
/// the samples.
///
/// ```
/// use prom_model::Sample;
/// use promql::{StartTimestamps, StoredSeries};
///
/// let series = StoredSeries {
///     floats: vec![Sample { timestamp_ms: 60_000, value: 3.0 }],
///     starts: Some(Box::new(StartTimestamps { floats: vec![15_000], histograms: vec![] })),
///     ..StoredSeries::default()
/// };
/// assert_eq!(series.starts.unwrap().floats.len(), series.floats.len());
/// ```
#[derive(Clone, Debug, Default)]
pub struct StartTimestamps {
    /// Those of the floats.
    pub floats: Vec<i64>,
    /// Those of the native histograms.
    pub histograms: Vec<i64>,
}

/// A storage that returns series synchronously, see [`crate::Query::run`].
///
/// ```
/// use std::convert::Infallible;
/// use prom_model::Sample;
/// use promql::{Engine, EngineOptions, Selection, Storage, StoredSeries};
///
/// /// A storage whose only series has a sample at each time.
/// struct Clock;
///
/// impl Storage for Clock {
///     type Error = Infallible;
///
///     fn select(&self, selection: &Selection) -> Result<Vec<StoredSeries>, Infallible> {
///         let (_, timestamp_ms) = selection.time_range_ms();
///         let floats = vec![Sample { timestamp_ms, value: timestamp_ms as f64 }];
///         Ok(vec![StoredSeries { floats, ..StoredSeries::default() }])
///     }
/// }
///
/// let query = Engine::new(EngineOptions::default()).instant("clock offset 1m", 90_000)?;
/// let Ok(outcome) = query.run(&Clock);
/// assert!(format!("{:?}", outcome.value).contains("30000"));
/// # Ok::<(), promql::QueryError>(())
/// ```
pub trait Storage {
    /// The error of a selection.
    type Error;

    /// Returns the series that fulfil the conditions, each label set once. Their order is the order of results that
    /// have none of their own.
    ///
    /// # Errors
    /// The storage failed.
    fn select(&self, selection: &Selection) -> Result<Vec<StoredSeries>, Self::Error>;
}

/// The series that a storage returned for the selections of a query.
///
/// ```
/// use promql::{Engine, EngineOptions, Fetched, Progress};
///
/// let query = Engine::new(EngineOptions::default()).instant("up", 0)?;
/// let mut fetched = Fetched::default();
/// let Progress::Needs(missing) = query.evaluate(&fetched, &|| None) else { unreachable!() };
/// assert_eq!(missing, query.selections());
/// fetched.add(missing[0].clone(), vec![]);
/// assert!(matches!(query.evaluate(&fetched, &|| None), Progress::Done(_)));
/// # Ok::<(), promql::QueryError>(())
/// ```
#[derive(Debug, Default)]
pub struct Fetched {
    by_selection: HashMap<Selection, Vec<StoredSeries>>,
}

impl Fetched {
    /// Adds the series of a selection.
    pub fn add(&mut self, selection: Selection, series: Vec<StoredSeries>) {
        self.by_selection.insert(selection, series);
    }

    /// Returns the series of a selection, if they were added.
    pub(crate) fn get(&self, selection: &Selection) -> Option<&[StoredSeries]> {
        self.by_selection.get(selection).map(Vec::as_slice)
    }
}
