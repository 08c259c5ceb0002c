//! Selectors of series and durations are accepted and rejected as by Prometheus' HTTP API.
//!
//! The table in `tests/golden` contains what Prometheus says, and the program that writes it.

use prom_model::{Label, Labels};
use promql::{
    Annotations, Engine, EngineOptions, Matcher, MemoryStorage, ParserOptions, SampleValue,
    parse_duration, parse_selector,
};
use table::{rows, unescaped};

#[path = "golden/table.rs"]
mod table;

const API: &str = include_str!("golden/api.tsv");

fn matchers_text(matchers: &[Matcher]) -> String {
    let texts: Vec<_> = matchers.iter().map(Matcher::to_string).collect();
    texts.join(",")
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn durations_are_those_of_prometheus() {
    let mut count = 0;
    for fields in rows(API).filter(|fields| fields[0] == "duration") {
        let text = String::from_utf8(unescaped(fields[1])).unwrap();
        let expected = match fields[2] {
            "ok" => Ok(fields[3].parse().unwrap()),
            _ => Err(String::from_utf8(unescaped(fields[3])).unwrap()),
        };
        assert_eq!(parse_duration(&text), expected);
        let milliseconds = expected.map(|nanoseconds: i64| nanoseconds / 1_000_000);
        assert_eq!(promql::parse_duration_ms(&text), milliseconds);
        count += 1;
    }
    assert!(count > 60, "{count}");
}

#[test]
fn selectors_are_parsed_as_by_prometheus() {
    let mut wrong = Vec::new();
    let (mut accepted, mut rejected) = (0, 0);
    for fields in rows(API).filter(|fields| fields[0] == "selector") {
        let expected = String::from_utf8_lossy(&unescaped(fields[3])).into_owned();
        let parsed = parse_selector(&unescaped(fields[1]), &ParserOptions::default());
        let (is_equal, got) = match parsed {
            Ok(matchers) => {
                accepted += 1;
                let text = matchers_text(&matchers);
                (fields[2] == "ok" && text == expected, text)
            }
            Err(error) => {
                rejected += 1;
                let text = error.to_string();
                // Errors of patterns continue with a remedy.
                let is_pattern = expected.contains("error parsing regexp: ");
                let is_same = text == expected || is_pattern && text.starts_with(&expected);
                (fields[2] == "error" && is_same, text)
            }
        };
        if !is_equal {
            wrong.push(format!("{fields:?}\n  got {got}"));
        }
    }
    assert_none(&wrong);
    assert!(
        accepted > 45 && rejected > 45,
        "{accepted} accepted, {rejected} rejected"
    );
}

/// Returns these numbers of warnings and infos.
fn annotations(warnings: usize, infos: usize) -> Annotations {
    let mut storage = MemoryStorage::default();
    for index in 0..infos {
        let labels = Labels::new(vec![Label {
            name: "__name__".to_owned(),
            value: format!("m{index}"),
        }]);
        for time in [0, 60_000] {
            let value = SampleValue::Float(1.0);
            storage.append(&labels, time, value).unwrap();
        }
    }
    let warnings = (0..warnings).map(|index| format!("quantile({}, vector(1))", index + 2));
    let infos = (0..infos).map(|index| format!("rate(m{index}[5m])"));
    let parts: Vec<_> = warnings.chain(infos).collect();
    let query = format!("{{__name__='none'}} or {}", parts.join(" or "));
    let query = query.trim_end_matches(" or ");
    let query = Engine::new(EngineOptions::default()).instant(query, 60_000);
    let outcome = query.unwrap().run(&storage).unwrap();
    assert!(outcome.value.is_ok(), "{:?}", outcome.value);
    outcome.annotations
}

#[test]
fn annotations_are_limited_as_by_prometheus() {
    let mut count = 0;
    for fields in rows(API).filter(|fields| fields[0] == "annotations") {
        let numbers: Vec<_> = fields[1].split(' ').map(|it| it.parse().unwrap()).collect();
        let annotations = annotations(numbers[0], numbers[1]);
        let warnings = annotations.warnings_limited(numbers[2]);
        let infos = annotations.infos_limited(numbers[3]);
        let all = (annotations.warnings(), annotations.infos());
        assert_eq!((all.0.len(), all.1.len()), (numbers[0], numbers[1]));
        for (texts, all, length, omitted) in [
            (warnings, all.0, fields[2], fields[3]),
            (infos, all.1, fields[4], fields[5]),
        ] {
            assert_eq!(texts.len().to_string(), length, "{fields:?}");
            match omitted {
                "-" => assert_eq!(texts, all),
                omitted => {
                    let (last, first) = texts.split_last().unwrap();
                    assert_eq!(last, omitted);
                    assert_eq!(first, &all[..first.len()]);
                }
            }
        }
        count += 1;
    }
    assert_eq!(count, 11);
}

#[test]
fn a_selector_longer_than_the_limit_is_rejected() {
    let options = ParserOptions {
        max_bytes: 4,
        ..ParserOptions::default()
    };
    assert!(parse_selector("abcd", &options).is_ok());
    let error = parse_selector("abcde", &options).unwrap_err();
    assert!(
        error
            .message()
            .starts_with("the query has 5 bytes, but at most 4")
    );
}
