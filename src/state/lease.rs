//! Leases: the right of one holder to do something for a while, as part of a stored record.
//!
//! Pure: a record with a lease is read, changed by these functions and put back by compare-and-set
//! ([`State::change`](super::State::change)), so of several processes one gets the lease. A holder that
//! is gone loses it when its time is over.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The right of a holder, until a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    holder: String,
    until: Timestamp,
}

impl Lease {
    /// Returns a lease of `holder` that holds for `duration` from `now` on.
    pub fn new(holder: &str, now: Timestamp, duration: Duration) -> Self {
        Self {
            holder: holder.to_owned(),
            until: now + duration,
        }
    }

    /// Returns true if `holder` has the lease, expired or not: nothing else has taken it since.
    pub fn is_held_by(&self, holder: &str) -> bool {
        self.holder == holder
    }

    /// Returns true if the lease has not expired.
    pub fn is_valid(&self, now: Timestamp) -> bool {
        now < self.until
    }

    /// Acquires the lease in `slot` for `holder`, or renews it; returns false if another holder has it.
    pub fn acquire(
        slot: &mut Option<Self>,
        holder: &str,
        now: Timestamp,
        duration: Duration,
    ) -> bool {
        let is_free = slot
            .as_ref()
            .is_none_or(|lease| lease.is_held_by(holder) || !lease.is_valid(now));
        if is_free {
            *slot = Some(Self::new(holder, now, duration));
        }
        is_free
    }

    /// Renews the lease in `slot`; returns false if `holder` no longer has it.
    pub fn renew(
        slot: &mut Option<Self>,
        holder: &str,
        now: Timestamp,
        duration: Duration,
    ) -> bool {
        match slot {
            Some(lease) if lease.is_held_by(holder) => {
                lease.until = now + duration;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let minute = Duration::from_secs(60);
        let mut slot = None;
        assert!(!Lease::renew(&mut slot, "a", at(0), minute));
        assert!(Lease::acquire(&mut slot, "a", at(0), minute));
        assert!(!Lease::acquire(&mut slot, "b", at(59), minute));
        assert!(!Lease::renew(&mut slot, "b", at(59), minute));
        assert!(Lease::renew(&mut slot, "a", at(50), minute));
        assert!(!Lease::acquire(&mut slot, "b", at(109), minute));
        assert!(Lease::acquire(&mut slot, "a", at(109), minute));
        // Expired, and nothing else has it.
        assert!(Lease::renew(&mut slot, "a", at(500), minute));
        assert!(Lease::acquire(&mut slot, "b", at(560), minute));
        assert!(!Lease::renew(&mut slot, "a", at(561), minute));
        let lease = slot.unwrap();
        assert!(lease.is_held_by("b") && lease.is_valid(at(619)) && !lease.is_valid(at(620)));
    }
}
