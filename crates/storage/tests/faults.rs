//! Every operation of a script fails in turn: nothing that failed is acknowledged, writing stops,
//! reading goes on, and the next opening finds all that was acknowledged.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Keep, Seed, SimDisk};
use cortica_storage::{Durability, Log, LogOptions, OpenMode, check, repair, repair_told};
use cortica_testkit::report;
use std::path::Path;
use support::scripts::{self, Script};
use support::{DIR, Ledger, OPTIONS, Verdict, judge, judge_copies, payload, sim};

const SCRIPTS: [(&str, Script); 6] = [
    ("sessions", scripts::sessions),
    ("large", scripts::large),
    ("compactions", scripts::compactions),
    ("copies", scripts::copies),
    ("closed", scripts::closed),
    ("full", scripts::full),
];

fn disk_for(name: &str) -> SimDisk {
    let disk = SimDisk::new();
    if name == "full" {
        disk.set_capacity(scripts::FULL_BYTES);
    }
    disk
}

/// Runs a script with a fault in it, then looks at what it left: by itself, after a power cut,
/// and after a power cut that follows a reopening, because an operation that failed once may have
/// lost what a later one reports as done.
fn run(name: &str, script: Script, n: u64, fail: fn(&SimDisk, u64)) -> bool {
    let disk = disk_for(name);
    fail(&disk, n);
    let mut ledger = Ledger::default();
    let finished = script(&sim(&disk), &mut ledger).is_ok();
    let kept = |left: &SimDisk, ledger: &Ledger, when: &str| {
        for verdict in [judge_copies(&sim(left), ledger), judge(&sim(left), ledger)] {
            assert_eq!(verdict, Verdict::Kept, "{name}, {n}, {when}");
        }
    };
    for keep in [Keep::Nothing, Keep::Everything, Keep::Seeded(Seed(n))] {
        kept(&disk.power_cut(keep), &ledger, "after a power cut");
    }
    // Reading goes on: the store is as good as before the fault.
    let reading = LogOptions {
        mode: OpenMode::ReadOnly,
        ..OPTIONS
    };
    if ledger.durable > 0 {
        let mut seen = 0;
        let (_, recovery) = Log::open(sim(&disk), Path::new(DIR), reading, |record| {
            assert_eq!(record.payload, payload(record.entry.seq));
            seen += u64::from(record.entry.seq < ledger.durable);
            Ok(())
        })
        .unwrap();
        assert_eq!(recovery.damage, [], "{name}, {n}");
        let dead = ledger.dead.iter().filter(|&&seq| seq < ledger.durable);
        assert!(seen + dead.count() as u64 >= ledger.durable, "{name}, {n}");
    }
    // Opened again on the same disk, what it acknowledges now holds as well.
    let opened = Log::open(sim(&disk), Path::new(DIR), OPTIONS, |record| {
        ledger.submitted = ledger.submitted.max(record.entry.seq + 1);
        Ok(())
    });
    let (mut log, _) = opened.unwrap_or_else(|error| panic!("{name}, {n}: {error}"));
    let before: Vec<u64> = (ledger.durable..ledger.submitted).collect();
    let mut seen = Vec::new();
    ledger.append(&mut log);
    let _ = ledger.commit(&mut log, Durability::Durable);
    drop(log);
    let again = Log::open(sim(&disk), Path::new(DIR), reading, |record| {
        seen.push(record.entry.seq);
        Ok(())
    });
    drop(again.unwrap());
    // Of what was never acknowledged some may have stayed; it is durable now, if it is there.
    let gone = before.into_iter().filter(|seq| !seen.contains(seq));
    ledger.dead.extend(gone);
    for keep in [Keep::Nothing, Keep::Everything, Keep::Seeded(Seed(n))] {
        kept(
            &disk.power_cut(keep),
            &ledger,
            "after reopening and a power cut",
        );
    }
    finished
}

#[test]
fn every_failing_change_stops_the_writer_and_loses_nothing() {
    for (name, script) in SCRIPTS {
        let disk = disk_for(name);
        assert!(script(&sim(&disk), &mut Ledger::default()).is_ok());
        let operations = disk.operations();
        let mut failed = 0;
        for n in 1..=operations {
            failed += u64::from(!run(name, script, n, SimDisk::fail_operation));
        }
        println!("{name}: {operations} operations, {failed} of them stop the script");
        assert!(failed > operations / 2);
        report("faults", 0, &[("failing_operations", operations)]);
    }
}

