//! A closed store of several files, to be damaged, and what must hold however it was.

use super::{DIR, entry, payload, sim};
use cortica_env::{Disk, Keep, Open, SimDisk};
use cortica_storage::{
    CommitError, CompactError, Durability, Effort, Fate, Log, LogOptions, OpenMode, check, repair,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub struct Fixture {
    pub disk: SimDisk,
    /// The seqs it holds.
    pub seqs: BTreeSet<u64>,
    /// All its files but the lock.
    pub files: Vec<PathBuf>,
    pub options: LogOptions,
}

/// What came of opening a damaged store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As if nothing had happened.
    Harmless,
    /// Said to be damaged, with so many records fewer.
    Detected { lost: usize },
    /// Not opened, for a reason that names a file.
    Refused,
}

pub fn short(seq: u64) -> Vec<u8> {
    payload(seq)
        .into_iter()
        .take(20 + seq as usize % 30)
        .collect()
}

impl Fixture {
    /// A compacted file, full files, and one that is not full; small, so that each bit can be tried.
    pub fn new(segment_bytes: u64, records: u64) -> Self {
        let disk = SimDisk::new();
        let options = LogOptions {
            mode: OpenMode::CreateIfMissing,
            segment_bytes,
        };
        let (mut log, _) = Log::open(sim(&disk), Path::new(DIR), options, |_| Ok(())).unwrap();
        let add = |log: &mut Log, seq| {
            let location = log
                .append(entry(seq), |out| out.extend(short(seq)))
                .unwrap();
            log.commit(Durability::Durable).unwrap();
            location
        };
        let mut seqs: BTreeSet<u64> = (0..records).collect();
        for seq in 0..records / 2 {
            let location = add(&mut log, seq);
            if seq % 3 == 1 {
                log.retire(location);
                seqs.remove(&seq);
            }
        }
        while let Some(plan) = log.plan_compaction(Effort::Everything).unwrap() {
            let rewritten = plan.rewrite(|record| {
                if seqs.contains(&record.entry.seq) {
                    Fate::Keep
                } else {
                    Fate::Drop
                }
            });
            log.install(rewritten.unwrap()).unwrap();
        }
        for seq in records / 2..records {
            add(&mut log, seq);
        }
        Self::closed(&disk, log, seqs, options)
    }

    /// A store whose disk was full in the middle of its life: the end of its first file, a plain
    /// one or a compacted one, was rewritten in two pieces.
    pub fn of_pieces(compacted: bool) -> Self {
        let disk = SimDisk::new();
        let options = LogOptions {
            mode: OpenMode::CreateIfMissing,
            segment_bytes: 1_024,
        };
        let (mut log, _) = Log::open(sim(&disk), Path::new(DIR), options, |_| Ok(())).unwrap();
        let mut seqs = BTreeSet::new();
        let mut places = Vec::new();
        let add = |log: &mut Log, seq| {
            let location = log.append(entry(seq), |out| out.extend(short(seq)));
            log.commit(Durability::Durable).unwrap();
            location.unwrap()
        };
        for seq in 0..if compacted { 14 } else { 24 } {
            places.push(add(&mut log, seq));
            seqs.insert(seq);
        }
        let retire = |log: &mut Log, seqs: &mut BTreeSet<u64>, each: &[u64]| {
            for &seq in each {
                log.retire(places[seq as usize]);
                seqs.remove(&seq);
            }
        };
        retire(&mut log, &mut seqs, &[1, 4, 7]);
        if compacted {
            while compact(&mut log, &seqs, None) != Step::Nothing {}
            retire(&mut log, &mut seqs, &[2]);
        }
        for _ in 0..2 {
            // There is room for a record.
            while compact(&mut log, &seqs, Some((&disk, 300))) != Step::Done {}
        }
        disk.set_capacity(u64::MAX);
        for seq in 24..36 {
            add(&mut log, seq);
            seqs.insert(seq);
        }
        let mut fixture = Self::closed(&disk, log, seqs, options);
        // What is dead in the front of the first file is still there.
        let live = std::mem::take(&mut fixture.seqs);
        let (_, recovery) = Log::open(sim(&fixture.disk), Path::new(DIR), options, |record| {
            fixture.seqs.insert(record.entry.seq);
            Ok(())
        })
        .unwrap();
        assert!(recovery.damage.is_empty() && fixture.seqs.is_superset(&live));
        // The first file is what was left, and the two behind it say so.
        let first = fixture.read(&fixture.files[1]);
        let flags = |at: usize| fixture.read(&fixture.files[at])[12];
        assert_eq!(flags(1), u8::from(compacted));
        assert_eq!((flags(2), flags(3)), (5, 5), "{:?}", fixture.files);
        assert!(first.len() > 300);
        fixture
    }

    fn closed(disk: &SimDisk, log: Log, seqs: BTreeSet<u64>, options: LogOptions) -> Self {
        log.close().unwrap();
        let mut files = vec![Path::new(DIR).join("cortica.store")];
        let log_dir = Path::new(DIR).join("log");
        files.extend(
            disk.list(&log_dir)
                .unwrap()
                .iter()
                .map(|it| log_dir.join(it)),
        );
        Self {
            disk: disk.power_cut(Keep::Everything),
            seqs,
            files,
            options,
        }
    }

