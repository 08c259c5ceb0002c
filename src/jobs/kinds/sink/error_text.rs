//! The text with which a receiver rejects samples.
//!
//! It names the samples and the reason. A definition may name any address, and a response from there could hold
//! a secret, so the text is read but never repeated: an error, a log line and a dead letter have the status and, if
//! the text is known, a phrase of the table below.

use std::fmt;

use super::reason::{self, Reason};

/// Bytes of the text that are searched for phrases: there are many of these, and a body may have 1 MiB.
const MAX_SEARCHED_BYTES: usize = 4 << 10;
/// Bytes of an identifier of Mimir's.
const MAX_IDENTIFIER_BYTES: usize = 60;
/// Phrases with which receivers give a reason, in lower case: Prometheus (`storage`, `tsdb`,
/// `storage/remote/write_handler.go`), Thanos, Cortex, Mimir, VictoriaMetrics and what is made of these.
/// The first one that occurs is used, so the more special ones come first.
const PHRASES: [&str; 48] = [
    "timestamp is too far in the future",
    "duplicate sample for timestamp",
    "duplicate timestamp",
    "out of order sample",
    "out of order exemplar",
    "out-of-order",
    "out of order",
    "too old sample",
    "timestamp too old",
    "timestamp too new",
    "too far in the past",
    "too far in the future",
    "too old or are too far into the future",
    "out of bounds",
    "native histograms are disabled",
    "native histogram",
    "observations found in buckets",
    "invalid metric name or labels",
    "invalid metric name",
    "missing metric name",
    "sample missing metric name",
    "invalid labels for series",
    "must contain at least one sample or histogram",
    "parsing labels for series",
    "parsing metadata for series",
    "label name is not unique",
    "is not unique",
    "duplicate label",
    "duplicated label",
    "labels not sorted",
    "empty labelset",
    "sample invalid label",
    "label name too long",
    "label value too long",
    "label value is too long",
    "label limit exceeded",
    "series has too many labels",
    "too many label names",
    "per-user series limit",
    "per-metric series limit",
    "maximum active series limit exceeded",
    "ingestion rate limit",
    "maximum number of series",
    "different value",
    "cannot unmarshal",
    "cannot decode",
    "unsupported histogram schema",
    "invalid sample",
];
/// The start of the identifiers of Mimir's errors.
const MIMIR: &str = "err-mimir-";

/// The text of one receiver about one request.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ErrorText(String);

impl ErrorText {
    pub(super) fn new(body: &[u8]) -> Self {
        Self(String::from_utf8_lossy(body).trim().to_owned())
    }

    /// Returns the reason that it gives.
    pub(super) fn reason(&self) -> Reason {
        Reason::of(self.start())
    }

    /// Returns true for a text of Mimir.
    pub(super) fn is_from_mimir(&self) -> bool {
        self.0.contains(MIMIR)
    }

    /// Returns a phrase of the table, or an identifier of Mimir's, that it holds.
    pub(super) fn phrase(&self) -> Option<String> {
        if let Some((_, rest)) = self.start().split_once(MIMIR) {
            let is_other = |c: char| !(c.is_ascii_lowercase() || c == '-');
            let end = rest.find(is_other).unwrap_or(rest.len());
            if (1..=MAX_IDENTIFIER_BYTES).contains(&end) {
                return Some(format!("{MIMIR}{}", &rest[..end]));
            }
        }
        let text = self.start().to_ascii_lowercase();
        let known = PHRASES.iter().find(|phrase| text.contains(**phrase));
        known.map(|phrase| (*phrase).to_owned())
    }

    /// Returns true if it says that a sample is too far in the future, and nothing of the past.
    pub(super) fn is_about_future(&self) -> bool {
        reason::is_about_future(&self.start().to_ascii_lowercase())
    }

    fn start(&self) -> &str {
        &self.0[..self.0.floor_char_boundary(MAX_SEARCHED_BYTES)]
    }

    /// Returns the time and the value of the sample that Prometheus calls a duplicate: `duplicate sample for
    /// timestamp 5; overrides not allowed: existing 1, new value 2`.
    pub(super) fn duplicate(&self) -> Option<(i64, f64)> {
        let (_, rest) = self.0.split_once("duplicate sample for timestamp ")?;
        let (time, rest) = rest.split_once(';')?;
        let (_, value) = rest.split_once("new value ")?;
        Some((time.parse().ok()?, value.trim().parse().ok()?))
    }

    /// Returns the text of each line about a series, with the labels of that; `None` if a line is about
    /// something else.
    pub(super) fn about_series(&self) -> Option<Vec<(Self, &str)>> {
        let lines = self.0.lines().filter(|line| !line.is_empty());
        let about = lines.map(|line| {
            let (text, series) = line.split_once(" for series ")?;
            Some((Self(text.to_owned()), series.trim()))
        });
        about.collect()
    }
}

/// Shows only the length: a body is no part of any message.
impl fmt::Debug for ErrorText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ErrorText({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_phrases_are_repeated_and_nothing_else() {
        for (body, shown) in [
            (
                "out of order sample for series {__name__=\"hunter2\"}",
                Some("out of order sample"),
            ),
            (
                "Duplicate sample for timestamp 5; overrides not allowed: existing 1, new value 2",
                Some("duplicate sample for timestamp"),
            ),
            (
                "out of bounds: timestamp is too far in the future",
                Some("timestamp is too far in the future"),
            ),
            (
                "the sample has been rejected (err-mimir-sample-out-of-order). The affected sample has hunter2",
                Some("err-mimir-sample-out-of-order"),
            ),
            (
                "store locally for endpoint 10.0.0.1:19291: add 1 samples: out of order sample",
                Some("out of order sample"),
            ),
            (
                "user=7: per-user series limit of 5 exceeded",
                Some("per-user series limit"),
            ),
            ("err-mimir-HUNTER2", None),
            ("err-mimir-", None),
            ("hunter2", None),
            ("", None),
        ] {
            let words = ErrorText::new(body.as_bytes());
            assert_eq!(words.phrase().as_deref(), shown, "{body}");
            assert!(!format!("{words:?}").contains("hunter"), "{words:?}");
        }
        // Searching is bounded, and cuts no character.
        for (len, shown) in [(4_000, Some("out of order sample")), (4_095, None)] {
            let body = "x".repeat(len) + "out of order sample" + &"ü".repeat(1_000);
            let words = ErrorText::new(body.as_bytes());
            assert_eq!(words.phrase().as_deref(), shown);
            assert_eq!(words.reason() == Reason::OutOfOrder, shown.is_some());
            let words = ErrorText::new(("x".to_owned() + &"ü".repeat(len)).as_bytes());
            assert_eq!(words.phrase(), None);
        }
        let long = format!("err-mimir-{}", "x".repeat(1_000));
        assert_eq!(ErrorText::new(long.as_bytes()).phrase(), None);
        assert!(PHRASES.iter().all(|it| *it == it.to_ascii_lowercase()));
    }

    #[test]
    fn a_line_for_each_sample() {
        let words = ErrorText::new(b"too old for series {a}\n\nout of order for series {b}\n");
        let about = words.about_series().unwrap();
        assert_eq!(
            about,
            [
                (ErrorText::new(b"too old"), "{a}"),
                (ErrorText::new(b"out of order"), "{b}")
            ]
        );
        assert_eq!(
            ErrorText::new(b"too old for series {a}\nx").about_series(),
            None
        );
    }
}
