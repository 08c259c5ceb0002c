//! `POST /write`: remote write 1.0 and 2.0.

mod record;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode};
use prom_wire::request::KindCounts;
use prom_wire::{DecodeError, RemoteWrite};

use super::body::{Compressed, MemoryWait, within};
use super::invocation_limits::{OptionalLimits, earliest};
use super::recorder::{End, RequestRecorder};
use super::{App, HttpError};
use crate::ingest::{WriteOutcome, WriteProgress};
use record::WriteRecord;

pub(super) async fn write(
    State(app): State<App>,
    limits: OptionalLimits,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let mut recorder = RequestRecorder::open(&app, WriteRecord::default());
    let deadline = tokio::time::Instant::now() + app.settings.request_timeout;
    let deadline = earliest(deadline, &limits);
    let version = prom_wire::negotiate(&headers);
    let stored = match &version {
        Ok(version) => {
            let record = recorder.record();
            store(&app, *version, &headers, body, deadline, record).await
        }
        Err(error) => {
            recorder.record().is_negotiation = is_negotiation(error);
            Err(HttpError::from(error.clone()))
        }
    };
    let numbers = recorder.close(match &stored {
        Ok(status) => End::Completed(*status),
        Err(error) => End::Failed(error),
    });
    let written = written(&stored, recorder.record().storing.outcome.as_ref());
    let mut response = match stored {
        Ok(status) => {
            app.backpressure.record_success();
            status.into_response()
        }
        Err(error) if error.is_retryable() => error
            .after(app.backpressure.record_failure())
            .into_response(),
        Err(error) => error.into_response(),
    };
    response.extensions_mut().insert(numbers);
    // Some senders of remote write 1.0 read them too, and do so wrongly.
    if version == Ok(RemoteWrite::V2) {
        add_written(response.headers_mut(), written);
    }
    response
}

/// Returns true if a sender negotiates the compression by this error: senders that try zstd first send the same
/// request again in snappy, and use snappy from then on
/// (<https://docs.victoriametrics.com/victoriametrics/vmagent/#victoriametrics-remote-write-protocol>).
fn is_negotiation(error: &DecodeError) -> bool {
    matches!(error, DecodeError::ContentEncoding(encoding) if encoding.trim().eq_ignore_ascii_case("zstd"))
}

/// Returns the numbers of written entries for the sender. After a retryable response it sends everything again and
/// adds up the numbers of all responses, so a retryable response has zeros.
fn written(stored: &Result<StatusCode, HttpError>, outcome: Option<&WriteOutcome>) -> KindCounts {
    match stored {
        Err(error) if error.is_retryable() => KindCounts::default(),
        _ => outcome.map_or_else(KindCounts::default, |outcome| outcome.written),
    }
}

/// Adds the headers that remote write 2.0 demands of every response
/// (<https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/#required-written-response-headers>).
fn add_written(headers: &mut HeaderMap, written: KindCounts) {
    let counts = [
        ("x-prometheus-remote-write-samples-written", written.samples),
        (
            "x-prometheus-remote-write-histograms-written",
            written.histograms,
        ),
        (
            "x-prometheus-remote-write-exemplars-written",
            written.exemplars,
        ),
    ];
    for (name, count) in counts {
        headers.insert(name, HeaderValue::from(count));
    }
}

/// Stores the content of the request, and records the outcome. Returns the status of the response: 202 if all samples
/// were those of replicas that are not elected, so that logs of proxies show it.
async fn store(
    app: &App,
    version: RemoteWrite,
    headers: &HeaderMap,
    body: Body,
    deadline: tokio::time::Instant,
    record: &mut WriteRecord,
) -> Result<StatusCode, HttpError> {
    let compute = app.ingester.compute();
    let reservation = &mut app.budget.reservation();
    let body = Compressed::receive(app, headers, body, reservation, deadline).await?;
    let (message, turn) = within(deadline, body.decompress(compute, reservation)).await??;
    let before = reservation.bytes();
    let mut wait = MemoryWait::new(turn.is_some());
    let mut request = loop {
        let decode = || prom_wire::read_request(version, &message, reservation);
        match within(deadline, compute.run_if(turn.is_some(), decode)).await? {
            Err(DecodeError::Memory(exceeded)) => {
                reservation.shrink(reservation.bytes() - before);
                wait.once(exceeded).await?;
            }
            decoded => break decoded?,
        }
    };
    drop(turn);
    let mut success = StatusCode::NO_CONTENT;
    if let Some(replicas) = &app.replicas {
        let filtered = within(deadline, replicas.filter(&mut request, compute)).await?;
        if filtered.dropped_series > 0 && request.is_empty() {
            success = StatusCode::ACCEPTED;
        }
        record.storing.progress = WriteProgress::after_dropping(filtered.dropped);
        record.replicas = Some(filtered);
    }
    let storing = &mut record.storing;
    let written = storing.write(app, &request, headers, deadline).await?;
    written.error.map_or(Ok(success), Err)
}
