//! The service of `deploy/systemd`: systemd reads it without a complaint, and it allows all that the program does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use prom_wire::prompb::{Label, Sample, TimeSeries, WriteRequest};
use regex::Regex;
use soak::programs::{POLL, free_port};
use timestream_emulator::{Config, Emulator, TableSpec};
use timestream_prometheus_connector::config;
use tokio::process::Command;

use crate::stage::TOKEN;
use crate::tools::system_tool;

const SERVICE: &str = include_str!("../../deploy/systemd/timestream-prometheus-connector.service");
const VARIABLES: &str = include_str!("../../deploy/systemd/connector.env");
const TLS: &str = include_str!("../../deploy/systemd/tls.conf");
const NAME: &str = "timestream-prometheus-connector.service";
const INSTALLED: &str = "/usr/local/bin/timestream-prometheus-connector";
const STATE: &str = "/var/lib/timestream-prometheus-connector";
/// The highest exposure by `systemd-analyze security`, in tenths; services without hardening have 96.
const EXPOSURE: u32 = 20;
/// The longest time until the program serves or has ended, with each system call traced.
const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the longest time that a server with this configuration takes from SIGTERM to its end.
pub(crate) fn longest_stop(config: &config::Config) -> Duration {
    // Of `entry/server/run.rs`: requests have so long, then jobs; and threads that are blocked a second.
    let grace = config.http.request_timeout.max(config.http.read_timeout) + Duration::from_secs(2);
    2 * grace + Duration::from_secs(1)
}

/// Returns the values of a setting, in order.
fn values<'u>(unit: &'u str, setting: &str) -> Vec<&'u str> {
    let lines = unit.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.split_once('='));
    let values = pairs.filter(|(name, _)| *name == setting);
    values.map(|(_, value)| value).collect()
}

fn value<'u>(unit: &'u str, setting: &str) -> &'u str {
    let [value] = values(unit, setting)[..] else {
        panic!("{setting} is not there once");
    };
    value
}

/// Runs systemd-analyze on a unit and, if there is any, a part for its folder.
async fn analyzed(arguments: &[&str], unit: &str, part: Option<&str>) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let unit = unit.replace(INSTALLED, env!("CARGO_BIN_EXE_bootstrap"));
    std::fs::write(path(NAME), unit).unwrap();
    // Every service depends on it, and a container without systemd has none.
    std::fs::write(path("sysinit.target"), "[Unit]\nDescription=System\n").unwrap();
    if let Some(part) = part {
        let parts = path(&format!("{NAME}.d"));
        std::fs::create_dir(&parts).unwrap();
        std::fs::write(parts.join("tls.conf"), part).unwrap();
    }
    let mut command = Command::new(system_tool("systemd-analyze").await);
    command
        .args(arguments)
        .arg(path(NAME))
        .env("SYSTEMD_UNIT_PATH", folder.path());
    command.output().await.unwrap()
}

#[tokio::test]
async fn systemd_accepts_the_service() {
    for part in [None, Some(TLS)] {
        let output = analyzed(&["verify"], SERVICE, part).await;
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
    let misspelled = SERVICE.replace("ProtectSystem=", "ProtectSystems=");
    let output = analyzed(&["verify"], &misspelled, None).await;
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("ProtectSystems"), "{text}");
}

#[tokio::test]
async fn systemd_rates_the_service_as_hardened() {
    let threshold = format!("--threshold={EXPOSURE}");
    let arguments = ["security", "--offline=true", "--no-pager", &threshold];
    let output = analyzed(&arguments, SERVICE, None).await;
    assert!(output.status.success(), "{output:?}");
    let bare = SERVICE.replace("\nSystemCall", "\n#SystemCall");
    let bare = bare.replace("\nProtect", "\n#Protect");
    assert_ne!(bare, SERVICE);
    let output = analyzed(&arguments, &bare, None).await;
    assert!(!output.status.success(), "{output:?}");
}

