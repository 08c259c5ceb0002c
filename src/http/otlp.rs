//! `POST /v1/metrics` and `/api/v1/otlp/v1/metrics`: OTLP metrics in protobuf and JSON.
//!
//! Exporters send again after 429, 502, 503 and 504 alone
//! (<https://opentelemetry.io/docs/specs/otlp/#retryable-response-codes>), so an error that may pass is 503. Data points
//! that can never be stored are counted in a 200, and cost no others. If the connector itself cannot store anything, for
//! want of a permission or a table, the status is that of the error.

mod body;
mod content;
mod record;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use jiff::Timestamp;
use otlp::response::{Encoding, export_response, status};
use otlp::{TargetInfoBounds, Translation};
use prom_wire::request::StringArena;
use tokio::time::Instant;

use super::body::{MemoryWait, within};
use super::error::{self, shown};
use super::invocation_limits::{OptionalLimits, earliest};
use super::recorder::{End, RequestRecorder};
use super::storing::Written;
use super::{App, HttpError, query_api};
use crate::ingest::{DeadLetterOutcome, WriteOutcome};
use crate::metrics::OtlpPoints;
use crate::storage::write::series::IgnoreReason;
use crate::timestream::ErrorKind;
use record::OtlpRecord;

/// The path that exporters add to an endpoint.
pub(super) const METRICS: &str = "/v1/metrics";

/// Timestream stores no samples that are further in the future, so these times have no part in `target_info`.
const MAX_AHEAD_MS: i64 = 15 * 60_000;

/// A list of so many lost samples takes longer to count than a thread that serves connections may be occupied.
const LONG_LIST: usize = 20_000;

/// Returns the routes.
pub(super) fn routes() -> Router<App> {
    Router::new()
        .route(METRICS, post(metrics).fallback(error::post_only))
        .route(query_api::OTLP, query_api::post_only(metrics))
}

/// The data points of a request that are not stored, for its sender.
#[derive(Debug, Default)]
struct Rejection {
    points: u64,
    text: String,
}

async fn metrics(
    State(app): State<App>,
    limits: OptionalLimits,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut recorder = RequestRecorder::open(&app, OtlpRecord::default());
    let deadline = Instant::now() + app.settings.request_timeout;
    let deadline = earliest(deadline, &limits);
    let encoding = content::encoding(&headers);
    let stored = match encoding.clone() {
        Ok(encoding) => {
            let record = recorder.record();
            store(&app, encoding, &headers, body, deadline, record).await
        }
        Err(error) => Err(error),
    };
    let numbers = recorder.close(match &stored {
        Ok(_) => End::Completed(StatusCode::OK),
        Err(error) => End::Failed(error),
    });
    let mut response = match (stored, encoding) {
        (Ok(Rejection { points, text }), Ok(encoding)) => {
            app.backpressure.record_success();
            let body = export_response(encoding, points, &text);
            with_body(StatusCode::OK.into_response(), encoding, body)
        }
        (Err(error), Ok(encoding)) => {
            let error = match error.is_retryable() {
                true => error.after(app.backpressure.record_failure()),
                false => error,
            };
            let body = status(encoding, error.text());
            with_body(error.into_response(), encoding, body)
        }
        // The sender may not be one of OTLP.
        (_, Err(error)) => error.into_response(),
    };
    response.extensions_mut().insert(numbers);
    response
}

