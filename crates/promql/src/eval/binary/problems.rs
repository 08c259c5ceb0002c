//! Annotations of operators.

use crate::annotations::{Annotation, HistogramOperation};
use crate::ast::BinaryOp;
use crate::eval::Evaluator;
use crate::plan::BinaryStep;
use crate::position::Span;

/// The kind of a value, as annotations name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Float,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Float => "float",
            Self::Histogram => "histogram",
        }
    }
}

/// A reason for an annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Problem {
    /// The operator is not defined for these kinds of values.
    IncompatibleTypes(Kind, Kind),
    /// Exponential and custom buckets.
    IncompatibleBuckets,
    /// A reset on one side and its absence on the other.
    CounterResets,
    /// Custom buckets with different boundaries, of which the common ones are used.
    ReconciledBuckets,
}

impl Problem {
    pub(super) fn annotation(self, op: BinaryOp, span: Span) -> Annotation {
        let operator = op.symbol();
        let operation = match op {
            BinaryOp::Sub => HistogramOperation::Subtraction,
            _ => HistogramOperation::Addition,
        };
        match self {
            Self::IncompatibleTypes(left, right) => {
                Annotation::incompatible_types(left.name(), operator, right.name(), span)
            }
            Self::IncompatibleBuckets => Annotation::incompatible_bucket_layout(operator, span),
            Self::CounterResets => Annotation::counter_reset_collision(operation, span),
            Self::ReconciledBuckets => Annotation::mismatched_custom_buckets(operation, span),
        }
    }
}

/// The problems of an operation. Of those at one step, Prometheus reports only the last.
#[derive(Debug, Default)]
pub(super) struct Problems {
    /// Steps, the order of series of the one side, and problems. Each belongs to a sample of an operand.
    entries: Vec<(u32, u32, Problem)>,
}

impl Problems {
    /// Adds the problem of the next series.
    pub(super) fn add(&mut self, step: u32, problem: Problem) {
        self.entries.push((step, 0, problem));
    }

    /// Adds the problem of a series after those of `add`.
    pub(super) fn add_after(&mut self, step: u32, index: usize, problem: Problem) {
        let order = u32::try_from(index).map_or(u32::MAX, |index| index.saturating_add(1));
        self.entries.push((step, order, problem));
    }

    /// Returns the problems that are reported, each once.
    pub(super) fn reported(mut self) -> Vec<Problem> {
        let Some(&(_, _, first)) = self.entries.first() else {
            return Vec::new();
        };
        if self.entries.iter().all(|&(_, _, problem)| problem == first) {
            return vec![first];
        }
        self.entries.sort_by_key(|&(step, order, _)| (step, order));
        let steps = self.entries.chunk_by(|a, b| a.0 == b.0);
        let last = steps.filter_map(|entries| entries.last());
        let mut reported: Vec<_> = last.map(|&(_, _, problem)| problem).collect();
        reported.sort_unstable();
        reported.dedup();
        reported
    }

    pub(super) fn annotate(self, ev: &mut Evaluator<'_>, step: &BinaryStep) {
        for problem in self.reported() {
            ev.annotate(problem.annotation(step.op, step.span));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Kind::{Float, Histogram};
    use super::Problem::{IncompatibleBuckets, IncompatibleTypes};
    use super::*;

    #[test]
    fn the_last_problem_of_a_step_is_reported() {
        assert_eq!(Problems::default().reported(), []);
        let types = IncompatibleTypes(Float, Histogram);
        let mut problems = Problems::default();
        problems.add(1, types);
        problems.add(0, types);
        assert_eq!(problems.reported(), [types]);

        let mut problems = Problems::default();
        problems.add(0, types);
        problems.add(1, types);
        problems.add(0, IncompatibleBuckets);
        problems.add(1, IncompatibleBuckets);
        assert_eq!(problems.reported(), [IncompatibleBuckets]);

        let mut problems = Problems::default();
        problems.add(0, types);
        problems.add(1, types);
        problems.add(0, IncompatibleBuckets);
        assert_eq!(problems.reported(), [types, IncompatibleBuckets]);

        let mut problems = Problems::default();
        problems.add_after(0, 7, types);
        problems.add_after(0, 3, IncompatibleBuckets);
        problems.add(0, IncompatibleBuckets);
        assert_eq!(problems.reported(), [types]);
    }
}
