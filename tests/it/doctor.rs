//! `bootstrap doctor`: what it says about set-ups that are right, and about each thing that is wrong.

use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use http::StatusCode;
use prom_wire::prompb::label_matcher::Type;
use serde_json::Value;
use timestream_emulator::{Config, Emulator, Fault, FaultKind, TableSpec, When};
use tokio::net::TcpListener;

use crate::standalone::{Connector, DEFAULTS, command};
use crate::support::{TestApp, connect, now_ms, query, series, start_emulator, table, write_body};

/// The outcome of a run.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: Option<i32>,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Run {
    /// Returns the checks of a report in JSON: name, result, and the whole.
    fn checks(&self) -> Vec<(String, String, Value)> {
        let report: Value = serde_json::from_str(&self.output).expect(&self.output);
        let text = |check: &Value, key: &str| check[key].as_str().expect(key).to_owned();
        let checks = report["checks"].as_array().expect("a list").iter();
        let checks = checks.map(|it| (text(it, "check"), text(it, "result"), it.clone()));
        checks.collect()
    }

    /// Returns the result of a check.
    pub(crate) fn result(&self, name: &str) -> String {
        let checks = self.checks();
        let found = checks.iter().find(|(check, _, _)| check == name);
        found
            .unwrap_or_else(|| panic!("no {name}: {checks:?}"))
            .1
            .clone()
    }

    /// Returns detail and remedy of a check.
    pub(crate) fn text(&self, name: &str) -> String {
        let checks = self.checks();
        let (_, _, check) = checks
            .iter()
            .find(|(check, _, _)| check == name)
            .expect(name);
        format!("{} {}", check["detail"], check["remedy"])
    }

    /// Returns the names of the checks with this result.
    pub(crate) fn with(&self, result: &str) -> Vec<String> {
        let checks = self.checks().into_iter();
        let checks = checks.filter(|(_, found, _)| found == result);
        checks.map(|(name, _, _)| name).collect()
    }
}

pub(crate) const CREDENTIALS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "local"),
    ("AWS_SECRET_ACCESS_KEY", "local"),
];

/// Runs the command with these flags and variables, and no others.
pub(crate) async fn run(flags: &[&str], variables: &[(&str, &str)]) -> Run {
    let mut command = command(&[&["doctor"], flags].concat());
    command
        .envs(variables.iter().copied())
        .stdout(Stdio::piped());
    let output = command.output().await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Run {
        status: output.status.code(),
        output: text(output.stdout),
        errors: text(output.stderr),
    }
}

/// Examines `db`/`t` of an emulator.
pub(crate) async fn examine(url: &str, flags: &[&str]) -> Run {
    let flags = [&DEFAULTS, &["--json", "--region=eu-west-1"], flags].concat();
    let variables = [&CREDENTIALS[..], &[("AWS_ENDPOINT_URL", url)]].concat();
    run(&flags, &variables).await
}

fn tables() -> Vec<TableSpec> {
    vec![table("db", "t"), table("db", "metrics")]
}

/// All checks of a set-up without jobs and targets of other services.
pub(crate) const CHECKS: [&str; 15] = [
    "configuration",
    "version",
    "credentials",
    "region",
    "clock",
    "endpoint of writes",
    "endpoint of queries",
    "table db/t",
    "metadata table db/metrics",
    "timestream:WriteRecords",
    "timestream:ListMeasures",
    "timestream:DescribeTable",
    "timestream:Select",
    "timestream:CancelQuery",
    "test series",
];

