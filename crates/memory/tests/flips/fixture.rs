//! A closed store with everything in it, and a plain account of what that is.

use crate::common::{DIMENSION, Model};
use cortica_env::{Disk, Keep, ManualClock, Open, SimDisk, Timestamp};
use cortica_index::Metric;
use cortica_memory::{
    Association, Confidence, Episode, MemoryStore, OpenError, SpaceSpec, StoreOptions,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) const DIR: &str = "/data/store";

pub(crate) const SPACE: u16 = 1;
pub(crate) const EPISODE: u16 = 2;
pub(crate) const LINKS: u16 = 3;
pub(crate) const FORGET: u16 = 4;
pub(crate) const ACTIVATION: u16 = 5;

/// A record of the undamaged log.
#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) kind: u16,
    pub(crate) seq: u64,
    pub(crate) payload: Vec<u8>,
}

pub(crate) struct Fixture {
    pub(crate) disk: SimDisk,
    /// All files but the lock and the space that is held back.
    pub(crate) files: Vec<PathBuf>,
    pub(crate) model: Model,
    /// Every version of an episode that was ever stored.
    pub(crate) ever: BTreeMap<u64, Vec<Episode>>,
    /// Every weight that a link ever had, as bits.
    pub(crate) ever_linked: BTreeSet<(u64, u32, u64, u32)>,
    /// By position.
    pub(crate) records: BTreeMap<u64, Written>,
    pub(crate) digest: u64,
}

pub(crate) fn options(disk: &SimDisk) -> StoreOptions {
    let space = SpaceSpec::new(DIMENSION).with_metric(Metric::Dot);
    StoreOptions {
        space: Some(space.with_model("model")),
        segment_bytes: 16 << 10,
        disk: Arc::new(disk.clone()),
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(5))),
        ..StoreOptions::default()
    }
}

pub(crate) fn open(disk: &SimDisk) -> Result<MemoryStore, OpenError> {
    MemoryStore::open(Path::new(DIR), options(disk))
}

pub(crate) fn vector(number: usize) -> Vec<f32> {
    let value = |at| ((number * 7 + at * at * (number + 3)) % 5) as f32 - 2.0;
    (0..DIMENSION).map(value).collect()
}

pub(crate) fn shown(disk: &SimDisk) -> BTreeMap<u64, Written> {
    let mut records = BTreeMap::new();
    let take = |record: cortica_storage::Record<'_>| {
        let written = Written {
            kind: record.entry.kind,
            seq: record.entry.seq,
            payload: record.payload.to_vec(),
        };
        records.insert(record.position, written);
        Ok(())
    };
    // What cannot be read at all shows nothing.
    let _ = cortica_storage::check(disk, Path::new(DIR), take);
    records
}

/// Writes the same into a store and a model of it.
struct Script<'a> {
    store: &'a MemoryStore,
    fixture: &'a mut Fixture,
}

impl Script<'_> {
    fn store(&mut self, id: &str, text: &str, embedding: Option<usize>) {
        let mut episode = Episode::new(id, text);
        episode.embedding = embedding.map(vector);
        // So that it can be reinforced.
        episode.encoding_confidence = Confidence::new(0.5).unwrap();
        let now = Timestamp::from_micros(5);
        let answer = self.fixture.model.store(episode.clone(), now);
        let stored = self.store.store(episode.clone()).unwrap();
        assert_eq!((stored.seq, stored.outcome), (answer.seq, answer.outcome));
        let versions = self.fixture.ever.entry(stored.seq).or_default();
        versions.push(episode);
    }

    fn forget(&mut self, id: &str) {
        let seq = self.fixture.model.forget(id);
        assert_eq!(Some(self.store.forget(id).unwrap().seq), seq);
    }

    fn link(&mut self, from: &str, to: &str, weight: f32) {
        let link = Association::new(from, to, 3).with_weight(weight);
        self.fixture.model.associate(&link).unwrap();
        assert!(self.store.associate_many(&[link])[0].is_ok());
        let links = &self.fixture.model.links;
        let links = links
            .iter()
            .map(|(&(from, relation, to), weight)| (from, relation, to, weight.to_bits()));
        self.fixture.ever_linked.extend(links);
    }
}

impl Fixture {
    pub(crate) fn new() -> Self {
        let disk = SimDisk::new();
        let mut fixture = Self {
            disk: disk.clone(),
            files: Vec::new(),
            model: Model::default(),
            ever: BTreeMap::new(),
            ever_linked: BTreeSet::new(),
            records: BTreeMap::new(),
            digest: 0,
        };
        let store = open(&disk).unwrap();
        let mut script = Script {
            store: &store,
            fixture: &mut fixture,
        };
        script.store("a", "first", Some(1));
        script.store("b", "second", Some(2));
        script.store("c", "third", None);
        script.link("a", "b", 0.5);
        script.store("b", "second again", Some(3));
        script.forget("c");
        script.store("c", "third again", Some(4));
        script.store("a", "first", Some(1)); // Reinforced.
        script.link("b", "c", 0.25);
        store.compact().unwrap();
        script.store("d", "fourth", Some(5));
        script.store("e", "fifth", None);
        script.store("f", "sixth", Some(6));
        script.link("d", "a", 1.0);
        script.link("a", "b", 0.75); // Reweighted.
        script.store("e", "fifth", None); // Reinforced.
        script.store("d", "fourth again", Some(7));
        script.link("f", "d", 0.5);
        script.forget("f");
        script.store("f", "sixth again", Some(8));
        script.forget("e");
        script.store("e", "fifth again", None);
        script.link("e", "f", 0.5);
        script.store("g", "seventh", Some(9));
        script.forget("g");
        assert_eq!(fixture.model.differs(&store), None);
        fixture.digest = store.state_digest();
        store.close().unwrap();
        let log_dir = Path::new(DIR).join("log");
        fixture.files = vec![Path::new(DIR).join("cortica.store")];
        let names = disk.list(&log_dir).unwrap();
        fixture
            .files
            .extend(names.iter().map(|name| log_dir.join(name)));
        assert!(fixture.files.len() >= 4, "{:?}", fixture.files);
        fixture.records = shown(&disk);
        for kind in [SPACE, EPISODE, LINKS, FORGET, ACTIVATION] {
            let mut records = fixture.records.values();
            assert!(records.any(|record| record.kind == kind), "kind {kind}");
        }
        fixture.disk = disk.power_cut(Keep::Everything);
        fixture
    }

    pub(crate) fn read(&self, path: &Path) -> Vec<u8> {
        let file = self.disk.open(path, Open::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// The store with these bytes in one of its files.
    pub(crate) fn with(&self, path: &Path, bytes: &[u8]) -> SimDisk {
        let disk = self.disk.power_cut(Keep::Everything);
        let file = disk.open(path, Open::Write).unwrap();
        file.set_len(0).unwrap();
        file.write_at(bytes, 0).unwrap();
        disk
    }
}
