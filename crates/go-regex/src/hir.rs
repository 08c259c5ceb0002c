//! A pattern for `regex-automata`, which matches it in linear time.

use regex_syntax::hir::{self, Class, Hir, Repetition};

use super::node::{Look, Node};

/// The pattern as it has to match the whole of a text.
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
        Node::Text(text) => Hir::literal(text.as_bytes()),
        Node::Class(class) => Hir::class(Class::Unicode(class.clone())),
        Node::Look(look) => Hir::look(match look {
            Look::Start => hir::Look::Start,
            Look::End => hir::Look::End,
            Look::LineStart => hir::Look::StartLF,
            Look::LineEnd => hir::Look::EndLF,
            Look::WordEdge => hir::Look::WordAscii,
            Look::NoWordEdge => hir::Look::WordAsciiNegate,
        }),
        Node::Repeat { node, least, most } => Hir::repetition(Repetition {
            min: *least,
            max: *most,
            greedy: true,
            sub: Box::new(to_hir(node)),
        }),
        Node::Concat(nodes) => Hir::concat(nodes.iter().map(to_hir).collect()),
        Node::Alternate(nodes) => Hir::alternation(nodes.iter().map(to_hir).collect()),
    }
}
