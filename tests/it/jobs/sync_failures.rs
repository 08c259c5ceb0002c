//! Metrics, windows and tables of a sync that fail while the others continue.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};
use timestream_prometheus_connector::jobs::job::{Job, Report, RunError};
use timestream_prometheus_connector::jobs::kinds::sync::parse;

use super::Workplace;
use super::sync_source::Source;
use crate::support::now_ms;

const MINUTE: i64 = 60_000;
const HOUR: i64 = 60 * MINUTE;

fn ago(ms: i64) -> Timestamp {
    Timestamp::from_millisecond(now_ms() - ms).unwrap()
}

fn sync(url: &str, more: Value) -> Box<dyn Job> {
    let mut config = json!({"prometheus_url": url, "lookback_hours": 5});
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    parse(&config).unwrap()
}

fn step_ago(ms: i64) -> i64 {
    (now_ms() - ms) / 15_000 * 15_000
}

/// Returns the stored times of a metric.
fn times(workplace: &Workplace, metric: &str) -> BTreeSet<i64> {
    let points = workplace.emulator.points("db", "t").into_iter();
    let points = points.filter(|point| point.measure_name == metric);
    points.map(|point| point.time_ns / 1_000_000).collect()
}

/// Returns the times that the server has of a metric, up to `end`.
fn held(source: &Source, metric: &str, end: i64) -> BTreeSet<i64> {
    let content = source.content();
    let samples = content.samples[metric]["1"].range(..=end);
    samples.map(|(time, _)| *time).collect()
}

fn failure(report: &Report) -> &str {
    match &report.error {
        Some(RunError::Failed(text)) => text,
        other => panic!("{other:?}"),
    }
}

/// Adds a sample every five minutes of the last hours to each metric.
fn fill(source: &Source, metrics: &[&str]) {
    for metric in metrics {
        for minutes in (0..6 * 60).step_by(5) {
            source
                .content()
                .add(metric, step_ago(minutes * MINUTE), 1.0);
        }
    }
}

#[tokio::test]
async fn a_metric_that_fails_leaves_the_others_alone() {
    let source = Source::start().await;
    let mut workplace = Workplace::start().await;
    fill(&source, &["a", "b", "c"]);
    source.content().statuses.insert("b".to_owned(), 422);
    let sync = sync(&source.url, json!({}));
    for (now, end) in [
        ((|| ago(2 * HOUR)) as fn() -> Timestamp, 2 * HOUR),
        (|| ago(HOUR), HOUR),
    ] {
        workplace.now = now;
        let report = workplace.run(&*sync).await;
        let text = failure(&report);
        assert!(
            text.starts_with("1 of 3 metrics failed: metric b, "),
            "{text}"
        );
        assert!(text.contains("execution: broken"), "{text}");
        // Those before it and after it are as new as the run.
        for metric in ["a", "c"] {
            let newest = *times(&workplace, metric).last().unwrap();
            assert!(newest > now_ms() - end - 7 * MINUTE, "{metric}");
        }
        assert_eq!(times(&workplace, "b").len(), 0);
    }
    // Once it works, its samples since the first attempt are stored, though the server no longer lists it.
    let old = step_ago(6 * HOUR + 50 * MINUTE);
    let content = |source: &Source| {
        let mut content = source.content();
        content.statuses.clear();
        let series = content.samples.get_mut("b").unwrap();
        series
            .get_mut("1")
            .unwrap()
            .retain(|time, _| *time < step_ago(5 * HOUR));
        content.add("b", old, 1.0);
    };
    content(&source);
    workplace.now = Timestamp::now;
    let report = workplace.run(&*sync).await;
    assert_eq!(report.error, None);
    let expected = held(&source, "b", i64::MAX);
    assert!(expected.len() > 5);
    assert_eq!(times(&workplace, "b"), expected);
}

