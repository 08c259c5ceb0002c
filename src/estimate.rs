//! The bill of a month for real series, before anything is stored.
//!
//! [`series`] holds the series of targets, [`sink`] batches them as the connector does and counts,
//! [`bill`] makes dollars of the counts by [`crate::prices`], [`report`] compares the bill with others and writes it.
//! [`plan`] chooses the targets that are read of a large server. Nothing here does I/O.

pub mod bill;
pub mod plan;
pub mod report;
pub mod series;
pub mod sink;

use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;

use bill::Terms;
use sink::Sending;

/// The settings of an estimate.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The origin of the series.
    pub source: Source,
    /// Interval between the scrapes of an exposition, and of series of Prometheus that no target has.
    pub scrape_interval: Option<Duration>,
    /// Number of targets with the same exposition.
    pub targets: u64,
    /// The most series that are read; the bill of more is scaled up.
    pub max_series: usize,
    /// The file with a bearer token for the server, or with user and password.
    pub credentials: Option<CredentialsFile>,
    /// The requests of the sender, and what is stored of them.
    pub sending: Sending,
    /// Retention and queries.
    pub terms: Terms,
    /// The region whose prices count.
    pub region: String,
    /// The file with other prices.
    pub prices: Option<PathBuf>,
    /// True for JSON instead of tables.
    pub is_json: bool,
}

/// The origin of the series.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The address of a running Prometheus.
    Prometheus(Url),
    /// An exposition at an address.
    Url(Url),
    /// An exposition in a file.
    File(PathBuf),
    /// An exposition on standard input.
    Input,
}

/// A file with credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialsFile {
    /// A bearer token.
    Bearer(PathBuf),
    /// `user:password`.
    Basic(PathBuf),
}
