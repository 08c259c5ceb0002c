//! The way of every request through the API: parameters in, an endpoint's reply or error out as JSON.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use futures_util::future::BoxFuture;
use http::header::CACHE_CONTROL;
use http::{HeaderMap, StatusCode};
use prom_wire::budget::Reservation;
use promql::Value;
use tokio::time::Instant;

use super::body::BodyWriter;
use super::encoding::Encoding;
use super::envelope::ApiError;
use super::json::{ValueWriter, write_strings_field};
use super::parameters::Parameters;
use super::record::ApiRecord;
use crate::http::App;
use crate::http::invocation_limits::{OptionalLimits, earliest};
use crate::http::recorder::{End, RequestRecorder};

/// A request while its endpoint works on it.
pub(super) struct Call<'c> {
    pub(super) app: &'c App,
    /// The path of the request, as it was sent.
    pub(super) path: String,
    /// True if the client wants nothing that is remembered: `Cache-Control: no-store`.
    pub(super) no_store: bool,
    pub(super) parameters: Parameters,
    /// The time by which the reply must be there.
    pub(super) deadline: Instant,
    pub(super) reservation: &'c mut Reservation,
    pub(super) record: &'c mut ApiRecord,
}

/// A success.
pub(super) struct Reply {
    pub(super) data: Data,
    pub(super) warnings: Vec<String>,
    pub(super) infos: Vec<String>,
}

/// The data of a response.
pub(super) enum Data {
    /// The value of an expression, and its statistics as JSON, empty if there are none.
    Value(Value, Vec<u8>),
    /// JSON.
    Json(Vec<u8>),
    /// None: the response has no body.
    None,
}

impl From<Data> for Reply {
    fn from(data: Data) -> Self {
        Self {
            data,
            warnings: Vec::new(),
            infos: Vec::new(),
        }
    }
}

/// An endpoint.
pub(super) type Endpoint = for<'c> fn(&'c mut Call<'_>) -> BoxFuture<'c, Result<Reply, ApiError>>;

/// Serves a request by `endpoint`, whose name is for the log.
pub(super) async fn serve(
    app: App,
    limits: OptionalLimits,
    request: Request,
    name: &'static str,
    endpoint: Endpoint,
) -> Response {
    let mut recorder =
        RequestRecorder::open(&app, ApiRecord::new(name, app.settings.query_log_slow));
    let encoding = Encoding::accepted(request.headers());
    let record = recorder.record();
    let result = respond(&app, &limits, request, encoding, endpoint, record).await;
    let (mut response, numbers) = match result {
        Ok(response) => {
            let numbers = recorder.close(End::Completed(response.status()));
            (response, numbers)
        }
        Err(error) => {
            let numbers = recorder.close(End::Failed(&error.to_http_error()));
            (error.into_response(encoding), numbers)
        }
    };
    response.extensions_mut().insert(numbers);
    response
}

async fn respond(
    app: &App,
    limits: &OptionalLimits,
    request: Request,
    encoding: Encoding,
    endpoint: Endpoint,
    record: &mut ApiRecord,
) -> Result<Response, ApiError> {
    let deadline = Instant::now() + app.settings.query_timeout;
    let deadline = earliest(deadline, limits);
    let mut reservation = app.budget.reservation();
    let (parts, body) = request.into_parts();
    let parameters = Parameters::receive(app, &parts, body, &mut reservation, deadline).await?;
    let mut call = Call {
        app,
        path: parts.uri.path().to_owned(),
        no_store: is_no_store(&parts.headers),
        parameters,
        deadline,
        reservation: &mut reservation,
        record,
    };
    let reply = endpoint(&mut call).await?;
    if matches!(reply.data, Data::None) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let max_bytes = limits
        .as_ref()
        .map_or(usize::MAX, |limits| limits.max_response_bytes);
    encode(app, reply, encoding, max_bytes, &mut reservation).await
}

fn is_no_store(headers: &HeaderMap) -> bool {
    let values = headers.get_all(CACHE_CONTROL).iter();
    let values = values.filter_map(|value| value.to_str().ok());
    let mut directives = values.flat_map(|value| value.split(','));
    directives.any(|it| it.trim().eq_ignore_ascii_case("no-store"))
}

/// Encodes a reply series by series, so that a large one neither occupies a thread nor exceeds its memory.
async fn encode(
    app: &App,
    reply: Reply,
    encoding: Encoding,
    max_bytes: usize,
    reservation: &mut Reservation,
) -> Result<Response, ApiError> {
    let mut body = BodyWriter::new(encoding, max_bytes, reservation)?;
    body.push(b"{\"status\":\"success\",\"data\":")?;
    match &reply.data {
        Data::Value(value, statistics) => {
            let mut writer = ValueWriter::new(value);
            let mut piece = Vec::new();
            let write = || {
                piece.clear();
                let goes_on = writer.write_piece(&mut piece);
                match body.push(&piece) {
                    Ok(()) if goes_on => None,
                    pushed => Some(pushed),
                }
            };
            app.querier
                .compute()
                .run_in_slices(is_long(value), write)
                .await?;
            if !statistics.is_empty() {
                body.push(b",\"stats\":")?;
                body.push(statistics)?;
            }
            body.push(b"}")?;
        }
        Data::Json(json) => body.push(json)?,
        Data::None => {}
    }
    let mut tail = Vec::new();
    write_strings_field("warnings", &reply.warnings, &mut tail);
    write_strings_field("infos", &reply.infos, &mut tail);
    tail.push(b'}');
    body.push(&tail)?;
    body.finish()
}

/// Returns whether writing a value can take longer than a thread that serves connections may be occupied.
fn is_long(value: &Value) -> bool {
    /// Samples, each of which takes less than a microsecond.
    const LONG_SAMPLES: usize = 5_000;
    match value {
        Value::Scalar { .. } | Value::String { .. } => false,
        Value::Vector(samples) => samples.len() > LONG_SAMPLES / 2,
        Value::Matrix(series) => {
            let samples = series.iter();
            let samples = samples.map(|it| it.floats.len() + 10 * it.histograms.len());
            samples.sum::<usize>() > LONG_SAMPLES
        }
    }
}
