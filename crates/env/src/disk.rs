//! What the engine asks of a disk, and no more.

use crate::map::Mapped;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Open {
    /// It exists; reading only.
    Read,
    /// It exists; reading and writing.
    Write,
    /// It must not exist yet; reading and writing.
    CreateNew,
}

/// A file system, or something that behaves like one.
///
/// Durability follows POSIX to the letter: bytes survive a power cut after [`DiskFile::sync`], a
/// file's *name* survives after [`Disk::sync_dir`] on the folder that holds it.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Makes a folder and the folders above it, where they are missing.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;

    /// The names in a folder, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Opens a file.
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Gives a file another name, in the same folder or another one, taking the place of a file
    /// that has it. After a power cut the file has its old name or its new one, never none.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in `dir` durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Whether what was read once is quick to read again, by whomever: the operating system keeps
    /// it. By default it is not, and nobody reads ahead.
    fn keeps_what_is_read(&self) -> bool {
        false
    }

    /// Takes a lock that ends with the returned value or with the process, whichever is first.
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError>;

    /// Takes a lock that others may share, but not together with [`lock`](Disk::lock). Changes
    /// nothing: where there is no such file, there is no holder to keep away and nothing to lock.
    fn lock_shared(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError>;
}

/// An open file. Positions and lengths are in bytes.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// The file's length.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads up to `buffer.len()` bytes; fewer only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// All of the file's bytes, to look at where they lie: from the operating system's memory where
    /// it can lend it, so that nothing is copied and pages come as they are looked at. By default
    /// they are read.
    ///
    /// For files that are only ever replaced by another of that name ([`Disk::rename`]) and never
    /// written or cut again: what lies under a map that is cut is gone, and whoever looks at it is ended by
    /// the operating system. So is who looks at a page that the disk fails to give.
    fn map(&self) -> io::Result<Mapped> {
        let len = usize::try_from(self.len()?).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let mut bytes = vec![0; len];
        let read = self.read_at(&mut bytes, 0)?;
        bytes.truncate(read);
        Ok(Mapped::from(bytes))
    }

    /// Writes all of `bytes`, growing the file when it must.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Grows the file with zeros to `len` bytes and reserves the space, so that a later
    /// [`sync`](DiskFile::sync) has no new length to write. Never shrinks.
    fn allocate(&self, len: u64) -> io::Result<()>;

    /// Cuts the file to `len` bytes, or grows it with zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Asks the disk to start on the `len` bytes at `offset`, so that a [`sync`](DiskFile::sync)
    /// soon after has less to wait for. Promises nothing.
    fn start_sync(&self, offset: u64, len: u64) {
        let _ = (offset, len);
    }

    /// Returns when everything written so far would survive a power cut.
    fn sync(&self) -> io::Result<()>;
}

/// A held lock; dropping it releases it.
pub trait DiskLock: Send + Sync + fmt::Debug {}

/// Why a lock was not granted.
#[derive(Debug)]
#[non_exhaustive]
pub enum LockError {
    /// Another holder has it; close that one first.
    Held {
        /// The lock file.
        path: PathBuf,
        /// The holder's process id, where it could be read.
        holder: Option<u32>,
    },
    /// The lock file could not be opened or locked.
    Io(io::Error),
}

impl fmt::Display for LockError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held {
                path,
                holder: Some(pid),
            } => {
                write!(f, "{} is held by process {pid}", path.display())
            }
            Self::Held { path, holder: None } => {
                write!(f, "{} is held by another process", path.display())
            }
            Self::Io(_) => write!(f, "cannot take the lock"),
        }
    }
}

impl std::error::Error for LockError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Held { .. } => None,
            Self::Io(error) => Some(error),
        }
    }
}
