//! The decision about the samples of one replica, pure: the elected replica of a cluster, the age of its entry, and
//! the replica that sends now.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

/// The elected replica of a cluster, as all processes store it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The replica.
    pub replica: String,
    /// The time of a request of it, by the clock of the process that received it.
    pub received_at: Timestamp,
    /// The time since which it has been elected.
    pub elected_at: Timestamp,
    /// The number of elections before this one.
    #[serde(default)]
    pub changes: u64,
}

/// The times after which an entry changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// An entry of this age is written again when the elected replica sends.
    pub refresh: Duration,
    /// An entry of this age belongs to a replica that is gone: the next one that sends is elected.
    pub failover: Duration,
}

/// The decision about the samples of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The replica is elected.
    Keep,
    /// Another one is.
    Drop,
    /// The replica is elected once this entry replaces the one that was read.
    Claim(Entry),
}

/// Returns the decision about samples of `replica` that arrive at `now`; `entry` is that of its cluster, with its age.
pub fn decide(
    entry: Option<(&Entry, Duration)>,
    replica: &str,
    now: Timestamp,
    timing: Timing,
) -> Decision {
    let (elected_at, changes) = match entry {
        None => (now, 0),
        Some((entry, age)) if entry.replica == replica => {
            if age < timing.refresh {
                return Decision::Keep;
            }
            (entry.elected_at, entry.changes)
        }
        Some((_, age)) if age < timing.failover => return Decision::Drop,
        Some((entry, _)) => (now, entry.changes.saturating_add(1)),
    };
    Decision::Claim(Entry {
        replica: replica.to_owned(),
        received_at: now,
        elected_at,
        changes,
    })
}

/// A time by the clock that all processes should share, and by one that never jumps.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// The time by the clock of the system.
    pub wall: Timestamp,
    /// The time by the clock of the process, which stands still while a function is frozen.
    pub monotonic: Instant,
}

impl Moment {
    /// Returns the time since `earlier`, by the clock that counted more.
    pub fn since(self, earlier: Self) -> Duration {
        let monotonic = self.monotonic.saturating_duration_since(earlier.monotonic);
        monotonic.max(span(earlier.wall, self.wall))
    }
}

