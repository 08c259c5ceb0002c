//! Prometheus' own engine, in a process that evaluates one query after the other.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use crate::data::Series;
use crate::query::Query;
use crate::result::QueryResult;
use crate::wire;

/// The program of Prometheus' own engine, with the data.
#[derive(Debug)]
pub struct Judge {
    process: Child,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
    sent: usize,
    received: usize,
    has_statistics: bool,
}

impl Judge {
    /// Returns the path of the program, which a script builds if need be.
    ///
    /// # Panics
    /// It cannot be built; the output of the script has the reason.
    pub fn obtain() -> PathBuf {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/go-tools.sh");
        let output = Command::new(script)
            .arg("promql-judge")
            .stderr(Stdio::inherit())
            .output()
            .expect("the script is there");
        assert!(output.status.success(), "{script} failed, see above");
        let path = String::from_utf8(output.stdout).expect("paths are UTF-8");
        PathBuf::from(path.trim_end())
    }

    /// Starts the program with this data.
    ///
    /// # Panics
    /// It does not run.
    pub fn start(program: &Path, data: &[Series]) -> Self {
        let mut process = Command::new(program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut input = BufWriter::new(process.stdin.take().expect("it is piped"));
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let lines = wire::data_lines(data);
        input
            .write_all(lines.as_bytes())
            .expect("the program reads the data");
        Self {
            process,
            input,
            output,
            sent: 0,
            received: 0,
            has_statistics: true,
        }
    }

    /// Leaves the statistics out of the results.
    pub fn without_statistics(&mut self) {
        self.has_statistics = false;
    }

    /// Sends a query. Its result is one of the next to be received.
    ///
    /// # Panics
    /// The program has ended.
    pub fn send(&mut self, query: &Query, text: &str) {
        let line = wire::query_line(self.sent, query, text);
        let written = self.input.write_all(line.as_bytes());
        written
            .and_then(|()| self.input.flush())
            .expect("the program reads queries");
        self.sent += 1;
    }

    /// Receives the result of the first query that has none yet.
    ///
    /// # Panics
    /// The program has ended, or has printed something else.
    pub fn receive(&mut self) -> QueryResult {
        let output = &mut self.output;
        let mut result = wire::read_result(self.received, || {
            let mut line = Vec::new();
            output.read_until(b'\n', &mut line).expect("it can be read");
            assert_eq!(line.pop(), Some(b'\n'), "the program has ended");
            String::from_utf8_lossy(&line).into_owned()
        });
        self.received += 1;
        if !self.has_statistics {
            result.samples = None;
        }
        result
    }

    /// Evaluates a query.
    pub fn evaluate(&mut self, query: &Query, text: &str) -> QueryResult {
        self.send(query, text);
        self.receive()
    }
}

impl Drop for Judge {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
