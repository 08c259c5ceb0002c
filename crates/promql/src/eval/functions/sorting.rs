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
    let series = ev.vector(&call.arguments[0])?;
    if !ev.steps.is_instant() {
        // Of several sorts the outermost is named.
        ev.annotate(Annotation::sort_in_range_query(span));
    }
    Ok(series)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::testing::{Database, histogram};

    #[test]
    fn floats_are_sorted_and_histograms_dropped() {
        let database = Database::default()
            .samples("m{a='1'}", &[(0, 3.0)])
            .samples("m{a='2'}", &[(0, f64::NAN)])
            .samples("m{a='3'}", &[(0, f64::NEG_INFINITY)])
            .samples("m{a='4'}", &[(0, 4.0)])
            .histograms("m{a='5'}", &[(0, histogram(1.0, &[1.0]))]);
        let values = |query: &str| {
            let tested = database.instant(query, 0);
            let lines = tested.lines().iter();
            let values = lines.map(|line| line.rsplit(' ').next().unwrap().to_owned());
            values.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(values("sort(m)"), "-Inf 3 4 NaN");
        assert_eq!(values("sort_desc(m)"), "4 3 -Inf NaN");
        let tested = database.range("sort_desc(m{a!='2'})", 0, 1, 1);
        let lines = [
            r#"m{a="1"} 3@0 3@1"#,
            r#"m{a="3"} -Inf@0 -Inf@1"#,
            r#"m{a="4"} 4@0 4@1"#,
        ];
        assert_eq!(tested.lines_beside_annotations(), lines);
        let text = "PromQL warning: sort is ineffective for range queries since results are always ordered by labels (1:1)";
        assert_eq!(tested.warnings, [text]);
        let tested = database.range("sort(sort_desc(m))", 0, 1, 1);
        assert_eq!(tested.warnings, [text]);
        // What does not depend on the step is evaluated at one time.
        assert_eq!(
            database.range("sort(vector(1))", 0, 1, 1).lines(),
            ["{} 1@0 1@1"]
        );
    }

    #[test]
    fn labels_are_sorted_by_their_numbers() {
        let mut database = Database::default();
        for cpu in ["cpu10", "cpu2", "cpu2x", "cpu", "1.10", "1.9", "x"] {
            database = database.samples(&format!("m{{cpu='{cpu}', a='z'}}"), &[(0, 1.0)]);
        }
        database = database
            .samples("n{cpu='x', a='b'}", &[(0, 1.0)])
            .histograms("n{cpu='x', a='a'}", &[(0, histogram(1.0, &[1.0]))]);
        let labels = |query: &str| {
            let tested = database.instant(query, 0);
            let label = |line: &String| {
                let mut quoted = line.split('"');
                (
                    quoted.nth(1).unwrap().to_owned(),
                    quoted.nth(1).unwrap().to_owned(),
                )
            };
            tested.lines().iter().map(label).collect::<Vec<_>>()
        };
        let rising = labels("sort_by_label({cpu!=''}, 'cpu', 'a')");
        let expected = [
            ("z", "1.9"),
            ("z", "1.10"),
            ("z", "cpu"),
            ("z", "cpu2"),
            ("z", "cpu2x"),
            ("z", "cpu10"),
            ("a", "x"),
            ("b", "x"),
            ("z", "x"),
        ]
        .map(|(a, cpu)| (a.to_owned(), cpu.to_owned()));
        assert_eq!(rising, expected);
        let mut falling = labels("sort_by_label_desc({cpu!=''}, 'cpu', 'a')");
        falling.reverse();
        assert_eq!(falling, expected);
    }

    #[test]
    fn chunks_are_compared_as_numbers_if_they_fit() {
        for (a, b) in [
            ("a2", "a10"),
            ("2", "10a"),
            ("a", "a1"),
            ("1a", "a1"),
            ("a01b", "a1c"),
            // Too large for a number.
            ("10000000000000000000", "2"),
            ("ä9", "ä10"),
        ] {
            assert_eq!(natural(a, b), Ordering::Less, "{a} {b}");
            assert_eq!(natural(b, a), Ordering::Greater, "{b} {a}");
        }
        assert_eq!(natural("", "a"), Ordering::Greater);
        assert_eq!(natural("a", ""), Ordering::Greater);
        assert_eq!(natural("01", "1"), Ordering::Less);
        assert_eq!(natural("1", "01"), Ordering::Less);
    }
}
