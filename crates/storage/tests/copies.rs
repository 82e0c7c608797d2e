//! A snapshot that cannot be written leaves nothing that is in the way of the next one, and never part of
//! a store, also where the power goes while what was written is removed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Disk, Keep, LockError, Open, SimDisk};
use cortica_storage::{
    CompactError, Copied, Durability, Fate, Log, OpenError, OpenMode, Snapshot, restore,
};
use std::path::Path;
use support::{COPY, DIR, Ledger, OPTIONS, keeps, payload, sim};

const RECORDS: u64 = 40;

/// A log of some files, and a snapshot of it.
fn source() -> (Log, Snapshot) {
    let (mut log, _) =
        Log::open(sim(&SimDisk::new()), Path::new(DIR), OPTIONS, |_| Ok(())).unwrap();
    let mut ledger = Ledger::default();
    for _ in 0..RECORDS {
        ledger.append(&mut log);
        assert!(ledger.commit(&mut log, Durability::Durable).is_ok());
    }
    let snapshot = log.plan_snapshot().unwrap();
    (log, snapshot)
}

fn copy(snapshot: &Snapshot, disk: &SimDisk) -> Result<Copied, CompactError> {
    snapshot.write(&sim(disk), Path::new(COPY), |_| Fate::Keep)
}

/// How many records the store in the folder of the copy has.
fn open(disk: &SimDisk) -> Result<u64, OpenError> {
    let mut records = 0;
    let opened = Log::open(sim(disk), Path::new(COPY), OpenMode::MustExist, |record| {
        assert_eq!(record.payload, payload(record.entry.seq));
        records += 1;
        Ok(())
    });
    let (_, recovery) = opened?;
    assert_eq!(recovery.damage, []);
    Ok(records)
}

/// Half a store is none: it says so, or nothing is there.
fn assert_none(disk: &SimDisk, when: &str) {
    match open(disk) {
        Err(OpenError::Unfinished { .. } | OpenError::Missing { .. }) => {}
        other => panic!("{when}: {other:?}"),
    }
}

fn names(disk: &SimDisk) -> Vec<String> {
    let mut all = disk.list(Path::new(COPY)).unwrap();
    let log = disk.list(&Path::new(COPY).join("log"));
    all.extend(log.unwrap_or_default());
    all
}

#[test]
fn a_copy_that_fails_leaves_room_for_the_next() {
    let (_log, snapshot) = source();
    let (mut failed, mut stores) = (0, 0);
    for n in 1.. {
        let disk = SimDisk::new();
        disk.fail_operation(n);
        if copy(&snapshot, &disk).is_ok() {
            assert!(
                disk.operations() < n,
                "operation {n} failed and nobody said so"
            );
            break;
        }
        failed += 1;
        if let Ok(records) = open(&disk) {
            // Only its last sync failed: it is whole, and is not to be removed.
            assert_eq!(records, RECORDS);
            stores += 1;
            continue;
        }
        assert_none(&disk, &format!("operation {n}"));
        if disk.list(Path::new(COPY)).is_ok() {
            assert!(
                names(&disk).iter().all(|name| name == "log"),
                "operation {n}: {:?}",
                names(&disk)
            );
        }
        assert_eq!(copy(&snapshot, &disk).unwrap().records, RECORDS);
        assert_eq!(open(&disk).unwrap(), RECORDS);
    }
    assert!(failed > 40 && stores == 1, "{failed}, {stores}");
}

#[test]
fn a_copy_onto_a_full_disk_gives_its_space_back() {
    let (_log, snapshot) = source();
    let mut full = 0;
    for capacity in (0..).step_by(4_096) {
        let disk = SimDisk::new();
        disk.set_capacity(capacity);
        match copy(&snapshot, &disk) {
            Ok(_) => break,
            Err(error) => {
                let source =
                    |error: &dyn std::error::Error| error.source().map(ToString::to_string);
                assert!(
                    matches!(error, CompactError::Full) || source(&error).is_some(),
                    "{error:?}"
                );
            }
        }
        full += 1;
        assert_eq!(disk.used(), 0, "of {capacity}: {:?}", names(&disk));
        disk.set_capacity(1 << 30);
        assert_eq!(copy(&snapshot, &disk).unwrap().records, RECORDS);
        assert_eq!(open(&disk).unwrap(), RECORDS);
    }
    assert!(full > 5, "{full}");
}

