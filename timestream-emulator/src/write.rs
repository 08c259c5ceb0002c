//! WriteRecords: from the request to stored points.
//!
//! The order is the service's: a violation of the service model or a malformed value fails the
//! whole request; a violation of limits, of the table or of the clock rejects single records, and
//! the others are stored.

mod constraints;
pub(crate) mod record;
mod rejection;

pub(crate) use self::{constraints::Violations, rejection::Window};

use self::{
    record::{NewPoint, parse_records},
    rejection::Destination,
};
use crate::{
    error::{RejectedRecord, ServiceError},
    names::NameRule,
    protocol::{Record, RecordsIngested, WriteRecordsRequest},
    store::{
        PointOutcome, Writer,
        catalog::{Catalog, PartitionKey},
    },
};

/// Changes made by a call, which succeeds or fails with rejected records.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct WriteOutcome {
    pub(crate) ingested: RecordsIngested,
    pub(crate) rejected: Vec<RejectedRecord>,
    /// Accepted by the magnetic store and dropped there.
    pub(crate) dropped: usize,
}

/// Stores the records of a request at the time `now_ns`.
///
/// # Errors
///
/// If the request as a whole is rejected; then nothing is stored.
pub(crate) fn write_records(
    writer: &mut Writer,
    request: &WriteRecordsRequest,
    now_ns: i64,
    names: NameRule,
) -> Result<WriteOutcome, ServiceError> {
    let WellFormed {
        database,
        table,
        rules,
        points,
    } = well_formed(&writer.catalog, request, now_ns, names)?;
    let outcomes = writer.write_points(database, table, &points, |table, point| {
        rules.check(point)?;
        rejection::check_table(table, point)
    })?;
    Ok(outcome(&rules.window, &points, outcomes))
}

/// Checks the records of a request as [`write_records`] does, but regardless of stored records, and
/// stores nothing.
pub(crate) fn check_records(
    catalog: &Catalog,
    request: &WriteRecordsRequest,
    now_ns: i64,
    names: NameRule,
) -> Result<WriteOutcome, ServiceError> {
    let WellFormed { rules, points, .. } = well_formed(catalog, request, now_ns, names)?;
    let outcomes = points
        .iter()
        .map(|point| rules.check(point).map(|()| PointOutcome::Stored))
        .collect();
    Ok(outcome(&rules.window, &points, outcomes))
}

/// A request that is not rejected as a whole.
struct WellFormed<'a> {
    database: &'a str,
    table: &'a str,
    rules: Rules,
    points: Vec<NewPoint>,
}

/// Requirements of a table for every record.
struct Rules {
    window: Window,
    partition_key: PartitionKey,
}

impl Rules {
    /// Returns the reason to reject a record as an error.
    fn check(&self, point: &NewPoint) -> Result<(), String> {
        rejection::check_limits(point)?;
        self.window.check(point.time_ns)?;
        rejection::check_partition_key(&self.partition_key, point)
    }
}

fn well_formed<'a>(
    catalog: &Catalog,
    request: &'a WriteRecordsRequest,
    now_ns: i64,
    names: NameRule,
) -> Result<WellFormed<'a>, ServiceError> {
    constraints::check(request)?;
    let (Some(database), Some(table), Some(records)) = (
        &request.database_name,
        &request.table_name,
        &request.records,
    ) else {
        return Err(ServiceError::validation("A required member is missing."));
    };
    let settings = &catalog.table(database, table)?.settings;
    let rules = Rules {
        window: Window::of(settings, now_ns),
        partition_key: settings.partition_key.clone(),
    };
    let no_common = Record::default();
    let common = request.common_attributes.as_ref().unwrap_or(&no_common);
    Ok(WellFormed {
        database,
        table,
        rules,
        points: parse_records(common, records, names)?,
    })
}

/// Counts the accepted records and lists the rejected ones.
fn outcome(
    window: &Window,
    points: &[NewPoint],
    outcomes: Vec<Result<PointOutcome, String>>,
) -> WriteOutcome {
    let mut result = WriteOutcome::default();
    for (record_index, (point, outcome)) in points.iter().zip(outcomes).enumerate() {
        let destination = window.destination(point.time_ns);
        let rejection = match outcome {
            Ok(outcome) => version_conflict(outcome, point.version),
            Err(reason) => Some((reason, None)),
        };
        let is_reported = !matches!(
            (&rejection, destination),
            (Some((_, Some(_))), Destination::Magnetic)
        );
        match rejection {
            Some((reason, existing_version)) if is_reported => {
                result.rejected.push(RejectedRecord {
                    record_index,
                    reason,
                    existing_version,
                });
                continue;
            }
            // The magnetic store reports conflicts of versions only in its own error report.
            Some(_) => result.dropped += 1,
            None => {}
        }
        result.ingested.total += 1;
        match destination {
            Destination::Memory => result.ingested.memory_store += 1,
            Destination::Magnetic => result.ingested.magnetic_store += 1,
        }
    }
    result
}

/// Returns the reason and the existing version if the stored point conflicts.
fn version_conflict(outcome: PointOutcome, version: i64) -> Option<(String, Option<i64>)> {
    match outcome {
        PointOutcome::Stored => None,
        PointOutcome::SameVersion { existing } => Some((
            "A record already exists with the same time, dimensions, measure name, and record \
             version. A higher record version must be specified in order to update the measure \
             value. Specifying record version is supported by the latest SDKs."
                .to_owned(),
            Some(existing),
        )),
        PointOutcome::LowerVersion { existing } => Some((
            format!(
                "The record version {version} is lower than the existing version {existing}. A \
                 higher version is required to update the measure value."
            ),
            Some(existing),
        )),
    }
}
