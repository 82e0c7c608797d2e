//! Frames: what is in one is there as a whole or not at all, and costs nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Disk, Keep, Open, SimDisk};
use cortica_storage::{Durability, Effort, Fate, Log, LogOptions, OpenMode, Recovery, check};
use std::path::{Path, PathBuf};
use support::{DIR, OPTIONS, entry, payload, sim};

fn open(disk: &SimDisk) -> (Log, Recovery, Vec<u64>) {
    open_with(disk, OPTIONS)
}

fn open_with(disk: &SimDisk, options: LogOptions) -> (Log, Recovery, Vec<u64>) {
    let mut seen = Vec::new();
    let opened = Log::open(sim(disk), Path::new(DIR), options, |record| {
        assert_eq!(record.payload, payload(record.entry.seq));
        seen.push(record.entry.seq);
        Ok(())
    });
    let (log, recovery) = opened.unwrap();
    (log, recovery, seen)
}

fn append(log: &mut Log, seqs: std::ops::Range<u64>) {
    for seq in seqs {
        log.append(entry(seq), |out| out.extend(payload(seq)))
            .unwrap();
    }
}

fn append_frame(log: &mut Log, seqs: std::ops::Range<u64>) {
    log.begin_frame();
    append(log, seqs);
    log.end_frame();
}

fn first_file() -> PathBuf {
    Path::new(DIR).join("log/00000000000000000000.log")
}

