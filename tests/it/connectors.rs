//! Connector definitions over HTTP and by schedule, with a type of their own that tells of its runs.

use std::collections::BTreeSet;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{Method, Request};
use prom_model::Sample;
use prom_wire::request;
use serde::Deserialize;
use serde_json::{Value, json};
use timestream_emulator::Emulator;
use timestream_prometheus_connector::entry::jobs::serve;
use timestream_prometheus_connector::fields::FieldErrors;
use timestream_prometheus_connector::http::router;
use timestream_prometheus_connector::ingest::Redelivery;
use timestream_prometheus_connector::jobs::definition::{Kind, Needs};
use timestream_prometheus_connector::jobs::job::{Job, JobContext, Report, RunError};
use timestream_prometheus_connector::jobs::secret::SecretRef;
use timestream_prometheus_connector::state::{Memory, State};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::standalone::Connector;
use crate::state::Dynamo;
use crate::support::{app_of, configuration, job_runner, parts, start_emulator, table};

const KINDS: &[Kind] = &[Kind {
    name: "tell",
    needs: Needs::Table,
    parse,
}];

/// Stores a sample of its time, and tells of it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tell {
    #[serde(default)]
    value: f64,
    #[allow(dead_code, reason = "it is there to be masked")]
    password: Option<String>,
    token_ref: Option<SecretRef>,
    /// Whether a run lasts until it is stopped.
    #[serde(default)]
    waits: bool,
}

fn parse(config: &Value) -> Result<Box<dyn Job>, FieldErrors> {
    let tell =
        Tell::deserialize(config).map_err(|error| FieldErrors::one("config", error.to_string()))?;
    Ok(Box::new(tell))
}

impl Job for Tell {
    fn run<'a>(&'a self, run: &'a JobContext<'a>) -> BoxFuture<'a, Report> {
        async move {
            if let Some(token) = &self.token_ref
                && let Err(error) = run.secrets.resolve("token", token)
            {
                return Report::failed(error);
            }
            if self.waits {
                run.stop.cancelled().await;
                return Report::failed(RunError::Interrupted);
            }
            let mut request = request::Request::default();
            request.push_label("__name__", "told");
            request.push_label("connector", run.name);
            request.push_sample(Sample {
                timestamp_ms: run.scheduled_for.as_millisecond(),
                value: self.value,
            });
            request.end_series();
            let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
            let redelivery = Redelivery::None;
            let written = run
                .ingester
                .write_to(&request, run.destination, redelivery, deadline);
            let written = written.await.unwrap();
            Report {
                rows: written.stored,
                received: written.received,
                error: (written.lost() > 0).then(|| {
                    let first = written.failures.first().map(|it| it.message.clone());
                    RunError::Failed(first.unwrap_or_default())
                }),
                warnings: vec![format!("{} is stored", self.value)],
                ..Report::default()
            }
        }
        .boxed()
    }
}

/// A server with definitions, its schedules running.
struct Process {
    router: Router,
    stop: CancellationToken,
    work: tokio::task::JoinHandle<()>,
}

impl Process {
    async fn start(emulator: &Emulator, state: State, is_local: bool, flags: &[&str]) -> Self {
        let config = configuration(&emulator.url(), flags);
        let parts = parts(&config).await;
        let app = app_of(&config, parts.clone());
        let given =
            br#"[{"name": "given", "type": "tell", "target_database": "db", "target_table": "t"}]"#;
        let runner = job_runner(&app, parts, state, KINDS, given);
        let stop = CancellationToken::new();
        let (jobs, work) = serve(runner, stop.clone());
        Self {
            router: router(app.with_jobs(jobs).reached_locally(is_local)),
            stop,
            work: tokio::spawn(work),
        }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value) -> (u16, Value) {
        self.ask_as(method, path, body, "").await
    }

    async fn ask_as(&self, method: Method, path: &str, body: &Value, token: &str) -> (u16, Value) {
        let mut request = Request::builder().method(method).uri(path);
        request = request.header("host", "localhost:9201");
        if !token.is_empty() {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        let request = request.body(body).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20)
            .await
            .unwrap();
        let text = String::from_utf8(body.into()).unwrap();
        let body = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| text.into()),
        };
        (status, body)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, body) = self.ask(Method::GET, path, &Value::Null).await;
        assert_eq!(status, 200, "{body}");
        body
    }

    async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        self.ask(Method::POST, path, body).await
    }

    /// Has a connector run now.
    async fn trigger(&self, id: &str) {
        let path = format!("/v1/connectors/{id}/trigger");
        let (status, body) = self.post(&path, &Value::Null).await;
        assert_eq!(status, 202, "{body}");
    }

    async fn stop(self) {
        self.stop.cancel();
        self.work.await.unwrap();
    }
}

