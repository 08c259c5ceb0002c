//! A server from PyPI that plays AWS services over the real wire protocol.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// A server that plays SQS and DynamoDB.
pub(crate) struct Moto {
    _server: Child,
    pub(crate) url: String,
}

impl Moto {
    pub(crate) async fn start() -> Self {
        Self::start_with(true).await
    }

    /// Starts one that serves one call at a time: unlike DynamoDB, it takes no lock between a
    /// condition and the change that it allows.
    pub(crate) async fn start_in_turn() -> Self {
        Self::start_with(false).await
    }

    async fn start_with(threaded: bool) -> Self {
        // The server's own command does not report its port, so its library is used.
        let program = "\
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
server = make_server('127.0.0.1', 0, DomainDispatcherApplication(create_backend_app), threaded=len(sys.argv) > 1)
print(server.server_port, flush=True)
server.serve_forever()
";
        let mut server = Command::new(python())
            .args(["-c", program])
            .args(threaded.then_some("threaded"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let port = lines
            .next_line()
            .await
            .unwrap()
            .expect("the server tells its port");
        Self {
            _server: server,
            url: format!("http://127.0.0.1:{port}"),
        }
    }
}

/// Returns a Python with the server, from the cache or made: see the script.
fn python() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/python.sh");
    let output = std::process::Command::new("bash")
        .args([script, "queue"])
        .stderr(Stdio::inherit())
        .output()
        .expect("bash runs");
    assert!(
        output.status.success(),
        "no Python can be had; the lines above say why"
    );
    String::from_utf8(output.stdout).unwrap().trim_end().into()
}
