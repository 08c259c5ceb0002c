//! The requests of single metrics with which `crates/otlp` is tested.
//!
//! Each is sent once in each encoding. Requests would have series in common, so each has two hours of its own: they are
//! also a chunk of their own in Prometheus, whose native histograms have empty buckets of others in their chunk.

use std::collections::{BTreeMap, BTreeSet};

use differential::api::{Form, Response};
use regex::{Captures, Regex};
use serde_json::{Value, json};

use super::pair::{Encoding, Pair, exemplars_in_both, stale_times};
use super::python;

const TABLE: &str = include_str!("../../../crates/otlp/tests/golden/cases.tsv");
/// The time of nearly all data points of the table.
const TIME_MS: i64 = 1_700_000_000_000;
const HOURS_2_MS: i64 = 7_200_000;
/// Begins two hours of Prometheus' chunks.
const START_MS: i64 = TIME_MS - TIME_MS % HOURS_2_MS;

struct Case {
    title: &'static str,
    request: &'static str,
    expected: &'static str,
}

/// Returns the cases by their options.
fn cases() -> BTreeMap<&'static str, Vec<Case>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for row in TABLE.lines().filter(|it| !it.starts_with("# ")) {
        let fields: Vec<&str> = row.split('\t').collect();
        let [title, options, request, expected] = fields[..] else {
            panic!("{row}");
        };
        let case = Case {
            title,
            request,
            expected,
        };
        all.entry(options).or_default().push(case);
    }
    all
}

/// Returns the settings that the table shortens.
fn settings(options: &str) -> Vec<(&'static str, String)> {
    let options = options.split(';').filter(|it| !it.is_empty());
    let setting = |option: &str| {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let list = || format!("[{value}]");
        let on = || "true".to_owned();
        match name {
            "strategy" => ("translation_strategy", value.to_owned()),
            "promote" => ("promote_resource_attributes", list()),
            "promote_all" => ("promote_all_resource_attributes", on()),
            "ignore" => ("ignore_resource_attributes", list()),
            "keep" => ("keep_identifying_resource_attributes", on()),
            "nhcb" => ("convert_histograms_to_nhcb", on()),
            "scope" => ("promote_scope_metadata", on()),
            "unsanitized" => ("label_name_underscore_sanitization", "false".to_owned()),
            "collapsed" => (
                "label_name_preserve_multiple_underscores",
                "false".to_owned(),
            ),
            _ => panic!("{option}"),
        }
    };
    options.map(setting).collect()
}

/// Returns the request with its times moved by so many milliseconds, except those that are far from the others.
fn moved(request: &str, by_ms: i64) -> String {
    let times = Regex::new(r#"(UnixNano":")(1700\d{15})""#).unwrap();
    let moved = times.replace_all(request, |found: &Captures<'_>| {
        let time_ns: i64 = found[2].parse().unwrap();
        format!("{}{}\"", &found[1], time_ns + by_ms * 1_000_000)
    });
    moved.into_owned()
}

/// Returns the metadata that Prometheus' translator makes of a case.
fn metadata(expected: &str) -> Vec<(String, Value)> {
    let parts = expected.split(" | ");
    let parts = parts.filter_map(|it| it.strip_prefix("meta "));
    let entry = |part: &str| {
        let fields: Vec<&str> = part.split(' ').collect();
        let [name, kind, unit, help] = fields[..] else {
            panic!("{part}");
        };
        let text = |text: &str, name: &str| percent_decoded(text.strip_prefix(name).unwrap());
        let value =
            json!([{ "type": kind, "unit": text(unit, "unit="), "help": text(help, "help=") }]);
        (percent_decoded(name), value)
    };
    parts.map(entry).collect()
}

fn percent_decoded(text: &str) -> String {
    let text = text.replace('+', "%2b");
    let pairs = form_urlencoded::parse(text.as_bytes());
    pairs.map(|(name, _)| name.into_owned()).collect()
}

/// The labels of this case are columns of one name to Timestream, so it makes every query of its table fail.
const AMBIGUOUS: &str = "labels, capitals before the name";

/// Histograms that the translator accepts and the storage rejects: their buckets hold others than `count` observations.
const INVALID: [&str; 3] = [
    "exponential histogram, gaps of 2 and 3",
    "exponential histogram, scale 20",
    "exponential histogram, scale 9",
];

