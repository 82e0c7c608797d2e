//! The folder a log lives in.
//!
//! ```text
//! STORE/cortica.store        says that the store was made: from then on it has a log
//! STORE/cortica.unfinished   says that a snapshot or a restore did not get to its end
//! STORE/lock                 held by the kernel while the store is open
//! STORE/reserve              space that is given up when the disk is full
//! STORE/log/<start>.log      a log file; `header.rs` says how it is named and what is in it
//! STORE/log/closed           how far the log reached when it was last closed
//! STORE/log/*.new            being written; removed at the next opening
//! STORE/log/*.moved          a log file that is being given its name again
//! STORE/log/*.dropped        the end of a commit that never finished, where it held whole records
//! STORE/cache/*.cache        something made from the log; `cache.rs` says what is in it
//! STORE/repair               what a repair found, until somebody was told
//! STORE/quarantine/          files that were damaged, moved away by a repair
//! ```

use crate::cache::Writing;
use crate::error::OpenError;
use crate::header::{FileName, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::listing::MOVED;
use crate::record::FORMAT_VERSION;
use crate::reserve::RESERVE;
use crate::unfinished::UNFINISHED;
use cortica_env::{Disk, DiskFile, DiskLock, LockError, Open};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) const MARKER: &str = "cortica.store";
pub(crate) const MARKER_TEXT: &[u8] =
    b"A Cortica store. Its log is in the folder beside this file.\n";
const QUARANTINE: &str = "quarantine";
const CACHE: &str = "cache";
pub(crate) const LOCK: &str = "lock";

/// Whether a store may be made where there is none, and whether it may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenMode {
    /// There must be a store already.
    MustExist,
    /// An absent or empty folder becomes a store.
    CreateIfMissing,
    /// There must be a store already, and nothing about it is changed, not even mended. Any number
    /// of readers may have it open like this at once, but no writer beside them.
    ReadOnly,
}

/// How a log is opened. An [`OpenMode`] alone will do: it becomes options with the default space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Whether a store may be made where there is none, and whether it may be changed.
    pub mode: OpenMode,
    /// The size of a log file in bytes, 16 MiB by default. A file's space is reserved when it is
    /// made, so that a sync has no new length to write. A log that holds little takes smaller
    /// ones: a quarter of what is live, but no less than 8 MiB.
    pub segment_bytes: u64,
}

impl From<OpenMode> for LogOptions {
    fn from(mode: OpenMode) -> Self {
        Self {
            mode,
            segment_bytes: 16 << 20,
        }
    }
}

/// A store's folder, locked.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    /// Whether the store was made before it was opened, so that it must have a log.
    pub(crate) made: bool,
    writing: Mutex<Writing>,
    #[expect(dead_code, reason = "held, not read: the lock ends with it")]
    lock: Box<dyn DiskLock>,
}

pub(crate) fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> OpenError + use<'a> {
    move |source| OpenError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

pub(crate) fn not_locked(dir: &Path, error: LockError) -> OpenError {
    match error {
        LockError::Held { holder, .. } => OpenError::Locked {
            path: dir.to_owned(),
            holder,
        },
        LockError::Io(source) => io_error("lock the folder", dir)(source),
        other => io_error("lock the folder", dir)(io::Error::other(other)),
    }
}

impl Folder {
    /// Takes the lock of the store at `dir`, making the folder when `mode` allows it.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, mode: OpenMode) -> Result<Self, OpenError> {
        let mut made = false;
        match disk.list(dir) {
            Ok(names) => made = look(disk, dir, mode, &names)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if mode != OpenMode::CreateIfMissing {
                    return Err(OpenError::Missing {
                        path: dir.to_owned(),
                    });
                }
                disk.create_dir_all(dir)
                    .map_err(io_error("make the folder", dir))?;
            }
            Err(error) => return Err(io_error("list the folder", dir)(error)),
        }
        let path = dir.join(LOCK);
        let locked = match mode {
            OpenMode::ReadOnly => disk.lock_shared(&path),
            OpenMode::MustExist | OpenMode::CreateIfMissing => disk.lock(&path),
        };
        let lock = locked.map_err(|error| not_locked(dir, error))?;
        Ok(Self {
            dir: dir.to_owned(),
            made,
            writing: Mutex::default(),
            lock,
        })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    pub(crate) fn quarantine_dir(&self) -> PathBuf {
        self.dir.join(QUARANTINE)
    }

    pub(crate) fn cache_dir(&self) -> PathBuf {
        self.dir.join(CACHE)
    }

    /// The caches that are being written.
    pub(crate) fn writing(&self) -> MutexGuard<'_, Writing> {
        // Each change of it is one step, so it is whole whoever panicked.
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many files a repair has moved away.
    pub(crate) fn quarantined(&self, disk: &dyn Disk) -> Result<u64, OpenError> {
        let dir = self.quarantine_dir();
        match disk.list(&dir) {
            Ok(names) => Ok(names.len() as u64),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(io_error("list the folder", &dir)(error)),
        }
    }

    /// Makes the log's first file, with room for `room` bytes of records or, on a nearly full disk,
    /// for none, and syncs every name and byte that it needs to be found again.
    pub(crate) fn create_first(&self, disk: &dyn Disk, room: u64) -> Result<u64, OpenError> {
        let log_dir = self.log_dir();
        disk.create_dir_all(&log_dir)
            .map_err(io_error("make the folder", &log_dir))?;
        let path = log_dir.join(first_file().to_string());
        let file =
            create_anew(disk, &path).map_err(|(action, error)| io_error(action, &path)(error))?;
        let mut header = SegmentHeader {
            length: SEGMENT_HEADER_LEN as u64 + room,
            ..SegmentHeader::default()
        };
        match file.allocate(header.length) {
            Err(error) if is_full(&error) => header.length = SEGMENT_HEADER_LEN as u64,
            allocated => allocated.map_err(io_error("reserve space for", &path))?,
        }
        file.write_at(&header.encode(), 0)
            .map_err(io_error("write", &path))?;
        file.sync().map_err(io_error("sync", &path))?;
        sync_folders(disk, &log_dir)?;
        Ok(header.length)
    }

    /// Remembers that the store was made, so that a log that is missing later is missed. Called
    /// when the log is durable under its name.
    pub(crate) fn mark_made(&self, disk: &dyn Disk) -> Result<(), OpenError> {
        if self.made {
            return Ok(());
        }
        write_small(disk, &self.dir, MARKER, MARKER_TEXT)
    }
}

