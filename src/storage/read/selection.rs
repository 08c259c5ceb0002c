//! A remote read query to what it selects: destinations, matchers, a range of time.

use go_regex::{Pattern, RegexError};
use prom_model::{Labels, MatchOp};
use prom_wire::prompb;

use super::patterns::{LIGHT_BYTES, PatternLimits, PatternsTooLarge};
use super::windows::Wanted;
use crate::storage::destination::Destination;
use crate::storage::limits::MAX_TIME_MS;
use crate::storage::routing::{RoutePart, Routing};

/// The value of [`prompb::ReadHints::func`] with which Prometheus queries labels without samples.
const LABELS_ONLY_FUNC: &str = "series";

/// Tables that one query may read; each costs two statements at least.
pub const MAX_DESTINATIONS: usize = 100;
/// Tables that the queries of one request may read.
pub const MAX_DESTINATIONS_OF_REQUEST: usize = 200;

/// The longest part of a pattern in an error.
const MAX_SHOWN_PATTERN_BYTES: usize = 400;

/// A condition on one label; an absent label has the empty value.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label's name.
    pub name: String,
    /// The condition for its value.
    pub condition: Condition,
}

/// The start of a pattern, so that a response has room for the error in it.
fn excerpt(pattern: &str) -> &str {
    &pattern[..pattern.floor_char_boundary(MAX_SHOWN_PATTERN_BYTES)]
}

/// The condition for the value of a label.
#[derive(Clone, Debug)]
pub enum Condition {
    /// `=`
    Equal(String),
    /// `!=`
    NotEqual(String),
    /// `=~`
    Regex(Pattern),
    /// `!~`
    NotRegex(Pattern),
}

impl Matcher {
    /// Builds a matcher.
    ///
    /// # Errors
    /// The operator is a regular expression and `value` is not a valid one.
    pub fn new(op: MatchOp, name: &str, value: &str) -> Result<Self, QueryError> {
        let compile = |pattern: &str| Pattern::new(pattern).map_err(PatternsTooLarge::Invalid);
        Self::with(op, name, value, compile)
    }

    fn with(
        op: MatchOp,
        name: &str,
        value: &str,
        mut compile: impl FnMut(&str) -> Result<Pattern, PatternsTooLarge>,
    ) -> Result<Self, QueryError> {
        let mut pattern = || {
            compile(value).map_err(|error| match error {
                PatternsTooLarge::Invalid(reason) => QueryError::InvalidRegex {
                    matcher: format!("{}{}{:?}", excerpt(name), op.symbol(), excerpt(value)),
                    reason,
                },
                error => QueryError::Patterns(error),
            })
        };
        let condition = match op {
            MatchOp::Equal => Condition::Equal(value.to_owned()),
            MatchOp::NotEqual => Condition::NotEqual(value.to_owned()),
            MatchOp::Regex => Condition::Regex(pattern()?),
            MatchOp::NotRegex => Condition::NotRegex(pattern()?),
        };
        Ok(Self {
            name: name.to_owned(),
            condition,
        })
    }

    /// Returns true if a label with this value (empty if absent) satisfies the matcher.
    pub fn matches(&self, value: &str) -> bool {
        match &self.condition {
            Condition::Equal(expected) => value == expected,
            Condition::NotEqual(unwanted) => value != unwanted,
            Condition::Regex(pattern) => pattern.matches(value),
            Condition::NotRegex(pattern) => !pattern.matches(value),
        }
    }

    /// As [`Self::matches`], but true where a regular expression would have to be matched: that can
    /// take long.
    pub fn may_match(&self, value: &str) -> bool {
        match &self.condition {
            Condition::Regex(pattern) | Condition::NotRegex(pattern)
                if pattern.literals().is_none() =>
            {
                true
            }
            _ => self.matches(value),
        }
    }

