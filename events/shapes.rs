//! The events of this directory: requests of Prometheus and Grafana in the shape of each service that can stand in
//! front of the function, and the inputs of schedules.
//!
//! Sources of the shapes: API Gateway payloads 1.0 and 2.0
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html>),
//! REST APIs
//! (<https://docs.aws.amazon.com/apigateway/latest/developerguide/set-up-lambda-proxy-integrations.html>),
//! function URLs (<https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html>), load balancers
//! (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/lambda-functions.html>).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use otlp::messages::{
    AnyValue, ExportMetricsServiceRequest, Gauge, KeyValue, Metric, NumberDataPoint,
    ResourceMetrics, ScopeMetrics, any_value, metric, number_data_point,
};
use prom_wire::prompb::{
    Label, LabelMatcher, Query, ReadRequest, Sample, TimeSeries, WriteRequest,
};
use prost::Message;
use serde_json::{Value, json};

/// The time of the first sample, in milliseconds: 2020-05-23T05:54:11.152Z. Its varint, and that of
/// [`END_MS`], are valid UTF-8, which [`Body::as_text`] needs.
pub(crate) const START_MS: i64 = varint([0xd0, 0xa0, 0xe2, 0x80, 0xa4, 0x2e]);
/// The end of the range that the reads query, 3 days later.
pub(crate) const END_MS: i64 = varint([0xd0, 0xa0, 0xe2, 0x80, 0xa5, 0x2e]);

/// The token of all requests; a function without `bearer_token` ignores it.
pub(crate) const TOKEN: &str = "local";

/// The expression of the queries; its characters all have a meaning in URLs.
const EXPRESSION: &str = "up{PrometheusDatabaseLabel=\"prometheus\",PrometheusTableLabel=\"samples\",\
                          job=~\"prom.+&?|100%\"} + 0.5";
/// The label of each series that differs between the bodies.
pub(crate) const JOB: &str = "prometheus";
/// The same of the bodies that are text.
pub(crate) const TEXT_JOB: &str = "text";

const HOST: &str = "abcdefghij.execute-api.us-east-1.amazonaws.com";
const ACCOUNT: &str = "123456789012";

const fn varint(bytes: [u8; 6]) -> i64 {
    let mut value = 0;
    let mut i = bytes.len();
    while i > 0 {
        i -= 1;
        value = value << 7 | (bytes[i] & 0x7f) as i64;
    }
    value
}

/// Returns every file: its name and its text.
pub(crate) fn files() -> Vec<(String, String)> {
    let mut files = Vec::new();
    for (shape, event) in SHAPES {
        for route in [Route::Write, Route::Read] {
            for (suffix, body) in [("", route.body()), ("-text", route.body_as_text())] {
                let name = format!("{shape}-{}{suffix}.json", route.name());
                let event = event(route, &body);
                files.push((name, format!("{event:#}\n")));
            }
        }
        for (suffix, route, body) in [
            ("", Route::Otlp, Route::Otlp.body()),
            ("-text", Route::Otlp, Route::Otlp.body_as_text()),
            ("", Route::Query, Body::none()),
            ("", Route::QueryForm, Route::QueryForm.body()),
            ("-text", Route::QueryForm, Route::QueryForm.body_as_text()),
        ] {
            let name = format!("{shape}-{}{suffix}.json", route.name());
            let event = event(route, &body);
            files.push((name, format!("{event:#}\n")));
        }
    }
    for (name, definition) in definitions() {
        files.push((
            format!("scheduler-{name}.json"),
            format!("{definition:#}\n"),
        ));
    }
    for (name, event) in [
        ("sqs-rows.json", queue_with_rows()),
        ("kinesis-rows.json", stream_with_rows()),
    ] {
        files.push((name.to_owned(), format!("{event:#}\n")));
    }
    files
}

