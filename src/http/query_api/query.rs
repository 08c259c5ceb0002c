//! `query` and `query_range`: the value of an expression at one time or at several.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use promql::{Engine, EngineOptions, ParserOptions, Query, QueryError, Value};
use tokio::time::Instant;

use super::endpoint::{Call, Data, Reply, serve};
use super::envelope::{ApiError, ErrorType};
use super::expressions::parsed;
use super::parameters::quoted;
use super::statistics::statistics_json;
use crate::http::App;
use crate::http::invocation_limits::OptionalLimits;
use crate::query::now_ms;

/// Steps of a range query at most; one point more passes, as in Prometheus.
const MAX_STEPS: i64 = 11_000;

/// `GET` and `POST /api/v1/query`.
pub(in crate::http) async fn instant(
    State(app): State<App>,
    limits: OptionalLimits,
    request: Request,
) -> Response {
    serve(app, limits, request, "query", |call| {
        Box::pin(async move {
            let limit = call.parameters.limit()?;
            let time_ms = call.parameters.optional_time("time")?;
            let time_ms = time_ms.unwrap_or_else(now_ms);
            let options = options(call)?;
            let query = plan(call, options, |engine, text| engine.instant(text, time_ms)).await?;
            evaluate(call, query, limit).await
        })
    })
    .await
}

/// `GET` and `POST /api/v1/query_range`.
pub(in crate::http) async fn range(
    State(app): State<App>,
    limits: OptionalLimits,
    request: Request,
) -> Response {
    serve(app, limits, request, "query_range", |call| {
        Box::pin(async move {
            let limit = call.parameters.limit()?;
            let start_ms = call.parameters.time("start")?;
            let end_ms = call.parameters.time("end")?;
            if end_ms < start_ms {
                let reason = "end timestamp must not be before start time";
                return Err(ApiError::parameter("end", reason));
            }
            let step_ns = call.parameters.duration("step")?;
            if step_ns <= 0 {
                let reason = "zero or negative query resolution step widths are not accepted. Try a positive integer";
                return Err(ApiError::parameter("step", reason));
            }
            let range_ns = (i128::from(end_ms) - i128::from(start_ms)) * 1_000_000;
            if range_ns / i128::from(step_ns) > i128::from(MAX_STEPS) {
                let text = "exceeded maximum resolution of 11,000 points per timeseries. Try decreasing the query resolution (?step=XX)";
                return Err(ApiError::new(ErrorType::BadData, text));
            }
            let options = options(call)?;
            let step_ms = step_ns / 1_000_000;
            let parse = |engine: &Engine, text: &str| engine.range(text, start_ms, end_ms, step_ms);
            let query = plan(call, options, parse).await?;
            evaluate(call, query, limit).await
        })
    })
    .await
}

/// The value of the parameter `stats` for the statistics of each step.
const STATS_ALL: &str = "all";

/// Warnings, and infos, that a response has at most, beside one that says how many more there are.
const MAX_ANNOTATIONS: usize = 10;

/// Returns the options of the engine for a request, after its parameters `timeout` and `lookback_delta`.
fn options(call: &mut Call<'_>) -> Result<EngineOptions, ApiError> {
    if !call.parameters.get("timeout").is_empty() {
        let timeout_ns = call.parameters.duration("timeout")?;
        if timeout_ns <= 0 {
            // Prometheus evaluates with a deadline that is over, and responds with 400 or 422 by chance.
            let reason = "the timeout is not positive; use seconds as 30, or a duration as 30s";
            return Err(ApiError::parameter("timeout", reason));
        }
        let timeout = Duration::from_nanos(timeout_ns.unsigned_abs());
        call.deadline = call.deadline.min(Instant::now() + timeout);
    }
    let mut options: EngineOptions = call.app.settings.promql;
    if !call.parameters.get("lookback_delta").is_empty() {
        let lookback_ns = call.parameters.lookback()?;
        if lookback_ns > 0 {
            options.lookback_ms = lookback_ns / 1_000_000;
        }
    }
    options.per_step_statistics &= call.parameters.get("stats") == STATS_ALL;
    call.record.set_expression(call.parameters.get("query"));
    Ok(options)
}

/// Parses the expression of a request by `parse`.
async fn plan(
    call: &mut Call<'_>,
    options: EngineOptions,
    parse: impl Fn(&Engine, &str) -> Result<Query, QueryError>,
) -> Result<Query, ApiError> {
    let text = call.parameters.get("query");
    let parse = |parser: &ParserOptions| {
        let options = EngineOptions {
            parser: *parser,
            ..options
        };
        parse(&Engine::new(options), text)
    };
    Ok(parsed(call.app, &[text], call.reservation, parse).await??)
}

async fn evaluate(
    call: &mut Call<'_>,
    query: Query,
    limit: Option<usize>,
) -> Result<Reply, ApiError> {
    let began = Instant::now();
    let reads = call.record.begin_reads(&call.app.querier, call.deadline);
    if call.no_store {
        reads.bypass_cache();
    }
    if !call.parameters.get("stats").is_empty() {
        reads.count_all_samples();
    }
    let mut evaluation = reads.evaluate(query, call.reservation).await?;
    call.record.statistics = Some(evaluation.outcome.statistics);
    let stats = call.parameters.get("stats");
    let statistics = match stats {
        "" => Vec::new(),
        _ => statistics_json(&evaluation, began.elapsed()),
    };
    let mut warnings = Vec::new();
    let outcome = &mut evaluation.outcome;
    let mut value = std::mem::replace(&mut outcome.value, Ok(Value::Vector(Vec::new())))?;
    if limit.is_some_and(|limit| truncate(&mut value, limit)) {
        warnings.push("results truncated due to limit".to_owned());
    }
    if !["", "true", STATS_ALL].contains(&stats) {
        warnings.push(format!(
            "value {} for parameter \"stats\" is deprecated and will be rejected in the next major release, use \"true\" or \"all\"",
            quoted(stats)
        ));
    }
    let annotations = &outcome.annotations;
    warnings.extend(annotations.warnings_limited(MAX_ANNOTATIONS - warnings.len()));
    Ok(Reply {
        data: Data::Value(value, statistics),
        warnings,
        infos: annotations.infos_limited(MAX_ANNOTATIONS),
    })
}

/// Drops the elements behind `limit`; returns true if there are any.
fn truncate(value: &mut Value, limit: usize) -> bool {
    let len = match value {
        Value::Vector(samples) => samples.len(),
        Value::Matrix(series) => series.len(),
        Value::Scalar { .. } | Value::String { .. } => return false,
    };
    match value {
        Value::Vector(samples) => samples.truncate(limit),
        Value::Matrix(series) => series.truncate(limit),
        Value::Scalar { .. } | Value::String { .. } => {}
    }
    len > limit
}
