//! The power goes at every operation of a script, and any part of what was not synced may be on
//! the disk. What was acknowledged as durable is there; nothing is there that was not written.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Disk, SimDisk};
use cortica_storage::{Damage, Durability, Log, repair};
use cortica_testkit::{report, size};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use support::disks::Lazy;
use support::scripts::{self, Script};
use support::{DIR, Ended, Ledger, OPTIONS, Verdict, judge, judge_copies, keeps, payload, sim};

/// Subsets of the unsynced writes that are kept at each cut, besides every single one, every prefix
/// and every suffix.
const SEEDS: u64 = 64;

fn seeds() -> u64 {
    size("POWER_CUT_SUBSETS", SEEDS)
}

#[derive(Default)]
struct Outcome {
    cuts: u64,
    images: u64,
    lost: u64,
    refused: u64,
    why: String,
    pieces: u64,
    /// Whether the script came to its end when the power stayed on.
    ended: bool,
}

/// Cuts the power after every number of operations the script makes.
fn cut_everywhere(script: Script, seeds: u64, wrap: impl Fn(SimDisk) -> Arc<dyn Disk>) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let disk = SimDisk::new();
        disk.power_off_after(outcome.cuts);
        let mut ledger = Ledger::default();
        outcome.ended = script(&wrap(disk.clone()), &mut ledger).is_ok();
        outcome.pieces = ledger.pieces;
        for keep in keeps(disk.unsynced(), outcome.cuts, seeds) {
            let left = sim(&disk.power_cut(keep));
            for verdict in [judge_copies(&left, &ledger), judge(&left, &ledger)] {
                match verdict {
                    Verdict::Kept => {}
                    Verdict::Lost(records) => outcome.lost += records,
                    Verdict::Refused(why) => {
                        outcome.refused += 1;
                        outcome.why = format!("cut {}, {keep:?}: {why}", outcome.cuts);
                    }
                }
            }
            outcome.images += 1;
        }
        if disk.operations() < outcome.cuts {
            return outcome; // The script ended before the power did.
        }
        outcome.cuts += 1;
    }
}

#[track_caller]
fn nothing_is_lost(script: Script) {
    let outcome = cut_everywhere(script, seeds(), |disk| Arc::new(disk));
    assert!(outcome.cuts > 40 && outcome.images > 1_000);
    assert_eq!((outcome.lost, outcome.refused), (0, 0), "{}", outcome.why);
    assert!(outcome.ended);
    let counts = [
        ("cuts", outcome.cuts),
        ("disks_tried", outcome.images),
        ("lost", outcome.lost),
    ];
    report("power_cut", 0, &counts);
}

#[test]
fn no_cut_during_sessions_loses_what_was_acknowledged() {
    nothing_is_lost(scripts::sessions);
}

#[test]
fn no_cut_during_large_commits_loses_what_was_acknowledged() {
    nothing_is_lost(scripts::large);
}

#[test]
fn no_cut_leaves_a_part_of_a_frame() {
    nothing_is_lost(scripts::frames);
}

/// The judge sees parts where records of a commit are no frame.
#[test]
fn without_frames_parts_are_left() {
    fn plain(disk: &Arc<dyn Disk>, ledger: &mut Ledger) -> Result<(), Ended> {
        let opened = Log::open(disk.clone(), Path::new(DIR), OPTIONS, |_| Ok(()));
        let (mut log, _) = opened.map_err(|_| Ended)?;
        for _ in 0..4 {
            let from = ledger.submitted;
            for _ in 0..5 {
                ledger.append(&mut log);
            }
            ledger.frames.push(from..ledger.submitted);
            ledger.commit(&mut log, Durability::Durable)?;
        }
        Ok(())
    }
    let outcome = cut_everywhere(plain, seeds(), |disk| Arc::new(disk));
    assert!(outcome.refused > 0 && outcome.lost == 0, "{}", outcome.why);
}

#[test]
fn no_cut_during_compactions_loses_what_was_acknowledged() {
    nothing_is_lost(scripts::compactions);
}

