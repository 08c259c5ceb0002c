//! A write request as it was received, from any protocol. Its strings are borrowed and its series are ranges of two
//! flat lists, so that a request of thousands of series costs a handful of allocations.
//!
//! The series of a request have few distinct labels, each very often, so each distinct label is held once.

mod arena;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use hashbrown::HashMap;
use prom_model::visible::{escaped, truncate};
use prom_model::{Histogram, MetricType, Sample};

pub use arena::StringArena;

/// Name and value of a label, as received.
pub type Label<'a> = (&'a str, &'a str);

/// The bytes of the name and the value of a label, at least one of which is not UTF-8.
type BrokenLabel<'a> = (&'a [u8], &'a [u8]);

/// The number of a distinct label of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LabelId(u32);

/// A write request.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// Each distinct label once.
    known: Vec<Label<'a>>,
    ids: HashMap<Label<'a>, LabelId>,
    /// The labels that are not UTF-8; `known` has empty strings in their places.
    broken: HashMap<LabelId, BrokenLabel<'a>>,
    labels: Vec<LabelId>,
    datapoints: Vec<Datapoint<'a>>,
    /// The ends of each series in the two lists.
    ends: Vec<(u32, u32)>,
    /// Positions of unreadable series, ascending, and the reasons.
    unreadable: Vec<(usize, Unreadable<'a>)>,
    /// The entries of metadata about metric families.
    pub metadata: Vec<Metadata<'a>>,
    /// The reason for each entry of metadata that cannot be read.
    pub unreadable_metadata: Vec<Unreadable<'a>>,
}

/// The future of a series in [`Request::filter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays as it is.
    Stay,
    /// It stays without the labels of this number.
    StayWithout(LabelId),
    /// It leaves the request.
    Leave,
}

/// A float sample, a native histogram or an exemplar of a series. Most are samples, so the others are boxed.
#[derive(Clone, Debug, PartialEq)]
pub enum Datapoint<'a> {
    /// A float sample.
    Sample(Sample),
    /// A native histogram.
    Histogram(Box<Histogram>),
    /// An exemplar.
    Exemplar(Box<Exemplar<'a>>),
}

/// The number of datapoints of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindCounts {
    /// Float samples.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
}

impl KindCounts {
    /// Counts `datapoints` by their kind.
    pub fn of(datapoints: &[Datapoint<'_>]) -> Self {
        let mut kinds = Self::default();
        for datapoint in datapoints {
            match datapoint {
                Datapoint::Sample(_) => kinds.samples += 1,
                Datapoint::Histogram(_) => kinds.histograms += 1,
                Datapoint::Exemplar(_) => kinds.exemplars += 1,
            }
        }
        kinds
    }

    /// Returns the number of all of them.
    pub fn total(self) -> u64 {
        self.samples + self.histograms + self.exemplars
    }
}

impl std::ops::AddAssign for KindCounts {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.histograms += other.histograms;
        self.exemplars += other.exemplars;
    }
}

impl std::ops::SubAssign for KindCounts {
    fn sub_assign(&mut self, other: Self) {
        self.samples -= other.samples;
        self.histograms -= other.histograms;
        self.exemplars -= other.exemplars;
    }
}

/// An observation that stands for many, usually with the trace that caused it.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// Its own labels, in the order received and not validated, or the reason that makes the exemplar, but not its
    /// series, unreadable.
    pub labels: Result<Vec<Label<'a>>, Unreadable<'a>>,
    /// Milliseconds since the Unix epoch; 0 if the sender gave none.
    pub timestamp_ms: i64,
    /// The value; compared and copied by its bits.
    pub value: f64,
}

/// Metadata about a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Name of the family.
    pub metric_name: &'a str,
    /// Its type.
    pub metric_type: MetricType,
    /// The help string; may be empty.
    pub help: &'a str,
    /// Its unit; may be empty.
    pub unit: &'a str,
    /// Position of the series that has it; `None` if it is an entry by itself.
    pub series: Option<usize>,
}

