//! Reads a segment from front to back and says what stands where.

use crate::record::{ALIGNMENT, HEADER_LEN, Header, MAGIC, PAYLOAD_MAX, Record};
use cortica_env::DiskFile;
use std::io;

/// How much is read ahead; a single record may need more.
const CHUNK: usize = 1 << 20;

/// What stands at the scanner's place.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A whole record; the scanner has moved behind it.
    Record(Record<'a>),
    /// A header with a right checksum that names a later format.
    Newer { version: u16 },
    /// Not a record.
    Bad { why: &'static str },
}

/// Walks over the records of a segment file.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    file_len: u64,
    /// Log position of file offset 0.
    origin: u64,
    offset: u64,
    window: Vec<u8>,
    window_from: u64,
}

impl<'a> Scanner<'a> {
    /// Starts at file offset `offset`, which is log position `position`.
    pub(crate) fn new(file: &'a dyn DiskFile, offset: u64, position: u64) -> io::Result<Self> {
        let file_len = file.len()?;
        let origin = position.wrapping_sub(offset);
        Ok(Self {
            file,
            file_len,
            origin,
            offset,
            window: Vec::new(),
            window_from: 0,
        })
    }

    /// File offset of the scanner's place.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Log position of the scanner's place.
    pub(crate) fn position(&self) -> u64 {
        self.origin.wrapping_add(self.offset)
    }

    /// Moves to a file offset where something may start.
    pub(crate) fn move_to(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Moves on by the least distance between two records' starts.
    pub(crate) fn step(&mut self) {
        self.offset += ALIGNMENT;
    }

    /// The record at the scanner's place, if there is one.
    pub(crate) fn next(&mut self) -> io::Result<Found<'_>> {
        let (offset, position) = (self.offset, self.position());
        let Some(bytes) = self.bytes(offset, HEADER_LEN)?.first_chunk::<HEADER_LEN>() else {
            return Ok(Found::Bad {
                why: "the file ends inside a record header",
            });
        };
        let header = match Header::decode(bytes) {
            Ok(header) => header,
            Err(why) => return Ok(Found::Bad { why }),
        };
        if header.position != position {
            return Ok(Found::Bad {
                why: "this record belongs to another place in the log",
            });
        }
        if header.version > crate::record::FORMAT_VERSION {
            return Ok(Found::Newer {
                version: header.version,
            });
        }
        let length = header.length as usize;
        if length > PAYLOAD_MAX {
            return Ok(Found::Bad {
                why: "the record's length is out of range",
            });
        }
        let payload = self.bytes(offset + HEADER_LEN as u64, length)?;
        if payload.len() < length {
            return Ok(Found::Bad {
                why: "the file ends inside a record",
            });
        }
        if crc32fast::hash(payload) != header.payload_crc {
            return Ok(Found::Bad {
                why: "the record's checksum is wrong",
            });
        }
        self.offset = (offset + header.span()).min(self.file_len);
        // Asked for again because the borrow must outlive the move; it is in the window.
        let payload = self.bytes(offset + HEADER_LEN as u64, length)?;
        Ok(Found::Record(Record {
            entry: header.entry,
            position,
            durable_to: header.durable_to,
            payload,
        }))
    }

    /// Moves to the first whole record at or behind the scanner's place, and says whether there is
    /// one.
    pub(crate) fn resync(&mut self) -> io::Result<bool> {
        while self.offset + HEADER_LEN as u64 <= self.file_len {
            let here = self.offset;
            if self.bytes(here, MAGIC.len())? == MAGIC {
                let whole = matches!(self.next()?, Found::Record(_) | Found::Newer { .. });
                self.offset = here;
                if whole {
                    return Ok(true);
                }
            }
            self.offset += ALIGNMENT;
        }
        self.offset = self.file_len;
        Ok(false)
    }

    /// The offset behind the last byte that is not zero, at or after the scanner's place.
    pub(crate) fn used_until(&mut self) -> io::Result<u64> {
        let mut used = self.offset;
        let mut from = self.offset;
        while from < self.file_len {
            let chunk = self.bytes(from, CHUNK)?;
            if let Some(last) = chunk.iter().rposition(|&byte| byte != 0) {
                used = from + last as u64 + 1;
            }
            from += (chunk.len() as u64).max(1);
        }
        Ok(used)
    }

    /// Up to `len` bytes at `offset`; fewer only at the end of the file.
    fn bytes(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let available = self.file_len.saturating_sub(offset);
        let len = (len as u64).min(available) as usize;
        let inside = offset >= self.window_from
            && offset + len as u64 <= self.window_from + self.window.len() as u64;
        if !inside {
            let want = (len.max(CHUNK) as u64).min(available) as usize;
            self.window.resize(want, 0);
            let read = self.file.read_at(&mut self.window, offset)?;
            self.window.truncate(read);
            self.window_from = offset;
        }
        let from = (offset - self.window_from) as usize;
        let to = (from + len).min(self.window.len());
        Ok(&self.window[from.min(to)..to])
    }
}
