//! The samples of a series between two times: counted, decoded, cut and joined.

use std::cmp::Ordering;
use std::sync::Arc;

use prom_model::{Histogram, Label, Labels, Sample};
use prom_wire::chunk::{Chunk, Encoder, MAX_SAMPLES};
use prom_wire::response::Series;

use super::Span;

/// A series of a block.
#[derive(Debug)]
pub struct CachedSeries {
    /// Shared by all blocks of a selection.
    pub(in crate::query) labels: Arc<Labels>,
    pub(in crate::query) chunks: Box<[Chunk]>,
    pub(in crate::query) histograms: Box<[Histogram]>,
}

/// The samples of a series, in the order of time.
#[derive(Clone, Copy, Debug)]
pub(in crate::query) struct Samples<'s> {
    chunks: &'s [Chunk],
    histograms: &'s [Histogram],
}

impl<'s> From<&'s Series> for Samples<'s> {
    fn from(series: &'s Series) -> Self {
        Self {
            chunks: &series.chunks,
            histograms: &series.histograms,
        }
    }
}

impl<'s> From<&'s CachedSeries> for Samples<'s> {
    fn from(series: &'s CachedSeries) -> Self {
        Self {
            chunks: &series.chunks,
            histograms: &series.histograms,
        }
    }
}

impl<'s> Samples<'s> {
    /// Returns the chunks that can have samples in a span.
    fn chunks_in(self, span: Span) -> &'s [Chunk] {
        let from = self
            .chunks
            .partition_point(|it| it.max_time_ms < span.first_ms);
        let to = self
            .chunks
            .partition_point(|it| it.min_time_ms <= span.last_ms);
        self.chunks.get(from..to).unwrap_or_default()
    }

    /// Returns the floats in a span.
    pub(in crate::query) fn floats_in(self, span: Span) -> impl Iterator<Item = Sample> {
        let samples = self.chunks_in(span).iter().flat_map(Chunk::samples);
        samples.filter(move |sample| span.contains(sample.timestamp_ms))
    }

    /// Returns the native histograms in a span.
    pub(in crate::query) fn histograms_in(self, span: Span) -> &'s [Histogram] {
        let before = |time_ms: i64| {
            self.histograms
                .partition_point(|it| it.timestamp_ms < time_ms)
        };
        let (from, to) = (
            before(span.first_ms),
            before(span.last_ms.saturating_add(1)),
        );
        self.histograms.get(from..to).unwrap_or_default()
    }

    /// Returns the number of floats in a span.
    pub(in crate::query) fn count_floats_in(self, span: Span) -> usize {
        let chunks = self.chunks_in(span).iter();
        let counts = chunks.map(|chunk| match span.contains_all(chunk) {
            true => chunk.len(),
            false => {
                let samples = chunk.samples();
                samples.filter(|it| span.contains(it.timestamp_ms)).count()
            }
        });
        counts.sum()
    }

    /// Returns the encoded bytes of what overlaps a span.
    pub(in crate::query) fn bytes_in(self, span: Span) -> usize {
        let chunks = self.chunks_in(span).iter().map(|chunk| chunk.data.len());
        let histograms = self.histograms_in(span).iter().map(Histogram::bytes);
        chunks.sum::<usize>() + histograms.sum::<usize>()
    }
}

impl Span {
    fn contains_all(self, chunk: &Chunk) -> bool {
        self.contains(chunk.min_time_ms) && self.contains(chunk.max_time_ms)
    }
}

/// The labels of a series that becomes a cached one.
#[derive(Clone, Debug)]
pub(super) enum DraftLabels<'s> {
    Fetched(&'s Labels),
    Cached(Arc<Labels>),
}

impl DraftLabels<'_> {
    pub(super) fn get(&self) -> &Labels {
        match self {
            Self::Fetched(labels) => labels,
            Self::Cached(labels) => labels,
        }
    }

    /// Returns labels of their own.
    pub(super) fn into_shared(self) -> Arc<Labels> {
        match self {
            Self::Fetched(labels) => Arc::new(labels.clone()),
            Self::Cached(labels) => labels,
        }
    }
}

/// A series that becomes one of a block.
#[derive(Debug)]
pub(super) struct Draft<'s> {
    pub(super) labels: DraftLabels<'s>,
    pub(super) chunks: Box<[Chunk]>,
    pub(super) histograms: Box<[Histogram]>,
}

impl Draft<'_> {
    /// Returns the memory that the samples occupy.
    pub(super) fn bytes(&self) -> usize {
        let chunks = self.chunks.iter();
        let chunks = chunks.map(|it| size_of::<Chunk>() + allocated(it.data.len()));
        // Their lists are allocations of their own.
        let histograms = self.histograms.iter().map(|it| it.bytes() + 64);
        size_of::<CachedSeries>() + chunks.sum::<usize>() + histograms.sum::<usize>()
    }
}

