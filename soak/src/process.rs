//! Resources of a process, as Linux reports them.

use std::time::Duration;

/// Linux' unit of processor time, on every processor that this project builds for (USER_HZ).
const TICKS_PER_SECOND: u32 = 100;

/// Returns the processor time that a process has used so far, to a hundredth of a second.
///
/// # Panics
/// There is no such process.
pub fn cpu_time(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    let stat = stat.expect("Linux tells about a process");
    // The name, in parentheses, may hold spaces. User and system time are fields 14 and 15.
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u32 = ticks.map(|it| it.parse::<u32>().expect("a number")).sum();
    Duration::from_secs(1) * ticks / TICKS_PER_SECOND
}

/// Returns the most memory that a process has had so far, in KiB; `None` if it has ended.
pub fn peak_memory_kib(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    peak.trim().strip_suffix(" kB")?.parse().ok()
}
