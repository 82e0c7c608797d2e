//! Damage to the log's file: found, and never taken for something else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::RealDisk;
use cortica_storage::{Durability, Entry, Log, LogOptions, OpenError, OpenMode, Recovery, check};
use std::fs;
use std::path::{Path, PathBuf};

struct Fixture {
    #[expect(dead_code, reason = "held: the folder goes with it")]
    folder: tempfile::TempDir,
    dir: PathBuf,
    segment: PathBuf,
    bytes: Vec<u8>,
    /// File offsets of the records' starts, and the end.
    offsets: Vec<usize>,
}

fn payload(seq: u64) -> Vec<u8> {
    (0..40 + seq * 3)
        .map(|at| (at + seq * 31) as u8 | 1)
        .collect()
}

/// Six records, each committed durably on its own.
fn fixture() -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let (mut log, _) = Log::open(&RealDisk, &dir, OpenMode::CreateIfMissing, |_| Ok(())).unwrap();
    let mut offsets = Vec::new();
    for seq in 0..6 {
        let entry = Entry {
            space: 0,
            kind: 0,
            dimension: 0,
            seq,
        };
        let position = log.append(entry, |out| out.extend(payload(seq))).unwrap();
        log.commit(Durability::Durable).unwrap();
        offsets.push(64 + position as usize);
    }
    offsets.push(64 + log.stats().bytes as usize);
    drop(log); // Not closed: a mark at the end would prove the last record durable.
    let segment = dir.join("log/00000000000000000000.log");
    let bytes = fs::read(&segment).unwrap();
    assert_eq!(bytes.len(), *offsets.last().unwrap());
    Fixture {
        folder,
        dir,
        segment,
        bytes,
        offsets,
    }
}

/// Opens and checks that what is there is what was written, a prefix of it. Returns its length.
fn open_prefix(dir: &Path) -> Result<(usize, Recovery), OpenError> {
    let mut count = 0;
    let (_log, recovery) = Log::open(&RealDisk, dir, OpenMode::CreateIfMissing, |record| {
        assert_eq!(record.entry.seq, count, "records out of order or invented");
        assert_eq!(record.payload, payload(count), "a wrong payload passed");
        count += 1;
        Ok(())
    })?;
    Ok((count as usize, recovery))
}

#[test]
fn cut_at_every_offset_the_log_keeps_exactly_the_records_before_the_cut() {
    let fixture = fixture();
    for cut in 0..fixture.bytes.len() {
        fs::write(&fixture.segment, &fixture.bytes[..cut]).unwrap();
        if cut < 64 {
            let refused = open_prefix(&fixture.dir).map(drop).unwrap_err();
            assert!(
                matches!(
                    refused,
                    OpenError::LogMissing { .. } | OpenError::Corrupt { .. }
                ),
                "cut {cut}: {refused}"
            );
            continue;
        }
        let (kept, recovery) = open_prefix(&fixture.dir).unwrap();
        // Zeros that pad the last payload are no part of it.
        let ends = (0..6).map(|seq| fixture.offsets[seq as usize] + 56 + payload(seq).len());
        assert_eq!(kept, ends.filter(|&end| end <= cut).count(), "cut {cut}");
        assert!(recovery.dropped_tail_bytes as usize <= cut, "cut {cut}");
        let (again, recovery) = open_prefix(&fixture.dir).unwrap();
        assert_eq!(
            (again, recovery.dropped_tail_bytes),
            (kept, 0),
            "cut {cut}: not mended"
        );
    }
}

#[test]
fn every_flipped_bit_is_noticed_or_harmless() {
    let fixture = fixture();
    let (mut refused, mut dropped, mut harmless) = (0, 0, 0);
    for bit in 0..fixture.bytes.len() * 8 {
        let mut bad = fixture.bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&fixture.segment, &bad).unwrap();
        let report = check(&RealDisk, &fixture.dir, |_| Ok(()));
        match open_prefix(&fixture.dir) {
            Err(OpenError::Corrupt { .. }) => {
                refused += 1;
                assert!(
                    !report.is_ok_and(|report| report.is_sound()),
                    "check missed bit {bit}"
                );
            }
            Err(other) => panic!("bit {bit}: {other}"),
            Ok((6, _)) => harmless += 1,
            Ok((kept, recovery)) => {
                // Only a bad last record can pass for a commit that never finished.
                assert_eq!(kept, 5, "bit {bit} lost a durable record silently");
                assert!(recovery.dropped_tail_bytes > 0);
                dropped += 1;
            }
        }
    }
    let last_record = (fixture.offsets[6] - fixture.offsets[5]) * 8;
    println!("bit flips: {refused} refused, {dropped} dropped as a tail, {harmless} in padding");
    assert!(dropped <= last_record && harmless < 6 * 7 * 8 && refused > 0);
}

#[test]
fn blocks_that_were_zeroed_swapped_or_stale_are_noticed() {
    let fixture = fixture();
    let offsets = &fixture.offsets;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bad = fixture.bytes.clone();
        change(&mut bad);
        fs::write(&fixture.segment, &bad).unwrap();
        open_prefix(&fixture.dir)
    };
    for record in 0..5 {
        let span = offsets[record]..offsets[record + 1];
        let zeroed = with(&|bytes| bytes[span.clone()].fill(0));
        assert!(
            matches!(zeroed, Err(OpenError::Corrupt { .. })),
            "record {record}"
        );
        let ones = with(&|bytes| bytes[span.clone()].fill(0xff));
        assert!(
            matches!(ones, Err(OpenError::Corrupt { .. })),
            "record {record}"
        );
    }
    // Records 1 and 2 span the same number of bytes, so they can stand in each other's place.
    let len = offsets[2] - offsets[1];
    assert_eq!(len, offsets[3] - offsets[2]);
    let swapped = with(&|bytes| {
        let (first, second) = bytes[offsets[1]..offsets[3]].split_at_mut(len);
        first.swap_with_slice(second);
    });
    assert!(matches!(swapped, Err(OpenError::Corrupt { .. })));
    let doubled = with(&|bytes| bytes.copy_within(offsets[1]..offsets[2], offsets[2]));
    assert!(matches!(doubled, Err(OpenError::Corrupt { .. })));
}

