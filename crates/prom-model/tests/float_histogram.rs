//! The results of float histograms, compared with those of Prometheus in tests/golden, and laws that they obey.

use std::collections::HashMap;
use std::str::FromStr;

use prom_model::{
    Bucket, Buckets, Combination, CompensatedHistogram, Count, FloatHistogram, Histogram,
    MixedSchemas, NanEffect, ResetHint, Span,
};

const GOLDEN: &str = include_str!("golden/float_histograms.txt");

fn list<T: FromStr>(text: &str) -> Vec<T> {
    let parse = |part: &str| part.parse().ok().unwrap_or_else(|| panic!("{text}"));
    text.split(',')
        .filter(|it| !it.is_empty())
        .map(parse)
        .collect()
}

fn spans(text: &str) -> Vec<Span> {
    let span = |part: &str| {
        let (offset, length) = part.split_once(':').unwrap();
        Span {
            offset: offset.parse().unwrap(),
            length: length.parse().unwrap(),
        }
    };
    text.split(',')
        .filter(|it| !it.is_empty())
        .map(span)
        .collect()
}

/// Reads a histogram; the golden file explains the syntax.
fn read(text: &str, is_float: bool) -> Histogram {
    let fields: Vec<_> = text.split('|').collect();
    let [
        hint,
        schema,
        threshold,
        zero_count,
        count,
        sum,
        sides @ ..,
        custom_values,
    ] = &fields[..]
    else {
        panic!("{text}");
    };
    let count_of = |text: &str| match is_float {
        true => Some(Count::Float(float(text))),
        false => Some(Count::Int(text.parse().unwrap())),
    };
    let side = |span_list: &str, buckets: &str| Buckets {
        spans: spans(span_list),
        deltas: if is_float { vec![] } else { list(buckets) },
        counts: if is_float { list(buckets) } else { vec![] },
    };
    Histogram {
        timestamp_ms: 0,
        count: count_of(count),
        sum: float(sum),
        schema: schema.parse().unwrap(),
        zero_threshold: float(threshold),
        zero_count: count_of(zero_count),
        positive: side(sides[0], sides[1]),
        negative: side(sides[2], sides[3]),
        reset_hint: hint.parse().unwrap(),
        custom_values: list(custom_values),
    }
}

fn float(text: &str) -> f64 {
    text.parse().unwrap_or_else(|_| panic!("{text}"))
}

/// Writes a float so that only equal bits make equal texts; a NaN is like another.
fn exact(value: f64) -> String {
    format!("{value:e}")
}

fn exact_list(values: &[f64]) -> String {
    let values: Vec<_> = values.iter().copied().map(exact).collect();
    values.join(",")
}

/// Writes a histogram so that only equal ones make equal texts.
fn written(histogram: &FloatHistogram) -> String {
    let it = histogram.to_histogram(0);
    let side = |side: &Buckets| {
        let spans: Vec<_> = side
            .spans
            .iter()
            .map(|span| format!("{}:{}", span.offset, span.length))
            .collect();
        format!("{}|{}", spans.join(","), exact_list(&side.counts))
    };
    format!(
        "{}|{}|{}|{}|{}|{}|{}|{}|{}",
        it.reset_hint,
        it.schema,
        exact(it.zero_threshold),
        exact(histogram.zero_count()),
        exact(histogram.count()),
        exact(it.sum),
        side(&it.positive),
        side(&it.negative),
        exact_list(&it.custom_values),
    )
}

fn floats(text: &str) -> FloatHistogram {
    FloatHistogram::try_from(&read(text, true)).unwrap()
}

fn flags(combination: Combination) -> String {
    let conflict = if combination.has_conflicting_resets {
        "r"
    } else {
        ""
    };
    let bounds = if combination.has_reconciled_bounds {
        "b"
    } else {
        ""
    };
    format!("-{conflict}{bounds}")
}

