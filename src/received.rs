//! A write request as it was received, whatever brought it: its texts borrowed, its series in two
//! flat lists, so that a request of thousands of series costs a handful of allocations.
//!
//! The series of a request have few different labels, each very often, so each different one is held
//! once.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use hashbrown::HashMap;

use crate::model::{Histogram, MetricType, Sample};

/// Name and value of a label, as received.
pub type Label<'a> = (&'a str, &'a str);

/// Which of the different labels of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LabelId(u32);

/// A write request.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// Each different label once.
    known: Vec<Label<'a>>,
    ids: HashMap<Label<'a>, LabelId>,
    labels: Vec<LabelId>,
    items: Vec<Item<'a>>,
    /// Where each series ends in the two lists.
    ends: Vec<(u32, u32)>,
    /// Positions of series that could not be read whole, ascending, and why.
    unreadable: Vec<(usize, BadReference)>,
    /// What is known about metric families.
    pub metadata: Vec<Metadata<'a>>,
}

/// What a series carries: samples, most of the time, so the others stand apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Item<'a> {
    /// A float sample.
    Sample(Sample),
    /// A native histogram.
    Histogram(Box<Histogram>),
    /// An exemplar.
    Exemplar(Box<Exemplar<'a>>),
}

/// How many items of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kinds {
    /// Float samples.
    pub samples: u64,
    /// Native histograms.
    pub histograms: u64,
    /// Exemplars.
    pub exemplars: u64,
}

impl Kinds {
    /// How many of each are among `items`.
    pub fn of(items: &[Item<'_>]) -> Self {
        let mut kinds = Self::default();
        for item in items {
            match item {
                Item::Sample(_) => kinds.samples += 1,
                Item::Histogram(_) => kinds.histograms += 1,
                Item::Exemplar(_) => kinds.exemplars += 1,
            }
        }
        kinds
    }
}

impl std::ops::AddAssign for Kinds {
    fn add_assign(&mut self, other: Self) {
        self.samples += other.samples;
        self.histograms += other.histograms;
        self.exemplars += other.exemplars;
    }
}

impl std::ops::SubAssign for Kinds {
    fn sub_assign(&mut self, other: Self) {
        self.samples -= other.samples;
        self.histograms -= other.histograms;
        self.exemplars -= other.exemplars;
    }
}

/// One observation that stands for many, usually with the trace that made it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exemplar<'a> {
    /// Its own labels, in the order received; nothing about them has been checked.
    pub labels: Vec<Label<'a>>,
    /// Milliseconds since the Unix epoch; 0 if the sender gave none.
    pub timestamp_ms: i64,
    /// The value; compared and copied by its bits.
    pub value: f64,
}

/// What a sender knows about a metric family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata<'a> {
    /// Name of the family.
    pub metric_name: &'a str,
    /// Its type.
    pub metric_type: MetricType,
    /// What it means; may be empty.
    pub help: &'a str,
    /// Its unit; may be empty.
    pub unit: &'a str,
    /// Position of the series that brought it; `None` if it came by itself.
    pub series: Option<usize>,
}

/// Why not all of a series is known: it refers to texts that the request does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadReference {
    /// Labels are pairs, and one half is missing.
    Odd {
        /// How many references there are.
        count: usize,
    },
    /// A reference leads nowhere.
    Unknown {
        /// The reference.
        reference: u32,
        /// How many texts there are.
        symbols: usize,
    },
}

/// One series of a request.
#[derive(Clone, Copy, Debug)]
pub struct Series<'r, 'a> {
    /// The labels, in the order received; nothing about them has been checked.
    pub labels: Labels<'r, 'a>,
    /// What it carries, in the order received.
    pub content: &'r [Item<'a>],
    /// What this content is called outside of the request.
    pub items: Items,
    /// Why the labels are not all there, if so.
    pub bad_reference: Option<BadReference>,
}

