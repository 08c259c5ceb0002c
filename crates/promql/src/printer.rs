//! Expressions as text, as Prometheus' `String()` writes them.

use std::fmt::{self, Display, Formatter, Write};

use crate::ast::{
    Aggregate, At, BinaryStep, Cardinality, DurationExpr, DurationKind, DurationOp, DurationSpec,
    Expr, ExprKind, Matcher, MatrixSelector, Modifiers, Number, Sign, Subquery, VectorMatching,
    VectorSelector,
};
use crate::number::{format_duration, format_number, general, to_i64};
use crate::text::quote;

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.kind {
            ExprKind::Number(number) => write!(f, "{number}"),
            ExprKind::String(string) => f.write_str(&string.quoted()),
            ExprKind::Vector(selector) => write!(f, "{selector}"),
            ExprKind::Matrix(matrix) => write!(f, "{matrix}"),
            ExprKind::Subquery(subquery) => {
                write!(f, "{}{}", subquery.expr, SubqueryTimes(subquery))
            }
            ExprKind::Call(call) => {
                write!(f, "{}(", call.function.name)?;
                write_separated(f, &call.arguments, |f, argument| write!(f, "{argument}"))?;
                f.write_char(')')
            }
            ExprKind::Aggregate(aggregate) => {
                write!(f, "{}(", AggregateHead(aggregate))?;
                if let Some(parameter) = &aggregate.parameter {
                    write!(f, "{parameter}, ")?;
                }
                write!(f, "{})", aggregate.expr)
            }
            ExprKind::Binary(chain) => {
                write!(f, "{}", chain.first)?;
                let mut steps = chain.steps.iter();
                steps.try_for_each(|step| write!(f, " {} {}", StepHead(step), step.right))
            }
            ExprKind::Unary(sign, inner) => write!(f, "{}{inner}", sign.symbol()),
            ExprKind::Paren(inner) => write!(f, "({inner})"),
        }
    }
}

impl Sign {
    /// Returns the sign as PromQL writes it.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Plus => "+",
            Self::Minus => "-",
        }
    }
}

impl Display for Number {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.is_duration {
            return f.write_str(&format_number(self.value));
        }
        let sign = if self.value < 0.0 { "-" } else { "" };
        let nanoseconds = to_i64(self.value.abs() * 1e9);
        write!(f, "{sign}{}", format_duration(nanoseconds))
    }
}

impl Display for VectorSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_name_and_matchers(f, self)?;
        write_at(f, &self.modifiers)?;
        write_extension(f, self)?;
        write_offset(f, &self.modifiers)
    }
}

impl Display for MatrixSelector {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write_name_and_matchers(f, &self.selector)?;
        write!(f, "[{}]", self.range)?;
        write_extension(f, &self.selector)?;
        write_at(f, &self.selector.modifiers)?;
        write_offset(f, &self.selector.modifiers)
    }
}

fn write_name_and_matchers(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    f.write_str(&selector.name)?;
    let has_name = !selector.name.is_empty();
    let others = selector.matchers.len() - usize::from(has_name);
    let mut matchers: Vec<_> = selector.matchers[..others]
        .iter()
        .map(Matcher::to_string)
        .collect();
    if matchers.is_empty() {
        return Ok(());
    }
    matchers.sort_unstable();
    write!(f, "{{{}}}", matchers.join(","))
}

fn write_extension(f: &mut Formatter<'_>, selector: &VectorSelector) -> fmt::Result {
    match (selector.anchored, selector.smoothed) {
        (true, _) => f.write_str(" anchored"),
        (false, true) => f.write_str(" smoothed"),
        (false, false) => Ok(()),
    }
}

fn write_at(f: &mut Formatter<'_>, modifiers: &Modifiers) -> fmt::Result {
    match modifiers.at {
        Some(At::Time(milliseconds)) => write!(f, " @ {:.3}", milliseconds as f64 / 1000.0),
        Some(At::Start) => f.write_str(" @ start()"),
        Some(At::End) => f.write_str(" @ end()"),
        None => Ok(()),
    }
}

fn write_offset(f: &mut Formatter<'_>, modifiers: &Modifiers) -> fmt::Result {
    match &modifiers.offset {
        // A negative duration below a millisecond is written as `-0s`.
        Some(DurationSpec::Fixed(nanoseconds)) if *nanoseconds < 0 => {
            let positive = format_duration(nanoseconds.saturating_neg());
            write!(f, " offset -{positive}")
        }
        Some(offset) => write!(f, " offset {offset}"),
        None => Ok(()),
    }
}

