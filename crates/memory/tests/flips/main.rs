//! A closed store with one bit flipped, or a file cut off: what is whole is there, unchanged and
//! found, before and after a repair, and nothing is there that never was.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

#[path = "../common/mod.rs"]
mod common;
mod fixture;

use common::{DIMENSION, is};
use cortica_env::{Disk, Keep, SimDisk};
use cortica_index::Metric;
use cortica_memory::{
    Cue, Episode, Exported, MemoryStore, OpenError, SpaceSpec, StoreOptions, check, repair,
};
use cortica_storage::OpenMode;
use fixture::{
    ACTIVATION, DIR, EPISODE, FORGET, Fixture, LINKS, SPACE, Written, open, options, shown, vector,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;

impl Fixture {
    /// Opens a damaged store and holds it to what must be so; then repairs it. Says whether the
    /// damage was noticed.
    #[track_caller]
    fn judge(&self, disk: &SimDisk, path: &Path, what: &dyn Debug) -> bool {
        let dir = Path::new(DIR);
        let records = shown(disk);
        let checked = check(disk, dir);
        let store = match open(disk) {
            Ok(store) => store,
            Err(error) => {
                assert!(
                    path.extension().is_none_or(|end| end != "log"),
                    "{what:?}: {error}"
                );
                assert!(error.to_string().contains(DIR), "{what:?}: {error}");
                return true;
            }
        };
        let checked = checked.unwrap_or_else(|error| panic!("{what:?}: {error}"));
        let stats = store.stats();
        if stats.recovery.damage.is_empty() {
            assert!(checked.is_sound(), "{what:?}: {checked:?}");
            assert_eq!(
                store.state_digest(),
                self.digest,
                "{what:?}: changed silently"
            );
            recalls(&store, what);
            return false;
        }
        assert_eq!(checked.damage, stats.recovery.damage, "{what:?}");
        assert_eq!(checked.space_lost, stats.space_guessed, "{what:?}");
        assert_eq!(checked.lost_forgets, stats.lost_forgets, "{what:?}");
        assert_eq!(
            checked.lost_associations, stats.lost_associations,
            "{what:?}"
        );
        assert!(!stats.writable && !checked.is_sound(), "{what:?}");
        self.holds(&store, &records, what);
        let digest = store.state_digest();
        drop(store);

        let arc: Arc<dyn Disk> = Arc::new(disk.clone());
        let repaired = repair(&arc, dir).unwrap_or_else(|error| panic!("{what:?}: {error}"));
        assert_eq!(repaired.damage, checked.damage, "{what:?}");
        let mended = check(disk, dir).unwrap();
        assert_eq!(mended.space_lost, checked.space_lost, "{what:?}");
        assert_eq!(
            mended.is_sound(),
            !mended.space_lost,
            "{what:?}: {mended:?}"
        );
        let store = open(disk).unwrap_or_else(|error| panic!("{what:?}: {error}"));
        assert_eq!(
            store.state_digest(),
            digest,
            "{what:?}: repair changed something"
        );
        let stats = store.stats();
        assert!(stats.writable && !stats.space_guessed, "{what:?}");
        self.holds(&store, &records, what);
        store
            .store(Episode::new("new", "new").with_embedding(vector(20)))
            .unwrap();
        recalls(&store, what);
        store.close().unwrap();
        let sound = check(disk, dir).unwrap();
        assert!(sound.is_sound(), "{what:?}: {sound:?}");
        true
    }

    /// Whether a store holds what these records of the log tell, and nothing that never was.
    #[track_caller]
    fn holds(&self, store: &MemoryStore, shown: &BTreeMap<u64, Written>, what: &dyn Debug) {
        let last = |kind, seq| {
            let of = |record: &Written| record.kind == kind && record.seq == seq;
            let mut records = self.records.iter().rev();
            records.find(|(_, record)| of(record)).map(|(at, _)| *at)
        };
        let mut intact = BTreeSet::new();
        for known in &self.model.known {
            let stored = last(EPISODE, known.seq).unwrap();
            let activated = last(ACTIVATION, known.seq).filter(|at| *at > stored);
            let mut own = std::iter::once(stored).chain(activated);
            if own.all(|at| shown.contains_key(&at)) {
                let id = &known.episode.id;
                let there = store.get(id);
                let there = there.unwrap_or_else(|| panic!("{what:?}: {known:?} is gone"));
                assert!(is(&there, known), "{what:?}: {there:?} is not {known:?}");
                assert_eq!(store.embedding(id), known.episode.embedding, "{what:?}");
                intact.insert(known.seq);
            }
        }
        let mut links = BTreeSet::new();
        let mut seqs = BTreeMap::new();
        let exported = store.export(|exported| {
            match exported {
                Exported::Episode { memory, embedding } => {
                    let versions = self.ever.get(&memory.seq);
                    let is_version = |version: &Episode| {
                        *version.id == *memory.id
                            && version.what == memory.what
                            && version.embedding.as_deref() == embedding
                    };
                    let real = versions.is_some_and(|all| all.iter().any(is_version));
                    assert!(real, "{what:?}: {memory:?} was never stored");
                    let known = self.model.known.iter().any(|it| it.seq == memory.seq);
                    let forgetting = last(FORGET, memory.seq);
                    let back = forgetting.is_some_and(|at| !shown.contains_key(&at));
                    assert!(known || back, "{what:?}: {memory:?} was forgotten");
                    seqs.insert(memory.id.to_string(), memory.seq);
                }
                Exported::Association(link) => {
                    let (from, to) = (seqs[&link.from], seqs[&link.to]);
                    links.insert((from, link.relation, to, link.weight.to_bits()));
                }
                _ => {}
            }
            Ok::<(), ()>(())
        });
        exported.unwrap();
        assert_eq!(store.stats().episodes, seqs.len() as u64, "{what:?}");
        assert!(links.is_subset(&self.ever_linked), "{what:?}: {links:?}");
        for (&(from, relation, to), weight) in &self.model.links {
            let bytes = [
                &from.to_le_bytes()[..],
                &to.to_le_bytes(),
                &relation.to_le_bytes(),
            ];
            let bytes = bytes.concat();
            let says = |record: &Written| {
                let mut links = record.payload.chunks(24);
                record.kind == LINKS && links.any(|link| link.starts_with(&bytes))
            };
            let mut records = self.records.iter().rev();
            let (at, _) = records.find(|(_, record)| says(record)).unwrap();
            if shown.contains_key(at) && intact.contains(&from) && intact.contains(&to) {
                let link = (from, relation, to, weight.to_bits());
                assert!(links.contains(&link), "{what:?}: {link:?} is gone");
            }
        }
        recalls(store, what);
    }
}

/// Whether every embedding is found at its score, which the values make exact.
#[track_caller]
fn recalls(store: &MemoryStore, what: &dyn Debug) {
    let mut all = Vec::new();
    let exported = store.export(|exported| {
        if let Exported::Episode { memory, embedding } = exported
            && let Some(embedding) = embedding
        {
            all.push((memory.seq, embedding.to_vec()));
        }
        Ok::<(), ()>(())
    });
    exported.unwrap();
    for query in [vector(2), vector(11)] {
        let score = |embedding: &[f32]| embedding.iter().zip(&query).map(|(a, b)| a * b).sum();
        let mut want: Vec<(f32, u64)> = all
            .iter()
            .map(|(seq, embedding)| (score(embedding), *seq))
            .collect();
        want.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        assert_eq!(common::recalled(store, &query, 100), want, "{what:?}");
    }
}

#[test]
fn every_flipped_bit_is_noticed_or_harmless_and_costs_one_record() {
    let fixture = Fixture::new();
    for path in &fixture.files {
        let bytes = fixture.read(path);
        let mut noticed = 0;
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let disk = fixture.with(path, &bad);
            noticed += u64::from(fixture.judge(&disk, path, &(path, bit)));
        }
        let tried = [
            ("bits_flipped", bytes.len() as u64 * 8),
            ("noticed", noticed),
        ];
        cortica_testkit::report("flips", 0, &tried);
        assert!(noticed > 0 || path.ends_with("cortica.store"), "{path:?}");
    }
}

