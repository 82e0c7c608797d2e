//! What the tests of disasters share: scripts that say what they were promised, and the judge.
#![allow(dead_code, reason = "not every test needs all of it")]
#![allow(unreachable_pub, reason = "the tests that take it in see it")]

pub mod disks;
pub mod fixture;
pub mod scripts;

use cortica_env::{Disk, Keep, Seed, SimDisk};
use cortica_storage::{
    CommitError, Durability, Effort, Entry, Fate, Location, Log, LogOptions, OpenMode, Record,
};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

pub const DIR: &str = "/data/store";
pub const COPY: &str = "/data/copy";
pub const BACK: &str = "/data/back";

/// Small files, so that the scripts roll over now and then.
pub const OPTIONS: LogOptions = LogOptions {
    mode: OpenMode::CreateIfMissing,
    segment_bytes: 4_096,
};

pub fn sim(disk: &SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

/// About a sector, so that records share sectors and cross them. Never a zero.
pub fn payload(seq: u64) -> Vec<u8> {
    let len = 100 + (seq * 197) % 900;
    (0..len).map(|at| (at * 5 + seq * 11) as u8 | 1).collect()
}

pub fn entry(seq: u64) -> Entry {
    Entry {
        space: 0,
        kind: 1,
        dimension: 0,
        seq,
    }
}

/// What a script was told, kept outside of the store. Seqs rise in the order of appending.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Handed to the log.
    pub submitted: u64,
    /// All seqs below were acknowledged as durable.
    pub durable: u64,
    /// Retired: may be there or not.
    pub dead: BTreeSet<u64>,
    pub locations: BTreeMap<u64, Location>,
    /// Seqs that are there together or not at all.
    pub frames: Vec<Range<u64>>,
    /// How many pieces of files were rewritten by themselves.
    pub pieces: u64,
    /// Copies: what each holds, and whether it was acknowledged.
    pub copies: Vec<(&'static str, BTreeSet<u64>, bool)>,
}

/// A script ends where something fails.
pub struct Ended;

impl Ledger {
    pub fn append(&mut self, log: &mut Log) {
        let seq = self.submitted;
        let location = log
            .append(entry(seq), |out| out.extend(payload(seq)))
            .unwrap();
        self.locations.insert(seq, location);
        self.submitted += 1;
    }

    /// Appends so many as one frame.
    pub fn append_frame(&mut self, log: &mut Log, records: u64) {
        let from = self.submitted;
        log.begin_frame();
        for _ in 0..records {
            self.append(log);
        }
        log.end_frame();
        self.frames.push(from..self.submitted);
    }

    pub fn commit(&mut self, log: &mut Log, durability: Durability) -> Result<(), Ended> {
        match log.commit(durability) {
            Ok(Durability::Durable) => self.durable = self.submitted,
            Ok(_) => {}
            Err(CommitError::Full) => return Err(Ended),
            Err(_) => {
                // Nobody believes a disk that failed once.
                log.append(entry(u64::MAX), |_| ()).unwrap();
                let again = log.commit(Durability::Durable);
                assert!(matches!(again, Err(CommitError::Stopped)), "{again:?}");
                return Err(Ended);
            }
        }
        Ok(())
    }

    /// Commits so many durably, and says whether there was room for them.
    pub fn fits(&mut self, log: &mut Log, records: u64) -> Result<bool, Ended> {
        for _ in 0..records {
            self.append(log);
        }
        match log.commit(Durability::Durable) {
            Ok(_) => self.durable = self.submitted,
            Err(CommitError::Full) => {
                self.submitted -= records;
                return Ok(false);
            }
            Err(_) => return Err(Ended),
        }
        Ok(true)
    }

    pub fn retire(&mut self, log: &mut Log, seq: u64) {
        log.retire(self.locations[&seq]);
        self.dead.insert(seq);
    }

    pub fn live(&self) -> BTreeSet<u64> {
        (0..self.submitted)
            .filter(|seq| !self.dead.contains(seq))
            .collect()
    }

    pub fn keep(&self, record: &Record<'_>) -> Fate {
        if self.dead.contains(&record.entry.seq) {
            Fate::Drop
        } else {
            Fate::Keep
        }
    }

    /// Compacts as much as `effort` says; what was committed is durable then.
    pub fn compact(&mut self, log: &mut Log, effort: Effort) -> Result<u64, Ended> {
        let mut plans = 0;
        while let Some(plan) = log.plan_compaction(effort).map_err(|_| Ended)? {
            self.durable = self.submitted;
            let rewritten = plan.rewrite(|record| self.keep(record));
            log.install(rewritten.map_err(|_| Ended)?)
                .map_err(|_| Ended)?;
            plans += 1;
        }
        Ok(plans)
    }
}

/// What a store turned out to hold after a disaster.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All that was promised.
    Kept,
    /// So many records that were promised are gone.
    Lost(u64),
    /// It cannot be opened, or says that it is damaged.
    Refused(String),
}

