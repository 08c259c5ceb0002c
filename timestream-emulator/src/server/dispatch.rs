//! Operation names -> what serves them.

use super::Shared;
use crate::{
    error::{ErrorKind, ServiceError},
    metering, operations,
    protocol::{self, Endpoint, Endpoints, WriteRecordsRequest, WriteRecordsResponse},
    query, write,
};

/// What the service was seen to answer.
const ENDPOINT_CACHE_MINUTES: i64 = 1440;

/// Operations that [`dispatch`] serves.
pub(super) const OPERATIONS: [&str; 15] = [
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
    "WriteRecords",
    "Query",
    "CancelQuery",
    "PrepareQuery",
];

/// Runs an operation at the time `now_ns`; `host` is how the caller reaches the emulator.
pub(super) fn dispatch(
    shared: &Shared,
    operation: &str,
    body: &[u8],
    host: &str,
    now_ns: i64,
) -> Result<Vec<u8>, ServiceError> {
    let now_seconds = (now_ns / 1_000_000) as f64 / 1000.0;
    match operation {
        "DescribeEndpoints" => protocol::answer(&Endpoints {
            endpoints: [Endpoint {
                address: format!("http://{host}"),
                cache_period_in_minutes: ENDPOINT_CACHE_MINUTES,
            }],
        }),
        "CreateDatabase" => {
            let request = protocol::parse(body)?;
            protocol::answer(
                &shared.with_store(|store| {
                    operations::create_database(store, &request, now_seconds)
                })?,
            )
        }
        "DescribeDatabase" => {
            let request = protocol::parse(body)?;
            protocol::answer(
                &shared.with_store(|store| operations::describe_database(store, &request))?,
            )
        }
        "UpdateDatabase" => {
            let request = protocol::parse(body)?;
            protocol::answer(
                &shared.with_store(|store| {
                    operations::update_database(store, &request, now_seconds)
                })?,
            )
        }
        "DeleteDatabase" => {
            let request = protocol::parse(body)?;
            shared.with_store(|store| operations::delete_database(store, &request))?;
            Ok(Vec::new())
        }
        "ListDatabases" => {
            let request = protocol::parse(body)?;
            protocol::answer(
                &shared.with_store(|store| operations::list_databases(store, &request))?,
            )
        }
        "CreateTable" => {
            let request = protocol::parse(body)?;
            protocol::answer(
                &shared
                    .with_store(|store| operations::create_table(store, &request, now_seconds))?,
            )
        }
        "DescribeTable" => {
            let request = protocol::parse(body)?;
            protocol::answer(
                &shared.with_store(|store| operations::describe_table(store, &request))?,
            )
        }
        "UpdateTable" => {
            let request = protocol::parse(body)?;
            protocol::answer(
                &shared
                    .with_store(|store| operations::update_table(store, &request, now_seconds))?,
            )
        }
        "DeleteTable" => {
            let request = protocol::parse(body)?;
            shared.with_store(|store| operations::delete_table(store, &request))?;
            Ok(Vec::new())
        }
        "ListTables" => {
            let request = protocol::parse(body)?;
            protocol::answer(&shared.with_store(|store| operations::list_tables(store, &request))?)
        }
        "WriteRecords" => write_records(shared, body, now_ns),
        "Query" => {
            let request = protocol::parse(body)?;
            let page = shared.queries.query(&request, |sql| {
                shared.with_store(|store| {
                    query::on_large_stack(move || query::execute(store, sql, now_ns))
                })
            })?;
            shared
                .ledger
                .record(|counters| counters.rows_returned += page.rows as u64);
            Ok(page.body)
        }
        "CancelQuery" => {
            let request = protocol::parse(body)?;
            protocol::answer(&shared.queries.cancel(&request)?)
        }
        "PrepareQuery" => {
            let request = &protocol::parse(body)?;
            shared.with_store(|store| {
                query::on_large_stack(move || query::prepare(store, request, now_ns))
            })
        }
        _ => Err(ServiceError::new(ErrorKind::UnknownOperation, "")),
    }
}

fn write_records(shared: &Shared, body: &[u8], now_ns: i64) -> Result<Vec<u8>, ServiceError> {
    let request: WriteRecordsRequest = protocol::parse(body)?;
    let outcome = shared.with_store(|store| write::write_records(store, &request, now_ns))?;
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
    protocol::answer(&WriteRecordsResponse {
        records_ingested: outcome.ingested,
    })
}