/// The reason that makes a series, an exemplar or an entry of metadata unreadable: it refers to missing symbols, or one
/// of its strings is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable<'a> {
    /// Labels are pairs of references, and one half is missing.
    OddReferences {
        /// The number of references.
        count: usize,
    },
    /// A reference is beyond the symbols.
    UnknownReference {
        /// The reference.
        reference: u32,
        /// The number of symbols.
        symbols: usize,
    },
    /// The name or the value of a label is not UTF-8.
    Label {
        /// The bytes of the name.
        name: &'a [u8],
        /// The bytes of the value.
        value: &'a [u8],
    },
    /// A string of an entry of metadata is not UTF-8.
    Metadata {
        /// The name of the string.
        what: &'static str,
        /// Its bytes.
        text: &'a [u8],
    },
    /// The labels are those of a series that was unreadable before, for example in an earlier request.
    Other {
        /// The reason that was given then.
        message: &'a str,
    },
}

/// One series of a request.
#[derive(Clone, Copy, Debug)]
pub struct Series<'r, 'a> {
    /// The labels, in the order received and not validated.
    pub labels: Labels<'r, 'a>,
    /// Its datapoints, in the order received.
    pub datapoints: &'r [Datapoint<'a>],
    /// The range of these datapoints, by which the rest of a program refers to them.
    pub range: DatapointRange,
    /// The reason that makes the series unreadable, if it is: then the labels are for display only.
    pub unreadable: Option<&'r Unreadable<'a>>,
}

/// The labels of a series. They display as `{a="1", b="2"}`, truncated to a readable length.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'r, 'a> {
    ids: &'r [LabelId],
    known: &'r [Label<'a>],
    broken: &'r HashMap<LabelId, BrokenLabel<'a>>,
}

impl LabelId {
    /// Returns its position among the distinct labels of the request.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl<'r, 'a> Labels<'r, 'a> {
    /// Iterates in the order received. A label that is not UTF-8 has an empty name and value here.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Label<'a>> + Clone + use<'r, 'a> {
        self.ids.iter().map(move |id| self.known[id.index()])
    }

    /// Returns the value of the first label of this name.
    pub fn get(self, name: &str) -> Option<&'a str> {
        let mut labels = self.iter();
        labels.find_map(|label| (label.0 == name).then_some(label.1))
    }

    /// Iterates over the numbers of the labels in the request, in the order received.
    pub fn ids(self) -> impl ExactSizeIterator<Item = LabelId> + use<'r> {
        self.ids.iter().copied()
    }

    /// Returns the label of this number in the request.
    pub fn label(self, id: LabelId) -> Label<'a> {
        self.known[id.index()]
    }

    /// Iterates in the order received, with replacement characters for bytes that are not UTF-8: for display.
    pub fn iter_lossy(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'r, 'a> {
        self.iter_lossy_up_to(usize::MAX)
    }

    /// Iterates like [`Self::iter_lossy`], and reads little more than `bytes` bytes of a string that is not UTF-8.
    fn iter_lossy_up_to(
        self,
        bytes: usize,
    ) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'r, 'a> {
        let lossy = move |text: &'a [u8]| {
            let end = text.len().min(bytes.saturating_add(1));
            String::from_utf8_lossy(&text[..end])
        };
        self.ids.iter().map(move |id| match self.broken.get(id) {
            Some((name, value)) => (lossy(name), lossy(value)),
            None => {
                let (name, value) = self.known[id.index()];
                (Cow::Borrowed(name), Cow::Borrowed(value))
            }
        })
    }
}

/// Consecutive datapoints of one series of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatapointRange {
    series: u32,
    /// Position among the datapoints of the whole request.
    first: u32,
    count: u32,
}

impl DatapointRange {
    /// Returns the datapoints at `range`, counted through the whole request, of the series at `series`.
    fn new(series: usize, range: Range<usize>) -> Self {
        Self {
            series: to_u32(series),
            first: to_u32(range.start),
            count: to_u32(range.len()),
        }
    }

    /// Returns the range of an entry of metadata, which belongs to no series, by its position.
    pub fn single(position: usize) -> Self {
        Self::new(0, position..position + 1)
    }

    /// Iterates over the datapoints, each as a range of one.
    pub fn iter(self) -> impl Iterator<Item = Self> {
        (self.first..self.first + self.count).map(move |first| Self {
            first,
            count: 1,
            ..self
        })
    }

    /// Returns the position of their series in the request.
    pub fn series(self) -> usize {
        self.series as usize
    }

    /// Returns the position of the first one among the datapoints of the whole request.
    pub fn position(self) -> usize {
        self.first as usize
    }

    /// Returns the number of datapoints.
    pub fn count(self) -> u64 {
        u64::from(self.count)
    }
}

