//! The memory that requests are charged with covers what they occupy, measured by an allocator that
//! counts; a target of its own, because the count is that of the whole process.

mod otlp;
mod query_cache;

use std::sync::Mutex;

use peak_alloc::PeakAlloc;

use prom_wire::budget::{MemoryBudget, Reservation};
use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::{LabelMatcher, Query, ReadRequest};
use prom_wire::{DecodeError, RemoteWrite};
use promql::{Engine, EngineOptions, Fetched, Progress, Query as Expression, StoredSeries, Value};
use prost::Message;
use timestream_prometheus_connector::query::parsed_bytes;
use timestream_prometheus_connector::storage::destination::Destination;
use timestream_prometheus_connector::storage::read::patterns::{PatternLimits, PatternsTooLarge};
use timestream_prometheus_connector::storage::read::selection::{
    QueryError, queries_to_selections,
};
use timestream_prometheus_connector::storage::routing::{RoutePart, Routing};
use timestream_prometheus_connector::storage::write::batch::batches;
use timestream_prometheus_connector::storage::write::body::write_call;
use timestream_prometheus_connector::storage::write::metadata::metadata_to_records;
use timestream_prometheus_connector::storage::write::series::{WritePolicy, series_to_records};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Held by the test that runs, so that it is the only one.
static ALONE: Mutex<()> = Mutex::new(());

/// Bytes that a step may use beside the part that grows with the request.
const SLACK: usize = 256 << 10;

/// Returns a field with a length in front of it.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    prost::encoding::encode_varint(content.len() as u64, &mut bytes);
    bytes.extend_from_slice(content);
    bytes
}

fn label(name: &str, value: &str) -> Vec<u8> {
    field(
        1,
        &[field(1, name.as_bytes()), field(2, value.as_bytes())].concat(),
    )
}

fn named(name: &str) -> Vec<u8> {
    [label("__name__", name), label("job", "j")].concat()
}

/// A sample at 1,600,000,000,000 ms.
const SAMPLE: &[u8] = b"\x12\x10\x09\x00\x00\x00\x00\x00\x00\xf0\x3f\x10\x80\x80\xba\xbb\xc8\x2e";
/// A label whose value is not UTF-8.
const BROKEN_LABEL: &[u8] = b"\x0a\x06\x0a\x01l\x12\x01\xff";
/// One of which nothing is given.
const EMPTY_SAMPLE: &[u8] = b"\x12\x00";

fn series(parts: &[&[u8]]) -> Vec<u8> {
    field(1, &parts.concat())
}

/// Runs `work`; returns the most bytes that it occupied at a time.
fn peak<T>(work: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let result = work();
    (result, ALLOCATOR.peak_usage().saturating_sub(before))
}

fn routing() -> Routing {
    let part = |name: &str| RoutePart {
        label: Some(name.to_owned()),
        default: Some(name.to_owned()),
    };
    Routing {
        database: part("db"),
        table: part("t"),
    }
}

/// Decodes and converts a write request, and makes its calls one after the other; returns false if
/// there was no memory for it.
fn write(version: RemoteWrite, message: &[u8], reservation: &mut Reservation) -> bool {
    let policy = WritePolicy {
        store_special_values: true,
        ..WritePolicy::default()
    };
    let request = match prom_wire::read_request(version, message, reservation) {
        Ok(request) => request,
        Err(DecodeError::Memory(_)) => return false,
        Err(error) => panic!("{error}"),
    };
    let conversion = series_to_records(&request, &routing(), policy).unwrap();
    for batches in batches(&conversion.stored, &conversion.destinations) {
        for batch in batches.iter() {
            write_call(batch, None);
        }
    }
    let destination = Destination::default();
    let entries = &request.metadata;
    let records = metadata_to_records(destination, entries, 1_600_000_000_000);
    batches(&records.stored, &records.destinations);
    true
}

/// Decodes a read request and compiles its patterns; returns false if there was no memory for it.
fn read(message: &[u8], reservation: &mut Reservation) -> bool {
    let request = match prom_wire::decode_read_request(message, reservation) {
        Ok(request) => request,
        Err(DecodeError::Memory(_)) => return false,
        Err(error) => panic!("{error}"),
    };
    let limits = PatternLimits::new(reservation);
    let selections = queries_to_selections(&request.queries, &routing(), limits);
    !matches!(
        selections,
        Err(QueryError::Patterns(PatternsTooLarge::Memory(_)))
    )
}

