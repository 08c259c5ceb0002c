//! The tree of a query.
//!
//! Its height is at most [`crate::MAX_DEPTH`], so that recursion over it, and its `Drop`, need a bounded stack: a
//! chain of operators such as `a + b + c` is one node with a list, not a node for each operator.

use go_regex::{Pattern, RegexError};
pub use prom_model::MatchOp;

use crate::functions::Function;
use crate::position::Span;
use crate::text::Text;
use crate::value_type::ValueType;

/// An expression with its place in the query and the type of its value. `Display` writes it as Prometheus'
/// `String()` does.
///
/// ```
/// use promql::{ParserOptions, Span, ValueType, parse};
///
/// let expr = parse(" rate(up[5m])", &ParserOptions::default())?;
/// assert_eq!(expr.value_type, ValueType::Vector);
/// assert_eq!(expr.span, Span { start: 1, end: 13 });
/// assert_eq!(expr.to_string(), "rate(up[5m])");
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Expr {
    /// The expression itself.
    pub kind: ExprKind,
    /// The bytes of the query.
    pub span: Span,
    /// The type of the value.
    pub value_type: ValueType,
    /// The number of nodes on the longest way down.
    pub(crate) height: u32,
}

/// The kinds of expressions.
///
/// ```
/// use promql::{ExprKind, ParserOptions, parse};
///
/// let expr = parse("'text'", &ParserOptions::default())?;
/// assert!(matches!(expr.kind, ExprKind::String(text) if text == *"text"));
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum ExprKind {
    /// A number, or a duration in seconds.
    Number(Number),
    /// A string.
    String(Text),
    /// A selector of an instant vector.
    Vector(Box<VectorSelector>),
    /// A selector of a range vector.
    Matrix(Box<MatrixSelector>),
    /// An expression over a range.
    Subquery(Box<Subquery>),
    /// A call of a function.
    Call(Call),
    /// An aggregation.
    Aggregate(Box<Aggregate>),
    /// Operators between operands.
    Binary(Box<Binary>),
    /// A sign before an expression that is not a number.
    Unary(Sign, Box<Expr>),
    /// An expression in parentheses.
    Paren(Box<Expr>),
}

/// A number.
///
/// ```
/// use promql::{ExprKind, ParserOptions, parse};
///
/// let expr = parse("1m30s", &ParserOptions::default())?;
/// let ExprKind::Number(number) = expr.kind else { unreachable!() };
/// assert!(number.is_duration && number.value == 90.0);
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Number {
    /// The value; seconds, if it was written as a duration.
    pub value: f64,
    /// True if it was written as a duration.
    pub is_duration: bool,
}

/// Two numbers are equal if their bits are, so that NaN is equal to itself.
impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        (self.value.to_bits(), self.is_duration) == (other.value.to_bits(), other.is_duration)
    }
}

/// A sign.
///
/// ```
/// use promql::{ExprKind, ParserOptions, Sign, parse};
///
/// let expr = parse("-up", &ParserOptions::default())?;
/// assert!(matches!(expr.kind, ExprKind::Unary(Sign::Minus, _)));
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// `+`
    Plus,
    /// `-`
    Minus,
}

/// A condition on a label. The metric name is the label `__name__`.
///
/// ```
/// use promql::{ExprKind, MatchOp, ParserOptions, parse};
///
/// let expr = parse("up{job!='api'}", &ParserOptions::default())?;
/// let ExprKind::Vector(selector) = expr.kind else { unreachable!() };
/// assert_eq!(selector.matchers[0].op, MatchOp::NotEqual);
/// assert!(selector.matchers[1].name == *"__name__");
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The name of the label.
    pub name: Text,
    /// The operator.
    pub op: MatchOp,
    /// The value or the pattern.
    pub value: Text,
    /// The compiled pattern of `=~` and `!~`.
    pub(crate) pattern: Option<Pattern>,
}

