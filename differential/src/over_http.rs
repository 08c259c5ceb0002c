//! Random queries over HTTP: a connector beside a Prometheus with the same data.
//!
//! Status, headers and body are equal byte by byte, but for what Prometheus itself leaves open:
//!
//! - the timings of statistics, and the peak of samples, which depends on how an engine uses its memory;
//! - the order of the elements of a vector, where it is that of a map, and the order of annotations, which always is;
//! - the labels of `absent` for several matchers of one label: Prometheus' database changes their order;
//! - empty buckets and knowledge of resets that native histograms have from the other ones in a chunk of Prometheus, and
//!   that change as more samples arrive, and the numbers of samples, which count empty buckets: `Held` has the reason
//!   and the tests for it;
//! - sums and choices that depend on such an order, and the last bits of functions that a library of mathematics
//!   computes. [`compare::difference`](crate::compare::difference) has their rules.

use std::fmt::Write as _;
use std::thread;

use prom_model::{Buckets, Count, Histogram, STALE_MARKER_BITS};

use crate::api::{Api, Form, Response};
use crate::compare::{difference, is_inexact, statistics};
use crate::data::{Float, START_MS, Series};
use crate::engine::{Memory, evaluate};
use crate::expression::Node;
use crate::generator::{Generator, features, names_histograms};
use crate::query::{Query, Times};
use crate::random::Random;
use crate::response;
use crate::run::{Settings, smallest};

/// The time before the data at which each series has a stale marker.
const FIRST_MS: i64 = START_MS - 45 * 60_000;
/// Number of queries that run at the same time.
const THREADS: u64 = 4;
/// The number of times that Prometheus evaluates a query whose response is another one.
const REPETITIONS: usize = 100;
/// The number of [`Histogram::reset_hint`] for gauges.
const GAUGE: i32 = 3;
/// Times by which a query slides.
const SLIDES: i64 = 4;

/// Returns the data as both servers get it.
///
/// Each series begins with a stale marker at the same time before all, so that Prometheus has the series in the order
/// of their labels: sums depend on it. Every other series of histograms has integers.
pub fn data(seed: u64) -> Vec<Series> {
    let mut all = crate::data::series(seed);
    for (at, series) in all.iter_mut().enumerate() {
        series.floats.insert(
            0,
            Float {
                time_ms: FIRST_MS,
                value: f64::from_bits(STALE_MARKER_BITS),
                start_ms: 0,
            },
        );
        if at % 2 == 0 {
            let points = series.histograms.iter_mut();
            points.for_each(|it| to_integers(&mut it.histogram));
        }
    }
    all
}

/// Gives a histogram, whose counts are whole, integers.
fn to_integers(histogram: &mut Histogram) {
    let integer = |count: &mut Option<Count>| {
        if let Some(Count::Float(value)) = *count {
            *count = Some(Count::Int(value as u64));
        }
    };
    integer(&mut histogram.count);
    integer(&mut histogram.zero_count);
    for side in [&mut histogram.positive, &mut histogram.negative] {
        let Buckets { deltas, counts, .. } = side;
        let mut before = 0;
        for count in counts.drain(..) {
            let count = count as i64;
            deltas.push(count - before);
            before = count;
        }
    }
}