#[test]
fn cut_at_every_offset_the_rest_is_there() {
    let fixture = Fixture::new();
    for path in &fixture.files {
        let bytes = fixture.read(path);
        for cut in 0..bytes.len() {
            let disk = fixture.with(path, &bytes[..cut]);
            fixture.judge(&disk, path, &(path, cut));
        }
        let gone = fixture.disk.power_cut(Keep::Everything);
        gone.remove(path).unwrap();
        fixture.judge(&gone, path, &(path, "removed"));
    }
}

/// Where a file of a store lies in which both records of its vector space are damaged.
fn without_space(fixture: &Fixture) -> SimDisk {
    let spaces = fixture.records.values().filter(|it| it.kind == SPACE);
    let payload = &spaces.clone().next().unwrap().payload;
    assert_eq!(spaces.count(), 2);
    let mut hits = 0;
    let mut disk = fixture.disk.power_cut(Keep::Everything);
    for path in &fixture.files {
        let mut bytes = fixture.read(path);
        for at in 0..bytes.len().saturating_sub(payload.len()) {
            if bytes[at..].starts_with(payload) {
                bytes[at] ^= 1;
                hits += 1;
            }
        }
        if bytes != fixture.read(path) {
            disk = fixture.with(path, &bytes);
        }
    }
    assert_eq!(hits, 2);
    disk
}

