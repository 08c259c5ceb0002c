//! A proxy in front of remote read that makes a client accept one form of responses, as Prometheus
//! 3 itself accepts both.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};

use prom_wire::prompb::ReadRequest;
use prom_wire::prompb::read_request::ResponseType;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::frames::STREAMED;

/// Responses that were passed on, by form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Forms {
    pub(super) samples: u64,
    pub(super) streamed: u64,
}

#[derive(Debug)]
pub(super) struct FormProxy {
    pub(super) url: String,
    target: Arc<Target>,
    server: AbortHandle,
}

#[derive(Debug)]
struct Target {
    url: String,
    form: ResponseType,
    client: reqwest::Client,
    samples: AtomicU64,
    streamed: AtomicU64,
}

impl FormProxy {
    /// Passes reads on to the connector at `url`, as those of a client that accepts `form` only.
    pub(super) async fn start(url: &str, form: ResponseType) -> Self {
        let target = Arc::new(Target {
            url: format!("{url}/read"),
            form,
            client: soak::http::client(),
            samples: AtomicU64::new(0),
            streamed: AtomicU64::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = Router::new().route("/read", post(pass_on));
        let router = router.with_state(Arc::clone(&target));
        let server = tokio::spawn(async { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            target,
            server: server.abort_handle(),
        }
    }

    pub(super) fn forms(&self) -> Forms {
        Forms {
            samples: self.target.samples.load(Ordering::Relaxed),
            streamed: self.target.streamed.load(Ordering::Relaxed),
        }
    }
}

impl Drop for FormProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass_on(State(target): State<Arc<Target>>, body: Bytes) -> Response {
    let body = prom_wire::decompress(&body, usize::MAX).unwrap();
    let mut request: ReadRequest = prom_wire::decode(&body).unwrap();
    request.accepted_response_types = vec![target.form.into()];
    let body = prom_wire::encode(&request).unwrap();
    let response = target.client.post(&target.url).body(body).send().await;
    let response = response.unwrap();
    let status = response.status();
    let is_streamed = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|it| it == STREAMED);
    let count = if is_streamed {
        &target.streamed
    } else {
        &target.samples
    };
    count.fetch_add(1, Ordering::Relaxed);
    let passed = [CONTENT_TYPE, CONTENT_ENCODING].map(|name| {
        let value = response.headers().get(&name).cloned();
        value.map(|value| (name, value))
    });
    let headers: HeaderMap = passed.into_iter().flatten().collect();
    let body = response.bytes().await.unwrap();
    (status, headers, body).into_response()
}
