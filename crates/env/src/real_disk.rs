//! The operating system's file system.

use crate::disk::{Disk, DiskFile, DiskLock, LockError, Open};
use crate::map::Mapped;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::path::Path;

/// The operating system's file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.read(true);
        match how {
            Open::Read => {}
            Open::Write => {
                options.write(true);
            }
            Open::CreateNew => {
                options.write(true).create_new(true);
            }
        }
        without_waiting(&mut options);
        let file = options.open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "is no regular file",
            ));
        }
        Ok(Box::new(RealFile(file)))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        // An empty path is the parent of a bare name: the current folder.
        let dir = if dir.as_os_str().is_empty() {
            Path::new(".")
        } else {
            dir
        };
        // Windows cannot open a folder as a file and keeps names durable by itself.
        if cfg!(windows) {
            Ok(())
        } else {
            File::open(dir)?.sync_all()
        }
    }

    fn keeps_what_is_read(&self) -> bool {
        true
    }

    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        // Not truncated: until the lock is ours, the holder's process id is in there.
        let open = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path);
        let (mut file, writable) = match open {
            Ok(file) => (file, true),
            // Who may only read can still keep writers away while doing so.
            Err(error) if is_read_only(&error) => {
                (File::open(path).map_err(|_| LockError::Io(error))?, false)
            }
            Err(error) => return Err(LockError::Io(error)),
        };
        file.try_lock().map_err(|error| refusal(path, error))?;
        // The number only helps the next opener's error message; the kernel holds the lock. So it
        // may fail, as it does on a full disk.
        if writable {
            let _ = file
                .set_len(0)
                .and_then(|()| write!(file, "{}", std::process::id()));
        }
        Ok(Box::new(RealLock(Some(file))))
    }

    fn lock_shared(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        let mut options = OpenOptions::new();
        without_waiting(options.read(true));
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Box::new(RealLock(None)));
            }
            Err(error) => return Err(LockError::Io(error)),
        };
        file.try_lock_shared()
            .map_err(|error| refusal(path, error))?;
        Ok(Box::new(RealLock(Some(file))))
    }
}

fn refusal(path: &Path, error: TryLockError) -> LockError {
    match error {
        TryLockError::WouldBlock => LockError::Held {
            path: path.to_owned(),
            holder: fs::read_to_string(path)
                .ok()
                .and_then(|text| text.trim().parse().ok()),
        },
        TryLockError::Error(error) => LockError::Io(error),
    }
}

fn is_read_only(error: &io::Error) -> bool {
    use io::ErrorKind::{PermissionDenied, ReadOnlyFilesystem};
    matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem)
}

#[derive(Debug)]
struct RealLock(Option<File>);

impl DiskLock for RealLock {}

impl Drop for RealLock {
    fn drop(&mut self) {
        // Said, and not left to the closing of the file: a process that is being started at this
        // moment has a copy of it until its program begins, and would hold the lock for so long.
        if let Some(file) = &self.0 {
            let _ = file.unlock();
        }
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match read_some_at(&self.0, &mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn map(&self) -> io::Result<Mapped> {
        Mapped::of(&self.0)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        write_all_at(&self.0, bytes, offset)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let is = self.len()?;
        if is >= len {
            return Ok(());
        }
        #[cfg(target_os = "linux")]
        match rustix::fs::fallocate(&self.0, rustix::fs::FallocateFlags::empty(), 0, len) {
            Ok(()) => return Ok(()),
            // Not every file system can.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
            Err(error) => return Err(error.into()),
        }
        fill(&self.0, is, len)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    #[cfg(target_os = "linux")]
    fn start_sync(&self, offset: u64, len: u64) {
        // "Do not need" makes the kernel start writing dirty pages out; pages on their way to the
        // disk stay in the cache, and a log is not read again before it is reopened anyway.
        let advice = rustix::fs::Advice::DontNeed;
        let _ = rustix::fs::fadvise(&self.0, offset, std::num::NonZeroU64::new(len), advice);
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }
}

/// Grows a file by writing zeros: a length alone is a promise that a full disk breaks later.
fn fill(file: &File, is: u64, len: u64) -> io::Result<()> {
    let zeros = vec![0; 64 << 10];
    let mut at = is;
    while at < len {
        let piece = zeros.len().min((len - at) as usize);
        if let Err(error) = write_all_at(file, &zeros[..piece], at) {
            let _ = file.set_len(is); // What did not suffice is of no use.
            return Err(error);
        }
        at += piece as u64;
    }
    Ok(())
}

#[cfg(unix)]
fn read_some_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, offset)
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_some_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, offset)
}

#[cfg(windows)]
fn write_all_at(file: &File, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = std::os::windows::fs::FileExt::seek_write(file, bytes, offset)?;
        bytes = &bytes[written..];
        offset += written as u64;
    }
    Ok(())
}
/// A pipe of that name would be waited for until somebody writes into it.
#[cfg(unix)]
fn without_waiting(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32);
}

#[cfg(not(unix))]
fn without_waiting(_: &mut OpenOptions) {}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where there is no call for it, space is taken by writing: no holes, and no length where it fails.
    #[test]
    #[cfg(unix)]
    fn zeros_take_space() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, [7; 10]).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        fill(&file, 10, 200_000).unwrap();
        let about = file.metadata().unwrap();
        assert_eq!(about.len(), 200_000);
        assert!(about.blocks() * 512 >= 200_000, "{}", about.blocks());
        let bytes = fs::read(&path).unwrap();
        assert!(bytes[..10] == [7; 10] && bytes[10..].iter().all(|&byte| byte == 0));
        // A device that is always full.
        let full = OpenOptions::new().write(true).open("/dev/full");
        if let Ok(full) = full {
            let error = fill(&full, 0, 10).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
    }
}
