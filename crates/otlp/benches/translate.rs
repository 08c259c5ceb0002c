//! Cost of a request of 10,000 series with a sample each, for one core: read from protobuf and JSON, translated, and the
//! same series read from remote write 2.0. And that of histograms, each of which makes a dozen series.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use otlp::messages::{self, any_value, metric, number_data_point};
use otlp::{Options, TargetInfoBounds, read_json, read_protobuf, translate};
use prom_wire::budget::MemoryBudget;
use prom_wire::prompb::v2;
use prom_wire::request::StringArena;
use prom_wire::{RemoteWrite, read_request};
use prost::Message;

const HOSTS: usize = 10;
const METRICS: usize = 100;
const POINTS: usize = 10;
const TIME: u64 = 1_700_000_000_000_000_000;

fn attribute(key: &str, value: String) -> messages::KeyValue {
    let value = any_value::Value::StringValue(value);
    messages::KeyValue {
        key: key.to_owned(),
        value: Some(messages::AnyValue { value: Some(value) }),
    }
}

/// Returns a request of the metrics of hosts, as a Collector sends them.
fn request(metric: impl Fn(usize) -> messages::Metric) -> messages::ExportMetricsServiceRequest {
    let resource = |host: usize| {
        let resource = messages::Resource {
            attributes: vec![
                attribute("service.name", "node-exporter".to_owned()),
                attribute("service.instance.id", format!("host-{host}:9100")),
                attribute("host.name", format!("host-{host}.example.com")),
                attribute("os.type", "linux".to_owned()),
            ],
        };
        let scope = messages::ScopeMetrics {
            metrics: (0..METRICS).map(&metric).collect(),
            ..Default::default()
        };
        messages::ResourceMetrics {
            resource: Some(resource),
            scope_metrics: vec![scope],
            schema_url: String::new(),
        }
    };
    messages::ExportMetricsServiceRequest {
        resource_metrics: (0..HOSTS).map(resource).collect(),
    }
}

/// Returns the attributes of a data point.
fn attributes(point: usize) -> Vec<messages::KeyValue> {
    vec![
        attribute("cpu", format!("cpu{point}")),
        attribute("state", ["idle", "user", "system"][point % 3].to_owned()),
        attribute("net.interface.name", format!("eth{}", point % 4)),
    ]
}

fn counters(metric: usize) -> messages::Metric {
    let point = |point: usize| messages::NumberDataPoint {
        start_time_unix_nano: TIME - 1_000_000_000,
        time_unix_nano: TIME,
        value: Some(number_data_point::Value::AsDouble((metric * point) as f64)),
        attributes: attributes(point),
        ..Default::default()
    };
    messages::Metric {
        name: format!("system.cpu.time.{metric}"),
        description: "Seconds each logical CPU spent on each mode.".to_owned(),
        unit: "s".to_owned(),
        data: Some(metric::Data::Sum(messages::Sum {
            data_points: (0..POINTS).map(point).collect(),
            aggregation_temporality: 2,
            is_monotonic: true,
        })),
    }
}

fn histograms(metric: usize) -> messages::Metric {
    let point = |point: usize| messages::HistogramDataPoint {
        start_time_unix_nano: TIME - 1_000_000_000,
        time_unix_nano: TIME,
        count: 100,
        sum: Some(3.5),
        bucket_counts: vec![10; 10],
        explicit_bounds: vec![0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5],
        attributes: attributes(point),
        ..Default::default()
    };
    messages::Metric {
        name: format!("http.server.request.duration.{metric}"),
        description: "Duration of HTTP server requests.".to_owned(),
        unit: "s".to_owned(),
        data: Some(metric::Data::Histogram(messages::Histogram {
            data_points: vec![point(metric % POINTS)],
            aggregation_temporality: 2,
        })),
    }
}

/// Returns the series that the body makes, as a request of remote write 2.0.
fn remote_write(body: &[u8]) -> v2::Request {
    let arena = StringArena::default();
    let mut reservation = MemoryBudget::unlimited().reservation();
    let metrics = read_protobuf(body, &mut reservation).expect("it was encoded");
    let bounds = TargetInfoBounds::default();
    let translation = translate(
        &metrics,
        &Options::default(),
        &bounds,
        &arena,
        &mut reservation,
    );
    let translation = translation.expect("it is within the limits");
    let mut symbols = vec![String::new()];
    let mut positions = std::collections::HashMap::new();
    let mut symbol = |text: &str| {
        *positions.entry(text.to_owned()).or_insert_with(|| {
            symbols.push(text.to_owned());
            symbols.len() as u32 - 1
        })
    };
    let mut timeseries = Vec::new();
    for series in translation.request.iter() {
        let labels = series.labels.iter();
        let labels_refs = labels.flat_map(|(name, value)| [symbol(name), symbol(value)]);
        let labels_refs = labels_refs.collect();
        let samples = series.datapoints.iter().map(|it| v2::Sample {
            value: it.value(),
            timestamp: it.timestamp_ms(),
            ..Default::default()
        });
        timeseries.push(v2::TimeSeries {
            labels_refs,
            samples: samples.collect(),
            ..Default::default()
        });
    }
    v2::Request {
        symbols,
        timeseries,
    }
}