impl Matcher {
    /// Returns a condition.
    ///
    /// ```
    /// use promql::{MatchOp, Matcher};
    ///
    /// let matcher = Matcher::new("job", MatchOp::NotEqual, "api").unwrap();
    /// assert!(matcher.matches("") && !matcher.matches("api"));
    /// assert!(Matcher::new("job", MatchOp::Regex, "(").is_err());
    /// ```
    ///
    /// # Errors
    /// The value is a pattern that is not valid.
    pub fn new(name: &str, op: MatchOp, value: &str) -> Result<Self, RegexError> {
        let is_pattern = matches!(op, MatchOp::Regex | MatchOp::NotRegex);
        Ok(Self {
            name: name.into(),
            op,
            value: value.into(),
            pattern: is_pattern.then(|| Pattern::new(value)).transpose()?,
        })
    }

    /// Returns true if a label with this value, empty if absent, fulfils the condition.
    ///
    /// ```
    /// use promql::{ExprKind, ParserOptions, parse};
    ///
    /// let expr = parse(r#"{job=~"a|b"}"#, &ParserOptions::default())?;
    /// let ExprKind::Vector(selector) = &expr.kind else { unreachable!() };
    /// assert!(selector.matchers[0].matches("a"));
    /// assert!(!selector.matchers[0].matches("ab"));
    /// # Ok::<(), promql::ParseError>(())
    /// ```
    pub fn matches(&self, value: &str) -> bool {
        let matches_pattern = || self.pattern.as_ref().is_some_and(|p| p.matches(value));
        match self.op {
            MatchOp::Equal => self.value == *value,
            MatchOp::NotEqual => self.value != *value,
            MatchOp::Regex => matches_pattern(),
            MatchOp::NotRegex => !matches_pattern(),
        }
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.name, self.op, &self.value).hash(state);
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, self.op, &self.value) == (&other.name, other.op, &other.value)
    }
}

/// A selector of an instant vector.
///
/// ```
/// use promql::{ExprKind, ParserOptions, parse};
///
/// let expr = parse("up{job='api'}", &ParserOptions::default())?;
/// let ExprKind::Vector(selector) = expr.kind else { unreachable!() };
/// assert_eq!((selector.name.as_str(), selector.matchers.len()), ("up", 2));
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorSelector {
    /// The metric name before the braces; empty if there is none.
    pub name: String,
    /// The conditions in the order of the query; that of `name` is the last one.
    pub matchers: Vec<Matcher>,
    /// Time and offset.
    pub modifiers: Modifiers,
    /// True if `anchored` stands after the selector, or after the range selector around it.
    pub anchored: bool,
    /// True if `smoothed` stands after the selector, or after the range selector around it.
    pub smoothed: bool,
    /// True for the second argument of `info`, which need not have a condition that excludes absent labels.
    pub may_match_all: bool,
}

/// The modifiers of time of a selector or subquery.
///
/// ```
/// use promql::{At, DurationSpec, ExprKind, ParserOptions, parse};
///
/// let expr = parse("up @ 60 offset 5m", &ParserOptions::default())?;
/// let ExprKind::Vector(selector) = expr.kind else { unreachable!() };
/// assert_eq!(selector.modifiers.at, Some(At::Time(60_000)));
/// assert_eq!(selector.modifiers.offset, Some(DurationSpec::Fixed(300_000_000_000)));
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Modifiers {
    /// The time of `@`.
    pub at: Option<At>,
    /// The duration of `offset`; `None` if it is the literal 0.
    pub offset: Option<DurationSpec>,
}

/// The time of the modifier `@`.
///
/// ```
/// use promql::{At, ExprKind, ParserOptions, parse};
///
/// let expr = parse("up @ end()", &ParserOptions::default())?;
/// let ExprKind::Vector(selector) = expr.kind else { unreachable!() };
/// assert_eq!(selector.modifiers.at, Some(At::End));
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// Milliseconds since 1970.
    Time(i64),
    /// The start of the query.
    Start,
    /// The end of the query.
    End,
}

