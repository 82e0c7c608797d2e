//! Stores with a capacity: what is refused, what goes, and that many at a time are as one by one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{ManualClock, SimDisk, Timestamp};
use cortica_index::Metric;
use cortica_memory::{
    Association, AtCapacity, Confidence, Cue, Episode, MemoryStore, OpenError, SpaceSpec,
    StoreError, StoreOptions, StoreOutcome, Stored,
};
use std::path::Path;
use std::sync::Arc;

fn options(capacity: usize) -> StoreOptions {
    StoreOptions {
        space: Some(SpaceSpec::new(2).with_metric(Metric::Dot)),
        capacity: Some(capacity),
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(9))),
        ..StoreOptions::default()
    }
}

fn in_memory(capacity: usize) -> MemoryStore {
    MemoryStore::in_memory(options(capacity)).unwrap()
}

fn on(disk: &SimDisk, capacity: usize) -> MemoryStore {
    let options = StoreOptions {
        disk: Arc::new(disk.clone()),
        ..options(capacity)
    };
    MemoryStore::open(Path::new("store"), options).unwrap()
}

/// An episode that is as sure as it says; no two have the same content.
fn sure(id: &str, confidence: f32) -> Episode {
    Episode::new(id, format!("about {id}")).with_confidence(Confidence::new(confidence).unwrap())
}

fn evicted(stored: &Stored) -> Vec<&str> {
    stored.evicted.iter().map(|gone| &*gone.id).collect()
}

fn ids(store: &MemoryStore) -> Vec<String> {
    let mut ids = Vec::new();
    let shown = store.export(|item| {
        if let cortica_memory::Exported::Episode { memory, .. } = item {
            ids.push(memory.id.to_string());
        }
        Ok::<(), ()>(())
    });
    shown.unwrap();
    ids
}

#[test]
fn a_store_that_may_hold_nothing_is_refused_and_makes_no_folder() {
    let disk = SimDisk::new();
    let nothing = StoreOptions {
        disk: Arc::new(disk.clone()),
        ..options(0)
    };
    let refused = MemoryStore::open(Path::new("store"), nothing.clone());
    assert!(matches!(refused, Err(OpenError::Capacity { got: 0, .. })));
    assert_eq!(disk.operations(), 0);
    let refused = MemoryStore::in_memory(nothing).unwrap_err();
    assert!(refused.to_string().contains("leave it out"), "{refused}");
    assert!(MemoryStore::in_memory(options(usize::MAX)).is_err());
    assert!(MemoryStore::in_memory(options(1)).is_ok());
}

#[test]
fn a_memory_begins_weaker_the_fuller_the_store_is() {
    let store = in_memory(4);
    for (id, activation) in [("a", 1.0), ("b", 0.875), ("c", 0.75), ("d", 0.625)] {
        let stored = store.store(sure(id, 1.0)).unwrap();
        assert_eq!(stored.activation.get(), activation, "{id}");
        assert_eq!(store.get(id).unwrap().activation.get(), activation);
        assert!(stored.evicted.is_empty());
    }
    assert_eq!(store.stats().pressure(), 1.0);
    // Full: 1 x (1 - 0.5 x 4/4). The one that goes counts.
    let stored = store.store(sure("e", 1.0)).unwrap();
    assert_eq!(stored.activation.get(), 0.5);
    assert_eq!(evicted(&stored), ["d"]);
    assert_eq!(stored.evicted[0].activation.get(), 0.625);
    assert_eq!(stored.evicted[0].seq, 4);
    // An update begins anew, under the pressure of all four, and evicts nobody.
    let updated = store.store(Episode::new("a", "otherwise")).unwrap();
    assert_eq!(updated.outcome, StoreOutcome::Updated);
    assert_eq!((updated.activation.get(), updated.evicted.len()), (0.5, 0));
    // The same content is a use.
    let reinforced = store.store(sure("b", 0.2)).unwrap();
    assert_eq!(reinforced.activation.get(), 1.0 - (1.0 - 0.875_f32) * 0.9);
    assert!(reinforced.evicted.is_empty());
    assert_eq!(store.stats().evictions, 1);
}

