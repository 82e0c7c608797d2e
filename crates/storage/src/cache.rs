//! What a cache file is: something that was made from the log, and the log position it stands for.
//!
//! ```text
//! offset  size  field
//!      0     8  magic "CORTCAC\n"
//!      8     4  version of this form, now 1
//!     12     4  format of the payload, whose meaning is its writer's
//!     16     8  position: the payload stands for all of the log before it
//!     24     8  fingerprint, whose meaning is its writer's
//!     32     8  length of the payload in bytes
//!     40    16  reserved, zero
//!     56     4  CRC-32 of the table
//!     60     4  CRC-32 of bytes 0..60
//!     64        the payload
//!               the table: the CRC-32 of each 4,096 bytes of the payload, the last ones being fewer
//! ```
//!
//! The file is `cache/<name>.cache` in the store's folder. It gets its name when it is whole on the
//! disk, and is never changed.

use crate::error::OpenError;
use crate::folder::{Folder, io_error};
use crate::record::{u32_at, u64_at};
use cortica_env::{Disk, DiskFile, Open};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Bytes of payload under one checksum.
pub(crate) const BLOCK: usize = 4_096;
pub(crate) const HEADER: usize = 64;
const MAGIC: [u8; 8] = *b"CORTCAC\n";
const VERSION: u32 = 1;
pub(crate) const ENDING: &str = ".cache";

/// Which cache, and in what format its payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheKind {
    /// Its name in the folder: letters, digits, `-` and `_`.
    pub name: &'static str,
    /// Rises whenever what is in the payload changes its meaning.
    pub format: u32,
}

/// Why a cache cannot be used. Every one of these means the same: make it anew from the log.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// There is none.
    #[error("there is no cache {}", path.display())]
    Missing {
        /// The file that would be it.
        path: PathBuf,
    },
    /// It is not as it was written.
    #[error("the cache {} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It was written by another release.
    #[error("the cache {} has format {found:?}, not {wanted:?}", path.display())]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// The versions of its form and of its payload.
        found: (u32, u32),
        /// Those that this build reads.
        wanted: (u32, u32),
    },
    /// It stands for more than the log holds: it is another log's, or the log is an older one.
    #[error("the cache {} stands for log position {position}, and the log ends at {end}", path.display())]
    Ahead {
        /// The file.
        path: PathBuf,
        /// The position it stands for.
        position: u64,
        /// Where the log ends.
        end: u64,
    },
    /// Records of the log are lost, and the cache may stand for them.
    #[error("the log is damaged, so no cache of it is used; repair it with `check --repair`")]
    LogDamaged,
    /// Something that the cache may still hold was forgotten while it was written.
    #[error("the cache {} holds what was forgotten meanwhile; write it anew", path.display())]
    Overtaken {
        /// The file that would have been it.
        path: PathBuf,
    },
    /// The cache is being written already.
    #[error("the cache {} is being written already", path.display())]
    Busy {
        /// The file that is to be it.
        path: PathBuf,
    },
    /// The name has other characters than letters, digits, `-` and `_`, or none.
    #[error("{name:?} is no name for a cache")]
    BadName {
        /// The name.
        name: &'static str,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
}

impl From<OpenError> for CacheError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Io {
                action,
                path,
                source,
            } => Self::Io {
                action,
                path,
                source,
            },
            other => Self::Io {
                action: "open",
                path: PathBuf::new(),
                source: io::Error::other(other),
            },
        }
    }
}

/// The caches that are being written, and from which position on one may be finished.
#[derive(Debug, Default)]
pub(crate) struct Writing {
    pub(crate) from: u64,
    /// By name, the position each stands for.
    pub(crate) open: BTreeMap<&'static str, u64>,
}

/// The first bytes of a cache file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CacheHeader {
    pub(crate) format: u32,
    pub(crate) position: u64,
    pub(crate) fingerprint: u64,
    pub(crate) length: u64,
    pub(crate) table_crc: u32,
}