/// Returns a connector definition of each type, by the type: the input of a schedule is the event.
fn definitions() -> [(&'static str, Value); 3] {
    [
        (
            "prometheus",
            json!({
                "name": "node-exporter-1",
                "type": "prometheus",
                "target_database": "prometheus",
                "target_table": "samples",
                "schedule_ms": 60_000,
                "config": {
                    "endpoint": "http://node-exporter:9100/metrics",
                    "auth": {"type": "bearer", "token_ref": "$env:NODE_EXPORTER_TOKEN"},
                    "timeout_ms": 5_000,
                    "job": "node",
                },
            }),
        ),
        (
            "prometheus_api",
            json!({
                "name": "prometheus-1",
                "type": "prometheus_api",
                "target_database": "prometheus",
                "target_table": "synced",
                "schedule_ms": 3_600_000,
                "config": {
                    "prometheus_url": "http://prometheus:9090",
                    "auth_type": "basic",
                    "username": "reader",
                    "password": "$env:PROMETHEUS_PASSWORD",
                    "metrics_filter": ["up", "go_goroutines"],
                    "lookback_hours": 24,
                    "step": 15,
                },
            }),
        ),
        (
            "prometheus_sink",
            json!({
                "name": "mimir-1",
                "type": "prometheus_sink",
                "schedule_ms": 60_000,
                "config": {
                    "url": "http://mimir:9009/api/v1/push",
                    "key_label": "labels",
                    "key_value": "value",
                    "key_timestamp": "time",
                    "auth": {"type": "basic", "username": "writer", "password_ref": "$env:MIMIR_PASSWORD"},
                    "source": {"database": "prometheus", "table": "samples", "start": "2026-01-01T00:00:00Z"},
                },
            }),
        ),
    ]
}

/// Returns rows for a sink.
fn rows() -> [Value; 2] {
    [1.5, 2.5].map(|value| {
        json!({
            "labels": {"__name__": "temperature", "site": "north"},
            "value": value,
            "time": 1_600_000_000_000_i64 + (value * 1e4) as i64,
        })
    })
}

/// Messages of a queue with rows for the sink that they name.
fn queue_with_rows() -> Value {
    let message = |(index, row): (usize, Value)| {
        json!({
            "messageId": format!("059f36b4-87a3-44ab-83d2-66197{index:07}"),
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
            "body": row.to_string(),
            "attributes": {
                "ApproximateReceiveCount": "1",
                "SentTimestamp": "1600000000000",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1600000000001",
            },
            "messageAttributes": {
                "connector": {
                    "stringValue": "mimir-1",
                    "stringListValues": [],
                    "binaryListValues": [],
                    "dataType": "String",
                },
            },
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:rows",
            "awsRegion": "us-east-1",
        })
    };
    let messages = rows().into_iter().enumerate().map(message);
    json!({"Records": messages.collect::<Vec<_>>()})
}

/// Returns records of a stream with rows for the only sink.
fn stream_with_rows() -> Value {
    let record = |(index, row): (usize, Value)| {
        json!({
            "kinesis": {
                "kinesisSchemaVersion": "1.0",
                "partitionKey": "north",
                "sequenceNumber": format!("49590338271490256608559692538361571095921575989136588{index:03}"),
                "data": STANDARD.encode(row.to_string()),
                "approximateArrivalTimestamp": 1_600_000_000.5,
            },
            "eventSource": "aws:kinesis",
            "eventVersion": "1.0",
            "eventID": format!("shardId-000000000006:{index}"),
            "eventName": "aws:kinesis:record",
            "invokeIdentityArn": "arn:aws:iam::123456789012:role/lambda",
            "awsRegion": "us-east-1",
            "eventSourceARN": "arn:aws:kinesis:us-east-1:123456789012:stream/rows",
        })
    };
    let records = rows().into_iter().enumerate().map(record);
    json!({"Records": records.collect::<Vec<_>>()})
}

/// The shapes by the names of their files.
const SHAPES: [(&str, fn(Route, &Body) -> Value); 7] = [
    ("http-api", http_api),
    ("http-api-stage", http_api_with_stage),
    ("http-api-1.0", http_api_of_payload_1_0),
    ("rest-api", rest_api),
    ("function-url", function_url),
    ("alb", load_balancer),
    ("alb-multi-value", load_balancer_with_multi_value_headers),
];

/// A request of Prometheus, of an exporter of OTLP, or of Grafana's data source for Prometheus.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Route {
    Write,
    Read,
    /// Metrics of OTLP: protobuf, or as text JSON.
    Otlp,
    /// A query of the API whose parameters are in the URL.
    Query,
    /// A query of a range whose parameters are in a form.
    QueryForm,
}

/// A body as an event carries it.
struct Body {
    /// Empty if there is no body.
    text: String,
    is_base64: bool,
    bytes: usize,
}

