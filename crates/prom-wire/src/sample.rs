//! Float samples, which both versions of remote write encode alike.

use prom_model::Sample;

/// Reads a sample in the usual encoding, as one match instead of field by field: the value, unless it is 0, and a time
/// of six bytes, as those from 1971 to 2109 are.
#[inline]
pub(super) fn usual_sample(message: &[u8]) -> Option<Sample> {
    const VALUE_KEY: u8 = 1 << 3 | 1;
    const TIME_KEY: u8 = 2 << 3;
    let (value, time) = match message.split_first_chunk::<9>() {
        Some((&[VALUE_KEY, ref value @ ..], time)) => (f64::from_le_bytes(*value), time),
        _ => (0.0, message),
    };
    let &[TIME_KEY, a, b, c, d, e, f] = time else {
        return None;
    };
    let bytes = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
    // The highest bit of a byte is clear in the last one alone; the others follow one another.
    (bytes & 0x8080_8080_8080 == 0x0080_8080_8080).then(|| {
        let mut time = 0;
        for byte in 0..6 {
            time |= bytes >> byte & 0x7f << (7 * byte);
        }
        Sample {
            timestamp_ms: time.cast_signed(),
            value,
        }
    })
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::prompb;

    #[test]
    fn usual_samples_are_read_and_no_others() {
        let cases = [
            (1.5, 1_600_000_000_000, true),
            (0.0, 1_600_000_000_000, true),
            (f64::from_bits(u64::MAX), (1 << 42) - 1, true),
            (f64::from_bits(0x8080_8080_8080_8080), 1 << 35, true),
            (1.0, (1 << 35) - 1, false),
            (1.0, 1 << 42, false),
            (1.0, -1, false),
            (1.0, 0, false),
        ];
        for (value, timestamp, is_usual) in cases {
            let message = prompb::Sample { value, timestamp }.encode_to_vec();
            let read = usual_sample(&message);
            let read = read.map(|it| (it.value.to_bits(), it.timestamp_ms));
            let expected = is_usual.then_some((value.to_bits(), timestamp));
            assert_eq!(read, expected, "{value} {timestamp}");
        }
        // Without a value, as senders encode 0.
        let message = b"\x10\x80\x80\xba\xbb\xc8\x2e";
        let read = usual_sample(message).map(|it| (it.value, it.timestamp_ms));
        assert_eq!(read, Some((0.0, 1_600_000_000_000)));
        // Numbers that end early or do not end.
        assert!(usual_sample(b"\x10\x80\x80\xba\x3b\xc8\x2e").is_none());
        assert!(usual_sample(b"\x10\x80\x80\xba\xbb\xc8\xae").is_none());
    }
}
