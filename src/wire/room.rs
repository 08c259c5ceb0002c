//! How much one write request may hold, so that a small body cannot become a large structure.

use super::protobuf::Fault;

/// What a request may still hold.
///
/// Prometheus sends 2,000 items in a request by default, and 100,000 where somebody has raised
/// `max_samples_per_send` to what its largest queues hold.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) series: Left,
    pub(super) labels: Left,
    pub(super) items: Left,
    pub(super) buckets: Left,
    pub(super) metadata: Left,
    pub(super) symbols: Left,
}

/// How many of one thing are left.
#[derive(Debug)]
pub(super) struct Left {
    what: &'static str,
    limit: usize,
    left: usize,
}

impl Left {
    const fn of(what: &'static str, limit: usize) -> Self {
        Self {
            what,
            limit,
            left: limit,
        }
    }

    /// Takes one.
    pub(super) fn take(&mut self) -> Result<(), Fault> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Fault::TooMany {
                what: self.what,
                limit: self.limit,
            }),
        }
    }
}

impl Default for Room {
    fn default() -> Self {
        Self {
            series: Left::of("time series", 100_000),
            labels: Left::of("labels", 1_000_000),
            items: Left::of("samples, histograms and exemplars", 1_000_000),
            buckets: Left::of("buckets of histograms", 2_000_000),
            metadata: Left::of("metadata entries", 100_000),
            symbols: Left::of("symbols", 1_000_000),
        }
    }
}
