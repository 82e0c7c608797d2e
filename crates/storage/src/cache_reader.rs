//! Reads a cache file, and gives out nothing that was not verified.

use crate::cache::{BLOCK, CacheError, CacheHeader, CacheKind, HEADER, cache_path};
use crate::folder::io_error;
use crate::log::Log;
use crate::record::u32_at;
use cortica_env::{DiskFile, Mapped, Open};
use std::io::{self, Read};
use std::ops::Deref;
use std::path::PathBuf;

/// Bytes that are read at once: whole blocks.
const PIECE: usize = 64 * BLOCK;

/// A cache whose header is whole. Its payload comes all at once, or through [`io::Read`] piece by
/// piece, each verified before it is given out. Whoever reads it in pieces must throw away what was
/// made of them when a later one turns out to be damaged.
#[derive(Debug)]
pub struct CacheReader {
    path: PathBuf,
    file: Box<dyn DiskFile>,
    header: CacheHeader,
    table: Vec<u8>,
    /// Bytes of the payload that were read from the file.
    read: u64,
    piece: Vec<u8>,
    /// How many of the piece's bytes were given out.
    given: usize,
}

impl Log {
    /// Opens a cache of this log. One that cannot be used is an error that says why: make it anew.
    ///
    /// It stands for all of the log before its [position](CacheReader::position), which may be less
    /// than there is by now. It never stands for something that is not in the log: such a one is
    /// refused.
    pub fn open_cache(&self, kind: CacheKind) -> Result<CacheReader, CacheError> {
        if self.stats().damaged > 0 {
            return Err(CacheError::LogDamaged);
        }
        let path = cache_path(&self.folder, kind)?;
        let file = match self.disk.open(&path, Open::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(CacheError::Missing { path });
            }
            Err(error) => return Err(io_error("open", &path)(error).into()),
        };
        let header = CacheHeader::read(&path, &*file)?;
        header.check_format(&path, kind.format)?;
        if header.position > self.durable_to() {
            return Err(CacheError::Ahead {
                path,
                position: header.position,
                end: self.durable_to(),
            });
        }
        CacheReader::of(path, file, header)
    }
}

impl CacheReader {
    /// Reads the table of a file whose header is whole.
    pub(crate) fn of(
        path: PathBuf,
        file: Box<dyn DiskFile>,
        header: CacheHeader,
    ) -> Result<CacheReader, CacheError> {
        // Bounded by the file's length, which the header was held against.
        let mut table = vec![0; (header.length.div_ceil(BLOCK as u64) * 4) as usize];
        let read = file
            .read_at(&mut table, HEADER as u64 + header.length)
            .map_err(io_error("read", &path))?;
        if read < table.len() || crc32fast::hash(&table) != header.table_crc {
            let why = "its table of checksums is not as it was written";
            return Err(CacheError::Damaged { path, why });
        }
        Ok(CacheReader {
            path,
            file,
            header,
            table,
            read: 0,
            piece: Vec::new(),
            given: 0,
        })
    }

    /// The log position it stands for.
    pub fn position(&self) -> u64 {
        self.header.position
    }

    /// What the writer gave as fingerprint.
    pub fn fingerprint(&self) -> u64 {
        self.header.fingerprint
    }

    /// The payload's length in bytes.
    pub fn payload_len(&self) -> u64 {
        self.header.length
    }

    /// The whole payload, or what is left of it after some was read.
    pub fn into_payload(mut self) -> Result<Vec<u8>, CacheError> {
        let waiting = self.piece.split_off(self.given);
        let left = (self.header.length - self.read) as usize;
        let mut payload = waiting;
        payload.reserve_exact(left);
        let from = payload.len();
        payload.resize(from + left, 0);
        self.fill(&mut payload[from..])?;
        Ok(payload)
    }

    /// Reads the next piece in the place of the one before, and says how long it is; 0 at the end.
    pub(crate) fn next_piece(&mut self) -> Result<usize, CacheError> {
        let left = self.header.length - self.read;
        let mut piece = std::mem::take(&mut self.piece);
        piece.resize(PIECE.min(left as usize), 0);
        self.given = 0;
        self.fill(&mut piece)?;
        self.piece = piece;
        Ok(self.piece.len())
    }

    /// The whole payload, whatever was read before, as it lies in the file: [mapped](DiskFile::map)
    /// where the disk can do that. All of it is verified first. A cache gets its name when it is
    /// whole and is only ever replaced by another, so what is mapped is not changed or cut.
    pub fn into_mapped(self) -> Result<MappedPayload, CacheError> {
        let damaged = |why| CacheError::Damaged {
            path: self.path.clone(),
            why,
        };
        let mapped = self.file.map().map_err(io_error("map", &self.path))?;
        // As long as the header says, when it was opened.
        let Some(payload) = mapped.get(HEADER..HEADER + self.header.length as usize) else {
            return Err(damaged("it became shorter while it was read"));
        };
        check_blocks(payload, &self.table).map_err(damaged)?;
        Ok(MappedPayload {
            mapped,
            length: self.header.length as usize,
        })
    }

    /// Reads the next bytes of the payload, whole blocks but for its end, and verifies them.
    fn fill(&mut self, into: &mut [u8]) -> Result<(), CacheError> {
        let damaged = |why| CacheError::Damaged {
            path: self.path.clone(),
            why,
        };
        let at = HEADER as u64 + self.read;
        let got = self.file.read_at(into, at);
        if got.map_err(io_error("read", &self.path))? < into.len() {
            return Err(damaged("it became shorter while it was read"));
        }
        let first = (self.read / BLOCK as u64) as usize;
        let table = self.table.get(4 * first..).unwrap_or_default();
        check_blocks(into, table).map_err(damaged)?;
        self.read += into.len() as u64;
        Ok(())
    }
}

/// Holds whole blocks, but for the last, against their checksums.
fn check_blocks(bytes: &[u8], table: &[u8]) -> Result<(), &'static str> {
    for (block, crc) in bytes.chunks(BLOCK).zip(table.chunks(4)) {
        if crc32fast::hash(block) != u32_at(crc, 0) {
            return Err("a block is not as it was written");
        }
    }
    Ok(())
}

/// A cache's payload where it lies, verified.
#[derive(Debug)]
pub struct MappedPayload {
    mapped: Mapped,
    length: usize,
}

impl Deref for MappedPayload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        let payload = self.mapped.get(HEADER..HEADER + self.length);
        payload.unwrap_or_default() // It was there when this was made, and maps stay as they are.
    }
}

impl Read for CacheReader {
    /// A damaged block is an error of the kind [`io::ErrorKind::InvalidData`] that holds a
    /// [`CacheError`].
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.piece.len() {
            self.next_piece()
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        }
        let taken = buffer.len().min(self.piece.len() - self.given);
        buffer[..taken].copy_from_slice(&self.piece[self.given..][..taken]);
        self.given += taken;
        Ok(taken)
    }
}
