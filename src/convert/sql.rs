//! A selection to SQL text: the only place that quotes names and values.
//!
//! The SQL may select more than the matchers allow, never less: what Timestream cannot decide as
//! PromQL does is left to the check on the rows.

use std::fmt::Write as _;

use super::limits::MAX_QUERY_BYTES;
use super::matcher::{Condition, Matcher, QueryError, Selection};
use super::names::ESCAPE_PREFIX;
use super::schema::{Schema, measures};
use crate::model::{Destination, METRIC_NAME_LABEL};

/// The widths of time that one result row may cover, widest first.
///
/// A row may not reach 1 MB, about 15,000 samples: narrower ones are for series with more samples
/// in an hour than that.
pub const BINS: [&str; 5] = ["1h", "10m", "1m", "10s", "1s"];

/// The text of a query and what its result rows hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesQuery {
    /// The SQL.
    pub text: String,
    /// The first columns of a row, each a dimension; the measure name follows and, unless only
    /// labels are wanted, a time series of doubles.
    pub dimensions: Vec<String>,
}

/// `SHOW MEASURES` for one measure, given in its stored form.
pub fn show_measures(destination: &Destination, measure: &str) -> String {
    format!(
        "SHOW MEASURES FROM {} LIKE {}",
        table(destination),
        string(measure)
    )
}

/// `DESCRIBE` for a table.
pub fn describe(destination: &Destination) -> String {
    format!("DESCRIBE {}", table(destination))
}

/// The query for the samples (or labels) that `selection` wants from `destination`, one row for
/// each series and `bin` of time; `None` if nothing there can match.
///
/// # Errors
/// The text would exceed Timestream's limit.
pub fn selection_to_sql(
    selection: &Selection,
    destination: &Destination,
    schema: &Schema,
    bin: &str,
) -> Result<Option<SeriesQuery>, QueryError> {
    let Some((start, end)) = selection.range else {
        return Ok(None);
    };
    if !schema.has_doubles() {
        return Ok(None);
    }
    let mut required = Vec::new();
    let mut optional = Vec::new();
    match measures(selection) {
        Some(measures) if measures.is_empty() => return Ok(None),
        Some(measures) => required.push(one_of("measure_name", &measures)),
        None => {
            // Measures of other types have no double, and a time series takes no NULL.
            required.push("measure_value::double IS NOT NULL".to_owned());
            let on_name = selection
                .matchers
                .iter()
                .filter(|m| m.name == METRIC_NAME_LABEL);
            optional.extend(on_name.filter_map(measure_predicate));
        }
    }
    required.push(format!(
        "time BETWEEN from_milliseconds({start}) AND from_milliseconds({end})"
    ));
    for matcher in selection
        .matchers
        .iter()
        .filter(|m| m.name != METRIC_NAME_LABEL)
    {
        match label_predicate(matcher, schema) {
            Predicate::Nothing => return Ok(None),
            Predicate::Everything => {}
            Predicate::Sql(sql) => optional.push(sql),
        }
    }

    let columns: Vec<String> = schema
        .dimensions()
        .iter()
        .map(|name| identifier(name))
        .collect();
    let head = |predicates: &[String]| {
        let mut text = String::from("SELECT ");
        if selection.labels_only {
            text.push_str("DISTINCT ");
        }
        columns
            .iter()
            .for_each(|column| write!(text, "{column}, ").expect("a String takes all"));
        text.push_str("measure_name");
        if !selection.labels_only {
            text.push_str(", CREATE_TIME_SERIES(time, measure_value::double) AS \"samples\"");
        }
        write!(
            text,
            " FROM {} WHERE {}",
            table(destination),
            predicates.join(" AND ")
        )
        .expect("a String takes all");
        if !selection.labels_only {
            text.push_str(" GROUP BY ");
            columns
                .iter()
                .for_each(|column| write!(text, "{column}, ").expect("a String takes all"));
            write!(text, "measure_name, bin(time, {bin})").expect("a String takes all");
        }
        text
    };
    let mut text = head(&[required.clone(), optional].concat());
    if text.len() > MAX_QUERY_BYTES {
        // The rows are checked anyway, so the label predicates only save work.
        text = head(&required);
    }
    if text.len() > MAX_QUERY_BYTES {
        return Err(QueryError::TooLong);
    }
    Ok(Some(SeriesQuery {
        text,
        dimensions: schema.dimensions().to_vec(),
    }))
}

/// What a matcher asks of the rows of a table.
enum Predicate {
    /// No row can match.
    Nothing,
    /// Every row may match; the check on the rows decides.
    Everything,
    /// Rows that may match satisfy this.
    Sql(String),
}

