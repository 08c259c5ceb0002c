//! Window functions: `function(...) OVER (PARTITION BY ... ORDER BY ... [ROWS ...])`.

use sqlparser::ast::{
    Expr as Ast, FunctionArg, FunctionArgExpr, OrderByExpr, OrderBySort, Value, WindowFrame,
    WindowFrameBound, WindowFrameUnits, WindowSpec, WindowType,
};

use super::{AggregateCall, Binder, Typed, coerce::coerce, error, unsupported};
use crate::{
    error::ServiceError,
    query::{aggregates::Aggregate, expr::Expr, types::Type},
};

/// A window function with its window, over the rows that the SELECT sees after grouping.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct WindowCall {
    pub(crate) function: WindowFunction,
    pub(crate) arguments: Vec<Expr>,
    pub(crate) partition: Vec<Expr>,
    pub(crate) order: Vec<(Expr, SortBy)>,
    pub(crate) frame: Frame,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowFunction {
    RowNumber,
    Rank,
    DenseRank,
    PercentRank,
    CumeDist,
    Ntile,
    Lag,
    Lead,
    FirstValue,
    LastValue,
    NthValue,
    Aggregate(Aggregate),
}

/// Sort order of one expression of ORDER BY.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SortBy {
    pub(crate) is_descending: bool,
    pub(crate) nulls_first: bool,
}

/// The rows around the current one that a function sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) start: Bound,
    pub(crate) end: Bound,
    /// RANGE: the current row stands for all that sort equal to it.
    pub(crate) has_peers: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    /// The first row of the partition as a start, the last one as an end.
    Unbounded,
    /// So many rows after the current one, or before it if negative.
    Offset(i64),
}

impl SortBy {
    /// Reads ASC, DESC and NULLS; by default NULL is the greatest value.
    pub(crate) fn of(item: &OrderByExpr) -> Result<SortBy, ServiceError> {
        let is_descending = match &item.options.sort {
            None | Some(OrderBySort::Asc) => false,
            Some(OrderBySort::Desc) => true,
            Some(OrderBySort::Using(_)) => return Err(unsupported(&item.expr)),
        };
        if item.with_fill.is_some() {
            return Err(unsupported(&item.expr));
        }
        Ok(SortBy {
            is_descending,
            nulls_first: item.options.nulls_first.unwrap_or(false),
        })
    }
}

impl WindowFunction {
    fn from_name(name: &str) -> Option<WindowFunction> {
        Some(match name {
            "row_number" => WindowFunction::RowNumber,
            "rank" => WindowFunction::Rank,
            "dense_rank" => WindowFunction::DenseRank,
            "percent_rank" => WindowFunction::PercentRank,
            "cume_dist" => WindowFunction::CumeDist,
            "ntile" => WindowFunction::Ntile,
            "lag" => WindowFunction::Lag,
            "lead" => WindowFunction::Lead,
            "first_value" => WindowFunction::FirstValue,
            "last_value" => WindowFunction::LastValue,
            "nth_value" => WindowFunction::NthValue,
            _ => return None,
        })
    }

    /// Returns the type of the result, and the types the arguments are coerced to.
    fn signature(self, given: &[Type]) -> Option<(Type, Vec<Type>)> {
        use WindowFunction as F;
        match (self, given) {
            (F::RowNumber | F::Rank | F::DenseRank, []) => Some((Type::Bigint, Vec::new())),
            (F::PercentRank | F::CumeDist, []) => Some((Type::Double, Vec::new())),
            (F::Ntile, [_]) => Some((Type::Bigint, vec![Type::Bigint])),
            (F::Lag | F::Lead | F::FirstValue | F::LastValue, [value]) => {
                Some((value.clone(), given.to_vec()))
            }
            (F::Lag | F::Lead | F::NthValue, [value, _]) => {
                Some((value.clone(), vec![value.clone(), Type::Bigint]))
            }
            (F::Lag | F::Lead, [value, _, _]) => Some((
                value.clone(),
                vec![value.clone(), Type::Bigint, value.clone()],
            )),
            (F::Aggregate(aggregate), _) => aggregate.signature(given),
            _ => None,
        }
    }
}

