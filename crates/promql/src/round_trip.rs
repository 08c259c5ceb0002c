//! An expression that is printed and parsed again is the same.

use proptest::prelude::*;

use crate::ast::*;
use crate::functions::Function;
use crate::parser::{ParserOptions, parse};
use crate::position::Span;
use crate::text::Text;
use crate::value_type::ValueType;

/// Decisions of the generator. When they are used up, all are 0, which ends the expression.
struct Choices(std::vec::IntoIter<u16>);

impl Choices {
    fn below(&mut self, count: usize) -> usize {
        usize::from(self.0.next().unwrap_or(0)) % count
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 1
    }

    fn list<T>(&mut self, max: usize, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = self.below(max + 1);
        (0..count).map(|_| item(self)).collect()
    }

    fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    fn text(&mut self) -> Text {
        let bytes = self.list(6, |c| {
            let any = c.below(256) as u8;
            c.one_of(&[b'a', b'"', b'\\', b'\n', 0xc3, 0xa4, any])
        });
        Text::from(bytes)
    }

    fn label(&mut self) -> String {
        // Prometheus writes `without` without quotes, which it does not parse as a label.
        let labels = ["a", "job", "by", "a.b", "ä \"x\"", "1"];
        self.one_of(&labels).to_owned()
    }

    fn labels(&mut self) -> Vec<String> {
        self.list(3, Self::label)
    }

    /// A whole number of milliseconds, in nanoseconds, not 0.
    fn nanoseconds(&mut self) -> i64 {
        let milliseconds = [1, 1_000, 1_500, 60_000, 5_400_000, 604_800_000, 90_061_001];
        self.one_of(&milliseconds) * 1_000_000
    }

    fn number(&mut self) -> Number {
        let values = [0.0, 1.0, 0.5, 1e30, 1.5e-9, f64::INFINITY, f64::NAN, 300.0];
        match self.below(4) {
            3 => Number {
                value: self.one_of(&[1.0, 90.0, 3_600.0, 31_536_000.0]),
                is_duration: true,
            },
            _ => Number {
                value: self.one_of(&values),
                is_duration: false,
            },
        }
    }

    fn duration_expr(&mut self, depth: u32) -> DurationExpr {
        let kind = match self.below(if depth == 0 { 3 } else { 8 }) {
            0 => DurationKind::Step,
            1 => DurationKind::Range,
            2 => DurationKind::Number(Number {
                value: self.one_of(&[1.0, 2.5, 60.0]),
                is_duration: false,
            }),
            3 => {
                let mut inner = self.duration_expr(depth - 1);
                if !matches!(inner.kind, DurationKind::Number(_)) {
                    inner.is_wrapped = true;
                    return inner;
                }
                let mut paren = duration(DurationKind::Unary(Sign::Plus, Box::new(inner)));
                paren.is_wrapped = true;
                return paren;
            }
            4 => {
                let mut inner = self.duration_expr(depth - 1);
                if matches!(inner.kind, DurationKind::Number(_)) {
                    inner = duration(DurationKind::Step);
                }
                inner.is_wrapped = true;
                DurationKind::Unary(Sign::Minus, Box::new(inner))
            }
            choice => {
                let op = self.one_of(&[
                    DurationOp::Add,
                    DurationOp::Sub,
                    DurationOp::Mul,
                    DurationOp::Div,
                    DurationOp::Mod,
                    DurationOp::Pow,
                    DurationOp::MinOf,
                    DurationOp::MaxOf,
                ]);
                let is_call = matches!(op, DurationOp::MinOf | DurationOp::MaxOf);
                let mut operand = || {
                    let mut operand = self.duration_expr(depth - 1);
                    let is_plain = matches!(
                        operand.kind,
                        DurationKind::Number(_)
                            | DurationKind::Step
                            | DurationKind::Range
                            | DurationKind::Binary(DurationOp::MinOf | DurationOp::MaxOf, ..)
                    );
                    operand.is_wrapped |= choice > 6 || !is_call && !is_plain;
                    operand.is_wrapped &= !matches!(operand.kind, DurationKind::Number(_));
                    operand
                };
                DurationKind::Binary(op, Box::new(operand()), Box::new(operand()))
            }
        };
        duration(kind)
    }

    fn duration_spec(&mut self) -> DurationSpec {
        if self.coin() {
            return DurationSpec::Fixed(self.nanoseconds());
        }
        let computed = self.duration_expr(3);
        match computed.kind {
            DurationKind::Number(_) => DurationSpec::Fixed(self.nanoseconds()),
            _ => DurationSpec::Computed(Box::new(computed)),
        }
    }

