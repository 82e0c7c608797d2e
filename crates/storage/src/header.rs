//! A log file's header and its name.
//!
//! ```text
//! offset  size  field
//!      0     8  magic "CORTLOG\n"
//!      8     4  format version, now 2
//!     12     4  flags: 1 compacted, 2 repaired, 4 took over the end of another file
//!     16     8  start: log position of the first byte it covers
//!     24     8  end: of a compacted file, the log position behind the last byte it covers; else 0
//!     32     8  length: bytes the file was made with
//!     40     8  durable_to: position up to which the log was durable when this was written
//!     48     8  known_to: of a compacted file, the position up to which it was known what is dead
//!     56     8  seq_high: the highest seq of any record up to then
//!     64     8  records: of a compacted file, how many it holds; else 0
//!     72     4  generation: of a compacted file, 1 or more; else 0
//!     76     4  CRC-32 of the headers of a compacted file's records, in order; else 0
//!     80     8  start of the file before it that was cut, where this one took over its end
//!     88     8  length in bytes that the file has since
//!     96     8  records that it has since
//!    104     4  its generation
//!    108     4  CRC-32 of the headers of its records, in order
//!    112    12  reserved, zero
//!    124     4  CRC-32 of bytes 0..124
//! ```
//!
//! Numbers are little-endian. A plain file is named after its start, `<20 digits>.log`; in it the
//! record at log position p starts at offset 128 + p - start. A compacted one carries its generation
//! too, `<20 digits>.<6 digits or more>.log`; in it records follow each other without the gaps between
//! their positions.

use crate::record::{FORMAT_PLAIN, u32_at, u64_at};

pub(crate) const SEGMENT_HEADER_LEN: usize = 128;
const MAGIC: [u8; 8] = *b"CORTLOG\n";
const COMPACTED: u32 = 1;
const REPAIRED: u32 = 2;
const TOOK_OVER: u32 = 4;

/// What a log file says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) repaired: bool,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) length: u64,
    pub(crate) durable_to: u64,
    pub(crate) known_to: u64,
    pub(crate) seq_high: u64,
    pub(crate) records: u64,
    pub(crate) generation: u32,
    pub(crate) headers_crc: u32,
    pub(crate) cut: Option<Cut>,
}

/// What is left of a file whose end another one took over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    /// The file that was cut.
    pub(crate) name: FileName,
    /// Bytes it has since.
    pub(crate) length: u64,
    pub(crate) records: u64,
    pub(crate) headers_crc: u32,
}

/// Why the bytes at the start of a file are no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// Damaged, or never a header.
    Bad(&'static str),
    /// Whole, and of another format.
    Version(u32),
}

impl SegmentHeader {
    pub(crate) fn compacted(&self) -> bool {
        self.generation > 0
    }

    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        let flags = if self.compacted() { COMPACTED } else { 0 }
            | if self.repaired { REPAIRED } else { 0 }
            | if self.cut.is_some() { TOOK_OVER } else { 0 };
        bytes[0..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&u32::from(FORMAT_PLAIN).to_le_bytes());
        bytes[12..16].copy_from_slice(&flags.to_le_bytes());
        let numbers = [
            self.start,
            self.end,
            self.length,
            self.durable_to,
            self.known_to,
            self.seq_high,
            self.records,
        ];
        for (to, number) in bytes[16..72].chunks_exact_mut(8).zip(numbers) {
            to.copy_from_slice(&number.to_le_bytes());
        }
        bytes[72..76].copy_from_slice(&self.generation.to_le_bytes());
        bytes[76..80].copy_from_slice(&self.headers_crc.to_le_bytes());
        if let Some(cut) = &self.cut {
            bytes[80..88].copy_from_slice(&cut.name.start.to_le_bytes());
            bytes[88..96].copy_from_slice(&cut.length.to_le_bytes());
            bytes[96..104].copy_from_slice(&cut.records.to_le_bytes());
            bytes[104..108].copy_from_slice(&cut.name.generation.to_le_bytes());
            bytes[108..112].copy_from_slice(&cut.headers_crc.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[..124]);
        bytes[124..128].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of a file with this name.
    pub(crate) fn decode(bytes: &[u8], name: FileName) -> Result<Self, BadHeader> {
        if bytes.len() >= 64 && bytes[0..8] == MAGIC {
            // The first format's header ended here.
            if u32_at(bytes, 8) == 1 && crc32fast::hash(&bytes[..60]) == u32_at(bytes, 60) {
                return Err(BadHeader::Version(1));
            }
        }
        let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER_LEN>() else {
            return Err(BadHeader::Bad("the file ends inside its header"));
        };
        if bytes[0..8] != MAGIC {
            return Err(BadHeader::Bad("this is not a log file"));
        }
        if crc32fast::hash(&bytes[..124]) != u32_at(bytes, 124) {
            return Err(BadHeader::Bad("the file header's checksum is wrong"));
        }
        let version = u32_at(bytes, 8);
        if version != u32::from(FORMAT_PLAIN) {
            return Err(BadHeader::Version(version));
        }
        let flags = u32_at(bytes, 12);
        let cut = Cut {
            name: FileName {
                start: u64_at(bytes, 80),
                generation: u32_at(bytes, 104),
            },
            length: u64_at(bytes, 88),
            records: u64_at(bytes, 96),
            headers_crc: u32_at(bytes, 108),
        };
        let header = Self {
            repaired: flags & REPAIRED != 0,
            start: u64_at(bytes, 16),
            end: u64_at(bytes, 24),
            length: u64_at(bytes, 32),
            durable_to: u64_at(bytes, 40),
            known_to: u64_at(bytes, 48),
            seq_high: u64_at(bytes, 56),
            records: u64_at(bytes, 64),
            generation: u32_at(bytes, 72),
            headers_crc: u32_at(bytes, 76),
            cut: (flags & TOOK_OVER != 0).then_some(cut),
        };
        if (header.start, header.generation) != (name.start, name.generation) {
            return Err(BadHeader::Bad("the file belongs under another name"));
        }
        Ok(header)
    }
}

/// What a log file's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileName {
    pub(crate) start: u64,
    /// 0 for a plain file.
    pub(crate) generation: u32,
}

