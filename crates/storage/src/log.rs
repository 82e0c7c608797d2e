//! The log: recovery at open, then append and commit.

use crate::durability::Durability;
use crate::error::{AppendError, CommitError, OpenError};
use crate::folder::{Folder, LogOptions, OpenMode, SEGMENT_HEADER_LEN, Segment, io_error};
use crate::record::{
    ALIGNMENT, Entry, FORMAT_VERSION, HEADER_LEN, Header, KIND_MARK, PAYLOAD_MAX, Record,
};
use crate::recovery::{Found, Recovery, recover, set_aside, write_anew};
use cortica_env::{Disk, DiskFile, Open};
use std::io;
use std::path::Path;

/// The buffer's memory that is kept from one commit to the next.
const BUFFER_KEPT_MAX: usize = 32 << 20;

/// Under [`Durability::None`], records wait in memory until there are this many bytes of them.
const UNWRITTEN_MAX: usize = 1 << 20;

/// What a log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Bytes of whole records, those still in memory included.
    pub bytes: u64,
    /// Bytes on disk, reserved space included.
    pub file_bytes: u64,
    /// Bytes in memory that no commit has written yet.
    pub waiting_bytes: u64,
}

/// An open log. One process has it at a time; dropping it releases it.
#[derive(Debug)]
pub struct Log {
    file: Box<dyn DiskFile>,
    /// File offset behind the last byte that was written.
    written: u64,
    /// File offset up to which the bytes are durable.
    durable: u64,
    allocated: u64,
    reserve_bytes: u64,
    /// Bytes that follow `written`: first what was committed, then what was appended since.
    buffer: Vec<u8>,
    committed: usize,
    /// Whether the last record is a mark, which says that all before it is durable.
    marked: bool,
    stopped: bool,
    /// Last, because the lock must outlive the file.
    #[expect(dead_code, reason = "held, not read: it keeps the lock")]
    folder: Folder,
}

