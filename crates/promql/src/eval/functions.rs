//! The functions of PromQL.

pub(super) mod absent;
mod histogram;
pub(super) mod range;

use super::grid::GridSeries;
use super::scalar::Scalar;
use super::{Evaluated, Evaluator, fail};
use crate::plan::Call;
use crate::position::Span;

/// Evaluates a call that returns an instant vector.
pub(super) fn call<'a>(
    ev: &mut Evaluator<'a>,
    call: &'a Call,
    span: Span,
) -> Evaluated<Vec<GridSeries>> {
    let _ = span;
    match call.function.name {
        _ if range::is_call(call) => range::call(ev, call),
        name if name.starts_with("histogram_") => histogram::call(ev, call),
        name => fail(format!("{name}() is not evaluated yet")),
    }
}

/// Evaluates a call that returns a scalar.
pub(super) fn scalar_call<'a>(ev: &mut Evaluator<'a>, call: &'a Call) -> Evaluated<Scalar> {
    let _ = ev;
    fail(format!("{}() is not evaluated yet", call.function.name))
}