impl FileName {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let stem = name.strip_suffix(".log")?;
        let (start, generation) = match stem.split_once('.') {
            Some((start, generation)) => (start, Some(generation)),
            None => (stem, None),
        };
        let generation = match generation {
            None => 0,
            Some(digits) => {
                let padded = digits.len() == 6 || !digits.starts_with('0');
                let number = number(digits, digits.len().max(6)).filter(|_| padded)?;
                u32::try_from(number).ok().filter(|&number| number > 0)?
            }
        };
        Some(Self {
            start: number(start, 20)?,
            generation,
        })
    }
}

impl std::fmt::Display for FileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.generation {
            0 => write!(f, "{:020}.log", self.start),
            generation => write!(f, "{:020}.{generation:06}.log", self.start),
        }
    }
}

/// The number these digits spell, if there are exactly so many of them.
fn number(digits: &str, len: usize) -> Option<u64> {
    let digits_only = digits.len() == len && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits_only.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: FileName = FileName {
        start: 1 << 40,
        generation: 7,
    };

    fn header() -> SegmentHeader {
        SegmentHeader {
            repaired: true,
            start: NAME.start,
            end: 1 << 41,
            length: 5_000,
            durable_to: 1 << 42,
            known_to: 1 << 43,
            seq_high: u64::MAX - 3,
            records: 12,
            generation: NAME.generation,
            headers_crc: 0xdead_beef,
            cut: Some(Cut {
                name: FileName {
                    start: 1 << 39,
                    generation: 6,
                },
                length: 4_000,
                records: 9,
                headers_crc: 0xbeef_dead,
            }),
        }
    }

    #[test]
    fn headers_round_trip() {
        for cut in [header().cut, None] {
            let header = SegmentHeader { cut, ..header() };
            let decoded = SegmentHeader::decode(&header.encode(), NAME);
            assert_eq!(decoded, Ok(header));
        }
    }

    #[test]
    fn every_flipped_bit_of_a_header_is_noticed() {
        let good = header().encode();
        for bit in 0..SEGMENT_HEADER_LEN * 8 {
            let mut bad = good;
            bad[bit / 8] ^= 1 << (bit % 8);
            let decoded = SegmentHeader::decode(&bad, NAME);
            assert!(matches!(decoded, Err(BadHeader::Bad(_))), "bit {bit}");
        }
    }

    #[test]
    fn names_round_trip_and_others_are_none() {
        let plain = FileName {
            start: 0,
            generation: 0,
        };
        let late = FileName {
            start: u64::MAX,
            generation: u32::MAX,
        };
        for name in [NAME, plain, late] {
            assert_eq!(FileName::parse(&name.to_string()), Some(name));
        }
        for other in [
            "0.log",
            "00000000000000000000.log.new",
            "00000000000000000000.1.log",
            "00000000000000000000.0000001.log",
            "00000000000000000000.000000.log",
            "0000000000000000000+.log",
            "99999999999999999999.log",
            "closed",
        ] {
            assert_eq!(FileName::parse(other), None, "{other}");
        }
    }
}