impl Display for Matcher {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.name.as_str().filter(|name| is_plain_label(name)) {
            Some(name) => f.write_str(name)?,
            None => f.write_str(&self.name.quoted())?,
        }
        write!(f, "{}{}", self.op.symbol(), self.value.quoted())
    }
}

/// Returns true if a label needs no quotes.
pub(crate) fn is_plain_label(label: &str) -> bool {
    let mut bytes = label.bytes();
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    bytes.next().is_some_and(is_letter)
        && bytes.all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

impl Display for DurationSpec {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed(nanoseconds) => f.write_str(&format_duration(*nanoseconds)),
            Self::Computed(duration) => write!(f, "{duration}"),
        }
    }
}

impl Display for DurationExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.is_wrapped {
            f.write_char('(')?;
        }
        match &self.kind {
            DurationKind::Number(number) => write!(f, "{number}")?,
            DurationKind::Step => f.write_str("step()")?,
            DurationKind::Range => f.write_str("range()")?,
            DurationKind::Unary(Sign::Plus, inner) => write!(f, "{inner}")?,
            DurationKind::Unary(Sign::Minus, inner) => write!(f, "-{inner}")?,
            DurationKind::Binary(op @ (DurationOp::MinOf | DurationOp::MaxOf), left, right) => {
                write!(f, "{}({left}, {right})", op.symbol())?;
            }
            DurationKind::Binary(op, left, right) => {
                write!(f, "{left} {} {right}", op.symbol())?;
            }
        }
        if self.is_wrapped {
            f.write_char(')')?;
        }
        Ok(())
    }
}

/// The range, step and modifiers of a subquery.
pub(crate) struct SubqueryTimes<'a>(pub(crate) &'a Subquery);

impl Display for SubqueryTimes<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "[{}:", self.0.range)?;
        match &self.0.step {
            // Prometheus cannot tell a step that rounds to 0 from an absent one.
            None | Some(DurationSpec::Fixed(0)) => {}
            Some(step) => write!(f, "{step}")?,
        }
        f.write_char(']')?;
        write_at(f, &self.0.modifiers)?;
        write_offset(f, &self.0.modifiers)
    }
}

/// The operation and the labels of an aggregation.
pub(crate) struct AggregateHead<'a>(pub(crate) &'a Aggregate);

impl Display for AggregateHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.name())?;
        let clause = match (self.0.without, self.0.grouping.is_empty()) {
            (true, _) => "without",
            (false, false) => "by",
            (false, true) => return Ok(()),
        };
        write!(f, " {clause} (")?;
        write_labels(f, &self.0.grouping)?;
        f.write_str(") ")
    }
}

/// An operator and its modifiers.
pub(crate) struct StepHead<'a>(pub(crate) &'a BinaryStep);

impl Display for StepHead<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.op.symbol())?;
        if self.0.return_bool {
            f.write_str(" bool")?;
        }
        match &self.0.matching {
            Some(matching) => write_matching(f, matching),
            None => Ok(()),
        }
    }
}

fn write_matching(f: &mut Formatter<'_>, matching: &VectorMatching) -> fmt::Result {
    let group = match matching.cardinality {
        Cardinality::ManyToOne => Some("group_left"),
        Cardinality::OneToMany => Some("group_right"),
        Cardinality::OneToOne | Cardinality::ManyToMany => None,
    };
    if !matching.labels.is_empty() || matching.on || group.is_some() {
        let clause = if matching.on { "on" } else { "ignoring" };
        write!(f, " {clause} (")?;
        write_labels(f, &matching.labels)?;
        f.write_char(')')?;
    }
    if let Some(group) = group {
        write!(f, " {group} (")?;
        write_labels(f, &matching.include)?;
        f.write_char(')')?;
    }
    match (matching.fill_left, matching.fill_right) {
        (Some(left), Some(right)) if left.0 == right.0 => {
            write!(f, " fill ({})", general(left.0))
        }
        (left, right) => {
            for (name, value) in [("fill_left", left), ("fill_right", right)] {
                if let Some(value) = value {
                    write!(f, " {name} ({})", general(value.0))?;
                }
            }
            Ok(())
        }
    }
}

fn write_labels(f: &mut Formatter<'_>, labels: &[String]) -> fmt::Result {
    write_separated(f, labels, |f, label| match is_plain_label(label) {
        true => f.write_str(label),
        false => f.write_str(&quote(label.as_bytes())),
    })
}

fn write_separated<T>(
    f: &mut Formatter<'_>,
    items: &[T],
    write_item: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        write_item(f, item)?;
    }
    Ok(())
}