impl CacheHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.format.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.position.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.fingerprint.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.length.to_le_bytes());
        bytes[56..60].copy_from_slice(&self.table_crc.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of a file, and checks that the file is as long as it says.
    pub(crate) fn read(path: &Path, file: &dyn DiskFile) -> Result<Self, CacheError> {
        let damaged = |why| CacheError::Damaged {
            path: path.to_owned(),
            why,
        };
        let io = |error| CacheError::from(io_error("read", path)(error));
        let mut bytes = [0; HEADER];
        if file.read_at(&mut bytes, 0).map_err(io)? < HEADER {
            return Err(damaged("it is shorter than its header"));
        }
        if bytes[..8] != MAGIC || crc32fast::hash(&bytes[..60]) != u32_at(&bytes, 60) {
            return Err(damaged("its header is not as it was written"));
        }
        let (version, format) = (u32_at(&bytes, 8), u32_at(&bytes, 12));
        if version != VERSION {
            return Err(CacheError::OtherFormat {
                path: path.to_owned(),
                found: (version, format),
                wanted: (VERSION, format),
            });
        }
        let header = Self {
            format,
            position: u64_at(&bytes, 16),
            fingerprint: u64_at(&bytes, 24),
            length: u64_at(&bytes, 32),
            table_crc: u32_at(&bytes, 56),
        };
        let table = header.length.div_ceil(BLOCK as u64) * 4;
        let whole = header.length.checked_add(HEADER as u64 + table);
        if whole != Some(file.len().map_err(io)?) {
            return Err(damaged("it is not as long as its header says"));
        }
        Ok(header)
    }

    /// Refuses a payload of another format.
    pub(crate) fn check_format(&self, path: &Path, wanted: u32) -> Result<(), CacheError> {
        if self.format == wanted {
            return Ok(());
        }
        Err(CacheError::OtherFormat {
            path: path.to_owned(),
            found: (VERSION, self.format),
            wanted: (VERSION, wanted),
        })
    }
}

pub(crate) fn cache_path(folder: &Folder, kind: CacheKind) -> Result<PathBuf, CacheError> {
    let name = kind.name;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(CacheError::BadName { name });
    }
    Ok(folder.cache_dir().join(format!("{name}{ENDING}")))
}

/// Removes caches that are of no use: those that were never finished, and those for which
/// `useless` says so, given the position each stands for, if that can be read. Returns the names
/// of the latter.
pub(crate) fn sweep(
    disk: &dyn Disk,
    folder: &Folder,
    useless: impl Fn(Option<u64>) -> bool,
) -> Result<Vec<String>, OpenError> {
    let dir = folder.cache_dir();
    let names = match disk.list(&dir) {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            return Ok(Vec::new());
        }
        listed => listed.map_err(io_error("list the folder", &dir))?,
    };
    let writing = folder.writing();
    let mut swept = Vec::new();
    let mut changed = false;
    for name in names {
        let path = dir.join(&name);
        if let Some(new) = name.strip_suffix(".new") {
            let begun = new.strip_suffix(ENDING).and_then(|it| writing.open.get(it));
            if begun.is_some_and(|&position| !useless(Some(position))) {
                continue;
            }
        } else if name.ends_with(ENDING) {
            let header = disk.open(&path, Open::Read).map_err(CacheError::from_io);
            let header = header.and_then(|file| CacheHeader::read(&path, &*file));
            if !useless(header.ok().map(|header| header.position)) {
                continue;
            }
            swept.push(name);
        } else {
            continue; // Somebody else's.
        }
        match disk.remove(&path) {
            Ok(()) => changed = true,
            Err(error) => match error.kind() {
                // Gone by now, or a folder, which is nobody's cache.
                io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => {}
                _ => return Err(io_error("remove", &path)(error)),
            },
        }
    }
    if changed {
        disk.sync_dir(&dir)
            .map_err(io_error("sync the folder", &dir))?;
    }
    Ok(swept)
}

impl CacheError {
    pub(crate) fn from_io(source: io::Error) -> Self {
        Self::Io {
            action: "open",
            path: PathBuf::new(),
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_never_changes() {
        let header = CacheHeader {
            format: 7,
            position: 0x0102_0304_0506_0708,
            fingerprint: 9,
            length: 5,
            table_crc: 0xaabb_ccdd,
        };
        let bytes = header.encode();
        assert_eq!(bytes[..16], *b"CORTCAC\n\x01\0\0\0\x07\0\0\0");
        assert_eq!(bytes[16..24], [8, 7, 6, 5, 4, 3, 2, 1]);
        assert_eq!(bytes[56..60], [0xdd, 0xcc, 0xbb, 0xaa]);
        assert_eq!(bytes[60..], crc32fast::hash(&bytes[..60]).to_le_bytes());
    }
}