/// Returns a series with eleven labels and a sample, as scrapes of pods have.
fn pod(i: usize) -> Vec<u8> {
    let labels =
        (0..9).flat_map(|l| label(&format!("label_{l}"), &format!("value-{}", i * l % 300)));
    let labels: Vec<u8> = labels.collect();
    series(&[&named(&format!("metric_{}", i % 100)), &labels, SAMPLE])
}

fn writes() -> Vec<(&'static str, RemoteWrite, Vec<u8>)> {
    let of = |count: usize, part: &dyn Fn(usize) -> Vec<u8>| -> Vec<u8> {
        (0..count).flat_map(part).collect()
    };
    let v1 = RemoteWrite::V1;
    let histogram = |deltas: usize| {
        let spans = field(
            11,
            &[b"\x08\x02\x10", &[deltas.min(127) as u8][..]].concat(),
        );
        let one = [
            b"\x08\x01\x19\0\0\0\0\0\0\0\0\x20\x00",
            &spans[..],
            &field(12, &vec![2; deltas]),
        ];
        field(4, &one.concat())
    };
    let symbols = of(1_000, &|i| {
        field(
            4,
            if i == 0 {
                String::new()
            } else {
                format!("s{i}")
            }
            .as_bytes(),
        )
    });
    vec![
        ("2,000 pods", v1, of(2_000, &pod)),
        ("50,000 pods", v1, of(50_000, &pod)),
        (
            "samples of one series",
            v1,
            series(&[&named("m"), &SAMPLE.repeat(200_000)]),
        ),
        (
            "samples of which nothing is given",
            v1,
            series(&[&named("m"), &EMPTY_SAMPLE.repeat(300_000)]),
        ),
        (
            "series of one label",
            v1,
            of(100_000, &|_| series(&[&label("__name__", "m"), SAMPLE])),
        ),
        ("series of nothing", v1, of(100_000, &|_| series(&[]))),
        (
            "series with NaN",
            v1,
            of(50_000, &|_| {
                series(&[&named("m"), b"\x12\x09\x09\x01\0\0\0\0\0\xf8\x7f"])
            }),
        ),
        (
            "tables",
            v1,
            of(50_000, &|i| {
                series(&[&named("m"), &label("t", &format!("t{i}")), SAMPLE])
            }),
        ),
        (
            "labels of one series",
            v1,
            series(&[&named("m"), &label("a", "b").repeat(300_000), SAMPLE]),
        ),
        (
            "different labels of one series",
            v1,
            series(&[
                &named("m"),
                &of(100_000, &|i| label(&format!("n{i}"), "v")),
                SAMPLE,
            ]),
        ),
        (
            "different values",
            v1,
            of(100_000, &|i| {
                series(&[
                    &label("__name__", "m"),
                    &label("l", &format!("{i}")),
                    SAMPLE,
                ])
            }),
        ),
        (
            "long values",
            v1,
            of(2_000, &|i| {
                series(&[&named("m"), &label("l", &format!("{i:01500}")), SAMPLE])
            }),
        ),
        (
            "names to escape",
            v1,
            of(20_000, &|i| {
                series(&[
                    &named(&format!("a:{i}:b")),
                    &label(&format!("ü.{i}"), "v"),
                    SAMPLE,
                ])
            }),
        ),
        (
            "control characters",
            v1,
            of(100, &|i| {
                series(&[
                    &named("m"),
                    &label("l", &format!("{i}{}", "\x01".repeat(40_000))),
                    SAMPLE,
                ])
            }),
        ),
        (
            "empty histograms",
            v1,
            series(&[&named("m"), &field(4, &[]).repeat(50_000)]),
        ),
        (
            "histograms",
            v1,
            series(&[&named("m"), &histogram(60).repeat(10_000)]),
        ),
        (
            "a large histogram",
            v1,
            series(&[&named("m"), &histogram(500_000)]),
        ),
        (
            "spans",
            v1,
            series(&[&named("m"), &field(4, &field(8, &[]).repeat(500_000))]),
        ),
        (
            "empty exemplars",
            v1,
            series(&[&named("m"), &field(3, &[]).repeat(80_000)]),
        ),
        (
            "labels of exemplars",
            v1,
            series(&[
                &named("m"),
                &field(3, &label("a", "b").repeat(10)).repeat(30_000),
            ]),
        ),
        (
            "empty labels of an exemplar",
            v1,
            series(&[&named("m"), &field(3, &field(1, &[]).repeat(300_000))]),
        ),
        (
            "metadata",
            v1,
            of(50_000, &|i| {
                field(
                    3,
                    &[
                        &b"\x08\x01"[..],
                        &field(2, format!("m{i}").as_bytes()),
                        &field(4, b"It is."),
                    ]
                    .concat(),
                )
            }),
        ),
        (
            "series of one label that is not UTF-8",
            v1,
            of(100_000, &|_| series(&[BROKEN_LABEL, SAMPLE])),
        ),
        (
            "different labels that are not UTF-8",
            v1,
            of(100_000, &|i| {
                let value = [format!("{i}").as_bytes(), b"\xff"].concat();
                let label = field(1, &[field(1, b"l"), field(2, &value)].concat());
                series(&[&label, SAMPLE])
            }),
        ),
        (
            "exemplars that are not UTF-8",
            v1,
            series(&[&named("m"), &field(3, BROKEN_LABEL).repeat(80_000)]),
        ),
        (
            "metadata that is not UTF-8",
            v1,
            field(3, &field(4, b"\xff")).repeat(100_000),
        ),
        (
            "symbols that are not UTF-8",
            RemoteWrite::V2,
            of(500_000, &|i| field(4, if i == 0 { b"" } else { b"\xff" })),
        ),
        (
            "symbols",
            RemoteWrite::V2,
            of(500_000, &|i| field(4, if i == 0 { b"" } else { b"s" })),
        ),
        (
            "references",
            RemoteWrite::V2,
            [
                symbols,
                of(10_000, &|i| {
                    let name = 1 + i % 100;
                    let references = of(10, &|l| {
                        let mut bytes = Vec::new();
                        prost::encoding::encode_varint((1 + l) as u64, &mut bytes);
                        prost::encoding::encode_varint((1 + (name + l) % 900) as u64, &mut bytes);
                        bytes
                    });
                    field(5, &[field(1, &references), SAMPLE.to_vec()].concat())
                }),
            ]
            .concat(),
        ),
    ]
}

