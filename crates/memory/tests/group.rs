//! Many writers share a sync, and none is answered before its own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{Disk, DiskFile, DiskLock, Keep, LockError, Open, RealDisk, Seed, SimDisk};
use cortica_memory::{Association, Episode, MemoryStore, StoreOptions, StoreOutcome};
use cortica_storage::OpenMode;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

const WRITERS: usize = 64;
const EACH: usize = 40;

/// A disk, but a sync takes as long as on a slow one, and is counted.
#[derive(Debug)]
struct Counting<D> {
    disk: D,
    syncs: Arc<AtomicU64>,
    /// Whether a sync does nothing but take its time.
    lies: bool,
}

#[derive(Debug)]
struct CountingFile {
    file: Box<dyn DiskFile>,
    syncs: Arc<AtomicU64>,
    lies: bool,
}

impl<D: Disk> Counting<D> {
    fn new(disk: D) -> Self {
        Counting {
            disk,
            syncs: Arc::default(),
            lies: false,
        }
    }
}

impl<D: Disk> Disk for Counting<D> {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(CountingFile {
            file: self.disk.open(path, how)?,
            syncs: self.syncs.clone(),
            lies: self.lies,
        }))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn lock_shared(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.disk.lock_shared(path)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.disk.lock(path)
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
        if self.lies { Ok(()) } else { self.file.sync() }
    }
}

#[test]
fn sixty_four_writers_share_their_syncs() {
    let folder = tempfile::tempdir().unwrap();
    let disk = Counting::new(RealDisk);
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

const DIR: &str = "/store";

fn options(disk: Arc<dyn Disk>, mode: OpenMode) -> StoreOptions {
    StoreOptions {
        disk,
        mode,
        segment_bytes: 16 << 10,
        ..StoreOptions::default()
    }
}

/// How many of what 16 writers were told is durable are gone when the power fails as they are told,
/// and what is in flight is lost, or some of it is.
fn lost_at_acknowledgements(lies: bool) -> usize {
    const WRITERS: usize = 16;
    const EACH: usize = 8;
    let sim = SimDisk::new();
    let mut disk = Counting::new(sim.clone());
    let syncs = disk.syncs.clone();
    let made = MemoryStore::open(
        Path::new(DIR),
        options(Arc::new(sim.clone()), OpenMode::CreateIfMissing),
    );
    made.unwrap().close().unwrap();
    disk.lies = lies;
    let store = MemoryStore::open(
        Path::new(DIR),
        options(Arc::new(disk), OpenMode::CreateIfMissing),
    )
    .unwrap();
    let before = syncs.load(SeqCst);
    let start = Barrier::new(WRITERS);
    let is_lost = |id: &str, keep| {
        let cut = Arc::new(sim.power_cut(keep));
        let found = MemoryStore::open(Path::new(DIR), options(cut, OpenMode::ReadOnly)).unwrap();
        found.get(id).is_none()
    };
    let lost = thread::scope(|scope| {
        let writers = (0..WRITERS).map(|writer| {
            let (store, start, is_lost) = (&store, &start, &is_lost);
            scope.spawn(move || {
                start.wait();
                let lost = (0..EACH).filter(|number| {
                    let id = format!("{writer}/{number}");
                    store.store(Episode::new(&id, &id)).unwrap();
                    let some = Keep::Seeded(Seed((writer * EACH + number) as u64));
                    is_lost(&id, Keep::Nothing) || is_lost(&id, some)
                });
                lost.count()
            })
        });
        let writers: Vec<_> = writers.collect();
        writers
            .into_iter()
            .map(|writer| writer.join().unwrap())
            .sum()
    });
    let syncs = syncs.load(SeqCst) - before;
    println!(
        "{} acknowledged with {syncs} syncs, {lost} lost",
        WRITERS * EACH
    );
    assert!(syncs < (WRITERS * EACH) as u64, "nobody shared a sync");
    lost
}

#[test]
fn what_was_answered_is_there_when_the_power_fails_at_that_moment() {
    assert_eq!(lost_at_acknowledgements(false), 0);
}

/// What the test above is worth: on a disk whose syncs do nothing, answers are found to be false.
#[test]
fn syncs_that_do_nothing_are_found_out() {
    assert!(lost_at_acknowledgements(true) > 0);
}
