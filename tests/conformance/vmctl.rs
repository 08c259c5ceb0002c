//! vmctl moves a table into VictoriaMetrics by remote read.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use prom_wire::prompb;
use soak::programs::{Program, get};
use tokio::process::Command;

use crate::page::{LEAVING, adapted, arguments, block};
use crate::stage::{Stage, TABLE, TOKEN, table};
use crate::tools::{self, Background};

const TABLE_LABEL: &str = "PrometheusTableLabel";
/// The longest time that a table may take.
const MOVED_WITHIN: Duration = Duration::from_secs(120);

/// The beginning of the range on the page, in milliseconds.
const START_MS: i64 = 1_767_225_600_000;
/// More than a chunk's 120 samples for each hour that vmctl reads at once.
const STEP_MS: i64 = 15_000;
const SAMPLES: i64 = 900;
const SERIES: i64 = 60;

/// The samples of a series by time.
type Samples = BTreeMap<i64, f64>;

fn samples(series: i64) -> Samples {
    let times = (0..SAMPLES).map(|it| START_MS + it * STEP_MS + series);
    // Some missing, differently for each series.
    let present = times
        .enumerate()
        .filter(|(index, _)| index % (7 + series as usize) != 3);
    present
        .map(|(index, time)| (time, (index as f64 * 1.1 + series as f64).sin()))
        .collect()
}

fn name(series: i64) -> String {
    format!("moved_{}", series % 4)
}

/// Writes these series, a request each, to the table that the label names.
async fn write(stage: &Stage, series: Range<i64>, table: &str) {
    for series in series {
        let label = |name: &str, value: &str| prompb::Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let samples = samples(series).into_iter();
        let samples = samples.map(|(timestamp, value)| prompb::Sample { value, timestamp });
        let timeseries = prompb::TimeSeries {
            labels: vec![
                label(TABLE_LABEL, table),
                label("__name__", &name(series)),
                label("series", &series.to_string()),
            ],
            samples: samples.collect(),
            ..prompb::TimeSeries::default()
        };
        stage.write(vec![timeseries]).await;
    }
}

/// Returns all that VictoriaMetrics has of the metrics, by series.
async fn moved(victoria: &Program) -> BTreeMap<i64, Samples> {
    get(&format!("{}/internal/force_flush", victoria.url)).await;
    let url = format!("{}/api/v1/export", victoria.url);
    let mut url = reqwest::Url::parse(&url).unwrap();
    url.query_pairs_mut()
        .append_pair("match[]", "{__name__!=\"\"}");
    let mut all = BTreeMap::new();
    for line in get(url.as_str()).await.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let series = line["metric"]["series"].as_str().unwrap().parse().unwrap();
        assert_eq!(line["metric"]["__name__"], name(series));
        let times = line["timestamps"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_i64().unwrap());
        let values = line["values"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it.as_f64().unwrap());
        let samples: &mut Samples = all.entry(series).or_default();
        for (time, value) in times.zip(values) {
            assert_eq!(
                samples.insert(time, value),
                None,
                "{series} at {time} is there twice"
            );
        }
    }
    all
}

/// Runs the command of the page with more arguments into an empty VictoriaMetrics, and compares it
/// with the series that it must have.
async fn assert_moves(stage: &Stage, run: &'static str, more: &[String], series: Range<i64>) {
    let vmctl = tools::go_tool("vmctl").await;
    let program = tools::go_tool("victoria-metrics").await;
    let data = stage.path(&format!("{run}-data"));
    let command = move |port| {
        let mut command = Command::new(&program);
        command
            .arg(format!("-storageDataPath={data}"))
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .arg("-retentionPeriod=100y");
        command
    };
    let victoria = Program::start(run, stage.folder.path(), "/health", command).await;

    let page = block(LEAVING, "By vmctl", "sh");
    let replaced = [
        ("http://localhost:9201", stage.connector.url.as_str()),
        ("http://victoriametrics:8428", &victoria.url),
    ];
    let mut command = Command::new(vmctl);
    command
        .args(arguments(&adapted(&page, &replaced), "vmctl"))
        // The header has a space, so it is beside the command on the page.
        .arg(format!(
            "--remote-read-headers=Authorization:Bearer {TOKEN}"
        ))
        .args(more);
    let process = Background::start(command, stage.path(&format!("{run}-vmctl.log")).into());
    let (status, log) = process.ended(MOVED_WITHIN).await;
    assert!(
        status.success(),
        "{log}\nthe connector's log:\n{}",
        stage.log()
    );

    let moved = moved(&victoria).await;
    let expected: BTreeMap<i64, Samples> = series.map(|it| (it, samples(it))).collect();
    let counts = |all: &BTreeMap<i64, Samples>| -> Vec<(i64, usize)> {
        let counts = all.iter().map(|(series, samples)| (*series, samples.len()));
        counts.collect()
    };
    assert_eq!(counts(&moved), counts(&expected), "{run}");
    for (series, samples) in expected {
        for (time, value) in samples {
            // VictoriaMetrics stores decimals.
            let found = moved[&series].get(&time);
            assert!(
                found.is_some_and(|found| (found - value).abs() <= value.abs() * 1e-9),
                "{run}: {series} at {time}: {found:?}, not {value}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vmctl_moves_tables_by_remote_read() {
    let flags = [&*format!("--table-label={TABLE_LABEL}")];
    let stage = Stage::start(vec![table("other")], &flags).await;
    write(&stage, 0..SERIES, TABLE).await;
    write(&stage, SERIES..SERIES + 10, "other").await;
    assert_moves(&stage, "default", &[], 0..SERIES).await;
    let filter = [
        format!("--remote-read-filter-label={TABLE_LABEL}"),
        "--remote-read-filter-label-value=other".to_owned(),
    ];
    assert_moves(&stage, "other", &filter, SERIES..SERIES + 10).await;
}