/// A selector of a range vector.
///
/// ```
/// use promql::{DurationSpec, ExprKind, ParserOptions, parse};
///
/// let expr = parse("up[1m]", &ParserOptions::default())?;
/// let ExprKind::Matrix(matrix) = expr.kind else { unreachable!() };
/// assert_eq!(matrix.range, DurationSpec::Fixed(60_000_000_000));
/// assert_eq!(matrix.selector.name, "up");
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct MatrixSelector {
    /// The selector with all modifiers, also those after the range.
    pub selector: VectorSelector,
    /// The place of the selector without the range.
    pub selector_span: Span,
    /// The length of the range.
    pub range: DurationSpec,
}

/// An expression that is evaluated at steps over a range.
///
/// ```
/// use promql::{ExprKind, ParserOptions, parse};
///
/// let expr = parse("(a + b)[1h:]", &ParserOptions::default())?;
/// let ExprKind::Subquery(subquery) = expr.kind else { unreachable!() };
/// assert_eq!((subquery.expr.to_string().as_str(), subquery.step), ("(a + b)", None));
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Subquery {
    /// The expression.
    pub expr: Expr,
    /// The length of the range.
    pub range: DurationSpec,
    /// The step; `None` for the default.
    pub step: Option<DurationSpec>,
    /// Time and offset.
    pub modifiers: Modifiers,
}

/// A call of a function.
///
/// ```
/// use promql::{ExprKind, ParserOptions, parse};
///
/// let expr = parse("clamp(up, 0, 1)", &ParserOptions::default())?;
/// let ExprKind::Call(call) = expr.kind else { unreachable!() };
/// assert_eq!((call.function.name, call.arguments.len()), ("clamp", 3));
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// The function.
    pub function: &'static Function,
    /// The arguments, whose number and types are checked.
    pub arguments: Vec<Expr>,
}

/// An aggregation.
///
/// ```
/// use promql::{AggregateOp, ExprKind, ParserOptions, parse};
///
/// let expr = parse("topk without (pod) (3, up)", &ParserOptions::default())?;
/// let ExprKind::Aggregate(aggregate) = expr.kind else { unreachable!() };
/// assert_eq!((aggregate.op, aggregate.without), (AggregateOp::Topk, true));
/// assert!(aggregate.parameter.is_some() && aggregate.grouping == ["pod"]);
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregate {
    /// The operation.
    pub op: AggregateOp,
    /// The instant vector that is aggregated.
    pub expr: Expr,
    /// The parameter of operations that have one.
    pub parameter: Option<Expr>,
    /// The labels of `by` or `without`.
    pub grouping: Vec<String>,
    /// True if the labels are those of `without`.
    pub without: bool,
}

/// A chain of operators that are evaluated from left to right: the first operand and what is done to it.
///
/// `a + b * c - d` is `a`, then `+ b * c` and then `- d`, with a chain of its own as operand of `+`. `a * b + c` is
/// one chain too.
///
/// ```
/// use promql::{ExprKind, ParserOptions, parse};
///
/// let expr = parse("a + b * c - d", &ParserOptions::default())?;
/// let ExprKind::Binary(binary) = expr.kind else { unreachable!() };
/// let right: Vec<_> = binary.steps.iter().map(|step| step.right.to_string()).collect();
/// assert_eq!((binary.first.to_string().as_str(), right), ("a", vec!["b * c".into(), "d".into()]));
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Binary {
    /// The leftmost operand, never itself a chain.
    pub first: Expr,
    /// The operators and their right operands, at least one.
    pub steps: Vec<BinaryStep>,
}

/// An operator, whose left operand is everything before it in its chain, and its right operand.
///
/// ```
/// use promql::{BinaryOp, ExprKind, ParserOptions, parse};
///
/// let expr = parse("a > bool 1", &ParserOptions::default())?;
/// let ExprKind::Binary(binary) = expr.kind else { unreachable!() };
/// let step = &binary.steps[0];
/// assert!(step.op == BinaryOp::Greater && step.return_bool && step.matching.is_none());
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct BinaryStep {
    /// The operator.
    pub op: BinaryOp,
    /// True for `bool`: a comparison returns 0 or 1 instead of filtering.
    pub return_bool: bool,
    /// The matching of series, if both operands are vectors; else `None`.
    pub matching: Option<Box<VectorMatching>>,
    /// The right operand.
    pub right: Expr,
    /// The place of the operation: from the start of the chain to the end of the right operand.
    pub span: Span,
    /// The type of the result.
    pub value_type: ValueType,
}