#[test]
fn no_cut_while_a_full_disk_is_cleared_up_loses_what_was_acknowledged() {
    let outcome = cut_everywhere(scripts::full, seeds(), full);
    assert!(outcome.cuts > 100 && outcome.images > 1_000 && outcome.pieces > 4);
    assert_eq!((outcome.lost, outcome.refused), (0, 0), "{}", outcome.why);
    assert!(outcome.ended);
    let counts = [
        ("cuts", outcome.cuts),
        ("disks_tried", outcome.images),
        ("lost", outcome.lost),
    ];
    report("power_cut", 0, &counts);
}

fn full(disk: SimDisk) -> Arc<dyn Disk> {
    disk.set_capacity(scripts::FULL_BYTES);
    Arc::new(disk)
}

#[test]
fn no_cut_during_a_snapshot_or_a_restore_leaves_half_a_copy() {
    nothing_is_lost(scripts::copies);
}

/// The control: the same engine over a disk whose syncs do nothing must be caught losing records.
#[test]
fn without_syncs_the_harness_sees_the_loss() {
    for (files, folders) in [(true, false), (false, true)] {
        for script in [scripts::sessions, scripts::compactions as Script] {
            let outcome = cut_everywhere(script, 4, |disk| {
                Arc::new(Lazy {
                    disk,
                    files,
                    folders,
                })
            });
            println!(
                "no syncs of files: {files}, of folders: {folders}: {} cuts, {} lost, {} refused",
                outcome.cuts, outcome.lost, outcome.refused
            );
            assert!(outcome.lost > 0, "a log that never syncs went unnoticed");
            let lost = ("lost_by_the_controls_without_syncs", outcome.lost);
            report("power_cut", 0, &[lost]);
        }
    }
}

/// What is whole in a damaged store: the seqs an opening shows.
fn whole(disk: &Arc<dyn Disk>) -> (BTreeSet<u64>, Vec<Damage>) {
    let mut seen = BTreeSet::new();
    let (_, recovery) = Log::open(disk.clone(), Path::new(DIR), OPTIONS, |record| {
        assert_eq!(record.payload, payload(record.entry.seq));
        seen.insert(record.entry.seq);
        Ok(())
    })
    .unwrap();
    (seen, recovery.damage)
}

#[test]
fn no_cut_during_a_repair_loses_what_was_whole() {
    let original = SimDisk::new();
    let mut before = Ledger::default();
    assert!(scripts::closed(&sim(&original), &mut before).is_ok());
    scripts::damage(&sim(&original));
    let (saved, damage) = whole(&sim(&original));
    assert!(!damage.is_empty() && saved.len() > 10);
    let (mut cuts, mut images) = (0, 0);
    loop {
        let disk = original.power_cut(cortica_env::Keep::Everything);
        disk.power_off_after(cuts);
        let mut ledger = before.clone();
        let _ = scripts::repaired(&sim(&disk), &mut ledger);
        for keep in keeps(disk.unsynced(), cuts, seeds()) {
            let left = sim(&disk.power_cut(keep));
            let (seen, _) = whole(&left);
            assert!(seen.is_superset(&saved), "cut {cuts}, {keep:?}");
            // What was lost is named again, however far the first one came.
            let report = repair(&left, Path::new(DIR), |_| Ok(())).unwrap();
            assert_eq!(report.damage, damage, "cut {cuts}, {keep:?}");
            let (seen, damaged) = whole(&left);
            assert!(seen.is_superset(&saved), "cut {cuts}, {keep:?}");
            assert_eq!(damaged, [], "cut {cuts}, {keep:?}");
            let acknowledged = before.durable..ledger.durable;
            assert!(acknowledged.into_iter().all(|seq| seen.contains(&seq)));
            images += 1;
        }
        if disk.operations() < cuts {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 20 && images > 1_000);
    report("power_cut", 0, &[("cuts", cuts), ("disks_tried", images)]);
}