/// Opens what is left and compares it with what was promised. What is there must be right in any
/// case, and the store must go on from there.
pub fn judge(disk: &Arc<dyn Disk>, ledger: &Ledger) -> Verdict {
    let mut seen = Vec::new();
    let opened = Log::open(disk.clone(), Path::new(DIR), OPTIONS, |record| {
        seen.push((record.entry.seq, record.payload.to_vec()));
        Ok(())
    });
    let (mut log, recovery) = match opened {
        Ok(opened) => opened,
        Err(error) => return Verdict::Refused(error.to_string()),
    };
    for (seq, bytes) in &seen {
        assert!(*seq < ledger.submitted, "a record nobody wrote: {seq}");
        assert_eq!(*bytes, payload(*seq), "a record is not what was written");
    }
    assert!(
        seen.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "out of order"
    );
    if let Some(damage) = recovery.damage.first() {
        return Verdict::Refused(format!("{damage:?}"));
    }
    let seqs: BTreeSet<u64> = seen.into_iter().map(|(seq, _)| seq).collect();
    for frame in &ledger.frames {
        let all = frame.clone().filter(|seq| !ledger.dead.contains(seq));
        let (whole, there) = all.fold((0, 0), |(whole, there), seq| {
            (whole + 1, there + u64::from(seqs.contains(&seq)))
        });
        if there > 0 && there < whole {
            return Verdict::Refused(format!("{there} of {whole} of a frame are there"));
        }
    }
    let end = seqs.last().map_or(0, |last| last + 1);
    let hole = (0..end).find(|seq| !seqs.contains(seq) && !ledger.dead.contains(seq));
    let promised = (0..ledger.durable).filter(|seq| !ledger.dead.contains(seq));
    let lost = promised.filter(|seq| !seqs.contains(seq)).count() as u64;
    if lost > 0 {
        return Verdict::Lost(lost);
    }
    assert_eq!(hole, None, "a record is there, and one before it is not");
    // The store must go on from here: nothing torn may line up with what comes next.
    let next = ledger.submitted;
    for seq in [next, next + 1] {
        log.append(entry(seq), |out| out.extend(payload(seq)))
            .unwrap();
        log.commit(Durability::Durable).unwrap();
    }
    drop(log);
    let mut again = BTreeSet::new();
    let (log, recovery) = Log::open(disk.clone(), Path::new(DIR), OPTIONS, |record| {
        assert_eq!(record.payload, payload(record.entry.seq));
        again.insert(record.entry.seq);
        Ok(())
    })
    .unwrap();
    assert_eq!(recovery.damage, []);
    let mut want = seqs;
    want.extend([next, next + 1]);
    assert_eq!(again, want);
    log.close().unwrap();
    Verdict::Kept
}

/// A copy is there as a whole or not at all.
pub fn judge_copies(disk: &Arc<dyn Disk>, ledger: &Ledger) -> Verdict {
    for (dir, want, acknowledged) in &ledger.copies {
        let mut seen = BTreeSet::new();
        let reading = LogOptions {
            mode: OpenMode::ReadOnly,
            ..OPTIONS
        };
        let opened = Log::open(disk.clone(), Path::new(dir), reading, |record| {
            assert_eq!(record.payload, payload(record.entry.seq));
            seen.insert(record.entry.seq);
            Ok(())
        });
        match opened {
            Ok((_, recovery)) if recovery.damage.is_empty() => {
                if seen != *want {
                    return Verdict::Lost(1);
                }
            }
            Ok((_, recovery)) => return Verdict::Refused(format!("{:?}", recovery.damage)),
            Err(error) if *acknowledged => return Verdict::Refused(error.to_string()),
            Err(_) => {}
        }
    }
    Verdict::Kept
}

/// How a power cut may leave what was not synced: each change alone, each first part, each last
/// part, and `seeds` random choices with torn sectors. Where all was synced, there is one way.
pub fn keeps(unsynced: usize, cut: u64, seeds: u64) -> impl Iterator<Item = Keep> {
    let each = (0..unsynced).flat_map(|n| [Keep::Only(n), Keep::Prefix(n), Keep::Suffix(n)]);
    let seeds = if unsynced == 0 { 0 } else { seeds };
    let seeded = (0..seeds).map(move |seed| Keep::Seeded(Seed(seed).derive(&cut.to_string())));
    let nothing = (unsynced > 0).then_some(Keep::Nothing);
    nothing
        .into_iter()
        .chain([Keep::Everything])
        .chain(each)
        .chain(seeded)
}
