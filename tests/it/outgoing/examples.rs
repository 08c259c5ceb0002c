//! The public examples of configurations of those systems whose keys the types have: each works as it
//! stands there, and the server gets what it is meant to get.

use serde_json::{Value, json};

use super::{Kind, Place, Seen, Server, success};

/// Runs a configuration, whose server is at `SERVER` in it, and returns all requests.
async fn requests(kind: Kind, config: &Value) -> Vec<Seen> {
    let place = Place::start().await;
    let server = Server::start(None, success).await;
    let text = config.to_string().replace("SERVER", &server.url);
    let config: Value = serde_json::from_str(&text).unwrap();
    let report = place.run_config(kind, &config).await;
    assert_eq!(report.error, None, "{config}");
    server.seen()
}

fn authorization(seen: &[Seen]) -> Option<String> {
    let of = |it: &Seen| {
        let mut lines = it.head.lines();
        lines.find_map(|line| line.strip_prefix("authorization: ").map(str::to_owned))
    };
    let first = of(&seen[0]);
    // Every request has the same.
    assert!(seen.iter().all(|it| of(it) == first));
    first
}

/// The query of the first range query.
fn range(seen: &[Seen]) -> String {
    let mut heads = seen.iter().map(|it| it.head.lines().next().unwrap());
    let line = heads.find(|line| line.contains("/api/v1/query_range?"));
    line.expect("a range is asked for").to_owned()
}

/// Airbyte's source-prometheus: `integration_tests/sample_config.json`, `invalid_config.json`, and what
/// its `spec.yaml` gives as the forms of `step`, a number whose default is a text. There is no
/// `auth_type`: the two credentials are required, and empty for a server without any.
#[tokio::test]
async fn airbyte() {
    for (step, shown) in [
        (json!(3600), "step=3600.000"),
        (json!(3600.0), "step=3600.000"),
        (json!("3600"), "step=3600.000"),
        (json!(86400), "step=86400.000"),
        (json!(42), "step=42.000"),
    ] {
        for (user, password, expected) in [
            ("", "", None),
            (
                "Aladdin",
                "open sesame",
                Some("basic qwxhzgrpbjpvcgvuihnlc2ftzq=="),
            ),
        ] {
            let config = json!({
                "base_url": "SERVER", "basic_auth_user": user, "basic_auth_pass": password,
                "start_date": "2026-11-01", "step": step, "metrics_filter": "up",
            });
            let seen = requests(Kind::Sync, &config).await;
            assert_eq!(authorization(&seen).as_deref(), expected);
            let range = range(&seen);
            assert!(range.contains(shown), "{range}");
        }
    }
    // The day of the example itself; one window of it is enough.
    let config = json!({
        "base_url": "https://prometheus.demo.do.prometheus.io", "basic_auth_user": "",
        "basic_auth_pass": "", "start_date": "2020-01-01", "step": 3600,
    });
    Kind::Sync.parse(&config).unwrap();
}

