//! Expositions: no body makes the parser panic, an accepted body obeys the rules, and an error points into the
//! body.

use std::collections::HashSet;

use exposition::{Format, parse};

/// Parses `input` in both formats.
pub(crate) fn check(input: &[u8]) {
    for format in [Format::Text, Format::OpenMetrics] {
        match parse(input, format) {
            Ok(exposition) => {
                for sample in &exposition.samples {
                    let labels = exposition.labels(sample);
                    let names: HashSet<_> = labels.iter().map(|label| &label.0).collect();
                    assert_eq!(names.len(), labels.len(), "{labels:?}");
                    assert!(
                        !sample.name.is_empty() && names.iter().all(|name| **name != "__name__")
                    );
                    assert!(labels.iter().all(|it| !it.0.is_empty() && !it.1.is_empty()));
                }
                let names: HashSet<_> = exposition.families.iter().map(|it| &it.name).collect();
                assert_eq!(names.len(), exposition.families.len());
            }
            Err(error) => {
                let line = input.split(|byte| *byte == b'\n').nth(error.line - 1);
                assert!(
                    line.is_some_and(|line| error.offset <= line.len()),
                    "{error}"
                );
                assert!(error.reason.len() < 1_000, "{error}");
            }
        }
    }
}
