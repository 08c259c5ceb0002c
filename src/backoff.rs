//! The one policy of pauses between the attempts of a call. Pure: random numbers, the time that is left and the
//! pause that a response requests are arguments.

use std::time::Duration;

/// The retries of a call: their number, and the pause before each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Attempts after the first one.
    pub max_retries: u32,
    /// Pause before the first retry; it doubles with each further one.
    pub base: Duration,
    /// Longest pause, before jitter.
    pub cap: Duration,
    /// The random part of a pause.
    pub jitter: Jitter,
}

/// The random part of a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Jitter {
    /// Each pause has its full length.
    None,
    /// A pause is shorter or longer by up to a quarter.
    Quarter,
    /// A pause has any length up to its full one.
    Full,
}

/// The reason why a call is not retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exhausted {
    /// All retries are used.
    Retries,
    /// The pause would last until the deadline, or beyond it.
    Deadline,
}

/// The retries of one call so far.
#[derive(Clone, Copy, Debug)]
pub struct Retries {
    backoff: Backoff,
    made: u32,
}

impl Backoff {
    /// Returns the retries of a call that has not been made yet.
    pub fn start(self) -> Retries {
        Retries {
            backoff: self,
            made: 0,
        }
    }

    /// Returns the pause before retry number `retry`, from 0; `random` is in `0.0..1.0`. A pause that the response
    /// requests is used as it is, up to the cap.
    fn pause(&self, retry: u32, random: f64, requested: Option<Duration>) -> Duration {
        if let Some(requested) = requested {
            return requested.min(self.cap);
        }
        let full = self.base.saturating_mul(1 << retry.min(20)).min(self.cap);
        match self.jitter {
            Jitter::None => full,
            Jitter::Quarter => full.mul_f64(0.75 + random / 2.0),
            Jitter::Full => full.mul_f64(random),
        }
    }
}

impl Retries {
    /// Returns how many retries were made.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// Counts a retry and returns the pause before it. `left` is the time until the deadline.
    ///
    /// # Errors
    /// There is no retry or no time left.
    pub fn next_pause(
        &mut self,
        random: f64,
        requested: Option<Duration>,
        left: Option<Duration>,
    ) -> Result<Duration, Exhausted> {
        if self.made >= self.backoff.max_retries {
            return Err(Exhausted::Retries);
        }
        let pause = self.backoff.pause(self.made, random, requested);
        if left.is_some_and(|left| left <= pause) {
            return Err(Exhausted::Deadline);
        }
        self.made += 1;
        Ok(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn backoff(jitter: Jitter) -> Backoff {
        Backoff {
            max_retries: 2,
            base: MS(100),
            cap: MS(5_000),
            jitter,
        }
    }

    #[test]
    fn pauses_double_up_to_the_cap() {
        let pauses = |jitter, random| {
            let pause = |retry| backoff(jitter).pause(retry, random, None).as_millis();
            [0, 1, 2, 5, 6, 40].map(pause)
        };
        let full = [100, 200, 400, 3_200, 5_000, 5_000];
        assert_eq!(pauses(Jitter::None, 0.3), full);
        assert_eq!(pauses(Jitter::Full, 1.0), full);
        assert_eq!(pauses(Jitter::Full, 0.0), [0; 6]);
        assert_eq!(pauses(Jitter::Quarter, 0.0)[..3], [75, 150, 300]);
        assert_eq!(pauses(Jitter::Quarter, 0.5)[..3], [100, 200, 400]);
        assert_eq!(pauses(Jitter::Quarter, 0.999_999)[..3], [124, 249, 499]);
    }

    #[test]
    fn a_requested_pause_is_used_up_to_the_cap() {
        let pause = |requested| backoff(Jitter::Full).pause(0, 0.5, Some(requested));
        assert_eq!(pause(MS(700)), MS(700));
        assert_eq!(pause(MS(70_000)), MS(5_000));
    }

    #[test]
    fn retries_end_by_number_and_by_deadline() {
        let mut retries = backoff(Jitter::None).start();
        let pause = retries.next_pause(0.0, None, Some(MS(100)));
        assert_eq!((pause, retries.made()), (Err(Exhausted::Deadline), 0));
        assert_eq!(retries.next_pause(0.0, None, Some(MS(101))), Ok(MS(100)));
        assert_eq!(retries.next_pause(0.0, None, None), Ok(MS(200)));
        let pause = retries.next_pause(0.0, None, None);
        assert_eq!((pause, retries.made()), (Err(Exhausted::Retries), 2));
    }
}
