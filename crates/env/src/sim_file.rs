//! Open files and locks of the file system in memory.

use crate::disk::{DiskFile, DiskLock, LockError};
use crate::image::Change;
use crate::sim_disk::SimDisk;
use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug)]
pub(crate) struct SimFile {
    pub(crate) disk: SimDisk,
    pub(crate) file: u64,
    pub(crate) writable: bool,
}

impl SimFile {
    fn change(&self, change: impl FnOnce(u64) -> Change) -> io::Result<()> {
        if !self.writable {
            return Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "opened for reading",
            ));
        }
        let mut state = self.disk.state();
        state.operate()?;
        let change = change(self.file);
        state.check_space(&change)?;
        state.change(change);
        Ok(())
    }
}

impl DiskFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        let mut state = self.disk.state();
        state.look()?;
        Ok(state.live.len(self.file))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.state();
        state.look()?;
        let bytes = state
            .live
            .bytes
            .get(&self.file)
            .map_or(&[][..], Vec::as_slice);
        let rest = bytes.get(offset as usize..).unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        Ok(read)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.change(|file| Change::Write {
            file,
            offset,
            bytes: bytes.to_vec(),
        })
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        if self.len()? >= len {
            Ok(())
        } else {
            self.set_len(len)
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.change(|file| Change::Len { file, len })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        let allowed = state.sync();
        let content = state.take_pending(|change| match change {
            Change::Write { file, .. } | Change::Len { file, .. } => *file == self.file,
            Change::Name { .. } | Change::Moved { .. } => false,
        });
        allowed?;
        state.make_durable(content);
        Ok(())
    }
}

pub(crate) fn held(path: &Path) -> LockError {
    LockError::Held {
        path: path.to_owned(),
        holder: Some(std::process::id()),
    }
}

#[derive(Debug)]
pub(crate) struct SimLock {
    pub(crate) disk: SimDisk,
    pub(crate) path: PathBuf,
    pub(crate) shared: bool,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.disk.state();
        if !self.shared {
            state.locks.remove(&self.path);
        } else if let Some(holders) = state.shared.get_mut(&self.path) {
            *holders -= 1;
            if *holders == 0 {
                state.shared.remove(&self.path);
            }
        }
    }
}
