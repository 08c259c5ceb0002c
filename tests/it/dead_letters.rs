//! Samples that no later try can store: kept, told about, written again.

use std::path::{Path, PathBuf};

use prom_wire::prompb::label_matcher::Type;
use prom_wire::prompb::{Exemplar, TimeSeries};
use serde_json::Value;
use timestream_emulator::{Fault, FaultKind, Value as Stored, When};
use timestream_prometheus_connector::dead_letter::Letter;

use crate::kinds;
use crate::standalone::{Connector, DEFAULTS, command};
use crate::support::{
    START_MS, TestApp, create_table, now_ms, query, series, start_emulator, table, write_body,
};

fn flag(folder: &Path) -> String {
    format!("--dead-letter=file:{}", folder.display())
}

/// The letters in a folder of dead letters.
pub(crate) fn letters(folder: &Path) -> Vec<Letter> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let text: String = files
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    text.lines()
        .map(|line| Letter::parse(line).unwrap())
        .collect()
}

fn reasons(letters: &[Letter]) -> Vec<&str> {
    let mut reasons: Vec<_> = letters
        .iter()
        .map(|letter| letter.reason.as_str())
        .collect();
    reasons.sort_unstable();
    reasons
}

/// One series that is fine and one for each way not to be.
fn mixed() -> Vec<TimeSeries> {
    let at = |value| [(START_MS, value)];
    let long = "x".repeat(61);
    vec![
        series(&[("__name__", "good"), ("i", "1")], &at(1.0)),
        series(&[("__name__", "m"), ("table", "missing")], &at(2.0)),
        series(&[("__name__", "m"), ("table", "no/name")], &at(3.0)),
        series(&[("job", "nameless")], &at(4.0)),
        series(&[("__name__", "m"), (&long, "1")], &at(5.0)),
        series(
            &[("__name__", "mixed_values"), ("i", "1")],
            &[
                (START_MS, f64::NAN),
                (START_MS + 1, 6.0),
                (START_MS + 2, f64::INFINITY),
            ],
        ),
        series(&[("__name__", "twice"), ("i", "1")], &at(8.0)),
    ]
}

#[tokio::test]
async fn what_cannot_be_stored_is_kept_and_the_request_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::start_with(&[&flag(folder.path())]).await;
    app.write_ok(mixed()).await;

    // good, the finite value of mixed_values, and twice.
    assert_eq!(app.emulator.points("db", "t").len(), 3);
    let kept = letters(folder.path());
    assert_eq!(
        reasons(&kept),
        [
            "InvalidDestinationName",
            "MissingMetricName",
            "ResourceNotFoundException",
            "long_label_name",
            "value_not_finite"
        ]
    );
    let find = |reason: &str| kept.iter().find(|letter| letter.reason == reason).unwrap();
    let missing = find("ResourceNotFoundException");
    assert_eq!(missing.destination().unwrap().to_string(), "db/missing");
    assert_eq!(missing.samples[0].value, 2.0);
    let expected = [("__name__", "m"), ("table", "missing")];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(missing.labels, expected);
    let not_finite = find("value_not_finite");
    let times: Vec<_> = not_finite.samples.iter().map(|s| s.timestamp_ms).collect();
    assert_eq!(times, [START_MS, START_MS + 2]);
    assert!(not_finite.samples[0].value.is_nan());
    let nameless = find("MissingMetricName");
    assert_eq!(nameless.destination().unwrap().to_string(), "db/t");
    assert_eq!(find("InvalidDestinationName").table, None);
    assert!(
        nameless.message.contains("give it a metric name"),
        "{}",
        nameless.message
    );

    let name = "timestream_connector_dead_letter_samples_total";
    assert_eq!(app.metric(name).await, 6.0);
    assert_eq!(
        app.metric("timestream_connector_written_samples_total")
            .await,
        3.0
    );
}

#[tokio::test]
async fn a_rejected_record_is_kept_with_reason_and_version() {
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::start_with(&[&flag(folder.path())]).await;
    let time = now_ms();
    let twice = |value| {
        vec![series(
            &[("__name__", "twice"), ("i", "1")],
            &[(time, value)],
        )]
    };
    app.write_ok(twice(7.0)).await;
    app.write_ok(twice(8.0)).await;
    let kept = letters(folder.path());
    assert_eq!(reasons(&kept), ["duplicate_version"]);
    assert!(
        kept[0].message.starts_with("A record already exists"),
        "{:?}",
        kept[0]
    );
    assert_eq!(kept[0].samples[0].value, 8.0);
    // Nothing is kept where nothing is wrong.
    app.write_ok(vec![series(
        &[("__name__", "twice"), ("i", "2")],
        &[(time, 7.0)],
    )])
    .await;
    assert_eq!(letters(folder.path()).len(), 1);
}