    /// Prometheus accepts no colon before the first number of a query's ranges.
    fn range_before_colon(&mut self) -> DurationSpec {
        let DurationSpec::Computed(mut computed) = self.duration_spec() else {
            return DurationSpec::Fixed(self.nanoseconds());
        };
        computed.is_wrapped = true;
        let number = DurationKind::Number(Number {
            value: 60.0,
            is_duration: true,
        });
        let kind = DurationKind::Binary(DurationOp::Add, Box::new(duration(number)), computed);
        DurationSpec::Computed(Box::new(duration(kind)))
    }

    fn modifiers(&mut self) -> Modifiers {
        let at = match self.below(6) {
            3 => Some(At::Time(self.below(65_536) as i64 * 7_919 - 9_999_999)),
            4 => Some(At::Start),
            5 => Some(At::End),
            _ => None,
        };
        let offset = match self.below(4) {
            2 => Some(DurationSpec::Fixed(-self.nanoseconds())),
            3 => {
                // Other durations go on with the operators after them, which belong to the selector.
                Some(match self.duration_spec() {
                    DurationSpec::Computed(mut inner) => {
                        inner.is_wrapped = true;
                        let kind = DurationKind::Unary(Sign::Minus, inner);
                        DurationSpec::Computed(Box::new(duration(kind)))
                    }
                    fixed => fixed,
                })
            }
            _ => None,
        };
        Modifiers { at, offset }
    }

    fn selector(&mut self) -> VectorSelector {
        let mut matchers = self.list(3, |c| {
            let op = c.one_of(&[
                MatchOp::Equal,
                MatchOp::NotEqual,
                MatchOp::Regex,
                MatchOp::NotRegex,
            ]);
            let value = match op {
                MatchOp::Equal | MatchOp::NotEqual => c.text(),
                _ => Text::from(c.one_of(&["a|b", ".*", "x.+\\d", ""])),
            };
            Matcher {
                name: Text::from(c.label().as_str()),
                op,
                value,
                pattern: None,
            }
        });
        let matcher = |name: &str, value: &str| Matcher {
            name: Text::from(name),
            op: MatchOp::Equal,
            value: Text::from(value),
            pattern: None,
        };
        let name = self.one_of(&["up", "", "a:b", "sum", "start"]);
        if name.is_empty() {
            matchers.push(matcher("x", "y"));
        }
        matchers.sort_by_key(Matcher::to_string);
        if !name.is_empty() {
            matchers.push(matcher("__name__", name));
        }
        let extension = self.below(6);
        VectorSelector {
            name: name.to_owned(),
            matchers,
            modifiers: self.modifiers(),
            anchored: extension == 4,
            smoothed: extension == 5,
            may_match_all: false,
        }
    }

    fn matrix(&mut self, depth: u32) -> Expr {
        let kind = if depth == 0 || self.coin() {
            ExprKind::Matrix(Box::new(MatrixSelector {
                selector: self.selector(),
                selector_span: Span::default(),
                range: self.duration_spec(),
            }))
        } else {
            let mut expr = self.vector(depth - 1);
            if matches!(expr.kind, ExprKind::Binary(_) | ExprKind::Unary(..)) {
                expr = paren(expr);
            }
            let step = self.coin().then(|| self.duration_spec());
            ExprKind::Subquery(Box::new(Subquery {
                expr,
                range: self.range_before_colon(),
                step,
                modifiers: self.modifiers(),
            }))
        };
        node(kind, ValueType::Matrix)
    }

    fn of_type(&mut self, value_type: ValueType, depth: u32) -> Expr {
        match value_type {
            ValueType::Vector => self.vector(depth),
            ValueType::Scalar => self.scalar(depth),
            ValueType::Matrix => self.matrix(depth),
            ValueType::String => node(ExprKind::String(self.text()), ValueType::String),
        }
    }

    fn call(&mut self, returns: ValueType, depth: u32) -> Expr {
        let functions: Vec<_> = Function::all()
            .iter()
            // The second argument of `info` is a special selector.
            .filter(|function| function.returns == returns && function.name != "info")
            .collect();
        let function = self.one_of(&functions);
        let arguments = function
            .arguments
            .iter()
            .map(|&argument| self.of_type(argument, depth - 1))
            .collect();
        let call = Call {
            function,
            arguments,
        };
        node(ExprKind::Call(call), returns)
    }

