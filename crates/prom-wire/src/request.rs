//! A write request as it was received, whatever brought it: its texts borrowed, its series in two
//! flat lists, so that a request of thousands of series costs a handful of allocations.
//!
//! The series of a request have few different labels, each very often, so each different one is held
//! once.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use hashbrown::HashMap;

use prom_model::visible::{escaped, truncate};
use prom_model::{Histogram, MetricType, Sample};

/// Name and value of a label, as received.
pub type Label<'a> = (&'a str, &'a str);

/// The bytes of the name and the value of a label, of which one at least is not UTF-8.
type BrokenLabel<'a> = (&'a [u8], &'a [u8]);

/// Which of the different labels of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LabelId(u32);

/// A write request.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    /// Each different label once.
    known: Vec<Label<'a>>,
    ids: HashMap<Label<'a>, LabelId>,
    /// The labels that are not UTF-8; `known` has empty ones in their places.
    broken: HashMap<LabelId, BrokenLabel<'a>>,
    labels: Vec<LabelId>,
    items: Vec<Datapoint<'a>>,
    /// Where each series ends in the two lists.
    ends: Vec<(u32, u32)>,
    /// Positions of series that cannot be read whole, ascending, and why.
    unreadable: Vec<(usize, Unreadable<'a>)>,
    /// What is known about metric families.
    pub metadata: Vec<Metadata<'a>>,
    /// The reason for each entry of metadata that cannot be read.
    pub unreadable_metadata: Vec<Unreadable<'a>>,
}

/// What a series carries: samples, most of the time, so the others stand apart.
#[derive(Clone, Debug, PartialEq)]
pub enum Datapoint<'a> {
    /// A float sample.
    Sample(Sample),
    /// A native histogram.
    Histogram(Box<Histogram>),
    /// An exemplar.
    Exemplar(Box<Exemplar<'a>>),
}

/// How many items of each kind.
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
    /// How many of each are among `items`.
    pub fn of(items: &[Datapoint<'_>]) -> Self {
        let mut kinds = Self::default();
        for item in items {
            match item {
                Datapoint::Sample(_) => kinds.samples += 1,
                Datapoint::Histogram(_) => kinds.histograms += 1,
                Datapoint::Exemplar(_) => kinds.exemplars += 1,
            }
        }
        kinds
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

/// One observation that stands for many, usually with the trace that made it.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar<'a> {
    /// Its own labels, in the order received; nothing about them has been checked. If they cannot be
    /// read, why not: that costs the exemplar, and not its series.
    pub labels: Result<Vec<Label<'a>>, Unreadable<'a>>,
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

/// The reason why a series, an exemplar or an entry of metadata cannot be read whole: it refers to texts that
/// the request does not hold, or one of its texts is not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable<'a> {
    /// Labels are pairs of references, and one half is missing.
    OddReferences {
        /// How many references there are.
        count: usize,
    },
    /// A reference leads nowhere.
    UnknownReference {
        /// The reference.
        reference: u32,
        /// How many texts there are.
        symbols: usize,
    },
    /// The name or the value of a label is not UTF-8.
    Label {
        /// The bytes of the name.
        name: &'a [u8],
        /// The bytes of the value.
        value: &'a [u8],
    },
    /// A text of an entry of metadata is not UTF-8.
    Metadata {
        /// Which text.
        what: &'static str,
        /// Its bytes.
        text: &'a [u8],
    },
    /// The labels were not UTF-8 when they became a dead letter, and nobody has corrected them.
    Letter {
        /// The message of the letter.
        message: &'a str,
    },
}

/// One series of a request.
#[derive(Clone, Copy, Debug)]
pub struct Series<'r, 'a> {
    /// The labels, in the order received; nothing about them has been checked.
    pub labels: Labels<'r, 'a>,
    /// What it carries, in the order received.
    pub content: &'r [Datapoint<'a>],
    /// What this content is called outside of the request.
    pub items: DatapointRange,
    /// The reason why the labels cannot be read, if so: then they are for display alone.
    pub unreadable: Option<&'r Unreadable<'a>>,
}

/// The labels of a series, shown as `{a="1", b="2"}`, cut to a readable length.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'r, 'a> {
    ids: &'r [LabelId],
    known: &'r [Label<'a>],
    broken: &'r HashMap<LabelId, BrokenLabel<'a>>,
}

impl LabelId {
    /// Its position among the different labels of the request.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl<'r, 'a> Labels<'r, 'a> {
    /// In the order received; one that is not UTF-8 has no name and no value here.
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

    /// In the order received, with replacement characters for what is not UTF-8: for people to read.
    pub fn iter_lossy(self) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> + use<'r, 'a> {
        self.iter_lossy_up_to(usize::MAX)
    }

    /// As [`Self::iter_lossy`]; of a broken text at least so many bytes are looked at, not many more.
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

/// Some items of one series of a request, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DatapointRange {
    series: u32,
    /// Position among the items of the whole request.
    first: u32,
    count: u32,
}

impl DatapointRange {
    /// The items at `range`, counted through the whole request, of the series at `series`.
    fn new(series: usize, range: Range<usize>) -> Self {
        Self {
            series: to_u32(series),
            first: to_u32(range.start),
            count: to_u32(range.len()),
        }
    }

    /// One that belongs to no series: an entry of metadata, by its position.
    pub fn single(position: usize) -> Self {
        Self::new(0, position..position + 1)
    }