impl<'a> Request<'a> {
    /// Returns an empty request with capacity for `series` series of a sample each.
    pub fn with_capacity(series: usize) -> Self {
        Self {
            datapoints: Vec::with_capacity(series),
            ends: Vec::with_capacity(series),
            ..Self::default()
        }
    }

    /// Adds a label to the series that is being built; returns its number, which holds for the whole request.
    pub fn push_label(&mut self, name: &'a str, value: &'a str) -> LabelId {
        let next = LabelId(to_u32(self.known.len()));
        let id = *self.ids.entry((name, value)).or_insert(next);
        if id == next {
            self.known.push((name, value));
        }
        self.labels.push(id);
        id
    }

    /// Adds a label whose name or value may be owned to the series that is being built; returns its number. Owned
    /// strings are moved to `arena` only if the request does not have the label, so a label that occurs often costs
    /// a look-up each time.
    ///
    /// A name of many labels is best stored by itself ([`StringArena::store`]) and passed as borrowed.
    pub fn push_label_in(
        &mut self,
        arena: &'a StringArena,
        name: Cow<'a, str>,
        value: Cow<'a, str>,
    ) -> LabelId {
        // With keys of a shorter lifetime, so that an owned label can be looked up.
        let ids: &HashMap<Label<'_>, LabelId> = &self.ids;
        match ids.get(&(&*name, &*value)) {
            Some(&id) => {
                self.labels.push(id);
                id
            }
            None => self.push_label(arena.store(name), arena.store(value)),
        }
    }

    /// Adds a label whose name or value is not UTF-8 to the series that is being built. Every series that has it is
    /// unreadable.
    pub fn push_broken_label(&mut self, name: &'a [u8], value: &'a [u8]) -> LabelId {
        let id = LabelId(to_u32(self.known.len()));
        self.known.push(("", ""));
        self.broken.insert(id, (name, value));
        self.labels.push(id);
        id
    }

    /// Adds a label that the request already has to the series that is being built.
    #[inline]
    pub fn push_known_label(&mut self, id: LabelId) {
        self.labels.push(id);
    }

    /// Adds labels that the request already has to the series that is being built.
    #[inline]
    pub fn push_known_labels(&mut self, ids: impl IntoIterator<Item = LabelId>) {
        self.labels.extend(ids);
    }

