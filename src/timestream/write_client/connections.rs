//! HTTP/1.1 connections to one server, which calls share one after the other.
//!
//! A call drives its connection itself instead of a task that is woken for each step: that halves what the HTTP
//! client costs, and nothing has to run between two invocations of a Lambda function. An idle
//! connection is therefore only known to be closed when the next call looks.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;
use tower_service::Service;

use crate::timestream::TrustedRoots;

/// The longest time that establishing a connection may take, TLS included; the SDK's.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(3_100);
/// The time after which an idle connection is not used again; load balancers of AWS close theirs after 60 s.
const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// Bytes of a response that are read at most. 100 rejected records take some 40 KB.
const MAX_RESPONSE_BYTES: usize = 1 << 20;
/// Bytes that are buffered of a response's head and body.
const BUFFER_BYTES: usize = 64 << 10;

type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request that got no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("{0}")]
    Trust(String),
    #[error("cannot connect to {0}")]
    Connect(Uri, #[source] BoxError),
    #[error("cannot connect to {0} within {CONNECT_TIMEOUT:?}")]
    ConnectTimeout(Uri),
    #[error("the connection to {0} broke")]
    Broken(Uri, #[source] BoxError),
    #[error("the response is longer than {MAX_RESPONSE_BYTES} bytes")]
    TooLong,
}

/// Opens connections. The trusted authorities are read at the first one with TLS.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    roots: TrustedRoots,
    tls: Arc<Mutex<Option<HttpsConnector<HttpConnector>>>>,
}

impl Connector {
    /// Returns a connector that trusts `roots`.
    pub(super) fn new(roots: TrustedRoots) -> Self {
        Self {
            roots,
            tls: Arc::default(),
        }
    }

    async fn connect(&self, origin: &Uri) -> Result<Connection, ConnectionError> {
        let mut connector = self.connector()?;
        let connect = async {
            poll_fn(|context| connector.poll_ready(context)).await?;
            let stream = connector.call(origin.clone()).await?;
            let mut http = http1::Builder::new();
            http.max_buf_size(BUFFER_BYTES);
            let (sender, driver) = http.handshake(stream).await?;
            Ok(Connection {
                sender,
                driver: Some(Box::new(driver)),
                wakeup: Arc::default(),
            })
        };
        tokio::time::timeout(CONNECT_TIMEOUT, connect)
            .await
            .map_err(|_| ConnectionError::ConnectTimeout(origin.clone()))?
            .map_err(|error: BoxError| ConnectionError::Connect(origin.clone(), error))
    }

    fn connector(&self) -> Result<HttpsConnector<HttpConnector>, ConnectionError> {
        if let Some(connector) = &*self.tls.lock() {
            return Ok(connector.clone());
        }
        let config = self.roots.client_config().map_err(ConnectionError::Trust)?;
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.enforce_http(false);
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_or_http()
            .enable_http1()
            .wrap_connector(tcp);
        *self.tls.lock() = Some(connector.clone());
        Ok(connector)
    }
}

/// The connections to one server.
#[derive(Debug)]
pub(super) struct Connections {
    origin: Uri,
    connector: Connector,
    /// The one that was used last is the last.
    idle: Mutex<Vec<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Connections {
    /// Returns connections to the server of `origin`, none of which is open.
    pub(super) fn new(origin: Uri, connector: Connector) -> Self {
        Self {
            origin,
            connector,
            idle: Mutex::default(),
        }
    }

    /// Sends a request and returns the response with its whole body.
    ///
    /// If the server closes a connection that was idle before it has sent a response, the request is sent once
    /// more over another one: it did not see it, or it may see it twice.
    ///
    /// # Errors
    /// There is no connection, it broke, or the response is too long.
    pub(super) async fn send(
        &self,
        request: impl Fn() -> Request<Full<Bytes>>,
    ) -> Result<Response<Bytes>, ConnectionError> {
        let broken = |error: BoxError| match error.is::<LengthLimitError>() {
            true => ConnectionError::TooLong,
            false => ConnectionError::Broken(self.origin.clone(), error),
        };
        if let Some(mut connection) = self.take_idle() {
            match connection.send(request()).await {
                Ok(response) => {
                    self.put_back(connection);
                    return response.map_err(broken);
                }
                Err(error) => {
                    tracing::debug!(error = %error, "A connection to Timestream was closed while idle.");
                }
            }
        }
        let mut connection = self.connector.connect(&self.origin).await?;
        let response = connection.send(request()).await;
        self.put_back(connection);
        response
            .map_err(|error| broken(error.into()))?
            .map_err(broken)
    }

    /// Returns the open connection that was used last.
    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.idle.lock();
        while let Some(Idle {
            mut connection,
            since,
        }) = idle.pop()
        {
            if since.elapsed() < IDLE_TIMEOUT && connection.is_open() {
                return Some(connection);
            }
        }
        None
    }

    fn put_back(&self, mut connection: Connection) {
        if !connection.is_open() {
            return;
        }
        let mut idle = self.idle.lock();
        let expired = idle.partition_point(|it| it.since.elapsed() >= IDLE_TIMEOUT);
        idle.drain(..expired);
        idle.push(Idle {
            connection,
            since: Instant::now(),
        });
    }
}

