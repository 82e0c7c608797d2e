//! Disk space that is kept back, so that a full disk can be cleared up.

use cortica_env::{Disk, Open};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The file's name in the store's folder.
pub(crate) const RESERVE: &str = "reserve";
/// The most that is kept back, in bytes.
pub(crate) const RESERVE_MAX: u64 = 1 << 20;

/// A file of nothing that is given up when the disk is full: forgetting and compacting need a
/// little space before they free some.
#[derive(Debug)]
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    bytes: u64,
    held: AtomicBool,
}

impl Reserve {
    /// Takes the reserve of the store at `dir`, making it where there is room.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, bytes: u64) -> Self {
        let reserve = Self {
            disk,
            path: dir.join(RESERVE),
            bytes,
            held: AtomicBool::new(false),
        };
        reserve.refill();
        reserve
    }

    /// A reserve that keeps nothing back.
    pub(crate) fn none(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            path: PathBuf::new(),
            bytes: 0,
            held: AtomicBool::new(false),
        }
    }

    /// Whether space is kept back right now.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Relaxed)
    }

    /// Makes the file where it is missing or short. Nothing depends on it, so an error is none.
    pub(crate) fn refill(&self) {
        if self.bytes == 0 || self.is_held() {
            return;
        }
        let opened = self
            .disk
            .open(&self.path, Open::Write)
            .or_else(|_| self.disk.open(&self.path, Open::CreateNew));
        let Ok(file) = opened else { return };
        if file.allocate(self.bytes).is_ok() {
            self.held.store(true, Relaxed);
        } else {
            // A part of it is of no use, and somebody else may need it.
            let _ = self.disk.remove(&self.path);
        }
    }

    /// Gives the space up; says whether there was some.
    pub(crate) fn give_up(&self) -> bool {
        // One caller gets it: a second would count on space that the first uses.
        self.held.swap(false, Relaxed) && self.disk.remove(&self.path).is_ok()
    }
}
