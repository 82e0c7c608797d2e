//! Recalls beside stores: what is found is whole, acknowledged, and in order.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_memory::{Cue, Episode, MemoryStore, SpaceSpec, StoreOptions};
use cortica_storage::Durability;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::thread;

const WRITERS: u64 = 2;
const BATCHES: u64 = 200;
const BATCH: u64 = 8;

/// A direction that names its episode, so that a mixed-up row is found out.
fn embedding(writer: u64, number: u64) -> Vec<f32> {
    let angle = (number as f32 + 0.5) / (BATCHES * BATCH) as f32;
    vec![angle.cos(), angle.sin(), writer as f32, 1.0]
}

#[test]
fn readers_beside_writers_see_whole_batches_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let options = StoreOptions {
        space: Some(SpaceSpec::new(4)),
        durability: Durability::Buffered,
        ..StoreOptions::default()
    };
    let store = MemoryStore::open(&folder.path().join("store"), options.clone()).unwrap();
    let acknowledged: Vec<_> = (0..WRITERS).map(|_| AtomicU64::new(0)).collect();
    let done = AtomicBool::new(false);
    let reads = AtomicU64::new(0);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (store, acknowledged) = (&store, &acknowledged[writer as usize]);
                let reads = &reads;
                scope.spawn(move || {
                    for batch in 0..BATCHES {
                        let numbers = batch * BATCH..(batch + 1) * BATCH;
                        let episodes = numbers.map(|number| {
                            Episode::new(format!("{writer}/{number}"), number.to_string())
                                .with_embedding(embedding(writer, number))
                        });
                        let answers = store.store_many(episodes.collect());
                        let seqs: Vec<_> = answers
                            .into_iter()
                            .map(|answer| answer.unwrap().seq)
                            .collect();
                        assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]));
                        acknowledged.store((batch + 1) * BATCH, SeqCst);
                        // Paced, so that the readers do run beside the writers.
                        for _ in 0..100_000 {
                            if reads.load(SeqCst) >= batch {
                                break;
                            }
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    for (writer, acknowledged) in acknowledged.iter().enumerate() {
                        check_reads(&store, writer as u64, acknowledged.load(SeqCst));
                        reads.fetch_add(1, SeqCst);
                    }
                }
            });
        }
        let ended: Vec<_> = writers
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect();
        done.store(true, SeqCst); // Before a writer's panic is passed on, or the readers never end.
        for writer in ended {
            writer.unwrap();
        }
    });
    println!(
        "{} reads beside {} stores",
        reads.load(SeqCst),
        WRITERS * BATCHES * BATCH
    );
    assert!(
        reads.load(SeqCst) > 10,
        "the readers never ran beside the writers"
    );
    assert_eq!(store.stats().episodes, WRITERS * BATCHES * BATCH);
}

/// Everything acknowledged is there, and everything found is what its id says.
fn check_reads(store: &MemoryStore, writer: u64, acknowledged: u64) {
    let Some(last) = acknowledged.checked_sub(1) else {
        return;
    };
    let id = format!("{writer}/{last}");
    assert_eq!(store.embedding(&id), Some(embedding(writer, last)));
    let recalled = store
        .recall(&Cue::embedding(embedding(writer, last)).max_results(20))
        .unwrap();
    let exact = recalled.iter().find(|found| *found.memory.id == *id);
    assert!(
        exact.is_some_and(|found| found.score > 0.999_99),
        "{id} was not recalled"
    );
    for found in &recalled {
        let (writer, number) = found.memory.id.split_once('/').unwrap();
        assert_eq!(found.memory.what, number);
        let want = embedding(writer.parse().unwrap(), number.parse().unwrap());
        assert_eq!(store.embedding(&found.memory.id), Some(want));
    }
    // A batch becomes visible as one: its first is there when its last is.
    let ahead = acknowledged + BATCH;
    if store.get(&format!("{writer}/{}", ahead - 1)).is_some() {
        assert!((acknowledged..ahead).all(|n| store.get(&format!("{writer}/{n}")).is_some()));
    }
}
