//! The programs, targets and times that runs of every kind have.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest that a killed program stays away.
pub(crate) const MAX_ABSENCE: Duration = Duration::from_secs(5);

/// Programs, targets and times of a run.
pub struct Setup<'a> {
    /// The connector's binary.
    pub connector: &'a Path,
    /// The emulator's binary.
    pub emulator: &'a Path,
    /// Prometheus' binary.
    pub prometheus: PathBuf,
    /// The folder of logs and data.
    pub folder: &'a Path,
    /// Targets at any time.
    pub targets: u32,
    /// Targets that new ones replace in each phase.
    pub replaced: u32,
    /// Time between two scrapes of a target.
    pub scrape_interval: Duration,
    /// The length of a phase.
    pub phase: Duration,
    /// Time to complete the rest once the failures are over.
    pub drain_timeout: Duration,
    /// Called with the name of each phase.
    pub report: fn(&str),
}
