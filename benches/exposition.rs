//! The cost of parsing scraped metrics: 100,000 lines, for one core and without any I/O, the fastest of many
//! runs. Prints a table.
//!
//! Each row runs in its own process, because a process does not return all the memory that it frees.

#[allow(dead_code, reason = "each user needs a part of it")]
#[path = "../tests/support/exporters.rs"]
mod exporters;

use std::fmt::Write;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use exposition::{Format, parse};
use prom_wire::prompb::TimeSeries;

const LINES: usize = 100_000;
/// The time for which each row is measured.
const TIME: Duration = Duration::from_secs(3);
/// The variables with the row and the body that a process measures.
const ROW: &str = "EXPOSITION_ROW";
const FILE: &str = "EXPOSITION_FILE";
const ROWS: [(&str, Format); 4] = [
    ("synthetic", Format::Text),
    ("synthetic", Format::OpenMetrics),
    ("node exporter", Format::Text),
    ("node exporter", Format::OpenMetrics),
];

fn main() {
    if let Ok(file) = std::env::var(FILE) {
        let row: usize = std::env::var(ROW).expect("both").parse().expect("a number");
        measure(ROWS[row].0, ROWS[row].1, &file);
        return;
    }
    println!("| lines, format | bytes a line | lines/s | MiB/s | memory, bytes a line |");
    println!("|---|---:|---:|---:|---:|");
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("body");
    for (row, (name, format)) in ROWS.into_iter().enumerate() {
        let series = match name {
            "synthetic" => exporters::synthetic(LINES),
            _ => exporters::node_exporters().first(LINES),
        };
        std::fs::write(&file, formatted(&series, format)).expect("there is room");
        let mut program = Command::new(std::env::current_exe().expect("it runs"));
        let row = program.env(ROW, row.to_string()).env(FILE, &file).status();
        assert!(row.expect("it starts").success());
    }
}

fn measure(name: &str, format: Format, file: &str) {
    let body = std::fs::read(file).expect("it was written");
    let before = resident_bytes();
    let exposition = parse(&body, format).expect("it is well-formed");
    let memory = resident_bytes().saturating_sub(before);
    assert_eq!(exposition.samples.len(), LINES);
    drop(exposition);

    let (start, mut fastest) = (Instant::now(), Duration::MAX);
    while start.elapsed() < TIME {
        let run = Instant::now();
        let exposition = parse(black_box(&body), format);
        fastest = fastest.min(run.elapsed());
        assert!(black_box(exposition).is_ok());
    }
    let seconds = fastest.as_secs_f64();
    println!(
        "| {name}, {format} | {} | {:.0} | {:.0} | {} |",
        body.len() / LINES,
        LINES as f64 / seconds,
        body.len() as f64 / seconds / f64::from(1 << 20),
        memory / LINES,
    );
}

/// Formats the series as lines, each metric with its type and a help text.
fn formatted(series: &[TimeSeries], format: Format) -> Vec<u8> {
    let (mut body, mut last) = (String::new(), String::new());
    for series in series {
        let mut labels = series.labels.iter();
        let name = labels.find(|label| label.name == "__name__");
        let name = &name.expect("a name").value;
        if *name != last {
            writeln!(body, "# HELP {name} What it is, in a few words.").expect("a text");
            writeln!(body, "# TYPE {name} gauge").expect("a text");
            last.clone_from(name);
        }
        let labels = series.labels.iter().filter(|it| it.name != "__name__");
        let labels = labels.map(|label| format!("{}={:?}", label.name, label.value));
        let labels: Vec<_> = labels.collect();
        let value = series.samples[0].value;
        writeln!(body, "{name}{{{}}} {value}", labels.join(",")).expect("a text");
    }
    if format == Format::OpenMetrics {
        body += "# EOF\n";
    }
    body.into_bytes()
}

/// Returns the resident memory of this process.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    number.expect("a number of KiB") * 1_024
}
