//! `full_refresh_overwrite`: the conditions for dropping a table, and its content after every kind of failure.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use timestream_emulator::Value as Stored;
use timestream_prometheus_connector::jobs::job::{Cursors, Job, Report, RunError};
use timestream_prometheus_connector::jobs::kinds::sync::parse;

use super::Workplace;
use super::sync_source::Source;
use crate::support::now_ms;

const MINUTE: i64 = 60_000;

fn sync(url: &str, layout: &str, mode: &str) -> Box<dyn Job> {
    let config = json!({
        "prometheus_url": url, "lookback_hours": 5, "layout": layout, "sync_mode": mode,
        "allow_table_drop": true, "memory_hours": 300,
    });
    parse(&config).unwrap()
}

/// Metric, series, time and value.
type Rows = BTreeSet<(String, String, i64, u64)>;

/// Returns the stored samples of a layout.
fn stored(workplace: &Workplace, layout: &str) -> Rows {
    let tables = match layout {
        "native" => &["new"][..],
        "rows" => &["time_series"],
        _ => &["metric_a", "metric_b"],
    };
    let points = tables
        .iter()
        .flat_map(|table| workplace.emulator.points("db", table));
    let row = |point: timestream_emulator::Point| {
        let time = point.time_ns / 1_000_000;
        match point.value {
            Stored::Double(value) => {
                let id = point.dimensions["id"].clone();
                (point.measure_name, id, time, value.to_bits())
            }
            Stored::Multi(columns) => {
                let [
                    Stored::Varchar(metric),
                    Stored::Varchar(labels),
                    Stored::Double(value),
                ] = ["metric_name", "labels", "value"].map(|name| columns[name].clone())
                else {
                    panic!("{columns:?}")
                };
                let labels: Value = serde_json::from_str(&labels).unwrap();
                let id = labels["id"].as_str().unwrap().to_owned();
                (metric, id, time, value.to_bits())
            }
            other => panic!("{other:?}"),
        }
    };
    points.map(row).collect()
}

/// Returns the samples of the server, all of which a run reads.
fn held(source: &Source) -> Rows {
    let mut rows = Rows::new();
    for (metric, series) in &source.content().samples {
        for (id, samples) in series {
            let samples = samples.iter();
            rows.extend(
                samples.map(|(time, value)| (metric.clone(), id.clone(), *time, value.to_bits())),
            );
        }
    }
    rows
}

/// Replaces the samples of the server by those of one series for each metric.
fn fill(source: &Source, id: &str, value: f64) {
    let mut content = source.content();
    content.samples.clear();
    for metric in ["a", "b"] {
        for minutes in (2..200).step_by(10) {
            let time = (now_ms() - minutes * MINUTE) / 15_000 * 15_000;
            let series = content.samples.entry(metric.to_owned()).or_default();
            let series = series.entry(id.to_owned()).or_default();
            series.insert(time, value);
        }
    }
}

/// Returns a server whose series differ from the stored ones, and the stored samples.
async fn changed(layout: &str) -> (Source, Workplace, Rows) {
    let source = Source::start().await;
    let mut workplace = Workplace::start().await;
    workplace.target("db", "new");
    fill(&source, "old", 1.0);
    let first = sync(&source.url, layout, "incremental_append");
    assert_eq!(workplace.run(&*first).await.error, None);
    let old = stored(&workplace, layout);
    assert_eq!(old, held(&source));
    fill(&source, "new", 2.0);
    (source, workplace, old)
}

fn failure(report: &Report) -> &str {
    match &report.error {
        Some(RunError::Failed(text)) => text,
        other => panic!("{other:?}"),
    }
}

fn has_warning(report: &Report, words: &str) -> bool {
    report.warnings.iter().any(|it| it.contains(words))
}