impl Body {
    fn none() -> Self {
        Self {
            text: String::new(),
            is_base64: false,
            bytes: 0,
        }
    }

    /// Returns the member of an event, whose form without a body is `none`.
    fn value_or(&self, none: Value) -> Value {
        match self.text.as_str() {
            "" => none,
            text => text.into(),
        }
    }

    fn plain(text: String) -> Self {
        Self {
            bytes: text.len(),
            is_base64: false,
            text,
        }
    }

    fn as_base64(bytes: &[u8]) -> Self {
        Self {
            text: STANDARD.encode(bytes),
            is_base64: true,
            bytes: bytes.len(),
        }
    }

    /// Returns a message whose snappy block is text, because it has no number that needs other
    /// bytes. No compressor makes such a block: it is cut into literals whose lengths are ASCII.
    fn as_text(message: &impl Message) -> Self {
        const MAX_LITERAL: usize = 32;
        let message = message.encode_to_vec();
        let message = str::from_utf8(&message).expect("the message is text");
        let length = u8::try_from(message.len()).expect("the message is short");
        assert!(length.is_ascii(), "{length}");
        let mut text = String::from(char::from(length));
        let mut rest = message;
        while !rest.is_empty() {
            let (literal, after) = rest.split_at(rest.floor_char_boundary(MAX_LITERAL));
            let tag = u8::try_from((literal.len() - 1) << 2).expect("a literal is short");
            text.push(char::from(tag));
            text.push_str(literal);
            rest = after;
        }
        Self {
            bytes: text.len(),
            is_base64: false,
            text,
        }
    }
}

impl Route {
    fn name(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Otlp => "otlp",
            Self::Query => "query",
            Self::QueryForm => "query-form",
        }
    }

    fn method(self) -> &'static str {
        match self {
            Self::Query => "GET",
            Self::Write | Self::Read | Self::Otlp | Self::QueryForm => "POST",
        }
    }

    fn user_agent(self) -> &'static str {
        match self {
            Self::Write | Self::Read => "Prometheus/3.15.0",
            Self::Otlp => "OTel-OTLP-Exporter-Python/1.45.2",
            Self::Query | Self::QueryForm => "Grafana/12.3.0",
        }
    }

    /// Returns the path of the gateway's route.
    fn resource(self) -> &'static str {
        match self {
            Self::Write | Self::Read | Self::Otlp => self.path(),
            Self::Query | Self::QueryForm => "/api/v1/{proxy+}",
        }
    }

    /// Returns the parameters of a query.
    fn parameters(self) -> Vec<(&'static str, String)> {
        let seconds = |ms: i64| format!("{}.{:03}", ms / 1_000, ms % 1_000);
        let end = seconds(START_MS + 15_000);
        match self {
            Self::Write | Self::Read | Self::Otlp => Vec::new(),
            Self::Query => vec![("query", EXPRESSION.to_owned()), ("time", end)],
            Self::QueryForm => vec![
                ("query", EXPRESSION.to_owned()),
                ("start", seconds(START_MS)),
                ("end", end),
                ("step", "15".to_owned()),
            ],
        }
    }

    /// Returns the parameters as a client encodes them.
    fn encoded_parameters(self) -> String {
        let mut encoded = form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(self.parameters());
        encoded.finish()
    }

    /// Returns the query string.
    fn query_string(self) -> String {
        match self {
            Self::Query => self.encoded_parameters(),
            Self::Write | Self::Read | Self::Otlp | Self::QueryForm => String::new(),
        }
    }

    /// Returns the parameters of the URL, decoded, as API Gateway sends them, or `none`.
    fn decoded_query(self, none: Value) -> Value {
        let query = self.query_string();
        let pairs = form_urlencoded::parse(query.as_bytes());
        map_or(none, pairs.map(|(name, value)| (name.into(), value.into())))
    }

    /// Returns the parameters of the URL as they were sent, as load balancers do.
    fn raw_query(self, none: Value) -> Value {
        let query = self.query_string();
        let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        map_or(none, pairs.map(|(name, value)| (name.into(), value.into())))
    }

    fn path(self) -> &'static str {
        match self {
            Self::Write => "/write",
            Self::Read => "/read",
            Self::Otlp => "/v1/metrics",
            Self::Query => "/api/v1/query",
            Self::QueryForm => "/api/v1/query_range",
        }
    }

    fn body(self) -> Body {
        let body = match self {
            Self::Write => prom_wire::encode(&WriteRequest {
                timeseries: vec![
                    series("up", JOB, &[(START_MS, 1.0), (START_MS + 15_000, 1.0)]),
                    series("go_goroutines", JOB, &[(START_MS, 37.0)]),
                    series("process_cpu_seconds_total", JOB, &[(START_MS, 12.34)]),
                ],
                metadata: vec![],
            }),
            Self::Read => prom_wire::encode(&query("up", JOB)),
            Self::Otlp => Ok(metrics(JOB).encode_to_vec()),
            Self::Query | Self::QueryForm => Ok(self.encoded_parameters().into_bytes()),
        };
        Body::as_base64(&body.expect("a short message can be encoded"))
    }

    fn body_as_text(self) -> Body {
        match self {
            Self::Write => Body::as_text(&WriteRequest {
                timeseries: vec![series("up", TEXT_JOB, &[(START_MS, 2.0)])],
                metadata: vec![],
            }),
            Self::Read => Body::as_text(&query("up", TEXT_JOB)),
            Self::Otlp => Body::plain(metrics_in_json(TEXT_JOB)),
            Self::Query | Self::QueryForm => Body::plain(self.encoded_parameters()),
        }
    }

    fn headers(self, body: &Body) -> Vec<(&'static str, String)> {
        let version = match self {
            Self::Write => "X-Prometheus-Remote-Write-Version",
            Self::Read => "X-Prometheus-Remote-Read-Version",
            Self::Otlp => return self.otlp_headers(body),
            Self::Query | Self::QueryForm => return self.query_headers(body),
        };
        [
            ("Authorization", format!("Bearer {TOKEN}")),
            ("Content-Encoding", "snappy".to_owned()),
            ("Content-Length", body.bytes.to_string()),
            ("Content-Type", "application/x-protobuf".to_owned()),
            ("Host", HOST.to_owned()),
            ("User-Agent", self.user_agent().to_owned()),
            (version, "0.1.0".to_owned()),
            ("X-Forwarded-For", "192.0.2.1".to_owned()),
            ("X-Forwarded-Port", "443".to_owned()),
            ("X-Forwarded-Proto", "https".to_owned()),
        ]
        .into()
    }
}

