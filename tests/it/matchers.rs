//! Matchers select the same series as PromQL.

mod regex;

use prom_wire::prompb::label_matcher::Type;

use crate::support::{START_MS, TestApp, query, series};

#[tokio::test]
async fn matchers_select_what_promql_selects() {
    let app = TestApp::start().await;
    // The series are named by their label id.
    let all: &[&[(&str, &str)]] = &[
        &[
            ("__name__", "m"),
            ("id", "1"),
            ("env", "prod"),
            ("path", "/api/v1"),
        ],
        &[
            ("__name__", "m"),
            ("id", "2"),
            ("env", "dev"),
            ("path", "/api/v2\n"),
        ],
        &[("__name__", "m"), ("id", "3"), ("path", "it's")],
        &[("__name__", "n"), ("id", "4"), ("env", "production")],
        &[("__name__", "a:b"), ("id", "5"), ("env", "prod")],
        &[("__name__", "time"), ("id", "6")],
    ];
    app.write_ok(
        all.iter()
            .map(|labels| series(labels, &[(START_MS, 1.0)]))
            .collect(),
    )
    .await;

    use Type::{Eq, Neq, Nre, Re};
    let cases: &[(&[(Type, &str, &str)], &str)] = &[
        (&[(Eq, "env", "prod")], "15"),
        (&[(Neq, "env", "prod")], "2346"),
        (&[(Eq, "env", "")], "36"),
        (&[(Neq, "env", "")], "1245"),
        (&[(Re, "env", "prod")], "15"),
        (&[(Re, "env", "prod.*")], "145"),
        (&[(Re, "env", ".*")], "123456"),
        (&[(Re, "env", ".+")], "1245"),
        (&[(Re, "env", "")], "36"),
        (&[(Re, "env", "prod|")], "1356"),
        (&[(Re, "env", "prod|dev")], "125"),
        (&[(Re, "env", "(?P<kind>dev|prod)")], "125"),
        (&[(Re, "env", "(?i)PROD")], "15"),
        (&[(Nre, "env", "prod|dev")], "346"),
        (&[(Nre, "env", ".+")], "36"),
        (&[(Nre, "env", "prod.*|")], "2"),
        (&[(Nre, "env", "d?ev|")], "145"),
        // A dot matches a newline, and the end is the end.
        (&[(Re, "path", "/api/v.*")], "12"),
        (&[(Re, "path", "/api/v.")], "1"),
        (&[(Re, "path", "/api/v[0-9]\n?")], "12"),
        (&[(Re, "path", "/api/v\\d")], "1"),
        // All of Go's syntax.
        (&[(Re, "path", r"/api/v\d|\Qit's\E")], "13"),
        (&[(Re, "path", r"/api/v[12]\s?")], "12"),
        (&[(Re, "path", r"[[:alpha:]]{2}'s")], "3"),
        (&[(Re, "path", r"/\w+/v[\d&&]\x0A?")], "12"),
        (&[(Re, "path", "/api/v{0,1}.")], "1"),
        (&[(Re, "path", "/api/v{,1}.|")], "456"),
        (&[(Re, "path", "(?-s)/api/v.+$|^$")], "1456"),
        (&[(Re, "path", r"(?m)/api/v2$\n")], "2"),
        (&[(Nre, "path", r".*\bapi\b.*")], "3456"),
        (&[(Re, "env", "(?i)^PROD(UCTION)?$")], "145"),
        (&[(Re, "env", r"\p{Ll}{3}")], "2"),
        (&[(Nre, "env", r"[^\p{Greek}]*")], ""),
        (&[(Re, "env", "p(?U:ro+?)d(uction){0}")], "15"),
        (&[(Eq, "path", "it's")], "3"),
        (&[(Re, "path", "it's|x'y")], "3"),
        // A label that no series has.
        (&[(Eq, "zone", "")], "123456"),
        (&[(Eq, "zone", "x")], ""),
        (&[(Neq, "zone", "x")], "123456"),
        (&[(Re, "zone", "x?")], "123456"),
        (&[(Nre, "zone", "x?")], ""),
        // The name is a label like any other.
        (&[(Re, "__name__", "m|n")], "1234"),
        (&[(Re, "__name__", "m|a:b|none")], "1235"),
        (&[(Re, "__name__", "[mn]")], "1234"),
        (&[(Re, "__name__", "(?i)^(M|time)$")], "1236"),
        (&[(Re, "__name__", r"\Qa:b\E|\x6e")], "45"),
        (&[(Re, "__name__", "[^mn].*")], "56"),
        (&[(Nre, "__name__", r"\w+")], "5"),
        (&[(Re, "__name__", "a:.*|t.me")], "56"),
        (&[(Neq, "__name__", "m")], "456"),
        (&[(Neq, "__name__", "time")], "12345"),
        (&[(Nre, "__name__", "m|a.b")], "46"),
        (&[(Eq, "__name__", "")], ""),
        (&[(Eq, "__name__", "time")], "6"),
        (&[(Eq, "__name__", "m"), (Neq, "__name__", "m")], ""),
        // Several on one label.
        (&[(Re, "env", "prod.*"), (Neq, "env", "prod")], "4"),
        (
            &[(Neq, "env", "prod"), (Neq, "env", "dev"), (Neq, "env", "")],
            "4",
        ),
    ];
    for (matchers, expected) in cases {
        let read = app.read(vec![query(matchers)]).await;
        let mut ids: Vec<_> = read[0]
            .iter()
            .map(|series| {
                series
                    .labels
                    .iter()
                    .find(|l| l.name == "id")
                    .unwrap()
                    .value
                    .clone()
            })
            .collect();
        ids.sort_unstable();
        assert_eq!(ids.concat(), *expected, "{matchers:?}");
    }
}

