//! Who is told how far a batch is may panic, and of a list is told all that is held.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_batch::{Batch, BatchConfig, Level, Operation, Progress};
use cortica_memory::{Episode, MemoryStore, StoreOptions};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

const COUNT: u64 = 1_000;
const TEXT: usize = 4_000;

fn store() -> Arc<MemoryStore> {
    Arc::new(MemoryStore::in_memory(StoreOptions::default()).unwrap())
}

fn episodes() -> Vec<Operation> {
    let text = "x".repeat(TEXT);
    let episode = |at| Episode::new(format!("e{at}"), format!("{at} {text}"));
    (0..COUNT).map(|at| Operation::Store(episode(at))).collect()
}

/// In pieces of 100.
fn pieces() -> BatchConfig {
    let mut config = BatchConfig::default();
    config.batch_size = 100;
    config.streaming_threshold = 100;
    config
}

#[test]
fn a_panic_of_whoever_is_told_loses_no_answer() {
    let called = Arc::new(AtomicU64::new(0));
    let batch = |store: &Arc<MemoryStore>| {
        let called = called.clone();
        Batch::over(store)
            .config(pieces())
            .on_progress(move |progress| {
                called.fetch_add(1, Relaxed);
                assert!(progress.answered > COUNT, "on purpose");
            })
    };
    let listed = store();
    let done = batch(&listed).run(episodes()).unwrap();
    assert!(done.answers.iter().all(Result::is_ok));
    assert_eq!(done.summary.applied, COUNT);
    assert_eq!(called.swap(0, Relaxed), COUNT / 100, "and is told again");
    let streamed = store();
    let mut answers = batch(&streamed).stream(episodes()).unwrap();
    assert!(answers.by_ref().all(|(_, answer)| answer.is_ok()));
    assert_eq!(answers.finish().applied, COUNT);
    assert!(called.load(Relaxed) > 0);
    assert_eq!(listed.stats().episodes, COUNT);
    assert_eq!(streamed.stats().episodes, COUNT);
}

#[test]
fn the_bytes_of_a_list_are_those_of_what_waits_too() {
    let store = store();
    let seen: Arc<Mutex<Vec<Progress>>> = Arc::default();
    let telling = seen.clone();
    let batch = Batch::over(&store)
        .config(pieces())
        .on_progress(move |progress| telling.lock().unwrap().push(*progress));
    let texts = TEXT * COUNT as usize;
    let done = batch.run(episodes()).unwrap();
    assert!(done.summary.peak_bytes > texts, "{:?}", done.summary);
    assert_eq!(done.summary.peak_pressure, Level::Normal);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), COUNT as usize / 100);
    for progress in seen.iter() {
        let waiting = (COUNT - progress.answered) as usize * TEXT;
        assert!(progress.bytes > waiting, "{progress:?}");
        assert!(progress.bytes < done.summary.peak_bytes, "{progress:?}");
    }
    assert!(seen.is_sorted_by(|a, b| a.bytes > b.bytes), "{seen:?}");
}
