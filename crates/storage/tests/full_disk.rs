//! The disk is full: nothing is lost, reading and opening go on, forgetting and compacting are
//! possible, and when there is room again, so is writing.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Disk, Keep, Seed, SimDisk};
use cortica_storage::{
    CommitError, CompactError, Durability, Effort, Fate, Location, Log, LogOptions, LogStats,
    OpenError, OpenMode,
};
use cortica_testkit::report;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use support::fixture::Step;
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

fn compact(log: &mut Log, live: &BTreeSet<u64>) -> Step {
    support::fixture::compact(log, live, None)
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
    let (mut disks, mut refused) = (0, 0);
    for capacity in (20..160).step_by(4) {
        for (batch, durability, parts) in [
            (1, Durability::Durable, false),
            (7, Durability::Buffered, false),
            (24, Durability::Durable, true),
            (50, Durability::None, false),
        ] {
            let what = format!("{capacity} KB, {batch} at once, {durability}");
            disks += 1;
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
                    matches!(refusal, Err(CommitError::Full)),
                    "{what}: {refusal:?}"
                );
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
    assert_eq!(refused, 3 * disks, "every commit without room is refused");
    let counts = [("disks_filled", disks), ("commits_refused", refused)];
    report("full_disk", 0, &counts);
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

/// Files of a megabyte, each of them half dead, and no room for half of one: every step frees
/// some, a crash at any step leaves nothing that cannot go on without more room.
#[test]
fn files_that_are_half_dead_are_compacted_on_a_full_disk() {
    let pieces = clear_up(2);
    assert!(pieces > 2, "{pieces}");
}

#[test]
fn files_a_fifth_of_which_is_dead_are_compacted_on_a_full_disk() {
    let pieces = clear_up(5);
    assert!(pieces > 10, "{pieces}");
}

/// Every `nth` record is dead. Returns how many pieces files were rewritten in.
fn clear_up(nth: u64) -> u64 {
    let options = LogOptions {
        mode: OpenMode::CreateIfMissing,
        segment_bytes: 1 << 20,
    };
    let record = |seq: u64| vec![seq as u8 | 1; 3_000];
    let read = |disk: &SimDisk| {
        let mut places = BTreeMap::new();
        let (log, recovery) = Log::open(sim(disk), Path::new(DIR), options, |it| {
            assert_eq!(it.payload, record(it.entry.seq));
            places.insert(it.entry.seq, it.location());
            Ok(())
        })
        .unwrap();
        assert_eq!(recovery.damage, []);
        (log, places)
    };
    let disk = SimDisk::new();
    disk.set_capacity(9 << 20);
    let (mut log, _) = read(&disk);
    let mut count = 0;
    loop {
        log.append(entry(count), |out| out.extend(record(count)))
            .unwrap();
        match log.commit(Durability::Durable) {
            Ok(_) => count += 1,
            Err(CommitError::Full) => break,
            Err(error) => panic!("{error}"),
        }
    }
    let live: BTreeSet<u64> = (0..count).filter(|seq| seq % nth != 0).collect();
    let retire = |log: &mut Log, places: &BTreeMap<u64, Location>| {
        let dead = places.iter().filter(|(seq, _)| !live.contains(seq));
        dead.for_each(|(_, place)| log.retire(*place));
    };
    drop(log);
    let (mut log, places) = read(&disk);
    assert_eq!(places.len() as u64, count);
    retire(&mut log, &places);
    // Somebody else takes most of what was kept back.
    disk.remove(&Path::new(DIR).join("reserve")).unwrap();
    let capacity = disk.used() + (48 << 10);
    disk.set_capacity(capacity);
    let (mut pieces, mut crashes) = (0, 0);
    let mut done = false;
    while !done {
        let files = log.stats().segments;
        done = compact(&mut log, &live) == Step::Nothing;
        pieces += u64::from(log.stats().segments > files);
        // What if the power goes now, and there is not a byte more than before?
        for keep in [Keep::Nothing, Keep::Everything, Keep::Seeded(Seed(crashes))] {
            crashes += 1;
            let left = disk.power_cut(keep);
            left.set_capacity(capacity);
            let (mut log, places) = read(&left);
            assert!(live.iter().all(|seq| places.contains_key(seq)));
            retire(&mut log, &places);
            let mut full = 0;
            loop {
                match compact(&mut log, &live) {
                    Step::Nothing => break,
                    Step::Done => full = 0,
                    Step::Full => full += 1,
                }
                assert!(full < 2, "crash {crashes}, {keep:?}: it does not go on");
            }
            assert_eq!(log.stats().dead_bytes, 0);
            log.close().unwrap();
            assert!(read(&left).1.keys().eq(&live));
        }
    }
    let stats = log.stats();
    assert_eq!(stats.dead_bytes, 0, "{stats:?}");
    assert!(stats.file_bytes < stats.live_bytes + 4_096, "{stats:?}");
    drop(log);
    assert!(read(&disk).1.keys().eq(&live));
    report("full_disk", 0, &[("crashes_while_clearing_up", crashes)]);
    pieces
}

/// A file that a snapshot reads is not cut under its eyes; when it is done, it is.
#[test]
fn a_snapshot_keeps_what_it_reads_on_a_full_disk() {
    let disk = SimDisk::new();
    disk.set_capacity(64 << 10);
    let (mut log, stored) = fill(&disk, 1, Durability::Durable, false);
    let live: BTreeSet<u64> = stored.iter().copied().filter(|seq| seq % 2 == 0).collect();
    retire_all(
        &mut log,
        &disk,
        &stored.difference(&live).copied().collect(),
    );
    // The reserve is used up, and one file cut.
    while compact(&mut log, &live) != Step::Done {}
    let snapshot = log.plan_snapshot().unwrap();
    for _ in 0..3 {
        assert_eq!(compact(&mut log, &live), Step::Full);
    }
    let copy = SimDisk::new();
    let kept = |record: &cortica_storage::Record<'_>| {
        if live.contains(&record.entry.seq) {
            Fate::Keep
        } else {
            Fate::Drop
        }
    };
    let copied = snapshot.write(&sim(&copy), Path::new(DIR), kept).unwrap();
    assert_eq!(copied.records, live.len() as u64);
    drop(snapshot);
    while compact(&mut log, &live) != Step::Nothing {}
    assert_eq!(log.stats().dead_bytes, 0);
    log.close().unwrap();
    assert_eq!((open(&disk).1, open(&copy).1), (live.clone(), live));
}

/// What is retired while a piece is rewritten counts as dead where it lies.
#[test]
fn what_is_retired_meanwhile_is_counted() {
    let disk = SimDisk::new();
    disk.set_capacity(64 << 10);
    let (mut log, stored) = fill(&disk, 1, Durability::Durable, false);
    let mut live: BTreeSet<u64> = stored.iter().copied().filter(|seq| seq % 2 == 0).collect();
    retire_all(
        &mut log,
        &disk,
        &stored.difference(&live).copied().collect(),
    );
    while compact(&mut log, &live) != Step::Done {}
    let plan = log.plan_compaction(Effort::Everything).unwrap().unwrap();
    let rewritten = plan.rewrite(|record| {
        if live.contains(&record.entry.seq) {
            Fate::Keep
        } else {
            Fate::Drop
        }
    });
    let before = log.stats();
    let gone: BTreeSet<u64> = live.iter().copied().filter(|seq| seq % 4 == 0).collect();
    retire_all(&mut log, &disk, &gone);
    let retired = before.live_bytes - log.stats().live_bytes;
    log.install(rewritten.unwrap()).unwrap();
    live.retain(|seq| !gone.contains(seq));
    let stats = log.stats();
    assert_eq!(stats.live_bytes, before.live_bytes - retired);
    assert!(stats.dead_bytes >= retired);
    while compact(&mut log, &live) != Step::Nothing {}
    assert_eq!(log.stats().dead_bytes, 0);
    assert_eq!(log.stats().live_bytes, before.live_bytes - retired);
    log.close().unwrap();
    assert_eq!(open(&disk).1, live);
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