/// Requests with parameters of all kinds, right and wrong: path, parameters separated by `&`, spaces for `+`.
///
/// Absent are times and steps that Prometheus computes with beyond the range of its integers, and wrong regular
/// expressions, whose errors have a remedy here.
const REQUESTS: &[(&str, &str)] = &[
    ("query", ""),
    ("query", "query="),
    ("query", "query=1"),
    ("query", "query=1&time="),
    ("query", "query=1&time=0"),
    ("query", "query=1&time=1.5"),
    ("query", "query=1&time=-1.5"),
    ("query", "query=1&time=1e3"),
    ("query", "query=1&time=1700000000.0004"),
    ("query", "query=1&time=1700000000.0005"),
    ("query", "query=1&time=1700000000.9996"),
    ("query", "query=1&time= 5"),
    ("query", "query=1&time=.5"),
    ("query", "query=1&time=5."),
    ("query", "query=1&time=%2B5"),
    ("query", "query=1&time=0x10"),
    ("query", "query=1&time=0x1p4"),
    ("query", "query=1&time=1_000"),
    ("query", "query=1&time=abc"),
    ("query", "query=1&time=a<b>\"c\""),
    ("query", "query=1&time=2023-11-14T22:13:20Z"),
    ("query", "query=1&time=2023-11-14T22:13:20.123456789Z"),
    ("query", "query=1&time=2023-11-14T22:13:20.9999Z"),
    ("query", "query=1&time=2023-11-14T23:13:20%2B01:00"),
    ("query", "query=1&time=2023-11-14T22:13:20"),
    ("query", "query=1&time=2023-11-14 22:13:20Z"),
    ("query", "query=1&time=2023-11-14t22:13:20z"),
    ("query", "query=1&time=2023-11-14T22:13:20,5Z"),
    ("query", "query=1&time=2023-11-14T2:13:20Z"),
    ("query", "query=1&time=2023-11-14T22:13:60Z"),
    ("query", "query=1&time=2023-11-14T24:00:00Z"),
    ("query", "query=1&time=2023-02-29T00:00:00Z"),
    ("query", "query=1&time=2023-11-14T22:13Z"),
    ("query", "query=1&time=20231114T221320Z"),
    ("query", "query=1&time=2023-11-14T22:13:20%2B0100"),
    ("query", "query=1&time=2023-11-14T22:13:20[UTC]"),
    ("query", "query=1&time=-0001-01-01T00:00:00Z"),
    ("query", "query=1&time=292277025-01-01T00:00:00Z"),
    ("query", "query=1&time=1700-01-01T00:00:00.5Z"),
    ("query", "query=1&time=2200-01-01T00:00:00-23:59"),
    ("query", "query=1&time=2023-11-14T22:13:20%2B24:60"),
    ("query", "query=1&time=2023-11-14T22:13:20%2B25:00"),
    ("query", "query=1&time=2023-11-14T22:13:20.Z"),
    ("query", "query=1&time=2023-11-31T22:13:20Z"),
    ("query", "query=1&time=2023-11-4T22:13:20Z"),
    ("query", "query=1&time=2023-11-14T22:3:20Z"),
    ("query", "query=1&time=5&limit=0"),
    ("query", "query=1&time=5&limit=2"),
    ("query", "query=1&time=5&limit=-1"),
    ("query", "query=1&time=5&limit=%2B2"),
    ("query", "query=1&time=5&limit=x"),
    ("query", "query=1&time=5&limit=1.5"),
    ("query", "query=1&time=5&limit=99999999999999999999"),
    ("query", "query=1&time=5&limit=1_0"),
    ("query", "query=1&time=5&timeout=1s"),
    ("query", "query=1&time=5&timeout=30"),
    ("query", "query=1&time=5&timeout=x"),
    ("query", "query=1&time=5&timeout=1h 5m"),
    ("query", "query=1&time=5&timeout=1e30"),
    ("query", "query=1&time=5&timeout=5m1h"),
    ("query", "query=up&time=5&timeout=-1s"),
    ("query", "query=1&time=5&lookback_delta=x"),
    ("query", "query=1&time=5&lookback_delta=0"),
    ("query", "query=1&time=5&lookback_delta=-5m"),
    ("query", "query=1&time=5&lookback_delta=1m"),
    ("query", "query=load&time=1700000600&lookback_delta=1ms"),
    ("query", "query=load&time=1700000600&lookback_delta=0.001"),
    ("query", "query=load&time=1700000600&lookback_delta=-5"),
    ("query", "query=1&time=5&lookback_delta=1e30"),
    ("query", "query=load&time=1700000600&limit=1"),
    ("query", "query=load&time=1700000600&limit=5"),
    ("query", "query=load&time=1700000600&limit=6"),
    ("query", "query=load[1m]&time=1700000600&limit=2"),
    ("query", "query=1&time=5&stats=none&limit=1"),
    ("query", "query=(&time=x"),
    ("query", "query=(&limit=x"),
    ("query", "query=(&timeout=x"),
    ("query", "query=(&lookback_delta=x"),
    ("query", "query=1&time=x&limit=x"),
    ("query", "query=1&time=x&timeout=x&lookback_delta=x"),
    ("query", "query=1&timeout=x&lookback_delta=x"),
    ("query", "query=1&query=2&time=5"),
    ("query", "query=%FF&time=5"),
    ("query", "query=\"%FF\"&time=5"),
    ("query", "query=load{instance=\"%FF\"}&time=5"),
    ("query", "query=sum("),
    ("query", "query=sum)"),
    ("query", "query=load{"),
    ("query", "query=load[5m"),
    ("query", "query=load[5]&time=1700000600"),
    ("query", "query=load[0]"),
    ("query", "query=rate(load)"),
    ("query", "query=nosuch(load)"),
    ("query", "query={}"),
    ("query", "query={a=\"\"}"),
    ("query", "query={a=~\".*\"}"),
    ("query", "query=# nothing"),
    ("query", "query=1 # a comment&time=5"),
    ("query", "query=load offset"),
    ("query", "query=load @ x"),
    ("query", "query=load and 1"),
    ("query", "query=1 == 1"),
    ("query", "query=\"a\" %2B 1"),
    ("query", "query='single' &time=5"),
    ("query", "query=`raw` &time=5"),
    ("query", "query=\"ü\n\t<&>\u{2028}\"&time=5"),
    ("query", "query=\n\nload{\n}}"),
    ("query", "query=ü"),
    ("query", "query={\"ü\"}&time=5"),
    ("query", "query=\"\\x\""),
    ("query", "query=\"a"),
    ("query", "query=1e400&time=5"),
    ("query", "query=1e21&time=5.25"),
    ("query", "query=-1e-7&time=5.07"),
    ("query", "query=0x7fffffffffffffff&time=5"),
    (
        "query",
        "query=label_replace(load, \"bad-\", \"x\", \"y\", \"z\")&time=1700000600",
    ),
    (
        "query",
        "query=label_replace(load, \"\", \"x\", \"y\", \"z\")&time=1700000600",
    ),
    (
        "query",
        "query=label_join(load, \"\", \"x\")&time=1700000600",
    ),
    ("query", "query=count_values(\"\", load)&time=1700000600"),
    ("query", "query=load / on() load&time=1700000600"),
    (
        "query",
        "query=load * on(instance) group_left() load&time=1700000600",
    ),
    ("query", "query=vector(time())&time=1700000600.123"),
    (
        "query",
        "query=label_replace(load, \"instance\", \"\", \"device\", \".*\")&time=1700000600",
    ),
    ("query_range", ""),
    ("query_range", "query=1"),
    ("query_range", "query=1&start=0"),
    ("query_range", "query=1&start=0&end=1"),
    ("query_range", "query=1&start=0&end=10&step=1"),
    ("query_range", "query=1&start=0&end=10&step=0.5"),
    ("query_range", "query=1&start=0&end=10&step=0.0005"),
    ("query_range", "query=1&start=0&end=10&step=5s"),
    ("query_range", "query=1&start=0&end=10&step=5x"),
    ("query_range", "query=1&start=0&end=10&step="),
    ("query_range", "query=1&start=0&end=10&step=0"),
    ("query_range", "query=1&start=0&end=10&step=-1"),
    ("query_range", "query=1&start=0&end=10&step=1e30"),
    ("query_range", "query=1&start=0&end=10&step=1e9"),
    ("query_range", "query=1&start=0&end=10&step=1d"),
    ("query_range", "query=1&start=0&end=10&step=1y2w"),
    ("query_range", "query=1&start=0&end=10&step=0x1p1"),
    ("query_range", "query=1&start=10&end=0&step=1"),
    ("query_range", "query=1&start=10&end=10&step=1"),
    ("query_range", "query=1&start=x&end=y&step=z"),
    ("query_range", "query=1&start=0&end=y&step=z"),
    ("query_range", "query=1&start=0&end=11000&step=1&limit=x"),
    ("query_range", "query=vector(1)>2&start=0&end=11000&step=1"),
    (
        "query_range",
        "query=vector(1)>2&start=0&end=11000.999&step=1",
    ),
    ("query_range", "query=vector(1)>2&start=0&end=11001&step=1"),
    ("query_range", "query=(&start=0&end=11001&step=1"),
    ("query_range", "query=(&start=0&end=1&step=1&timeout=x"),
    ("query_range", "query=1&start=-5&end=5&step=2.5"),
    (
        "query_range",
        "query=1&start=1969-12-31T23:59:58.5Z&end=5&step=2.5",
    ),
    ("query_range", "query=\"a\"&start=0&end=1&step=1"),
    ("query_range", "query=load[5m]&start=0&end=1&step=1"),
    (
        "query_range",
        "query=load&start=1700000600&end=1700000660&step=30&limit=1",
    ),
    (
        "query_range",
        "query=load&start=1700000600&end=1700000660&step=30&limit=6",
    ),
    (
        "query_range",
        "query=load&start=1700000600&end=1700000660&step=30&limit=7&stats=all",
    ),
    ("query_range", "query=1&start=0&end=10&step=5&stats=x"),
    (
        "query_range",
        "query=1&start=0&end=10&step=5&lookback_delta=x",
    ),
    (
        "query_range",
        "query=1&start=0&end=10&step=5&lookback_delta=-1",
    ),
    ("format_query", ""),
    ("format_query", "query="),
    ("format_query", "query=("),
    (
        "format_query",
        "query=sum(rate(load{a=\"b\",c!~\"d\"}[5m] offset -3m))by(x)",
    ),
    ("format_query", "query=a%2Bon(b)group_left(c)d"),
    ("format_query", "query=\"<&>ü\""),
    ("format_query", "query=load[5m:] @ end()"),
    ("parse_query", ""),
    ("parse_query", "query=("),
    (
        "parse_query",
        "query=sum(rate(load{a=\"b\",c!~\"d\"}[5m] offset -3m))by(x)",
    ),
    ("parse_query", "query=a%2Bon(b)group_left(c)d"),
    ("parse_query", "query=\"<&>ü\""),
    ("parse_query", "query=load[5m:] @ end()"),
    ("parse_query", "query=topk(1, -(load))%5E2"),
    (
        "parse_query",
        "query={\"my.metric\", \"my.label\"=\"1\"} @ 5.5",
    ),
];

