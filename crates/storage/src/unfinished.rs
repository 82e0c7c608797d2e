//! A store that a snapshot or a restore is making.

use crate::error::OpenError;
use crate::folder::{LOCK, MARKER, MARKER_TEXT, io_error, not_locked, sync_folders, write_small};
use cortica_env::{Disk, DiskLock};
use std::io;
use std::path::{Path, PathBuf};

pub(crate) const UNFINISHED: &str = "cortica.unfinished";
const UNFINISHED_TEXT: &[u8] =
    b"A snapshot or a restore into this folder did not get to its end. Remove the folder.\n";

/// The folder of a store that nobody opens before it is [finished](Unfinished::finish). Two that would
/// make one in the same folder keep each other out, because who fails removes what is there.
#[derive(Debug)]
pub(crate) struct Unfinished<'a> {
    disk: &'a dyn Disk,
    dir: PathBuf,
    #[expect(dead_code, reason = "held, not read: the lock ends with it")]
    lock: Box<dyn DiskLock>,
}

impl<'a> Unfinished<'a> {
    /// Begins a store in a folder that is absent or empty; what an earlier attempt left when it failed counts
    /// as nothing.
    pub(crate) fn begin(disk: &'a dyn Disk, dir: &Path) -> Result<Self, OpenError> {
        if !check_empty(disk, dir)? {
            disk.create_dir_all(dir)
                .map_err(io_error("make the folder", dir))?;
        }
        let lock = disk.lock(&dir.join(LOCK));
        let lock = lock.map_err(|error| not_locked(dir, error))?;
        check_empty(disk, dir)?; // Another may have been at it until now.
        let begun = Self {
            disk,
            dir: dir.to_owned(),
            lock,
        };
        match begun.make_folders() {
            Ok(()) => Ok(begun),
            Err(error) => {
                begun.abandon();
                Err(error)
            }
        }
    }

    pub(crate) fn log_dir(&self) -> PathBuf {
        self.dir.join("log")
    }

    fn make_folders(&self) -> Result<(), OpenError> {
        write_small(self.disk, &self.dir, UNFINISHED, UNFINISHED_TEXT)?;
        let log_dir = self.log_dir();
        self.disk
            .create_dir_all(&log_dir)
            .map_err(io_error("make the folder", &log_dir))?;
        sync_folders(self.disk, &log_dir)
    }

    /// Makes a store of it. All of its log must be durable by now.
    pub(crate) fn finish(self) -> Result<(), OpenError> {
        let (disk, path) = (self.disk, self.dir.join(UNFINISHED));
        let made = write_small(disk, &self.dir, MARKER, MARKER_TEXT)
            .and_then(|()| disk.remove(&path).map_err(io_error("remove", &path)));
        if let Err(error) = made {
            self.abandon();
            return Err(error);
        }
        // It is a store from here on, whatever is said of its name.
        disk.sync_dir(&self.dir)
            .map_err(io_error("sync the folder", &self.dir))
    }

    /// Removes what was written, so that there is room for it and another attempt finds the folder
    /// empty. What cannot be removed stays, and says that it is unfinished: there is nothing to add to
    /// the error that led here.
    pub(crate) fn abandon(self) {
        let _ = self.remove_all();
    }

    /// The folder says that it is unfinished for as long as anything of the log may come back.
    fn remove_all(&self) -> io::Result<()> {
        let (disk, log_dir) = (self.disk, self.log_dir());
        match disk.list(&log_dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
            Ok(names) => {
                for name in names {
                    disk.remove(&log_dir.join(name))?;
                }
                disk.sync_dir(&log_dir)?;
            }
        }
        for name in [MARKER, UNFINISHED] {
            match disk.remove(&self.dir.join(name)) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                removed => removed?,
            }
            disk.sync_dir(&self.dir)?;
        }
        Ok(())
    }
}

/// Whether the folder is there; it must be empty, but for a lock and an empty folder for the log.
fn check_empty(disk: &dyn Disk, dir: &Path) -> Result<bool, OpenError> {
    let names = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        listed => listed.map_err(io_error("list the folder", dir))?,
    };
    for found in names {
        let empty = match &found[..] {
            LOCK => true,
            "log" => disk
                .list(&dir.join("log"))
                .is_ok_and(|names| names.is_empty()),
            _ => false,
        };
        if !empty {
            return Err(OpenError::NotEmpty {
                path: dir.to_owned(),
                found,
            });
        }
    }
    Ok(true)
}
