//! Prometheus' own test scripts of PromQL over our remote read, beside the same over its own.
//!
//! `tests/conformance/promql` is what runs them: storage of its tests is a table behind the connector, or
//! Prometheus' storage behind Prometheus' remote read; the client is Prometheus' in both.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::time::Instant;

use tokio::process::Command;

use crate::stage::{Stage, TOKEN, table};
use crate::tools;

const TABLE_LABEL: &str = "PrometheusTableLabel";
/// The most storages that the scripts open; a table each.
const TABLES: usize = 400;

/// The script whose evaluations need the start timestamps of samples. SAMPLES and XOR chunks of remote read have
/// no field for them. Prometheus' own remote read has them in chunks of an encoding that is an experiment, so
/// here it is compared with as it is without the experiment.
const START_TIMESTAMPS: &str = "start_timestamps.test";

/// Evaluations of a run by script: whether each has passed.
type Evaluations = BTreeMap<String, BTreeMap<String, bool>>;

/// Runs the scripts with these arguments; their output goes to a file.
async fn run(program: &Path, arguments: &[String], log: &Path) -> Evaluations {
    let output = Command::new(program)
        .args(["-test.v", "-test.timeout=20m", "-test.parallel=4"])
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        // A failed evaluation makes it 1, a panic or the timeout 2.
        matches!(output.status.code(), Some(0 | 1)),
        "{}: {text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    std::fs::write(log, &*text).unwrap();
    let mut all = Evaluations::new();
    for line in text.lines() {
        let Some((outcome, rest)) = line
            .trim_start()
            .strip_prefix("--- ")
            .and_then(|it| it.split_once(": "))
        else {
            continue;
        };
        // A script, an evaluation in it, and the time it took.
        let Some((script, rest)) = rest
            .strip_prefix("TestScripts/testdata/")
            .and_then(|it| it.split_once('/'))
        else {
            continue;
        };
        let (evaluation, _) = rest.rsplit_once(" (").expect("a test took some time");
        let earlier = all
            .entry(script.to_owned())
            .or_default()
            .insert(evaluation.to_owned(), outcome == "PASS");
        assert_eq!(earlier, None, "{script} {evaluation} is there twice");
    }
    assert!(
        !all.is_empty(),
        "no evaluation was run; see {}",
        log.display()
    );
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_script_of_prometheus_is_behind_its_own_remote_read() {
    let program = tools::go_tool("promql").await;
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let mut theirs = run(
        &program,
        &["-start-timestamps".to_owned()],
        &folder.join("promql-prometheus.log"),
    )
    .await;
    let without = folder.join("promql-prometheus-without-start-timestamps.log");
    let mut without = run(&program, &[], &without).await;
    let with = theirs.insert(
        START_TIMESTAMPS.to_owned(),
        without.remove(START_TIMESTAMPS).expect("it is a script"),
    );
    let with = with.expect("it is a script");

    let tables = (0..TABLES).map(|it| table(&it.to_string())).collect();
    let flags = [
        &format!("--table-label={TABLE_LABEL}"),
        "--store-special-values",
        "--metadata-table=off",
    ];
    let stage = Stage::start(tables, &flags).await;
    let log = folder.join("promql-connector.log");
    let arguments = [
        format!("-connector={}", stage.connector.url),
        format!("-token={TOKEN}"),
        format!("-label={TABLE_LABEL}"),
        format!("-tables={TABLES}"),
    ];
    let start = Instant::now();
    let ours = run(&program, &arguments, &log).await;
    println!("{}", table_of(&ours, &theirs));
    println!(
        "{START_TIMESTAMPS} without start timestamps; with them {} pass over Prometheus' own",
        with.values().filter(|&&passed| passed).count()
    );
    println!(
        "took {} s; what failed and why is in {}",
        start.elapsed().as_secs(),
        log.display()
    );

    let scripts: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
    let behind: Vec<_> = scripts
        .into_iter()
        .filter(|script| passed(&ours, script) < passed(&theirs, script))
        .collect();
    assert!(
        behind.is_empty(),
        "behind Prometheus' own remote read: {behind:?}"
    );
}

fn passed(evaluations: &Evaluations, script: &str) -> usize {
    let of_script = evaluations.get(script);
    of_script.map_or(0, |it| it.values().filter(|&&passed| passed).count())
}

fn table_of(ours: &Evaluations, theirs: &Evaluations) -> String {
    let mut text =
        "| script | evaluations | pass over ours | over Prometheus' own |\n|---|---|---|---|\n"
            .to_owned();
    let mut add = |name: &str, counts: [usize; 3]| {
        let [all, our, their] = counts;
        text += &format!("| {name} | {all} | {our} | {their} |\n");
    };
    let mut total = [0; 3];
    for (script, evaluations) in theirs {
        let counts = [
            evaluations.len(),
            passed(ours, script),
            passed(theirs, script),
        ];
        total = [0, 1, 2].map(|i: usize| total[i] + counts[i]);
        add(script, counts);
    }
    add("all", total);
    text
}
