//! Expressions as trees that can be printed and made smaller.

use std::collections::BTreeSet;
use std::fmt::{self, Display, Formatter};

use promql::ValueType;

/// A part of an expression with a value: texts with other nodes between them.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The type of the value.
    pub value_type: ValueType,
    /// The parts in their order.
    pub parts: Vec<Part>,
    /// The functions, operators and modifiers that stand in the texts of this node.
    pub features: Vec<String>,
}

/// A part of a node.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// A text that the node needs.
    Text(String),
    /// A text without which the node is still an expression.
    Optional(String),
    /// A node.
    Node(Node),
}

impl Node {
    /// Returns a node of one text.
    pub fn text(value_type: ValueType, text: impl Into<String>) -> Self {
        Self::new(value_type, vec![Part::Text(text.into())])
    }

    /// Returns a node of these parts.
    pub fn new(value_type: ValueType, parts: Vec<Part>) -> Self {
        Self {
            value_type,
            parts,
            features: Vec::new(),
        }
    }

    /// Adds a feature.
    pub fn with(mut self, feature: impl Into<String>) -> Self {
        self.features.push(feature.into());
        self
    }

    /// Returns all features of the node and those within it.
    pub fn all_features(&self) -> BTreeSet<String> {
        let mut all = BTreeSet::new();
        self.collect_features(&mut all);
        all
    }

    fn collect_features(&self, all: &mut BTreeSet<String>) {
        all.extend(self.features.iter().cloned());
        self.children().for_each(|it| it.collect_features(all));
    }

    /// Returns true if the features of the node, or of one within it, are wanted ones.
    pub fn any(&self, is_wanted: &impl Fn(&[String]) -> bool) -> bool {
        is_wanted(&self.features) || self.children().any(|it| it.any(is_wanted))
    }

    fn children(&self) -> impl Iterator<Item = &Self> {
        self.parts.iter().filter_map(|part| match part {
            Part::Node(node) => Some(node),
            _ => None,
        })
    }

    /// Returns trees that are this one with one place made smaller: first those that lose most.
    pub fn smaller(&self) -> Vec<Self> {
        let mut all: Vec<Self> = Vec::new();
        self.add_descendants(self.value_type, &mut all);
        // Results of another type are results too.
        let children = self.children();
        all.extend(
            children
                .filter(|it| it.value_type != self.value_type)
                .cloned(),
        );
        for simple in simplest(self.value_type) {
            if *simple != self.to_string() && self.to_string().len() > simple.len() {
                all.push(Self::text(self.value_type, *simple));
            }
        }
        for (at, part) in self.parts.iter().enumerate() {
            match part {
                Part::Text(_) => {}
                Part::Optional(_) => {
                    let mut smaller = self.clone();
                    smaller.parts.remove(at);
                    all.push(smaller);
                }
                Part::Node(node) => {
                    let others = node.smaller().into_iter();
                    let same_type = others.filter(|it| it.value_type == node.value_type);
                    all.extend(same_type.map(|other| {
                        let mut smaller = self.clone();
                        smaller.parts[at] = Part::Node(other);
                        smaller
                    }));
                }
            }
        }
        all
    }

    /// Adds the nearest nodes below this one that have the type.
    fn add_descendants(&self, value_type: ValueType, all: &mut Vec<Self>) {
        for child in self.children() {
            if child.value_type == value_type {
                all.push(child.clone());
            } else {
                child.add_descendants(value_type, all);
            }
        }
    }
}

/// Returns the simplest expressions of a type.
fn simplest(value_type: ValueType) -> &'static [&'static str] {
    match value_type {
        ValueType::Scalar => &["1", "0"],
        ValueType::Vector => &["load", "rpc"],
        ValueType::Matrix => &["load[5m]", "rpc[5m]"],
        _ => &[],
    }
}

impl Display for Node {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) | Part::Optional(text) => f.write_str(text),
            Part::Node(node) => write!(f, "{node}"),
        })
    }
}
