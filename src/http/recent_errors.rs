//! The last errors of the process, for the start page.
//!
//! Equal errors are one entry. Sources and reasons are few and fixed, so that neither senders nor strangers can push the
//! others out with texts of their own: only the last text of an entry is stored.

use jiff::Timestamp;
use parking_lot::Mutex;

use super::HttpError;
use super::reason::Reason;

/// The most entries; the one that occurred longest ago gives way.
const MAX_ENTRIES: usize = 20;
/// The most bytes of the text of an entry.
const MAX_CAUSE_BYTES: usize = 400;

/// The requests that an error comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Remote write.
    Write,
    /// OTLP.
    Otlp,
    /// Remote read.
    Read,
    /// The query API.
    Query,
    /// Requests that were rejected before their route.
    Access,
    /// Requests to other paths.
    Other,
}

/// Equal errors.
#[derive(Clone, Debug, PartialEq)]
pub struct RecentError {
    /// The source of the requests.
    pub source: Source,
    /// The reason.
    pub reason: Reason,
    /// The last status.
    pub status: u16,
    /// The last text, without the remedy.
    pub cause: String,
    /// The number of errors.
    pub count: u64,
    /// The time of the first one.
    pub first: Timestamp,
    /// The time of the last one.
    pub last: Timestamp,
}

/// The last different errors.
#[derive(Debug, Default)]
pub(super) struct RecentErrors(Mutex<Vec<RecentError>>);

impl RecentErrors {
    /// Adds an error that occurs now.
    pub(super) fn add(&self, source: Source, error: &HttpError) {
        let status = error.status().as_u16();
        self.add_at(
            Timestamp::now(),
            source,
            error.reason(),
            status,
            error.cause(),
        );
    }

    /// Adds an error without a response.
    pub(super) fn add_reason(&self, source: Source, reason: Reason, status: u16, cause: &str) {
        self.add_at(Timestamp::now(), source, reason, status, cause);
    }

    fn add_at(&self, now: Timestamp, source: Source, reason: Reason, status: u16, cause: &str) {
        let mut all = self.0.lock();
        let is_same = |it: &RecentError| it.source == source && it.reason == reason;
        let (count, first) = match all.iter().position(is_same) {
            Some(index) => {
                let former = all.remove(index);
                (former.count + 1, former.first)
            }
            None => (1, now),
        };
        all.insert(
            0,
            RecentError {
                source,
                reason,
                status,
                cause: cut(cause),
                count,
                first,
                last: now,
            },
        );
        all.truncate(MAX_ENTRIES);
    }

    /// Returns all entries, the last one first.
    pub(super) fn all(&self) -> Vec<RecentError> {
        self.0.lock().clone()
    }
}

fn cut(text: &str) -> String {
    if text.len() <= MAX_CAUSE_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_CAUSE_BYTES - 3);
    format!("{}...", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn equal_errors_are_one_entry_and_the_last_comes_first() {
        let errors = RecentErrors::default();
        let add = |second, source, reason, cause: &str| {
            errors.add_at(at(second), source, reason, 503, cause);
        };
        add(1, Source::Write, Reason::SlowBody, "a");
        add(2, Source::Read, Reason::SlowBody, "b");
        add(3, Source::Write, Reason::SlowBody, "c");
        let all = errors.all();
        let shown: Vec<_> = all
            .iter()
            .map(|it| (it.source, it.count, &*it.cause, it.first, it.last))
            .collect();
        let expected = [
            (Source::Write, 2, "c", at(1), at(3)),
            (Source::Read, 1, "b", at(2), at(2)),
        ];
        assert_eq!(shown, expected);
    }

    #[test]
    fn entries_and_their_texts_are_bounded() {
        let errors = RecentErrors::default();
        for (second, reason) in (0..).zip(Reason::all()) {
            errors.add_at(at(second), Source::Write, reason, 400, &"ü".repeat(1_000));
        }
        let all = errors.all();
        assert_eq!(all.len(), MAX_ENTRIES);
        assert_eq!(all[0].reason, Reason::all().last().unwrap());
        for entry in all {
            assert!(entry.cause.len() <= MAX_CAUSE_BYTES);
            assert!(entry.cause.ends_with("ü..."), "{}", entry.cause);
        }
        // Whatever strangers send, it is one entry.
        for number in 0..1_000 {
            let cause = format!("the token {number} is wrong");
            errors.add_at(
                at(number),
                Source::Access,
                Reason::Unauthenticated,
                401,
                &cause,
            );
        }
        let all = errors.all();
        assert_eq!((all.len(), all[0].count), (MAX_ENTRIES, 1_000));
    }
}
