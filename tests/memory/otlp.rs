//! Requests with OTLP metrics, in both encodings.

use otlp::response::Encoding;
use otlp::{DecodeError, Options, TargetInfoBounds, read_and_translate};
use prom_wire::budget::{MemoryBudget, Reservation};
use prom_wire::request::StringArena;
use timestream_prometheus_connector::storage::write::batch::batches;
use timestream_prometheus_connector::storage::write::body::write_call;
use timestream_prometheus_connector::storage::write::series::{WritePolicy, series_to_records};

use crate::{ALONE, field, least_budget, routing};

/// 1,600,000,000 seconds, as fields of a data point.
const TIME: &[u8] = b"\x11\x00\x00\xd0\xee\x3b\x4f\x34\x16\x19\x00\x00\xd0\xee\x3b\x4f\x34\x16";
/// The same in JSON.
const JSON_TIME: &str = r#""timeUnixNano":"1600000000000000000""#;
const VALUE: &[u8] = b"\x21\x00\x00\x00\x00\x00\x00\xf8\x3f";

/// Reads and translates a request, converts its series and makes their calls one after the other; returns false if there
/// was no memory for it.
fn export(
    encoding: Encoding,
    options: &Options,
    message: &[u8],
    reservation: &mut Reservation,
) -> bool {
    let arena = StringArena::default();
    let bounds = TargetInfoBounds::default();
    let translation =
        match read_and_translate(encoding, message, options, &bounds, &arena, reservation) {
            Ok(translation) => translation,
            Err(DecodeError::Busy(_) | DecodeError::TooLarge { .. }) => return false,
            Err(DecodeError::Json { .. }) => return true,
            Err(error) => panic!("{error}"),
        };
    let policy = WritePolicy {
        store_special_values: true,
        ..WritePolicy::default()
    };
    let conversion = series_to_records(&translation.request, &routing(), policy).unwrap();
    for batches in batches(&conversion.stored, &conversion.destinations) {
        for batch in batches.iter() {
            write_call(batch, None);
        }
    }
    true
}

fn of(count: usize, part: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(part).collect()
}

/// Returns an attribute as a field with this number.
fn attribute(number: u8, key: &str, value: &str) -> Vec<u8> {
    let value = field(2, &field(1, value.as_bytes()));
    field(number, &[field(1, key.as_bytes()), value].concat())
}

/// Returns a resource with these metrics.
fn resource(name: &str, metrics: &[u8]) -> Vec<u8> {
    let resource = attribute(1, "service.name", name);
    field(1, &[field(1, &resource), field(2, metrics)].concat())
}

/// Returns a metric with data points of a kind, which has this field number.
fn metric(name: &str, kind: u8, data: &[u8]) -> Vec<u8> {
    let parts = [field(1, name.as_bytes()), field(3, b"s"), field(kind, data)];
    field(2, &parts.concat())
}

/// Returns a cumulative sum or histogram with these data points.
fn cumulative(points: &[u8]) -> Vec<u8> {
    [points, b"\x10\x02"].concat()
}

/// Returns the data points of a gauge, each with these attributes.
fn gauges(count: usize, attributes: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let points = of(count, |i| field(1, &[TIME, VALUE, &attributes(i)].concat()));
    resource("a", &metric("m", 5, &points))
}

/// Returns counters as a Collector sends them: ten data points for each metric, with three attributes.
fn counters(metrics: usize) -> Vec<u8> {
    let point = |i: usize| {
        let attributes = [
            attribute(7, "cpu", &format!("cpu{i}")),
            attribute(7, "state", ["idle", "user", "system"][i % 3]),
            attribute(7, "net.interface.name", &format!("eth{}", i % 4)),
        ];
        field(1, &[TIME, VALUE, &attributes.concat()].concat())
    };
    let points = cumulative(&of(10, point));
    let metrics = of(metrics, |i| {
        metric(&format!("system.cpu.time.{i}"), 7, &points)
    });
    resource("host", &metrics)
}

/// Returns a data point of a histogram with so many boundaries.
fn histogram(bounds: usize) -> Vec<u8> {
    let counts = 1_u64.to_le_bytes().repeat(bounds + 1);
    let bounds = of(bounds, |i| (i as f64).to_le_bytes().to_vec());
    field(1, &[TIME, &field(6, &counts), &field(7, &bounds)].concat())
}