/// Prometheus rejects the request, and we store its sample without its exemplar.
const WITHOUT_EXEMPLAR: &str = "exemplar without a value";

/// Whether a case has tests of its own: its times are not those of the others, or it needs a table of its own.
fn is_special(case: &Case) -> bool {
    case.title.starts_with("times ") || [AMBIGUOUS, WITHOUT_EXEMPLAR].contains(&case.title)
}

/// Returns a special case.
fn special(title: &str) -> Case {
    let all = cases().remove("").unwrap();
    let mut all = all.into_iter().filter(is_special);
    all.find(|it| it.title == title).unwrap()
}

#[derive(Debug, Default)]
struct Counts {
    /// Cases of which both have the same, not empty series.
    equal: usize,
    /// Cases of which both have stale markers alone.
    stale: usize,
    rejected: usize,
    exemplars: usize,
    metadata: usize,
}

#[tokio::test(flavor = "multi_thread")]
async fn single_metrics_are_stored_as_by_prometheus() {
    let mut counts = Counts::default();
    let mut differences = Vec::new();
    for (options, cases) in cases() {
        let cases: Vec<_> = cases.into_iter().filter(|it| !is_special(it)).collect();
        let slots = cases.len() as i64 * 2;
        let mut known = BTreeMap::new();
        let pair = Pair::start(&settings(options)).await;
        let mut requests = Vec::new();
        for (at, case) in cases.iter().enumerate() {
            let by_ms = |encoding: i64| (2 * at as i64 + encoding) * HOURS_2_MS;
            requests.push([0, 1].map(|encoding| moved(case.request, by_ms(encoding))));
        }
        let in_protobuf: Vec<&str> = requests.iter().map(|[_, it]| it.as_str()).collect();
        let in_protobuf = python::protobuf(&in_protobuf).await;
        tokio::task::block_in_place(|| {
            for (at, (case, protobuf)) in cases.iter().zip(in_protobuf).enumerate() {
                let json = requests[at][0].as_bytes();
                let bodies = [(Encoding::Json, json), (Encoding::Protobuf, &protobuf)];
                for (slot, (encoding, body)) in (2 * at as i64..).zip(bodies) {
                    let after_ms = START_MS + slot * HOURS_2_MS - 1;
                    if let Err(difference) = compare(
                        &pair,
                        case,
                        (encoding, body),
                        after_ms,
                        &mut known,
                        &mut counts,
                    ) {
                        differences.push(format!(
                            "{options} {} {encoding:?}: {difference}",
                            case.title
                        ));
                    }
                }
            }
            // That of a metric whose metadata changes is not written again at once.
            known.retain(|_, values| values.len() == 1);
            let stored = pair.metadata(known.keys());
            for (name, expected) in &known {
                if !expected.contains(&stored[name].to_string()) {
                    let stored = &stored[name];
                    differences.push(format!("{options} {name}: {stored}, not {expected:?}"));
                }
            }
            counts.metadata += known.len();
            let bits = pair.bits();
            let stale = stale_times(&bits[1]);
            let [ours, theirs] = bits;
            if ours != theirs {
                differences.push(format!("{options}:\n{ours:?}\n{theirs:?}"));
            }
            let exemplars = pair.exemplars(0, START_MS + slots * HOURS_2_MS);
            match exemplars_in_both(&exemplars, &stale) {
                Ok(equal) => counts.exemplars += equal,
                Err(difference) => differences.push(format!("{options}: {difference}")),
            }
        });
    }
    println!("{counts:?}");
    assert!(differences.is_empty(), "{}", differences.join("\n\n"));
    assert!(counts.equal > 160 && counts.rejected == 28, "{counts:?}");
    assert!(counts.exemplars > 0 && counts.metadata > 30, "{counts:?}");
}

