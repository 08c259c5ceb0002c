//! A running Prometheus that receives by remote write.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::api::Api;

/// The features that the queries need, with which no other flag changes a result.
pub const FEATURES: &str =
    "promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers";

/// The process, its API and its folder.
#[derive(Debug)]
pub struct Prometheus {
    process: Child,
    /// The API.
    pub api: Api,
    _folder: tempfile::TempDir,
}

impl Prometheus {
    /// Starts it without data, with these features.
    ///
    /// # Panics
    /// It does not start.
    pub fn start(features: &str) -> Self {
        Self::start_with(features, "", &[])
    }

    /// Starts it with a configuration and further flags.
    ///
    /// # Panics
    /// It does not start.
    pub fn start_with(features: &str, configuration: &str, flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let config = folder.path().join("prometheus.yml");
        std::fs::write(&config, configuration).expect("the folder can be written to");
        let address = free_address();
        let process = Command::new(program())
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                folder.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .arg("--storage.tsdb.retention.time=100y")
            .arg("--web.enable-remote-write-receiver")
            .arg(format!("--enable-feature={features}"))
            .args(flags)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program runs");
        let prometheus = Self {
            process,
            api: Api::new(address, "/api/v1/write"),
            _folder: folder,
        };
        let deadline = Instant::now() + Duration::from_secs(60);
        let is_ready = || {
            let response = prometheus.api.exchange("GET", "/-/ready", &[], &[]);
            response.is_ok_and(|it| it.status == 200)
        };
        while !is_ready() {
            assert!(Instant::now() < deadline, "Prometheus does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        prometheus
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn program() -> PathBuf {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/prometheus.sh");
    let output = Command::new(&script)
        .stderr(Stdio::inherit())
        .output()
        .expect("the script is there");
    assert!(
        output.status.success(),
        "no Prometheus can be had; the lines above say why"
    );
    PathBuf::from(
        String::from_utf8(output.stdout)
            .expect("paths are UTF-8")
            .trim_end(),
    )
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr();
    address.expect("it is bound").to_string()
}
