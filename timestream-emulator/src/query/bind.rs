//! Parsed expressions -> bound ones: names become positions, types are checked and coerced.
//!
//! An allow-list: a construct that is not named here is refused, never guessed.

use sqlparser::{
    ast::{
        BinaryOperator, CaseWhen, CastKind, CeilFloorKind, DataType, DuplicateTreatment,
        Expr as Ast, Function as FunctionAst, FunctionArg, FunctionArgExpr, FunctionArguments,
        Ident, Interval, Spanned, TrimWhereField, UnaryOperator, Value,
    },
    tokenizer::Location,
};

use super::{
    aggregates::Aggregate,
    dialect::position,
    expr::{Call, Comparison, Expr, Operator},
    functions,
    output::Column,
    pattern::Pattern,
    time::{NS_PER_DAY, Unit},
    types::{Datum, Type},
};
use crate::error::ServiceError;

/// A bound expression and its type.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Typed {
    pub(crate) expr: Expr,
    pub(crate) data_type: Type,
}

/// The columns a query sees, and the names that may stand before a column's.
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) columns: Vec<Column>,
    pub(crate) qualifiers: Vec<Vec<String>>,
}

/// The keys and aggregates of a grouped query. A bound expression then refers to a row that holds
/// first the keys, then the aggregates.
#[derive(Debug, Default)]
pub(crate) struct Grouping {
    pub(crate) keys: Vec<Typed>,
    pub(crate) aggregates: Vec<AggregateCall>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct AggregateCall {
    pub(crate) aggregate: Aggregate,
    pub(crate) arguments: Vec<Expr>,
}

/// Binds expressions over one scope.
pub(crate) struct Binder<'a> {
    scope: &'a Scope,
    now_ns: i64,
    grouping: Option<Grouping>,
    /// An aggregate stood where there is no grouping.
    saw_aggregate: bool,
}

const NOT_GROUPED: &str = "must be an aggregate expression or appear in GROUP BY clause";

type Bound = Result<Typed, ServiceError>;

impl<'a> Binder<'a> {
    pub(crate) fn new(scope: &'a Scope, now_ns: i64) -> Self {
        Binder {
            scope,
            now_ns,
            grouping: None,
            saw_aggregate: false,
        }
    }

    /// From now on expressions are those of a query grouped by `keys`.
    pub(crate) fn group_by(&mut self, keys: Vec<Typed>) {
        self.grouping = Some(Grouping {
            keys,
            aggregates: Vec::new(),
        });
    }

    pub(crate) fn into_grouping(self) -> Option<Grouping> {
        self.grouping
    }

    /// Whether the expression has an aggregate in it.
    pub(crate) fn has_aggregate(&mut self, ast: &Ast) -> bool {
        self.saw_aggregate = false;
        let _ = self.bind(ast);
        self.saw_aggregate
    }

    pub(crate) fn bind(&mut self, ast: &Ast) -> Bound {
        if let Some(grouping) = self.grouping.take() {
            self.saw_aggregate = false;
            let plain = self.bind_node(ast);
            let found = plain.as_ref().ok().and_then(|typed| grouping.find(typed));
            self.grouping = Some(grouping);
            if let Some(typed) = found {
                return Ok(typed);
            }
            if !self.saw_aggregate && column_name(ast).is_some() {
                return Err(plain.err().unwrap_or_else(|| {
                    let name = column_name(ast).unwrap_or_default();
                    error(ast, format!("'{name}' {NOT_GROUPED}"))
                }));
            }
        }
        self.bind_node(ast)
    }

    /// Binds the column at a position, as `*` does.
    pub(crate) fn bind_position(&self, position: usize) -> Bound {
        let column = &self.scope.columns[position];
        let data_type = column.data_type.clone();
        let typed = Typed {
            expr: Expr::Column(position),
            data_type,
        };
        match &self.grouping {
            None => Ok(typed),
            Some(grouping) => grouping.find(&typed).ok_or_else(|| {
                ServiceError::validation(format!("'{}' {NOT_GROUPED}", column.name))
            }),
        }
    }

    /// Binds a condition.
    pub(crate) fn bind_boolean(&mut self, ast: &Ast, clause: &str) -> Bound {
        let typed = self.bind(ast)?;
        let found = typed.data_type.clone();
        coerce(typed, &Type::Boolean).ok_or_else(|| {
            error(
                ast,
                format!("{clause} must evaluate to a boolean: actual type {found}"),
            )
        })
    }

