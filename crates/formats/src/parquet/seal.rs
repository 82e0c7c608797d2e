//! The checksum over a whole Parquet file, which lies in its footer.
//!
//! It is the CRC-32 of all bytes of the file with the eight digits of the checksum itself counted as
//! zeros. The digits stand behind the last [`MARK`] of the footer: texts of the rows may be there too,
//! as least and largest values, but before the file's metadata.

use std::io::{self, Read, Seek, SeekFrom, Write};

use super::{MAGIC, ParquetError, READ_BYTES_MAX};

/// The key under which other programs see the checksum.
pub(super) const KEY: &str = "cortica.checksum";
/// What the digits stand behind.
const MARK: &[u8] = b"crc32:";
const DIGITS: usize = 8;
/// Behind the footer: its length, and the magic.
const TAIL: usize = 8;
/// Bytes read at once.
const PIECE: usize = 1 << 18;

/// The value under [`KEY`] before the checksum is known.
pub(super) fn blank() -> String {
    let mut value = String::from_utf8_lossy(MARK).into_owned();
    value.extend(['0'; DIGITS]);
    value
}

/// Where in a footer the digits of the checksum are.
fn digits_at(footer: &[u8]) -> Option<usize> {
    let mark = footer.windows(MARK.len()).rposition(|it| it == MARK)?;
    let at = mark + MARK.len();
    let digits = footer.get(at..at + DIGITS)?;
    let hex = |digit: &u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    digits.iter().all(hex).then_some(at)
}

/// Passes bytes on and counts them into the checksum, until it is told to hold the rest.
#[derive(Debug)]
pub(super) struct Sealing<W> {
    sink: W,
    sum: crc32fast::Hasher,
    held: Option<Vec<u8>>,
}

impl<W: Write> Sealing<W> {
    pub(super) fn new(sink: W) -> Sealing<W> {
        Sealing {
            sink,
            sum: crc32fast::Hasher::new(),
            held: None,
        }
    }

    /// From now on bytes are kept: the footer, whose digits are not known yet, follows.
    pub(super) fn hold(&mut self) {
        self.held = Some(Vec::new());
    }

    /// Fills the digits in and writes what was held.
    pub(super) fn finish(mut self) -> Result<W, ParquetError> {
        let mut held = self.held.take().unwrap_or_default();
        self.sum.update(&held);
        let at = digits_at(&held).ok_or(ParquetError::Unsealed)?;
        let digits = format!("{:08x}", self.sum.finalize());
        held[at..at + DIGITS].copy_from_slice(digits.as_bytes());
        self.sink.write_all(&held)?;
        self.sink.flush()?;
        Ok(self.sink)
    }
}

impl<W: Write> Write for Sealing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(held) = &mut self.held {
            held.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let written = self.sink.write(bytes)?;
        self.sum.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// Gives back the footer of a file of this length, if every byte of the file is as it was written.
/// Memory: the footer, and some KB.
pub(super) fn verified_footer(
    file: &mut (impl Read + Seek),
    length: u64,
) -> Result<Vec<u8>, ParquetError> {
    let mut magic = [0; MAGIC.len()];
    let whole = length >= MAGIC.len() as u64 + TAIL as u64;
    if length >= MAGIC.len() as u64 {
        file.read_exact(&mut magic)?;
    }
    if magic != *MAGIC {
        return Err(ParquetError::NotParquet);
    }
    if !whole {
        return Err(ParquetError::Unfinished);
    }
    let mut tail = [0; TAIL];
    file.seek(SeekFrom::End(-(TAIL as i64)))?;
    file.read_exact(&mut tail)?;
    let [a, b, c, d, ref end @ ..] = tail;
    if end != MAGIC {
        return Err(ParquetError::Unfinished);
    }
    let claimed = u64::from(u32::from_le_bytes([a, b, c, d]));
    let max = (length - TAIL as u64 - MAGIC.len() as u64).min(READ_BYTES_MAX);
    if claimed > max {
        return Err(ParquetError::FooterTooLarge { claimed, max });
    }
    let body = length - TAIL as u64 - claimed;
    let mut sum = crc32fast::Hasher::new();
    file.rewind()?;
    let mut piece = vec![0; body.min(PIECE as u64) as usize];
    let mut left = body;
    while left > 0 {
        let piece = &mut piece[..left.min(PIECE as u64) as usize];
        file.read_exact(piece)?;
        sum.update(piece);
        left -= piece.len() as u64;
    }
    let mut footer = vec![0; claimed as usize];
    file.read_exact(&mut footer)?;
    let at = digits_at(&footer).ok_or(ParquetError::Unsealed)?;
    let digits = at..at + DIGITS;
    let written = String::from_utf8_lossy(&footer[digits.clone()]).into_owned();
    let expected = u32::from_str_radix(&written, 16).map_err(|_| ParquetError::Unsealed)?;
    footer[digits].fill(b'0');
    sum.update(&footer);
    sum.update(&tail);
    let found = sum.finalize();
    if found != expected {
        return Err(ParquetError::Checksum { expected, found });
    }
    Ok(footer)
}
