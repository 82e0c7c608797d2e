//! A batch of reads is ended between its blocks, and what was answered by then is a prefix of it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_batch::{Batch, BatchConfig, BatchOutcome, Cancel, ErrorKind, ItemError, Operation};
use cortica_batch::{Kind, Workers};
use cortica_memory::{Accuracy, Cue, Episode, MemoryStore, SpaceSpec, StoreOptions};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// More blocks of walks than workers.
const READS: usize = 20_000;

fn vector(number: usize) -> Vec<f32> {
    vec![1.0, number as f32 / 7.0, (number % 13) as f32]
}

fn store() -> Arc<MemoryStore> {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(3)),
        ..StoreOptions::default()
    };
    let store = MemoryStore::in_memory(options).unwrap();
    let episode = |number| {
        let episode = Episode::new(format!("e{number}"), format!("text {number}"));
        episode.with_embedding(vector(number))
    };
    let stored = store.store_many((0..50).map(episode).collect());
    assert!(stored.iter().all(Result::is_ok));
    Arc::new(store)
}

fn similarity(number: usize) -> Operation {
    Operation::similarity(vector(number), 3)
}

fn walk(number: usize) -> Operation {
    let cue = Cue::embedding(vector(number)).max_results(3);
    Operation::recall(cue.accuracy(Accuracy::Approximate { ef: 16 }))
}

fn mixed(number: usize) -> Operation {
    match number % 3 {
        0 => Operation::recall(Cue::embedding(vector(number)).max_results(3)),
        _ => similarity(number),
    }
}

const RUNS: [fn(usize) -> Operation; 3] = [similarity, walk, mixed];

/// The first ones are answered, no others, and `applied` says how many.
#[track_caller]
fn check_prefix(done: &BatchOutcome, kind: ErrorKind) {
    let good = done.answers.iter().take_while(|answer| answer.is_ok());
    let good = good.count();
    let ended =
        |answer: &Result<_, ItemError>| matches!(answer, Err(error) if error.kind() == kind);
    assert!(done.answers[good..].iter().all(ended), "{:?}", done.summary);
    assert_eq!(done.summary.applied, good as u64);
    assert_eq!(done.answers.len(), READS);
}

#[test]
fn cancelled_reads_are_a_suffix() {
    let store = store();
    for read in RUNS {
        for threads in [1, 2, 4] {
            let (cancel, cancelling) = (Cancel::new(), Cancel::new());
            let inner = cancelling.clone();
            let before = move |number: u64, _: Kind| {
                if number == 300 {
                    inner.cancel();
                }
            };
            let workers = Workers::new(threads).unwrap();
            let batch = Batch::over(&store).workers(&workers).before(before);
            let batch = batch.cancelled_by(&cancel).cancelled_by(&cancelling);
            let done = batch.run((0..READS).map(read).collect()).unwrap();
            check_prefix(&done, ErrorKind::Cancelled);
            assert!(done.summary.failed(ErrorKind::Cancelled) > 0);
            assert!(done.summary.applied > 300, "what was begun is done");
        }
    }
}

#[test]
fn time_passes_also_within_one_run_of_reads() {
    let store = store();
    let before = |number: u64, _: Kind| {
        if number == 0 {
            thread::sleep(Duration::from_millis(60));
        }
    };
    let mut config = BatchConfig::default();
    config.timeout = Some(Duration::from_millis(50));
    for threads in [1, 2] {
        let workers = Workers::new(threads).unwrap();
        let batch = Batch::over(&store).workers(&workers).before(before);
        let batch = batch.config(config.clone());
        let list: Vec<_> = (0..READS).map(|_| similarity(1)).collect();
        let done = batch.run(list).unwrap();
        check_prefix(&done, ErrorKind::TimedOut);
        if threads == 1 {
            assert_eq!(done.summary.applied, 256, "one block was begun");
        }
    }
}
