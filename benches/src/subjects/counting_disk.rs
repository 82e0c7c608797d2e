//! The real disk, counting what is asked of it.

use std::io::Result;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use cortica_env::{Disk, DiskFile, DiskLock, LockError, Open, RealDisk};

/// Calls so far, over all files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calls {
    /// Writes of bytes; reserving space ahead is none.
    pub(super) writes: u64,
    /// Syncs of files and of folders.
    pub(super) syncs: u64,
}

impl Calls {
    pub(super) fn since(self, before: Calls) -> Calls {
        Calls {
            writes: self.writes - before.writes,
            syncs: self.syncs - before.syncs,
        }
    }
}

/// Shared by the disk and its open files. Relaxed: a count orders nothing else.
#[derive(Debug, Default)]
struct Counters {
    writes: AtomicU64,
    syncs: AtomicU64,
}

/// A disk that hands everything on to the real one.
#[derive(Debug, Default)]
pub(super) struct CountingDisk {
    real: RealDisk,
    counters: Arc<Counters>,
}

impl CountingDisk {
    pub(super) fn calls(&self) -> Calls {
        Calls {
            writes: self.counters.writes.load(Relaxed),
            syncs: self.counters.syncs.load(Relaxed),
        }
    }
}

impl Disk for CountingDisk {
    fn create_dir_all(&self, dir: &Path) -> Result<()> {
        self.real.create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> Result<Vec<String>> {
        self.real.list(dir)
    }

    fn open(&self, path: &Path, how: Open) -> Result<Box<dyn DiskFile>> {
        Ok(Box::new(CountingFile {
            real: self.real.open(path, how)?,
            counters: self.counters.clone(),
        }))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.real.remove(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.real.rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> Result<()> {
        self.counters.syncs.fetch_add(1, Relaxed);
        self.real.sync_dir(dir)
    }

    fn lock(&self, path: &Path) -> std::result::Result<Box<dyn DiskLock>, LockError> {
        self.real.lock(path)
    }

    fn lock_shared(&self, path: &Path) -> std::result::Result<Box<dyn DiskLock>, LockError> {
        self.real.lock_shared(path)
    }
}

#[derive(Debug)]
struct CountingFile {
    real: Box<dyn DiskFile>,
    counters: Arc<Counters>,
}

impl DiskFile for CountingFile {
    fn len(&self) -> Result<u64> {
        self.real.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<usize> {
        self.real.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        self.counters.writes.fetch_add(1, Relaxed);
        self.real.write_at(bytes, offset)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.real.allocate(len)
    }

    fn set_len(&self, len: u64) -> Result<()> {
        self.real.set_len(len)
    }

    fn start_sync(&self, offset: u64, len: u64) {
        self.real.start_sync(offset, len);
    }

    fn sync(&self) -> Result<()> {
        self.counters.syncs.fetch_add(1, Relaxed);
        self.real.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_syncs_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let disk = CountingDisk::default();
        let file = disk
            .open(&folder.path().join("a"), Open::CreateNew)
            .unwrap();
        let before = disk.calls();
        file.allocate(100).unwrap();
        file.write_at(b"abc", 0).unwrap();
        file.write_at(b"def", 3).unwrap();
        file.sync().unwrap();
        disk.sync_dir(folder.path()).unwrap();
        let calls = disk.calls().since(before);
        assert_eq!(
            calls,
            Calls {
                writes: 2,
                syncs: 2
            }
        );
    }
}
