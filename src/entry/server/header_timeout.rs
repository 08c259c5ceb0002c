//! Timeouts for the headers of a request, and for a client that does not read its response.
//!
//! hyper's own header timeout also runs while a connection is idle, so it would need to be as long as clients and
//! load balancers hold idle connections. Here the clock starts with the connection, stops when the headers are
//! complete, and starts again with the first byte of the next request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Counts the beginnings and ends of exchanges: while the count is odd, a request is in flight and no headers are
/// expected. A flag could not show that an exchange took place between two reads.
#[derive(Clone, Debug, Default)]
pub(super) struct ExchangeCounter(Arc<AtomicU64>);

impl ExchangeCounter {
    pub(super) fn begin_or_end(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection whose reads fail once headers take longer than a limit, and whose writes fail once the client
/// reads nothing for longer than another limit.
#[derive(Debug)]
pub(super) struct TimedStream<Io> {
    io: Io,
    limit: Duration,
    write_limit: Duration,
    /// Runs while the client reads nothing.
    write_deadline: Option<Pin<Box<Sleep>>>,
    exchanges: ExchangeCounter,
    /// The count at the last read.
    seen: u64,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<Io> TimedStream<Io> {
    /// Creates a connection; the first headers must arrive within `limit` from now.
    pub(super) fn new(
        io: Io,
        limit: Duration,
        write_limit: Duration,
        exchanges: ExchangeCounter,
    ) -> Self {
        Self {
            io,
            limit,
            write_limit,
            write_deadline: None,
            seen: exchanges.count(),
            exchanges,
            deadline: Some(Box::pin(sleep(limit))),
        }
    }

    /// Passes on the result of a write, or an error if the client has read nothing for too long.
    fn watched<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.write_deadline = None;
            return written;
        }
        let limit = self.write_limit;
        let deadline = self
            .write_deadline
            .get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(deadline.as_mut().poll(context));
        let text = "the client read nothing of the response for too long";
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for TimedStream<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let count = this.exchanges.count();
        if count != this.seen {
            // The headers were complete.
            this.seen = count;
            this.deadline = None;
        }
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            let text = "the headers of the request took too long";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.io).poll_read(context, buffer))?;
        let arrived = buffer.filled().len() > before;
        if arrived && this.deadline.is_none() && count.is_multiple_of(2) {
            this.deadline = Some(Box::pin(sleep(this.limit)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for TimedStream<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(context, bytes);
        self.watched(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.watched(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.io).poll_flush(context);
        self.watched(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::{Instant, advance};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn connection() -> (DuplexStream, TimedStream<DuplexStream>, ExchangeCounter) {
        let (client, server) = duplex(64);
        let exchanges = ExchangeCounter::default();
        let server = TimedStream::new(server, LIMIT, LIMIT, exchanges.clone());
        (client, server, exchanges)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_headers_must_arrive_in_time() {
        let (_client, mut server, _) = connection();
        let start = Instant::now();
        let error = server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn single_bytes_gain_no_time() {
        let (mut client, mut server, _) = connection();
        for _ in 0..9 {
            advance(Duration::from_secs(1)).await;
            client.write_u8(b'x').await.unwrap();
            server.read_u8().await.unwrap();
        }
        advance(Duration::from_secs(2)).await;
        client.write_u8(b'x').await.unwrap();
        let error = server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_and_idle_connections_have_more_time() {
        let (mut client, mut server, exchanges) = connection();
        exchanges.begin_or_end();
        advance(LIMIT * 2).await;
        client.write_u8(b'b').await.unwrap();
        server.read_u8().await.unwrap();
        exchanges.begin_or_end();
        // Idle: nothing of the next headers has arrived.
        advance(LIMIT * 2).await;
        client.write_u8(b'h').await.unwrap();
        server.read_u8().await.unwrap();
        let start = Instant::now();
        let error = server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn an_exchange_between_two_reads_counts_too() {
        let (mut client, mut server, exchanges) = connection();
        client.write_u8(b'h').await.unwrap();
        server.read_u8().await.unwrap();
        exchanges.begin_or_end();
        exchanges.begin_or_end();
        // Idle for longer than headers may take.
        let later = tokio::time::timeout(LIMIT * 2, server.read_u8()).await;
        assert!(later.is_err(), "{later:?}");
        client.write_u8(b'h').await.unwrap();
        server.read_u8().await.unwrap();
        let start = Instant::now();
        server.read_u8().await.unwrap_err();
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_loses_its_connection() {
        let (mut client, mut server, _) = connection();
        // The other side has room for 64 bytes.
        server.write_all(&[0; 64]).await.unwrap();
        let start = Instant::now();
        let error = server.write_u8(1).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), LIMIT);

        // A client that reads a byte now and then does not.
        let (mut slow, mut server, _) = connection();
        let taking = async {
            for _ in 0..70 {
                tokio::time::sleep(LIMIT / 2).await;
                slow.read_u8().await.unwrap();
            }
        };
        let (written, ()) = tokio::join!(server.write_all(&[0; 134]), taking);
        written.unwrap();
        drop(client.shutdown().await);
    }
}
