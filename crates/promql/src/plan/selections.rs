//! The selections of a plan: what each selector can touch.

use std::collections::HashMap;

use super::{Node, NodeKind, RangeSelector, Reference, Selector};
use crate::ast::{BinaryOp, Matcher};
use crate::engine::EngineOptions;
use crate::error::QueryError;
use crate::steps::Steps;
use crate::storage::{Grouping, Selection, WindowSamples};

/// Numbers the selectors of a plan, equal selections with the same number, and returns the selections.
pub(super) fn number(
    root: &mut Node,
    steps: Steps,
    options: &EngineOptions,
) -> Result<Vec<Selection>, QueryError> {
    let mut numbering = Numbering {
        lookback: options.lookback_ms,
        numbers: HashMap::new(),
        selections: Vec::new(),
    };
    numbering.visit(root, steps, &Around::default())?;
    Ok(numbering.selections)
}

/// The expressions around a node.
#[derive(Clone, Default)]
struct Around {
    /// The nearest function or aggregation, unless an operator is between.
    function: Option<&'static str>,
    /// The grouping of the aggregation directly around.
    grouping: Option<Grouping>,
    histograms: Histograms,
}

/// The parts of histograms that the expressions around a node look at.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Histograms {
    /// No function says anything yet.
    #[default]
    Unspecified,
    /// Counts and sums.
    Counts,
    /// Buckets too.
    Whole,
}

impl Histograms {
    /// Returns the parts within a function.
    fn within(self, function: &str) -> Self {
        match function {
            "histogram_fraction"
            | "histogram_quantile"
            | "histogram_quantiles"
            | "histogram_stddev"
            | "histogram_stdvar" => Self::Whole,
            _ if self == Self::Whole => Self::Whole,
            _ if COUNT_FUNCTIONS.contains(&function) => Self::Counts,
            _ => self,
        }
    }
}

/// The functions that look at counts and sums of histograms only.
const COUNT_FUNCTIONS: [&str; 3] = ["histogram_avg", "histogram_count", "histogram_sum"];

/// The functions that look at the times of the samples of a selector.
const TIME_FUNCTIONS: [&str; 2] = ["start_timestamp", "timestamp"];

impl Around {
    fn within_function(&self, name: &'static str) -> Self {
        Self {
            function: Some(name),
            grouping: None,
            histograms: self.histograms.within(name),
        }
    }

    /// Returns this for an operand of operators, which may be among `</` and `>/`.
    fn within_operators(&self, is_trimmed: bool) -> Self {
        Self {
            histograms: match is_trimmed {
                true => Histograms::Whole,
                false => self.histograms,
            },
            ..Self::default()
        }
    }

    fn within_subquery(&self) -> Self {
        Self {
            // Whether counters were reset shows in the buckets.
            histograms: Histograms::Whole,
            ..self.without_grouping()
        }
    }

    fn without_grouping(&self) -> Self {
        Self {
            grouping: None,
            ..self.clone()
        }
    }

    /// Returns true if histograms are reduced to counts and sums, after they have been combined.
    fn needs_resets(&self) -> bool {
        let is_direct = self
            .function
            .is_some_and(|it| COUNT_FUNCTIONS.contains(&it));
        self.histograms == Histograms::Counts && !is_direct
    }
}

struct Numbering {
    lookback: i64,
    /// The numbers of the selections without their hints.
    numbers: HashMap<Selection, usize>,
    selections: Vec<Selection>,
}

/// Milliseconds before and after each time, and the samples that matter.
struct Window {
    before: i64,
    after: i64,
    samples: WindowSamples,
}

impl Window {
    /// Returns the window with the samples that show if counters of histograms were reset before those that matter: in
    /// Prometheus also one right before the window.
    fn with_resets(self, is_needed: bool) -> Self {
        match is_needed {
            true => Self {
                before: self.before.saturating_add(1),
                samples: WindowSamples::All,
                ..self
            },
            false => self,
        }
    }
}

