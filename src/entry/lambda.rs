//! AWS Lambda: converts events of the runtime API to requests for the one router, and its responses back.
//!
//! `lambda_http` reads the events of HTTP APIs (payload 2.0 and 1.0), REST APIs, function URLs and load
//! balancers; `request` and `response` have the differences to a socket. Other events go to `events`. If Lambda sets
//! `AWS_LAMBDA_MAX_CONCURRENCY`, several invocations run at once.

mod doctor;
mod error;
mod events;
mod identified;
mod job;
mod kind;
mod records;
mod request;
mod response;
mod rows;
mod run;

use std::sync::Arc;

use axum::Router;
use lambda_http::request::RequestContext;
use lambda_http::tower::ServiceExt;
use lambda_http::{Body, Request, RequestExt, Response, service_fn};

pub use error::EventError;
pub use events::{Handlers, Replayer};
use identified::Identify;
pub use records::{BatchItemFailure, SqsBatchResponse, SqsEvent, SqsMessage, replay_event};
pub use run::run;

/// Variables that Lambda sets in every process and that [`serve`] needs; the first is the function's
/// name.
pub const VARIABLES: [&str; 3] = [
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
];

/// The parts that every invocation shares.
#[derive(Debug)]
struct Function {
    name: String,
    router: Router,
    handlers: Option<Handlers>,
}

/// Serves invocations, each within its own deadline, until the runtime API fails.
///
/// `function` is the function's name, the dimension of its metrics. Without `handlers`, which need
/// a configuration, events that are not HTTP requests fail.
///
/// # Errors
/// The runtime API cannot be reached.
///
/// # Panics
/// One of [`VARIABLES`] is not set.
pub async fn serve(
    router: Router,
    handlers: Option<Handlers>,
    function: String,
) -> Result<(), lambda_runtime::Error> {
    let function = Arc::new(Function {
        name: function,
        router,
        handlers,
    });
    let handler = service_fn(move |request| invoke(Arc::clone(&function), request));
    lambda_http::runtime_concurrent(handler)
        .layer(Identify)
        .run_concurrent()
        .await
}

async fn invoke(function: Arc<Function>, request: Request) -> Result<Response<Body>, EventError> {
    let context = request.lambda_context();
    let deadline = request::deadline(&context);
    if let Some(RequestContext::PassThrough) = request.request_context_ref() {
        let handlers = function.handlers.as_ref();
        let (response, numbers) = events::handle(request.body(), handlers, deadline).await;
        if let Some(numbers) = numbers {
            response::print(&numbers, &function.name, &context.request_id);
        }
        return Ok(Response::new(Body::Text(response?.to_string())));
    }
    let max_response_bytes = response::max_bytes(&request);
    let request = request::to_router(request, deadline, max_response_bytes);
    let response = function.router.clone().oneshot(request).await;
    let response = response.unwrap_or_else(|never| match never {});
    response::print_numbers(&response, &function.name, &context.request_id);
    Ok(response::to_lambda(response, max_response_bytes).await)
}
