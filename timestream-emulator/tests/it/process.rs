//! The binary: its flags, and that nothing acknowledged is lost with it.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    support::{DB, OLD, Service, T0, clients, code_and_message, sample},
    wire::http,
};

/// An emulator in a process of its own, killed when it is dropped.
struct Process {
    child: Child,
    url: String,
}

impl Process {
    fn start(folder: &Path, flags: &[&str]) -> Process {
        let mut child = Process::command(folder, flags)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the emulator starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("the output is piped");
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("the emulator says where it listens");
        let (_, url) = line.split_once("listening on ").expect("an address");
        let url = url.split(',').next().expect("an address").trim().to_owned();
        Process { child, url }
    }

    fn command(folder: &Path, flags: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_timestream-emulator"));
        command.args(["--listen", "127.0.0.1:0", "--data-dir"]);
        command.arg(folder).args(flags);
        command
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL: the process gets no chance to finish anything.
        self.child.kill().expect("the emulator is killed");
        self.child.wait().expect("the emulator has ended");
    }
}

/// Developer guide, "Writes": a write whose response is a success is durable.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_records_survive_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--table", "db/old,magnetic_writes=true"];
    let process = Process::start(folder.path(), &flags);
    let (acknowledge, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (client, _) = clients(&process.url, "local", "local");
        let acknowledge = acknowledge.clone();
        writers.spawn(async move {
            let job = format!("w{writer}");
            for call in 0.. {
                let times = (0..10).map(|n| T0 + call * 10 + n);
                let records = times.map(|time| sample(&[("job", &*job)], time, "1"));
                let request = client.write_records().database_name(DB).table_name(OLD);
                let records = Some(records.collect());
                if request.set_records(records).send().await.is_err() {
                    return;
                }
                acknowledge.send((writer, call)).expect("the test listens");
            }
        });
    }
    drop(acknowledge);
    let mut taken = Vec::new();
    while taken.len() < 100 {
        taken.push(acknowledged.recv().await.expect("the writers go on"));
    }
    drop(process);
    writers.join_all().await;
    while let Some(call) = acknowledged.recv().await {
        taken.push(call);
    }

    let service = Service::start_in(Some(folder.path())).await;
    let points = service.emulator.points(DB, OLD);
    let stored: BTreeSet<(String, i64)> = points
        .into_iter()
        .map(|point| {
            (
                point.dimensions["job"].clone(),
                point.time_ns / 1_000_000 - T0,
            )
        })
        .collect();
    for (writer, call) in taken {
        for n in 0..10 {
            let point = (format!("w{writer}"), call * 10 + n);
            assert!(stored.contains(&point), "{point:?} was acknowledged");
        }
    }
    assert_eq!(stored.len() % 10, 0, "a call is stored as a whole");
}

#[tokio::test]
async fn a_second_process_on_the_folder_says_why_it_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let _first = Process::start(folder.path(), &[]);
    let second = Process::command(folder.path(), &[]).output();
    let second = second.expect("the second process ends");
    assert!(!second.status.success());
    let error = String::from_utf8(second.stderr).expect("text");
    assert!(error.contains("is in use by another emulator"), "{error}");
}

#[tokio::test]
async fn flags_reach_the_service() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = [
        "--table",
        "db/old,magnetic_writes=true",
        "--cells",
        "2",
        "--require-discovery",
        "--rate-limits",
        "--null-sink",
        "--access-key",
        "key",
        "--secret-key",
        "secret",
    ];
    let process = Process::start(folder.path(), &flags);
    let (regional, _) = clients(&process.url, "key", "secret");
    let error = regional.list_databases().send().await;
    let error = error.expect_err("discovery is required");
    assert_eq!(code_and_message(&error).0, "UnknownOperationException");
    let endpoints = regional.describe_endpoints().send().await;
    let endpoints = endpoints.expect("endpoints").endpoints;
    let (cell, _) = clients(endpoints[0].address(), "key", "secret");
    let call = cell.write_records().database_name(DB).table_name(OLD);
    let call = call.records(sample(&[("job", "a")], T0, "1"));
    call.send().await.expect("the record is taken");
    let counters = http(&process.url, "GET", "/_emulator/counters", &[], "").await;
    assert!(counters.contains(r#""records_accepted": 1"#), "{counters}");
    assert!(counters.contains(r#""points_stored": 0"#), "{counters}");
    let cells = http(&process.url, "GET", "/_emulator/cells", &[], "").await;
    assert_eq!(cells.matches("127.0.0.1:").count(), 2, "{cells}");
    let mut codes = Vec::new();
    for _ in 0..50 {
        let listed = cell.list_databases().send().await;
        codes.extend(listed.err().map(|error| code_and_message(&error).0));
    }
    // Fifty calls take less than the nine seconds in which as many would be let through.
    assert!(
        codes.contains(&"ThrottlingException".to_owned()),
        "{codes:?}"
    );
}

#[test]
fn the_help_names_every_flag() {
    let output = Command::new(env!("CARGO_BIN_EXE_timestream-emulator"))
        .arg("--help")
        .output();
    let help = String::from_utf8(output.expect("it runs").stdout).expect("text");
    let readme = include_str!("../../README.md");
    for flag in [
        "--listen",
        "--data-dir",
        "--table",
        "--access-key",
        "--secret-key",
        "--cells",
        "--require-discovery",
        "--rate-limits",
        "--null-sink",
        "--wide-names",
        "--column-case",
        "--seed",
    ] {
        assert!(help.contains(flag), "{flag} in {help}");
        assert!(readme.contains(flag), "{flag} in the README");
    }
}