#[tokio::test]
async fn a_window_that_fails_holds_its_metric_where_it_is() {
    let source = Source::start().await;
    let workplace = Workplace::start().await;
    fill(&source, &["a", "b"]);
    let bad = step_ago(HOUR);
    source.content().bad_times.insert("a".to_owned(), bad);
    let sync = sync(
        &source.url,
        json!({"step": 15, "metrics_filter": ["a", "b"]}),
    );
    let report = workplace.run(&*sync).await;
    assert!(failure(&report).starts_with("1 of 2 metrics failed: metric a, "));
    let newest = times(&workplace, "a").last().copied();
    assert!(newest < Some(bad), "{newest:?}");
    assert!(times(&workplace, "b").len() > 50);
    source.content().bad_times.clear();
    assert_eq!(workplace.run(&*sync).await.error, None);
    assert_eq!(times(&workplace, "a"), times(&workplace, "b"));
}

#[tokio::test]
async fn a_server_that_rejects_everything_gets_few_queries() {
    let source = Source::start().await;
    let workplace = Workplace::start().await;
    let metrics: Vec<String> = (0..30).map(|id| format!("m{id:02}")).collect();
    let metrics: Vec<&str> = metrics.iter().map(String::as_str).collect();
    fill(&source, &metrics);
    let forbid = |metrics: &[&str]| {
        let statuses = metrics.iter().map(|metric| ((*metric).to_owned(), 403));
        source.content().statuses = statuses.collect();
    };
    forbid(&metrics);
    let sync = sync(&source.url, json!({}));
    let report = workplace.run(&*sync).await;
    let text = failure(&report);
    assert!(
        text.starts_with(
            "3 of 30 metrics failed, the last 3 of them in a row, so the run ended early"
        ),
        "{text}"
    );
    assert_eq!(source.content().queried.len(), 3);
    // If only the first metrics are forbidden, the next run begins with the others.
    forbid(&metrics[..3]);
    let report = workplace.run(&*sync).await;
    let text = failure(&report);
    assert!(text.starts_with("3 of 30 metrics failed"), "{text}");
    for metric in &metrics[3..] {
        assert!(times(&workplace, metric).len() > 50, "{metric}");
    }
}

#[tokio::test]
async fn runs_that_are_interrupted_come_to_every_metric() {
    let source = Source::start().await;
    let mut workplace = Workplace::start().await;
    let metrics: Vec<String> = (0..9).map(|id| format!("m{id}")).collect();
    let metrics: Vec<&str> = metrics.iter().map(String::as_str).collect();
    fill(&source, &metrics);
    let sync = sync(&source.url, json!({}));
    let reached = |workplace: &Workplace| -> usize {
        let reached = metrics.iter();
        reached
            .filter(|it| !times(workplace, it).is_empty())
            .count()
    };
    // Each run has time for some metrics only, and each metric something new for each run.
    let mut seen = vec![0];
    for now in [
        (|| ago(3 * HOUR)) as fn() -> Timestamp,
        || ago(2 * HOUR),
        || ago(HOUR),
        Timestamp::now,
    ] {
        workplace.now = now;
        let report = workplace.run_until(&*sync, 7).await;
        assert_eq!(report.error, Some(RunError::Interrupted), "{seen:?}");
        seen.push(reached(&workplace));
    }
    assert!(seen[1] > 0 && seen[1] < 9, "{seen:?}");
    assert_eq!(seen[4], 9, "{seen:?}");
}

#[tokio::test]
async fn a_retention_error_concerns_only_its_metric() {
    let source = Source::start().await;
    let workplace = Workplace::start().await;
    fill(&source, &["a", "b"]);
    let config = |more: Value| {
        let mut config = json!({"layout": "table_per_metric"});
        let more = more.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(more);
        sync(&source.url, config)
    };
    let short = json!({
        "metrics_filter": "b", "lookback_hours": 1, "memory_hours": 2, "magnetic_writes": false,
    });
    assert_eq!(workplace.run(&*config(short)).await.error, None);
    let before = workplace.emulator.points("db", "metric_b").len();
    let full = json!({"sync_mode": "full_refresh_append"});
    let report = workplace.run(&*config(full.clone())).await;
    let text = failure(&report);
    assert!(
        text.starts_with("1 of 2 metrics failed: metric b: the run starts at"),
        "{text}"
    );
    assert!(workplace.emulator.points("db", "metric_a").len() > 50);
    assert_eq!(workplace.emulator.points("db", "metric_b").len(), before);
    // If there is no other metric, the definition is disabled.
    let mut alone = full;
    alone["metrics_filter"] = json!("b");
    let report = workplace.run(&*config(alone)).await;
    assert!(
        matches!(report.error, Some(RunError::Disable(_))),
        "{report:?}"
    );
}

