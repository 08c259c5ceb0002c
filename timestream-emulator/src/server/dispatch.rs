//! Operation names -> the functions that serve them.

use serde::{Serialize, de::DeserializeOwned};

use super::Shared;
use crate::{
    error::{ErrorKind, ServiceError},
    metering,
    operations::{account, databases, tables, tags},
    protocol::{self, Empty, Endpoint, Endpoints, WriteRecordsRequest, WriteRecordsResponse},
    query,
    store::{Writer, catalog::Catalog},
    write,
};

/// The value that the service was seen to return.
const ENDPOINT_CACHE_MINUTES: i64 = 1440;

/// Operations that [`dispatch`] serves. The others of the service are rejected by name.
const SERVED: [&str; 20] = [
    "DescribeEndpoints",
    "CreateDatabase",
    "DescribeDatabase",
    "UpdateDatabase",
    "DeleteDatabase",
    "ListDatabases",
    "CreateTable",
    "DescribeTable",
    "UpdateTable",
    "DeleteTable",
    "ListTables",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
    "DescribeAccountSettings",
    "UpdateAccountSettings",
    "WriteRecords",
    "Query",
    "CancelQuery",
    "PrepareQuery",
];

/// Operations of scheduled queries, which read a table on a schedule and write into another one.
const SCHEDULED_QUERIES: [&str; 6] = [
    "CreateScheduledQuery",
    "DeleteScheduledQuery",
    "DescribeScheduledQuery",
    "ExecuteScheduledQuery",
    "ListScheduledQueries",
    "UpdateScheduledQuery",
];

/// Operations of batch load, which reads files in S3.
const BATCH_LOAD: [&str; 4] = [
    "CreateBatchLoadTask",
    "DescribeBatchLoadTask",
    "ListBatchLoadTasks",
    "ResumeBatchLoadTask",
];

/// Returns true if the service has the operation, served here or not.
pub(super) fn is_operation(name: &str) -> bool {
    [&SERVED[..], &SCHEDULED_QUERIES, &BATCH_LOAD]
        .iter()
        .any(|names| names.contains(&name))
}

/// Runs an operation at the time `now_ns`; `host` is how the caller reaches the emulator.
pub(super) fn dispatch(
    shared: &Shared,
    operation: &str,
    body: &[u8],
    host: &str,
    now_ns: i64,
) -> Result<Vec<u8>, ServiceError> {
    match operation {
        "DescribeEndpoints" => {
            let Empty {} = protocol::parse(body)?;
            protocol::response(&Endpoints {
                endpoints: [Endpoint {
                    address: shared.cells.serving_url(host),
                    cache_period_in_minutes: ENDPOINT_CACHE_MINUTES,
                }],
            })
        }
        "CreateDatabase" => change(shared, body, |writer, request| {
            databases::create(writer, request, now_ns)
        }),
        "DescribeDatabase" => look_up(shared, body, databases::describe),
        "UpdateDatabase" => change(shared, body, |writer, request| {
            databases::update(writer, request, now_ns)
        }),
        "DeleteDatabase" => delete(shared, body, databases::delete),
        "ListDatabases" => look_up(shared, body, databases::list),
        "CreateTable" => change(shared, body, |writer, request| {
            tables::create(writer, request, now_ns)
        }),
        "DescribeTable" => look_up(shared, body, tables::describe),
        "UpdateTable" => change(shared, body, |writer, request| {
            tables::update(writer, request, now_ns)
        }),
        "DeleteTable" => delete(shared, body, tables::delete),
        "ListTables" => look_up(shared, body, tables::list),
        "TagResource" => acknowledge(shared, body, tags::tag),
        "UntagResource" => acknowledge(shared, body, tags::untag),
        "ListTagsForResource" => look_up(shared, body, tags::list),
        "DescribeAccountSettings" => look_up(shared, body, account::describe),
        "UpdateAccountSettings" => change(shared, body, account::update),
        "WriteRecords" => write_records(shared, body, now_ns),
        "Query" => run_query(shared, body, now_ns),
        "CancelQuery" => {
            let request = protocol::parse(body)?;
            protocol::response(&shared.queries.cancel(&request)?)
        }
        "PrepareQuery" => {
            let request = &protocol::parse(body)?;
            shared.with_store(|store| {
                let snapshot = store.snapshot()?;
                query::on_large_stack(move || {
                    query::prepare(&snapshot, request, shared.column_case, now_ns)
                })
            })
        }
        _ if SCHEDULED_QUERIES.contains(&operation) => Err(ServiceError::validation(format!(
            "{operation} is not supported by the emulator: it has no scheduled queries. Run the query \
             itself by Query, and write its result by WriteRecords."
        ))),
        _ if BATCH_LOAD.contains(&operation) => Err(ServiceError::validation(format!(
            "{operation} is not supported by the emulator: it has no batch load, as there is no S3 to \
             read from. Write the records by WriteRecords."
        ))),
        _ => Err(ServiceError::new(ErrorKind::UnknownOperation, "")),
    }
}