    fn bind_node(&mut self, ast: &Ast) -> Bound {
        let typed = match ast {
            Ast::Identifier(_) | Ast::CompoundIdentifier(_) => self.column(ast),
            Ast::Cast {
                kind: CastKind::DoubleColon,
                ..
            } => self.column(ast),
            Ast::Cast {
                kind,
                expr,
                data_type,
                format: None,
            } => self.cast(ast, kind, expr, data_type),
            Ast::Nested(inner) => self.bind(inner),
            Ast::Value(value) => literal(ast, &value.value),
            Ast::TypedString(typed) if !typed.uses_odbc_syntax => {
                typed_string(ast, &typed.data_type, &typed.value.value)
            }
            Ast::Interval(interval) => bind_interval(ast, interval),
            Ast::BinaryOp { left, op, right } => self.binary(ast, left, op, right),
            Ast::UnaryOp { op, expr } => self.unary(ast, op, expr),
            Ast::IsNull(expr) => Ok(self.bind(expr)?.null_test()),
            Ast::IsNotNull(expr) => Ok(self.bind(expr)?.null_test().negated()),
            Ast::IsDistinctFrom(left, right) => Ok(self.not_distinct(ast, left, right)?.negated()),
            Ast::IsNotDistinctFrom(left, right) => self.not_distinct(ast, left, right),
            Ast::Between {
                expr,
                negated,
                low,
                high,
            } => {
                let at_least = self.comparison(ast, expr, Comparison::GreaterOrEqual, low)?;
                let at_most = self.comparison(ast, expr, Comparison::LessOrEqual, high)?;
                Ok(boolean(Expr::And(vec![at_least.expr, at_most.expr])).negated_if(*negated))
            }
            Ast::InList {
                expr,
                list,
                negated,
            } => Ok(self.in_list(ast, expr, list)?.negated_if(*negated)),
            Ast::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => {
                let like = self.like(ast, expr, pattern, escape_char.as_deref())?;
                Ok(like.negated_if(*negated))
            }
            Ast::Case {
                operand,
                conditions,
                else_result,
                ..
            } => self.case(ast, operand.as_deref(), conditions, else_result.as_deref()),
            Ast::Function(function) => self.function(ast, function),
            Ast::Ceil { expr, field } if is_plain(field) => self.call(ast, "ceil", &[expr]),
            Ast::Floor { expr, field } if is_plain(field) => self.call(ast, "floor", &[expr]),
            Ast::Substring {
                expr,
                substring_from: Some(from),
                substring_for,
                ..
            } => {
                let arguments = [Some(&**expr), Some(&**from), substring_for.as_deref()];
                self.call(
                    ast,
                    "substr",
                    &arguments.into_iter().flatten().collect::<Vec<_>>(),
                )
            }
            Ast::Trim {
                trim_where,
                trim_what: None,
                expr,
                trim_characters: None,
            } => {
                let name = match trim_where {
                    Some(TrimWhereField::Leading) => "ltrim",
                    Some(TrimWhereField::Trailing) => "rtrim",
                    Some(TrimWhereField::Both) | None => "trim",
                };
                self.call(ast, name, &[expr])
            }
            other => Err(unsupported(other)),
        }?;
        Ok(Typed {
            expr: typed.expr.folded(),
            data_type: typed.data_type,
        })
    }

    fn column(&self, ast: &Ast) -> Bound {
        let Some(name) = column_name(ast) else {
            return Err(unsupported(ast));
        };
        let qualifier = qualifier(ast);
        let is_known = (qualifier.is_empty() || self.scope.qualifiers.contains(&qualifier))
            && !is_quoted_measure_value(ast);
        let matching = || {
            self.scope
                .columns
                .iter()
                .enumerate()
                .filter(|(_, column)| is_known && column.name == name)
        };
        let shown = if qualifier.is_empty() {
            name.clone()
        } else {
            format!("{}.{name}", qualifier.join("."))
        };
        let (index, column) = matching()
            .next()
            .ok_or_else(|| error(ast, format!("Column '{shown}' does not exist")))?;
        if matching().count() > 1 {
            return Err(error(ast, format!("Column '{shown}' is ambiguous")));
        }
        Ok(Typed {
            expr: Expr::Column(index),
            data_type: column.data_type.clone(),
        })
    }

