//! The functions of PromQL.

pub(super) mod absent;
mod dates;
mod histogram;
mod labels;
mod math;
pub(super) mod range;
mod sorting;
mod vectors;

use super::grid::GridSeries;
use super::scalar::Scalar;
use super::{Evaluated, Evaluator, fail};
use crate::go_float;
use crate::plan::Call;
use crate::position::Span;

/// Evaluates a call that returns an instant vector.
pub(super) fn call<'a>(
    ev: &mut Evaluator<'a>,
    call: &'a Call,
    span: Span,
) -> Evaluated<Vec<GridSeries>> {
    match call.function.name {
        "absent" => vectors::absent(ev, call),
        "clamp" | "clamp_max" | "clamp_min" => math::clamp(ev, call),
        "day_of_month" | "day_of_week" | "day_of_year" | "days_in_month" | "hour" | "minute"
        | "month" | "year" => dates::call(ev, call),
        "label_join" => labels::join(ev, call),
        "label_replace" => labels::replace(ev, call),
        "round" => math::round(ev, call),
        "sort" | "sort_desc" => sorting::by_value(ev, call, span),
        "sort_by_label" | "sort_by_label_desc" => sorting::by_label(ev, call, span),
        "start_timestamp" => vectors::start_timestamp(ev, call),
        "timestamp" => vectors::timestamp(ev, call),
        "vector" => vectors::vector(ev, call),
        _ if range::is_call(call) => range::call(ev, call),
        name if name.starts_with("histogram_") => histogram::call(ev, call),
        _ => math::call(ev, call),
    }
}

/// Evaluates a call that returns a scalar. Those of the query's range are numbers in the plan already.
pub(super) fn scalar_call<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Scalar> {
    let mut both = |combine: fn(f64, f64) -> f64| {
        let left = ev.scalar(&call.arguments[0])?;
        Ok(left.zip(ev.scalar(&call.arguments[1])?, combine))
    };
    match call.function.name {
        "max_of" => both(go_float::max),
        "min_of" => both(go_float::min),
        "pi" => Ok(Scalar::Constant(std::f64::consts::PI)),
        "scalar" => vectors::scalar(ev, call),
        "time" => vectors::time(ev),
        name => fail(format!("{name}() is no scalar")),
    }
}
