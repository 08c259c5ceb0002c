//! Calls of functions and aggregates.

use sqlparser::ast::{
    DuplicateTreatment, Expr as Ast, Function as FunctionAst, FunctionArg, FunctionArgExpr,
    FunctionArguments,
};

use super::{
    AggregateCall, Binder, Bound, Typed,
    coerce::{all_of_type, coerce, not_applicable, unify},
    error, null, unsupported,
};
use crate::{
    error::ServiceError,
    query::{
        aggregates::Aggregate,
        expr::{Call, Expr, Operator},
        functions,
        regexp::RegexpFunction,
        time::NS_PER_DAY,
        types::{Datum, Type},
    },
};

impl Binder<'_> {
    pub(super) fn function(&mut self, ast: &Ast, function: &FunctionAst) -> Bound {
        let name = function
            .name
            .to_string()
            .replace('"', "")
            .to_ascii_lowercase();
        let is_plain = function.parameters == FunctionArguments::None
            && function.within_group.is_empty()
            && function.filter.is_none()
            && function.null_treatment.is_none()
            && !function.uses_odbc_syntax;
        if !is_plain {
            return Err(error(
                ast,
                format!("FILTER and like clauses of {name} are not supported by the emulator"),
            ));
        }
        let (is_distinct, arguments) = match &function.args {
            FunctionArguments::None => (false, None),
            FunctionArguments::List(list) if list.clauses.is_empty() => {
                let is_distinct = list.duplicate_treatment == Some(DuplicateTreatment::Distinct);
                (is_distinct, Some(&*list.args))
            }
            _ => return Err(unsupported(ast)),
        };
        if let Some(typed) = arguments.is_none().then(|| self.clock(&name)).flatten() {
            return Ok(typed);
        }
        let arguments = arguments.ok_or_else(|| unsupported(ast))?;
        if let Some(over) = &function.over {
            return self.window(ast, &name, is_distinct, arguments, over);
        }
        if let Some(aggregate) = Aggregate::from_name(&name) {
            return self.aggregate(ast, &name, aggregate, is_distinct, arguments);
        }
        if is_distinct {
            return Err(error(ast, format!("DISTINCT is not supported for {name}")));
        }
        let arguments = arguments
            .iter()
            .map(|argument| match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Ok(expr),
                _ => Err(unsupported(ast)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        self.call(ast, &name, &arguments)
    }

    pub(super) fn call(&mut self, ast: &Ast, name: &str, arguments: &[&Ast]) -> Bound {
        match (name, arguments) {
            ("now", []) => return Ok(self.now()),
            ("regexp_like", [text, pattern]) => return self.regexp_like(ast, text, pattern),
            (name, arguments) if let Some(function) = RegexpFunction::from_name(name) => {
                return self.regexp_call(ast, name, function, arguments);
            }
            ("mod", [left, right]) => return self.arithmetic(ast, left, Operator::Modulo, right),
            ("if", [condition, result]) => return self.if_else(ast, condition, result, None),
            ("if", [condition, result, otherwise]) => {
                return self.if_else(ast, condition, result, Some(otherwise));
            }
            _ => {}
        }
        let mut bound = Vec::new();
        for argument in arguments {
            bound.push(self.bind(argument)?);
        }
        if let Some(typed) = self.array_call(ast, name, &bound) {
            return typed;
        }
        match (name, bound.len()) {
            ("coalesce", 1..) => {
                let (data_type, list) = unify(ast, "COALESCE", bound)?;
                Ok(Typed {
                    expr: Expr::Coalesce(list),
                    data_type,
                })
            }
            ("greatest" | "least", 1..) => {
                let (data_type, arguments) = unify(ast, name, bound)?;
                if !data_type.is_orderable() {
                    return Err(not_applicable(ast, name, &data_type, &data_type));
                }
                let is_greatest = name == "greatest";
                Ok(Typed {
                    expr: Expr::Extreme {
                        is_greatest,
                        arguments,
                    },
                    data_type,
                })
            }
            ("concat", 2..) => {
                let parts = all_of_type(ast, "concat", bound, &Type::Varchar)?;
                Ok(Typed {
                    expr: Expr::Concat(parts),
                    data_type: Type::Varchar,
                })
            }
            ("nullif", 2) => {
                let data_type = bound[0].data_type.clone();
                let (_, mut pair) = unify(ast, "NULLIF", bound)?;
                let right = Box::new(pair.remove(1));
                Ok(Typed {
                    expr: Expr::NullIf(Box::new(pair.remove(0)), right),
                    data_type,
                })
            }
            ("ago", 1) => {
                let wanted = match bound[0].data_type {
                    Type::Months => Type::Months,
                    _ => Type::Interval,
                };
                let ago = all_of_type(ast, "ago", bound, &wanted)?.remove(0);
                let now = Box::new(self.now().expr);
                let expr = Expr::Arithmetic(Operator::Subtract, now, Box::new(ago));
                Ok(Typed {
                    expr,
                    data_type: Type::Timestamp,
                })
            }
            _ => resolved(ast, name, bound),
        }
    }

    /// Binds a function that is called without brackets.
    fn clock(&self, name: &str) -> Option<Typed> {
        let today = self.context.now_ns.div_euclid(NS_PER_DAY);
        match name {
            "current_timestamp" | "localtimestamp" => Some(self.now()),
            "current_date" => Some(Typed {
                expr: Expr::Constant(Datum::Date(today)),
                data_type: Type::Date,
            }),
            _ => None,
        }
    }

    fn now(&self) -> Typed {
        Typed {
            expr: Expr::Constant(Datum::Timestamp(self.context.now_ns)),
            data_type: Type::Timestamp,
        }
    }

    fn if_else(
        &mut self,
        ast: &Ast,
        condition: &Ast,
        result: &Ast,
        otherwise: Option<&Ast>,
    ) -> Bound {
        let condition = self.bind_boolean(condition, "IF condition")?.expr;
        let otherwise = match otherwise {
            Some(otherwise) => self.bind(otherwise)?,
            None => null(Type::Unknown),
        };
        let (data_type, mut results) = unify(ast, "IF", vec![self.bind(result)?, otherwise])?;
        let otherwise = Box::new(results.remove(1));
        let branches = vec![(condition, results.remove(0))];
        Ok(Typed {
            expr: Expr::Case {
                branches,
                otherwise,
            },
            data_type,
        })
    }

    fn aggregate(
        &mut self,
        ast: &Ast,
        name: &str,
        aggregate: Aggregate,
        is_distinct: bool,
        arguments: &[FunctionArg],
    ) -> Bound {
        self.saw_aggregate = true;
        let Some(mut grouping) = self.grouping.take() else {
            return Err(error(
                ast,
                format!("aggregate function {name} is not allowed here"),
            ));
        };
        let bound = self.aggregate_call(ast, name, aggregate, is_distinct, arguments);
        let typed = bound.map(|(call, data_type)| {
            let index = grouping.aggregates.iter().position(|known| *known == call);
            let index = index.unwrap_or_else(|| {
                grouping.aggregates.push(call);
                grouping.aggregates.len() - 1
            });
            Typed {
                expr: Expr::Column(grouping.keys.len() + index),
                data_type,
            }
        });
        self.grouping = Some(grouping);
        typed
    }

    pub(super) fn aggregate_call(
        &mut self,
        ast: &Ast,
        name: &str,
        aggregate: Aggregate,
        is_distinct: bool,
        arguments: &[FunctionArg],
    ) -> Result<(AggregateCall, Type), ServiceError> {
        let mut bound = Vec::new();
        let mut aggregate = aggregate;
        for argument in arguments {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => bound.push(self.bind(expr)?),
                FunctionArg::Unnamed(FunctionArgExpr::Wildcard)
                    if aggregate == Aggregate::Count && arguments.len() == 1 && !is_distinct =>
                {
                    aggregate = Aggregate::CountRows;
                }
                _ => return Err(unsupported(ast)),
            }
        }
        match (aggregate, is_distinct) {
            (Aggregate::Count, true) => aggregate = Aggregate::CountDistinct,
            (Aggregate::Min | Aggregate::Max, _) | (_, false) => {}
            _ => {
                return Err(error(
                    ast,
                    format!("DISTINCT is not supported by the emulator for {name}"),
                ));
            }
        }
        let types: Vec<Type> = bound.iter().map(|typed| typed.data_type.clone()).collect();
        let not_applicable = || {
            let given: Vec<String> = types.iter().map(Type::to_string).collect();
            error(
                ast,
                format!(
                    "Unexpected parameters ({}) for function {name}",
                    given.join(", ")
                ),
            )
        };
        let (result, wanted) = aggregate.signature(&types).ok_or_else(not_applicable)?;
        let arguments = bound
            .into_iter()
            .zip(&wanted)
            .map(|(typed, wanted)| coerce(typed, wanted).map(|typed| typed.expr))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(not_applicable)?;
        Ok((
            AggregateCall {
                aggregate,
                arguments,
            },
            result,
        ))
    }
}

fn resolved(ast: &Ast, name: &str, arguments: Vec<Typed>) -> Bound {
    let types: Vec<Type> = arguments
        .iter()
        .map(|typed| typed.data_type.clone())
        .collect();
    let function = functions::resolve(name, &types).map_err(|message| error(ast, message))?;
    let arguments = arguments
        .into_iter()
        .zip(function.arguments)
        .map(|(typed, wanted)| coerce(typed, wanted).map(|typed| typed.expr))
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| unsupported(ast))?;
    let expr = Expr::Call(Call {
        function,
        arguments,
    });
    // A constant that fails does so before the query reads anything.
    if !expr.uses_columns_from(0) {
        expr.evaluate(&[])?;
    }
    Ok(Typed {
        expr,
        data_type: function.result.clone(),
    })
}