/// An open connection without a task of its own.
#[derive(Debug)]
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    /// `None` once the connection is closed. Dropping it ends whatever waits for a response: a request that was
    /// sent while the server closed the connection would wait without end.
    driver: Option<Box<http1::Connection<Stream, Full<Bytes>>>>,
    wakeup: Arc<Wakeup>,
}

impl Connection {
    /// Sends a request. The outer error is that of a connection which ended before the response began.
    async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Result<Response<Bytes>, BoxError>, hyper::Error> {
        let response = self.sender.send_request(request);
        let response = self.drive(response).await?;
        let (head, body) = response.into_parts();
        let body = self
            .drive(Limited::new(body, MAX_RESPONSE_BYTES).collect())
            .await;
        // The rest of a response that is too long is not waited for.
        if body.is_err() {
            self.driver = None;
        }
        Ok(body.map(|body| Response::from_parts(head, body.to_bytes())))
    }

    /// Waits for `work` while it drives the connection.
    async fn drive<W: Future>(&mut self, work: W) -> W::Output {
        let mut work = pin!(work);
        let Self { driver, wakeup, .. } = self;
        poll_fn(|context| {
            wakeup.poll(context, |context| {
                poll_driver(driver, context);
                work.as_mut().poll(context)
            })
        })
        .await
    }

    /// Returns true if the server has not closed the connection, and another request can be sent.
    fn is_open(&mut self) -> bool {
        // Nothing waits for it; whoever sends the next request is woken.
        poll_driver(&mut self.driver, &mut Context::from_waker(Waker::noop()));
        self.driver.is_some() && self.sender.is_ready()
    }
}

/// Polls the driver of a connection, and drops it once it is closed. An error of the connection is also that of
/// the work that waits for it.
fn poll_driver(
    driver: &mut Option<Box<http1::Connection<Stream, Full<Bytes>>>>,
    context: &mut Context<'_>,
) {
    // A call may look at many connections, which together must not use up what a task may do in one poll: each
    // would seem open then.
    let closed = driver.as_mut().is_some_and(|driver| {
        let driver = pin!(unconstrained(Pin::new(driver)));
        driver.poll(context).is_ready()
    });
    if closed {
        *driver = None;
    }
}

/// The waker of a connection and of the work that waits for it. Each wakes the other while they are polled, and
/// then both are polled again at once: through the runtime that would cost a switch of threads.
#[derive(Debug, Default)]
struct Wakeup {
    is_polling: AtomicBool,
    is_woken: AtomicBool,
    task: AtomicWaker,
}

/// Rounds of one poll at most. A response takes three; tokio wakes who has used up its budget without end.
const MAX_ROUNDS: usize = 8;

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        if !self.is_polling.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl Wakeup {
    /// Runs `poll` until it is ready, or nothing has woken it since it began.
    fn poll<T>(
        self: &Arc<Self>,
        context: &Context<'_>,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let waker = Waker::from(Arc::clone(self));
        self.task.register(context.waker());
        self.is_polling.store(true, Ordering::SeqCst);
        let mut result = Poll::Pending;
        for _ in 0..MAX_ROUNDS {
            self.is_woken.store(false, Ordering::SeqCst);
            result = poll(&mut Context::from_waker(&waker));
            if result.is_ready() || !self.is_woken.load(Ordering::SeqCst) {
                break;
            }
        }
        self.is_polling.store(false, Ordering::SeqCst);
        // Whoever came between the last look and now has woken nobody else.
        if result.is_pending() && self.is_woken.load(Ordering::SeqCst) {
            context.waker().wake_by_ref();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Polls with a function of the round, and returns the result, the rounds and how often the task was woken.
    fn poll(mut inner: impl FnMut(usize, &Waker) -> Poll<()>) -> (Poll<()>, usize, usize) {
        let (wakeup, count) = (Arc::new(Wakeup::default()), Arc::new(Count::default()));
        let task = Waker::from(Arc::clone(&count));
        let mut rounds = 0;
        let result = wakeup.poll(&Context::from_waker(&task), |context| {
            rounds += 1;
            inner(rounds, context.waker())
        });
        let woken = count.0.load(Ordering::Relaxed);
        let waker = Waker::from(wakeup);
        waker.wake_by_ref();
        let later = count.0.load(Ordering::Relaxed) - woken;
        // Whatever happened, the task hears of what comes later.
        assert_eq!(later, 1);
        (result, rounds, woken)
    }

    #[test]
    fn work_that_is_woken_while_it_is_polled_is_polled_again_at_once() {
        let (result, rounds, woken) = poll(|round, waker| match round {
            3 => Poll::Ready(()),
            _ => {
                waker.wake_by_ref();
                Poll::Pending
            }
        });
        assert_eq!((result, rounds, woken), (Poll::Ready(()), 3, 0));
        let (result, rounds, woken) = poll(|_, _| Poll::Pending);
        assert_eq!((result, rounds, woken), (Poll::Pending, 1, 0));
    }

    #[test]
    fn work_that_wakes_itself_without_end_gives_way() {
        let (result, rounds, woken) = poll(|_, waker| {
            waker.wake_by_ref();
            Poll::Pending
        });
        assert_eq!((result, rounds, woken), (Poll::Pending, MAX_ROUNDS, 1));
    }
}
