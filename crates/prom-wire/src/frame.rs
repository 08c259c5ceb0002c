//! Frames of a streamed response: the length of a message as a varint, its checksum, the message.
//!
//! The checksum is CRC-32C (<https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4>), big-endian; the end
//! of the stream is the end of the body.

use prost::Message;

/// Bytes of the checksum.
const CHECKSUM_BYTES: usize = 4;
/// The polynomial of Castagnoli, its bits in reverse.
const POLYNOMIAL: u32 = 0x82f6_3b78;
/// The checksum of each byte.
const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut checksum = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            let is_odd = checksum & 1 == 1;
            checksum >>= 1;
            if is_odd {
                checksum ^= POLYNOMIAL;
            }
            bit += 1;
        }
        table[byte] = checksum;
        byte += 1;
    }
    table
}

fn checksum(bytes: &[u8]) -> u32 {
    let add = |checksum: u32, byte: &u8| TABLE[usize::from(checksum as u8 ^ byte)] ^ checksum >> 8;
    !bytes.iter().fold(!0, add)
}

/// Appends `message` as a frame.
pub fn write_frame<M: Message>(message: &M, frames: &mut Vec<u8>) {
    let len = message.encoded_len();
    frames.reserve(frame_len(message));
    prost::encode_length_delimiter(len, frames).expect("a Vec has room for everything");
    let start = frames.len() + CHECKSUM_BYTES;
    frames.extend_from_slice(&[0; CHECKSUM_BYTES]);
    message
        .encode(frames)
        .expect("a Vec has room for everything");
    let checksum = checksum(&frames[start..]).to_be_bytes();
    frames[start - CHECKSUM_BYTES..start].copy_from_slice(&checksum);
}

/// Returns the size in bytes of the frame of `message`.
pub fn frame_len<M: Message>(message: &M) -> usize {
    let len = message.encoded_len();
    prost::length_delimiter_len(len) + CHECKSUM_BYTES + len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompb::{Chunk, ChunkedReadResponse, ChunkedSeries, Label, chunk::Encoding};

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_checksum_is_castagnolis() {
        // The last one is from the RFC: 32 bytes of zeros.
        let cases: [(&[u8], u32); 4] = [
            (b"", 0),
            (b"123456789", 0xe306_9283),
            (b"test1", 0x53fe_1f55),
            (&[0; 32], 0x8a91_36aa),
        ];
        for (bytes, expected) in cases {
            assert_eq!(checksum(bytes), expected, "{bytes:?}");
        }
    }

    /// The chunk, of one sample, and its frame as Prometheus' server writes it.
    #[test]
    fn a_frame_of_prometheus() {
        let chunk = Chunk {
            min_time_ms: 1_600_000_000_000,
            max_time_ms: 1_600_000_000_000,
            r#type: Encoding::Xor.into(),
            data: vec![
                0, 1, 0x80, 0x80, 0xf4, 0xf6, 0x90, 0x5d, 0x3f, 0xf0, 0, 0, 0, 0, 0, 0,
            ],
        };
        let message = ChunkedReadResponse {
            chunked_series: vec![ChunkedSeries {
                labels: vec![Label {
                    name: "__name__".to_owned(),
                    value: "up".to_owned(),
                }],
                chunks: vec![chunk],
            }],
            query_index: 0,
        };
        let mut frames = vec![0xff];
        write_frame(&message, &mut frames);
        assert_eq!(
            hex(&frames[1..]),
            "36d74880130a340a0e0a085f5f6e616d655f5f120275701222088080babbc82e108080babbc82e18\
             01221000018080f4f6905d3ff0000000000000"
        );
        assert_eq!(frame_len(&message), frames.len() - 1);
    }
}
