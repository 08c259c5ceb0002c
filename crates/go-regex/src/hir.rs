//! Patterns for `regex-automata`, which matches them in linear time.

use regex_syntax::hir::{self, Class, Hir, Repetition};

use super::node::{Look, Node};

/// Returns the pattern, anchored at both ends.
pub(super) fn anchored(node: &Node) -> Hir {
    let whole = [
        Hir::look(hir::Look::Start),
        to_hir(node),
        Hir::look(hir::Look::End),
    ];
    Hir::concat(whole.into())
}

fn to_hir(node: &Node) -> Hir {
    match node {
        Node::Empty => Hir::empty(),
        Node::Literal(literal) => Hir::literal(literal.as_bytes()),
        Node::Class(class) => Hir::class(Class::Unicode(class.clone())),
        Node::Look(look) => Hir::look(match look {
            Look::Start => hir::Look::Start,
            Look::End => hir::Look::End,
            Look::LineStart => hir::Look::StartLF,
            Look::LineEnd => hir::Look::EndLF,
            Look::WordBoundary => hir::Look::WordAscii,
            Look::NotWordBoundary => hir::Look::WordAsciiNegate,
        }),
        Node::Repeat { node, min, max } => Hir::repetition(Repetition {
            min: *min,
            max: *max,
            greedy: true,
            sub: Box::new(to_hir(node)),
        }),
        Node::Concat(nodes) => Hir::concat(nodes.iter().map(to_hir).collect()),
        Node::Alternate(nodes) => Hir::alternation(nodes.iter().map(to_hir).collect()),
    }
}
