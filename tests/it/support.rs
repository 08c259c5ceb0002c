//! Shared parts of the tests: a connector over an emulator, and requests to it.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_config::SdkConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_timestreamwrite::types::MagneticStoreWriteProperties;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use jiff::Timestamp;

use prom_wire::prompb;
use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::read_request::ResponseType;
use prom_wire::prompb::{LabelMatcher, Query, TimeSeries};
use timestream_emulator::{ColumnCase, Config as EmulatorConfig, Emulator, TableSpec};
use timestream_prometheus_connector::config::{Config, Invocation, read};
use timestream_prometheus_connector::dead_letter::DeadLetters;
use timestream_prometheus_connector::entry::build::{self, Parts};
use timestream_prometheus_connector::http::{App, router};
use timestream_prometheus_connector::jobs::client::Client;
use timestream_prometheus_connector::jobs::definition::{Definition, Kind};
use timestream_prometheus_connector::jobs::registry::Registry;
use timestream_prometheus_connector::jobs::runner::JobRunner;
use timestream_prometheus_connector::jobs::secret::Secrets;
use timestream_prometheus_connector::state::{Memory, State};
use timestream_prometheus_connector::timestream::sdk_config;
use tower::ServiceExt;

use crate::content::Content;
use crate::frames;

/// A time that test data starts at, in milliseconds.
pub(crate) const START_MS: i64 = 1_600_000_000_000;

/// A connector whose Timestream is an emulator of its own.
pub(crate) struct TestApp {
    pub(crate) emulator: Emulator,
    pub(crate) router: Router,
}

/// A response of the connector.
#[derive(Debug)]
pub(crate) struct HttpResponse {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl HttpResponse {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl TestApp {
    /// Starts one with table `db`/`t` as default destination and one more table, `db`/`other`,
    /// chosen by the label `table`.
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Calls [`Self::start`] with further flags.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        let emulator = start_emulator(vec![table("db", "t"), table("db", "other")]).await;
        let router = connect(&emulator, flags).await;
        Self { emulator, router }
    }

    /// Calls [`Self::start_with`] with one table, on a Timestream that reads the case of column
    /// names so.
    pub(crate) async fn start_in_case(column_case: ColumnCase, flags: &[&str]) -> Self {
        let emulator = Emulator::start(EmulatorConfig {
            tables: vec![table("db", "t")],
            column_case,
            ..EmulatorConfig::default()
        });
        let emulator = emulator.await.unwrap();
        let router = connect(&emulator, flags).await;
        Self { emulator, router }
    }

    /// Sends a write request and returns the response.
    pub(crate) async fn write(&self, timeseries: Vec<TimeSeries>) -> HttpResponse {
        self.post("/write", &[], write_body(timeseries)).await
    }

    /// Sends a write request that must succeed.
    pub(crate) async fn write_ok(&self, timeseries: Vec<TimeSeries>) {
        let response = self.write(timeseries).await;
        assert_eq!(
            response.status,
            StatusCode::NO_CONTENT,
            "{}",
            response.text()
        );
    }

    /// Sends a read request and returns the response.
    pub(crate) async fn read_raw(&self, queries: Vec<Query>) -> HttpResponse {
        self.read_as(&[], queries).await
    }

    /// Sends a read request that accepts these forms of a response, and returns the response.
    pub(crate) async fn read_as(
        &self,
        accepted: &[ResponseType],
        queries: Vec<Query>,
    ) -> HttpResponse {
        let request = prompb::ReadRequest {
            queries,
            accepted_response_types: accepted.iter().map(|form| i32::from(*form)).collect(),
        };
        self.post("/read", &[], prom_wire::encode(&request).unwrap())
            .await
    }

