//! The log without disasters: what goes in comes out, and bad folders are refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{Disk, Keep, Open, RealDisk, SimDisk};
use cortica_storage::{
    AppendError, CommitError, Durability, Entry, Log, OpenError, OpenMode, PAYLOAD_MAX, Recovery,
    check,
};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const DIR: &str = "store";
const SEGMENT: &str = "log/00000000000000000000.log";

fn entry(seq: u64) -> Entry {
    Entry {
        space: 1,
        kind: 2,
        dimension: 3,
        seq,
    }
}

fn append(log: &mut Log, seq: u64, payload: &[u8]) -> u64 {
    log.append(entry(seq), |out| out.extend_from_slice(payload))
        .unwrap()
        .position
}

fn open(disk: &Arc<dyn Disk>, dir: &Path) -> (Log, Recovery, Vec<(u64, Vec<u8>)>) {
    let mut seen = Vec::new();
    let (log, recovery) = Log::open(disk.clone(), dir, OpenMode::CreateIfMissing, |record| {
        assert_eq!(
            (
                record.entry.space,
                record.entry.kind,
                record.entry.dimension
            ),
            (1, 2, 3)
        );
        seen.push((record.entry.seq, record.payload.to_vec()));
        Ok(())
    })
    .unwrap();
    (log, recovery, seen)
}

fn refused(disk: &Arc<dyn Disk>, dir: &Path, mode: OpenMode) -> OpenError {
    Log::open(disk.clone(), dir, mode, |_| Ok(()))
        .map(|_| ())
        .unwrap_err()
}

fn real() -> Arc<dyn Disk> {
    Arc::new(RealDisk)
}

