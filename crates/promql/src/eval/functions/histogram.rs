//! The functions of histograms: native ones, and classic ones, which are a series for each bucket.

mod classic;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::Arc;

use prom_model::{FloatHistogram, METRIC_NAME_LABEL, NanEffect};

use self::classic::{BUCKET_LABEL, Bucket, BucketWalk, ClassicHistogram, ClassicHistograms};
use crate::annotations::{Annotation, RaisedBuckets};
use crate::eval::grid::{self, GridFloat, GridSeries};
use crate::eval::scalar::Scalar;
use crate::eval::{Evaluated, Evaluator, fail, metric_name};
use crate::number::general;
use crate::plan::{Call, Node, NodeKind};
use crate::position::Span;

/// The number of steps between two checks for an interrupt.
const STEPS_PER_CHECK: usize = 256;

/// Evaluates a call of a function whose name begins with `histogram_`.
pub(super) fn call<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    match (call.function.name, &call.arguments[..]) {
        ("histogram_count", [vector]) => statistic(ev, vector, FloatHistogram::count),
        ("histogram_sum", [vector]) => statistic(ev, vector, FloatHistogram::sum),
        ("histogram_avg", [vector]) => statistic(ev, vector, FloatHistogram::mean),
        ("histogram_stdvar", [vector]) => statistic(ev, vector, FloatHistogram::variance),
        ("histogram_stddev", [vector]) => statistic(ev, vector, FloatHistogram::standard_deviation),
        ("histogram_quantile", [q, vector]) => quantile(ev, q, vector),
        ("histogram_quantiles", [vector, label, qs @ ..]) => quantiles(ev, vector, label, qs),
        ("histogram_fraction", [lower, upper, vector]) => fraction(ev, lower, upper, vector),
        (name, _) => fail(format!("{name}() is no function of histograms")),
    }
}

/// Returns a number for each native histogram.
fn statistic<'a>(
    ev: &mut Evaluator<'a>,
    vector: &'a Node,
    of: impl Fn(&FloatHistogram) -> f64,
) -> Evaluated<Vec<GridSeries>> {
    let mut series = ev.vector(vector)?;
    series.retain(|one| !one.histograms.is_empty());
    for one in &mut series {
        ev.check_interrupt()?;
        let float = |it: grid::GridHistogram| GridFloat {
            step: it.step,
            value: of(&it.histogram),
        };
        one.floats = std::mem::take(&mut one.histograms)
            .into_iter()
            .map(float)
            .collect();
        one.drop_name = true;
        if !ev.options.delayed_name_removal {
            // As in Prometheus the type and the unit stay.
            one.labels = Arc::new(one.labels.filtered(|name| name != METRIC_NAME_LABEL));
        }
    }
    ev.merge_equal_labels(series)
}

fn quantile<'a>(
    ev: &mut Evaluator<'a>,
    q: &'a Node,
    vector: &'a Node,
) -> Evaluated<Vec<GridSeries>> {
    let of = ev.scalar(q)?;
    let series = ev.vector(vector)?;
    warn_of_quantiles(ev, &of, q.span);
    let estimated = estimate(ev, series, &[Estimate::Quantile(of)], vector.span)?;
    ev.merge_equal_labels(estimated.into_iter().flatten().collect())
}

fn quantiles<'a>(
    ev: &mut Evaluator<'a>,
    vector: &'a Node,
    label: &'a Node,
    qs: &'a [Node],
) -> Evaluated<Vec<GridSeries>> {
    let NodeKind::String(label) = &label.kind else {
        return fail("the label of histogram_quantiles() is no string");
    };
    let label = String::from_utf8_lossy(label.as_bytes());
    let series = ev.vector(vector)?;
    let mut wanted = Vec::with_capacity(qs.len());
    for q in qs {
        let of = ev.scalar(q)?;
        warn_of_quantiles(ev, &of, q.span);
        wanted.push(Estimate::Quantile(of));
    }
    let estimated = estimate(ev, series, &wanted, vector.span)?;
    let mut labelled = Vec::new();
    for (series, wanted) in estimated.into_iter().zip(&wanted) {
        let Estimate::Quantile(of) = wanted else {
            continue;
        };
        for one in series {
            add_with_quantile(&mut labelled, one, of, &label);
        }
    }
    ev.merge_equal_labels(labelled)
}

fn fraction<'a>(
    ev: &mut Evaluator<'a>,
    lower: &'a Node,
    upper: &'a Node,
    vector: &'a Node,
) -> Evaluated<Vec<GridSeries>> {
    let wanted = Estimate::Fraction {
        lower: ev.scalar(lower)?,
        upper: ev.scalar(upper)?,
    };
    let series = ev.vector(vector)?;
    let estimated = estimate(ev, series, &[wanted], vector.span)?;
    ev.merge_equal_labels(estimated.into_iter().flatten().collect())
}

