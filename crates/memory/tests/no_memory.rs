//! The system has no memory for more vectors: who wants to store one is refused, everybody else is served,
//! and with memory again all goes on.

#![cfg(target_os = "linux")] // Elsewhere what is mapped counts for no limit.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::RealDisk;
use cortica_memory::{Atomicity, check};
use cortica_memory::{
    Cue, Episode, IndexLag, MemoryStore, SpaceSpec, StoreError, StoreOptions, Write, Written,
};
use cortica_testkit::{Rng, report};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs;

/// A piece of the arena, 4 MiB, has room for 1,024 of them.
const DIMENSION: usize = 1_024;

/// Enough for all that is small, and less than a piece of the arena.
const ROOM: u64 = 3 << 20;

/// Lets this process have so many bytes more than it has.
fn limit(room: Option<u64>) {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let data = status.lines().find_map(|line| line.strip_prefix("VmData:"));
    let kilobytes: u64 = data.unwrap().trim_end_matches("kB").trim().parse().unwrap();
    let maximum = getrlimit(Resource::Data).maximum;
    let current = room.map_or(maximum, |room| Some((kilobytes << 10) + room));
    setrlimit(Resource::Data, Rlimit { current, maximum }).unwrap();
}

fn vector(number: usize) -> Vec<f32> {
    let mut rng = Rng::new(number as u64);
    (0..DIMENSION).map(|_| rng.unit() - 0.5).collect()
}

fn episode(number: usize) -> Episode {
    Episode::new(number.to_string(), "a text").with_embedding(vector(number))
}

#[track_caller]
fn is_refused(error: &StoreError) {
    assert!(error.is_out_of_memory(), "{error}");
}

#[test]
fn who_needs_memory_is_refused_and_the_store_lives() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        space: Some(SpaceSpec::new(DIMENSION)),
        index_lag: IndexLag::OnDemand,
        ..StoreOptions::default()
    };
    let store = MemoryStore::open(folder.path(), options.clone()).unwrap();
    let mut held = 0;
    while held < 900 {
        store.store(episode(held)).unwrap();
        held += 1;
    }
    let mut refusals = Vec::new();
    let list = |held| vec![episode(held), Episode::new("words", "without a vector")];
    // A panic would need memory to be told of: what comes of it is looked at afterwards.
    limit(Some(ROOM));
    while refusals.len() < 3 && held < 2_000 {
        match store.store(episode(held)) {
            Ok(_) => held += 1,
            Err(error) => refusals.push(error),
        }
    }
    let writes = list(held).into_iter().map(Write::Store).collect();
    let whole = store.write_many(writes, Atomicity::All);
    let mut each = store.store_many(list(held));
    let numbers = [0, held / 2, held - 1];
    let found = numbers.map(|number| store.recall(&Cue::embedding(vector(number))));
    let forgotten = store.forget("0");
    limit(None);
    assert_eq!(refusals.len(), 3, "there was memory for all");
    for error in &refusals {
        is_refused(error);
    }
    // A list is refused as a whole where it is one; else each is answered for itself.
    for written in &whole {
        assert!(matches!(written, Written::Stored(Err(_))), "{written:?}");
    }
    each.pop().unwrap().unwrap();
    is_refused(&each.pop().unwrap().unwrap_err());
    for (number, found) in numbers.iter().zip(found) {
        let id = &found.unwrap()[0].memory.id;
        assert_eq!(**id, number.to_string());
    }
    forgotten.unwrap();
    for number in held..held + 200 {
        store.store(episode(number)).unwrap();
    }
    assert_eq!(store.stats().episodes as usize, held + 200);
    let digest = store.state_digest();
    store.close().unwrap();
    assert!(check(&RealDisk, folder.path()).unwrap().is_sound());
    let store = MemoryStore::open(folder.path(), options).unwrap();
    assert_eq!(store.state_digest(), digest);
    report("no_memory", 0, &[("stored", held as u64), ("refused", 4)]);
}
