//! Many writers share a sync, and none is answered before its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{Disk, DiskFile, DiskLock, LockError, Open, RealDisk};
use cortica_memory::{Association, Episode, MemoryStore, StoreOptions, StoreOutcome};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

const WRITERS: usize = 64;
const EACH: usize = 40;

/// The real disk, but a sync takes as long as on a slow one, and is counted.
#[derive(Debug, Default)]
struct Counting {
    syncs: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile {
    file: Box<dyn DiskFile>,
    syncs: Arc<AtomicU64>,
}

impl Disk for Counting {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        RealDisk.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(dir)
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(CountingFile {
            file: RealDisk.open(path, how)?,
            syncs: self.syncs.clone(),
        }))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }
    fn lock_shared(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        RealDisk.lock_shared(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        RealDisk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        RealDisk.lock(path)
    }
}

impl DiskFile for CountingFile {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.file.write_at(bytes, offset)
    }
    fn allocate(&self, len: u64) -> io::Result<()> {
        self.file.allocate(len)
    }
    fn set_len(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }
    fn sync(&self) -> io::Result<()> {
        thread::sleep(Duration::from_millis(2));
        self.syncs.fetch_add(1, SeqCst);
        self.file.sync()
    }
}

#[test]
fn sixty_four_writers_share_their_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Counting::default();
    let syncs = disk.syncs.clone();
    let options = StoreOptions {
        disk: Arc::new(disk),
        ..StoreOptions::default()
    };
    let store = MemoryStore::open(&folder.path().join("store"), options).unwrap();
    let before = syncs.load(SeqCst);
    let start = Barrier::new(WRITERS);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, start, syncs) = (&store, &start, &syncs);
            scope.spawn(move || {
                start.wait();
                for number in 0..EACH {
                    let id = format!("{writer}/{number}");
                    let asked = syncs.load(SeqCst);
                    let stored = store.store(Episode::new(&id, &id)).unwrap();
                    assert_eq!(stored.outcome, StoreOutcome::Stored);
                    assert!(syncs.load(SeqCst) > asked, "acknowledged before a sync");
                    assert_eq!(store.get(&id).unwrap().seq, stored.seq);
                    if number % 10 == 9 {
                        let link = Association::new(&id, format!("{writer}/0"), 1);
                        assert!(store.associate_many(&[link])[0].is_ok());
                        store.forget(&format!("{writer}/{}", number - 1)).unwrap();
                    }
                }
            });
        }
    });
    let syncs = syncs.load(SeqCst) - before;
    let acknowledged = WRITERS * (EACH + EACH / 10 * 2);
    println!("{acknowledged} acknowledged with {syncs} syncs");
    assert!(syncs * 10 < acknowledged as u64, "{syncs} syncs");
    let held = (WRITERS * (EACH - EACH / 10)) as u64;
    assert_eq!(store.stats().episodes, held);
    let digest = store.state_digest();
    store.close().unwrap();
    let store = MemoryStore::open(&folder.path().join("store"), StoreOptions::default()).unwrap();
    assert_eq!(store.state_digest(), digest);
}
