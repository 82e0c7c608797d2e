//! A closed store, damaged in every way that fits into one file: noticed, or harmless, and never
//! taken for something else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Disk, Keep, Open, SimDisk};
use cortica_storage::{Durability, Log};
use cortica_testkit::report;
use std::path::{Path, PathBuf};
use support::fixture::{Fixture, Outcome, put};
use support::{DIR, OPTIONS, entry, sim};

const LOG: &str = "/data/store/log";
/// Bytes of a log file before its first record.
const HEADER: u64 = 128;

fn small() -> [Fixture; 3] {
    let fixture = Fixture::new(1_024, 30);
    assert!(fixture.files.len() >= 5, "{:?}", fixture.files);
    [fixture, Fixture::of_pieces(false), Fixture::of_pieces(true)]
}

fn in_log(path: &Path) -> bool {
    path.starts_with(LOG)
}

/// Without the closing file no record is lost, but that the last file ends where it should is no
/// longer certain.
fn is_log(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "log")
}

/// What must come of it when all of a file is not what it was.
#[track_caller]
fn check_outcome(path: &Path, outcome: Outcome) {
    match outcome {
        Outcome::Detected { lost } => assert_eq!(lost > 0, is_log(path), "{}", path.display()),
        Outcome::Harmless => assert!(!in_log(path), "{}", path.display()),
        Outcome::Refused => panic!("{}", path.display()),
    }
}

#[test]
fn every_flipped_bit_is_noticed_or_harmless() {
    for fixture in &small() {
        for path in &fixture.files {
            let bytes = fixture.read(path);
            let (mut detected, mut harmless) = (0, 0);
            for bit in 0..bytes.len() * 8 {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                match fixture.judge(&fixture.with(path, &bad), &(path, bit)) {
                    Outcome::Detected { lost } => {
                        assert!(lost <= 1, "{path:?}, bit {bit}: {lost} records lost");
                        detected += 1;
                    }
                    Outcome::Harmless => harmless += 1,
                    Outcome::Refused => panic!("{path:?}, bit {bit}"),
                }
            }
            let counts = [
                ("bits_flipped", detected + harmless),
                ("bits_nothing_depends_on", harmless),
            ];
            report("damage", 0, &counts);
            // Zeros that fill up a record are the only bytes of the log that nothing depends on; of the
            // marker, only that it is there.
            assert_eq!(detected > harmless, in_log(path));
        }
    }
}

#[test]
fn a_bit_in_each_byte_of_larger_files_is_noticed_or_harmless() {
    let fixture = Fixture::new(16 << 10, 300);
    for path in &fixture.files {
        let bytes = fixture.read(path);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            let outcome = fixture.judge(&fixture.with(path, &bad), &(path, at));
            if let Outcome::Detected { lost } = outcome {
                assert!(lost <= 1, "{path:?}, byte {at}: {lost} records lost");
            }
        }
    }
}

#[test]
fn cut_at_every_offset_it_is_noticed() {
    for fixture in &small() {
        for path in &fixture.files {
            let bytes = fixture.read(path);
            report("damage", 0, &[("cuts_tried", bytes.len() as u64)]);
            for cut in 0..bytes.len() {
                let outcome = fixture.judge(&fixture.with(path, &bytes[..cut]), &(path, cut));
                match outcome {
                    Outcome::Refused => panic!("{path:?}, {cut}"),
                    Outcome::Detected { lost } => {
                        assert!(is_log(path) || (in_log(path) && lost == 0));
                    }
                    // What is cut off may have been filling.
                    Outcome::Harmless => {
                        let filling = bytes[cut..].iter().all(|&byte| byte == 0);
                        assert!(filling || !in_log(path), "{path:?}, {cut}");
                    }
                }
            }
        }
    }
}

