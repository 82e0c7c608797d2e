//! The disk is full: nothing is lost, reading and opening go on, forgetting and compacting are
//! possible, and when there is room again, so is writing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Keep, SimDisk};
use cortica_storage::{
    CommitError, CompactError, Durability, Effort, Fate, Log, LogOptions, LogStats, OpenError,
    OpenMode,
};
use std::collections::BTreeSet;
use std::path::Path;
use support::{DIR, entry, payload, sim};

const OPTIONS: LogOptions = LogOptions {
    mode: OpenMode::CreateIfMissing,
    segment_bytes: 16 << 10,
};

fn open(disk: &SimDisk) -> (Log, BTreeSet<u64>) {
    let mut seen = BTreeSet::new();
    let (log, recovery) = Log::open(sim(disk), Path::new(DIR), OPTIONS, |record| {
        if record.entry.kind == 1 {
            assert_eq!(record.payload, payload(record.entry.seq));
            seen.insert(record.entry.seq);
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(recovery.damage, []);
    (log, seen)
}

/// Stores one by one, in batches or in parts of batches, until the disk is full.
fn fill(disk: &SimDisk, batch: u64, durability: Durability, parts: bool) -> (Log, BTreeSet<u64>) {
    let (mut log, mut stored) = open(disk);
    let mut seq = 0;
    loop {
        let mut written = Ok(());
        for at in 0..batch {
            log.append(entry(seq + at), |out| out.extend(payload(seq + at)))
                .unwrap();
            if parts && at % 4 == 3 && written.is_ok() {
                written = log.commit_part(durability);
            }
        }
        let done = written.and_then(|()| log.commit(durability));
        match done {
            Ok(_) => stored.extend(seq..seq + batch),
            Err(CommitError::Full) => {
                log.rollback();
                return (log, stored);
            }
            Err(error) => panic!("{error}"),
        }
        seq += batch;
    }
}

/// Nothing of what was refused is there, everything else is, and small things still fit.
fn holds(disk: &SimDisk, stored: &BTreeSet<u64>, what: &str) {
    for _ in 0..3 {
        let (log, seen) = open(disk);
        assert_eq!(seen, *stored, "{what}");
        log.close().unwrap();
    }
}

#[test]
fn at_every_step_of_four_kilobytes_nothing_is_lost_and_it_recovers() {
    let mut refused = 0;
    for capacity in (20..160).step_by(4) {
        for (batch, durability, parts) in [
            (1, Durability::Durable, false),
            (7, Durability::Buffered, false),
            (24, Durability::Durable, true),
            (50, Durability::None, false),
        ] {
            let what = format!("{capacity} KB, {batch} at once, {durability}");
            let disk = SimDisk::new();
            disk.set_capacity(capacity << 10);
            let (mut log, stored) = fill(&disk, batch, durability, parts);
            // Refused again and again, always the same way.
            for _ in 0..3 {
                log.append(entry(90_000), |out| out.resize(out.len() + 60_000, 1))
                    .unwrap();
                let refusal = log.commit(Durability::Durable);
                refused += u64::from(refusal.is_err());
                assert!(
                    matches!(refusal, Err(CommitError::Full)) || capacity > 60,
                    "{what}: {refusal:?}"
                );
                if refusal.is_ok() {
                    break;
                }
            }
            drop(log);
            let after_crash = disk.power_cut(Keep::Everything);
            after_crash.set_capacity(disk.used());
            let (mut log, seen) = open(&after_crash);
            let ours: BTreeSet<u64> = seen.iter().copied().filter(|&seq| seq < 90_000).collect();
            if durability == Durability::None {
                assert!(ours.is_subset(&stored), "{what}"); // Nothing was promised.
            } else {
                assert_eq!(ours, stored, "{what}");
            }
            // Room again.
            after_crash.set_capacity(1 << 30);
            log.append(entry(95_000), |out| out.extend(payload(95_000)))
                .unwrap();
            log.commit(Durability::Durable)
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            log.close().unwrap();
            let mut want = seen;
            want.insert(95_000);
            holds(&after_crash, &want, &what);
        }
    }
    assert!(refused > 100, "{refused}");
}

/// Something is forgotten on a full disk, by a small record, and the space comes back.
#[test]
fn forgetting_and_compacting_are_possible_on_a_full_disk() {
    for capacity in (48..160).step_by(4) {
        let disk = SimDisk::new();
        disk.set_capacity(capacity << 10);
        let (mut log, stored) = fill(&disk, 1, Durability::Durable, false);
        // Small records fit where large ones do not, until even those are refused.
        let small = |seq| cortica_storage::Entry {
            kind: 4,
            ..entry(seq)
        };
        let mut smalls = 0;
        loop {
            log.append(small(smalls), |_| ()).unwrap();
            match log.commit(Durability::Durable) {
                Ok(_) => smalls += 1,
                Err(CommitError::Full) => break,
                Err(error) => panic!("{error}"),
            }
        }
        let before = log.stats();
        // What frees space may use what is kept back for it.
        log.append(small(90_000), |_| ()).unwrap();
        log.commit_freeing(Durability::Durable)
            .unwrap_or_else(|error| panic!("{capacity} KB: {error}"));
        drop(log);
        let (mut log, seen) = open(&disk);
        assert_eq!(seen, stored, "{capacity} KB: opening works on a full disk");
        let dead: BTreeSet<u64> = stored.iter().copied().filter(|seq| seq % 4 != 0).collect();
        retire_all(&mut log, &disk, &dead);
        let mut freed = 0;
        loop {
            let plan = match log.plan_compaction(Effort::Everything) {
                Ok(Some(plan)) => plan,
                Ok(None) => break,
                Err(error) => panic!("{capacity} KB: {error}"),
            };
            let rewritten = plan.rewrite(|record| {
                if record.entry.kind == 1 && !dead.contains(&record.entry.seq) {
                    Fate::Keep
                } else {
                    Fate::Drop
                }
            });
            match rewritten {
                Ok(rewritten) => freed += log.install(rewritten).unwrap().bytes,
                Err(CompactError::Full) => {} // The next plan is smaller.
                Err(error) => panic!("{capacity} KB: {error}"),
            }
        }
        let LogStats { file_bytes, .. } = log.stats();
        assert!(freed > 0 && file_bytes < before.file_bytes, "{capacity} KB");
        let live: BTreeSet<u64> = stored.difference(&dead).copied().collect();
        log.append(entry(99_999), |out| out.extend(payload(99_999)))
            .unwrap();
        log.commit(Durability::Durable).unwrap();
        log.close().unwrap();
        let want = live.into_iter().chain([99_999]).collect();
        holds(&disk, &want, "after compaction");
    }
}

fn retire_all(log: &mut Log, disk: &SimDisk, dead: &BTreeSet<u64>) {
    let copy = disk.power_cut(Keep::Everything);
    let mut locations = Vec::new();
    Log::open(sim(&copy), Path::new(DIR), OPTIONS, |record| {
        if record.entry.kind == 4 || dead.contains(&record.entry.seq) {
            locations.push(record.location());
        }
        Ok(())
    })
    .unwrap();
    for location in locations {
        log.retire(location);
    }
}

/// A commit that never finished, with whole records in it, cannot be set aside for want of space:
/// the log opens, and says that it cannot be written.
#[test]
fn without_room_to_set_records_aside_the_log_opens_for_reading() {
    let disk = SimDisk::new();
    let (mut log, _) = open(&disk);
    for seq in 0..3 {
        log.append(entry(seq), |out| out.extend(payload(seq)))
            .unwrap();
        log.commit(Durability::Durable).unwrap();
    }
    let unsynced = disk.unsynced();
    for seq in 3..9 {
        log.append(entry(seq), |out| out.extend(payload(seq)))
            .unwrap();
        log.commit(Durability::Buffered).unwrap();
    }
    // The first write of the six is lost.
    let left = disk.power_cut(Keep::Suffix(unsynced + 1));
    left.set_capacity(left.used());
    let (mut log, recovery) = Log::open(sim(&left), Path::new(DIR), OPTIONS, |_| Ok(())).unwrap();
    assert_eq!((recovery.records, recovery.set_aside_records), (3, 5));
    assert!(recovery.set_aside.is_empty() && !log.is_writable());
    assert!(recovery.notes.iter().any(|note| note.contains("full")));
    log.append(entry(9), |_| ()).unwrap();
    assert!(log.commit(Durability::Durable).is_err());
    drop(log);
    left.set_capacity(1 << 20);
    let (log, recovery) = Log::open(sim(&left), Path::new(DIR), OPTIONS, |_| Ok(())).unwrap();
    assert_eq!(recovery.set_aside.len(), 1);
    assert!(log.is_writable());
}

/// Where there is not even room for an empty store, making one is refused, and works later.
#[test]
fn a_store_is_made_or_the_disk_is_full() {
    for capacity in (0..20_000).step_by(100) {
        let disk = SimDisk::new();
        disk.set_capacity(capacity);
        if let Err(error) = Log::open(sim(&disk), Path::new(DIR), OPTIONS, |_| Ok(())) {
            assert!(matches!(error, OpenError::Io { .. }), "{capacity}: {error}");
        }
        disk.set_capacity(1 << 20);
        let (mut log, _) = open(&disk);
        log.append(entry(1), |out| out.extend(payload(1))).unwrap();
        log.commit(Durability::Durable).unwrap();
        drop(log);
        holds(&disk, &BTreeSet::from([1]), "made later");
    }
}