impl Route {
    /// Returns the headers that an exporter of OTLP sends.
    fn otlp_headers(self, body: &Body) -> Vec<(&'static str, String)> {
        let content_type = match body.is_base64 {
            true => "application/x-protobuf",
            false => "application/json",
        };
        [
            ("Authorization", format!("Bearer {TOKEN}")),
            ("Content-Length", body.bytes.to_string()),
            ("Content-Type", content_type.to_owned()),
            ("Host", HOST.to_owned()),
            ("User-Agent", self.user_agent().to_owned()),
            ("X-Forwarded-For", "192.0.2.1".to_owned()),
            ("X-Forwarded-Port", "443".to_owned()),
            ("X-Forwarded-Proto", "https".to_owned()),
        ]
        .into()
    }

    /// Returns the headers that Grafana sends.
    fn query_headers(self, body: &Body) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("Accept-Encoding", "gzip".to_owned()),
            ("Authorization", format!("Bearer {TOKEN}")),
            ("Host", HOST.to_owned()),
            ("User-Agent", self.user_agent().to_owned()),
            ("X-Forwarded-For", "192.0.2.1".to_owned()),
            ("X-Forwarded-Port", "443".to_owned()),
            ("X-Forwarded-Proto", "https".to_owned()),
        ];
        if self == Self::QueryForm {
            let form = "application/x-www-form-urlencoded";
            headers.push(("Content-Length", body.bytes.to_string()));
            headers.push(("Content-Type", form.to_owned()));
        }
        headers
    }
}

/// Returns an object of the members, or `none` if there are none.
fn map_or(none: Value, members: impl Iterator<Item = (String, Value)>) -> Value {
    let members: serde_json::Map<_, _> = members.collect();
    match members.is_empty() {
        true => none,
        false => members.into(),
    }
}

