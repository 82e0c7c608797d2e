//! A file's bytes, where they lie.

use memmap2::Mmap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Deref;

/// A file's bytes: see [`DiskFile::map`](crate::DiskFile::map).
pub struct Mapped(Bytes);

enum Bytes {
    Read(Vec<u8>),
    Lent(Mmap),
}

impl Mapped {
    /// What lies in a file now. It must not be written or cut while this lives.
    #[allow(unsafe_code, reason = "a map of a file that others could change")]
    pub(crate) fn of(file: &File) -> io::Result<Mapped> {
        // SAFETY: the bytes must stay as they are while this lives. Only files that are complete
        // are mapped (see `DiskFile::map`): they are given their name by a rename when they are
        // whole, are replaced by another rename, which leaves the file below this map as it is until
        // the map is gone, and are never written or cut. Somebody outside of the program who writes
        // into the store's folder could break that, as with every map of a file; the folder is
        // locked against other processes of ours.
        let map = unsafe { Mmap::map(file)? };
        Ok(Mapped(Bytes::Lent(map)))
    }
}

impl From<Vec<u8>> for Mapped {
    /// Bytes that were read.
    fn from(bytes: Vec<u8>) -> Mapped {
        Mapped(Bytes::Read(bytes))
    }
}

impl Deref for Mapped {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Read(bytes) => bytes,
            Bytes::Lent(map) => map,
        }
    }
}

impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapped({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Disk, Open, RealDisk, SimDisk};
    use std::path::Path;

    fn check(disk: &dyn Disk, dir: &Path) {
        let path = dir.join("file");
        let file = disk.open(&path, Open::CreateNew).unwrap();
        assert!(file.map().unwrap().is_empty(), "an empty file");
        file.write_at(b"the first one", 0).unwrap();
        let read = disk.open(&path, Open::Read).unwrap();
        let first = read.map().unwrap();
        drop(read);
        assert_eq!(&*first, b"the first one");
        // Another takes its name: what was mapped stays.
        let next = dir.join("next");
        let file = disk.open(&next, Open::CreateNew).unwrap();
        file.write_at(b"2", 0).unwrap();
        disk.rename(&next, &path).unwrap();
        assert_eq!(&*first, b"the first one");
        let second = disk.open(&path, Open::Read).unwrap().map().unwrap();
        assert_eq!(&*second, b"2");
        disk.remove(&path).unwrap();
        assert_eq!(&*second, b"2");
    }

    #[test]
    fn what_was_mapped_stays_whoever_takes_its_name() {
        let dir = tempfile::tempdir().unwrap();
        check(&RealDisk, dir.path());
        let simulated = SimDisk::new();
        simulated.create_dir_all(Path::new("dir")).unwrap();
        check(&simulated, Path::new("dir"));
    }
}