/// Serves an operation whose response is an empty object.
fn acknowledge<R: DeserializeOwned>(
    shared: &Shared,
    body: &[u8],
    work: impl FnOnce(&mut Writer, &R) -> Result<(), ServiceError>,
) -> Result<Vec<u8>, ServiceError> {
    delete(shared, body, work).map(|_| b"{}".to_vec())
}

/// Serves an operation that changes the storage and returns the result of the change.
fn change<R: DeserializeOwned, A: Serialize>(
    shared: &Shared,
    body: &[u8],
    work: impl FnOnce(&mut Writer, &R) -> Result<A, ServiceError>,
) -> Result<Vec<u8>, ServiceError> {
    let request = protocol::parse(body)?;
    let response = shared.with_store(|store| store.change(|writer| work(writer, &request)))?;
    protocol::response(&response)
}

/// Serves an operation that removes something; its response is empty.
fn delete<R: DeserializeOwned>(
    shared: &Shared,
    body: &[u8],
    work: impl FnOnce(&mut Writer, &R) -> Result<(), ServiceError>,
) -> Result<Vec<u8>, ServiceError> {
    let request = protocol::parse(body)?;
    shared.with_store(|store| store.change(|writer| work(writer, &request)))?;
    Ok(Vec::new())
}

/// Serves an operation that reads the catalog.
fn look_up<R: DeserializeOwned, A: Serialize>(
    shared: &Shared,
    body: &[u8],
    work: impl FnOnce(&Catalog, &R) -> Result<A, ServiceError>,
) -> Result<Vec<u8>, ServiceError> {
    let request = protocol::parse(body)?;
    let catalog = shared.with_store(|store| Ok(store.catalog()))?;
    protocol::response(&work(&catalog, &request)?)
}

fn run_query(shared: &Shared, body: &[u8], now_ns: i64) -> Result<Vec<u8>, ServiceError> {
    let request = protocol::parse(body)?;
    let page = shared.queries.query(&request, now_ns, |sql| {
        let result = shared.with_store(|store| {
            let snapshot = store.snapshot()?;
            query::on_large_stack(move || {
                query::execute(&snapshot, sql, shared.column_case, now_ns)
            })
        })?;
        shared.ledger.record(|counters| {
            counters.query_bytes_scanned += result.bytes_scanned;
            counters.query_bytes_metered += result.bytes_metered;
        });
        Ok(result)
    })?;
    shared
        .ledger
        .record(|counters| counters.rows_returned += page.rows as u64);
    Ok(page.body)
}

fn write_records(shared: &Shared, body: &[u8], now_ns: i64) -> Result<Vec<u8>, ServiceError> {
    let request: WriteRecordsRequest = protocol::parse(body)?;
    let outcome = shared.with_store(|store| {
        if shared.null_sink {
            write::check_records(&store.catalog(), &request, now_ns, shared.names)
        } else {
            store.change(|writer| write::write_records(writer, &request, now_ns, shared.names))
        }
    })?;
    shared.ledger.record(|counters| {
        counters.records_accepted += outcome.ingested.total as u64;
        counters.records_rejected += outcome.rejected.len() as u64;
        counters.records_dropped_in_magnetic_store += outcome.dropped as u64;
        if outcome.ingested.total > 0 {
            counters.write_units += metering::write_units(&request);
        }
    });
    if !outcome.rejected.is_empty() {
        return Err(ServiceError::rejected(outcome.rejected));
    }
    protocol::response(&WriteRecordsResponse {
        records_ingested: outcome.ingested,
    })
}