/// The matching of the series of two vectors.
///
/// ```
/// use promql::{Cardinality, ExprKind, ParserOptions, parse};
///
/// let expr = parse("a * on (job) group_left (team) b", &ParserOptions::default())?;
/// let ExprKind::Binary(binary) = expr.kind else { unreachable!() };
/// let matching = binary.steps[0].matching.as_ref().unwrap();
/// assert_eq!(matching.cardinality, Cardinality::ManyToOne);
/// assert!(matching.on && matching.labels == ["job"] && matching.include == ["team"]);
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct VectorMatching {
    /// The number of series of each side that may match one of the other side.
    pub cardinality: Cardinality,
    /// The labels of `on` or `ignoring`.
    pub labels: Vec<String>,
    /// True if the labels are those of `on`.
    pub on: bool,
    /// The labels that `group_left` or `group_right` copies from the side with one series.
    pub include: Vec<String>,
    /// The value for series that are absent on the left side.
    pub fill_left: Option<Fill>,
    /// The value for series that are absent on the right side.
    pub fill_right: Option<Fill>,
}

/// A value for absent series, compared by its bits.
///
/// ```
/// use promql::Fill;
///
/// assert_eq!(Fill(f64::NAN), Fill(f64::NAN));
/// assert_ne!(Fill(0.0), Fill(-0.0));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Fill(pub f64);

impl PartialEq for Fill {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

/// The number of series of each side that may match one of the other side.
///
/// ```
/// use promql::{Cardinality, ExprKind, ParserOptions, parse};
///
/// let expr = parse("a and b", &ParserOptions::default())?;
/// let ExprKind::Binary(binary) = expr.kind else { unreachable!() };
/// let matching = binary.steps[0].matching.as_ref().unwrap();
/// assert_eq!(matching.cardinality, Cardinality::ManyToMany);
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cardinality {
    /// One series of each side.
    OneToOne,
    /// `group_left`: several series of the left side.
    ManyToOne,
    /// `group_right`: several series of the right side.
    OneToMany,
    /// Set operators: any number.
    ManyToMany,
}

/// A duration after `offset` or in brackets.
///
/// ```
/// use promql::{DurationSpec, ExprKind, ParserOptions, parse};
///
/// let expr = parse("up offset (1h / 2)", &ParserOptions::default())?;
/// let ExprKind::Vector(selector) = expr.kind else { unreachable!() };
/// assert!(matches!(selector.modifiers.offset, Some(DurationSpec::Computed(_))));
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum DurationSpec {
    /// A literal, in nanoseconds.
    Fixed(i64),
    /// An expression, evaluated with the query.
    Computed(Box<DurationExpr>),
}

/// A duration that is computed from other durations, in seconds.
///
/// ```
/// use promql::{DurationSpec, ExprKind, ParserOptions, parse};
///
/// let expr = parse("up[5m + 1m]", &ParserOptions::default())?;
/// let ExprKind::Matrix(matrix) = expr.kind else { unreachable!() };
/// let DurationSpec::Computed(duration) = matrix.range else { unreachable!() };
/// assert_eq!((duration.span.start, duration.is_wrapped), (3, false));
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DurationExpr {
    /// The expression itself.
    pub kind: DurationKind,
    /// True if it was written in parentheses.
    pub is_wrapped: bool,
    /// The place that errors of its evaluation name.
    pub span: Span,
    pub(crate) height: u32,
}

/// The kinds of duration expressions.
///
/// ```
/// use promql::{DurationKind, DurationSpec, ExprKind, ParserOptions, parse};
///
/// let expr = parse("up[step()]", &ParserOptions::default())?;
/// let ExprKind::Matrix(matrix) = expr.kind else { unreachable!() };
/// let DurationSpec::Computed(duration) = matrix.range else { unreachable!() };
/// assert_eq!(duration.kind, DurationKind::Step);
/// # Ok::<(), promql::ParseError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum DurationKind {
    /// A number of seconds or a duration.
    Number(Number),
    /// `step()`: the step of the query.
    Step,
    /// `range()`: the range of the query.
    Range,
    /// A sign before a duration. `Plus` also holds a literal in parentheses.
    Unary(Sign, Box<DurationExpr>),
    /// An operator between two durations.
    Binary(DurationOp, Box<DurationExpr>, Box<DurationExpr>),
}

