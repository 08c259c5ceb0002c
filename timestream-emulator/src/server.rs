//! HTTP: the service's one route, and the admin routes beside it.
//!
//! A call is authenticated, meets its ordered faults, and is handed to its operation on a blocking
//! thread. Every answer carries a request id.

mod connection;
mod dispatch;

use std::{
    net::SocketAddr,
    sync::{Arc, PoisonError, RwLock},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{ConnectInfo, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderValue, Request, StatusCode, header};
use tokio::sync::oneshot;

use self::{
    connection::{Connections, CutHandle},
    dispatch::{OPERATIONS, dispatch},
};
use crate::{
    counters::{Counters, Ledger},
    error::{ErrorKind, ServiceError},
    faults::{Fault, FaultKind, FaultOrders},
    limits,
    protocol::{self, Names},
    query::{self, Queries},
    sigv4::{self, Credentials},
    store::Store,
};

const TARGET_PREFIX: &str = "Timestream_20181101.";

/// Everything that the handlers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) address: SocketAddr,
    pub(crate) credentials: Credentials,
    pub(crate) faults: FaultOrders,
    pub(crate) ledger: Ledger,
    queries: Queries,
    /// `None` once the emulator is stopped. Calls hold it for reading, closing it waits for them.
    store: RwLock<Option<Store>>,
}

impl Shared {
    pub(crate) fn new(address: SocketAddr, credentials: Credentials, store: Store) -> Self {
        Shared {
            address,
            credentials,
            faults: FaultOrders::default(),
            ledger: Ledger::default(),
            queries: Queries::default(),
            store: RwLock::new(Some(store)),
        }
    }

    /// Runs `work` on the store; refused once the emulator is stopped.
    pub(crate) fn with_store<T>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, ServiceError>,
    ) -> Result<T, ServiceError> {
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        let stopped = || ServiceError::new(ErrorKind::InternalServer, "The emulator is stopped.");
        work(store.as_ref().ok_or_else(stopped)?)
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

/// Serves until `stop` fires or its sender is dropped; open calls are finished first.
pub(crate) async fn serve(
    listener: tokio::net::TcpListener,
    shared: Arc<Shared>,
    stop: oneshot::Receiver<()>,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/_emulator/health", get(|| async { "ok\n" }))
        .route("/_emulator/counters", get(read_counters))
        .route("/_emulator/faults", post(order_fault).delete(clear_faults))
        .fallback(call)
        .with_state(shared);
    let service = router.into_make_service_with_connect_info::<CutHandle>();
    axum::serve(Connections(listener), service)
        .with_graceful_shutdown(async {
            let _ = stop.await;
        })
        .await
}

async fn read_counters(State(shared): State<Arc<Shared>>) -> Response {
    let counters = tokio::task::spawn_blocking(move || shared.counters())
        .await
        .unwrap_or_default();
    let body = serde_json::to_vec_pretty(&counters).expect("counters have only string keys");
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn order_fault(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
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

async fn clear_faults(State(shared): State<Arc<Shared>>) -> StatusCode {
    shared.faults.clear();
    StatusCode::NO_CONTENT
}

/// One call of an operation.
async fn call(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(connection): ConnectInfo<CutHandle>,
    request: Request<Body>,
) -> Response {
    let operation = operation_name(&request).map(str::to_owned);
    let outcome = match &operation {
        Some(operation) => {
            shared.ledger.record(|counters| {
                *counters.calls.entry(operation.clone()).or_default() += 1;
            });
            run(&shared, operation, request, &connection).await
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
                "refused"
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
    response
}

/// The operation that the target header names, if the request has the service's form.
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
    (is_json && is_post && OPERATIONS.contains(&operation)).then_some(operation)
}

async fn run(
    shared: &Arc<Shared>,
    operation: &str,
    request: Request<Body>,
    connection: &CutHandle,
) -> Result<Vec<u8>, ServiceError> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, limits::MAX_BODY_BYTES).await.map_err(|_| {
        ServiceError::new(ErrorKind::RequestTooLarge, "The request body is too large.")
    })?;
    sigv4::verify(&shared.credentials, &parts, &body, now_ns() / 1_000_000_000)?;
    let faults = faults_of_call(shared, operation, &body);
    for fault in &faults {
        shared.ledger.record(|counters| counters.faults += 1);
        match fault {
            FaultKind::Latency(delay) => tokio::time::sleep(*delay).await,
            FaultKind::CutBefore => {
                connection.cut();
                return Ok(Vec::new());
            }
            refusing => {
                if let Some(error) = refusing.refusal(operation) {
                    return Err(error);
                }
            }
        }
    }
    let host = host_of(&parts.headers, shared.address);
    let outcome = dispatch_blocking(Arc::clone(shared), operation.to_owned(), body, host).await;
    if faults.contains(&FaultKind::CutAfter) {
        connection.cut();
    }
    outcome
}

/// Ordered faults that match the call; names are only looked for when there are orders.
fn faults_of_call(shared: &Shared, operation: &str, body: &[u8]) -> Vec<FaultKind> {
    if shared.faults.is_empty() {
        return Vec::new();
    }
    let names: Names = serde_json::from_slice(body).unwrap_or_default();
    let of_query = names.query_string.as_deref().and_then(query::table_of);
    let (database, table) = match of_query {
        Some((database, table)) => (Some(database), Some(table)),
        None => (names.database_name, names.table_name),
    };
    shared
        .faults
        .take(operation, database.as_deref(), table.as_deref())
}

async fn dispatch_blocking(
    shared: Arc<Shared>,
    operation: String,
    body: Bytes,
    host: String,
) -> Result<Vec<u8>, ServiceError> {
    let work = move || dispatch(&shared, &operation, &body, &host, now_ns());
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

/// The host the caller has used, so that it can reach the address it is given.
fn host_of(headers: &HeaderMap, address: SocketAddr) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    host.map_or_else(|| address.to_string(), str::to_owned)
}

/// The clock, in nanoseconds since the epoch.
fn now_ns() -> i64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since_epoch.as_nanos()).unwrap_or(i64::MAX)
}