#[test]
fn check_lists_every_damaged_record_and_changes_nothing() {
    let fixture = fixture();
    let mut bad = fixture.bytes.clone();
    bad[fixture.offsets[1] + 60] ^= 1;
    bad[fixture.offsets[3] + 5] ^= 1;
    fs::write(&fixture.segment, &bad).unwrap();
    let report = check(&RealDisk, &fixture.dir, |_| Ok(())).unwrap();
    let places: Vec<_> = report
        .damage
        .iter()
        .map(|damage| damage.offset as usize)
        .collect();
    assert_eq!(places, [fixture.offsets[1], fixture.offsets[3]]);
    assert_eq!(report.records, 4);
    assert_eq!(fs::read(&fixture.segment).unwrap(), bad);
}

#[test]
fn a_length_on_disk_is_never_believed() {
    let fixture = fixture();
    for length in [u32::MAX, 1 << 30, 17 << 20] {
        let mut bad = fixture.bytes.clone();
        let header = fixture.offsets[5];
        bad[header + 40..header + 44].copy_from_slice(&length.to_le_bytes());
        let crc = crc32fast::hash(&bad[header..header + 52]);
        bad[header + 52..header + 56].copy_from_slice(&crc.to_le_bytes());
        fs::write(&fixture.segment, &bad).unwrap();
        let (kept, recovery) = open_prefix(&fixture.dir).unwrap();
        assert_eq!(kept, 5);
        assert!(recovery.dropped_tail_bytes > 0);
    }
}

/// Commits of several records each, left as `ending` says; every bit of the file flipped in turn.
fn flip_every_bit(commits: &[u64], ending: fn(Log)) -> (usize, usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let options = LogOptions {
        mode: OpenMode::CreateIfMissing,
        reserve_bytes: 0,
    };
    let (mut log, _) = Log::open(&RealDisk, &dir, options, |_| Ok(())).unwrap();
    let (mut total, mut proven) = (0, 0);
    for &records in commits {
        proven = total;
        for _ in 0..records {
            let entry = Entry {
                space: 0,
                kind: 0,
                dimension: 0,
                seq: total,
            };
            log.append(entry, |out| out.extend(payload(total))).unwrap();
            total += 1;
        }
        log.commit(Durability::Durable).unwrap();
    }
    ending(log);
    let segment = dir.join("log/00000000000000000000.log");
    let bytes = fs::read(&segment).unwrap();
    let (mut refused, mut aside, mut harmless) = (0, 0, 0);
    for bit in 0..bytes.len() * 8 {
        let mut bad = bytes.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        fs::write(&segment, &bad).unwrap();
        let report = check(&RealDisk, &dir, |_| Ok(()));
        match open_prefix(&dir) {
            Err(OpenError::Corrupt { .. } | OpenError::LogMissing { .. }) => {
                refused += 1;
                assert!(
                    !report.is_ok_and(|report| report.is_sound()),
                    "bit {bit}: check calls sound what open refuses"
                );
                assert_eq!(
                    fs::read(&segment).unwrap(),
                    bad,
                    "bit {bit}: refused, yet changed"
                );
            }
            Err(other) => panic!("bit {bit}: {other}"),
            Ok((kept, recovery)) => {
                let report = report.unwrap();
                assert!(
                    report.is_sound(),
                    "bit {bit}: check and open disagree: {report:?}"
                );
                assert_eq!(report.tail_bytes, recovery.dropped_tail_bytes, "bit {bit}");
                assert!(
                    kept as u64 >= proven,
                    "bit {bit}: lost what was proven durable"
                );
                let lost = total - kept as u64;
                // The flipped record itself may be gone; the whole ones behind it are kept aside.
                assert!(
                    recovery.set_aside_records + 1 >= lost,
                    "bit {bit}: {recovery:?}"
                );
                if let Some(path) = recovery.set_aside {
                    let kept_aside = fs::read(path).unwrap();
                    // The log was cut where the tail began.
                    let start = fs::metadata(&segment).unwrap().len() as usize;
                    assert_eq!(kept_aside, bad[start..], "bit {bit}");
                    aside += 1;
                } else if lost == 0 {
                    harmless += 1;
                }
            }
        }
    }
    (refused, aside, harmless)
}

#[test]
fn after_a_clean_close_no_flipped_bit_loses_a_record() {
    for commits in [&[1][..], &[5], &[2, 3], &[4, 1, 2]] {
        let (refused, aside, harmless) = flip_every_bit(commits, |log| log.close().unwrap());
        println!("closed {commits:?}: {refused} refused, {aside} set aside, {harmless} harmless");
        assert_eq!(aside, 0, "the mark proves all of it durable");
        assert!(refused > 0);
    }
}

#[test]
fn after_a_crash_only_the_last_commit_can_be_set_aside() {
    for commits in [&[1][..], &[5], &[2, 3], &[4, 1, 2]] {
        let (refused, aside, harmless) = flip_every_bit(commits, drop);
        println!("crashed {commits:?}: {refused} refused, {aside} set aside, {harmless} harmless");
        // With one record in the last commit there is no whole one behind the flipped one.
        let last = commits[commits.len() - 1];
        assert_eq!(aside > 0, last > 1);
    }
}