/// Returns the attributes of a data point, which name its destination and job.
fn attributes(job: &str) -> [(&'static str, &str); 3] {
    [
        ("PrometheusDatabaseLabel", "prometheus"),
        ("PrometheusTableLabel", "samples"),
        ("job", job),
    ]
}

/// Returns OTLP metrics: a gauge with one data point.
fn metrics(job: &str) -> ExportMetricsServiceRequest {
    let attribute = |(key, value): (&str, &str)| KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue {
            value: Some(any_value::Value::StringValue(value.to_owned())),
        }),
    };
    let point = NumberDataPoint {
        attributes: attributes(job).map(attribute).into(),
        time_unix_nano: START_MS.unsigned_abs() * 1_000_000,
        value: Some(number_data_point::Value::AsDouble(20.5)),
        ..NumberDataPoint::default()
    };
    let gauge = Metric {
        name: "room.temperature".to_owned(),
        unit: "Cel".to_owned(),
        data: Some(metric::Data::Gauge(Gauge {
            data_points: vec![point],
        })),
        ..Metric::default()
    };
    ExportMetricsServiceRequest {
        resource_metrics: vec![ResourceMetrics {
            scope_metrics: vec![ScopeMetrics {
                metrics: vec![gauge],
                ..ScopeMetrics::default()
            }],
            ..ResourceMetrics::default()
        }],
    }
}

/// Returns the same in JSON.
fn metrics_in_json(job: &str) -> String {
    let attribute = |(key, value)| json!({"key": key, "value": {"stringValue": value}});
    let point = json!({
        "attributes": attributes(job).map(attribute),
        "timeUnixNano": format!("{START_MS}000000"),
        "asDouble": 20.5,
    });
    let gauge =
        json!({"name": "room.temperature", "unit": "Cel", "gauge": {"dataPoints": [point]}});
    json!({"resourceMetrics": [{"scopeMetrics": [{"metrics": [gauge]}]}]}).to_string()
}

