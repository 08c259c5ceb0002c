//! The results of queries to the body of a SAMPLES answer.

use prost::Message;

use super::block::BlockWriter;
use crate::prompb;

/// Encodes and compresses a [`prompb::ReadResponse`] with these results, in the order of the
/// queries. Of the messages only one is held at a time.
///
/// # Errors
/// The answer exceeds what snappy can hold, 4 GiB.
pub fn encode_results<S>(
    results: &[impl AsRef<[S]>],
    message: impl Fn(&S) -> prompb::TimeSeries,
) -> Result<Vec<u8>, snap::Error> {
    let result_len = |result: &[S]| -> usize {
        let series = result.iter();
        series.map(|it| field_len(message(it).encoded_len())).sum()
    };
    // A length stands before what it is about.
    let lens: Vec<usize> = results.iter().map(|it| result_len(it.as_ref())).collect();
    let mut block = BlockWriter::new(lens.iter().map(|len| field_len(*len)).sum())?;
    let mut bytes = Vec::new();
    for (result, len) in results.iter().zip(lens) {
        write_field_head(len, &mut bytes);
        for series in result.as_ref() {
            let series = message(series);
            write_field_head(series.encoded_len(), &mut bytes);
            series
                .encode(&mut bytes)
                .expect("a Vec has room for everything");
            block.write(&bytes);
            bytes.clear();
        }
        block.write(&bytes);
        bytes.clear();
    }
    Ok(block.finish())
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
    use crate::wire::decompress;

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
        let block = encode_results(&results, |it| series(*it)).unwrap();
        assert_eq!(
            decompress(&block, usize::MAX).unwrap(),
            whole.encode_to_vec()
        );
        let none: [Vec<i64>; 0] = [];
        assert_eq!(encode_results(&none, |it| series(*it)).unwrap(), [0]);
    }
}