fn sim(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn on_both(check: impl Fn(&Arc<dyn Disk>, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    check(&real(), &folder.path().join(DIR));
    check(&sim(&SimDisk::new()), Path::new(DIR));
}

#[test]
fn records_come_back_in_order_with_their_positions() {
    on_both(|disk, dir| {
        let payloads: Vec<Vec<u8>> = [0, 1, 7, 8, 9, 3_100, 1 << 20, 3 << 20]
            .into_iter()
            .map(|len| (0..len).map(|at| (at * 7 + len) as u8).collect())
            .collect();
        let (mut log, _, seen) = open(disk, dir);
        assert!(seen.is_empty());
        let mut positions = Vec::new();
        for (seq, payload) in payloads.iter().enumerate() {
            positions.push(append(&mut log, seq as u64, payload));
            let durability = [Durability::None, Durability::Buffered, Durability::Durable][seq % 3];
            assert_eq!(log.commit(durability).unwrap(), durability);
        }
        let bytes = log.stats().bytes;
        assert!(
            positions
                .windows(2)
                .all(|pair| pair[0] < pair[1] && pair[1] % 8 == 0)
        );
        assert!(log.stats().file_bytes > bytes);
        log.close().unwrap();
        let (log, recovery, seen) = open(disk, dir);
        assert_eq!((recovery.records, recovery.dropped_tail_bytes), (8, 0));
        assert_eq!(log.stats().bytes, bytes);
        assert_eq!(seen.len(), 8);
        for (seq, payload) in seen {
            assert_eq!(payload, payloads[seq as usize]);
        }
        drop(log);
        let report = check(&**disk, dir, |_| Ok(())).unwrap();
        assert!(report.is_sound());
        assert_eq!(
            (report.records, report.bytes, report.tail_bytes),
            (8, bytes, 0)
        );
    });
}

#[test]
fn closing_gives_reserved_space_back() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join(DIR);
    let (mut log, ..) = open(&real(), &dir);
    append(&mut log, 1, b"0123456789");
    log.commit(Durability::Durable).unwrap();
    let len = || fs::metadata(dir.join(SEGMENT)).unwrap().len();
    assert_eq!(len(), 8 << 20);
    drop(log); // Keeps it: a shorter file would look as if somebody had cut it.
    assert_eq!(len(), 8 << 20);
    for _ in 0..3 {
        open(&real(), &dir).0.close().unwrap();
        // 128 for the file, 56 for the record's header, 16 for its padded payload.
        assert_eq!(len(), 128 + 56 + 16);
    }
}

#[test]
fn what_is_rolled_back_or_never_committed_is_not_there() {
    on_both(|disk, dir| {
        let (mut log, ..) = open(disk, dir);
        append(&mut log, 1, b"kept");
        log.commit(Durability::None).unwrap();
        append(&mut log, 2, b"dropped");
        log.rollback();
        append(&mut log, 3, b"kept too");
        log.commit(Durability::Buffered).unwrap();
        append(&mut log, 4, b"never committed");
        drop(log);
        let seqs: Vec<_> = open(disk, dir).2.into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(seqs, [1, 3]);
    });
}

#[test]
fn a_large_commit_goes_out_in_parts() {
    on_both(|disk, dir| {
        let (mut log, ..) = open(disk, dir);
        for seq in 0..40 {
            append(&mut log, seq, &[seq as u8; 3_000]);
            if seq % 10 == 9 {
                assert!(log.waiting() > 30_000);
                log.commit_part(Durability::Durable).unwrap();
                assert_eq!(log.waiting(), 0);
            }
        }
        append(&mut log, 40, b"the rest");
        assert_eq!(
            log.commit(Durability::Durable).unwrap(),
            Durability::Durable
        );
        drop(log);
        let seqs: Vec<_> = open(disk, dir).2.into_iter().map(|(seq, _)| seq).collect();
        assert_eq!(seqs, (0..=40).collect::<Vec<_>>());
    });
}

/// The part is written while the log goes on, so it is a later part or the commit that says so.
#[test]
fn a_part_that_cannot_be_written_fails_its_commit() {
    for parts in 1..=5 {
        let disk = SimDisk::new();
        let (mut log, ..) = open(&sim(&disk), Path::new(DIR));
        append(&mut log, 1, b"kept");
        log.commit(Durability::Durable).unwrap();
        disk.fail_operation(1);
        let mut failed = false;
        for seq in 2..2 + parts {
            append(&mut log, seq, b"lost");
            failed |= log.commit_part(Durability::Durable).is_err();
        }
        assert!(failed || parts < 3, "{parts} parts wait in memory");
        let committed = log.commit(Durability::Durable);
        match committed {
            Err(CommitError::Io {
                action: "write", ..
            }) => assert!(!failed),
            Err(CommitError::Stopped) => assert!(failed),
            other => panic!("{other:?}"),
        }
        append(&mut log, 9, b"too late");
        let late = log.commit(Durability::Durable);
        assert!(matches!(late, Err(CommitError::Stopped)));
        drop(log);
        // Behind a part that was not written nothing was.
        for disk in [disk.clone(), disk.power_cut(Keep::Everything)] {
            let (log, recovery, found) = open(&sim(&disk), Path::new(DIR));
            drop(log);
            let seqs: Vec<_> = found.into_iter().map(|(seq, _)| seq).collect();
            assert_eq!(seqs, [1], "{parts} parts");
            assert_eq!(recovery.dropped_tail_bytes, 0, "{parts} parts");
        }
    }
}

#[test]
fn a_record_that_is_too_large_is_refused_and_leaves_no_trace() {
    let disk = SimDisk::new();
    let (mut log, ..) = open(&sim(&disk), Path::new(DIR));
    let refusal = log.append(entry(1), |out| out.resize(out.len() + PAYLOAD_MAX + 1, 7));
    let AppendError::TooLarge { got, max } = refusal.unwrap_err() else {
        panic!()
    };
    assert_eq!((got, max), (PAYLOAD_MAX + 1, PAYLOAD_MAX));
    let own = Entry {
        kind: u16::MAX,
        ..entry(1)
    };
    assert!(matches!(
        log.append(own, |_| ()),
        Err(AppendError::ReservedKind)
    ));
    append(&mut log, 2, &vec![9; PAYLOAD_MAX]);
    log.commit(Durability::Durable).unwrap();
    drop(log);
    assert_eq!(open(&sim(&disk), Path::new(DIR)).2.len(), 1);
}

#[test]
fn folders_that_are_no_store_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    assert!(matches!(
        refused(&real(), &missing, OpenMode::MustExist),
        OpenError::Missing { path } if path == missing
    ));
    assert!(!missing.exists());
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let error = refused(&real(), &empty, OpenMode::MustExist);
    assert!(matches!(error, OpenError::Missing { .. }), "{error}");
    assert!(fs::read_dir(&empty).unwrap().next().is_none());
    let full = folder.path().join("full");
    fs::create_dir(&full).unwrap();
    fs::write(full.join("thesis.tex"), "years of work").unwrap();
    for mode in [OpenMode::MustExist, OpenMode::CreateIfMissing] {
        let error = refused(&real(), &full, mode);
        assert!(matches!(error, OpenError::NotAStore { ref found, .. } if found == "thesis.tex"));
    }
    // A folder called log in it does not make it one.
    fs::create_dir(full.join("log")).unwrap();
    let error = refused(&real(), &full, OpenMode::CreateIfMissing);
    assert!(matches!(error, OpenError::NotAStore { .. }), "{error}");
    assert_eq!(fs::read_dir(&full).unwrap().count(), 2);
    let file = full.join("thesis.tex");
    assert!(matches!(
        refused(&real(), &file, OpenMode::CreateIfMissing),
        OpenError::Io {
            action: "list the folder",
            ..
        }
    ));
}

