//! Cost of decoding a write request of 10,000 series with a sample each, for one core: by this crate, by the decoders
//! that prost generates, and the floor that no decoder falls below: a copy of the bytes, and a walk over all fields.
//!
//! The request has the shape of the one that GreptimeDB measures decoders with
//! (<https://github.com/v0y4g3r/prom-write-request-bench>): a scrape of eleven node exporters with the labels of an
//! agent, 1.69 MB in remote write 1.0. `REQUEST` names a file with another decompressed request of remote write 1.0.

use std::collections::HashMap;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message;

use prom_wire::budget::MemoryBudget;
use prom_wire::prompb::{Label, Sample, TimeSeries, WriteRequest, v2};
use prom_wire::{RemoteWrite, decompress, encode, read_request};

const SERIES: usize = 10_000;

fn decoders(criterion: &mut Criterion) {
    let request = match std::env::var("REQUEST") {
        Ok(path) => {
            let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            WriteRequest::decode(bytes.as_slice()).expect("REQUEST is a prometheus.WriteRequest")
        }
        Err(_) => scraped(SERIES),
    };
    let second = with_symbols(&request);
    let labels: usize = request.timeseries.iter().map(|it| it.labels.len()).sum();
    let bodies = [
        ("1.0", RemoteWrite::V1, request.encode_to_vec()),
        ("2.0", RemoteWrite::V2, second.encode_to_vec()),
    ];
    for (name, version, message) in bodies {
        println!(
            "remote write {name}: {} series, {labels} labels, {} symbols, {} bytes",
            request.timeseries.len(),
            second.symbols.len(),
            message.len()
        );
        measure(criterion, name, version, &message);
    }
    let body = encode(&request).expect("it is small");
    let mut group = criterion.benchmark_group("decode");
    group.bench_function(BenchmarkId::new("snappy", "1.0"), |bencher| {
        bencher.iter(|| decompress(black_box(&body), usize::MAX));
    });
    group.finish();
}

fn measure(criterion: &mut Criterion, name: &str, version: RemoteWrite, message: &[u8]) {
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Bytes(message.len() as u64));
    group.bench_function(BenchmarkId::new("prom-wire", name), |bencher| {
        bencher.iter(|| {
            let mut reservation = MemoryBudget::unlimited().reservation();
            let request = read_request(version, black_box(message), &mut reservation);
            request.expect("it was encoded").len()
        });
    });
    group.bench_function(BenchmarkId::new("prost", name), |bencher| {
        bencher.iter(|| match version {
            RemoteWrite::V1 => {
                WriteRequest::decode(black_box(message)).map(|it| it.timeseries.len())
            }
            RemoteWrite::V2 => {
                v2::Request::decode(black_box(message)).map(|it| it.timeseries.len())
            }
        });
    });
    let mut copy = vec![0; message.len()];
    group.bench_function(BenchmarkId::new("copy and walk", name), |bencher| {
        bencher.iter(|| {
            copy.copy_from_slice(black_box(message));
            match version {
                RemoteWrite::V1 => walk(&copy, FIRST),
                RemoteWrite::V2 => walk(&copy, SECOND),
            }
        });
    });
    group.finish();
}

/// The content of a field with a length, unless it is a string.
enum Content {
    /// A message with these fields.
    Message(Fields),
    /// Numbers.
    Packed,
}

/// The fields of a message that have a content.
type Fields = &'static [(u64, Content)];

const FIRST: Fields = &[(
    1,
    Content::Message(&[(1, Content::Message(&[])), (2, Content::Message(&[]))]),
)];
const SECOND: Fields = &[(
    5,
    Content::Message(&[(1, Content::Packed), (2, Content::Message(&[]))]),
)];

/// Visits each field of a message and those within it; returns a number that depends on all of them.
fn walk(mut rest: &[u8], fields: Fields) -> u64 {
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let key = varint(&mut rest);
        sum = sum.wrapping_add(match key & 7 {
            0 => varint(&mut rest),
            1 => {
                let (bytes, after) = rest.split_first_chunk().expect("it was encoded");
                rest = after;
                u64::from_le_bytes(*bytes)
            }
            _ => {
                let length = varint(&mut rest) as usize;
                let (bytes, after) = rest.split_at(length);
                rest = after;
                match fields.iter().find(|(field, _)| *field == key >> 3) {
                    Some((_, Content::Message(fields))) => walk(bytes, fields),
                    Some((_, Content::Packed)) => numbers(bytes),
                    None => bytes.len() as u64,
                }
            }
        });
    }
    sum
}

