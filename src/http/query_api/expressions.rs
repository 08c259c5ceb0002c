//! `format_query` and `parse_query`: expressions themselves, without their values.

use std::fmt;

use axum::extract::{Request, State};
use axum::response::Response;
use prom_wire::budget::{BudgetExceeded, Reservation};

use super::endpoint::{Data, serve};
use super::envelope::ApiError;
use super::json::write_string;
use crate::http::App;
use crate::http::invocation_limits::OptionalLimits;

/// `GET` and `POST /api/v1/format_query`: an expression in its pretty form.
pub(in crate::http) async fn format(
    State(app): State<App>,
    limits: OptionalLimits,
    request: Request,
) -> Response {
    serve(app, limits, request, "format_query", |call| {
        Box::pin(async move {
            let text = call.parameters.get("query");
            let expr = promql::parse(text, &call.app.settings.promql.parser);
            let expr = expr.map_err(|error| ApiError::parameter("query", error))?;
            let mut json = Vec::new();
            write_string(&expr.pretty(), &mut json);
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
            let expr = promql::parse(text, &call.app.settings.promql.parser);
            let expr = expr.map_err(|error| ApiError::parameter("query", error))?;
            let mut json = Json {
                text: String::new(),
                reservation: call.reservation,
                exceeded: None,
            };
            match (promql::write_ast_json(&expr, &mut json), json.exceeded) {
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
        if let Err(exceeded) = self.reservation.grow(text.len()) {
            self.exceeded = Some(exceeded);
            return Err(fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}
