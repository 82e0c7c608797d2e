//! What a stream holds, by the allocator: operations, their texts, results that wait, and all that is
//! made on the way stay under the limit, however long the stream is and however slowly it is read.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_batch::{
    Backpressure, Batch, BatchConfig, ItemError, Operation, Progress, Watch, Workers,
};
use cortica_memory::{Cue, Episode, IndexLag, MemoryStore, SpaceSpec, StoreOptions};
use cortica_testkit::{CountingAllocator, Rng, live_bytes, peak_bytes_of_all, report, size};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const DIMENSION: usize = 64;
const ROWS: usize = 500;

const STRATEGIES: [Backpressure; 4] = [
    Backpressure::Block,
    Backpressure::DropOldest,
    Backpressure::AdaptiveResize,
    Backpressure::FallbackSingle,
];

/// How answers are taken.
#[derive(Clone, Copy, Debug)]
enum Consumer {
    Fast,
    /// Sleeps between answers.
    Slow,
    /// Takes none for a while, and then all.
    Stalled,
}

/// What is counted is that of the whole process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn vector(seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    (0..DIMENSION).map(|_| rng.unit() - 0.5).collect()
}

fn store() -> Arc<MemoryStore> {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(DIMENSION)),
        index_lag: IndexLag::OnDemand,
        ..StoreOptions::default()
    };
    let store = MemoryStore::in_memory(options).unwrap();
    let episode = |row: usize| {
        Episode::new(format!("row {row}"), format!("text {row}")).with_embedding(vector(row as u64))
    };
    for stored in store.store_many((0..ROWS).map(episode).collect()) {
        stored.unwrap();
    }
    Arc::new(store)
}

/// Operations that leave the store as large as it was: texts of a few episodes are replaced.
fn operation(number: u64) -> Operation {
    let text = |length: usize| format!("{number} {}", "x".repeat(length));
    match number % 8 {
        0 | 1 => Operation::Store(Episode::new(format!("note {}", number % 40), text(400))),
        2 => Operation::recall(Cue::embedding(vector(number)).max_results(50)),
        3 => Operation::similarity(vector(number), 20).with_vectors(),
        4 => Operation::forget(format!("{} is not there", text(100))),
        5 => Operation::Unreadable(text(100)),
        _ => Operation::similarity(vector(number), 10),
    }
}

/// Streams and gives how many answers there were, and how many operations were dropped.
fn stream(batch: &Batch, count: u64, consumer: Consumer) -> (u64, u64) {
    let mut answers = batch.stream((0..count).map(operation)).unwrap();
    if matches!(consumer, Consumer::Stalled) {
        thread::sleep(Duration::from_millis(20));
    }
    let (mut next, mut dropped) = (0, 0);
    for (number, answer) in answers.by_ref() {
        assert_eq!(number, next);
        next += 1;
        dropped += u64::from(matches!(answer, Err(ItemError::Dropped)));
        if matches!(consumer, Consumer::Slow) && number % 64 == 0 {
            thread::sleep(Duration::from_micros(300));
        }
    }
    let summary = answers.finish();
    assert_eq!((summary.operations, summary.applied), (count, count));
    (next, dropped)
}

/// Waits until a stream that nobody takes from stands still: full, or done. What is done at once shows when it
/// is done.
fn standing(watch: &Watch, limit: usize) -> Progress {
    let still = Duration::from_millis(200 + (limit >> 17) as u64);
    let (mut last, mut since) = (watch.progress(), Instant::now());
    loop {
        thread::sleep(Duration::from_millis(5));
        let now = watch.progress();
        if (now.submitted, now.answered) != (last.submitted, last.answered) {
            (last, since) = (now, Instant::now());
        } else if since.elapsed() > still {
            return now;
        }
    }
}

/// Answers of a hundred thousand bytes each, of which nobody takes one until no more come: the limit is really
/// reached, by the allocator too, and all goes on from there.
#[test]
fn a_stalled_consumer_fills_the_limit_and_no_more() {
    let _alone = alone();
    let store = store();
    let workers = Workers::new(2).unwrap();
    let search = |number| Operation::similarity(vector(number), ROWS).with_vectors();
    for limit in [1 << 20, 16 << 20, 256 << 20_usize] {
        for strategy in STRATEGIES {
            let mut config = BatchConfig::default();
            config.memory_limit = limit;
            config.backpressure = strategy;
            let batch = Batch::over(&store).config(config).workers(&workers);
            let what = format!("{limit} {strategy:?}");
            let count = 40 + 3 * limit as u64 / 100_000;
            let before = live_bytes();
            let (held, peak) = peak_bytes_of_all(|| {
                let mut answers = batch.stream((0..count).map(search)).unwrap();
                let still = standing(&answers.watch(), limit);
                let held = live_bytes() - before;
                assert_eq!(still.taken, 0, "{what}");
                if strategy == Backpressure::DropOldest {
                    assert_eq!(
                        still.submitted, count,
                        "{what}: the source waits for nobody"
                    );
                } else {
                    assert!(still.submitted < count, "{what}: {still:?}");
                }
                let (mut answered, mut dropped) = (0, 0);
                for (number, answer) in answers.by_ref() {
                    assert_eq!(number, answered, "{what}");
                    answered += 1;
                    match answer {
                        Ok(_) => {}
                        Err(ItemError::Dropped) => dropped += 1,
                        Err(error) => panic!("{what}: {error}"),
                    }
                }
                assert_eq!(answered, count, "{what}");
                assert_eq!(dropped > 0, strategy == Backpressure::DropOldest, "{what}");
                held
            });
            println!("{what}: {held} bytes held, {peak} at most");
            assert!(peak <= limit as u64, "{what}: {peak} bytes at most");
            // Room is kept for the next one's answer; and, where the oldest go, for all that wait.
            let share = if strategy == Backpressure::DropOldest {
                4
            } else {
                2
            };
            assert!(share * held >= limit as i64, "{what}: only {held} bytes");
        }
    }
}

#[test]
fn a_stream_stays_under_its_limit() {
    let _alone = alone();
    let store = store();
    let longest = size("BATCH_STREAMED", 30_000);
    let workers = Workers::new(2).unwrap();
    let mut streamed = 0;
    for limit in [1 << 20, 16 << 20, 256 << 20] {
        for strategy in STRATEGIES {
            let mut config = BatchConfig::default();
            config.memory_limit = limit;
            config.backpressure = strategy;
            let batch = Batch::over(&store).config(config).workers(&workers);
            stream(&batch, 2_000, Consumer::Fast); // Tables and threads are there from now on.
            for consumer in [Consumer::Fast, Consumer::Slow, Consumer::Stalled] {
                let mut count = 1_000;
                while count <= longest {
                    let before = live_bytes();
                    let ((answered, dropped), peak) =
                        peak_bytes_of_all(|| stream(&batch, count, consumer));
                    let what = format!("{limit} {strategy:?} {consumer:?} {count}");
                    assert_eq!(answered, count, "{what}");
                    assert!(
                        dropped == 0 || strategy == Backpressure::DropOldest,
                        "{what}"
                    );
                    assert!(peak <= limit as u64, "{what}: {peak} bytes");
                    let after = live_bytes() - before;
                    assert!(after < 100_000, "{what}: {after} bytes are kept");
                    streamed += count;
                    count *= 10;
                }
            }
        }
    }
    report("batch_bytes", 0, &[("streamed", streamed)]);
}
