//! The reasons for which a receiver rejects single samples.

/// The reason for which a receiver rejects a sample.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Reason {
    /// The same sample is stored.
    Stored,
    /// A sample with this time and another value is stored.
    Duplicate,
    /// A later sample of its series is stored.
    OutOfOrder,
    /// It is older than the receiver accepts.
    TooOld,
    /// Another reason, which the receiver's text gives.
    Other,
    /// The receiver accepts nothing from this sender.
    Denied,
    /// The pushed row is not a sample.
    BadRow,
}

impl Reason {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Stored => "stored",
            Self::Duplicate => "duplicate",
            Self::OutOfOrder => "out_of_order",
            Self::TooOld => "too_old",
            Self::Other => "rejected",
            Self::Denied => "refused",
            Self::BadRow => "bad_row",
        }
    }

    /// Returns true if a receiver can be configured to accept such samples.
    pub(super) fn is_about_time(self) -> bool {
        matches!(self, Self::OutOfOrder | Self::TooOld)
    }

    /// Reads the text with which Prometheus, Mimir, Thanos and their kin reject one sample.
    pub(super) fn of(text: &str) -> Self {
        let text = text.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        if has(&[
            "duplicate sample",
            "duplicate-timestamp",
            "duplicate timestamp",
        ]) {
            return match says_the_same(&text) {
                true => Self::Stored,
                false => Self::Duplicate,
            };
        }
        // "out of bounds: timestamp is too far in the future": no receiver can be configured to accept that.
        if is_about_future(&text) {
            return Self::Other;
        }
        // "too old" first: some say of such a sample that it is out of order, too.
        if has(&["too old", "too-old", "out of bounds", "too far in the past"]) {
            return Self::TooOld;
        }
        if has(&["out of order", "out-of-order"]) {
            return Self::OutOfOrder;
        }
        Self::Other
    }
}

/// Returns true if the text about a duplicate has one value, as stored and as sent.
///
/// Prometheus: `duplicate sample for timestamp 5; overrides not allowed: existing 1, new value 2`. Only such a
/// sample needs no dead letter. Receivers complain about values that differ, so a text without values does
/// not suffice; all NaN, stale markers among them, have the same text. The labels of a series can hold any
/// text and are ignored.
fn says_the_same(text: &str) -> bool {
    let words = text.split('{').next().unwrap_or_default();
    let after = |mark: &str| {
        let (_, rest) = words.split_once(mark)?;
        let end = rest.find([',', ';', ' ', '\n', '"']).unwrap_or(rest.len());
        rest[..end].parse::<f64>().ok()
    };
    let stored = after("existing ").filter(|value| !value.is_nan());
    stored.is_some() && stored == after("new value ")
}

/// Returns true if a text in lower case says that a sample is too far in the future, and nothing of the past.
pub(super) fn is_about_future(text: &str) -> bool {
    text.contains("too far in the future") && !text.contains("too old")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        for (text, reason) in [
            ("out of order sample", Reason::OutOfOrder),
            ("out of bounds", Reason::TooOld),
            ("too old sample", Reason::TooOld),
            (
                "out of bounds: timestamp is too far in the future",
                Reason::Other,
            ),
            ("duplicate sample for timestamp", Reason::Duplicate),
            (
                "duplicate sample for timestamp 5; overrides not allowed: existing is a histogram, new value 2",
                Reason::Duplicate,
            ),
            (
                "duplicate sample for timestamp 5; overrides not allowed: existing NaN, new value NaN",
                Reason::Duplicate,
            ),
            (
                r#"too many labels in {__name__="a", x="duplicate sample for timestamp 5; existing 2, new value 2"}"#,
                Reason::Duplicate,
            ),
            (
                r#"duplicate sample for timestamp 5 for series {x="existing 2, new value 2"}"#,
                Reason::Duplicate,
            ),
            (
                "duplicate sample for timestamp 5; overrides not allowed: existing 1.5, new value 2",
                Reason::Duplicate,
            ),
            (
                "duplicate sample for timestamp 5; overrides not allowed: existing 2, new value 2",
                Reason::Stored,
            ),
            (
                "the sample has been rejected (err-mimir-sample-timestamp-too-old)",
                Reason::TooOld,
            ),
            (
                "the sample is out of order (err-mimir-sample-out-of-order)",
                Reason::OutOfOrder,
            ),
            (
                "another sample with the same timestamp but a different value (err-mimir-sample-duplicate-timestamp)",
                Reason::Duplicate,
            ),
            ("label limit exceeded", Reason::Other),
        ] {
            assert_eq!(Reason::of(text), reason, "{text}");
        }
    }
}
