//! `/v1/connectors`: creates, reads, changes, runs and deletes jobs over HTTP, in JSON.
//!
//! A definition makes the connector call any endpoint, with secrets of its own. So callers need a
//! credential or, if none is configured, must be on this machine. Pages and proxies are rejected before, as
//! on all routes (`guard.rs`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Path, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use prom_model::visible::escaped;
use prom_wire::DecodeError;
use prom_wire::budget::Reservation;
use prom_wire::buffer::Buffer;
use serde_json::{Map, Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::error::ErrorClass;
use super::invocation_limits::{OptionalLimits, earliest, is_authenticated};
use super::{App, HttpError, body};
use crate::jobs::definition::Definition;
use crate::jobs::job::RunError;
use crate::jobs::registry::{Entry, MAX_DEFINITION_BYTES, RegistryError};
use crate::jobs::runner::{Caller, JobRunner, NotRun};

/// The prefix of the paths of all routes.
const ROUTES: &str = "/v1/connectors";
/// The most bytes of rows.
const MAX_ROWS_BYTES: usize = 32 << 20;
/// The time in which a body must arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The jobs of a server, for the routes; cheap to clone.
#[derive(Clone, Debug)]
pub struct JobsApi {
    /// Runs the jobs.
    pub runner: Arc<JobRunner>,
    /// Cancelled when runs are to end early.
    pub stop: CancellationToken,
    /// Tracks runs that are begun by hand; if absent, the response waits for their end.
    pub background: Option<TaskTracker>,
}

/// A response that is not a success: `{"error": message}`.
struct ApiError(StatusCode, String);

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self(status, text) = self;
        respond(status, &json!({ "error": text }))
    }
}

impl From<RegistryError> for ApiError {
    fn from(error: RegistryError) -> Self {
        let status = StatusCode::from(ErrorClass::from(&error));
        if status.is_server_error() {
            tracing::error!(
                error = error.to_string(),
                status = status.as_u16(),
                "Rejected a request about jobs."
            );
        }
        Self(status, error.to_string())
    }
}

/// Returns the routes, behind [`require`].
pub(super) fn routes(app: &App) -> Router<App> {
    Router::new()
        .route("/v1/connectors", get(list).post(create))
        .route(
            "/v1/connectors/{id}",
            get(show).patch(change).delete(delete),
        )
        .route("/v1/connectors/{id}/trigger", post(trigger))
        .route("/v1/connectors/{id}/rows", post(rows))
        .route("/v1/connectors/{id}/pause", post(pause))
        .route("/v1/connectors/{id}/resume", post(resume))
        .layer(from_fn_with_state(app.clone(), require))
}

