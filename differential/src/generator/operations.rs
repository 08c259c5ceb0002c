//! Aggregations and operators.

use promql::{AggregateOp, BinaryOp, ValueType};

use super::selectors::FAMILIES;
use super::{Generator, Want, optional, text};
use crate::expression::{Node, Part};

const GROUPINGS: [&str; 10] = [
    "instance",
    "job",
    "instance, job",
    "code",
    "le",
    "device, instance",
    "__name__",
    "absent",
    "",
    "\"my.label\"",
];

impl Generator {
    pub(super) fn aggregation(&mut self, depth: u32, want: Want) -> Node {
        let names: Vec<_> = match want {
            Want::Native => vec!["sum", "sum", "avg", "topk", "limitk", "limit_ratio"],
            Want::Classic => vec!["sum", "avg", "max"],
            _ => AggregateOp::ALL.iter().map(|it| it.name()).collect(),
        };
        let name = self.preferred(&names);
        let inner = self.vector(depth, want);
        let mut node = Node::new(ValueType::Vector, vec![text(name)]).with(name);
        let grouping = self.random.pick(&GROUPINGS);
        let clause = match self.random.below(10) {
            0..4 => Some("by"),
            4..7 => Some("without"),
            _ => None,
        };
        let is_after = self.random.chance(0.1);
        let clause = clause.map(|it| {
            node.features.push(it.to_owned());
            let labels = match (want, it) {
                (Want::Classic, "by") => "le, instance",
                _ => grouping,
            };
            optional(format!(" {it} ({labels}) "))
        });
        let (before, after) = if is_after {
            (None, clause)
        } else {
            (clause, None)
        };
        node.parts.extend(before);
        node.parts.push(text("("));
        let outer = std::mem::replace(&mut self.is_in_parameter, true);
        let parameter = self.parameter(name, depth);
        self.is_in_parameter = outer;
        if let Some(parameter) = parameter {
            node.parts.push(parameter);
            node.parts.push(text(","));
            node.parts.push(text(self.blank()));
        }
        node.parts.push(Part::Node(inner));
        node.parts.push(text(")"));
        node.parts.extend(after);
        node
    }

    fn parameter(&mut self, name: &str, depth: u32) -> Option<Part> {
        let is_computed = self.random.chance(0.1);
        Some(match name {
            "topk" | "bottomk" | "limitk" | "limit_ratio" if is_computed => {
                Part::Node(self.scalar(depth))
            }
            "topk" | "bottomk" | "limitk" => {
                let counts = [
                    "1", "2", "3", "3", "5", "100", "2", "1", "3", "1", "2", "1.9", "0", "-1",
                    "NaN", "1e30",
                ];
                text(self.random.pick(&counts))
            }
            "limit_ratio" => {
                let ratios = [
                    "0.5", "-0.5", "0.1", "-0.9", "0.7", "-0.3", "0.9", "1", "-1", "0", "2", "-3",
                    "NaN",
                ];
                text(self.random.pick(&ratios))
            }
            "quantile" => self.quantile(depth),
            "count_values" => {
                let labels = [
                    "value", "instance", "le", "my.value", "value", "value", "new", "value",
                    "__name__", "",
                ];
                text(format!("\"{}\"", self.random.pick(&labels)))
            }
            _ => return None,
        })
    }

    pub(super) fn operation(&mut self, depth: u32, want: Want) -> Node {
        let names: Vec<_> = match want {
            Want::Native => vec!["+", "-", "*", "/", "</", ">/", "and", "or", "unless", "=="],
            Want::Classic => vec!["*", "and", "unless", "+"],
            _ => BinaryOp::ALL.iter().map(|op| op.symbol()).collect(),
        };
        let op = self.preferred(&names);
        let is_set = matches!(op, "and" | "or" | "unless");
        let is_trim = matches!(op, "</" | ">/");
        let with_scalar = match (op, want) {
            _ if is_set => false,
            ("*" | "/", Want::Native) => true,
            _ if is_trim => self.random.chance(0.9),
            _ => self.random.chance(0.35),
        };
        let want = match is_trim && self.random.chance(0.9) {
            true => Want::Native,
            false => want,
        };
        let is_comparison = matches!(op, "==" | "!=" | "<" | "<=" | ">" | ">=");
        let outer = self.family;
        if outer.is_none() && self.random.chance(0.7) {
            self.family = Some(self.random.below(FAMILIES.len()));
        }
        let node = match with_scalar {
            true => self.operation_with_scalar(op, depth, want, is_comparison),
            false => self.operation_of_vectors(op, depth, want, is_comparison, is_set),
        };
        self.family = outer;
        node.with(op)
    }

