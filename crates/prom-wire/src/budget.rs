//! The memory that all requests may occupy together: their bodies as they arrive, and the decoded
//! form of these.
//!
//! A decoded request can be a hundred times as large as its body, so decoders reserve memory for
//! each thing before they create it. A sender reserves only what its own bytes need, so slow senders
//! cannot starve others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A request is small up to this part of the budget.
const SMALL_PART: usize = 128;
/// The part of the budget that is left to small requests, so that large ones cannot starve them.
const PART_FOR_SMALL: usize = 8;
/// The part of the budget that one request leaves to others, so that a request which never fits differs
/// from one that has to wait for them.
const PART_FOR_OTHERS: usize = 4;

/// The memory that all requests share; cheap to clone.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    limit: usize,
    reserved: Arc<AtomicUsize>,
}

/// The part of a [`MemoryBudget`] that one request occupies; dropping it gives the memory back.
#[derive(Debug)]
pub struct Reservation {
    budget: MemoryBudget,
    bytes: usize,
}

/// A request cannot reserve the memory that it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetExceeded {
    /// Other requests occupy the memory now.
    #[error(
        "requests in flight occupy all of the {limit} bytes that they may occupy together; send again"
    )]
    Busy {
        /// Bytes that all requests of its size may occupy together.
        limit: usize,
    },
    /// The request needs more than one may occupy.
    #[error(
        "decoded, it needs more than the {limit} bytes that one request may occupy; send less at a \
         time (max_samples_per_send in remote_write)"
    )]
    TooLarge {
        /// Bytes that one request may occupy.
        limit: usize,
    },
}

impl MemoryBudget {
    /// Returns a budget of `limit` bytes. One reservation may hold three quarters of them; an eighth is left to
    /// reservations of less than a 128th.
    pub fn new(limit: usize) -> Self {
        Self {
            limit,
            reserved: Arc::default(),
        }
    }

    /// Returns a budget that nothing exceeds, for requests that are bounded in another way.
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    /// Returns a reservation of nothing.
    pub fn reservation(&self) -> Reservation {
        Reservation {
            budget: self.clone(),
            bytes: 0,
        }
    }

    /// Returns the bytes that all reservations hold.
    pub fn reserved(&self) -> usize {
        self.reserved.load(Ordering::Relaxed)
    }
}

impl Reservation {
    /// Reserves `bytes` more.
    ///
    /// # Errors
    /// The budget has not as much left for a request of this size; then the reservation stays as it
    /// is.
    pub fn grow(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        let all = self.budget.limit;
        let wanted = self.bytes.saturating_add(bytes);
        let one = all - all / PART_FOR_OTHERS;
        if wanted > one {
            return Err(BudgetExceeded::TooLarge { limit: one });
        }
        let limit = match wanted > all / SMALL_PART {
            true => all - all / PART_FOR_SMALL,
            false => all,
        };
        let grown = |reserved: usize| reserved.checked_add(bytes).filter(|all| *all <= limit);
        let reserved = &self.budget.reserved;
        reserved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grown)
            .map_err(|_| BudgetExceeded::Busy { limit })?;
        self.bytes += bytes;
        Ok(())
    }

    /// Gives `bytes` back, or all of it if it holds less.
    pub fn shrink(&mut self, bytes: usize) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        self.budget.reserved.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Moves all that it holds to the returned reservation.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self {
            budget: self.budget.clone(),
            bytes: std::mem::take(&mut self.bytes),
        }
    }

    /// Returns the bytes that it holds.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.shrink(self.bytes);
    }
}

/// The step in which a [`Meter`] reserves memory, so that most things cost only a subtraction.
const STEP_BYTES: usize = 16 << 10;

/// Reserves the memory of many small things a step ahead; the rest is released at the end.
#[derive(Debug)]
pub struct Meter<'m> {
    reservation: &'m mut Reservation,
    ahead: usize,
}

