//! Window functions over the rows of a SELECT.

use std::{cmp::Ordering, collections::HashMap, ops::Range};

use crate::{
    error::ServiceError,
    query::{
        aggregates::Accumulator,
        bind::{Frame, FrameBound, SortBy, WindowCall, WindowFunction},
        types::Datum,
    },
};

/// Appends the results of the window functions to each row, that of the first one last.
pub(super) fn append(
    calls: &[WindowCall],
    mut rows: Vec<Vec<Datum>>,
) -> Result<Vec<Vec<Datum>>, ServiceError> {
    let mut columns = Vec::new();
    for call in calls {
        columns.push(results(call, &rows)?);
    }
    for column in columns.into_iter().rev() {
        for (row, result) in rows.iter_mut().zip(column) {
            row.push(result);
        }
    }
    Ok(rows)
}

/// Compares two values of one expression of ORDER BY.
pub(super) fn sort_order(by: SortBy, left: &Datum, right: &Datum) -> Ordering {
    match (left.is_null(), right.is_null()) {
        (true, true) => Ordering::Equal,
        (true, false) if by.nulls_first => Ordering::Less,
        (true, false) => Ordering::Greater,
        (false, true) if by.nulls_first => Ordering::Greater,
        (false, true) => Ordering::Less,
        (false, false) if by.is_descending => total_order(left, right).reverse(),
        (false, false) => total_order(left, right),
    }
}

/// Compares two values, with NaN as the greatest number.
fn total_order(left: &Datum, right: &Datum) -> Ordering {
    let is_nan = |datum: &Datum| matches!(datum, Datum::Double(number) if number.is_nan());
    left.compare(right)
        .unwrap_or_else(|| is_nan(left).cmp(&is_nan(right)))
}

