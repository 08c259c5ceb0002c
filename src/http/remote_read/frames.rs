//! Encodes results as a stream of frames.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use futures_util::{Stream, stream};
use http::StatusCode;
use prom_wire::response::Series;
use prom_wire::response::{Frames, frames};
use tokio::time::Instant;

use super::super::HttpError;
use super::super::body::{LONG_BYTES, within};
use super::super::recorder::{End, RequestRecorder};
use super::record::ReadRecord;
use crate::compute::ComputePool;
use crate::query::{QueryResult, ReadError};
use crate::timestream::TimestreamError;

/// Minimum size of a piece of the stream, except the last one of a result.
const PIECE_BYTES: usize = 64 << 10;

/// A stream of frames, encoded on demand.
pub(super) struct FrameStream {
    /// Results that are available.
    results: VecDeque<QueryResult>,
    /// The index of the first of them among the queries.
    query_index: usize,
    /// The index of its first series that was not sent.
    series_index: usize,
    recorder: RequestRecorder<ReadRecord>,
    deadline: Instant,
    compute: ComputePool,
}

impl FrameStream {
    /// Creates a stream of the first `results` and of the results that the request still reads.
    pub(super) fn new(
        results: VecDeque<QueryResult>,
        recorder: RequestRecorder<ReadRecord>,
        deadline: Instant,
        compute: ComputePool,
    ) -> Self {
        Self {
            results,
            query_index: 0,
            series_index: 0,
            recorder,
            deadline,
            compute,
        }
    }

    /// Returns the bytes of the response. An error breaks the connection, so that the client cannot take a part for
    /// the whole.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::unfold(Some(self), async |frames| {
            let mut frames = frames?;
            let piece = frames.next_piece().await?;
            // Nothing follows an error, and queries that still run are cancelled.
            let rest = piece.is_ok().then_some(frames);
            Some((piece, rest))
        })
    }

    async fn next_piece(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            // A slow client would hold the results in memory.
            if Instant::now() >= self.deadline {
                let error = ReadError::from(TimestreamError::timeout());
                return Some(Err(self.abort(&HttpError::from(&error))));
            }
            match self.piece_of_first().await {
                Ok(None) => {}
                Ok(Some(piece)) => return Some(Ok(piece)),
                Err(error) => return Some(Err(self.abort(&error))),
            }
            let reading = self.recorder.record().reading.as_mut()?;
            match reading.next().await {
                None => {
                    self.recorder.close(End::Completed(StatusCode::OK));
                    return None;
                }
                Some(Ok(result)) => self.results.push_back(result),
                Some(Err(error)) => return Some(Err(self.abort(&HttpError::from(&error)))),
            }
        }
    }

    /// Returns the next frames of the first result that has some left.
    async fn piece_of_first(&mut self) -> Result<Option<Bytes>, HttpError> {
        while let Some(result) = self.results.front() {
            let mut piece = Vec::new();
            let mut rest = result[self.series_index..].iter();
            // Encoded chunks are only copied.
            let is_long = |it: &Series| !it.histograms.is_empty() && it.bytes() > LONG_BYTES;
            let is_long = rest.as_slice().first().is_some_and(is_long);
            let mut series: Option<Frames<'_>> = None;
            let step = || match series.as_mut().and_then(Iterator::next) {
                Some(frame) => {
                    if let Some(message) = frame {
                        prom_wire::write_frame(&message, &mut piece);
                    }
                    None
                }
                None if piece.len() >= PIECE_BYTES => Some(()),
                None => match rest.next() {
                    None => Some(()),
                    Some(next) => {
                        series = Some(frames(self.query_index, next));
                        None
                    }
                },
            };
            let done = self.compute.run_in_slices(is_long, step);
            within(self.deadline, done).await?;
            self.series_index = result.len() - rest.len();
            if !piece.is_empty() {
                return Ok(Some(piece.into()));
            }
            self.results.pop_front();
            self.query_index += 1;
            self.series_index = 0;
        }
        Ok(None)
    }

    fn abort(&mut self, error: &HttpError) -> io::Error {
        self.recorder.close(End::Failed(error));
        io::Error::other(error.text().to_owned())
    }
}