#[tokio::test]
async fn names_that_the_server_does_not_have_are_warnings() {
    let source = Source::start().await;
    let workplace = Workplace::start().await;
    fill(&source, &["a"]);
    let config = json!({"metrics_filter": ["a", "upp", "up{job=\"x\"}"]});
    let report = workplace.run(&*sync(&source.url, config)).await;
    assert_eq!(report.error, None);
    assert!(times(&workplace, "a").len() > 50);
    let [unknown, selector] = &report.warnings[..] else {
        panic!("{report:?}")
    };
    assert_eq!(
        selector,
        "metrics_filter: 'up{job=\"x\"}' looks like a selector or an expression; expected only the \
         name of a metric"
    );
    assert!(
        unknown.starts_with("metrics_filter: the server has no metric 'upp' from "),
        "{unknown}"
    );
}

#[tokio::test]
async fn retention_errors_do_not_stop_other_metrics() {
    let source = Source::start().await;
    let workplace = Workplace::start().await;
    let names: Vec<_> = (0..22).map(|number| format!("a{number:02}")).collect();
    let short = names.join(",");
    for name in &names {
        source.content().add(name, step_ago(10 * MINUTE), 1.0);
    }
    let short = json!({
        "layout": "table_per_metric", "metrics_filter": short, "lookback_hours": 1,
        "memory_hours": 2, "magnetic_writes": false,
    });
    let report = workplace.run(&*sync(&source.url, short)).await;
    assert_eq!(report.error, None);
    fill(&source, &["b"]);
    let full = json!({"layout": "table_per_metric", "sync_mode": "full_refresh_append"});
    let report = workplace.run(&*sync(&source.url, full)).await;
    let text = failure(&report);
    assert!(text.starts_with("22 of 23 metrics failed: "), "{text}");
    assert!(workplace.emulator.points("db", "metric_b").len() > 50);
}

#[tokio::test]
async fn a_later_start_resolves_a_retention_error() {
    let source = Source::start().await;
    let mut workplace = Workplace::start().await;
    workplace.target("db", "new");
    fill(&source, &["a"]);
    let config = |hours: u64| {
        let more = json!({"lookback_hours": hours, "memory_hours": 4, "magnetic_writes": false});
        sync(&source.url, more)
    };
    let report = workplace.run(&*config(5)).await;
    let Some(RunError::Disable(text)) = &report.error else {
        panic!("{report:?}")
    };
    assert!(
        text.contains("start later (lookback_hours, start_date"),
        "{text}"
    );
    // An earlier one leaves the position where it is.
    for hours in [6, 3] {
        let report = workplace.run(&*config(hours)).await;
        assert_eq!(report.error.is_none(), hours == 3, "{report:?}");
    }
    assert!(workplace.emulator.points("db", "new").len() > 30);
}

#[tokio::test]
async fn no_cursor_is_too_long_for_the_state_store() {
    let source = Source::start().await;
    let workplace = Workplace::start().await;
    let name = "a".repeat(5_000);
    for minutes in 0..60 {
        source.content().add(&name, step_ago(minutes * MINUTE), 1.0);
    }
    let mut samples = std::collections::BTreeMap::new();
    for steps in 0..1_100 {
        samples.insert(step_ago(steps * 15_000), 1.0);
    }
    let series = ["1", "2", "3"].map(|end| ("x".repeat(500_000) + end, samples.clone()));
    source
        .content()
        .samples
        .insert("b".to_owned(), series.into());
    let more = json!({"layout": "rows"});
    let mut has_ended = false;
    for saves in 1..20 {
        let report = workplace
            .run_until(&*sync(&source.url, more.clone()), saves)
            .await;
        for (key, text) in workplace.cursors.texts() {
            assert!(key.len() <= 1_024, "{key}");
            assert!(text.len() < 100_000, "{key}: {}", text.len());
        }
        has_ended = report.error.is_none();
        if has_ended {
            break;
        }
    }
    assert!(has_ended);
}