/// Returns the histograms of the golden file.
fn histograms() -> Vec<FloatHistogram> {
    let histogram = |line: &str| match line.split_once(' ') {
        Some(("float", fields)) => Some(read(fields, true)),
        Some(("int", fields)) => Some(read(fields, false)),
        _ => None,
    };
    GOLDEN
        .lines()
        .filter_map(histogram)
        .map(|it| FloatHistogram::try_from(&it).unwrap())
        .collect()
}

fn all_written(buckets: impl Iterator<Item = Bucket>) -> String {
    let buckets: Vec<_> = buckets.map(|bucket| bucket.to_string()).collect();
    buckets.join(";")
}

/// Returns a hash of the boundaries of 30001 buckets.
fn bounds(schema: i32) -> String {
    let histogram = FloatHistogram::try_from(&Histogram {
        count: Some(Count::Float(0.0)),
        schema,
        positive: Buckets {
            spans: vec![Span {
                offset: -15_000,
                length: 30_001,
            }],
            deltas: vec![],
            counts: vec![0.0; 30_001],
        },
        ..Histogram::default()
    });
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for bucket in histogram.unwrap().positive_buckets() {
        for byte in format!("{:016x}", bucket.upper.to_bits()).bytes() {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    format!("{hash:016x}")
}

/// Returns the expected result, written as the actual one is, and the actual one.
fn outcome(
    all: &[FloatHistogram],
    operation: &str,
    operands: &[&str],
    expected: &str,
) -> (String, String) {
    let histogram = |position: usize| &all[operands[position].parse::<usize>().unwrap()];
    let number = |position: usize| float(operands[position]);
    let changed = |change: &dyn Fn(&mut FloatHistogram)| {
        let mut it = histogram(0).clone();
        change(&mut it);
        (written(&floats(expected)), written(&it))
    };
    let combined = |combination: Result<Combination, MixedSchemas>, mut it: FloatHistogram| {
        let Ok(combination) = combination else {
            return (expected.to_owned(), "mixed".to_owned());
        };
        it.compact(0);
        let Some((expected_flags, fields)) = expected.split_once(' ') else {
            return (expected.to_owned(), written(&it));
        };
        let expected = format!("{expected_flags} {}", written(&floats(fields)));
        (expected, format!("{} {}", flags(combination), written(&it)))
    };
    let same = |actual: String| (expected.to_owned(), actual);
    let floats_and_more = |actual: String| {
        let exact = |part: &str| part.parse().map_or_else(|_| part.to_owned(), exact);
        let expected: Vec<_> = expected.split(' ').map(exact).collect();
        (expected.join(" "), actual)
    };
    match operation {
        "bounds" => same(bounds(operands[0].parse().unwrap())),
        "text" => same(histogram(0).to_string()),
        "size" => same(histogram(0).size_in_samples().to_string()),
        "conv" => changed(&|_| {}),
        "all" => same(all_written(histogram(0).all_buckets())),
        "reversed" => same(all_written(histogram(0).all_buckets().rev())),
        "statistics" => {
            let it = histogram(0);
            let values = [it.mean(), it.variance(), it.standard_deviation()].map(exact);
            floats_and_more(values.join(" "))
        }
        "quantile" => {
            let quantile = histogram(0).quantile(number(1));
            let effect = match quantile.nan_effect {
                None => "-",
                Some(NanEffect::SkewedHigher) => "higher",
                Some(NanEffect::ResultIsNan) => "result",
            };
            floats_and_more(format!("{} {effect}", exact(quantile.value)))
        }
        "fraction" => {
            let fraction = histogram(0).fraction(number(1), number(2));
            floats_and_more(format!(
                "{} {}",
                exact(fraction.value),
                fraction.excludes_nan
            ))
        }
        "trim_upper" => changed(&|it| it.trim_upper(number(1))),
        "trim_lower" => changed(&|it| it.trim_lower(number(1))),
        "mul" => changed(&|it| it.mul(number(1))),
        "div" => changed(&|it| it.div(number(1))),
        "compact" => changed(&|it| it.compact(operands[1].parse().unwrap())),
        "reduce" => changed(&|it| {
            it.reduce_resolution(operands[1].parse().unwrap()).unwrap();
        }),
        "add" => {
            let mut sum = histogram(0).clone();
            combined(sum.add(histogram(1)), sum)
        }
        "sub" => {
            let mut difference = histogram(0).clone();
            combined(difference.sub(histogram(1)), difference)
        }
        "sum" => {
            let mut sum = CompensatedHistogram::new(histogram(0).clone());
            let mut total = Ok(Combination::default());
            for position in 1..operands.len() {
                total = total.and_then(|total| {
                    let combination = sum.add(histogram(position))?;
                    Ok(Combination {
                        has_conflicting_resets: total.has_conflicting_resets
                            || combination.has_conflicting_resets,
                        has_reconciled_bounds: total.has_reconciled_bounds
                            || combination.has_reconciled_bounds,
                    })
                });
            }
            combined(total, sum.into_histogram())
        }
        "mean" => {
            let mut mean = CompensatedHistogram::new(histogram(0).clone());
            for position in 1..operands.len() {
                let count = position as f64 + 1.0;
                mean.mul((count - 1.0) / count);
                let mut part = histogram(position).clone();
                part.div(count);
                let _ = mean.add(&part).unwrap();
            }
            let mut mean = mean.into_histogram();
            mean.compact(0);
            (written(&floats(expected)), written(&mean))
        }
        "reset" => same(histogram(0).detects_reset(histogram(1)).to_string()),
        "evenreset" => {
            let mut own = histogram(0).to_histogram(0);
            own.count = Some(Count::Float(histogram(1).count()));
            own.reset_hint = 0;
            let own = FloatHistogram::try_from(&own).unwrap();
            same(own.detects_reset(histogram(1)).to_string())
        }
        "widereset" => {
            let mut own = histogram(0).to_histogram(0);
            own.zero_threshold = number(1);
            own.zero_count = Some(Count::Float(1e300));
            own.reset_hint = 0;
            let own = FloatHistogram::try_from(&own).unwrap();
            same(own.detects_reset(histogram(0)).to_string())
        }
        "sumreset" => {
            let mut sum = histogram(1).clone();
            let _ = sum.add(histogram(0)).unwrap();
            sum.set_reset_hint(ResetHint::Unknown);
            sum.compact(0);
            same(sum.detects_reset(histogram(1)).to_string())
        }
        "equals" => same(histogram(0).equals(histogram(1)).to_string()),
        _ => panic!("{operation}"),
    }
}

#[test]
fn results_are_those_of_prometheus() {
    let mut all = Vec::new();
    let mut counts = HashMap::<_, usize>::new();
    let mut differences = Vec::new();
    for line in GOLDEN
        .lines()
        .skip_while(|line| !line.is_empty())
        .skip(1)
        .skip_while(|line| !line.is_empty())
    {
        let Some((operation, fields)) = line.split_once(' ') else {
            continue;
        };
        if let "log2" | "exp2" = operation {
            // They have tests where these functions are.
            continue;
        }
        if let "int" | "float" = operation {
            all.push(FloatHistogram::try_from(&read(fields, operation == "float")).unwrap());
            continue;
        }
        let (operands, expected) = fields.split_once(" = ").unwrap();
        let operands: Vec<_> = operands.split(' ').collect();
        let (expected, actual) = outcome(&all, operation, &operands, expected);
        *counts.entry(operation).or_default() += 1;
        if expected != actual {
            differences.push(format!(
                "{line}\n  expected {expected}\n  actual   {actual}"
            ));
        }
    }
    assert_eq!(counts.len(), 24, "{counts:?}");
    assert!(counts.values().all(|count| *count > 10), "{counts:?}");
    let number = differences.len();
    differences.truncate(10);
    assert!(
        number == 0,
        "{number} differences:\n{}",
        differences.join("\n")
    );
}

/// Returns the buckets that have observations.
fn filled(histogram: &FloatHistogram) -> Vec<Bucket> {
    let buckets = histogram.all_buckets();
    buckets.filter(|bucket| bucket.count != 0.0).collect()
}

/// Calls a test with each pair of histograms that combine.
fn with_pairs(mut test: impl FnMut(&FloatHistogram, &FloatHistogram)) {
    let all = histograms();
    let mut pairs = 0;
    for a in &all {
        for b in &all {
            if a.has_custom_buckets() == b.has_custom_buckets() {
                test(a, b);
                pairs += 1;
            }
        }
    }
    assert!(pairs > 5_000, "{pairs}");
}

#[test]
fn addition_commutes() {
    with_pairs(|a, b| {
        let (mut ab, mut ba) = (a.clone(), b.clone());
        assert_eq!(ab.add(b), ba.add(a));
        assert_eq!(ab.reset_hint(), ba.reset_hint());
        assert_eq!(ab.schema(), ba.schema());
        assert_eq!(ab.zero_threshold(), ba.zero_threshold());
        assert_eq!(ab.custom_values(), ba.custom_values());
        if a.custom_values() != b.custom_values() {
            // Buckets are merged, in another order.
            return;
        }
        // A zero bucket that grows takes others in, in another order too.
        let without_width = |it: &FloatHistogram| {
            let mut it = it.to_histogram(0);
            it.zero_threshold = 0.0;
            FloatHistogram::try_from(&it).unwrap()
        };
        let (a, b) = (without_width(a), without_width(b));
        let (mut ab, mut ba) = (a.clone(), b.clone());
        assert_eq!(ab.add(&b), ba.add(&a));
        for sum in [&mut ab, &mut ba] {
            sum.compact(0);
        }
        assert_eq!(written(&ab), written(&ba));
    });
}

#[test]
fn subtraction_undoes_addition() {
    // Whole counts, so that no sum is rounded.
    let whole: Vec<_> = histograms()
        .into_iter()
        .filter(|it| {
            it.all_buckets()
                .all(|bucket| bucket.count.fract() == 0.0 && bucket.count < 1e6)
        })
        .collect();
    let mut undone = 0;
    for a in &whole {
        for b in &whole {
            if a.has_custom_buckets() != b.has_custom_buckets() {
                continue;
            }
            let mut sum = a.clone();
            let _ = sum.add(b).unwrap();
            let _ = sum.sub(b).unwrap();
            if b.zero_threshold() != a.zero_threshold() || a.schema() != b.schema() {
                continue;
            }
            // The layout of the sum remains, so the first operand gets it too.
            let mut expected = a.clone();
            let mut nothing = b.clone();
            nothing.mul(0.0);
            let _ = expected.add(&nothing).unwrap();
            sum.compact(0);
            expected.compact(0);
            assert_eq!(filled(&sum), filled(&expected));
            undone += 1;
        }
    }
    assert!(undone > 50, "{undone}");
}

#[test]
fn a_compacted_histogram_has_the_same_observations() {
    for histogram in histograms() {
        for max_empty in [0, 1, 2, 50] {
            let mut compacted = histogram.clone();
            compacted.compact(max_empty);
            // A NaN is not equal to itself.
            let text = |it: &FloatHistogram| all_written(filled(it).into_iter());
            assert_eq!(text(&compacted), text(&histogram));
            assert_eq!(compacted.to_string(), histogram.to_string());
            let mut again = compacted.clone();
            again.compact(max_empty);
            assert!(again.equals(&compacted));
            if max_empty == 0 {
                assert_eq!(
                    compacted
                        .positive_buckets()
                        .filter(|it| it.count == 0.0)
                        .count(),
                    0
                );
                assert!(compacted.size_in_samples() <= histogram.size_in_samples());
            }
        }
    }
}

#[test]
fn both_directions_have_the_same_buckets() {
    for histogram in histograms() {
        let forward = all_written(histogram.all_buckets());
        let mut backward: Vec<_> = histogram.all_buckets().rev().collect();
        backward.reverse();
        assert_eq!(all_written(backward.into_iter()), forward);
        let sides = histogram.positive_buckets().len() + histogram.negative_buckets().len();
        let zero = usize::from(histogram.zero_count() > 0.0);
        assert_eq!(histogram.all_buckets().count(), sides + zero);
    }
}

#[test]
fn protocols_carry_all_of_a_histogram() {
    for histogram in histograms() {
        let back = FloatHistogram::try_from(&histogram.to_histogram(7)).unwrap();
        assert_eq!(written(&back), written(&histogram));
        assert!(back.equals(&histogram));
    }
}

#[test]
fn a_sum_has_seen_no_reset() {
    with_pairs(|a, b| {
        let is_counter = |it: &FloatHistogram| {
            it.count() >= 0.0 && it.all_buckets().all(|bucket| bucket.count >= 0.0)
        };
        if !is_counter(a) || !is_counter(b) || a.has_overflow() || b.has_overflow() {
            return;
        }
        let mut sum = a.clone();
        let _ = sum.add(b).unwrap();
        sum.set_reset_hint(ResetHint::Unknown);
        // Elsewhere the zero bucket of the sum may end in a bucket of the part.
        if sum.zero_threshold() == a.zero_threshold() {
            assert!(!sum.detects_reset(a), "{sum} after {a}");
        }
        let mut half = a.clone();
        half.mul(0.5);
        for (hint, is_reset) in [
            (ResetHint::Unknown, a.count() > 0.0),
            (ResetHint::Gauge, a.count() > 0.0),
            (ResetHint::NotReset, false),
            (ResetHint::Reset, true),
        ] {
            half.set_reset_hint(hint);
            assert_eq!(half.detects_reset(a), is_reset, "{half} after {a}");
        }
    });
}

#[test]
fn extreme_histograms_do_not_panic() {
    let mut state = 22_u64;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005);
        state = state.wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let values = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.3,
        1e-320,
        f64::MAX,
        f64::MIN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        7.5,
    ];
    let offsets = [0, 1, 5, 1_000, i32::MAX, i32::MAX - 1, 262_144];
    let mut extreme = |_| {
        let mut side = || {
            let spans: Vec<_> = (0..below(4))
                .map(|position| Span {
                    offset: match position {
                        0 if below(2) == 0 => -offsets[below(7)] - 1,
                        _ => offsets[below(7)],
                    },
                    length: below(4) as u32,
                })
                .collect();
            let buckets: u32 = spans.iter().map(|span| span.length).sum();
            Buckets {
                spans,
                deltas: vec![],
                counts: (0..buckets).map(|_| values[below(12)]).collect(),
            }
        };
        let (positive, negative) = (side(), side());
        let histogram = Histogram {
            count: Some(Count::Float(values[below(12)])),
            sum: values[below(12)],
            schema: below(57) as i32 - 4,
            zero_threshold: values[below(12)],
            zero_count: Some(Count::Float(values[below(12)])),
            positive,
            negative,
            ..Histogram::default()
        };
        FloatHistogram::try_from(&histogram).unwrap()
    };
    let all: Vec<_> = (0..150).map(&mut extreme).collect();
    for a in &all {
        assert_eq!(a.equals(a), !a.zero_threshold().is_nan());
        for &value in &values {
            let _ = (a.quantile(value), a.fraction(-1.0, value));
            for change in [
                FloatHistogram::trim_upper,
                FloatHistogram::trim_lower,
                FloatHistogram::mul,
                FloatHistogram::div,
            ] {
                let mut changed = a.clone();
                change(&mut changed, value);
                changed.compact(3);
                assert!(changed.to_string().starts_with('{'));
            }
        }
        let forward = a.all_buckets().count();
        assert_eq!(a.all_buckets().rev().count(), forward);
        assert!(a.variance().is_nan() || a.standard_deviation().is_nan() || a.variance() >= 0.0);
        for b in &all {
            let _ = a.detects_reset(b);
            let mut sum = CompensatedHistogram::new(a.clone());
            let _ = sum.add(b).unwrap();
            let mut difference = sum.into_histogram();
            let _ = difference.sub(b).unwrap();
            difference.compact(1);
            assert!(difference.schema() <= a.schema());
        }
    }
}
