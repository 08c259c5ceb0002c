//! Values that are close enough to those that a script expects.

use prom_model::{Buckets, FloatHistogram, STALE_MARKER_BITS};

/// The greatest difference of floats in proportion to the sum of both.
const TOLERANCE: f64 = 1e-6;

/// Returns true if the floats are equal but for rounding, or both NaN; a stale marker is equal to itself only.
pub(crate) fn floats_match(a: f64, b: f64) -> bool {
    let is_stale = |value: f64| value.to_bits() == STALE_MARKER_BITS;
    if is_stale(a) || is_stale(b) {
        return is_stale(a) && is_stale(b);
    }
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (sum, difference) = (a.abs() + b.abs(), (a - b).abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return difference < TOLERANCE * f64::MIN_POSITIVE;
    }
    difference / sum.min(f64::MAX) < TOLERANCE
}

/// Returns true if the histograms have the same buckets, but for empty ones, and counts that are equal but for
/// rounding.
pub(crate) fn histograms_match(
    expected: &FloatHistogram,
    actual: &FloatHistogram,
    with_hint: bool,
) -> bool {
    let [a, b] = [expected, actual].map(|histogram| {
        let mut compact = histogram.clone();
        compact.compact(0);
        compact.to_histogram(0)
    });
    a.schema == b.schema
        && a.custom_values == b.custom_values
        && a.zero_threshold == b.zero_threshold
        && floats_match(a.float_zero_count(), b.float_zero_count())
        && floats_match(a.float_count(), b.float_count())
        && floats_match(a.sum, b.sum)
        && buckets_match(&a.positive, &b.positive)
        && buckets_match(&a.negative, &b.negative)
        && (!with_hint || a.reset_hint == b.reset_hint)
}

fn buckets_match(a: &Buckets, b: &Buckets) -> bool {
    let mut pairs = a.counts.iter().zip(&b.counts);
    indexes(a) == indexes(b) && pairs.all(|(&a, &b)| floats_match(a, b))
}

/// Returns the index of each bucket.
fn indexes(buckets: &Buckets) -> Vec<i64> {
    let (mut indexes, mut next) = (Vec::with_capacity(buckets.counts.len()), 0);
    for span in &buckets.spans {
        next += i64::from(span.offset);
        let end = next + i64::from(span.length);
        indexes.extend(next..end);
        next = end;
    }
    indexes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::{Item, description};

    #[test]
    fn floats_match_within_a_millionth() {
        let stale = f64::from_bits(STALE_MARKER_BITS);
        for (a, b, matches) in [
            (1.0, 1.000_001_9, true),
            (1.0, 1.000_002_1, false),
            (-1.0, 1.0, false),
            (0.0, -0.0, true),
            (0.0, 1e-313, false),
            (0.0, 1e-315, true),
            (f64::MAX, f64::MAX, true),
            (f64::INFINITY, f64::INFINITY, true),
            (f64::INFINITY, f64::MAX, false),
            (f64::NAN, f64::NAN, true),
            (f64::NAN, 1.0, false),
            (stale, f64::NAN, false),
            (stale, stale, true),
        ] {
            assert_eq!(floats_match(a, b), matches, "{a} {b}");
            assert_eq!(floats_match(b, a), matches, "{b} {a}");
        }
    }

    #[test]
    fn histograms_match_but_for_empty_buckets() {
        let histogram = |text: &str| {
            let line = format!("m {{{{{text}}}}}");
            match description(&line).unwrap().items.pop() {
                Some(Item::Histogram { histogram, .. }) => histogram,
                other => panic!("{other:?}"),
            }
        };
        let base = "sum:1 count:3 z_bucket_w:0.5 z_bucket:1 buckets:[1 0 1]";
        for (other, matches) in [
            (base, true),
            (
                "sum:1.0000001 count:3 z_bucket_w:0.5 z_bucket:1 buckets:[0 1 0 1 0] offset:-1",
                true,
            ),
            (
                "sum:1.1 count:3 z_bucket_w:0.5 z_bucket:1 buckets:[1 0 1]",
                false,
            ),
            (
                "sum:1 count:4 z_bucket_w:0.5 z_bucket:1 buckets:[1 0 1]",
                false,
            ),
            (
                "sum:1 count:3 z_bucket_w:0.4 z_bucket:1 buckets:[1 0 1]",
                false,
            ),
            (
                "sum:1 count:3 z_bucket_w:0.5 z_bucket:2 buckets:[1 0 1]",
                false,
            ),
            (
                "sum:1 count:3 z_bucket_w:0.5 z_bucket:1 buckets:[1 1]",
                false,
            ),
            (
                "sum:1 count:3 z_bucket_w:0.5 z_bucket:1 buckets:[1 0 2]",
                false,
            ),
            (
                "sum:1 count:3 z_bucket_w:0.5 z_bucket:1 n_buckets:[1 0 1]",
                false,
            ),
            (
                "schema:1 sum:1 count:3 z_bucket_w:0.5 z_bucket:1 buckets:[1 0 1]",
                false,
            ),
        ] {
            let is_match = histograms_match(&histogram(base), &histogram(other), false);
            assert_eq!(is_match, matches, "{other}");
        }
        let [reset, gauge] =
            ["reset", "gauge"].map(|hint| histogram(&format!("counter_reset_hint:{hint}")));
        assert!(histograms_match(&reset, &gauge, false));
        assert!(!histograms_match(&reset, &gauge, true));
        let [a, b] = ["1 2", "1 3"].map(|bounds| {
            histogram(&format!(
                "schema:-53 count:1 custom_values:[{bounds}] buckets:[1]"
            ))
        });
        assert!(!histograms_match(&a, &b, false));
    }
}
