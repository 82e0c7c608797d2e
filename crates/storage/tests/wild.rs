//! Files that anything may have happened to: many bytes changed, moved, doubled or lost at once.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Keep, Rng, Seed};
use cortica_storage::{Log, LogOptions, OpenMode, check};
use cortica_testkit::{report, size};
use std::path::Path;
use support::fixture::{Fixture, put, short};
use support::{DIR, sim};

const SEED: Seed = Seed(0xf11e5);

/// Changes bytes in one of several ways.
fn mutilate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    let len = bytes.len().max(1) as u64;
    let at = rng.below(len) as usize;
    let span_max = 1 << rng.below(10);
    let span = 1 + rng.below(span_max) as usize;
    let to = (at + span).min(bytes.len());
    match rng.below(6) {
        0 => bytes[at..to].fill(rng.below(256) as u8),
        1 => bytes[at..to]
            .iter_mut()
            .for_each(|byte| *byte = rng.below(256) as u8),
        2 => bytes.truncate(at),
        3 => {
            let copy = bytes[at..to].to_vec();
            let place = rng.below(len) as usize;
            bytes.splice(place..place, copy);
        }
        4 => drop(bytes.drain(at..to)),
        // A number that is far too large, where a length may be.
        _ => {
            let huge = (u64::MAX >> rng.below(60)).to_le_bytes();
            let place = at / 4 * 4;
            let end = (place + 8).min(bytes.len());
            bytes[place..end].copy_from_slice(&huge[..end - place]);
        }
    }
}

/// Whatever the files hold, what is shown was once written, and nothing panics or hangs.
#[test]
fn whatever_happened_to_the_files_nothing_is_made_up() {
    let fixture = Fixture::new(4 << 10, 60);
    let mut rng = SEED.rng();
    let cases = size("WILD", 3_000);
    let (mut opened, mut refused, mut damaged) = (0, 0, 0);
    for case in 0..cases {
        let disk = fixture.disk.power_cut(Keep::Everything);
        for _ in 0..=rng.below(3) {
            let path = &fixture.files[rng.below(fixture.files.len() as u64) as usize];
            let mut bytes = fixture.read(path);
            mutilate(&mut bytes, &mut rng);
            put(&disk, path, &bytes);
        }
        let options = LogOptions {
            mode: OpenMode::ReadOnly,
            ..fixture.options
        };
        let mut last = None;
        let found = Log::open(sim(&disk), Path::new(DIR), options, |record| {
            assert!(fixture.seqs.contains(&record.entry.seq), "case {case}");
            assert_eq!(record.payload, short(record.entry.seq), "case {case}");
            assert!(last < Some(record.position), "case {case}: out of order");
            last = Some(record.position);
            Ok(())
        });
        match found {
            Ok((_, recovery)) => {
                opened += 1;
                damaged += u64::from(!recovery.damage.is_empty());
            }
            Err(_) => refused += 1,
        }
        let _ = check(&disk, Path::new(DIR), |_| Ok(()));
    }
    let counts = [
        ("stores_mutilated", cases),
        ("opened_as_damaged", damaged),
        ("refused", refused),
    ];
    report("wild", SEED.0, &counts);
    assert!(
        opened > cases / 2 && damaged > cases / 4,
        "{opened} {damaged}"
    );
}

/// Each flip is planted alone, so that each has to be found.
#[test]
fn a_check_finds_every_planted_flip() {
    let fixture = Fixture::new(16 << 10, 400);
    let mut rng = SEED.derive("flips").rng();
    let logs: Vec<_> = fixture
        .files
        .iter()
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    let flips = size("FLIPS", 200);
    let (mut planted, mut found) = (0, 0);
    while planted < flips {
        let path = logs[rng.below(logs.len() as u64) as usize];
        let mut bytes = fixture.read(path);
        let at = rng.below(bytes.len() as u64) as usize;
        if bytes[at] == 0 {
            continue; // May be what fills up a record, on which nothing depends.
        }
        bytes[at] ^= 1 << rng.below(8);
        let disk = fixture.with(path, &bytes);
        let checked = check(&disk, Path::new(DIR), |_| Ok(()));
        planted += 1;
        found += u64::from(checked.is_ok_and(|checked| !checked.is_sound()));
    }
    report(
        "wild",
        SEED.0,
        &[("flips_planted", planted), ("flips_found", found)],
    );
    assert_eq!(planted, found);
}
