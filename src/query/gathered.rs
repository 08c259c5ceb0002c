//! The samples of a PromQL selection from several sources: cached ones, and results of queries.

use std::collections::HashMap;
use std::sync::Arc;

use prom_model::{FloatHistogram, Labels, ResetHint, Sample};
use promql::{HistogramSample, StoredSeries};

use super::cache::{CachedSeries, Samples, Span};
use super::result::QueryResult;
use crate::compute::ComputePool;
use crate::storage::read::rows::{RowError, Size};

/// Memory of a decoded native histogram beside its buckets.
pub(super) const HISTOGRAM_BYTES: usize =
    size_of::<FloatHistogram>() + size_of::<HistogramSample>();

/// More series than this take longer to be looked at than a thread that serves connections may be occupied.
const LONG_SERIES: usize = 2_000;

/// All samples of a span.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) span: Span,
    pub(super) series: PieceSeries,
}

/// The series of a piece, which may have samples outside of its span.
#[derive(Debug)]
pub(super) enum PieceSeries {
    Fetched(QueryResult),
    Cached(Arc<[CachedSeries]>),
}

impl PieceSeries {
    fn len(&self) -> usize {
        match self {
            Self::Fetched(series) => series.len(),
            Self::Cached(series) => series.len(),
        }
    }

    fn labels(&self, index: usize) -> &Labels {
        match self {
            Self::Fetched(series) => &series[index].labels,
            Self::Cached(series) => &series[index].labels,
        }
    }

    fn samples(&self, index: usize) -> Samples<'_> {
        match self {
            Self::Fetched(series) => (&series[index]).into(),
            Self::Cached(series) => (&series[index]).into(),
        }
    }
}

impl Piece {
    /// Returns what it adds to the size of a request.
    pub(super) fn size(&self) -> Size {
        let mut size = Size::default();
        for index in 0..self.series.len() {
            let samples = self.series.samples(index);
            let histograms = samples.histograms_in(self.span).len();
            let count = samples.count_floats_in(self.span) + histograms;
            if count > 0 {
                let bytes = self.series.labels(index).bytes() + samples.bytes_in(self.span);
                size += Size {
                    samples: count as u64,
                    bytes: bytes as u64,
                };
            }
        }
        size
    }
}

/// Returns whether looking at pieces takes longer than a thread that serves connections may be occupied.
pub(super) fn is_long<'p>(pieces: impl IntoIterator<Item = &'p Piece>) -> bool {
    let series = pieces.into_iter().map(|piece| piece.series.len());
    series.sum::<usize>() > LONG_SERIES
}

/// The series of all pieces of a selection, each once, sorted by labels.
#[derive(Debug)]
pub(super) struct Gathered {
    pieces: Vec<Piece>,
    /// Piece and place in it of the parts of each series, in the order of time.
    series: Vec<Vec<(u32, u32)>>,
    samples: u64,
    /// Memory that the series occupy when they are decoded.
    decoded_bytes: usize,
}

impl Gathered {
    /// Gathers pieces, whose spans follow one another.
    pub(super) async fn new(pieces: Vec<Piece>, compute: &ComputePool) -> Self {
        let is_long = is_long(&pieces);
        compute.run_if(is_long, || Self::of(pieces)).await
    }