impl<'m> Meter<'m> {
    /// Returns a meter that adds to `reservation`.
    pub fn new(reservation: &'m mut Reservation) -> Self {
        Self {
            reservation,
            ahead: 0,
        }
    }

    /// Reserves `bytes` more.
    ///
    /// # Errors
    /// The budget has not as much left.
    #[inline]
    pub fn charge(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        match self.ahead.checked_sub(bytes) {
            Some(ahead) => {
                self.ahead = ahead;
                Ok(())
            }
            None => self.reserve(bytes),
        }
    }

    /// Makes the memory of things that are gone available to those that are charged next.
    #[inline]
    pub fn release(&mut self, bytes: usize) {
        self.ahead += bytes;
    }

    #[cold]
    fn reserve(&mut self, bytes: usize) -> Result<(), BudgetExceeded> {
        let missing = bytes - self.ahead;
        let step = missing.max(STEP_BYTES);
        self.reservation.grow(step)?;
        self.ahead = step - missing;
        Ok(())
    }
}

impl Drop for Meter<'_> {
    fn drop(&mut self) {
        self.reservation.shrink(self.ahead);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the budgets below what one request may occupy, and large ones together, and all.
    const ONE: usize = 96_000;
    const LARGE: usize = 112_000;
    const ALL: usize = 128_000;

    const BUSY: Result<(), BudgetExceeded> = Err(BudgetExceeded::Busy { limit: LARGE });
    const TOO_LARGE: Result<(), BudgetExceeded> = Err(BudgetExceeded::TooLarge { limit: ONE });

    #[test]
    fn reservations_add_up_to_the_limit_and_come_back() {
        let budget = MemoryBudget::new(ALL);
        let mut one = budget.reservation();
        for _ in 0..1_000 {
            one.grow(40).unwrap();
        }
        let mut other = budget.reservation();
        other.grow(LARGE - 40_000).unwrap();
        assert_eq!(other.grow(1), BUSY);
        assert_eq!(other.bytes(), LARGE - 40_000);
        one.shrink(1);
        other.grow(1).unwrap();
        drop(one);
        other.grow(ONE - other.bytes()).unwrap();
        assert_eq!(budget.reserved(), ONE);
        let mut taken = other.take();
        drop(other);
        assert_eq!((taken.bytes(), budget.reserved()), (ONE, ONE));
        assert_eq!(taken.grow(1), TOO_LARGE);
        drop(taken);
        let mut more = budget.reservation();
        more.grow(ONE).unwrap();
        more.shrink(usize::MAX);
        assert_eq!((more.bytes(), budget.reserved()), (0, 0));
    }

    #[test]
    fn large_requests_leave_memory_to_small_ones() {
        let budget = MemoryBudget::new(ALL);
        let mut large = [budget.reservation(), budget.reservation()];
        large[0].grow(ONE).unwrap();
        large[1].grow(LARGE - ONE).unwrap();
        assert_eq!(budget.reservation().grow(1_001), BUSY);
        let small: Vec<_> = (0..16)
            .map(|_| {
                let mut small = budget.reservation();
                small.grow(1_000).unwrap();
                small
            })
            .collect();
        assert_eq!(budget.reserved(), ALL);
        let busy = Err(BudgetExceeded::Busy { limit: ALL });
        assert_eq!(budget.reservation().grow(1), busy);
        drop(small);
    }

    #[test]
    fn a_request_that_never_fits_differs_from_one_that_has_to_wait() {
        let budget = MemoryBudget::new(ALL);
        let mut others = budget.reservation();
        others.grow(LARGE - ONE).unwrap();
        let mut request = budget.reservation();
        assert_eq!(request.grow(ONE + 1), TOO_LARGE);
        request.grow(1).unwrap();
        assert_eq!(request.grow(ONE), TOO_LARGE);
        assert_eq!(request.grow(usize::MAX), TOO_LARGE);
        request.grow(ONE - 1).unwrap();
        assert_eq!(budget.reserved(), LARGE);
    }
}
