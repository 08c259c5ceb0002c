//! Odd and malformed series: the outcome of each here and in Prometheus' own receiver, by the table
//! in `tests/golden/remote_write`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::PathBuf;

use futures_util::StreamExt as _;
use prom_wire::RemoteWrite;
use prom_wire::prompb;
use prom_wire::prompb::histogram;
use prom_wire::prompb::label_matcher::Type;
use timestream_emulator::{ColumnCase, Point, Value};
use timestream_prometheus_connector::storage::names::{
    EXEMPLAR_PREFIX, NO_LABELS_DIMENSION, unescape,
};

use crate::support::{TestApp, query};
use crate::v2::{compressed, content_type};

/// One case of the table.
#[derive(Default)]
struct Case {
    title: String,
    /// The lines with the request.
    sent: Vec<String>,
    /// By version: what Prometheus' outcome has and ours lacks, and the other way round.
    missing: BTreeMap<u8, Vec<String>>,
    more: BTreeMap<u8, Vec<String>>,
    /// By version: why.
    reasons: BTreeMap<u8, String>,
    /// The message and Prometheus' outcome, by version.
    golden: BTreeMap<u8, (Vec<u8>, Vec<String>)>,
}

fn file(name: &str) -> String {
    let path: PathBuf = [
        env!("CARGO_MANIFEST_DIR"),
        "tests/golden/remote_write",
        name,
    ]
    .iter()
    .collect();
    std::fs::read_to_string(path).unwrap()
}

/// Returns the cases of a file; lines before the first one are its introduction.
fn cases(text: &str, add: impl Fn(&mut Case, &str)) -> Vec<Case> {
    let mut cases = Vec::<Case>::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("--- ") {
            cases.push(Case {
                title: title.to_owned(),
                ..Case::default()
            });
        } else if let Some(case) = cases.last_mut() {
            match line.strip_prefix("| ") {
                Some(sent) => case.sent.push(sent.to_owned()),
                None => add(case, line),
            }
        }
    }
    cases
}

/// Returns the version of a line, and its text.
fn of_version(line: &str) -> (u8, String) {
    let (version, text) = line.split_once(' ').unwrap();
    (version.parse().unwrap(), text.to_owned())
}

fn table() -> Vec<Case> {
    let text = file("cases.txt");
    let mut table = cases(&text, |case, line| {
        let lines = match line.split_at_checked(2) {
            None => return,
            Some(("? ", text)) => {
                let (version, reason) = of_version(text);
                assert!(case.reasons.insert(version, reason).is_none(), "{line}");
                return;
            }
            Some(("- ", _)) => &mut case.missing,
            Some(("+ ", _)) => &mut case.more,
            Some(_) => panic!("{line}"),
        };
        let (version, text) = of_version(&line[2..]);
        lines.entry(version).or_default().push(text);
    });
    let golden = cases(&file("prometheus.txt"), |case, line| {
        let (version, text) = of_version(line);
        let (message, outcome) = case.golden.entry(version).or_default();
        match text.split_once(' ') {
            Some(("message", digits)) => *message = hex(digits),
            Some(("text", _)) => {}
            _ => outcome.push(text),
        }
    });
    assert_eq!(table.len(), golden.len());
    for (case, golden) in table.iter_mut().zip(golden) {
        // Else the program must run again.
        assert_eq!((&case.title, &case.sent), (&golden.title, &golden.sent));
        case.golden = golden.golden;
        assert!(!case.golden.is_empty(), "{}", case.title);
    }
    table
}

fn hex(digits: &str) -> Vec<u8> {
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\0'..' ' => write!(quoted, "‹{:02x}›", u32::from(character)).unwrap(),
            other => quoted.push(other),
        }
    }
    quoted + "\""
}

fn braces<'a>(labels: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let labels = labels.map(|(name, value)| format!("{}={}", quoted(name), quoted(value)));
    let sorted: BTreeSet<_> = labels.collect();
    format!("{{{}}}", sorted.into_iter().collect::<Vec<_>>().join(","))
}

fn sample_line(series: &str, sample: &prompb::Sample) -> String {
    let bits = sample.value.to_bits();
    format!("sample {series} {} {bits:016x}", sample.timestamp)
}

fn histogram_line(series: &str, read: &prompb::Histogram) -> String {
    let count = match read.count {
        Some(histogram::Count::CountInt(count)) => count as f64,
        Some(histogram::Count::CountFloat(count)) => count,
        None => 0.0,
    };
    let zero = match read.zero_count {
        Some(histogram::ZeroCount::ZeroCountInt(count)) => count as f64,
        Some(histogram::ZeroCount::ZeroCountFloat(count)) => count,
        None => 0.0,
    };
    let [count, sum, zero] = [count, read.sum, zero].map(f64::to_bits);
    format!(
        "histogram {series} {} schema {} count {count:016x} sum {sum:016x} zero {zero:016x}",
        read.timestamp, read.schema
    )
}

