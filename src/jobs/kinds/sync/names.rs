//! The metrics that a run reads, and those of `metrics_filter` that do not exist.

use std::collections::BTreeSet;

use super::server::{Failure, Server};
use super::window::Window;
use crate::jobs::run::RunError;

/// The names of the metrics of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// Sorted, each once.
    pub(super) all: Vec<String>,
    /// Warnings that came with the list: it may lack names.
    pub(super) doubts: Vec<String>,
    /// Errors of the names that were given.
    pub(super) warnings: Vec<String>,
}

impl Names {
    /// Returns the names that have samples in `window`, and those that are `pending`.
    pub(super) async fn list(
        server: &Server<'_>,
        window: Window,
        pending: &[String],
    ) -> Result<Self, Failure> {
        let answer = server.metrics(window).await?;
        let names = answer.data.into_iter().chain(pending.iter().cloned());
        let names: BTreeSet<String> = names.collect();
        Ok(Self {
            all: names.into_iter().collect(),
            doubts: answer.warnings,
            warnings: Vec::new(),
        })
    }

    /// Returns the names that are `given`, compared with those that have samples in `window`. A server
    /// that gives no list is not an error: the names are read all the same.
    pub(super) async fn given(
        server: &Server<'_>,
        window: Window,
        given: &[String],
    ) -> Result<Self, RunError> {
        let known = match server.metrics(window).await {
            Ok(answer) if answer.warnings.is_empty() => {
                Some(answer.data.into_iter().collect::<BTreeSet<_>>())
            }
            Err(Failure::Ends(RunError::Interrupted)) => return Err(RunError::Interrupted),
            Ok(_) | Err(_) => None,
        };
        let warnings = given
            .iter()
            .filter_map(|name| warning(name, known.as_ref(), window));
        Ok(Self {
            all: given.to_vec(),
            doubts: Vec::new(),
            warnings: warnings.collect(),
        })
    }
}

/// The error of a name, as far as the names of the server are `known`.
fn warning(name: &str, known: Option<&BTreeSet<String>>, window: Window) -> Option<String> {
    if known.is_some_and(|known| known.contains(name)) {
        return None;
    }
    // Names of other characters than Prometheus' old ones are possible, but such ones are rare.
    if name.contains(['{', '}', '=', '"', '(']) {
        return Some(format!(
            "'{name}' looks like a selector or an expression; expected the name of a metric alone"
        ));
    }
    let time =
        |ms| jiff::Timestamp::from_millisecond(ms).map_or(String::new(), |it| it.to_string());
    known.map(|_| {
        format!(
            "the server has no metric '{name}' from {} to {}; check its name",
            time(window.start),
            time(window.end)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_do_not_exist_are_warnings() {
        let window = Window {
            start: 0,
            end: 60_000,
        };
        let known = BTreeSet::from(["up".to_owned(), "a{b".to_owned()]);
        let warning = |name: &str| warning(name, Some(&known), window);
        assert_eq!(warning("up"), None);
        assert_eq!(warning("a{b"), None);
        let text = warning("upp").unwrap();
        assert_eq!(
            text,
            "the server has no metric 'upp' from 1970-01-01T00:00:00Z to 1970-01-01T00:01:00Z; \
             check its name"
        );
        for name in ["up{job=\"x\"}", "job=\"x\"}", "rate(up", "{__name__"] {
            let text = warning(name).unwrap();
            assert!(text.contains("looks like a selector"), "{text}");
            assert_eq!(super::warning(name, None, window), Some(text));
        }
        assert_eq!(super::warning("upp", None, window), None);
    }
}