#[test]
fn blocks_that_are_not_what_was_written_are_noticed() {
    let mut cases = 0;
    let larger = Fixture::new(16 << 10, 300);
    let small = small();
    let small = small.iter().map(|fixture| (fixture, &[64, 512][..], 64));
    for (fixture, sizes, step) in small.chain([(&larger, &[4_096][..], 512)]) {
        for path in fixture.files.iter().filter(|path| is_log(path)) {
            let bytes = fixture.read(path);
            for &size in sizes {
                for from in (0..bytes.len().saturating_sub(size)).step_by(step) {
                    let mut bad: Vec<Vec<u8>> = Vec::new();
                    for fill in [0, 0xff, 0x5a] {
                        let mut copy = bytes.clone();
                        copy[from..from + size].fill(fill);
                        bad.push(copy);
                    }
                    for other in (0..bytes.len() - size).step_by(size) {
                        let mut doubled = bytes.clone();
                        doubled.copy_within(other..other + size, from);
                        bad.push(doubled);
                        if other + size <= from {
                            let mut swapped = bytes.clone();
                            let (left, right) = swapped.split_at_mut(from);
                            left[other..other + size].swap_with_slice(&mut right[..size]);
                            bad.push(swapped);
                        }
                    }
                    for (number, bad) in bad.iter().enumerate() {
                        let outcome =
                            fixture.judge(&fixture.with(path, bad), &(path, from, number));
                        let same = *bad == bytes;
                        assert!(!same || outcome == Outcome::Harmless);
                        cases += 1;
                    }
                }
            }
        }
    }
    assert!(cases > 1_000);
    report("damage", 0, &[("blocks_replaced", cases)]);
}

#[test]
fn a_file_that_is_an_older_one_or_another_one_is_noticed() {
    for (number, fixture) in small().iter().enumerate() {
        let younger = Fixture::new(1_024, 24);
        for path in &fixture.files {
            let bytes = fixture.read(path);
            // As an earlier state of the store had it.
            if younger.files.contains(path) && number == 0 {
                let old = younger.read(path);
                let outcome = fixture.judge(&fixture.with(path, &old), &(path, "old"));
                // An older closing file promises less, and what it says is true.
                let harmless = old == bytes || !is_log(path);
                assert_eq!(outcome == Outcome::Harmless, harmless, "{path:?}");
            }
            // As other files of this store are.
            for other in fixture.files.iter().filter(|other| *other != path) {
                let other = fixture.read(other);
                let outcome = fixture.judge(&fixture.with(path, &other), &(path, "another"));
                check_outcome(path, outcome);
            }
        }
    }
}

#[test]
fn files_that_are_missing_empty_or_folders() {
    for fixture in &small() {
        for path in &fixture.files {
            let missing = fixture.disk.power_cut(Keep::Everything);
            missing.remove(path).unwrap();
            check_outcome(path, fixture.judge(&missing, &(path, "missing")));
            let folder = fixture.disk.power_cut(Keep::Everything);
            folder.remove(path).unwrap();
            folder.create_dir_all(path).unwrap();
            let outcome = fixture.judge(&folder, &(path, "a folder"));
            assert!(
                matches!(outcome, Outcome::Refused | Outcome::Harmless),
                "{path:?}: {outcome:?}"
            );
            let renamed = fixture.disk.power_cut(Keep::Everything);
            renamed.rename(path, &path.with_extension("bak")).unwrap();
            check_outcome(path, fixture.judge(&renamed, &(path, "renamed")));
        }
    }
}