    /// Returns the label of this number. One that is not UTF-8 has an empty name and value here.
    pub fn label(&self, id: LabelId) -> Label<'a> {
        self.known[id.index()]
    }

    /// Iterates over the distinct labels with their numbers.
    pub fn labels(&self) -> impl ExactSizeIterator<Item = (LabelId, Label<'a>)> {
        let numbered = self.known.iter().enumerate();
        numbered.map(|(index, label)| (LabelId(to_u32(index)), *label))
    }

    /// Returns the number of distinct labels.
    pub fn distinct_labels(&self) -> usize {
        self.known.len()
    }

    /// Returns the number of labels of all series together.
    pub fn label_count(&self) -> usize {
        self.labels.len()
    }

    /// Adds a sample to the series that is being built.
    #[inline]
    pub fn push_sample(&mut self, sample: Sample) {
        self.push_datapoint(Datapoint::Sample(sample));
    }

    /// Adds a datapoint to the series that is being built.
    #[inline]
    pub fn push_datapoint(&mut self, datapoint: Datapoint<'a>) {
        self.datapoints.push(datapoint);
    }

    /// Ends the series that is being built; returns true if all its labels can be read.
    #[inline]
    pub fn end_series(&mut self) -> bool {
        let broken = self.broken_label();
        if let Some(reason) = broken {
            self.unreadable.push((self.len(), reason));
        }
        self.ends
            .push((to_u32(self.labels.len()), to_u32(self.datapoints.len())));
        broken.is_none()
    }

    /// Ends the series that is being built and makes it unreadable.
    pub fn end_unreadable_series(&mut self, reason: Unreadable<'a>) {
        self.unreadable.push((self.len(), reason));
        self.ends
            .push((to_u32(self.labels.len()), to_u32(self.datapoints.len())));
    }

    /// Returns the first label that is not UTF-8 of the series that is being built.
    #[inline]
    fn broken_label(&self) -> Option<Unreadable<'a>> {
        if self.broken.is_empty() {
            return None;
        }
        let start = self.ends.last().map_or(0, |end| end.0 as usize);
        let mut ids = self.labels[start..].iter();
        let &(name, value) = ids.find_map(|id| self.broken.get(id))?;
        Some(Unreadable::Label { name, value })
    }

    /// Removes series, and labels of others. The series at a position leaves with its metadata, and those after it
    /// move up; labels retain their numbers.
    ///
    /// Returns the number of datapoints that left.
    pub fn filter(&mut self, mut fate: impl FnMut(Series<'_, 'a>) -> Fate) -> KindCounts {
        let mut left = KindCounts::default();
        // The position of each series that stays, by that before.
        let mut moved: Option<Vec<Option<usize>>> = None;
        let (mut series, mut labels, mut datapoints) = (0, 0, 0);
        let mut start = (0, 0);
        let mut unreadable = std::mem::take(&mut self.unreadable).into_iter().peekable();
        for index in 0..self.ends.len() {
            let end = (self.ends[index].0 as usize, self.ends[index].1 as usize);
            let range = DatapointRange::new(index, start.1..end.1);
            let reason = unreadable.next_if(|it| it.0 == index).map(|it| it.1);
            let fate = fate(Series {
                labels: Labels {
                    ids: &self.labels[start.0..end.0],
                    known: &self.known,
                    broken: &self.broken,
                },
                datapoints: &self.datapoints[start.1..end.1],
                range,
                unreadable: reason.as_ref(),
            });
            if fate == Fate::Leave {
                left += KindCounts::of(&self.datapoints[start.1..end.1]);
                let stayed = || (0..index).map(Some).collect();
                moved.get_or_insert_with(stayed).push(None);
                start = end;
                continue;
            }
            for position in start.0..end.0 {
                if fate != Fate::StayWithout(self.labels[position]) {
                    self.labels[labels] = self.labels[position];
                    labels += 1;
                }
            }
            for position in start.1..end.1 {
                self.datapoints.swap(datapoints, position);
                datapoints += 1;
            }
            self.unreadable.extend(reason.map(|it| (series, it)));
            self.ends[series] = (to_u32(labels), to_u32(datapoints));
            if let Some(moved) = &mut moved {
                moved.push(Some(series));
            }
            series += 1;
            start = end;
        }
        self.labels.truncate(labels);
        self.datapoints.truncate(datapoints);
        self.ends.truncate(series);
        if let Some(moved) = moved {
            self.metadata.retain_mut(|entry| match entry.series {
                Some(before) => {
                    entry.series = moved[before];
                    entry.series.is_some()
                }
                None => true,
            });
        }
        left
    }

    /// Returns the number of series.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns true if there are no series.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the series at this position.
    ///
    /// # Panics
    /// There is no such series.
    pub fn series(&self, index: usize) -> Series<'_, 'a> {
        let start = match index.checked_sub(1) {
            Some(before) => self.ends[before],
            None => (0, 0),
        };
        let end = self.ends[index];
        let labels = start.0 as usize..end.0 as usize;
        let range = start.1 as usize..end.1 as usize;
        let unreadable = self.unreadable.binary_search_by_key(&index, |it| it.0);
        Series {
            labels: Labels {
                ids: &self.labels[labels],
                known: &self.known,
                broken: &self.broken,
            },
            datapoints: &self.datapoints[range.clone()],
            range: DatapointRange::new(index, range),
            unreadable: unreadable.ok().map(|found| &self.unreadable[found].1),
        }
    }

    /// Iterates over the series in the order received.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Series<'_, 'a>> {
        (0..self.len()).map(|index| self.series(index))
    }

    /// Returns the series of `range` with these datapoints alone.
    pub fn resolve(&self, range: DatapointRange) -> Series<'_, 'a> {
        let first = range.position();
        Series {
            datapoints: &self.datapoints[first..first + range.count as usize],
            range,
            ..self.series(range.series())
        }
    }

    /// Returns the number of datapoints of all series.
    pub fn count(&self) -> u64 {
        self.datapoints.len() as u64
    }

    /// Returns the number of datapoints of each kind of all series.
    pub fn kinds(&self) -> KindCounts {
        KindCounts::of(&self.datapoints)
    }
}

