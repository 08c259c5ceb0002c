//! Times, scalars as vectors and vectors as scalars.

use std::sync::Arc;

use super::absent::labels_of;
use crate::eval::grid::{GridFloat, GridSeries};
use crate::eval::scalar::Scalar;
use crate::eval::select::{Newest, NewestCursor};
use crate::eval::{Evaluated, Evaluator};
use crate::plan::{Call, NodeKind, Reference, Selector};

/// Returns 1 where a vector has no elements.
pub(super) fn absent<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    let argument = &call.arguments[0];
    let series = ev.vector(argument)?;
    let count = ev.steps.count();
    let held = ev.samples.held();
    // A flag has a sixteenth of the size of a sample.
    ev.samples.add(count as usize / 16)?;
    let mut is_present = vec![false; count as usize];
    for one in &series {
        ev.check_interrupt()?;
        let floats = one.floats.iter().map(|it| it.step);
        for step in floats.chain(one.histograms.iter().map(|it| it.step)) {
            is_present[step as usize] = true;
        }
    }
    let absences = is_present.iter().filter(|it| !**it).count();
    ev.samples.set_held(held + absences)?;
    let mut absent = GridSeries::new(Arc::new(labels_of(argument)), false);
    let steps = (0..count).filter(|&step| !is_present[step as usize]);
    absent.floats = steps.map(|step| GridFloat { step, value: 1.0 }).collect();
    Ok(if absent.is_empty() {
        vec![]
    } else {
        vec![absent]
    })
}

/// Returns a scalar as a vector of one element without labels.
pub(super) fn vector<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    let scalar = ev.scalar(&call.arguments[0])?;
    Ok(vec![ev.series_of_scalar(&scalar)?])
}

/// Returns the float of the only element that has one; NaN if there are none or several.
pub(super) fn scalar<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Scalar> {
    let held_before = ev.samples.held();
    let series = ev.vector(&call.arguments[0])?;
    let count = ev.steps.count() as usize;
    if series.iter().all(|one| one.floats.is_empty()) {
        ev.samples.set_held(held_before)?;
        return Ok(Scalar::Constant(f64::NAN));
    }
    ev.samples.add(count)?;
    let mut values = vec![f64::NAN; count];
    let mut is_found = vec![false; count];
    for one in &series {
        ev.check_interrupt()?;
        for it in &one.floats {
            let step = it.step as usize;
            values[step] = if is_found[step] { f64::NAN } else { it.value };
            is_found[step] = true;
        }
    }
    drop(series);
    ev.samples.set_held(held_before + count)?;
    Ok(Scalar::PerStep(values))
}

/// Returns the time of the evaluation in seconds.
pub(super) fn time(ev: &mut Evaluator<'_>) -> Evaluated<Scalar> {
    let steps = ev.steps;
    ev.per_step(|step| seconds(steps.time(step)))
}

fn seconds(milliseconds: i64) -> f64 {
    milliseconds as f64 / 1000.0
}

/// Returns the times of the samples of a selector; of other expressions the time of the evaluation.
pub(super) fn timestamp<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    if let NodeKind::Vector(selector) = &call.arguments[0].kind {
        let times = of_samples(ev, selector, |_, newest| seconds(newest.timestamp_ms()))?;
        return ev.merge_equal_labels(times);
    }
    let mut series = ev.vector(&call.arguments[0])?;
    let steps = ev.steps;
    for one in &mut series {
        ev.check_interrupt()?;
        let histograms = std::mem::take(&mut one.histograms);
        if !histograms.is_empty() {
            let at = |step| GridFloat { step, value: 0.0 };
            one.floats.extend(histograms.iter().map(|it| at(it.step)));
            one.floats.sort_by_key(|it| it.step);
        }
        for it in &mut one.floats {
            it.value = seconds(steps.time(it.step));
        }
        ev.drop_name(one);
    }
    ev.merge_equal_labels(series)
}

/// Returns the starts of the counters of a selector. Other expressions have none.
pub(super) fn start_timestamp<'a>(
    ev: &mut Evaluator<'a>,
    call: &'a Call,
) -> Evaluated<Vec<GridSeries>> {
    let mut series = match &call.arguments[0].kind {
        NodeKind::Vector(selector) => of_samples(ev, selector, |cursor, newest| {
            seconds(cursor.start_of(newest))
        })?,
        _ => ev.vector(&call.arguments[0])?,
    };
    let is_selector = matches!(call.arguments[0].kind, NodeKind::Vector(_));
    if !is_selector || !ev.options.start_timestamps {
        series.clear();
    }
    ev.merge_equal_labels(series)
}

/// Returns a number for each sample that a selector finds. Labels may be equal without the names.
fn of_samples<'a>(
    ev: &mut Evaluator<'a>,
    selector: &'a Selector,
    number: impl Fn(&NewestCursor<'a>, Newest<'a>) -> f64,
) -> Evaluated<Vec<GridSeries>> {
    let stored = ev.selected(selector.selection)?;
    let (reference, lookback) = looked_at(selector.reference, ev.options.lookback_ms);
    let mut selected = Vec::with_capacity(stored.len());
    for series in stored {
        ev.check_interrupt()?;
        let mut one = GridSeries::new(Arc::clone(&series.labels), false);
        let cursor = NewestCursor::new(series, lookback);
        ev.each_newest(cursor, reference, |step, newest, cursor| {
            let value = number(cursor, newest);
            one.floats.push(GridFloat { step, value });
        })?;
        if !one.is_empty() {
            ev.samples.add(one.size())?;
            ev.samples.count_vector(&one);
            ev.drop_name(&mut one);
            selected.push(one);
        }
    }
    Ok(selected)
}

