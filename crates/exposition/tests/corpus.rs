//! The cases of tests/golden: what is read here, and where Prometheus reads something
//! else.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use exposition::{Exposition, Format, Label, parse};

/// One case of a file, as it stands there.
#[derive(Default)]
struct Case {
    title: String,
    body: Vec<u8>,
    /// The lines that say what is read.
    expected: Vec<String>,
    /// Whether it says why Prometheus reads something else.
    differs: bool,
}

fn folder() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "tests/golden"]
        .iter()
        .collect()
}

fn cases(file: &str) -> Vec<Case> {
    let text = std::fs::read_to_string(folder().join(file)).unwrap();
    let mut cases = Vec::<Case>::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("--- ") {
            cases.push(Case {
                title: title.to_owned(),
                ..Case::default()
            });
        }
        let Some(case) = cases.last_mut() else {
            continue;
        };
        match line.split_at_checked(1) {
            Some(("|", rest)) => case.body.extend([bytes(rest), b"\n".to_vec()].concat()),
            Some(("!", rest)) => case.body.extend(bytes(rest)),
            Some(("=" | "~" | "x", _)) => case.expected.push(line.to_owned()),
            Some(("?", _)) => case.differs = true,
            Some(("-", _)) | None => {}
            Some(_) => panic!("{file}: {line}"),
        }
    }
    cases
}

/// What a line of a body stands for.
fn bytes(line: &str) -> Vec<u8> {
    let mut parts = line.split('‹');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_once('›').unwrap();
        bytes.push(u8::from_str_radix(digits, 16).unwrap());
        bytes.extend(rest.as_bytes());
    }
    bytes
}

/// Writes what was read as the files do.
fn shown(body: &[u8], format: Format) -> Vec<String> {
    match parse(body, format) {
        Ok(exposition) => shown_whole(&exposition),
        Err(error) => {
            let (line, offset) = (error.line, error.offset);
            vec![format!("x {line}:{offset} {}", error.reason)]
        }
    }
}

fn shown_whole(exposition: &Exposition<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for sample in &exposition.samples {
        let mut line = format!(
            "= {}{}",
            quoted(&sample.name),
            braces(exposition.labels(sample))
        );
        write!(line, " {}", shown_number(sample.value)).unwrap();
        if let Some(time) = sample.timestamp_ms {
            write!(line, " @ {time}").unwrap();
        }
        if let Some(exemplar) = &sample.exemplar {
            let value = shown_number(exemplar.value);
            write!(line, " # {} {value}", braces(&exemplar.labels)).unwrap();
            if let Some(time) = exemplar.timestamp_ms {
                write!(line, " @ {time}").unwrap();
            }
        }
        lines.push(line);
    }
    let mut families: Vec<_> = exposition.families.iter().collect();
    families.sort_by_key(|family| &family.name);
    for family in families {
        let (name, help, unit) = (
            quoted(&family.name),
            quoted(&family.help),
            quoted(&family.unit),
        );
        lines.push(format!(
            "~ {name} {} {help} {unit}",
            family.metric_type.as_str()
        ));
    }
    lines
}

fn braces(labels: &[Label<'_>]) -> String {
    let mut sorted: Vec<_> = labels.iter().collect();
    sorted.sort();
    let sorted = sorted.into_iter();
    let texts = sorted.map(|(name, value)| format!("{}={}", quoted(name), quoted(value)));
    format!("{{{}}}", texts.collect::<Vec<_>>().join(","))
}

/// In double quotes, bytes below a blank as in bodies.
fn quoted(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\n' => quoted += "\\n",
            '\0'..=' ' if character != ' ' => write!(quoted, "‹{:02x}›", character as u32).unwrap(),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

fn shown_number(value: f64) -> String {
    match value == 0.0 && value.is_sign_negative() {
        true => "-0.0".to_owned(),
        false => boundary(value),
    }
}

/// Formats a number as the boundary of a bucket is read.
fn boundary(value: f64) -> String {
    let body = format!("# TYPE a histogram\na{{le=\"{value}\"}} 0\n");
    let exposition = parse(body.as_bytes(), Format::Text).unwrap();
    exposition.labels(&exposition.samples[0])[0].1.to_string()
}

const FILES: [(&str, Format); 2] = [
    ("text.txt", Format::Text),
    ("openmetrics.txt", Format::OpenMetrics),
];

#[test]
fn every_case_is_read_as_it_says() {
    let mut count = 0;
    for (file, format) in FILES {
        for case in cases(file) {
            count += 1;
            let shown = shown(&case.body, format);
            assert_eq!(shown, case.expected, "{file}: {}", case.title);
        }
    }
    assert!(count >= 280, "{count} cases");
}

/// Its answers were made by tests/golden/prometheus.go.
#[test]
fn prometheus_reads_the_same_where_no_case_says_why_not() {
    let text = std::fs::read_to_string(folder().join("prometheus.txt")).unwrap();
    let mut answers = BTreeMap::<(&str, String), Vec<&str>>::new();
    let mut key = ("", String::new());
    for line in text.lines() {
        if let Some(file) = line.strip_prefix("### ") {
            key = (file, String::new());
        } else if let Some(title) = line.strip_prefix("--- ") {
            key.1 = title.to_owned();
            answers.entry(key.clone()).or_default();
        } else if !line.is_empty() {
            answers.get_mut(&key).unwrap().push(line);
        }
    }
    for (file, _) in FILES {
        for case in cases(file) {
            // Where a fault is, Prometheus does not say.
            let expected = case
                .expected
                .iter()
                .map(|line| match line.strip_prefix("x ") {
                    Some(_) => "x",
                    None => line.as_str(),
                });
            let answer = answers
                .remove(&(file, case.title.clone()))
                .unwrap_or_else(|| {
                    panic!("{file}: {}: Prometheus was not asked", case.title);
                });
            let same = expected.collect::<Vec<_>>() == answer;
            assert_eq!(same, !case.differs, "{file}: {}: {answer:?}", case.title);
        }
    }
    assert!(
        answers.is_empty(),
        "cases that are no more: {:?}",
        answers.keys()
    );
}