/// The operators and functions of two durations.
///
/// ```
/// assert_eq!(promql::DurationOp::MinOf.symbol(), "min_of");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurationOp {
    /// `+`
    Add,
    /// `-`
    Sub,
    /// `*`
    Mul,
    /// `/`
    Div,
    /// `%`
    Mod,
    /// `^`
    Pow,
    /// `min_of(a, b)`
    MinOf,
    /// `max_of(a, b)`
    MaxOf,
}

impl DurationOp {
    /// Returns the operator or the name of the function.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::MinOf => "min_of",
            Self::MaxOf => "max_of",
        }
    }
}

/// The operations of aggregations.
///
/// ```
/// use promql::AggregateOp;
///
/// assert!(AggregateOp::ALL.iter().any(|op| op.name() == "quantile"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are those of PromQL")]
pub enum AggregateOp {
    Avg,
    Bottomk,
    Count,
    CountValues,
    Group,
    LimitRatio,
    Limitk,
    Max,
    Min,
    Quantile,
    Stddev,
    Stdvar,
    Sum,
    Topk,
}

impl AggregateOp {
    /// All operations.
    pub const ALL: [Self; 14] = [
        Self::Avg,
        Self::Bottomk,
        Self::Count,
        Self::CountValues,
        Self::Group,
        Self::LimitRatio,
        Self::Limitk,
        Self::Max,
        Self::Min,
        Self::Quantile,
        Self::Stddev,
        Self::Stdvar,
        Self::Sum,
        Self::Topk,
    ];

    /// Returns the name.
    ///
    /// ```
    /// assert_eq!(promql::AggregateOp::CountValues.name(), "count_values");
    /// ```
    pub fn name(self) -> &'static str {
        match self {
            Self::Avg => "avg",
            Self::Bottomk => "bottomk",
            Self::Count => "count",
            Self::CountValues => "count_values",
            Self::Group => "group",
            Self::LimitRatio => "limit_ratio",
            Self::Limitk => "limitk",
            Self::Max => "max",
            Self::Min => "min",
            Self::Quantile => "quantile",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Sum => "sum",
            Self::Topk => "topk",
        }
    }

    /// Returns the type of the parameter, if the operation has one.
    ///
    /// ```
    /// use promql::{AggregateOp, ValueType};
    ///
    /// assert_eq!(AggregateOp::Topk.parameter_type(), Some(ValueType::Scalar));
    /// assert_eq!(AggregateOp::Sum.parameter_type(), None);
    /// ```
    pub fn parameter_type(self) -> Option<ValueType> {
        match self {
            Self::Topk | Self::Bottomk | Self::Quantile | Self::Limitk | Self::LimitRatio => {
                Some(ValueType::Scalar)
            }
            Self::CountValues => Some(ValueType::String),
            _ => None,
        }
    }

    pub(crate) fn is_experimental(self) -> bool {
        matches!(self, Self::Limitk | Self::LimitRatio)
    }
}

/// The operators between two operands.
///
/// ```
/// use promql::BinaryOp;
///
/// assert!(BinaryOp::Less.is_comparison() && BinaryOp::Or.is_set_operator());
/// let comparisons = BinaryOp::ALL.iter().filter(|op| op.is_comparison());
/// assert_eq!(comparisons.count(), 6);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "`symbol` shows each")]
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Atan2,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    TrimUpper,
    TrimLower,
    And,
    Or,
    Unless,
}