/// Returns one matcher for each of `values`.
fn each<'v>(op: Type, name: &'v str, values: &'v [String]) -> Vec<(Type, &'v str, &'v str)> {
    values.iter().map(|it| (op, name, it.as_str())).collect()
}

#[tokio::test]
async fn more_matchers_than_timestream_is_given_select_what_promql_selects() {
    let app = TestApp::start().await;
    let labels = |id, env, name| [("__name__", name), ("env", env), ("id", id)];
    let all = [
        labels("1", "prod", "m"),
        labels("2", "dev", "m"),
        labels("3", "v89", "m"),
        labels("4", "prod", "n89"),
        labels("5", "prod", "n1500"),
    ];
    app.write_ok(
        all.iter()
            .map(|labels| series(labels, &[(START_MS, 1.0)]))
            .collect(),
    )
    .await;

    use Type::{Eq, Neq, Nre, Re};
    let texts = |start: &str, count: usize| -> Vec<String> {
        (0..count).map(|n| format!("{start}{n}")).collect()
    };
    // As many as a query may have, at most.
    let (values, names) = (texts("v", 90), texts("n", 90));
    let patterns: Vec<_> = values.iter().map(|it| format!("{it}.*")).collect();
    let list = texts("v", 1_500).join("|");
    let name_list = format!("m|{}", texts("n", 1_501).join("|"));
    let cases = [
        (each(Neq, "env", &values), "1245"),
        (each(Nre, "env", &patterns), "1245"),
        (each(Re, "env", &patterns[89..]).repeat(190), "3"),
        (each(Eq, "env", &values[89..]).repeat(190), "3"),
        (each(Eq, "env", &values), ""),
        (
            [each(Neq, "env", &values), each(Neq, "__name__", &names)].concat(),
            "125",
        ),
        (vec![(Re, "env", &list)], "3"),
        (vec![(Nre, "env", &list)], "1245"),
        (vec![(Re, "__name__", &name_list)], "12345"),
        (
            vec![(Re, "__name__", &name_list), (Neq, "__name__", "m")],
            "45",
        ),
        (vec![(Nre, "__name__", &name_list)], ""),
    ];
    for (matchers, expected) in cases {
        let read = app.read(vec![query(&matchers)]).await;
        let labels = read[0].iter().flat_map(|series| &series.labels);
        let mut ids: Vec<_> = labels
            .filter(|it| it.name == "id")
            .map(|it| &*it.value)
            .collect();
        ids.sort_unstable();
        assert_eq!(ids.concat(), expected, "{:?} ...", matchers[0]);
    }
}

#[tokio::test]
async fn unsupported_queries_fail_with_the_reason() {
    let app = TestApp::start().await;
    use Type::{Eq, Nre, Re};
    let mut unknown = query(&[(Eq, "a", "b")]);
    unknown.matchers[0].r#type = 9;
    let cases = [
        (
            query(&[(Re, "l", "a(")]),
            "invalid regular expression in the matcher l=~\"a(\": missing closing ): close the group",
        ),
        (
            query(&[(Nre, "l", "(?=a)b")]),
            "in the matcher l!~\"(?=a)b\": invalid or unsupported Perl syntax: `(?=`; groups are (a),",
        ),
        (
            query(&[(Re, "l", &format!("{}**", "a".repeat(5_000)))]),
            "invalid nested repetition operator: `**`; put the repeated part into a group",
        ),
        (
            query(&[(Re, "table", "o.*")]),
            "the label table names the destination",
        ),
        (unknown, "UnknownMatcherError: unknown matcher type 9"),
        (
            query(&[(Eq, "__name__", "m"), (Eq, "table", "missing")]),
            "missing",
        ),
    ];
    for (query, expected) in cases {
        let response = app.read_raw(vec![query]).await;
        assert_eq!(response.status, 400, "{}", response.text());
        assert!(response.text().contains(expected), "{}", response.text());
    }
}

#[tokio::test]
async fn a_query_without_a_destination_says_how_to_give_one() {
    let app = TestApp::start_with(&["--default-table="]).await;
    let response = app
        .read_raw(vec![query(&[(Type::Eq, "__name__", "m")])])
        .await;
    assert_eq!(response.status, 400);
    assert_eq!(
        response.text(),
        "MissingTableWithQueryError: no Timestream table is specified in the query, please provide \
         the table in the PromQL as a label matcher {table=\"<tableName>\"}"
    );
}