/// Returns a data point of an exponential histogram with so many buckets.
fn exponential(buckets: usize) -> Vec<u8> {
    let positive = field(8, &field(2, &vec![1; buckets]));
    field(1, &[TIME, &positive].concat())
}

fn protobuf() -> Vec<(&'static str, Vec<u8>)> {
    let quantile = b"\x09\x00\x00\x00\x00\x00\x00\xe0\x3f\x11\x00\x00\x00\x00\x00\x00\xf0\x3f";
    let exemplar = field(5, &[&TIME[9..], &VALUE[..0]].concat());
    let one = |kind: u8, points: Vec<u8>| resource("a", &metric("m", kind, &cumulative(&points)));
    vec![
        ("counters", counters(1_000)),
        (
            "histograms",
            resource(
                "a",
                &of(1_000, |i| {
                    metric(&format!("m{i}"), 9, &cumulative(&histogram(10)))
                }),
            ),
        ),
        ("gauges of no attributes", gauges(90_000, |_| vec![])),
        (
            "data points of which nothing is given",
            resource("a", &metric("m", 5, &field(1, &[]).repeat(90_000))),
        ),
        (
            "attributes of one data point",
            gauges(1, |_| of(20_000, |i| attribute(7, &format!("a{i}"), "v"))),
        ),
        (
            "attributes of one key",
            gauges(1, |_| attribute(7, "a", "v").repeat(100_000)),
        ),
        (
            "long values",
            gauges(2_000, |i| attribute(7, "a", &format!("{i:01500}"))),
        ),
        (
            "names to escape",
            gauges(20_000, |i| attribute(7, &format!("ü.{i}.b"), "v")),
        ),
        (
            "lists as values",
            gauges(100, |_| {
                let list = field(5, &field(1, &[]).repeat(5_000));
                field(7, &[field(1, b"a"), field(2, &list)].concat())
            }),
        ),
        (
            "metrics of one data point",
            resource(
                "a",
                &of(50_000, |i| {
                    metric(&format!("m.{i}"), 5, &field(1, &[TIME, VALUE].concat()))
                }),
            ),
        ),
        (
            "empty metrics",
            resource("a", &field(2, &[]).repeat(200_000)),
        ),
        ("empty scopes", field(1, &field(2, &[]).repeat(200_000))),
        ("empty resources", field(1, &[]).repeat(200_000)),
        (
            "resources of one data point",
            of(20_000, |i| {
                let points = field(1, &[TIME, VALUE].concat());
                resource(&format!("job{i}"), &metric("m", 5, &points))
            }),
        ),
        ("a large histogram", one(9, histogram(20_000))),
        (
            "a large exponential histogram",
            one(10, exponential(500_000)),
        ),
        (
            "exponential histograms",
            one(10, exponential(160).repeat(5_000)),
        ),
        (
            "a large summary",
            resource(
                "a",
                &metric(
                    "m",
                    11,
                    &field(1, &[TIME, &field(6, quantile).repeat(20_000)].concat()),
                ),
            ),
        ),
        (
            "empty exemplars",
            gauges(1, |_| field(5, &[]).repeat(100_000)),
        ),
        ("exemplars", gauges(1_000, |_| exemplar.repeat(50))),
        (
            "data points that are not UTF-8",
            gauges(100_000, |_| b"\x3a\x03\x0a\x01\xff".to_vec()),
        ),
    ]
}

