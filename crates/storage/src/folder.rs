//! The folder a log lives in.
//!
//! ```text
//! STORE/cortica.store                says that the store was made: from then on it has a log
//! STORE/lock                         held by the kernel while the store is open
//! STORE/log/00000000000000000000.log a segment, named after the log position it starts at
//! ```
//!
//! A segment starts with 64 bytes: magic "CORTLOG\n", format version (u32), 4 zeros, log position
//! of the first record (u64), 36 zeros, CRC-32 of bytes 0..60. All little-endian.

use crate::error::OpenError;
use crate::record::{FORMAT_VERSION, u32_at, u64_at};
use cortica_env::{Disk, DiskFile, DiskLock, LockError, Open};
use std::io;
use std::path::{Path, PathBuf};

pub(crate) const SEGMENT_HEADER_LEN: usize = 64;
const MARKER: &str = "cortica.store";
const MARKER_TEXT: &[u8] = b"A Cortica store. Its log is in the folder beside this file.\n";
const SEGMENT_MAGIC: [u8; 8] = *b"CORTLOG\n";

/// Whether a store may be made where there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// There must be a store already.
    MustExist,
    /// An absent or empty folder becomes a store.
    CreateIfMissing,
}

/// How a log is opened. An [`OpenMode`] alone will do: it becomes options with the default space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// Whether a store may be made where there is none.
    pub mode: OpenMode,
    /// How many bytes of disk space are reserved ahead of the records, 16 MiB by default. Most
    /// syncs then have no new file length to write. Closing gives back what is not used.
    pub reserve_bytes: u64,
}

impl From<OpenMode> for LogOptions {
    fn from(mode: OpenMode) -> Self {
        Self {
            mode,
            reserve_bytes: 16 << 20,
        }
    }
}

/// A store's folder, locked.
#[derive(Debug)]
pub(crate) struct Folder {
    dir: PathBuf,
    /// Whether the store was made before it was opened, so that it must have a log.
    made: bool,
    #[expect(dead_code, reason = "held, not read: the lock ends with it")]
    lock: Box<dyn DiskLock>,
}

/// An open segment file.
pub(crate) struct Segment {
    pub(crate) file: Box<dyn DiskFile>,
    /// Log position of its first record.
    pub(crate) position: u64,
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

impl Folder {
    /// Takes the lock of the store at `dir`, making the folder when `mode` allows it.
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, mode: OpenMode) -> Result<Self, OpenError> {
        let mut made = false;
        match disk.list(dir) {
            Ok(names) => {
                let ours = |name: &String| ["log", "lock", MARKER].contains(&name.as_str());
                made = names.iter().any(|name| name == MARKER);
                // A folder of somebody else's may well have a `log` in it.
                let segment = segment_path(dir);
                let absent = match disk.open(&segment, Open::Read) {
                    Ok(_) => false,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => true,
                    // A log that cannot be read is not a log that is not there.
                    Err(error) => return Err(io_error("read", &segment)(error)),
                };
                if absent {
                    if made {
                        return Err(OpenError::LogMissing { path: segment });
                    }
                    if let Some(found) = names.iter().find(|name| !ours(name)) {
                        let found = found.clone();
                        return Err(OpenError::NotAStore {
                            path: dir.to_owned(),
                            found,
                        });
                    }
                    if mode == OpenMode::MustExist {
                        return Err(OpenError::Missing {
                            path: dir.to_owned(),
                        });
                    }
                }
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if mode == OpenMode::MustExist {
                    return Err(OpenError::Missing {
                        path: dir.to_owned(),
                    });
                }
                disk.create_dir_all(dir)
                    .map_err(io_error("make the folder", dir))?;
            }
            Err(error) => return Err(io_error("list the folder", dir)(error)),
        }
        let lock = disk.lock(&dir.join("lock")).map_err(|error| match error {
            LockError::Held { holder, .. } => OpenError::Locked {
                path: dir.to_owned(),
                holder,
            },
            LockError::Io(source) => io_error("lock the folder", dir)(source),
            other => io_error("lock the folder", dir)(io::Error::other(other)),
        })?;
        Ok(Self {
            dir: dir.to_owned(),
            made,
            lock,
        })
    }

    pub(crate) fn segment_path(&self) -> PathBuf {
        segment_path(&self.dir)
    }

    fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// The segment, if there is one, with its log position. `None` where making it was interrupted
    /// before it could hold anything.
    pub(crate) fn open_segment(
        &self,
        disk: &dyn Disk,
        how: Open,
    ) -> Result<Option<Segment>, OpenError> {
        let path = self.segment_path();
        let file = match disk.open(&path, how) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("open", &path)(error)),
        };
        let mut header = [0; SEGMENT_HEADER_LEN];
        let read = file
            .read_at(&mut header, 0)
            .map_err(io_error("read", &path))?;
        match decode_segment_header(&header[..read]) {
            Ok((version, _)) if version > u32::from(FORMAT_VERSION) => {
                Err(OpenError::NewerFormat {
                    path,
                    found: version,
                    supported: u32::from(FORMAT_VERSION),
                })
            }
            Ok((_, 0)) => Ok(Some(Segment { file, position: 0 })),
            Ok(_) => Err(OpenError::Corrupt {
                path,
                offset: 16,
                why: "the segment starts at another position than its name says".to_owned(),
            }),
            Err(why) => {
                // The header is synced before the first record is written, so a torn header with
                // nothing behind it was never acknowledged to anybody.
                let mut behind = crate::scanner::Scanner::new(&*file, SEGMENT_HEADER_LEN as u64, 0)
                    .map_err(io_error("read", &path))?;
                let used = behind.used_until().map_err(io_error("read", &path))?;
                if used > SEGMENT_HEADER_LEN as u64 {
                    return Err(OpenError::Corrupt {
                        path,
                        offset: 0,
                        why: why.to_owned(),
                    });
                }
                if self.made {
                    return Err(OpenError::LogMissing { path });
                }
                Ok(None)
            }
        }
    }

    /// Makes the segment and syncs every name and byte that it needs to be found again.
    pub(crate) fn create_segment(&self, disk: &dyn Disk) -> Result<Box<dyn DiskFile>, OpenError> {
        let (log_dir, path) = (self.log_dir(), self.segment_path());
        disk.create_dir_all(&log_dir)
            .map_err(io_error("make the folder", &log_dir))?;
        let opened = match disk.open(&path, Open::CreateNew) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                disk.open(&path, Open::Write)
            }
            opened => opened,
        };
        let file = opened.map_err(io_error("create", &path))?;
        file.set_len(0).map_err(io_error("cut", &path))?;
        file.write_at(&encode_segment_header(0), 0)
            .map_err(io_error("write", &path))?;
        file.sync().map_err(io_error("sync", &path))?;
        // Every folder on the way, because any of them may have been made for this store, by us or
        // by an attempt that was interrupted.
        for dir in log_dir.ancestors() {
            match disk.sync_dir(dir) {
                // A folder that may not even be read was not made for this store.
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                synced => synced.map_err(io_error("sync the folder", dir))?,
            }
        }
        Ok(file)
    }

    /// Remembers that the store was made, so that a log that is missing later is missed. Called
    /// when the log is durable under its name.
    pub(crate) fn mark_made(&self, disk: &dyn Disk) -> Result<(), OpenError> {
        if self.made {
            return Ok(());
        }
        let path = self.dir.join(MARKER);
        let file = disk
            .open(&path, Open::CreateNew)
            .map_err(io_error("create", &path))?;
        file.write_at(MARKER_TEXT, 0)
            .and_then(|()| file.sync())
            .map_err(io_error("write", &path))?;
        disk.sync_dir(&self.dir)
            .map_err(io_error("sync the folder", &self.dir))
    }
}

fn segment_path(dir: &Path) -> PathBuf {
    dir.join("log").join(format!("{:020}.log", 0))
}

fn encode_segment_header(position: u64) -> [u8; SEGMENT_HEADER_LEN] {
    let mut bytes = [0; SEGMENT_HEADER_LEN];
    bytes[0..8].copy_from_slice(&SEGMENT_MAGIC);
    bytes[8..12].copy_from_slice(&u32::from(FORMAT_VERSION).to_le_bytes());
    bytes[16..24].copy_from_slice(&position.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// Version and log position.
fn decode_segment_header(bytes: &[u8]) -> Result<(u32, u64), &'static str> {
    let Some(bytes) = bytes.first_chunk::<SEGMENT_HEADER_LEN>() else {
        return Err("the file ends inside the segment header");
    };
    if bytes[0..8] != SEGMENT_MAGIC {
        return Err("this is not a log segment");
    }
    if crc32fast::hash(&bytes[..60]) != u32_at(bytes, 60) {
        return Err("the segment header's checksum is wrong");
    }
    Ok((u32_at(bytes, 8), u64_at(bytes, 16)))
}
