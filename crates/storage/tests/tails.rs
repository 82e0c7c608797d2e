//! A log that crashed, cut off or torn at every byte of a small one and at thousands of a large one:
//! exactly the records before that place are there, and what is not is counted.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Disk, Keep, Open, Seed, SimDisk};
use cortica_storage::{Durability, Log, LogOptions, OpenMode};
use cortica_testkit::{report, size};
use std::path::{Path, PathBuf};
use support::{DIR, entry, payload, sim};

/// What became of the bytes behind a place.
#[derive(Clone, Copy, Debug)]
enum Loss {
    /// The file ends there.
    Cut,
    /// They never reached the disk, and are the zeros that were there before.
    Zeros,
    /// Something else is there.
    Garbage,
}

/// A log in one file whose records were all committed at once and which was never closed, so that nothing
/// proves more of it durable than what is there.
struct Crashed {
    disk: SimDisk,
    path: PathBuf,
    bytes: Vec<u8>,
    /// Where each record ends, in the file.
    ends: Vec<usize>,
    options: LogOptions,
}

impl Crashed {
    fn new(segment_bytes: u64, records: u64) -> Self {
        let options = LogOptions {
            mode: OpenMode::CreateIfMissing,
            segment_bytes,
        };
        let disk = SimDisk::new();
        let (mut log, _) = Log::open(sim(&disk), Path::new(DIR), options, |_| Ok(())).unwrap();
        let mut ends = Vec::new();
        for seq in 0..records {
            let place = log.append(entry(seq), |out| out.extend(payload(seq)));
            let place = place.unwrap();
            ends.push(128 + place.position as usize + place.bytes as usize);
        }
        log.commit(Durability::Durable).unwrap();
        let left = disk.power_cut(Keep::Everything);
        drop(log);
        let path = Path::new(DIR).join("log/00000000000000000000.log");
        let file = left.open(&path, Open::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        assert!(bytes.len() > *ends.last().unwrap(), "all in one file");
        Self {
            disk: left,
            path,
            bytes,
            ends,
            options,
        }
    }

    fn judge(&self, at: usize, loss: Loss, rest: &[u8]) {
        let disk = self.disk.power_cut(Keep::Everything);
        let file = disk.open(&self.path, Open::Write).unwrap();
        match loss {
            Loss::Cut => file.set_len(at as u64).unwrap(),
            Loss::Zeros => file
                .write_at(&vec![0; self.bytes.len() - at], at as u64)
                .unwrap(),
            Loss::Garbage => {
                let till = self.ends.last().unwrap().max(&at);
                file.write_at(&rest[at..*till], at as u64).unwrap();
            }
        }
        let whole = self.ends.iter().filter(|end| **end <= at).count();
        // The zeros that fill a record up are the same, cut off and put back, or not.
        let filled = |end: &&usize| **end > at && self.bytes[at..**end].iter().all(|it| *it == 0);
        let may = whole + self.ends.iter().filter(filled).count();
        let reading = LogOptions {
            mode: OpenMode::ReadOnly,
            ..self.options
        };
        for options in [reading, self.options] {
            let mut seen = 0;
            let opened = Log::open(sim(&disk), Path::new(DIR), options, |record| {
                assert_eq!(record.entry.seq, seen, "{at}, {loss:?}");
                assert_eq!(record.payload, payload(seen), "{at}, {loss:?}");
                seen += 1;
                Ok(())
            });
            let (log, recovery) = opened.unwrap_or_else(|error| panic!("{at}, {loss:?}: {error}"));
            let seen = seen as usize;
            assert!((whole..=may).contains(&seen), "{at}, {loss:?}: {seen}");
            if seen == self.ends.len() {
                continue;
            }
            let torn = self.ends[..seen].last().map_or(128, |end| *end);
            let left = match loss {
                Loss::Cut | Loss::Zeros => {
                    let left = &self.bytes[torn..at.max(torn)];
                    left.iter()
                        .rposition(|byte| *byte != 0)
                        .map_or(0, |at| at + 1)
                }
                Loss::Garbage => 1,
            };
            let told = recovery.dropped_tail_bytes > 0 || !recovery.damage.is_empty();
            assert!(
                told || left == 0,
                "{at}, {loss:?}: {left} bytes dropped in silence"
            );
            if !recovery.damage.is_empty() {
                assert!(!log.is_writable(), "{at}, {loss:?}");
                return; // A file that is shorter than it was made: only a repair makes it one to write.
            }
        }
    }
}

#[test]
fn torn_at_every_byte_or_anywhere_in_a_large_log_what_comes_before_is_there() {
    let small = Crashed::new(8 << 10, 9);
    let large = Crashed::new(4 << 20, 3_000);
    let mut rng = Seed(0x7a11).rng();
    let mut garbage = vec![0; large.bytes.len()];
    for byte in &mut garbage {
        *byte = rng.below(256) as u8;
    }
    let all = *small.ends.last().unwrap();
    for at in 128..all {
        for loss in [Loss::Cut, Loss::Zeros, Loss::Garbage] {
            small.judge(at, loss, &garbage);
        }
    }
    let offsets = size("TAILS", 300);
    let span = large.ends.last().unwrap() - 128;
    for number in 0..offsets {
        let at = 128 + rng.below(span as u64) as usize;
        let loss = [Loss::Cut, Loss::Zeros, Loss::Garbage][number as usize % 3];
        large.judge(at, loss, &garbage);
    }
    let counts = [
        ("offsets_of_a_small_log", 3 * (all - 128) as u64),
        ("offsets_of_a_large_log", offsets),
    ];
    report("tails", 0x7a11, &counts);
}