impl Binder<'_> {
    /// Binds a call with OVER.
    pub(super) fn window(
        &mut self,
        ast: &Ast,
        name: &str,
        is_distinct: bool,
        arguments: &[FunctionArg],
        over: &WindowType,
    ) -> super::Bound {
        let WindowType::WindowSpec(spec) = over else {
            return Err(error(
                ast,
                "a named window is not supported by the emulator".to_owned(),
            ));
        };
        if spec.window_name.is_some() {
            return Err(unsupported(ast));
        }
        let is_allowed = self.windows.is_some() || self.is_probing;
        let Some(outside) = is_allowed.then(|| self.windows.take()) else {
            return Err(error(
                ast,
                format!("window function {name} is not allowed here"),
            ));
        };
        let bound = self.window_call(ast, name, is_distinct, arguments, spec);
        self.windows = outside;
        let (call, data_type) = bound?;
        let expr = match &mut self.windows {
            Some(windows) if !self.is_probing => {
                let known = windows.iter().position(|known| *known == call);
                Expr::Window(known.unwrap_or_else(|| {
                    windows.push(call);
                    windows.len() - 1
                }))
            }
            _ => Expr::Window(usize::MAX),
        };
        Ok(Typed { expr, data_type })
    }

    fn window_call(
        &mut self,
        ast: &Ast,
        name: &str,
        is_distinct: bool,
        arguments: &[FunctionArg],
        spec: &WindowSpec,
    ) -> Result<(WindowCall, Type), ServiceError> {
        let partition = self.keys(&spec.partition_by)?;
        let order = spec.order_by.iter().map(|item| &item.expr);
        let order = self.keys(order)?;
        let mut sorts = Vec::new();
        for (expr, item) in order.into_iter().zip(&spec.order_by) {
            sorts.push((expr, SortBy::of(item)?));
        }
        let frame = match &spec.window_frame {
            Some(frame) => explicit_frame(ast, frame, sorts.is_empty())?,
            None => Frame {
                start: Bound::Unbounded,
                end: if sorts.is_empty() {
                    Bound::Unbounded
                } else {
                    Bound::Offset(0)
                },
                has_peers: true,
            },
        };
        let (function, arguments, data_type) = match WindowFunction::from_name(name) {
            Some(function) => {
                let (arguments, data_type) =
                    self.window_arguments(ast, name, function, is_distinct, arguments)?;
                (function, arguments, data_type)
            }
            None => {
                let aggregate = Aggregate::from_name(name)
                    .ok_or_else(|| error(ast, format!("Window function {name} not registered")))?;
                let (call, data_type) =
                    self.aggregate_call(ast, name, aggregate, is_distinct, arguments)?;
                let AggregateCall {
                    aggregate,
                    arguments,
                } = call;
                (WindowFunction::Aggregate(aggregate), arguments, data_type)
            }
        };
        Ok((
            WindowCall {
                function,
                arguments,
                partition,
                order: sorts,
                frame,
            },
            data_type,
        ))
    }

    fn window_arguments(
        &mut self,
        ast: &Ast,
        name: &str,
        function: WindowFunction,
        is_distinct: bool,
        arguments: &[FunctionArg],
    ) -> Result<(Vec<Expr>, Type), ServiceError> {
        if is_distinct {
            return Err(error(ast, format!("DISTINCT is not supported for {name}")));
        }
        let mut bound = Vec::new();
        for argument in arguments {
            match argument {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => bound.push(self.bind(expr)?),
                _ => return Err(unsupported(ast)),
            }
        }
        let types: Vec<Type> = bound.iter().map(|typed| typed.data_type.clone()).collect();
        let coerced = function.signature(&types).and_then(|(result, wanted)| {
            let arguments = bound.into_iter().zip(&wanted);
            let arguments: Option<Vec<Expr>> = arguments
                .map(|(typed, wanted)| coerce(typed, wanted).map(|typed| typed.expr))
                .collect();
            Some((arguments?, result))
        });
        coerced.ok_or_else(|| {
            let given: Vec<String> = types.iter().map(Type::to_string).collect();
            let given = given.join(", ");
            error(
                ast,
                format!("Unexpected parameters ({given}) for function {name}"),
            )
        })
    }

    fn keys<'k>(
        &mut self,
        exprs: impl IntoIterator<Item = &'k Ast>,
    ) -> Result<Vec<Expr>, ServiceError> {
        let mut keys = Vec::new();
        for ast in exprs {
            let typed = self.bind(ast)?;
            if !typed.data_type.is_orderable() {
                return Err(error(
                    ast,
                    format!("Type {} is not orderable", typed.data_type),
                ));
            }
            keys.push(typed.expr);
        }
        Ok(keys)
    }
}

fn explicit_frame(
    ast: &Ast,
    frame: &WindowFrame,
    is_unordered: bool,
) -> Result<Frame, ServiceError> {
    let has_peers = match frame.units {
        WindowFrameUnits::Rows => false,
        WindowFrameUnits::Range => true,
        WindowFrameUnits::Groups => {
            return Err(error(
                ast,
                "GROUPS is not supported by the emulator".to_owned(),
            ));
        }
    };
    let bound = |bound: &WindowFrameBound, is_start: bool| -> Result<Bound, ServiceError> {
        let offset = |count: &Ast, sign: i64| match count {
            Ast::Value(value) if !has_peers => match &value.value {
                Value::Number(digits, false) => digits
                    .parse::<i64>()
                    .map(|count| Bound::Offset(sign * count))
                    .map_err(|_| unsupported(ast)),
                _ => Err(unsupported(ast)),
            },
            _ => Err(error(
                ast,
                "a frame bound that is no whole number of ROWS is not supported by the emulator"
                    .to_owned(),
            )),
        };
        match bound {
            WindowFrameBound::CurrentRow => Ok(Bound::Offset(0)),
            WindowFrameBound::Preceding(None) if is_start => Ok(Bound::Unbounded),
            WindowFrameBound::Following(None) if !is_start => Ok(Bound::Unbounded),
            WindowFrameBound::Preceding(None) => Err(error(
                ast,
                "Window frame end cannot be UNBOUNDED PRECEDING".to_owned(),
            )),
            WindowFrameBound::Following(None) => Err(error(
                ast,
                "Window frame start cannot be UNBOUNDED FOLLOWING".to_owned(),
            )),
            WindowFrameBound::Preceding(Some(count)) => offset(count, -1),
            WindowFrameBound::Following(Some(count)) => offset(count, 1),
        }
    };
    let current_row = WindowFrameBound::CurrentRow;
    let start = bound(&frame.start_bound, true)?;
    let end = bound(frame.end_bound.as_ref().unwrap_or(&current_row), false)?;
    // All rows of an unordered window are peers of each other.
    if has_peers && is_unordered {
        return Ok(Frame {
            start: Bound::Unbounded,
            end: Bound::Unbounded,
            has_peers,
        });
    }
    Ok(Frame {
        start,
        end,
        has_peers,
    })
}