/// Warns of numbers that are no quantiles.
fn warn_of_quantiles(ev: &mut Evaluator<'_>, of: &Scalar, span: Span) {
    let mut last = None;
    for &q in of.distinct() {
        if beyond_quantiles(q).is_some() && last != Some(q.to_bits()) {
            last = Some(q.to_bits());
            ev.annotate(Annotation::invalid_quantile(q, span));
        }
    }
}

/// Returns the result for a number that is no quantile.
fn beyond_quantiles(q: f64) -> Option<f64> {
    match q {
        _ if q.is_nan() => Some(f64::NAN),
        _ if q < 0.0 => Some(f64::NEG_INFINITY),
        _ if q > 1.0 => Some(f64::INFINITY),
        _ => None,
    }
}

/// Adds a series with its quantile as a label: as several series if the quantile differs between steps.
fn add_with_quantile(to: &mut Vec<GridSeries>, mut one: GridSeries, of: &Scalar, label: &str) {
    let labels = Arc::clone(&one.labels);
    let with_quantile = |q: f64| {
        let mut labels = (*labels).clone();
        labels.set(label, &quantile_text(q));
        Arc::new(labels)
    };
    if let Scalar::Constant(q) = of {
        one.labels = with_quantile(*q);
        to.push(one);
        return;
    }
    let mut places = HashMap::new();
    for float in one.floats {
        let q = of.at(float.step);
        // All of a text are one: -0 is 0, and any NaN is NaN.
        let key = match q {
            _ if q.is_nan() => f64::NAN.to_bits(),
            _ => (q + 0.0).to_bits(),
        };
        let place = *places.entry(key).or_insert_with(|| {
            to.push(GridSeries::new(with_quantile(q), one.drop_name));
            to.len() - 1
        });
        to[place].floats.push(float);
    }
}

/// Formats a number as OpenMetrics does: never as an integer.
fn quantile_text(q: f64) -> String {
    let q = q + 0.0;
    let mut text = general(q);
    if q.is_finite() && !text.contains(['e', '.']) {
        text.push_str(".0");
    }
    text
}

/// A number that is estimated from the buckets of a histogram.
enum Estimate {
    Quantile(Scalar),
    Fraction { lower: Scalar, upper: Scalar },
}

/// Returns the estimates for all histograms of a vector, without their names: for each wanted one the series.
fn estimate(
    ev: &mut Evaluator<'_>,
    series: Vec<GridSeries>,
    wanted: &[Estimate],
    span: Span,
) -> Evaluated<Vec<Vec<GridSeries>>> {
    let (mut natives, classics) = split(ev, series, span)?;
    // The native histograms of the classic ones with the same labels.
    let mut counterparts: HashMap<usize, usize> = HashMap::new();
    for (index, native) in natives.iter().enumerate() {
        if let Some(place) = classics.place_of(&native.series.labels) {
            counterparts.insert(place, index);
        }
    }
    let mut of_classics: Vec<Vec<GridSeries>> = wanted.iter().map(|_| Vec::new()).collect();
    for (place, classic) in classics.into_histograms().into_iter().enumerate() {
        let counterpart = counterparts.get(&place).map(|&index| &mut natives[index]);
        for (series, one) in
            of_classics
                .iter_mut()
                .zip(estimate_classic(ev, classic, counterpart, wanted, span)?)
        {
            series.push(one);
        }
    }
    let mut estimated = Vec::with_capacity(wanted.len());
    for (wanted, of_classics) in wanted.iter().zip(of_classics) {
        let mut series = Vec::with_capacity(natives.len() + of_classics.len());
        for native in &natives {
            series.push(estimate_native(ev, native, wanted, span)?);
        }
        series.extend(of_classics);
        series.retain(|one| !one.is_empty());
        estimated.push(series);
    }
    Ok(estimated)
}

/// A series of native histograms.
struct NativeHistograms {
    series: GridSeries,
    /// The steps, in order, at which there is a classic histogram with the same labels.
    conflicts: Vec<u32>,
}

/// Splits a vector into native histograms and the buckets of classic ones.
fn split(
    ev: &mut Evaluator<'_>,
    series: Vec<GridSeries>,
    span: Span,
) -> Evaluated<(Vec<NativeHistograms>, ClassicHistograms)> {
    let mut natives = Vec::new();
    let mut classics = ClassicHistograms::default();
    for mut one in series {
        ev.check_interrupt()?;
        let counts = std::mem::take(&mut one.floats);
        if !counts.is_empty() {
            let bound = one.labels.get(BUCKET_LABEL);
            match crate::go_float::parse(bound) {
                Some(upper_bound) => {
                    let bucket = Bucket {
                        upper_bound,
                        counts,
                    };
                    classics.add(&one.labels, bucket);
                }
                None => {
                    let metric = name_in_annotations(ev, &one);
                    ev.annotate(Annotation::bad_bucket_label(metric, bound, span));
                }
            }
        }
        if !one.histograms.is_empty() {
            natives.push(NativeHistograms {
                series: one,
                conflicts: Vec::new(),
            });
        }
    }
    Ok((natives, classics))
}

