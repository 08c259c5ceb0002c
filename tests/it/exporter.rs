//! A program with metrics, as connectors scrape it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use http::{HeaderMap, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Serves two series, one of which counts the responses.
pub(crate) struct Exporter {
    pub(crate) url: String,
    shared: Arc<Shared>,
    server: JoinHandle<()>,
}

struct Shared {
    hits: watch::Sender<u64>,
    /// Required value of the header `Authorization`.
    authorization: Option<&'static str>,
    /// Responses wait while it is set.
    holds: watch::Sender<bool>,
}

impl Exporter {
    pub(crate) async fn start(authorization: Option<&'static str>) -> Self {
        let shared = Arc::new(Shared {
            hits: watch::Sender::new(0),
            authorization,
            holds: watch::Sender::new(false),
        });
        let router = Router::new()
            .route("/metrics", get(metrics))
            .with_state(Arc::clone(&shared));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/metrics", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            shared,
            server,
        }
    }

    /// Returns the number of requests so far.
    pub(crate) fn hits(&self) -> u64 {
        *self.shared.hits.borrow()
    }

    /// Waits until it has had so many requests in all.
    pub(crate) async fn until_requested(&self, hits: u64) {
        let mut counted = self.shared.hits.subscribe();
        let reached = counted.wait_for(|counted| *counted >= hits);
        let waited = tokio::time::timeout(Duration::from_secs(60), reached).await;
        drop(waited.expect("it is requested").unwrap());
    }

    /// Waits until so many more scrapes of one connector have ended: it scrapes again only then.
    pub(crate) async fn until_scraped(&self, more: u64) {
        self.until_requested(self.hits() + more + 1).await;
    }

    /// Holds all responses back.
    pub(crate) fn hold(&self) {
        self.shared.holds.send_replace(true);
    }

    /// Sends responses again.
    pub(crate) fn release(&self) {
        self.shared.holds.send_replace(false);
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn metrics(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
) -> Result<([(&'static str, &'static str); 1], String), StatusCode> {
    let shown = headers.get("authorization").map(|it| it.to_str().unwrap());
    if shown != shared.authorization {
        return Err(StatusCode::UNAUTHORIZED);
    }
    shared.hits.send_modify(|hits| *hits += 1);
    let hits = *shared.hits.borrow();
    let mut holds = shared.holds.subscribe();
    holds.wait_for(|holds| !*holds).await.unwrap();
    let text = format!("# TYPE scrapes_total counter\nscrapes_total {hits}\nload 0.5\n");
    Ok(([("content-type", "text/plain; version=0.0.4")], text))
}
