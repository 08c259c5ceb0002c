//! xxHash64, by which Prometheus chooses the series of `limit_ratio`.

use prom_model::Labels;

const PRIMES: [u64; 5] = [
    0x9e37_79b1_85eb_ca87,
    0xc2b2_ae3d_27d4_eb4f,
    0x1656_67b1_9e37_79f9,
    0x85eb_ca77_c2b2_ae63,
    0x27d4_eb2f_1656_67c5,
];

/// Bytes of a block, in four lanes.
const BLOCK: usize = 32;

/// Returns the hash of labels as Prometheus has them in memory: names and values, each behind its length.
pub(crate) fn hash_of_labels(labels: &Labels) -> u64 {
    let mut bytes = Vec::with_capacity(256);
    for label in labels.iter() {
        push_string(&mut bytes, &label.name);
        push_string(&mut bytes, &label.value);
    }
    xxhash64(&bytes)
}

/// Appends the length of a string, in one byte or, from 255 on, in three bytes after a byte of ones, and the string.
fn push_string(bytes: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length) if length < u8::MAX => bytes.push(length),
        _ => {
            bytes.push(u8::MAX);
            bytes.extend_from_slice(&text.len().to_le_bytes()[..3]);
        }
    }
    bytes.extend_from_slice(text.as_bytes());
}

/// Returns the hash of bytes with the seed 0.
fn xxhash64(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    let mut hash = match blocks {
        [] => PRIMES[4],
        _ => hash_of_blocks(blocks),
    };
    hash = hash.wrapping_add(bytes.len() as u64);

    let (words, rest) = rest.as_chunks::<8>();
    for word in words {
        hash ^= round(0, u64::from_le_bytes(*word));
        hash = hash.rotate_left(27).wrapping_mul(PRIMES[0]);
        hash = hash.wrapping_add(PRIMES[3]);
    }
    let (halves, rest) = rest.as_chunks::<4>();
    for half in halves {
        hash ^= u64::from(u32::from_le_bytes(*half)).wrapping_mul(PRIMES[0]);
        hash = hash.rotate_left(23).wrapping_mul(PRIMES[1]);
        hash = hash.wrapping_add(PRIMES[2]);
    }
    for &byte in rest {
        hash ^= u64::from(byte).wrapping_mul(PRIMES[4]);
        hash = hash.rotate_left(11).wrapping_mul(PRIMES[0]);
    }

    hash = (hash ^ hash >> 33).wrapping_mul(PRIMES[1]);
    hash = (hash ^ hash >> 29).wrapping_mul(PRIMES[2]);
    hash ^ hash >> 32
}

fn hash_of_blocks(blocks: &[[u8; BLOCK]]) -> u64 {
    let mut lanes = [
        PRIMES[0].wrapping_add(PRIMES[1]),
        PRIMES[1],
        0,
        PRIMES[0].wrapping_neg(),
    ];
    for block in blocks {
        for (lane, word) in lanes.iter_mut().zip(block.as_chunks::<8>().0) {
            *lane = round(*lane, u64::from_le_bytes(*word));
        }
    }
    let mut hash = 0_u64;
    for (lane, bits) in lanes.into_iter().zip([1, 7, 12, 18]) {
        hash = hash.wrapping_add(lane.rotate_left(bits));
    }
    for lane in lanes {
        hash = (hash ^ round(0, lane)).wrapping_mul(PRIMES[0]);
        hash = hash.wrapping_add(PRIMES[3]);
    }
    hash
}

fn round(lane: u64, word: u64) -> u64 {
    let lane = lane.wrapping_add(word.wrapping_mul(PRIMES[1]));
    lane.rotate_left(31).wrapping_mul(PRIMES[0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use prom_model::Label;

    /// Lengths and hashes of the bytes 11, 48, 85, ..., each 37 above the last, as `tests/golden/hashes.go` prints
    /// them.
    const GO_HASHES: [(usize, u64); 15] = [
        (0, 0xef46_db37_51d8_e999),
        (1, 0xf592_c0c7_639c_4cb6),
        (3, 0x22c0_8528_601d_4f27),
        (4, 0xfb1e_5cf2_f1ae_4d95),
        (7, 0x5613_ac51_0496_c04e),
        (8, 0x57cb_2b75_21f3_e21a),
        (12, 0x2f53_b002_6603_9e64),
        (15, 0x90a9_714e_b00e_8d29),
        (31, 0xe4a0_e629_e519_a4ae),
        (32, 0xcc6b_8aaa_da79_0b2d),
        (33, 0x35ec_4985_0475_a832),
        (63, 0xbf9f_0ba3_cf95_b28a),
        (64, 0x155c_cce4_bf32_befc),
        (100, 0x4826_e367_566e_a023),
        (200, 0x2f07_4b6d_d909_4e34),
    ];

    #[test]
    fn bytes_have_the_hashes_of_go() {
        let bytes: Vec<u8> = (0..200_u8)
            .map(|it| it.wrapping_mul(37).wrapping_add(11))
            .collect();
        for (length, hash) in GO_HASHES {
            assert_eq!(xxhash64(&bytes[..length]), hash, "{length}");
        }
    }

    #[test]
    fn labels_have_the_hashes_of_prometheus() {
        let hash = |labels: &[(&str, &str)]| {
            let label = |&(name, value): &(&str, &str)| Label {
                name: name.to_owned(),
                value: value.to_owned(),
            };
            hash_of_labels(&Labels::new(labels.iter().map(label).collect()))
        };
        let long = "x".repeat(70_000);
        assert_eq!(hash(&[]), 0xef46_db37_51d8_e999);
        assert_eq!(
            hash(&[("__name__", "m"), ("a", "ä")]),
            0x2fc2_92bb_0274_9342
        );
        assert_eq!(hash(&[("a", &long[..254])]), 0xd595_c508_2328_667a);
        assert_eq!(hash(&[("a", &long[..255])]), 0x6cdb_059d_acbe_544e);
        assert_eq!(hash(&[("a", &long)]), 0xd5a1_5f08_6eb2_59ea);
    }
}