#[test]
fn of_equal_ones_the_first_goes_and_never_the_new_one() {
    let store = in_memory(3);
    for id in ["a", "b", "c"] {
        assert_eq!(store.store(sure(id, 0.0)).unwrap().activation.get(), 0.0);
    }
    assert_eq!(evicted(&store.store(sure("d", 0.0)).unwrap()), ["a"]);
    assert_eq!(evicted(&store.store(sure("e", 1.0)).unwrap()), ["b"]);
    // Weaker than the rest, and it stays: c has 0 too, and is older.
    assert_eq!(evicted(&store.store(sure("f", 0.0)).unwrap()), ["c"]);
    assert_eq!(evicted(&store.store(sure("g", 0.9)).unwrap()), ["d"]);
    assert_eq!(evicted(&store.store(sure("h", 0.9)).unwrap()), ["f"]);
    assert_eq!(ids(&store), ["e", "g", "h"]);
}

#[test]
fn room_for_one_is_room_for_the_last() {
    let store = in_memory(1);
    assert!(store.store(sure("a", 1.0)).unwrap().evicted.is_empty());
    for (last, id) in [("a", "b"), ("b", "c"), ("c", "d")] {
        let stored = store.store(sure(id, 0.0)).unwrap();
        assert_eq!(evicted(&stored), [last]);
        assert_eq!(store.stats().episodes, 1);
    }
    // An id that went may come again, under another seq.
    assert_eq!(store.store(sure("a", 1.0)).unwrap().seq, 5);
}

#[test]
fn what_goes_takes_its_links_and_its_row() {
    let store = in_memory(2);
    let with = |id: &str, x: f32, confidence| sure(id, confidence).with_embedding(vec![x, 1.0]);
    store.store(with("a", 1.0, 0.1)).unwrap();
    store.store(with("b", 2.0, 1.0)).unwrap();
    let links = [
        Association::new("a", "b", 7),
        Association::new("b", "a", 7),
        Association::new("b", "b", 7),
    ];
    assert!(store.associate_many(&links).iter().all(Result::is_ok));
    store.store(with("c", 3.0, 1.0)).unwrap();
    assert_eq!(store.associations("b"), links[2..]);
    assert_eq!(store.stats().associations, 1);
    let cue = Cue::embedding(vec![1.0, 0.0]);
    let found = store.recall(&cue).unwrap();
    let found: Vec<_> = found.iter().map(|found| &*found.memory.id).collect();
    assert_eq!(found, ["c", "b"]);
    assert_eq!(store.stats().embedded, 2);
}

#[test]
fn a_full_store_may_refuse_and_says_what_to_do() {
    let store = MemoryStore::in_memory(StoreOptions {
        at_capacity: AtCapacity::Refuse,
        ..options(2)
    })
    .unwrap();
    store.store(sure("a", 1.0)).unwrap();
    store.store(sure("b", 1.0)).unwrap();
    let before = store.state_digest();
    let refused = store.store(sure("c", 1.0)).unwrap_err();
    let full = matches!(
        refused,
        StoreError::AtCapacity {
            live: 2,
            capacity: 2
        }
    );
    assert!(full, "{refused:?}");
    let words = refused.to_string();
    assert!(words.contains("forget some") && words.contains("larger capacity"));
    assert_eq!(store.state_digest(), before);
    // What is there may be updated and reinforced.
    assert!(store.store(Episode::new("a", "otherwise")).is_ok());
    assert!(store.store(sure("b", 1.0)).is_ok());
    store.forget("a").unwrap();
    assert!(store.store(sure("c", 1.0)).is_ok());
}

