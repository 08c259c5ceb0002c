//! Results to a stream of frames.

use std::collections::VecDeque;
use std::io;

use bytes::Bytes;
use futures_util::{Stream, stream};

use http::StatusCode;
use tokio::time::Instant;

use super::super::HttpError;
use super::super::recorder::{End, RequestRecorder};
use super::record::ReadRecord;
use crate::connector::{QueryResult, ReadError};
use crate::convert::response::frames;
use crate::timestream::TimestreamError;
use crate::wire;

/// Frames are handed on together from so many bytes on.
const PIECE_BYTES: usize = 64 << 10;

/// Frames that are made when they are asked for.
pub(super) struct FrameStream {
    /// Results that are there already.
    results: VecDeque<QueryResult>,
    /// The index of the first of them among the queries.
    query_index: usize,
    /// The first series of it that was not sent.
    series_index: usize,
    recorder: RequestRecorder<ReadRecord>,
    deadline: Instant,
}

impl FrameStream {
    /// Frames of the first `results`, and of those that the reading of the request still gives.
    pub(super) fn new(
        results: VecDeque<QueryResult>,
        recorder: RequestRecorder<ReadRecord>,
        deadline: Instant,
    ) -> Self {
        Self {
            results,
            query_index: 0,
            series_index: 0,
            recorder,
            deadline,
        }
    }

    /// The bytes of the answer. An error ends it so that the connection breaks: a client must not take
    /// a part for the whole.
    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send {
        stream::unfold(Some(self), async |frames| {
            let mut frames = frames?;
            let piece = frames.next_piece().await?;
            // Nothing follows an error, and what still runs is cancelled.
            let rest = piece.is_ok().then_some(frames);
            Some((piece, rest))
        })
    }

    async fn next_piece(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            // A client that takes its time would hold the results for as long.
            if Instant::now() >= self.deadline {
                let error = ReadError::from(TimestreamError::timeout());
                return Some(Err(self.abort(&HttpError::from(&error))));
            }
            if let Some(piece) = self.piece_of_first() {
                return Some(Ok(piece));
            }
            let reading = self.recorder.record().reading.as_mut()?;
            match reading.next().await {
                None => {
                    self.recorder.close(End::Completed(StatusCode::OK));
                    return None;
                }
                Some(Ok(result)) if has_histograms(&result) => {
                    return Some(Err(self.abort(&HttpError::late_histograms())));
                }
                Some(Ok(result)) => self.results.push_back(result),
                Some(Err(error)) => return Some(Err(self.abort(&HttpError::from(&error)))),
            }
        }
    }

    /// Frames of the first result that has any left.
    fn piece_of_first(&mut self) -> Option<Bytes> {
        while let Some(result) = self.results.front() {
            let mut piece = Vec::new();
            for series in &result[self.series_index..] {
                if piece.len() >= PIECE_BYTES {
                    break;
                }
                for message in frames(self.query_index, series) {
                    wire::write_frame(&message, &mut piece);
                }
                self.series_index += 1;
            }
            if !piece.is_empty() {
                return Some(piece.into());
            }
            self.results.pop_front();
            self.query_index += 1;
            self.series_index = 0;
        }
        None
    }

    fn abort(&mut self, error: &HttpError) -> io::Error {
        self.recorder.close(End::Failed(error));
        io::Error::other(error.text().to_owned())
    }
}

fn has_histograms(result: &QueryResult) -> bool {
    result.iter().any(|series| !series.histograms.is_empty())
}
