//! A selection to SQL text: the only place that quotes names and values.
//!
//! The SQL may select more than the matchers allow, never less: what Timestream cannot decide as
//! PromQL does is left to the check on the rows, and so is what would make a query too large.

use prom_model::METRIC_NAME_LABEL;

use super::rows::{Columns, Content};
use super::schema::{Schema, measures};
use super::thinning::Thinning;
use crate::storage::destination::Destination;
use crate::storage::histogram::stale_texts;
use crate::storage::limits::{MAX_QUERY_BYTES, MAX_TIME_MS};
use crate::storage::names::{ESCAPE_PREFIX, EXEMPLAR_PREFIX, HISTOGRAM_PREFIX, TEST_MEASURE};
use crate::storage::read::selection::{Condition, Matcher, QueryError, Selection};
use crate::storage::read::windows::Wanted;

/// The seconds that one result row may cover where it has all samples of them, most first. A row that has fewer
/// covers more.
///
/// A row may not reach 1 MB, about 15,000 samples: narrower ones are for series with more samples
/// in an hour than that.
pub const BINS: [u32; 5] = [3_600, 600, 60, 10, 1];

/// The most comparisons with columns that a query makes.
///
/// AWS documents no limit. Engines of Timestream's family reject a query with more than some 100
/// ("exceeded maximum filters", and "compiler failed" from about 360), so this stays well below.
const MAX_COMPARISONS: usize = 50;

/// Those of [`MAX_COMPARISONS`] that are for time, measures and what measures hold.
const RESERVED_COMPARISONS: usize = 8;

/// The most values that the lists of label values in a query have together, and names that the list of
/// measures has.
const MAX_LISTED_VALUES: usize = 1_000;

/// Bytes of the values of one filter at most; patterns have a limit of their own.
const MAX_FILTER_BYTES: usize = 32 << 10;

/// The text of a query and what its result rows hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeriesQuery {
    /// The SQL.
    pub text: String,
    /// The meaning of the fields of a result row.
    pub columns: Columns,
}

/// `SHOW MEASURES` for the measures whose stored names match a pattern of LIKE.
pub fn show_measures(destination: &Destination, pattern: &str) -> String {
    format!(
        "SHOW MEASURES FROM {} LIKE {}",
        table(destination),
        string(pattern)
    )
}

/// `DESCRIBE` for a table.
pub fn describe(destination: &Destination) -> String {
    format!("DESCRIBE {}", table(destination))
}

/// The first time at or after `from_ms` at which a table has a row.
pub fn first_time(destination: &Destination, from_ms: i64) -> String {
    format!(
        "SELECT min(time) FROM {} WHERE time >= from_milliseconds({from_ms})",
        table(destination)
    )
}

/// The queries for what `selection` wants from `destination`: one for float samples and one for
/// native histograms, as far as there are such columns, since a time series has values of one type;
/// a single one where only labels are wanted. None if nothing there can match.
///
/// A result row is one series over one bin of time: over the seconds `bin` of [`BINS`], or over as many more as have
/// as few samples.
///
/// # Errors
/// The text would exceed Timestream's limit.
pub fn selection_to_sql(
    selection: &Selection,
    destination: &Destination,
    schema: &Schema,
    bin: u32,
) -> Result<Vec<SeriesQuery>, QueryError> {
    let Some((start, end)) = selection.range else {
        return Ok(Vec::new());
    };
    let mut kinds = Vec::new();
    kinds.extend(schema.has_doubles().then_some(Kind::Doubles));
    kinds.extend(schema.has_histograms().then_some(Kind::Histograms));
    if kinds.is_empty() || measures(selection).is_some_and(|measures| measures.is_empty()) {
        return Ok(Vec::new());
    }
    let time = format!("time BETWEEN from_milliseconds({start}) AND from_milliseconds({end})");
    let thinning = match selection.wanted {
        Wanted::Windows(windows) => Thinning::new(windows, end, schema.has_histograms()),
        Wanted::All | Wanted::Labels => None,
    };
    let mut on_labels = Vec::new();
    for matcher in selection
        .matchers
        .iter()
        .filter(|m| m.name != METRIC_NAME_LABEL)
    {
        match label_predicate(matcher, schema) {
            Predicate::Nothing => return Ok(Vec::new()),
            Predicate::Everything => {}
            Predicate::Filter(filter) => on_labels.push(filter),
        }
    }
    let query = |kinds: &[Kind], content: Content, thinning: Option<&Thinning>| {
        let columns = Columns {
            dimensions: schema.dimensions().to_vec(),
            content,
        };
        let (required, on_name) = measure_predicates(selection, kinds);
        let mut required = vec![required, time.clone()];
        required.extend(thinning.and_then(Thinning::predicate));
        let mut chosen = most_selective(on_name.iter().chain(&on_labels));
        let text = loop {
            let all = [&required[..], &in_order(&chosen, kinds)].concat();
            let text = select(destination, &columns, &all, bin, thinning);
            // The rows are checked anyway, so a filter only saves work.
            if text.len() <= MAX_QUERY_BYTES || chosen.pop().is_none() {
                break text;
            }
        };
        match text.len() > MAX_QUERY_BYTES {
            true => Err(QueryError::TooLong),
            false => Ok(SeriesQuery { text, columns }),
        }
    };
    if selection.wanted == Wanted::Labels {
        return Ok(vec![query(&kinds, Content::Labels, None)?]);
    }
    let of_kind = |kind: &Kind| {
        let query = |thinning| query(std::slice::from_ref(kind), kind.content(), thinning);
        match query(thinning.as_ref()) {
            // The statement for all samples is shorter.
            Err(QueryError::TooLong) if thinning.is_some() => query(None),
            query => query,
        }
    };
    kinds.iter().map(of_kind).collect()
}

