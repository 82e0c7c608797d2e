//! The log: recovery at open, then append and commit.

use crate::durability::Durability;
use crate::error::{AppendError, CommitError, OpenError};
use crate::folder::{Folder, LogOptions, OpenMode, SEGMENT_HEADER_LEN, Segment, io_error};
use crate::record::{
    ALIGNMENT, Entry, FORMAT_VERSION, HEADER_LEN, Header, KIND_MARK, PAYLOAD_MAX, Record,
};
use crate::scanner::{Found as Scanned, Scanner};
use cortica_env::{Disk, DiskFile, Open};
use std::io;
use std::path::Path;

/// How much is copied at a time when the end of the log is written anew.
const COPY_BYTES: usize = 1 << 20;

/// The buffer's memory that is kept from one commit to the next.
const BUFFER_KEPT_MAX: usize = 32 << 20;

/// Under [`Durability::None`], records wait in memory until there are this many bytes of them.
const UNWRITTEN_MAX: usize = 1 << 20;

/// What opening a log found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Whole records.
    pub records: u64,
    /// Bytes after the last whole record that were cut off: a commit that never finished.
    pub dropped_tail_bytes: u64,
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
    /// A torn tail is cut off and counted. Reads the log once; memory is bounded by the largest
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
                (file, Found::nothing())
            }
        };
        let (recovery, end) = (found.recovery, found.end);
        if recovery.dropped_tail_bytes > 0 {
            tracing::warn!(
                bytes = recovery.dropped_tail_bytes,
                "dropped an unfinished commit at the end of the log"
            );
            // Left in place, the torn bytes could line up behind records written from now on.
            file.set_len(end).map_err(io_error("cut", &path))?;
        }
        // What no record proves durable may lie in the page cache only. A sync alone is not enough:
        // where an earlier sync failed, the kernel may take the lost bytes for written.
        let proven = SEGMENT_HEADER_LEN as u64 + found.proven;
        write_anew(&*file, proven, end).map_err(io_error("write", &path))?;
        file.sync().map_err(io_error("sync", &path))?;
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
                tracing::error!(action, %source, "the log failed; writing stops");
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

    /// Bytes of whole records in the log, those still in memory included.
    pub fn bytes(&self) -> u64 {
        self.position(self.committed)
    }

    /// Bytes the log takes on disk, reserved space included.
    pub fn file_bytes(&self) -> u64 {
        self.allocated.max(self.written)
    }

    /// Writes and syncs all that was committed, returns reserved space, and releases the lock.
    pub fn close(mut self) -> Result<(), CommitError> {
        self.rollback();
        self.commit(Durability::Durable)?;
        if !self.marked {
            // Tells the next open that all before is durable and need not be written anew.
            let mark = Entry {
                space: 0,
                kind: KIND_MARK,
                dimension: 0,
                seq: 0,
            };
            if self.append_record(mark, |_| ()).is_ok() {
                self.commit(Durability::Durable)?;
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
            let allocated = end + self.reserve_bytes;
            self.file
                .allocate(allocated)
                .map_err(|error| ("reserve space for", error))?;
            self.allocated = allocated;
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

/// What recovery found.
struct Found {
    recovery: Recovery,
    /// File offset behind the last whole record.
    end: u64,
    /// Log position up to which the records themselves prove the log durable.
    proven: u64,
    /// Whether the last record is a mark.
    marked: bool,
}

impl Found {
    fn nothing() -> Self {
        let end = SEGMENT_HEADER_LEN as u64;
        Self {
            recovery: Recovery::default(),
            end,
            proven: 0,
            marked: false,
        }
    }
}

/// Shows every record to `visit`.
fn recover(
    file: &dyn DiskFile,
    position: u64,
    path: &Path,
    visit: &mut dyn FnMut(Record<'_>) -> Result<(), String>,
) -> Result<Found, OpenError> {
    let read = |error| io_error("read", path)(error);
    let corrupt = |offset, why: String| OpenError::Corrupt {
        path: path.to_owned(),
        offset,
        why,
    };
    let mut scanner = Scanner::new(file, SEGMENT_HEADER_LEN as u64, position).map_err(read)?;
    let mut found = Found::nothing();
    let (end_position, why) = loop {
        let (offset, position) = (scanner.offset(), scanner.position());
        match scanner.next().map_err(read)? {
            Scanned::Record(record) => {
                found.proven = found.proven.max(record.durable_to.min(position));
                found.marked = record.entry.kind == KIND_MARK;
                if !found.marked {
                    found.recovery.records += 1;
                    visit(record).map_err(|why| corrupt(offset, why))?;
                }
            }
            Scanned::Newer { version } => {
                return Err(OpenError::NewerFormat {
                    path: path.to_owned(),
                    found: u32::from(version),
                    supported: u32::from(FORMAT_VERSION),
                });
            }
            Scanned::Bad { why } => {
                found.end = offset;
                break (position, why);
            }
        }
    };
    let used = scanner.used_until().map_err(read)?;
    found.recovery.dropped_tail_bytes = used - found.end;
    // Records behind the bad place are an unfinished commit whose parts reached the disk out of
    // order, unless one of them was written after the bad place had become durable.
    while used > found.end && scanner.resync().map_err(read)? {
        if let Scanned::Record(record) = scanner.next().map_err(read)?
            && record.durable_to > end_position
        {
            return Err(corrupt(found.end, why.to_owned()));
        }
    }
    Ok(found)
}

/// Reads the bytes from `from` to `to` and writes them where they are.
fn write_anew(file: &dyn DiskFile, mut from: u64, to: u64) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES.min(to.saturating_sub(from) as usize)];
    while from < to {
        let len = buffer.len().min((to - from) as usize);
        let read = file.read_at(&mut buffer[..len], from)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        file.write_at(&buffer[..read], from)?;
        from += read as u64;
    }
    Ok(())
}