/// Compares requests whose parameters are of all kinds; returns the differences.
pub fn compare_requests(ours: &Api, theirs: &Api) -> Vec<String> {
    let mut differences = Vec::new();
    for (path, parameters) in REQUESTS {
        let query = parameters.replace(' ', "+");
        let form = [("Content-Type", "application/x-www-form-urlencoded")];
        let encoded: String = query
            .bytes()
            .map(|byte| match byte {
                b'!'..=b'~' if !b"\"<>\\^`{|}#".contains(&byte) => char::from(byte).to_string(),
                _ => format!("%{byte:02X}"),
            })
            .collect();
        // The time of a query without one is that of its arrival.
        let without_time = |response: Response| {
            let body = String::from_utf8_lossy(&response.body).into_owned();
            let has_time = parameters.contains("time=") && !parameters.ends_with("time=");
            let body = match body.split_once("\"result\":[") {
                Some((before, rest)) if *path == "query" && !has_time => {
                    let (_, after) = rest.split_once(',').unwrap_or_default();
                    format!("{before}{after}")
                }
                _ => body,
            };
            (
                response.status,
                response.content_type,
                normalised(body.as_bytes(), ""),
            )
        };
        let path = format!("/api/v1/{path}");
        let [ours, theirs] = [ours, theirs].map(|api| {
            let get = api.exchange("GET", &format!("{path}?{encoded}"), &[], &[]);
            let post = api.exchange("POST", &path, &form, encoded.as_bytes());
            let get = without_time(get.expect("there is a response"));
            let post = without_time(post.expect("there is a response"));
            (get, post)
        });
        if ours != theirs {
            let [ours, theirs] = [ours, theirs].map(|(get, post)| {
                let text = |it: (u16, String, Vec<u8>)| {
                    format!("{} {} {}", it.0, it.1, String::from_utf8_lossy(&it.2))
                };
                let (get, post) = (text(get), text(post));
                match get == post {
                    true => get,
                    false => format!("GET {get}\n         POST {post}"),
                }
            });
            differences.push(format!(
                "{path}?{parameters}\n  ours   {ours}\n  theirs {theirs}"
            ));
        }
    }
    differences
}

