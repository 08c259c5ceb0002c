//! Hostile OTLP requests in both encodings.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::bodies::{MAX_BODY_BYTES, MAX_CONTENT_BYTES, bytes, double, each, filled, key, number};
use crate::row::Expected::{self, Definite, Rejected};
use crate::row::Route::{self, Otlp, OtlpGzip, OtlpJson};
use crate::row::{REJECTED, Row};

/// A time that data of the tests starts at, in nanoseconds.
const START_NS: u64 = 1_600_000_000_000_000_000;
/// A request that is not one.
const BROKEN: Expected = Rejected(&[400]);

/// Returns a fixed64 field.
fn fixed(field: u32, value: u64) -> Vec<u8> {
    [key(field, 1), value.to_le_bytes().to_vec()].concat()
}

/// Returns an attribute as the field of a data point of a gauge.
fn attribute(name: &str, value: &[u8]) -> Vec<u8> {
    bytes(7, [bytes(1, name), bytes(2, value)].concat())
}

/// Returns a data point of a gauge as its field.
fn point(attributes: &[u8]) -> Vec<u8> {
    bytes(
        1,
        [&fixed(3, START_NS), &double(4, 1.0), attributes].concat(),
    )
}

/// Returns a metric as its field; `data` has the number of its kind.
fn metric(name: &str, kind: u32, data: &[u8]) -> Vec<u8> {
    bytes(2, [bytes(1, name), bytes(kind, data)].concat())
}

/// Returns the request with these metrics of a resource.
fn request(resource: &[u8], metrics: &[u8]) -> Vec<u8> {
    bytes(1, [bytes(1, resource), bytes(2, metrics)].concat())
}

/// Returns the request with the gauge `m` with these data points.
fn gauge(points: &[u8]) -> Vec<u8> {
    request(b"", &metric("m", 5, points))
}

/// Returns the request with the cumulative histogram `m`, which is of this kind, with these data points.
fn histogram(kind: u32, points: &[u8]) -> Vec<u8> {
    request(b"", &metric("m", kind, &[points, &number(2, 2)].concat()))
}

/// Returns the value of a list in lists, each with one more.
fn nested(depth: usize) -> Vec<u8> {
    let mut value = bytes(1, "x");
    for _ in 0..depth {
        value = bytes(5, bytes(1, value));
    }
    value
}

fn gzip(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message).expect("memory accepts all");
    encoder.finish().expect("memory accepts all")
}

/// Returns JSON with so many bytes of `piece` in the list of data points of a gauge.
fn json(piece: &str, len: usize) -> Vec<u8> {
    let (begin, end) = (
        r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":["#,
        "]}}]}]}]}",
    );
    let pieces = vec![piece; len / (piece.len() + 1)].join(",");
    [begin, &pieces, end].concat().into_bytes()
}

