//! `metadata` and `query_exemplars`.

use std::collections::BTreeMap;

use axum::extract::{Request, State};
use axum::response::Response;
use prom_model::Labels;
use promql::{ParseError, ParserOptions};

use super::discovery::{MAX_SELECTORS, limited, range_ms};
use super::endpoint::{Data, Reply, serve};
use super::envelope::{ApiError, ErrorType};
use super::expressions::parsed;
use super::json::{write_float, write_labels, write_list, write_string, write_time};
use super::parameters::{Parameters, go_integer};
use crate::http::App;
use crate::http::invocation_limits::OptionalLimits;
use crate::query::{Exemplar, MetricMetadata, Scope};

/// `GET /api/v1/metadata`: types, help texts and units of metrics.
pub(in crate::http) async fn metadata(
    State(app): State<App>,
    limits: OptionalLimits,
    request: Request,
) -> Response {
    serve(app, limits, request, "metadata", |call| {
        Box::pin(async move {
            let limit = number(&call.parameters, "limit")?;
            let limit_per_metric = number(&call.parameters, "limit_per_metric")?;
            let reads = call.record.begin_reads(&call.app.querier, call.deadline);
            let found = reads.metadata(call.no_store).await?;
            let metric = call.parameters.get("metric");
            let mut metrics: BTreeMap<&str, Vec<&MetricMetadata>> = BTreeMap::new();
            for entry in found.iter() {
                if !metric.is_empty() && entry.name != metric {
                    continue;
                }
                let texts = metrics.entry(&entry.name).or_default();
                if limit_per_metric.is_none_or(|limit| limit == 0 || texts.len() < limit) {
                    texts.push(entry);
                }
            }
            let mut json = vec![b'{'];
            let shown = metrics.into_iter().take(limit.unwrap_or(usize::MAX));
            for (index, (name, texts)) in shown.enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                write_string(name, &mut json);
                json.push(b':');
                write_list(texts, &mut json, write_metadata);
            }
            json.push(b'}');
            let grown = call.reservation.grow(json.len());
            grown.map_err(ApiError::no_memory)?;
            Ok(Data::Json(json).into())
        })
    })
    .await
}

/// Returns a parameter; `None` if it is absent or negative.
fn number(parameters: &Parameters, name: &str) -> Result<Option<usize>, ApiError> {
    match parameters.get(name) {
        "" => Ok(None),
        text => match go_integer(text) {
            Ok(number) => Ok(usize::try_from(number).ok()),
            Err(_) => {
                let text = format!("{name} must be a number");
                Err(ApiError::new(ErrorType::BadData, text))
            }
        },
    }
}

fn write_metadata(entry: &MetricMetadata, json: &mut Vec<u8>) {
    for (name, text) in [
        ("{\"type\":", &entry.metric_type),
        (",\"unit\":", &entry.unit),
        (",\"help\":", &entry.help),
    ] {
        json.extend_from_slice(name.as_bytes());
        write_string(text, json);
    }
    json.push(b'}');
}

/// `GET` and `POST /api/v1/query_exemplars`: the exemplars of the series that a query selects.
pub(in crate::http) async fn exemplars(
    State(app): State<App>,
    limits: OptionalLimits,
    request: Request,
) -> Response {
    serve(app, limits, request, "query_exemplars", |call| {
        Box::pin(async move {
            let bad_data = |text: &dyn std::fmt::Display| ApiError::new(ErrorType::BadData, text);
            let range_ms = range_ms(call)?;
            if range_ms.1 < range_ms.0 {
                let text = "end timestamp must not be before start timestamp";
                return Err(bad_data(&text));
            }
            let text = call.parameters.get("query");
            call.record.set_expression(text);
            let parse = |parser: &ParserOptions| {
                let expr = promql::parse(text, parser)?;
                Ok::<_, ParseError>(promql::selectors(&expr))
            };
            let selectors = parsed(call.app, &[text], call.reservation, parse).await?;
            let selectors = selectors.map_err(|error| bad_data(&error))?;
            if selectors.is_empty() {
                return Ok(Data::None.into());
            }
            if selectors.len() > MAX_SELECTORS {
                let text = format!(
                    "a query for exemplars may have at most {MAX_SELECTORS} selectors, this one has {}; send several \
                     queries, or join selectors by a regular expression",
                    selectors.len()
                );
                return Err(bad_data(&text));
            }
            let scope = Scope {
                selectors: limited(selectors)?,
                range_ms,
                is_fresh: call.no_store,
            };
            let reads = call.record.begin_reads(&call.app.querier, call.deadline);
            let found = reads.exemplars(&scope, call.reservation).await?;
            let mut json = Vec::new();
            write_list(&found, &mut json, |(labels, exemplars), json| {
                write_series(labels, exemplars, json);
            });
            let grown = call.reservation.grow(json.len());
            grown.map_err(ApiError::no_memory)?;
            Ok(Reply::from(Data::Json(json)))
        })
    })
    .await
}

fn write_series(labels: &Labels, exemplars: &[Exemplar], json: &mut Vec<u8>) {
    json.extend_from_slice(b"{\"seriesLabels\":");
    write_labels(labels, json);
    json.extend_from_slice(b",\"exemplars\":");
    write_list(exemplars, json, |exemplar, json| {
        json.extend_from_slice(b"{\"labels\":");
        write_labels(&exemplar.labels, json);
        json.extend_from_slice(b",\"value\":");
        write_float(exemplar.value, json);
        json.extend_from_slice(b",\"timestamp\":");
        write_time(exemplar.timestamp_ms, json);
        json.push(b'}');
    });
    json.push(b'}');
}
