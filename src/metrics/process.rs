//! The metrics of the process, as every exporter has them:
//! <https://prometheus.io/docs/instrumenting/writing_clientlibs/#process-metrics>.
//!
//! They come from Linux' `/proc` at each scrape. What cannot be read there, on other systems all
//! of it, is omitted.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// Clock ticks per second in what `/proc` shows: `USER_HZ`, 100 on every platform that Rust's
/// standard library for Linux supports.
const TICKS_PER_SECOND: f64 = 100.0;
const BYTES_PER_KIB: f64 = 1024.0;

/// Reads the numbers of this process whenever metrics are requested.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), fmt::Error> {
        let readings = Readings::of_this_process();
        if let Some(seconds) = readings.cpu_seconds {
            counter(
                &mut encoder,
                "process_cpu_seconds",
                "User and system CPU time used",
                seconds,
            )?;
        }
        let gauges = [
            (
                "process_open_fds",
                "Open file descriptors",
                readings.open_fds,
            ),
            (
                "process_max_fds",
                "Limit of open file descriptors",
                readings.max_fds,
            ),
            (
                "process_virtual_memory_bytes",
                "Size of the virtual memory",
                readings.virtual_memory_bytes,
            ),
            (
                "process_resident_memory_bytes",
                "Size of the resident memory",
                readings.resident_memory_bytes,
            ),
            (
                "process_start_time_seconds",
                "Start time since the Unix epoch",
                readings.start_time_seconds,
            ),
            ("process_threads", "Threads", readings.threads),
        ];
        for (name, help, value) in gauges {
            if let Some(value) = value {
                gauge(&mut encoder, name, help, value)?;
            }
        }
        Ok(())
    }
}

fn counter(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: f64) -> fmt::Result {
    let metric = ConstCounter::new(value);
    metric.encode(encoder.encode_descriptor(
        name,
        &format!("{help}."),
        None,
        metric.metric_type(),
    )?)
}

fn gauge(encoder: &mut DescriptorEncoder, name: &str, help: &str, value: f64) -> fmt::Result {
    let metric = ConstGauge::new(value);
    metric.encode(encoder.encode_descriptor(
        name,
        &format!("{help}."),
        None,
        metric.metric_type(),
    )?)
}

/// The values that could be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Readings {
    cpu_seconds: Option<f64>,
    open_fds: Option<f64>,
    max_fds: Option<f64>,
    virtual_memory_bytes: Option<f64>,
    resident_memory_bytes: Option<f64>,
    start_time_seconds: Option<f64>,
    threads: Option<f64>,
}

impl Readings {
    fn of_this_process() -> Self {
        let file = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let open_fds = fs::read_dir("/proc/self/fd")
            .ok()
            // The listing itself holds one open.
            .map(|entries| entries.count().saturating_sub(1) as f64);
        Self {
            open_fds,
            ..Self::parse(
                &file("/proc/self/stat"),
                &file("/proc/self/status"),
                &file("/proc/self/limits"),
                &file("/proc/stat"),
            )
        }
    }

    /// Reads the files of a process and the machine's `stat`; see proc(5).
    fn parse(stat: &str, status: &str, limits: &str, machine_stat: &str) -> Self {
        // The second field is the program's name in parentheses, which may hold anything.
        let fields: Vec<f64> = stat
            .rsplit_once(") ")
            .map(|(_, rest)| rest.split(' ').map(number_or_nan).collect())
            .unwrap_or_default();
        // From the third field of proc(5) on.
        let field = |number: usize| fields.get(number - 3).copied();
        let kib = |name| after(status, name).map(|kib| kib * BYTES_PER_KIB);
        let booted = after(machine_stat, "btime");
        Self {
            cpu_seconds: field(14)
                .zip(field(15))
                .map(|(user, system)| (user + system) / TICKS_PER_SECOND),
            open_fds: None,
            max_fds: after(limits, "Max open files"),
            virtual_memory_bytes: kib("VmSize:"),
            resident_memory_bytes: kib("VmRSS:"),
            start_time_seconds: booted
                .zip(field(22))
                .map(|(booted, ticks)| booted + ticks / TICKS_PER_SECOND),
            threads: after(status, "Threads:"),
        }
    }
}

fn number_or_nan(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

/// The number that follows `name` at the start of a line.
fn after(text: &str, name: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_proc() {
        let stat = "5077 (a) b) S 5054 5054 31962 0 -1 4194304 117 0 0 0 250 50 0 0 20 0 1 0 \
                    592261 3133440 390 18446744073709551615 1";
        let status = "Name:\tx\nVmSize:\t    3060 kB\nVmRSS:\t    1560 kB\nThreads:\t7\n";
        let limits = "Limit  Soft Limit  Hard Limit  Units\n\
                      Max open files            1024                 524288               files\n";
        let machine = "cpu 1 2 3\nbtime 1600000000\n";
        let expected = Readings {
            cpu_seconds: Some(3.0),
            open_fds: None,
            max_fds: Some(1024.0),
            virtual_memory_bytes: Some(3_133_440.0),
            resident_memory_bytes: Some(1_597_440.0),
            start_time_seconds: Some(1_600_005_922.61),
            threads: Some(7.0),
        };
        assert_eq!(Readings::parse(stat, status, limits, machine), expected);
    }

    #[test]
    fn absent_values_are_omitted() {
        assert_eq!(Readings::parse("", "", "", ""), Readings::default());
        let unlimited =
            "Max open files            unlimited            unlimited            files\n";
        assert_eq!(Readings::parse("", "", unlimited, "").max_fds, None);
    }
}