#[tokio::test]
async fn a_right_set_up_passes_every_check() {
    let emulator = Emulator::start(Config {
        tables: tables(),
        cells: 2,
        require_discovery: true,
        ..Config::default()
    });
    let emulator = emulator.await.unwrap();
    let run = examine(&emulator.url(), &["--endpoint-discovery=on"]).await;
    assert_eq!(run.status, Some(0), "{run:?}");
    assert_eq!(run.with("ok"), CHECKS);
    assert_eq!(run.errors, "");
    let credentials = run.text("credentials");
    assert!(
        credentials.contains("environment variables"),
        "{credentials}"
    );
    assert!(!credentials.contains("local"), "{credentials}");
    let cell = emulator.cell_urls()[0].replace("http://", "");
    assert!(run.text("endpoint of queries").contains(&cell), "{run:?}");
    assert!(
        run.text("table db/t").contains("account 000000000000"),
        "{run:?}"
    );
    let points = emulator.points("db", "t");
    assert_eq!(points.len(), 1, "{points:?}");

    // The same as a table, with a custom endpoint and without a record.
    let emulator = start_emulator(tables()).await;
    let url = emulator.url();
    let variables = [&CREDENTIALS[..], &[("AWS_ENDPOINT_URL", &url)]].concat();
    let run = self::run(&[&DEFAULTS[..], &["--no-write"]].concat(), &variables).await;
    assert_eq!(run.status, Some(0), "{run:?}");
    let mut lines = run.output.lines();
    assert!(lines.next().unwrap().starts_with("check "), "{run:?}");
    let rows: Vec<Vec<&str>> = lines
        .map(|line| line.split("  ").filter(|it| !it.is_empty()).collect())
        .collect();
    let names: Vec<&str> = rows.iter().map(|row| row[0]).collect();
    assert_eq!(names, CHECKS);
    let skipped = rows.iter().filter(|row| row[1].trim() == "skipped");
    let skipped: Vec<&str> = skipped.map(|row| row[0]).collect();
    assert_eq!(skipped, ["timestream:WriteRecords", "test series"]);
    assert_eq!(emulator.points("db", "t").len(), 0);
    assert_eq!(emulator.counters().calls.get("WriteRecords"), None);
}

#[tokio::test]
async fn a_missing_table_has_the_command_that_creates_it() {
    let emulator = start_emulator(vec![table("db", "other")]).await;
    let run = examine(&emulator.url(), &[]).await;
    assert_eq!(run.status, Some(1));
    assert_eq!(run.with("fail"), ["table db/t"]);
    let text = run.text("table db/t");
    assert!(
        text.contains("aws timestream-write create-table --database-name db --table-name t "),
        "{text}"
    );
    assert!(!text.contains("create-database"), "{text}");
    // Samples are stored without it.
    assert_eq!(run.with("warn"), ["metadata table db/metrics"]);
    assert_eq!(run.with("skipped"), CHECKS[9..]);
    let run = examine(&emulator.url(), &["--default-database=nosuch"]).await;
    let text = run.text("table nosuch/t");
    assert!(
        text.contains("aws timestream-write create-database --database-name nosuch "),
        "{text}"
    );
    assert_eq!(run.status, Some(1));
}

#[tokio::test]
async fn a_table_without_magnetic_writes_is_a_warning() {
    let emulator = start_emulator(vec![
        TableSpec::new("db", "t"),
        TableSpec::new("db", "metrics"),
    ])
    .await;
    let run = examine(&emulator.url(), &[]).await;
    assert_eq!(run.status, Some(0));
    assert_eq!(run.with("warn"), ["table db/t"]);
    assert!(run.text("table db/t").contains("update-table"), "{run:?}");
}