    fn binary(&mut self, ast: &Ast, left: &Ast, op: &BinaryOperator, right: &Ast) -> Bound {
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

    /// A chain of ANDs or of ORs as one node, however long it is.
    fn connective(&mut self, ast: &Ast, wanted: &BinaryOperator) -> Bound {
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

    fn comparison(&mut self, ast: &Ast, left: &Ast, comparison: Comparison, right: &Ast) -> Bound {
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

    fn not_distinct(&mut self, ast: &Ast, left: &Ast, right: &Ast) -> Bound {
        let (left, right) = self.same_type(ast, left, right, "IS DISTINCT FROM")?;
        Ok(boolean(Expr::IsNotDistinct(
            Box::new(left.expr),
            Box::new(right.expr),
        )))
    }

    fn same_type(
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

    fn arithmetic(&mut self, ast: &Ast, left: &Ast, operator: Operator, right: &Ast) -> Bound {
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

    fn unary(&mut self, ast: &Ast, op: &UnaryOperator, expr: &Ast) -> Bound {
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

    fn in_list(&mut self, ast: &Ast, expr: &Ast, list: &[Ast]) -> Bound {
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

    fn like(&mut self, ast: &Ast, expr: &Ast, pattern: &Ast, escape: Option<&Ast>) -> Bound {
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

    /// A text known before the query runs; none for NULL.
    fn constant_text(&mut self, ast: &Ast, what: &str) -> Result<Option<String>, ServiceError> {
        match self.bind(ast)?.expr {
            Expr::Constant(Datum::Text(text)) => Ok(Some(text.to_string())),
            Expr::Constant(Datum::Null) => Ok(None),
            _ => Err(error(
                ast,
                format!("{what} must be a constant text for the emulator"),
            )),
        }
    }

    fn case(
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

    fn cast(&mut self, ast: &Ast, kind: &CastKind, expr: &Ast, data_type: &DataType) -> Bound {
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

    fn function(&mut self, ast: &Ast, function: &FunctionAst) -> Bound {
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
        if !is_plain || function.over.is_some() {
            return Err(error(
                ast,
                format!(
                    "window, FILTER and like clauses of {name} are not supported by the emulator"
                ),
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
        match (name.as_str(), arguments) {
            ("current_timestamp", None) => return Ok(self.now()),
            ("current_date", None) => {
                let days = Datum::Date(self.now_ns.div_euclid(NS_PER_DAY));
                return Ok(Typed {
                    expr: Expr::Constant(days),
                    data_type: Type::Date,
                });
            }
            _ => {}
        }
        let arguments = arguments.ok_or_else(|| unsupported(ast))?;
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

    fn call(&mut self, ast: &Ast, name: &str, arguments: &[&Ast]) -> Bound {
        match (name, arguments) {
            ("now", []) => return Ok(self.now()),
            ("regexp_like", [text, pattern]) => return self.regexp_like(ast, text, pattern),
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
                let ago = all_of_type(ast, "ago", bound, &Type::Interval)?.remove(0);
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

    fn now(&self) -> Typed {
        let now = Expr::Constant(Datum::Timestamp(self.now_ns));
        Typed {
            expr: now,
            data_type: Type::Timestamp,
        }
    }

    fn regexp_like(&mut self, ast: &Ast, text: &Ast, pattern: &Ast) -> Bound {
        let text = self.bind(text)?;
        let text = all_of_type(ast, "regexp_like", vec![text], &Type::Varchar)?.remove(0);
        let Some(pattern) = self.constant_text(pattern, "the pattern of regexp_like")? else {
            return Ok(null(Type::Boolean));
        };
        let pattern = Pattern::java(&pattern)
            .map_err(|message| error(ast, format!("invalid pattern '{pattern}': {message}")))?;
        Ok(boolean(Expr::Matches(Box::new(text), pattern)))
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

    fn aggregate_call(
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
        let refused = || {
            let given: Vec<String> = types.iter().map(Type::to_string).collect();
            error(
                ast,
                format!(
                    "Unexpected parameters ({}) for function {name}",
                    given.join(", ")
                ),
            )
        };
        let (result, wanted) = aggregate.signature(&types).ok_or_else(refused)?;
        let arguments = bound
            .into_iter()
            .zip(&wanted)
            .map(|(typed, wanted)| coerce(typed, wanted).map(|typed| typed.expr))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(refused)?;
        Ok((
            AggregateCall {
                aggregate,
                arguments,
            },
            result,
        ))
    }
}

impl Grouping {
    /// The expression as a key, or itself if it is a constant.
    fn find(&self, typed: &Typed) -> Option<Typed> {
        if typed.expr.constant().is_some() {
            return Some(typed.clone());
        }
        let key = self.keys.iter().position(|key| key.expr == typed.expr)?;
        Some(Typed {
            expr: Expr::Column(key),
            data_type: typed.data_type.clone(),
        })
    }
}

impl Typed {
    fn null_test(self) -> Typed {
        boolean(Expr::IsNull(Box::new(self.expr)))
    }

    fn negated(self) -> Typed {
        boolean(Expr::Not(Box::new(self.expr)))
    }

    fn negated_if(self, is_negated: bool) -> Typed {
        if is_negated { self.negated() } else { self }
    }
}

/// Name of the column an expression is, if it is one. `measure_value::double` is one name.
pub(crate) fn column_name(ast: &Ast) -> Option<String> {
    match ast {
        Ast::Identifier(name) => Some(name.value.clone()),
        Ast::CompoundIdentifier(parts) => Some(parts.last()?.value.clone()),
        Ast::Cast {
            kind: CastKind::DoubleColon,
            expr,
            data_type,
            format: None,
        } => {
            let name = match &**expr {
                Ast::Identifier(name) => name,
                Ast::CompoundIdentifier(parts) => parts.last()?,
                _ => return None,
            };
            let type_name = data_type.to_string().to_ascii_lowercase();
            let is_measure = name.value == "measure_value" && name.quote_style.is_none();
            let is_type = ["double", "bigint", "varchar", "boolean"].contains(&type_name.as_str());
            (is_measure && is_type).then(|| format!("measure_value::{type_name}"))
        }
        _ => None,
    }
}

/// The column is only known to be called `measure_value::double` without quotes.
fn is_quoted_measure_value(ast: &Ast) -> bool {
    let name = match ast {
        Ast::Identifier(name) => Some(name),
        Ast::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    name.is_some_and(|name| name.value.starts_with("measure_value::"))
}

/// The names before a column's.
fn qualifier(ast: &Ast) -> Vec<String> {
    match ast {
        Ast::CompoundIdentifier(parts) => {
            let values = parts.iter().map(|part: &Ident| part.value.clone());
            values.take(parts.len().saturating_sub(1)).collect()
        }
        Ast::Cast { expr, .. } => qualifier(expr),
        _ => Vec::new(),
    }
}

fn literal(ast: &Ast, value: &Value) -> Bound {
    let (datum, data_type) = match value {
        Value::Null => (Datum::Null, Type::Unknown),
        Value::Boolean(truth) => (Datum::Boolean(*truth), Type::Boolean),
        Value::SingleQuotedString(text) => (Datum::text(text), Type::Varchar),
        Value::Number(digits, false) if digits.contains(['.', 'e', 'E']) => {
            let number = digits
                .parse::<f64>()
                .ok()
                .filter(|number| number.is_finite());
            let number =
                number.ok_or_else(|| error(ast, format!("Invalid numeric literal: {digits}")))?;
            (Datum::Double(number), Type::Double)
        }
        Value::Number(digits, false) => {
            let number = digits.parse::<i64>();
            let number =
                number.map_err(|_| error(ast, format!("Invalid numeric literal: {digits}")))?;
            let is_small = i32::try_from(number).is_ok();
            (
                Datum::Int(number),
                if is_small {
                    Type::Integer
                } else {
                    Type::Bigint
                },
            )
        }
        _ => return Err(unsupported(ast)),
    };
    Ok(Typed {
        expr: Expr::Constant(datum),
        data_type,
    })
}

/// `timestamp '...'` and `date '...'`.
fn typed_string(ast: &Ast, data_type: &DataType, value: &Value) -> Bound {
    let Value::SingleQuotedString(text) = value else {
        return Err(unsupported(ast));
    };
    let to = sql_type(ast, data_type)?;
    if !matches!(to, Type::Timestamp | Type::Date) {
        return Err(unsupported(ast));
    }
    let datum = functions::cast(&Datum::text(text), &to)
        .and_then(|datum| match datum {
            Datum::Timestamp(time) => functions::timestamp(Some(time)),
            other => Ok(other),
        })
        .map_err(|_| error(ast, format!("'{text}' is not a valid {to} literal")))?;
    Ok(Typed {
        expr: Expr::Constant(datum),
        data_type: to,
    })
}

/// `1h` and `interval '2' day`.
fn bind_interval(ast: &Ast, interval: &Interval) -> Bound {
    let is_plain = interval.leading_precision.is_none()
        && interval.last_field.is_none()
        && interval.fractional_seconds_precision.is_none();
    let count = match &*interval.value {
        Ast::Value(value) if is_plain => match &value.value {
            Value::Number(digits, false) | Value::SingleQuotedString(digits) => {
                digits.parse::<i64>().ok()
            }
            _ => None,
        },
        _ => None,
    };
    let unit = interval
        .leading_field
        .as_ref()
        .and_then(|unit| Unit::from_name(&unit.to_string()));
    let nanoseconds = match (count, unit) {
        (Some(count), Some(Unit::Fixed(size))) => count.checked_mul(size),
        _ => None,
    };
    let nanoseconds = nanoseconds.ok_or_else(|| {
        error(
            ast,
            format!("the interval {interval} is not supported by the emulator"),
        )
    })?;
    Ok(Typed {
        expr: Expr::Constant(Datum::Interval(nanoseconds)),
        data_type: Type::Interval,
    })
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

/// The expression as the wanted type, if there is a coercion.
pub(crate) fn coerce(typed: Typed, wanted: &Type) -> Option<Typed> {
    if !typed.data_type.coerces_to(wanted) {
        return None;
    }
    let needs_cast = matches!(
        (&typed.data_type, wanted),
        (Type::Integer | Type::Bigint, Type::Double) | (Type::Date, Type::Timestamp)
    );
    let expr = if needs_cast {
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

/// All expressions as the type they have in common.
fn unify(ast: &Ast, what: &str, all: Vec<Typed>) -> Result<(Type, Vec<Expr>), ServiceError> {
    let mut common = Type::Unknown;
    for typed in &all {
        common = common
            .common(&typed.data_type)
            .ok_or_else(|| not_applicable(ast, what, &common, &typed.data_type))?;
    }
    let exprs = all_of_type(ast, what, all, &common)?;
    Ok((common, exprs))
}

fn all_of_type(
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
fn arithmetic_types(operator: Operator, left: &Type, right: &Type) -> Option<(Type, Type, Type)> {
    use Type::{Bigint, Integer, Interval, Timestamp, Unknown};
    match (operator, left, right) {
        (Operator::Add | Operator::Subtract, Timestamp | Type::Date, Interval) => {
            Some((Timestamp, Interval, Timestamp))
        }
        (Operator::Add, Interval, Timestamp | Type::Date) => Some((Interval, Timestamp, Timestamp)),
        (Operator::Subtract, Timestamp, Timestamp) => Some((Timestamp, Timestamp, Interval)),
        (Operator::Add | Operator::Subtract, Interval, Interval) => {
            Some((Interval, Interval, Interval))
        }
        (Operator::Multiply, Interval, Integer | Bigint) => Some((Interval, Bigint, Interval)),
        (Operator::Multiply, Integer | Bigint, Interval) => Some((Bigint, Interval, Interval)),
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

fn sql_type(ast: &Ast, data_type: &DataType) -> Result<Type, ServiceError> {
    Ok(match data_type.to_string().to_ascii_lowercase().as_str() {
        "boolean" => Type::Boolean,
        "integer" | "int" => Type::Integer,
        "bigint" => Type::Bigint,
        "double" => Type::Double,
        "varchar" => Type::Varchar,
        "timestamp" => Type::Timestamp,
        "date" => Type::Date,
        other => {
            return Err(error(
                ast,
                format!("the type {other} is not supported by the emulator"),
            ));
        }
    })
}

fn is_plain(field: &CeilFloorKind) -> bool {
    matches!(
        field,
        CeilFloorKind::DateTimeField(sqlparser::ast::DateTimeField::NoDateTime)
    )
}

fn boolean(expr: Expr) -> Typed {
    Typed {
        expr,
        data_type: Type::Boolean,
    }
}

fn null(data_type: Type) -> Typed {
    Typed {
        expr: Expr::Constant(Datum::Null),
        data_type,
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

fn not_applicable(ast: &Ast, what: &str, left: &Type, right: &Type) -> ServiceError {
    error(
        ast,
        format!("'{what}' cannot be applied to {left}, {right}"),
    )
}

fn unsupported(ast: &Ast) -> ServiceError {
    error(
        ast,
        format!("the expression {ast} is not supported by the emulator"),
    )
}

/// A refusal that starts with the place of the expression, if it is known.
pub(crate) fn error(ast: &Ast, message: String) -> ServiceError {
    let start = ast.span().start;
    if start == Location::empty() {
        return ServiceError::validation(message);
    }
    ServiceError::validation(format!("{}{message}", position(start)))
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