    /// Sends a read request that must succeed and returns one list of series for each query.
    ///
    /// It is sent twice: the streamed response must be the same.
    pub(crate) async fn read(&self, queries: Vec<Query>) -> Vec<Vec<TimeSeries>> {
        let (count, streamed) = (queries.len(), [ResponseType::StreamedXorChunks]);
        let streamed = self.read_as(&streamed, queries.clone()).await;
        let samples = self.read_raw(queries).await;
        assert_eq!(samples.status, StatusCode::OK, "{}", samples.text());
        let results = samples_of(&samples);
        assert_eq!(streamed.status, StatusCode::OK, "{}", streamed.text());
        assert_eq!(streamed.headers["content-type"], frames::STREAMED);
        assert!(!streamed.headers.contains_key("content-encoding"));
        let bits = |results: &[Vec<TimeSeries>]| -> Vec<_> {
            let of_series = |series: &TimeSeries| {
                let samples = series.samples.iter();
                let samples = samples.map(|it| (it.timestamp, it.value.to_bits()));
                let samples: Vec<_> = samples.collect();
                // At the time of a float there is no histogram for Prometheus.
                let histograms = series.histograms.iter().filter(|it| {
                    let time = |sample: &(i64, u64)| sample.0;
                    samples.binary_search_by_key(&it.timestamp, time).is_err()
                });
                let histograms = histograms.map(|it| (it.timestamp, Content::of(it)));
                let histograms: Vec<_> = histograms.collect();
                (series.labels.clone(), samples, histograms)
            };
            let of_result =
                |result: &Vec<TimeSeries>| -> Vec<_> { result.iter().map(of_series).collect() };
            results.iter().map(of_result).collect()
        };
        let streamed: Vec<Vec<TimeSeries>> = frames::results(&streamed.body, count)
            .into_iter()
            .map(|result| result.into_iter().map(frames::decoded).collect())
            .collect();
        assert_eq!(bits(&streamed), bits(&results));
        results
    }

    /// Does the same as [`Self::read`], but once, for a SAMPLES response.
    pub(crate) async fn read_samples(&self, queries: Vec<Query>) -> Vec<Vec<TimeSeries>> {
        let response = self.read_raw(queries).await;
        assert_eq!(response.status, StatusCode::OK, "{}", response.text());
        samples_of(&response)
    }

    pub(crate) async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> HttpResponse {
        let mut request = Request::post(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(Body::from(body)).unwrap()).await
    }

    pub(crate) async fn get(&self, path: &str) -> HttpResponse {
        self.send(Request::get(path).body(Body::empty()).unwrap())
            .await
    }

    /// Sends a request as Prometheus would, unless its user agent is set.
    pub(crate) async fn send(&self, mut request: Request<Body>) -> HttpResponse {
        let prometheus = HeaderValue::from_static("Prometheus/3.15.0");
        request
            .headers_mut()
            .entry("user-agent")
            .or_insert(prometheus);
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        HttpResponse {
            status: parts.status,
            headers: parts.headers,
            body: body.into(),
        }
    }

