//! Disk space that is kept back, so that a full disk can be cleared up.

use cortica_env::{Disk, Open};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The file's name in the store's folder.
pub(crate) const RESERVE: &str = "reserve";
/// The most that is kept back, in bytes.
const RESERVE_MAX: u64 = 1 << 20;

/// How much is kept back where log files have this size: enough to move a part of one.
pub(crate) fn reserve_bytes(segment_bytes: u64) -> u64 {
    RESERVE_MAX.min(segment_bytes / 4)
}

/// A file of nothing that is given up when the disk is full: forgetting and compacting need a
/// little space before they free some. Forgetting gets half of it, so that something is left for
/// compacting.
#[derive(Debug)]
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    bytes: u64,
    /// Bytes that are kept back right now.
    held: AtomicU64,
}

impl Reserve {
    /// Takes the reserve of the store at `dir`, making it where there is room.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, bytes: u64) -> Self {
        let reserve = Self {
            disk,
            path: dir.join(RESERVE),
            bytes,
            held: AtomicU64::new(0),
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
            held: AtomicU64::new(0),
        }
    }

    /// Whether all of it is kept back right now.
    pub(crate) fn is_whole(&self) -> bool {
        self.held.load(Relaxed) == self.bytes
    }

    /// Makes the file where it is missing or short. Nothing depends on it, so an error is none.
    pub(crate) fn refill(&self) {
        if self.is_whole() {
            return;
        }
        let opened = self
            .disk
            .open(&self.path, Open::Write)
            .or_else(|_| self.disk.open(&self.path, Open::CreateNew));
        let Ok(file) = opened else { return };
        if file.allocate(self.bytes).is_ok() {
            self.held.store(self.bytes, Relaxed);
        } else if self.held.load(Relaxed) == 0 {
            // A part of it is of no use, and somebody else may need it.
            let _ = self.disk.remove(&self.path);
        }
    }

    /// Gives up half of the space, if all is there; says whether it was.
    pub(crate) fn give_half(&self) -> bool {
        let half = self.bytes / 2;
        let taken = self
            .held
            .compare_exchange(self.bytes, half, Relaxed, Relaxed);
        let shrink = || self.disk.open(&self.path, Open::Write)?.set_len(half);
        self.bytes > 0 && taken.is_ok() && shrink().is_ok()
    }

    /// Gives the space up; says whether there was some.
    pub(crate) fn give_up(&self) -> bool {
        // One caller gets it: a second would count on space that the first uses.
        self.held.swap(0, Relaxed) > 0 && self.disk.remove(&self.path).is_ok()
    }
}
