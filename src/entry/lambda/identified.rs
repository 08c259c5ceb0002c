//! The request id of an invocation on every log line about it, including the runtime's own lines about an event
//! that it cannot read.

use std::task::{Context, Poll};

use lambda_http::tower::{Layer, Service};
use lambda_runtime::LambdaInvocation;
use tokio::task::futures::TaskLocalFuture;

use crate::telemetry;

/// Puts [`Identified`] around the runtime's service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Identify;

impl<S> Layer<S> for Identify {
    type Service = Identified<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Identified(inner)
    }
}

/// Runs each invocation under its id.
#[derive(Clone, Debug)]
pub(super) struct Identified<S>(S);

impl<S: Service<LambdaInvocation>> Service<LambdaInvocation> for Identified<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = TaskLocalFuture<String, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, invocation: LambdaInvocation) -> Self::Future {
        let request_id = invocation.context.request_id.clone();
        telemetry::in_request(request_id, || self.0.call(invocation))
    }
}
