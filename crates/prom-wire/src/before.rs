//! The labels of the series before, by which those of the next are recognised without being read.
//!
//! Neighbouring series of a scrape differ in a label or two. So the bytes of a series are compared with those of the
//! one before up to the first difference, and again after the label that has it.

use crate::protobuf::Reader;

/// The most labels of a series that are compared. More would cost memory, and hardly a series has them.
const MAX_LABELS: usize = 64;

/// The labels of a series that stand one after the other, and what `L` says of each.
pub(super) struct LabelsBefore<'a, L> {
    labels: Vec<LabelBefore<'a, L>>,
}

/// One of these labels.
struct LabelBefore<'a, L> {
    label: L,
    /// The length of its bytes.
    len: usize,
    /// The bytes from its own on.
    bytes: &'a [u8],
}

/// The comparison of these labels with those of the next series, which take their places.
pub(super) struct Comparison<'b, 'a, L> {
    labels: &'b mut Vec<LabelBefore<'a, L>>,
    /// The number of labels that are compared or replaced.
    position: usize,
}

impl<L> Default for LabelsBefore<'_, L> {
    fn default() -> Self {
        Self { labels: Vec::new() }
    }
}

impl<'a, L: Copy> LabelsBefore<'a, L> {
    /// Begins to compare them with the labels of a series.
    pub(super) fn compare(&mut self) -> Comparison<'_, 'a, L> {
        Comparison {
            labels: &mut self.labels,
            position: 0,
        }
    }
}

impl<'a, L: Copy> Comparison<'_, 'a, L> {
    /// Skips the labels that `series` goes on with and that are the same as before; returns these.
    #[inline]
    pub(super) fn skip_same(
        &mut self,
        series: &mut Reader<'a>,
    ) -> impl ExactSizeIterator<Item = L> {
        let labels = &mut self.labels[self.position..];
        let same = match labels.first() {
            Some(next) => same_bytes(next.bytes, series.rest()),
            None => 0,
        };
        let end = series.rest().len() - same;
        let mut count = 0;
        for label in labels.iter_mut() {
            let rest = series.rest();
            if rest.len() < end + label.len {
                break;
            }
            label.bytes = rest;
            series.skip(label.len);
            count += 1;
        }
        self.position += count;
        labels[..count].iter().map(|it| it.label)
    }

    /// Replaces the next label before, if there may be one, by the one that `series` was read over now, from `start` on.
    #[inline]
    pub(super) fn replace(&mut self, label: L, start: &'a [u8], series: &Reader<'a>) {
        let label = LabelBefore {
            label,
            len: start.len() - series.rest().len(),
            bytes: start,
        };
        match self.labels.get_mut(self.position) {
            Some(before) => *before = label,
            None if self.position < MAX_LABELS => self.labels.push(label),
            None => return,
        }
        self.position += 1;
    }

    /// Ends the comparison: the series has no more labels.
    #[inline]
    pub(super) fn end(self) {
        self.labels.truncate(self.position);
    }
}

/// Returns the number of bytes that both begin with.
#[inline]
fn same_bytes(one: &[u8], other: &[u8]) -> usize {
    let (words, other_words) = (one.as_chunks().0, other.as_chunks().0);
    let mut same = 0;
    for (word, other) in words.iter().zip(other_words) {
        let difference = u64::from_le_bytes(*word) ^ u64::from_le_bytes(*other);
        if difference != 0 {
            return same + difference.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    let rest = one[same..].iter().zip(&other[same..]);
    same + rest.take_while(|(byte, other)| byte == other).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads messages of which each byte is a label; returns those that were read rather than compared.
    fn read(messages: &[&'static str]) -> String {
        let mut before = LabelsBefore::default();
        let mut read = String::new();
        for message in messages {
            let mut series = Reader::new(message.as_bytes());
            let mut comparison = before.compare();
            let mut found = String::new();
            loop {
                found.extend(comparison.skip_same(&mut series));
                let start = series.rest();
                let Some(label) = start.first() else { break };
                let label = char::from(*label);
                series.skip(1);
                comparison.replace(label, start, &series);
                found.push(label);
                read.push(label);
            }
            comparison.end();
            assert_eq!(&found, message);
            read.push(' ');
        }
        read
    }

    #[test]
    fn only_labels_that_differ_are_read() {
        assert_eq!(read(&["abc", "abc", "axc", "ayc", "abc"]), "abc  x y b ");
        assert_eq!(read(&["abc", "ab", "abc", "", "abc"]), "abc  c  abc ");
        assert_eq!(
            read(&["0123456789abcdef", "0123456789abxdef"]),
            "0123456789abcdef x "
        );
        // Labels that move are others.
        assert_eq!(read(&["abcd", "bcd", "abcd"]), "abcd bcd abcd ");
    }

    #[test]
    fn many_labels_are_read_beyond_the_first() {
        let many = "a".repeat(MAX_LABELS).leak();
        let more = format!("{many}bc").leak();
        assert_eq!(read(&[more, more, many]), format!("{more} bc  "));
    }

    #[test]
    fn the_first_difference_of_bytes() {
        let bytes: Vec<u8> = (0..40).collect();
        for end in 0..=bytes.len() {
            assert_eq!(same_bytes(&bytes, &bytes[..end]), end);
            assert_eq!(same_bytes(&bytes[..end], &bytes), end);
            let mut other = bytes.clone();
            if let Some(byte) = other.get_mut(end) {
                *byte += 100;
            }
            assert_eq!(same_bytes(&bytes, &other), end);
        }
    }
}