impl Datapoint<'_> {
    /// Returns its time, in milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> i64 {
        match self {
            Self::Sample(sample) => sample.timestamp_ms,
            Self::Histogram(histogram) => histogram.timestamp_ms,
            Self::Exemplar(exemplar) => exemplar.timestamp_ms,
        }
    }

    /// Returns its value, or the sum of a histogram.
    pub fn value(&self) -> f64 {
        match self {
            Self::Sample(sample) => sample.value,
            Self::Histogram(histogram) => histogram.sum,
            Self::Exemplar(exemplar) => exemplar.value,
        }
    }
}

impl fmt::Display for Unreadable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OddReferences { count } => write!(
                f,
                "{count} references do not make pairs of label name and value"
            ),
            Self::UnknownReference { reference, symbols } => write!(
                f,
                "reference {reference} leads beyond the {symbols} symbols of the request"
            ),
            Self::Label { name, value } => match str::from_utf8(name) {
                Ok(_) => {
                    let (name, value) = (Bytes(name), Bytes(value));
                    write!(f, "the value '{value}' of label '{name}' is not UTF-8")
                }
                Err(_) => write!(f, "the label name '{}' is not UTF-8", Bytes(name)),
            },
            Self::Metadata { what, text } => {
                write!(f, "the {what} '{}' is not UTF-8", Bytes(text))
            }
            Self::Other { message } => f.write_str(message),
        }
    }
}

/// Displays bytes that should be UTF-8 as `caf\xe9`, truncated to a readable length.
struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_BYTES: usize = 80;
        // The first invalid byte is the point of interest.
        let invalid = str::from_utf8(self.0).map_or_else(|error| error.valid_up_to(), |_| 0);
        // A valid character is not split, as it would look like an invalid one.
        let is_start = |at: &usize| self.0.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
        let start = invalid.saturating_sub(MAX_BYTES / 2);
        let start = (start..invalid).find(is_start).unwrap_or(invalid);
        let end = self.0.len().min(start + MAX_BYTES);
        let end = (end.saturating_sub(3)..=end).rfind(is_start).unwrap_or(end);
        if start > 0 {
            f.write_str("...")?;
        }
        for chunk in self.0[start..end].utf8_chunks() {
            for character in chunk.valid().chars() {
                write!(f, "{}", character.escape_debug())?;
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        if end < self.0.len() {
            f.write_str("...")?;
        }
        Ok(())
    }
}

impl fmt::Display for Labels<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_BYTES: usize = 300;
        const MAX_TEXT_BYTES: usize = 80;
        let mut text = String::from("{");
        for (index, (name, value)) in self.iter_lossy_up_to(MAX_TEXT_BYTES).enumerate() {
            if text.len() > MAX_BYTES {
                text.push_str(", ...");
                break;
            }
            let separator = if index == 0 { "" } else { ", " };
            text.push_str(separator);
            text.push_str(&escaped(&truncate(&name, MAX_TEXT_BYTES)));
            text.push_str(&format!("={:?}", truncate(&value, MAX_TEXT_BYTES)));
        }
        text.push('}');
        f.write_str(&text)
    }
}