    /// Returns the connector's own metric of this name (labels included), 0 if it is not there.
    pub(crate) async fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").await.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

/// Returns the series of a SAMPLES response, those of each query.
fn samples_of(response: &HttpResponse) -> Vec<Vec<TimeSeries>> {
    assert_eq!(response.headers["content-type"], "application/x-protobuf");
    assert_eq!(response.headers["content-encoding"], "snappy");
    let response: prompb::ReadResponse =
        prom_wire::decode(&prom_wire::decompress(&response.body, usize::MAX).unwrap()).unwrap();
    response
        .results
        .into_iter()
        .map(|result| result.timeseries)
        .collect()
}

/// Returns the body of a write request.
pub(crate) fn write_body(timeseries: Vec<TimeSeries>) -> Vec<u8> {
    let request = prompb::WriteRequest {
        timeseries,
        metadata: vec![],
    };
    prom_wire::encode(&request).unwrap()
}

/// Returns the time now, in milliseconds: a time in the memory store, where versions decide.
pub(crate) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(now.as_millis()).unwrap()
}

/// Returns an emulator with these tables, in memory.
pub(crate) async fn start_emulator(tables: Vec<TableSpec>) -> Emulator {
    Emulator::start(EmulatorConfig {
        tables,
        ..EmulatorConfig::default()
    })
    .await
    .unwrap()
}

/// Returns a table that accepts data of any age.
pub(crate) fn table(database: &str, table: &str) -> TableSpec {
    TableSpec {
        magnetic_writes: true,
        ..TableSpec::new(database, table)
    }
}

/// Returns the router of a connector in front of `emulator`.
pub(crate) async fn connect(emulator: &Emulator, flags: &[&str]) -> Router {
    router(app(emulator, flags).await)
}

/// Returns the shared configuration of AWS clients, with the credentials of an emulator.
pub(crate) async fn shared_config(config: &Config) -> SdkConfig {
    let credentials = Credentials::new("local", "local", None, None, "tests");
    sdk_config(&config.timestream)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .load()
        .await
}

/// Returns the same for clients of the server at `url`.
pub(crate) async fn shared_at(url: &str) -> SdkConfig {
    let shared = shared_config(&configuration(url, &[])).await;
    shared.into_builder().endpoint_url(url).build()
}

/// Creates a table that accepts data of any age, as an administrator would.
pub(crate) async fn create_table(url: &str, database: &str, table: &str) {
    let shared = shared_config(&configuration(url, &[])).await;
    let config = aws_sdk_timestreamwrite::config::Builder::from(&shared);
    let config = config.endpoint_url(url).build();
    let properties = MagneticStoreWriteProperties::builder().enable_magnetic_store_writes(true);
    aws_sdk_timestreamwrite::Client::from_conf(config)
        .create_table()
        .database_name(database)
        .table_name(table)
        .magnetic_store_write_properties(properties.build().unwrap())
        .send()
        .await
        .unwrap();
}

/// Returns a connector in front of `emulator`, ready to be served.
pub(crate) async fn app(emulator: &Emulator, flags: &[&str]) -> App {
    let config = configuration(&emulator.url(), flags);
    app_of(&config, parts(&config).await)
}

/// Returns the application with this configuration.
pub(crate) fn app_of(config: &Config, parts: Parts) -> App {
    let app = App::new(
        config.http.clone(),
        config.web.clone(),
        parts.ingester,
        parts.querier,
    );
    app.with_replicas(build::tracker(config, State::Memory(Memory::default())))
}

/// Returns the parts that store and read samples.
pub(crate) async fn parts(config: &Config) -> Parts {
    let shared = shared_config(config).await;
    let dead_letters = DeadLetters::open(config.dead_letter.as_ref(), &shared).unwrap();
    build::parts(config, &shared, dead_letters)
}

/// Returns what runs the definitions of the list `given`, and those in `state`, which have these kinds.
pub(crate) fn job_runner(
    app: &App,
    parts: Parts,
    state: State,
    kinds: &'static [Kind],
    given: &[u8],
) -> Arc<JobRunner> {
    let given = Definition::parse_list(given, kinds).unwrap();
    let given = given.into_iter().map(Arc::new).collect();
    Arc::new(JobRunner {
        registry: Arc::new(Registry::new(state, kinds, given)),
        ingester: parts.ingester,
        querier: parts.querier,
        http: Client::default(),
        secrets: Secrets::new(None, |_| None),
        metrics: Arc::clone(app.metrics()),
        now: Timestamp::now,
    })
}

pub(crate) fn configuration(url: &str, flags: &[&str]) -> Config {
    let mut arguments: Vec<String> = [
        "bootstrap",
        "--default-database=db",
        "--default-table=t",
        "--table-label=table",
        &format!("--write-base-endpoint={url}"),
        &format!("--query-base-endpoint={url}"),
    ]
    .map(str::to_owned)
    .into();
    arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
    match read(arguments, |_| None) {
        Ok(Invocation::Serve(config)) => *config,
        other => panic!("{other:?}"),
    }
}

/// Returns a series with samples; labels in the order given.
pub(crate) fn series(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    TimeSeries {
        labels: labels
            .iter()
            .map(|&(name, value)| prompb::Label {
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .collect(),
        samples: samples
            .iter()
            .map(|&(timestamp, value)| prompb::Sample { value, timestamp })
            .collect(),
        ..TimeSeries::default()
    }
}

/// Returns a query over an hour from [`START_MS`] on.
pub(crate) fn query(matchers: &[(Type, &str, &str)]) -> Query {
    Query {
        start_timestamp_ms: START_MS,
        end_timestamp_ms: START_MS + 3_600_000,
        matchers: matchers
            .iter()
            .map(|&(op, name, value)| LabelMatcher {
                r#type: op.into(),
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .collect(),
        hints: None,
    }
}
