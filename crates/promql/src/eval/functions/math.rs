//! Functions of each float of a vector.

use std::f64::consts::PI;

use crate::eval::grid::GridSeries;
use crate::eval::scalar::Scalar;
use crate::eval::{Evaluated, Evaluator, fail};
use crate::plan::{Call, Node};
use crate::{go_float, go_math};

/// Evaluates a function of one argument that looks at each float alone.
pub(super) fn call<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    let Some(vector) = call.arguments.first() else {
        return fail(format!("{}() is not evaluated yet", call.function.name));
    };
    match call.function.name {
        "abs" => of_floats(ev, vector, f64::abs),
        "acos" => of_floats(ev, vector, go_math::acos),
        "acosh" => of_floats(ev, vector, go_math::acosh),
        "asin" => of_floats(ev, vector, go_math::asin),
        "asinh" => of_floats(ev, vector, go_math::asinh),
        "atan" => of_floats(ev, vector, go_math::atan),
        "atanh" => of_floats(ev, vector, go_math::atanh),
        "ceil" => of_floats(ev, vector, f64::ceil),
        "cos" => of_floats(ev, vector, go_math::cos),
        "cosh" => of_floats(ev, vector, go_math::cosh),
        "deg" => of_floats(ev, vector, degrees),
        "exp" => of_floats(ev, vector, go_math::exp),
        "floor" => of_floats(ev, vector, f64::floor),
        "ln" => of_floats(ev, vector, go_math::ln),
        "log10" => of_floats(ev, vector, go_math::log10),
        "log2" => of_floats(ev, vector, go_math::log2),
        "rad" => of_floats(ev, vector, radians),
        "sgn" => of_floats(ev, vector, sign),
        "sin" => of_floats(ev, vector, go_math::sin),
        "sinh" => of_floats(ev, vector, go_math::sinh),
        "sqrt" => of_floats(ev, vector, f64::sqrt),
        "tan" => of_floats(ev, vector, go_math::tan),
        "tanh" => of_floats(ev, vector, go_math::tanh),
        name => fail(format!("{name}() is not evaluated yet")),
    }
}

fn degrees(value: f64) -> f64 {
    value * 180.0 / PI
}

fn radians(value: f64) -> f64 {
    value * PI / 180.0
}

/// Returns 1 or -1 with the sign of a number; zeros and NaN stay what they are.
fn sign(value: f64) -> f64 {
    if value < 0.0 {
        -1.0
    } else if value > 0.0 {
        1.0
    } else {
        value
    }
}

/// Evaluates a vector for a function of floats: without its histograms, and without metric names.
fn floats<'a>(ev: &mut Evaluator<'a>, vector: &'a Node) -> Evaluated<Vec<GridSeries>> {
    let mut series = ev.vector(vector)?;
    series.retain_mut(|one| {
        one.histograms = Vec::new();
        !one.floats.is_empty()
    });
    for one in &mut series {
        ev.drop_name(one);
    }
    Ok(series)
}

/// Applies a function to each float of a vector.
pub(super) fn of_floats<'a>(
    ev: &mut Evaluator<'a>,
    vector: &'a Node,
    function: impl Fn(f64) -> f64,
) -> Evaluated<Vec<GridSeries>> {
    let mut series = floats(ev, vector)?;
    for one in &mut series {
        ev.check_interrupt()?;
        for it in &mut one.floats {
            it.value = function(it.value);
        }
    }
    ev.merge_equal_labels(series)
}

/// Rounds to the nearest multiple of a number, upwards if two are as near.
pub(super) fn round<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    let mut series = floats(ev, &call.arguments[0])?;
    let inverse = match call.arguments.get(1) {
        Some(nearest) => ev.scalar(nearest)?.map(|nearest| 1.0 / nearest),
        None => Scalar::Constant(1.0),
    };
    for one in &mut series {
        ev.check_interrupt()?;
        for it in &mut one.floats {
            it.value = rounded(it.value, inverse.at(it.step));
        }
    }
    ev.merge_equal_labels(series)
}

fn rounded(value: f64, inverse: f64) -> f64 {
    (value * inverse + 0.5).floor() / inverse
}

/// Limits floats to a range. Where the range has no numbers there are no results.
pub(super) fn clamp<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Vec<GridSeries>> {
    let mut series = floats(ev, &call.arguments[0])?;
    let bound = ev.scalar(&call.arguments[1])?;
    let (min, max) = match (call.function.name, call.arguments.get(2)) {
        ("clamp_max", _) => (Scalar::Constant(f64::NEG_INFINITY), bound),
        (_, Some(max)) => (bound, ev.scalar(max)?),
        (_, None) => (bound, Scalar::Constant(f64::INFINITY)),
    };
    for one in &mut series {
        ev.check_interrupt()?;
        one.floats.retain_mut(|it| {
            let (min, max) = (min.at(it.step), max.at(it.step));
            it.value = clamped(it.value, min, max);
            // If one of them is NaN, the result is NaN, too.
            max >= min || max.is_nan() || min.is_nan()
        });
    }
    series.retain(|one| !one.is_empty());
    ev.merge_equal_labels(series)
}

fn clamped(value: f64, min: f64, max: f64) -> f64 {
    go_float::max(min, go_float::min(max, value))
}

#[cfg(test)]
mod tests {
    use crate::eval::testing::{Database, histogram};

    #[test]
    fn histograms_and_names_are_dropped() {
        let database = Database::default()
            .samples("m{a='1'}", &[(0, -1.5)])
            .histograms("m{a='1'}", &[(10_000, histogram(1.0, &[1.0]))])
            .histograms("m{a='2'}", &[(0, histogram(1.0, &[1.0]))]);
        for (query, value) in [
            ("abs(m)", "1.5"),
            ("round(m)", "-1"),
            ("clamp(m, 0, 1)", "0"),
            ("clamp_min(m, -1)", "-1"),
            ("year(m)", "1969"),
        ] {
            let tested = database.range(query, 0, 10_000, 10_000);
            assert_eq!(
                tested.lines(),
                [format!(r#"{{a="1"}} {value}@0"#)],
                "{query}"
            );
        }
    }

    #[test]
    fn series_that_differ_in_their_names_are_merged() {
        let database = Database::default()
            .samples("m", &[(0, 1.0)])
            .samples("n", &[(400_000, 2.0)]);
        let query = "abs({__name__=~'m|n'})";
        let tested = database.range(query, 0, 400_000, 400_000);
        assert_eq!(tested.lines(), ["{} 1@0 2@400000"]);
        let database = database.samples("o", &[(0, 1.0)]);
        let tested = database.range("abs({__name__=~'m|o'})", 0, 400_000, 400_000);
        let error = "vector cannot contain metrics with the same labelset";
        assert_eq!(tested.error(), error);
    }

    #[test]
    fn bounds_and_multiples_differ_from_step_to_step() {
        let database = Database::default().floats("m", 1_000, &[7.0; 4]);
        for (query, line) in [
            ("clamp(m, 2, time() + 1)", "{} 2@1000 3@2000 4@3000"),
            ("clamp(m, 9 * time(), 18)", "{} 7@0 9@1000 18@2000"),
            ("clamp_max(m, time())", "{} 0@0 1@1000 2@2000 3@3000"),
            ("clamp_min(m, 5 + time())", "{} 7@0 7@1000 7@2000 8@3000"),
            ("round(m, time())", "{} NaN@0 7@1000 8@2000 6@3000"),
        ] {
            assert_eq!(
                database.range(query, 0, 3_000, 1_000).lines(),
                [line],
                "{query}"
            );
        }
    }
}
