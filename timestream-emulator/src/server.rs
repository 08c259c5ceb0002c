//! HTTP: the service's one route, and the admin routes beside it.
//!
//! A call is authenticated, meets its ordered faults, and is passed to its operation on a blocking
//! thread. Every response carries a request id.

pub(crate) mod cells;
mod connection;
mod dispatch;
mod rates;

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::SystemTime,
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use serde::Deserialize;
use tokio::sync::watch;

use self::{
    cells::{Cells, Door},
    connection::{Connections, CutHandle},
    dispatch::{dispatch, is_operation},
    rates::RateLimits,
};
use crate::{
    clock::Clock,
    config::{ColumnCase, Config},
    counters::{Counters, Ledger},
    error::{ErrorKind, ServiceError},
    faults::{Fault, FaultKind, FaultOrders},
    limits,
    names::NameRule,
    protocol::{self, Names},
    query::{self, Queries},
    sigv4::{self, Credentials},
    store::Store,
};

const TARGET_PREFIX: &str = "Timestream_20181101.";

/// Everything that the handlers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) cells: Cells,
    pub(crate) faults: FaultOrders,
    pub(crate) ledger: Ledger,
    credentials: Credentials,
    clock: Clock,
    clock_ahead_seconds: i64,
    rates: RateLimits,
    null_sink: bool,
    names: NameRule,
    column_case: ColumnCase,
    queries: Queries,
    /// `None` once the emulator is stopped. Calls hold it for reading, closing it waits for them.
    store: RwLock<Option<Store>>,
}

impl Shared {
    pub(crate) fn new(config: Config, cells: Cells, store: Store) -> Self {
        Shared {
            cells,
            faults: FaultOrders::new(config.seed),
            ledger: Ledger::default(),
            credentials: Credentials {
                access_key: config.access_key,
                secret_key: config.secret_key,
            },
            clock: config.clock,
            clock_ahead_seconds: config.clock_ahead_seconds,
            rates: RateLimits::new(config.rate_limits),
            null_sink: config.null_sink,
            names: match config.wide_names {
                true => NameRule::Wide,
                false => NameRule::Of2021,
            },
            column_case: config.column_case,
            queries: Queries::default(),
            store: RwLock::new(Some(store)),
        }
    }

    /// Runs `work` on the store; fails once the emulator is stopped.
    pub(crate) fn with_store<T>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        let stopped = || ServiceError::new(ErrorKind::InternalServer, "The emulator is stopped.");
        work(store.as_ref().ok_or_else(stopped)?)
    }

    /// Returns the time that signatures are checked against: the system's, by which clients sign, unless the clocks
    /// differ on purpose.
    fn signing_seconds(&self) -> i64 {
        let since_epoch = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let seconds = i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX);
        seconds.saturating_add(self.clock_ahead_seconds)
    }

    /// Closes the store, so that its folder can be opened again.
    pub(crate) fn close_store(&self) {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        store.take();
    }

    pub(crate) fn counters(&self) -> Counters {
        let points_stored = self
            .with_store(|store| Ok(store.points_stored()))
            .unwrap_or_default();
        Counters {
            points_stored,
            ..self.ledger.snapshot()
        }
    }
}

/// State of a handler: the emulator, and the address that received the request.
#[derive(Debug, Clone)]
struct Entrance {
    shared: Arc<Shared>,
    door: Door,
}

/// Serves one address until the sender of `stop` is dropped; open calls are finished first.
pub(crate) async fn serve(
    listener: tokio::net::TcpListener,
    door: Door,
    shared: Arc<Shared>,
    mut stop: watch::Receiver<()>,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/_emulator/health", get(|| async { "ok\n" }))
        .route("/_emulator/counters", get(read_counters))
        .route("/_emulator/faults", post(order_fault).delete(clear_faults))
        .route("/_emulator/cells", get(read_cells).post(move_to_cell))
        .fallback(call)
        .with_state(Entrance { shared, door });
    let service = router.into_make_service_with_connect_info::<CutHandle>();
    axum::serve(Connections(listener), service)
        .with_graceful_shutdown(async move {
            // Nothing is ever sent: this ends when the sender is dropped.
            let _ = stop.changed().await;
        })
        .await
}

async fn read_counters(State(Entrance { shared, .. }): State<Entrance>) -> Response {
    let counters = tokio::task::spawn_blocking(move || shared.counters())
        .await
        .unwrap_or_default();
    let body = serde_json::to_vec_pretty(&counters).expect("counters have only string keys");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn order_fault(State(Entrance { shared, .. }): State<Entrance>, body: Bytes) -> Response {
    match serde_json::from_slice::<Fault>(&body) {
        Ok(fault) => {
            shared.faults.add(fault);
            StatusCode::NO_CONTENT.into_response()
        }
        Err(error) => (
            StatusCode::BAD_REQUEST,
            format!("not a fault order: {error}\n"),
        )
            .into_response(),
    }
}

async fn clear_faults(State(Entrance { shared, .. }): State<Entrance>) -> StatusCode {
    shared.faults.clear();
    StatusCode::NO_CONTENT
}

/// An order to move the account.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    cell: usize,
}

