//! What is done to a store beside reading and writing.

use crate::World;
use crate::common;
use cortica_env::{Disk, Keep, Seed, SimDisk};
use cortica_index::Metric;
use cortica_memory::{
    Association, Episode, Exported, Import, MemoryStore, SpaceSpec, StoreOptions, check, restore,
};
use cortica_storage::OpenMode;
use std::path::Path;

impl World {
    /// All that is dead goes, and nothing else.
    pub(crate) fn compact(&mut self) {
        self.tally.compacted += 1;
        self.tick();
        let before = self.store().state_digest();
        self.store().compact().unwrap();
        assert_eq!(self.store().stats().dead_bytes, 0);
        assert_eq!(self.store().state_digest(), before);
        self.reopen();
        assert_eq!(self.store().state_digest(), before);
    }

    /// A snapshot is what the store is, and so is what is restored from it; sometimes the world goes
    /// on from there.
    pub(crate) fn snapshot(&mut self) {
        self.tally.snapshots += 1;
        let (snapshot, back) = (self.a_folder(), self.a_folder());
        let before = self.store().state_digest();
        self.store().snapshot(&snapshot).unwrap();
        restore(&self.the_disk(), &snapshot, &back).unwrap();
        for dir in [&snapshot, &back] {
            assert!(check(&self.disk, dir).unwrap().is_sound());
            let copy = self.open_at(dir).unwrap();
            assert_eq!(copy.state_digest(), before);
            copy.close().unwrap();
        }
        remove_all(&self.disk, &snapshot);
        if self.rng.below(2) == 0 {
            self.store = None;
            self.model.uses.clear();
            remove_all(&self.disk, &self.dir);
            self.dir = back;
            self.open();
            assert_eq!(self.model.differs(self.store()), None);
        } else {
            remove_all(&self.disk, &back);
        }
    }

    /// What is imported and exported again is what was exported.
    pub(crate) fn export(&mut self) {
        self.tally.exports += 1;
        let first = exported(self.store());
        let copy = MemoryStore::in_memory(StoreOptions {
            space: Some(SpaceSpec::new(common::DIMENSION).with_metric(Metric::Dot)),
            ..StoreOptions::default()
        })
        .unwrap();
        let imports: Vec<Import> = first.0.clone();
        assert!(copy.import_many(imports.clone()).iter().all(Result::is_ok));
        assert!(copy.associate_many(&first.1).iter().all(Result::is_ok));
        assert_eq!(exported(&copy), first);
        // Again, nothing happens.
        let digest = copy.state_digest();
        assert!(copy.import_many(imports).iter().all(Result::is_ok));
        assert_eq!(copy.state_digest(), digest);
    }

    /// The power goes in the middle of upkeep: the store is what it was, and a copy is whole or
    /// none.
    pub(crate) fn crash_in_upkeep(&mut self) {
        self.tally.upkeep_crashes += 1;
        let before = self.store().state_digest();
        let (snapshot, back) = (self.a_folder(), self.a_folder());
        let what = self.rng.below(3);
        if what == 2 {
            self.store().snapshot(&snapshot).unwrap();
        }
        self.disk.power_off_after(self.rng.below(30) as u64);
        let done = match what {
            0 => self.store().compact().is_ok(),
            1 => self.store().snapshot(&snapshot).is_ok(),
            _ => restore(&self.the_disk(), &snapshot, &back).is_ok(),
        };
        self.store = None;
        self.model.uses.clear();
        self.disk = self.disk.power_cut(Keep::Seeded(Seed(self.rng.bits())));
        self.open();
        assert_eq!(self.store().state_digest(), before);
        assert_eq!(self.model.differs(self.store()), None);
        let copy = [&snapshot, &back][usize::from(what == 2)].clone();
        if what > 0 {
            let must_exist = StoreOptions {
                mode: OpenMode::MustExist,
                disk: self.the_disk(),
                ..StoreOptions::default()
            };
            match MemoryStore::open(&copy, must_exist) {
                Ok(copy) => {
                    self.tally.copies[0] += 1;
                    assert_eq!(copy.state_digest(), before);
                }
                Err(error) => {
                    self.tally.copies[1] += 1;
                    assert!(!done, "{error}");
                }
            }
        }
        for folder in [snapshot, back] {
            remove_all(&self.disk, &folder);
        }
    }
}

/// Everything a store holds, as it would be imported.
fn exported(store: &MemoryStore) -> (Vec<Import>, Vec<Association>) {
    let (mut imports, mut associations) = (Vec::new(), Vec::new());
    let shown = store.export(|item| {
        match item {
            Exported::Episode { memory, embedding } => {
                let mut episode = Episode::new(&*memory.id, &memory.what);
                episode.when = memory.when;
                episode.place.clone_from(&memory.place);
                episode.who.clone_from(&memory.who);
                episode.embedding = embedding.map(<[f32]>::to_vec);
                episode.encoding_confidence = memory.encoding_confidence;
                episode.metadata.clone_from(&memory.metadata);
                episode.stream.clone_from(&memory.stream);
                imports.push(Import::new(episode, memory.stored_at, memory.activation));
            }
            Exported::Association(association) => associations.push(association.clone()),
            _ => return Err("something else"),
        }
        Ok(())
    });
    shown.unwrap();
    (imports, associations)
}

/// Removes all files below a folder.
fn remove_all(disk: &SimDisk, dir: &Path) {
    for name in disk.list(dir).unwrap_or_default() {
        let path = dir.join(name);
        if disk.list(&path).is_ok() {
            remove_all(disk, &path);
        } else {
            disk.remove(&path).unwrap();
        }
    }
}
