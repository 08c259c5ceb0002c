//! How long a client may take to send the head of a request.
//!
//! hyper's own time-out for heads runs while a kept connection is idle too, so it would have to be as
//! long as clients and load balancers keep their connections. Here the clock starts with the
//! connection, stops when a request is whole, and starts again with the first byte of the next one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Counts the beginnings and ends of answers: while it is odd, a request is being answered and
/// nobody waits for a head. A plain flag would not tell that one was answered between two reads.
#[derive(Clone, Debug, Default)]
pub(super) struct Answering(Arc<AtomicU64>);

impl Answering {
    pub(super) fn begin_or_end(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A connection whose reads fail once a head takes longer than the limit.
#[derive(Debug)]
pub(super) struct Patient<Io> {
    io: Io,
    limit: Duration,
    answering: Answering,
    /// The count at the last read.
    seen: u64,
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<Io> Patient<Io> {
    /// The first head has to be there after `limit` from now.
    pub(super) fn new(io: Io, limit: Duration, answering: Answering) -> Self {
        Self {
            io,
            limit,
            seen: answering.count(),
            answering,
            deadline: Some(Box::pin(sleep(limit))),
        }
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Patient<Io> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let count = this.answering.count();
        if count != this.seen {
            // The head was whole.
            this.seen = count;
            this.deadline = None;
        }
        if let Some(deadline) = &mut this.deadline
            && deadline.as_mut().poll(context).is_ready()
        {
            let text = "the head of the request took too long";
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

impl<Io: AsyncWrite + Unpin> AsyncWrite for Patient<Io> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
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

    fn connection() -> (DuplexStream, Patient<DuplexStream>, Answering) {
        let (client, server) = duplex(64);
        let answering = Answering::default();
        let server = Patient::new(server, LIMIT, answering.clone());
        (client, server, answering)
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_head_has_to_be_there_in_time() {
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
        let (mut client, mut server, answering) = connection();
        answering.begin_or_end();
        advance(LIMIT * 2).await;
        client.write_u8(b'b').await.unwrap();
        server.read_u8().await.unwrap();
        answering.begin_or_end();
        // Idle: nothing of the next head is there.
        advance(LIMIT * 2).await;
        client.write_u8(b'h').await.unwrap();
        server.read_u8().await.unwrap();
        let start = Instant::now();
        let error = server.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_between_two_reads_counts_too() {
        let (mut client, mut server, answering) = connection();
        client.write_u8(b'h').await.unwrap();
        server.read_u8().await.unwrap();
        answering.begin_or_end();
        answering.begin_or_end();
        // Idle for longer than a head may take.
        let later = tokio::time::timeout(LIMIT * 2, server.read_u8()).await;
        assert!(later.is_err(), "{later:?}");
        client.write_u8(b'h').await.unwrap();
        server.read_u8().await.unwrap();
        let start = Instant::now();
        server.read_u8().await.unwrap_err();
        assert_eq!(start.elapsed(), LIMIT);
    }
}