/// The power goes at every operation, also of those that remove what did not fit.
#[test]
fn no_cut_while_a_copy_is_removed_leaves_part_of_a_store() {
    let (_log, snapshot) = source();
    let mut images = 0;
    for cut in 0.. {
        let disk = SimDisk::new();
        disk.set_capacity(16_384);
        disk.power_off_after(cut);
        copy(&snapshot, &disk).unwrap_err();
        for keep in keeps(disk.unsynced(), cut, 16) {
            let left = disk.power_cut(keep);
            assert_none(&left, &format!("cut {cut}, {keep:?}"));
            images += 1;
        }
        if disk.operations() < cut {
            break;
        }
    }
    assert!(images > 1_000, "{images}");
}

/// What is not ours stays, whatever it is called.
#[test]
fn a_folder_with_something_in_it_is_left_alone() {
    let (_log, snapshot) = source();
    for (name, in_log) in [
        ("log", false),
        ("mine", false),
        ("0.log", true),
        ("mine", true),
    ] {
        let disk = SimDisk::new();
        let folder = Path::new(COPY).join(if in_log { "log" } else { "" });
        disk.create_dir_all(&folder).unwrap();
        let path = folder.join(name);
        let file = disk.open(&path, Open::CreateNew).unwrap();
        file.write_at(b"mine", 0).unwrap();
        let error = copy(&snapshot, &disk).unwrap_err();
        assert!(
            matches!(error, CompactError::Folder(OpenError::NotEmpty { .. })),
            "{error:?}"
        );
        assert_eq!(disk.open(&path, Open::Read).unwrap().len().unwrap(), 4);
        assert_eq!(names(&disk).len(), 1 + usize::from(in_log));
    }
}

/// Who comes second does not remove what the first is writing.
#[test]
fn two_copies_into_one_folder_keep_each_other_out() {
    let (mut log, snapshot) = source();
    let (disk, mut refused) = (SimDisk::new(), 0);
    let second = log.plan_snapshot().unwrap();
    let copied = snapshot.write(&sim(&disk), Path::new(COPY), |_| {
        let error = copy(&second, &disk).unwrap_err();
        assert!(
            matches!(
                error,
                CompactError::Folder(OpenError::NotEmpty { .. } | OpenError::Locked { .. })
            ),
            "{error:?}"
        );
        refused += 1;
        Fate::Keep
    });
    assert_eq!((copied.unwrap().records, refused), (RECORDS, RECORDS));
    assert_eq!(open(&disk).unwrap(), RECORDS);
}

/// Before anything of the first is there, its lock is.
#[test]
fn a_folder_that_is_locked_is_left_alone() {
    let (_log, snapshot) = source();
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new(COPY)).unwrap();
    let held: Result<_, LockError> = disk.lock(&Path::new(COPY).join("lock"));
    let error = copy(&snapshot, &disk).unwrap_err();
    assert!(
        matches!(error, CompactError::Folder(OpenError::Locked { .. })),
        "{error:?}"
    );
    drop(held);
    assert_eq!(copy(&snapshot, &disk).unwrap().records, RECORDS);
}

#[test]
fn a_restore_that_fails_leaves_room_for_the_next() {
    let (_log, snapshot) = source();
    let whole = SimDisk::new();
    copy(&snapshot, &whole).unwrap();
    let (from, to) = (Path::new(COPY), Path::new(DIR));
    for n in 1.. {
        let disk = whole.power_cut(Keep::Everything);
        disk.fail_operation(n);
        if restore(&sim(&disk), from, to).is_ok() {
            break;
        }
        match restore(&sim(&disk), from, to) {
            Ok(copied) => assert_eq!(copied.records, RECORDS),
            // Its last sync had failed.
            Err(error) => {
                assert!(
                    matches!(error, CompactError::Folder(OpenError::NotEmpty { .. })),
                    "{error:?}"
                );
                let (_, recovery) =
                    Log::open(sim(&disk), to, OpenMode::MustExist, |_| Ok(())).unwrap();
                assert_eq!(recovery.records, RECORDS);
            }
        }
    }
}
