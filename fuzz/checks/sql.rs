//! SQL: for any names and values of a query, its text is one statement that quotes these and
//! nothing else.

use std::collections::BTreeSet;

use prom_model::MatchOp;
use timestream_emulator::inspect;
use timestream_prometheus_connector::storage::destination::Destination;
use timestream_prometheus_connector::storage::histogram::stale_texts;
use timestream_prometheus_connector::storage::limits::MAX_TIME_MS;
use timestream_prometheus_connector::storage::names::{
    ESCAPE_PREFIX, HISTOGRAM_PREFIX, VALUE_BITS_DIMENSION, stored_forms,
};
use timestream_prometheus_connector::storage::read::datum::Datum;
use timestream_prometheus_connector::storage::read::schema::Schema;
use timestream_prometheus_connector::storage::read::selection::{Condition, Matcher, Selection};
use timestream_prometheus_connector::storage::read::sql::{
    BINS, describe, selection_to_sql, show_measures,
};
use timestream_prometheus_connector::storage::read::windows::{Wanted, Windows};

/// Reads `input` as texts separated by bytes that UTF-8 does not have: database, table, then
/// operator, label and value of each matcher. The operator also determines whether the label is a
/// column.
pub(crate) fn check(input: &[u8]) {
    let parts: Result<Vec<&str>, _> = input
        .split(|byte| *byte == 0xff)
        .map(std::str::from_utf8)
        .collect();
    let Ok([database, table, matchers @ ..]) = parts.as_deref() else {
        return;
    };
    let destination = Destination {
        database: (*database).to_owned(),
        table: (*table).to_owned(),
    };
    let quoted = |sql: &str| match inspect::statement(sql) {
        Ok(quoted) => quoted,
        Err(reason) => panic!("{reason}: {sql}"),
    };
    assert_eq!(quoted(&describe(&destination)).names, [*database, *table]);

    let mut selection = Selection {
        destinations: vec![destination.clone()],
        matchers: Vec::new(),
        range: Some((0, MAX_TIME_MS)),
        wanted: Wanted::All,
    };
    let mut columns = [
        "measure_value::double",
        "measure_value::varchar",
        VALUE_BITS_DIMENSION,
    ]
    .map(str::to_owned)
    .to_vec();
    let mut strings = BTreeSet::from(["", ESCAPE_PREFIX, HISTOGRAM_PREFIX].map(str::to_owned));
    strings.insert(format!("{HISTOGRAM_PREFIX}{ESCAPE_PREFIX}"));
    strings.extend(stale_texts());
    for matcher in matchers.chunks_exact(3) {
        let [op, label, value] = [matcher[0], matcher[1], matcher[2]];
        let show = quoted(&show_measures(&destination, value));
        assert_eq!(
            (show.names.as_slice(), show.strings.as_slice()),
            (
                [*database, *table].map(str::to_owned).as_slice(),
                [value.to_owned()].as_slice()
            )
        );
        let op_byte = op.bytes().next().unwrap_or_default();
        let op = [
            MatchOp::Equal,
            MatchOp::NotEqual,
            MatchOp::Regex,
            MatchOp::NotRegex,
        ][usize::from(op_byte % 4)];
        if op_byte & 4 == 0 {
            columns.extend(stored_forms(label));
        }
        let Ok(matcher) = Matcher::new(op, label, value) else {
            continue;
        };
        strings.extend(texts(&matcher));
        selection.matchers.push(matcher);
        selection.wanted = match op_byte >> 3 & 3 {
            0 => selection.wanted,
            1 => Wanted::Labels,
            kind => Wanted::Windows(Windows::new(7, 3_600_000, 300_000, kind == 2)),
        };
    }
    let schema =
        Schema::from_describe(&columns.iter().map(|name| column(name)).collect::<Vec<_>>())
            .expect("the rows have their shape");
    for bin in BINS {
        let queries = selection_to_sql(&selection, &destination, &schema, bin);
        for query in queries.into_iter().flatten() {
            let quoted = quoted(&query.text);
            for string in &quoted.strings {
                assert!(strings.contains(string), "{string:?} in {}", query.text);
            }
            let aliases: Vec<_> = (0..=columns.len()).map(|n| format!("U__{n}")).collect();
            let known = |name: &String| {
                let fixed = [*database, *table, "samples", "value"];
                columns.contains(name) || aliases.contains(name) || fixed.contains(&name.as_str())
            };
            assert!(quoted.names.iter().all(known), "{}", query.text);
            assert_eq!(query.columns.dimensions, schema.dimensions());
        }
    }
}

/// Returns a row of DESCRIBE.
fn column(name: &str) -> Vec<Datum> {
    let [data_type, kind] = match name {
        "measure_value::double" => ["double", "MEASURE_VALUE"],
        "measure_value::varchar" => ["varchar", "MEASURE_VALUE"],
        _ => ["varchar", "DIMENSION"],
    };
    [name, data_type, kind]
        .map(|text| Datum::Scalar(text.to_owned()))
        .into()
}

/// Returns the texts that a matcher may put between quotes.
fn texts(matcher: &Matcher) -> Vec<String> {
    let mut texts = match &matcher.condition {
        Condition::Equal(text) | Condition::NotEqual(text) => vec![text.clone()],
        Condition::Regex(pattern) | Condition::NotRegex(pattern) => {
            pattern.literals().unwrap_or_default().to_vec()
        }
    };
    let stored: Vec<String> = texts.iter().flat_map(|text| stored_forms(text)).collect();
    texts.extend(stored);
    let of_histograms = texts.iter().map(|form| format!("{HISTOGRAM_PREFIX}{form}"));
    let of_histograms: Vec<String> = of_histograms.collect();
    texts.extend(of_histograms);
    if let Condition::Regex(pattern) | Condition::NotRegex(pattern) = &matcher.condition {
        texts.extend(pattern.to_java());
        texts.extend(pattern.to_java_after(HISTOGRAM_PREFIX));
    }
    texts
}
