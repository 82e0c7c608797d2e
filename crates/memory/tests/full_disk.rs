//! A full disk: a clear answer, reading goes on, and forgetting makes room again.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use cortica_env::SimDisk;
use cortica_index::Metric;
use cortica_memory::{Episode, MemoryStore, SpaceSpec, StoreError, StoreOptions};
use cortica_storage::CommitError;
use std::path::Path;
use std::sync::Arc;

fn open(disk: &SimDisk) -> MemoryStore {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(common::DIMENSION).with_metric(Metric::Dot)),
        segment_bytes: 16 << 10,
        disk: Arc::new(disk.clone()),
        ..StoreOptions::default()
    };
    MemoryStore::open(Path::new("store"), options).unwrap()
}

fn episode(number: usize) -> Episode {
    let text = format!("{number} {}", "word ".repeat(100));
    let vector = vec![number as f32; common::DIMENSION];
    Episode::new(format!("id-{number}"), text).with_embedding(vector)
}

#[test]
fn a_full_disk_refuses_keeps_and_recovers() {
    for step in 0..12 {
        let disk = SimDisk::new();
        let mut store = open(&disk);
        disk.set_capacity((192 << 10) + step * 4_096);
        let mut stored = 0;
        let refused = loop {
            let batch = (stored..stored + 5).map(episode).collect();
            let answers = store.store_many(batch);
            match answers.into_iter().find_map(Result::err) {
                None => stored += 5,
                Some(error) => break error,
            }
            assert!(stored < 10_000, "the disk never fills up");
        };
        let StoreError::Log(error) = &refused else {
            panic!("{refused:?}");
        };
        assert!(matches!(**error, CommitError::Full), "{error}");
        let all_there = |store: &MemoryStore, from: usize| {
            assert_eq!(store.stats().episodes as usize, stored - from);
            for number in from..stored {
                let embedding = store.embedding(&format!("id-{number}"));
                assert_eq!(embedding, Some(vec![number as f32; common::DIMENSION]));
            }
        };
        all_there(&store, 0);
        assert!(store.stats().writable);
        let digest = store.state_digest();
        drop(store);
        store = open(&disk);
        assert_eq!(store.state_digest(), digest, "a restart on a full disk");

        // What is forgotten makes room, without any space given.
        let ids: Vec<_> = (0..stored / 2)
            .map(|number| format!("id-{number}"))
            .collect();
        for ids in ids.chunks(20) {
            assert!(
                store.forget_many(ids).iter().all(Result::is_ok),
                "step {step}"
            );
        }
        store.compact().unwrap();
        all_there(&store, stored / 2);
        let answers = store.store_many((0..10).map(episode).collect());
        assert!(
            answers.iter().all(Result::is_ok),
            "step {step}: {answers:?}"
        );
        let digest = store.state_digest();
        store.close().unwrap();
        assert_eq!(open(&disk).state_digest(), digest);
    }
}
