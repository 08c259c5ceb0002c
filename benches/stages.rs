//! Cost of a write request in each stage from its body to the bodies of its calls, for one core and
//! without any I/O. `benches/write.rs` puts the figures into its table.

#[allow(dead_code, reason = "each user needs a part of it")]
#[path = "../tests/support/exporters.rs"]
mod exporters;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

use prom_wire::RemoteWrite;
use prom_wire::budget::MemoryBudget;
use prom_wire::prompb;
use timestream_prometheus_connector::storage::routing::{RoutePart, Routing};
use timestream_prometheus_connector::storage::write::batch::batches;
use timestream_prometheus_connector::storage::write::body::write_call;
use timestream_prometheus_connector::storage::write::series::{WritePolicy, series_to_records};

const SAMPLES: usize = 2_000;
const NO_LIMIT: usize = usize::MAX;

fn stages(criterion: &mut Criterion) {
    let sets = [
        ("synthetic", exporters::synthetic(SAMPLES)),
        ("node exporter", exporters::node_exporters().first(SAMPLES)),
        ("pods", exporters::pods().first(SAMPLES)),
    ];
    for (name, series) in sets {
        let request = prompb::WriteRequest {
            timeseries: series,
            metadata: Vec::new(),
        };
        let body = prom_wire::encode(&request).expect("it is small");
        measure(criterion, name, &body);
    }
}

fn measure(criterion: &mut Criterion, name: &str, body: &[u8]) {
    let routing = Routing {
        database: part("db"),
        table: part("t"),
    };
    let policy = WritePolicy::default();
    let message = prom_wire::decompress(body, NO_LIMIT).expect("it was compressed");
    let request = prom_wire::read_request(
        RemoteWrite::V1,
        &message,
        &mut MemoryBudget::unlimited().reservation(),
    )
    .expect("it was encoded");
    let converted = series_to_records(&request, &routing, policy).expect("nothing is rejected");
    let compose = || batches(&converted.stored, &converted.destinations);
    let composed = compose();

    let mut group = criterion.benchmark_group("write");
    group.throughput(Throughput::Elements(SAMPLES as u64));
    let id = |stage| BenchmarkId::new(stage, name);
    group.bench_function(id("decompress"), |bencher| {
        bencher.iter(|| prom_wire::decompress(black_box(body), NO_LIMIT));
    });
    group.bench_function(id("decode"), |bencher| {
        bencher.iter(|| {
            prom_wire::read_request(
                RemoteWrite::V1,
                black_box(&message),
                &mut MemoryBudget::unlimited().reservation(),
            )
            .is_ok()
        });
    });
    group.bench_function(id("convert"), |bencher| {
        bencher.iter(|| series_to_records(black_box(&request), &routing, policy).is_ok());
    });
    group.bench_function(id("batch"), |bencher| {
        bencher.iter(|| black_box(compose()).len());
    });
    group.bench_function(id("encode"), |bencher| {
        bencher.iter(|| {
            let calls = composed.iter().flat_map(|batches| batches.iter());
            calls
                .map(|batch| write_call(batch, None).body.len())
                .sum::<usize>()
        });
    });
    group.finish();
}

fn part(default: &str) -> RoutePart {
    RoutePart {
        label: None,
        default: Some(default.to_owned()),
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