fn reads() -> Vec<(&'static str, Vec<u8>)> {
    let query = |matchers: &[(Type, &str, &str)]| Query {
        matchers: matchers
            .iter()
            .map(|(op, name, value)| LabelMatcher {
                r#type: i32::from(*op),
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
        ..Query::default()
    };
    let encode = |queries: Vec<Query>| {
        let request = ReadRequest {
            queries,
            ..ReadRequest::default()
        };
        request.encode_to_vec()
    };
    let texts = |count: usize| -> String {
        let names: Vec<_> = (0..count).map(|i| format!("pod-{i}")).collect();
        names.join("|")
    };
    vec![
        (
            "a query",
            encode(vec![query(&[
                (Type::Eq, "__name__", "up"),
                (Type::Re, "job", "a.*"),
            ])]),
        ),
        ("empty queries", field(1, &[]).repeat(100)),
        (
            "empty matchers",
            field(1, &field(3, &[]).repeat(200)).repeat(100),
        ),
        (
            "grouping labels",
            field(1, &field(4, &field(5, &[]).repeat(10_000))),
        ),
        (
            "a long value",
            encode(vec![query(&[(Type::Eq, "a", &"x".repeat(4_000_000))])]),
        ),
        (
            "texts",
            encode(vec![query(&[(Type::Re, "a", &texts(100_000))])]),
        ),
        (
            "short texts",
            encode(vec![query(&[(Type::Re, "a", &"a|".repeat(200_000))])]),
        ),
        (
            "parts",
            encode(vec![query(&[(Type::Re, "a", &".?".repeat(30_000))])]),
        ),
        (
            "groups",
            encode(vec![query(&[(Type::Re, "a", &"(?:a.|b)".repeat(20_000))])]),
        ),
        (
            "classes",
            encode(vec![query(&[(Type::Re, "a", r"\pL{150}")])]),
        ),
        (
            "more classes",
            encode(vec![query(&[(Type::Re, "a", r"\pL{150}"); 10])]),
        ),
        (
            "ranges",
            encode(vec![query(&[(Type::Re, "a", &r"\pL".repeat(400))])]),
        ),
        (
            "patterns",
            encode(vec![query(&[(Type::Re, "a", "x.*y.*z"); 200])]),
        ),
    ]
}

/// Returns expressions that become large when they are parsed.
fn expressions() -> Vec<(&'static str, String)> {
    let each = |count: usize, part: &dyn Fn(usize) -> String| -> String {
        (0..count).map(part).collect::<Vec<_>>().concat()
    };
    vec![
        ("operators", "1+".repeat(50_000) + "1"),
        ("comparisons", "a<".repeat(50_000) + "a"),
        ("powers", "2^".repeat(200) + "2"),
        ("sets", "a or ".repeat(20_000) + "a"),
        ("matching operators", "a*on()a*".repeat(10_000) + "a"),
        ("a string", format!("'{}'", "a".repeat(100_000))),
        ("escapes", format!("'{}'", r"\n".repeat(30_000))),
        (
            "label names",
            format!("sum by({})(a)", "a,".repeat(50_000) + "b"),
        ),
        ("selectors", each(10_000, &|i| format!("m{i} or ")) + "m"),
        (
            "windows",
            each(10_000, &|i| format!("rate(m{i}[5m])+")) + "1",
        ),
        (
            "offsets",
            each(10_000, &|i| format!("m offset {i}s or ")) + "m",
        ),
        (
            "subqueries",
            each(5_000, &|i| format!("max_over_time(m{i}[1h:1s])+")) + "1",
        ),
        (
            "conditions",
            format!("m{{{}}}", each(20_000, &|i| format!("a{i}!='',"))),
        ),
        ("calls", "abs(".repeat(240) + "1" + &")".repeat(240)),
        ("times", "time()+".repeat(20_000) + "1"),
        ("durations", format!("a[{}]", "1s+".repeat(20_000) + "1s")),
        (
            "lists",
            format!("m{{a=~'{}'}}", each(20_000, &|i| format!("v{i}|"))),
        ),
        (
            "patterns",
            format!("m{{{}}}", each(150, &|i| format!("a{i}=~'x.*y.*z',"))),
        ),
        (
            "classes",
            format!("m{{{}}}", each(8, &|i| format!(r"a{i}=~`\pL{{100}}`,"))),
        ),
        ("a class", r"m{a=~`\pL{150}`}".to_owned()),
        ("comments", "#\n".repeat(50_000) + "1"),
    ]
}

#[test]
fn no_expression_occupies_more_than_it_is_charged() {
    let _alone = ALONE.lock();
    let options = EngineOptions::default();
    let engine = Engine::new(options);
    for (name, text) in expressions() {
        let charged = parsed_bytes(&[&text], &options.parser);
        let (parsed, peak) = peak(|| engine.instant(&text, 0).map(|_| ()));
        println!(
            "{name:<36} {:>9} bytes: {peak:>10} of {charged:>10}; {}",
            text.len(),
            parsed
                .err()
                .map_or_else(String::new, |it| it.to_string().chars().take(100).collect())
        );
        assert!(
            peak <= charged + SLACK,
            "{name} occupies {peak} bytes of {charged}"
        );
    }
}

/// Returns 300 series of 400 samples, a minute apart.
fn fetched(query: &Expression) -> Fetched {
    let mut fetched = Fetched::default();
    for selection in query.selections() {
        let series = (0..300).map(|i| {
            let label = |name: &str, value: String| prom_model::Label {
                name: name.to_owned(),
                value,
            };
            let labels = vec![label("__name__", "m".to_owned()), label("i", i.to_string())];
            let samples = (0..400).map(|minute| prom_model::Sample {
                timestamp_ms: minute * 60_000,
                value: (minute * i) as f64,
            });
            StoredSeries {
                labels: std::sync::Arc::new(prom_model::Labels::new(labels)),
                floats: samples.collect(),
                ..StoredSeries::default()
            }
        });
        fetched.add(selection.clone(), series.collect());
    }
    fetched
}

#[test]
fn no_evaluation_occupies_much_more_than_it_holds() {
    let _alone = ALONE.lock();
    /// Lists of samples have twice the room as they grow, and series are grouped by their labels.
    const PARTS: usize = 2;
    /// For each series of the result.
    const SERIES_BYTES: usize = 512;
    let copies: Vec<_> = (0..100)
        .map(|i| format!("label_replace(m @ 0, 'copy', '{i}', '', '')"))
        .collect();
    let copies = format!("count({} or m @ 0)", copies.join(" or "));
    let engine = Engine::new(EngineOptions::default());
    for text in [
        "m",
        "m * 2",
        "m + m",
        "m or m offset 1h",
        "rate(m[5m])",
        "sum by (i) (rate(m[5m]))",
        "sum(m)",
        "topk(100, m)",
        "quantile(0.5, m)",
        "count_values('v', m)",
        "m * on(i) group_left() m",
        "label_replace(m, 'x', '$1$1$1', 'i', '(.*)')",
        "label_join(m, 'x', ',', 'i', 'i', 'i')",
        "max_over_time(m[30m:10s])",
        "quantile_over_time(0.9, m[1h])",
        "absent(n)",
        "sort_desc(m)",
        "vector(1)",
        "sum_over_time(vector(1)[10d:10s])",
        &copies,
    ] {
        let query = engine.range(text, 0, 24_000_000, 8_000).unwrap();
        let fetched = fetched(&query);
        let most = std::cell::Cell::new(0);
        let (progress, peak) = peak(|| {
            query.evaluate_measured(&fetched, &|held| {
                let samples = held.samples * size_of::<prom_model::Sample>();
                most.set(most.get().max(samples + held.series_bytes));
                None
            })
        });
        let Progress::Done(outcome) = progress else {
            panic!("{text} is not evaluated");
        };
        let Value::Matrix(series) = outcome.value.unwrap() else {
            panic!("{text} is no matrix");
        };
        let peak_samples = outcome.statistics.peak_samples * size_of::<prom_model::Sample>();
        let held = most.get().max(peak_samples);
        println!(
            "{text:<48.48} {:>6} series: {peak:>10} of {held:>10}",
            series.len()
        );
        assert!(
            peak <= PARTS * held + SERIES_BYTES * series.len() + SLACK,
            "{text} occupies {peak} bytes, and holds {held}"
        );
    }
}

/// Returns the least budget with which a request is served, and the most memory it occupies with
/// that. With less it is rejected before it occupies more than the budget.
fn least_budget(name: &str, mut serve: impl FnMut(&mut Reservation) -> bool) -> (usize, usize) {
    let mut budget_bytes = 64 << 10;
    loop {
        let budget = MemoryBudget::new(budget_bytes);
        let (is_served, peak) = peak(|| serve(&mut budget.reservation()));
        assert!(
            peak <= budget_bytes + SLACK,
            "{name} occupies {peak} bytes of {budget_bytes}"
        );
        if is_served {
            return (budget_bytes, peak);
        }
        budget_bytes += budget_bytes / 8;
    }
}

#[test]
fn no_request_occupies_more_than_the_budget() {
    let _alone = ALONE.lock();
    let mut rows = Vec::new();
    for (name, version, message) in writes() {
        let served = least_budget(name, |reservation| write(version, &message, reservation));
        rows.push((name, message.len(), served));
    }
    for (name, message) in reads() {
        let served = least_budget(name, |reservation| read(&message, reservation));
        rows.push((name, message.len(), served));
    }
    for (name, len, (budget, peak)) in &rows {
        let ratio = *budget as f64 / *peak as f64;
        println!("{name:<36} {len:>9} bytes: {peak:>10} of {budget:>10}, {ratio:.2}");
    }
    // Ordinary requests do not need a budget much larger than what they occupy.
    for (name, _, (budget, peak)) in &rows[..2] {
        assert!(budget / peak < 4, "{name}: {peak} of {budget} bytes");
    }
    // A request with about as many labels as one may have fits into the default.
    let message: Vec<u8> = (0..90_000).flat_map(pod).collect();
    let mut reservation = MemoryBudget::new(128 << 20).reservation();
    reservation.grow(message.len()).unwrap();
    assert!(write(RemoteWrite::V1, &message, &mut reservation));
}
