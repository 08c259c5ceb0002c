//! The time at which `info` looks at the info series.

use super::{Node, NodeKind, Reference};
use crate::value_type::ValueType;

/// Returns the time that all selectors of an expression look at; `None` if they look at different times, or a part
/// of the expression has no selector.
pub(super) fn common_reference(input: &Node) -> Option<Reference> {
    let mut search = Search {
        first: None,
        is_uniform: true,
    };
    search.visit(input, Reference::default());
    search.first.filter(|_| search.is_uniform)
}

struct Search {
    first: Option<Reference>,
    is_uniform: bool,
}

impl Search {
    /// Returns true if the expression contains a selector. `outer` is the shift by the subqueries around it.
    fn visit(&mut self, node: &Node, outer: Reference) -> bool {
        if !matches!(node.value_type, ValueType::Vector | ValueType::Matrix) {
            return false;
        }
        let inner = |reference: Reference| match reference.at {
            Some(_) => reference,
            None => Reference {
                at: outer.at,
                offset: outer.offset.saturating_add(reference.offset),
            },
        };
        let has_selector = match &node.kind {
            NodeKind::Vector(selector) => return self.found(inner(selector.reference)),
            NodeKind::Matrix(selector) => return self.found(inner(selector.reference)),
            NodeKind::Subquery(subquery) => self.visit(&subquery.expr, inner(subquery.reference)),
            NodeKind::Info(info) => self.visit(&info.input, outer),
            NodeKind::StepInvariant(inner) | NodeKind::Unary(_, inner) => self.visit(inner, outer),
            NodeKind::Call(call) => self.visit_all(call.arguments.iter(), outer),
            NodeKind::Aggregate(aggregate) => {
                let nodes = aggregate.parameter.iter().chain([&aggregate.expr]);
                self.visit_all(nodes, outer)
            }
            NodeKind::Binary(binary) => {
                let right = binary.steps.iter().map(|step| &step.right);
                self.visit_all([&binary.first].into_iter().chain(right), outer)
            }
            NodeKind::Number(_) | NodeKind::String(_) => false,
        };
        // A part without a selector looks at the time of the evaluation.
        self.is_uniform &= has_selector;
        has_selector
    }

    fn visit_all<'n>(&mut self, nodes: impl Iterator<Item = &'n Node>, outer: Reference) -> bool {
        let mut has_selector = false;
        for node in nodes {
            has_selector |= self.visit(node, outer);
        }
        has_selector
    }

    fn found(&mut self, reference: Reference) -> bool {
        let first = *self.first.get_or_insert(reference);
        let is_same = match (first.at, reference.at) {
            (Some(_), Some(_)) => first.resolve(0) == reference.resolve(0),
            (None, None) => first.offset == reference.offset,
            _ => false,
        };
        self.is_uniform &= is_same;
        true
    }
}