#[test]
fn a_second_opener_is_told_who_has_it() {
    on_both(|disk, dir| {
        let (log, ..) = open(disk, dir);
        for refusal in [
            refused(disk, dir, OpenMode::MustExist),
            check(&**disk, dir, |_| Ok(())).unwrap_err(),
        ] {
            let OpenError::Locked { holder, .. } = refusal else {
                panic!("{refusal}")
            };
            assert_eq!(holder, Some(std::process::id()));
        }
        drop(log);
        open(disk, dir);
    });
}

#[test]
fn newer_formats_are_refused_in_segment_and_record() {
    let newer_at = |version_at: usize, crc_from: usize, crc_at: usize| {
        let (folder, dir, path) = one_record_on_disk();
        let mut bytes = fs::read(&path).unwrap();
        bytes[version_at] = 9;
        let crc = crc32fast::hash(&bytes[crc_from..crc_at]);
        bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
        fs::write(&path, &bytes).unwrap();
        let error = refused(&real(), &dir, OpenMode::MustExist);
        assert!(
            matches!(
                error,
                OpenError::NewerFormat {
                    found: 9,
                    supported: 3,
                    ..
                }
            ),
            "{error}"
        );
        let error = check(&RealDisk, &dir, |_| Ok(())).unwrap_err();
        assert!(matches!(error, OpenError::NewerFormat { .. }));
        assert_eq!(fs::read(&path).unwrap(), bytes, "left as it was");
        drop(folder);
    };
    newer_at(8, 0, 124); // The file's version.
    newer_at(128 + 4, 128, 128 + 52); // The record's.
}

fn one_record_on_disk() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join(DIR);
    let (mut log, ..) = open(&real(), &dir);
    append(&mut log, 1, b"payload");
    log.commit(Durability::None).unwrap();
    log.close().unwrap();
    let path = dir.join(SEGMENT);
    (folder, dir, path)
}

#[test]
fn a_reader_that_refuses_a_record_stops_the_open() {
    let (_folder, dir, _) = one_record_on_disk();
    let refusal = Log::open(real(), &dir, OpenMode::MustExist, |_| {
        Err("no sense".to_owned())
    });
    let OpenError::Corrupt { offset, why, .. } = refusal.map(|_| ()).unwrap_err() else {
        panic!()
    };
    assert_eq!((offset, why.as_str()), (128, "no sense"));
    let report = check(&RealDisk, &dir, |_| Err("no sense".to_owned())).unwrap();
    assert_eq!((report.records, report.damage.len()), (1, 1));
}

