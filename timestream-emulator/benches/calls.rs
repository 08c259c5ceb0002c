//! Latency of single calls over HTTP, one at a time.

mod support;

use std::cell::Cell;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use support::{Service, batch, start_ms};
use tokio::runtime::Runtime;

/// Calls that fill the table before a query: 100,000 points in 1,000 series.
const CALLS: usize = 1_000;

fn writes(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    for (name, data_dir) in [
        ("100 records into memory", None),
        ("100 records into a data folder", Some(folder.path())),
    ] {
        let service = runtime.block_on(Service::start(data_dir));
        let number = Cell::new(0);
        // Wide enough for every call that is measured.
        let first_ms = start_ms(1_000_000);
        let next = || {
            number.set(number.get() + 1);
            batch(number.get(), first_ms)
        };
        criterion.bench_function(name, |bencher| {
            bencher.iter_batched(
                next,
                |records| runtime.block_on(service.put(records)),
                BatchSize::PerIteration,
            );
        });
        runtime.block_on(service.stop());
    }
}

fn queries(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let service = runtime.block_on(Service::start(None));
    let first_ms = start_ms(CALLS);
    for number in 0..CALLS {
        runtime.block_on(service.put(batch(number, first_ms)));
    }
    let cases = [
        ("a constant", "SELECT 1"),
        ("measures and their dimensions", "SHOW MEASURES FROM db.t"),
        (
            "time series of 10 series",
            "SELECT a, instance, measure_name, CREATE_TIME_SERIES(time, measure_value::double) \
             FROM db.t WHERE measure_name = 'node_cpu_seconds_total_3' AND a = 'value 7' \
             GROUP BY a, instance, measure_name, bin(time, 1h)",
        ),
        (
            "label sets of 1,000 series",
            "SELECT DISTINCT a, b, instance, job, measure_name FROM db.t",
        ),
        ("count of 100,000 points", "SELECT count(*) FROM db.t"),
    ];
    for (name, sql) in cases {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| runtime.block_on(service.rows(sql)));
        });
    }
    runtime.block_on(service.stop());
}

criterion_group!(benches, writes, queries);
criterion_main!(benches);
