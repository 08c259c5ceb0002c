//! What reading metrics costs that programs show as text: 100,000 lines, for one core and without any
//! I/O. Prints a table.
//!
//! Each row is a process of its own, as memory that was freed once stays with a process.

#[allow(dead_code, reason = "each user needs a part of it")]
#[path = "../tests/support/exporters.rs"]
mod exporters;

use std::fmt::Write;
use std::hint::black_box;
use std::process::Command;
use std::time::{Duration, Instant};

use timestream_prometheus_connector::exposition::{Format, parse};
use timestream_prometheus_connector::prompb::TimeSeries;

const LINES: usize = 100_000;
/// How long each row is measured.
const TIME: Duration = Duration::from_secs(3);
/// The row that a process is to measure.
const ROW: &str = "EXPOSITION_ROW";
const ROWS: [(&str, Format); 4] = [
    ("synthetic", Format::Text),
    ("synthetic", Format::OpenMetrics),
    ("node exporter", Format::Text),
    ("node exporter", Format::OpenMetrics),
];

fn main() {
    if let Ok(row) = std::env::var(ROW) {
        let (name, format) = ROWS[row.parse::<usize>().expect("a number")];
        measure(name, format);
        return;
    }
    println!("| lines, format | bytes a line | lines/s | MiB/s | memory, bytes a line |");
    println!("|---|---:|---:|---:|---:|");
    for row in 0..ROWS.len() {
        let program = std::env::current_exe().expect("it runs");
        let status = Command::new(program).env(ROW, row.to_string()).status();
        assert!(status.expect("it starts").success());
    }
}

fn measure(name: &str, format: Format) {
    let series = match name {
        "synthetic" => exporters::synthetic(LINES),
        _ => exporters::node_exporters(LINES / 400).series,
    };
    let body = shown(&series, format);
    drop(series);
    let before = resident_bytes();
    let exposition = parse(&body, format).expect("it is well-formed");
    let memory = resident_bytes().saturating_sub(before);
    assert_eq!(exposition.samples.len(), LINES);
    drop(exposition);

    let (start, mut runs) = (Instant::now(), 0_u32);
    while start.elapsed() < TIME {
        black_box(parse(black_box(&body), format)).expect("it is well-formed");
        runs += 1;
    }
    let seconds = start.elapsed().as_secs_f64() / f64::from(runs);
    println!(
        "| {name}, {format} | {} | {:.0} | {:.0} | {} |",
        body.len() / LINES,
        LINES as f64 / seconds,
        body.len() as f64 / seconds / f64::from(1 << 20),
        memory / LINES,
    );
}

/// So many lines of these series, each metric with its type and a help text.
fn shown(series: &[TimeSeries], format: Format) -> Vec<u8> {
    let (mut body, mut last) = (String::new(), String::new());
    assert!(series.len() >= LINES, "{}", series.len());
    for series in &series[..LINES] {
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

/// Memory of this process.
fn resident_bytes() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse::<usize>().ok());
    number.expect("a number of KiB") * 1_024
}