/// Nothing goes for an episode that is refused.
#[test]
fn who_is_refused_evicts_nobody() {
    let store = in_memory(1);
    store.store(sure("a", 1.0)).unwrap();
    let before = store.state_digest();
    let bad = sure("b", 1.0).with_embedding(vec![f32::NAN, 1.0]);
    assert!(store.store(bad).is_err());
    assert!(store.store(sure("", 1.0)).is_err());
    let mut large = sure("b", 1.0);
    large.who = vec!["x".repeat(1 << 20); 20]; // Each is allowed, all together are not.
    let refused = store.store(large).unwrap_err();
    assert!(matches!(refused, StoreError::TooLarge { .. }), "{refused}");
    assert_eq!(store.state_digest(), before);
}

#[test]
fn a_lower_capacity_evicts_with_the_next_new_episode_or_tick() {
    let disk = SimDisk::new();
    let store = on(&disk, 8);
    for number in 0..8 {
        let stored = store.store(sure(&format!("{number}"), 1.0 - number as f32 / 10.0));
        assert!(stored.is_ok());
    }
    store.close().unwrap();
    let store = on(&disk, 5);
    assert_eq!(store.stats().episodes, 8, "opening forgets nothing");
    assert_eq!(store.stats().pressure(), 1.0);
    assert!(store.store(sure("0", 0.1)).unwrap().evicted.is_empty());
    let updated = store.store(Episode::new("1", "otherwise")).unwrap();
    assert!(updated.evicted.is_empty());
    store.forget("7").unwrap();
    let stored = store.store(sure("new", 1.0)).unwrap();
    assert_eq!(evicted(&stored), ["6", "5", "4"]);
    assert_eq!(store.stats().episodes, 5);
    store.close().unwrap();
    let store = on(&disk, 2);
    let ticked = store.tick().unwrap();
    assert_eq!(ticked.evicted.len(), 3);
    assert_eq!(store.tick().unwrap().evicted, []);
    let digest = store.state_digest();
    store.close().unwrap();
    assert_eq!(on(&disk, 9).state_digest(), digest);
}

/// A thousand into room for 300, some of them alike: the same answers and the same state, and on disk the
/// same log, record by record.
#[test]
fn a_batch_over_the_capacity_is_as_one_by_one() {
    for capacity in [1, 7, 300, 999, 1_000] {
        let episode = |number: usize| {
            let confidence = ((number * 37) % 11) as f32 / 10.0;
            let id = format!("e{}", (number * 7) % 900);
            let what = format!("text {}", number % 450);
            let vector = vec![(number % 13) as f32, 1.0];
            Episode::new(id, what)
                .with_confidence(Confidence::new(confidence).unwrap())
                .with_embedding(vector)
        };
        let work: Vec<Episode> = (0..1_000).map(episode).collect();
        let (disk_one, disk_many) = (SimDisk::new(), SimDisk::new());
        let (one, many) = (on(&disk_one, capacity), on(&disk_many, capacity));
        let one_by_one: Vec<_> = work.iter().map(|e| one.store(e.clone()).unwrap()).collect();
        let together = many.store_many(work).into_iter().map(Result::unwrap);
        let together: Vec<_> = together.collect();
        assert_eq!(one_by_one, together, "{capacity}");
        let all = together.iter().map(|stored| stored.evicted.len());
        assert_eq!(many.stats().evictions, all.sum::<usize>() as u64);
        assert_eq!(one.state_digest(), many.state_digest());
        let of_log = |store: &MemoryStore| (store.stats().log_bytes, store.stats().dead_bytes);
        if capacity >= 999 {
            assert_eq!(of_log(&one), of_log(&many)); // Where no compaction came between.
        }
        let digest = one.state_digest();
        for (store, disk) in [(one, disk_one), (many, disk_many)] {
            store.close().unwrap();
            assert_eq!(on(&disk, capacity).state_digest(), digest);
        }
    }
}