    fn operation_with_scalar(
        &mut self,
        op: &str,
        depth: u32,
        want: Want,
        is_comparison: bool,
    ) -> Node {
        let vector = self.vector(depth, want);
        let vector = self.operand(vector);
        let depth = if self.random.chance(0.6) { 0 } else { depth };
        let scalar = self.scalar(depth);
        let scalar = self.operand(scalar);
        let is_right = matches!(op, "</" | ">/") || self.random.chance(0.7);
        let (left, right) = if is_right {
            (vector, scalar)
        } else {
            (scalar, vector)
        };
        let mut node = Node::new(ValueType::Vector, vec![left]);
        self.add_operator(&mut node, op, is_comparison);
        node.parts.push(text(self.blank()));
        node.parts.push(right);
        node
    }

    fn add_operator(&mut self, node: &mut Node, op: &str, is_comparison: bool) {
        node.parts.push(text(format!("{}{op}", self.blank())));
        if is_comparison && self.wants("bool", 0.4) {
            node.parts.push(optional(" bool"));
            node.features.push("bool".to_owned());
        }
    }

    fn operation_of_vectors(
        &mut self,
        op: &str,
        depth: u32,
        want: Want,
        is_comparison: bool,
        is_set: bool,
    ) -> Node {
        // Operands as they are; with labels that are on both sides; one series for several.
        let mut shape =
            self.random
                .weighted(&[(3, 0), (if is_set { 3 } else { 1 }, 1), (4, 2), (3, 3)]);
        if self.only.iter().any(|it| it.starts_with("group_")) && self.random.chance(0.6) {
            shape = 3;
        }
        let groups = ["instance", "instance, job"];
        let labels = self.random.pick(&groups);
        let mut left = self.vector(depth, want);
        let mut right = self.vector(depth, want);
        let mut matching = Vec::new();
        match shape {
            2 => {
                left = self.grouped(left, labels, want);
                right = self.grouped(right, labels, want);
                if self.random.chance(0.5) {
                    matching.push(("on", format!(" on ({labels})")));
                }
            }
            3 if !is_set => {
                let is_left = self.random.chance(0.5);
                let included = self.random.pick(&[
                    "",
                    "()",
                    "()",
                    "(version)",
                    "(region)",
                    "(code)",
                    "(device, job)",
                    "(absent)",
                ]);
                let one = match self.random.chance(0.3) {
                    true => Node::text(ValueType::Vector, "target_info"),
                    false => {
                        let one = if is_left { right } else { left };
                        self.grouped(one, labels, want)
                    }
                };
                let many = self.vector(depth, want);
                (left, right) = if is_left { (many, one) } else { (one, many) };
                let group = if is_left { "group_left" } else { "group_right" };
                matching.push(("on", format!(" on ({labels})")));
                matching.push((group, format!(" {group} {included}")));
            }
            1 => {
                let clause = self.random.pick(&["on", "ignoring"]);
                let labels = self.random.pick(&GROUPINGS);
                matching.push((clause, format!(" {clause} ({labels})")));
            }
            _ => {}
        }
        if !is_set {
            let fill = self.random.pick(&["fill", "fill_left", "fill_right"]);
            if self.wants(fill, 0.08) {
                let value = self.random.pick(&["0", "1", "NaN", "-2.5"]);
                matching.push((fill, format!(" {fill}({value})")));
            }
        }
        let mut node = Node::new(ValueType::Vector, vec![self.operand(left)]);
        self.add_operator(&mut node, op, is_comparison);
        for (feature, clause) in matching {
            node.parts.push(optional(clause));
            node.features.push(feature.to_owned());
        }
        node.parts.push(text(" "));
        node.parts.push(self.operand(right));
        node
    }

    /// Returns the node aggregated by labels.
    fn grouped(&mut self, node: Node, labels: &str, want: Want) -> Node {
        let op = match want {
            Want::Native => self.random.pick(&["sum", "avg"]),
            _ => self
                .random
                .pick(&["sum", "avg", "max", "min", "count", "group"]),
        };
        let parts = vec![
            text(op),
            optional(format!(" by ({labels}) ")),
            text("("),
            Part::Node(node),
            text(")"),
        ];
        Node::new(ValueType::Vector, parts).with(op).with("by")
    }
}
