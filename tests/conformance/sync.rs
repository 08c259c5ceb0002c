//! A sync of `docs/connectors/prometheus-api.md` from VictoriaMetrics, whose limits are small
//! enough that it rejects windows in its own words.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use soak::programs::{Program, get};
use tokio::process::Command;

use crate::stage::{DATABASE, Stage, TABLE};
use crate::tools::{self, Background};

/// The longest time that a run may take.
const SYNCED_WITHIN: Duration = Duration::from_secs(120);
const STEP_S: i64 = 15;
const SERIES: i64 = 4;
/// Seconds with a sample each: more than one window of a run, and some blocks of VictoriaMetrics, by which
/// it counts samples.
const SAMPLES: i64 = 80_000;
/// Seconds before now of the last sample: more than any server holds new samples back.
const AGE_S: i64 = 300;

/// Starts a VictoriaMetrics with these flags.
async fn victoria(stage: &Stage, flags: &'static [&'static str]) -> Program {
    let program = tools::go_tool("victoria-metrics").await;
    let data = stage.path("victoria-data");
    let command = move |port| {
        let mut command = Command::new(&program);
        command
            .arg(format!("-storageDataPath={data}"))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .arg("-retentionPeriod=100y")
            .args(flags);
        command
    };
    Program::start("victoria", stage.folder.path(), "/health", command).await
}

fn now_s() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs().try_into().unwrap()
}

/// Returns the value of a series at a second; decimals that are binary fractions.
fn value(series: i64, second: i64) -> f64 {
    ((second + series) % 100_000) as f64 / 4.0
}

/// Imports a sample of each series for each second.
async fn import(victoria: &Program, seconds: Range<i64>) {
    let url = format!("{}/api/v1/import", victoria.url);
    let seconds: Vec<_> = seconds.collect();
    for series in 0..SERIES {
        let mut lines = String::new();
        for chunk in seconds.chunks(10_000) {
            let metric = json!({"__name__": "level", "series": series.to_string(), "job": "a"});
            let values: Vec<_> = chunk.iter().map(|&it| value(series, it)).collect();
            let times: Vec<_> = chunk.iter().map(|it| it * 1_000).collect();
            let line = json!({"metric": metric, "values": values, "timestamps": times});
            writeln!(lines, "{line}").unwrap();
        }
        let response = soak::http::client()
            .post(&url)
            .body(lines)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 204, "{}", response.text().await.unwrap());
    }
    get(&format!("{}/internal/force_flush", victoria.url)).await;
}

/// Returns the text of the error that VictoriaMetrics gives to a range query of `seconds`.
async fn window_error(victoria: &Program, start_s: i64, seconds: i64) -> String {
    let url = format!(
        "{}/api/v1/query_range?query=level&start={start_s}&end={}&step={STEP_S}",
        victoria.url,
        start_s + seconds
    );
    let response = soak::http::get(&url).await.unwrap();
    assert_eq!(response.status(), 422);
    let error: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    error["error"].as_str().unwrap().to_owned()
}

/// Runs a definition in the foreground; returns true if it succeeded, and its output.
async fn run(stage: &Stage, victoria: &Program, more: Value) -> (bool, String) {
    let mut config = json!({
        "prometheus_url": victoria.url, "step": STEP_S, "lookback_hours": 48,
    });
    let more = more.as_object().unwrap().clone();
    config.as_object_mut().unwrap().extend(more);
    let definition = json!({
        "name": "victoria", "type": "prometheus_api", "target_database": DATABASE,
        "target_table": TABLE, "config": config,
    });
    let file = stage.path("victoria.json");
    std::fs::write(&file, definition.to_string()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
    command
        .env_clear()
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .env("AWS_ENDPOINT_URL", stage.emulator.url())
        .args(["run", &file]);
    let process = Background::start(command, stage.path("run.log").into());
    let (status, log) = process.ended(SYNCED_WITHIN).await;
    (status.success(), log)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_copies_a_victoria_metrics_that_rejects_large_windows() {
    let stage = Stage::start(vec![], &[]).await;
    // Samples are counted by blocks of 8,192 at most: any two of each series are allowed, and 1,100 steps have
    // more.
    let flags = &[
        "-search.maxPointsPerTimeseries=1200",
        "-search.maxSamplesPerQuery=66000",
    ];
    let victoria = victoria(&stage, flags).await;
    let start_s = now_s() - AGE_S - SAMPLES;
    import(&victoria, start_s..start_s + SAMPLES).await;
    // The limits are in force, by its words.
    let error = window_error(&victoria, start_s, 2_000 * STEP_S).await;
    assert!(
        error.contains("too many points for the given start="),
        "{error}"
    );
    let error = window_error(&victoria, start_s, 1_100 * STEP_S).await;
    assert!(
        error.contains("cannot select more than -search.maxSamplesPerQuery=66000 samples"),
        "{error}"
    );
    assert!(error.contains("reduce time range"), "{error}");

    // Names come from its list, metadata from its placeholder.
    let (is_success, log) = run(&stage, &victoria, json!({})).await;
    assert!(is_success, "{log}");
    let last_s = start_s + SAMPLES - 1;
    let mut expected = BTreeMap::new();
    for second in (start_s..=last_s).filter(|it| it % STEP_S == 0) {
        for series in 0..SERIES {
            expected.insert((series, second * 1_000), value(series, second));
        }
    }
    let mut found = BTreeMap::new();
    for point in stage.points("level") {
        let series: i64 = point.dimensions["series"].parse().unwrap();
        assert_eq!(point.dimensions["job"], "a");
        // Later samples repeat the last one.
        if point.time_ms <= last_s * 1_000 {
            let before = found.insert((series, point.time_ms), point.value);
            assert_eq!(before, None, "{series} at {} is there twice", point.time_ms);
        }
    }
    assert_eq!(found.len(), expected.len(), "{log}");
    assert!(found == expected, "some values differ");

    // It has no remote read.
    let raw = json!({"raw": true, "metrics_filter": "level"});
    let (is_success, log) = run(&stage, &victoria, raw).await;
    assert!(!is_success, "{log}");
    assert!(log.contains("raw, which requires remote read"), "{log}");
}

/// VictoriaMetrics repeats the last value in the newest 30 s: a run up to the present stores values
/// that were never written, and one that stays behind by its lateness does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_sync_stays_behind_the_values_that_victoria_metrics_repeats() {
    for (more, is_right) in [(json!({}), true), (json!({"lateness_ms": 0}), false)] {
        let stage = Stage::start(vec![], &[]).await;
        let victoria = victoria(&stage, &[]).await;
        let now_s = now_s();
        // Samples of the seconds to come are there already, so that none can be late.
        import(&victoria, now_s - 600..now_s + 600).await;
        let more = [more, json!({"step": 1, "lookback_hours": 1})];
        let mut config = json!({});
        for more in more {
            config
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
        }
        let (is_success, log) = run(&stage, &victoria, config).await;
        assert!(is_success, "{log}");
        let points = stage.points("level");
        assert!(points.len() as i64 > 500 * SERIES, "{}", points.len());
        let wrong = points.iter().filter(|point| {
            let series = point.dimensions["series"].parse().unwrap();
            point.value != value(series, point.time_ms / 1_000)
        });
        let wrong = wrong.count();
        assert_eq!(wrong == 0, is_right, "{wrong} of {}", points.len());
    }
}