/// The outcome of a run.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The number of queries that were compared.
    pub queries: usize,
    /// Those whose result is not empty.
    pub substantial: usize,
    /// Those with an annotation.
    pub annotated: usize,
    /// Those that failed on both sides.
    pub failed: usize,
    /// Those with the same bytes.
    pub identical: usize,
    /// Those with the same bytes in another order.
    pub reordered: usize,
    /// Those that differ as much as Prometheus' results differ from one another, or by rounding.
    pub tolerated: usize,
    /// Those that differ because of Prometheus' chunks.
    pub of_chunks: usize,
    /// Those that differ in a way that is to be expected now and then.
    pub uncertain: usize,
    /// Those that differ.
    pub differing: usize,
    /// The differences that were made smaller, as texts.
    pub differences: Vec<String>,
    /// Expressions that were tolerated, as texts.
    pub tolerated_expressions: Vec<String>,
}

impl Report {
    /// Returns the counts as a line.
    pub fn summary(&self) -> String {
        format!(
            "{} queries: {} with the same bytes, {} in another order, {} within what Prometheus leaves open, {} by its \
             chunks, {} perhaps different, {} different; {} with a result that is not empty, {} with annotations, {} errors",
            self.queries,
            self.identical,
            self.reordered,
            self.tolerated,
            self.of_chunks,
            self.uncertain,
            self.differing,
            self.substantial,
            self.annotated,
            self.failed,
        )
    }