/// Returns one result per row, in the order of the rows.
fn results(call: &WindowCall, rows: &[Vec<Datum>]) -> Result<Vec<Datum>, ServiceError> {
    let mut partitions: HashMap<Vec<Datum>, usize> = HashMap::new();
    let mut members: Vec<Vec<Member>> = Vec::new();
    for (row, content) in rows.iter().enumerate() {
        let key = call.partition.iter().map(|expr| expr.evaluate(content));
        let key = key.collect::<Result<Vec<_>, _>>()?;
        let next = members.len();
        let partition = *partitions.entry(key).or_insert(next);
        if partition == next {
            members.push(Vec::new());
        }
        let order = call.order.iter().map(|(expr, _)| expr.evaluate(content));
        let arguments = call.arguments.iter().map(|expr| expr.evaluate(content));
        members[partition].push(Member {
            row,
            order: order.collect::<Result<_, _>>()?,
            arguments: arguments.collect::<Result<_, _>>()?,
        });
    }
    let mut results = vec![Datum::Null; rows.len()];
    for mut members in members {
        members.sort_by(|left, right| {
            let pairs = left.order.iter().zip(&right.order);
            let mut orders = pairs
                .zip(&call.order)
                .map(|((left, right), (_, by))| sort_order(*by, left, right));
            orders
                .find(|order| order.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        let partition = Partition {
            call,
            members: &members,
            peers: peers(&members),
        };
        let mut last: Option<(Range<usize>, Datum)> = None;
        for (index, member) in members.iter().enumerate() {
            results[member.row] = partition.result(index, &mut last)?;
        }
    }
    Ok(results)
}

/// A row of a partition.
struct Member {
    row: usize,
    order: Vec<Datum>,
    arguments: Vec<Datum>,
}

struct Partition<'a> {
    call: &'a WindowCall,
    /// Sorted.
    members: &'a [Member],
    /// Of each member, those that sort equal.
    peers: Vec<Range<usize>>,
}

fn peers(members: &[Member]) -> Vec<Range<usize>> {
    let mut peers = Vec::new();
    for group in members.chunk_by(|left, right| left.order == right.order) {
        let range = peers.len()..peers.len() + group.len();
        peers.extend(std::iter::repeat_n(range, group.len()));
    }
    peers
}

impl Partition<'_> {
    /// Returns the result for a row; `last` is the frame of the row before, with the aggregate's
    /// value for it.
    fn result(
        &self,
        index: usize,
        last: &mut Option<(Range<usize>, Datum)>,
    ) -> Result<Datum, ServiceError> {
        let size = self.members.len();
        let peers = &self.peers[index];
        let arguments = &self.members[index].arguments;
        let first_argument = |index: usize| self.members[index].arguments[0].clone();
        let frame = self.frame(index);
        Ok(match self.call.function {
            WindowFunction::RowNumber => count(index + 1),
            WindowFunction::Rank => count(peers.start + 1),
            WindowFunction::DenseRank => {
                let starts = (0..=index).filter(|index| self.peers[*index].start == *index);
                count(starts.count())
            }
            WindowFunction::PercentRank if size == 1 => Datum::Double(0.0),
            WindowFunction::PercentRank => Datum::Double(peers.start as f64 / (size - 1) as f64),
            WindowFunction::CumeDist => Datum::Double(peers.end as f64 / size as f64),
            WindowFunction::Ntile => ntile(index, size, &arguments[0])?,
            WindowFunction::Lag => self.shifted(index, -1)?,
            WindowFunction::Lead => self.shifted(index, 1)?,
            WindowFunction::FirstValue if frame.is_empty() => Datum::Null,
            WindowFunction::FirstValue => first_argument(frame.start),
            WindowFunction::LastValue if frame.is_empty() => Datum::Null,
            WindowFunction::LastValue => first_argument(frame.end - 1),
            WindowFunction::NthValue => match arguments[1] {
                Datum::Int(1..) => {
                    let nth = frame.clone().nth(position(&arguments[1]) - 1);
                    nth.map_or(Datum::Null, first_argument)
                }
                Datum::Null => Datum::Null,
                _ => return Err(ServiceError::validation("Offset must be at least 1")),
            },
            WindowFunction::Aggregate(aggregate) => {
                if let Some((same, result)) = last
                    && *same == frame
                {
                    return Ok(result.clone());
                }
                let mut state = Accumulator::new(aggregate);
                for member in &self.members[frame.clone()] {
                    state.add(member.arguments.iter().cloned().map(Ok))?;
                }
                let result = state.finish();
                *last = Some((frame, result.clone()));
                result
            }
        })
    }

    /// Returns the members that the function sees at a row; an empty range if there are none.
    fn frame(&self, index: usize) -> Range<usize> {
        let Frame {
            start,
            end,
            has_peers,
        } = self.call.frame;
        let size = self.members.len();
        let moved = |offset: i64| (index as i64).saturating_add(offset).clamp(0, size as i64);
        let start = match start {
            FrameBound::Unbounded => 0,
            FrameBound::Offset(_) if has_peers => self.peers[index].start,
            FrameBound::Offset(offset) => moved(offset) as usize,
        };
        let end = match end {
            FrameBound::Unbounded => size,
            FrameBound::Offset(_) if has_peers => self.peers[index].end,
            FrameBound::Offset(offset) => moved(offset.saturating_add(1)) as usize,
        };
        start..end.max(start)
    }

    /// Evaluates LAG or LEAD: the value so many rows away, else the default.
    fn shifted(&self, index: usize, sign: i64) -> Result<Datum, ServiceError> {
        let arguments = &self.members[index].arguments;
        let offset = match arguments.get(1) {
            None => 1,
            Some(Datum::Int(offset @ 0..)) => *offset,
            Some(Datum::Null) => return Ok(Datum::Null),
            Some(_) => return Err(ServiceError::validation("Offset must be at least 0")),
        };
        let target = (index as i64).checked_add(sign * offset);
        let target = target.and_then(|target| self.members.get(usize::try_from(target).ok()?));
        Ok(match target {
            Some(member) => member.arguments[0].clone(),
            None => arguments.get(2).cloned().unwrap_or(Datum::Null),
        })
    }
}

/// Buckets of as equal size as can be; the first ones are larger.
fn ntile(index: usize, size: usize, buckets: &Datum) -> Result<Datum, ServiceError> {
    if !matches!(buckets, Datum::Int(1..)) {
        return Err(ServiceError::validation("Buckets must be greater than 0"));
    }
    let buckets = position(buckets);
    let (small, larger) = (size / buckets, size % buckets);
    let in_larger = larger * (small + 1);
    let bucket = if index < in_larger {
        index / (small + 1)
    } else {
        larger + (index - in_larger) / small.max(1)
    };
    Ok(count(bucket + 1))
}

fn position(datum: &Datum) -> usize {
    match datum {
        Datum::Int(number) => usize::try_from(*number).unwrap_or(usize::MAX),
        _ => 0,
    }
}

fn count(number: usize) -> Datum {
    Datum::Int(number as i64)
}
