//! The cases of tests/golden, compared with the results that they name and with those of Prometheus' parser.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use exposition::{Exposition, Format, Label, parse};

/// A case of a file.
#[derive(Default)]
struct Case {
    title: String,
    body: Vec<u8>,
    /// The lines with the result.
    expected: Vec<String>,
    /// True if the case explains a difference of Prometheus' result.
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

/// Decodes a line of a body.
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

/// Parses a body and formats the result as the files do.
fn result(body: &[u8], format: Format) -> Vec<String> {
    match parse(body, format) {
        Ok(exposition) => accepted(&exposition),
        Err(error) => {
            let (line, offset) = (error.line, error.offset);
            vec![format!("x {line}:{offset} {}", error.reason)]
        }
    }
}

fn accepted(exposition: &Exposition<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    for sample in &exposition.samples {
        let mut line = format!(
            "= {}{}",
            quoted(&sample.name),
            braces(exposition.labels(sample))
        );
        write!(line, " {}", number(sample.value)).unwrap();
        if let Some(time) = sample.timestamp_ms {
            write!(line, " @ {time}").unwrap();
        }
        if let Some(exemplar) = &sample.exemplar {
            let value = number(exemplar.value);
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

/// Quotes a string; control characters are written as in bodies.
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

fn number(value: f64) -> String {
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
fn each_case_has_its_result() {
    let mut count = 0;
    for (file, format) in FILES {
        for case in cases(file) {
            count += 1;
            let result = result(&case.body, format);
            assert_eq!(result, case.expected, "{file}: {}", case.title);
        }
    }
    assert!(count >= 280, "{count} cases");
}

/// The results of Prometheus are the output of tests/golden/prometheus.go.
#[test]
fn prometheus_has_the_same_result_unless_the_case_explains_the_difference() {
    let text = std::fs::read_to_string(folder().join("prometheus.txt")).unwrap();
    let mut results = BTreeMap::<(&str, String), Vec<&str>>::new();
    let mut key = ("", String::new());
    for line in text.lines() {
        if let Some(file) = line.strip_prefix("### ") {
            key = (file, String::new());
        } else if let Some(title) = line.strip_prefix("--- ") {
            key.1 = title.to_owned();
            results.entry(key.clone()).or_default();
        } else if !line.is_empty() {
            results.get_mut(&key).unwrap().push(line);
        }
    }
    for (file, _) in FILES {
        for case in cases(file) {
            // The results of Prometheus have no positions of errors.
            let expected = case
                .expected
                .iter()
                .map(|line| match line.strip_prefix("x ") {
                    Some(_) => "x",
                    None => line.as_str(),
                });
            let result = results
                .remove(&(file, case.title.clone()))
                .unwrap_or_else(|| {
                    panic!("{file}: {}: no result of Prometheus", case.title);
                });
            let same = expected.collect::<Vec<_>>() == result;
            assert_eq!(same, !case.differs, "{file}: {}: {result:?}", case.title);
        }
    }
    assert!(
        results.is_empty(),
        "results without a case: {:?}",
        results.keys()
    );
}