/// Returns the JSON of a body, with the fields that these requests have.
fn json(request: &messages::ExportMetricsServiceRequest) -> String {
    let attributes = |attributes: &[messages::KeyValue]| -> serde_json::Value {
        let attribute = |it: &messages::KeyValue| {
            let value = it.value.as_ref().and_then(|it| it.value.as_ref());
            let Some(any_value::Value::StringValue(value)) = value else {
                panic!("{value:?}");
            };
            serde_json::json!({"key": it.key, "value": {"stringValue": value}})
        };
        attributes.iter().map(attribute).collect()
    };
    let point = |it: &messages::NumberDataPoint| {
        let Some(number_data_point::Value::AsDouble(value)) = it.value else {
            panic!("{it:?}");
        };
        serde_json::json!({
            "startTimeUnixNano": it.start_time_unix_nano.to_string(),
            "timeUnixNano": it.time_unix_nano.to_string(),
            "asDouble": value,
            "attributes": attributes(&it.attributes),
        })
    };
    let metric = |it: &messages::Metric| {
        let Some(metric::Data::Sum(sum)) = &it.data else {
            panic!("{it:?}");
        };
        let points: serde_json::Value = sum.data_points.iter().map(point).collect();
        serde_json::json!({
            "name": it.name, "description": it.description, "unit": it.unit,
            "sum": {"dataPoints": points, "aggregationTemporality": 2, "isMonotonic": true},
        })
    };
    let resource = |it: &messages::ResourceMetrics| {
        let metrics: serde_json::Value = it.scope_metrics[0].metrics.iter().map(metric).collect();
        let resource = it.resource.as_ref().map(|it| attributes(&it.attributes));
        serde_json::json!({
            "resource": {"attributes": resource}, "scopeMetrics": [{"metrics": metrics}],
        })
    };
    let resources: serde_json::Value = request.resource_metrics.iter().map(resource).collect();
    serde_json::json!({ "resourceMetrics": resources }).to_string()
}

fn requests(criterion: &mut Criterion) {
    let shapes = [
        ("counters", request(counters)),
        ("histograms", request(histograms)),
    ];
    for (shape, message) in shapes {
        let body = message.encode_to_vec();
        let written = remote_write(&body);
        let series = written.timeseries.len();
        let written = written.encode_to_vec();
        println!(
            "{shape}: {series} series, {} bytes as OTLP, {} as remote write 2.0",
            body.len(),
            written.len()
        );
        let mut group = criterion.benchmark_group(shape);
        group.throughput(Throughput::Elements(series as u64));
        group.bench_function(BenchmarkId::from_parameter("read protobuf"), |bencher| {
            bencher.iter(|| {
                let mut reservation = MemoryBudget::unlimited().reservation();
                let metrics = read_protobuf(black_box(&body), &mut reservation);
                metrics.expect("it was encoded").point_count()
            });
        });
        group.bench_function(
            BenchmarkId::from_parameter("read and translate"),
            |bencher| {
                bencher.iter(|| {
                    let arena = StringArena::default();
                    let mut reservation = MemoryBudget::unlimited().reservation();
                    let metrics = read_protobuf(black_box(&body), &mut reservation);
                    let metrics = metrics.expect("it was encoded");
                    let (options, bounds) = (Options::default(), TargetInfoBounds::default());
                    let translation =
                        translate(&metrics, &options, &bounds, &arena, &mut reservation);
                    translation.expect("it is within the limits").request.len()
                });
            },
        );
        group.bench_function(BenchmarkId::from_parameter("remote write 2.0"), |bencher| {
            bencher.iter(|| {
                let mut reservation = MemoryBudget::unlimited().reservation();
                let request = read_request(RemoteWrite::V2, black_box(&written), &mut reservation);
                request.expect("it was encoded").len()
            });
        });
        if shape == "counters" {
            let json = json(&message);
            println!("{} bytes as JSON", json.len());
            group.bench_function(BenchmarkId::from_parameter("read JSON"), |bencher| {
                bencher.iter(|| {
                    let arena = StringArena::default();
                    let mut reservation = MemoryBudget::unlimited().reservation();
                    let metrics = read_json(black_box(json.as_bytes()), &arena, &mut reservation);
                    metrics.expect("it was encoded").point_count()
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, requests);
criterion_main!(benches);
