//! Bound expressions and their evaluation.

use std::rc::Rc;

use super::{
    context::Parameter,
    functions::{self, Function},
    pattern::Pattern,
    regexp::RegexpFunction,
    time::{NS_PER_DAY, Unit},
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
    /// True if the first is among the elements of the second.
    InArray(Box<Expr>, Box<Expr>),
    Array(Vec<Expr>),
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
    Regexp {
        function: RegexpFunction,
        pattern: Pattern,
        arguments: Vec<Expr>,
    },
    /// The result of a window function. The results are at the end of the row, the first one last.
    Window(usize),
    /// Known by name and type only.
    Parameter(Rc<Parameter>),
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
    /// Returns true if any column at or after `position` is used.
    pub(crate) fn uses_columns_from(&self, position: usize) -> bool {
        match self {
            Expr::Column(column) => *column >= position,
            Expr::Window(_) => true,
            other => other
                .children()
                .iter()
                .any(|child| child.uses_columns_from(position)),
        }
    }

    /// Returns true if any column before `position` is used.
    pub(crate) fn uses_columns_below(&self, position: usize) -> bool {
        match self {
            Expr::Column(column) => *column < position,
            other => other
                .children()
                .iter()
                .any(|child| child.uses_columns_below(position)),
        }
    }

    fn children(&self) -> Vec<&Expr> {
        match self {
            Expr::Constant(_) | Expr::Column(_) | Expr::Window(_) | Expr::Parameter(_) => {
                Vec::new()
            }
            Expr::Not(expr) | Expr::IsNull(expr) | Expr::Matches(expr, _) => vec![expr],
            Expr::Cast { expr, .. } => vec![expr],
            Expr::And(list)
            | Expr::Or(list)
            | Expr::Concat(list)
            | Expr::Coalesce(list)
            | Expr::Array(list) => list.iter().collect(),
            Expr::Extreme { arguments, .. }
            | Expr::Call(Call { arguments, .. })
            | Expr::Regexp { arguments, .. } => arguments.iter().collect(),
            Expr::Compare(_, left, right)
            | Expr::IsNotDistinct(left, right)
            | Expr::NullIf(left, right)
            | Expr::InArray(left, right)
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

    /// Returns the constant this expression is, if it is one.
    pub(crate) fn constant(&self) -> Option<&Datum> {
        match self {
            Expr::Constant(datum) => Some(datum),
            _ => None,
        }
    }

    /// Returns the expression, computed now if its operands are constants and it does not fail.
    pub(crate) fn folded(self) -> Expr {
        let is_variable = |expr: &&Expr| expr.constant().is_none();
        let is_leaf = matches!(
            self,
            Expr::Constant(_) | Expr::Column(_) | Expr::Window(_) | Expr::Parameter(_)
        );
        if is_leaf || self.children().iter().any(is_variable) {
            return self;
        }
        match self.evaluate(&[]) {
            Ok(datum) => Expr::Constant(datum),
            Err(_) => self,
        }
    }

    /// Returns the value for a row.
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
            Expr::In(expr, list) => is_in(
                &expr.evaluate(row)?,
                list.iter().map(|candidate| candidate.evaluate(row)),
            )?,
            Expr::InArray(expr, array) => match array.evaluate(row)? {
                Datum::Array(elements) => {
                    is_in(&expr.evaluate(row)?, elements.into_iter().map(Ok))?
                }
                _ => Datum::Null,
            },
            Expr::Array(elements) => Datum::Array(
                elements
                    .iter()
                    .map(|element| element.evaluate(row))
                    .collect::<Result<_, _>>()?,
            ),
            Expr::Window(index) => row[row.len() - 1 - index].clone(),
            Expr::Parameter(_) => Datum::Null,
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
            Expr::Regexp {
                function,
                pattern,
                arguments,
            } => {
                let arguments = arguments
                    .iter()
                    .map(|argument| argument.evaluate(row))
                    .collect::<Result<Vec<_>, _>>()?;
                if arguments.iter().any(Datum::is_null) {
                    return Ok(Datum::Null);
                }
                function
                    .apply(pattern, &arguments)
                    .map_err(ServiceError::validation)?
            }
        })
    }

    /// Returns true if the value for a row is true: neither false nor NULL.
    pub(crate) fn is_true(&self, row: &[Datum]) -> Result<bool, ServiceError> {
        Ok(matches!(self.evaluate(row)?, Datum::Boolean(true)))
    }
}

/// Evaluates AND (`decisive` false) or OR (`decisive` true): a decisive operand decides, else NULL
/// wins.
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

/// Evaluates IN. NULL is in an empty list no more than any other value.
fn is_in(
    value: &Datum,
    candidates: impl Iterator<Item = Result<Datum, ServiceError>>,
) -> Result<Datum, ServiceError> {
    let mut has_null = false;
    for candidate in candidates {
        let candidate = candidate?;
        has_null |= value.is_null();
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
        (Add, Datum::Timestamp(a), Datum::Months(b))
        | (Add, Datum::Months(b), Datum::Timestamp(a)) => {
            functions::timestamp(Unit::Month.add(*a, *b))
        }
        (Subtract, Datum::Timestamp(a), Datum::Months(b)) => {
            let added = b.checked_neg().and_then(|b| Unit::Month.add(*a, b));
            functions::timestamp(added)
        }
        (Add | Subtract, Datum::Date(days), interval @ (Datum::Interval(_) | Datum::Months(_)))
        | (Add, interval @ (Datum::Interval(_) | Datum::Months(_)), Datum::Date(days)) => {
            add_to_date(operator, *days, interval)
        }
        (Add, Datum::Time(a), Datum::Interval(b)) | (Add, Datum::Interval(b), Datum::Time(a)) => {
            Ok(Datum::Time((a + b % NS_PER_DAY).rem_euclid(NS_PER_DAY)))
        }
        (Subtract, Datum::Time(a), Datum::Interval(b)) => {
            Ok(Datum::Time((a - b % NS_PER_DAY).rem_euclid(NS_PER_DAY)))
        }
        (Add, Datum::Months(a), Datum::Months(b)) => months(a.checked_add(*b)),
        (Subtract, Datum::Months(a), Datum::Months(b)) => months(a.checked_sub(*b)),
        (Multiply, Datum::Months(a), Datum::Int(b))
        | (Multiply, Datum::Int(b), Datum::Months(a)) => months(a.checked_mul(*b)),
        (Multiply, Datum::Interval(a), Datum::Int(b))
        | (Multiply, Datum::Int(b), Datum::Interval(a)) => interval(a.checked_mul(*b)),
        _ => Err("the operands do not fit the operator".to_owned()),
    }
}

/// Adds to a date, which is possible for whole days and months only.
fn add_to_date(operator: Operator, days: i64, interval: &Datum) -> Result<Datum, String> {
    if let Datum::Interval(size) = interval
        && size % NS_PER_DAY != 0
    {
        return Err("Cannot add hour, minutes or seconds to a date".to_owned());
    }
    let midnight = functions::timestamp(days.checked_mul(NS_PER_DAY))?;
    match arithmetic(operator, &midnight, interval)? {
        Datum::Timestamp(time) => Ok(Datum::Date(time.div_euclid(NS_PER_DAY))),
        other => Ok(other),
    }
}

fn months(count: Option<i64>) -> Result<Datum, String> {
    count
        .map(Datum::Months)
        .ok_or_else(|| "interval overflow".to_owned())
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