fn definition(name: &str, schedule_ms: Option<u64>, config: Value) -> Value {
    json!({
        "name": name, "type": "tell", "target_database": "db", "target_table": "t",
        "schedule_ms": schedule_ms, "config": config,
    })
}

async fn emulator() -> Emulator {
    start_emulator(vec![table("db", "t")]).await
}

/// Waits until `done` says so of the item at `path`.
async fn until(process: &Process, path: &str, done: impl Fn(&Value) -> bool) -> Value {
    let waiting = async {
        loop {
            let item = process.get(path).await;
            if done(&item) {
                return item;
            }
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(30), waiting).await;
    waited.expect("it comes about")
}

#[tokio::test]
async fn a_definition_lives_over_http() {
    let emulator = emulator().await;
    let process = Process::start(&emulator, State::Memory(Memory::default()), true, &[]).await;
    let made = definition("x", None, json!({"value": 7.0, "password": "hunter2"}));
    assert_eq!(
        process.post("/v1/connectors", &made).await,
        (201, json!({"id": "x"}))
    );
    assert_eq!(process.post("/v1/connectors", &made).await.0, 409);
    let faulty = definition("y", Some(99), json!({"valu": 7}));
    let (status, body) = process.post("/v1/connectors", &faulty).await;
    assert_eq!(status, 400);
    assert_eq!(
        body["error"],
        "schedule_ms: expected milliseconds, 100 to 86400000 (a day); config: unknown field \
         `valu`, expected one of `value`, `password`, `token_ref`, `waits`"
    );

    let list = process.get("/v1/connectors").await;
    let ids: Vec<&Value> = list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["id"])
        .collect();
    assert_eq!(ids, ["given", "x"]);
    let item = process.get("/v1/connectors/x").await;
    assert_eq!(
        item,
        json!({
            "id": "x", "name": "x", "type": "tell", "target_database": "db", "target_table": "t",
            "schedule_ms": null, "config": {"value": 7.0, "password": "***"}, "source": "api",
            "paused": false, "running": false, "last_run_at": null, "last_success_at": null,
            "last_error": null, "last_warnings": [], "last_rows_ingested": null, "skipped": 0, "disabled_reason": null,
        })
    );

    process.trigger("x").await;
    let item = until(&process, "/v1/connectors/x", |it| {
        it["last_run_at"].is_string()
    })
    .await;
    assert_eq!(item["last_rows_ingested"], 1);
    assert_eq!(item["last_error"], Value::Null);
    assert_eq!(item["last_warnings"], json!(["7 is stored"]));
    assert_eq!(
        item["last_success_at"].as_str().unwrap().len(),
        "2026-01-01T00:00:00.000Z".len()
    );
    let points = emulator.points("db", "t");
    assert_eq!(points.len(), 1);

    // A run that fails is told of.
    let patch = json!({"target_table": "gone", "config": {"value": 8.0, "password": "***"}});
    let (status, item) = process.ask(Method::PATCH, "/v1/connectors/x", &patch).await;
    assert_eq!((status, &item["target_table"]), (200, &json!("gone")));
    process.trigger("x").await;
    let item = until(&process, "/v1/connectors/x", |it| {
        it["last_error"].is_string()
    })
    .await;
    assert!(
        item["last_error"].as_str().unwrap().contains("gone"),
        "{item}"
    );
    assert_eq!(item["last_rows_ingested"], 0);

    for (path, key) in [("pause", true), ("resume", false)] {
        let path = format!("/v1/connectors/x/{path}");
        assert_eq!(process.post(&path, &Value::Null).await, (204, Value::Null));
        assert_eq!(process.get("/v1/connectors/x").await["paused"], key);
    }
    let delete = process
        .ask(Method::DELETE, "/v1/connectors/x", &Value::Null)
        .await;
    assert_eq!(delete, (204, Value::Null));
    for (method, path) in [
        (Method::GET, "x"),
        (Method::DELETE, "x"),
        (Method::PATCH, "x"),
        (Method::POST, "x/trigger"),
        (Method::POST, "x/pause"),
        (Method::POST, "x/resume"),
    ] {
        let path = format!("/v1/connectors/{path}");
        let (status, body) = process.ask(method, &path, &json!({})).await;
        assert_eq!(
            (status, &body["error"]),
            (404, &json!("there is no job \"x\""))
        );
    }
    let given = process
        .ask(Method::DELETE, "/v1/connectors/given", &Value::Null)
        .await;
    assert_eq!(given.0, 409);
    assert_eq!(
        process
            .ask(Method::PUT, "/v1/connectors", &json!({}))
            .await
            .0,
        405
    );
    let large = json!({"name": "x".repeat(300_000)});
    assert_eq!(process.post("/v1/connectors", &large).await.0, 413);
    process.stop().await;
}

