//! The place in which the commands of a page run: a folder like a clone in which the programs are built, with an
//! emulator for Timestream, one for other AWS services, and servers under the names that pages use.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::routing::{get, post};
use prom_wire::prompb::{Label, Sample, TimeSeries, WriteRequest};
use soak::programs::{Program, free_port};
use tempfile::TempDir;
use timestream_emulator::{Config, Emulator, TableSpec};
use tokio::net::TcpListener;
use tokio::process::Command;

use crate::blocks::Block;
use crate::programs;
use crate::tools::{aws, obtained, root};

/// The token that the pages' variables hold.
const TOKEN: &str = "a-token-of-the-tests-0123456789abcdef";
/// Starts of the lines that every program of a page gets.
const SHELL: &str = "#!/bin/bash\nset -euo pipefail\n";
/// Files and folders at the root of a clone.
const CLONE: [&str; 6] = [
    "docs",
    "events",
    "proto",
    "samconfig.toml",
    "scripts",
    "template.yaml",
];

/// Programs that make the arguments of others.
const BASIC: [&str; 4] = ["cat", "openssl", "rm", "tr"];

/// Programs that many pages use.
pub(crate) struct Tools {
    aws: PathBuf,
    sam: PathBuf,
    promtool: PathBuf,
    prometheus: PathBuf,
    emulator: PathBuf,
    /// The address of a server that plays AWS services other than Timestream.
    aws_services: String,
}

impl Tools {
    pub(crate) async fn obtain(aws_services: String) -> Self {
        Self {
            aws: aws().await,
            sam: obtained("python.sh", "lambda").await,
            promtool: obtained("prometheus.sh", "promtool").await,
            prometheus: obtained("prometheus.sh", "prometheus").await,
            emulator: programs::emulator().await.to_owned(),
            aws_services,
        }
    }
}

