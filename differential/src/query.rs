//! Queries: an expression with the times and the options of its evaluation.

use crate::expression::Node;

/// An expression with the times and the options of its evaluation.
#[derive(Clone, Debug)]
pub struct Query {
    /// The expression.
    pub expression: Node,
    /// The times.
    pub times: Times,
    /// The lookback of instant selectors, in milliseconds.
    pub lookback_ms: i64,
    /// Drops metric names at the end of the evaluation.
    pub delayed_name_removal: bool,
    /// Uses the start timestamps of samples.
    pub start_timestamps: bool,
    /// Uses the labels of types and units.
    pub type_and_unit_labels: bool,
    /// Counts the samples of each step.
    pub per_step_statistics: bool,
}

/// The times of an evaluation, in milliseconds since 1970.
#[derive(Clone, Copy, Debug)]
pub enum Times {
    /// One time.
    Instant(i64),
    /// Steps.
    Range {
        /// The first step.
        start: i64,
        /// The time that no step is after.
        end: i64,
        /// The time between steps.
        step: i64,
    },
}