/// The log's first file, as long as it was not compacted.
pub(crate) fn first_file() -> FileName {
    FileName {
        start: 0,
        generation: 0,
    }
}

/// Refuses a folder that is no store, and says whether the store was made.
fn look(disk: &dyn Disk, dir: &Path, mode: OpenMode, names: &[String]) -> Result<bool, OpenError> {
    let made = names.iter().any(|name| name == MARKER);
    if names.iter().any(|name| name == UNFINISHED) {
        return Err(OpenError::Unfinished {
            path: dir.to_owned(),
        });
    }
    // A folder of somebody else's may well have a `log` in it.
    let log_dir = dir.join("log");
    let logs = match disk.list(&log_dir) {
        Ok(logs) => logs,
        // A log that cannot be read is not a log that is not there.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let in_the_way = error.kind() == io::ErrorKind::NotADirectory && !made;
            if !in_the_way {
                return Err(io_error("list the folder", &log_dir)(error));
            }
            Vec::new()
        }
        Err(_) => Vec::new(),
    };
    let plain = |name: &String| FileName::parse(name.strip_suffix(MOVED).unwrap_or(name));
    if logs.iter().any(|name| plain(name).is_some()) {
        return Ok(made);
    }
    if made {
        return Err(OpenError::LogMissing {
            path: log_dir.join(first_file().to_string()),
        });
    }
    let ours = |name: &&String| !["log", LOCK, RESERVE, MARKER].contains(&name.as_str());
    if let Some(found) = names.iter().find(ours) {
        return Err(OpenError::NotAStore {
            path: dir.to_owned(),
            found: found.clone(),
        });
    }
    if mode != OpenMode::CreateIfMissing {
        return Err(OpenError::Missing {
            path: dir.to_owned(),
        });
    }
    Ok(false)
}

/// Makes a small file durable under its name.
pub(crate) fn write_small(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    text: &[u8],
) -> Result<(), OpenError> {
    let path = dir.join(name);
    let file = match disk.open(&path, Open::CreateNew) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => disk.open(&path, Open::Write),
        opened => opened,
    };
    let file = file.map_err(io_error("create", &path))?;
    file.write_at(text, 0)
        .and_then(|()| file.sync())
        .map_err(io_error("write", &path))?;
    disk.sync_dir(dir).map_err(io_error("sync the folder", dir))
}

/// An empty file, also where one was left over; or what could not be done, and why.
pub(crate) fn create_anew(
    disk: &dyn Disk,
    path: &Path,
) -> Result<Box<dyn DiskFile>, (&'static str, io::Error)> {
    match disk.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(("remove", error)),
        _ => {}
    }
    disk.open(path, Open::CreateNew)
        .map_err(|error| ("create", error))
}

/// Gives a small file this content, durably and at once.
pub(crate) fn replace_small(
    disk: &dyn Disk,
    dir: &Path,
    name: &str,
    bytes: &[u8],
) -> Result<(), OpenError> {
    let (path, new) = (dir.join(name), dir.join(format!("{name}.new")));
    let file = create_anew(disk, &new).map_err(|(action, error)| io_error(action, &new)(error))?;
    file.write_at(bytes, 0)
        .and_then(|()| file.sync())
        .map_err(io_error("write", &new))?;
    disk.rename(&new, &path).map_err(io_error("move", &new))?;
    disk.sync_dir(dir).map_err(io_error("sync the folder", dir))
}

/// Syncs a folder and every one above it, because any of them may have been made for this store,
/// by us or by an attempt that was interrupted.
pub(crate) fn sync_folders(disk: &dyn Disk, dir: &Path) -> Result<(), OpenError> {
    for dir in dir.ancestors() {
        match disk.sync_dir(dir) {
            // A folder that may not even be read was not made for this store.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
            synced => synced.map_err(io_error("sync the folder", dir))?,
        }
    }
    Ok(())
}

/// The first bytes of a file, as many as its header has.
pub(crate) fn head(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; SEGMENT_HEADER_LEN];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

pub(crate) fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

/// The refusal of a file or record of another format.
pub(crate) fn other_version(path: &Path, found: u32) -> OpenError {
    let (path, supported) = (path.to_owned(), u32::from(FORMAT_VERSION));
    if found > supported {
        OpenError::NewerFormat {
            path,
            found,
            supported,
        }
    } else {
        OpenError::OlderFormat {
            path,
            found,
            supported,
        }
    }
}
