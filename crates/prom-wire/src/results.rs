//! Results of queries to the body of a SAMPLES response.

use std::fmt;

use prost::Message;

use crate::block::{BlockWriter, EncodeError};
use crate::buffer::Buffer;
use crate::prompb;

/// Encodes and compresses a [`prompb::ReadResponse`] with results, in the order of the queries, a
/// series at a time. Only the message of one series is held at a time.
pub struct ResultsEncoder<'r, R, F> {
    results: &'r [R],
    message: F,
    /// The next series, by the positions of its result and of itself.
    next: (usize, usize),
    /// The lengths of the results. Each is written before its result, so all messages are created twice.
    lens: Vec<usize>,
    block: Option<BlockWriter>,
    bytes: Vec<u8>,
}

impl<R, F> fmt::Debug for ResultsEncoder<'_, R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultsEncoder")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl<'r, R, F> ResultsEncoder<'r, R, F> {
    /// Returns an encoder of `results`, which calls `message` for the message of each series.
    pub fn new(results: &'r [R], message: F) -> Self {
        Self {
            results,
            message,
            next: (0, 0),
            lens: vec![0; results.len()],
            block: None,
            bytes: Vec::new(),
        }
    }

    /// Encodes the next series; returns the body once it is complete.
    ///
    /// # Errors
    /// The response exceeds what snappy can hold, 4 GiB, or there is no memory for it.
    pub fn step<S>(&mut self) -> Option<Result<Buffer, EncodeError>>
    where
        R: AsRef<[S]>,
        F: Fn(&S) -> prompb::TimeSeries,
    {
        let (result_index, series_index) = self.next;
        let Some(result) = self.results.get(result_index) else {
            return self.end_pass();
        };
        if let Some(block) = &mut self.block
            && series_index == 0
        {
            write_field_head(self.lens[result_index], &mut self.bytes);
            block.write(&self.bytes);
            self.bytes.clear();
        }
        let Some(series) = result.as_ref().get(series_index) else {
            self.next = (result_index + 1, 0);
            return None;
        };
        let message = (self.message)(series);
        let len = message.encoded_len();
        match &mut self.block {
            None => self.lens[result_index] += field_len(len),
            Some(block) => {
                write_field_head(len, &mut self.bytes);
                message
                    .encode(&mut self.bytes)
                    .expect("a Vec has room for everything");
                block.write(&self.bytes);
                self.bytes.clear();
            }
        }
        self.next.1 += 1;
        None
    }

    /// Ends the first pass, which finds the lengths, or the second one.
    fn end_pass(&mut self) -> Option<Result<Buffer, EncodeError>> {
        if let Some(block) = self.block.take() {
            return Some(block.finish());
        }
        match BlockWriter::new(self.lens.iter().map(|len| field_len(*len)).sum()) {
            Ok(block) => self.block = Some(block),
            Err(error) => return Some(Err(error)),
        }
        self.next = (0, 0);
        None
    }
}

/// The key of a field with number 1 and a length: what [`prompb::ReadResponse`] and
/// [`prompb::QueryResult`] repeat.
const FIELD_1: u8 = 1 << 3 | 2;

fn write_field_head(len: usize, bytes: &mut Vec<u8>) {
    bytes.push(FIELD_1);
    prost::encode_length_delimiter(len, bytes).expect("a Vec has room for everything");
}

fn field_len(len: usize) -> usize {
    1 + prost::length_delimiter_len(len) + len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decompress;

    fn series(samples: i64) -> prompb::TimeSeries {
        prompb::TimeSeries {
            labels: vec![prompb::Label {
                name: "__name__".to_owned(),
                value: format!("m{samples}"),
            }],
            samples: (0..samples)
                .map(|timestamp| prompb::Sample {
                    value: timestamp as f64 / 3.0,
                    timestamp,
                })
                .collect(),
            ..prompb::TimeSeries::default()
        }
    }

    fn encoded(results: &[Vec<i64>]) -> Vec<u8> {
        let mut encoder = ResultsEncoder::new(results, |it: &i64| series(*it));
        loop {
            if let Some(body) = encoder.step() {
                return body.unwrap().to_vec();
            }
        }
    }

    #[test]
    fn series_by_series_it_is_the_whole_message() {
        let results = [vec![500, 0, 1], vec![], vec![20_000, 1]];
        let whole = prompb::ReadResponse {
            results: results
                .iter()
                .map(|result| prompb::QueryResult {
                    timeseries: result.iter().map(|it| series(*it)).collect(),
                })
                .collect(),
        };
        let block = encoded(&results);
        assert_eq!(
            decompress(&block, usize::MAX).unwrap(),
            whole.encode_to_vec()
        );
        let none: [Vec<i64>; 0] = [];
        assert_eq!(encoded(&none), [0]);
    }
}