#[test]
fn a_store_that_lost_what_its_space_is_keeps_every_episode() {
    let fixture = Fixture::new();
    let disk = without_space(&fixture);
    let path = fixture.files.last().unwrap();
    assert!(fixture.judge(&disk, path, &"with the caller's space"));

    // Nobody says what it was.
    let disk = without_space(&fixture);
    let plain = |mode| {
        let options = StoreOptions {
            space: None,
            mode,
            ..options(&disk)
        };
        MemoryStore::open(Path::new(DIR), options).unwrap()
    };
    let guessed = |store: &MemoryStore, writable| {
        assert_eq!(fixture.model.differs(store), None);
        let stats = store.stats();
        let space = stats.space.unwrap();
        assert_eq!((space.dimension, space.metric), (DIMENSION, Metric::Cosine));
        assert_eq!(space.model, "");
        assert_eq!((stats.space_guessed, stats.writable), (true, writable));
        let found = store.recall(&Cue::embedding(vector(1))).unwrap();
        assert_eq!(&*found[0].memory.id, "a");
    };
    guessed(&plain(OpenMode::MustExist), false);
    let arc: Arc<dyn Disk> = Arc::new(disk.clone());
    repair(&arc, Path::new(DIR)).unwrap();
    // A guess is not written down, so that it can be put right.
    guessed(&plain(OpenMode::ReadOnly), false);
    guessed(&plain(OpenMode::MustExist), true);
    let report = check(&disk, Path::new(DIR)).unwrap();
    assert_eq!((report.damage.len(), report.space_lost), (0, true));
    assert!(!report.is_sound());
    let wrong = StoreOptions {
        space: Some(SpaceSpec::new(DIMENSION + 1)),
        ..options(&disk)
    };
    let refused = MemoryStore::open(Path::new(DIR), wrong).map(|_| ());
    let field = match refused {
        Err(OpenError::SpaceMismatch { field, .. }) => field,
        other => panic!("{other:?}"),
    };
    assert_eq!(field, "dimension");
    let store = open(&disk).unwrap();
    assert_eq!(store.state_digest(), fixture.digest);
    store.close().unwrap();
    assert!(check(&disk, Path::new(DIR)).unwrap().is_sound());
    assert_eq!(plain(OpenMode::ReadOnly).state_digest(), fixture.digest);
}

/// A forgotten episode whose id is in use again does not come back in its place.
#[test]
fn the_newer_episode_wins_over_one_whose_forgetting_is_lost() {
    let fixture = Fixture::new();
    let mut seen = 0;
    for path in &fixture.files {
        let bytes = fixture.read(path);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            let disk = fixture.with(path, &bad);
            let report = check(&disk, Path::new(DIR)).unwrap();
            if report.lost_forgets > 0 {
                assert_eq!((report.lost_forgets, report.damage.len()), (1, 1));
                assert_eq!(report.damage[0].kind.unwrap_or(FORGET), FORGET);
                let store = open(&disk).unwrap();
                assert_eq!(store.state_digest(), fixture.digest);
                seen += 1;
            }
        }
    }
    assert!(seen > 40, "{seen}");
}
