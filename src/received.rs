//! A write request as it was received, whatever brought it: its texts borrowed, its series in two
//! flat lists, so that a request of thousands of series costs a handful of allocations.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use crate::model::Sample;
use crate::prompb;

/// Name and value of a label, as received.
pub type Label<'a> = (&'a str, &'a str);

/// A write request.
#[derive(Clone, Debug, Default)]
pub struct Request<'a> {
    labels: Vec<Label<'a>>,
    samples: Vec<Sample>,
    /// Where each series ends in the two lists.
    ends: Vec<(usize, usize)>,
}

/// One series of a request.
#[derive(Clone, Copy, Debug)]
pub struct Series<'r, 'a> {
    /// The labels, in the order received; nothing about them has been checked.
    pub labels: Labels<'r, 'a>,
    /// The samples, in the order received.
    pub samples: &'r [Sample],
    /// What these samples are called outside of the request.
    pub items: Items,
}

/// The labels of a series, shown as `{a="1", b="2"}`, cut to a readable length.
#[derive(Clone, Copy, Debug)]
pub struct Labels<'r, 'a>(pub &'r [Label<'a>]);

/// Some samples of one series of a request, one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Items {
    series: u32,
    /// Position among the samples of the whole request.
    first: u32,
    count: u32,
}

impl Items {
    /// The samples at `range`, counted through the whole request, of the series at `series`.
    fn new(series: usize, range: Range<usize>) -> Self {
        let narrow = |index: usize| u32::try_from(index).expect("a request has less than 4 GiB");
        Self {
            series: narrow(series),
            first: narrow(range.start),
            count: narrow(range.len()),
        }
    }

    /// Each of the samples alone.
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

    /// Position of the first of them among the samples of the whole request.
    pub fn position(self) -> usize {
        self.first as usize
    }

    /// How many samples they are.
    pub fn count(self) -> u64 {
        u64::from(self.count)
    }
}

impl<'a> Request<'a> {
    /// Adds a label to the series that is being put together.
    pub fn push_label(&mut self, name: &'a str, value: &'a str) {
        self.labels.push((name, value));
    }

    /// Adds a sample to the series that is being put together.
    pub fn push_sample(&mut self, sample: Sample) {
        self.samples.push(sample);
    }

    /// Ends the series that is being put together.
    pub fn end_series(&mut self) {
        self.ends.push((self.labels.len(), self.samples.len()));
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
        Series {
            labels: Labels(&self.labels[start.0..end.0]),
            samples: &self.samples[start.1..end.1],
            items: Items::new(index, start.1..end.1),
        }
    }

    /// The series in the order received.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Series<'_, 'a>> {
        (0..self.len()).map(|index| self.series(index))
    }

    /// The labels and the samples that `items` of this request stand for.
    pub fn resolve(&self, items: Items) -> Series<'_, 'a> {
        let first = items.position();
        Series {
            samples: &self.samples[first..first + items.count as usize],
            items,
            ..self.series(items.series())
        }
    }

    /// How many samples there are in all series.
    pub fn samples(&self) -> u64 {
        self.samples.len() as u64
    }
}

impl<'a> From<&'a prompb::WriteRequest> for Request<'a> {
    fn from(message: &'a prompb::WriteRequest) -> Self {
        let mut request = Self::default();
        for series in &message.timeseries {
            for label in &series.labels {
                request.push_label(&label.name, &label.value);
            }
            for sample in &series.samples {
                request.push_sample(Sample {
                    timestamp_ms: sample.timestamp,
                    value: sample.value,
                });
            }
            request.end_series();
        }
        request
    }
}

impl fmt::Display for Labels<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_BYTES: usize = 300;
        let mut text = String::from("{");
        for (index, (name, value)) in self.0.iter().enumerate() {
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
            .map(|series| (series.labels.to_string(), series.samples.len()))
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
        assert_eq!((request.len(), request.samples()), (3, 3));

        let each: Vec<_> = request
            .iter()
            .flat_map(|series| series.items.each())
            .map(|item| (item.position(), request.resolve(item)))
            .map(|(position, series)| {
                (
                    position,
                    series.samples[0].timestamp_ms,
                    series.samples.len(),
                )
            })
            .collect();
        assert_eq!(each, [(0, 1, 1), (1, 2, 1), (2, 3, 1)]);
        assert_eq!(request.series(0).items.count(), 2);
    }

    #[test]
    fn long_labels_are_cut_in_texts() {
        let value = "ü".repeat(60);
        let labels = vec![("name", value.as_str()); 20];
        let text = Labels(&labels).to_string();
        assert!(text.len() < 600 && text.ends_with(", ...}"), "{text}");
    }
}