/// Returns a position or a count within a request as `u32`.
///
/// # Panics
/// The number does not fit: no request has as many bytes.
pub fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("a request has less than 4 GiB")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn series_keep_their_labels_and_samples() {
        let sample = |timestamp_ms| Sample {
            timestamp_ms,
            value: 1.0,
        };
        let mut request = Request::default();
        request.push_label("__name__", "a");
        request.push_label("job", "j\n");
        request.push_sample(sample(1));
        request.push_sample(sample(2));
        request.end_series();
        request.end_series();
        request.push_label("__name__", "b");
        request.push_sample(sample(3));
        request.end_series();

        let seen: Vec<_> = request
            .iter()
            .map(|series| (series.labels.to_string(), series.datapoints.len()))
            .collect();
        let expected = [
            (r#"{__name__="a", job="j\n"}"#, 2),
            ("{}", 0),
            (r#"{__name__="b"}"#, 1),
        ];
        assert_eq!(
            seen,
            expected.map(|(labels, count)| (labels.to_owned(), count))
        );
        assert_eq!((request.len(), request.count()), (3, 3));

        let each: Vec<_> = request
            .iter()
            .flat_map(|series| series.range.iter())
            .map(|item| (item.position(), request.resolve(item)))
            .map(|(position, series)| {
                (
                    position,
                    series.datapoints[0].timestamp_ms(),
                    series.datapoints.len(),
                )
            })
            .collect();
        assert_eq!(each, [(0, 1, 1), (1, 2, 1), (2, 3, 1)]);
        assert_eq!(request.series(0).range.count(), 2);
    }

    #[test]
    fn a_distinct_label_is_held_once() {
        let mut request = Request::default();
        let job = request.push_label("job", "a");
        assert_ne!(request.push_label("job", "b"), job);
        request.end_series();
        assert_eq!(request.push_label("job", "a"), job);
        request.push_known_label(job);
        request.end_series();
        assert_eq!((request.distinct_labels(), request.label_count()), (2, 4));
        let labels: Vec<_> = request.iter().map(|it| it.labels.to_string()).collect();
        assert_eq!(labels, [r#"{job="a", job="b"}"#, r#"{job="a", job="a"}"#]);
    }

    /// A label, and which of its two strings are owned.
    fn labels() -> impl Strategy<Value = (String, String, bool, bool)> {
        ("[ab]{0,2}", "[ab]{0,2}", any::<bool>(), any::<bool>())
    }

    fn cow(text: &str, is_owned: bool) -> Cow<'_, str> {
        match is_owned {
            true => Cow::Owned(text.to_owned()),
            false => Cow::Borrowed(text),
        }
    }

    proptest! {
        #[test]
        fn a_request_of_owned_labels_equals_one_of_borrowed_labels(
            all in prop::collection::vec(prop::collection::vec(labels(), 0..6), 0..20),
        ) {
            let arena = StringArena::default();
            let (mut owned, mut borrowed) = (Request::default(), Request::default());
            for series in &all {
                for (name, value, name_is_owned, value_is_owned) in series {
                    let id = borrowed.push_label(name, value);
                    let (name, value) = (cow(name, *name_is_owned), cow(value, *value_is_owned));
                    prop_assert_eq!(owned.push_label_in(&arena, name, value), id);
                }
                prop_assert!(borrowed.end_series() && owned.end_series());
            }
            prop_assert_eq!(owned.distinct_labels(), borrowed.distinct_labels());
            prop_assert_eq!(owned.label_count(), borrowed.label_count());
            prop_assert!(arena.len() <= 2 * owned.distinct_labels());
            for (owned, borrowed) in owned.iter().zip(borrowed.iter()) {
                prop_assert!(owned.labels.ids().eq(borrowed.labels.ids()));
                prop_assert!(owned.labels.iter().eq(borrowed.labels.iter()));
                prop_assert_eq!(owned.labels.to_string(), borrowed.labels.to_string());
                prop_assert!(owned.labels.iter_lossy().eq(borrowed.labels.iter_lossy()));
            }
            // Equal labels have one number, however they came.
            let labels: Vec<_> = all.iter().flatten().map(|it| (it.0.as_str(), it.1.as_str())).collect();
            for (name, value) in labels {
                let id = borrowed.push_label(name, value);
                prop_assert_eq!(owned.push_label(name, value), id);
            }
        }
    }

    /// Returns all that a request says about its series, and its metadata.
    fn content<'r>(
        request: &'r Request<'static>,
    ) -> (
        Vec<(String, &'r [Datapoint<'static>], Option<String>)>,
        &'r [Metadata<'static>],
    ) {
        let series = request.iter().map(|it| {
            assert_eq!(request.resolve(it.range).datapoints, it.datapoints);
            let reason = it.unreadable.map(ToString::to_string);
            (it.labels.to_string(), it.datapoints, reason)
        });
        (series.collect(), &request.metadata)
    }

    #[test]
    fn the_rest_of_a_filtered_request_is_as_if_it_had_been_received_alone() {
        // Series of 0 to 3 samples; each with three labels, one of which is the same for all.
        let build = |chosen: &[usize], with_odd_label: bool| {
            let mut request = Request::default();
            for &index in chosen {
                let name = ["a", "b", "c", "d", "e", "f"][index];
                request.push_label("__name__", name);
                if with_odd_label || index % 2 == 0 {
                    request.push_label("replica", "0");
                }
                request.push_label("job", "j");
                for at in 0..index % 4 {
                    request.push_sample(Sample {
                        timestamp_ms: (10 * index + at) as i64,
                        value: 1.0,
                    });
                }
                let series = Some(request.len());
                match index {
                    4 => request.end_unreadable_series(Unreadable::OddReferences { count: 1 }),
                    _ => assert!(request.end_series()),
                }
                let metric_type = MetricType::Counter;
                request.metadata.push(Metadata {
                    metric_name: name,
                    metric_type,
                    help: "",
                    unit: "",
                    series,
                });
            }
            request.metadata.push(Metadata {
                series: None,
                ..request.metadata[0]
            });
            request
        };
        for chosen in 0_u32..64 {
            let stays = |index: usize| chosen & (1 << index) != 0;
            let mut filtered = build(&[0, 1, 2, 3, 4, 5], true);
            let replica = filtered.push_label("replica", "0");
            filtered.labels.pop();
            let left = filtered.filter(|series| match series.range.series() {
                index if !stays(index) => Fate::Leave,
                index if index % 2 == 1 => Fate::StayWithout(replica),
                _ => Fate::Stay,
            });
            let expected: Vec<_> = (0..6).filter(|it| stays(*it)).collect();
            let removed = (0..6).filter(|it| !stays(*it)).map(|it| it as u64 % 4);
            assert_eq!(left.samples, removed.sum::<u64>());
            let mut expected = match expected.is_empty() {
                true => Request::default(),
                false => build(&expected, false),
            };
            // The entry of no series is that of the whole request.
            expected.metadata.truncate(expected.len());
            expected.metadata.extend(filtered.metadata.last().copied());
            assert_eq!(content(&filtered), content(&expected), "{chosen:b}");
            assert_eq!(filtered.count(), expected.count());
        }
    }

    #[test]
    fn a_label_that_is_not_utf8_makes_each_of_its_series_unreadable() {
        let mut request = Request::default();
        request.push_label("", "");
        assert!(request.end_series());
        let broken = request.push_broken_label(b"l", b"caf\xe9");
        request.push_label("a", "1");
        assert!(!request.end_series());
        // It is another one than the empty one that stands in its place.
        request.push_label("", "");
        assert!(request.end_series());
        request.push_known_label(broken);
        request.end_unreadable_series(Unreadable::OddReferences { count: 1 });
        request.push_known_label(broken);
        assert!(!request.end_series());

        let broken = Unreadable::Label {
            name: b"l",
            value: b"caf\xe9",
        };
        let odd = Unreadable::OddReferences { count: 1 };
        let unreadable: Vec<_> = request.iter().map(|it| it.unreadable.copied()).collect();
        assert_eq!(
            unreadable,
            [None, Some(broken), None, Some(odd), Some(broken)]
        );
        let series = request.series(1);
        assert!(series.labels.iter().eq([("", ""), ("a", "1")]));
        assert_eq!(series.labels.to_string(), "{l=\"caf\u{fffd}\", a=\"1\"}");
        assert!(broken.to_string().contains("value 'caf\\xe9' of label 'l'"));
    }

    #[test]
    fn the_first_byte_that_is_not_utf8_is_displayed() {
        let text = |bytes: &[u8]| Bytes(bytes).to_string();
        assert_eq!(text("a\n'ü'\u{200b}".as_bytes()), "a\\n\\'ü\\'\\u{200b}");
        assert_eq!(text(b"\xed\xa0\x80x\xff"), "\\xed\\xa0\\x80x\\xff");
        let long = "ü".repeat(1_000);
        let shown = text(&[b"a", long.as_bytes(), b"\xff", long.as_bytes()].concat());
        let around = "ü".repeat(20);
        assert!(shown.starts_with(&format!("...{around}\\xffü")), "{shown}");
        assert!(shown.ends_with("ü...") && shown.len() < 100, "{shown}");
        assert!(text(&[0x80; 1_000]).len() < 400);
    }

    #[test]
    fn hidden_characters_of_labels_are_escaped() {
        let mut request = Request::default();
        request.push_label("b\u{1b}]0;x\u{202e}\n", "\u{202e}");
        request.end_series();
        let shown = request.series(0).labels.to_string();
        assert_eq!(shown, "{b\\u001b]0;x\\u202e\\u000a=\"\\u{202e}\"}");
    }

    #[test]
    fn long_labels_are_truncated() {
        let value = "ü".repeat(60);
        let mut request = Request::default();
        for _ in 0..20 {
            request.push_label("name", &value);
        }
        request.end_series();
        let text = request.series(0).labels.to_string();
        assert!(text.len() < 600 && text.ends_with(", ...}"), "{text}");
    }
}
