//! Rewriting files without what is dead, copying a log while it goes on, and copying it back.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{Disk, SimDisk};
use cortica_storage::{
    Durability, Effort, Entry, Fate, Location, Log, LogOptions, OpenMode, Recovery, restore,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "store";
const OPTIONS: LogOptions = LogOptions {
    mode: OpenMode::CreateIfMissing,
    segment_bytes: 16 << 10,
};

fn payload(seq: u64) -> Vec<u8> {
    let len = 200 + (seq * 97) % 600;
    (0..len).map(|at| (at * 5 + seq * 11) as u8 | 1).collect()
}

fn append(log: &mut Log, seq: u64) -> Location {
    let entry = Entry {
        space: 0,
        kind: 1,
        dimension: 0,
        seq,
    };
    log.append(entry, |out| out.extend(payload(seq))).unwrap()
}

/// What a log holds: seqs by position.
fn read(
    disk: &Arc<dyn Disk>,
    dir: &str,
    options: LogOptions,
) -> (Log, Recovery, BTreeMap<u64, u64>) {
    let mut seen = BTreeMap::new();
    let mut last = None;
    let (log, recovery) = Log::open(disk.clone(), Path::new(dir), options, |record| {
        assert_eq!(record.payload, payload(record.entry.seq));
        assert!(last < Some(record.position), "not in order");
        last = Some(record.position);
        seen.insert(record.position, record.entry.seq);
        Ok(())
    })
    .unwrap();
    assert_eq!(recovery.damage, []);
    (log, recovery, seen)
}

/// A log of 400 records of which every third is dead.
fn log_with_dead(disk: &Arc<dyn Disk>) -> (Log, BTreeMap<u64, u64>) {
    let (mut log, _, _) = read(disk, DIR, OPTIONS);
    let mut live = BTreeMap::new();
    for seq in 0..400 {
        let location = append(&mut log, seq);
        log.commit(Durability::Buffered).unwrap();
        if seq % 3 == 0 {
            log.retire(location);
        } else {
            live.insert(location.position, seq);
        }
    }
    (log, live)
}

fn compact_all(log: &mut Log, live: &BTreeMap<u64, u64>) -> u64 {
    let mut plans = 0;
    while let Some(plan) = log.plan_compaction(Effort::Everything).unwrap() {
        let rewritten = plan.rewrite(|record| {
            if live.contains_key(&record.position) {
                Fate::Keep
            } else {
                Fate::Drop
            }
        });
        log.install(rewritten.unwrap()).unwrap();
        plans += 1;
    }
    plans
}

#[test]
fn what_is_dead_goes_and_the_rest_keeps_its_place() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let (mut log, mut live) = log_with_dead(&disk);
    let before = log.stats();
    assert!(before.segments > 10 && before.dead_bytes > 0);
    assert!(compact_all(&mut log, &live) > 1);
    let after = log.stats();
    assert_eq!((after.dead_bytes, after.live_bytes), (0, before.live_bytes));
    assert!(after.file_bytes < before.file_bytes * 3 / 4, "{after:?}");
    assert_eq!(compact_all(&mut log, &live), 0, "nothing is left to do");
    // It goes on behind, at higher positions.
    let location = append(&mut log, 1_000);
    assert_eq!(location.position, before.end);
    live.insert(location.position, 1_000);
    log.commit(Durability::Durable).unwrap();
    log.close().unwrap();
    let (mut log, recovery, seen) = read(&disk, DIR, OPTIONS);
    assert_eq!(seen, live);
    assert_eq!(recovery.seq_high, 1_000);
    // The highest seq is remembered when its record is gone.
    let last = *live.keys().last().unwrap();
    live.remove(&last);
    log.retire(Location {
        position: last,
        bytes: 500,
    });
    compact_all(&mut log, &live);
    log.close().unwrap();
    let (_, recovery, seen) = read(&disk, DIR, OPTIONS);
    assert_eq!((seen, recovery.seq_high), (live, 1_000));
}