/// The labels of a series, shown as `{a="1", b="2"}`, cut to a readable length.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'r, 'a> {
    ids: &'r [LabelId],
    known: &'r [Label<'a>],
}

impl LabelId {
    /// Its position among the different labels of the request.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl<'r, 'a> Labels<'r, 'a> {
    /// In the order received.
    pub fn iter(self) -> impl ExactSizeIterator<Item = Label<'a>> + Clone + use<'r, 'a> {
        self.ids.iter().map(move |id| self.known[id.index()])
    }

    /// The value of the first label of this name.
    pub fn get(self, name: &str) -> Option<&'a str> {
        let mut labels = self.iter();
        labels.find_map(|label| (label.0 == name).then_some(label.1))
    }

    /// The same as [`Self::iter`], each with what it is called throughout the request.
    pub fn with_ids(self) -> impl ExactSizeIterator<Item = (LabelId, Label<'a>)> + use<'r, 'a> {
        self.ids.iter().map(move |&id| (id, self.known[id.index()]))
    }
}

/// Some items of one series of a request, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Items {
    series: u32,
    /// Position among the items of the whole request.
    first: u32,
    count: u32,
}

impl Items {
    /// The items at `range`, counted through the whole request, of the series at `series`.
    fn new(series: usize, range: Range<usize>) -> Self {
        Self {
            series: narrow(series),
            first: narrow(range.start),
            count: narrow(range.len()),
        }
    }

    /// One that belongs to no series: an entry of metadata, by its position.
    pub fn alone(position: usize) -> Self {
        Self::new(0, position..position + 1)
    }

    /// Each of the items alone.
    pub fn each(self) -> impl Iterator<Item = Self> {
        (self.first..self.first + self.count).map(move |first| Self {
            first,
            count: 1,
            ..self
        })
    }

    /// Position of their series in the request.
    pub fn series(self) -> usize {
        self.series as usize
    }

    /// Position of the first of them among the items of the whole request.
    pub fn position(self) -> usize {
        self.first as usize
    }

    /// How many they are.
    pub fn count(self) -> u64 {
        u64::from(self.count)
    }
}

impl<'a> Request<'a> {
    /// No series yet, and room for so many with a sample each.
    pub fn with_room_for(series: usize) -> Self {
        Self {
            items: Vec::with_capacity(series),
            ends: Vec::with_capacity(series),
            ..Self::default()
        }
    }

    /// Adds a label to the series that is being put together. What it is called holds for the whole
    /// request.
    pub fn push_label(&mut self, name: &'a str, value: &'a str) -> LabelId {
        let next = LabelId(narrow(self.known.len()));
        let id = *self.ids.entry((name, value)).or_insert(next);
        if id == next {
            self.known.push((name, value));
        }
        self.labels.push(id);
        id
    }

    /// Adds a label that a series of the request has already.
    pub fn push_known_label(&mut self, id: LabelId) {
        self.labels.push(id);
    }

    /// How many different labels there are.
    pub fn different_labels(&self) -> usize {
        self.known.len()
    }

    /// How many labels all series have together.
    pub fn label_count(&self) -> usize {
        self.labels.len()
    }

    /// Adds a sample to the series that is being put together.
    pub fn push_sample(&mut self, sample: Sample) {
        self.push_item(Item::Sample(sample));
    }

    /// Adds an item to the series that is being put together.
    pub fn push_item(&mut self, item: Item<'a>) {
        self.items.push(item);
    }

    /// Ends the series that is being put together.
    pub fn end_series(&mut self) {
        self.ends
            .push((narrow(self.labels.len()), narrow(self.items.len())));
    }

    /// Ends the series that is being put together, and whose labels are not all known.
    pub fn end_unreadable_series(&mut self, why: BadReference) {
        self.unreadable.push((self.len(), why));
        self.end_series();
    }

