//! Random queries in which every function, aggregation, operator and modifier of PromQL occurs.

mod arguments;
mod operations;
mod selectors;

use promql::{AggregateOp, BinaryOp, Function, ValueType};

use crate::data::{LENGTH_MS, START_MS};
use crate::expression::{Node, Part};
use crate::query::{Query, Times};
use crate::random::Random;

/// The modifiers that occur beside the functions, aggregations and operators.
pub const MODIFIERS: [&str; 21] = [
    "@",
    "@ end()",
    "@ start()",
    "anchored",
    "bool",
    "by",
    "duration expression",
    "fill",
    "fill_left",
    "fill_right",
    "group_left",
    "group_right",
    "ignoring",
    "matrix",
    "offset",
    "on",
    "paren",
    "smoothed",
    "subquery",
    "unary",
    "without",
];

/// Returns the names of all that occurs in queries: functions, aggregations, operators and modifiers.
pub fn features() -> Vec<String> {
    let functions = Function::all().iter().map(|it| it.name);
    let aggregations = AggregateOp::ALL.iter().map(|it| it.name());
    let operators = BinaryOp::ALL.iter().map(|it| it.symbol());
    let all = functions.chain(aggregations).chain(operators);
    all.chain(MODIFIERS).map(str::to_owned).collect()
}

/// Returns true for an expression with the name of a metric that has native histograms.
pub fn names_histograms(expression: &str) -> bool {
    let mut names = selectors::NATIVE.iter();
    names.any(|name| expression.contains(name))
}

/// The samples that an expression should have, so that not all results are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Want {
    Any,
    Counter,
    Gauge,
    Native,
    Classic,
}

/// Generates queries.
#[derive(Debug)]
pub struct Generator {
    random: Random,
    /// The features of which each query has at least one; all, if it is empty.
    only: Vec<String>,
    depth: u32,
    /// The labels that the selectors of both operands of an operator have in common.
    family: Option<usize>,
    is_in_subquery: bool,
    /// True within a parameter of an aggregation, where Prometheus' `@` moves with the steps of a range query.
    is_in_parameter: bool,
}

impl Generator {
    /// Returns a generator whose queries nest up to `depth` levels and have at least one of the features `only`,
    /// unless it is empty.
    pub fn new(seed: u64, depth: u32, only: &[String]) -> Self {
        Self {
            random: Random::new(seed),
            only: only.to_vec(),
            depth,
            family: None,
            is_in_subquery: false,
            is_in_parameter: false,
        }
    }

    /// Returns the next query.
    pub fn query(&mut self) -> Query {
        let expression = self.expression();
        let random = &mut self.random;
        let from = match random.unit() {
            it if it < 0.02 => random.within(-600_000, 600_000),
            _ => START_MS + random.within(-120_000, LENGTH_MS + 180_000),
        };
        // Whole seconds, and multiples of the intervals of samples from their start.
        let start = match random.below(10) {
            0..3 => from / 1_000 * 1_000,
            3..5 => START_MS + (from - START_MS) / 15_000 * 15_000,
            _ => from,
        };
        let steps = [
            1_000, 5_000, 15_000, 15_000, 30_000, 60_000, 60_000, 61_500, 300_000,
        ];
        let step = random.pick(&steps);
        let last = if random.chance(0.1) { 150 } else { 15 };
        let end = start + step * random.within(0, last) + random.within(0, 1);
        let is_for_ranges = matches!(expression.value_type, ValueType::Vector | ValueType::Scalar);
        let is_instant = random.chance(if is_for_ranges { 0.5 } else { 0.95 });
        Query {
            expression,
            times: match is_instant {
                true => Times::Instant(start),
                false => Times::Range { start, end, step },
            },
            lookback_ms: random.weighted(&[(18, 300_000), (1, 60_000), (1, 600_000)]),
            delayed_name_removal: random.chance(0.5),
            start_timestamps: random.chance(0.2),
            type_and_unit_labels: random.chance(0.15),
            per_step_statistics: random.chance(0.5),
        }
    }

    /// Returns an expression with one of the wanted features.
    fn expression(&mut self) -> Node {
        loop {
            let depth = match self.random.chance(0.5) {
                true => self.depth,
                false => self.random.within(1, i64::from(self.depth)) as u32,
            };
            let types = [
                (85, ValueType::Vector),
                (6, ValueType::Scalar),
                (7, ValueType::Matrix),
                (1, ValueType::String),
            ];
            let expression = match self.random.weighted(&types) {
                ValueType::Vector => self.vector(depth, Want::Any),
                ValueType::Scalar => self.scalar(depth),
                ValueType::Matrix => self.matrix(depth, Want::Any).with("matrix"),
                ValueType::String => Node::text(ValueType::String, "\"a \\\"text\\\"\\n\""),
            };
            let features = expression.all_features();
            if self.only.is_empty() || self.only.iter().any(|it| features.contains(it)) {
                return expression;
            }
        }
    }