/// Returns the name of a metric unless names are removed at once.
fn name_in_annotations<'s>(ev: &Evaluator<'_>, series: &'s GridSeries) -> &'s str {
    match ev.options.delayed_name_removal {
        true => metric_name(&series.labels),
        false => "",
    }
}

fn estimate_classic(
    ev: &mut Evaluator<'_>,
    classic: ClassicHistogram,
    mut counterpart: Option<&mut NativeHistograms>,
    wanted: &[Estimate],
    span: Span,
) -> Evaluated<Vec<GridSeries>> {
    let mut walk = BucketWalk::new(classic.buckets);
    let reserved = walk.max_steps() * wanted.len();
    ev.samples.add(reserved)?;
    let mut series = GridSeries::new(classic.labels, false);
    let metric = name_in_annotations(ev, &series).to_owned();
    ev.drop_name(&mut series);
    let mut estimated: Vec<GridSeries> = wanted.iter().map(|_| series.clone()).collect();
    for one in &mut estimated {
        one.floats.reserve_exact(walk.max_steps());
    }
    let mut native_place = 0;
    let mut raised: Option<RaisedBuckets> = None;
    let mut steps = 0;
    while let Some(step) = walk.next_step() {
        steps += 1;
        if steps % STEPS_PER_CHECK == 0 {
            ev.check_interrupt()?;
        }
        if let Some(native) = &mut counterpart {
            let histograms = &native.series.histograms[native_place..];
            native_place += histograms.partition_point(|it| it.step < step);
            let histogram = native.series.histograms.get(native_place);
            if histogram.is_some_and(|it| it.step == step) {
                native.conflicts.push(step);
                continue;
            }
        }
        let mut buckets = walk.buckets();
        let mut is_monotonic = false;
        for (one, wanted) in estimated.iter_mut().zip(wanted) {
            let value = match wanted {
                Estimate::Fraction { lower, upper } => {
                    buckets.fraction(lower.at(step), upper.at(step))
                }
                Estimate::Quantile(of) => {
                    let q = of.at(step);
                    beyond_quantiles(q).unwrap_or_else(|| {
                        if !std::mem::replace(&mut is_monotonic, true)
                            && let Some(more) = buckets.make_monotonic()
                        {
                            let time = ev.steps.time(step);
                            let more = RaisedBuckets {
                                times_ms: (time, time),
                                bounds: more.bounds,
                                max_difference: more.difference,
                                samples: 1,
                            };
                            match &mut raised {
                                Some(raised) => raised.merge(more),
                                None => raised = Some(more),
                            }
                        }
                        buckets.quantile(q)
                    })
                }
            };
            one.floats.push(GridFloat { step, value });
        }
    }
    ev.samples
        .add((steps * wanted.len()).saturating_sub(reserved))?;
    if counterpart.is_some_and(|native| !native.conflicts.is_empty()) {
        ev.annotate(Annotation::mixed_classic_native_histograms(&metric, span));
    }
    if let Some(raised) = raised {
        ev.annotate(Annotation::forced_monotonicity(&metric, span, raised));
    }
    Ok(estimated)
}

fn estimate_native(
    ev: &mut Evaluator<'_>,
    native: &NativeHistograms,
    wanted: &Estimate,
    span: Span,
) -> Evaluated<GridSeries> {
    ev.check_interrupt()?;
    let histograms = &native.series.histograms;
    let mut conflicts = native.conflicts.iter().peekable();
    ev.samples.add(histograms.len() - native.conflicts.len())?;
    let mut series = GridSeries::new(Arc::clone(&native.series.labels), false);
    let metric = name_in_annotations(ev, &series).to_owned();
    ev.drop_name(&mut series);
    series.floats.reserve_exact(histograms.len());
    let (mut is_nan, mut is_skewed, mut excludes_nan) = (false, false, false);
    for it in histograms {
        if conflicts.next_if(|step| **step == it.step).is_some() {
            continue;
        }
        let value = match wanted {
            Estimate::Quantile(of) => {
                let quantile = it.histogram.quantile(of.at(it.step));
                is_nan |= quantile.nan_effect == Some(NanEffect::ResultIsNan);
                is_skewed |= quantile.nan_effect == Some(NanEffect::SkewedHigher);
                quantile.value
            }
            Estimate::Fraction { lower, upper } => {
                let fraction = it.histogram.fraction(lower.at(it.step), upper.at(it.step));
                excludes_nan |= fraction.excludes_nan;
                fraction.value
            }
        };
        let step = it.step;
        series.floats.push(GridFloat { step, value });
    }
    if is_nan {
        ev.annotate(Annotation::quantile_is_nan(&metric, span));
    }
    if is_skewed {
        ev.annotate(Annotation::quantile_is_skewed(&metric, span));
    }
    if excludes_nan {
        ev.annotate(Annotation::fraction_excludes_nan(&metric, span));
    }
    Ok(series)
}