impl Log {
    /// Opens the log of the store at `dir`, showing every record to `visit` in order.
    ///
    /// A commit that never finished is cut off and counted; whole records in it are set aside in a
    /// file beside the log. Reads the log once; memory is bounded by the largest
    /// record. When `visit` refuses a record, the log does not open and names it.
    pub fn open(
        disk: &dyn Disk,
        dir: &Path,
        options: impl Into<LogOptions>,
        mut visit: impl FnMut(Record<'_>) -> Result<(), String>,
    ) -> Result<(Log, Recovery), OpenError> {
        let LogOptions {
            mode,
            reserve_bytes,
        } = options.into();
        let folder = Folder::open(disk, dir, mode)?;
        let path = folder.segment_path();
        let mut made_now = false;
        let (file, found) = match folder.open_segment(disk, Open::Write)? {
            Some(Segment { file, position }) => {
                let found = recover(&*file, position, &path, &mut visit)?;
                (file, found)
            }
            None if mode == OpenMode::MustExist => {
                return Err(OpenError::Missing {
                    path: dir.to_owned(),
                });
            }
            None => {
                let file = folder.create_segment(disk)?;
                made_now = true;
                (file, Found::nothing())
            }
        };
        let aside = match found.whole_behind {
            0 => None,
            _ => Some(set_aside(disk, &*file, &path, &found)?),
        };
        let end = found.end;
        if found.recovery.dropped_tail_bytes > 0 {
            // Left in place, the torn bytes could line up behind records written from now on.
            file.set_len(end).map_err(io_error("cut", &path))?;
        }
        // What no record proves durable may lie in the page cache only. A sync alone is not enough:
        // where an earlier sync failed, the kernel may take the lost bytes for written.
        let proven = SEGMENT_HEADER_LEN as u64 + found.proven;
        write_anew(&*file, proven, end).map_err(io_error("write", &path))?;
        file.sync().map_err(io_error("sync", &path))?;
        let marked_made = folder.mark_made(disk);
        if made_now {
            marked_made?; // For a store that was there before it can wait for another time.
        }
        let allocated = file.len().map_err(io_error("measure", &path))?;
        let log = Log {
            file,
            written: end,
            durable: end,
            allocated,
            reserve_bytes,
            buffer: Vec::new(),
            committed: 0,
            marked: found.marked,
            stopped: false,
            folder,
        };
        let recovery = Recovery {
            set_aside_records: found.whole_behind,
            set_aside: aside,
            ..found.recovery
        };
        Ok((log, recovery))
    }

    /// Adds a record to the next commit. `write` appends the payload, at most
    /// [`PAYLOAD_MAX`] bytes, to the buffer it is given. Returns the record's log position.
    pub fn append(
        &mut self,
        entry: Entry,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, AppendError> {
        if entry.kind == KIND_MARK {
            return Err(AppendError::ReservedKind);
        }
        self.append_record(entry, write)
    }

    fn append_record(
        &mut self,
        entry: Entry,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<u64, AppendError> {
        let start = self.buffer.len();
        let position = self.position(start);
        self.buffer.extend_from_slice(&[0; HEADER_LEN]);
        write(&mut self.buffer);
        let payload = &self.buffer[start + HEADER_LEN..];
        let got = payload.len();
        if got > PAYLOAD_MAX {
            self.buffer.truncate(start);
            return Err(AppendError::TooLarge {
                got,
                max: PAYLOAD_MAX,
            });
        }
        let header = Header {
            version: FORMAT_VERSION,
            entry,
            position,
            durable_to: self.durable - SEGMENT_HEADER_LEN as u64,
            length: got as u32,
            payload_crc: crc32fast::hash(payload),
        };
        self.buffer[start..start + HEADER_LEN].copy_from_slice(&header.encode());
        self.buffer
            .resize(self.buffer.len().next_multiple_of(ALIGNMENT as usize), 0);
        Ok(position)
    }

    /// Forgets what was appended since the last commit.
    pub fn rollback(&mut self) {
        self.buffer.truncate(self.committed);
    }

    /// Makes the appended records part of the log: one write and, for
    /// [`Durability::Durable`], one sync. Returns what was reached, which is what was asked for.
    ///
    /// After an error nothing more is written: every later commit answers
    /// [`CommitError::Stopped`], and the records of this one count as not stored.
    pub fn commit(&mut self, durability: Durability) -> Result<Durability, CommitError> {
        if self.stopped {
            self.rollback();
            return Err(CommitError::Stopped);
        }
        self.committed = self.buffer.len();
        let done = match durability {
            Durability::None if self.buffer.len() < UNWRITTEN_MAX => Ok(()),
            Durability::None | Durability::Buffered => self.write(),
            Durability::Durable => self.write().and_then(|()| self.sync()),
        };
        match done {
            Ok(()) => Ok(durability),
            Err((action, source)) => {
                self.stopped = true;
                self.buffer.clear();
                self.committed = 0;
                Err(CommitError::Io { action, source })
            }
        }
    }

    /// Hands what was appended to the operating system as the first part of a larger commit, so
    /// that memory stays bounded and the disk can start on it. The commit that follows, at
    /// `durability`, covers it; until then nothing is promised.
    ///
    /// Errors as [`commit`](Self::commit).
    pub fn commit_part(&mut self, durability: Durability) -> Result<(), CommitError> {
        let from = self.written;
        self.commit(durability.min(Durability::Buffered))?;
        if durability == Durability::Durable {
            self.file.start_sync(from, self.written - from);
        }
        Ok(())
    }

    /// Bytes that wait in memory for a commit to write them.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// What the log holds.
    pub fn stats(&self) -> LogStats {
        LogStats {
            bytes: self.position(self.committed),
            file_bytes: self.allocated.max(self.written),
            waiting_bytes: self.buffer.len() as u64,
        }
    }

    /// Writes and syncs all that was committed, returns reserved space, and releases the lock.
    pub fn close(mut self) -> Result<(), CommitError> {
        self.rollback();
        self.commit(Durability::Durable)?;
        if !self.marked {
            // Tells the next open that all before is durable and need not be written anew. It
            // promises nothing to anybody, so a disk without room for it is no error.
            let mark = Entry {
                space: 0,
                kind: KIND_MARK,
                dimension: 0,
                seq: 0,
            };
            if self.append_record(mark, |_| ()).is_ok() {
                let _ = self.commit(Durability::Durable);
            }
        }
        let trimmed = self.trim().and_then(|()| {
            // The cut must not be undone by a power cut: behind it may be anything.
            self.file.sync().map_err(|error| ("sync", error))
        });
        self.stopped = true; // Nothing is left for `drop` to do.
        trimmed.map_err(|(action, source)| CommitError::Io { action, source })
    }

    fn position(&self, in_buffer: usize) -> u64 {
        self.written - SEGMENT_HEADER_LEN as u64 + in_buffer as u64
    }

    fn write(&mut self) -> Result<(), (&'static str, io::Error)> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let end = self.written + self.buffer.len() as u64;
        if end > self.allocated {
            let roomy = end + self.reserve_bytes;
            self.allocated = match self.file.allocate(roomy) {
                Ok(()) => roomy,
                Err(error) if is_full(&error) => {
                    // Nearly full: only what these records need.
                    let tight = self.file.allocate(end);
                    tight.map_err(|error| ("reserve space for", error))?;
                    end
                }
                Err(error) => return Err(("reserve space for", error)),
            };
        }
        self.file
            .write_at(&self.buffer, self.written)
            .map_err(|error| ("write", error))?;
        self.written = end;
        self.marked = false;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_MAX);
        self.committed = 0;
        Ok(())
    }

    fn sync(&mut self) -> Result<(), (&'static str, io::Error)> {
        if self.durable < self.written {
            self.file.sync().map_err(|error| ("sync", error))?;
            self.durable = self.written;
        }
        Ok(())
    }

    fn trim(&mut self) -> Result<(), (&'static str, io::Error)> {
        if self.allocated > self.written {
            self.file
                .set_len(self.written)
                .map_err(|error| ("cut", error))?;
            self.allocated = self.written;
        }
        Ok(())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if !self.stopped {
            self.rollback();
            // Nobody is left to hear of an error, and nothing that was promised depends on it.
            let _ = self.write().and_then(|()| self.trim());
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}
