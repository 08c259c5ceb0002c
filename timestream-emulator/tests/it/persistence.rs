//! What a data folder keeps.

use std::{
    collections::BTreeSet,
    io::{BufRead, BufReader},
};

use timestream_emulator::{Config, Emulator, StartError, StoreError, TableSpec};

use crate::support::{DB, OLD, Service, T0, sample};

#[tokio::test]
async fn everything_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_in(Some(folder.path())).await;
    service
        .put(
            OLD,
            vec![
                sample(&[("job", "a")], T0, "1.5"),
                sample(&[("zone", "z")], T0, "2"),
            ],
        )
        .await;
    let before = service.emulator.points(DB, OLD);
    service.emulator.stop().await;

    let service = Service::start_in(Some(folder.path())).await;
    assert_eq!(service.emulator.points(DB, OLD), before);
    assert_eq!(service.emulator.counters().points_stored, 2);
    assert_eq!(
        service
            .value("SELECT count(*) FROM db.old WHERE zone = 'z'")
            .await,
        "1"
    );
    service
        .put(OLD, vec![sample(&[("job", "a")], T0, "1.5")])
        .await;
    assert_eq!(
        service.emulator.points(DB, OLD),
        before,
        "a duplicate is still one"
    );
}

#[tokio::test]
async fn settings_of_a_table_that_exists_are_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = |hours| {
        let table = TableSpec {
            memory_hours: hours,
            ..TableSpec::new(DB, "kept")
        };
        let data_dir = Some(folder.path().to_owned());
        Emulator::start(Config {
            data_dir,
            tables: vec![table],
            ..Config::default()
        })
    };
    start(24).await.expect("the first start").stop().await;
    let emulator = start(48).await.expect("the second start");
    let (write, _) = crate::support::clients(&emulator.url(), "local", "local");
    let table = write
        .describe_table()
        .database_name(DB)
        .table_name("kept")
        .send()
        .await
        .unwrap();
    let retention = table.table().unwrap().retention_properties().unwrap();
    assert_eq!(retention.memory_store_retention_period_in_hours(), 24);
}

#[tokio::test]
async fn a_folder_has_one_emulator() {
    let folder = tempfile::tempdir().expect("a folder");
    let service = Service::start_in(Some(folder.path())).await;
    let config = Config {
        data_dir: Some(folder.path().to_owned()),
        ..Config::default()
    };
    let refused = Emulator::start(config.clone())
        .await
        .expect_err("the folder is in use");
    assert!(
        matches!(&refused, StartError::Store(StoreError::InUse(_))),
        "{refused}"
    );
    assert!(refused.to_string().contains("in use by another emulator"));
    service.emulator.stop().await;
    Emulator::start(config)
        .await
        .expect("the folder is free")
        .stop()
        .await;
}

/// An emulator in a process of its own, killed when it is dropped.
struct Process {
    child: std::process::Child,
    url: String,
}

impl Process {
    fn start(folder: &std::path::Path, flags: &[&str]) -> Process {
        let mut child = Process::command(folder, flags)
            .stdout(std::process::Stdio::piped())
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

    fn command(folder: &std::path::Path, flags: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_timestream-emulator"));
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

/// Developer guide, "Writes": a write that is answered with success is durable.
#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_records_survive_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let flags = ["--table", "db/old,magnetic_writes=true"];
    let process = Process::start(folder.path(), &flags);
    let (acknowledge, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (client, _) = crate::support::clients(&process.url, "local", "local");
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
