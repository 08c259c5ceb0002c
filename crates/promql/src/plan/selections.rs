//! The selections of a plan: what each selector can touch.

use std::collections::HashMap;

use super::{Extension, Node, NodeKind, RangeSelector, Reference, Selector};
use crate::ast::Matcher;
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
}

impl Around {
    fn function(name: &'static str) -> Self {
        Self {
            function: Some(name),
            grouping: None,
        }
    }

    fn without_grouping(&self) -> Self {
        Self {
            function: self.function,
            grouping: None,
        }
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
                self.visit(&mut subquery.expr, inner, &around.without_grouping())
            }
            NodeKind::Call(call) => {
                let around = Around::function(call.function.name);
                let mut arguments = call.arguments.iter_mut();
                arguments.try_for_each(|argument| self.visit(argument, steps, &around))
            }
            NodeKind::Info(info) => self.visit(&mut info.input, steps, &Around::function("info")),
            NodeKind::Aggregate(aggregate) => {
                let function = Some(aggregate.op.name());
                let grouping = Some(Grouping {
                    labels: aggregate.grouping.clone(),
                    without: aggregate.without,
                });
                let around = Around { function, grouping };
                if let Some(parameter) = &mut aggregate.parameter {
                    self.visit(parameter, steps, &around)?;
                }
                self.visit(&mut aggregate.expr, steps, &around)
            }
            NodeKind::Binary(binary) => {
                let around = Around::default();
                self.visit(&mut binary.first, steps, &around)?;
                let mut operators = binary.steps.iter_mut();
                operators.try_for_each(|step| self.visit(&mut step.right, steps, &around))
            }
            NodeKind::Unary(_, inner) => self.visit(inner, steps, &around.without_grouping()),
            NodeKind::StepInvariant(inner) => {
                self.visit(inner, steps.first_only(), &around.without_grouping())
            }
        }
    }

    fn selector(&mut self, selector: &mut Selector, steps: Steps, around: &Around) {
        let window = Window {
            before: self.lookback,
            after: if selector.smoothed { self.lookback } else { 0 },
            samples: match selector.smoothed {
                true => WindowSamples::All,
                false => WindowSamples::Newest,
            },
        };
        let (matchers, reference) = (&selector.matchers, selector.reference);
        selector.selection = self.add(matchers, reference, window, steps, around);
    }

    fn range_selector(&mut self, selector: &mut RangeSelector, steps: Steps, around: &Around) {
        let (before, after) = match selector.extension {
            Extension::None => (0, 0),
            Extension::Anchored => (self.lookback, 0),
            Extension::Smoothed => (self.lookback, self.lookback),
        };
        let window = Window {
            before: selector.range.saturating_add(before),
            after,
            samples: match around.function {
                Some("last_over_time") => WindowSamples::NewestNotStale,
                _ => WindowSamples::All,
            },
        };
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
