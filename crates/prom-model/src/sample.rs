//! Float samples, and the NaNs that Prometheus gives a meaning.

/// Bits of the NaN with which Prometheus says that a series has ended
/// (<https://prometheus.io/docs/specs/prw/remote_write_spec/#stale-markers>).
pub const STALE_MARKER_BITS: u64 = 0x7ff0_0000_0000_0002;

/// Bits of the NaN that Prometheus stores for every other one that it scrapes.
pub const PROMETHEUS_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// One float sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    /// The value; compared and copied by its bits.
    pub value: f64,
}
