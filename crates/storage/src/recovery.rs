//! What a log's file turns out to hold when it is opened.

use crate::error::OpenError;
use crate::folder::{SEGMENT_HEADER_LEN, io_error};
use crate::record::{FORMAT_VERSION, KIND_MARK, Record};
use crate::scanner::{Found as Scanned, Scanner};
use cortica_env::{Disk, DiskFile, Open};
use std::io;
use std::path::{Path, PathBuf};

/// How much is copied at a time.
const COPY_BYTES: usize = 1 << 20;

/// What opening a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Whole records.
    pub records: u64,
    /// Bytes after the last whole record that were cut off: a commit that never finished, or the
    /// last one before a crash, damaged since.
    pub dropped_tail_bytes: u64,
    /// Whole records among those bytes.
    pub set_aside_records: u64,
    /// The file that keeps those bytes, if there were whole records among them.
    pub set_aside: Option<PathBuf>,
}

/// What recovery found.
pub(crate) struct Found {
    pub(crate) recovery: Recovery,
    /// File offset behind the last whole record.
    pub(crate) end: u64,
    /// Log position behind the last whole record.
    pub(crate) end_position: u64,
    /// Log position up to which the records themselves prove the log durable.
    pub(crate) proven: u64,
    /// Whether the last record is a mark.
    pub(crate) marked: bool,
    /// Whole records behind `end`, where nothing proves that what precedes them was durable.
    pub(crate) whole_behind: u64,
}

impl Found {
    pub(crate) fn nothing() -> Self {
        Self {
            recovery: Recovery::default(),
            end: SEGMENT_HEADER_LEN as u64,
            end_position: 0,
            proven: 0,
            marked: false,
            whole_behind: 0,
        }
    }
}

/// What lies behind a place where no record starts.
pub(crate) struct Tail {
    /// File offset behind its last byte that is not zero.
    pub(crate) used: u64,
    /// Whole records in it.
    pub(crate) whole: u64,
    /// Whether one of them was written after the bad place had become durable: then the place is
    /// damaged. Otherwise it is the end of a commit that never finished, whose parts may have
    /// reached the disk out of order.
    pub(crate) damaged: bool,
    /// The version of a record in it that a later release wrote.
    pub(crate) newer: Option<u16>,
}

impl Tail {
    /// Judges what lies behind the scanner's place, and leaves the scanner there.
    pub(crate) fn behind(scanner: &mut Scanner<'_>) -> io::Result<Tail> {
        let (offset, position) = (scanner.offset(), scanner.position());
        let used = scanner.used_until()?;
        let mut tail = Tail {
            used,
            whole: 0,
            damaged: false,
            newer: None,
        };
        while used > offset && scanner.resync()? {
            match scanner.next()? {
                Scanned::Record(record) => {
                    tail.whole += u64::from(record.entry.kind != KIND_MARK);
                    tail.damaged |= record.durable_to > position;
                    // Its last bytes may be zeros, and belong to it all the same.
                    tail.used = tail.used.max(scanner.offset());
                }
                Scanned::Newer { version } => {
                    // Its header is whole, but this build cannot know where it ends.
                    tail.newer = Some(version);
                    scanner.step();
                }
                Scanned::Bad { .. } => scanner.step(),
            }
        }
        scanner.move_to(offset);
        Ok(tail)
    }
}

/// Shows every record to `visit`.
pub(crate) fn recover(
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
    let why = loop {
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
                return Err(newer(path, version));
            }
            Scanned::Bad { why } => {
                (found.end, found.end_position) = (offset, position);
                break why;
            }
        }
    };
    let tail = Tail::behind(&mut scanner).map_err(read)?;
    if let Some(version) = tail.newer {
        return Err(newer(path, version));
    }
    if tail.damaged {
        return Err(corrupt(found.end, why.to_owned()));
    }
    found.recovery.dropped_tail_bytes = tail.used - found.end;
    found.whole_behind = tail.whole;
    Ok(found)
}

/// The refusal of a record that a later release wrote.
pub(crate) fn newer(path: &Path, version: u16) -> OpenError {
    OpenError::NewerFormat {
        path: path.to_owned(),
        found: u32::from(version),
        supported: u32::from(FORMAT_VERSION),
    }
}

/// Keeps the bytes behind the last whole record in a file of their own, durable when this returns.
pub(crate) fn set_aside(
    disk: &dyn Disk,
    file: &dyn DiskFile,
    path: &Path,
    found: &Found,
) -> Result<PathBuf, OpenError> {
    let dir = path.parent().unwrap_or(Path::new(""));
    for attempt in 0..u32::MAX {
        let name = format!("{:020}-{attempt}.dropped", found.end_position);
        let aside = dir.join(name);
        let copy = match disk.open(&aside, Open::CreateNew) {
            Ok(copy) => copy,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            Err(error) => return Err(io_error("create", &aside)(error)),
        };
        let (from, to) = (found.end, found.end + found.recovery.dropped_tail_bytes);
        let copied = copy_range(file, from, to, |bytes, at| copy.write_at(bytes, at - from))
            .and_then(|()| copy.sync());
        if let Err(error) = copied {
            // A part of the bytes under this name would pass for all of them.
            let _ = disk.remove(&aside);
            return Err(io_error("write", &aside)(error));
        }
        disk.sync_dir(dir)
            .map_err(io_error("sync the folder", dir))?;
        return Ok(aside);
    }
    Err(io_error("create a file in", dir)(
        io::ErrorKind::AlreadyExists.into(),
    ))
}

/// Reads the bytes from `from` to `to` and writes them where they are.
pub(crate) fn write_anew(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    copy_range(file, from, to, |bytes, at| file.write_at(bytes, at))
}

/// Reads the bytes from `from` to `to` and shows them to `write` with their offset.
fn copy_range(
    file: &dyn DiskFile,
    mut from: u64,
    to: u64,
    write: impl Fn(&[u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; COPY_BYTES.min(to.saturating_sub(from) as usize)];
    while from < to {
        let len = buffer.len().min((to - from) as usize);
        let read = file.read_at(&mut buffer[..len], from)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        write(&buffer[..read], from)?;
        from += read as u64;
    }
    Ok(())
}
