//! Bound expressions and their evaluation.

use super::{
    functions::{self, Function},
    pattern::Pattern,
    types::{Datum, Type},
};
use crate::error::ServiceError;

/// An expression over the columns of a row; types are checked and coerced already.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Expr {
    Constant(Datum),
    /// Position in the row.
    Column(usize),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    IsNull(Box<Expr>),
    Compare(Comparison, Box<Expr>, Box<Expr>),
    /// NULL equals NULL here.
    IsNotDistinct(Box<Expr>, Box<Expr>),
    In(Box<Expr>, Vec<Expr>),
    Matches(Box<Expr>, Pattern),
    Arithmetic(Operator, Box<Expr>, Box<Expr>),
    Concat(Vec<Expr>),
    Coalesce(Vec<Expr>),
    Case {
        branches: Vec<(Expr, Expr)>,
        otherwise: Box<Expr>,
    },
    NullIf(Box<Expr>, Box<Expr>),
    /// The greatest or least of its arguments.
    Extreme {
        is_greatest: bool,
        arguments: Vec<Expr>,
    },
    Cast {
        expr: Box<Expr>,
        to: Type,
        is_try: bool,
    },
    Call(Call),
}

/// A function with its arguments.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) function: &'static Function,
    pub(crate) arguments: Vec<Expr>,
}

impl PartialEq for Call {
    fn eq(&self, other: &Call) -> bool {
        std::ptr::eq(self.function, other.function) && self.arguments == other.arguments
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
    Modulo,
}

impl Comparison {
    fn holds(self, left: &Datum, right: &Datum) -> bool {
        let order = left.compare(right);
        match self {
            Comparison::Equal => order.is_some_and(|order| order.is_eq()),
            // NaN is not equal to anything.
            Comparison::NotEqual => order.is_none_or(|order| order.is_ne()),
            Comparison::Less => order.is_some_and(|order| order.is_lt()),
            Comparison::LessOrEqual => order.is_some_and(|order| order.is_le()),
            Comparison::Greater => order.is_some_and(|order| order.is_gt()),
            Comparison::GreaterOrEqual => order.is_some_and(|order| order.is_ge()),
        }
    }
}

impl Expr {
    /// Whether any column at or after `position` is used.
    pub(crate) fn uses_columns_from(&self, position: usize) -> bool {
        match self {
            Expr::Column(column) => *column >= position,
            other => other
                .children()
                .iter()
                .any(|child| child.uses_columns_from(position)),
        }
    }

    fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Constant(_) | Expr::Column(_) => Vec::new(),
            Expr::Not(expr) | Expr::IsNull(expr) | Expr::Matches(expr, _) => vec![expr],
            Expr::Cast { expr, .. } => vec![expr],
            Expr::And(list) | Expr::Or(list) | Expr::Concat(list) | Expr::Coalesce(list) => {
                list.iter().collect()
            }
            Expr::Extreme { arguments, .. } | Expr::Call(Call { arguments, .. }) => {
                arguments.iter().collect()
            }
            Expr::Compare(_, left, right)
            | Expr::IsNotDistinct(left, right)
            | Expr::NullIf(left, right)
            | Expr::Arithmetic(_, left, right) => vec![left, right],
            Expr::In(expr, list) => std::iter::once(&**expr).chain(list).collect(),
            Expr::Case {
                branches,
                otherwise,
            } => branches
                .iter()
                .flat_map(|(condition, result)| [condition, result])
                .chain([&**otherwise])
                .collect(),
        }
    }

    /// The constant this expression is, if it is one.
    pub(crate) fn constant(&self) -> Option<&Datum> {
        match self {
            Expr::Constant(datum) => Some(datum),
            _ => None,
        }
    }

    /// The expression, computed now if its operands are constants and it does not fail.
    pub(crate) fn folded(self) -> Expr {
        let is_variable = |expr: &&Expr| expr.constant().is_none();
        if matches!(self, Expr::Constant(_) | Expr::Column(_))
            || self.children().iter().any(is_variable)
        {
            return self;
        }
        match self.evaluate(&[]) {
            Ok(datum) => Expr::Constant(datum),
            Err(_) => self,
        }
    }

    /// The value for a row.
    pub(crate) fn evaluate(&self, row: &[Datum]) -> Result<Datum, ServiceError> {
        Ok(match self {
            Expr::Constant(datum) => datum.clone(),
            Expr::Column(column) => row[*column].clone(),
            Expr::Not(expr) => match expr.evaluate(row)? {
                Datum::Boolean(truth) => Datum::Boolean(!truth),
                other => other,
            },
            Expr::And(list) => connect(list, row, false)?,
            Expr::Or(list) => connect(list, row, true)?,
            Expr::IsNull(expr) => Datum::Boolean(expr.evaluate(row)?.is_null()),
            Expr::Compare(comparison, left, right) => {
                let (left, right) = (left.evaluate(row)?, right.evaluate(row)?);
                if left.is_null() || right.is_null() {
                    return Ok(Datum::Null);
                }
                Datum::Boolean(comparison.holds(&left, &right))
            }
            Expr::IsNotDistinct(left, right) => {
                Datum::Boolean(left.evaluate(row)? == right.evaluate(row)?)
            }
            Expr::In(expr, list) => is_in(&expr.evaluate(row)?, list, row)?,
            Expr::Matches(expr, pattern) => match expr.evaluate(row)? {
                Datum::Text(text) => Datum::Boolean(pattern.is_match(&text)),
                _ => Datum::Null,
            },
            Expr::Arithmetic(operator, left, right) => {
                arithmetic(*operator, &left.evaluate(row)?, &right.evaluate(row)?)
                    .map_err(ServiceError::validation)?
            }
            Expr::Concat(list) => concat(list, row)?,
            Expr::Coalesce(list) => {
                for expr in list {
                    let datum = expr.evaluate(row)?;
                    if !datum.is_null() {
                        return Ok(datum);
                    }
                }
                Datum::Null
            }
            Expr::Case {
                branches,
                otherwise,
            } => {
                for (condition, result) in branches {
                    if condition.is_true(row)? {
                        return result.evaluate(row);
                    }
                }
                otherwise.evaluate(row)?
            }
            Expr::NullIf(left, right) => {
                let (left, right) = (left.evaluate(row)?, right.evaluate(row)?);
                if Comparison::Equal.holds(&left, &right) {
                    Datum::Null
                } else {
                    left
                }
            }
            Expr::Extreme {
                is_greatest,
                arguments,
            } => extreme(*is_greatest, arguments, row)?,
            Expr::Cast { expr, to, is_try } => match functions::cast(&expr.evaluate(row)?, to) {
                Ok(datum) => datum,
                Err(_) if *is_try => Datum::Null,
                Err(message) => return Err(ServiceError::validation(message)),
            },
            Expr::Call(Call {
                function,
                arguments,
            }) => {
                let arguments = arguments
                    .iter()
                    .map(|argument| argument.evaluate(row))
                    .collect::<Result<Vec<_>, _>>()?;
                if arguments.iter().any(Datum::is_null) {
                    return Ok(Datum::Null);
                }
                (function.implementation)(&arguments).map_err(ServiceError::validation)?
            }
        })
    }

    /// Whether the value for a row is true: neither false nor NULL.
    pub(crate) fn is_true(&self, row: &[Datum]) -> Result<bool, ServiceError> {
        Ok(matches!(self.evaluate(row)?, Datum::Boolean(true)))
    }
}

/// AND (`decisive` false) or OR (`decisive` true): a decisive operand decides, else NULL wins.
fn connect(list: &[Expr], row: &[Datum], decisive: bool) -> Result<Datum, ServiceError> {
    let mut has_null = false;
    for expr in list {
        match expr.evaluate(row)? {
            Datum::Boolean(truth) if truth == decisive => return Ok(Datum::Boolean(decisive)),
            Datum::Null => has_null = true,
            _ => {}
        }
    }
    Ok(if has_null {
        Datum::Null
    } else {
        Datum::Boolean(!decisive)
    })
}