    fn scalar(&mut self, depth: u32) -> Expr {
        match self.below(if depth == 0 { 1 } else { 6 }) {
            0 | 1 => node(ExprKind::Number(self.number()), ValueType::Scalar),
            2 => paren(self.scalar(depth - 1)),
            3 => self.unary(ValueType::Scalar, depth),
            4 => self.call(ValueType::Scalar, depth),
            _ => self.chain(ValueType::Scalar, depth),
        }
    }

    fn vector(&mut self, depth: u32) -> Expr {
        match self.below(if depth == 0 { 1 } else { 7 }) {
            0 | 1 => node(
                ExprKind::Vector(Box::new(self.selector())),
                ValueType::Vector,
            ),
            2 => paren(self.vector(depth - 1)),
            3 => self.unary(ValueType::Vector, depth),
            4 => self.call(ValueType::Vector, depth),
            5 => self.aggregate(depth),
            _ => self.chain(ValueType::Vector, depth),
        }
    }

    fn aggregate(&mut self, depth: u32) -> Expr {
        let op = self.one_of(&AggregateOp::ALL);
        let parameter = op
            .parameter_type()
            .map(|value_type| self.of_type(value_type, depth - 1));
        let grouping = self.labels();
        let aggregate = Aggregate {
            op,
            expr: self.vector(depth - 1),
            parameter,
            grouping,
            without: self.coin(),
        };
        let kind = ExprKind::Aggregate(Box::new(aggregate));
        node(kind, ValueType::Vector)
    }

    /// An operand of a sign or an operator, in parentheses if it needs them.
    fn operand(&mut self, value_type: ValueType, depth: u32) -> Expr {
        let expr = self.of_type(value_type, depth - 1);
        match expr.kind {
            ExprKind::Binary(_) | ExprKind::Unary(..) => paren(expr),
            // It is written with a sign.
            ExprKind::Number(number) if number.value.is_infinite() => paren(expr),
            _ => expr,
        }
    }

    fn unary(&mut self, value_type: ValueType, depth: u32) -> Expr {
        let mut operand = self.operand(value_type, depth);
        if matches!(operand.kind, ExprKind::Number(_)) {
            operand = paren(operand);
        }
        let sign = self.one_of(&[Sign::Plus, Sign::Minus]);
        node(ExprKind::Unary(sign, Box::new(operand)), value_type)
    }

    fn chain(&mut self, value_type: ValueType, depth: u32) -> Expr {
        let is_scalar = value_type == ValueType::Scalar;
        let mut ops: Vec<_> = std::iter::repeat_with(|| self.one_of(&BinaryOp::ALL))
            .take(3)
            .filter(|op| !is_scalar || !op.is_set_operator())
            .collect();
        // What stands left binds at least as strongly, and `^` groups to the right.
        ops.sort_by_key(|op| std::cmp::Reverse(op.binding_power()));
        let powers = ops.iter().filter(|op| **op == BinaryOp::Pow).count();
        ops.drain(..powers.saturating_sub(1));
        if ops.is_empty() {
            ops.push(BinaryOp::Mul);
        }
        let first = self.operand(value_type, depth);
        let steps = ops.into_iter().map(|op| {
            let has_scalar = is_scalar || !op.is_set_operator() && self.coin();
            let right_type = match has_scalar {
                true => ValueType::Scalar,
                false => ValueType::Vector,
            };
            BinaryStep {
                op,
                return_bool: op.is_comparison() && (is_scalar || self.coin()),
                matching: (!has_scalar).then(|| Box::new(self.matching(op))),
                right: self.operand(right_type, depth),
                span: Span::default(),
                value_type,
            }
        });
        let steps = steps.collect();
        let kind = ExprKind::Binary(Box::new(Binary { first, steps }));
        node(kind, value_type)
    }

