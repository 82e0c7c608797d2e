//! A store through tens of thousands of operations, crashes among them, against a plain model.
//!
//! `CORTICA_SEED=n` replays a run, `CORTICA_SIZE_MODEL=n` makes it shorter or longer.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

#[path = "../common/mod.rs"]
mod common;
mod upkeep;

use common::{Answer, Model, association, episode, id, recalled, vector};
use cortica_env::{Disk, Keep, ManualClock, Seed, SimDisk, Timestamp};
use cortica_index::Metric;
use cortica_memory::{
    Association, Episode, ForgetError, MemoryStore, OpenError, SpaceSpec, StoreOptions,
};
use cortica_storage::Durability;
use cortica_testkit::{Rng, report, size};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const OPERATIONS: usize = 50_000;

/// One thing done to the store, whose items are answered one by one.
#[derive(Clone, Debug)]
enum Work {
    Store(Vec<Episode>),
    Forget(Vec<String>),
    Associate(Vec<Association>),
}

#[derive(Debug, Default)]
struct Tally {
    items: usize,
    recalls: usize,
    reopened: usize,
    crashes: usize,
    /// Crashes after which an item was there that was never acknowledged.
    beyond: usize,
    compacted: usize,
    snapshots: usize,
    exports: usize,
    /// Crashes in the middle of a compaction, a snapshot or a restore.
    upkeep_crashes: usize,
    /// Of those, how many a copy survived whole, and how many left one that cannot be opened.
    copies: [usize; 2],
    compactions_by_itself: u64,
}

