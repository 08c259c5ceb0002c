//! The labels of the results of `absent` and `absent_over_time`.

use prom_model::{Labels, METRIC_NAME_LABEL, MatchOp};

use crate::plan::{Node, NodeKind};

/// Returns the labels that the selector `argument` demands by `=`, the metric name excepted. A label with any further
/// condition is dropped, be it an equal one, as in Prometheus. Other expressions demand none.
pub(crate) fn labels_of(argument: &Node) -> Labels {
    let matchers = match &argument.kind {
        NodeKind::Vector(selector) => &selector.matchers,
        NodeKind::Matrix(selector) => &selector.matchers,
        _ => return Labels::default(),
    };
    let mut labels = Labels::default();
    let mut seen = Vec::new();
    for matcher in matchers {
        let Some(name) = matcher.name.as_str().filter(|it| *it != METRIC_NAME_LABEL) else {
            continue;
        };
        if matcher.op == MatchOp::Equal && !seen.contains(&name) {
            seen.push(name);
            labels.set(name, &matcher.value.to_string_lossy());
        } else {
            labels.set(name, "");
        }
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineOptions;
    use crate::parser::{ParserOptions, parse};
    use crate::plan::{QueryRange, plan};
    use crate::steps::Steps;

    fn labels(query: &str) -> String {
        let expr = parse(query, &ParserOptions::everything()).unwrap();
        let range = QueryRange {
            steps: Steps::instant(0).unwrap(),
            is_instant: true,
        };
        let plan = plan(&expr, range, &EngineOptions::default()).unwrap();
        let labels = labels_of(&plan.root).into_vec();
        let pairs = labels.iter().map(|it| format!("{}={}", it.name, it.value));
        pairs.collect::<Vec<_>>().join(",")
    }

    #[test]
    fn only_labels_with_one_equality_are_known() {
        for (query, expected) in [
            ("m", ""),
            (r#"m{job="a",instance="b"}"#, "instance=b,job=a"),
            (r#"m{job="a",job="a",x="1"}"#, "x=1"),
            (r#"m{job="a",job="b",job="c"}"#, ""),
            (r#"m{job!="a",job="b"}"#, "job=b"),
            (r#"m{job="b",job=~"a.*"}"#, ""),
            (r#"m{job=""}"#, ""),
            (r#"{__name__="m",job="a"}"#, "job=a"),
            (r#"m{job="a"}[5m]"#, "job=a"),
            (r#"-m{job="a"}"#, ""),
        ] {
            assert_eq!(labels(query), expected, "{query}");
        }
    }
}