/// The content of a measure.
#[derive(Clone, Copy)]
enum Kind {
    Doubles,
    Histograms,
}

impl Kind {
    fn content(self) -> Content {
        match self {
            Self::Doubles => Content::Samples,
            Self::Histograms => Content::Histograms,
        }
    }
}

fn select(
    destination: &Destination,
    columns: &Columns,
    predicates: &[String],
    bin: u32,
    thinning: Option<&Thinning>,
) -> String {
    let mut keys: Vec<String> = columns.dimensions.iter().map(|it| identifier(it)).collect();
    keys.push("measure_name".to_owned());
    let all_keys = keys.join(", ");
    let (table, predicates) = (table(destination), predicates.join(" AND "));
    let kind = match columns.content {
        Content::Labels => {
            return format!("SELECT DISTINCT {all_keys} FROM {table} WHERE {predicates}");
        }
        Content::Samples => Kind::Doubles,
        Content::Histograms => Kind::Histograms,
    };
    let value = kind.value();
    let bin = duration(thinning.map_or(bin, |it| it.row_seconds(bin)));
    match thinning.and_then(Thinning::window) {
        None => format!(
            "SELECT {all_keys}, CREATE_TIME_SERIES(time, {value}) AS \"samples\" FROM {table} \
             WHERE {predicates} GROUP BY {all_keys}, bin(time, {bin})"
        ),
        Some(window) => {
            // Names that differ in case only are one in the outer query.
            let names: Vec<_> = (0..keys.len()).map(|n| format!("\"U__{n}\"")).collect();
            let named = keys.iter().zip(&names);
            let named: Vec<_> = named
                .map(|(key, name)| format!("{key} AS {name}"))
                .collect();
            let (names, named) = (names.join(", "), named.join(", "));
            let is_stale = match kind {
                Kind::Doubles => String::new(),
                Kind::Histograms => format!(", {}", one_of(value, &stale_texts())),
            };
            format!(
                "SELECT {names}, CREATE_TIME_SERIES(time, \"value\") AS \"samples\" FROM (\
                 SELECT {named}, max(time) AS time, max_by({value}, {FIRST_OF_NEWEST_MS}) AS \"value\" \
                 FROM {table} WHERE {predicates} GROUP BY {all_keys}, {window}{is_stale}) \
                 GROUP BY {names}, bin(time, {bin})"
            )
        }
    }
}

/// Greatest for the first sample of the last millisecond: the one that is read, since times are whole milliseconds for
/// Prometheus.
const FIRST_OF_NEWEST_MS: &str = "to_milliseconds(time) * 1000000 - to_nanoseconds(time) % 1000000";

/// Returns an interval.
fn duration(seconds: u32) -> String {
    match seconds {
        hours if hours.is_multiple_of(3_600) => format!("{}h", hours / 3_600),
        minutes if minutes.is_multiple_of(60) => format!("{}m", minutes / 60),
        seconds => format!("{seconds}s"),
    }
}

/// Returns the predicate on measures that a query for these kinds needs, and the filters on their
/// names.
fn measure_predicates(selection: &Selection, kinds: &[Kind]) -> (String, Vec<Filter>) {
    if let Some(measures) = measures(selection) {
        let of = |kind: &Kind| match kind {
            Kind::Doubles => &measures.doubles[..],
            Kind::Histograms => &measures.histograms,
        };
        let names: Vec<String> = kinds.iter().flat_map(of).cloned().collect();
        if names.len() <= MAX_LISTED_VALUES {
            let named = one_of("measure_name", &names);
            let has_value = any_of(kinds.iter().map(|kind| kind.has_value()).collect());
            return (format!("{named} AND {has_value}"), Vec::new());
        }
        // As if the names were not known: the rows of others are dropped by the check on the rows.
    }
    let required = any_of(kinds.iter().map(|kind| kind.predicate()).collect());
    let on_name = selection
        .matchers
        .iter()
        .filter(|matcher| matcher.name == METRIC_NAME_LABEL);
    let filters = on_name.filter_map(|matcher| name_filter(matcher, kinds));
    (required, filters.collect())
}

/// Returns what holds where one of `parts` does; there is at least one.
fn any_of(mut parts: Vec<String>) -> String {
    match parts.len() {
        1 => parts.remove(0),
        _ => {
            let parts = parts.iter().map(|part| format!("({part})"));
            format!("({})", parts.collect::<Vec<_>>().join(" OR "))
        }
    }
}

/// The condition of a matcher for the rows of a table.
enum Predicate {
    /// No row can match.
    Nothing,
    /// Every row may match; the check on the rows decides.
    Everything,
    /// Rows that may match satisfy this.
    Filter(Filter),
}

/// A predicate that a query can do without, as the rows are checked.
struct Filter {
    sql: FilterSql,
    selectivity: Selectivity,
    /// The comparisons with columns that it makes.
    comparisons: usize,
    /// The values of its list, if it is one.
    values: usize,
}

enum FilterSql {
    /// Compares strings.
    Comparison(String),
    /// Matches a regular expression.
    Pattern(String),
    /// Is on the name of a measure: one predicate for each kind of the query.
    Name(Vec<String>),
}

/// The share of rows that a filter is likely to leave, least first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Selectivity {
    /// One value.
    Equal,
    /// One of so many values.
    Listed(usize),
    Pattern,
    /// Series without the label match too.
    MayBeAbsent,
    /// All but some values.
    Negated,
}

