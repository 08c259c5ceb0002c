//! Binary operators.
//!
//! Series are matched by their labels once for all steps. Pairs of series are then combined by walking through the
//! points of both, into the memory of one of them.

mod element;
mod float;
mod matching;
mod one_side;
mod problems;
#[cfg(test)]
mod reference;
mod result_labels;
mod sets;
mod signature;
mod step_set;
mod with_scalar;

use self::with_scalar::{ScalarSide, with_scalar};
use super::grid::{self, GridSeries};
use super::scalar::Scalar;
use super::{Evaluated, Evaluator, fail};
use crate::ast::BinaryOp;
use crate::engine::Held;
use crate::plan::{Binary, BinaryStep, Node};
use crate::value_type::ValueType;

/// A value on one side of an operator.
enum Operand {
    Scalar(Scalar),
    Vector(Vec<GridSeries>),
}

impl Operand {
    /// Returns what it holds.
    fn held(&self) -> Held {
        match self {
            Self::Scalar(Scalar::Constant(_)) => Held::default(),
            Self::Scalar(Scalar::PerStep(values)) => Held {
                samples: values.len(),
                series_bytes: 0,
            },
            Self::Vector(series) => grid::held(series),
        }
    }
}

/// Evaluates a chain of operators whose value is an instant vector.
pub(super) fn vector<'a>(ev: &mut Evaluator<'a>, binary: &'a Binary) -> Evaluated<Vec<GridSeries>> {
    match chain(ev, binary)? {
        Operand::Vector(series) => Ok(series),
        Operand::Scalar(_) => fail("a scalar is no instant vector"),
    }
}

/// Evaluates a chain of operators whose value is a scalar.
pub(super) fn scalar<'a>(ev: &mut Evaluator<'a>, binary: &'a Binary) -> Evaluated<Scalar> {
    match chain(ev, binary)? {
        Operand::Scalar(scalar) => Ok(scalar),
        Operand::Vector(_) => fail("an instant vector is no scalar"),
    }
}

fn chain<'a>(ev: &mut Evaluator<'a>, binary: &'a Binary) -> Evaluated<Operand> {
    let before = ev.held();
    let mut left = operand(ev, &binary.first)?;
    for step in &binary.steps {
        let right = operand(ev, &step.right)?;
        left = combined(ev, step, left, right)?;
        // The operands are gone now.
        ev.hold_since(before, left.held())?;
    }
    Ok(left)
}

fn operand<'a>(ev: &mut Evaluator<'a>, node: &'a Node) -> Evaluated<Operand> {
    match node.value_type {
        ValueType::Scalar => Ok(Operand::Scalar(ev.scalar(node)?)),
        _ => Ok(Operand::Vector(ev.vector(node)?)),
    }
}

fn combined(
    ev: &mut Evaluator<'_>,
    step: &BinaryStep,
    left: Operand,
    right: Operand,
) -> Evaluated<Operand> {
    let series = match (left, right) {
        (Operand::Scalar(left), Operand::Scalar(right)) => {
            return scalars(step.op, left, right).map(Operand::Scalar);
        }
        (Operand::Vector(left), Operand::Scalar(right)) => {
            with_scalar(ev, step, left, &right, ScalarSide::Right)?
        }
        (Operand::Scalar(left), Operand::Vector(right)) => {
            with_scalar(ev, step, right, &left, ScalarSide::Left)?
        }
        (Operand::Vector(left), Operand::Vector(right)) => match &step.matching {
            Some(matching) if step.op.is_set_operator() => {
                sets::set_operation(ev, step.op, matching, left, right)?
            }
            Some(matching) => matching::join(ev, step, matching, left, right)?,
            None => return fail(format!("{} lacks a matching", step.op.symbol())),
        },
    };
    Ok(Operand::Vector(series))
}

fn scalars(op: BinaryOp, left: Scalar, right: Scalar) -> Evaluated<Scalar> {
    float::for_operator!(op,
        arithmetic(function) => Ok(left.zip(right, function)),
        comparison(holds) => Ok(left.zip(right, |left, right| float::zero_or_one(holds(left, right)))),
        other => fail(format!("{} is not defined for scalars", op.symbol()))
    )
}

/// Returns true for operators whose result does not have the name of the metric.
fn changes_meaning(op: BinaryOp) -> bool {
    float::for_operator!(op,
        arithmetic(_function) => true,
        comparison(_holds) => false,
        other => false
    )
}