/// Returns the memory that labels occupy, with their place in a map.
pub(super) fn labels_bytes(labels: &Labels) -> usize {
    /// Counts and length of the shared list, and twice the place in the map.
    const OVERHEAD: usize = 40 + 2 * 17;
    let texts = labels.iter();
    let texts = texts.map(|it| allocated(it.name.len()) + allocated(it.value.len()));
    OVERHEAD + labels.len() * size_of::<Label>() + texts.sum::<usize>()
}

/// Returns the memory that an allocator takes for so many bytes.
pub(super) fn allocated(bytes: usize) -> usize {
    bytes.next_multiple_of(16)
}

/// A span of time and the series that have samples in it, sorted by labels.
#[derive(Debug)]
pub(super) struct Source<'s> {
    pub(super) span: Span,
    pub(super) series: SourceSeries<'s>,
}

/// The series of a source.
#[derive(Clone, Copy, Debug)]
pub(super) enum SourceSeries<'s> {
    /// Those of a result that are listed by position.
    Fetched(&'s [Series], &'s [u32]),
    Cached(&'s [CachedSeries]),
}

impl<'s> SourceSeries<'s> {
    fn get(self, index: usize) -> Option<(DraftLabels<'s>, Samples<'s>)> {
        match self {
            Self::Fetched(series, positions) => {
                let series = &series[*positions.get(index)? as usize];
                Some((DraftLabels::Fetched(&series.labels), series.into()))
            }
            Self::Cached(series) => {
                let series = series.get(index)?;
                Some((
                    DraftLabels::Cached(Arc::clone(&series.labels)),
                    series.into(),
                ))
            }
        }
    }
}

/// Calls `visit` with times of the samples of a series, so that each stretch between two times that has samples is
/// visited, and no more often than there are samples. `stretch` returns the number of the stretch of a time.
pub(super) fn visit_stretches(
    series: &Series,
    stretch: impl Fn(i64) -> i64,
    mut visit: impl FnMut(i64),
) {
    for chunk in &series.chunks {
        let (first, last) = (stretch(chunk.min_time_ms), stretch(chunk.max_time_ms));
        match usize::try_from(last.abs_diff(first)) {
            Ok(others) if others < chunk.len() => {
                (first.min(last)..=first.max(last)).for_each(&mut visit)
            }
            // Few samples that are far apart.
            _ => chunk
                .samples()
                .for_each(|it| visit(stretch(it.timestamp_ms))),
        }
    }
    for histogram in &series.histograms {
        visit(stretch(histogram.timestamp_ms));
    }
}

/// Joins the samples of sources, whose spans follow one another. Series without samples there are dropped.
pub(super) fn join<'s>(sources: &[Source<'s>]) -> Vec<Draft<'s>> {
    let mut next = vec![0; sources.len()];
    let mut drafts = Vec::new();
    loop {
        let heads = sources.iter().zip(&next);
        let heads = heads.map(|(source, index)| source.series.get(*index));
        let heads: Vec<Option<(DraftLabels<'s>, Samples<'s>)>> = heads.collect();
        let labels = heads.iter().flatten().map(|(labels, _)| labels);
        let first = labels.min_by(|a, b| match a.get().cmp(b.get()) {
            // Labels that are shared already come first.
            Ordering::Equal => {
                matches!(a, DraftLabels::Fetched(_)).cmp(&matches!(b, DraftLabels::Fetched(_)))
            }
            order => order,
        });
        let Some(first) = first.cloned() else {
            return drafts;
        };
        let mut writer = ChunkWriter::default();
        let mut histograms = Vec::new();
        for ((source, head), next) in sources.iter().zip(&heads).zip(&mut next) {
            if let Some((labels, samples)) = head
                && labels.get() == first.get()
            {
                writer.add(*samples, source.span);
                histograms.extend_from_slice(samples.histograms_in(source.span));
                *next += 1;
            }
        }
        let chunks = writer.finish();
        if !chunks.is_empty() || !histograms.is_empty() {
            drafts.push(Draft {
                labels: first,
                chunks,
                histograms: histograms.into(),
            });
        }
    }
}

/// Writes samples in the order of time to full chunks. Full ones are copied as they are.
#[derive(Default)]
struct ChunkWriter {
    chunks: Vec<Chunk>,
    open: Encoder,
}

impl ChunkWriter {
    fn add(&mut self, samples: Samples<'_>, span: Span) {
        for chunk in samples.chunks_in(span) {
            self.close_if_full();
            if self.open.is_empty() && chunk.len() == MAX_SAMPLES && span.contains_all(chunk) {
                self.chunks.push(chunk.clone());
                continue;
            }
            let samples = chunk.samples();
            for sample in samples.filter(|it| span.contains(it.timestamp_ms)) {
                self.close_if_full();
                self.open.push(sample);
            }
        }
    }

    fn close_if_full(&mut self) {
        if self.open.len() == MAX_SAMPLES {
            self.chunks.extend(self.open.take());
        }
    }

    fn finish(mut self) -> Box<[Chunk]> {
        self.chunks.extend(self.open.take());
        self.chunks.into()
    }
}
