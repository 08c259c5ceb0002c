//! How much of the process' memory the requests in work may take together: their bodies as they
//! arrive, and what these say that they decompress to.
//!
//! A sender holds no more than it has sent, so slow ones cannot keep others out.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// Bytes of one permit; a semaphore counts in 32 bits.
const UNIT_BYTES: usize = 1024;

/// The memory that all requests share.
#[derive(Clone, Debug)]
pub(super) struct Admission {
    free: Arc<Semaphore>,
    limit: usize,
}

/// What one request holds of it; given back when this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    admission: Admission,
    permit: Option<OwnedSemaphorePermit>,
    bytes: usize,
}

/// There is no memory left for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full {
    /// What all requests together may take.
    pub(super) limit: usize,
}

impl Admission {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(limit / UNIT_BYTES)),
            limit,
        }
    }

    /// The share of a request of which nothing has arrived yet.
    pub(super) fn share(&self) -> Share {
        Share {
            admission: self.clone(),
            permit: None,
            bytes: 0,
        }
    }
}

impl Share {
    /// Makes the share larger by `bytes`.
    pub(super) fn grow(&mut self, bytes: usize) -> Result<(), Full> {
        let full = Full {
            limit: self.admission.limit,
        };
        let held = self.bytes.div_ceil(UNIT_BYTES);
        let wanted = (self.bytes + bytes).div_ceil(UNIT_BYTES);
        let missing = u32::try_from(wanted - held).map_err(|_| full)?;
        if missing > 0 {
            let free = Arc::clone(&self.admission.free);
            match free.try_acquire_many_owned(missing) {
                Ok(more) => match &mut self.permit {
                    Some(permit) => permit.merge(more),
                    None => self.permit = Some(more),
                },
                Err(TryAcquireError::NoPermits | TryAcquireError::Closed) => return Err(full),
            }
        }
        self.bytes += bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_add_up_to_the_limit_and_come_back() {
        let admission = Admission::new(10 * 1024);
        let mut one = admission.share();
        // Small steps do not round up one by one.
        for _ in 0..1024 {
            one.grow(4).unwrap();
        }
        let mut other = admission.share();
        other.grow(6 * 1024).unwrap();
        assert_eq!(other.grow(1), Err(Full { limit: 10 * 1024 }));
        drop(one);
        other.grow(4 * 1024).unwrap();
        assert_eq!(admission.share().grow(1), Err(Full { limit: 10 * 1024 }));
        drop(other);
        admission.share().grow(10 * 1024).unwrap();
        assert_eq!(admission.free.available_permits(), 10);
    }
}
