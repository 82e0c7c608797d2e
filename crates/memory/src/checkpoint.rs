//! All that was learned up to a place of the log, in records, so that what is before it need not be
//! replayed for that.
//!
//! ```text
//! offset  size  field
//!      0     4  part: 0, 1, ...
//!      4     4  parts: how many the checkpoint has
//!      8     4  columns that follow
//!     12     4  streams that follow
//!     16        columns, 144 bytes each: column u32, zero u32, moves u64, prototype 64 f16
//!               streams, 264 + 16 bytes and more: stream u64, codes u64, codes of 64 f32 each
//! ```
//!
//! A checkpoint counts when all its parts follow each other.

use cortica_cortex::{CODE_DIMENSION, Code, ColumnId, Learned, WINDOW, Windows};
use cortica_simd::f32_from_f16;

/// Columns in one part: some 0.6 MB.
const COLUMNS_PER_PART: usize = 4_096;
/// Streams in one part: up to 2.1 MB.
const STREAMS_PER_PART: usize = 1_024;

const HEAD_LEN: usize = 16;
const COLUMN_LEN: usize = 16 + CODE_DIMENSION * size_of::<u16>();
const CODE_LEN: usize = CODE_DIMENSION * size_of::<f32>();

/// What was learned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Checkpoint {
    /// Of the columns that learned something.
    pub(crate) columns: Vec<Learned>,
    /// The streams' last codes, the one used least recently first.
    pub(crate) streams: Vec<Stream>,
}

/// A stream's number, and its last codes, oldest first.
type Stream = (u64, Vec<Code>);

impl Checkpoint {
    /// The payloads of its records.
    pub(crate) fn encode(&self) -> Vec<Vec<u8>> {
        let columns = self.columns.chunks(COLUMNS_PER_PART);
        let streams = self.streams.chunks(STREAMS_PER_PART);
        let mut parts: Vec<(&[Learned], &[Stream])> =
            columns.map(|columns| (columns, &[][..])).collect();
        parts.extend(streams.map(|streams| (&[][..], streams)));
        if parts.is_empty() {
            parts.push((&[], &[]));
        }
        let count = parts.len() as u32;
        let payload = |(part, (columns, streams)): (u32, &(&[Learned], &[Stream]))| {
            let mut out = Vec::new();
            for word in [part, count, columns.len() as u32, streams.len() as u32] {
                out.extend_from_slice(&word.to_le_bytes());
            }
            for learned in *columns {
                out.extend_from_slice(&learned.column.get().to_le_bytes());
                out.extend_from_slice(&[0; 4]);
                out.extend_from_slice(&learned.learnings.to_le_bytes());
                out.extend(
                    learned
                        .prototype
                        .iter()
                        .flat_map(|value| value.to_le_bytes()),
                );
            }
            for (stream, codes) in *streams {
                out.extend_from_slice(&stream.to_le_bytes());
                out.extend_from_slice(&(codes.len() as u64).to_le_bytes());
                let values = codes.iter().flatten();
                out.extend(values.flat_map(|value| value.to_le_bytes()));
            }
            out
        };
        (0..).zip(&parts).map(payload).collect()
    }

    /// The windows again.
    pub(crate) fn windows(&self) -> Windows {
        let mut windows = Windows::default();
        for (stream, codes) in &self.streams {
            for code in codes {
                drop(windows.push(*stream, code));
            }
        }
        windows
    }
}

/// What a part led to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Taken {
    /// It is the first one.
    pub(crate) begins: bool,
    /// The checkpoint, where it is the last one.
    pub(crate) whole: Option<Checkpoint>,
}

/// Puts the parts of a checkpoint together as they come.
#[derive(Debug, Default)]
pub(crate) struct Assembly {
    parts: u32,
    found: Checkpoint,
}

impl Assembly {
    /// Takes a part; gives the checkpoint when it is the last one. A part that does not follow the one before
    /// begins anew, or leads to nothing.
    pub(crate) fn take(&mut self, payload: &[u8]) -> Result<Taken, String> {
        let (part, parts, more) = decode(payload)?;
        let begins = part == 0;
        if begins {
            *self = Assembly::default();
        }
        if part != self.parts {
            // The beginning of it is lost, and so it is of no use.
            *self = Assembly {
                parts: u32::MAX,
                found: Checkpoint::default(),
            };
            return Ok(Taken::default());
        }
        self.parts += 1;
        self.found.columns.extend(more.columns);
        self.found.streams.extend(more.streams);
        let whole = (self.parts == parts).then(|| std::mem::take(&mut self.found));
        Ok(Taken { begins, whole })
    }
}

