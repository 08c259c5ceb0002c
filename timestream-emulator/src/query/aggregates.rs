//! Aggregate functions.

use std::{cmp::Ordering, collections::HashSet};

use super::types::{Datum, Type};
use crate::error::ServiceError;

/// An aggregate function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aggregate {
    CountRows,
    Count,
    CountDistinct,
    Sum,
    Avg,
    Min,
    Max,
    MinBy,
    MaxBy,
    Arbitrary,
    ArrayAgg,
    BoolAnd,
    BoolOr,
    ApproxPercentile,
    CreateTimeSeries,
}

impl Aggregate {
    /// Returns the function by its name; DISTINCT is only known of COUNT.
    pub(crate) fn from_name(name: &str) -> Option<Aggregate> {
        Some(match name {
            "count" => Aggregate::Count,
            "approx_distinct" => Aggregate::CountDistinct,
            "sum" => Aggregate::Sum,
            "avg" => Aggregate::Avg,
            "min" => Aggregate::Min,
            "max" => Aggregate::Max,
            "min_by" => Aggregate::MinBy,
            "max_by" => Aggregate::MaxBy,
            "arbitrary" => Aggregate::Arbitrary,
            "array_agg" => Aggregate::ArrayAgg,
            "bool_and" => Aggregate::BoolAnd,
            "bool_or" => Aggregate::BoolOr,
            "approx_percentile" => Aggregate::ApproxPercentile,
            "create_time_series" => Aggregate::CreateTimeSeries,
            _ => return None,
        })
    }

    /// Returns the type of the result, and the types the arguments are coerced to.
    pub(crate) fn signature(self, arguments: &[Type]) -> Option<(Type, Vec<Type>)> {
        let given = arguments.to_vec();
        match (self, arguments) {
            (Aggregate::CountRows, []) | (Aggregate::Count | Aggregate::CountDistinct, [_]) => {
                Some((Type::Bigint, given))
            }
            (Aggregate::Sum, [Type::Integer | Type::Bigint]) => {
                Some((Type::Bigint, vec![Type::Bigint]))
            }
            (Aggregate::Sum, [Type::Double]) => Some((Type::Double, given)),
            (Aggregate::Avg, [number]) if number.is_numeric() => {
                Some((Type::Double, vec![Type::Double]))
            }
            (Aggregate::Min | Aggregate::Max, [value]) if value.is_orderable() => {
                Some((value.clone(), given))
            }
            (Aggregate::Arbitrary, [value]) => Some((value.clone(), given)),
            (Aggregate::MinBy | Aggregate::MaxBy, [value, by]) if by.is_orderable() => {
                Some((value.clone(), given))
            }
            (Aggregate::ArrayAgg, [value]) => Some((Type::Array(Box::new(value.clone())), given)),
            (Aggregate::BoolAnd | Aggregate::BoolOr, [Type::Boolean]) => {
                Some((Type::Boolean, given))
            }
            (Aggregate::ApproxPercentile, [number, fraction])
                if number.is_numeric() && fraction.is_numeric() =>
            {
                Some((number.clone(), vec![number.clone(), Type::Double]))
            }
            (Aggregate::ApproxPercentile, [number, Type::Array(fraction)])
                if number.is_numeric() && fraction.is_numeric() =>
            {
                let result = Type::Array(Box::new(number.clone()));
                let fractions = Type::Array(Box::new(Type::Double));
                Some((result, vec![number.clone(), fractions]))
            }
            (
                Aggregate::CreateTimeSeries,
                [
                    Type::Timestamp,
                    value @ (Type::Bigint | Type::Boolean | Type::Double | Type::Varchar),
                ],
            ) => Some((Type::TimeSeries(Box::new(value.clone())), given)),
            _ => None,
        }
    }
}

/// The state of one aggregate over one group.
#[derive(Debug)]
pub(crate) enum Accumulator {
    Count(i64),
    Distinct(HashSet<Datum>),
    /// Integers are summed exactly, doubles in the order of the rows.
    Sum(Option<Datum>),
    Avg {
        sum: f64,
        count: u64,
    },
    Best {
        wanted: Ordering,
        best: Option<(Datum, Datum)>,
    },
    Arbitrary(Datum),
    List(Vec<Datum>),
    Truth {
        decisive: bool,
        result: Option<bool>,
    },
    Percentile {
        values: Vec<Datum>,
        /// A double, or an array of them.
        fraction: Datum,
    },
    Series(Vec<(i64, Datum)>),
}

impl Accumulator {
    pub(crate) fn new(aggregate: Aggregate) -> Accumulator {
        let best = |wanted| Accumulator::Best { wanted, best: None };
        match aggregate {
            Aggregate::CountRows | Aggregate::Count => Accumulator::Count(0),
            Aggregate::CountDistinct => Accumulator::Distinct(HashSet::new()),
            Aggregate::Sum => Accumulator::Sum(None),
            Aggregate::Avg => Accumulator::Avg { sum: 0.0, count: 0 },
            Aggregate::Min | Aggregate::MinBy => best(Ordering::Less),
            Aggregate::Max | Aggregate::MaxBy => best(Ordering::Greater),
            Aggregate::Arbitrary => Accumulator::Arbitrary(Datum::Null),
            Aggregate::ArrayAgg => Accumulator::List(Vec::new()),
            Aggregate::BoolAnd => Accumulator::Truth {
                decisive: false,
                result: None,
            },
            Aggregate::BoolOr => Accumulator::Truth {
                decisive: true,
                result: None,
            },
            Aggregate::ApproxPercentile => Accumulator::Percentile {
                values: Vec::new(),
                fraction: Datum::Null,
            },
            Aggregate::CreateTimeSeries => Accumulator::Series(Vec::new()),
        }
    }

