//! Recalls strengthen what they return, with the next write or tick.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{ManualClock, SimDisk, Timestamp};
use cortica_index::Metric;
use cortica_memory::{
    Accuracy, Association, Confidence, Cue, Episode, MemoryStore, SpaceSpec, StoreOptions,
    TickError,
};
use cortica_storage::{CommitError, Durability, OpenMode};
use std::path::Path;
use std::sync::Arc;
use std::thread;

fn options(disk: &SimDisk) -> StoreOptions {
    StoreOptions {
        space: Some(SpaceSpec::new(2).with_metric(Metric::Dot)),
        disk: Arc::new(disk.clone()),
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(9))),
        ..StoreOptions::default()
    }
}

fn open(disk: &SimDisk) -> MemoryStore {
    MemoryStore::open(Path::new("store"), options(disk)).unwrap()
}

/// Ten memories with activation 0.5; the dot product with (1, 0) prefers the later ones.
fn filled(disk: &SimDisk) -> MemoryStore {
    let store = open(disk);
    let episode = |number: u8| {
        Episode::new(format!("{number}"), format!("text {number}"))
            .with_embedding(vec![f32::from(number), 1.0])
            .with_confidence(Confidence::new(0.5).unwrap())
    };
    let stored = store.store_many((0..10).map(episode).collect());
    assert!(stored.iter().all(Result::is_ok));
    store
}

fn recall(store: &MemoryStore, k: usize) {
    let cue = Cue::embedding(vec![1.0, 0.0]).max_results(k);
    assert_eq!(store.recall(&cue).unwrap().len(), k);
}

fn activation(store: &MemoryStore, id: &str) -> f32 {
    store.get(id).unwrap().activation.get()
}

fn used(times: u32) -> f32 {
    (0..times).fold(0.5, |a, _| 1.0 - (1.0 - a) * 0.9)
}

#[test]
fn a_recall_changes_nothing_until_the_next_write_or_tick() {
    let disk = SimDisk::new();
    let store = filled(&disk);
    let before = (store.state_digest(), store.stats().log_bytes);
    recall(&store, 3);
    recall(&store, 1);
    assert_eq!((store.state_digest(), store.stats().log_bytes), before);
    assert_eq!(store.stats().pending, 3);
    let ticked = store.tick().unwrap();
    assert_eq!((ticked.strengthened, ticked.uses), (3, 4));
    assert_eq!(ticked.durability, Durability::Durable);
    for (id, times) in [("9", 2), ("8", 1), ("7", 1), ("6", 0)] {
        assert_eq!(activation(&store, id), used(times), "{id}");
    }
    assert_eq!((store.stats().pending, store.stats().strengthened), (0, 3));
    let ticked = store.tick().unwrap();
    assert_eq!((ticked.strengthened, ticked.uses), (0, 0));
}

#[test]
fn every_kind_of_write_applies_what_was_noted_first() {
    let writes: [fn(&MemoryStore); 5] = [
        |store| drop(store.store(Episode::new("new", "new")).unwrap()),
        |store| assert!(store.forget("0").is_ok()),
        |store| drop(store.associate_many(&[Association::new("1", "2", 3)])),
        // Refused, and a write all the same.
        |store| assert!(store.store(Episode::new("", "no id")).is_err()),
        |store| assert!(store.forget("nobody").is_err()),
    ];
    for write in writes {
        let disk = SimDisk::new();
        let store = filled(&disk);
        recall(&store, 1);
        write(&store);
        assert_eq!(activation(&store, "9"), used(1));
        assert_eq!(store.stats().pending, 0);
        let digest = store.state_digest();
        drop(store);
        assert_eq!(open(&disk).state_digest(), digest);
    }
    // Nothing asked for is no write.
    let store = filled(&SimDisk::new());
    recall(&store, 1);
    assert!(store.store_many(Vec::new()).is_empty());
    assert_eq!(store.stats().pending, 1);
}

/// What was noted before a write counts before it: a reinforcement builds on it.
#[test]
fn uses_count_before_the_write_that_applies_them() {
    let store = filled(&SimDisk::new());
    recall(&store, 2);
    let same = Episode::new("9", "text 9").with_embedding(vec![9.0, 1.0]);
    let stored = store.store(same).unwrap();
    assert_eq!(stored.activation.get(), used(2));
    // An update begins anew, and is not strengthened by what was noted before.
    recall(&store, 1);
    let updated = store.store(Episode::new("9", "otherwise")).unwrap();
    assert_eq!(updated.activation.get(), 1.0);
    assert_eq!(activation(&store, "9"), 1.0);
}

