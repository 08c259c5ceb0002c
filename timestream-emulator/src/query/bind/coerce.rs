//! Coercions between types, and the types of arithmetic.

use sqlparser::ast::Expr as Ast;

use super::{Typed, error};
use crate::{
    error::ServiceError,
    query::{
        expr::{Expr, Operator},
        types::Type,
    },
};

/// Returns the expression as the wanted type, if there is a coercion.
pub(crate) fn coerce(typed: Typed, wanted: &Type) -> Option<Typed> {
    if !typed.data_type.coerces_to(wanted) {
        return None;
    }
    if let (Expr::Parameter(parameter), Type::Unknown) = (&typed.expr, &typed.data_type) {
        parameter.data_type.replace(wanted.clone());
    }
    let expr = if needs_cast(&typed.data_type, wanted) {
        Expr::Cast {
            expr: Box::new(typed.expr),
            to: wanted.clone(),
            is_try: false,
        }
        .folded()
    } else {
        typed.expr
    };
    Some(Typed {
        expr,
        data_type: wanted.clone(),
    })
}

fn needs_cast(given: &Type, wanted: &Type) -> bool {
    match (given, wanted) {
        (Type::Integer | Type::Bigint, Type::Double) | (Type::Date, Type::Timestamp) => true,
        (Type::Array(given), Type::Array(wanted)) => needs_cast(given, wanted),
        _ => false,
    }
}

/// Coerces all expressions to the type they have in common.
pub(super) fn unify(
    ast: &Ast,
    what: &str,
    all: Vec<Typed>,
) -> Result<(Type, Vec<Expr>), ServiceError> {
    let mut common = Type::Unknown;
    for typed in &all {
        common = common
            .common(&typed.data_type)
            .ok_or_else(|| not_applicable(ast, what, &common, &typed.data_type))?;
    }
    let exprs = all_of_type(ast, what, all, &common)?;
    Ok((common, exprs))
}

pub(super) fn all_of_type(
    ast: &Ast,
    what: &str,
    all: Vec<Typed>,
    wanted: &Type,
) -> Result<Vec<Expr>, ServiceError> {
    all.into_iter()
        .map(|typed| {
            let given = typed.data_type.clone();
            coerce(typed, wanted)
                .map(|typed| typed.expr)
                .ok_or_else(|| not_applicable(ast, what, wanted, &given))
        })
        .collect()
}

/// Types of the operands after coercion, and of the result.
pub(super) fn arithmetic_types(
    operator: Operator,
    left: &Type,
    right: &Type,
) -> Option<(Type, Type, Type)> {
    use Type::{Bigint, Date, Integer, Interval, Months, Time, Timestamp, Unknown};
    let as_given = |result: &Type| Some((left.clone(), right.clone(), result.clone()));
    match (operator, left, right) {
        (Operator::Add | Operator::Subtract, Timestamp | Date, Interval | Months)
        | (Operator::Add | Operator::Subtract, Time, Interval) => as_given(left),
        (Operator::Add, Interval | Months, Timestamp | Date) | (Operator::Add, Interval, Time) => {
            as_given(right)
        }
        // Of a parameter: the scheduled queries of the guide have `@scheduled_runtime - 1h`.
        (Operator::Add | Operator::Subtract, Unknown, Interval | Months) => {
            Some((Timestamp, right.clone(), Timestamp))
        }
        (Operator::Subtract, Timestamp | Date, Timestamp | Date) => {
            Some((Timestamp, Timestamp, Interval))
        }
        (Operator::Add | Operator::Subtract, Interval, Interval)
        | (Operator::Add | Operator::Subtract, Months, Months) => as_given(left),
        (Operator::Multiply, Interval | Months, Integer | Bigint) => {
            Some((left.clone(), Bigint, left.clone()))
        }
        (Operator::Multiply, Integer | Bigint, Interval | Months) => {
            Some((Bigint, right.clone(), right.clone()))
        }
        _ => {
            let common = left.common(right)?;
            let is_number = common.is_numeric() || common == Unknown;
            // Sums of small numbers are computed, and typed, with 64 bits.
            let result = if common == Integer {
                Bigint
            } else {
                common.clone()
            };
            is_number.then(|| (common.clone(), common, result))
        }
    }
}

pub(super) fn not_applicable(ast: &Ast, what: &str, left: &Type, right: &Type) -> ServiceError {
    error(
        ast,
        format!("'{what}' cannot be applied to {left}, {right}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_of_times() {
        let cases = [
            (
                Operator::Add,
                Type::Timestamp,
                Type::Interval,
                Some(Type::Timestamp),
            ),
            (
                Operator::Subtract,
                Type::Timestamp,
                Type::Timestamp,
                Some(Type::Interval),
            ),
            (Operator::Add, Type::Timestamp, Type::Timestamp, None),
            (
                Operator::Multiply,
                Type::Interval,
                Type::Integer,
                Some(Type::Interval),
            ),
            (
                Operator::Add,
                Type::Integer,
                Type::Double,
                Some(Type::Double),
            ),
            (Operator::Add, Type::Varchar, Type::Integer, None),
        ];
        for (operator, left, right, expected) in cases {
            let result = arithmetic_types(operator, &left, &right).map(|(_, _, result)| result);
            assert_eq!(result, expected, "{left} {operator:?} {right}");
        }
    }
}
