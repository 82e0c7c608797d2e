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

/// The most walks in a block, and searches in one.
const WALKS_MAX: u64 = 4_096;
const BLOCK: u64 = 256;

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

/// Lists of so many that are run as a whole, and in pieces.
const THRESHOLDS: [usize; 2] = [READS, READS / 2];

#[test]
fn cancelled_reads_are_a_suffix() {
    let store = store();
    for (run, read) in RUNS.into_iter().enumerate() {
        for (threads, threshold) in [1, 2, 4]
            .into_iter()
            .flat_map(|n| THRESHOLDS.map(|t| (n, t)))
        {
            let (cancel, cancelling) = (Cancel::new(), Cancel::new());
            let inner = cancelling.clone();
            let before = move |number: u64, _: Kind| {
                if number == 300 {
                    inner.cancel();
                }
            };
            let mut config = BatchConfig::default();
            config.streaming_threshold = threshold;
            let workers = Workers::new(threads).unwrap();
            let batch = Batch::over(&store).workers(&workers).before(before);
            let batch = batch.config(config);
            let batch = batch.cancelled_by(&cancel).cancelled_by(&cancelling);
            let done = batch.run((0..READS).map(read).collect()).unwrap();
            check_prefix(&done, ErrorKind::Cancelled);
            assert!(done.summary.failed(ErrorKind::Cancelled) > 0);
            assert!(done.summary.applied > 300, "what was begun is done");
            // A block for each thread at most; long lists of walks come in pieces of such blocks.
            let walks = run == 1;
            if walks {
                assert!(done.summary.applied >= WALKS_MAX, "{threshold}");
                assert!(done.summary.applied <= WALKS_MAX * threads as u64);
            }
            if walks && threads == 1 {
                assert_eq!(done.summary.applied, WALKS_MAX, "{threshold}");
            }
        }
    }
}

#[test]
fn time_passes_also_within_one_run_of_reads() {
    let store = store();
    // Whoever begins a block is late when it is done. Long enough for a busy machine to begin at all.
    let before = |number: u64, _: Kind| {
        if number.is_multiple_of(BLOCK) {
            thread::sleep(Duration::from_millis(1_100));
        }
    };
    let mut config = BatchConfig::default();
    config.timeout = Some(Duration::from_secs(1));
    config.streaming_threshold = READS;
    for threads in [1, 2] {
        let workers = Workers::new(threads).unwrap();
        let batch = Batch::over(&store).workers(&workers).before(before);
        let batch = batch.config(config.clone());
        let list: Vec<_> = (0..READS).map(|_| similarity(1)).collect();
        let done = batch.run(list).unwrap();
        check_prefix(&done, ErrorKind::TimedOut);
        assert!(done.summary.failed(ErrorKind::TimedOut) > 0);
        let blocks = done.summary.applied / BLOCK;
        assert_eq!(done.summary.applied % BLOCK, 0);
        assert!((1..=threads as u64).contains(&blocks), "{blocks} blocks");
    }
}
