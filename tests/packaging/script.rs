//! The scripts that run everything, as processes that Ctrl-C stops.

use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Time limit for the build and for each condition.
const TIMEOUT: Duration = Duration::from_secs(20 * 60);
/// Interval between two looks at a condition.
const POLL: Duration = Duration::from_millis(100);
const STOPPING: Duration = Duration::from_secs(60);

/// A running script with its log; dropping it stops all that it has started.
pub(crate) struct Script {
    process: Child,
    log: PathBuf,
}

impl Script {
    /// Starts `script` where the signals that stop it are ignored, as in the background of another script; its output
    /// goes to `log`.
    pub(crate) fn start(script: Command, log: PathBuf) -> Self {
        let file = File::create(&log).expect("target can be written");
        let mut command = Command::new("sh");
        command
            .args(["-c", "trap '' INT TERM; exec \"$0\""])
            .arg(script.get_program())
            .env_clear()
            .envs(std::env::vars_os());
        for (name, value) in script.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        if let Some(folder) = script.get_current_dir() {
            command.current_dir(folder);
        }
        let process = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("bash runs");
        Self { process, log }
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Returns once `condition` holds; panics with the log if the script has ended before.
    pub(crate) async fn until(&mut self, mut condition: impl AsyncFnMut() -> bool) {
        let start = Instant::now();
        while !condition().await {
            let running = matches!(self.process.try_wait(), Ok(None));
            assert!(running && start.elapsed() < TIMEOUT, "{}", self.log());
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns once a process listens on the port.
    pub(crate) async fn until_served(&mut self, port: u16) {
        self.until(async || TcpStream::connect(("127.0.0.1", port)).is_ok())
            .await;
    }

    /// Stops it as Ctrl-C does; it must succeed, and no process may listen on the ports afterwards.
    pub(crate) fn stop_all(&mut self, ports: &[u16]) {
        assert_eq!(self.stop(), Some(0), "{}", self.log());
        for port in ports {
            TcpListener::bind(("127.0.0.1", *port)).expect("everything is stopped");
        }
    }

    fn stop(&mut self) -> Option<i32> {
        if let Ok(Some(status)) = self.process.try_wait() {
            return status.code();
        }
        // Its children have groups of their own.
        let _ = Command::new("kill")
            .args(["-INT", &self.process.id().to_string()])
            .status();
        let signalled = Instant::now();
        while signalled.elapsed() < STOPPING {
            if let Ok(Some(status)) = self.process.try_wait() {
                return status.code();
            }
            std::thread::sleep(POLL);
        }
        None
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.stop();
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Returns a port that no process uses now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there are ports");
    listener.local_addr().expect("it has an address").port()
}