    /// Returns how many values [`Self::values`] has.
    pub fn value_count(&self) -> Option<usize> {
        match &self.condition {
            Condition::Equal(_) => Some(1),
            Condition::Regex(pattern) => pattern.literals().map(<[_]>::len),
            Condition::NotEqual(_) | Condition::NotRegex(_) => None,
        }
    }

    /// The only values that can satisfy the matcher, sorted, if there are few enough to be listed.
    pub fn values(&self) -> Option<Vec<String>> {
        match &self.condition {
            Condition::Equal(value) => Some(vec![value.clone()]),
            Condition::Regex(pattern) => pattern.literals().map(<[_]>::to_vec),
            Condition::NotEqual(_) | Condition::NotRegex(_) => None,
        }
    }
}

/// The error of a query that cannot be run; the caller must change it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// The type of a matcher is none of the four.
    #[error(
        "UnknownMatcherError: unknown matcher type {0}; the matchers that exist are 0 (=), 1 (!=), 2 (=~) and 3 (!~)"
    )]
    UnknownMatcher(i32),
    /// The regular expressions of the request are over a limit.
    #[error(transparent)]
    Patterns(PatternsTooLarge),
    /// The queries read too many tables.
    #[error(
        "ReadLimitError: the {of} reads more than {limit} tables; name fewer in the matchers on the labels of database and table"
    )]
    TooManyDestinations {
        /// `query` or `request`.
        of: &'static str,
        /// The most that it may read.
        limit: usize,
    },
    /// A regular expression cannot be compiled.
    #[error("invalid regular expression in the matcher {matcher}: {reason}")]
    InvalidRegex {
        /// The matcher as PromQL writes it; a long pattern is cut.
        matcher: String,
        /// The error.
        reason: RegexError,
    },
    /// No matcher names the database and there is no default one.
    #[error(
        "MissingDatabaseWithQueryError: no Timestream database is specified in the query, please provide the database in the PromQL as a label matcher {{{0}=\"<databaseName>\"}}"
    )]
    MissingDatabase(String),
    /// No matcher names the table and there is no default one.
    #[error(
        "MissingTableWithQueryError: no Timestream table is specified in the query, please provide the table in the PromQL as a label matcher {{{0}=\"<tableName>\"}}"
    )]
    MissingTable(String),
    /// A destination label is matched in a way that names no destinations.
    #[error(
        "the label {0} names the destination in Timestream, so it can only be matched with = or with =~ over plain alternatives such as \"a|b\""
    )]
    OpenDestination(String),
    /// The SQL text would exceed the limit of Timestream.
    #[error("the matchers of the query need more than {limit} bytes of SQL, the maximum of Timestream; shorten them or split the query", limit = crate::storage::limits::MAX_QUERY_BYTES)]
    TooLong,
}

/// The selection of one remote read query.
#[derive(Clone, Debug)]
pub struct Selection {
    /// The tables to query; empty if the matchers contradict one another.
    pub destinations: Vec<Destination>,
    /// All must hold. None is on a destination label.
    pub matchers: Vec<Matcher>,
    /// First and last millisecond, both included; `None` if no sample can be inside.
    pub range: Option<(i64, i64)>,
    /// The samples that are wanted of each series.
    pub wanted: Wanted,
}

impl Selection {
    /// Returns whether one series can take longer to match than a thread that serves connections may
    /// be occupied.
    pub fn is_heavy(&self) -> bool {
        let compiled_bytes = self
            .matchers
            .iter()
            .map(|matcher| match &matcher.condition {
                Condition::Regex(pattern) | Condition::NotRegex(pattern) => {
                    pattern.compiled_bytes()
                }
                Condition::Equal(_) | Condition::NotEqual(_) => 0,
            });
        compiled_bytes.sum::<usize>() > LIGHT_BYTES
    }

    /// Returns true if a series with these labels is selected.
    pub fn matches(&self, labels: &Labels) -> bool {
        self.matchers
            .iter()
            .all(|matcher| matcher.matches(labels.get(&matcher.name)))
    }
}

