//! Bodies of remote write and remote read, and chunks: no bytes make the readers panic, what they read is consistent,
//! and it occupies no more memory than is reserved for it.

use std::collections::HashMap;

use prom_wire::budget::MemoryBudget;
use prom_wire::chunk::{Chunk, Decoder, Encoder, HistogramChunks, MAX_SAMPLES, decode_histograms};
use prom_wire::request::{Datapoint, Request};
use prom_wire::{
    DecodeError, RemoteWrite, decode, decode_read_request, decompress, prompb, read_request,
};

const LIMIT: usize = 1 << 20;
/// Memory of all requests, twice that of a default server.
const BUDGET_BYTES: usize = 256 << 20;

/// Reads `input` as the body of a request, as its decompressed bytes and as a chunk.
pub(crate) fn check(input: &[u8]) {
    let compressed = snap::raw::Encoder::new().compress_vec(input);
    let compressed = compressed.expect("4 GiB fit into a block");
    assert_eq!(
        decompress(&compressed, LIMIT).ok(),
        (input.len() <= LIMIT).then(|| input.to_vec()),
        "compression changes nothing"
    );
    check_message(input);
    if let Ok(message) = decompress(input, LIMIT) {
        check_message(&message);
    }
    check_floats(input);
    for is_float in [false, true] {
        check_histograms(is_float, input);
    }
}

/// Reads `message` as a request of each protocol.
fn check_message(message: &[u8]) {
    let budget = MemoryBudget::new(BUDGET_BYTES);
    for version in [RemoteWrite::V1, RemoteWrite::V2] {
        let mut reservation = budget.reservation();
        let request = read_request(version, message, &mut reservation);
        if let Ok(request) = &request {
            check_request(request, reservation.bytes());
        }
        if version == RemoteWrite::V1 {
            check_agreement(message, &request);
        }
    }
    let mut reservation = budget.reservation();
    if let Ok(request) = decode_read_request(message, &mut reservation) {
        assert_eq!(Ok(request), decode(message));
    }
    drop(reservation);
    assert_eq!(budget.reserved(), 0, "all memory is released");
}

/// A message with strings alone that generated code accepts is accepted, or exceeds a limit.
fn check_agreement(message: &[u8], request: &Result<Request<'_>, DecodeError>) {
    let Ok(generated) = decode::<prompb::WriteRequest>(message) else {
        return;
    };
    let request = match request {
        Ok(request) => request,
        Err(DecodeError::TooMany { .. } | DecodeError::Memory(_)) => return,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(request.len(), generated.timeseries.len());
    assert_eq!(request.metadata.len(), generated.metadata.len());
    for (read, generated) in request.iter().zip(&generated.timeseries) {
        assert_eq!(read.unreadable, None);
        let labels = generated.labels.iter();
        let labels = labels.map(|label| (label.name.as_str(), label.value.as_str()));
        assert!(read.labels.iter().eq(labels));
    }
}

/// The lists of a request fit together, and a label has one number.
fn check_request(request: &Request<'_>, reserved: usize) {
    let lists = request.count() as usize * size_of::<Datapoint<'_>>()
        + request.label_count() * size_of::<u32>();
    assert!(lists <= reserved, "{lists} of {reserved}");
    let mut seen = HashMap::new();
    let (mut datapoints, mut labels) = (0, 0);
    for (index, series) in request.iter().enumerate() {
        for (id, label) in series.labels.ids().zip(series.labels.iter()) {
            assert!(id.index() < request.distinct_labels());
            assert_eq!(*seen.entry(id).or_insert(label), label);
            labels += 1;
        }
        assert_eq!(series.range.series(), index);
        assert_eq!(series.range.count() as usize, series.datapoints.len());
        assert_eq!(
            request.resolve(series.range).datapoints.len(),
            series.datapoints.len()
        );
        for (position, range) in series.range.iter().enumerate() {
            assert_eq!(range.position(), datapoints + position);
        }
        datapoints += series.datapoints.len();
        if let Some(reason) = series.unreadable {
            assert!(!reason.to_string().is_empty());
        }
        assert!(series.labels.to_string().len() < 2_000);
    }
    assert_eq!(
        (datapoints as u64, labels),
        (request.count(), request.label_count())
    );
}

/// Samples of a chunk are the same once they are encoded again.
fn check_floats(data: &[u8]) {
    let samples: Vec<_> = Decoder::new(data).collect();
    for part in samples.chunks(MAX_SAMPLES) {
        let mut encoder = Encoder::default();
        part.iter().for_each(|sample| encoder.push(*sample));
        let encoded: Option<Chunk> = encoder.take();
        let encoded = encoded.expect("a part has samples");
        assert_eq!(encoded.len(), part.len());
        let bits = |samples: &mut dyn Iterator<Item = prom_model::Sample>| -> Vec<(i64, u64)> {
            let bits = samples.map(|it| (it.timestamp_ms, it.value.to_bits()));
            bits.collect()
        };
        assert_eq!(
            bits(&mut encoded.samples()),
            bits(&mut part.iter().copied())
        );
    }
}

/// Histograms of a chunk have the same times once they are encoded again.
fn check_histograms(is_float: bool, data: &[u8]) {
    let histograms = decode_histograms(is_float, data);
    let chunks = HistogramChunks::new(&histograms);
    let again = chunks.flat_map(|chunk| {
        assert_eq!(chunk.is_float, is_float);
        decode_histograms(chunk.is_float, &chunk.data)
    });
    let times = again.map(|it| it.timestamp_ms);
    assert!(times.eq(histograms.iter().map(|it| it.timestamp_ms)));
}
