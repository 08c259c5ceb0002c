//! The emulator in this process and the connector's binary in front of it.

use std::time::{Duration, Instant};

use prom_wire::prompb::{TimeSeries, WriteRequest};
use soak::programs::{POLL, Program};
use tempfile::TempDir;
use timestream_emulator::{Config, Emulator, Point, TableSpec, Value};
use tokio::process::Command;

/// The token that the connector requires.
pub(crate) const TOKEN: &str = "a-token-of-the-tests";
/// Database and table of series that name none.
pub(crate) const DATABASE: &str = "db";
pub(crate) const TABLE: &str = "t";
/// The longest time until samples that were sent are stored.
const STORED_WITHIN: Duration = Duration::from_secs(60);

/// A connector whose Timestream is an emulator of its own.
pub(crate) struct Stage {
    pub(crate) emulator: Emulator,
    pub(crate) connector: Program,
    /// A folder for the test's files.
    pub(crate) folder: TempDir,
}

impl Stage {
    /// Starts it with these tables beside the default one.
    pub(crate) async fn start(tables: Vec<TableSpec>, flags: &[&str]) -> Self {
        let mut all = vec![table(TABLE)];
        all.extend(tables);
        let emulator = Emulator::start(Config {
            tables: all,
            ..Config::default()
        });
        let emulator = emulator.await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("connector.token"), TOKEN).unwrap();
        let flags: Vec<String> = flags.iter().map(|&flag| flag.to_owned()).collect();
        let endpoint = emulator.url();
        let command = move |port| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_bootstrap"));
            command
                .env_clear()
                .env("AWS_ACCESS_KEY_ID", "local")
                .env("AWS_SECRET_ACCESS_KEY", "local")
                .env("AWS_ENDPOINT_URL", &endpoint)
                .env("bearer_token", TOKEN)
                .arg(format!("--default-database={DATABASE}"))
                .arg(format!("--default-table={TABLE}"))
                .args(&flags)
                .arg(format!("--web.listen-address=127.0.0.1:{port}"));
            command
        };
        let connector = Program::start("connector", folder.path(), "/-/ready", command).await;
        Self {
            emulator,
            connector,
            folder,
        }
    }

    /// Stores series by remote write.
    pub(crate) async fn write(&self, timeseries: Vec<TimeSeries>) {
        let request = WriteRequest {
            timeseries,
            metadata: vec![],
        };
        let request = soak::http::client()
            .post(format!("{}/write", self.connector.url))
            .bearer_auth(TOKEN)
            .body(prom_wire::encode(&request).unwrap());
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 204, "{}", response.text().await.unwrap());
    }

    /// Returns the name of a file in the folder.
    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Returns the connector's log so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("connector.log")).unwrap()
    }

    /// Waits until the default table has as many points of the measure, and returns them in the order of
    /// time.
    pub(crate) async fn stored(&self, measure: &str, count: usize) -> Vec<Stored> {
        let deadline = Instant::now() + STORED_WITHIN;
        loop {
            let mut stored = self.points(measure);
            if stored.len() >= count {
                stored.sort_by_key(|it| it.time_ms);
                return stored;
            }
            assert!(
                Instant::now() < deadline,
                "{} of {count} points of {measure} are stored; the connector's log:\n{}",
                stored.len(),
                self.log()
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Returns the points of the measure in the default table.
    pub(crate) fn points(&self, measure: &str) -> Vec<Stored> {
        let points = self.emulator.points(DATABASE, TABLE).into_iter();
        let points = points.filter(|point| point.measure_name == measure);
        points.map(Stored::from).collect()
    }
}

/// A stored number.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) dimensions: std::collections::BTreeMap<String, String>,
    pub(crate) time_ms: i64,
    pub(crate) value: f64,
}

impl From<Point> for Stored {
    fn from(point: Point) -> Self {
        let Value::Double(value) = point.value else {
            panic!("{point:?} is no number");
        };
        Self {
            dimensions: point.dimensions,
            time_ms: point.time_ns / 1_000_000,
            value,
        }
    }
}

/// Returns a table that accepts data of any age.
pub(crate) fn table(name: &str) -> TableSpec {
    TableSpec {
        magnetic_writes: true,
        ..TableSpec::new(DATABASE, name)
    }
}