fn numbers(mut packed: &[u8]) -> u64 {
    let mut sum = 0_u64;
    while !packed.is_empty() {
        sum = sum.wrapping_add(varint(&mut packed));
    }
    sum
}

fn varint(rest: &mut &[u8]) -> u64 {
    let mut value = 0;
    for index in 0.. {
        let (byte, after) = rest.split_first().expect("it was encoded");
        *rest = after;
        value |= u64::from(byte & 0x7f) << (7 * index);
        if *byte < 0x80 {
            break;
        }
    }
    value
}

/// Metrics of one set of labels: their number, and the labels beside those of the target, with the number of values.
/// Together they are the series of one node exporter.
const FAMILIES: [(usize, &[(&str, usize)]); 8] = [
    (145, &[]),
    (22, &[("device", 12)]),
    (2, &[("collector", 40)]),
    (4, &[("cpu", 16)]),
    (1, &[("cpu", 16), ("mode", 8)]),
    (1, &[("cpu", 16), ("mode", 2)]),
    (1, &[("name", 20), ("type", 2)]),
    (6, &[("mountpoint", 24), ("fstype", 1), ("device", 1)]),
];

/// Returns the first series of the scrape of many targets.
fn scraped(series: usize) -> WriteRequest {
    let mut timeseries = Vec::new();
    for target in 0.. {
        let mut number = 0;
        for (metrics, labels) in FAMILIES {
            for _ in 0..metrics {
                number += 1;
                let name = format!(
                    "node_subsystem_{number:03}_{}",
                    ["total", "bytes_total"][number % 2]
                );
                let count: usize = labels.iter().map(|(_, values)| values).product();
                for position in 0..count {
                    timeseries.push(scraped_series(target, &name, labels, position));
                    if timeseries.len() == series {
                        return WriteRequest {
                            timeseries,
                            metadata: Vec::new(),
                        };
                    }
                }
            }
        }
    }
    unreachable!("there are as many targets as needed")
}

fn scraped_series(
    target: usize,
    metric: &str,
    labels: &[(&str, usize)],
    mut position: usize,
) -> TimeSeries {
    let value = (position * 4_096 + metric.len()) as f64;
    let mut all = vec![
        ("__name__", metric.to_owned()),
        ("instance", format!("host-{}", 156 + 17 * target)),
        ("job", "node_exporter".to_owned()),
        ("replica", "0".to_owned()),
        ("revision", "r0".to_owned()),
    ];
    // The last label changes first, as in a scrape.
    for (name, values) in labels.iter().rev() {
        let value = position % values;
        position /= values;
        all.push((
            name,
            match *name {
                "mountpoint" => format!(
                    "/run/containerd/io.containerd.grpc.v1.cri/sandboxes/75cd50b3a8d14d8d/{value}"
                ),
                "fstype" => "tmpfs".to_owned(),
                "cpu" => value.to_string(),
                "collector" | "mode" | "type" => format!("{name}{value}"),
                _ => format!("veth6f08{value:04}"),
            },
        ));
    }
    all.sort();
    let label = |(name, value): (&str, String)| Label {
        name: name.to_owned(),
        value,
    };
    TimeSeries {
        labels: all.into_iter().map(label).collect(),
        samples: vec![Sample {
            value,
            timestamp: 1_709_380_559_045 + 18 * target as i64,
        }],
        ..TimeSeries::default()
    }
}

/// Returns the same request in remote write 2.0.
fn with_symbols(request: &WriteRequest) -> v2::Request {
    let mut symbols = vec![String::new()];
    let mut references = HashMap::from([(String::new(), 0)]);
    let mut reference = |text: &str| {
        *references.entry(text.to_owned()).or_insert_with(|| {
            symbols.push(text.to_owned());
            symbols.len() as u32 - 1
        })
    };
    let series = request.timeseries.iter().map(|series| {
        let labels = series.labels.iter();
        let samples = series.samples.iter().map(|sample| v2::Sample {
            value: sample.value,
            timestamp: sample.timestamp,
            start_timestamp: 0,
        });
        v2::TimeSeries {
            labels_refs: labels
                .flat_map(|label| [reference(&label.name), reference(&label.value)])
                .collect(),
            samples: samples.collect(),
            ..v2::TimeSeries::default()
        }
    });
    let timeseries = series.collect();
    v2::Request {
        symbols,
        timeseries,
    }
}

criterion_group!(benches, decoders);
criterion_main!(benches);