impl Numbering {
    fn visit(&mut self, node: &mut Node, steps: Steps, around: &Around) -> Result<(), QueryError> {
        match &mut node.kind {
            NodeKind::Number(_) | NodeKind::String(_) => Ok(()),
            NodeKind::Vector(selector) => {
                self.selector(selector, steps, around);
                Ok(())
            }
            NodeKind::Matrix(selector) => {
                self.range_selector(selector, steps, around);
                Ok(())
            }
            NodeKind::Subquery(subquery) => {
                let inner = subquery.steps(steps)?;
                self.visit(&mut subquery.expr, inner, &around.within_subquery())
            }
            NodeKind::Call(call) => {
                let around = around.within_function(call.function.name);
                let mut arguments = call.arguments.iter_mut();
                arguments.try_for_each(|argument| self.visit(argument, steps, &around))
            }
            NodeKind::Info(info) => {
                self.visit(&mut info.input, steps, &around.within_function("info"))
            }
            NodeKind::Aggregate(aggregate) => {
                let function = Some(aggregate.op.name());
                let grouping = Some(Grouping {
                    labels: aggregate.grouping.clone(),
                    without: aggregate.without,
                });
                let around = Around {
                    function,
                    grouping,
                    histograms: around.histograms,
                };
                if let Some(parameter) = &mut aggregate.parameter {
                    self.visit(parameter, steps, &around)?;
                }
                self.visit(&mut aggregate.expr, steps, &around)
            }
            NodeKind::Binary(binary) => {
                let is_trim = |op| matches!(op, BinaryOp::TrimUpper | BinaryOp::TrimLower);
                let last_trim = binary.steps.iter().rposition(|step| is_trim(step.op));
                let around_first = around.within_operators(last_trim.is_some());
                self.visit(&mut binary.first, steps, &around_first)?;
                for (place, step) in binary.steps.iter_mut().enumerate() {
                    // An operator is applied to all operands before it, and to the one after it.
                    let around = around.within_operators(last_trim.is_some_and(|it| place <= it));
                    self.visit(&mut step.right, steps, &around)?;
                }
                Ok(())
            }
            NodeKind::Unary(_, inner) => self.visit(inner, steps, &around.without_grouping()),
            NodeKind::StepInvariant(inner) => {
                self.visit(inner, steps.first_only(), &around.without_grouping())
            }
        }
    }

    fn selector(&mut self, selector: &mut Selector, steps: Steps, around: &Around) {
        // With `@`, Prometheus looks there without the offset, at a sample that need not be the newest.
        let looks_before_end = selector.reference.at.is_some()
            && selector.reference.offset < 0
            && around
                .function
                .is_some_and(|it| TIME_FUNCTIONS.contains(&it));
        let window = Window {
            before: self.lookback,
            after: if selector.smoothed { self.lookback } else { 0 },
            samples: match selector.smoothed || looks_before_end {
                true => WindowSamples::All,
                false => WindowSamples::Newest,
            },
        };
        selector.counts_only = around.histograms == Histograms::Counts;
        let window = window.with_resets(selector.counts_only && around.needs_resets());
        let (matchers, reference) = (&selector.matchers, selector.reference);
        selector.selection = self.add(matchers, reference, window, steps, around);
    }

    fn range_selector(&mut self, selector: &mut RangeSelector, steps: Steps, around: &Around) {
        let (before, after) = selector.extension.reach(self.lookback);
        let window = Window {
            before: selector.range.saturating_add(before),
            after,
            samples: match around.function {
                Some("last_over_time") => WindowSamples::NewestNotStale,
                _ => WindowSamples::All,
            },
        };
        selector.counts_only = around.histograms == Histograms::Counts;
        let window = window.with_resets(selector.counts_only && around.needs_resets());
        let (matchers, reference) = (&selector.matchers, selector.reference);
        selector.selection = self.add(matchers, reference, window, steps, around);
    }

    fn add(
        &mut self,
        matchers: &[Matcher],
        reference: Reference,
        window: Window,
        steps: Steps,
        around: &Around,
    ) -> usize {
        if steps.count() == 0 {
            // Never evaluated.
            return usize::MAX;
        }
        let first_ms = reference.resolve(steps.start);
        let last_ms = reference.resolve(steps.last());
        let bare = Selection {
            matchers: matchers.to_vec(),
            first_ms,
            last_ms,
            step_ms: if first_ms == last_ms {
                1
            } else {
                steps.interval
            },
            before_ms: window.before,
            after_ms: window.after,
            samples: window.samples,
            function: None,
            grouping: None,
        };
        match self.numbers.get(&bare) {
            Some(&number) => {
                let present = &mut self.selections[number];
                present.function = present.function.filter(|it| around.function == Some(*it));
                if present.grouping != around.grouping {
                    present.grouping = None;
                }
                number
            }
            None => {
                let number = self.selections.len();
                self.selections.push(Selection {
                    function: around.function,
                    grouping: around.grouping.clone(),
                    ..bare.clone()
                });
                self.numbers.insert(bare, number);
                number
            }
        }
    }
}
