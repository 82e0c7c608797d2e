//! Every answer of a store to something that is written says what that reached.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use cortica_env::{Disk, Open, SimDisk};
use cortica_index::Metric;
use cortica_memory::{
    Association, Atomicity, Episode, Import, MemoryStore, SpaceSpec, StoreOptions, Write, Written,
    repair, repair_told, restore,
};
use cortica_storage::{Durability, OpenMode};
use std::path::Path;
use std::sync::Arc;

fn options(disk: &SimDisk, durability: Durability) -> StoreOptions {
    StoreOptions {
        space: Some(SpaceSpec::new(common::DIMENSION).with_metric(Metric::Dot)),
        durability,
        disk: Arc::new(disk.clone()),
        ..StoreOptions::default()
    }
}

fn episode(id: &str, what: &str) -> Episode {
    Episode::new(id, what).with_embedding(vec![1.0; common::DIMENSION])
}

/// All that can be written, one after the other.
fn answers(store: &MemoryStore) -> Vec<(&'static str, Durability)> {
    let stored = |episode| store.store(episode).unwrap().durability;
    let associated = || {
        let answers = store.associate_many(&[Association::new("a", "b", 7)]);
        answers[0].as_ref().unwrap().durability
    };
    let imported = || {
        let there = store.get("b").unwrap();
        let import = Import::new(episode("i", "imported"), there.stored_at, there.activation);
        let answers = store.import_many(vec![import]);
        answers[0].as_ref().unwrap().durability
    };
    let mut answers = vec![
        ("stored", stored(episode("a", "a"))),
        ("another", stored(episode("b", "b"))),
        ("updated", stored(episode("a", "anew"))),
        ("reinforced", stored(episode("b", "b"))),
        ("a duplicate", stored(episode("c", "b"))),
        ("associated", associated()),
        ("associated again", associated()),
        ("imported", imported()),
        ("imported again", imported()),
    ];
    answers.push(("forgotten", store.forget("i").unwrap().durability));
    let many = store.store_many(vec![episode("x", "x"), episode("", ""), episode("x", "y")]);
    assert!(many[1].is_err());
    for answer in [&many[0], &many[2]] {
        answers.push(("of many", answer.as_ref().unwrap().durability));
    }
    let writes = vec![
        Write::Store(episode("w", "w")),
        Write::Associate(Association::new("w", "a", 7)),
        Write::Forget("w".to_owned()),
    ];
    for written in store.write_many(writes, Atomicity::All) {
        let reached = match written {
            Written::Stored(answer) => answer.unwrap().durability,
            Written::Associated(answer) => answer.unwrap().durability,
            Written::Forgotten(answer) => answer.unwrap().durability,
            other => panic!("{other:?}"),
        };
        answers.push(("of a frame", reached));
    }
    common::recalled(store, &[1.0; common::DIMENSION], 3);
    let ticked = store.tick().unwrap();
    assert!(ticked.uses > 0);
    answers.push(("uses of recalls", ticked.durability));
    answers
}

#[test]
fn what_is_written_is_as_durable_as_was_asked_for() {
    for durability in [Durability::None, Durability::Buffered, Durability::Durable] {
        let disk = SimDisk::new();
        let store = MemoryStore::open(Path::new("store"), options(&disk, durability)).unwrap();
        for (what, got) in answers(&store) {
            assert_eq!(got, durability, "{what}");
        }
        assert_eq!(store.stats().durability, durability);
        // These are durable, or fail.
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let copied = store.snapshot(Path::new("copy")).unwrap();
        assert_eq!(copied.durability, Durability::Durable);
        let freed = store.compact().unwrap();
        assert!(freed.files > 0);
        assert_eq!(freed.durability, Durability::Durable);
        assert_eq!(store.close().unwrap(), Durability::Durable);
        let copied = restore(&shared, Path::new("copy"), Path::new("back")).unwrap();
        assert_eq!(copied.durability, Durability::Durable);
        let log = Path::new("back/log");
        let name = disk.list(log).unwrap();
        let is_log = |name: &&String| Path::new(name).extension().is_some_and(|it| it == "log");
        let name = name.iter().find(is_log).unwrap();
        let file = disk.open(&log.join(name), Open::Write).unwrap();
        file.write_at(&[0xff; 8], file.len().unwrap() / 2).unwrap();
        let report = repair(&shared, Path::new("back")).unwrap();
        assert!(!report.damage.is_empty());
        assert_eq!(report.durability, Durability::Durable);
        for _ in 0..2 {
            let told = repair_told(&shared, Path::new("back")).unwrap();
            assert_eq!(told, Durability::Durable);
        }
        // What was only read has reached nothing.
        let mut reading = options(&disk, durability);
        reading.mode = OpenMode::ReadOnly;
        let store = MemoryStore::open(Path::new("back"), reading).unwrap();
        assert_eq!(store.close().unwrap(), Durability::None);
    }
}

#[test]
fn what_is_kept_in_memory_alone_says_so() {
    let options = options(&SimDisk::new(), Durability::Durable);
    let store = MemoryStore::in_memory(options).unwrap();
    for (what, got) in answers(&store) {
        assert_eq!(got, Durability::None, "{what}");
    }
    assert_eq!(store.compact().unwrap().durability, Durability::None);
    assert_eq!(store.stats().durability, Durability::None);
    assert_eq!(store.close().unwrap(), Durability::None);
}