/// The example of Fivetran's connector SDK: all values are texts, the list of metrics as well, and what is
/// not used is empty or the placeholder of the template.
#[tokio::test]
async fn fivetran() {
    let example = |more: Value| {
        let mut config = json!({
            "prometheus_url": "SERVER",
            "auth_type": "none",
            "username": "<YOUR_USERNAME_FOR_BASIC_AUTH>",
            "password": "<YOUR_PASSWORD_FOR_BASIC_AUTH>",
            "bearer_token": "<YOUR_BEARER_TOKEN_FOR_BEARER_AUTH>",
            "lookback_hours": "24",
            "metrics_filter": "up",
        });
        for (key, value) in more.as_object().unwrap() {
            config[key] = value.clone();
        }
        config
    };
    let empty = json!({"username": "", "password": "", "bearer_token": ""});
    for (more, expected) in [
        (json!({}), None),
        (empty, None),
        (json!({"auth_type": ""}), None),
        (
            json!({"auth_type": "<AUTHENTICATION_TYPE_NONE_BASIC_OR_BEARER>"}),
            None,
        ),
        (
            json!({"auth_type": "basic", "username": "Aladdin", "password": "open sesame"}),
            Some("basic qwxhzgrpbjpvcgvuihnlc2ftzq=="),
        ),
        (
            json!({"auth_type": "bearer", "bearer_token": "t0ken"}),
            Some("bearer t0ken"),
        ),
        (
            json!({"lookback_hours": "<INITIAL_SYNC_LOOKBACK_HOURS_DEFAULT_24>"}),
            None,
        ),
    ] {
        let seen = requests(Kind::Sync, &example(more)).await;
        assert_eq!(authorization(&seen).as_deref(), expected);
        assert!(range(&seen).contains("step=15.000"));
    }
    // Without a filter all metrics are asked for.
    let all = json!({"metrics_filter": "<OPTIONAL_LIST_OF_METRIC_NAMES_TO_SYNC>"});
    let seen = requests(Kind::Sync, &example(all)).await;
    let asks = |it: &Seen| it.head.contains("/api/v1/label/__name__/values");
    assert!(seen.iter().any(asks), "{seen:?}");
    // What is needed has to be filled in.
    for (more, key) in [
        (
            json!({"prometheus_url": "<YOUR_PROMETHEUS_SERVER_URL>"}),
            "prometheus_url",
        ),
        (json!({"auth_type": "basic", "username": "u"}), "password"),
        (json!({"auth_type": "bearer"}), "bearer_token"),
    ] {
        let faults = Kind::Sync.parse(&example(more)).map(drop).unwrap_err();
        assert!(faults.contains(&format!("config.{key}: ")), "{faults}");
    }
}

/// The examples of SeaTunnel's sink Prometheus, without what is for its engine (`plugin_input`), and the
/// header of its documentation.
#[tokio::test]
async fn seatunnel() {
    let place = Place::start().await;
    let server = Server::start(None, success).await;
    let url = format!("{}/api/v1/write", server.url);
    let rows = r#"{"c_map": {"__name__": "test1"}, "c_double": 1.23, "c_timestamp": "2024-08-15T17:00:00"}
        {"c_map": {"__name__": "test2"}, "c_double": 1.23, "c_timestamp": "2024-08-15T17:00:00"}"#;
    for (batch_size, requests) in [(1, 2), (5, 1)] {
        let config = json!({
            "url": url, "key_label": "c_map", "key_value": "c_double", "key_timestamp": "c_timestamp",
            "batch_size": batch_size,
            "headers": {"token": "9e32e859ef044462a257e1fc76730066"},
        });
        let calls = server.seen().len();
        let report = place.push_rows(&config, rows).await;
        assert_eq!((report.error, report.rows), (None, 2));
        assert_eq!(server.seen().len() - calls, requests);
        assert!(server.last().has("token: 9e32e859ef044462a257e1fc76730066"));
    }
}

/// The examples of the data source `prometheus` whose keys the type of this name has.
#[tokio::test]
async fn data_source() {
    let place = Place::start().await;
    let server = Server::start(None, success).await;
    for (auth, expected) in [
        (json!({"type": "none"}), None),
        (
            json!({"type": "bearer", "token_ref": "$env:TOKEN"}),
            Some("bearer t0ken"),
        ),
        (
            json!({"type": "basic", "username": "u", "password_ref": "$env:TOKEN"}),
            Some("basic dtp0mgtlbg=="),
        ),
    ] {
        let endpoint = format!("{}/metrics", server.url);
        let config = json!({"endpoint": endpoint, "auth": auth, "timeout_ms": 5000});
        let report = place.run_config(Kind::Scrape, &config).await;
        assert_eq!(report.error, None);
        assert_eq!(authorization(&[server.last()]).as_deref(), expected);
    }
}
