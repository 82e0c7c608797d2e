//! Stores that an earlier build wrote are opened by this one. `golden/` holds one for each form of
//! the log; none is ever written anew when the code changes: another form gets another store.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{ManualClock, Timestamp};
use cortica_index::Metric;
use cortica_memory::{
    Association, Atomicity, Confidence, Cue, Episode, MemoryStore, SpaceSpec, StoreOptions, Write,
    Written,
};
use cortica_storage::OpenMode;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn options(mode: OpenMode) -> StoreOptions {
    let space = SpaceSpec::new(8).with_metric(Metric::Dot);
    StoreOptions {
        space: Some(space.with_model("golden")),
        mode,
        segment_bytes: 4 << 10,
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(
            1_700_000_000_000_000,
        ))),
        ..StoreOptions::default()
    }
}

fn episode(number: usize) -> Episode {
    let values = (0..8).map(|at| ((number * 7 + at * at) % 11) as f32 / 4.0 - 1.0);
    let confidence = (number % 5) as f32 / 4.0;
    Episode::new(
        format!("e{number}"),
        format!("text {number} \u{e4}\u{1f9e0}"),
    )
    .with_embedding(values.collect::<Vec<_>>())
    .with_confidence(Confidence::new(confidence).unwrap())
}

/// Records of version 2 alone: stored, stored again, changed, linked and forgotten.
fn plain(store: &MemoryStore) {
    for stored in store.store_many((0..20).map(episode).collect()) {
        stored.unwrap();
    }
    store.store(episode(3)).unwrap();
    let mut changed = episode(4);
    "another text".clone_into(&mut changed.what);
    store.store(changed).unwrap();
    store.store(Episode::new("bare", "no embedding")).unwrap();
    let links = [
        Association::new("e1", "e2", 1),
        Association::new("e2", "bare", 7),
    ];
    assert!(store.associate_many(&links).iter().all(Result::is_ok));
    for id in ["e5", "e6"] {
        store.forget(id).unwrap();
    }
}

/// Records of version 3: a list of which all is done or none, and what recalls strengthened.
fn frames(store: &MemoryStore) {
    plain(store);
    let list = vec![
        Write::Store(episode(30)),
        Write::Associate(Association::new("e30", "e1", 2)),
        Write::Forget("e7".into()),
    ];
    let written = store.write_many(list, Atomicity::All);
    assert!(written.iter().all(Written::is_ok));
    store
        .recall(&Cue::embedding(vec![1.0; 8]).max_results(3))
        .unwrap();
    store.tick().unwrap();
}

/// Files of which compaction made others.
fn compacted(store: &MemoryStore) {
    frames(store);
    for number in 8..16 {
        store.forget(&format!("e{number}")).unwrap();
    }
    store.compact().unwrap();
    store.store(episode(40)).unwrap();
}

type Steps = fn(&MemoryStore);

/// What a store is made with, by the name of its folder.
const GOLDEN: [(&str, Steps); 3] = [
    ("plain", plain),
    ("frames", frames),
    ("compacted", compacted),
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name)
}

/// As it lies there: version control keeps no empty folders and no lock.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn golden_stores_hold_what_was_put_into_them() {
    for (name, steps) in GOLDEN {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join(name);
        copy(&golden(name), &dir);
        let fresh = MemoryStore::in_memory(options(OpenMode::CreateIfMissing)).unwrap();
        steps(&fresh);
        let read = MemoryStore::open(&dir, options(OpenMode::ReadOnly)).unwrap();
        let recovery = read.stats().recovery;
        assert!(recovery.damage.is_empty(), "{name}: {recovery:?}");
        assert_eq!(read.state_digest(), fresh.state_digest(), "{name}");
        assert_eq!(read.get("e3").unwrap().what, "text 3 \u{e4}\u{1f9e0}");
        assert_eq!(read.get("e4").unwrap().what, "another text");
        assert!(read.get("e5").is_none());
        assert_eq!(read.embedding("e2"), episode(2).embedding);
        assert_eq!(read.associations("e2").len(), 1);
        drop(read);
        // And it goes on from there.
        for store in [
            &MemoryStore::open(&dir, options(OpenMode::MustExist)).unwrap(),
            &fresh,
        ] {
            store.store(episode(50)).unwrap();
            store.compact().unwrap();
        }
        let again = MemoryStore::open(&dir, options(OpenMode::ReadOnly)).unwrap();
        assert_eq!(again.state_digest(), fresh.state_digest(), "{name}");
    }
}

/// Makes the stores that are missing; what is there stays.
#[test]
#[ignore = "writes into the sources: `cargo test --test golden -- --ignored`, once for a new form"]
fn make_what_is_missing() {
    for (name, steps) in GOLDEN {
        if !golden(name).exists() {
            let made = MemoryStore::open(&golden(name), options(OpenMode::CreateIfMissing));
            let store = made.unwrap();
            steps(&store);
            store.close().unwrap();
        }
    }
}
