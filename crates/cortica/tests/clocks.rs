//! Clocks that panic: of a store that allocates, a commit is done as a whole or not at all.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica::{AllocationOptions, Cortica, Episode, Networks, Timestamp};
use cortica_cortex::State;
use cortica_env::{Clock, SimDisk};
use cortica_testkit::Rng;
use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

const DIMENSION: usize = 40;

/// Stands still, and panics at one reading from when it is armed.
#[derive(Debug, Default)]
struct PanicsOnce {
    left: AtomicU64,
}

impl Clock for PanicsOnce {
    fn now(&self) -> Timestamp {
        let left = self.left.load(Relaxed);
        self.left.store(left.saturating_sub(1), Relaxed);
        assert!(left != 1, "a clock stops");
        Timestamp::from_micros(1_000)
    }
}

fn open(disk: &SimDisk, clock: &Arc<PanicsOnce>, networks: &Networks) -> Cortica {
    let allocation = AllocationOptions::new(4, 4, 4).with_networks(networks.clone());
    Cortica::builder()
        .dimension(DIMENSION)
        .disk(Arc::new(disk.clone()))
        .clock(clock.clone())
        .allocation(allocation)
        .open("/data/store")
        .unwrap()
}

fn episode(number: u64) -> Episode {
    let vector = Rng::new(1_000 + number).vector(DIMENSION);
    let episode = Episode::new(format!("e{number}"), format!("text {number}"));
    let episode = episode.with_embedding(vector);
    match number % 3 {
        0 => episode,
        stream => episode.with_stream(format!("stream {stream}")),
    }
}

/// New ones, and an update of an old one and of a new one.
fn batch() -> Vec<Episode> {
    let again = |number: u64| {
        let vector = Rng::new(2_000 + number).vector(DIMENSION);
        episode(number).with_embedding(vector)
    };
    (8..12).map(episode).chain([again(3), again(9)]).collect()
}

#[test]
fn a_clock_that_panics_at_any_reading_leaves_a_commit_whole_or_undone() {
    let golden = "../neural/tests/golden/networks.safetensors";
    let networks = Networks::open(&Path::new(env!("CARGO_MANIFEST_DIR")).join(golden)).unwrap();
    let begun = || {
        let (disk, clock) = (SimDisk::new(), Arc::new(PanicsOnce::default()));
        let memory = open(&disk, &clock, &networks);
        let stored = memory.store_many((0..8).map(episode).collect());
        assert!(stored.iter().all(Result::is_ok));
        (disk, clock, memory)
    };
    let (_, _, memory) = begun();
    let before = memory.state_digest();
    memory
        .store_many(batch())
        .into_iter()
        .for_each(|stored| drop(stored.unwrap()));
    let whole = memory.state_digest();
    let (mut reading, mut undone) = (0, 0);
    loop {
        reading += 1;
        let (disk, clock, memory) = begun();
        clock.left.store(reading, Relaxed);
        let done = catch_unwind(AssertUnwindSafe(|| memory.store_many(batch())));
        if clock.left.swap(0, Relaxed) > 0 {
            break; // There are no more readings than that.
        }
        let digest = memory.state_digest();
        undone += u64::from(digest == before);
        let expected = if done.is_ok() {
            [whole; 2]
        } else {
            [before, whole]
        };
        assert!(expected.contains(&digest), "reading {reading}");
        let cortex = memory.cortex().unwrap();
        let claimed = [State::Activated, State::Competing, State::Allocated];
        let is_free = |column| !claimed.contains(&cortex.state(column).unwrap().state());
        assert!(cortex.grid().columns().all(is_free), "reading {reading}");
        // It goes on, and the log tells of the same.
        for number in 20..24 {
            memory.store(episode(number)).unwrap();
        }
        let mut seqs = HashSet::new();
        let there = (0..24).filter_map(|number| memory.get(&format!("e{number}")));
        assert!(
            there.map(|one| one.seq).all(|seq| seqs.insert(seq)),
            "reading {reading}"
        );
        let digest = memory.state_digest();
        drop(memory);
        assert_eq!(
            open(&disk, &clock, &networks).state_digest(),
            digest,
            "reading {reading}"
        );
    }
    assert!(undone > 20, "{undone} of {reading}");
}
