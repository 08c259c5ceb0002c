//! Operators between an instant vector and a scalar.

use std::sync::Arc;

use super::element::{change_by_number, scale};
use super::float::{for_operator, zero_or_one};
use super::problems::{Kind, Problem, Problems};
use crate::ast::BinaryOp;
use crate::eval::grid::{GridFloat, GridHistogram, GridSeries};
use crate::eval::scalar::Scalar;
use crate::eval::{Evaluated, Evaluator};
use crate::plan::BinaryStep;

/// The side of an operator on which the scalar is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScalarSide {
    Left,
    Right,
}

/// Evaluates an operator between a vector and a scalar in the memory of the vector.
pub(super) fn with_scalar(
    ev: &mut Evaluator<'_>,
    step: &BinaryStep,
    mut series: Vec<GridSeries>,
    scalar: &Scalar,
    side: ScalarSide,
) -> Evaluated<Vec<GridSeries>> {
    let drops_name = step.return_bool || super::changes_meaning(step.op);
    let mut problems = Problems::default();
    for one in &mut series {
        ev.check_interrupt()?;
        floats(step, &mut one.floats, scalar, side, &mut problems);
        histograms(step.op, &mut one.histograms, scalar, side, &mut problems);
        if drops_name {
            ev.drop_name(one);
        }
    }
    problems.annotate(ev, step);
    series.retain(|one| !one.is_empty());
    match drops_name {
        true => ev.merge_equal_labels(series),
        false => Ok(series),
    }
}

fn floats(
    step: &BinaryStep,
    points: &mut Vec<GridFloat>,
    scalar: &Scalar,
    side: ScalarSide,
    problems: &mut Problems,
) {
    let return_bool = step.return_bool;
    for_operator!(step.op,
        arithmetic(function) => match side {
            ScalarSide::Right => map(points, scalar, function),
            ScalarSide::Left => map(points, scalar, |value, scalar| function(scalar, value)),
        },
        comparison(holds) => match side {
            ScalarSide::Right => compare(points, scalar, return_bool, holds),
            ScalarSide::Left => {
                compare(points, scalar, return_bool, |value, scalar| holds(scalar, value));
            }
        },
        other => {
            for point in points.drain(..) {
                problems.add(point.step, Problem::IncompatibleTypes(Kind::Float, Kind::Float));
            }
        }
    );
}

fn map(points: &mut [GridFloat], scalar: &Scalar, function: impl Fn(f64, f64) -> f64) {
    match scalar {
        Scalar::Constant(scalar) => {
            for point in points {
                point.value = function(point.value, *scalar);
            }
        }
        Scalar::PerStep(scalars) => {
            for point in points {
                point.value = function(point.value, scalars[point.step as usize]);
            }
        }
    }
}

fn compare(
    points: &mut Vec<GridFloat>,
    scalar: &Scalar,
    return_bool: bool,
    holds: impl Fn(f64, f64) -> bool,
) {
    match (return_bool, scalar) {
        (true, _) => map(points, scalar, |value, scalar| {
            zero_or_one(holds(value, scalar))
        }),
        (false, Scalar::Constant(scalar)) => points.retain(|point| holds(point.value, *scalar)),
        (false, Scalar::PerStep(scalars)) => {
            points.retain(|point| holds(point.value, scalars[point.step as usize]));
        }
    }
}

fn histograms(
    op: BinaryOp,
    points: &mut Vec<GridHistogram>,
    scalar: &Scalar,
    side: ScalarSide,
    problems: &mut Problems,
) {
    points.retain_mut(|point| {
        let number = scalar.at(point.step);
        let kinds = match side {
            ScalarSide::Right => match change_by_number(op, number) {
                Some(change) => {
                    change(Arc::make_mut(&mut point.histogram));
                    return true;
                }
                None => (Kind::Histogram, Kind::Float),
            },
            ScalarSide::Left if op == BinaryOp::Mul => {
                scale(Arc::make_mut(&mut point.histogram), number);
                return true;
            }
            ScalarSide::Left => (Kind::Float, Kind::Histogram),
        };
        problems.add(point.step, Problem::IncompatibleTypes(kinds.0, kinds.1));
        false
    });
}