fn label_predicate(matcher: &Matcher, schema: &Schema) -> Predicate {
    let columns: Vec<String> = schema.columns_of(&matcher.name).map(identifier).collect();
    let column = match columns.as_slice() {
        [] if matcher.matches("") => return Predicate::Everything,
        [] => return Predicate::Nothing,
        [column] => column.clone(),
        several => format!("COALESCE({})", several.join(", ")),
    };
    let present = match &matcher.condition {
        Condition::Equal(value) if value.is_empty() => return Predicate::Sql(absent(&column)),
        Condition::Equal(value) => one_of(&column, std::slice::from_ref(value)),
        Condition::NotEqual(value) => format!("{column} <> {}", string(value)),
        Condition::Regex(pattern) => match (pattern.literals(), pattern.to_java()) {
            (Some(values), _) => one_of(&column, &values),
            (None, Some(java)) => format!("regexp_like({column}, {})", string(&java)),
            (None, None) => return Predicate::Everything,
        },
        Condition::NotRegex(pattern) => match (pattern.literals(), pattern.to_java()) {
            (Some(values), _) => format!("NOT {}", one_of(&column, &values)),
            (None, Some(java)) => format!("NOT regexp_like({column}, {})", string(&java)),
            (None, None) => return Predicate::Everything,
        },
    };
    // A comparison with NULL is never true, but an absent label can match.
    Predicate::Sql(match matcher.matches("") {
        true => format!("({column} IS NULL OR {present})"),
        false => present,
    })
}

/// A predicate on the names of measures; an escaped name is not the text that the matcher means,
/// so it always passes.
fn measure_predicate(matcher: &Matcher) -> Option<String> {
    let (negation, java) = match &matcher.condition {
        Condition::Equal(_) => return None,
        // A stored name with the prefix may stand for another name.
        Condition::NotEqual(name) if name.is_empty() || name.starts_with(ESCAPE_PREFIX) => {
            return None;
        }
        Condition::NotEqual(name) => return Some(format!("measure_name <> {}", string(name))),
        Condition::Regex(pattern) => ("", pattern.to_java()?),
        Condition::NotRegex(pattern) => ("NOT ", pattern.to_java()?),
    };
    Some(format!(
        "({negation}regexp_like(measure_name, {}) OR substr(measure_name, 1, {}) = {})",
        string(&java),
        ESCAPE_PREFIX.len(),
        string(ESCAPE_PREFIX)
    ))
}

fn absent(column: &str) -> String {
    format!("({column} IS NULL OR {column} = '')")
}

fn one_of(column: &str, values: &[String]) -> String {
    match values {
        [value] => format!("{column} = {}", string(value)),
        values => {
            let values: Vec<String> = values.iter().map(|value| string(value)).collect();
            format!("{column} IN ({})", values.join(", "))
        }
    }
}

fn table(destination: &Destination) -> String {
    format!(
        "{}.{}",
        identifier(&destination.database),
        identifier(&destination.table)
    )
}