/// The place for one page.
pub(crate) struct Scene {
    folder: TempDir,
    /// Texts of the page, and those that stand for them here.
    replaced: Vec<(&'static str, String)>,
    variables: Vec<(&'static str, String)>,
    /// The Timestream of `make run`, and that of the account.
    timestreams: [Emulator; 2],
    _prometheus: Option<Program>,
}

async fn timestream(tables: Vec<TableSpec>) -> Emulator {
    let config = Config {
        tables,
        ..Config::default()
    };
    Emulator::start(config).await.unwrap()
}

fn table(name: &str) -> TableSpec {
    TableSpec {
        magnetic_writes: true,
        ..TableSpec::new("prometheus", name)
    }
}

/// Returns a body of remote write: what a Prometheus would have sent.
fn samples() -> Vec<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let label = |(name, value): (&str, &str)| Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let series = |name| TimeSeries {
        labels: [("__name__", name), ("instance", "a"), ("job", "node")]
            .map(label)
            .into(),
        samples: vec![Sample {
            value: 1.0,
            timestamp: now.as_millis().try_into().unwrap(),
        }],
        ..TimeSeries::default()
    };
    let timeseries = ["shop_orders_total", "up"].map(series).into();
    let request = WriteRequest {
        timeseries,
        metadata: vec![],
    };
    prom_wire::encode(&request).unwrap()
}

/// Serves a target to scrape and a receiver of remote write; returns its address.
async fn others() -> String {
    let router = Router::new()
        .route("/metrics", get(async || "node_load1 0.25\n"))
        .route("/api/v1/push", post(async || http::StatusCode::NO_CONTENT));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

impl Scene {
    pub(crate) async fn new(blocks: &[&Block], tools: &Tools) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text: String = blocks.iter().map(|it| it.text.as_str()).collect();
        let tables = || ["samples", "metrics", "other"].map(table).into();
        let local = timestream(tables()).await;
        // A page that creates the database has none at first.
        let account = match text.contains("create-database") {
            true => timestream(vec![]).await,
            false => timestream(tables()).await,
        };
        let others = others().await;
        let (connector, emulator) = (free_port(), free_port());
        let here = folder.path().display().to_string();
        let mut scene = Self {
            replaced: vec![
                ("localhost:9201", format!("127.0.0.1:{connector}")),
                // The function of `make watch` has the same routes.
                ("localhost:9000", format!("127.0.0.1:{connector}")),
                (
                    "https://connector.example",
                    format!("http://127.0.0.1:{connector}"),
                ),
                ("127.0.0.1:9202", format!("127.0.0.1:{emulator}")),
                ("localhost:9202", format!("127.0.0.1:{emulator}")),
                ("http://node-exporter:9100", others.clone()),
                ("https://mimir.example", others),
                (
                    "https://sqs.eu-west-1.amazonaws.com",
                    tools.aws_services.clone(),
                ),
                ("/var/lib/connector/", format!("{here}/var/")),
                ("/etc/prometheus/", format!("{here}/etc/")),
            ],
            variables: vec![
                ("DOC_FOLDER", here.clone()),
                ("DOC_CONNECTOR_PORT", connector.to_string()),
                ("DOC_EMULATOR_PORT", emulator.to_string()),
                ("HOME", here.clone()),
                ("CURL_HOME", here),
                ("TOKEN", TOKEN.to_owned()),
                ("READ_TOKEN", TOKEN.to_owned()),
                ("PROMETHEUS_PASSWORD", "p".to_owned()),
                ("MIMIR_PASSWORD", "m".to_owned()),
                ("AWS_ACCESS_KEY_ID", "local".to_owned()),
                ("AWS_SECRET_ACCESS_KEY", "local".to_owned()),
                ("AWS_DEFAULT_REGION", "eu-west-1".to_owned()),
                ("AWS_ENDPOINT_URL", tools.aws_services.clone()),
                ("DOC_LOCAL", local.url()),
                ("SAM_CLI_TELEMETRY", "0".to_owned()),
            ],
            folder,
            _prometheus: None,
            timestreams: [local, account],
        };
        // A page may export the address by itself.
        if !text.contains("export AWS_ENDPOINT_URL=") {
            let url = scene.timestreams[1].url();
            for name in [
                "AWS_ENDPOINT_URL_TIMESTREAM_WRITE",
                "AWS_ENDPOINT_URL_TIMESTREAM_QUERY",
            ] {
                scene.variables.push((name, url.clone()));
            }
        }
        scene.make_clone();
        scene.make_programs(tools);
        if text.contains("localhost:9090") || text.contains("prometheus:9090") {
            let prometheus = scene.start_prometheus(tools).await;
            let address = prometheus.url.trim_start_matches("http://").to_owned();
            scene._prometheus = Some(prometheus);
            for name in ["localhost:9090", "prometheus:9090"] {
                scene.replaced.push((name, address.clone()));
            }
        }
        for block in blocks {
            if let Some(file) = block.mark.as_ref().and_then(|mark| mark.file.as_ref()) {
                scene.write(file, scene.adapted(&block.text));
            }
        }
        scene
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn make_clone(&self) {
        for name in CLONE {
            symlink(root().join(name), self.path(name)).unwrap();
        }
        self.write("seed", samples());
        // HTTP errors are errors of the command.
        self.write(".curlrc", "fail-with-body\nsilent\nshow-error\n");
        self.write("target/lambda/bootstrap/bootstrap.zip", EMPTY_ZIP);
        self.write("connector.log", "");
        self.write("etc/connector.token", TOKEN);
        std::fs::create_dir_all(self.path("var/dead-letters")).unwrap();
    }

    /// Makes the programs that pages name: the real ones, with what this machine needs.
    fn make_programs(&self, tools: &Tools) {
        let program = |name: &str, text: String| {
            let file = format!("programs/{name}");
            self.write(&file, SHELL.to_owned() + &text);
            let all = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(self.path(&file), all).unwrap();
        };
        let failed = "echo \"$DOC_PLACE: ${0##*/} $*\" >>\"$DOC_FOLDER/failed\"";
        let quoted = |path: &Path| format!("'{}'", path.display());
        let (aws, sam) = (quoted(&tools.aws), quoted(&tools.sam));
        program(
            "aws",
            format!(
                "[[ $DOC_MODE == run ]] && exec {aws} \"$@\"\n\
                 # Arguments are checked before the call, which nothing accepts.\n\
                 export AWS_MAX_ATTEMPTS=1\n\
                 text=$({aws} \"$@\" --endpoint-url http://127.0.0.1:1 2>&1) && exit\n\
                 [[ $text == *'Could not connect to the endpoint'* ]] || {failed}\n"
            ),
        );
        let judge = quoted(&root().join("tests/documents/sam.py"));
        program(
            "sam",
            format!("cd \"$DOC_FOLDER\"\n{sam} -B {judge} \"$@\" || {failed}\n"),
        );
        program(
            "promtool",
            format!("exec {} \"$@\"\n", quoted(&tools.promtool)),
        );
        let bootstrap = format!("'{}'", env!("CARGO_BIN_EXE_bootstrap"));
        program(
            "bootstrap",
            format!(
                "case \"${{1:-}}\" in run | replay | healthcheck | completions | man | doctor | estimate) exec {bootstrap} \"$@\" ;; esac\n\
                 for flag; do [[ $flag != --help && $flag != --version ]] || exec {bootstrap} \"$@\"; done\n\
                 if [[ $DOC_MODE == parse ]]; then {bootstrap} \"$@\" --check-config || {failed}; exit; fi\n\
                 {START_CONNECTOR}",
                START_CONNECTOR = START_CONNECTOR.replace("PROGRAM", &bootstrap),
            ),
        );
        let emulator = quoted(&tools.emulator);
        program(
            "timestream-emulator",
            START_EMULATOR.replace("PROGRAM", &emulator),
        );
        program(
            "cargo",
            format!("[[ \"$*\" == 'build --release' ]] || {failed}\n"),
        );
        program(
            "docker",
            format!(
                "[[ $1 == run ]] || exit 0\n\
                 while [[ $# -gt 0 && $1 != timestream-prometheus-connector ]]; do shift; done\n\
                 shift || exit 0\n\
                 [[ $# -eq 0 ]] || {bootstrap} \"$@\" --check-config >/dev/null || {failed}\n"
            ),
        );
        // A block of which nothing is run has these programs beside its own.
        std::fs::create_dir_all(self.path("basic")).unwrap();
        for name in BASIC {
            let path = std::env::var_os("PATH").unwrap();
            let found = std::env::split_paths(&path).map(|folder| folder.join(name));
            let found = { found }.find(|file| file.is_file());
            symlink(
                found.unwrap_or_else(|| panic!("no {name}")),
                self.path("basic").join(name),
            )
            .unwrap();
        }
        std::fs::create_dir_all(self.path("target/release")).unwrap();
        symlink(
            self.path("programs/bootstrap"),
            self.path("target/release/bootstrap"),
        )
        .unwrap();
    }

    /// Starts a Prometheus that reads from the connector, as that of `make run`, and accepts remote write.
    async fn start_prometheus(&self, tools: &Tools) -> Program {
        let port = &self.replaced[0].1;
        let config = format!("remote_read: [{{ url: 'http://{port}/read' }}]\n");
        self.write("prometheus.yml", config);
        let (program, folder) = (tools.prometheus.clone(), self.folder.path().to_owned());
        let command = move |port| {
            let mut command = Command::new(&program);
            command
                .arg("--web.enable-remote-write-receiver")
                .arg(format!(
                    "--config.file={}",
                    folder.join("prometheus.yml").display()
                ))
                .arg(format!(
                    "--storage.tsdb.path={}",
                    folder.join("tsdb").display()
                ))
                .arg(format!("--web.listen-address=127.0.0.1:{port}"));
            command
        };
        Program::start("prometheus", self.folder.path(), "/-/ready", command).await
    }

    /// Returns a text with the addresses and folders of this place.
    pub(crate) fn adapted(&self, text: &str) -> String {
        let mut adapted = text.to_owned();
        for (from, to) in &self.replaced {
            adapted = adapted.replace(from, to);
        }
        adapted
    }

    /// Runs a script; returns its status and what it printed.
    pub(crate) async fn run(&self, script: &str) -> (bool, String) {
        self.write("page.sh", script);
        let output = Command::new("bash")
            .arg("page.sh")
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .env("PATH", std::env::var_os("PATH").unwrap())
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.success(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    }

    /// Returns a file that the page's commands have written.
    pub(crate) fn text(&self, name: &str) -> String {
        let bytes = std::fs::read(self.path(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for name in ["connector.pid", "emulator.pid"] {
            let pid = self.text(name);
            if !pid.is_empty() {
                let kill = std::process::Command::new("kill")
                    .args(["-9", pid.trim()])
                    .status();
                kill.expect("kill starts");
            }
        }
    }
}

/// A zip archive without files.
const EMPTY_ZIP: &[u8] = b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// Starts a server at the page's port, in place of the one before, and sends it what a Prometheus would.
const START_CONNECTOR: &str = r#"
pid="$DOC_FOLDER/connector.pid"
if [[ -s $pid ]]; then
    kill "$(cat "$pid")"
    while kill -0 "$(cat "$pid")" 2>/dev/null; do sleep 0.05; done
fi
url="http://127.0.0.1:$DOC_CONNECTOR_PORT"
PROGRAM "$@" --web.listen-address="127.0.0.1:$DOC_CONNECTOR_PORT" >>"$DOC_FOLDER/server.log" 2>&1 &
printf '%s' $! >"$pid"
until curl --output /dev/null "$url/-/healthy" 2>/dev/null; do
    kill -0 "$(cat "$pid")" 2>/dev/null || { cat "$DOC_FOLDER/server.log"; exit 1; }
    sleep 0.05
done
curl --output /dev/null --data-binary @"$DOC_FOLDER/seed" --header "Authorization: Bearer ${bearer_token:-}" \
    --header 'Content-Type: application/x-protobuf' --header 'Content-Encoding: snappy' "$url/write"
"#;

/// Starts an emulator at the page's port.
const START_EMULATOR: &str = r#"
PROGRAM "$@" >"$DOC_FOLDER/emulator.log" 2>&1 &
printf '%s' $! >"$DOC_FOLDER/emulator.pid"
until curl --output /dev/null "http://127.0.0.1:$DOC_EMULATOR_PORT/_emulator/health" 2>/dev/null; do
    kill -0 $! 2>/dev/null || { cat "$DOC_FOLDER/emulator.log"; exit 1; }
    sleep 0.05
done
cat "$DOC_FOLDER/emulator.log"
"#;
