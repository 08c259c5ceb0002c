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

fn repetition(node: &Node, (min, max): (u32, Option<u32>), is_greedy: bool) -> Hir {
    Hir::repetition(Repetition {
        min,
        max,
        greedy: is_greedy,
        sub: Box::new(to_hir(node)),
    })
}

/// Returns the pattern.
pub(super) fn to_hir(node: &Node) -> Hir {
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
        Node::Repeat { node, min, max } => repetition(node, (*min, *max), true),
        Node::Lazy(lazy) => match &**lazy {
            Node::Repeat { node, min, max } => repetition(node, (*min, *max), false),
            other => to_hir(other),
        },
        Node::Capture(index, node) => Hir::capture(hir::Capture {
            index: *index,
            name: None,
            sub: Box::new(to_hir(node)),
        }),
        Node::Concat(nodes) => Hir::concat(nodes.iter().map(to_hir).collect()),
        Node::Alternate(nodes) => Hir::alternation(nodes.iter().map(to_hir).collect()),
    }
}
