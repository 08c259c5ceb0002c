//! Functions of arrays and timeseries; their types are decided where they are bound.

use super::{
    functions::{Function, Implementation},
    output,
    time::Unit,
    types::{Datum, Type},
};

/// More may fail in the service.
const MAX_SEQUENCE: usize = 10_000;

/// `a[n]`.
pub(crate) static SUBSCRIPT: Function = function("[]", subscript);

static FUNCTIONS: [Function; 8] = [
    function("cardinality", |a| Ok(Datum::Int(list(&a[0]).len() as i64))),
    function("element_at", element_at),
    function("contains", contains),
    function("array_join", array_join),
    function("sequence", sequence),
    function("interpolate_linear", |a| interpolate(a, linear)),
    function("interpolate_locf", |a| interpolate(a, last_before)),
    function("interpolate_fill", |a| {
        let fill = a[2].clone();
        interpolate(a, move |points, time| {
            exact(points, time).unwrap_or_else(|| fill.clone())
        })
    }),
];

/// Returns the function of this name.
pub(crate) fn by_name(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

const fn function(name: &'static str, implementation: Implementation) -> Function {
    Function {
        name,
        arguments: &[],
        result: Type::Unknown,
        implementation,
    }
}

fn subscript(arguments: &[Datum]) -> Result<Datum, String> {
    let (list, index) = (list(&arguments[0]), integer(&arguments[1]));
    match index {
        0 => Err("SQL array indices start at 1".to_owned()),
        ..0 => Err(format!("Array subscript is negative: {index}")),
        _ => {
            let element = usize::try_from(index - 1).ok().and_then(|at| list.get(at));
            element.cloned().ok_or_else(|| {
                let length = list.len();
                let rule = "Array subscript must be less than or equal to array length";
                format!("{rule}: {index} > {length}")
            })
        }
    }
}

/// Returns the element at an index, counted from the end if negative; NULL beyond the end.
fn element_at(arguments: &[Datum]) -> Result<Datum, String> {
    let (list, index) = (list(&arguments[0]), integer(&arguments[1]));
    let at = match index {
        0 => return Err("SQL array indices start at 1".to_owned()),
        ..0 => (list.len() as i64).checked_add(index),
        _ => Some(index - 1),
    };
    let element = at.and_then(|at| list.get(usize::try_from(at).ok()?));
    Ok(element.cloned().unwrap_or(Datum::Null))
}

fn contains(arguments: &[Datum]) -> Result<Datum, String> {
    let (list, wanted) = (list(&arguments[0]), &arguments[1]);
    let is_equal = |element: &Datum| element.compare(wanted).is_some_and(|order| order.is_eq());
    Ok(if list.iter().any(is_equal) {
        Datum::Boolean(true)
    } else if list.iter().any(Datum::is_null) {
        Datum::Null
    } else {
        Datum::Boolean(false)
    })
}

/// Joins the elements as text, without those that are NULL.
fn array_join(arguments: &[Datum]) -> Result<Datum, String> {
    let present = list(&arguments[0]).iter().filter(|datum| !datum.is_null());
    let texts: Vec<String> = present.map(output::scalar_text).collect();
    Ok(Datum::text(
        &texts.join(&output::scalar_text(&arguments[1])),
    ))
}

/// Returns the numbers from the first to the second argument, both included, in steps of the third.
fn sequence(arguments: &[Datum]) -> Result<Datum, String> {
    let (start, stop) = (integer(&arguments[0]), integer(&arguments[1]));
    let step = match arguments.get(2) {
        None => Datum::Int(if start <= stop { 1 } else { -1 }),
        Some(step) => step.clone(),
    };
    let is_forward = integer(&step) > 0;
    if integer(&step) == 0 || (start != stop && is_forward != (start < stop)) {
        return Err(
            "sequence stop value should be greater than or equal to start value if step is \
             greater than zero otherwise stop should be less than or equal to start"
                .to_owned(),
        );
    }
    let mut elements = Vec::new();
    let mut next = Some(start);
    while let Some(value) = next.filter(|next| {
        if is_forward {
            *next <= stop
        } else {
            *next >= stop
        }
    }) {
        if elements.len() == MAX_SEQUENCE {
            return Err(format!(
                "result of sequence function must not have more than {MAX_SEQUENCE} entries"
            ));
        }
        elements.push(match arguments[0] {
            Datum::Timestamp(_) => Datum::Timestamp(value),
            _ => Datum::Int(value),
        });
        next = match step {
            // Counted from the start, so that the last day of a month does not wear off.
            Datum::Months(months) => Unit::Month.add(start, months * elements.len() as i64),
            _ => value.checked_add(integer(&step)),
        };
    }
    Ok(Datum::Array(elements))
}

/// Returns the timeseries at the given times, or its value at the one given.
fn interpolate(
    arguments: &[Datum],
    value_at: impl Fn(&[(i64, Datum)], i64) -> Datum,
) -> Result<Datum, String> {
    let Datum::TimeSeries(points) = &arguments[0] else {
        return Ok(Datum::Null);
    };
    Ok(match &arguments[1] {
        Datum::Array(times) => Datum::TimeSeries(
            times
                .iter()
                .filter(|time| !time.is_null())
                .map(|time| (integer(time), value_at(points, integer(time))))
                .collect(),
        ),
        time => value_at(points, integer(time)),
    })
}

fn exact(points: &[(i64, Datum)], time: i64) -> Option<Datum> {
    let index = points.binary_search_by_key(&time, |(at, _)| *at).ok()?;
    Some(points[index].1.clone())
}

/// Returns the value on the line between the points around the time; NULL outside of them.
fn linear(points: &[(i64, Datum)], time: i64) -> Datum {
    let index = match points.binary_search_by_key(&time, |(at, _)| *at) {
        Ok(index) => return points[index].1.clone(),
        Err(index) => index,
    };
    let before = index.checked_sub(1).and_then(|before| points.get(before));
    match (before, points.get(index)) {
        (Some((t0, Datum::Double(v0))), Some((t1, Datum::Double(v1)))) => {
            let share = (time - t0) as f64 / (t1 - t0) as f64;
            Datum::Double(v0 + (v1 - v0) * share)
        }
        _ => Datum::Null,
    }
}

/// Returns the value carried forward from the last point; NULL before the first.
fn last_before(points: &[(i64, Datum)], time: i64) -> Datum {
    let after = points.partition_point(|(at, _)| *at <= time);
    let last = after.checked_sub(1).map(|last| points[last].1.clone());
    last.unwrap_or(Datum::Null)
}

fn list(datum: &Datum) -> &[Datum] {
    match datum {
        Datum::Array(elements) => elements,
        _ => &[],
    }
}

fn integer(datum: &Datum) -> i64 {
    match datum {
        Datum::Int(number)
        | Datum::Timestamp(number)
        | Datum::Interval(number)
        | Datum::Months(number) => *number,
        _ => 0,
    }
}