    fn add(&mut self, other: Self) {
        self.queries += other.queries;
        self.substantial += other.substantial;
        self.annotated += other.annotated;
        self.failed += other.failed;
        self.identical += other.identical;
        self.reordered += other.reordered;
        self.tolerated += other.tolerated;
        self.of_chunks += other.of_chunks;
        self.uncertain += other.uncertain;
        self.differing += other.differing;
        self.differences.extend(other.differences);
        self.tolerated_expressions
            .extend(other.tolerated_expressions);
    }
}

/// The comparison of two responses.
enum Outcome {
    Identical,
    Reordered,
    Tolerated,
    Chunks(String),
    Uncertain(String),
    Differs(String),
}

/// The data as each server has it: equal samples, but for two properties that a chunk of Prometheus gives its native
/// histograms.
///
/// - Each has the buckets of all in the chunk, the missing ones with a count of 0. `histogram_quantile` and
///   `histogram_fraction` let the zero bucket begin or end at 0 if there is no bucket on one side, and `==`, `!=` and
///   `changes` compare empty buckets too. Prometheus ends a chunk by its bytes, at certain times, and at resets; when a
///   later sample has further buckets, those before it in the chunk get them, so that the same query has another result
///   then. A histogram in the connector has the buckets with which it was sent, whatever else is fetched or cached.
/// - None but the first follows a reset. Prometheus knows so of the first sample that a query reads, and may warn about
///   conflicting resets; the connector does not know it, because it does not fetch the sample before.
///
/// A difference is accepted if exactly this explains it: our engine has the result of either server over the data of
/// that server.
#[derive(Debug)]
struct Held {
    ours: Memory,
    theirs: Memory,
}

impl Held {
    /// Returns what both have of the data that was written.
    ///
    /// # Panics
    /// Prometheus has other samples.
    fn new(written: &[Series], theirs: &Api) -> Self {
        let mut ours = written.to_vec();
        for histogram in ours.iter_mut().flat_map(|it| &mut it.histograms) {
            let hint = &mut histogram.histogram.reset_hint;
            if *hint != GAUGE {
                *hint = 0;
            }
        }
        let theirs = with_signs(theirs.read(), written);
        assert_eq!(ours.len(), theirs.len());
        for theirs in &theirs {
            let same = ours.iter().find(|it| it.labels == theirs.labels);
            let ours = same.expect("Prometheus has no other series");
            let visible = |series: &Series| {
                let all = series.histograms.iter();
                let all = all.map(|it| response::visible_point(&it.histogram));
                format!("{:?}", all.collect::<Vec<_>>())
            };
            assert_eq!(visible(ours), visible(theirs), "{:?}", ours.labels);
        }
        Self {
            ours: Memory::new(&ours),
            theirs: Memory::new(&theirs),
        }
    }
}

/// Returns the series that Prometheus returned with the floats as they were written: protobuf of remote read has no -0.
///
/// # Panics
/// The series or the floats are not those that were written.
pub fn with_signs(mut read: Vec<Series>, written: &[Series]) -> Vec<Series> {
    for series in &mut read {
        let same = written.iter().find(|it| it.labels == series.labels);
        let same = same.expect("Prometheus has no other series");
        let are_equal = same.floats.iter().zip(&series.floats).all(|(a, b)| {
            a.time_ms == b.time_ms && (a.value == b.value || a.value.to_bits() == b.value.to_bits())
        });
        assert!(are_equal && same.floats.len() == series.floats.len());
        series.floats.clone_from(&same.floats);
    }
    read
}

/// A connector and a Prometheus with the same data.
#[derive(Debug)]
pub struct Pair<'a> {
    ours: &'a Api,
    theirs: &'a Api,
    held: Held,
    /// True if both drop metric names at the end of an evaluation.
    delayed_name_removal: bool,
    /// True if type and unit are labels of a metric's identity for both.
    type_and_unit_labels: bool,
}