#[tokio::test]
async fn tables_are_not_dropped_if_samples_cannot_be_read_again() {
    for layout in ["native", "table_per_metric"] {
        let (source, workplace, old) = changed(layout).await;
        let overwrite = sync(&source.url, layout, "full_refresh_overwrite");
        let statuses = [("a".to_owned(), 403), ("b".to_owned(), 403)];
        source.content().statuses = statuses.into();
        let report = workplace.run(&*overwrite).await;
        assert!(failure(&report).contains("403 Forbidden"), "{report:?}");
        assert!(has_warning(&report, "was not dropped, "), "{report:?}");
        assert_eq!(stored(&workplace, layout), old);
        // One metric alone: the other one is refreshed, in a table of its own as a whole.
        source.content().statuses.remove("a");
        let report = workplace.run(&*overwrite).await;
        let text = failure(&report);
        assert!(
            text.starts_with("1 of 2 metrics failed: metric b, "),
            "{text}"
        );
        let new = held(&source);
        let now = stored(&workplace, layout);
        for row in &new {
            assert_eq!(now.contains(row), row.0 == "a", "{row:?}");
        }
        for row in &old {
            let is_left = row.0 == "b" || layout == "native";
            assert_eq!(now.contains(row), is_left, "{row:?}");
        }
        // Both.
        source.content().statuses.clear();
        let report = workplace.run(&*overwrite).await;
        assert_eq!((report.error, &report.warnings[..]), (None, &[][..]));
        assert_eq!(stored(&workplace, layout), new);
    }
}

#[tokio::test]
async fn a_list_in_doubt_or_without_samples_drops_nothing() {
    let (source, workplace, old) = changed("native").await;
    let overwrite = sync(&source.url, "native", "full_refresh_overwrite");
    source.content().samples.remove("b");
    source.content().list_warnings = vec!["a store is down".to_owned()];
    let report = workplace.run(&*overwrite).await;
    let text = "db/new was not dropped, and samples are stored over its content: the list of \
                metrics may be incomplete: ";
    match &report.error {
        // The listed metrics are read in any case.
        None => {
            assert!(has_warning(&report, text), "{report:?}");
            assert!(stored(&workplace, "native").is_superset(&held(&source)));
        }
        Some(error) => assert!(error.to_string().contains("a store is down"), "{error}"),
    }
    assert!(stored(&workplace, "native").is_superset(&old));
    // A newer value wins in any case.
    source.content().list_warnings.clear();
    source.content().samples.clear();
    let before = stored(&workplace, "native");
    let report = workplace.run(&*overwrite).await;
    assert_eq!(report.error, None);
    assert_eq!(stored(&workplace, "native"), before);
}

#[tokio::test]
async fn values_that_are_written_over_a_table_win() {
    let (source, workplace, _) = changed("native").await;
    let overwrite = sync(&source.url, "native", "full_refresh_overwrite");
    fill(&source, "old", 2.0);
    source.content().statuses.insert("b".to_owned(), 422);
    let report = workplace.run(&*overwrite).await;
    assert!(failure(&report).starts_with("1 of 2 metrics failed"));
    assert_eq!(report.rejected, 0);
    let expected = held(&source);
    let expected: Rows = expected.into_iter().filter(|row| row.0 == "a").collect();
    assert!(stored(&workplace, "native").is_superset(&expected));
}

#[tokio::test]
async fn a_kill_at_any_step_ends_in_the_right_content() {
    for layout in ["native", "table_per_metric"] {
        let mut has_ended = false;
        let mut kills = 0;
        while !has_ended {
            let (source, workplace, old) = changed(layout).await;
            let table = match layout {
                "native" => "new",
                _ => "metric_a",
            };
            let before = workplace.describe(table).await;
            assert_eq!(before.as_ref().unwrap().memory_hours, Some(300));
            // Tables would be created with other properties now.
            let config = json!({
                "prometheus_url": source.url, "lookback_hours": 5, "layout": layout,
                "sync_mode": "full_refresh_overwrite", "allow_table_drop": true,
                "memory_hours": 400,
            });
            let overwrite = parse(&config).unwrap();
            workplace.cursors.dies_after(kills);
            let report = workplace.run(&*overwrite).await;
            has_ended = report.error.is_none();
            assert!(has_ended || failure(&report).contains("killed"));
            let new = held(&source);
            let now = stored(&workplace, layout);
            let is_new = |row: &(String, String, i64, u64)| new.contains(row);
            // A table has its old content until it is dropped, and nothing of that afterwards.
            for metric in ["a", "b"] {
                let of = |rows: &Rows| -> Rows {
                    rows.iter().filter(|row| row.0 == metric).cloned().collect()
                };
                let now = of(&now);
                assert!(now == of(&old) || now.iter().all(is_new), "{kills} {now:?}");
            }
            workplace.cursors.lives();
            assert_eq!(workplace.run(&*overwrite).await.error, None);
            assert_eq!(stored(&workplace, layout), new, "{layout} {kills}");
            assert_eq!(workplace.describe(table).await, before);
            kills += 1;
        }
        assert!(kills > 8, "{kills}");
    }
}