/// Reads what `query` selects.
///
/// The range is the intersection of the query's range and that of its hints, because the former
/// spans all selectors of the PromQL query and the latter is this selector's.
///
/// # Errors
/// See [`QueryError`].
fn query_to_selection(
    query: &prompb::Query,
    routing: &Routing,
    limits: &mut PatternLimits<'_>,
) -> Result<Selection, QueryError> {
    let mut matchers = query
        .matchers
        .iter()
        .map(|matcher| read_matcher(matcher, limits))
        .collect::<Result<Vec<_>, _>>()?;
    let databases = take_destinations(
        &mut matchers,
        &routing.database,
        QueryError::MissingDatabase,
    )?;
    let tables = take_destinations(&mut matchers, &routing.table, QueryError::MissingTable)?;
    if databases.len().saturating_mul(tables.len()) > MAX_DESTINATIONS {
        return Err(TOO_MANY_DESTINATIONS);
    }
    let destinations = databases
        .iter()
        .flat_map(|database| {
            tables.iter().map(|table| Destination {
                database: database.clone(),
                table: table.clone(),
            })
        })
        .collect();
    let hints = query.hints.as_ref();
    Ok(Selection {
        destinations,
        matchers,
        range: range(query),
        wanted: match hints.is_some_and(|hints| hints.func == LABELS_ONLY_FUNC) {
            true => Wanted::Labels,
            false => Wanted::All,
        },
    })
}

/// Reads what all queries of a request select.
///
/// # Errors
/// See [`QueryError`].
pub fn queries_to_selections(
    queries: &[prompb::Query],
    routing: &Routing,
    mut limits: PatternLimits<'_>,
) -> Result<Vec<Selection>, QueryError> {
    let mut destinations = 0;
    let mut selections = Vec::with_capacity(queries.len());
    for query in queries {
        let selection = query_to_selection(query, routing, &mut limits)?;
        destinations += selection.destinations.len();
        if destinations > MAX_DESTINATIONS_OF_REQUEST {
            return Err(QueryError::TooManyDestinations {
                of: "request",
                limit: MAX_DESTINATIONS_OF_REQUEST,
            });
        }
        selections.push(selection);
    }
    Ok(selections)
}

const TOO_MANY_DESTINATIONS: QueryError = QueryError::TooManyDestinations {
    of: "query",
    limit: MAX_DESTINATIONS,
};