async fn read_cells(State(Entrance { shared, .. }): State<Entrance>) -> Response {
    let Cells { cells, .. } = &shared.cells;
    let current = (!cells.is_empty()).then(|| shared.cells.current());
    let addresses: Vec<String> = cells.iter().map(SocketAddr::to_string).collect();
    let body = serde_json::json!({"current": current, "cells": addresses}).to_string();
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn move_to_cell(State(Entrance { shared, .. }): State<Entrance>, body: Bytes) -> Response {
    let outcome = match serde_json::from_slice::<Move>(&body) {
        Ok(order) => shared
            .cells
            .move_to(order.cell)
            .map_err(|error| error.to_string()),
        Err(error) => Err(format!("not an order to move: {error}")),
    };
    match outcome {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(message) => (StatusCode::BAD_REQUEST, format!("{message}\n")).into_response(),
    }
}

/// Serves one call of an operation.
async fn call(
    State(Entrance { shared, door }): State<Entrance>,
    ConnectInfo(connection): ConnectInfo<CutHandle>,
    request: Request<Body>,
) -> Response {
    let operation = operation_name(&request).map(str::to_owned);
    let outcome = match &operation {
        Some(operation) => {
            shared.ledger.record(|counters| {
                *counters.calls.entry(operation.clone()).or_default() += 1;
            });
            run(&shared, door, operation, request, &connection).await
        }
        None => Err(ServiceError::new(ErrorKind::UnknownOperation, "")),
    };
    let mut response = match outcome {
        Ok(body) => protocol::json_response(StatusCode::OK, body),
        Err(error) => {
            tracing::debug!(
                operation,
                code = error.kind.code(),
                message = error.message,
                "rejected"
            );
            shared.ledger.record(|counters| {
                *counters
                    .errors
                    .entry(error.kind.code().to_owned())
                    .or_default() += 1;
            });
            error.into_response()
        }
    };
    let request_id = HeaderValue::from_str(&crate::ids::request_id());
    response.headers_mut().insert(
        "x-amzn-requestid",
        request_id.expect("base32 is a valid header value"),
    );
    if let Some(date) = http_date(shared.signing_seconds()) {
        response.headers_mut().insert(header::DATE, date);
    }
    response
}

/// Returns the time as the header `Date` has it.
fn http_date(seconds: i64) -> Option<HeaderValue> {
    let time = jiff::Timestamp::from_second(seconds).ok()?;
    HeaderValue::from_str(&time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()).ok()
}

/// Returns the operation that the target header names, if the request has the service's form.
fn operation_name(request: &Request<Body>) -> Option<&str> {
    let header = |name| {
        request
            .headers()
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    let is_json = header("content-type") == Some(protocol::CONTENT_TYPE_JSON);
    let is_post = request.method() == http::Method::POST && request.uri().path() == "/";
    let operation = header("x-amz-target")?.strip_prefix(TARGET_PREFIX)?;
    (is_json && is_post && is_operation(operation)).then_some(operation)
}

async fn run(
    shared: &Arc<Shared>,
    door: Door,
    operation: &str,
    request: Request<Body>,
    connection: &CutHandle,
) -> Result<Vec<u8>, ServiceError> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, limits::MAX_BODY_BYTES).await.map_err(|_| {
        ServiceError::new(ErrorKind::RequestTooLarge, "The request body is too large.")
    })?;
    shared.cells.admit(door, operation)?;
    sigv4::verify(&shared.credentials, &parts, &body, shared.signing_seconds())?;
    shared.rates.admit(operation, shared.clock.now_ns())?;
    let (action, faults) = faults_of_call(shared, operation, &body);
    for fault in &faults {
        shared.ledger.record(|counters| counters.faults += 1);
        match fault {
            FaultKind::Latency(delay) => tokio::time::sleep(*delay).await,
            FaultKind::CutBefore => {
                connection.cut();
                return Ok(Vec::new());
            }
            refusing => {
                if let Some(error) = refusing.error(&action) {
                    return Err(error);
                }
            }
        }
    }
    let host = host_of(&parts.headers, shared.cells.regional);
    let outcome = dispatch_blocking(Arc::clone(shared), operation.to_owned(), body, host).await;
    if faults.contains(&FaultKind::CutAfter) {
        connection.cut();
    }
    outcome
}

/// Returns the permission that the call needs, and the ordered faults that match it; names are only looked for when
/// there are orders.
fn faults_of_call(shared: &Shared, operation: &str, body: &[u8]) -> (String, Vec<FaultKind>) {
    if shared.faults.is_empty() {
        return (operation.to_owned(), Vec::new());
    }
    let names: Names = serde_json::from_slice(body).unwrap_or_default();
    let statement = names.query_string.as_deref();
    let action = statement.and_then(query::action_of).unwrap_or(operation);
    let (database, table) = match statement.and_then(query::table_of) {
        Some((database, table)) => (Some(database), Some(table)),
        None => (names.database_name, names.table_name),
    };
    let faults = shared
        .faults
        .take(operation, action, database.as_deref(), table.as_deref());
    (action.to_owned(), faults)
}

async fn dispatch_blocking(
    shared: Arc<Shared>,
    operation: String,
    body: Bytes,
    host: String,
) -> Result<Vec<u8>, ServiceError> {
    let work = move || {
        let now_ns = shared.clock.now_ns();
        dispatch(&shared, &operation, &body, &host, now_ns)
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| {
            tracing::error!(%error, "operation failed");
            Err(ServiceError::new(
                ErrorKind::InternalServer,
                "The service has encountered an internal error.",
            ))
        })
}

/// Returns the host the caller has used, so that it can reach the address it is given.
fn host_of(headers: &HeaderMap, address: SocketAddr) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.map_or_else(|| address.to_string(), str::to_owned)
}
