//! Programs as processes that can be killed and started again at the same address.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use timestream_emulator::{Config, Point};
use tokio::process::{Child, Command};

use crate::process;

/// Maximum time until a program serves.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Between two looks whether something has happened.
pub const POLL: Duration = Duration::from_millis(20);

/// A program that serves HTTP.
pub struct Program {
    /// Address of the program.
    pub url: String,
    name: &'static str,
    command: Box<dyn Fn() -> Command + Send + Sync>,
    ready_path: &'static str,
    log: PathBuf,
    process: Option<Child>,
    peak_memory_kib: u64,
    kills: u32,
}

impl Program {
    /// Starts it with its log in `folder`, and waits until `ready_path` responds with success.
    /// `command` makes the command that serves at a port of the loopback interface.
    pub async fn start(
        name: &'static str,
        folder: &Path,
        ready_path: &'static str,
        command: impl Fn(u16) -> Command + Send + Sync + 'static,
    ) -> Self {
        let port = free_port();
        let mut program = Self {
            url: format!("http://127.0.0.1:{port}"),
            name,
            command: Box::new(move || command(port)),
            ready_path,
            log: folder.join(format!("{name}.log")),
            process: None,
            peak_memory_kib: 0,
            kills: 0,
        };
        program.start_again().await;
        program
    }