/// Returns the most selective filters that a query has room for, most selective first; those that
/// are equally selective in the order of the matchers.
fn most_selective<'f>(filters: impl Iterator<Item = &'f Filter>) -> Vec<&'f Filter> {
    let mut filters: Vec<_> = filters.collect();
    filters.sort_by_key(|filter| filter.selectivity);
    let mut comparisons = MAX_COMPARISONS - RESERVED_COMPARISONS;
    let mut values = MAX_LISTED_VALUES;
    filters.retain(|filter| {
        let has_room = filter.comparisons <= comparisons && filter.values <= values;
        if has_room {
            comparisons -= filter.comparisons;
            values -= filter.values;
        }
        has_room
    });
    filters
}

/// Returns the predicates of these filters, such that a pattern is matched only where everything
/// cheaper holds.
fn in_order(filters: &[&Filter], kinds: &[Kind]) -> Vec<String> {
    let (mut comparisons, mut patterns) = (Vec::new(), Vec::new());
    let mut on_name: Vec<Vec<String>> = vec![Vec::new(); kinds.len()];
    for filter in filters {
        match &filter.sql {
            FilterSql::Comparison(sql) => comparisons.push(sql.clone()),
            FilterSql::Pattern(sql) => patterns.push(sql.clone()),
            FilterSql::Name(of_kinds) => {
                let predicates = on_name.iter_mut().zip(of_kinds);
                predicates.for_each(|(all, sql)| all.push(sql.clone()));
            }
        }
    }
    match (kinds, &on_name[..]) {
        ([_], [names]) => comparisons.extend_from_slice(names),
        (kinds, all) if all.iter().any(|names| !names.is_empty()) => {
            let of_kinds = kinds.iter().zip(all).map(|(kind, names)| {
                let parts = [&[kind.predicate()], &names[..]].concat();
                parts.join(" AND ")
            });
            comparisons.push(any_of(of_kinds.collect()));
        }
        _ => {}
    }
    comparisons.append(&mut patterns);
    comparisons
}

/// Returns whether a filter on the texts of a condition is short enough to be made: longer ones cost
/// more than they save, and there can be thousands of times as much as a query has room for.
fn is_short(condition: &Condition) -> bool {
    match condition {
        Condition::Equal(value) | Condition::NotEqual(value) => value.len() <= MAX_FILTER_BYTES,
        Condition::Regex(pattern) | Condition::NotRegex(pattern) => {
            pattern.literals().is_none_or(|values| {
                let bytes = || values.iter().map(String::len).sum::<usize>();
                values.len() <= MAX_LISTED_VALUES && bytes() <= MAX_FILTER_BYTES
            })
        }
    }
}

fn label_predicate(matcher: &Matcher, schema: &Schema) -> Predicate {
    let columns: Vec<String> = schema.columns_of(&matcher.name).map(identifier).collect();
    let column = match columns.as_slice() {
        // Only the values of a reserved column tell labels from what it is reserved for.
        _ if schema.has_reserved(&matcher.name) => return Predicate::Everything,
        [] if matcher.matches("") => return Predicate::Everything,
        [] => return Predicate::Nothing,
        _ if !is_short(&matcher.condition) => return Predicate::Everything,
        [column] => column.clone(),
        several => format!("COALESCE({})", several.join(", ")),
    };
    let columns = columns.len();
    // A comparison with NULL is never true, but an absent label can match.
    let may_be_absent = matcher.matches("");
    let or_absent = |present: String| match may_be_absent {
        true => format!("({column} IS NULL OR {present})"),
        false => present,
    };
    let filter = |sql: FilterSql, selectivity: Selectivity, values: usize| {
        let selectivity = match selectivity {
            Selectivity::Negated => Selectivity::Negated,
            _ if may_be_absent => Selectivity::MayBeAbsent,
            positive => positive,
        };
        Predicate::Filter(Filter {
            sql,
            selectivity,
            comparisons: columns * (1 + usize::from(may_be_absent)),
            values,
        })
    };
    let comparison =
        |sql, selectivity, values| filter(FilterSql::Comparison(sql), selectivity, values);
    let (negation, pattern) = match &matcher.condition {
        Condition::Equal(value) if value.is_empty() => {
            return comparison(absent(&column), Selectivity::MayBeAbsent, 0);
        }
        Condition::Equal(value) => {
            let equal = one_of(&column, std::slice::from_ref(value));
            return comparison(or_absent(equal), Selectivity::Equal, 0);
        }
        Condition::NotEqual(value) => {
            let unequal = format!("{column} <> {}", string(value));
            return comparison(or_absent(unequal), Selectivity::Negated, 0);
        }
        Condition::Regex(pattern) => ("", pattern),
        Condition::NotRegex(pattern) => ("NOT ", pattern),
    };
    let selectivity = match (negation, pattern.literals()) {
        ("", Some([_])) => Selectivity::Equal,
        ("", Some(values)) => Selectivity::Listed(values.len()),
        ("", None) => Selectivity::Pattern,
        _ => Selectivity::Negated,
    };
    match (pattern.literals(), pattern.to_java()) {
        (Some(values), _) => {
            let listed = format!("{negation}{}", one_of(&column, values));
            comparison(or_absent(listed), selectivity, values.len())
        }
        (None, Some(java)) => {
            let matched = format!("{negation}regexp_like({column}, {})", string(&java));
            filter(FilterSql::Pattern(or_absent(matched)), selectivity, 0)
        }
        (None, None) => Predicate::Everything,
    }
}

impl Kind {
    /// The column of its values.
    fn value(self) -> &'static str {
        match self {
            Self::Doubles => "measure_value::double",
            Self::Histograms => "measure_value::varchar",
        }
    }

    /// Holds for the rows that have a value of this kind. A time series takes no NULL, and of a measure
    /// that another writer has made only the name may be what is looked for.
    fn has_value(self) -> String {
        format!("{} IS NOT NULL", self.value())
    }

    /// Holds for all rows of this kind and no others.
    fn predicate(self) -> String {
        match self.prefix() {
            "" => self.has_value(),
            prefix => format!("{} AND {}", self.has_value(), starts_with(prefix)),
        }
    }

    /// Returns the prefix of the stored form of a metric's name.
    fn prefix(self) -> &'static str {
        match self {
            Self::Doubles => "",
            Self::Histograms => HISTOGRAM_PREFIX,
        }
    }
}

