//! The power goes at every operation of a script, and any part of what was not synced may be on
//! the disk. What was acknowledged as durable is there; nothing is there that was not written.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{Disk, DiskFile, DiskLock, Keep, LockError, Open, Seed, SimDisk};
use cortica_storage::{Durability, Entry, Log, LogOptions, OpenError, OpenMode};
use std::io;
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "/data/store";
const SEEDS: u64 = 24;
/// Little space ahead, so that the script has to reserve more now and then.
const OPTIONS: LogOptions = LogOptions {
    mode: OpenMode::CreateIfMissing,
    segment_bytes: 4_096,
};

/// About a sector, so that records share sectors and cross them.
fn payload(seq: u64) -> Vec<u8> {
    let len = 100 + (seq * 197) % 900;
    (0..len).map(|at| (at * 5 + seq * 11) as u8 | 1).collect()
}

/// Appends and commits until the power goes. Returns how many records were acknowledged as
/// durable, and how many were ever handed to the log.
fn run_script(disk: &Arc<dyn Disk>) -> (u64, u64) {
    let (mut acknowledged, mut submitted) = (0, 0);
    // Three sessions: the store is closed, reopened, and dropped on the way.
    for session in 0..3 {
        let opened = Log::open(disk.clone(), Path::new(DIR), OPTIONS, |_| Ok(()));
        let Ok((mut log, _)) = opened else {
            return (acknowledged, submitted);
        };
        for commit in 0..6_u64 {
            for _ in 0..=commit % 3 {
                let entry = Entry {
                    space: 0,
                    kind: 0,
                    dimension: 0,
                    seq: submitted,
                };
                log.append(entry, |out| out.extend(payload(submitted)))
                    .unwrap();
                submitted += 1;
                if commit == 5 && log.commit_part(Durability::Durable).is_err() {
                    return (acknowledged, submitted);
                }
            }
            let durability = match commit % 4 {
                1 => Durability::Buffered,
                2 => Durability::None,
                _ => Durability::Durable,
            };
            match log.commit(durability) {
                Ok(Durability::Durable) => acknowledged = submitted,
                Ok(_) => {}
                Err(_) => return (acknowledged, submitted),
            }
        }
        if session == 0 && log.close().is_ok() {
            acknowledged = submitted;
        }
    }
    (acknowledged, submitted)
}

/// Opens what a power cut left and counts its records, which must be the first ones written.
fn recovered(disk: &SimDisk, submitted: u64) -> Result<u64, OpenError> {
    let mut seen = Vec::new();
    let opened = Log::open(sim(disk), Path::new(DIR), OPTIONS, |record| {
        seen.push((record.entry.seq, record.payload.to_vec()));
        Ok(())
    });
    let (mut log, recovery) = opened?;
    if let Some(damage) = recovery.damage.into_iter().next() {
        return Err(OpenError::Corrupt {
            path: damage.file,
            offset: damage.offset,
            why: damage.why,
        });
    }
    let count = seen.len() as u64;
    for (want, (seq, bytes)) in seen.into_iter().enumerate() {
        assert_eq!(seq, want as u64, "a record is missing or out of order");
        assert_eq!(bytes, payload(seq), "a record is not what was written");
    }
    assert!(count <= submitted, "a record nobody wrote");
    // The store must go on from here: nothing torn may line up with what comes next.
    let entry = Entry {
        space: 0,
        kind: 0,
        dimension: 0,
        seq: count,
    };
    log.append(entry, |out| out.extend(payload(count))).unwrap();
    log.commit(Durability::Durable).unwrap();
    drop(log);
    let mut again = 0;
    Log::open(
        Arc::new(disk.clone()),
        Path::new(DIR),
        OpenMode::MustExist,
        |record| {
            assert_eq!(record.payload, payload(again));
            again += 1;
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(again, count + 1);
    Ok(count)
}

fn sim(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

#[derive(Default)]
struct Outcome {
    cuts: u64,
    images: u64,
    lost: u64,
    refused: u64,
}

fn keeps(unsynced: usize, cut: u64) -> impl Iterator<Item = Keep> {
    let each = (0..unsynced).flat_map(|n| [Keep::Only(n), Keep::Prefix(n), Keep::Suffix(n)]);
    let seeded = (0..SEEDS).map(move |seed| Keep::Seeded(Seed(seed).derive(&cut.to_string())));
    [Keep::Nothing, Keep::Everything]
        .into_iter()
        .chain(each)
        .chain(seeded)
}

/// Cuts the power after every number of operations the script makes.
fn cut_everywhere(wrap: impl Fn(SimDisk) -> Arc<dyn Disk>) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let disk = SimDisk::new();
        disk.power_off_after(outcome.cuts);
        let (acknowledged, submitted) = run_script(&wrap(disk.clone()));
        for keep in keeps(disk.unsynced(), outcome.cuts) {
            match recovered(&disk.power_cut(keep), submitted) {
                Ok(count) => outcome.lost += acknowledged.saturating_sub(count),
                Err(_) => outcome.refused += 1,
            }
            outcome.images += 1;
        }
        if disk.operations() < outcome.cuts {
            return outcome; // The script ended before the power did.
        }
        outcome.cuts += 1;
    }
}

#[test]
fn no_cut_loses_what_was_acknowledged() {
    let outcome = cut_everywhere(|disk| Arc::new(disk));
    println!(
        "{} cuts, {} images, {} lost",
        outcome.cuts, outcome.images, outcome.lost
    );
    assert!(outcome.cuts > 40 && outcome.images > 1_000);
    assert_eq!((outcome.lost, outcome.refused), (0, 0));
}

#[test]
fn every_failing_operation_stops_the_writer_and_loses_nothing() {
    let disk = SimDisk::new();
    run_script(&sim(&disk));
    let operations = disk.operations();
    for n in 1..=operations {
        let disk = SimDisk::new();
        disk.fail_operation(n);
        let (acknowledged, submitted) = run_script(&sim(&disk));
        for keep in [Keep::Nothing, Keep::Everything, Keep::Seeded(Seed(n))] {
            assert!(
                recovered(&disk.power_cut(keep), submitted).unwrap() >= acknowledged,
                "operation {n}"
            );
        }
    }
}

/// The control: the same engine over a disk whose syncs do nothing must be caught losing records.
#[test]
fn without_syncs_the_harness_sees_the_loss() {
    let outcome = cut_everywhere(|disk| Arc::new(NoSync(disk)));
    println!(
        "control: {} cuts, {} lost, {} refused",
        outcome.cuts, outcome.lost, outcome.refused
    );
    assert!(outcome.lost > 0, "a log that never syncs went unnoticed");
}

#[derive(Debug)]
struct NoSync(SimDisk);

#[derive(Debug)]
struct NoSyncFile(Box<dyn DiskFile>);

impl Disk for NoSync {
    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        self.0.create_dir_all(dir)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.0.list(dir)
    }
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(NoSyncFile(self.0.open(path, how)?)))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.remove(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.0.sync_dir(dir) // Names stay durable, so that only lost bytes can be the reason.
    }
    fn lock(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.0.lock(path)
    }
    fn lock_shared(&self, path: &Path) -> Result<Box<dyn DiskLock>, LockError> {
        self.0.lock_shared(path)
    }
}

impl DiskFile for NoSyncFile {
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