/// Passes on the requests of callers that may use the routes, with the jobs.
async fn require(
    State(app): State<App>,
    limits: OptionalLimits,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(jobs) = app.jobs.clone() else {
        let text = "this function stores no jobs: give it a table by state_store=dynamodb:TABLE";
        return ApiError(ErrorClass::NotFound.into(), text.to_owned()).into_response();
    };
    let is_authenticated = is_authenticated(&app, &limits);
    if let Err(rejected) = admit(is_authenticated, app.is_local) {
        // Strangers can send any number of requests.
        if let Some(suppressed) = app.rejected_credentials.admit(Instant::now()) {
            tracing::warn!(
                error = rejected.1,
                status = rejected.0.as_u16(),
                path = request.uri().path(),
                suppressed,
                "Rejected a request about jobs."
            );
        }
        return rejected.into_response();
    }
    request.extensions_mut().insert(jobs);
    let mut response = next.run(request).await;
    let no_store = http::HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

/// Returns true if a request, within the layer that checks credentials, may see the jobs.
pub(super) fn are_shown(app: &App, limits: &OptionalLimits) -> bool {
    admit(is_authenticated(app, limits), app.is_local).is_ok()
}

/// Admits callers that have shown a credential, and those on this machine.
fn admit(is_authenticated: bool, is_local: bool) -> Result<(), ApiError> {
    if is_authenticated || is_local {
        return Ok(());
    }
    Err(ApiError(
        ErrorClass::Unauthenticated.into(),
        "AuthenticationError: /v1/connectors responds only if a credential is configured: set \
         --bearer-token (bearer_token), --basic-auth-users (basic_auth_users) or users in \
         --web.config.file (web_config_file), or listen on this machine alone \
         (--web.listen-address=localhost:9201)"
            .to_owned(),
    ))
}

/// Returns true if a path is one of these routes.
pub(super) fn owns(path: &str) -> bool {
    path.strip_prefix(ROUTES)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns the response to a request for `path` that is rejected before it reaches a route: in JSON, if it is
/// for one of these routes.
pub(super) fn rejection(path: &str, error: HttpError) -> Response {
    if !owns(path) {
        return error.into_response();
    }
    let body = respond(error.status(), &json!({ "error": error.text() }));
    let (parts, body) = body.into_parts();
    let mut response = error.into_response();
    response.headers_mut().extend(parts.headers);
    *response.body_mut() = body;
    response
}

type Shared = Extension<JobsApi>;

async fn list(Extension(jobs): Shared) -> Result<Response, ApiError> {
    let registry = &jobs.runner.registry;
    let entries = registry.list().await?;
    let now = (jobs.runner.now)();
    let items: Vec<Value> = entries.iter().map(|entry| item(entry, now)).collect();
    Ok(respond(StatusCode::OK, &json!({ "items": items })))
}

async fn create(
    State(app): State<App>,
    Extension(jobs): Shared,
    limits: OptionalLimits,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let received = receive(&app, &headers, body, MAX_DEFINITION_BYTES, &limits).await;
    let (body, mut reservation) = received?;
    let registry = &jobs.runner.registry;
    let id = registry.create(&body, &mut reservation).await?;
    tracing::info!(connector = id, "Job `{id}` was created.");
    let location = [(LOCATION, format!("/v1/connectors/{id}"))];
    Ok((location, respond(StatusCode::CREATED, &json!({ "id": id }))).into_response())
}

async fn show(Extension(jobs): Shared, Path(id): Path<String>) -> Result<Response, ApiError> {
    item_of(&jobs, &id).await
}

async fn change(
    State(app): State<App>,
    Extension(jobs): Shared,
    Path(id): Path<String>,
    limits: OptionalLimits,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let received = receive(&app, &headers, body, MAX_DEFINITION_BYTES, &limits).await;
    let (body, mut reservation) = received?;
    let registry = &jobs.runner.registry;
    registry.patch(&id, &body, &mut reservation).await?;
    tracing::info!(connector = id, "Job `{id}` was changed.");
    item_of(&jobs, &id).await
}

async fn delete(Extension(jobs): Shared, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    jobs.runner.registry.delete(&id).await?;
    tracing::info!(connector = id, "Job `{id}` was deleted.");
    Ok(StatusCode::NO_CONTENT)
}

async fn pause(Extension(jobs): Shared, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    jobs.runner.registry.pause(&id).await?;
    tracing::info!(connector = id, "Job `{id}` was paused.");
    Ok(StatusCode::NO_CONTENT)
}

async fn resume(Extension(jobs): Shared, Path(id): Path<String>) -> Result<StatusCode, ApiError> {
    jobs.runner.registry.resume(&id).await?;
    tracing::info!(connector = id, "Job `{id}` was resumed.");
    Ok(StatusCode::NO_CONTENT)
}

async fn trigger(
    Extension(jobs): Shared,
    Path(id): Path<String>,
    limits: OptionalLimits,
) -> Result<Response, ApiError> {
    let definition = &usable(&jobs, &id).await?;
    let deadline = limits.map(|limits| limits.deadline);
    let begun = jobs.runner.begin(definition, deadline, &jobs.stop);
    let run = begun.await.map_err(|reason| not_begun(&id, reason))?;
    let mut response = respond(StatusCode::ACCEPTED, &json!({ "id": id }));
    match jobs.background {
        Some(background) => {
            background.spawn(run);
        }
        None => {
            let run = match deadline {
                Some(deadline) => tokio::time::timeout_at(deadline, run).await,
                None => Ok(run.await),
            };
            match run {
                Ok((_, numbers)) => drop(response.extensions_mut().insert(numbers)),
                // Its lease ends by itself.
                Err(_) => tracing::error!(
                    error = "it did not end within the time of the invocation",
                    connector = id,
                    "Job `{id}` failed."
                ),
            }
        }
    }
    Ok(response)
}

/// Returns the definition of this name, if it can run here.
async fn usable(jobs: &JobsApi, id: &str) -> Result<Arc<Definition>, ApiError> {
    let entry = jobs.runner.registry.get(id).await?;
    entry.definition.ok_or_else(|| {
        let text = match &entry.unusable {
            Some(errors) => format!("the definition of the job {id:?} is invalid: {errors}"),
            None => format!("the definition of {id:?} is not stored here; run it where it is"),
        };
        ApiError(ErrorClass::Conflict.into(), text)
    })
}

/// Accepts rows and responds when they are settled: 200 if all are delivered, 400 if some never can be and
/// the others are, 413 if they are too many and none is delivered, 503 if all must be sent again.
async fn rows(
    State(app): State<App>,
    Extension(jobs): Shared,
    Path(id): Path<String>,
    limits: OptionalLimits,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, ApiError> {
    let definition = usable(&jobs, &id).await?;
    let received = receive(&app, &headers, body, MAX_ROWS_BYTES, &limits).await;
    let (rows, mut reservation) = received?;
    let caller = Caller {
        deadline: limits.map(|limits| limits.deadline),
        stop: &jobs.stop,
        progress: &(),
    };
    let pushed = jobs
        .runner
        .push_rows(&definition, &rows, &mut reservation, caller)
        .await;
    let Some((report, numbers)) = pushed.map_err(|reason| not_begun(&id, reason))? else {
        let text = format!("a job of the type {} accepts no rows", definition.kind);
        return Err(ApiError(ErrorClass::BadRequest.into(), text));
    };
    let status = match (&report.error, report.is_settled()) {
        (None, _) => StatusCode::OK,
        (Some(RunError::TooManyRows(_)), _) => ErrorClass::TooLarge.into(),
        (Some(_), true) => ErrorClass::BadRequest.into(),
        (Some(_), false) => ErrorClass::Unavailable.into(),
    };
    let body = json!({
        "received": report.received,
        "delivered": report.rows,
        "rejected": report.rejected,
        "dead_lettered": report.dead_lettered,
        "warnings": report.warnings,
        "error": report.error.map(|error| error.to_string()),
    });
    let mut response = respond(status, &body);
    response.extensions_mut().insert(numbers);
    Ok(response)
}

fn not_begun(id: &str, reason: NotRun) -> ApiError {
    let text = match reason {
        NotRun::StateFailed(error) => return RegistryError::State(error).into(),
        NotRun::NoMemory(error) => return RegistryError::Memory(error).into(),
        NotRun::Disabled(reason) => {
            format!("the job {id:?} is disabled: {reason}; fix that and resume it")
        }
        NotRun::Paused => format!("the job {id:?} is paused; resume it"),
        NotRun::Busy | NotRun::ClaimLost => {
            format!("another run of the job {id:?} has not ended")
        }
    };
    ApiError(ErrorClass::Conflict.into(), text)
}

async fn item_of(jobs: &JobsApi, id: &str) -> Result<Response, ApiError> {
    let entry = jobs.runner.registry.get(id).await?;
    let item = item(&entry, (jobs.runner.now)());
    Ok(respond(StatusCode::OK, &item))
}

/// Returns a job in JSON: its definition with secrets masked, and its record.
fn item(entry: &Entry, now: Timestamp) -> Value {
    let mut item = match &entry.definition {
        Some(definition) => definition.masked(),
        None => Map::from_iter([("name".to_owned(), entry.name.clone().into())]),
    };
    let record = &entry.record;
    let time = |time: Option<Timestamp>| time.map(|time| format!("{time:.3}"));
    let source = match (&entry.definition, entry.is_from_file) {
        (_, true) => "file",
        (None, false) if entry.unusable.is_none() => "event",
        _ => "api",
    };
    let known = [
        ("id", json!(entry.name)),
        ("source", json!(source)),
        ("paused", json!(record.paused)),
        ("running", json!(record.is_running(now))),
        ("last_run_at", json!(time(record.last_run_at))),
        ("last_success_at", json!(time(record.last_success_at))),
        ("last_error", json!(record.last_error)),
        ("last_warnings", json!(record.last_warnings)),
        ("last_rows_ingested", json!(record.last_rows_ingested)),
        ("skipped", json!(record.skipped)),
        ("disabled_reason", json!(record.disabled_reason)),
    ];
    item.extend(known.map(|(key, value)| (key.to_owned(), value)));
    if let Some(errors) = &entry.unusable {
        item.insert("unusable".to_owned(), errors.to_string().into());
    }
    Value::Object(item)
}

/// Returns a response in JSON.
fn respond(status: StatusCode, body: &Value) -> Response {
    let headers = [(CONTENT_TYPE, "application/json")];
    // Within the strings of JSON these escapes mean the same characters.
    let body = escaped(&body.to_string()).into_owned();
    (status, headers, body).into_response()
}

/// Receives the body of a request, as on the other routes; returns it with the memory reserved for it.
async fn receive(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    limit: usize,
    limits: &OptionalLimits,
) -> Result<(Buffer, Reservation), ApiError> {
    let deadline = earliest(tokio::time::Instant::now() + BODY_TIMEOUT, limits);
    let mut reservation = app.budget.reservation();
    let received = body::receive(headers, body, limit, &mut reservation, deadline).await;
    let body = received.map_err(|error| {
        // The texts of these two are for senders of remote write.
        if error == HttpError::slow_body() {
            let text = "the body did not arrive in time".to_owned();
            return ApiError(ErrorClass::BodyTimeout.into(), text);
        }
        if error == HttpError::from(DecodeError::TooLarge { limit }) {
            let text = format!("the body has more than {limit} bytes; send less at a time");
            return ApiError(ErrorClass::TooLarge.into(), text);
        }
        ApiError(error.status(), error.text().to_owned())
    })?;
    Ok((body, reservation))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_with_a_credential_and_local_ones_are_admitted() {
        let cases = [
            (false, false, Some(401)),
            (true, false, None),
            (false, true, None),
            (true, true, None),
        ];
        for (is_authenticated, is_local, expected) in cases {
            let rejected = admit(is_authenticated, is_local).err();
            let status = rejected.map(|rejected| rejected.0.as_u16());
            assert_eq!(status, expected, "{is_authenticated} {is_local}");
        }
    }

    #[test]
    fn the_paths_of_the_routes() {
        for path in ["/v1/connectors", "/v1/connectors/", "/v1/connectors/a/rows"] {
            assert!(owns(path), "{path}");
        }
        for path in ["/v1", "/v1/connectorsx", "/write", "/a/v1/connectors"] {
            assert!(!owns(path), "{path}");
        }
    }
}