    fn vector(&mut self, depth: u32, want: Want) -> Node {
        if depth == 0 {
            return self.selector(want);
        }
        let kinds = [(2, 0), (10, 1), (6, 2), (8, 3), (1, 4), (1, 5)];
        match self.random.weighted(&kinds) {
            0 => self.selector(want),
            1 => self.call(depth - 1, want),
            2 => self.aggregation(depth - 1, want),
            3 => self.operation(depth - 1, want),
            4 => {
                let sign = self.random.pick(&["-", "-", "+"]);
                let inner = self.vector(depth - 1, want);
                let parts = vec![Part::Optional(sign.to_owned()), operand(inner)];
                Node::new(ValueType::Vector, parts).with("unary")
            }
            _ => {
                let inner = self.vector(depth - 1, want);
                Node::new(inner.value_type, vec![wrapped(inner)]).with("paren")
            }
        }
    }

    fn scalar(&mut self, depth: u32) -> Node {
        if depth == 0 {
            return self.number();
        }
        let kinds = [(4, 0), (6, 1), (3, 2), (1, 3)];
        match self.random.weighted(&kinds) {
            0 => self.number(),
            1 => {
                let returns_scalar = |it: &&Function| it.returns == ValueType::Scalar;
                let all: Vec<_> = Function::all().iter().filter(returns_scalar).collect();
                let names: Vec<_> = all.iter().map(|it| it.name).collect();
                let name = self.preferred(&names);
                self.call_of(name, depth - 1)
            }
            2 => {
                let ops: Vec<_> = BinaryOp::ALL
                    .iter()
                    .filter(|op| !op.is_set_operator())
                    .map(|op| op.symbol())
                    .filter(|it| !it.ends_with("</") && !it.ends_with(">/"))
                    .collect();
                let op = self.preferred(&ops);
                let is_comparison = matches!(op, "==" | "!=" | "<" | "<=" | ">" | ">=");
                let (left, right) = (self.scalar(depth - 1), self.scalar(depth - 1));
                let middle = format!(" {op} {}", if is_comparison { "bool " } else { "" });
                let parts = vec![self.operand(left), Part::Text(middle), self.operand(right)];
                let node = Node::new(ValueType::Scalar, parts).with(op);
                if is_comparison {
                    node.with("bool")
                } else {
                    node
                }
            }
            _ => {
                let inner = self.scalar(depth - 1);
                let parts = vec![Part::Optional("-".to_owned()), operand(inner)];
                Node::new(ValueType::Scalar, parts).with("unary")
            }
        }
    }

    fn number(&mut self) -> Node {
        let texts = [
            "0", "1", "1", "2", "0.3", "5", "20", "4", "2", "0.5", "-1", "3", "10", "0.9", "1.5",
            "100", "1e3", "NaN", "Inf", "-Inf", "0x1F", "1m", "-0.25", "7", "1e-3", "3.7", "-0",
            "1e300",
        ];
        let text = self.random.pick(&texts);
        Node::text(ValueType::Scalar, text)
    }

    /// Returns one of the names, often one of those that the query should have.
    fn preferred<'a>(&mut self, names: &[&'a str]) -> &'a str {
        let wanted: Vec<_> = names
            .iter()
            .copied()
            .filter(|name| self.only.iter().any(|it| it == name))
            .collect();
        if !wanted.is_empty() && self.random.chance(0.7) {
            return self.random.pick(&wanted);
        }
        self.random.pick(names)
    }

    /// Returns true as often as this, more often if the query should have the feature.
    fn wants(&mut self, feature: &str, probability: f64) -> bool {
        let is_wanted = self.only.iter().any(|it| it == feature);
        let probability = if is_wanted { 0.6 } else { probability };
        self.random.chance(probability)
    }

    /// Returns the node as an operand of a binary operator: mostly in parentheses if it is an operation itself, so
    /// that chains and the binding of operators occur too.
    fn operand(&mut self, node: Node) -> Part {
        match self.random.chance(0.3) {
            true => Part::Node(node),
            false => operand(node),
        }
    }

    /// Returns a blank, now and then a line break or a comment.
    fn blank(&mut self) -> &'static str {
        self.random
            .weighted(&[(60, " "), (3, "\n  "), (1, " # a comment\n")])
    }
}

/// Returns the node as an operand: in parentheses, if it is an operation itself.
fn operand(node: Node) -> Part {
    let is_operator =
        |it: &String| it == "unary" || BinaryOp::ALL.iter().any(|op| op.symbol() == it);
    let text = node.to_string();
    match node.features.iter().any(is_operator) || text.starts_with('-') {
        true => wrapped(node),
        false => Part::Node(node),
    }
}

fn wrapped(node: Node) -> Part {
    let value_type = node.value_type;
    let parts = vec![
        Part::Text("(".to_owned()),
        Part::Node(node),
        Part::Text(")".to_owned()),
    ];
    Part::Node(Node::new(value_type, parts))
}

fn text(text: impl Into<String>) -> Part {
    Part::Text(text.into())
}

fn optional(text: impl Into<String>) -> Part {
    Part::Optional(text.into())
}