#[test]
fn what_is_forgotten_takes_its_uses_along() {
    let store = filled(&SimDisk::new());
    recall(&store, 2);
    store.forget("9").unwrap();
    assert_eq!(activation(&store, "8"), used(1));
    let again = Episode::new("9", "text 9").with_embedding(vec![9.0, 1.0]);
    let again = again.with_confidence(Confidence::new(0.5).unwrap());
    store.store(again).unwrap();
    assert_eq!(store.tick().unwrap().uses, 0);
    assert_eq!(activation(&store, "9"), 0.5);
}

#[test]
fn closing_applies_and_dropping_loses() {
    for close in [true, false] {
        let disk = SimDisk::new();
        let store = filled(&disk);
        recall(&store, 1);
        if close {
            store.close().unwrap();
        } else {
            drop(store);
        }
        let store = open(&disk);
        assert_eq!(activation(&store, "9"), used(u32::from(close)));
        assert_eq!(store.stats().pending, 0);
    }
}

#[test]
fn who_only_reads_changes_nothing() {
    let disk = SimDisk::new();
    filled(&disk).close().unwrap();
    let reading = StoreOptions {
        mode: OpenMode::ReadOnly,
        ..options(&disk)
    };
    let store = MemoryStore::open(Path::new("store"), reading).unwrap();
    recall(&store, 3);
    let refused = store.tick().unwrap_err();
    let read_only =
        matches!(&refused, TickError::Log(error) if matches!(**error, CommitError::ReadOnly));
    assert!(read_only, "{refused:?}");
    assert_eq!(store.stats().pending, 3, "it waits");
    store.close().unwrap();
    assert_eq!(activation(&open(&disk), "9"), used(0));
}

#[test]
fn recalls_may_only_measure() {
    let measuring = StoreOptions {
        recalls_strengthen: false,
        ..options(&SimDisk::new())
    };
    let store = MemoryStore::in_memory(measuring).unwrap();
    let with = Episode::new("9", "nine").with_embedding(vec![9.0, 1.0]);
    store.store(with).unwrap();
    recall(&store, 1);
    assert_eq!(store.stats().pending, 0);
}

/// Of all that is looked at, what is returned counts, by whichever way it was found.
#[test]
fn what_a_recall_leaves_out_is_not_used() {
    let store = filled(&SimDisk::new());
    let cue = |accuracy| {
        let cue = Cue::embedding(vec![1.0, 0.0]).max_results(5);
        cue.result_threshold(8.0).accuracy(accuracy)
    };
    let cues = [cue(Accuracy::Exact), cue(Accuracy::approximate())];
    for found in store.recall_many(&cues) {
        assert_eq!(found.unwrap().len(), 2);
    }
    assert_eq!(store.tick().unwrap().uses, 4);
    assert_eq!(activation(&store, "8"), used(2));
    assert_eq!(activation(&store, "7"), used(0));
}

/// The state after a tick depends on how often each memory was recalled, not on who did it when.
#[test]
fn threads_that_recall_together_leave_what_one_leaves() {
    let (one, many) = (filled(&SimDisk::new()), filled(&SimDisk::new()));
    for k in [1, 2, 3, 4] {
        for _ in 0..25 {
            recall(&one, k);
        }
    }
    thread::scope(|scope| {
        for k in [1, 2, 3, 4] {
            let many = &many;
            scope.spawn(move || (0..25).for_each(|_| recall(many, k)));
        }
    });
    let (a, b) = (one.tick().unwrap(), many.tick().unwrap());
    assert_eq!((a.strengthened, a.uses), (4, 250));
    assert_eq!((a.strengthened, a.uses), (b.strengthened, b.uses));
    assert_eq!(one.state_digest(), many.state_digest());
    assert_eq!(one.stats().log_bytes, many.stats().log_bytes);
}

/// A log that cannot be written leaves what was noted where it was.
#[test]
fn a_write_that_fails_leaves_what_was_noted() {
    let disk = SimDisk::new();
    let store = filled(&disk);
    recall(&store, 2);
    let used_bytes = disk.used();
    disk.set_capacity(used_bytes); // Full: what was reserved is still there.
    let mut full = false;
    for number in 0..5_000 {
        let text = format!("{number} {}", "x".repeat(10_000));
        if store
            .store(Episode::new(format!("n{number}"), text))
            .is_err()
        {
            full = true;
            break;
        }
        recall(&store, 2);
    }
    assert!(full);
    assert_eq!(store.stats().pending, 2);
    disk.set_capacity(u64::MAX);
    assert_eq!(store.tick().unwrap().strengthened, 2);
}
