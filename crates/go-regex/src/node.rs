//! What a pattern means, in terms that do not depend on flags, on names of classes or on the
//! syntax in which it was written.

use std::collections::VecDeque;

use regex_syntax::hir::{ClassUnicode, ClassUnicodeRange};

use super::unicode;

/// A pattern, or a part of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// The empty text.
    Empty,
    /// This text, not empty.
    Text(String),
    /// One of these characters.
    Class(ClassUnicode),
    /// A condition on the place between two characters.
    Look(Look),
    /// `node`, `least` times or more often, at most `most` times.
    Repeat {
        node: Box<Node>,
        least: u32,
        most: Option<u32>,
    },
    /// One after the other; at least two.
    Concat(Vec<Node>),
    /// One or another; at least two.
    Alternate(Vec<Node>),
}

/// A condition on the place between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The text starts here.
    Start,
    /// The text ends here.
    End,
    /// The text starts here, or a line after `\n`.
    LineStart,
    /// The text ends here, or a line before `\n`.
    LineEnd,
    /// One side is a letter, digit or underscore of ASCII, the other is not.
    WordEdge,
    /// Both sides are, or neither.
    NoWordEdge,
}

impl Node {
    /// One character.
    pub(super) fn char(c: char) -> Self {
        Self::Text(c.to_string())
    }

    /// One of the characters of `class`.
    pub(super) fn class(class: ClassUnicode) -> Self {
        match class.ranges() {
            [only] if only.start() == only.end() => Self::char(only.start()),
            _ => Self::Class(class),
        }
    }

    /// One after the other; texts side by side become one.
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

    /// One or another.
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

    /// The same where the whole of a text has to match: anchors at its edges say nothing then.
    pub(super) fn without_outer_anchors(self) -> Self {
        self.without_anchor(Edge::Front).without_anchor(Edge::Back)
    }

    fn without_anchor(self, edge: Edge) -> Self {
        match self {
            Self::Look(look) if edge.is_held_by(look) => Self::Empty,
            Self::Alternate(nodes) => {
                let nodes = nodes.into_iter();
                Self::alternate(nodes.map(|node| node.without_anchor(edge)).collect())
            }
            Self::Concat(nodes) => {
                let mut nodes = VecDeque::from(nodes);
                // Behind what is empty now is the edge still.
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
        (Some(Node::Text(before)), Node::Text(text)) => before.push_str(&text),
        (_, node) => nodes.push(node),
    }
}

#[derive(Clone, Copy)]
enum Edge {
    Front,
    Back,
}

impl Edge {
    fn is_held_by(self, look: Look) -> bool {
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

/// Whether every match of `node` has a character.
pub(super) fn is_never_empty(node: &Node) -> bool {
    match node {
        Node::Empty | Node::Look(_) => false,
        Node::Text(_) | Node::Class(_) => true,
        Node::Repeat { node, least, .. } => *least > 0 && is_never_empty(node),
        Node::Concat(nodes) => nodes.iter().any(is_never_empty),
        Node::Alternate(nodes) => nodes.iter().all(is_never_empty),
    }
}

/// Whether the first character tells which of the alternatives it is.
pub(super) fn start_differently(nodes: &[Node]) -> bool {
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

/// The characters that a text can start with, if it must have a start and that is plain to see.
fn first_characters(node: &Node) -> Option<ClassUnicode> {
    match node {
        Node::Text(text) => text.chars().next().map(|c| unicode::class(&[(c, c)])),
        Node::Class(class) => Some(class.clone()),
        Node::Repeat { node, least, .. } if *least > 0 => first_characters(node),
        Node::Concat(nodes) => first_characters(nodes.first()?),
        Node::Empty | Node::Look(_) | Node::Repeat { .. } | Node::Alternate(_) => None,
    }
}