#[test]
fn systemd_waits_for_requests_and_jobs() {
    let environment = |name: &str| {
        (name == "default_database" || name == "default_table").then(|| "metrics_of_all".to_owned())
    };
    let Ok(config::Invocation::Serve(config)) = config::read(["bootstrap"], environment) else {
        panic!("the defaults are valid");
    };
    let seconds = value(SERVICE, "TimeoutStopSec").strip_suffix('s').unwrap();
    let timeout = Duration::from_secs(seconds.parse().unwrap());
    assert!(timeout > longest_stop(&config), "{timeout:?}");
}

/// Returns the system calls of each set that systemd has by name.
async fn call_sets() -> BTreeMap<String, Vec<String>> {
    let mut command = Command::new(system_tool("systemd-analyze").await);
    let output = command.args(["syscall-filter", "--no-pager"]);
    let output = output.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let mut sets: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        let word = line.trim();
        if line.starts_with('@') {
            current = Some(sets.entry(word.to_owned()).or_default());
        } else if line.starts_with(' ') && !word.starts_with('#') {
            current.as_mut().unwrap().push(word.to_owned());
        } else if !line.starts_with(' ') {
            // What the kernel has beside the sets.
            current = Some(sets.entry(String::new()).or_default());
        }
    }
    sets
}

/// Returns the system calls of a word of `SystemCallFilter`, which is a set or one of them.
fn calls(sets: &BTreeMap<String, Vec<String>>, word: &str) -> BTreeSet<String> {
    match sets.get(word) {
        Some(members) => members.iter().flat_map(|it| calls(sets, it)).collect(),
        None => BTreeSet::from([word.to_owned()]),
    }
}

/// Returns the system calls that the service allows.
async fn allowed_calls() -> BTreeSet<String> {
    let sets = call_sets().await;
    let mut allowed = BTreeSet::new();
    for filter in values(SERVICE, "SystemCallFilter") {
        let (removes, words) = match filter.strip_prefix('~') {
            Some(words) => (true, words),
            None => (false, filter),
        };
        for word in words.split(' ') {
            assert!(sets.contains_key(word), "{word} is no set");
            let calls = calls(&sets, word);
            match removes {
                true => allowed.retain(|it| !calls.contains(it)),
                false => allowed.extend(calls),
            }
        }
    }
    allowed
}

/// Returns the variables of the service, with its folder elsewhere.
fn variables(state: &Path) -> BTreeMap<String, String> {
    let lines = VARIABLES.lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    let pairs = lines.map(|line| line.split_once('=').expect("a name and a value"));
    let pairs = pairs.map(|(name, value)| {
        let value = value.replace(STATE, &state.display().to_string());
        (name.to_owned(), value)
    });
    pairs.collect()
}

/// Returns the command of a setting of the service, after `before`.
fn command(setting: &str, before: &[&str], variables: &BTreeMap<String, String>) -> Command {
    let line = value(SERVICE, setting).replace(INSTALLED, env!("CARGO_BIN_EXE_bootstrap"));
    let mut words = before.iter().copied().chain(line.split(' '));
    let mut command = Command::new(words.next().unwrap());
    command.args(words).env_clear().envs(variables);
    command
}

async fn send(url: &str, value: f64) {
    let label = |name: &str, value: &str| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let timestamp = time.unwrap().as_millis() as i64 / 100_000 * 100_000;
    let request = WriteRequest {
        timeseries: vec![TimeSeries {
            labels: vec![label("__name__", "up"), label("job", "systemd")],
            samples: vec![Sample { value, timestamp }],
            ..TimeSeries::default()
        }],
        metadata: vec![],
    };
    let request = soak::http::client()
        .post(format!("{url}/write"))
        .bearer_auth(TOKEN)
        .body(prom_wire::encode(&request).unwrap());
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 204, "{}", response.text().await.unwrap());
}

async fn get(url: String) -> String {
    let request = soak::http::client().get(&url).bearer_auth(TOKEN);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200, "{url}");
    response.text().await.unwrap()
}