#[cfg(test)]
mod tests {
    use crate::eval::testing::{Database, histogram};

    fn database() -> Database {
        Database::default()
            .floats("m{a='1'}", 15_000, &[1.0, 2.0, 3.0])
            .floats("m{a='2'}", 15_000, &[4.0, f64::NAN])
            .histograms("h", &[(0, histogram(4.0, &[1.0, 0.0, 2.0]))])
    }

    #[test]
    fn arithmetic_removes_the_name_and_comparison_does_not() {
        for (query, expected) in [
            ("m - 1", [r#"{a="1"} 1"#, r#"{a="2"} NaN"#].as_slice()),
            ("1 - m", &[r#"{a="1"} -1"#, r#"{a="2"} NaN"#]),
            ("2 ^ m", &[r#"{a="1"} 4"#, r#"{a="2"} NaN"#]),
            ("m > 1", &[r#"m{a="1"} 2"#]),
            ("1 < m", &[r#"m{a="1"} 2"#]),
            ("1 > m", &[]),
            ("m != 7", &[r#"m{a="1"} 2"#, r#"m{a="2"} NaN"#]),
            ("m > bool 1", &[r#"{a="1"} 1"#, r#"{a="2"} 0"#]),
            ("2 <= bool m", &[r#"{a="1"} 1"#, r#"{a="2"} 0"#]),
        ] {
            assert_eq!(
                database().instant(query, 15_000).lines(),
                expected,
                "{query}"
            );
        }
        let delayed = Database::with_delayed_name_removal()
            .floats("m{a='1'}", 15_000, &[1.0])
            .floats("n{a='1'}", 15_000, &[2.0]);
        let error = "vector cannot contain metrics with the same labelset";
        assert_eq!(delayed.instant("{a='1'} * 2", 0).error(), error);
    }

    #[test]
    fn a_scalar_may_change_with_the_step() {
        let tested = database().range("m{a='1'} > (2 - 0.05 * 15)", 0, 30_000, 15_000);
        assert_eq!(tested.lines(), [r#"m{a="1"} 2@15000 3@30000"#]);
    }

    #[test]
    fn histograms_are_scaled_and_trimmed() {
        for (query, expected) in [
            ("h * 2", "{} {count:6, sum:8, (0.5,1]:2, (2,4]:4}"),
            ("2 * h", "{} {count:6, sum:8, (0.5,1]:2, (2,4]:4}"),
            ("h / 2", "{} {count:1.5, sum:2, (0.5,1]:0.5, (2,4]:1}"),
        ] {
            assert_eq!(database().instant(query, 0).lines(), [expected], "{query}");
        }
        let trimmed = database().instant("h </ 1", 0);
        assert!(
            trimmed.lines()[0].starts_with("h {count:1, "),
            "{trimmed:?}"
        );
    }

    #[test]
    fn values_that_do_not_fit_are_dropped_and_reported() {
        for (query, types) in [
            ("h + 1", "\"+\": histogram + float"),
            ("1 / h", "\"/\": float / histogram"),
            ("h > 1", "\">\": histogram > float"),
            ("1 == bool h", "\"==\": float == histogram"),
            ("m </ 1", "\"</\": float </ float"),
            ("1 >/ h", "\">/\": float >/ histogram"),
        ] {
            let tested = database().instant(query, 0);
            assert_eq!(tested.lines_beside_annotations(), [""; 0], "{query}");
            let text = "PromQL info: incompatible sample types encountered for binary operator";
            assert_eq!(tested.infos, [format!("{text} {types} (1:1)")], "{query}");
        }
        // Both kinds at one step: the last one is reported.
        let tested = database().instant("1 </ {__name__=~'m|h'}", 0);
        assert_eq!(tested.infos.len(), 1, "{tested:?}");
        assert!(
            tested.infos[0].ends_with("float </ histogram (1:1)"),
            "{tested:?}"
        );
    }
}
