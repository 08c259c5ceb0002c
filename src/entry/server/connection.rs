//! One connection: TLS if it is configured, then HTTP/1.1 until the client leaves or the server
//! stops.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::Ended;
use crate::entry::server::header_timeout::{ExchangeCounter, TimedStream};
use crate::web_config::{Origin, WebConfig};

/// Time limits of a connection, so that slow clients cannot hold connections for ever.
#[derive(Clone, Copy, Debug)]
pub struct ConnectionTimeouts {
    /// For the TLS handshake.
    pub tls_handshake: Duration,
    /// For the headers of a request, from its first byte (of the first request: from the connection).
    pub headers: Duration,
    /// Between two requests.
    pub idle: Duration,
    /// Without progress in sending a response.
    pub write: Duration,
}

impl Default for ConnectionTimeouts {
    /// Returns the defaults. The idle timeout is that of Prometheus' own server (`--web.read-timeout`), and longer
    /// than that of load balancers: they must close first, or requests get lost in between. A query of Prometheus
    /// ends after two minutes (`--query.timeout`), so no client waits longer.
    fn default() -> Self {
        Self {
            tls_handshake: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            idle: Duration::from_secs(300),
            write: Duration::from_secs(120),
        }
    }
}

/// Size of the buffers of a connection for reading and writing; the headers of a request must fit. Larger ones
/// would not be faster, and each open connection keeps the memory that its largest request needed.
const MAX_BUFFERED_BYTES: usize = 64 << 10;

/// Serves a connection to its end. Failures affect its client only.
pub(super) async fn serve(
    stream: TcpStream,
    router: Router,
    web: WebConfig,
    timeouts: ConnectionTimeouts,
    mut stopping: watch::Receiver<Option<Ended>>,
) {
    let peer = stream.peer_addr().ok();
    let origin = peer.map_or(Origin::Unknown, |peer| peer.ip().into());
    let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
    // Responses are written at once; waiting for more data would only delay them.
    let _ = stream.set_nodelay(true);
    let Some(tls) = web.refreshed().tls.clone() else {
        return serve_http(stream, router, timeouts, stopping, &peer, origin).await;
    };
    let handshake = TlsAcceptor::from(tls).accept(stream);
    let handshake = tokio::select! {
        result = tokio::time::timeout(timeouts.tls_handshake, handshake) => result,
        () = stopped(&mut stopping) => return,
    };
    match handshake {
        Ok(Ok(stream)) => serve_http(stream, router, timeouts, stopping, &peer, origin).await,
        Ok(Err(error)) => {
            tracing::warn!(
                error = error.to_string(),
                peer,
                "TLS handshake failed; check protocol and certificates of the client."
            );
        }
        Err(_) => tracing::warn!(peer, "TLS handshake timed out."),
    }
}

async fn serve_http(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    router: Router,
    timeouts: ConnectionTimeouts,
    mut stopping: watch::Receiver<Option<Ended>>,
    peer: &str,
    origin: Origin,
) {
    let exchanges = ExchangeCounter::default();
    let io = TokioIo::new(TimedStream::new(
        stream,
        timeouts.headers,
        timeouts.write,
        exchanges.clone(),
    ));
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        exchanges.begin_or_end();
        request.extensions_mut().insert(origin);
        let response = router.call(request);
        let exchanges = exchanges.clone();
        async move {
            let response = response.await;
            exchanges.begin_or_end();
            response
        }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .max_buf_size(MAX_BUFFERED_BYTES)
            // This timeout runs between requests too.
            .header_read_timeout(timeouts.idle)
            .serve_connection(io, service)
    );
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(&mut stopping) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        tracing::debug!(error = error.to_string(), peer, "A connection broke.");
    }
}

/// Returns once the server stops.
async fn stopped(stopping: &mut watch::Receiver<Option<Ended>>) {
    // The sender is gone only when the server is.
    let _ = stopping.wait_for(Option::is_some).await;
}