/// Number, how many there are, and what is in it.
fn decode(payload: &[u8]) -> Result<(u32, u32, Checkpoint), String> {
    let wrong = || "a checkpoint is not what it says it is".to_owned();
    let (head, mut rest) = payload.split_first_chunk::<HEAD_LEN>().ok_or_else(wrong)?;
    let word = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| head[4 * at + i]));
    let (part, parts) = (word(0), word(1));
    if part >= parts || word(2) as usize > COLUMNS_PER_PART || word(3) as usize > STREAMS_PER_PART {
        return Err(wrong());
    }
    let mut found = Checkpoint::default();
    for _ in 0..word(2) {
        let (column, after) = rest.split_first_chunk::<COLUMN_LEN>().ok_or_else(wrong)?;
        rest = after;
        let number = u32::from_le_bytes(std::array::from_fn(|i| column[i]));
        let learnings = u64::from_le_bytes(std::array::from_fn(|i| column[8 + i]));
        let half = |at: usize| u16::from_le_bytes([column[16 + 2 * at], column[17 + 2 * at]]);
        let prototype: [u16; CODE_DIMENSION] = std::array::from_fn(half);
        if !prototype
            .iter()
            .all(|&value| f32_from_f16(value).is_finite())
        {
            return Err(wrong());
        }
        found.columns.push(Learned {
            column: ColumnId::new(number),
            prototype,
            learnings,
        });
    }
    for _ in 0..word(3) {
        let (stream, after) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
        let number = u64::from_le_bytes(std::array::from_fn(|i| stream[i]));
        let codes = u64::from_le_bytes(std::array::from_fn(|i| stream[8 + i]));
        if !(1..=WINDOW as u64).contains(&codes) {
            return Err(wrong());
        }
        let (codes, after) = after
            .split_at_checked(codes as usize * CODE_LEN)
            .ok_or_else(wrong)?;
        rest = after;
        let code = |bytes: &[u8; CODE_LEN]| -> Code {
            let value = |at: usize| std::array::from_fn(|i| bytes[4 * at + i]);
            std::array::from_fn(|at| f32::from_le_bytes(value(at)))
        };
        let codes: Vec<Code> = codes.as_chunks::<CODE_LEN>().0.iter().map(code).collect();
        if !codes.iter().flatten().all(|value| value.is_finite()) {
            return Err(wrong());
        }
        found.streams.push((number, codes));
    }
    if rest.is_empty() {
        Ok((part, parts, found))
    } else {
        Err(wrong())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint(columns: u32, streams: u64) -> Checkpoint {
        let learned = |number: u32| Learned {
            column: ColumnId::new(number * 3),
            prototype: std::array::from_fn(|at| (at as u16) << 3),
            learnings: u64::from(number) + 1,
        };
        let codes =
            |stream: u64| vec![[stream as f32; CODE_DIMENSION]; 1 + stream as usize % WINDOW];
        Checkpoint {
            columns: (0..columns).map(learned).collect(),
            streams: (0..streams).map(|stream| (stream, codes(stream))).collect(),
        }
    }

    #[test]
    fn checkpoints_come_back_from_their_parts() {
        for (columns, streams, parts) in [(0, 0, 1), (5, 3, 2), (4_097, 1_025, 4)] {
            let whole = checkpoint(columns, streams);
            let payloads = whole.encode();
            assert_eq!(payloads.len(), parts);
            let mut assembly = Assembly::default();
            // One that was not finished, and one of which the beginning is lost.
            assert!(assembly.take(&payloads[0]).is_ok());
            for (at, payload) in payloads.iter().enumerate() {
                let want = Taken {
                    begins: at == 0,
                    whole: (at + 1 == parts).then(|| whole.clone()),
                };
                assert_eq!(assembly.take(payload), Ok(want));
            }
            for payload in &payloads[1..] {
                assert_eq!(Assembly::default().take(payload), Ok(Taken::default()));
            }
        }
    }

    #[test]
    fn parts_that_are_cut_grown_or_wrong_are_refused() {
        let payload = checkpoint(2, 0).encode().swap_remove(0);
        for len in 0..payload.len() {
            assert!(decode(&payload[..len]).is_err(), "cut at {len}");
        }
        assert!(decode(&[&payload[..], &[0]].concat()).is_err());
        let streams = checkpoint(0, 9).encode().swap_remove(0);
        for bytes in [&payload, &streams] {
            for at in 0..bytes.len() {
                for value in [0, 1, 0x7f, 0x80, 0xff] {
                    let mut bad = bytes.clone();
                    bad[at] = value;
                    let _ = decode(&bad); // Without a panic.
                }
            }
        }
        let mut infinite = payload;
        infinite[HEAD_LEN + 17] = 0x7c;
        infinite[HEAD_LEN + 16] = 0;
        assert!(decode(&infinite).is_err());
    }
}
