//! `format_query`: expressions themselves, without their values.

use axum::extract::{Request, State};
use axum::response::Response;

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