#[tokio::test]
async fn nothing_is_kept_while_the_sender_sends_again_anyway() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--max-write-retries=0", &flag(folder.path())];
    let app = TestApp::start_with(&flags).await;
    app.emulator.order_fault(Fault {
        when: When::Next(2),
        ..Fault::next("WriteRecords", 1, FaultKind::InternalServer)
    });
    // Both calls fail: the one to the missing table too.
    assert_eq!(app.write(mixed()).await.status, 500);
    assert!(letters(folder.path()).is_empty());
    app.write_ok(mixed()).await;
    assert_eq!(letters(folder.path()).len(), 5);
}

#[tokio::test]
async fn throttled_requests_that_a_sender_may_drop_keep_theirs() {
    let folder = tempfile::tempdir().unwrap();
    let flags = [
        "--max-write-retries=0",
        "--throttled-write-status=429",
        &flag(folder.path()),
    ];
    let app = TestApp::start_with(&flags).await;
    app.emulator
        .order_fault(Fault::next("WriteRecords", 10, FaultKind::Throttle));
    assert_eq!(app.write(mixed()).await.status, 429);
    let kept = letters(folder.path());
    assert_eq!(
        reasons(&kept),
        [
            "InvalidDestinationName",
            "MissingMetricName",
            "long_label_name",
            "value_not_finite"
        ]
    );
}

#[tokio::test]
async fn dead_letters_that_cannot_be_kept_make_the_sender_send_again() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("letters");
    let app = TestApp::start_with(&[&flag(&folder)]).await;
    std::fs::remove_dir_all(&folder).unwrap();
    std::fs::write(&folder, "in the way").unwrap();
    let answer = app.write(mixed()).await;
    assert_eq!(answer.status, 503);
    assert!(
        answer.text().starts_with(
            "DeadLetterError: 6 samples could neither be stored nor written to the dead-letter \
             target: the dead letter file cannot be written"
        ),
        "{}",
        answer.text()
    );
    assert_eq!(
        app.metric("timestream_connector_dead_letter_errors_total")
            .await,
        1.0
    );
    std::fs::remove_file(&folder).unwrap();
    std::fs::create_dir(&folder).unwrap();
    app.write_ok(mixed()).await;
    assert_eq!(letters(&folder).len(), 5);
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_ends_the_start() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let listen = "--web.listen-address=127.0.0.1:0";
    let output = command(&[&DEFAULTS[..], &[listen, &flag(file.path())]].concat())
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(
        text.starts_with("InvalidOptionError: --dead-letter (dead_letter) is \"file:"),
        "{text}"
    );
}

/// Runs `bootstrap replay` in front of the emulator at `url`; returns its status and what it printed.
pub(crate) async fn replay(url: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let output = command(&[&["replay"], arguments].concat())
        .env("AWS_ENDPOINT_URL", url)
        .env("AWS_ACCESS_KEY_ID", "local")
        .env("AWS_SECRET_ACCESS_KEY", "local")
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    (output.status.code(), format!("{text}{errors}"))
}

#[tokio::test]
async fn a_folder_is_replayed_until_everything_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_str().unwrap();
    let app = TestApp::start_with(&[&flag(folder.path())]).await;
    app.write_ok(mixed()).await;

    let flags = ["--table-label=table", "--enable-logging=false"];
    let (status, text) = replay(&app.emulator.url(), &[&[path], &flags[..]].concat()).await;
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.starts_with("replayed 6 samples: 0 stored, 6 not stored\n"),
        "{text}"
    );
    for line in [
        "  1 rejected again: ResourceNotFoundException\n",
        "  1 rejected again: MissingMetricName\n",
        "  2 rejected again: value_not_finite\n",
        "  1 rejected again: long_label_name\n",
    ] {
        assert!(text.contains(line), "{text}");
    }
    assert_eq!(letters(folder.path()).len(), 5);

    // The table is created, and one letter is told where to go.
    create_table(&app.emulator.url(), "db", "missing").await;
    let (status, text) = replay(&app.emulator.url(), &[&[path], &flags[..]].concat()).await;
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.starts_with("replayed 6 samples: 1 stored, 5 not stored\n"),
        "{text}"
    );
    assert_eq!(app.emulator.points("db", "missing").len(), 1);
    let kept = letters(folder.path());
    assert_eq!(kept.len(), 4);

    // Letters may be mended by hand.
    let file = only_file(folder.path());
    let mended: String = std::fs::read_to_string(&file)
        .unwrap()
        .lines()
        .filter(|line| line.contains("no/name") || line.contains("nameless"))
        .map(|line| {
            line.replace("no/name", "other")
                .replace("[\"job\",", "[\"__name__\",")
        })
        .map(|line| line + "\n")
        .collect();
    std::fs::write(&file, mended).unwrap();
    let (status, text) = replay(&app.emulator.url(), &[&[path], &flags[..]].concat()).await;
    assert_eq!(status, Some(0), "{text}");
    assert!(
        text.starts_with("replayed 2 samples: 2 stored, 0 not stored\n"),
        "{text}"
    );
    assert_eq!(app.emulator.points("db", "other").len(), 1);
    let read = app
        .read(vec![query(&[(Type::Eq, "__name__", "nameless")])])
        .await;
    assert_eq!(read[0].len(), 1);
    assert!(!file.exists());

    // New letters come into a new file while the folder is replayed.
    app.write_ok(mixed()).await;
    assert_eq!(letters(folder.path()).len(), 4);
}

