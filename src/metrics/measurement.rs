//! Measurements of a request or run: the one list from which registry, CloudWatch and start page are fed.

use std::sync::Arc;

/// A measured value and its name, without prefix and suffix.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Measurement {
    pub(super) name: &'static str,
    pub(super) value: Value,
}

/// A measured value, with its unit.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A number of things.
    Count(u64),
    /// Numbers of things, by the value of a label. A label may occur several times.
    CountBy(Vec<(&'static str, u64)>),
    /// Numbers of things, by the cluster of their senders.
    CountByCluster(Vec<(Arc<str>, u64)>),
    /// One response with this status.
    Status(u16),
    /// A size.
    Bytes(u64),
    /// A duration.
    Seconds(f64),
    /// The present number of things.
    Current(u64),
    /// The present size of something.
    CurrentBytes(u64),
}

impl Measurement {
    pub(super) fn new(name: &'static str, value: Value) -> Self {
        Self { name, value }
    }

    pub(super) fn count(name: &'static str, count: u64) -> Self {
        Self::new(name, Value::Count(count))
    }

    pub(super) fn count_by(
        name: &'static str,
        counts: impl IntoIterator<Item = (&'static str, u64)>,
    ) -> Self {
        Self::new(name, Value::CountBy(counts.into_iter().collect()))
    }
}

impl Value {
    /// Returns the number of things, of all labels together; 0 if it is not a count.
    pub(super) fn total(&self) -> u64 {
        match self {
            Self::Count(count) => *count,
            Self::CountBy(counts) => counts.iter().map(|(_, count)| count).sum(),
            Self::CountByCluster(counts) => counts.iter().map(|(_, count)| count).sum(),
            Self::Status(_) => 1,
            Self::Bytes(_) | Self::Seconds(_) | Self::Current(_) | Self::CurrentBytes(_) => 0,
        }
    }
}