/// The store, the disk it lies on, and what it should hold.
struct World {
    rng: Rng,
    clock: Arc<ManualClock>,
    disk: SimDisk,
    dir: PathBuf,
    folders: usize,
    store: Option<MemoryStore>,
    model: Model,
    tally: Tally,
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.map_or(otherwise, |set| set.parse().unwrap())
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            rng: Rng::new(seed),
            clock: Arc::new(ManualClock::new(Timestamp::from_micros(1))),
            disk: SimDisk::new(),
            dir: PathBuf::from("store"),
            folders: 0,
            store: None,
            model: Model::default(),
            tally: Tally::default(),
        };
        world.open();
        world
    }

    fn open(&mut self) {
        self.store = Some(self.open_at(&self.dir).unwrap());
    }

    fn open_at(&self, dir: &Path) -> Result<MemoryStore, OpenError> {
        let space = SpaceSpec::new(common::DIMENSION).with_metric(Metric::Dot);
        let options = StoreOptions {
            space: Some(space),
            durability: Durability::Durable,
            segment_bytes: 16 << 10,
            clock: self.clock.clone(),
            disk: Arc::new(self.disk.clone()),
            ..StoreOptions::default()
        };
        MemoryStore::open(dir, options)
    }

    fn a_folder(&mut self) -> PathBuf {
        self.folders += 1;
        PathBuf::from(format!("folder-{}", self.folders))
    }

    fn the_disk(&self) -> Arc<dyn Disk> {
        Arc::new(self.disk.clone())
    }

    fn store(&self) -> &MemoryStore {
        self.store.as_ref().unwrap()
    }

    fn work(&mut self) -> Work {
        let rng = &mut self.rng;
        let items = 1 + rng.below(5);
        match rng.below(10) {
            0..5 => Work::Store((0..items).map(|_| episode(rng)).collect()),
            5..8 => Work::Associate((0..items).map(|_| association(rng)).collect()),
            _ => Work::Forget((0..items.min(3)).map(|_| id(rng)).collect()),
        }
    }

    fn step(&mut self) {
        match self.rng.below(200) {
            0..2 => self.reopen(),
            2..8 => self.crash(),
            8 => match self.rng.below(4) {
                0 => self.compact(),
                1 => self.export(),
                2 => self.snapshot(),
                _ => self.crash_in_upkeep(),
            },
            9..60 => self.recall(),
            _ => {
                let work = self.work();
                self.clock.advance_micros(1);
                self.answered(&work);
            }
        }
    }

    /// Does it to both, and holds the answers against each other.
    fn answered(&mut self, work: &Work) {
        let now = self.now();
        let (store, model) = (self.store.as_ref().unwrap(), &mut self.model);
        match work {
            Work::Store(episodes) => {
                self.tally.items += episodes.len();
                let answers = store.store_many(episodes.clone());
                for (episode, answer) in episodes.iter().zip(answers) {
                    let answer = answer.unwrap();
                    assert_eq!(answer.durability, Durability::Durable);
                    let got = Answer {
                        seq: answer.seq,
                        activation: answer.activation.get(),
                        outcome: answer.outcome,
                    };
                    assert_eq!(got, model.store(episode.clone(), now), "{episode:?}");
                }
            }
            Work::Forget(ids) => {
                self.tally.items += ids.len();
                for (id, answer) in ids.iter().zip(store.forget_many(ids)) {
                    let got = match answer {
                        Ok(forgotten) => Some(forgotten.seq),
                        Err(ForgetError::UnknownId { id: unknown }) if unknown == *id => None,
                        Err(other) => panic!("{other:?}"),
                    };
                    assert_eq!(got, model.forget(id), "{id}");
                }
            }
            Work::Associate(associations) => {
                self.tally.items += associations.len();
                let answers = store.associate_many(associations);
                for (association, answer) in associations.iter().zip(answers) {
                    let got = answer.ok().map(|associated| associated.outcome);
                    assert_eq!(got, model.associate(association), "{association:?}");
                }
            }
        }
    }

    fn now(&self) -> Timestamp {
        cortica_env::Clock::now(&*self.clock)
    }

    fn recall(&mut self) {
        self.tally.recalls += 1;
        let (query, k) = (vector(&mut self.rng), 1 + self.rng.below(12));
        let want = self.model.recall(&query, k);
        assert_eq!(recalled(self.store(), &query, k), want, "{query:?}");
        let id = id(&mut self.rng);
        let known = self.model.known.iter().find(|known| known.episode.id == id);
        match (self.store().get(&id), known) {
            (Some(there), Some(known)) => assert!(common::is(&there, known)),
            (there, known) => assert_eq!(there.is_some(), known.is_some()),
        }
        let want = self.model.associations(&id);
        assert_eq!(self.store().associations(&id), want);
    }

    /// Closed or dropped, and opened again: nothing has changed.
    fn reopen(&mut self) {
        self.tally.reopened += 1;
        let before = self.store().state_digest();
        self.tally.compactions_by_itself += self.store().stats().compactions;
        let store = self.store.take().unwrap();
        if self.rng.below(2) == 0 {
            store.close().unwrap();
        } else {
            drop(store);
        }
        self.open();
        assert_eq!(self.model.differs(self.store()), None);
        assert_eq!(self.store().state_digest(), before);
    }

    /// The power goes in the middle of some work. What was acknowledged is there, and of the work
    /// the first items are, or none.
    fn crash(&mut self) {
        self.tally.crashes += 1;
        let work = self.work();
        self.clock.advance_micros(1);
        self.disk.power_off_after(self.rng.below(4) as u64);
        let mut states = vec![self.model.clone()];
        for item in items(&work) {
            let mut model = states.last().unwrap().clone();
            self.apply(&mut model, item);
            states.push(model);
        }
        let failed = match &work {
            Work::Store(episodes) => failures(&self.store().store_many(episodes.clone())),
            Work::Forget(ids) => {
                let answers = self.store().forget_many(ids);
                let known = |answer: &&Result<_, ForgetError>| {
                    !matches!(answer, Err(ForgetError::UnknownId { .. }))
                };
                answers
                    .iter()
                    .filter(known)
                    .filter(|answer| answer.is_err())
                    .count()
            }
            Work::Associate(associations) => {
                let answers = self.store().associate_many(associations);
                let log = |answer: &&Result<_, cortica_memory::AssociateError>| {
                    matches!(answer, Err(cortica_memory::AssociateError::Log(_)))
                };
                answers.iter().filter(log).count()
            }
        };
        if failed == 0 {
            states = states.split_off(states.len() - 1);
        } else {
            // What was there before the work still is, for those who read on.
            assert_eq!(states[0].differs(self.store()), None);
        }
        self.store = None;
        let keep = match self.rng.below(6) {
            0 => Keep::Nothing,
            1 => Keep::Everything,
            _ => Keep::Seeded(Seed(self.rng.bits())),
        };
        self.disk = self.disk.power_cut(keep);
        self.open();
        let found = states
            .iter()
            .rposition(|state| state.differs(self.store()).is_none());
        let Some(found) = found else {
            let last = states.last().unwrap();
            panic!("after {work:?} {:?}", last.differs(self.store()));
        };
        self.tally.beyond += usize::from(failed > 0 && found > 0);
        self.model = states.swap_remove(found);
    }

    fn apply(&self, model: &mut Model, item: Work) {
        match item {
            Work::Store(episodes) => {
                for episode in episodes {
                    model.store(episode, self.now());
                }
            }
            Work::Forget(ids) => {
                for id in &ids {
                    model.forget(id);
                }
            }
            Work::Associate(associations) => {
                for association in &associations {
                    model.associate(association);
                }
            }
        }
    }
}