#[tokio::test]
async fn histograms_and_exemplars_are_kept_and_replayed() {
    let folder = tempfile::tempdir().unwrap();
    let app = TestApp::start_with(&[&flag(folder.path())]).await;
    let labels = [("__name__", "m"), ("job", "a"), ("table", "missing")];
    let exemplar = Exemplar {
        labels: series(&[("trace_id", "ab12")], &[]).labels,
        value: f64::from_bits(0x7ff0_dead_beef_0001),
        timestamp: START_MS + 2,
    };
    let written = TimeSeries {
        histograms: vec![kinds::integers(START_MS), kinds::custom(START_MS + 1)],
        exemplars: vec![exemplar],
        ..series(&labels, &[(START_MS, 1.5)])
    };
    app.write_ok(vec![written.clone()]).await;
    let kept = letters(folder.path());
    assert_eq!(kept.iter().map(Letter::count).sum::<u64>(), 4);

    create_table(&app.emulator.url(), "db", "missing").await;
    let path = folder.path().to_str().unwrap();
    let flags = [path, "--table-label=table", "--enable-logging=false"];
    let (status, text) = replay(&app.emulator.url(), &flags).await;
    assert_eq!(status, Some(0), "{text}");
    let points = app.emulator.points("db", "missing");
    assert!(points.iter().any(|point| {
        let text = Stored::Varchar(
            r#"{"labels":{"trace_id":"ab12"},"value":"NaN:7ff0deadbeef0001","timestamp":1600000000002}"#
                .to_owned(),
        );
        point.measure_name == "U__exemplar_of_m" && point.value == text
    }));
    let read = app
        .read(vec![query(&[
            (Type::Eq, "__name__", "m"),
            (Type::Eq, "table", "missing"),
        ])])
        .await;
    assert_eq!(read[0].len(), 1);
    assert_eq!(read[0][0].samples, written.samples);
    assert_eq!(read[0][0].histograms, written.histograms);
}

fn only_file(folder: &Path) -> PathBuf {
    let files = std::fs::read_dir(folder).unwrap();
    let mut files = files
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.ends_with("dead-letters.jsonl"));
    let file = files.next().unwrap();
    assert!(files.next().is_none());
    file
}

#[tokio::test]
async fn a_log_is_replayed_and_left_as_it_is() {
    for format in ["logfmt", "json"] {
        let emulator = start_emulator(vec![table("db", "t")]).await;
        let flags = ["--table-label=table", &format!("--log.format={format}")];
        let connector = Connector::start(&emulator, &flags).await;
        assert_eq!(connector.post("/write", write_body(mixed())).await, 400);
        let many: Vec<_> = (0..150)
            .map(|i| {
                let labels = [("__name__", "m"), ("table", "gone"), ("i", &i.to_string())];
                series(&labels, &[(START_MS, f64::from(i))])
            })
            .collect();
        assert_eq!(connector.post("/write", write_body(many)).await, 404);
        let (_, log) = connector.terminate().await;
        // What is left out by policy is not in it, and of many the first.
        let logged = log.lines().filter_map(Letter::find).count();
        assert_eq!(logged, 3 + 100, "{log}");
        assert!(
            log.contains("More samples of the same request are not stored"),
            "{log}"
        );

        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &log).unwrap();
        create_table(&emulator.url(), "db", "missing").await;
        create_table(&emulator.url(), "db", "gone").await;
        let path = file.path().to_str().unwrap();
        let (status, text) = replay(&emulator.url(), &[path, "--table-label=table"]).await;
        assert_eq!(status, Some(1), "{text}");
        assert!(
            text.starts_with("replayed 103 samples: 101 stored, 2 not stored\n"),
            "{text}"
        );
        assert_eq!(emulator.points("db", "gone").len(), 100);
        assert_eq!(std::fs::read_to_string(file.path()).unwrap(), log);
    }
}