fn json() -> Vec<(&'static str, Vec<u8>)> {
    let request = |metrics: String| {
        format!(
            r#"{{"resourceMetrics":[{{"resource":{{"attributes":[{{"key":"service.name","value":{{"stringValue":"a"}}}}]}},"scopeMetrics":[{{"metrics":[{metrics}]}}]}}]}}"#
        )
        .into_bytes()
    };
    let list = |count: usize, part: &dyn Fn(usize) -> String| -> String {
        (0..count).map(part).collect::<Vec<_>>().join(",")
    };
    let gauge = |points: String| {
        request(format!(
            r#"{{"name":"m","gauge":{{"dataPoints":[{points}]}}}}"#
        ))
    };
    let attribute = |key: &str, value: &str| {
        format!(r#"{{"key":"{key}","value":{{"stringValue":"{value}"}}}}"#)
    };
    let point = |attributes: String| {
        format!(r#"{{{JSON_TIME},"asDouble":1.5,"attributes":[{attributes}]}}"#)
    };
    vec![
        (
            "counters",
            request(list(1_000, &|metric| {
                let points = list(10, &|i| {
                    let state = ["idle", "user", "system"][i % 3];
                    point(
                        [
                            attribute("cpu", &format!("cpu{i}")),
                            attribute("state", state),
                        ]
                        .join(","),
                    )
                });
                format!(
                    r#"{{"name":"system.cpu.time.{metric}","unit":"s","sum":{{"aggregationTemporality":2,"isMonotonic":true,"dataPoints":[{points}]}}}}"#
                )
            })),
        ),
        (
            "data points of which nothing is given",
            gauge(list(90_000, &|_| "{}".to_owned())),
        ),
        (
            "strings with escapes",
            gauge(list(20_000, &|i| {
                point(attribute("a", &format!(r"\n{i}\n")))
            })),
        ),
        (
            "long strings with escapes",
            gauge(list(20, &|_| point(attribute("a", &r"é\n".repeat(20_000))))),
        ),
        (
            "keys with escapes",
            gauge(list(20_000, &|i| point(attribute(&format!(r"\t{i}"), "v")))),
        ),
        (
            "nested values",
            gauge(list(1_000, &|_| {
                let value = r#"{"arrayValue":{"values":["#.repeat(20) + &"]}}".repeat(20);
                point(format!(r#"{{"key":"a","value":{value}}}"#))
            })),
        ),
        (
            "unknown keys",
            request(format!(
                r#"{{"name":"m","x":[{}]}}"#,
                list(200_000, &|_| "{}".to_owned())
            )),
        ),
        (
            "escapes in place of a list",
            format!(r#"{{"resourceMetrics":"{}"}}"#, r"\n".repeat(1_000_000)).into_bytes(),
        ),
        (
            "escapes in place of an object",
            format!(r#"{{"resourceMetrics":["{}"]}}"#, r"\u0041".repeat(300_000)).into_bytes(),
        ),
        (
            "an unknown key of escapes",
            format!(r#"{{"{}":1}}"#, r"\n".repeat(1_000_000)).into_bytes(),
        ),
        (
            "empty metrics",
            request(list(200_000, &|_| "{}".to_owned())),
        ),
    ]
}

#[test]
fn no_request_occupies_more_than_the_budget() {
    let _alone = ALONE.lock();
    let defaults = Options::default();
    let custom_buckets = Options {
        convert_histograms_to_nhcb: true,
        promote_all_resource_attributes: true,
        promote_scope_metadata: true,
        ..Options::default()
    };
    /// Those for which the options make a difference.
    const CUSTOM: [&str; 3] = [
        "histograms",
        "a large histogram",
        "resources of one data point",
    ];
    let mut rows = Vec::new();
    for (options, names) in [(&defaults, None), (&custom_buckets, Some(CUSTOM))] {
        let requests = [(Encoding::Protobuf, protobuf()), (Encoding::Json, json())];
        for (encoding, requests) in requests {
            for (name, message) in requests {
                if names.is_some_and(|it| !it.contains(&name)) {
                    continue;
                }
                let (budget, peak) = least_budget(name, |reservation| {
                    export(encoding, options, &message, reservation)
                });
                let len = message.len();
                let ratio = budget as f64 / peak as f64;
                println!(
                    "{encoding:?} {name:<40} {len:>9} bytes: {peak:>10} of {budget:>10}, {ratio:.2}"
                );
                rows.push((name, budget, peak));
            }
        }
    }
    // Ordinary requests do not need a budget much larger than what they occupy.
    let mut ordinary = rows.iter().filter(|it| it.0 == "counters");
    assert!(ordinary.clone().count() > 1);
    assert!(
        ordinary.all(|(_, budget, peak)| budget / peak < 4),
        "{rows:?}"
    );

    // One with about as many series as a Collector sends at most fits into the default.
    let message = counters(5_000);
    let mut reservation = MemoryBudget::new(128 << 20).reservation();
    reservation.grow(message.len()).unwrap();
    assert!(export(
        Encoding::Protobuf,
        &defaults,
        &message,
        &mut reservation
    ));
}