pub(crate) fn rows() -> Vec<Row> {
    let rows: [(Route, &str, Expected, fn() -> Vec<u8>); _] = [
        (Otlp, "otlp: 1,000,000 empty points", Definite, || {
            gauge(&bytes(1, "").repeat(1_000_000))
        }),
        (Otlp, "otlp: 32 MiB of empty points", REJECTED, || {
            gauge(&filled(bytes(1, ""), MAX_CONTENT_BYTES))
        }),
        (Otlp, "otlp: 32 MiB of empty metrics", Definite, || {
            request(b"", &filled(bytes(2, ""), MAX_CONTENT_BYTES))
        }),
        (Otlp, "otlp: 32 MiB of empty resources", Definite, || {
            filled(bytes(1, ""), MAX_CONTENT_BYTES)
        }),
        (
            Otlp,
            "otlp: 100,000 points of their own labels",
            Definite,
            || {
                let points = each(100_000, |out, i| {
                    out.extend_from_slice(&point(&attribute(&format!("a.{i}"), &bytes(1, "b"))));
                });
                gauge(&points)
            },
        ),
        (
            Otlp,
            "otlp: 100,000 attributes of a point",
            Definite,
            || {
                let attributes = each(100_000, |out, i| {
                    out.extend_from_slice(&attribute(&format!("a.{i}"), &bytes(1, "b")));
                });
                gauge(&point(&attributes))
            },
        ),
        (
            Otlp,
            "otlp: 200,000 attributes of one name",
            Definite,
            || {
                // Each is another name that becomes the same label, so all are joined.
                let attributes = each(200_000, |out, i| {
                    let name: String = format!("{i:018b}")
                        .chars()
                        .map(|it| if it == '1' { '.' } else { '-' })
                        .collect();
                    out.extend_from_slice(&attribute(&format!("a{name}"), &bytes(1, "b")));
                });
                gauge(&point(&attributes))
            },
        ),
        (
            Otlp,
            "otlp: a promoted resource of many attributes",
            Definite,
            || {
                let attributes = each(10_000, |out, i| {
                    out.extend_from_slice(&bytes(
                        1,
                        [bytes(1, format!("a.{i}")), bytes(2, bytes(1, "b"))].concat(),
                    ));
                });
                request(&attributes, &metric("m", 5, &point(b"").repeat(10_000)))
            },
        ),
        (Otlp, "otlp: lists in lists", Definite, || {
            gauge(&point(&attribute("a", &nested(100_000))))
        }),
        (
            Otlp,
            "otlp: a point at time 0 beside one of now",
            Definite,
            || {
                let identity = bytes(
                    1,
                    [bytes(1, "service.name"), bytes(2, bytes(1, "s"))].concat(),
                );
                let other = bytes(1, [bytes(1, "x"), bytes(2, bytes(1, "y"))].concat());
                let points = [bytes(1, double(4, 1.0)), point(b"")].concat();
                let one = request(&[identity, other].concat(), &metric("m", 5, &points));
                one.repeat(10_000)
            },
        ),
        (
            Otlp,
            "otlp: histograms of 2,000,000 buckets",
            Definite,
            || {
                let counts = bytes(6, vec![0; 8 * 2_000_000]);
                let bounds = bytes(7, vec![0; 8 * 1_999_999]);
                histogram(9, &bytes(1, [counts, bounds].concat()))
            },
        ),
        (
            Otlp,
            "otlp: 10,000 histograms of 100 buckets",
            Definite,
            || {
                let counts = bytes(6, 1_u64.to_le_bytes().repeat(100));
                let bounds = each(99, |out, i| {
                    out.extend_from_slice(&(i as f64).to_le_bytes())
                });
                let point = [fixed(3, START_NS), fixed(4, 100), counts, bytes(7, bounds)].concat();
                histogram(9, &bytes(1, point).repeat(10_000))
            },
        ),
        (
            Otlp,
            "otlp: exponential histograms of 32 MiB",
            Definite,
            || {
                let buckets = bytes(8, bytes(2, vec![1; MAX_CONTENT_BYTES - 100]));
                histogram(10, &bytes(1, [fixed(3, START_NS), buckets].concat()))
            },
        ),
        (
            Otlp,
            "otlp: exponential histograms far apart",
            Definite,
            || {
                let side = |field, offset| {
                    let offset = number(1, offset);
                    bytes(field, [offset, bytes(2, vec![1, 0, 0, 0, 1])].concat())
                };
                let scale = number(6, 2 * i32::MAX as u64);
                let sides = [
                    side(8, u64::from(u32::MAX) - 1),
                    side(9, u64::from(u32::MAX)),
                ]
                .concat();
                let point = bytes(1, [fixed(3, START_NS), scale, sides].concat());
                histogram(10, &point.repeat(50_000))
            },
        ),
        (Otlp, "otlp: 1,000,000 empty exemplars", Definite, || {
            gauge(&point(&bytes(5, "").repeat(1_000_000)))
        }),
        (Otlp, "otlp: a name of 32 MiB", Definite, || {
            request(b"", &metric(&".".repeat(MAX_CONTENT_BYTES), 5, &point(b"")))
        }),
        (Otlp, "otlp: groups in groups", Definite, || {
            filled(key(15, 3), MAX_BODY_BYTES)
        }),
        (Otlp, "otlp: 32 MiB of ones", BROKEN, || {
            vec![0xff; MAX_BODY_BYTES]
        }),
        (OtlpJson, "otlp: JSON of 32 MiB of points", REJECTED, || {
            json("{}", MAX_CONTENT_BYTES)
        }),
        (OtlpJson, "otlp: JSON of 500,000 points", Definite, || {
            json(r#"{"asInt":"1"}"#, 500_000 * 14)
        }),
        (OtlpJson, "otlp: JSON of escapes", Definite, || {
            let point = format!(
                r#"{{"asInt":1,"attributes":[{{"key":"a","value":{{"stringValue":"{}"}}}}]}}"#,
                "\\u00e9".repeat(1_000)
            );
            json(&point, 16 << 20)
        }),
        (
            OtlpJson,
            "otlp: JSON of escapes in place of a list",
            Rejected(&[400, 413]),
            || format!(r#"{{"resourceMetrics":"{}"}}"#, "\\n".repeat(16_000_000)).into_bytes(),
        ),
        (OtlpJson, "otlp: JSON in JSON", BROKEN, || {
            vec![b'['; MAX_BODY_BYTES]
        }),
        (
            OtlpJson,
            "otlp: JSON of unknown keys in keys",
            BROKEN,
            || r#"{"x":"#.repeat(5_000_000).into_bytes(),
        ),
        (OtlpGzip, "otlp: gzip of 1 GiB", Rejected(&[413]), || {
            gzip(&vec![0; 64 << 20]).repeat(16)
        }),
        (OtlpGzip, "otlp: gzip of 32 MiB of points", REJECTED, || {
            gzip(&gauge(&filled(bytes(1, ""), MAX_CONTENT_BYTES)))
        }),
        (OtlpGzip, "otlp: 1,500,000 empty members", BROKEN, || {
            gzip(b"").repeat(1_500_000)
        }),
        (OtlpGzip, "otlp: gzip that claims 32 MiB", BROKEN, || {
            let mut body = gzip(&vec![0; 32 << 10]);
            let at = body.len() - 4;
            body[at..].copy_from_slice(&(32_u32 << 20).to_le_bytes());
            body
        }),
    ];
    let row = |(route, name, expected, content)| Row::new(route, name, expected, content);
    rows.into_iter().map(row).collect()
}