/// Sets a cursor as an earlier version of the program, or another mode, saved it.
async fn leave(workplace: &Workplace, key: &str, value: Value) {
    let text = value.to_string();
    workplace.cursors.set(key, &text).await.unwrap();
}

#[tokio::test]
async fn a_run_that_began_otherwise_is_stored_as_a_whole_after_the_drop() {
    for layout in ["native", "table_per_metric"] {
        for kills in 0..12 {
            let (source, workplace, _) = changed(layout).await;
            let at = now_ms() - 1_000;
            let start = at - 5 * 60 * MINUTE;
            // One metric is complete.
            leave(
                &workplace,
                "run",
                json!({"at": at, "start": start, "end": at, "is_ready": true}),
            )
            .await;
            leave(&workplace, "metric a", json!({"run": at, "through": at})).await;
            let overwrite = sync(&source.url, layout, "full_refresh_overwrite");
            workplace.cursors.dies_after(kills);
            workplace.run(&*overwrite).await;
            workplace.cursors.lives();
            assert_eq!(workplace.run(&*overwrite).await.error, None);
            assert_eq!(
                stored(&workplace, layout),
                held(&source),
                "{layout} {kills}"
            );
        }
    }
}

#[tokio::test]
async fn a_table_that_an_earlier_version_has_dropped_is_created_as_it_was() {
    let (source, workplace, _) = changed("native").await;
    let before = workplace.describe("new").await.unwrap();
    let dropped = serde_json::to_value(&before).unwrap();
    leave(&workplace, "recreate new", dropped).await;
    workplace.drop_table("new").await;
    let config = json!({
        "prometheus_url": source.url, "lookback_hours": 5, "create_tables": false,
        "sync_mode": "full_refresh_overwrite", "allow_table_drop": true,
    });
    let report = workplace.run(&*parse(&config).unwrap()).await;
    assert_eq!(report.error, None);
    assert_eq!(workplace.describe("new").await, Some(before));
    assert_eq!(stored(&workplace, "native"), held(&source));
}

#[tokio::test]
async fn a_full_refresh_does_not_go_on_with_a_run_before_an_incremental_one() {
    let (source, workplace, _) = changed("native").await;
    let at = now_ms() - 60 * MINUTE;
    let start = at - 9 * 60 * MINUTE;
    leave(
        &workplace,
        "run",
        json!({"at": at, "start": start, "end": at, "is_ready": true}),
    )
    .await;
    let incremental = sync(&source.url, "native", "incremental_append");
    assert_eq!(workplace.run(&*incremental).await.error, None);
    // The time that the incomplete run did not read is listed and read.
    assert_eq!(source.content().listed.last().unwrap().0, start);
    let overwrite = sync(&source.url, "native", "full_refresh_overwrite");
    assert_eq!(workplace.run(&*overwrite).await.error, None);
    assert_eq!(stored(&workplace, "native"), held(&source));
}