#[test]
fn a_failed_write_or_sync_stops_writing_until_the_log_is_reopened() {
    // The operations of a commit: write, sync.
    for failing in 1..=2 {
        let disk = SimDisk::new();
        let dir = Path::new(DIR);
        let (mut log, ..) = open(&sim(&disk), dir);
        append(&mut log, 1, b"lost");
        disk.fail_operation(failing);
        let error = log.commit(Durability::Durable).unwrap_err();
        assert!(matches!(error, CommitError::Io { .. }), "{error}");
        append(&mut log, 2, b"refused");
        assert!(matches!(
            log.commit(Durability::Durable),
            Err(CommitError::Stopped)
        ));
        assert!(matches!(log.close(), Err(CommitError::Stopped)));
        let (mut log, _, seen) = open(&sim(&disk), dir);
        assert!(seen.iter().all(|(seq, _)| *seq == 1), "{seen:?}");
        append(&mut log, 3, b"kept");
        log.commit(Durability::Durable).unwrap();
        assert_eq!(log.close().unwrap(), Durability::Durable);
        assert_eq!(open(&sim(&disk), dir).2.last().unwrap().0, 3);
    }
}

#[test]
fn a_store_whose_making_was_interrupted_is_made_again() {
    for left_behind in [&b""[..], b"CORTLOG\n\x01\0\0", &[0; 64], &[0; 4_096]] {
        let disk = SimDisk::new();
        let dir = Path::new(DIR);
        disk.create_dir_all(&dir.join("log")).unwrap();
        let file = disk.open(&dir.join(SEGMENT), Open::CreateNew).unwrap();
        file.write_at(left_behind, 0).unwrap();
        let error = refused(&sim(&disk), dir, OpenMode::MustExist);
        assert!(matches!(error, OpenError::Missing { .. }), "{error}");
        let (mut log, _, seen) = open(&sim(&disk), dir);
        assert!(seen.is_empty());
        append(&mut log, 1, b"first");
        log.commit(Durability::None).unwrap();
        log.close().unwrap();
        assert_eq!(open(&sim(&disk), dir).2.len(), 1);
    }
}

#[test]
fn a_log_that_went_missing_is_missed() {
    for all_of_it in [true, false] {
        let (_folder, dir, path) = one_record_on_disk();
        if all_of_it {
            fs::remove_dir_all(dir.join("log")).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        for mode in [
            OpenMode::MustExist,
            OpenMode::CreateIfMissing,
            OpenMode::ReadOnly,
        ] {
            let error = refused(&real(), &dir, mode);
            assert!(matches!(error, OpenError::LogMissing { .. }), "{error}");
        }
        assert!(matches!(
            check(&RealDisk, &dir, |_| Ok(())),
            Err(OpenError::LogMissing { .. })
        ));
    }
}

#[test]
fn a_log_that_was_emptied_is_damaged() {
    for left in [&b""[..], &[0; 4_096]] {
        let (_folder, dir, path) = one_record_on_disk();
        fs::write(&path, left).unwrap();
        let (mut log, recovery, seen) = open(&real(), &dir);
        assert!(seen.is_empty() && !recovery.damage.is_empty());
        append(&mut log, 2, b"refused");
        let refusal = log.commit(Durability::Durable);
        assert!(matches!(refusal, Err(CommitError::Damaged)));
        drop(log);
        assert!(!check(&RealDisk, &dir, |_| Ok(())).unwrap().is_sound());
        assert_eq!(fs::read(&path).unwrap(), left);
    }
}

#[test]
fn a_disk_that_is_nearly_full_takes_what_still_fits() {
    let disk = SimDisk::new();
    disk.set_capacity(10_100);
    let dir = Path::new(DIR);
    let (mut log, ..) = open(&sim(&disk), dir);
    let mut stored = 0;
    loop {
        append(&mut log, stored, &[7; 944]);
        if log.commit(Durability::Durable).is_err() {
            break;
        }
        stored += 1;
    }
    // Each record takes 1,000 bytes; the segment's header and the marker file take a few.
    assert_eq!(stored, 9);
    drop(log);
    // Reading needs no space: not to open, not to close.
    for _ in 0..3 {
        let (log, _, seen) = open(&sim(&disk), dir);
        assert_eq!(seen.len() as u64, stored);
        log.close().unwrap();
    }
}