fn read_matcher(
    matcher: &prompb::LabelMatcher,
    limits: &mut PatternLimits<'_>,
) -> Result<Matcher, QueryError> {
    use prompb::label_matcher::Type;
    let op = match Type::try_from(matcher.r#type) {
        Ok(Type::Eq) => MatchOp::Equal,
        Ok(Type::Neq) => MatchOp::NotEqual,
        Ok(Type::Re) => MatchOp::Regex,
        Ok(Type::Nre) => MatchOp::NotRegex,
        Err(_) => return Err(QueryError::UnknownMatcher(matcher.r#type)),
    };
    Matcher::with(op, &matcher.name, &matcher.value, |pattern| {
        limits.compile(pattern)
    })
}

/// Takes the matchers on one destination label out and returns the names they leave.
fn take_destinations(
    matchers: &mut Vec<Matcher>,
    part: &RoutePart,
    missing: fn(String) -> QueryError,
) -> Result<Vec<String>, QueryError> {
    let label = part.label.clone().unwrap_or_default();
    let mut names: Option<Vec<String>> = None;
    for matcher in matchers.extract_if(.., |matcher| Some(&matcher.name) == part.label.as_ref()) {
        // Sorted, so that each name is found without reading all of them.
        let values = matcher
            .values()
            .ok_or_else(|| QueryError::OpenDestination(label.clone()))?;
        match &mut names {
            None => names = Some(values),
            Some(names) => names.retain(|name| values.binary_search(name).is_ok()),
        }
    }
    if names
        .as_ref()
        .is_some_and(|names| names.len() > MAX_DESTINATIONS)
    {
        return Err(TOO_MANY_DESTINATIONS);
    }
    // The empty value is that of a series without the label: it went to the default.
    let mut found = Vec::new();
    for name in names.unwrap_or_else(|| vec![String::new()]) {
        let name = if name.is_empty() {
            part.default.clone().ok_or_else(|| missing(label.clone()))?
        } else {
            name
        };
        if !found.contains(&name) {
            found.push(name);
        }
    }
    Ok(found)
}

fn range(query: &prompb::Query) -> Option<(i64, i64)> {
    let (mut start, mut end) = (query.start_timestamp_ms, query.end_timestamp_ms);
    if let Some(hints) = query
        .hints
        .as_ref()
        .filter(|hints| (hints.start_ms, hints.end_ms) != (0, 0))
    {
        start = start.max(hints.start_ms);
        end = end.min(hints.end_ms);
    }
    let (start, end) = (start.max(0), end.min(MAX_TIME_MS));
    (start <= end).then_some((start, end))
}

#[cfg(test)]
mod tests {
    use super::*;
    use prom_wire::budget::MemoryBudget;
    use prom_wire::prompb::label_matcher::Type;

    fn selected(query: &prompb::Query) -> Result<Selection, QueryError> {
        let reservation = &mut MemoryBudget::new(1 << 30).reservation();
        query_to_selection(query, &routing(), &mut PatternLimits::new(reservation))
    }

    fn routing() -> Routing {
        let part = |label: &str, default: Option<&str>| RoutePart {
            label: Some(label.to_owned()),
            default: default.map(str::to_owned),
        };
        Routing {
            database: part("db", Some("main")),
            table: part("tbl", None),
        }
    }

    fn query(matchers: &[(Type, &str, &str)]) -> prompb::Query {
        let matchers = matchers
            .iter()
            .map(|&(op, name, value)| prompb::LabelMatcher {
                r#type: op.into(),
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .collect();
        prompb::Query {
            start_timestamp_ms: 0,
            end_timestamp_ms: 10,
            matchers,
            hints: None,
        }
    }

    fn destinations(matchers: &[(Type, &str, &str)]) -> Result<Vec<String>, QueryError> {
        let selection = selected(&query(matchers))?;
        assert!(
            selection
                .matchers
                .iter()
                .all(|m| m.name != "db" && m.name != "tbl")
        );
        Ok(selection
            .destinations
            .iter()
            .map(ToString::to_string)
            .collect())
    }

    #[test]
    fn destinations_of_a_query() {
        let open = |label: &str| Err(QueryError::OpenDestination(label.to_owned()));
        let missing = Err(QueryError::MissingTable("tbl".to_owned()));
        let cases: [(&[(Type, &str, &str)], Result<Vec<&str>, QueryError>); 10] = [
            (
                &[(Type::Eq, "db", "a"), (Type::Eq, "tbl", "t")],
                Ok(vec!["a/t"]),
            ),
            (&[(Type::Eq, "tbl", "t")], Ok(vec!["main/t"])),
            (
                &[(Type::Eq, "tbl", "t"), (Type::Eq, "db", "")],
                Ok(vec!["main/t"]),
            ),
            (
                &[(Type::Re, "tbl", "t|u"), (Type::Re, "db", "a|")],
                Ok(vec!["main/t", "main/u", "a/t", "a/u"]),
            ),
            (
                &[(Type::Re, "tbl", "t|u"), (Type::Eq, "tbl", "u")],
                Ok(vec!["main/u"]),
            ),
            (&[(Type::Eq, "db", "a")], missing.clone()),
            (&[(Type::Eq, "tbl", "")], missing),
            (&[(Type::Re, "tbl", "t.*")], open("tbl")),
            (&[(Type::Neq, "tbl", "t")], open("tbl")),
            (
                &[(Type::Eq, "tbl", "t"), (Type::Nre, "db", "a")],
                open("db"),
            ),
        ];
        for (matchers, expected) in cases {
            let expected =
                expected.map(|names| names.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(destinations(matchers), expected, "{matchers:?}");
        }
    }

    #[test]
    fn the_tables_of_a_query_and_of_a_request_are_limited() {
        let names = |count: usize| {
            let names: Vec<_> = (0..count).map(|n| format!("n{n}")).collect();
            names.join("|")
        };
        let of = |databases: usize, tables: usize| {
            query(&[
                (Type::Re, "db", &names(databases)),
                (Type::Re, "tbl", &names(tables)),
            ])
        };
        let cases = [
            (10, 10, true),
            (1, 100, true),
            (11, 10, false),
            (4_000, 4_000, false),
        ];
        for (databases, tables, fits) in cases {
            let selected = selected(&of(databases, tables)).map(|it| it.destinations.len());
            let expected = match fits {
                true => Ok(databases * tables),
                false => Err(TOO_MANY_DESTINATIONS),
            };
            assert_eq!(selected, expected, "{databases} {tables}");
        }
        let reservation = &mut MemoryBudget::new(1 << 30).reservation();
        let mut selected = |queries: &[prompb::Query]| {
            let limits = PatternLimits::new(reservation);
            queries_to_selections(queries, &routing(), limits).map(|it| it.len())
        };
        let queries = [of(10, 10), of(10, 10), of(1, 1)];
        assert_eq!(selected(&queries[..2]), Ok(2));
        let error = selected(&queries).unwrap_err().to_string();
        assert!(
            error.contains("request reads more than 200 tables"),
            "{error}"
        );
    }

    #[test]
    fn the_range_is_what_query_and_hints_share() {
        let hints = |start_ms, end_ms| {
            Some(prompb::ReadHints {
                start_ms,
                end_ms,
                ..Default::default()
            })
        };
        let cases = [
            (5, 10, None, Some((5, 10))),
            (5, 10, hints(0, 0), Some((5, 10))),
            (5, 10, hints(6, 12), Some((6, 10))),
            (5, 10, hints(11, 12), None),
            (
                -9_223_309_901_257_974_000,
                9_223_309_901_257_974_999,
                None,
                Some((0, MAX_TIME_MS)),
            ),
            (-5, -1, None, None),
        ];
        for (start_timestamp_ms, end_timestamp_ms, hints, expected) in cases {
            let query = prompb::Query {
                start_timestamp_ms,
                end_timestamp_ms,
                matchers: vec![],
                hints,
            };
            assert_eq!(range(&query), expected);
        }
    }

    #[test]
    fn absent_labels_have_the_empty_value() {
        let cases = [
            (MatchOp::Equal, "", true),
            (MatchOp::Equal, "a", false),
            (MatchOp::NotEqual, "", false),
            (MatchOp::NotEqual, "a", true),
            (MatchOp::Regex, ".*", true),
            (MatchOp::Regex, "a|", true),
            (MatchOp::Regex, "a", false),
            (MatchOp::NotRegex, ".+", true),
            (MatchOp::NotRegex, "a?", false),
        ];
        for (op, value, expected) in cases {
            let matcher = Matcher::new(op, "l", value).unwrap();
            assert_eq!(
                matcher.matches(Labels::default().get("l")),
                expected,
                "{op:?} {value}"
            );
        }
    }

    #[test]
    fn an_unknown_matcher_type_is_named() {
        let mut query = query(&[(Type::Eq, "tbl", "t")]);
        query.matchers[0].r#type = 7;
        let error = selected(&query).unwrap_err();
        assert_eq!(error, QueryError::UnknownMatcher(7));
    }
}