#[tokio::test]
async fn the_start_page_lists_jobs_for_those_who_may_see_them() {
    let emulator = emulator().await;
    let state = State::Memory(Memory::default());
    let process = Process::start(&emulator, state.clone(), true, &[]).await;
    for (name, config) in [
        ("done", json!({"value": 7.0, "password": "hunter2"})),
        ("<b>", json!({})),
    ] {
        let made = definition(name, None, config);
        let expected = if name == "done" { 201 } else { 400 };
        assert_eq!(process.post("/v1/connectors", &made).await.0, expected);
    }
    let mut gone = definition("gone", Some(3_600_000), json!({}));
    gone["target_table"] = "gone".into();
    assert_eq!(process.post("/v1/connectors", &gone).await.0, 201);
    for name in ["done", "gone"] {
        process.trigger(name).await;
        let path = format!("/v1/connectors/{name}");
        until(&process, &path, |it| it["last_run_at"].is_string()).await;
    }
    assert_eq!(
        process
            .post("/v1/connectors/given/pause", &Value::Null)
            .await
            .0,
        204
    );
    let page = process.get("/").await;
    let page = page.as_str().unwrap();
    for part in [
        "<b>done</b> <span>tell, on request</span> <span><i>complete</i>, last run <time",
        "</time>, 1 samples</span></p>\n<p>7 is stored</p>",
        "<li class=\"bad\"><p><b>gone</b> <span>tell, every 1 h</span> <span><i>failed</i>",
        "<b>given</b> <span>tell, on request</span> <span><i>paused</i></span>",
    ] {
        assert!(page.contains(part), "{part} in {page}");
    }
    assert!(!page.contains("hunter2"), "{page}");
    process.stop().await;

    // Others see that there may be some only: /v1/connectors needs a credential, too.
    let open = Process::start(&emulator, state.clone(), false, &[]).await;
    let page = open.get("/").await;
    let page = page.as_str().unwrap();
    assert!(page.contains("configure a credential"), "{page}");
    assert!(!page.contains("<b>done</b>"), "{page}");
    open.stop().await;
    let flags = ["--read-bearer-token=r"];
    let process = Process::start(&emulator, state, false, &flags).await;
    let (status, page) = process.ask_as(Method::GET, "/", &Value::Null, "r").await;
    assert_eq!(status, 200);
    assert!(page.as_str().unwrap().contains("<b>done</b>"), "{page}");
    process.stop().await;
}

#[tokio::test]
async fn a_run_is_one_at_a_time_and_stops_when_it_is_told() {
    let emulator = emulator().await;
    let process = Process::start(&emulator, State::Memory(Memory::default()), true, &[]).await;
    let made = definition("x", None, json!({"waits": true}));
    assert_eq!(process.post("/v1/connectors", &made).await.0, 201);
    process.trigger("x").await;
    assert_eq!(process.get("/v1/connectors/x").await["running"], true);
    let (status, body) = process.post("/v1/connectors/x/trigger", &Value::Null).await;
    assert_eq!(status, 409);
    assert_eq!(body["error"], "another run of the job \"x\" has not ended");
    process.stop.cancel();
    let item = until(&process, "/v1/connectors/x", |it| it["running"] == false).await;
    assert_eq!(item["last_error"], "interrupted before the end");
    process.stop().await;
}

#[tokio::test]
async fn secrets_of_the_connector_are_out_of_reach() {
    let emulator = emulator().await;
    let process = Process::start(&emulator, State::Memory(Memory::default()), true, &[]).await;
    for reference in [
        "$env:AWS_SECRET_ACCESS_KEY",
        "$env:AWS_SESSION_TOKEN",
        "$env:bearer_token",
        "$env:basic_auth_users",
        "$file:../key",
        "$file:/etc/shadow",
        "hunter2",
    ] {
        let asks = definition("x", None, json!({"token_ref": reference}));
        let (status, body) = process.post("/v1/connectors", &asks).await;
        assert_eq!(status, 400, "{reference}: {body}");
        assert!(!body.to_string().contains("hunter2"), "{body}");
    }
    let unset = definition("x", None, json!({"token_ref": "$env:UNSET"}));
    assert_eq!(process.post("/v1/connectors", &unset).await.0, 201);
    process.trigger("x").await;
    let item = until(&process, "/v1/connectors/x", |it| {
        it["disabled_reason"].is_string()
    })
    .await;
    let reason = "token resolve: the variable UNSET is not set, or empty";
    assert_eq!(item["disabled_reason"], reason);
    assert_eq!(item["config"]["token_ref"], "$env:UNSET");
    let (status, body) = process.post("/v1/connectors/x/trigger", &Value::Null).await;
    assert_eq!(status, 409);
    assert!(body["error"].as_str().unwrap().contains(reason), "{body}");
    assert_eq!(
        process
            .post("/v1/connectors/x/resume", &Value::Null)
            .await
            .0,
        204
    );
    process.trigger("x").await;
    process.stop().await;
}

