//! The real binary as a server, and the memory that a process uses.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Log lines in the report of a failure.
const LOG_LINES: usize = 5;
/// A process that uses more than this is killed, for the sake of the machine.
const MAX_BYTES: u64 = 4 << 30;

/// Returns the binary under test.
pub(crate) fn binary() -> OsString {
    let given = std::env::var_os("HOSTILE_BINARY");
    given.unwrap_or_else(|| env!("CARGO_BIN_EXE_bootstrap").into())
}

/// A running `bootstrap` with the default options, but for where it listens and stores.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) process: Child,
    log: Arc<Mutex<VecDeque<String>>>,
}

impl Server {
    pub(crate) fn start(emulator_url: &str, state: &Path) -> Self {
        let mut process = Command::new(binary())
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", "local")
            .env("AWS_ENDPOINT_URL", emulator_url)
            .args([
                "--web.listen-address=127.0.0.1:0",
                "--default-database=db",
                "--default-table=t",
                "--database-label=database",
                "--table-label=table",
                &format!("--state-store=file:{}", state.display()),
            ])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        let stderr = process.stderr.take().expect("it is a pipe");
        let mut lines = BufReader::new(stderr).lines().map_while(Result::ok);
        let line = lines.next().expect("the binary says where it listens");
        let address = line.split_once("address=").expect("the line has it").1;
        let address = address.split(' ').next().expect("a split has a part");
        let address = address.parse().expect("it is an address");
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let newest = Arc::clone(&log);
        thread::spawn(move || {
            for line in lines {
                let mut newest = newest.lock().expect("no reader of the log panics");
                newest.push_back(line.chars().take(300).collect());
                if newest.len() > LOG_LINES {
                    newest.pop_front();
                }
            }
        });
        Self {
            address,
            process,
            log,
        }
    }

    /// Returns false if the process has ended.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.process.try_wait(), Ok(None))
    }

    /// Returns its last log lines.
    pub(crate) fn log(&self) -> String {
        let lines = self.log.lock().expect("no writer of the log panics");
        Vec::from_iter(lines.iter().cloned()).join("\n    ")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Watches the memory of a process from its start until [`Self::peak`].
pub(crate) struct Memory {
    pid: u32,
    seen: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Memory {
    pub(crate) fn watch(pid: u32) -> Self {
        // Lowers VmHWM to the resident memory of now.
        let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        let seen = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let (ours, stopped) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let now = resident(pid);
                ours.fetch_max(now, Ordering::Relaxed);
                if now > MAX_BYTES {
                    let pid = pid.to_string();
                    let _ = Command::new("kill").args(["-KILL", &pid]).status();
                    return;
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self {
            pid,
            seen,
            stop,
            thread,
        }
    }

    /// Returns the most bytes that were resident at once.
    pub(crate) fn peak(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the sampling does not panic");
        let seen = self.seen.load(Ordering::Relaxed);
        seen.max(status(self.pid, "VmHWM:"))
    }
}

/// Returns the resident bytes of a process, 0 if it has ended.
pub(crate) fn resident(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// Waits until a process has at most `bytes` resident, but no longer than `limit`, and returns the
/// number it has then. Meanwhile it gets ordinary requests, as any server does: an allocator gives
/// memory back as others use it.
pub(crate) fn fallen(pid: u32, bytes: u64, limit: Duration, mut ordinary: impl FnMut()) -> u64 {
    let deadline = Instant::now() + limit;
    loop {
        let now = resident(pid);
        if now <= bytes || Instant::now() >= deadline {
            return now;
        }
        ordinary();
        thread::sleep(Duration::from_millis(20));
    }
}

fn status(pid: u32, key: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.unwrap_or_default() << 10
}