fn is_in(value: &Datum, list: &[Expr], row: &[Datum]) -> Result<Datum, ServiceError> {
    let mut has_null = value.is_null();
    for expr in list {
        let candidate = expr.evaluate(row)?;
        if Comparison::Equal.holds(value, &candidate) {
            return Ok(Datum::Boolean(true));
        }
        has_null |= candidate.is_null();
    }
    Ok(if has_null {
        Datum::Null
    } else {
        Datum::Boolean(false)
    })
}

fn concat(list: &[Expr], row: &[Datum]) -> Result<Datum, ServiceError> {
    let mut joined = String::new();
    for expr in list {
        match expr.evaluate(row)? {
            Datum::Text(text) => joined.push_str(&text),
            _ => return Ok(Datum::Null),
        }
    }
    Ok(Datum::text(&joined))
}

fn extreme(is_greatest: bool, list: &[Expr], row: &[Datum]) -> Result<Datum, ServiceError> {
    let wanted = if is_greatest {
        Comparison::Greater
    } else {
        Comparison::Less
    };
    let mut best = Datum::Null;
    for expr in list {
        let datum = expr.evaluate(row)?;
        if datum.is_null() {
            return Ok(Datum::Null);
        }
        if best.is_null() || wanted.holds(&datum, &best) {
            best = datum;
        }
    }
    Ok(best)
}

fn arithmetic(operator: Operator, left: &Datum, right: &Datum) -> Result<Datum, String> {
    use Operator::{Add, Divide, Modulo, Multiply, Subtract};
    match (operator, left, right) {
        (_, Datum::Null, _) | (_, _, Datum::Null) => Ok(Datum::Null),
        (_, Datum::Int(a), Datum::Int(b)) => integer_arithmetic(operator, *a, *b).map(Datum::Int),
        (_, Datum::Double(a), Datum::Double(b)) => Ok(Datum::Double(match operator {
            Add => a + b,
            Subtract => a - b,
            Multiply => a * b,
            Divide => a / b,
            Modulo => a % b,
        })),
        (Add, Datum::Timestamp(a), Datum::Interval(b))
        | (Add, Datum::Interval(b), Datum::Timestamp(a)) => functions::timestamp(a.checked_add(*b)),
        (Subtract, Datum::Timestamp(a), Datum::Interval(b)) => {
            functions::timestamp(a.checked_sub(*b))
        }
        (Subtract, Datum::Timestamp(a), Datum::Timestamp(b))
        | (Subtract, Datum::Interval(a), Datum::Interval(b)) => interval(a.checked_sub(*b)),
        (Add, Datum::Interval(a), Datum::Interval(b)) => interval(a.checked_add(*b)),
        (Multiply, Datum::Interval(a), Datum::Int(b))
        | (Multiply, Datum::Int(b), Datum::Interval(a)) => interval(a.checked_mul(*b)),
        _ => Err("the operands do not fit the operator".to_owned()),
    }
}

fn interval(nanoseconds: Option<i64>) -> Result<Datum, String> {
    nanoseconds
        .map(Datum::Interval)
        .ok_or_else(|| "interval overflow".to_owned())
}

fn integer_arithmetic(operator: Operator, a: i64, b: i64) -> Result<i64, String> {
    let is_division = matches!(operator, Operator::Divide | Operator::Modulo);
    if is_division && b == 0 {
        return Err("Division by zero".to_owned());
    }
    let result = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Subtract => a.checked_sub(b),
        Operator::Multiply => a.checked_mul(b),
        Operator::Divide => a.checked_div(b),
        Operator::Modulo => a.checked_rem(b),
    };
    result.ok_or_else(|| format!("bigint overflow: {a} and {b}"))
}