#[tokio::test]
async fn each_missing_permission_is_named_with_its_resource() {
    let emulator = Emulator::start(Config {
        tables: tables(),
        cells: 1,
        ..Config::default()
    });
    let emulator = emulator.await.unwrap();
    let of_table = "on arn:aws:timestream:eu-west-1:000000000000:database/db/table/t in";
    // The checks that fail, and those that cannot be made then.
    let cases: [(&str, &str, &[&str], &[&str]); 6] = [
        (
            "WriteRecords",
            of_table,
            &["timestream:WriteRecords"],
            &["test series"],
        ),
        ("ListMeasures", of_table, &["timestream:ListMeasures"], &[]),
        (
            "DescribeTable",
            "database/db/table/t in",
            &["table db/t", "timestream:DescribeTable"],
            &[],
        ),
        ("Select", of_table, &["timestream:Select"], &["test series"]),
        ("CancelQuery", "on * in", &["timestream:CancelQuery"], &[]),
        (
            "DescribeEndpoints",
            "on * in",
            &["endpoint of writes", "endpoint of queries"],
            &CHECKS[7..],
        ),
    ];
    for (action, resource, failed, skipped) in cases {
        emulator.clear_faults();
        emulator.order_fault(Fault {
            when: When::Always,
            ..Fault::next(action, 1, FaultKind::AccessDenied)
        });
        let run = examine(&emulator.url(), &["--endpoint-discovery=on"]).await;
        assert_eq!(run.status, Some(1), "{action}");
        assert_eq!(run.with("fail"), failed, "{action}");
        assert_eq!(run.with("skipped"), skipped, "{action}: {run:?}");
        for check in failed {
            let text = run.text(check);
            let expected = format!("allow timestream:{action} ");
            assert!(
                text.contains(&expected) && text.contains(resource),
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_cannot_be_reached_is_named() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    drop(listener);
    let cases = [
        (host.clone(), "auto"),
        (host, "on"),
        ("nosuch.invalid".to_owned(), "on"),
    ];
    for (host, discovery) in cases {
        let began = Instant::now();
        let discovery = format!("--endpoint-discovery={discovery}");
        let run = examine(&format!("http://{host}"), &[&discovery]).await;
        assert_eq!(run.status, Some(1));
        assert_eq!(run.with("fail"), CHECKS[5..7]);
        assert_eq!(run.result("clock"), "skipped");
        assert_eq!(run.with("skipped").len(), 9, "{run:?}");
        for check in &CHECKS[5..7] {
            let text = run.text(check);
            assert!(text.contains(&host), "{text}");
            for dump in ["Request {", "SdkError", "DispatchFailure", "Some("] {
                assert!(!text.contains(dump), "{text}");
            }
        }
        assert!(
            began.elapsed() < Duration::from_secs(30),
            "{:?}",
            began.elapsed()
        );
    }
}

#[tokio::test]
async fn no_credentials_and_wrong_ones() {
    let emulator = start_emulator(tables()).await;
    let url = emulator.url();
    let none = [
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_ENDPOINT_URL", &url),
    ];
    let flags = [&DEFAULTS[..], &["--json"]].concat();
    let run = self::run(&flags, &none).await;
    assert_eq!(run.status, Some(1));
    assert_eq!(run.with("fail"), ["credentials"]);
    assert_eq!(run.with("skipped"), CHECKS[5..]);
    let text = run.text("credentials");
    for word in [
        "no AWS credentials were found",
        "AWS_ACCESS_KEY_ID",
        "AWS_PROFILE",
        "role",
    ] {
        assert!(text.contains(word), "{text}");
    }
    let wrong = [
        ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLEEXAMPLE12"),
        ("AWS_SECRET_ACCESS_KEY", "x7RkT0PsEcReT"),
        ("AWS_ENDPOINT_URL", &url),
    ];
    let run = self::run(&flags, &wrong).await;
    assert_eq!(run.status, Some(1));
    assert!(run.text("credentials").contains("AKID...LE12"), "{run:?}");
    assert_eq!(run.result("table db/t"), "fail");
    assert!(
        run.text("table db/t").contains("correct the access key"),
        "{run:?}"
    );
    assert!(!run.output.contains("x7RkT0PsEcReT"));
}

#[tokio::test]
async fn profiles_of_other_sources_have_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config");
    let text = "[profile sso]\nsso_start_url = https://example.awsapps.com/start\nsso_region = eu-west-1\n\
                sso_account_id = 123456789012\nsso_role_name = r\n\
                [profile process]\ncredential_process = /bin/true\n";
    std::fs::write(&file, text).unwrap();
    let file = file.display().to_string();
    for profile in ["sso", "process"] {
        let variables = [("AWS_CONFIG_FILE", &*file), ("AWS_PROFILE", profile)];
        let run = self::run(&[&DEFAULTS[..], &["--json"]].concat(), &variables).await;
        assert_eq!(run.status, Some(1));
        let text = run.text("credentials");
        assert!(text.contains("aws configure export-credentials"), "{text}");
        assert!(!text.contains("cargo"), "{text}");
    }
}

#[tokio::test]
async fn clocks_that_differ() {
    let cases = [
        (-30, "ok", 0),
        (90, "warn", 0),
        (-400, "fail", 1),
        (400, "fail", 1),
    ];
    for (clock_ahead_seconds, result, status) in cases {
        let emulator = Emulator::start(Config {
            tables: tables(),
            clock_ahead_seconds,
            ..Config::default()
        });
        let emulator = emulator.await.unwrap();
        let run = examine(&emulator.url(), &[]).await;
        assert_eq!(run.result("clock"), result, "{run:?}");
        assert_eq!(run.status, Some(status), "{run:?}");
        if result == "fail" {
            assert_eq!(run.with("skipped"), CHECKS[5..]);
        }
    }
}

#[tokio::test]
async fn configurations_and_command_lines_that_cannot_be_used() {
    let run = self::run(&["--json", "--region=eu west"], &[]).await;
    assert_eq!(run.status, Some(1));
    let failed = run.with("fail");
    assert_eq!(failed, ["configuration"; 3], "{run:?}");
    assert!(run.output.contains("MissingDestinationError"), "{run:?}");
    for flags in [
        &["--nosuch"][..],
        &["--timeout=never"],
        &["--json=1"],
        &["argument"],
    ] {
        let run = self::run(flags, &[]).await;
        assert_eq!(run.status, Some(2), "{run:?}");
        assert!(run.output.is_empty() && !run.errors.is_empty(), "{run:?}");
    }
}

#[tokio::test]
async fn the_whole_run_ends_in_time() {
    let emulator = start_emulator(tables()).await;
    emulator.order_fault(Fault {
        when: When::Always,
        ..Fault::next(
            "DescribeTable",
            1,
            FaultKind::Latency(Duration::from_secs(60)),
        )
    });
    let began = Instant::now();
    let run = examine(&emulator.url(), &["--timeout=2s"]).await;
    assert!(
        began.elapsed() < Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(run.status, Some(1));
    let failed = run.with("fail");
    assert_eq!(failed[0], "table db/t", "{run:?}");
    // The rest has no time.
    assert_eq!(failed[1..], CHECKS[9..13], "{run:?}");
    let host = emulator.url().replace("http://", "");
    assert!(run.text("table db/t").contains(&host), "{run:?}");
    assert!(
        run.text("timestream:Select").contains("--timeout"),
        "{run:?}"
    );
}

#[tokio::test]
async fn a_destination_of_labels_is_not_checked() {
    let emulator = start_emulator(tables()).await;
    let url = emulator.url();
    let variables = [&CREDENTIALS[..], &[("AWS_ENDPOINT_URL", &url)]].concat();
    let run = self::run(
        &["--json", "--database-label=d", "--table-label=t"],
        &variables,
    )
    .await;
    assert_eq!(run.status, Some(0), "{run:?}");
    assert!(run.text("table").contains("--default-table"), "{run:?}");
    assert_eq!(run.result("test series"), "skipped");
}

#[tokio::test]
async fn the_test_series_is_never_returned() {
    let emulator = start_emulator(tables()).await;
    let run = examine(&emulator.url(), &[]).await;
    assert_eq!(run.status, Some(0), "{run:?}");
    let [written] = &emulator.points("db", "t")[..] else {
        panic!("one point");
    };
    assert_eq!(written.measure_name, "U__doctor");
    let router = connect(&emulator, &[]).await;
    let app = TestApp { emulator, router };
    let now = now_ms();
    let everything = |matchers: &[(Type, &str, &str)]| {
        let mut query = query(matchers);
        (query.start_timestamp_ms, query.end_timestamp_ms) = (now - 60_000, now + 60_000);
        query
    };
    let selections = [
        everything(&[(Type::Re, "__name__", ".+")]),
        everything(&[(Type::Re, "__name__", "U__.*")]),
        everything(&[(Type::Neq, "__name__", "up")]),
        everything(&[(Type::Eq, "__name__", "U__doctor")]),
        everything(&[(Type::Eq, "U__no_labels", "1")]),
        everything(&[(Type::Eq, "job", "")]),
        everything(&[]),
    ];
    let encoded = |text: &str| {
        text.replace('{', "%7B")
            .replace('}', "%7D")
            .replace('"', "%22")
            .replace('+', "%2B")
    };
    let (from, to) = (now / 1_000 - 60, now / 1_000 + 60);
    let range = format!("start={from}&end={to}");
    let lists = |with: &str| {
        [
            format!(
                "/api/v1/query?query={}&time={to}{with}",
                encoded("{__name__=~\".+\"}")
            ),
            format!("/api/v1/query?query=U__doctor&time={to}{with}"),
            format!(
                "/api/v1/series?match[]={}&{range}{with}",
                encoded("{__name__=~\".+\"}")
            ),
            format!("/api/v1/labels?{range}{with}"),
            format!("/api/v1/label/__name__/values?{range}{with}"),
            format!("/api/v1/label/U__no_labels/values?{range}{with}"),
            format!(
                "/api/v1/query_exemplars?query={}&{range}{with}",
                encoded("{__name__=~\".+\"}")
            ),
            format!("/api/v1/metadata?limit=10{with}"),
        ]
    };
    // Twice: once as the only series of the table, once beside others.
    for nocache in ["", "&nocache=1"] {
        for selection in &selections {
            let found = app.read(vec![selection.clone()]).await;
            let names = found[0].iter().flat_map(|it| &it.labels);
            let names: Vec<&str> = names
                .filter(|it| it.name == "__name__")
                .map(|it| it.value.as_str())
                .collect();
            assert!(
                names.iter().all(|name| *name == "up"),
                "{selection:?}: {names:?}"
            );
        }
        for path in lists(nocache) {
            let response = app.get(&path).await;
            assert_eq!(
                response.status,
                StatusCode::OK,
                "{path}: {}",
                response.text()
            );
            let text = response.text();
            assert!(!text.contains("U__"), "{path}: {text}");
        }
        app.write_ok(vec![series(&[("__name__", "up")], &[(now, 1.0)])])
            .await;
    }
    // A metric of the same name is one like others.
    app.write_ok(vec![series(&[("__name__", "U__doctor")], &[(now, 7.0)])])
        .await;
    let found = app.read(vec![selections[3].clone()]).await;
    assert_eq!(found[0].len(), 1, "{found:?}");
    assert_eq!(found[0][0].samples[0].value, 7.0);
}

/// Serves credentials as the agent of a container does, once `there` is set.
async fn agent(there: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/credentials", listener.local_addr().unwrap());
    let respond = async move || {
        match there.load(Ordering::Relaxed) {
        true => r#"{"AccessKeyId":"local","SecretAccessKey":"local","Token":"t","Expiration":"2099-01-01T00:00:00Z"}"#
            .into_response(),
        false => StatusCode::NOT_FOUND.into_response(),
    }
    };
    let server = Router::new().fallback(get(respond));
    tokio::spawn(async { axum::serve(listener, server).await });
    url
}

#[tokio::test]
async fn a_server_is_ready_once_it_has_credentials_and_serves_before() {
    let emulator = start_emulator(tables()).await;
    let there = Arc::new(AtomicBool::new(false));
    let agent = agent(Arc::clone(&there)).await;
    let variables = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", agent.as_str())];
    let connector = Connector::start_with(&emulator, &DEFAULTS, &variables).await;
    let get = |path: &str| soak::http::get(format!("{}{path}", connector.url));
    let ready = async || {
        let response = get("/-/ready").await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    let reason = loop {
        let (status, text) = ready().await;
        assert_eq!(status, 503, "{text}");
        if !text.contains("still being loaded") {
            break text;
        }
    };
    let expected = "no AWS credentials can be loaded; its log and bootstrap doctor have the reason";
    assert!(reason.contains(expected), "{reason}");
    let remedy = "correct the source of credentials";
    for path in ["/-/healthy", "/", "/metrics"] {
        let status = get(path).await.unwrap().status().as_u16();
        assert_eq!(status, 200, "{path}");
    }
    let body = write_body(vec![series(&[("__name__", "up")], &[(now_ms(), 1.0)])]);
    assert_eq!(connector.post("/write", body).await, 503);
    there.store(true, Ordering::Relaxed);
    let began = Instant::now();
    while ready().await.0 != 200 {
        assert!(began.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    connector.logged("The AWS credentials are loaded.").await;
    let (_, log) = connector.terminate().await;
    let lines = log.lines().filter(|line| line.contains("caller=src/"));
    let warnings = lines.filter(|line| line.contains("level=warn") && line.contains(remedy));
    assert_eq!(warnings.count(), 1, "{log}");
}

#[tokio::test]
async fn a_start_warns_of_what_is_wrong_in_one_line() {
    let emulator = start_emulator(vec![table("other", "t")]).await;
    let connector = Connector::start(&emulator, &[]).await;
    connector.logged("bootstrap doctor").await;
    assert_eq!(emulator.counters().calls.get("WriteRecords"), None);
    let (status, log) = connector.terminate().await;
    assert_eq!(status, Some(0));
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("level=warn"))
        .collect();
    let [line] = lines[..] else { panic!("{log}") };
    for part in [
        "bootstrap doctor",
        "table db/t: ",
        "create-database",
        "metadata table db/metrics: ",
    ] {
        assert!(line.contains(part), "{line}");
    }
}
