//! Sorting of instant vectors.

use std::cmp::Ordering;

use crate::annotations::Annotation;
use crate::eval::grid::GridSeries;
use crate::eval::{Evaluated, Evaluator};
use crate::go_sort;
use crate::plan::{Call, Node, NodeKind};
use crate::position::Span;

/// Sorts the floats of a vector, NaN last in both directions. Histograms are dropped.
pub(super) fn by_value<'a>(
    ev: &mut Evaluator<'a>,
    call: &'a Call,
    span: Span,
) -> Evaluated<Vec<GridSeries>> {
    let mut series = argument(ev, call, span)?;
    series.retain_mut(|one| {
        one.histograms = Vec::new();
        !one.floats.is_empty()
    });
    if !ev.steps.is_instant() {
        return Ok(series);
    }
    let is_descending = call.function.name == "sort_desc";
    let value = |one: &GridSeries| one.floats.first().map_or(f64::NAN, |it| it.value);
    let precedes = |a: &GridSeries, b: &GridSeries| {
        let (a, b) = (value(a), value(b));
        b.is_nan() || if is_descending { a > b } else { a < b }
    };
    go_sort::sort_by(&mut series, precedes);
    Ok(series)
}

/// Sorts a vector by the values of labels in natural order, and then by all labels.
pub(super) fn by_label<'a>(
    ev: &mut Evaluator<'a>,
    call: &'a Call,
    span: Span,
) -> Evaluated<Vec<GridSeries>> {
    let mut series = argument(ev, call, span)?;
    if !ev.steps.is_instant() {
        return Ok(series);
    }
    let is_descending = call.function.name == "sort_by_label_desc";
    let names: Vec<&str> = call.arguments[1..].iter().filter_map(label_name).collect();
    let precedes = |a: &GridSeries, b: &GridSeries| {
        let (a, b) = (&a.labels, &b.labels);
        let mut values = names.iter().map(|name| (a.get(name), b.get(name)));
        let different = values.find(|(a, b)| a != b);
        let order = different.map_or_else(|| a.cmp(b), |(a, b)| natural(a, b));
        match is_descending {
            true => order.is_gt(),
            false => order.is_lt(),
        }
    };
    go_sort::sort_by(&mut series, precedes);
    Ok(series)
}

/// Evaluates the vector that is to be sorted, and warns if the query is none for one time.
fn argument<'a>(ev: &mut Evaluator<'a>, call: &'a Call, span: Span) -> Evaluated<Vec<GridSeries>> {
    if !ev.steps.is_instant() {
        ev.annotate(Annotation::sort_in_range_query(span));
    }
    ev.vector(&call.arguments[0])
}

/// Returns the name of a label; none if it is no UTF-8, and so the name of no label.
fn label_name(argument: &Node) -> Option<&str> {
    match &argument.kind {
        NodeKind::String(name) => name.as_str(),
        _ => None,
    }
}

/// Returns the runs of digits and of other characters.
fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let is_digit = |byte: &u8| byte.is_ascii_digit();
    let runs = text
        .as_bytes()
        .chunk_by(move |a, b| is_digit(a) == is_digit(b));
    // A run begins and ends beside a digit or with the text, so that no character is cut.
    runs.scan(0, move |start, run| {
        let before = *start;
        *start += run.len();
        text.get(before..*start)
    })
}

/// Compares two different strings as the package `natsort` that Prometheus uses: chunk by chunk, those that are numbers
/// by their values. It never finds them equal, and so nothing before the empty string, and each of `1` and `01` before
/// the other one.
fn natural(a: &str, b: &str) -> Ordering {
    let number = |chunk: &str| chunk.parse::<i64>().ok();
    let (mut chunks_of_a, mut chunks_of_b) = (chunks(a), chunks(b));
    let precedes = loop {
        let (a, b) = match (chunks_of_a.next(), chunks_of_b.next()) {
            (None, _) => break !a.is_empty(),
            (Some(_), None) => break false,
            (Some(a), Some(b)) => (a, b),
        };
        match (number(a), number(b)) {
            (Some(a), Some(b)) if a != b => break a < b,
            (Some(_), Some(_)) => {}
            _ if a != b => break a < b,
            _ => {}
        }
    };
    match precedes {
        true => Ordering::Less,
        false => Ordering::Greater,
    }
}