/// What may reach the log by itself: single episodes and forgettings, associations together.
fn items(work: &Work) -> Vec<Work> {
    match work {
        Work::Store(episodes) => episodes
            .iter()
            .map(|episode| Work::Store(vec![episode.clone()]))
            .collect(),
        Work::Forget(ids) => ids
            .iter()
            .map(|id| Work::Forget(vec![id.clone()]))
            .collect(),
        Work::Associate(_) => vec![work.clone()],
    }
}

fn failures<T, E>(answers: &[Result<T, E>]) -> usize {
    answers.iter().filter(|answer| answer.is_err()).count()
}

#[test]
fn whatever_is_done_the_store_is_what_the_model_is() {
    let seed = from_environment("CORTICA_SEED", 0x000c_0071_ca05);
    let operations = size("MODEL", OPERATIONS as u64);
    let mut world = World::new(seed);
    for operation in 0..operations {
        let step = std::panic::AssertUnwindSafe(|| world.step());
        if let Err(panic) = std::panic::catch_unwind(step) {
            let failed = format!("operation {operation} of CORTICA_SEED={seed} went wrong\n");
            std::io::stderr().write_all(failed.as_bytes()).unwrap();
            std::panic::resume_unwind(panic);
        }
    }
    world.reopen();
    // To standard error itself: the test runner hides what `println!` says.
    let told = format!("{operations} operations, seed {seed}: {:?}\n", world.tally);
    std::io::stderr().write_all(told.as_bytes()).unwrap();
    let Tally {
        recalls,
        crashes,
        beyond,
        reopened,
        snapshots,
        copies,
        ..
    } = world.tally;
    let counts = [
        ("operations", operations),
        ("crashes", crashes as u64),
        ("recalls_compared", recalls as u64),
    ];
    report("model", seed, &counts);
    let often = crashes > 500 && beyond > 20 && reopened > 100;
    let rare = snapshots > 20 && copies[0] > 1 && copies[1] > 1;
    assert!(operations < 10_000 || (often && rare));
    assert!(world.tally.compactions_by_itself > 0);
}

/// What a batch of any shape does is what its items do one by one.
#[test]
fn batches_whose_items_meet_equal_one_by_one() {
    for seed in 0..40 {
        let mut rng = Rng::new(seed);
        let work: Vec<Episode> = (0..400).map(|_| episode(&mut rng)).collect();
        let open = || {
            let options = StoreOptions {
                space: Some(SpaceSpec::new(common::DIMENSION).with_metric(Metric::Dot)),
                clock: Arc::new(ManualClock::new(Timestamp::from_micros(9))),
                ..StoreOptions::default()
            };
            MemoryStore::in_memory(options).unwrap()
        };
        let (one, many, mut model) = (open(), open(), Model::default());
        let now = Timestamp::from_micros(9);
        let one_by_one: Vec<_> = work.iter().map(|e| one.store(e.clone()).unwrap()).collect();
        let mut together = Vec::new();
        let mut rest = &work[..];
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(1 + rng.below(80)));
            together.extend(
                many.store_many(batch.to_vec())
                    .into_iter()
                    .map(Result::unwrap),
            );
            rest = later;
        }
        assert_eq!(one_by_one, together, "seed {seed}");
        for (episode, answer) in work.iter().zip(&together) {
            let want = model.store(episode.clone(), now);
            assert_eq!((answer.seq, &answer.outcome), (want.seq, &want.outcome));
        }
        assert_eq!(one.state_digest(), many.state_digest());
        assert_eq!(model.differs(&many), None);
    }
}
