//! Configuration of an emulator.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use crate::{clock::Clock, limits};

/// Settings of one emulator.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address to bind; with port 0 a free one is used.
    pub listen: SocketAddr,
    /// Folder of the database file, created if missing; with `None` everything is in memory.
    pub data_dir: Option<PathBuf>,
    /// Tables (and their databases) to create at start if they are missing.
    pub tables: Vec<TableSpec>,
    /// Access key id every request must be signed with.
    pub access_key: String,
    /// Secret key that belongs to `access_key`.
    pub secret_key: String,
    /// Cells with an address of their own, which DescribeEndpoints gives out; with 0 `listen` is
    /// the only address. Cells use the ports after that of `listen`, or free ones if it is 0.
    pub cells: u16,
    /// Limits `listen` to DescribeEndpoints, as the service's regional address is limited. There is
    /// at least one cell then.
    pub require_discovery: bool,
    /// Throttles catalog operations at the service's rates: 1 change, 5 look-ups per second.
    pub rate_limits: bool,
    /// Makes WriteRecords store nothing: requests are checked in form, size and time and are
    /// metered, but there are no duplicates, versions or table limits, and queries find nothing.
    /// For measuring the writing side.
    pub null_sink: bool,
    /// Allows any character but a colon in dimension names, as data written in recent years has,
    /// instead of following the rule of 2021.
    pub wide_names: bool,
    /// Resolution of column names in a query with regard to case.
    pub column_case: ColumnCase,
    /// Seed of the faults ordered by rate. With the same seed they apply to the same calls of the
    /// same sequence of calls; without one, to others each time.
    pub seed: Option<u64>,
    /// Source of the current time; the system's clock by default.
    pub clock: Clock,
    /// Seconds by which the clock that checks signatures and dates responses is ahead of the system's.
    pub clock_ahead_seconds: i64,
}

impl Default for Config {
    /// Returns a configuration with a free port of the loopback interface, storage in memory, no
    /// tables, and the credentials `local` / `local`.
    fn default() -> Self {
        Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_dir: None,
            tables: Vec::new(),
            access_key: "local".to_owned(),
            secret_key: "local".to_owned(),
            cells: 0,
            require_discovery: false,
            rate_limits: false,
            null_sink: false,
            wide_names: false,
            column_case: ColumnCase::default(),
            seed: None,
            clock: Clock::default(),
            clock_ahead_seconds: 0,
        }
    }
}

/// Resolution of column names in a query. The service's names are said to differ by case; engines
/// of its family do not distinguish such columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColumnCase {
    /// The one of exactly this name, and none if another column differs from it by case alone: a
    /// query that is right here is right by either reading.
    #[default]
    Strict,
    /// The one of exactly this name.
    Exact,
    /// The one of this name in any case, and none if there are several.
    Ignored,
}

impl FromStr for ColumnCase {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "strict" => Ok(ColumnCase::Strict),
            "exact" => Ok(ColumnCase::Exact),
            "ignored" => Ok(ColumnCase::Ignored),
            _ => Err("expected strict, exact or ignored".to_owned()),
        }
    }
}

/// A table to create at start.
///
/// As text: `DB/TABLE[,memory_hours=N,magnetic_days=N,magnetic_writes=BOOL]`.
///
/// ```
/// use timestream_emulator::TableSpec;
///
/// let spec: TableSpec = "metrics/prod,memory_hours=24,magnetic_writes=true".parse().unwrap();
/// assert_eq!((spec.database.as_str(), spec.table.as_str()), ("metrics", "prod"));
/// assert_eq!((spec.memory_hours, spec.magnetic_days), (24, 73_000));
/// assert!(spec.magnetic_writes);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// Name of the database.
    pub database: String,
    /// Name of the table.
    pub table: String,
    /// Retention of the memory store in hours, 1 to 8766.
    pub memory_hours: i64,
    /// Retention of the magnetic store in days, 1 to 73000.
    pub magnetic_days: i64,
    /// Accepts records older than the memory store.
    pub magnetic_writes: bool,
}

impl TableSpec {
    /// Returns the table with the service's defaults: 6 hours, 73000 days, no magnetic writes.
    pub fn new(database: impl Into<String>, table: impl Into<String>) -> Self {
        TableSpec {
            database: database.into(),
            table: table.into(),
            memory_hours: limits::DEFAULT_MEMORY_HOURS,
            magnetic_days: limits::DEFAULT_MAGNETIC_DAYS,
            magnetic_writes: false,
        }
    }
}

impl FromStr for TableSpec {
    type Err = TableSpecError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split(',');
        let (database, table) = parts
            .next()
            .and_then(|name| name.split_once('/'))
            .filter(|(database, table)| is_catalog_name(database) && is_catalog_name(table))
            .ok_or_else(|| TableSpecError::Name(text.to_owned()))?;
        let mut spec = TableSpec::new(database, table);
        for setting in parts {
            apply_setting(&mut spec, setting)
                .ok_or_else(|| TableSpecError::Setting(setting.to_owned()))?;
        }
        Ok(spec)
    }
}

/// An invalid table specification.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableSpecError {
    /// The part before the first comma names no table.
    #[error(
        "table \"{0}\" is not of the form DB/TABLE with names of letters, digits, \"_\", \".\", \"-\""
    )]
    Name(String),
    /// A setting is unknown or its value is out of range.
    #[error(
        "table setting \"{0}\" is none of memory_hours=1..8766, magnetic_days=1..73000, magnetic_writes=true|false"
    )]
    Setting(String),
}

/// Returns true if a database or table may be called `name`: `[a-zA-Z0-9_.-]+`, at most 256 bytes.
pub(crate) fn is_catalog_name(name: &str) -> bool {
    (1..=limits::MAX_CATALOG_NAME_BYTES).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn apply_setting(spec: &mut TableSpec, setting: &str) -> Option<()> {
    let (name, value) = setting.split_once('=')?;
    match name {
        "memory_hours" => {
            spec.memory_hours = value
                .parse()
                .ok()
                .filter(|hours| limits::MEMORY_HOURS.contains(hours))?;
        }
        "magnetic_days" => {
            spec.magnetic_days = value
                .parse()
                .ok()
                .filter(|days| limits::MAGNETIC_DAYS.contains(days))?;
        }
        "magnetic_writes" => spec.magnetic_writes = value.parse().ok()?,
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_specifications() {
        let plain = TableSpec::new("db", "t");
        let cases: [(&str, Option<TableSpec>); 9] = [
            ("db/t", Some(plain.clone())),
            (
                "db/t,memory_hours=8766",
                Some(TableSpec {
                    memory_hours: 8766,
                    ..plain.clone()
                }),
            ),
            (
                "db/t,magnetic_days=1",
                Some(TableSpec {
                    magnetic_days: 1,
                    ..plain.clone()
                }),
            ),
            (
                "db/t,magnetic_writes=true",
                Some(TableSpec {
                    magnetic_writes: true,
                    ..plain
                }),
            ),
            ("db", None),
            ("/t", None),
            ("db/a b", None),
            ("db/t,memory_hours=0", None),
            ("db/t,retention=5", None),
        ];
        for (text, expected) in cases {
            assert_eq!(text.parse::<TableSpec>().ok(), expected, "{text}");
        }
    }
}