/// Sends a case to both and compares what they have then; `known` gets the metadata of its metrics.
fn compare(
    pair: &Pair,
    case: &Case,
    (encoding, body): (Encoding, &[u8]),
    after_ms: i64,
    known: &mut BTreeMap<String, BTreeSet<String>>,
    counts: &mut Counts,
) -> Result<(), String> {
    let [ours, theirs] = pair.export(encoding, body);
    let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
    let texts = [text(&ours.body), text(&theirs.body)];
    let [ours_has, theirs_has] = pair.samples(after_ms, after_ms + HOURS_2_MS);
    let is_rejected = case.expected.starts_with("error: ") || INVALID.contains(&case.title);
    // Both encodings have an empty response if everything is stored.
    let is_partial = ours.body.len() > 2;
    if ours.status != 200 || [theirs.status != 200, is_partial] != [is_rejected; 2] {
        return Err(format!("{} {} {texts:?}", ours.status, theirs.status));
    }
    if ours_has != theirs_has {
        return Err(format!("{texts:?}\n{ours_has:#?}\n{theirs_has:#?}"));
    }
    if theirs.status != 200 {
        counts.rejected += 1;
        return Ok(());
    }
    match ours_has.is_empty() {
        true => counts.stale += 1,
        false => counts.equal += 1,
    }
    for (name, expected) in metadata(case.expected) {
        known.entry(name).or_default().insert(expected.to_string());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_that_differ_in_case_are_stored_and_make_queries_ambiguous() {
    let case = special(AMBIGUOUS);
    let pair = Pair::start(&[]).await;
    tokio::task::block_in_place(|| {
        let responses = pair.export(Encoding::Json, case.request.as_bytes());
        assert_eq!(responses.map(|it| it.status), [200; 2]);
        let query = [
            ("query", r#"{__name__=~".+"}"#.to_owned()),
            ("time", (TIME_MS / 1000).to_string()),
        ];
        let [ours, theirs] = pair.both(|api| api.call("query", &query, &Form::default()));
        let text = |response: Response| String::from_utf8(response.body).unwrap();
        assert_eq!([ours.status, theirs.status], [422, 200]);
        let (ours, theirs) = (text(ours), text(theirs));
        assert!(ours.contains("ambiguous"), "{ours}");
        assert!(theirs.contains(r#""Zone":"x""#), "{theirs}");
    });
    let stored = pair.stage.points("g");
    let [point] = &stored[..] else {
        panic!("{stored:?}");
    };
    assert_eq!(
        [&point.dimensions["Zone"], &point.dimensions["zone"]],
        ["x", "y"]
    );
    assert_eq!([point.time_ms as f64, point.value], [TIME_MS as f64, 1.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_exemplar_without_a_value_costs_prometheus_the_sample() {
    let case = special(WITHOUT_EXEMPLAR);
    let pair = Pair::start(&[]).await;
    tokio::task::block_in_place(|| {
        let [ours, theirs] = pair.export(Encoding::Json, case.request.as_bytes());
        assert!(ours.status == 200 && theirs.status != 200, "{theirs:?}");
        let [ours, theirs] = pair.samples(START_MS, TIME_MS);
        assert!(ours.len() == 1 && theirs.is_empty(), "{ours:?} {theirs:?}");
        let exemplars = pair.exemplars(0, TIME_MS);
        assert!(exemplars.iter().all(BTreeMap::is_empty), "{exemplars:?}");
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn times_from_1970_on_are_stored() {
    for (title, rejected) in [
        ("times are truncated", false),
        ("times beyond the middle are negative", true),
    ] {
        let case = special(title);
        let pair = Pair::start(&[]).await;
        let [message] = &python::protobuf(&[case.request]).await[..] else {
            panic!("it is one request");
        };
        tokio::task::block_in_place(|| {
            let bodies = [
                (Encoding::Json, case.request.as_bytes()),
                (Encoding::Protobuf, message),
            ];
            for (encoding, body) in bodies {
                let responses = pair.export(encoding, body);
                let [ours, theirs] = responses;
                assert_eq!([ours.status, theirs.status], [200; 2]);
                let text = String::from_utf8_lossy(&ours.body);
                assert_eq!(text.contains("negative_timestamp (1)"), rejected, "{text}");
                let [ours, theirs] = pair.samples(-5_000, TIME_MS + 1);
                let more: Vec<_> = theirs.difference(&ours).collect();
                match rejected {
                    true => assert!(more.len() == 1 && more[0].contains("[-0.001,"), "{more:?}"),
                    false => assert!(more.is_empty(), "{more:?}"),
                }
                assert!(!ours.is_empty() && ours.is_subset(&theirs), "{ours:?}");
            }
        });
    }
}