/// Returns the line of a point that is an exemplar.
fn exemplar_line(point: &Point) -> Option<String> {
    let metric = point.measure_name.strip_prefix(EXEMPLAR_PREFIX)?;
    let dimensions = point.dimensions.iter();
    let dimensions: Vec<_> = dimensions
        .filter(|(name, _)| *name != NO_LABELS_DIMENSION)
        .map(|(name, value)| (unescape(name), value.clone()))
        .collect();
    let metric = unescape(metric);
    let labels = dimensions
        .iter()
        .map(|(name, value)| (name.as_ref(), value.as_str()));
    let series = braces(labels.chain([("__name__", metric.as_ref())]));
    let Value::Varchar(text) = &point.value else {
        panic!("{point:?}")
    };
    let stored: serde_json::Value = serde_json::from_str(text).unwrap();
    let value = match &stored["value"] {
        serde_json::Value::String(text) if text == "NaN" => 0x7ff8_0000_0000_0001,
        number => number.as_f64().unwrap().to_bits(),
    };
    let labels = stored["labels"].as_object().unwrap().iter();
    let labels = braces(labels.map(|(name, value)| (name.as_str(), value.as_str().unwrap())));
    let time = &stored["timestamp"];
    Some(format!("exemplar {series} {time} {value:016x} {labels}"))
}

/// Sends a message to a connector with an empty Timestream; returns what became of it.
async fn outcome(version: u8, message: &[u8]) -> Vec<String> {
    // Labels that differ in case alone are a limit of reads, not of writes.
    let app = TestApp::start_in_case(ColumnCase::Exact, &["--store-special-values"]).await;
    let remote_write = match version {
        1 => RemoteWrite::V1,
        _ => RemoteWrite::V2,
    };
    let headers = [
        ("content-type", content_type(remote_write)),
        ("content-encoding", "snappy"),
    ];
    let response = app.post("/write", &headers, compressed(message)).await;
    let mut lines = vec![format!("status {}", response.status.as_u16())];
    if let Some([samples, histograms, exemplars]) = response.written() {
        lines.push(format!("written {samples} {histograms} {exemplars}"));
    }
    let mut everything = query(&[(Type::Re, "__name__", ".+")]);
    everything.start_timestamp_ms = 0;
    everything.end_timestamp_ms = i64::MAX;
    for series in app.read_samples(vec![everything]).await.concat() {
        let labels = series.labels.iter();
        let labels = braces(labels.map(|it| (it.name.as_str(), it.value.as_str())));
        lines.extend(series.samples.iter().map(|it| sample_line(&labels, it)));
        let histograms = series.histograms.iter();
        lines.extend(histograms.map(|it| histogram_line(&labels, it)));
    }
    let points = app.emulator.points("db", "t");
    lines.extend(points.iter().filter_map(exemplar_line));
    lines
}

/// Returns the lines that `others` lacks.
fn beyond(lines: &[String], others: &[String]) -> Vec<String> {
    let mut others = others.to_vec();
    let mut beyond = Vec::new();
    for line in lines {
        match others.iter().position(|other| other == line) {
            Some(position) => drop(others.remove(position)),
            None => beyond.push(line.clone()),
        }
    }
    beyond.sort();
    beyond
}

/// Compares a case in one version; returns the line that the table should have, if it differs.
async fn compare(case: &Case, version: u8) -> Option<String> {
    let (message, prometheus) = &case.golden[&version];
    let ours = outcome(version, message).await;
    let difference = [beyond(prometheus, &ours), beyond(&ours, prometheus)];
    let documented = [&case.missing, &case.more].map(|lines| {
        let mut lines = lines.get(&version).cloned().unwrap_or_default();
        lines.sort();
        lines
    });
    let is_explained = case.reasons.contains_key(&version);
    let differs = difference.iter().any(|lines| !lines.is_empty());
    if difference == documented && differs == is_explained {
        return None;
    }
    let mut wanted = format!("--- {}\n", case.title);
    for (sign, lines) in ["-", "+"].iter().zip(&difference) {
        for line in lines {
            writeln!(wanted, "{sign} {version} {line}").unwrap();
        }
    }
    if differs {
        writeln!(wanted, "? {version} why").unwrap();
    }
    Some(wanted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn series_are_accepted_and_rejected_as_by_prometheus_or_the_table_says_why() {
    let table = table();
    let versions = |case: &Case| case.golden.keys().copied().collect::<Vec<_>>();
    let all = table
        .iter()
        .flat_map(|case| versions(case).into_iter().map(move |it| (case, it)));
    let compared = futures_util::stream::iter(all)
        .map(|(case, version)| compare(case, version))
        .buffered(4);
    let wanted: Vec<_> = compared.filter_map(std::future::ready).collect().await;
    assert!(
        wanted.is_empty(),
        "the table should say:\n{}",
        wanted.concat()
    );
}

#[test]
fn the_reasons_of_the_table_are_there_and_used() {
    let text = file("cases.txt");
    let defined = text.lines().filter_map(|line| line.strip_prefix("  @"));
    let defined: BTreeSet<_> = defined
        .map(|line| line.split(':').next().unwrap())
        .collect();
    let table = table();
    let reasons = || table.iter().flat_map(|case| case.reasons.values());
    let used: BTreeSet<_> = reasons()
        .filter_map(|reason| reason.strip_prefix('@'))
        .collect();
    assert_eq!(defined, used);
    assert!(reasons().all(|reason| reason.starts_with('@') || reason.contains(' ')));
    assert!(table.len() >= 60);
}
