//! `format_query` and `parse_query`: expressions themselves, without their values.

use std::fmt;

use axum::extract::{Request, State};
use axum::response::Response;
use prom_wire::budget::{BudgetExceeded, Reservation};
use promql::{ParseError, ParserOptions};

use super::endpoint::{Data, serve};
use super::envelope::{ApiError, ErrorType};
use super::json::write_string;
use crate::http::App;
use crate::http::invocation_limits::OptionalLimits;
use crate::query::parsed_bytes;

/// `GET` and `POST /api/v1/format_query`: an expression in its pretty form.
pub(in crate::http) async fn format(
    State(app): State<App>,
    limits: OptionalLimits,
    request: Request,
) -> Response {
    serve(app, limits, request, "format_query", |call| {
        Box::pin(async move {
            let text = call.parameters.get("query");
            let pretty = |parser: &ParserOptions| {
                let expr = promql::parse(text, parser)?;
                Ok(expr.pretty_within(MAX_PRETTY_BYTES))
            };
            let pretty = parsed(call.app, &[text], call.reservation, pretty).await?;
            let pretty = pretty.map_err(|error: ParseError| ApiError::parameter("query", error))?;
            let pretty = pretty.ok_or_else(|| {
                let text = format!(
                    "the formatted expression has more than {MAX_PRETTY_BYTES} bytes; divide the expression"
                );
                ApiError::new(ErrorType::Execution, text)
            })?;
            call.reservation
                .grow(2 * pretty.len())
                .map_err(ApiError::no_memory)?;
            let mut json = Vec::new();
            write_string(&pretty, &mut json);
            Ok(Data::Json(json).into())
        })
    })
    .await
}

/// `GET` and `POST /api/v1/parse_query`: the tree of an expression.
pub(in crate::http) async fn parse(
    State(app): State<App>,
    limits: OptionalLimits,
    request: Request,
) -> Response {
    serve(app, limits, request, "parse_query", |call| {
        Box::pin(async move {
            let text = call.parameters.get("query");
            let parse = |parser: &ParserOptions| promql::parse(text, parser);
            let expr = parsed(call.app, &[text], call.reservation, parse).await?;
            let expr = expr.map_err(|error| ApiError::parameter("query", error))?;
            let mut json = Json {
                text: String::new(),
                reservation: call.reservation,
                exceeded: None,
            };
            let write = || promql::write_ast_json(&expr, &mut json);
            let is_long = text.len() > LONG_BYTES;
            let written = call.app.querier.compute().run_if(is_long, write).await;
            match (written, json.exceeded) {
                (_, Some(exceeded)) => Err(ApiError::no_memory(exceeded)),
                _ => Ok(Data::Json(json.text.into_bytes()).into()),
            }
        })
    })
    .await
}

/// JSON that grows within the memory of a request.
struct Json<'r> {
    text: String,
    reservation: &'r mut Reservation,
    exceeded: Option<BudgetExceeded>,
}

impl fmt::Write for Json<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // The string has twice the room as it grows.
        if let Err(exceeded) = self.reservation.grow(2 * text.len()) {
            self.exceeded = Some(exceeded);
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}

/// Bytes of a formatted expression at most.
const MAX_PRETTY_BYTES: usize = 4 << 20;

/// A longer text can take longer to parse than a thread that serves connections may be occupied.
const LONG_BYTES: usize = 4 << 10;

/// The size of compiled patterns that take as long together.
const LIGHT_COMPILED_BYTES: usize = 256 << 10;

/// Parses texts by `parse`, on a thread for long work if that may take long. The memory of the expressions is taken
/// from `reservation`.
pub(super) async fn parsed<T, E>(
    app: &App,
    texts: &[&str],
    reservation: &mut Reservation,
    parse: impl Fn(&ParserOptions) -> Result<T, E>,
) -> Result<Result<T, E>, ApiError> {
    let all = app.settings.promql.parser;
    let light = ParserOptions {
        max_compiled_bytes: LIGHT_COMPILED_BYTES,
        ..all
    };
    let len: usize = texts.iter().map(|text| text.len()).sum();
    let mut reserve = |bytes| {
        let reserved = reservation.grow(bytes);
        reserved.map_err(|exceeded| match exceeded {
            BudgetExceeded::Busy { .. } => ApiError::no_memory(exceeded),
            BudgetExceeded::TooLarge { limit } => {
                let text = format!(
                    "expressions of {len} bytes can need more than the {limit} bytes of memory that one request may \
                     occupy; shorten them, or raise max_in_flight_bytes"
                );
                ApiError::new(ErrorType::BadData, text)
            }
        })
    };
    let light_bytes = parsed_bytes(texts, &light);
    reserve(light_bytes)?;
    let compute = app.querier.compute();
    let parsed = compute.run_if(len > LONG_BYTES, || parse(&light)).await;
    let more_bytes = parsed_bytes(texts, &all) - light_bytes;
    if parsed.is_ok() || more_bytes == 0 {
        return Ok(parsed);
    }
    // They may be valid, with patterns that take longer.
    reserve(more_bytes)?;
    Ok(compute.run_if(true, || parse(&all)).await)
}