/// Returns the reference and the lookback of a selector in `timestamp`. Prometheus looks at the time of `@` there without
/// the offset, but only at samples that the selector with its offset could find.
fn looked_at(reference: Reference, lookback: i64) -> (Reference, i64) {
    match reference.at {
        None => (reference, lookback),
        Some(at) => {
            let fixed = Reference {
                at: Some(at.min(at.saturating_sub(reference.offset))),
                offset: 0,
            };
            (
                fixed,
                lookback.saturating_sub(reference.offset.saturating_abs()),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::eval::testing::{Database, histogram};

    fn database() -> Database {
        Database::default()
            .samples("m{a='1'}", &[(5_000, 1.0), (20_000, 2.0)])
            .samples("m{a='2'}", &[(7_500, 3.0)])
            .histograms("h", &[(10_000, histogram(1.0, &[1.0]))])
    }

    #[test]
    fn times_of_samples_and_of_evaluations() {
        let database = database();
        for (query, lines) in [
            ("timestamp(m)", vec![r#"{a="1"} 20"#, r#"{a="2"} 7.5"#]),
            ("timestamp((m))", vec![r#"{a="1"} 20"#, r#"{a="2"} 7.5"#]),
            ("timestamp(h)", vec!["{} 10"]),
            ("timestamp(-h)", vec!["{} 30"]),
            ("timestamp(m + 0)", vec![r#"{a="1"} 30"#, r#"{a="2"} 30"#]),
            ("timestamp(m{a='1'} offset 20s)", vec![r#"{a="1"} 5"#]),
            ("timestamp(m{a='1'} @ 19)", vec![r#"{a="1"} 5"#]),
            // The offset moves what can be seen, but not the time of `@`.
            ("timestamp(m{a='1'} @ 25 offset 10s)", vec![r#"{a="1"} 5"#]),
            ("timestamp(m{a='1'} @ 19 offset -10s)", vec![r#"{a="1"} 5"#]),
            ("start_timestamp(m)", vec![]),
            ("start_timestamp(-m)", vec![]),
        ] {
            assert_eq!(database.instant(query, 30_000).lines(), lines, "{query}");
        }
        let tested = database.range("timestamp(m{a='1'} @ 5)", 0, 20_000, 10_000);
        assert_eq!(tested.lines(), [r#"{a="1"} 5@0 5@10000 5@20000"#]);
        let tested = database.range("timestamp(m{a='1'})", 0, 20_000, 10_000);
        assert_eq!(tested.lines(), [r#"{a="1"} 5@10000 20@20000"#]);
        let tested = database.range("time()", 0, 1_500, 1_500);
        assert_eq!(tested.lines(), ["{} 0@0 1.5@1500"]);
    }

    #[test]
    fn starts_of_counters_are_those_of_the_storage() {
        let database = database().starts("m{a='1'}", &[1_000, 6_000], &[]);
        let two = Database::default()
            .floats("m", 10_000, &[1.0])
            .floats("n", 10_000, &[1.0]);
        // Nothing is there that could have equal labels.
        let tested = two.instant("start_timestamp({__name__=~'m|n'})", 0);
        assert!(tested.lines().is_empty());
        let tested = database.range("start_timestamp(m)", 10_000, 20_000, 10_000);
        let lines = [r#"{a="1"} 1@10000 6@20000"#, r#"{a="2"} 0@10000 0@20000"#];
        assert_eq!(tested.lines(), lines);
        assert!(
            database
                .instant("start_timestamp(m + 1)", 20_000)
                .lines()
                .is_empty()
        );
    }

    #[test]
    fn scalars_need_exactly_one_float() {
        let database = database();
        for (query, lines) in [
            ("scalar(m)", vec!["NaN"]),
            ("scalar(m{a='2'})", vec!["3"]),
            ("scalar(h)", vec!["NaN"]),
            ("scalar({__name__=~'m|h', a=~'2|'})", vec!["3"]),
            ("scalar(absent)", vec!["NaN"]),
            ("vector(scalar(m{a='2'}))", vec!["{} 3"]),
            ("min_of(1, NaN)", vec!["NaN"]),
            ("max_of(scalar(m{a='2'}), 4)", vec!["4"]),
        ] {
            assert_eq!(database.instant(query, 10_000).lines(), lines, "{query}");
        }
        let tested = database.range("scalar(m)", 5_000, 310_000, 305_000 / 61);
        let line = &tested.lines()[0];
        // One series alone, then both, then the first alone again.
        assert!(line.starts_with("{} 1@5000 NaN@10000 "), "{line}");
        assert!(line.ends_with("NaN@305000 2@310000"), "{line}");
    }

    #[test]
    fn absence_is_that_of_all_series() {
        let database = database();
        let tested = database.range("absent(m{b='x', a=~'.*'})", 0, 10_000, 5_000);
        assert_eq!(tested.lines(), [r#"{b="x"} 1@0 1@5000 1@10000"#]);
        let tested = database.range("absent({__name__=~'m|h'})", 0, 10_000, 2_500);
        assert_eq!(tested.lines(), ["{} 1@0 1@2500"]);
        assert!(database.instant("absent(h)", 10_000).lines().is_empty());
        let tested = database.instant("absent(sum(x{a='1'}))", 0);
        assert_eq!(tested.lines(), ["{} 1"]);
    }
}