fn name_filter(matcher: &Matcher, kinds: &[Kind]) -> Option<Filter> {
    let of_kinds = kinds.iter().map(|kind| name_predicate(matcher, *kind));
    let selectivity = match &matcher.condition {
        Condition::Equal(_) | Condition::Regex(_) => Selectivity::Pattern,
        Condition::NotEqual(_) | Condition::NotRegex(_) => Selectivity::Negated,
    };
    Some(Filter {
        sql: FilterSql::Name(of_kinds.collect::<Option<_>>()?),
        selectivity,
        // A pattern, and whether the name is escaped.
        comparisons: 2 * kinds.len(),
        values: 0,
    })
}

/// A predicate on the names of measures; an escaped name is not the text that the matcher means,
/// so it always passes.
fn name_predicate(matcher: &Matcher, kind: Kind) -> Option<String> {
    let prefix = kind.prefix();
    let (negation, java) = match &matcher.condition {
        Condition::Equal(_) => return None,
        // A stored name with the prefix may stand for another name.
        Condition::NotEqual(name) if name.is_empty() || name.starts_with(ESCAPE_PREFIX) => {
            return None;
        }
        // No measure has such a name.
        Condition::NotEqual(name) if name.len() > MAX_FILTER_BYTES => return None,
        Condition::NotEqual(name) => {
            let name = string(&format!("{prefix}{name}"));
            return Some(format!("measure_name <> {name}"));
        }
        Condition::Regex(pattern) => ("", pattern.to_java_after(prefix)?),
        Condition::NotRegex(pattern) => ("NOT ", pattern.to_java_after(prefix)?),
    };
    let is_escaped = starts_with(&format!("{prefix}{ESCAPE_PREFIX}"));
    Some(format!(
        "({negation}regexp_like(measure_name, {}) OR {is_escaped})",
        string(&java),
    ))
}

