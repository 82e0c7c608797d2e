//! Writes a cache file, block by block.

use crate::cache::{BLOCK, CacheError, CacheHeader, CacheKind, HEADER, cache_path};
use crate::error::CommitError;
use crate::folder::{Folder, create_anew, io_error};
use crate::log::Log;
use cortica_env::{Disk, DiskFile};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that are written at once: whole blocks.
const PIECE: usize = 256 * BLOCK;

/// A position that the log will never fall behind, for a cache to stand for. The store stays locked
/// for as long as this is there.
#[derive(Clone, Debug)]
pub struct CachePoint {
    position: u64,
    disk: Arc<dyn Disk>,
    folder: Arc<Folder>,
}

/// A cache on its way to the disk; give it the payload with [`io::Write`]. It counts when it is
/// [finished](CacheWriter::finish); dropped before, it is removed.
#[derive(Debug)]
pub struct CacheWriter {
    kind: CacheKind,
    point: CachePoint,
    path: PathBuf,
    new: PathBuf,
    file: Box<dyn DiskFile>,
    header: CacheHeader,
    /// Payload that is not written yet.
    buffer: Vec<u8>,
    /// The checksums of the blocks before it.
    table: Vec<u8>,
    placed: bool,
}

impl Log {
    /// Makes all that was committed durable, and names the position behind it. What was appended
    /// and not committed is forgotten.
    ///
    /// A cache may stand for this position if what it holds was made from all that was committed by
    /// now and from nothing that is committed later. To write it needs no log.
    pub fn cache_point(&mut self) -> Result<CachePoint, CommitError> {
        self.check_halt()?;
        self.rollback();
        self.make_durable()?;
        Ok(CachePoint {
            // The parts of a commit that is not yet whole may still be taken back.
            position: self.parts_from.unwrap_or(self.written),
            disk: self.disk.clone(),
            folder: self.folder.clone(),
        })
    }
}

impl CachePoint {
    /// The log position.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Begins a cache that stands for this position. `fingerprint` is kept beside it: let it be
    /// something about the state at this position that the reader can compute too.
    pub fn create(&self, kind: CacheKind, fingerprint: u64) -> Result<CacheWriter, CacheError> {
        let path = cache_path(&self.folder, kind)?;
        let mut writing = self.folder.writing();
        if writing.open.contains_key(kind.name) {
            return Err(CacheError::Busy { path });
        }
        if self.position < writing.from {
            return Err(CacheError::Overtaken { path });
        }
        let dir = self.folder.cache_dir();
        let disk = &*self.disk;
        disk.create_dir_all(&dir)
            .map_err(io_error("make the folder", &dir))?;
        let new = path.with_extension("cache.new");
        let file =
            create_anew(disk, &new).map_err(|(action, error)| io_error(action, &new)(error))?;
        writing.open.insert(kind.name, self.position);
        Ok(CacheWriter {
            kind,
            point: self.clone(),
            path,
            new,
            file,
            header: CacheHeader {
                format: kind.format,
                position: self.position,
                fingerprint,
                length: 0,
                table_crc: 0,
            },
            buffer: Vec::new(),
            table: Vec::new(),
            placed: false,
        })
    }
}

impl CacheWriter {
    /// Puts the cache in the place of the one before, durably. Returns the file's length in bytes.
    ///
    /// An error leaves the one before, or none. It says nothing about the log.
    pub fn finish(mut self) -> Result<u64, CacheError> {
        let written = self.write_out().and_then(|()| {
            self.header.table_crc = crc32fast::hash(&self.table);
            let end = HEADER as u64 + self.header.length;
            self.file.write_at(&self.table, end)?;
            self.file.write_at(&self.header.encode(), 0)?;
            self.file.sync()
        });
        written.map_err(io_error("write", &self.new))?;
        let writing = self.point.folder.writing();
        if self.header.position < writing.from {
            drop(writing);
            return Err(CacheError::Overtaken {
                path: self.path.clone(),
            });
        }
        let disk = &*self.point.disk;
        disk.rename(&self.new, &self.path)
            .map_err(io_error("move", &self.new))?;
        drop(writing);
        self.placed = true;
        // Its own folder, and the one above, because that may be new.
        let dir = self.point.folder.cache_dir();
        for dir in [&*dir, self.point.folder.dir()] {
            disk.sync_dir(dir)
                .map_err(io_error("sync the folder", dir))?;
        }
        Ok(HEADER as u64 + self.header.length + self.table.len() as u64)
    }

    /// Writes what waits; unless it is the end, whole blocks.
    fn write_out(&mut self) -> io::Result<()> {
        for block in self.buffer.chunks(BLOCK) {
            self.table
                .extend_from_slice(&crc32fast::hash(block).to_le_bytes());
        }
        let at = HEADER as u64 + self.header.length;
        self.file.write_at(&self.buffer, at)?;
        self.file.start_sync(at, self.buffer.len() as u64);
        self.header.length += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Write for CacheWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == PIECE {
            self.write_out()?;
        }
        let taken = bytes.len().min(PIECE - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..taken]);
        Ok(taken)
    }

    /// Does nothing: a cache is of use when it is whole.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for CacheWriter {
    fn drop(&mut self) {
        if !self.placed {
            // Left behind, it is removed by the next opening.
            let _ = self.point.disk.remove(&self.new);
        }
        self.point.folder.writing().open.remove(self.kind.name);
    }
}
