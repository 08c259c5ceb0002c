//! Lists the metrics of a run, and checks `metrics_filter` against the server.

use std::collections::BTreeSet;

use super::server::{Failure, Server};
use super::window::Window;
use crate::jobs::job::RunError;

/// The names of the metrics of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    /// All names, sorted and unique.
    pub(super) all: Vec<String>,
    /// Warnings of the server that the list may be incomplete.
    pub(super) list_warnings: Vec<String>,
    /// Warnings about names in `metrics_filter`.
    pub(super) warnings: Vec<String>,
}

impl Names {
    /// Returns the names with samples in `window`, and the `pending` names.
    pub(super) async fn list(
        server: &Server<'_>,
        window: Window,
        pending: &[String],
    ) -> Result<Self, Failure> {
        let response = server.metrics(window).await?;
        let names = response.data.into_iter().chain(pending.iter().cloned());
        let names: BTreeSet<String> = names.collect();
        Ok(Self {
            all: names.into_iter().collect(),
            list_warnings: response.warnings,
            warnings: Vec::new(),
        })
    }

    /// Returns the `given` names, with warnings about those without samples in `window`. It is not an error if the
    /// server has no list: the names are read in any case.
    pub(super) async fn given(
        server: &Server<'_>,
        window: Window,
        given: &[String],
    ) -> Result<Self, RunError> {
        let known = match server.metrics(window).await {
            Ok(response) if response.warnings.is_empty() => {
                Some(response.data.into_iter().collect::<BTreeSet<_>>())
            }
            Err(Failure::RunEnded(RunError::Interrupted)) => return Err(RunError::Interrupted),
            Ok(_) | Err(_) => None,
        };
        let warnings = given
            .iter()
            .filter_map(|name| warning(name, known.as_ref(), window));
        Ok(Self {
            all: given.to_vec(),
            list_warnings: Vec::new(),
            warnings: warnings.collect(),
        })
    }
}

/// Returns the warning about a name, compared with the names of the server if they are `known`.
fn warning(name: &str, known: Option<&BTreeSet<String>>, window: Window) -> Option<String> {
    if known.is_some_and(|known| known.contains(name)) {
        return None;
    }
    // UTF-8 names may contain these characters, but that is rare.
    if name.contains(['{', '}', '=', '"', '(']) {
        return Some(format!(
            "'{name}' looks like a selector or an expression; expected only the name of a metric"
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