#[tokio::test]
async fn only_a_credential_or_this_machine_opens_the_routes() {
    let emulator = emulator().await;
    let memory = || State::Memory(Memory::default());
    let open = Process::start(&emulator, memory(), false, &[]).await;
    for (method, path) in [
        (Method::GET, "/v1/connectors"),
        (Method::POST, "/v1/connectors"),
        (Method::GET, "/v1/connectors/given"),
        (Method::PATCH, "/v1/connectors/given"),
        (Method::DELETE, "/v1/connectors/given"),
        (Method::POST, "/v1/connectors/given/trigger"),
        (Method::POST, "/v1/connectors/given/pause"),
        (Method::POST, "/v1/connectors/given/resume"),
    ] {
        let (status, body) = open.ask(method, path, &json!({})).await;
        assert_eq!(status, 401, "{path}");
        let text = body["error"].as_str().unwrap();
        assert!(text.contains("--bearer-token"), "{text}");
    }
    open.stop().await;
    let closed = Process::start(&emulator, memory(), false, &["--bearer-token=t0ken"]).await;
    let list = |token| closed.ask_as(Method::GET, "/v1/connectors", &Value::Null, token);
    for token in ["", "other"] {
        let (status, body) = list(token).await;
        assert_eq!(status, 401);
        let text = body["error"].as_str().unwrap();
        assert!(
            text.ends_with("send the token as Bearer in the header Authorization"),
            "{text}"
        );
    }
    assert_eq!(list("t0ken").await.0, 200);
    closed.stop().await;
}

#[tokio::test]
async fn a_real_server_on_all_addresses_answers_401() {
    let emulator = emulator().await;
    for (address, expected) in [("0.0.0.0:0", 401), ("127.0.0.1:0", 200)] {
        let flag = format!("--web.listen-address={address}");
        let connector = Connector::start(&emulator, &[&flag]).await;
        let url = connector.url.replace("0.0.0.0", "127.0.0.1");
        let answer = soak::http::get(format!("{url}/v1/connectors"))
            .await
            .unwrap();
        assert_eq!(answer.status().as_u16(), expected, "{address}");
        assert_eq!(connector.terminate().await.0, Some(0));
    }
}

#[tokio::test]
async fn two_processes_on_one_table_run_each_bucket_once() {
    let dynamo = Dynamo::start().await;
    let emulator = emulator().await;
    let a = Process::start(&emulator, dynamo.state(), true, &[]).await;
    let b = Process::start(&emulator, dynamo.state(), true, &[]).await;
    let made = definition("x", Some(500), json!({}));
    assert_eq!(a.post("/v1/connectors", &made).await.0, 201);
    // Twenty buckets; the other process finds the definition by itself.
    until(&b, "/v1/connectors/x", |_| {
        emulator.points("db", "t").len() >= 24
    })
    .await;
    let routers = [&a, &b].map(|process| process.router.clone());
    a.stop().await;
    b.stop().await;
    let counted = async |result: &str| {
        let mut sum = 0;
        for router in &routers {
            sum += runs(router, result).await;
        }
        sum
    };
    let (ran, lost) = (counted("complete").await, counted("claim_lost").await);
    assert!(lost > 0, "both have tried each bucket");
    // A bucket that ran twice would have been counted twice and stored once.
    let points = emulator.points("db", "t");
    assert_eq!(points.len(), ran);
    let buckets: BTreeSet<i64> = points
        .iter()
        .map(|point| point.time_ns / 500_000_000)
        .collect();
    assert_eq!(buckets.len(), points.len());
    assert!(points.iter().all(|point| point.time_ns % 500_000_000 == 0));
}

/// The number of runs that ended so, as counted by a process.
async fn runs(router: &Router, result: &str) -> usize {
    let request = Request::get("/metrics").body(Body::empty()).unwrap();
    let answer = router.clone().oneshot(request).await.unwrap();
    let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await;
    let text = String::from_utf8(body.unwrap().into()).unwrap();
    let name = format!(r#"_connector_definition_runs_total{{result="{result}",type="tell"}} "#);
    let count = text.lines().find_map(|line| line.split_once(&name));
    count.map_or(0, |(_, count)| count.parse().unwrap())
}
