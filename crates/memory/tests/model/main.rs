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
    Association, AtCapacity, Episode, ForgetError, MemoryStore, OpenError, SpaceSpec, StoreError,
    StoreOptions, Stored,
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
    evicted: usize,
    refused: usize,
    strengthened: u64,
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

/// How many a store may hold, and whether it refuses more.
#[derive(Clone, Copy, Debug, Default)]
struct Room {
    capacity: Option<usize>,
    refuses: bool,
}

impl World {
    fn new(seed: u64, room: Room) -> Self {
        let mut world = Self {
            rng: Rng::new(seed),
            clock: Arc::new(ManualClock::new(Timestamp::from_micros(1))),
            disk: SimDisk::new(),
            dir: PathBuf::from("store"),
            folders: 0,
            store: None,
            model: Model {
                capacity: room.capacity,
                refuses: room.refuses,
                ..Model::default()
            },
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
            capacity: self.model.capacity,
            at_capacity: at_capacity(self.model.refuses),
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
            9 => self.tick(),
            10 => self.resize(),
            11..60 => self.recall(),
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
        self.tally.strengthened += model.settle().0;
        match work {
            Work::Store(episodes) => {
                self.tally.items += episodes.len();
                let answers = store.store_many(episodes.clone());
                for (episode, answer) in episodes.iter().zip(answers) {
                    let got = got(answer);
                    self.tally.refused += usize::from(got.is_none());
                    self.tally.evicted += got.as_ref().map_or(0, |got| got.evicted.len());
                    assert_eq!(got, model.try_store(episode.clone(), now), "{episode:?}");
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
        self.model.note(&want);
        assert_eq!(self.store().stats().pending, self.model.uses.len() as u64);
        let id = id(&mut self.rng);
        let known = self.model.known.iter().find(|known| known.episode.id == id);
        match (self.store().get(&id), known) {
            (Some(there), Some(known)) => assert!(common::is(&there, known)),
            (there, known) => assert_eq!(there.is_some(), known.is_some()),
        }
        let want = self.model.associations(&id);
        assert_eq!(self.store().associations(&id), want);
    }

    fn tick(&mut self) {
        let before = self.model.known.len();
        let (strengthened, uses) = self.model.settle();
        let evicted = match self.model.capacity.filter(|_| !self.model.refuses) {
            Some(most) => self.model.evict_to(most),
            None => Vec::new(),
        };
        let ticked = self.store().tick().unwrap();
        assert_eq!(ticked.durability, Durability::Durable);
        assert_eq!((ticked.strengthened, ticked.uses), (strengthened, uses));
        let seqs: Vec<u64> = ticked.evicted.iter().map(|gone| gone.seq).collect();
        assert_eq!(seqs, evicted, "of {before}");
        self.tally.evicted += seqs.len();
        assert_eq!(self.store().stats().pending, 0);
        assert_eq!(self.model.differs(self.store()), None);
    }

    /// Opened with another capacity: what is more goes with the next new episode, or a tick.
    fn resize(&mut self) {
        let Some(capacity) = self.model.capacity else {
            return;
        };
        let before = self.model.clone();
        self.model.capacity = Some(1.max(capacity / 2));
        self.reopen();
        if self.rng.below(2) == 0 {
            self.tick();
        } else {
            let work = self.work();
            self.answered(&work);
        }
        self.model.capacity = before.capacity;
        self.reopen();
    }

    /// Closed or dropped, and opened again: nothing has changed but what recalls have noted, which
    /// closing applies and dropping loses.
    fn reopen(&mut self) {
        self.tally.reopened += 1;
        let mut before = self.store().state_digest();
        self.tally.compactions_by_itself += self.store().stats().compactions;
        let store = self.store.take().unwrap();
        if self.rng.below(2) == 0 {
            if self.model.settle().0 > 0 {
                let ticks = self.rng.below(2) == 0;
                if ticks {
                    store.tick().unwrap();
                }
                before = if ticks { store.state_digest() } else { 0 };
            }
            store.close().unwrap();
        } else {
            self.model.uses.clear();
            drop(store);
        }
        self.open();
        assert_eq!(self.model.differs(self.store()), None);
        if before == 0 {
            return; // Nobody knows the digest of what closing has made of it.
        }
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
        states[0].uses.clear();
        let mut settled = self.model.clone();
        settled.settle();
        // For forgettings, what was noted has a commit of its own; else one with the first of the work.
        let apart = matches!(work, Work::Forget(_)) && settled != states[0];
        if apart {
            states.push(settled.clone());
        }
        let mut model = settled.clone();
        for item in items(&work) {
            self.apply(&mut model, item);
            states.push(model.clone());
        }
        let failed = match &work {
            Work::Store(episodes) => {
                let answers = self.store().store_many(episodes.clone());
                let log = |answer: &&Result<_, StoreError>| matches!(answer, Err(error) if !matches!(error, StoreError::AtCapacity { .. }));
                answers.iter().filter(log).count()
            }
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
            let last = states.split_off(states.len() - 1);
            // Where the work itself changes nothing, nobody hears of what was noted.
            let silent = last[0] == settled;
            states.retain(|_| silent);
            states.extend(last);
        } else {
            // What was there before the work still is, for those who read on.
            let known = &states[..=usize::from(apart)];
            let as_before = |state: &Model| state.differs(self.store()).is_none();
            assert!(known.iter().any(as_before), "{work:?}");
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
                    model.try_store(episode, self.now());
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

fn at_capacity(refuses: bool) -> AtCapacity {
    if refuses {
        AtCapacity::Refuse
    } else {
        AtCapacity::Forget
    }
}

/// An answer as the model gives it; none where it was refused for want of room.
fn got(answer: Result<Stored, StoreError>) -> Option<Answer> {
    let answer = match answer {
        Err(StoreError::AtCapacity { .. }) => return None,
        answer => answer.unwrap(),
    };
    Some(Answer {
        seq: answer.seq,
        activation: answer.activation.get(),
        outcome: answer.outcome,
        evicted: answer.evicted.iter().map(|gone| gone.seq).collect(),
    })
}

#[test]
fn whatever_is_done_the_store_is_what_the_model_is() {
    run(OPERATIONS, Room::default());
}

/// There are 40 ids.
#[test]
fn with_room_for_all() {
    let tally = run(OPERATIONS / 5, room(40));
    assert_eq!(
        (tally.evicted > 0, tally.refused),
        (true, 0),
        "by a lower capacity alone"
    );
}

#[test]
fn with_room_for_half() {
    assert!(run(OPERATIONS / 5, room(20)).evicted > 1_000);
}

#[test]
fn with_room_for_one() {
    assert!(run(OPERATIONS / 5, room(1)).evicted > 1_000);
}

#[test]
fn with_room_for_half_that_is_refused_to_more() {
    let refuses = Room {
        refuses: true,
        ..room(20)
    };
    let tally = run(OPERATIONS / 5, refuses);
    assert!(tally.refused > 500 && tally.evicted == 0, "{tally:?}");
}

fn room(capacity: usize) -> Room {
    Room {
        capacity: Some(capacity),
        refuses: false,
    }
}

fn run(operations: usize, room: Room) -> Tally {
    let seed = from_environment("CORTICA_SEED", 0x000c_0071_ca05);
    let operations = size("MODEL", operations as u64);
    let mut world = World::new(seed, room);
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
    let told = format!(
        "{operations} operations, seed {seed}, {room:?}: {:?}\n",
        world.tally
    );
    std::io::stderr().write_all(told.as_bytes()).unwrap();
    let Tally {
        recalls,
        crashes,
        beyond,
        reopened,
        snapshots,
        copies,
        strengthened,
        ..
    } = world.tally;
    let counts = [
        ("operations", operations),
        ("crashes", crashes as u64),
        ("recalls_compared", recalls as u64),
    ];
    report("model", seed, &counts);
    let often = crashes > 500 && beyond > 20 && reopened > 100 && strengthened > 1_000;
    let rare = snapshots > 20 && copies[0] > 1 && copies[1] > 1;
    assert!(operations < 40_000 || (often && rare), "{:?}", world.tally);
    assert!(operations < 40_000 || world.tally.compactions_by_itself > 0);
    assert!(operations < 5_000 || strengthened > 50, "{:?}", world.tally);
    world.tally
}

/// What a batch of any shape does is what its items do one by one.
#[test]
fn batches_whose_items_meet_equal_one_by_one() {
    for seed in 0..60 {
        let mut rng = Rng::new(seed);
        let room = match seed % 6 {
            0 => Room::default(),
            1 => room(40),
            2 => room(20),
            3 => room(1),
            4 => Room {
                refuses: true,
                ..room(20)
            },
            _ => room(7),
        };
        let work: Vec<Episode> = (0..400).map(|_| episode(&mut rng)).collect();
        let open = || {
            let options = StoreOptions {
                space: Some(SpaceSpec::new(common::DIMENSION).with_metric(Metric::Dot)),
                clock: Arc::new(ManualClock::new(Timestamp::from_micros(9))),
                capacity: room.capacity,
                at_capacity: at_capacity(room.refuses),
                ..StoreOptions::default()
            };
            MemoryStore::in_memory(options).unwrap()
        };
        let (one, many) = (open(), open());
        let mut model = Model {
            capacity: room.capacity,
            refuses: room.refuses,
            ..Model::default()
        };
        let now = Timestamp::from_micros(9);
        let mut rest = &work[..];
        while !rest.is_empty() {
            let (batch, later) = rest.split_at(rest.len().min(1 + rng.below(80)));
            let query = vector(&mut rng);
            let found = model.recall(&query, 5);
            model.note(&found);
            for store in [&one, &many] {
                assert_eq!(recalled(store, &query, 5), found, "seed {seed}");
            }
            let one_by_one = batch.iter().map(|e| got(one.store(e.clone())));
            let one_by_one: Vec<_> = one_by_one.collect();
            let together = many.store_many(batch.to_vec()).into_iter();
            let together: Vec<_> = together.map(got).collect();
            assert_eq!(one_by_one, together, "seed {seed}");
            model.settle();
            for (episode, answer) in batch.iter().zip(together) {
                assert_eq!(answer, model.try_store(episode.clone(), now));
            }
            rest = later;
        }
        assert_eq!(one.state_digest(), many.state_digest());
        assert_eq!(model.differs(&many), None);
    }
}
