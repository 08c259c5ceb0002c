//! Histograms as text.

use std::fmt;

use super::go_math::Shortest;
use super::{Bucket, FloatHistogram};

/// The text that `count_values` of PromQL prints: the buckets that have observations, from the lowest to the highest.
impl fmt::Display for FloatHistogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, sum) = (Shortest(self.count()), Shortest(self.sum()));
        write!(f, "{{count:{count}, sum:{sum}")?;
        let zero = Some(self.zero_bucket());
        // Other than in `all_buckets` the zero bucket cuts none off, and may have a negative count.
        let buckets = self.negative_buckets().rev().chain(zero);
        for bucket in buckets.chain(self.positive_buckets()) {
            if bucket.count != 0.0 {
                write!(f, ", {bucket}")?;
            }
        }
        f.write_str("}")
    }
}

/// The boundaries in brackets, square ones if the boundary is in the bucket, and the count.
impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lower, upper) = (Shortest(self.lower), Shortest(self.upper));
        let count = Shortest(self.count);
        let open = if self.is_lower_inclusive { '[' } else { '(' };
        let close = if self.is_upper_inclusive { ']' } else { ')' };
        write!(f, "{open}{lower},{upper}{close}:{count}")
    }
}
