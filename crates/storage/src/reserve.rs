//! Disk space that is kept back, so that a full disk can be cleared up.

use cortica_env::{Disk, DiskFile, Open};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The file's name in the store's folder.
pub(crate) const RESERVE: &str = "reserve";
/// The most that is kept back, in bytes.
const RESERVE_MAX: u64 = 1 << 20;
/// It is given up and taken again in so many pieces.
const PIECES: u64 = 256;

/// How much is kept back where log files have this size: enough to move a part of one.
pub(crate) fn reserve_bytes(segment_bytes: u64) -> u64 {
    RESERVE_MAX.min(segment_bytes / 4)
}

/// A file of nothing that is given up when the disk is full: forgetting and compacting need a
/// little space before they free some. Forgetting gets half of it, piece by piece, so that something
/// is left for compacting, which takes all and gives back what it frees. So whoever stores in between
/// finds the disk full, and it can be cleared up again.
#[derive(Debug)]
pub(crate) struct Reserve {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    bytes: u64,
    /// Bytes that are kept back right now.
    held: AtomicU64,
    /// Bytes of them that are left for compacting.
    for_compacting: AtomicU64,
}

impl Reserve {
    /// Takes the reserve of the store at `dir`, making it where there is room. Where there is not
    /// room for all of it, a new one takes less: on a small disk the store needs some, too.
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, bytes: u64) -> Self {
        let reserve = Self {
            path: dir.join(RESERVE),
            bytes,
            ..Self::none(disk)
        };
        if let Ok(file) = reserve.disk.open(&reserve.path, Open::Write) {
            // Whoever opened the store before may have made it larger.
            let held = file.len().unwrap_or(0);
            reserve.hold(held.min(bytes));
            reserve.grow(&*file);
        } else if let Ok(file) = reserve.disk.open(&reserve.path, Open::CreateNew) {
            let fits = |&len: &u64| len > 0 && file.allocate(len).is_ok();
            let held = [bytes, bytes / 4, bytes / 16].into_iter().find(fits);
            reserve.hold(held.unwrap_or(0));
        }
        reserve
    }

    /// A reserve that keeps nothing back.
    pub(crate) fn none(disk: Arc<dyn Disk>) -> Self {
        Self {
            disk,
            path: PathBuf::new(),
            bytes: 0,
            held: AtomicU64::new(0),
            for_compacting: AtomicU64::new(0),
        }
    }

    fn hold(&self, bytes: u64) {
        self.held.store(bytes, Relaxed);
        self.for_compacting.store(bytes / 2, Relaxed);
    }

    /// Bytes that are kept back right now.
    pub(crate) fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// Whether all of it is kept back right now.
    pub(crate) fn is_whole(&self) -> bool {
        self.held() == self.bytes
    }

    /// Keeps back again what was given up, as far as there is room. Nothing depends on it, so an
    /// error is none.
    pub(crate) fn refill(&self) {
        if self.is_whole() {
            return;
        }
        let opened = self
            .disk
            .open(&self.path, Open::Write)
            .or_else(|_| self.disk.open(&self.path, Open::CreateNew));
        if let Ok(file) = opened {
            self.grow(&*file);
        }
    }

    /// Takes as many pieces as there is room for.
    fn grow(&self, file: &dyn DiskFile) {
        let fits = |pieces: u64| {
            let len = self.bytes * pieces / PIECES;
            let fits = file.allocate(len).is_ok();
            if fits {
                self.hold(len);
            }
            fits
        };
        let held = self.held.load(Relaxed);
        if held >= self.bytes || fits(PIECES) {
            return;
        }
        let (mut room, mut too_many) = (held * PIECES / self.bytes, PIECES);
        while too_many - room > 1 {
            let pieces = u64::midpoint(room, too_many);
            if fits(pieces) {
                room = pieces;
            } else {
                too_many = pieces;
            }
        }
    }

    /// Gives up a piece, if that leaves enough for compacting; says whether it did.
    pub(crate) fn give_piece(&self) -> bool {
        let held = self.held.load(Relaxed);
        let left = held.saturating_sub(self.bytes.div_ceil(PIECES));
        if left < self.for_compacting.load(Relaxed) || left == held {
            return false;
        }
        let taken = self.held.compare_exchange(held, left, Relaxed, Relaxed);
        let shrink = || self.disk.open(&self.path, Open::Write)?.set_len(left);
        taken.is_ok() && shrink().is_ok()
    }

    /// Gives the space up; says whether there was some.
    pub(crate) fn give_up(&self) -> bool {
        // One caller gets it: a second would count on space that the first uses.
        self.held.swap(0, Relaxed) > 0 && self.disk.remove(&self.path).is_ok()
    }
}