#[tokio::test]
async fn lines_that_cannot_be_read_are_told_and_kept() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dead-letters-1.jsonl");
    let good = r#"{"dead_letter":1,"time":"2026-01-01T00:00:00Z","reason":"x","labels":[["__name__","m"],["i","1"]],"samples":[[1600000000000,"1.5"]]}"#;
    let bad = r#"{"dead_letter":9,"time":"2026-01-01T00:00:00Z"}"#;
    std::fs::write(&file, format!("{good}\n{bad}\n")).unwrap();
    let path = folder.path().to_str().unwrap();
    let arguments = [path, "--database=db", "--table=t"];
    let (status, text) = replay(&emulator.url(), &arguments).await;
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.starts_with("replayed 1 samples: 1 stored, 0 not stored\n"),
        "{text}"
    );
    assert!(
        text.contains("1 lines cannot be read, the first at")
            && text.contains(":2: not a dead letter"),
        "{text}"
    );
    assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{bad}\n"));
}

#[tokio::test]
async fn sources_that_hold_nothing_are_an_error() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    std::fs::write(&log, "level=info message=hello\n").unwrap();
    let current = folder.path().join("dead-letters.jsonl");
    std::fs::write(&current, "").unwrap();
    let cases = [
        (log.clone(), "it holds no dead letters"),
        (folder.path().join("absent"), "No such file"),
        (current, "replay its folder instead"),
    ];
    for (path, expected) in cases {
        let arguments = [path.to_str().unwrap(), DEFAULTS[0], DEFAULTS[1]];
        let (status, text) = replay(&emulator.url(), &arguments).await;
        assert_eq!(status, Some(1), "{text}");
        assert!(text.contains(expected), "{text}");
    }
    let (status, text) = replay(&emulator.url(), &["x", "--table=a b"]).await;
    assert_eq!(status, Some(2), "{text}");
    assert!(
        text.starts_with("InvalidOptionError: --table is \"a b\""),
        "{text}"
    );
    let (status, text) = replay(&emulator.url(), &[]).await;
    assert_eq!(status, Some(2), "{text}");
}

#[tokio::test]
async fn what_fails_for_now_stays_too() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dead-letters-1.jsonl");
    let letter = |i: u32| {
        format!(
            r#"{{"dead_letter":1,"time":"2026-01-01T00:00:00Z","reason":"x","labels":[["__name__","m"],["i","{i}"]],"samples":[[1600000000000,"1.5"]]}}"#
        )
    };
    let all: String = (0..150).map(|i| letter(i) + "\n").collect();
    std::fs::write(&file, all).unwrap();
    emulator.order_fault(Fault::next("WriteRecords", 1, FaultKind::Throttle));
    let path = folder.path().to_str().unwrap();
    let arguments = [path, DEFAULTS[0], DEFAULTS[1], "--max-write-retries=0"];
    let (status, text) = replay(&emulator.url(), &arguments).await;
    assert_eq!(status, Some(1), "{text}");
    assert!(
        text.contains("failed for now, replay once more: ThrottlingException"),
        "{text}"
    );
    let (status, text) = replay(&emulator.url(), &arguments).await;
    assert_eq!(status, Some(0), "{text}");
    assert_eq!(emulator.points("db", "t").len(), 150);
}

#[test]
fn the_documented_form_is_the_real_one() {
    let page = include_str!("../../docs/operating.md");
    let line = page
        .lines()
        .find(|line| line.starts_with("{\"dead_letter\":1,"))
        .expect("the page shows a letter");
    let letter = Letter::parse(line).unwrap();
    assert_eq!(letter.to_string(), line);
    let _: Value = serde_json::from_str(line).unwrap();
}

#[tokio::test]
async fn a_replay_that_cannot_write_what_is_left_leaves_the_file_as_it_was() {
    let emulator = start_emulator(vec![table("db", "t")]).await;
    let folder = tempfile::TempDir::new().unwrap();
    let path = folder.path().join("letters.jsonl");
    let letter = |i: u32| {
        format!(
            r#"{{"dead_letter":1,"time":"2026-01-01T00:00:00Z","reason":"x","database":"db","table":"gone","labels":[["__name__","m"],["i","{i}"]],"samples":[[1600000000000,"1.5"]]}}"#
        ) + "\n"
    };
    let content: String = (0..100).map(letter).collect();
    std::fs::write(&path, &content).unwrap();
    // No file may have more than 1 KiB, as if the disk were full.
    let output = tokio::process::Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 2; exec \"$@\"", "sh"])
        .args([env!("CARGO_BIN_EXE_bootstrap"), "replay"])
        .arg(&path)
        .args(["--default-database=db", "--default-table=t"])
        .arg(format!("--write-base-endpoint={}", emulator.url()))
        .envs([
            ("AWS_ACCESS_KEY_ID", "local"),
            ("AWS_SECRET_ACCESS_KEY", "local"),
        ])
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(
        text.contains("the letters that are not stored cannot be written back to it"),
        "{text}"
    );
    assert_eq!(std::fs::read_to_string(&path).unwrap(), content);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
