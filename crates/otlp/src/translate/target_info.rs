//! The times of `target_info`.

use std::ops::RangeInclusive;

use super::time_ms;
use crate::model::{Data, Metric};

/// Half of Prometheus' default look-back, so that each query finds a sample.
const STEP_NANOS: i128 = 150_000_000_000;

/// The bounds of `target_info`, which has samples from the first to the last data point of its resource: a wrong time
/// must not make millions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetInfoBounds {
    /// The times that can be stored, in milliseconds since the Unix epoch. Data points at other times have no part in
    /// `target_info`.
    pub times_ms: RangeInclusive<i64>,
    /// The most samples that all resources of a request get between their first and last data points. The sample at
    /// the last data point does not count.
    pub max_samples: usize,
}

impl Default for TargetInfoBounds {
    /// Returns bounds that accept any time, and samples over a day.
    fn default() -> Self {
        Self {
            times_ms: i64::MIN..=i64::MAX,
            max_samples: 576,
        }
    }
}

/// The first and the last time of the data points of a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Period {
    first: u64,
    last: u64,
}

impl Period {
    /// Adds the times of a metric within the bounds to those of a resource.
    pub(super) fn add(period: &mut Option<Self>, metric: &Metric<'_>, bounds: &TargetInfoBounds) {
        let mut add = |time: u64| {
            if bounds.times_ms.contains(&time_ms(time)) {
                let all = period.get_or_insert(Self {
                    first: time,
                    last: time,
                });
                all.first = all.first.min(time);
                all.last = all.last.max(time);
            }
        };
        match &metric.data {
            Data::None => {}
            Data::Gauge(points) | Data::Sum { points, .. } => {
                points.iter().for_each(|it| add(it.time_unix_nano));
            }
            Data::Histogram { points, .. } => points.iter().for_each(|it| add(it.time_unix_nano)),
            Data::Exponential { points, .. } => points.iter().for_each(|it| add(it.time_unix_nano)),
            Data::Summary(points) => points.iter().for_each(|it| add(it.time_unix_nano)),
        }
    }

    /// Returns the times of samples in milliseconds, ascending: from the first data point on, of which at most `left`
    /// remain before the last one. `left` becomes smaller by as many.
    pub(super) fn times_ms(self, left: &mut usize) -> impl Iterator<Item = i64> + use<> {
        let first = i128::from(self.first.cast_signed());
        let last = i128::from(self.last.cast_signed());
        let steps = (last - first + STEP_NANOS - 1).max(0) / STEP_NANOS;
        let count = steps.min(*left as i128);
        *left -= count as usize;
        let times = (steps - count..steps).map(move |step| first + step * STEP_NANOS);
        let times = times.chain([last]);
        times.map(|nanos| nanos.div_euclid(1_000_000) as i64)
    }
}