/// Returns a response with this body.
fn with_body(mut response: Response, encoding: Encoding, body: Vec<u8>) -> Response {
    *response.body_mut() = Body::from(body);
    let content_type = HeaderValue::from_static(encoding.content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// Stores the content of the request, and records the outcome.
async fn store(
    app: &App,
    encoding: Encoding,
    headers: &HeaderMap,
    body: Body,
    deadline: Instant,
    record: &mut OtlpRecord,
) -> Result<Rejection, HttpError> {
    let compute = app.ingester.compute();
    let reservation = &mut app.budget.reservation();
    let (message, mut turn) = body::receive(app, headers, body, reservation, deadline).await?;
    let before = reservation.bytes();
    let mut wait = MemoryWait::new(turn.is_some());
    let bounds = TargetInfoBounds {
        times_ms: 1..=Timestamp::now().as_millisecond() + MAX_AHEAD_MS,
        ..TargetInfoBounds::default()
    };
    loop {
        let arena = StringArena::default();
        let options = &app.settings.otlp;
        let decode =
            || otlp::read_and_translate(encoding, &message, options, &bounds, &arena, reservation);
        match within(deadline, compute.run_if(turn.is_some(), decode)).await? {
            Err(otlp::DecodeError::Busy(exceeded)) => {
                reservation.shrink(reservation.bytes() - before);
                wait.once(exceeded).await?;
            }
            translation => {
                drop(turn.take());
                return deliver(app, &translation?, headers, deadline, record).await;
            }
        }
    }
}

/// Stores the series of a request; returns its data points that are not stored and never will be.
async fn deliver(
    app: &App,
    translation: &Translation<'_>,
    headers: &HeaderMap,
    deadline: Instant,
    record: &mut OtlpRecord,
) -> Result<Rejection, HttpError> {
    let rejected = translation.rejected.iter();
    let points = record.points.insert(OtlpPoints {
        received: translation.points() + translation.rejected_points(),
        rejected: rejected.map(|it| (it.reason.as_str(), it.points)).collect(),
        dropped_exemplars: translation.dropped_exemplars,
    });
    let request = &translation.request;
    let written = record.storing.write(app, request, headers, deadline);
    let Written {
        progress,
        outcome,
        error,
    } = written.await?;
    if let Some(error) = error.as_ref().filter(|it| it.is_retryable()) {
        return Err(error.clone().for_exporters());
    }
    let ingester = &app.ingester;
    let lost = ingester.lost(progress, outcome);
    let is_long = lost.len() > LONG_LIST;
    let count = || translation.points_in(lost);
    let not_stored = ingester.compute().run_if(is_long, count).await;
    points.add_not_stored(not_stored);
    // Exporters may ignore the text of a 200, so a connector that can store nothing has a status of an error.
    if let Some(error) = error.as_ref().filter(|_| is_refused(outcome)) {
        return Err(error.clone());
    }
    let rejection = Rejection {
        points: translation.rejected_points() + not_stored,
        text: rejection_text(translation, error.as_ref(), outcome),
    };
    if rejection.points > 0 || error.is_some() {
        record.rejection.clone_from(&rejection.text);
    }
    Ok(rejection)
}

/// Returns true if nothing of a request is stored because of the connector's permissions, tables or quotas, not of the
/// data.
fn is_refused(written: &WriteOutcome) -> bool {
    let is_refusal = |kind| {
        matches!(
            kind,
            ErrorKind::AccessDenied | ErrorKind::NotFound | ErrorKind::QuotaExceeded
        )
    };
    written.stored == 0
        && !written.failures.is_empty()
        && written.failures.iter().all(|it| is_refusal(it.kind))
        && !matches!(written.dead_letters, DeadLetterOutcome::Stored(_))
}

/// Returns the reasons for which data points are not stored; empty if all are. Samples dropped by policy are not
/// rejected, as in remote write 2.0, so they are a warning; stale markers, which a Collector sends each time that a
/// series ends, are none.
fn rejection_text(
    translation: &Translation<'_>,
    error: Option<&HttpError>,
    written: &WriteOutcome,
) -> String {
    let mut parts: Vec<_> = translation
        .rejected
        .iter()
        .map(ToString::to_string)
        .collect();
    parts.extend(error.map(|error| error.text().to_owned()));
    let are_letters = matches!(written.dead_letters, DeadLetterOutcome::Stored(_));
    let ignored = written.ignored.iter();
    let ignored = ignored.filter(|(reason, _)| {
        !are_letters && !reason.is_settled() && **reason != IgnoreReason::ValueNotFinite
    });
    let ignored = ignored.map(|(reason, samples)| format!("{} ({samples})", reason.as_str()));
    let ignored: Vec<_> = ignored.collect();
    if !ignored.is_empty() {
        let ignored = ignored.join(", ");
        parts.push(format!(
            "samples that Timestream cannot store are dropped: {ignored}"
        ));
    }
    shown(&parts.join("; "))
}