impl<'a> Pair<'a> {
    /// Returns a connector and a Prometheus, both of which have these features, after it has written the data to them.
    ///
    /// # Panics
    /// They do not accept it.
    pub fn new(ours: &'a Api, theirs: &'a Api, features: &str, data: &[Series]) -> Self {
        ours.write(data);
        theirs.write(data);
        Self {
            ours,
            theirs,
            held: Held::new(data, theirs),
            delayed_name_removal: features.contains("promql-delayed-name-removal"),
            type_and_unit_labels: features.contains("type-and-unit-labels"),
        }
    }

    /// Compares random queries.
    pub fn run(&self, settings: &Settings) -> Report {
        let mut report = Report::default();
        let queries = settings.queries / THREADS as usize;
        thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|thread| {
                    let seed = settings.seed.wrapping_mul(THREADS).wrapping_add(thread);
                    scope.spawn(move || self.run_thread(settings, seed, queries))
                })
                .collect();
            for thread in threads {
                report.add(thread.join().expect("a comparison does not panic"));
            }
        });
        report
    }

    fn run_thread(&self, settings: &Settings, seed: u64, queries: usize) -> Report {
        let mut random = Random::new(!seed);
        let mut report = Report::default();
        let features = features();
        // Of every third query one feature is wanted, so that each occurs.
        let mut generators: Vec<_> = features
            .into_iter()
            .enumerate()
            .map(|(at, feature)| {
                let only = [feature];
                Generator::new(seed.wrapping_add(at as u64), settings.depth, &only)
            })
            .collect();
        let mut any = Generator::new(seed, settings.depth, &settings.only);
        while report.queries < queries {
            let mut query = if settings.only.is_empty() && random.chance(0.33) {
                let at = random.below(generators.len());
                generators[at].query()
            } else {
                any.query()
            };
            query.delayed_name_removal = self.delayed_name_removal;
            query.start_timestamps = false;
            query.type_and_unit_labels = self.type_and_unit_labels;
            let form = form(&mut random, &query);
            self.add(&query, &form, &mut report, settings);
            if random.chance(0.05) {
                for slide in 1..=SLIDES {
                    let query = slid(&query, slide);
                    self.add(&query, &form, &mut report, settings);
                }
            }
        }
        report
    }

    fn add(&self, query: &Query, form: &Form, report: &mut Report, settings: &Settings) {
        let text = query.expression.to_string();
        let theirs = self.theirs.query(query, &text, form);
        report.queries += 1;
        let result = response::read(&theirs.body);
        report.failed += usize::from(result.value.is_err());
        report.substantial += usize::from(result.is_substantial());
        let is_annotated = !(result.warnings.is_empty() && result.infos.is_empty());
        report.annotated += usize::from(is_annotated);
        match self.compare_with(query, form, &theirs) {
            Outcome::Identical => report.identical += 1,
            Outcome::Reordered => report.reordered += 1,
            Outcome::Tolerated => {
                report.tolerated += 1;
                report.tolerated_expressions.push(text);
            }
            Outcome::Chunks(difference) => {
                report.of_chunks += 1;
                report
                    .tolerated_expressions
                    .push(format!("{text} (chunks: {difference})"));
            }
            Outcome::Uncertain(difference) => {
                report.uncertain += 1;
                report
                    .tolerated_expressions
                    .push(format!("{text} ({difference})"));
            }
            Outcome::Differs(_) => {
                report.differing += 1;
                if report.differences.len() < settings.printed {
                    let smallest = smallest(query.clone(), |candidate| {
                        matches!(self.compare(candidate, form), Outcome::Differs(_))
                    });
                    let difference = self.describe(query, &smallest, form);
                    report.differences.push(difference);
                }
            }
        }
    }

    fn compare(&self, query: &Query, form: &Form) -> Outcome {
        let text = query.expression.to_string();
        let theirs = self.theirs.query(query, &text, form);
        self.compare_with(query, form, &theirs)
    }

    fn compare_with(&self, query: &Query, form: &Form, theirs: &Response) -> Outcome {
        let text = query.expression.to_string();
        let ours = self.ours.query(query, &text, form);
        // The second response may come from a cache.
        let again = self.ours.query(query, &text, form);
        let normalised = |body: &[u8]| normalised(body, &text);
        if normalised(&again.body) != normalised(&ours.body) {
            return Outcome::Differs("the connector's second response is another one".to_owned());
        }
        // A query that chooses among series fails by chance if its other operators fit to some of them only.
        let mut other = theirs.clone();
        if let Some(difference) = heads(&ours, theirs) {
            let mut all = (0..REPETITIONS).map(|_| self.theirs.query(query, &text, form));
            match all.find(|it| heads(&ours, it).is_none()) {
                Some(found) => other = found,
                None if is_of_two_kinds(theirs) => return Outcome::Uncertain(difference),
                None => return Outcome::Differs(difference),
            }
        }
        let theirs = &other;
        if let Some(difference) = self.statistics_differ(query, &text, &ours, theirs) {
            return Outcome::Differs(difference);
        }
        let our_bytes = normalised(&ours.body);
        if our_bytes == normalised(&theirs.body) {
            return Outcome::Identical;
        }
        let evaluate = || self.theirs.query(query, &text, form).body;
        let read = |body: &[u8]| {
            let mut result = response::read(body);
            if names_histograms(&text) {
                result.samples = None;
            }
            result
        };
        let difference = difference(
            &query.expression,
            &read(&ours.body),
            &read(&theirs.body),
            || read(&evaluate()),
        );
        if let Some(difference) = difference {
            return match difference.is_certain {
                _ if repeats_label(&query.expression) => Outcome::Tolerated,
                _ if self.is_of_chunks(query, &text) => Outcome::Chunks(difference.text),
                true => Outcome::Differs(difference.text),
                false => Outcome::Uncertain(difference.text),
            };
        }
        // Values and numbers of samples are equal; are they written in the same way?
        let sorted = |body: &[u8]| {
            let mut bytes =
                without_statistics(String::from_utf8_lossy(body).into_owned()).into_bytes();
            bytes.sort_unstable();
            bytes
        };
        let (our_sorted, their_sorted) = (sorted(&ours.body), sorted(&theirs.body));
        if our_sorted == their_sorted {
            return Outcome::Reordered;
        }
        let mut is_stable = true;
        for _ in 0..REPETITIONS {
            let other = sorted(&evaluate());
            if other == our_sorted {
                return Outcome::Reordered;
            }
            is_stable &= other == their_sorted;
        }
        let counts_samples = String::from_utf8_lossy(&theirs.body).contains(", over ");
        match is_stable && !is_inexact(&query.expression) && !counts_samples {
            true => Outcome::Differs("equal values are written in other ways".to_owned()),
            false => Outcome::Tolerated,
        }
    }

    /// Returns a difference of the numbers of samples of native histograms from those that each server holds.
    fn statistics_differ(
        &self,
        query: &Query,
        text: &str,
        ours: &Response,
        theirs: &Response,
    ) -> Option<String> {
        let is_counted = |of: &Response| response::read(&of.body).samples.is_some();
        if !names_histograms(text) || !is_counted(ours) || !is_counted(theirs) {
            return None;
        }
        // Those of each step are a feature that both are without.
        let query = Query {
            per_step_statistics: false,
            ..query.clone()
        };
        let differs = |of: &Response, memory: &Memory| {
            let expected = evaluate(memory, &query, text);
            statistics(&query.expression, &response::read(&of.body), &expected)
        };
        let difference = differs(ours, &self.held.ours).map(|it| ("the connector", it));
        let difference =
            difference.or_else(|| differs(theirs, &self.held.theirs).map(|it| ("Prometheus", it)));
        difference.map(|(whose, text)| format!("{whose} has other samples than it holds: {text}"))
    }

    /// Returns true if the servers' results follow from what each of them holds.
    fn is_of_chunks(&self, query: &Query, text: &str) -> bool {
        let follows = |api: &Api, memory: &Memory| {
            let expected = response::visible(&evaluate(memory, query, text));
            let result = || response::read(&api.query(query, text, &Form::default()).body);
            difference(&query.expression, &result(), &expected, result).is_none()
        };
        names_histograms(text)
            && follows(self.ours, &self.held.ours)
            && follows(self.theirs, &self.held.theirs)
    }

    fn describe(&self, query: &Query, smallest: &Query, form: &Form) -> String {
        let text = smallest.expression.to_string();
        let mut report = format!("{text}\n");
        if let Outcome::Differs(difference) = self.compare(smallest, form) {
            writeln!(report, "  {difference}").expect("strings can be written to");
        }
        let lookback = smallest.lookback_ms;
        let bodies = [self.ours, self.theirs].map(|it| {
            let response = it.query(smallest, &text, form);
            let body: String = String::from_utf8_lossy(&response.body)
                .chars()
                .take(1_200)
                .collect();
            format!("{} {body}", response.status)
        });
        let [ours, theirs] = bodies;
        write!(
            report,
            "  {:?}, lookback {lookback} ms, {form:?}\n  from {}\n  ours   {ours}\n  theirs {theirs}",
            smallest.times, query.expression
        )
        .expect("strings can be written to");
        report
    }
}

