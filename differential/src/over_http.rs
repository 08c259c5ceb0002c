//! Random queries over HTTP: a connector beside a Prometheus with the same data.
//!
//! Status, headers and body are equal byte by byte, but for what Prometheus itself leaves open:
//!
//! - the timings of statistics, and the peak of samples, which depends on how an engine uses its memory; with native
//!   histograms all numbers of samples, because Prometheus counts the empty buckets too that its chunks have, and with
//!   `last_over_time`, because the connector fetches one sample of a window where Prometheus counts all;
//! - the order of the elements of a vector, where it is that of a map, and the order of annotations, which always is;
//! - the labels of `absent` for several matchers of one label: Prometheus' database changes their order;
//! - the warning about conflicting counter resets, where it depends on the sample before the first that is fetched;
//! - sums and choices that depend on such an order, and the last bits of functions that a library of mathematics
//!   computes. [`compare::difference`](crate::compare::difference) has their rules.

use std::fmt::Write as _;
use std::thread;

use prom_model::{Buckets, Count, Histogram, STALE_MARKER_BITS};

use crate::api::{Api, Form, Response};
use crate::compare::{difference, is_inexact};
use crate::data::{Float, START_MS, Series};
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
/// A warning that depends on the sample before the first one of a series.
const RESETS: &str = "PromQL warning: conflicting counter resets";
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
            "{} queries: {} with the same bytes, {} in another order, {} within what Prometheus leaves open, {} perhaps \
             different, {} different; {} with a result that is not empty, {} with annotations, {} errors",
            self.queries,
            self.identical,
            self.reordered,
            self.tolerated,
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
    Uncertain(String),
    Differs(String),
}

/// A connector and a Prometheus.
#[derive(Clone, Copy, Debug)]
pub struct Pair<'a> {
    /// The connector.
    pub ours: &'a Api,
    /// Prometheus.
    pub theirs: &'a Api,
    /// True if both drop metric names at the end of an evaluation.
    pub delayed_name_removal: bool,
}

impl Pair<'_> {
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
            query.type_and_unit_labels = false;
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
        if let Some(difference) = heads(&ours, theirs) {
            return Outcome::Differs(difference);
        }
        let our_bytes = normalised(&ours.body);
        if our_bytes == normalised(&theirs.body) {
            return Outcome::Identical;
        }
        let evaluate = || self.theirs.query(query, &text, form).body;
        let read = |body: &[u8]| {
            let mut result = response::read(body);
            if counts_other_samples(&text) {
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
                _ if difference.text.contains(RESETS) => Outcome::Uncertain(difference.text),
                true => Outcome::Differs(difference.text),
                false => Outcome::Uncertain(difference.text),
            };
        }
        // The values are equal; are they written in the same way?
        let sorted = |body: &[u8]| {
            let mut bytes = normalised(body);
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

/// Returns true for an expression of which Prometheus counts other samples.
fn counts_other_samples(expression: &str) -> bool {
    names_histograms(expression) || expression.contains("last_over_time(")
}

/// Returns the body of a response to `query` without the timings and the peak of statistics.
fn normalised(body: &[u8], query: &str) -> Vec<u8> {
    let without = |text: String, object: &str| match text.split_once(object) {
        None => text,
        Some((before, rest)) => {
            let (_, after) = rest.split_once('}').unwrap_or_default();
            format!("{before}{after}")
        }
    };
    let text = String::from_utf8_lossy(body).into_owned();
    let mut text = without(text, "\"timings\":{");
    if counts_other_samples(query) {
        text = without(text, "\"samples\":{\"total");
    }
    let text = match text.split_once("\"peakSamples\":") {
        None => text,
        Some((before, rest)) => {
            let after = rest.trim_start_matches(|it: char| it.is_ascii_digit());
            format!("{before}{after}")
        }
    };
    text.into_bytes()
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