    pub fn read(&self, path: &Path) -> Vec<u8> {
        let file = self.disk.open(path, Open::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// The store with this in one of its files.
    pub fn with(&self, path: &Path, bytes: &[u8]) -> SimDisk {
        let disk = self.disk.power_cut(Keep::Everything);
        put(&disk, path, bytes);
        disk
    }

    /// Opens a damaged store and holds it to what must be so; then repairs it.
    #[track_caller]
    pub fn judge(&self, disk: &SimDisk, what: &dyn std::fmt::Debug) -> Outcome {
        let dir = Path::new(DIR);
        let operations = disk.operations();
        let report = check(disk, dir, |_| Ok(()));
        assert_eq!(
            disk.operations(),
            operations,
            "{what:?}: check changed something"
        );
        let mut seen = BTreeSet::new();
        let mut show = |record: cortica_storage::Record<'_>| {
            assert_eq!(record.payload, short(record.entry.seq), "{what:?}");
            assert!(seen.insert(record.entry.seq), "{what:?}: twice");
            Ok(())
        };
        let (mut log, recovery) = match Log::open(sim(disk), dir, self.options, &mut show) {
            Ok(opened) => opened,
            Err(error) => {
                assert!(report.is_err(), "{what:?}: {error}, but {report:?}");
                assert!(error.to_string().contains(DIR), "{what:?}: {error}");
                return Outcome::Refused;
            }
        };
        let report = report.unwrap_or_else(|error| panic!("{what:?}: {error}"));
        let damaged = !recovery.damage.is_empty();
        assert_eq!(damaged, !report.is_sound(), "{what:?}: {report:?}");
        assert!(
            seen.is_subset(&self.seqs),
            "{what:?}: a record that is none"
        );
        if !damaged {
            assert_eq!(seen, self.seqs, "{what:?}: lost silently, {recovery:?}");
            return Outcome::Harmless;
        }
        assert_eq!(disk.operations(), operations, "{what:?}: changed something");
        log.append(entry(9_999), |_| ()).unwrap();
        let refusal = log.commit(Durability::Durable);
        assert!(matches!(refusal, Err(CommitError::Damaged)), "{what:?}");
        drop(log);
        let lost = self.seqs.len() - seen.len();
        let repaired = repair(&sim(disk), dir, |_| Ok(()));
        let repaired = repaired.unwrap_or_else(|error| panic!("{what:?}: {error}"));
        assert_eq!(repaired.damage, recovery.damage, "{what:?}");
        self.works(disk, &seen, what);
        Outcome::Detected { lost }
    }

    /// The store is sound, holds this, and can be written.
    #[track_caller]
    fn works(&self, disk: &SimDisk, want: &BTreeSet<u64>, what: &dyn std::fmt::Debug) {
        let mut want = want.clone();
        for seq in [10_000, 10_001] {
            let mut seen = BTreeSet::new();
            let opened = Log::open(sim(disk), Path::new(DIR), self.options, |record| {
                seen.insert(record.entry.seq);
                Ok(())
            });
            let (mut log, recovery) = opened.unwrap_or_else(|error| panic!("{what:?}: {error}"));
            assert_eq!(recovery.damage, [], "{what:?}: after the repair");
            assert_eq!(seen, want, "{what:?}: after the repair");
            log.append(entry(seq), |out| out.extend(short(seq)))
                .unwrap();
            log.commit(Durability::Durable).unwrap();
            want.insert(seq);
            log.close().unwrap();
        }
        assert!(check(disk, Path::new(DIR), |_| Ok(())).unwrap().is_sound());
    }
}

/// What one step of compaction came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Nothing,
    Full,
    Done,
}

/// Does one step, keeping these; where `room` says so, with so little left of a disk.
pub fn compact(log: &mut Log, seqs: &BTreeSet<u64>, room: Option<(&SimDisk, u64)>) -> Step {
    let Some(plan) = log.plan_compaction(Effort::Everything).unwrap() else {
        return Step::Nothing;
    };
    if let Some((disk, bytes)) = room {
        disk.set_capacity(disk.used() + bytes);
    }
    let rewritten = plan.rewrite(|record| {
        if seqs.contains(&record.entry.seq) {
            Fate::Keep
        } else {
            Fate::Drop
        }
    });
    match rewritten {
        Err(CompactError::Full) => return Step::Full,
        rewritten => log.install(rewritten.unwrap()).unwrap(),
    };
    Step::Done
}

/// Gives a file these bytes, making it where it is missing.
pub fn put(disk: &SimDisk, path: &Path, bytes: &[u8]) {
    let file = disk
        .open(path, Open::Write)
        .or_else(|_| disk.open(path, Open::CreateNew))
        .unwrap();
    file.set_len(0).unwrap();
    file.write_at(bytes, 0).unwrap();
}
