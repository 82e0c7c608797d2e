//! A hundred thousand single operations: few files, little waste, and what was forgotten is gone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Disk, Open, Rng, Seed, SimDisk};
use cortica_storage::{
    Durability, Effort, Entry, Fate, Location, Log, LogOptions, OpenMode, Record,
};
use cortica_testkit::{report, size};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use support::{COPY, DIR, sim};

const PUT: u16 = 2;
const FORGET: u16 = 4;
const OPTIONS: LogOptions = LogOptions {
    mode: OpenMode::CreateIfMissing,
    segment_bytes: 64 << 10,
};

/// A store as small as can be: seqs that are put, put again, and forgotten.
struct Store {
    log: Log,
    live: BTreeMap<u64, Location>,
    most_files: u64,
}

impl Store {
    fn put(&mut self, seq: u64, bytes: &[u8]) {
        let location = self.append(PUT, seq, bytes);
        if let Some(old) = self.live.insert(seq, location) {
            self.log.retire(old);
        }
        self.tidy();
    }

    fn forget(&mut self, seq: u64) {
        if let Some(old) = self.live.remove(&seq) {
            self.append(FORGET, seq, &[]);
            self.log.retire(old);
        }
        self.tidy();
    }

    fn append(&mut self, kind: u16, seq: u64, bytes: &[u8]) -> Location {
        let entry = Entry {
            space: 0,
            kind,
            dimension: 0,
            seq,
        };
        let location = self.log.append(entry, |out| out.extend(bytes)).unwrap();
        self.log.commit(Durability::Buffered).unwrap();
        location
    }

    fn tidy(&mut self) {
        self.compact(Effort::Worthwhile);
        self.most_files = self.most_files.max(self.log.stats().segments);
    }

    fn compact(&mut self, effort: Effort) -> bool {
        let Some(plan) = self.log.plan_compaction(effort).unwrap() else {
            return false;
        };
        let known = plan.earlier_known_to();
        let live: BTreeSet<u64> = self.live.values().map(|it| it.position).collect();
        let keep = |record: &Record<'_>| {
            let needed = match record.entry.kind {
                PUT => live.contains(&record.position),
                _ => record.position >= known,
            };
            if needed { Fate::Keep } else { Fate::Drop }
        };
        self.log.install(plan.rewrite(keep).unwrap()).unwrap();
        true
    }
}

fn replay(disk: &Arc<dyn Disk>, dir: &str) -> BTreeMap<u64, Vec<u8>> {
    let mut state = BTreeMap::new();
    let (log, recovery) = Log::open(disk.clone(), Path::new(dir), OPTIONS, |record| {
        match record.entry.kind {
            PUT => state.insert(record.entry.seq, record.payload.to_vec()),
            _ => state.remove(&record.entry.seq),
        };
        Ok(())
    })
    .unwrap();
    assert_eq!(recovery.damage, []);
    log.close().unwrap();
    state
}

/// Whether any file below a folder has these bytes in it.
fn found(disk: &SimDisk, dir: &Path, needle: &[u8]) -> bool {
    disk.list(dir).unwrap().iter().any(|name| {
        let path = dir.join(name);
        match disk.open(&path, Open::Read) {
            Ok(file) => {
                let mut bytes = vec![0; file.len().unwrap() as usize];
                file.read_at(&mut bytes, 0).unwrap();
                bytes.windows(needle.len()).any(|part| part == needle)
            }
            Err(_) => found(disk, &path, needle),
        }
    })
}

fn bytes(rng: &mut Rng, marker: &str) -> Vec<u8> {
    let len = 40 + rng.below(120) as usize;
    let mut bytes: Vec<u8> = (0..len).map(|_| rng.below(256) as u8).collect();
    bytes.extend(marker.as_bytes());
    bytes
}

#[test]
fn a_hundred_thousand_single_operations() {
    let disk = SimDisk::new();
    let (log, _) = Log::open(sim(&disk), Path::new(DIR), OPTIONS, |_| Ok(())).unwrap();
    let mut store = Store {
        log,
        live: BTreeMap::new(),
        most_files: 0,
    };
    let mut rng = Seed(5).rng();
    let mut model = BTreeMap::new();
    let mut worst = 0.0_f64;
    let operations = size("BOUNDS", 100_000);
    for _ in 0..operations {
        let seq = rng.below(6_000);
        if rng.below(3) == 0 {
            store.forget(seq);
            model.remove(&seq);
        } else {
            let bytes = bytes(&mut rng, "kept");
            store.put(seq, &bytes);
            model.insert(seq, bytes);
        }
        let stats = store.log.stats();
        if stats.live_bytes > 512 << 10 {
            worst = worst.max(stats.file_bytes as f64 / stats.live_bytes as f64);
        }
    }
    println!("{} files at most, disk {worst:.2} x live", store.most_files);
    let counts = [
        ("operations", operations),
        ("files_at_most", store.most_files),
        (
            "disk_at_most_in_percent_of_live",
            (worst * 100.0).ceil() as u64,
        ),
    ];
    report("bounds", 5, &counts);
    assert!(store.most_files < 200 && worst < 1.5);
    assert!(store.most_files > 2 && worst > 1.0, "nothing was measured");
    // Secrets, forgotten.
    for seq in 6_000..6_100 {
        store.put(seq, &bytes(&mut rng, "SECRET-MARKER"));
    }
    assert!(found(&disk, Path::new(DIR), b"SECRET-MARKER"));
    for seq in 6_000..6_100 {
        store.forget(seq);
    }
    let snapshot = store.log.plan_snapshot().unwrap();
    let live: BTreeSet<u64> = store.live.values().map(|it| it.position).collect();
    let keep = |record: &Record<'_>| {
        if live.contains(&record.position) {
            Fate::Keep
        } else {
            Fate::Drop
        }
    };
    snapshot.write(&sim(&disk), Path::new(COPY), keep).unwrap();
    drop(snapshot);
    assert!(!found(&disk, Path::new(COPY), b"SECRET-MARKER"));
    assert_eq!(replay(&sim(&disk), COPY), model);
    while store.compact(Effort::Everything) {}
    assert!(!found(&disk, Path::new(DIR), b"SECRET-MARKER"));
    store.log.close().unwrap();
    assert_eq!(replay(&sim(&disk), DIR), model);
    // The records that said so are gone, too.
    let mut forgets = 0;
    Log::open(sim(&disk), Path::new(DIR), OPTIONS, |record| {
        forgets += u64::from(record.entry.kind == FORGET);
        Ok(())
    })
    .unwrap();
    assert_eq!(forgets, 0);
}