    /// Each of the items alone.
    pub fn iter(self) -> impl Iterator<Item = Self> {
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
    pub fn with_capacity(series: usize) -> Self {
        Self {
            items: Vec::with_capacity(series),
            ends: Vec::with_capacity(series),
            ..Self::default()
        }
    }

    /// Adds a label to the series that is being put together. What it is called holds for the whole
    /// request.
    pub fn push_label(&mut self, name: &'a str, value: &'a str) -> LabelId {
        let next = LabelId(to_u32(self.known.len()));
        let id = *self.ids.entry((name, value)).or_insert(next);
        if id == next {
            self.known.push((name, value));
        }
        self.labels.push(id);
        id
    }

    /// Adds a label whose name or value is not UTF-8 to the series that is being put together. Every
    /// series that has it is unreadable.
    pub fn push_broken_label(&mut self, name: &'a [u8], value: &'a [u8]) -> LabelId {
        let id = LabelId(to_u32(self.known.len()));
        self.known.push(("", ""));
        self.broken.insert(id, (name, value));
        self.labels.push(id);
        id
    }

    /// Adds a label that a series of the request has already.
    pub fn push_known_label(&mut self, id: LabelId) {
        self.labels.push(id);
    }

    /// How many different labels there are.
    pub fn distinct_labels(&self) -> usize {
        self.known.len()
    }

    /// How many labels all series have together.
    pub fn label_count(&self) -> usize {
        self.labels.len()
    }

    /// Adds a sample to the series that is being put together.
    pub fn push_sample(&mut self, sample: Sample) {
        self.push_datapoint(Datapoint::Sample(sample));
    }

    /// Adds an item to the series that is being put together.
    pub fn push_datapoint(&mut self, item: Datapoint<'a>) {
        self.items.push(item);
    }

    /// Ends the series that is being put together; returns whether all its labels can be read.
    pub fn end_series(&mut self) -> bool {
        let broken = self.broken_label();
        if let Some(why) = broken {
            self.unreadable.push((self.len(), why));
        }
        self.ends
            .push((to_u32(self.labels.len()), to_u32(self.items.len())));
        broken.is_none()
    }

    /// Ends the series that is being put together, and that cannot be read whole.
    pub fn end_unreadable_series(&mut self, why: Unreadable<'a>) {
        self.unreadable.push((self.len(), why));
        self.ends
            .push((to_u32(self.labels.len()), to_u32(self.items.len())));
    }

    /// Returns the first label of the series that is being put together that is not UTF-8.
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
                broken: &self.broken,
            },
            content: &self.items[items.clone()],
            items: DatapointRange::new(index, items),
            unreadable: unreadable.ok().map(|found| &self.unreadable[found].1),
        }
    }

    /// The series in the order received.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Series<'_, 'a>> {
        (0..self.len()).map(|index| self.series(index))
    }

    /// The labels of the series and the content that `items` of this request stand for.
    pub fn resolve(&self, items: DatapointRange) -> Series<'_, 'a> {
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
    pub fn kinds(&self) -> KindCounts {
        KindCounts::of(&self.items)
    }
}

impl Datapoint<'_> {
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
            Self::Letter { message } => f.write_str(message),
        }
    }
}

/// Bytes that should be UTF-8, shown to people: `caf\xe9`, cut to a readable length.
struct Bytes<'a>(&'a [u8]);

impl fmt::Display for Bytes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_BYTES: usize = 80;
        // The first byte that is wrong is what somebody looks for.
        let wrong = str::from_utf8(self.0).map_or_else(|error| error.valid_up_to(), |_| 0);
        // A good character is not cut, which would look like a bad one.
        let is_start = |at: &usize| self.0.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
        let start = wrong.saturating_sub(MAX_BYTES / 2);
        let start = (start..wrong).find(is_start).unwrap_or(wrong);
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

/// Returns a position or a number of things in a request.
///
/// # Panics
/// The number is too large for any request: 4 GiB of them.
pub fn to_u32(number: usize) -> u32 {
    u32::try_from(number).expect("a request has less than 4 GiB")
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
            .flat_map(|series| series.items.iter())
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
        assert_eq!((request.distinct_labels(), request.label_count()), (2, 4));
        let labels: Vec<_> = request.iter().map(|it| it.labels.to_string()).collect();
        assert_eq!(labels, [r#"{job="a", job="b"}"#, r#"{job="a", job="a"}"#]);
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

        let why = Unreadable::Label {
            name: b"l",
            value: b"caf\xe9",
        };
        let odd = Unreadable::OddReferences { count: 1 };
        let unreadable: Vec<_> = request.iter().map(|it| it.unreadable.copied()).collect();
        assert_eq!(unreadable, [None, Some(why), None, Some(odd), Some(why)]);
        let series = request.series(1);
        assert!(series.labels.iter().eq([("", ""), ("a", "1")]));
        assert_eq!(series.labels.to_string(), "{l=\"caf\u{fffd}\", a=\"1\"}");
        assert!(why.to_string().contains("value 'caf\\xe9' of label 'l'"));
    }

    #[test]
    fn of_bytes_that_are_not_utf8_the_first_bad_one_is_shown() {
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
    fn names_and_values_hide_nothing_in_texts() {
        let mut request = Request::default();
        request.push_label("b\u{1b}]0;x\u{202e}\n", "\u{202e}");
        request.end_series();
        let shown = request.series(0).labels.to_string();
        assert_eq!(shown, "{b\\u001b]0;x\\u202e\\u000a=\"\\u{202e}\"}");
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
