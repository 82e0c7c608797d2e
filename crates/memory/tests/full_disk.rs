//! A disk that is full again and again, as somebody sees it who runs one command after the other: storing
//! until nothing fits, forgetting a little, compacting. Whatever was stored in between, the next forgetting and the
//! next compaction are possible.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use common::vector;
use cortica_env::{Disk as _, SimDisk};
use cortica_index::Metric;
use cortica_memory::{
    Atomicity, Episode, MemoryStore, SpaceSpec, StoreError, StoreOptions, Write, Written,
};
use cortica_testkit::Rng;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "/data/store";

fn open(disk: &SimDisk, segment_bytes: u64) -> MemoryStore {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(common::DIMENSION).with_metric(Metric::Dot)),
        disk: Arc::new(disk.clone()),
        segment_bytes,
        ..StoreOptions::default()
    };
    MemoryStore::open(Path::new(DIR), options).unwrap()
}

struct User {
    disk: SimDisk,
    segment_bytes: u64,
    rng: Rng,
    held: VecDeque<String>,
    stored: usize,
}

impl User {
    fn new(capacity: u64, segment_bytes: u64) -> Self {
        let disk = SimDisk::new();
        disk.set_capacity(capacity);
        Self {
            disk,
            segment_bytes,
            rng: Rng::new(capacity),
            held: VecDeque::new(),
            stored: 0,
        }
    }

    /// Stores until the disk is full; says how many it took.
    fn fill(&mut self) -> usize {
        let store = open(&self.disk, self.segment_bytes);
        let mut taken = 0;
        let mut words = 200;
        loop {
            let id = format!("id-{}", self.stored);
            self.stored += 1;
            let text = format!("{id} {}", "word ".repeat(words));
            let episode = Episode::new(id.clone(), text).with_embedding(vector(&mut self.rng));
            if store.store(episode).is_ok() {
                self.held.push_back(id);
                taken += 1;
            } else if words > 0 {
                words /= 2; // Where a long one finds no room, a short one may.
            } else {
                break;
            }
        }
        store.close().unwrap();
        taken
    }

    fn forget(&mut self, count: usize, what: &str) {
        let store = open(&self.disk, self.segment_bytes);
        for _ in 0..count.min(self.held.len()) {
            let id = self.held.pop_front().unwrap();
            if let Err(error) = store.forget(&id) {
                panic!("{what}: {error:?}, {} held", self.held.len());
            }
        }
        store.close().unwrap();
    }

    fn compact(&self, what: &str) {
        let store = open(&self.disk, self.segment_bytes);
        if let Err(error) = store.compact() {
            panic!("{what}: {error:?}");
        }
        store.close().unwrap();
    }

    fn check(&self, what: &str) {
        let store = open(&self.disk, self.segment_bytes);
        assert_eq!(store.stats().episodes, self.held.len() as u64, "{what}");
        assert!(self.held.iter().all(|id| store.get(id).is_some()), "{what}");
    }
}

#[test]
fn a_full_disk_is_cleared_up_again_and_again() {
    for (segment_bytes, capacities) in [(64 << 10, 160..400), (4 << 20, 2_000..6_000)] {
        for capacity in capacities.step_by(if segment_bytes < 1 << 20 { 24 } else { 800 }) {
            let mut user = User::new(capacity << 10, segment_bytes);
            assert!(user.fill() > 0);
            let mut later = 0;
            for round in 0..12 {
                let what = format!("{capacity} KB, round {round}");
                user.forget(3, &what);
                user.compact(&what);
                later += user.fill();
                user.check(&what);
            }
            assert!(later > 0, "{capacity} KB: nothing came of it");
        }
    }
}

/// Several who forget, each followed by one who stores, before anybody compacts.
#[test]
fn forgetting_is_possible_several_times_before_a_compaction() {
    for capacity in (256..512).step_by(32) {
        let mut user = User::new(capacity << 10, 64 << 10);
        assert!(user.fill() > 0);
        for round in 0..8 {
            let what = format!("{capacity} KB, round {round}");
            for _ in 0..4 {
                user.forget(2, &what);
                user.fill();
            }
            user.compact(&what);
            user.fill();
            user.check(&what);
        }
    }
}

/// Where a list is one frame of the log, forgetting is as possible as elsewhere; and where each write counts for
/// itself, what is forgotten does not share the fate of what finds no room.
#[test]
fn forgetting_is_possible_in_lists_of_writes() {
    let forget = |id: &String| Write::Forget(id.clone());
    for capacity in (256..512).step_by(32) {
        let what = format!("{capacity} KB");
        let mut user = User::new(capacity << 10, 64 << 10);
        assert!(user.fill() > 0);
        let store = open(&user.disk, user.segment_bytes);
        let all: Vec<String> = user.held.drain(..20).collect();
        for written in store.write_many(all.iter().map(forget).collect(), Atomicity::All) {
            assert!(written.is_ok(), "{what}: {written:?}");
        }
        assert!(all.iter().all(|id| store.get(id).is_none()), "{what}");
        store.close().unwrap();
        user.fill();
        let store = open(&user.disk, user.segment_bytes);
        let (before, after) = (
            user.held.pop_front().unwrap(),
            user.held.pop_back().unwrap(),
        );
        let large = Episode::new("large", "word ".repeat(200_000));
        let list = vec![forget(&before), Write::Store(large), forget(&after)];
        let answers = store.write_many(list, Atomicity::Each);
        let [first, Written::Stored(Err(StoreError::Log(_))), last] = &answers[..] else {
            panic!("{what}: {answers:?}");
        };
        assert!(first.is_ok() && last.is_ok(), "{what}: {answers:?}");
        store.close().unwrap();
        user.check(&what);
    }
}

/// What is forgotten little by little on a full disk lies in small files, as long as what came before cannot be
/// rewritten; they are made one.
#[test]
fn files_stay_few_on_a_disk_that_stays_full() {
    let mut user = User::new(6_000 << 10, 4 << 20);
    assert!(user.fill() > 100);
    for round in 0..60 {
        let what = format!("round {round}");
        for _ in 0..3 {
            user.forget(1, &what);
        }
        user.compact(&what);
        let log = Path::new(DIR).join("log");
        let files = user.disk.list(&log).unwrap().len();
        assert!(files < 40, "{what}: {files} files");
    }
    user.check("at the end");
}