    /// Starts it after a kill.
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "{} is running", self.name);
        let log = File::options().create(true).append(true).open(&self.log);
        let log = log.expect("the folder can be written to");
        let errors = log.try_clone().expect("a file can be shared");
        let process = (self.command)()
            .stdout(log)
            .stderr(errors)
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn();
        self.process = Some(process.unwrap_or_else(|error| panic!("{}: {error}", self.name)));
        let url = format!("{}{}", self.url, self.ready_path);
        let deadline = Instant::now() + START_TIMEOUT;
        while !crate::http::get(&url)
            .await
            .is_ok_and(|it| it.status().is_success())
        {
            self.assert_running();
            assert!(
                Instant::now() < deadline,
                "{url} does not respond{}",
                self.last_lines()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Kills it without any chance to finish something, as `kill -9` does.
    pub async fn kill(&mut self) {
        self.assert_running();
        self.note_memory();
        let mut process = self.process.take().expect("it is running");
        process
            .kill()
            .await
            .expect("a running process can be killed");
        self.kills += 1;
    }

    /// Panics with its last words if it has ended by itself.
    pub fn assert_running(&mut self) {
        let process = self.process.as_mut();
        let process = process.unwrap_or_else(|| panic!("{} was killed", self.name));
        let ended = process.try_wait().expect("a child can be waited for");
        if let Some(status) = ended {
            panic!("{} ended with {status}{}", self.name, self.last_lines());
        }
    }

    /// Returns the most memory that any of its processes has had, in KiB.
    pub fn peak_memory_kib(&mut self) -> u64 {
        self.note_memory();
        self.peak_memory_kib
    }

    /// Returns the processor time that its process has used so far, to a hundredth of a second.
    pub fn cpu_time(&self) -> Duration {
        let pid = self.process.as_ref().and_then(Child::id);
        process::cpu_time(pid.unwrap_or_else(|| panic!("{} is not running", self.name)))
    }

    /// Returns the number of times it was killed.
    pub fn kills(&self) -> u32 {
        self.kills
    }

    fn note_memory(&mut self) {
        let pid = self.process.as_ref().and_then(Child::id);
        let peak = pid.and_then(process::peak_memory_kib);
        self.peak_memory_kib = self.peak_memory_kib.max(peak.unwrap_or(0));
    }

    fn last_lines(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let last = &lines[lines.len().saturating_sub(10)..];
        format!(
            "; the last lines of {}:\n{}",
            self.log.display(),
            last.join("\n")
        )
    }
}

/// The emulator's binary, its data in a folder.
pub struct Emulator {
    /// The process.
    pub program: Program,
    data: PathBuf,
    /// Faults that were carried out by processes that were killed.
    earlier_faults: u64,
}

impl Emulator {
    /// Starts it with these flags.
    pub async fn start(binary: &Path, folder: &Path, flags: &[&str]) -> Self {
        let data = folder.join("timestream");
        let binary = binary.to_owned();
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let folder_flag = format!("--data-dir={}", data.display());
        let command = move |port| {
            let mut command = Command::new(&binary);
            command
                .args(&flags)
                .arg(&folder_flag)
                .arg(format!("--listen=127.0.0.1:{port}"));
            command
        };
        let program = Program::start("emulator", folder, "/_emulator/health", command).await;
        Self {
            program,
            data,
            earlier_faults: 0,
        }
    }

    /// Orders a fault, given as the JSON of the admin path.
    pub async fn order(&self, fault: &str) {
        let request = crate::http::client().post(format!("{}/_emulator/faults", self.program.url));
        let response = request.body(fault.to_owned()).send().await;
        let response = response.expect("the emulator responds");
        assert!(response.status().is_success(), "{fault}: {response:?}");
    }

    /// Withdraws all orders.
    pub async fn withdraw_orders(&self) {
        let request =
            crate::http::client().delete(format!("{}/_emulator/faults", self.program.url));
        let response = request.send().await.expect("the emulator responds");
        assert!(response.status().is_success(), "{response:?}");
    }

    /// Kills it; its orders go with it.
    pub async fn kill(&mut self) {
        self.earlier_faults = self.faults().await;
        self.program.kill().await;
    }

    /// Faults carried out so far.
    pub async fn faults(&self) -> u64 {
        let text = get(&format!("{}/_emulator/counters", self.program.url)).await;
        let counters: Value = serde_json::from_str(&text).expect("counters are JSON");
        self.earlier_faults + counters["faults"].as_u64().expect("faults are counted")
    }

    /// Kills it and reads the points of these tables from its disk, each `database/table`.
    pub async fn into_points(mut self, tables: &[&str]) -> Vec<Vec<Point>> {
        self.program.kill().await;
        let config = Config {
            data_dir: Some(self.data),
            ..Config::default()
        };
        let emulator = timestream_emulator::Emulator::start(config).await;
        let emulator = emulator.expect("the data of a killed emulator can be opened");
        let points = tables.iter().map(|table| {
            let (database, table) = table.split_once('/').expect("database/table");
            emulator.points(database, table)
        });
        let points = points.collect();
        emulator.stop().await;
        points
    }
}

/// Starts the connector's binary in front of an emulator, without any variable but credentials.
pub async fn start_connector(
    binary: &Path,
    folder: &Path,
    emulator: &Emulator,
    flags: &[&str],
) -> Program {
    let binary = binary.to_owned();
    let endpoint = emulator.program.url.clone();
    let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
    let command = move |port| {
        let mut command = Command::new(&binary);
        command
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_ENDPOINT_URL", &endpoint)
            .args(&flags)
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        command
    };
    Program::start("connector", folder, "/-/ready", command).await
}

/// Returns the text of a successful response.
pub async fn get(url: &str) -> String {
    let response = crate::http::get(url)
        .await
        .and_then(|it| it.error_for_status());
    let response = response.unwrap_or_else(|error| panic!("{url}: {error}"));
    response.text().await.expect("the response is text")
}

/// Returns a port that nothing listens on, and that the system does not give to outgoing
/// connections, so that a program can be started at it again.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 12_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Several processes look at the same time; they start at different places.
    let start = (std::process::id() % u32::from(COUNT)) as u16;
    loop {
        let offset = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(offset < COUNT, "no port from {FIRST} on is free");
        // Far apart, as the next process has the next id.
        let port = FIRST + ((u32::from(start) * 97 + u32::from(offset)) % u32::from(COUNT)) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