/// Holds for the measures whose names start with `prefix`, which is ASCII.
fn starts_with(prefix: &str) -> String {
    let length = prefix.len();
    format!("substr(measure_name, 1, {length}) = {}", string(prefix))
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

/// `SHOW MEASURES` for all measures of a table.
pub fn all_measures(destination: &Destination) -> String {
    format!("SHOW MEASURES FROM {}", table(destination))
}

/// The rows of the test series at a time.
pub fn test_rows(destination: &Destination, time_ms: i64) -> String {
    // A table to which none was written has no column of its values.
    format!(
        "SELECT measure_name FROM {} WHERE measure_name = {} AND time = from_milliseconds({time_ms})",
        table(destination),
        string(TEST_MEASURE)
    )
}

/// `SHOW MEASURES` for the test series.
pub fn test_measures(destination: &Destination) -> String {
    show_measures(destination, TEST_MEASURE)
}

/// The values that a label has in the rows of samples and native histograms in a range; `None` if no column
/// stands for the label.
pub fn label_values(
    destination: &Destination,
    schema: &Schema,
    label: &str,
    (start_ms, end_ms): (i64, i64),
) -> Option<String> {
    let columns: Vec<String> = schema.columns_of(label).map(identifier).collect();
    let column = match columns.as_slice() {
        [] => return None,
        [column] => column.clone(),
        several => format!("COALESCE({})", several.join(", ")),
    };
    let mut kinds = Vec::new();
    kinds.extend(schema.has_doubles().then_some(Kind::Doubles));
    kinds.extend(schema.has_histograms().then_some(Kind::Histograms));
    if kinds.is_empty() {
        return None;
    }
    let kinds = any_of(kinds.into_iter().map(Kind::predicate).collect());
    Some(format!(
        "SELECT DISTINCT {column} FROM {} WHERE {kinds} \
         AND time BETWEEN from_milliseconds({start_ms}) AND from_milliseconds({end_ms}) \
         AND {column} IS NOT NULL",
        table(destination)
    ))
}

/// The exemplars of the series that a selection may match: the dimensions of the schema, the measure name and the
/// text of each.
///
/// # Errors
/// The text would exceed Timestream's limit.
pub fn exemplars(
    selection: &Selection,
    destination: &Destination,
    schema: &Schema,
) -> Result<Option<String>, QueryError> {
    let Some((start, end)) = selection.range else {
        return Ok(None);
    };
    let mut on_labels = Vec::new();
    for matcher in &selection.matchers {
        match label_predicate(matcher, schema) {
            _ if matcher.name == METRIC_NAME_LABEL => {}
            Predicate::Nothing => return Ok(None),
            Predicate::Everything => {}
            Predicate::Filter(filter) => on_labels.push(filter),
        }
    }
    let listed = measures(selection).map(|measures| {
        let names = measures.histograms.iter();
        let names = names.filter_map(|name| name.strip_prefix(HISTOGRAM_PREFIX));
        let names = names.map(|name| format!("{EXEMPLAR_PREFIX}{name}"));
        names.collect::<Vec<_>>()
    });
    let measures = match listed {
        Some(names) if names.is_empty() => return Ok(None),
        Some(names) if names.len() <= MAX_LISTED_VALUES => one_of("measure_name", &names),
        _ => starts_with(EXEMPLAR_PREFIX),
    };
    // Those of the last millisecond have nanoseconds too.
    let end = end.saturating_add(1).min(MAX_TIME_MS);
    let required = [
        measures,
        format!("{} IS NOT NULL", Kind::Histograms.value()),
        format!("time BETWEEN from_milliseconds({start}) AND from_milliseconds({end})"),
    ];
    let dimensions = schema.dimensions().iter().map(|it| identifier(it) + ", ");
    let dimensions: String = dimensions.collect();
    let mut chosen = most_selective(on_labels.iter());
    loop {
        let all = [&required[..], &in_order(&chosen, &[])].concat();
        let text = format!(
            "SELECT {dimensions}measure_name, {} FROM {} WHERE {}",
            Kind::Histograms.value(),
            table(destination),
            all.join(" AND ")
        );
        if text.len() <= MAX_QUERY_BYTES {
            return Ok(Some(text));
        }
        chosen.pop().ok_or(QueryError::TooLong)?;
    }
}

/// The different texts about metrics in a table of metadata since `from_ms`, newest first: name, type, help text and
/// unit, as far as there are such `columns`.
pub fn metadata(destination: &Destination, columns: &[String], from_ms: i64) -> String {
    let keys: Vec<_> = columns.iter().map(|it| identifier(it)).collect();
    let keys = keys.join(", ");
    format!(
        "SELECT {keys}, max(time) FROM {} WHERE time >= from_milliseconds({from_ms}) \
         GROUP BY {keys} ORDER BY max(time) DESC",
        table(destination)
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::storage::names::{VALUE_BITS_DIMENSION, escape};
    use crate::storage::read::datum::Datum;
    use crate::storage::read::windows::Windows;
    use prom_model::MatchOp;

    fn schema(dimensions: &[&str]) -> Schema {
        schema_of(dimensions, &["double"])
    }

    fn schema_of(dimensions: &[&str], types: &[&str]) -> Schema {
        let scalar = |text: &str| Datum::Scalar(text.to_owned());
        let mut rows: Vec<_> = dimensions
            .iter()
            .map(|name| vec![scalar(name), scalar("varchar"), scalar("DIMENSION")])
            .collect();
        rows.extend(types.iter().map(|name| {
            let column = format!("measure_value::{name}");
            vec![scalar(&column), scalar(name), scalar("MEASURE_VALUE")]
        }));
        Schema::from_describe(&rows).unwrap()
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
            wanted: Wanted::All,
        }
    }

    fn destination() -> Destination {
        Destination {
            database: "d".to_owned(),
            table: "t\"x".to_owned(),
        }
    }

    fn sql(selection: &Selection, dimensions: &[&str]) -> Option<String> {
        let mut queries =
            selection_to_sql(selection, &destination(), &schema(dimensions), BINS[0]).unwrap();
        assert!(queries.len() <= 1);
        queries.pop().map(|query| query.text)
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
             WHERE measure_name = 'up' AND measure_value::double IS NOT NULL \
             AND time BETWEEN from_milliseconds(1) AND from_milliseconds(2) \
             AND \"job\" = 'a''b' GROUP BY \"a\", \"job\", measure_name, bin(time, 1h)"
        );
        selection.wanted = Wanted::Labels;
        assert_eq!(
            sql(&selection, &["job"]).unwrap(),
            "SELECT DISTINCT \"job\", measure_name FROM \"d\".\"t\"\"x\" \
             WHERE measure_name = 'up' AND measure_value::double IS NOT NULL \
             AND time BETWEEN from_milliseconds(1) AND from_milliseconds(2) \
             AND \"job\" = 'a''b'"
        );
    }

    #[test]
    fn whole_queries_for_windows() {
        let mut named = selection(&[(MatchOp::Equal, "__name__", "up")]);
        let queries = |selection: &Selection, types: &[&str]| -> Vec<String> {
            let schema = schema_of(&["job"], types);
            let queries = selection_to_sql(selection, &destination(), &schema, BINS[0]).unwrap();
            queries.into_iter().map(|query| query.text).collect()
        };
        let all = queries(&named, &["double", "varchar"]);

        named.wanted = Wanted::Windows(Windows::new(0, 3_600_000, 300_000, false));
        assert_eq!(
            queries(&named, &["double"]),
            ["SELECT \"job\", measure_name, \
                 CREATE_TIME_SERIES(time, measure_value::double) AS \"samples\" FROM \"d\".\"t\"\"x\" \
                 WHERE measure_name = 'up' AND measure_value::double IS NOT NULL \
                 AND time BETWEEN from_milliseconds(1) AND from_milliseconds(2) \
                 AND (3600000 - to_milliseconds(time)) % 3600000 < 300000 \
                 GROUP BY \"job\", measure_name, bin(time, 12h)"]
        );
        assert_eq!(queries(&named, &["double", "varchar"]), all);

        named.wanted = Wanted::Windows(Windows::new(0, 90_000, 90_000, true));
        let newest = |value: &str, predicates: &str, stale: &str| {
            format!(
                "SELECT \"U__0\", \"U__1\", CREATE_TIME_SERIES(time, \"value\") AS \"samples\" FROM (\
                 SELECT \"job\" AS \"U__0\", measure_name AS \"U__1\", max(time) AS time, \
                 max_by({value}, to_milliseconds(time) * 1000000 - to_nanoseconds(time) % 1000000) \
                 AS \"value\" FROM \"d\".\"t\"\"x\" WHERE {predicates} \
                 AND time BETWEEN from_milliseconds(1) AND from_milliseconds(2) \
                 GROUP BY \"job\", measure_name, (90000 - to_milliseconds(time)) / 90000{stale}) \
                 GROUP BY \"U__0\", \"U__1\", bin(time, 6h)"
            )
        };
        let [int, float] = stale_texts();
        assert_eq!(
            queries(&named, &["double", "varchar"]),
            [
                newest(
                    "measure_value::double",
                    "measure_name = 'up' AND measure_value::double IS NOT NULL",
                    "",
                ),
                newest(
                    "measure_value::varchar",
                    "measure_name = 'U__histogram_of_up' AND measure_value::varchar IS NOT NULL",
                    &format!(", measure_value::varchar IN ('{int}', '{float}')"),
                )
            ]
        );
    }

    #[test]
    fn a_text_over_the_limit_selects_all_samples() {
        let names: Vec<_> = (0..990).map(|i| format!("a{i:0>255}")).collect();
        let columns: Vec<_> = (0..30).map(|i| format!("l{i:0>59}")).collect();
        let columns: Vec<_> = columns.iter().map(String::as_str).collect();
        let mut named = selection(&[(MatchOp::Regex, "__name__", &names.join("|"))]);
        let all = sql(&named, &columns).unwrap();
        named.wanted = Wanted::Windows(Windows::new(0, 60_000, 60_000, true));
        assert_eq!(sql(&named, &columns).unwrap(), all);
        assert_ne!(sql(&named, &columns[..1]).unwrap(), all);
    }

    #[test]
    fn special_values_and_histograms_are_queried_where_they_can_be() {
        let named = selection(&[(MatchOp::Equal, "__name__", "up")]);
        let queries = |selection: &Selection, types: &[&str]| -> Vec<SeriesQuery> {
            let schema = schema_of(&["job", VALUE_BITS_DIMENSION], types);
            selection_to_sql(selection, &destination(), &schema, BINS[0]).unwrap()
        };
        let [samples, histograms] = &queries(&named, &["double", "varchar"])[..] else {
            panic!()
        };
        let time = "time BETWEEN from_milliseconds(1) AND from_milliseconds(2)";
        assert_eq!(
            samples.text,
            format!(
                "SELECT \"U__value_bits\", \"job\", measure_name, \
                 CREATE_TIME_SERIES(time, measure_value::double) AS \"samples\" \
                 FROM \"d\".\"t\"\"x\" \
                 WHERE measure_name = 'up' AND measure_value::double IS NOT NULL AND {time} \
                 GROUP BY \"U__value_bits\", \"job\", measure_name, bin(time, 1h)"
            )
        );
        assert_eq!(
            histograms.text,
            format!(
                "SELECT \"U__value_bits\", \"job\", measure_name, \
                 CREATE_TIME_SERIES(time, measure_value::varchar) AS \"samples\" \
                 FROM \"d\".\"t\"\"x\" WHERE measure_name = 'U__histogram_of_up' \
                 AND measure_value::varchar IS NOT NULL AND {time} \
                 GROUP BY \"U__value_bits\", \"job\", measure_name, bin(time, 1h)"
            )
        );
        assert_eq!(queries(&named, &["varchar"])[0].text, histograms.text);
        assert_eq!(queries(&named, &["bigint"]), []);

        // Of any name, and labels alone.
        let mut open = selection(&[
            (MatchOp::Regex, "__name__", "u."),
            (MatchOp::NotEqual, "__name__", "ux"),
        ]);
        let is_histogram = "measure_value::varchar IS NOT NULL AND \
                            substr(measure_name, 1, 16) = 'U__histogram_of_'";
        let wanted = "(regexp_like(measure_name, '(?s)\\AU__histogram_of_(?:u.)\\z') OR \
                      substr(measure_name, 1, 19) = 'U__histogram_of_U__') AND \
                      measure_name <> 'U__histogram_of_ux'";
        let text = &queries(&open, &["double", "varchar"])[1].text;
        let predicates = format!(" WHERE {is_histogram} AND {time} AND {wanted} GROUP BY ");
        assert!(text.contains(&predicates), "{text}");

        open.wanted = Wanted::Labels;
        let [labels] = &queries(&open, &["double", "varchar"])[..] else {
            panic!()
        };
        let is_either = format!("((measure_value::double IS NOT NULL) OR ({is_histogram}))");
        assert!(
            labels.text.starts_with(&format!(
                "SELECT DISTINCT \"U__value_bits\", \"job\", measure_name FROM \"d\".\"t\"\"x\" \
                 WHERE {is_either} AND {time} AND ((measure_value::double IS NOT NULL AND ("
            )),
            "{}",
            labels.text
        );
        let end = format!(" OR ({is_histogram} AND {wanted}))");
        assert!(labels.text.ends_with(&end), "{}", labels.text);
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
                r#"regexp_like("l", '(?s)\A(?:x.+)\z')"#,
            ),
            (
                (Regex, "l", ".*"),
                r#"("l" IS NULL OR regexp_like("l", '(?s)\A(?:.*)\z'))"#,
            ),
            ((Regex, "l", "(?i)^x$"), r#""l" IN ('X', 'x')"#),
            ((Regex, "l", "x_(y|z)"), r#""l" IN ('x_y', 'x_z')"#),
            (
                (NotRegex, "l", "x|y"),
                r#"("l" IS NULL OR NOT "l" IN ('x', 'y'))"#,
            ),
            (
                (NotRegex, "l", "x?"),
                r#"NOT regexp_like("l", '(?s)\A(?:x?)\z')"#,
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
    fn patterns_come_after_all_that_is_cheaper_and_the_most_selective_first() {
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        let selection = selection(&[
            (Regex, "__name__", "u.*"),
            (NotRegex, "a", "x+"),
            (Regex, "b", "y|z"),
            (Regex, "c", "x+"),
            (NotEqual, "d", "1"),
            (Equal, "e", "2"),
        ]);
        let text = sql(&selection, &["a", "b", "c", "d", "e"]).unwrap();
        let at = |part: &str| text.find(part).unwrap_or_else(|| panic!("{part}: {text}"));
        let order = [
            "measure_value::double IS NOT NULL",
            "time BETWEEN",
            "\"e\" = '2'",
            "\"b\" IN ('y', 'z')",
            "\"d\" <> '1'",
            "regexp_like(measure_name",
            "regexp_like(\"c\"",
            "NOT regexp_like(\"a\"",
        ];
        assert!(order.map(at).is_sorted(), "{text}");
    }

    #[test]
    fn labels_without_a_column_are_decided_here() {
        use MatchOp::{Equal, NotEqual};
        assert_eq!(sql(&selection(&[(Equal, "zone", "x")]), &["l"]), None);
        let text = sql(&selection(&[(NotEqual, "zone", "x")]), &["l"]).unwrap();
        assert!(!text.contains("zone"), "{text}");
        // What cannot be pushed down leaves no trace either.
        let text = sql(&selection(&[(MatchOp::Regex, "l", r"x\b.*")]), &["l"]).unwrap();
        assert!(text.contains("milliseconds(2) GROUP BY"), "{text}");
    }

    #[test]
    fn what_looks_reserved_is_never_selected() {
        use MatchOp::{Equal, NotEqual, Regex};
        for name in ["U__histogram_of_m", "U__exemplar_of_m"] {
            for named in [
                selection(&[(Equal, "__name__", name)]),
                selection(&[(Regex, "__name__", name)]),
            ] {
                let schema = schema_of(&["job"], &["double"]);
                let queries = selection_to_sql(&named, &destination(), &schema, BINS[0]).unwrap();
                let [query] = &queries[..] else { panic!() };
                let stored = escape(name);
                let expected = format!(
                    "WHERE measure_name = '{stored}' AND measure_value::double IS NOT NULL"
                );
                assert!(query.text.contains(&expected), "{}", query.text);
                assert!(!query.text.contains(&format!("'{name}'")), "{}", query.text);
            }
        }
        // The values of a reserved column decide, so no comparison does.
        for (op, value) in [(Equal, "x"), (Equal, ""), (NotEqual, "x"), (Regex, "x.+")] {
            let matchers = [(Equal, "__name__", "up"), (op, VALUE_BITS_DIMENSION, value)];
            let text = sql(&selection(&matchers), &["l", VALUE_BITS_DIMENSION]).unwrap();
            assert!(text.contains("milliseconds(2) GROUP BY"), "{text}");
        }
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
            format!(
                "measure_name IN ('U__a_3a_bx', 'up') AND measure_value::double IS NOT NULL AND {time}"
            )
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
        let names: Vec<_> = (0..1_000).map(|i| format!("a{i:0>255}")).collect();
        let over = selection(&[(MatchOp::Regex, "__name__", &names.join("|"))]);
        let columns: Vec<_> = (0..60).map(|i| format!("l{i:0>59}")).collect();
        let columns: Vec<_> = columns.iter().map(String::as_str).collect();
        let result = selection_to_sql(&over, &destination(), &schema(&columns), BINS[0]);
        assert_eq!(result, Err(QueryError::TooLong));
    }

    /// Returns the comparisons with columns that a query makes.
    fn comparisons(text: &str) -> usize {
        let (_, predicates) = text.split_once(" WHERE ").unwrap();
        let of = [
            " IS N",
            " = ",
            " <> ",
            " IN (",
            "BETWEEN",
            "milliseconds(2) AND",
            "regexp_like(",
        ];
        of.iter().map(|it| predicates.matches(it).count()).sum()
    }

    #[test]
    fn a_query_has_the_most_selective_filters_that_there_is_room_for() {
        use MatchOp::{Equal, NotEqual, NotRegex, Regex};
        type Make = fn(usize) -> (MatchOp, String);
        let kinds: [Make; 8] = [
            |n| (NotRegex, format!("n{n}.+")),
            |n| (NotEqual, format!("u{n}")),
            |n| (Regex, format!("z{n}|")),
            |_| (Equal, String::new()),
            |n| (Regex, format!("p{n}.+")),
            |n| (Regex, format!("a{n}|b{n}|c{n}")),
            |n| (Regex, format!("a{n}|b{n}")),
            |n| (Equal, format!("e{n}")),
        ];
        let starts = [
            "NOT regexp_like(",
            " <> ",
            " IN ('', 'z",
            " = ''",
            "regexp_like(\"l\", '(?s)\\A(?:p",
            ", 'c",
            " IN ('a",
            " = 'e",
        ];
        // As many of each as listed, last kinds first.
        let cases = [
            ([50; 8], [0, 0, 0, 0, 0, 0, 0, 42]),
            ([50, 50, 50, 50, 50, 50, 50, 2], [0, 0, 0, 0, 0, 0, 40, 2]),
            ([50, 50, 50, 50, 50, 10, 10, 0], [0, 0, 0, 0, 22, 10, 20, 0]),
            ([50, 50, 3, 4, 20, 1, 1, 0], [3, 0, 3, 4, 20, 1, 2, 0]),
            ([400, 0, 0, 0, 0, 0, 0, 0], [21, 0, 0, 0, 0, 0, 0, 0]),
        ];
        for (counts, expected) in cases {
            let made: Vec<(MatchOp, String)> = kinds
                .iter()
                .zip(counts)
                .flat_map(|(make, count)| (0..count).map(make))
                .collect();
            let mut matchers: Vec<_> = made
                .iter()
                .map(|(op, value)| (*op, "l", value.as_str()))
                .collect();
            matchers.insert(0, (Equal, "__name__", "up"));
            let text = sql(&selection(&matchers), &["l"]).unwrap();
            let found = starts.map(|start| text.matches(start).count());
            assert_eq!(found, expected, "{counts:?}: {text}");
            assert!(comparisons(&text) <= MAX_COMPARISONS, "{text}");
        }

        // Equal ones stay in the order of the matchers; those on names count too.
        let values: Vec<_> = (0..400).map(|n| format!("x{n}")).collect();
        let all = |op, name| values.iter().map(move |value| (op, name, value.as_str()));
        let matchers: Vec<_> = all(Equal, "l").chain(all(NotEqual, "__name__")).collect();
        let text = sql(&selection(&matchers), &["l"]).unwrap();
        assert!(
            text.contains("= 'x41'") && !text.contains("= 'x42'"),
            "{text}"
        );
        assert!(!text.contains("measure_name <>"), "{text}");

        let names: Vec<_> = all(NotEqual, "__name__").collect();
        let mut open = selection(&names);
        open.wanted = Wanted::Labels;
        let schema = schema_of(&["l"], &["double", "varchar"]);
        let queries = selection_to_sql(&open, &destination(), &schema, BINS[0]).unwrap();
        let found = queries[0].text.matches("measure_name <>").count();
        assert_eq!(found, 2 * (42 / 4), "{}", queries[0].text);
    }

    #[test]
    fn lists_are_bounded() {
        use MatchOp::{Equal, NotRegex, Regex};
        let list = |start: &str, count: usize| {
            let values: Vec<_> = (0..count).map(|n| format!("{start}{n}")).collect();
            values.join("|")
        };
        let (long, most, half, small) = (
            list("v", MAX_LISTED_VALUES + 1),
            list("v", MAX_LISTED_VALUES),
            list("h", MAX_LISTED_VALUES / 2 + 1),
            list("s", 10),
        );
        let cases: [(&[(MatchOp, &str)], &[&str]); 5] = [
            (&[(Regex, &long)], &[]),
            (&[(NotRegex, &long)], &[]),
            (&[(Regex, &most)], &["'v999'"]),
            (
                &[(Regex, &most), (Regex, &half), (Regex, &small)],
                &["'h500'", "'s9'"],
            ),
            (&[(NotRegex, &half), (Regex, &half)], &["'h500'"]),
        ];
        for (matchers, expected) in cases {
            let matchers = matchers.iter().map(|&(op, value)| (op, "l", value));
            let matchers: Vec<_> = [(Equal, "__name__", "up")]
                .into_iter()
                .chain(matchers)
                .collect();
            let text = sql(&selection(&matchers), &["l"]).unwrap();
            let found = ["'v999'", "'h500'", "'s9'"];
            let found: Vec<_> = found.into_iter().filter(|it| text.contains(it)).collect();
            assert_eq!(found, expected, "{text}");
            assert_eq!(text.matches(" IN (").count(), expected.len());
        }

        // Too many names are not listed; the pattern of them narrows what is read.
        let named = |names: &str| sql(&selection(&[(Regex, "__name__", names)]), &["l"]).unwrap();
        assert!(named(&most).contains(" WHERE measure_name IN ("));
        let text = named(&long);
        assert!(
            text.contains(" WHERE measure_value::double IS NOT NULL AND time ")
                && text.contains("(?:v0|v1|"),
            "{text}"
        );
    }

    #[test]
    fn a_text_over_the_limit_keeps_the_most_selective_filters() {
        use MatchOp::{Equal, NotEqual};
        let long = "x".repeat(MAX_QUERY_BYTES);
        let matchers = [
            (Equal, "__name__", "up"),
            (NotEqual, "l", &*long),
            (Equal, "l", "y"),
        ];
        let text = sql(&selection(&matchers), &["l"]).unwrap();
        assert!(text.contains("AND \"l\" = 'y' GROUP BY"), "{}", text.len());
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

    #[test]
    fn statements_of_discovery() {
        let schema = schema_of(
            &["U____xx", "_x", VALUE_BITS_DIMENSION, "job"],
            &["double", "varchar"],
        );
        let values = |label| label_values(&destination(), &schema, label, (1, 2));
        assert_eq!(
            values("job").unwrap(),
            "SELECT DISTINCT \"job\" FROM \"d\".\"t\"\"x\" WHERE ((measure_value::double IS NOT NULL) OR \
             (measure_value::varchar IS NOT NULL AND substr(measure_name, 1, 16) = 'U__histogram_of_')) \
             AND time BETWEEN from_milliseconds(1) AND from_milliseconds(2) AND \"job\" IS NOT NULL"
        );
        let both = values("_x").unwrap();
        assert!(both.starts_with("SELECT DISTINCT COALESCE(\"U____xx\", \"_x\") FROM"));
        assert_eq!(values("zone"), None);
        assert_eq!(values(VALUE_BITS_DIMENSION), None);

        let of = |matchers: &[(MatchOp, &str, &str)]| {
            exemplars(&selection(matchers), &destination(), &schema).unwrap()
        };
        assert_eq!(
            of(&[
                (MatchOp::Equal, "__name__", "a:b"),
                (MatchOp::Equal, "job", "c")
            ])
            .unwrap(),
            "SELECT \"U____xx\", \"U__value_bits\", \"_x\", \"job\", measure_name, measure_value::varchar \
             FROM \"d\".\"t\"\"x\" WHERE measure_name = 'U__exemplar_of_U__a_3a_bx' \
             AND measure_value::varchar IS NOT NULL \
             AND time BETWEEN from_milliseconds(1) AND from_milliseconds(3) AND \"job\" = 'c'"
        );
        let open = of(&[(MatchOp::NotEqual, "job", "")]).unwrap();
        assert!(open.contains("WHERE substr(measure_name, 1, 15) = 'U__exemplar_of_' AND"));
        assert_eq!(of(&[(MatchOp::Equal, "zone", "a")]), None);
        assert_eq!(of(&[(MatchOp::Equal, "__name__", "")]), None);
    }
}