#[test]
fn files_that_should_not_be_there() {
    for fixture in &small() {
        let names = [
            "00000000000000000000.log",
            "00000000000000000008.log",
            "00000000000000001000.log",
            "00000000000000999999.log",
            "00000000000000000000.000009.log",
            "00000000000000999999.000009.log",
            "18446744073709551615.log",
            "18446744073709551615.4294967295.log",
            "00000000000000000000.log.new",
            "closed.new",
            "notes.txt",
            "00000000000000000000-0.dropped",
        ];
        let sources: Vec<PathBuf> = fixture
            .files
            .iter()
            .filter(|it| is_log(it))
            .cloned()
            .collect();
        let contents = sources.iter().map(|path| fixture.read(path));
        let contents =
            contents.chain([Vec::new(), vec![0; 600], vec![0xff; 600], b"hello".to_vec()]);
        for (number, bytes) in contents.enumerate() {
            for name in names {
                let path = Path::new(LOG).join(name);
                if fixture.files.contains(&path) {
                    continue;
                }
                let disk = fixture.disk.power_cut(Keep::Everything);
                put(&disk, &path, &bytes);
                let outcome = fixture.judge(&disk, &(name, number));
                let Outcome::Detected { lost } = outcome else {
                    assert_eq!(outcome, Outcome::Harmless, "{name}, {number}");
                    continue;
                };
                assert_eq!(lost, 0, "{name}, {number}: all the real files are there");
            }
        }
        // In the store's own folder nobody minds.
        let disk = fixture.disk.power_cut(Keep::Everything);
        put(&disk, &Path::new(DIR).join("notes.txt"), b"mine");
        assert_eq!(fixture.judge(&disk, &"notes"), Outcome::Harmless);
    }
}

/// The bytes of a record with this seq at the log position behind one of `before` payload bytes.
fn record_behind(before: usize, seq: u64) -> Vec<u8> {
    let disk = SimDisk::new();
    let (mut log, _) = Log::open(sim(&disk), Path::new(DIR), OPTIONS, |_| Ok(())).unwrap();
    log.append(entry(0), |out| out.extend(vec![7; before]))
        .unwrap();
    let at = log
        .append(entry(seq), |out| out.extend_from_slice(b"never stored"))
        .unwrap();
    log.commit(Durability::Durable).unwrap();
    log.close().unwrap();
    let path = Path::new(LOG).join(format!("{:020}.log", 0));
    let mut bytes = vec![0; at.bytes as usize];
    let file = disk.open(&path, Open::Read).unwrap();
    let offset = HEADER + at.position;
    assert_eq!(file.read_at(&mut bytes, offset).unwrap(), bytes.len());
    bytes
}

/// What somebody stored may be a record, byte for byte, made for the very place where it lies. It is still a
/// payload when something else of its record is damaged.
#[test]
fn a_record_in_a_payload_is_no_record() {
    // Behind the first record's header and 72 bytes; both start at a multiple of 8.
    let forged = record_behind(72, 999);
    let disk = SimDisk::new();
    let (mut log, _) = Log::open(sim(&disk), Path::new(DIR), OPTIONS, |_| Ok(())).unwrap();
    let payload = |out: &mut Vec<u8>| {
        out.extend([7; 72]);
        out.extend_from_slice(&forged);
        out.extend_from_slice(&[7; 40]);
    };
    log.append(entry(0), payload).unwrap();
    log.commit(Durability::Durable).unwrap();
    log.append(entry(1), |out| out.extend(support::payload(1)))
        .unwrap();
    log.commit(Durability::Durable).unwrap();
    log.close().unwrap();
    let path = Path::new(LOG).join(format!("{:020}.log", 0));
    for closed in [true, false] {
        for at in (56..56 + 72).chain(56 + 72 + forged.len() as u64..56 + 72 + 40) {
            let disk = disk.power_cut(Keep::Everything);
            let file = disk.open(&path, Open::Write).unwrap();
            let mut byte = [0];
            file.read_at(&mut byte, HEADER + at).unwrap();
            file.write_at(&[byte[0] ^ 1], HEADER + at).unwrap();
            if !closed {
                disk.remove(&Path::new(LOG).join("closed")).unwrap();
            }
            let mut seen = Vec::new();
            let opened = Log::open(sim(&disk), Path::new(DIR), OPTIONS, |record| {
                seen.push(record.entry.seq);
                Ok(())
            });
            let (_, recovery) = opened.unwrap();
            assert_eq!(seen, [1], "byte {at}");
            assert_eq!(
                recovery.damage.len(),
                1 + usize::from(!closed),
                "{:?}",
                recovery.damage
            );
            assert_eq!(recovery.damage[0].seq, Some(0));
        }
    }
}
