//! Arrays: `ARRAY[...]`, subscripts, and the functions whose types depend on their arguments'.

use sqlparser::ast::{AccessExpr, Expr as Ast, Subscript};

use super::{
    Binder, Bound, Typed,
    coerce::{coerce, unify},
    error, unsupported,
};
use crate::query::{
    arrays,
    expr::{Call, Expr},
    functions::Function,
    types::Type,
};

impl Binder<'_> {
    pub(super) fn array(&mut self, ast: &Ast, elements: &[Ast]) -> Bound {
        let mut bound = Vec::new();
        for element in elements {
            bound.push(self.bind(element)?);
        }
        let (element, elements) = unify(ast, "ARRAY", bound)?;
        Ok(Typed {
            expr: Expr::Array(elements),
            data_type: Type::Array(Box::new(element)),
        })
    }

    /// Binds `a[1]` and `a[1][2]`.
    pub(super) fn subscripts(&mut self, ast: &Ast, root: &Ast, chain: &[AccessExpr]) -> Bound {
        let mut typed = self.bind(root)?;
        for access in chain {
            let AccessExpr::Subscript(Subscript::Index { index }) = access else {
                return Err(unsupported(ast));
            };
            let index = self.bind(index)?;
            let (Type::Array(element), Type::Integer | Type::Bigint) =
                (&typed.data_type, &index.data_type)
            else {
                let (array, index) = (&typed.data_type, &index.data_type);
                let text = format!("'[]' cannot be applied to {array}, {index}");
                return Err(error(ast, text));
            };
            let data_type = (**element).clone();
            typed = call(&arrays::SUBSCRIPT, vec![typed, index], data_type);
        }
        Ok(typed)
    }

    /// Binds a function of arrays or timeseries, if the name is one's.
    pub(super) fn array_call(
        &mut self,
        ast: &Ast,
        name: &str,
        arguments: &[Typed],
    ) -> Option<Bound> {
        use Type::{Array, Bigint, Boolean, Double, Integer, Interval, TimeSeries, Timestamp};
        let function = arrays::by_name(name)?;
        let types: Vec<&Type> = arguments.iter().map(|typed| &typed.data_type).collect();
        let same = || types.iter().map(|given| (*given).clone()).collect();
        let signature: Option<(Type, Vec<Type>)> = match (name, &*types) {
            ("cardinality", [Array(_)]) => Some((Bigint, same())),
            ("element_at", [Array(element), Integer | Bigint]) => {
                Some(((**element).clone(), same()))
            }
            ("contains", [Array(element), given]) => given
                .common(element)
                .filter(|common| common == &**element && common.is_orderable())
                .map(|common| (Boolean, vec![Array(element.clone()), common])),
            ("array_join", [Array(element), Type::Varchar]) if element.is_orderable() => {
                Some((Type::Varchar, same()))
            }
            ("sequence", [Timestamp, Timestamp, Interval | Type::Months]) => {
                Some((Array(Box::new(Timestamp)), same()))
            }
            ("sequence", [Integer | Bigint, Integer | Bigint]) => {
                Some((Array(Box::new(Bigint)), same()))
            }
            ("sequence", [Integer | Bigint, Integer | Bigint, Integer | Bigint]) => {
                Some((Array(Box::new(Bigint)), same()))
            }
            ("interpolate_linear", [TimeSeries(value), at]) if **value == Double => {
                interpolated(value, at)
            }
            ("interpolate_locf", [TimeSeries(value), at]) => interpolated(value, at),
            ("interpolate_fill", [TimeSeries(value), at, given]) if given.coerces_to(value) => {
                interpolated(value, at).map(|(result, mut wanted)| {
                    wanted.push((**value).clone());
                    (result, wanted)
                })
            }
            _ => None,
        };
        let bound = signature.and_then(|(result, wanted)| {
            let arguments = arguments.iter().cloned().zip(&wanted);
            let coerced: Option<Vec<Typed>> = arguments
                .map(|(typed, wanted)| coerce(typed, wanted))
                .collect();
            Some(call(function, coerced?, result))
        });
        Some(bound.ok_or_else(|| {
            let given: Vec<String> = types.iter().map(|given| given.to_string()).collect();
            let given = given.join(", ");
            error(
                ast,
                format!("Unexpected parameters ({given}) for function {name}"),
            )
        }))
    }
}

/// Returns the signature of an interpolation: at many times the result is a timeseries, at one it
/// is a value.
fn interpolated(value: &Type, at: &Type) -> Option<(Type, Vec<Type>)> {
    let series = Type::TimeSeries(Box::new(value.clone()));
    match at {
        Type::Timestamp => Some((value.clone(), vec![series, Type::Timestamp])),
        Type::Array(time) if **time == Type::Timestamp => {
            Some((series.clone(), vec![series, at.clone()]))
        }
        _ => None,
    }
}

fn call(function: &'static Function, arguments: Vec<Typed>, data_type: Type) -> Typed {
    let arguments = arguments.into_iter().map(|typed| typed.expr).collect();
    Typed {
        expr: Expr::Call(Call {
            function,
            arguments,
        }),
        data_type,
    }
}