/// Returns true for an expression with `absent` or `absent_over_time` and a selector with two matchers of one label.
fn repeats_label(expression: &Node) -> bool {
    let text = expression.to_string();
    let selectors = text.split('{').skip(1);
    let mut selectors = selectors.filter_map(|it| it.split_once('}').map(|(all, _)| all));
    let repeats = selectors.any(|all| {
        let matchers = all.split(',');
        let names = matchers.filter_map(|it| it.split(['=', '!']).next());
        let mut names: Vec<_> = names.collect();
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        names.len() < count
    });
    let features = expression.all_features();
    repeats && (features.contains("absent") || features.contains("absent_over_time"))
}

/// Returns true for the error of Prometheus where a float and a histogram have the same labels and time after
/// `label_replace` or a unary minus, and both are of the time of `@`.
fn is_of_two_kinds(theirs: &Response) -> bool {
    let result = response::read(&theirs.body);
    matches!(result.value, Err(text) if text == "unexpected number of samples")
}

/// Returns a difference of status, type of the error and headers.
fn heads(ours: &Response, theirs: &Response) -> Option<String> {
    let head = |it: &Response| {
        let body = String::from_utf8_lossy(&it.body);
        let error_type = body.split_once("\"errorType\":\"");
        let error_type = error_type.and_then(|(_, rest)| rest.split('"').next());
        let error_type = error_type.unwrap_or_default().to_owned();
        (
            it.status,
            error_type,
            it.content_type.clone(),
            it.encoding.clone(),
        )
    };
    let (a, b) = (head(ours), head(theirs));
    (a != b).then(|| {
        format!("status, type of the error, content type, encoding: ours {a:?}, theirs {b:?}")
    })
}

