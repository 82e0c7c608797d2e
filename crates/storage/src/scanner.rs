//! Reads a log file from front to back and says what stands where.

use crate::header::SEGMENT_HEADER_LEN;
use crate::record::checksums;
use crate::record::{
    ALIGNMENT, FORMAT_PLAIN, FORMAT_VERSION, HEADER_LEN, Header, MAGIC, PAYLOAD_MAX, Record,
};
use cortica_env::DiskFile;
use std::io;

/// How much is read ahead; a single record may need more.
const CHUNK: usize = 1 << 20;

/// What stands at the scanner's place.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A whole record; the scanner has moved behind it.
    Record(Record<'a>),
    /// A header with a right checksum that names another format.
    Version(u16),
    /// Not a record; its header, where that is whole and in its place.
    Bad {
        why: &'static str,
        header: Option<Header>,
    },
}

/// Which log positions the records of a file may have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Positions {
    /// Each that of its place in the file, whose records start at this position.
    Dense { start: u64 },
    /// Rising, from one to below another.
    Rising { from: u64, below: u64 },
}

/// Walks over the records of a log file.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    file: &'a dyn DiskFile,
    positions: Positions,
    /// File offset behind what may hold records.
    end: u64,
    offset: u64,
    window: Vec<u8>,
    window_from: u64,
}

impl<'a> Scanner<'a> {
    /// Starts behind the file's header. Looks no further than offset `end`.
    pub(crate) fn new(file: &'a dyn DiskFile, positions: Positions, end: u64) -> io::Result<Self> {
        Ok(Self {
            file,
            positions,
            end: file.len()?.min(end),
            offset: SEGMENT_HEADER_LEN as u64,
            window: Vec::new(),
            window_from: 0,
        })
    }

    /// File offset of the scanner's place.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// File offset behind what may hold records.
    pub(crate) fn end(&self) -> u64 {
        self.end
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
        let offset = self.offset;
        let bad = |why, header| Ok(Found::Bad { why, header });
        let Some(bytes) = self.bytes(offset, HEADER_LEN)?.first_chunk::<HEADER_LEN>() else {
            return bad("the file ends inside a record header", None);
        };
        let header = match Header::decode(bytes) {
            Ok(header) => header,
            Err(why) => return bad(why, None),
        };
        if !self.fits(&header) {
            return bad("this record belongs to another place in the log", None);
        }
        if !(FORMAT_PLAIN..=FORMAT_VERSION).contains(&header.version) {
            return Ok(Found::Version(header.version));
        }
        let length = header.length as usize;
        if length > PAYLOAD_MAX {
            return bad("the record's length is out of range", Some(header));
        }
        let payload = self.bytes(offset + HEADER_LEN as u64, length)?;
        if payload.len() < length {
            return bad("the file ends inside a record", Some(header));
        }
        let (embedding_crc, payload_crc) = checksums(header.entry.dimension, payload);
        if payload_crc != header.payload_crc {
            return bad("the record's checksum is wrong", Some(header));
        }
        self.offset = (offset + header.span()).min(self.end);
        if let Positions::Rising { from, .. } = &mut self.positions {
            *from = header.position + 1;
        }
        // Asked for again because the borrow must outlive the move; it is in the window.
        let payload = self.bytes(offset + HEADER_LEN as u64, length)?;
        Ok(Found::Record(Record {
            entry: header.entry,
            position: header.position,
            durable_to: header.durable_to,
            payload,
            embedding_crc,
            payload_crc,
            version: header.version,
            goes_on: header.goes_on,
        }))
    }

    fn fits(&self, header: &Header) -> bool {
        match self.positions {
            Positions::Dense { start } => {
                let inside = self.offset - SEGMENT_HEADER_LEN as u64;
                start.checked_add(inside) == Some(header.position)
            }
            Positions::Rising { from, below } => (from..below).contains(&header.position),
        }
    }

    /// Moves to the first whole record at or behind the scanner's place, and says whether there is
    /// one. Otherwise moves to the end.
    ///
    /// Where the header at the scanner's place is whole and leads to a record or to the end, what lies
    /// between is its payload, and not looked at: people store what they like, a record too.
    pub(crate) fn resync(&mut self) -> io::Result<bool> {
        if let Some(behind) = self.behind_bad()? {
            self.offset = behind;
        }
        while self.offset + HEADER_LEN as u64 <= self.end {
            let here = self.offset;
            let window = self.ahead(here)?;
            // Most of what is skipped is no magic number: looked at in one go.
            let magic = window
                .chunks_exact(ALIGNMENT as usize)
                .position(|chunk| chunk.starts_with(&MAGIC));
            let Some(at) = magic else {
                let whole = window.len() as u64 / ALIGNMENT * ALIGNMENT;
                self.offset += whole.max(ALIGNMENT);
                continue;
            };
            self.offset = here + at as u64 * ALIGNMENT;
            let (offset, positions) = (self.offset, self.positions);
            let whole = matches!(self.next()?, Found::Record(_) | Found::Version(_));
            (self.offset, self.positions) = (offset, positions);
            if whole {
                return Ok(true);
            }
            self.offset += ALIGNMENT;
        }
        self.offset = self.end;
        Ok(false)
    }

    /// The offset behind the bad record at the scanner's place, if its header is right about it.
    fn behind_bad(&mut self) -> io::Result<Option<u64>> {
        let (offset, positions) = (self.offset, self.positions);
        let header = match self.next()? {
            Found::Bad { header, .. } => header,
            Found::Record(_) | Found::Version(_) => None,
        };
        let behind = header.map(|header| offset + header.span());
        let right = match behind {
            Some(behind) if behind <= self.end => {
                let rest = self.bytes(behind, HEADER_LEN)?;
                let over = rest.iter().all(|&byte| byte == 0);
                self.offset = behind;
                over || matches!(self.next()?, Found::Record(_) | Found::Version(_))
            }
            _ => false,
        };
        (self.offset, self.positions) = (offset, positions);
        Ok(behind.filter(|_| right))
    }

    /// The offset behind the last byte that is not zero, at or after the scanner's place.
    pub(crate) fn used_until(&mut self) -> io::Result<u64> {
        let mut used = self.offset;
        let mut from = self.offset;
        while from < self.end {
            let chunk = self.ahead(from)?;
            if let Some(last) = chunk.iter().rposition(|&byte| byte != 0) {
                used = from + last as u64 + 1;
            }
            from += (chunk.len() as u64).max(1);
        }
        Ok(used)
    }

    /// What is read of the bytes at `offset`, at least enough for a magic number; fewer only at the
    /// end.
    fn ahead(&mut self, offset: u64) -> io::Result<&[u8]> {
        self.bytes(offset, ALIGNMENT as usize)?;
        let from = offset.saturating_sub(self.window_from) as usize;
        Ok(self.window.get(from..).unwrap_or_default())
    }

    /// Up to `len` bytes at `offset`; fewer only at the end.
    fn bytes(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        let available = self.end.saturating_sub(offset);
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