    fn matching(&mut self, op: BinaryOp) -> VectorMatching {
        let mut matching = VectorMatching {
            cardinality: Cardinality::OneToOne,
            labels: self.labels(),
            on: self.coin(),
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        if op.is_set_operator() {
            matching.cardinality = Cardinality::ManyToMany;
            return matching;
        }
        if self.coin() {
            matching.cardinality = self.one_of(&[Cardinality::ManyToOne, Cardinality::OneToMany]);
            matching.include = self.list(2, |c| c.one_of(&["i", "k.l"]).to_owned());
        }
        let fill = |c: &mut Self| {
            let value = c.one_of(&[0.0, -1.5, 1e30, 1e-7, f64::NEG_INFINITY]);
            c.coin().then_some(Fill(value))
        };
        matching.fill_left = fill(self);
        matching.fill_right = fill(self);
        matching
    }
}

fn node(kind: ExprKind, value_type: ValueType) -> Expr {
    Expr {
        kind,
        span: Span::default(),
        value_type,
        height: 0,
    }
}

fn paren(expr: Expr) -> Expr {
    let value_type = expr.value_type;
    node(ExprKind::Paren(Box::new(expr)), value_type)
}

fn duration(kind: DurationKind) -> DurationExpr {
    DurationExpr {
        kind,
        is_wrapped: false,
        span: Span::default(),
        height: 0,
    }
}

/// Removes what depends on the text of a query.
fn forget_places(expr: &mut Expr) {
    expr.span = Span::default();
    expr.height = 0;
    match &mut expr.kind {
        ExprKind::Number(_) | ExprKind::String(_) => {}
        ExprKind::Vector(selector) => forget_in_modifiers(&mut selector.modifiers),
        ExprKind::Matrix(matrix) => {
            matrix.selector_span = Span::default();
            forget_in_modifiers(&mut matrix.selector.modifiers);
            forget_in_spec(&mut matrix.range);
        }
        ExprKind::Subquery(subquery) => {
            forget_places(&mut subquery.expr);
            forget_in_modifiers(&mut subquery.modifiers);
            forget_in_spec(&mut subquery.range);
            subquery.step.iter_mut().for_each(forget_in_spec);
        }
        ExprKind::Call(call) => call.arguments.iter_mut().for_each(forget_places),
        ExprKind::Aggregate(aggregate) => {
            forget_places(&mut aggregate.expr);
            aggregate.parameter.iter_mut().for_each(forget_places);
        }
        ExprKind::Binary(chain) => {
            forget_places(&mut chain.first);
            for step in &mut chain.steps {
                step.span = Span::default();
                forget_places(&mut step.right);
            }
        }
        ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => forget_places(inner),
    }
}

fn forget_in_modifiers(modifiers: &mut Modifiers) {
    modifiers.offset.iter_mut().for_each(forget_in_spec);
}

fn forget_in_spec(spec: &mut DurationSpec) {
    if let DurationSpec::Computed(computed) = spec {
        forget_in_duration(computed);
    }
}

fn forget_in_duration(expr: &mut DurationExpr) {
    expr.span = Span::default();
    expr.height = 0;
    match &mut expr.kind {
        DurationKind::Number(_) | DurationKind::Step | DurationKind::Range => {}
        DurationKind::Unary(_, inner) => forget_in_duration(inner),
        DurationKind::Binary(_, left, right) => {
            forget_in_duration(left);
            forget_in_duration(right);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn printed_expressions_are_parsed_again(choices in prop::collection::vec(any::<u16>(), 0..300)) {
        let expr = Choices(choices.into_iter()).vector(6);
        let printed = expr.to_string();
        for query in [&printed, &expr.pretty()] {
            let mut parsed = parse(query, &ParserOptions::everything())
                .map_err(|error| TestCaseError::fail(format!("{query}: {error}")))?;
            forget_places(&mut parsed);
            prop_assert_eq!(&parsed, &expr, "{}", query);
        }
    }

    #[test]
    fn no_input_panics(query in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = parse(&query, &ParserOptions::everything());
    }

    #[test]
    fn no_sequence_of_tokens_panics(tokens in prop::collection::vec(prop::sample::select(TOKENS), 0..30)) {
        let query = tokens.concat();
        if let Ok(expr) = parse(&query, &ParserOptions::everything()) {
            prop_assert!(expr.span.end <= query.len() && expr.span.start < expr.span.end);
        }
    }
}

const TOKENS: &[&str] = &[
    "a",
    "b ",
    " sum",
    " by ",
    "rate",
    "(",
    ")",
    "(",
    ")",
    "{",
    "}",
    "[",
    "]",
    "[5m]",
    "[5m:]",
    ":",
    ",",
    "=",
    "=~",
    "!=",
    "==",
    " + ",
    " - ",
    " ^ ",
    " bool ",
    " on ",
    " offset ",
    "5m",
    "1",
    " @ ",
    "start()",
    "\"x\"",
    "'",
    "`",
    "\\",
    " and ",
    " fill ",
    " group_left ",
    "step()",
    "max_of(",
    " anchored",
    "#",
    "\n",
    "ä",
    "</",
    "</ 1",
];