/// A name as an SQL identifier.
fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as an SQL string; Presto's dialect knows no backslash escapes.
fn string(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::{Datum, MatchOp};

    fn schema(dimensions: &[&str]) -> Schema {
        let scalar = |text: &str| Datum::Scalar(text.to_owned());
        let mut rows: Vec<_> = dimensions
            .iter()
            .map(|name| vec![scalar(name), scalar("varchar"), scalar("DIMENSION")])
            .collect();
        rows.push(vec![
            scalar("measure_value::double"),
            scalar("double"),
            scalar("MEASURE_VALUE"),
        ]);
        Schema::from_describe(&rows)
    }

    fn selection(matchers: &[(MatchOp, &str, &str)]) -> Selection {
        let matchers = matchers
            .iter()
            .map(|&(op, name, value)| Matcher::new(op, name, value).unwrap())
            .collect();
        Selection {
            destinations: vec![],
            matchers,
            range: Some((1, 2)),
            labels_only: false,
        }
    }

    fn destination() -> Destination {
        Destination {
            database: "d".to_owned(),
            table: "t\"x".to_owned(),
        }
    }

    fn sql(selection: &Selection, dimensions: &[&str]) -> Option<String> {
        selection_to_sql(selection, &destination(), &schema(dimensions), "1h")
            .unwrap()
            .map(|query| query.text)
    }

    #[test]
    fn a_whole_query() {
        let mut selection = selection(&[
            (MatchOp::Equal, "__name__", "up"),
            (MatchOp::Equal, "job", "a'b"),
        ]);
        assert_eq!(
            sql(&selection, &["job", "a"]).unwrap(),
            "SELECT \"a\", \"job\", measure_name, \
             CREATE_TIME_SERIES(time, measure_value::double) AS \"samples\" FROM \"d\".\"t\"\"x\" \
             WHERE measure_name = 'up' AND time BETWEEN from_milliseconds(1) AND from_milliseconds(2) \
             AND \"job\" = 'a''b' GROUP BY \"a\", \"job\", measure_name, bin(time, 1h)"
        );
        selection.labels_only = true;
        assert_eq!(
            sql(&selection, &["job"]).unwrap(),
            "SELECT DISTINCT \"job\", measure_name FROM \"d\".\"t\"\"x\" \
             WHERE measure_name = 'up' AND time BETWEEN from_milliseconds(1) AND from_milliseconds(2) \
             AND \"job\" = 'a''b'"
        );
    }

    #[test]
    fn predicates_of_matchers() {
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        let cases = [
            ((Equal, "l", "x"), r#""l" = 'x'"#),
            ((Equal, "l", ""), r#"("l" IS NULL OR "l" = '')"#),
            ((NotEqual, "l", "x"), r#"("l" IS NULL OR "l" <> 'x')"#),
            ((NotEqual, "l", ""), r#""l" <> ''"#),
            ((Regex, "l", "x|y"), r#""l" IN ('x', 'y')"#),
            ((Regex, "l", "x|"), r#"("l" IS NULL OR "l" IN ('', 'x'))"#),
            (
                (Regex, "l", "x.+"),
                r#"regexp_like("l", '(?s)\A(?:x(?:.)+)\z')"#,
            ),
            (
                (Regex, "l", ".*"),
                r#"("l" IS NULL OR regexp_like("l", '(?s)\A(?:(?:.)*)\z'))"#,
            ),
            (
                (NotRegex, "l", "x|y"),
                r#"("l" IS NULL OR NOT "l" IN ('x', 'y'))"#,
            ),
            (
                (NotRegex, "l", "x?"),
                r#"NOT regexp_like("l", '(?s)\A(?:(?:x)?)\z')"#,
            ),
            ((Equal, "_x", "1"), r#"COALESCE("U____xx", "_x") = '1'"#),
        ];
        for (matcher, expected) in cases {
            let text = sql(
                &selection(&[(Equal, "__name__", "up"), matcher]),
                &["l", "_x", "U____xx"],
            );
            let text = text.unwrap();
            let predicates = text.split_once("milliseconds(2) AND ").unwrap().1;
            assert_eq!(
                predicates.split_once(" GROUP BY").unwrap().0,
                expected,
                "{matcher:?}"
            );
        }
    }

    #[test]
    fn labels_without_a_column_are_decided_here() {
        use MatchOp::{Equal, NotEqual};
        assert_eq!(sql(&selection(&[(Equal, "zone", "x")]), &["l"]), None);
        let text = sql(&selection(&[(NotEqual, "zone", "x")]), &["l"]).unwrap();
        assert!(!text.contains("zone"), "{text}");
        // What cannot be pushed down leaves no trace either.
        let text = sql(&selection(&[(MatchOp::Regex, "l", "(?i)x")]), &["l"]).unwrap();
        assert!(text.contains("milliseconds(2) GROUP BY"), "{text}");
    }

    #[test]
    fn names_of_measures() {
        use MatchOp::{NotEqual, NotRegex, Regex};
        let predicate = |matcher: (MatchOp, &str)| {
            let text = sql(&selection(&[(matcher.0, "__name__", matcher.1)]), &["l"]).unwrap();
            let text = text.split_once("WHERE ").unwrap().1.to_owned();
            text.split_once(" GROUP").unwrap().0.to_owned()
        };
        let time = "time BETWEEN from_milliseconds(1) AND from_milliseconds(2)";
        assert_eq!(
            predicate((Regex, "up|a:b")),
            format!("measure_name IN ('U__a_3a_bx', 'up') AND {time}")
        );
        assert_eq!(
            predicate((Regex, "u.")),
            format!(
                "measure_value::double IS NOT NULL AND {time} AND \
                 (regexp_like(measure_name, '(?s)\\A(?:u.)\\z') OR substr(measure_name, 1, 3) = 'U__')"
            )
        );
        assert_eq!(
            predicate((NotRegex, "u.")),
            format!(
                "measure_value::double IS NOT NULL AND {time} AND \
                 (NOT regexp_like(measure_name, '(?s)\\A(?:u.)\\z') OR substr(measure_name, 1, 3) = 'U__')"
            )
        );
        assert_eq!(
            predicate((NotEqual, "up")),
            format!("measure_value::double IS NOT NULL AND {time} AND measure_name <> 'up'")
        );
    }

    #[test]
    fn a_text_over_the_limit_loses_what_only_saves_work() {
        let long = "x".repeat(MAX_QUERY_BYTES);
        let text = sql(
            &selection(&[
                (MatchOp::Equal, "__name__", "up"),
                (MatchOp::Equal, "l", &long),
            ]),
            &["l"],
        );
        assert!(text.unwrap().len() < 1000);
        let over = selection(&[(MatchOp::Equal, "__name__", &long)]);
        let result = selection_to_sql(&over, &destination(), &schema(&["l"]), "1h");
        assert_eq!(result, Err(QueryError::TooLong));
    }

    /// Reads a quoted text back as Presto does.
    fn unquote(quoted: &str, quote: char) -> Option<String> {
        let inner = quoted.strip_prefix(quote)?.strip_suffix(quote)?;
        let doubled: String = [quote, quote].iter().collect();
        let placeholder = inner.replace(&doubled, "");
        (!placeholder.contains(quote)).then(|| inner.replace(&doubled, &quote.to_string()))
    }

    proptest! {
        #[test]
        fn quoting_survives_any_text(text in any::<String>()) {
            prop_assert_eq!(unquote(&string(&text), '\''), Some(text.clone()));
            prop_assert_eq!(unquote(&identifier(&text), '"'), Some(text));
        }
    }
}