/// Returns the time from `from` to `to`; zero if there is none.
fn span(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// An entry as a process has read or written it.
///
/// The clocks of processes differ, so the age of an entry by its stored time is bounded by what this process has seen:
/// it is at least as old as its first sight, and younger than the last sight of another one.
#[derive(Clone, Debug)]
pub struct Seen {
    /// The entry.
    pub entry: Entry,
    /// The end of the call that read or wrote it first.
    first: Moment,
    /// The begin of the last call that read it.
    last: Moment,
    /// The begin of the last call that read another entry, or of the one that wrote this one.
    before: Option<Moment>,
}

impl Seen {
    /// Returns an entry that a call from `begin` to `end` has read, after what was seen before.
    pub fn read(before: Option<Self>, entry: Entry, begin: Moment, end: Moment) -> Self {
        match before {
            Some(same) if same.entry == entry => Self {
                last: begin,
                ..same
            },
            other => Self {
                entry,
                first: end,
                last: begin,
                before: other.map(|it| it.last),
            },
        }
    }

    /// Returns an entry that a call from `begin` to `end` has written.
    pub fn written(entry: Entry, begin: Moment, end: Moment) -> Self {
        Self {
            entry,
            first: end,
            last: begin,
            before: Some(begin),
        }
    }

    /// Returns the age of the entry.
    pub fn age(&self, now: Moment) -> Duration {
        let stated = span(self.entry.received_at, now.wall);
        let least = stated.max(now.since(self.first));
        match self.before {
            Some(before) => least.min(now.since(before)),
            None => least,
        }
    }

    /// Returns the time by which the entry lies in the future of this process's clock.
    pub fn ahead(&self, now: Moment) -> Duration {
        span(now.wall, self.entry.received_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMING: Timing = Timing {
        refresh: Duration::from_secs(17),
        failover: Duration::from_secs(30),
    };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_700_000_000 + second).unwrap()
    }

    fn entry(replica: &str, received: i64, elected: i64, changes: u64) -> Entry {
        Entry {
            replica: replica.to_owned(),
            received_at: at(received),
            elected_at: at(elected),
            changes,
        }
    }

    #[test]
    fn decisions() {
        let stored = entry("a", 100, 40, 3);
        let claim =
            |replica, elected, changes| Decision::Claim(entry(replica, 150, elected, changes));
        for (age, replica, expected) in [
            // Nothing is stored.
            (None, "a", claim("a", 150, 0)),
            // The elected replica: a fresh entry holds, an older one is written again.
            (Some(0), "a", Decision::Keep),
            (Some(16_999), "a", Decision::Keep),
            (Some(17_000), "a", claim("a", 40, 3)),
            (Some(29_999), "a", claim("a", 40, 3)),
            // It was silent for long, but nothing has replaced it.
            (Some(90_000_000), "a", claim("a", 40, 3)),
            // Another one waits until the elected one is gone.
            (Some(0), "b", Decision::Drop),
            (Some(17_000), "b", Decision::Drop),
            (Some(29_999), "b", Decision::Drop),
            (Some(30_000), "b", claim("b", 150, 4)),
            (Some(90_000_000), "b", claim("b", 150, 4)),
            // Names differ by their case.
            (Some(16_999), "A", Decision::Drop),
        ] {
            let entry = age.map(|age| (&stored, Duration::from_millis(age)));
            let decision = decide(entry, replica, at(150), TIMING);
            assert_eq!(decision, expected, "{age:?} {replica}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_age_is_bounded_by_what_the_process_saw() {
        let start = Instant::now();
        let moment = |second: i64, skew: i64| Moment {
            wall: at(second + skew),
            monotonic: start + Duration::from_secs(second.unsigned_abs()),
        };
        let seconds = |seen: &Seen, now| seen.age(now).as_secs();
        for (skew, first_sight) in [(0, 10), (60, 70), (-60, 0)] {
            let now = |second| moment(second, skew);
            let read = |before, stored: &Entry, second| {
                Seen::read(before, stored.clone(), now(second), now(second))
            };
            // An entry of 10 seconds, at first sight: the clocks decide.
            let old = entry("a", 90, 0, 0);
            let seen = read(None, &old, 100);
            assert_eq!(seconds(&seen, now(100)), first_sight, "{skew}");
            // It does not change: it has at least the age since then, whatever the clock of its writer.
            let seen = read(Some(seen), &old, 120);
            assert!(seconds(&seen, now(140)) >= 40, "{skew}");
            // It has changed since: the new one is younger than the last sight of the old one.
            let seen = read(Some(seen), &entry("a", 125, 0, 0), 130);
            let age = seconds(&seen, now(131));
            assert!((1..=11).contains(&age), "{skew}: {age}");
        }
        // Of what the process has written it knows the age.
        let written = entry("a", 160, 0, 0);
        let seen = Seen::written(written, moment(100, 0), moment(101, 0));
        assert_eq!(seconds(&seen, moment(115, 0)), 14);
        assert_eq!(seen.ahead(moment(115, 0)), Duration::from_secs(45));
        assert_eq!(seen.ahead(moment(170, 0)), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_frozen_process_does_not_stop_the_time() {
        let monotonic = Instant::now();
        let moment = |second| Moment {
            wall: at(second),
            monotonic,
        };
        let seen = Seen::written(entry("a", 0, 0, 0), moment(0), moment(0));
        assert_eq!(seen.age(moment(40)), Duration::from_secs(40));
    }

    #[test]
    fn entries_survive_as_text() {
        let stored = entry("a", 1, 2, 3);
        let text = serde_json::to_string(&stored).unwrap();
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), stored);
        // Of a later version of the program.
        let text = text.replace('}', r#","later":1}"#);
        assert_eq!(serde_json::from_str::<Entry>(&text).unwrap(), stored);
    }
}