    /// Adds the arguments of one row.
    pub(crate) fn add(
        &mut self,
        mut arguments: impl Iterator<Item = Result<Datum, ServiceError>>,
    ) -> Result<(), ServiceError> {
        // `count(*)` has no argument and counts every row; the others skip NULL.
        let first = arguments.next().unwrap_or(Ok(Datum::Boolean(true)))?;
        if let Accumulator::Series(points) = self {
            let value = arguments.next().unwrap_or(Ok(Datum::Null))?;
            let (Datum::Timestamp(time), false) = (first, value.is_null()) else {
                return Err(ServiceError::validation(
                    "The arguments of CREATE_TIME_SERIES cannot be null",
                ));
            };
            points.push((time, value));
            return Ok(());
        }
        if let Accumulator::List(list) = self {
            list.push(first);
            return Ok(());
        }
        if first.is_null() && !matches!(self, Accumulator::Best { .. }) {
            return Ok(());
        }
        match self {
            Accumulator::Count(count) => *count += 1,
            Accumulator::Distinct(seen) => {
                seen.insert(first);
            }
            Accumulator::Sum(sum) => *sum = Some(add_numbers(sum.take(), first)?),
            Accumulator::Avg { sum, count } => {
                if let Datum::Double(number) = first {
                    *sum += number;
                    *count += 1;
                }
            }
            Accumulator::Best { wanted, best } => {
                let by = arguments
                    .next()
                    .transpose()?
                    .unwrap_or_else(|| first.clone());
                let is_better = best
                    .as_ref()
                    .is_none_or(|(_, best)| by.compare(best) == Some(*wanted));
                if !by.is_null() && is_better {
                    *best = Some((first, by));
                }
            }
            Accumulator::Arbitrary(value) => {
                if value.is_null() {
                    *value = first;
                }
            }
            Accumulator::Truth { decisive, result } => {
                if let Datum::Boolean(truth) = first {
                    let so_far = result.unwrap_or(!*decisive);
                    *result = Some(if *decisive {
                        so_far || truth
                    } else {
                        so_far && truth
                    });
                }
            }
            Accumulator::Percentile { values, fraction } => {
                *fraction = arguments.next().transpose()?.unwrap_or(Datum::Null);
                let is_fraction = |datum: &Datum| matches!(datum, Datum::Double(fraction) if (0.0..=1.0).contains(fraction));
                let is_valid = match &*fraction {
                    Datum::Array(fractions) => fractions.iter().all(is_fraction),
                    fraction => is_fraction(fraction),
                };
                if !is_valid {
                    return Err(ServiceError::validation(
                        "Percentile must be between 0 and 1",
                    ));
                }
                values.push(first);
            }
            Accumulator::List(_) | Accumulator::Series(_) => {}
        }
        Ok(())
    }

    /// Returns the result for the group.
    pub(crate) fn finish(self) -> Datum {
        match self {
            Accumulator::Count(count) => Datum::Int(count),
            Accumulator::Distinct(seen) => Datum::Int(seen.len() as i64),
            Accumulator::Sum(sum) => sum.unwrap_or(Datum::Null),
            Accumulator::Avg { count: 0, .. } => Datum::Null,
            Accumulator::Avg { sum, count } => Datum::Double(sum / count as f64),
            Accumulator::Best { best, .. } => best.map_or(Datum::Null, |(value, _)| value),
            Accumulator::Arbitrary(value) => value,
            Accumulator::List(list) if list.is_empty() => Datum::Null,
            Accumulator::List(list) => Datum::Array(list),
            Accumulator::Truth { result, .. } => result.map_or(Datum::Null, Datum::Boolean),
            Accumulator::Percentile {
                mut values,
                fraction,
            } => {
                values.sort_by(|a, b| a.compare(b).unwrap_or(Ordering::Equal));
                match fraction {
                    _ if values.is_empty() => Datum::Null,
                    Datum::Array(fractions) => Datum::Array(
                        fractions
                            .iter()
                            .map(|fraction| percentile(&values, fraction))
                            .collect(),
                    ),
                    fraction => percentile(&values, &fraction),
                }
            }
            Accumulator::Series(points) if points.is_empty() => Datum::Null,
            Accumulator::Series(mut points) => {
                points.sort_by_key(|(time, _)| *time);
                Datum::TimeSeries(points)
            }
        }
    }
}

/// Returns the least of the sorted values that at least this share of them does not exceed.
fn percentile(values: &[Datum], fraction: &Datum) -> Datum {
    let Datum::Double(fraction) = fraction else {
        return Datum::Null;
    };
    let index = ((values.len() as f64 * fraction).ceil() as usize).saturating_sub(1);
    let last = values.len().saturating_sub(1);
    values.get(index.min(last)).cloned().unwrap_or(Datum::Null)
}

fn add_numbers(sum: Option<Datum>, number: Datum) -> Result<Datum, ServiceError> {
    match (sum, number) {
        (Some(Datum::Int(a)), Datum::Int(b)) => a
            .checked_add(b)
            .map(Datum::Int)
            .ok_or_else(|| ServiceError::validation(format!("bigint overflow: {a} and {b}"))),
        (Some(Datum::Double(a)), Datum::Double(b)) => Ok(Datum::Double(a + b)),
        (_, first) => Ok(first),
    }
}