/// Returns the body of a response to `query` without the timings and the peak of statistics, and without all numbers of
/// samples if native histograms may be among these.
fn normalised(body: &[u8], query: &str) -> Vec<u8> {
    let text = String::from_utf8_lossy(body).into_owned();
    if names_histograms(query) {
        return without_statistics(text).into_bytes();
    }
    let text = without(text, "\"timings\":{");
    let text = match text.split_once("\"peakSamples\":") {
        None => text,
        Some((before, rest)) => {
            let after = rest.trim_start_matches(|it: char| it.is_ascii_digit());
            format!("{before}{after}")
        }
    };
    text.into_bytes()
}

/// Returns the body of a response without statistics.
fn without_statistics(body: String) -> String {
    without(without(body, "\"timings\":{"), "\"samples\":{\"total")
}

/// Returns a body without the object that begins with this text.
fn without(body: String, object: &str) -> String {
    match body.split_once(object) {
        None => body,
        Some((before, rest)) => {
            let (_, after) = rest.split_once('}').unwrap_or_default();
            format!("{before}{after}")
        }
    }
}

/// Returns the parts of a request beside its query.
fn form(random: &mut Random, query: &Query) -> Form {
    let mut parameters = Vec::new();
    // An instant vector can have the order of a map.
    if matches!(query.times, Times::Range { .. }) && random.chance(0.1) {
        parameters.push(("limit", random.below(4).to_string()));
    }
    if random.chance(0.2) {
        let statistics = if query.per_step_statistics {
            "all"
        } else {
            "true"
        };
        parameters.push(("stats", statistics.to_owned()));
    }
    if random.chance(0.05) {
        parameters.push(("timeout", "1m".to_owned()));
    }
    Form {
        is_get: random.chance(0.3),
        accepts_gzip: random.chance(0.3),
        parameters,
    }
}

/// Returns a query some steps later.
fn slid(query: &Query, slide: i64) -> Query {
    let times = match query.times {
        Times::Instant(time) => Times::Instant(time + slide * 15_000),
        Times::Range { start, end, step } => Times::Range {
            start: start + slide * step,
            end: end + slide * step,
            step,
        },
    };
    Query {
        times,
        expression: Node::clone(&query.expression),
        ..query.clone()
    }
}