fn read(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Open::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// Offset and version of each record of a file.
fn versions(bytes: &[u8]) -> Vec<(usize, u16)> {
    let starts = bytes.windows(4).enumerate();
    let starts = starts.filter(|(at, magic)| *magic == b"CREC" && at % 8 == 0);
    starts
        .map(|(at, _)| (at, u16::from_le_bytes([bytes[at + 4], bytes[at + 5]])))
        .collect()
}

#[test]
fn frames_come_back_whole_and_in_order() {
    let disk = SimDisk::new();
    let (mut log, ..) = open(&disk);
    append(&mut log, 0..2);
    append_frame(&mut log, 2..5);
    append_frame(&mut log, 5..5);
    append_frame(&mut log, 5..6);
    append_frame(&mut log, 6..40); // Over several files.
    append(&mut log, 40..41);
    log.commit(Durability::Durable).unwrap();
    drop(log);
    let (_, recovery, seen) = open(&disk);
    assert_eq!(seen, (0..41).collect::<Vec<_>>());
    assert_eq!((recovery.records, recovery.dropped_tail_bytes), (41, 0));
    assert!(check(&disk, Path::new(DIR), |_| Ok(())).is_ok_and(|it| it.damage.is_empty()));
}

/// Only records that are not the last of their frame need a reader that knows frames.
#[test]
fn what_needs_no_frame_says_the_older_version() {
    let disk = SimDisk::new();
    let (mut log, ..) = open(&disk);
    append(&mut log, 0..1);
    append_frame(&mut log, 1..3);
    append_frame(&mut log, 3..4);
    log.begin_frame();
    append(&mut log, 4..5);
    log.commit(Durability::Durable).unwrap(); // Ends it.
    let versions: Vec<u16> = versions(&read(&disk, &first_file()))
        .into_iter()
        .map(|(_, version)| version)
        .collect();
    assert_eq!(versions, [2, 3, 2, 2, 2]);
}

#[test]
fn a_frame_without_its_end_is_set_aside() {
    for (cut, kept) in [(4, 4), (3, 1), (2, 1), (1, 1), (0, 0)] {
        let disk = SimDisk::new();
        let (mut log, ..) = open(&disk);
        append(&mut log, 0..1);
        append_frame(&mut log, 1..4);
        log.commit(Durability::Durable).unwrap();
        append(&mut log, 4..5);
        log.commit(Durability::Buffered).unwrap();
        drop(log);
        let mut bytes = read(&disk, &first_file());
        let records = versions(&bytes);
        let from = records[cut].0;
        bytes[from..].fill(0);
        let file = disk.open(&first_file(), Open::Write).unwrap();
        file.write_at(&bytes, 0).unwrap();
        file.sync().unwrap();
        let disk = disk.power_cut(Keep::Everything);
        let (mut log, recovery, seen) = open(&disk);
        assert_eq!(seen, (0..kept).collect::<Vec<_>>(), "cut before {cut}");
        assert_eq!(recovery.damage, []);
        let aside = (cut as u64).saturating_sub(kept);
        assert_eq!(recovery.set_aside_records, aside, "cut before {cut}");
        assert_eq!(recovery.records, kept);
        // The log goes on from there.
        append_frame(&mut log, 50..53);
        log.commit(Durability::Durable).unwrap();
        drop(log);
        let (_, recovery, seen) = open(&disk);
        let want: Vec<u64> = (0..kept).chain(50..53).collect();
        assert_eq!((seen, recovery.dropped_tail_bytes), (want, 0));
    }
}

#[test]
fn a_reader_sees_no_part_of_a_frame_either() {
    let disk = SimDisk::new();
    let (mut log, ..) = open(&disk);
    append(&mut log, 0..1);
    append_frame(&mut log, 1..4);
    log.commit(Durability::Durable).unwrap();
    drop(log);
    let bytes = read(&disk, &first_file());
    let last = versions(&bytes)[3].0;
    let file = disk.open(&first_file(), Open::Write).unwrap();
    file.write_at(&vec![0; bytes.len() - last], last as u64)
        .unwrap();
    let reading = LogOptions {
        mode: OpenMode::ReadOnly,
        ..OPTIONS
    };
    let (_, recovery, seen) = open_with(&disk, reading);
    assert_eq!((seen, recovery.records), (vec![0], 1));
    assert_eq!(recovery.set_aside_records, 2);
}

/// A frame that was durable once and is damaged costs what is damaged.
#[test]
fn damage_in_a_frame_costs_what_is_damaged() {
    for bad in 1..4 {
        let disk = SimDisk::new();
        let (mut log, ..) = open(&disk);
        append(&mut log, 0..1);
        append_frame(&mut log, 1..4);
        log.commit(Durability::Durable).unwrap();
        append_frame(&mut log, 4..6);
        log.commit(Durability::Durable).unwrap();
        log.close().unwrap();
        let bytes = read(&disk, &first_file());
        let (at, _) = versions(&bytes)[bad];
        let file = disk.open(&first_file(), Open::Write).unwrap();
        file.write_at(&[bytes[at + 60] ^ 1], at as u64 + 60)
            .unwrap();
        file.sync().unwrap();
        let (_, recovery, seen) = open(&disk);
        let want: Vec<u64> = (0..6).filter(|&seq| seq != bad as u64).collect();
        assert_eq!(seen, want);
        assert_eq!(recovery.damage.len(), 1);
        assert_eq!(recovery.damage[0].seq, Some(bad as u64));
    }
}

#[test]
fn what_is_rolled_back_leaves_no_frame_open() {
    let disk = SimDisk::new();
    let (mut log, ..) = open(&disk);
    log.begin_frame();
    append(&mut log, 0..3);
    // Nothing of it is handed over before its end.
    log.commit_part(Durability::Durable).unwrap();
    log.rollback();
    append(&mut log, 7..8);
    log.commit(Durability::Durable).unwrap();
    drop(log);
    let disk = disk.power_cut(Keep::Nothing);
    let (_, recovery, seen) = open(&disk);
    assert_eq!((seen, recovery.dropped_tail_bytes), (vec![7], 0));
}

/// In a rewritten file nothing is a frame any more: what was dead in one is not missed.
#[test]
fn compaction_keeps_what_stands_of_a_frame() {
    let disk = SimDisk::new();
    let (mut log, ..) = open(&disk);
    let mut first = None;
    for frame in 0..12 {
        log.begin_frame();
        for seq in 3 * frame..3 * frame + 3 {
            let appended = log.append(entry(seq), |out| out.extend(payload(seq)));
            if seq == 2 {
                first = appended.ok(); // The end of the first frame.
            }
        }
        log.end_frame();
        log.commit(Durability::Durable).unwrap();
    }
    log.retire(first.unwrap());
    while let Some(plan) = log.plan_compaction(Effort::Everything).unwrap() {
        let rewritten = plan.rewrite(|record| match record.entry.seq {
            2 => Fate::Drop,
            _ => Fate::Keep,
        });
        log.install(rewritten.unwrap()).unwrap();
    }
    drop(log);
    let (_, recovery, seen) = open(&disk);
    let want: Vec<u64> = (0..36).filter(|&seq| seq != 2).collect();
    assert_eq!((seen, recovery.damage), (want, vec![]));
}
