//! Disks that leave something out, for the controls.

use cortica_env::{Disk, DiskFile, DiskLock, LockError, Open, SimDisk};
use std::io;
use std::path::Path;

/// A disk some of whose syncs do nothing.
#[derive(Debug)]
pub struct Lazy {
    pub disk: SimDisk,
    pub files: bool,
    pub folders: bool,
}

/// A disk that says it keeps what is read, so that opening a large log reads ahead.
#[derive(Debug)]
pub struct Keeping(pub SimDisk);

impl Disk for Keeping {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        self.0.open(path, how)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir)
    }
    fn keeps_what_is_read(&self) -> bool {
        true
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.0.lock(path)
    }
    fn lock_shared(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.0.lock_shared(path)
    }
}

#[derive(Debug)]
struct LazyFile(Box<dyn DiskFile>);

impl Disk for Lazy {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let file = self.disk.open(path, how)?;
        Ok(if self.files {
            Box::new(LazyFile(file))
        } else {
            file
        })
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        if self.folders {
            return Ok(());
        }
        self.disk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.disk.lock(path)
    }
    fn lock_shared(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.disk.lock_shared(path)
    }
}

impl DiskFile for LazyFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.0.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_at(bytes, offset)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.0.allocate(len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
