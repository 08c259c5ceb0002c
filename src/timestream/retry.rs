//! The one layer that retries calls: exponential backoff with full jitter, never past the
//! deadline of the request.

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use super::{ErrorKind, TimestreamError};
use crate::backoff::{Backoff, Jitter};

/// Longest pause before the first retry.
const BASE: Duration = Duration::from_millis(100);
/// Longest pause before any retry.
const CAP: Duration = Duration::from_secs(5);

/// The limits of a call.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Attempts after the first one.
    pub max_retries: u32,
    /// The deadline of the last attempt.
    pub deadline: Instant,
}

/// A result with the number of attempts after the first one.
#[derive(Debug)]
pub struct Attempts<T> {
    /// The last result.
    pub result: Result<T, TimestreamError>,
    /// Attempts after the first one.
    pub retries: u32,
}

/// Runs `call` until it succeeds, fails for good, or the limits are reached.
///
/// After the first [`ErrorKind::InvalidEndpoint`] it runs `reload` and tries again at once,
/// without counting a retry.
pub async fn with_retries<T, C, R>(
    limits: Limits,
    mut random: impl FnMut() -> f64,
    mut call: impl FnMut() -> C,
    mut reload: impl FnMut() -> R,
) -> Attempts<T>
where
    C: Future<Output = Result<T, TimestreamError>>,
    R: Future<Output = ()>,
{
    let backoff = Backoff {
        max_retries: limits.max_retries,
        base: BASE,
        cap: CAP,
        jitter: Jitter::Full,
    };
    let mut retries = backoff.start();
    let mut reloaded = false;
    loop {
        let error = match tokio::time::timeout_at(limits.deadline, call()).await {
            Ok(Ok(value)) => {
                return Attempts {
                    result: Ok(value),
                    retries: retries.made(),
                };
            }
            Ok(Err(error)) => error,
            Err(_) => {
                return Attempts {
                    result: Err(TimestreamError::timeout()),
                    retries: retries.made(),
                };
            }
        };
        if error.kind == ErrorKind::InvalidEndpoint && !reloaded {
            reloaded = true;
            // If this takes too long the next call finds the deadline passed.
            let _ = tokio::time::timeout_at(limits.deadline, reload()).await;
            continue;
        }
        let left = limits.deadline.saturating_duration_since(Instant::now());
        let mut next_pause = || retries.next_pause(random(), None, Some(left)).ok();
        let pause = is_worth_a_retry(error.kind).then(&mut next_pause).flatten();
        let Some(pause) = pause else {
            return Attempts {
                result: Err(error),
                retries: retries.made(),
            };
        };
        tokio::time::sleep(pause).await;
    }
}

/// Returns true if another attempt within one request can help; renewed credentials arrive later than that.
fn is_worth_a_retry(kind: ErrorKind) -> bool {
    kind.is_retryable() && kind != ErrorKind::Credentials
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn limits(max_retries: u32) -> Limits {
        Limits {
            max_retries,
            deadline: Instant::now() + Duration::from_secs(25),
        }
    }

    /// Returns `errors` one after the other, then success.
    async fn run(limits: Limits, errors: &[ErrorKind]) -> (Attempts<()>, usize, usize) {
        let mut calls = 0;
        let mut reloads = 0;
        let attempts = with_retries(
            limits,
            || 0.99,
            || {
                let error = errors
                    .get(calls)
                    .map(|&kind| TimestreamError::new(kind, "x"));
                calls += 1;
                ready(error.map_or(Ok(()), Err))
            },
            || {
                reloads += 1;
                ready(())
            },
        )
        .await;
        (attempts, calls, reloads)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_tried_again_and_how_often() {
        use ErrorKind::{
            Credentials, InternalServer, InvalidEndpoint, Throttled, Unavailable, Validation,
        };
        let cases: [(&[ErrorKind], u32, Option<ErrorKind>, usize, usize); 7] = [
            (&[], 3, None, 1, 0),
            (&[Throttled, InternalServer, Unavailable], 3, None, 4, 0),
            (&[Throttled, Throttled], 1, Some(Throttled), 2, 0),
            (&[Validation], 3, Some(Validation), 1, 0),
            (&[Credentials], 3, Some(Credentials), 1, 0),
            (&[InvalidEndpoint], 0, None, 2, 1),
            (
                &[InvalidEndpoint, InvalidEndpoint],
                0,
                Some(InvalidEndpoint),
                2,
                1,
            ),
        ];
        for (errors, max_retries, expected, calls, reloads) in cases {
            let (attempts, made, reloaded) = run(limits(max_retries), errors).await;
            assert_eq!(
                attempts.result.err().map(|error| error.kind),
                expected,
                "{errors:?}"
            );
            assert_eq!((made, reloaded), (calls, reloads), "{errors:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_retry_passes_the_deadline() {
        let start = Instant::now();
        let (attempts, _, _) = run(limits(1_000), &[ErrorKind::Throttled; 100]).await;
        assert_eq!(attempts.result.unwrap_err().kind, ErrorKind::Throttled);
        assert!(start.elapsed() < Duration::from_secs(25));
        assert!(attempts.retries > 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_without_a_response_ends_at_the_deadline() {
        let start = Instant::now();
        let attempts: Attempts<()> = with_retries(limits(3), || 0.5, pending, || ready(())).await;
        assert_eq!(attempts.result.unwrap_err().kind, ErrorKind::Timeout);
        assert_eq!(start.elapsed(), Duration::from_secs(25));
    }
}