#[test]
fn every_failing_look_is_an_error_and_changes_nothing() {
    for (name, script) in SCRIPTS {
        let disk = disk_for(name);
        assert!(script(&sim(&disk), &mut Ledger::default()).is_ok());
        let reads = disk.reads();
        let mut failed = 0;
        for n in 1..=reads {
            failed += u64::from(!run(name, script, n, SimDisk::fail_read));
        }
        println!("{name}: {reads} reads, {failed} of them stop the script");
        assert!(failed > reads / 2);
        report("faults", 0, &[("failing_reads", reads)]);
    }
}

#[test]
fn a_repair_that_fails_can_be_done_again() {
    let original = SimDisk::new();
    let mut before = Ledger::default();
    assert!(scripts::closed(&sim(&original), &mut before).is_ok());
    scripts::damage(&sim(&original));
    let whole = |disk: &SimDisk| {
        let mut seen = Vec::new();
        let opened = Log::open(sim(disk), Path::new(DIR), OPTIONS, |record| {
            assert_eq!(record.payload, payload(record.entry.seq));
            seen.push(record.entry.seq);
            Ok(())
        });
        (seen, opened.unwrap().1.damage)
    };
    let (saved, damage) = whole(&original);
    for fail in [
        SimDisk::fail_operation,
        SimDisk::fail_read as fn(&SimDisk, u64),
    ] {
        let mut n = 1;
        loop {
            let disk = original.power_cut(Keep::Everything);
            fail(&disk, n);
            let done = repair(&sim(&disk), Path::new(DIR), |_| Ok(())).is_ok();
            fail(&disk, u64::MAX / 2);
            assert_eq!(whole(&disk).0, saved, "{n}");
            // What was lost is named again, however far the first one came.
            let report = repair(&sim(&disk), Path::new(DIR), |_| Ok(())).unwrap();
            assert_eq!(report.damage, damage, "{n}");
            assert!(!report.quarantined.is_empty() && report.saved > 0, "{n}");
            assert_eq!(whole(&disk), (saved.clone(), Vec::new()), "{n}");
            for keep in [Keep::Nothing, Keep::Everything, Keep::Seeded(Seed(n))] {
                let left = disk.power_cut(keep);
                assert_eq!(whole(&left), (saved.clone(), Vec::new()), "{n}, {keep:?}");
            }
            let checked = check(&disk, Path::new(DIR), |_| Ok(())).unwrap();
            assert!(checked.is_sound() && checked.untold == damage, "{n}");
            repair_told(&disk, Path::new(DIR)).unwrap();
            let report = repair(&sim(&disk), Path::new(DIR), |_| Ok(())).unwrap();
            assert_eq!(report, cortica_storage::RepairReport::default(), "{n}");
            let checked = check(&disk, Path::new(DIR), |_| Ok(())).unwrap();
            assert_eq!(checked.untold, [], "{n}");
            if done {
                break;
            }
            n += 1;
        }
        assert!(n > 20, "{n}");
    }
}

#[test]
fn what_was_told_is_told_durably() {
    let original = SimDisk::new();
    assert!(scripts::closed(&sim(&original), &mut Ledger::default()).is_ok());
    scripts::damage(&sim(&original));
    let report = repair(&sim(&original), Path::new(DIR), |_| Ok(())).unwrap();
    let told = |disk: &SimDisk| repair_told(disk, Path::new(DIR));
    let untold = |disk: &SimDisk| check(disk, Path::new(DIR), |_| Ok(())).unwrap().untold;
    let mut n = 1;
    loop {
        let disk = original.power_cut(Keep::Everything);
        disk.fail_operation(n);
        let first = told(&disk);
        if first.is_err() {
            disk.fail_operation(u64::MAX / 2);
            // The file may be gone, and come back with the power: a sync that failed proves nothing.
            assert_eq!(told(&disk).unwrap(), Durability::Durable);
        }
        for keep in [Keep::Nothing, Keep::Everything, Keep::Seeded(Seed(n))] {
            assert_eq!(untold(&disk.power_cut(keep)), [], "{n}, {keep:?}");
        }
        if first.is_ok() {
            break;
        }
        n += 1;
    }
    assert!(n > 2 && untold(&original) == report.damage, "{n}");
}