#[test]
fn a_record_can_be_replaced_at_its_place() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let (mut log, _) = log_with_dead(&disk);
    while let Some(plan) = log.plan_compaction(Effort::Everything).unwrap() {
        let rewritten = plan.rewrite(|record| Fate::Replace(vec![7; record.entry.seq as usize]));
        log.install(rewritten.unwrap()).unwrap();
    }
    drop(log);
    let mut count = 0;
    Log::open(disk, Path::new(DIR), OPTIONS, |record| {
        assert_eq!(record.payload, vec![7; record.entry.seq as usize]);
        count += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(count, 400);
}

#[test]
fn files_before_a_plan_say_what_they_knew() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let (mut log, live) = log_with_dead(&disk);
    let end = log.end();
    let mut known = Vec::new();
    while let Some(plan) = log.plan_compaction(Effort::Everything).unwrap() {
        known.push(plan.earlier_known_to());
        let rewritten = plan.rewrite(|record| {
            assert!(end > record.position);
            if live.contains_key(&record.position) {
                Fate::Keep
            } else {
                Fate::Drop
            }
        });
        log.install(rewritten.unwrap()).unwrap();
    }
    assert_eq!(known[0], u64::MAX, "there is none before the first");
    assert!(known[1..].iter().all(|&known| known == end), "{known:?}");
}

#[test]
fn automatic_compaction_bounds_files_and_bytes() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let (mut log, _, _) = read(&disk, DIR, OPTIONS);
    let mut current: BTreeMap<u64, Location> = BTreeMap::new();
    let mut positions = BTreeSet::new();
    let mut most_files = 0;
    for step in 0..20_000_u64 {
        let seq = step * 7_919 % 500; // Each of 500 seqs is written again and again.
        let location = append(&mut log, seq);
        log.commit(Durability::Buffered).unwrap();
        positions.insert(location.position);
        if let Some(old) = current.insert(seq, location) {
            positions.remove(&old.position);
            log.retire(old);
        }
        if let Some(plan) = log.plan_compaction(Effort::Worthwhile).unwrap() {
            let rewritten = plan.rewrite(|record| {
                if positions.contains(&record.position) {
                    Fate::Keep
                } else {
                    Fate::Drop
                }
            });
            log.install(rewritten.unwrap()).unwrap();
        }
        let stats = log.stats();
        most_files = most_files.max(stats.segments);
        if step > 1_000 {
            let bound = stats.live_bytes * 3 / 2;
            assert!(stats.file_bytes < bound, "step {step}: {stats:?}");
        }
    }
    println!("{most_files} files at most, {:?}", log.stats());
    assert!(most_files < 60);
    log.close().unwrap();
    let (_, _, seen) = read(&disk, DIR, OPTIONS);
    let live: BTreeSet<_> = seen.keys().copied().collect();
    assert!(positions.is_subset(&live));
}

#[test]
fn a_snapshot_is_the_log_as_it_was() {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    let (mut log, live) = log_with_dead(&disk);
    let snapshot = log.plan_snapshot().unwrap();
    // The log goes on, and is compacted under the snapshot's feet.
    append(&mut log, 500);
    log.commit(Durability::Durable).unwrap();
    compact_all(&mut log, &BTreeMap::new());
    let copy = Path::new("copy");
    let copied = snapshot
        .write(&disk, copy, |record| {
            if live.contains_key(&record.position) {
                Fate::Keep
            } else {
                Fate::Drop
            }
        })
        .unwrap();
    assert_eq!(copied.records, live.len() as u64);
    drop(snapshot);
    log.close().unwrap();
    let (log, recovery, seen) = read(&disk, "copy", OPTIONS);
    assert_eq!((&seen, recovery.seq_high), (&live, 399));
    log.close().unwrap();
    restore(&disk, copy, Path::new("back")).unwrap();
    assert_eq!(read(&disk, "back", OPTIONS).2, live);
    assert!(
        restore(&disk, copy, Path::new("back")).is_err(),
        "the target is not empty"
    );
    // What the snapshot held on to is gone with it: there is nothing left but the live files.
    assert_eq!(read(&disk, DIR, OPTIONS).2, BTreeMap::new());
    assert!(disk.list(Path::new("store/log")).unwrap().len() < 5);
}

#[test]
fn readers_share_a_store_and_change_nothing() {
    let sim = SimDisk::new();
    let disk: Arc<dyn Disk> = Arc::new(sim.clone());
    let (log, _) = log_with_dead(&disk);
    drop(log);
    let operations = sim.operations();
    let reading = LogOptions {
        mode: OpenMode::ReadOnly,
        ..OPTIONS
    };
    let (mut one, _, seen) = read(&disk, DIR, reading);
    let (other, _, _) = read(&disk, DIR, reading);
    assert_eq!(seen.len(), 400);
    append(&mut one, 500);
    assert!(one.commit(Durability::None).is_err());
    assert!(Log::open(disk.clone(), Path::new(DIR), OPTIONS, |_| Ok(())).is_err());
    one.close().unwrap();
    drop(other);
    assert_eq!(sim.operations(), operations);
}