/// Returns labels that name a destination, for a function that is configured to read it there.
fn labels(name: &str, job: &str) -> [(&'static str, String); 4] {
    [
        ("PrometheusDatabaseLabel", "prometheus".to_owned()),
        ("PrometheusTableLabel", "samples".to_owned()),
        ("__name__", name.to_owned()),
        ("job", job.to_owned()),
    ]
}

fn series(name: &str, job: &str, samples: &[(i64, f64)]) -> TimeSeries {
    let label = |(name, value): (&str, String)| Label {
        name: name.to_owned(),
        value,
    };
    let sample = |&(timestamp, value): &(i64, f64)| Sample { value, timestamp };
    TimeSeries {
        labels: labels(name, job).map(label).into(),
        samples: samples.iter().map(sample).collect(),
        ..TimeSeries::default()
    }
}

fn query(name: &str, job: &str) -> ReadRequest {
    let matcher = |(name, value): (&str, String)| LabelMatcher {
        name: name.to_owned(),
        value,
        ..LabelMatcher::default()
    };
    let query = Query {
        start_timestamp_ms: START_MS,
        end_timestamp_ms: END_MS,
        matchers: labels(name, job).map(matcher).into(),
        hints: None,
    };
    ReadRequest {
        queries: vec![query],
        accepted_response_types: vec![],
    }
}

fn as_they_are(route: Route, body: &Body) -> Value {
    let headers = route.headers(body).into_iter();
    headers
        .map(|(name, value)| (name.to_owned(), Value::from(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn lower_case(route: Route, body: &Body) -> Value {
    let headers = route.headers(body).into_iter();
    headers
        .map(|(name, value)| (name.to_ascii_lowercase(), Value::from(value)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn multi_value(headers: &Value) -> Value {
    let Some(headers) = headers.as_object() else {
        return headers.clone();
    };
    headers
        .iter()
        .map(|(name, value)| (name.clone(), json!([value])))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn http_api(route: Route, body: &Body) -> Value {
    payload_2_0(route, body, "$default", route.path())
}

fn http_api_with_stage(route: Route, body: &Body) -> Value {
    payload_2_0(route, body, "dev", &format!("/dev{}", route.path()))
}

fn payload_2_0(route: Route, body: &Body, stage: &str, path: &str) -> Value {
    let route_key = format!("{} {}", route.method(), route.resource());
    let mut event = json!({
        "version": "2.0",
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": route.query_string(),
        "headers": lower_case(route, body),
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "abcdefghij",
            "domainName": HOST,
            "domainPrefix": "abcdefghij",
            "http": {
                "method": route.method(),
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": route.user_agent(),
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": route_key,
            "stage": stage,
            "time": "23/May/2020:05:54:26 +0000",
            "timeEpoch": START_MS + 15_000,
        },
        "isBase64Encoded": body.is_base64,
    });
    // Payload 2.0 has no members for what a request lacks.
    let optional = [
        ("body", body.value_or(Value::Null)),
        ("queryStringParameters", route.decoded_query(Value::Null)),
    ];
    for (name, value) in optional.into_iter().filter(|(_, value)| !value.is_null()) {
        event[name] = value;
    }
    event
}

/// Returns the event of a function URL: payload 2.0, without a route of its own.
fn function_url(route: Route, body: &Body) -> Value {
    let host = "abcdefghijklmnopqrstuvwxyz012345.lambda-url.us-east-1.on.aws";
    let mut event = payload_2_0(route, body, "$default", route.path());
    event["routeKey"] = "$default".into();
    event["headers"]["host"] = host.into();
    let context = &mut event["requestContext"];
    context["accountId"] = "anonymous".into();
    context["apiId"] = "abcdefghijklmnopqrstuvwxyz012345".into();
    context["domainName"] = host.into();
    context["domainPrefix"] = "abcdefghijklmnopqrstuvwxyz012345".into();
    context["routeKey"] = "$default".into();
    event
}

/// Returns the event of an HTTP API that is set to payload 1.0, which leaves the stage in the path.
fn http_api_of_payload_1_0(route: Route, body: &Body) -> Value {
    let path = format!("/dev{}", route.path());
    let mut event = payload_1_0(route, body, "dev", &path, &path);
    event["version"] = "1.0".into();
    event
}

fn rest_api(route: Route, body: &Body) -> Value {
    let full = format!("/Prod{}", route.path());
    payload_1_0(route, body, "Prod", route.path(), &full)
}

fn payload_1_0(route: Route, body: &Body, stage: &str, path: &str, full_path: &str) -> Value {
    let headers = as_they_are(route, body);
    json!({
        "resource": route.resource(),
        "path": path,
        "httpMethod": route.method(),
        "multiValueHeaders": multi_value(&headers),
        "headers": headers,
        "queryStringParameters": route.decoded_query(Value::Null),
        "multiValueQueryStringParameters": multi_value(&route.decoded_query(Value::Null)),
        "pathParameters": null,
        "stageVariables": null,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "abcdefghij",
            "domainName": HOST,
            "domainPrefix": "abcdefghij",
            "extendedRequestId": "JKJaXmPLvHcESHA=",
            "httpMethod": route.method(),
            "identity": {"sourceIp": "192.0.2.1", "userAgent": route.user_agent()},
            "path": full_path,
            "protocol": "HTTP/1.1",
            "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
            "requestTime": "23/May/2020:05:54:26 +0000",
            "requestTimeEpoch": START_MS + 15_000,
            "resourceId": "abc123",
            "resourcePath": route.resource(),
            "stage": stage,
        },
        "body": body.value_or(Value::Null),
        "isBase64Encoded": body.is_base64,
    })
}

fn load_balancer(route: Route, body: &Body) -> Value {
    let group = format!(
        "arn:aws:elasticloadbalancing:us-east-1:{ACCOUNT}:targetgroup/connector/6d0ecf831eec9f09"
    );
    json!({
        "requestContext": {"elb": {"targetGroupArn": group}},
        "httpMethod": route.method(),
        "path": route.path(),
        "queryStringParameters": route.raw_query(json!({})),
        "headers": lower_case(route, body),
        "body": body.text,
        "isBase64Encoded": body.is_base64,
    })
}

fn load_balancer_with_multi_value_headers(route: Route, body: &Body) -> Value {
    let mut event = load_balancer(route, body);
    let members = event.as_object_mut().expect("an event is an object");
    let headers = members.remove("headers").expect("it has headers");
    members.insert("multiValueHeaders".to_owned(), multi_value(&headers));
    let query = members.remove("queryStringParameters");
    let query = multi_value(&query.expect("it has a query"));
    members.insert("multiValueQueryStringParameters".to_owned(), query);
    event
}
