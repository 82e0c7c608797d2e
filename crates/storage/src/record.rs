//! One record as bytes.
//!
//! ```text
//! offset  size  field
//!      0     4  magic "CREC"
//!      4     2  format version: 2, or 3 where flags are set
//!      6     2  kind: what the payload is
//!      8     4  space
//!     12     4  d: values of the embedding in the payload, 0 for none
//!     16     8  seq: the identity of what is recorded
//!     24     8  position: where in the log this record starts; a record that was moved is found out
//!     32     8  durable_to: position up to which the log was durable when this was written
//!     40     4  length of the payload
//!     44     4  CRC-32 of the payload
//!     48     4  flags: 1 the next record belongs to the same frame; else zero
//!     52     4  CRC-32 of bytes 0..52
//!     56        payload, then zeros up to a multiple of 8
//! ```
//!
//! Numbers are little-endian.

/// The newest format that this build reads and writes: records of a frame have it.
pub const FORMAT_VERSION: u16 = 3;

/// The format of files, and of records that use nothing newer; the oldest that this build reads.
pub(crate) const FORMAT_PLAIN: u16 = 2;

/// The longest payload, in bytes. Larger lengths on disk are damage, and never allocated.
pub const PAYLOAD_MAX: usize = 16 << 20;

pub(crate) const HEADER_LEN: usize = 56;
pub(crate) const ALIGNMENT: u64 = 8;
pub(crate) const MAGIC: [u8; 4] = *b"CREC";

/// In a header's flags: the frame goes on with the next record.
const GOES_ON: u32 = 1;

/// The kind that is kept for the log itself.
pub(crate) const KIND_OWN: u16 = u16::MAX;

/// What a caller says about a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which memory space it belongs to.
    pub space: u32,
    /// What the payload is; the caller's numbers, below `u16::MAX`, which is the log's own.
    pub kind: u16,
    /// Values of the embedding in the payload; 0 for none.
    pub dimension: u32,
    /// The identity of what is recorded.
    pub seq: u64,
}

/// Where a record lies, which stays true for as long as it is in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Log position of its first byte.
    pub position: u64,
    /// Bytes it takes, header and padding included.
    pub bytes: u32,
}

/// A record as it was found in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What the writer said about it.
    pub entry: Entry,
    /// Where in the log it starts, in bytes.
    pub position: u64,
    /// Up to which position the log was durable when it was written.
    pub durable_to: u64,
    /// What was recorded.
    pub payload: &'a [u8],
    /// CRC-32 of the payload's embedding, its first 4 x dimension bytes; a by-product of checking
    /// the record.
    pub embedding_crc: u32,
    pub(crate) payload_crc: u32,
    pub(crate) version: u16,
    /// Whether the next record belongs to the same frame.
    pub(crate) goes_on: bool,
}

impl Record<'_> {
    /// Where it lies.
    pub fn location(&self) -> Location {
        Location {
            position: self.position,
            bytes: span(self.payload.len()) as u32,
        }
    }

    pub(crate) fn header(&self) -> Header {
        Header {
            version: self.version,
            entry: self.entry,
            position: self.position,
            durable_to: self.durable_to,
            length: self.payload.len() as u32,
            payload_crc: self.payload_crc,
            goes_on: self.goes_on,
        }
    }
}

/// Bytes from the start of a record with such a payload to the next one's.
pub(crate) fn span(payload: usize) -> u64 {
    (HEADER_LEN as u64 + payload as u64).next_multiple_of(ALIGNMENT)
}

/// The checksums of a payload's embedding and of all of it, in one pass.
pub(crate) fn checksums(dimension: u32, payload: &[u8]) -> (u32, u32) {
    let embedding = (dimension as usize).saturating_mul(4).min(payload.len());
    let (embedding, rest) = payload.split_at(embedding);
    let mut crc = crc32fast::Hasher::new();
    crc.update(embedding);
    let of_embedding = crc.clone().finalize();
    crc.update(rest);
    (of_embedding, crc.finalize())
}

/// A header whose checksum is right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: u16,
    pub(crate) entry: Entry,
    pub(crate) position: u64,
    pub(crate) durable_to: u64,
    pub(crate) length: u32,
    pub(crate) payload_crc: u32,
    pub(crate) goes_on: bool,
}

impl Header {
    /// Says whether the next record belongs to the same frame, in the format that takes.
    pub(crate) fn with_goes_on(self, goes_on: bool) -> Self {
        Self {
            version: if goes_on {
                FORMAT_VERSION
            } else {
                FORMAT_PLAIN
            },
            goes_on,
            ..self
        }
    }

    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..6].copy_from_slice(&self.version.to_le_bytes());
        bytes[6..8].copy_from_slice(&self.entry.kind.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.entry.space.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.entry.dimension.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.entry.seq.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.position.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.durable_to.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.length.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.payload_crc.to_le_bytes());
        let flags = if self.goes_on { GOES_ON } else { 0 };
        bytes[48..52].copy_from_slice(&flags.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..52]);
        bytes[52..56].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a header, or says why these bytes are none. Does not judge version and position.
    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, &'static str> {
        if bytes[0..4] != MAGIC {
            return Err("no record starts here");
        }
        if crc32fast::hash(&bytes[..52]) != u32_at(bytes, 52) {
            return Err("the record header's checksum is wrong");
        }
        Ok(Self {
            version: u16_at(bytes, 4),
            entry: Entry {
                kind: u16_at(bytes, 6),
                space: u32_at(bytes, 8),
                dimension: u32_at(bytes, 12),
                seq: u64_at(bytes, 16),
            },
            position: u64_at(bytes, 24),
            durable_to: u64_at(bytes, 32),
            length: u32_at(bytes, 40),
            payload_crc: u32_at(bytes, 44),
            goes_on: u32_at(bytes, 48) & GOES_ON != 0,
        })
    }

    /// Bytes from this record's start to the next one's.
    pub(crate) fn span(&self) -> u64 {
        span(self.length as usize)
    }
}

fn array_at<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(array_at(bytes, at))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(array_at(bytes, at))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        Header {
            version: FORMAT_PLAIN,
            entry: Entry {
                space: 3,
                kind: 7,
                dimension: 768,
                seq: u64::MAX - 1,
            },
            position: 1 << 40,
            durable_to: 1 << 39,
            length: 3_101,
            payload_crc: 0xdead_beef,
            goes_on: false,
        }
    }

    #[test]
    fn headers_round_trip() {
        assert_eq!(Header::decode(&header().encode()), Ok(header()));
        assert_eq!(header().span(), 3_160);
        let first = header().with_goes_on(true);
        assert_eq!(Header::decode(&first.encode()), Ok(first));
        assert_eq!(first.version, FORMAT_VERSION);
        assert_eq!(first.with_goes_on(false), header());
    }

    #[test]
    fn checksums_of_parts_are_those_of_the_parts_alone() {
        let payload: Vec<u8> = (0..100).collect();
        for dimension in [0, 1, 25, 26, u32::MAX] {
            let embedding = &payload[..(dimension as usize).saturating_mul(4).min(100)];
            let want = (crc32fast::hash(embedding), crc32fast::hash(&payload));
            assert_eq!(checksums(dimension, &payload), want);
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let good = header().encode();
        for bit in 0..HEADER_LEN * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&bad).is_err(), "bit {bit}");
        }
    }
}