    /// How many series there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The series at this position.
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
        let items = start.1 as usize..end.1 as usize;
        let unreadable = self.unreadable.binary_search_by_key(&index, |it| it.0);
        Series {
            labels: Labels {
                ids: &self.labels[labels],
                known: &self.known,
            },
            content: &self.items[items.clone()],
            items: Items::new(index, items),
            bad_reference: unreadable.ok().map(|found| self.unreadable[found].1),
        }
    }

    /// The series in the order received.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Series<'_, 'a>> {
        (0..self.len()).map(|index| self.series(index))
    }

    /// The labels of the series and the content that `items` of this request stand for.
    pub fn resolve(&self, items: Items) -> Series<'_, 'a> {
        let first = items.position();
        Series {
            content: &self.items[first..first + items.count as usize],
            items,
            ..self.series(items.series())
        }
    }

    /// How many items there are in all series.
    pub fn count(&self) -> u64 {
        self.items.len() as u64
    }

    /// How many items of each kind there are in all series.
    pub fn kinds(&self) -> Kinds {
        Kinds::of(&self.items)
    }
}

impl Item<'_> {
    /// Its time, in milliseconds since the Unix epoch.
    pub fn timestamp_ms(&self) -> i64 {
        match self {
            Self::Sample(sample) => sample.timestamp_ms,
            Self::Histogram(histogram) => histogram.timestamp_ms,
            Self::Exemplar(exemplar) => exemplar.timestamp_ms,
        }
    }

    /// Its value; of a histogram the sum.
    pub fn value(&self) -> f64 {
        match self {
            Self::Sample(sample) => sample.value,
            Self::Histogram(histogram) => histogram.sum,
            Self::Exemplar(exemplar) => exemplar.value,
        }
    }
}

impl fmt::Display for BadReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Odd { count } => write!(
                f,
                "{count} references do not make pairs of label name and value"
            ),
            Self::Unknown { reference, symbols } => write!(
                f,
                "reference {reference} leads beyond the {symbols} symbols of the request"
            ),
        }
    }
}

impl fmt::Display for Labels<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_BYTES: usize = 300;
        let mut text = String::from("{");
        for (index, (name, value)) in self.iter().enumerate() {
            if text.len() > MAX_BYTES {
                text.push_str(", ...");
                break;
            }
            let separator = if index == 0 { "" } else { ", " };
            text.push_str(separator);
            text.push_str(&cut(name, 80));
            text.push_str(&format!("={:?}", cut(value, 80)));
        }
        text.push('}');
        f.write_str(&text)
    }
}

/// A position or a number of things in a request.
pub(crate) fn narrow(number: usize) -> u32 {
    u32::try_from(number).expect("a request has less than 4 GiB")
}

/// At most `max_bytes` of `text`, with dots where something is missing.
pub(crate) fn cut(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(max_bytes);
    Cow::Owned(format!("{}...", &text[..end]))
}

#[cfg(test)]
mod tests {
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
            .map(|series| (series.labels.to_string(), series.content.len()))
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
            .flat_map(|series| series.items.each())
            .map(|item| (item.position(), request.resolve(item)))
            .map(|(position, series)| {
                (
                    position,
                    series.content[0].timestamp_ms(),
                    series.content.len(),
                )
            })
            .collect();
        assert_eq!(each, [(0, 1, 1), (1, 2, 1), (2, 3, 1)]);
        assert_eq!(request.series(0).items.count(), 2);
    }

    #[test]
    fn a_different_label_is_held_once() {
        let mut request = Request::default();
        let job = request.push_label("job", "a");
        assert_ne!(request.push_label("job", "b"), job);
        request.end_series();
        assert_eq!(request.push_label("job", "a"), job);
        request.push_known_label(job);
        request.end_series();
        assert_eq!((request.different_labels(), request.label_count()), (2, 4));
        let labels: Vec<_> = request.iter().map(|it| it.labels.to_string()).collect();
        assert_eq!(labels, [r#"{job="a", job="b"}"#, r#"{job="a", job="a"}"#]);
    }

    #[test]
    fn long_labels_are_cut_in_texts() {
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
