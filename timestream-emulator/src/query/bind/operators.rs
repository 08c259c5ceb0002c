//! Operators, conditions, CASE and CAST.

use sqlparser::ast::{
    BinaryOperator, CaseWhen, CastKind, DataType, Expr as Ast, UnaryOperator, Value,
};

use super::{
    Binder, Bound, Typed, boolean,
    coerce::{all_of_type, arithmetic_types, coerce, not_applicable, unify},
    error,
    literals::sql_type,
    null, unsupported,
};
use crate::{
    error::ServiceError,
    query::{
        expr::{Comparison, Expr, Operator},
        pattern::Pattern,
        types::{Datum, Type},
    },
};

impl Binder<'_> {
    pub(super) fn binary(
        &mut self,
        ast: &Ast,
        left: &Ast,
        op: &BinaryOperator,
        right: &Ast,
    ) -> Bound {
        let comparison = match op {
            BinaryOperator::And | BinaryOperator::Or => return self.connective(ast, op),
            BinaryOperator::StringConcat => {
                let parts = [self.bind(left)?, self.bind(right)?];
                let parts = all_of_type(ast, "||", parts.into(), &Type::Varchar)?;
                return Ok(Typed {
                    expr: Expr::Concat(parts),
                    data_type: Type::Varchar,
                });
            }
            BinaryOperator::Plus => return self.arithmetic(ast, left, Operator::Add, right),
            BinaryOperator::Minus => return self.arithmetic(ast, left, Operator::Subtract, right),
            BinaryOperator::Multiply => {
                return self.arithmetic(ast, left, Operator::Multiply, right);
            }
            BinaryOperator::Divide => return self.arithmetic(ast, left, Operator::Divide, right),
            BinaryOperator::Modulo => return self.arithmetic(ast, left, Operator::Modulo, right),
            BinaryOperator::Eq => Comparison::Equal,
            BinaryOperator::NotEq => Comparison::NotEqual,
            BinaryOperator::Lt => Comparison::Less,
            BinaryOperator::LtEq => Comparison::LessOrEqual,
            BinaryOperator::Gt => Comparison::Greater,
            BinaryOperator::GtEq => Comparison::GreaterOrEqual,
            other => {
                return Err(error(
                    ast,
                    format!("operator '{other}' is not supported by the emulator"),
                ));
            }
        };
        self.comparison(ast, left, comparison, right)
    }

    /// Returns a chain of ANDs or of ORs as one node, however long it is.
    pub(super) fn connective(&mut self, ast: &Ast, wanted: &BinaryOperator) -> Bound {
        let mut operands = Vec::new();
        let mut rest = ast;
        while let Ast::BinaryOp { left, op, right } = rest
            && op == wanted
        {
            operands.push(&**right);
            rest = left;
        }
        operands.push(rest);
        operands.reverse();
        let name = format!("Logical expression of {wanted}");
        let bound = operands
            .into_iter()
            .map(|operand| self.bind_boolean(operand, &name).map(|typed| typed.expr))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(boolean(match wanted {
            BinaryOperator::And => Expr::And(bound),
            _ => Expr::Or(bound),
        }))
    }

    pub(super) fn comparison(
        &mut self,
        ast: &Ast,
        left: &Ast,
        comparison: Comparison,
        right: &Ast,
    ) -> Bound {
        let (left, right) = self.same_type(ast, left, right, symbol(comparison))?;
        if !left.data_type.is_orderable() {
            return Err(not_applicable(
                ast,
                symbol(comparison),
                &left.data_type,
                &right.data_type,
            ));
        }
        Ok(boolean(Expr::Compare(
            comparison,
            Box::new(left.expr),
            Box::new(right.expr),
        )))
    }

    pub(super) fn not_distinct(&mut self, ast: &Ast, left: &Ast, right: &Ast) -> Bound {
        let (left, right) = self.same_type(ast, left, right, "IS DISTINCT FROM")?;
        Ok(boolean(Expr::IsNotDistinct(
            Box::new(left.expr),
            Box::new(right.expr),
        )))
    }

    pub(super) fn same_type(
        &mut self,
        ast: &Ast,
        left: &Ast,
        right: &Ast,
        operator: &str,
    ) -> Result<(Typed, Typed), ServiceError> {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let types = (left.data_type.clone(), right.data_type.clone());
        let coerced = types
            .0
            .common(&types.1)
            .and_then(|common| Some((coerce(left, &common)?, coerce(right, &common)?)));
        coerced.ok_or_else(|| not_applicable(ast, operator, &types.0, &types.1))
    }

    pub(super) fn arithmetic(
        &mut self,
        ast: &Ast,
        left: &Ast,
        operator: Operator,
        right: &Ast,
    ) -> Bound {
        let (left, right) = (self.bind(left)?, self.bind(right)?);
        let types = (left.data_type.clone(), right.data_type.clone());
        let coerced = arithmetic_types(operator, &types.0, &types.1).and_then(
            |(left_type, right_type, result)| {
                Some((
                    coerce(left, &left_type)?,
                    coerce(right, &right_type)?,
                    result,
                ))
            },
        );
        let (left, right, result) =
            coerced.ok_or_else(|| not_applicable(ast, symbol_of(operator), &types.0, &types.1))?;
        let expr = Expr::Arithmetic(operator, Box::new(left.expr), Box::new(right.expr));
        Ok(Typed {
            expr,
            data_type: result,
        })
    }

    pub(super) fn unary(&mut self, ast: &Ast, op: &UnaryOperator, expr: &Ast) -> Bound {
        match op {
            UnaryOperator::Not => Ok(self
                .bind_boolean(expr, "Value of logical NOT expression")?
                .negated()),
            UnaryOperator::Plus | UnaryOperator::Minus => {
                // The least bigint is only a number together with its sign.
                if let (UnaryOperator::Minus, Ast::Value(value)) = (op, expr)
                    && matches!(&value.value, Value::Number(digits, false) if digits == "9223372036854775808")
                {
                    return Ok(Typed {
                        expr: Expr::Constant(Datum::Int(i64::MIN)),
                        data_type: Type::Bigint,
                    });
                }
                let typed = self.bind(expr)?;
                let zero = match typed.data_type {
                    Type::Double => Datum::Double(-0.0),
                    Type::Integer | Type::Bigint => Datum::Int(0),
                    Type::Interval => Datum::Interval(0),
                    Type::Months => Datum::Months(0),
                    other => {
                        return Err(error(ast, format!("'{op}' cannot be applied to {other}")));
                    }
                };
                if *op == UnaryOperator::Plus {
                    return Ok(typed);
                }
                let zero = Box::new(Expr::Constant(zero));
                let negated = Expr::Arithmetic(Operator::Subtract, zero, Box::new(typed.expr));
                Ok(Typed {
                    expr: negated,
                    data_type: typed.data_type,
                })
            }
            other => Err(error(
                ast,
                format!("operator '{other}' is not supported by the emulator"),
            )),
        }
    }

    pub(super) fn in_list(&mut self, ast: &Ast, expr: &Ast, list: &[Ast]) -> Bound {
        let mut all = vec![self.bind(expr)?];
        for item in list {
            all.push(self.bind(item)?);
        }
        let (common, mut all) = unify(ast, "IN", all)?;
        if !common.is_orderable() {
            return Err(not_applicable(ast, "IN", &common, &common));
        }
        let expr = Box::new(all.remove(0));
        Ok(boolean(Expr::In(expr, all)))
    }

    pub(super) fn like(
        &mut self,
        ast: &Ast,
        expr: &Ast,
        pattern: &Ast,
        escape: Option<&Ast>,
    ) -> Bound {
        let text = self.bind(expr)?;
        let text = all_of_type(ast, "LIKE", vec![text], &Type::Varchar)?.remove(0);
        let Some(pattern) = self.constant_text(pattern, "the pattern of LIKE")? else {
            return Ok(null(Type::Boolean));
        };
        let escape = match escape {
            None => None,
            Some(escape) => {
                let text = self
                    .constant_text(escape, "the escape of LIKE")?
                    .unwrap_or_default();
                let mut chars = text.chars();
                match (chars.next(), chars.next()) {
                    (Some(only), None) => Some(only),
                    _ => {
                        return Err(error(
                            ast,
                            "Escape string must be a single character".to_owned(),
                        ));
                    }
                }
            }
        };
        let pattern = Pattern::like(&pattern, escape).map_err(|message| error(ast, message))?;
        Ok(boolean(Expr::Matches(Box::new(text), pattern)))
    }

    /// Returns a text known before the query runs; none for NULL.
    pub(super) fn constant_text(
        &mut self,
        ast: &Ast,
        what: &str,
    ) -> Result<Option<String>, ServiceError> {
        match self.bind(ast)?.expr {
            Expr::Constant(Datum::Text(text)) => Ok(Some(text.to_string())),
            Expr::Constant(Datum::Null) => Ok(None),
            _ => Err(error(
                ast,
                format!("{what} must be a constant text for the emulator"),
            )),
        }
    }

    pub(super) fn case(
        &mut self,
        ast: &Ast,
        operand: Option<&Ast>,
        conditions: &[CaseWhen],
        otherwise: Option<&Ast>,
    ) -> Bound {
        let mut tests = Vec::new();
        let mut results = Vec::new();
        for CaseWhen { condition, result } in conditions {
            tests.push(match operand {
                None => self.bind_boolean(condition, "CASE WHEN clause")?.expr,
                Some(operand) => {
                    self.comparison(ast, operand, Comparison::Equal, condition)?
                        .expr
                }
            });
            results.push(self.bind(result)?);
        }
        results.push(match otherwise {
            Some(otherwise) => self.bind(otherwise)?,
            None => null(Type::Unknown),
        });
        let (data_type, mut results) = unify(ast, "CASE", results)?;
        let otherwise = Box::new(results.pop().unwrap_or(Expr::Constant(Datum::Null)));
        let branches = tests.into_iter().zip(results).collect();
        Ok(Typed {
            expr: Expr::Case {
                branches,
                otherwise,
            },
            data_type,
        })
    }

    pub(super) fn cast(
        &mut self,
        ast: &Ast,
        kind: &CastKind,
        expr: &Ast,
        data_type: &DataType,
    ) -> Bound {
        let is_try = match kind {
            CastKind::Cast => false,
            CastKind::TryCast => true,
            _ => return Err(unsupported(ast)),
        };
        let to = sql_type(ast, data_type)?;
        let typed = self.bind(expr)?;
        let is_scalar = typed.data_type.is_orderable();
        if !is_scalar {
            return Err(error(
                ast,
                format!("Cannot cast {} to {to}", typed.data_type),
            ));
        }
        Ok(Typed {
            expr: Expr::Cast {
                expr: Box::new(typed.expr),
                to: to.clone(),
                is_try,
            },
            data_type: to,
        })
    }
}

fn symbol(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::NotEqual => "<>",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
    }
}

fn symbol_of(operator: Operator) -> &'static str {
    match operator {
        Operator::Add => "+",
        Operator::Subtract => "-",
        Operator::Multiply => "*",
        Operator::Divide => "/",
        Operator::Modulo => "%",
    }
}