#[tokio::test]
async fn a_full_refresh_that_ends_early_goes_on_until_each_metric_was_tried() {
    for layout in ["native", "table_per_metric"] {
        for mode in ["full_refresh_append", "full_refresh_overwrite"] {
            let source = Source::start().await;
            let mut workplace = Workplace::start().await;
            workplace.target("db", "new");
            let names = ["a", "b", "c", "d", "e", "f", "g"];
            let time = (now_ms() - 10 * MINUTE) / 15_000 * 15_000;
            for name in names {
                source.content().add(name, time, 1.0);
            }
            let reject = |names: &[&str]| {
                let statuses = names.iter().map(|&name| (name.to_owned(), 403));
                source.content().statuses = statuses.collect();
            };
            let full = sync(&source.url, layout, mode);
            reject(&["c", "d", "e"]);
            let report = workplace.run(&*full).await;
            let text = failure(&report);
            assert!(
                text.starts_with("3 of 7 metrics failed, the last 3"),
                "{text}"
            );
            reject(&[]);
            source.content().queried.clear();
            assert_eq!(workplace.run(&*full).await.error, None);
            let queried = source.content().queried.clone();
            let mut queried: Vec<_> = queried.iter().map(|(metric, ..)| metric.as_str()).collect();
            queried.dedup();
            assert_eq!(queried, ["f", "g", "c", "d", "e"]);
            let tables = match layout {
                "native" => vec!["new".to_owned()],
                _ => names.map(|name| format!("metric_{name}")).to_vec(),
            };
            let points = tables
                .iter()
                .map(|it| workplace.emulator.points("db", it).len());
            assert_eq!(points.sum::<usize>(), 7);
            // It comes to an end though it never succeeds.
            reject(&names);
            for left in [true, true, false] {
                assert!(failure(&workplace.run(&*full).await).contains("ended early"));
                let run = workplace.cursors.texts()["run"].clone();
                assert_eq!(!run.is_empty(), left, "{run}");
            }
        }
    }
}

#[tokio::test]
async fn a_kill_at_any_step_loses_nothing_that_is_late() {
    for mode in [
        "incremental_append",
        "incremental_deduped",
        "full_refresh_append",
    ] {
        for layout in ["native", "rows", "table_per_metric"] {
            let mut has_ended = false;
            let mut kills = 0;
            while !has_ended {
                let source = Source::start().await;
                let mut workplace = Workplace::start().await;
                workplace.target("db", "new");
                let times = |minutes: i64, steps: i64| {
                    let newest = now_ms() - minutes * MINUTE;
                    (0..steps).map(move |step| newest / 15_000 * 15_000 - step * 15_000)
                };
                // One is in parts, in windows of more than 1,000 points.
                for (metric, id) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "1")] {
                    let steps = if metric == "a" { 400 } else { 40 };
                    let mut content = source.content();
                    let series = content.samples.entry(metric.to_owned()).or_default();
                    let series = series.entry(id.to_owned()).or_default();
                    series.extend(times(15, steps).map(|time| (time, 1.0)));
                }
                let config = json!({
                    "prometheus_url": source.url, "lookback_hours": 5, "layout": layout,
                    "sync_mode": mode, "memory_hours": 300, "lateness_ms": 10 * MINUTE,
                });
                let sync = parse(&config).unwrap();
                workplace.cursors.dies_after(kills);
                let report = workplace.run(&*sync).await;
                has_ended = report.error.is_none();
                workplace.cursors.lives();
                for (metric, id) in [("a", "0"), ("a", "2"), ("b", "1")] {
                    let mut content = source.content();
                    let series = content.samples.get_mut(metric).unwrap();
                    let series = series.entry(id.to_owned()).or_default();
                    series.extend(times(11, 8).map(|time| (time, 2.0)));
                }
                workplace.now = || jiff::Timestamp::from_millisecond(now_ms() + MINUTE).unwrap();
                // A full refresh that goes on is followed by one that finds what was late.
                for _ in 0..2 {
                    assert_eq!(workplace.run(&*sync).await.error, None);
                }
                let stored = stored(&workplace, layout);
                let held = held(&source);
                let differing: Vec<_> = stored.symmetric_difference(&held).collect();
                assert!(
                    differing.is_empty(),
                    "{mode} {layout} {kills} {differing:?}"
                );
                kills += 1;
            }
            assert!(kills > 6, "{mode} {layout} {kills}");
        }
    }
}