/// Waits until the condition is true.
async fn until<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_allows_what_the_program_does() {
    let emulator = Emulator::start(Config {
        tables: vec![
            TableSpec::new("prometheus", "samples"),
            TableSpec::new("prometheus", "metrics"),
        ],
        ..Config::default()
    });
    let emulator = emulator.await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (state, trace) = (folder.path().join("state"), folder.path().join("trace"));
    std::fs::create_dir(&state).unwrap();
    let mut variables = variables(&state);
    let port = free_port();
    variables.extend(
        [
            ("bearer_token", TOKEN.to_owned()),
            ("web_listen_address", format!("127.0.0.1:{port}")),
            ("AWS_ACCESS_KEY_ID", "local".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
            // A name, which the C library resolves.
            (
                "AWS_ENDPOINT_URL",
                emulator.url().replace("127.0.0.1", "localhost"),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );

    let checked = command("ExecStartPre", &[], &variables).output();
    let checked = checked.await.unwrap();
    assert!(checked.status.success(), "{checked:?}");

    let strace = system_tool("strace").await;
    let traced = [
        strace.to_str().unwrap(),
        "-f",
        "-qq",
        "-o",
        trace.to_str().unwrap(),
    ];
    let log = folder.path().join("log");
    let mut process = command("ExecStart", &traced, &variables)
        .stdin(Stdio::null())
        .stderr(std::fs::File::create(&log).unwrap())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let url = format!("http://localhost:{port}");
    let ready = format!("{url}/-/ready");
    until("it does not serve", || async {
        let response = soak::http::get(&ready).await;
        response.is_ok_and(|it| it.status().is_success())
    })
    .await;
    send(&url, 1.0).await;
    // Timestream keeps the first value, and this one becomes a dead letter.
    send(&url, 2.0).await;
    let result = get(format!("{url}/api/v1/query?query=up")).await;
    assert!(result.contains(r#""job":"systemd""#), "{result}");
    let metrics = get(format!("{url}/metrics")).await;
    assert!(metrics.contains("process_start_time_seconds"), "{metrics}");
    let letters = std::fs::read_dir(state.join("dead-letters")).unwrap();
    assert!(letters.count() > 0);
    assert!(state.join("state").is_dir());

    // strace itself ignores the signal, and ends as the program does.
    let text = std::fs::read_to_string(&trace).unwrap();
    let pid = text.split(' ').next().unwrap();
    let sent = Command::new("kill").args(["-TERM", pid]).status().await;
    assert!(sent.unwrap().success());
    let status = tokio::time::timeout(PATIENCE, process.wait()).await;
    let log = std::fs::read_to_string(&log).unwrap();
    assert!(status.unwrap().unwrap().success(), "{log}");
    assert!(log.contains("Stopped."), "{log}");

    let text = std::fs::read_to_string(&trace).unwrap();
    let made = made_calls(&text);
    println!("{} system calls: {made:?}", made.len());
    assert!(made.len() > 30, "{made:?}");
    let allowed = allowed_calls().await;
    let denied: Vec<_> = made.difference(&allowed).collect();
    assert!(denied.is_empty(), "{denied:?}");
    let families: BTreeSet<&str> = value(SERVICE, "RestrictAddressFamilies")
        .split(' ')
        .collect();
    let opened = Regex::new(r"(?m)^\d+ +socket\((AF_\w+)").unwrap();
    let opened: BTreeSet<&str> = opened
        .captures_iter(&text)
        .map(|it| it.get(1).unwrap().as_str())
        .collect();
    println!("{opened:?}");
    assert!(opened.contains("AF_INET"), "{opened:?}");
    assert!(opened.is_subset(&families), "{opened:?}");
    let executable = Regex::new(r"PROT_WRITE\|PROT_EXEC").unwrap();
    assert!(!executable.is_match(&text), "MemoryDenyWriteExecute");
}

/// Returns the system calls in the output of strace; that which starts the program is systemd's own.
fn made_calls(trace: &str) -> BTreeSet<String> {
    let call = Regex::new(r"(?m)^\d+ +([a-z0-9_]+)\(").unwrap();
    let calls = call.captures_iter(trace).map(|it| it[1].to_owned());
    calls.collect()
}