impl BinaryOp {
    /// All operators.
    pub const ALL: [Self; 18] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Mod,
        Self::Pow,
        Self::Atan2,
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessEqual,
        Self::Greater,
        Self::GreaterEqual,
        Self::TrimUpper,
        Self::TrimLower,
        Self::And,
        Self::Or,
        Self::Unless,
    ];

    /// Returns the operator as PromQL writes it.
    ///
    /// ```
    /// assert_eq!(promql::BinaryOp::TrimUpper.symbol(), "</");
    /// ```
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Add => "+",
            Self::Sub => "-",
            Self::Mul => "*",
            Self::Div => "/",
            Self::Mod => "%",
            Self::Pow => "^",
            Self::Atan2 => "atan2",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessEqual => "<=",
            Self::Greater => ">",
            Self::GreaterEqual => ">=",
            Self::TrimUpper => "</",
            Self::TrimLower => ">/",
            Self::And => "and",
            Self::Or => "or",
            Self::Unless => "unless",
        }
    }

    /// Returns true for `==`, `!=`, `<`, `<=`, `>` and `>=`.
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Less
                | Self::LessEqual
                | Self::Greater
                | Self::GreaterEqual
        )
    }

    /// Returns true for `and`, `or` and `unless`.
    pub fn is_set_operator(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Unless)
    }

    /// Returns how strongly the operator binds.
    pub(crate) fn binding_power(self) -> u8 {
        match self {
            Self::Or => 1,
            Self::And | Self::Unless => 2,
            Self::Add | Self::Sub => 4,
            Self::Mul | Self::Div | Self::Mod | Self::Atan2 => 5,
            Self::Pow => POW_BINDING_POWER,
            _ => 3,
        }
    }
}

/// The binding power of the only operator that is evaluated from right to left.
pub(crate) const POW_BINDING_POWER: u8 = 6;

impl Expr {
    /// Returns the expression within all parentheses.
    ///
    /// ```
    /// use promql::{ExprKind, ParserOptions, parse};
    ///
    /// let expr = parse("((1))", &ParserOptions::default())?;
    /// assert!(matches!(expr.without_parens().kind, ExprKind::Number(_)));
    /// # Ok::<(), promql::ParseError>(())
    /// ```
    pub fn without_parens(&self) -> &Self {
        let mut expr = self;
        while let ExprKind::Paren(inner) = &expr.kind {
            expr = inner;
        }
        expr
    }
}

/// Returns the conditions of each selector of an expression, from the outside to the inside and from the left to the
/// right, but those of an aggregation's parameter after the others, as Prometheus' `ExtractSelectors`.
///
/// ```
/// use promql::{ParserOptions, parse, selectors};
///
/// let expr = parse("rate(a{job='api'}[5m]) + topk(scalar(b), c)", &ParserOptions::default())?;
/// let selectors = selectors(&expr);
/// assert_eq!(selectors.len(), 3);
/// assert!(selectors[0][0].name == *"job" && selectors[1][0].value == *"c");
/// # Ok::<(), promql::ParseError>(())
/// ```
pub fn selectors(expr: &Expr) -> Vec<Vec<Matcher>> {
    let mut selectors = Vec::new();
    expr.each_selector(&mut |selector| selectors.push(selector.matchers.clone()));
    selectors
}

impl Expr {
    fn each_selector(&self, visit: &mut impl FnMut(&VectorSelector)) {
        match &self.kind {
            ExprKind::Number(_) | ExprKind::String(_) => {}
            ExprKind::Vector(selector) => visit(selector),
            ExprKind::Matrix(matrix) => visit(&matrix.selector),
            ExprKind::Subquery(subquery) => subquery.expr.each_selector(visit),
            ExprKind::Call(call) => {
                for argument in &call.arguments {
                    argument.each_selector(visit);
                }
            }
            ExprKind::Aggregate(aggregate) => {
                aggregate.expr.each_selector(visit);
                if let Some(parameter) = &aggregate.parameter {
                    parameter.each_selector(visit);
                }
            }
            ExprKind::Binary(binary) => {
                binary.first.each_selector(visit);
                for step in &binary.steps {
                    step.right.each_selector(visit);
                }
            }
            ExprKind::Unary(_, inner) | ExprKind::Paren(inner) => inner.each_selector(visit),
        }
    }
}
