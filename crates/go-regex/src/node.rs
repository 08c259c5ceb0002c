//! The meaning of a pattern as a tree that has no flags, no names of classes and no other traces of the syntax.

use std::collections::VecDeque;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::unicode;

/// A pattern, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// The empty string.
    Empty,
    /// This string, which is not empty.
    Literal(String),
    /// One of these characters.
    Class(ClassUnicode),
    /// A condition on a position between two characters.
    Look(Look),
    /// At least `min` and at most `max` times `node`.
    Repeat {
        node: Box<Node>,
        min: u32,
        max: Option<u32>,
    },
    /// A sequence of at least two parts.
    Concat(Vec<Node>),
    /// At least two alternatives.
    Alternate(Vec<Node>),
    /// A repetition that prefers to end. Only patterns for [`crate::Regexp`] have them.
    Lazy(Box<Node>),
    /// A group with its number. Only patterns for [`crate::Regexp`] have them.
    Capture(u32, Box<Node>),
}

/// A condition on a position between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The string starts here.
    Start,
    /// The string ends here.
    End,
    /// The string starts here, or a line after `\n`.
    LineStart,
    /// The string ends here, or a line before `\n`.
    LineEnd,
    /// An ASCII letter, digit or underscore is on one side only.
    WordBoundary,
    /// An ASCII letter, digit or underscore is on both sides or on neither.
    NotWordBoundary,
}

impl Node {
    /// Returns a literal of one character.
    pub(super) fn char(c: char) -> Self {
        Self::Literal(c.to_string())
    }

    /// Returns a class, or a literal if `class` has a single character.
    pub(super) fn class(class: ClassUnicode) -> Self {
        match class.ranges() {
            [only] if only.start() == only.end() => Self::char(only.start()),
            _ => Self::Class(class),
        }
    }

    /// Returns the sequence of `nodes`; adjacent literals become one.
    pub(super) fn concat(nodes: Vec<Node>) -> Self {
        let mut flat: Vec<Node> = Vec::with_capacity(nodes.len());
        for node in nodes {
            match node {
                Self::Empty => {}
                Self::Concat(inner) => inner.into_iter().for_each(|node| append(node, &mut flat)),
                node => append(node, &mut flat),
            }
        }
        match flat.len() {
            0 => Self::Empty,
            1 => flat.remove(0),
            _ => Self::Concat(flat),
        }
    }

    /// Returns the alternatives `nodes`.
    pub(super) fn alternate(nodes: Vec<Node>) -> Self {
        let mut flat = Vec::with_capacity(nodes.len());
        for node in nodes {
            match node {
                Self::Alternate(inner) => flat.extend(inner),
                node => flat.push(node),
            }
        }
        match flat.len() {
            1 => flat.remove(0),
            _ => Self::Alternate(flat),
        }
    }

    /// Returns the node without the anchors at its edges, which are redundant if the whole of a string must match.
    pub(super) fn without_outer_anchors(self) -> Self {
        self.without_anchor(Edge::Front).without_anchor(Edge::Back)
    }

    fn without_anchor(self, edge: Edge) -> Self {
        match self {
            Self::Look(look) if edge.is_anchor(look) => Self::Empty,
            Self::Alternate(nodes) => {
                let nodes = nodes.into_iter();
                Self::alternate(nodes.map(|node| node.without_anchor(edge)).collect())
            }
            Self::Concat(nodes) => {
                let mut nodes = VecDeque::from(nodes);
                // If the outermost node becomes empty then the next one is at the edge.
                while let Some(outer) = edge.take(&mut nodes) {
                    match outer.without_anchor(edge) {
                        Self::Empty => {}
                        outer => {
                            edge.put(&mut nodes, outer);
                            break;
                        }
                    }
                }
                Self::concat(nodes.into())
            }
            other => other,
        }
    }
}

fn append(node: Node, nodes: &mut Vec<Node>) {
    match (nodes.last_mut(), node) {
        (Some(Node::Literal(before)), Node::Literal(literal)) => before.push_str(&literal),
        (_, node) => nodes.push(node),
    }
}

#[derive(Clone, Copy)]
enum Edge {
    Front,
    Back,
}

impl Edge {
    fn is_anchor(self, look: Look) -> bool {
        match self {
            Self::Front => matches!(look, Look::Start | Look::LineStart),
            Self::Back => matches!(look, Look::End | Look::LineEnd),
        }
    }

    fn take(self, nodes: &mut VecDeque<Node>) -> Option<Node> {
        match self {
            Self::Front => nodes.pop_front(),
            Self::Back => nodes.pop_back(),
        }
    }

    fn put(self, nodes: &mut VecDeque<Node>, node: Node) {
        match self {
            Self::Front => nodes.push_front(node),
            Self::Back => nodes.push_back(node),
        }
    }
}

/// Returns true if every match of `node` has a character.
pub(super) fn is_never_empty(node: &Node) -> bool {
    match node {
        Node::Empty | Node::Look(_) => false,
        Node::Literal(_) | Node::Class(_) => true,
        Node::Repeat { node, min, .. } => *min > 0 && is_never_empty(node),
        Node::Concat(nodes) => nodes.iter().any(is_never_empty),
        Node::Alternate(nodes) => nodes.iter().all(is_never_empty),
        Node::Lazy(node) | Node::Capture(_, node) => is_never_empty(node),
    }
}

/// Returns true if no two alternatives can start with the same character.
pub(super) fn have_disjoint_starts(nodes: &[Node]) -> bool {
    let mut ranges = Vec::with_capacity(nodes.len());
    for node in nodes {
        match first_characters(node) {
            Some(class) => ranges.extend(class.ranges().iter().copied()),
            None => return false,
        }
    }
    ranges.sort_unstable_by_key(ClassUnicodeRange::start);
    ranges
        .windows(2)
        .all(|pair| pair[0].end() < pair[1].start())
}

/// Returns the characters that a match can start with, if it has one and they are obvious.
fn first_characters(node: &Node) -> Option<ClassUnicode> {
    match node {
        Node::Literal(literal) => literal.chars().next().map(|c| unicode::class(&[(c, c)])),
        Node::Class(class) => Some(class.clone()),
        Node::Repeat { node, min, .. } if *min > 0 => first_characters(node),
        Node::Concat(nodes) => first_characters(nodes.first()?),
        Node::Lazy(node) | Node::Capture(_, node) => first_characters(node),
        Node::Empty | Node::Look(_) | Node::Repeat { .. } | Node::Alternate(_) => None,
    }
}