    pub(super) fn of(pieces: Vec<Piece>) -> Self {
        let mut series: Vec<Vec<(u32, u32)>> = Vec::new();
        // Cached pieces share their labels, so most series are found without comparing texts.
        let mut by_address: HashMap<*const Labels, usize> = HashMap::new();
        let mut by_labels: HashMap<&Labels, usize> = HashMap::new();
        let (mut samples, mut decoded_bytes) = (0, 0);
        let is_one = pieces.len() == 1;
        for (at, piece) in pieces.iter().enumerate() {
            for index in 0..piece.series.len() {
                let part = piece.series.samples(index);
                let floats = part.count_floats_in(piece.span);
                let histograms = part.histograms_in(piece.span);
                if floats + histograms.len() == 0 {
                    continue;
                }
                samples += (floats + histograms.len()) as u64;
                // Counts of buckets are at most twice as large as floats.
                let histograms = histograms.iter();
                let histograms = histograms.map(|it| HISTOGRAM_BYTES + 2 * it.bytes());
                decoded_bytes += floats * size_of::<Sample>() + histograms.sum::<usize>();
                let labels = piece.series.labels(index);
                let place = match is_one {
                    true => series.len(),
                    false => *by_address
                        .entry(labels)
                        .or_insert_with(|| *by_labels.entry(labels).or_insert(series.len())),
                };
                if place == series.len() {
                    decoded_bytes += size_of::<StoredSeries>() + labels.bytes();
                    series.push(Vec::new());
                }
                series[place].push((at as u32, index as u32));
            }
        }
        let labels = |parts: &Vec<(u32, u32)>| {
            let (at, index) = parts[0];
            pieces[at as usize].series.labels(index as usize)
        };
        series.sort_by(|a, b| labels(a).cmp(labels(b)));
        Self {
            pieces,
            series,
            samples,
            decoded_bytes,
        }
    }

    /// Returns the number of series.
    pub(super) fn len(&self) -> usize {
        self.series.len()
    }

    /// Returns the number of samples and native histograms.
    pub(super) fn samples(&self) -> u64 {
        self.samples
    }

    /// Returns the memory that [`Self::decode`] takes.
    pub(super) fn decoded_bytes(&self) -> usize {
        self.decoded_bytes
    }

    /// Decodes all series.
    pub(super) fn decode(&self) -> Result<Vec<StoredSeries>, RowError> {
        self.series
            .iter()
            .map(|parts| self.decoded(parts))
            .collect()
    }

    fn decoded(&self, parts: &[(u32, u32)]) -> Result<StoredSeries, RowError> {
        let parts = || {
            parts
                .iter()
                .map(|(at, index)| (&self.pieces[*at as usize], *index as usize))
        };
        let shared = parts().find_map(|(piece, index)| match &piece.series {
            PieceSeries::Cached(series) => Some(Arc::clone(&series[index].labels)),
            PieceSeries::Fetched(_) => None,
        });
        let own = parts()
            .next()
            .map(|(piece, index)| piece.series.labels(index));
        let labels = shared.unwrap_or_else(|| Arc::new(own.cloned().unwrap_or_default()));
        let mut floats = Vec::with_capacity(
            parts()
                .map(|(piece, index)| piece.series.samples(index).count_floats_in(piece.span))
                .sum(),
        );
        let mut histograms = Vec::new();
        for (piece, index) in parts() {
            let samples = piece.series.samples(index);
            floats.extend(samples.floats_in(piece.span));
            for stored in samples.histograms_in(piece.span) {
                let histogram = FloatHistogram::try_from(stored);
                let mut histogram = histogram.map_err(|error| RowError::InvalidHistogram {
                    text: format!("{stored:?}"),
                    error,
                })?;
                // Any other hint is one of the sender. Prometheus' database finds the resets itself, so that no query
                // over it meets such a hint.
                if histogram.reset_hint() != ResetHint::Gauge {
                    histogram.set_reset_hint(ResetHint::Unknown);
                }
                histograms.push(HistogramSample {
                    timestamp_ms: stored.timestamp_ms,
                    histogram: Arc::new(histogram),
                });
            }
        }
        // At the time of a float, Prometheus has no histogram.
        histograms.retain(|histogram| {
            let time = |float: &Sample| float.timestamp_ms;
            let found = floats.binary_search_by_key(&histogram.timestamp_ms, time);
            found.is_err()
        });
        Ok(StoredSeries {
            labels,
            floats,
            histograms,
            starts: None,
        })
    }
}
