//! Gzip of responses, decompressed piece by piece: all its members, and nothing besides.
//!
//! As in Go, bytes after the last member must be another member.

use std::io::{self, ErrorKind, Write};

use flate2::write::GzDecoder;

/// The compressed bytes that are pushed to [`Decoder::push`] at once: the format makes at most some 1,032
/// bytes of each, so they take a few milliseconds.
pub(super) const STEP: usize = 2 << 10;

/// The first bytes of each member.
const MAGIC: [u8; 3] = [0x1f, 0x8b, 8];

/// A body that cannot be decompressed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum GzipError {
    /// There are more bytes than the limit.
    TooLong,
    /// It ends early.
    Cut,
    /// It is not gzip, or other bytes follow it.
    Invalid(String),
}

/// Decompresses one body.
pub(super) struct Decoder {
    member: GzDecoder<Bounded>,
    /// Bytes of [`MAGIC`] that the member has begun with.
    magic: usize,
}

/// Accepts bytes up to a limit.
#[derive(Default)]
struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
    is_over: bool,
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if piece.len() > self.limit - self.bytes.len() {
            self.is_over = true;
            return Err(ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// Returns a decoder for a body of at most `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        let output = Bounded {
            limit,
            ..Bounded::default()
        };
        Self {
            member: GzDecoder::new(output),
            magic: 0,
        }
    }

    /// Decompresses the next compressed bytes.
    pub(super) fn push(&mut self, mut piece: &[u8]) -> Result<(), GzipError> {
        while !piece.is_empty() {
            // Without this, junk that is shorter than a header would look like a header that is cut.
            let is_begin = piece.iter().zip(&MAGIC[self.magic..]).all(|(a, b)| a == b);
            if !is_begin {
                let text = "expected the header of a gzip member";
                return Err(GzipError::Invalid(text.to_owned()));
            }
            match self.member.write(piece) {
                Ok(0) => self.end_member()?,
                Ok(taken) => {
                    self.magic = MAGIC.len().min(self.magic + taken);
                    piece = &piece[taken..];
                }
                Err(error) => return Err(self.error_of(&error)),
            }
        }
        Ok(())
    }

    /// Returns the whole body.
    pub(super) fn finish(mut self) -> Result<Vec<u8>, GzipError> {
        let Err(error) = self.member.try_finish() else {
            return Ok(std::mem::take(&mut self.member.get_mut().bytes));
        };
        if self.member.get_ref().is_over {
            return Err(GzipError::TooLong);
        }
        // The decoder reports a truncated checksum like a wrong one; only the former has room.
        let mut has_room = || matches!(self.member.write(&[0]), Ok(1..));
        match error.kind() == ErrorKind::UnexpectedEof || has_room() {
            true => Err(GzipError::Cut),
            false => Err(GzipError::Invalid(error.to_string())),
        }
    }

    /// Checks the member that is complete, and begins the next one.
    fn end_member(&mut self) -> Result<(), GzipError> {
        if let Err(error) = self.member.try_finish() {
            return Err(self.error_of(&error));
        }
        self.member = GzDecoder::new(std::mem::take(self.member.get_mut()));
        self.magic = 0;
        Ok(())
    }

    fn error_of(&self, error: &io::Error) -> GzipError {
        match self.member.get_ref().is_over {
            true => GzipError::TooLong,
            false => GzipError::Invalid(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Decompresses in pieces of `step` bytes.
    fn decode(body: &[u8], step: usize, limit: usize) -> Result<String, GzipError> {
        let mut decoder = Decoder::new(limit);
        for piece in body.chunks(step) {
            decoder.push(piece)?;
        }
        Ok(String::from_utf8(decoder.finish()?).unwrap())
    }

    #[test]
    fn all_members_are_read_however_the_pieces_fall() {
        let body = [gzip(b"a 1\n"), gzip(b""), gzip(b"b 2\n")].concat();
        for step in 1..=body.len() {
            let decoded = decode(&body, step, 8);
            assert_eq!(decoded.as_deref(), Ok("a 1\nb 2\n"), "{step}");
        }
    }

    #[test]
    fn bytes_after_the_last_member_are_rejected() {
        for junk in [
            &b"junk"[..],
            b"a 1\n",
            &[0],
            &[0; 512],
            &[0x1f],
            b"\x1f\x8b\x07",
        ] {
            let body = [gzip(b"a 1\n"), junk.to_vec()].concat();
            for step in 1..=body.len() {
                let error = decode(&body, step, 100).unwrap_err();
                // A byte or two may be the begin of a header.
                let is_begin = b"\x1f\x8b\x08".starts_with(junk);
                let is_cut = error == GzipError::Cut;
                assert_eq!(is_cut, is_begin, "{junk:?}, {step}: {error:?}");
            }
        }
    }

    #[test]
    fn a_truncated_body_and_a_broken_one_are_different_errors() {
        let whole = [gzip(b"a 1\n"), gzip(b"b 2\n")].concat();
        let first = gzip(b"a 1\n").len();
        for length in 0..whole.len() {
            let decoded = decode(&whole[..length], 7, 100);
            match length == first {
                true => assert_eq!(decoded.as_deref(), Ok("a 1\n")),
                false => assert_eq!(decoded, Err(GzipError::Cut), "{length}"),
            }
        }
        let mut broken = gzip(b"a 1\n");
        let checksum = broken.len() - 8;
        broken[checksum] ^= 1;
        for body in [
            &broken[..],
            b"a 1\n",
            b"\x1f\x8b\x08\0\0\0\0\0\0\xff\xff\xff\xff",
        ] {
            let error = decode(body, 7, 100).unwrap_err();
            assert!(
                matches!(error, GzipError::Invalid(_)),
                "{body:?}: {error:?}"
            );
        }
    }

    /// A member with these parts of a header, as RFC 1952 has them.
    fn with_header(flags: u8, bytes: &[u8], text: &[u8]) -> Vec<u8> {
        let plain = gzip(bytes);
        let mut member = plain[..10].to_vec();
        member[3] = flags;
        if flags & 4 != 0 {
            member.extend_from_slice(&u16::try_from(text.len()).unwrap().to_le_bytes());
            member.extend_from_slice(text);
        }
        for flag in [8, 16] {
            if flags & flag != 0 {
                member.extend_from_slice(text);
                member.push(0);
            }
        }
        if flags & 2 != 0 {
            let mut crc = flate2::Crc::new();
            crc.update(&member);
            member.extend_from_slice(&crc.sum().to_le_bytes()[..2]);
        }
        member.extend_from_slice(&plain[10..]);
        member
    }

    #[test]
    fn every_part_of_a_header_is_read_over() {
        let all: Vec<_> = (0..32)
            .flat_map(|flags| with_header(flags, &[b'A' + flags], b"name"))
            .collect();
        let expected: String = (0..32).map(|flags| char::from(b'A' + flags)).collect();
        for step in 1..80 {
            let decoded = decode(&all, step, 32);
            assert_eq!(decoded.as_deref(), Ok(expected.as_str()), "{step}");
        }
        let whole = with_header(31, b"a", b"name");
        for length in 1..whole.len() {
            let decoded = decode(&whole[..length], 3, 9);
            assert_eq!(decoded, Err(GzipError::Cut), "{length}");
        }
        let mut broken = whole.clone();
        broken[14] ^= 1;
        assert!(matches!(decode(&broken, 3, 9), Err(GzipError::Invalid(_))));
        let name = vec![b'n'; usize::from(u16::MAX)];
        assert!(decode(&with_header(31, b"a", &name), STEP, 9).is_ok());
        let endless = [
            &gzip(b"")[..3],
            &[8, 0, 0, 0, 0, 0, 0][..],
            &[b'n'; 1 << 17],
        ]
        .concat();
        assert!(matches!(
            decode(&endless, STEP, 9),
            Err(GzipError::Invalid(_))
        ));
    }

    #[test]
    fn the_limit_is_on_what_is_decompressed() {
        let bomb = gzip(&[b'a'; 1 << 20]);
        assert!(bomb.len() < STEP * 4);
        assert_eq!(decode(&bomb, STEP, (1 << 20) - 1), Err(GzipError::TooLong));
        assert_eq!(decode(&bomb, STEP, 1 << 20).unwrap().len(), 1 << 20);
        // What members have together counts.
        let members = gzip(b"12345678").repeat(3);
        assert_eq!(decode(&members, STEP, 23), Err(GzipError::TooLong));
        assert_eq!(decode(&members, STEP, 24).unwrap().len(), 24);
    }
}
