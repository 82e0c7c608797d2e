//! What a stream holds, by the allocator: operations, their texts, results that wait, and all that is
//! made on the way stay under the limit, however long the stream is and however slowly it is read.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_batch::{
    Backpressure, Batch, BatchConfig, BatchSummary, ErrorKind, ItemError, Operation, Outcome,
    Progress, Watch, Workers,
};
use cortica_memory::{
    Accuracy, Association, Cue, Episode, IndexLag, MemoryStore, SpaceSpec, StoreOptions,
};
use cortica_testkit::{CountingAllocator, Rng, live_bytes, peak_bytes_of_all, report, size};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const DIMENSION: usize = 64;
const ROWS: usize = 500;
/// What a store holds at most. The rows were stored when there was more room, so they stand out more than what
/// comes and goes.
const CAPACITY: usize = ROWS + 100;

/// Answers that wait when a slow consumer begins to take some, and how many it takes.
const PILE: u64 = 64;
const TAKEN: u64 = PILE / 2;

/// What a longer stream may hold more than one of a thousand operations: chance has it that one does
/// something while another one does, too.
const GROWN_MAX: u64 = 32 << 10;

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
    /// Lets answers pile up, and takes a part of them.
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
        capacity: Some(CAPACITY),
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

/// Operations that leave a store as large as it was, once it is full: texts of a few episodes are replaced, of
/// those that are new one half is forgotten and the other one evicted, links get another weight.
fn operation(number: u64) -> Operation {
    let text = |length: usize| format!("{number} {}", "x".repeat(length));
    let note = |number: u64| format!("note {}", number % 40);
    let fresh = |number: u64| format!("fresh {number}");
    match number % 12 {
        0 | 1 => Operation::Store(Episode::new(note(number), text(400))),
        2 => Operation::recall(Cue::embedding(vector(number)).max_results(50)),
        3 => Operation::similarity(vector(number), 20).with_vectors(),
        4 => Operation::forget(format!("{} is not there", text(100))),
        5 => Operation::Unreadable(text(100)),
        6 => {
            let link = Association::new(note(number - 6), note(number - 5), 1);
            Operation::Associate(link.with_weight((number % 7) as f32 / 8.0))
        }
        7 => Operation::Store(Episode::new(fresh(number), text(300))),
        8 if number % 24 == 8 => Operation::forget(fresh(number - 1)),
        9 => Operation::recall(Cue::embedding(vector(number)).accuracy(Accuracy::approximate())),
        _ => Operation::similarity(vector(number), 10),
    }
}

/// What came of a stream.
struct Streamed {
    answered: u64,
    dropped: u64,
    /// How often as many answers as a pile waited when a slow consumer went to take some.
    piles: u64,
    summary: BatchSummary,
}

/// Waits until answers have piled up, or there will be no more.
fn piled_up(watch: &Watch, count: u64) -> bool {
    let begun = Instant::now();
    loop {
        let now = watch.progress();
        if now.answered - now.taken >= PILE {
            return true;
        }
        if now.answered == count || begun.elapsed() > Duration::from_secs(1) {
            return false;
        }
        thread::sleep(Duration::from_micros(50));
    }
}

fn stream(batch: &Batch, count: u64, consumer: Consumer) -> Streamed {
    let mut answers = batch.stream((0..count).map(operation)).unwrap();
    let watch = answers.watch();
    if matches!(consumer, Consumer::Stalled) {
        thread::sleep(Duration::from_millis(20));
    }
    let (mut next, mut dropped, mut piles) = (0, 0, 0);
    loop {
        if matches!(consumer, Consumer::Slow) && next % TAKEN == 0 {
            piles += u64::from(piled_up(&watch, count));
        }
        let Some((number, answer)) = answers.next() else {
            break;
        };
        assert_eq!(number, next);
        next += 1;
        dropped += u64::from(matches!(answer, Err(ItemError::Dropped)));
    }
    let summary = answers.finish();
    assert_eq!((summary.operations, summary.applied), (count, count));
    Streamed {
        answered: next,
        dropped,
        piles,
        summary,
    }
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

/// That there is something of every sort.
fn check_mix(summary: &BatchSummary, what: &str) {
    let links = [Outcome::Linked, Outcome::Reweighted, Outcome::AlreadyLinked];
    let links: u64 = links.map(|outcome| summary.count(outcome)).iter().sum();
    assert!(links > 0 && summary.evicted > 0, "{what}: {summary:?}");
    for outcome in [
        Outcome::Stored,
        Outcome::Updated,
        Outcome::Forgotten,
        Outcome::Recalled,
        Outcome::Similar,
    ] {
        assert!(summary.count(outcome) > 0, "{what}: {summary:?}");
    }
    for kind in [ErrorKind::Unknown, ErrorKind::Invalid] {
        assert!(summary.failed(kind) > 0, "{what}: {summary:?}");
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
            stream(&batch, 3_000, Consumer::Fast); // Tables and threads are there from now on.
            for consumer in [Consumer::Fast, Consumer::Slow, Consumer::Stalled] {
                let mut count = 1_000;
                while count <= longest {
                    let before = live_bytes();
                    let (done, peak) = peak_bytes_of_all(|| stream(&batch, count, consumer));
                    let what = format!("{limit} {strategy:?} {consumer:?} {count}");
                    let summary = &done.summary;
                    assert_eq!(done.answered, count, "{what}");
                    if strategy == Backpressure::DropOldest {
                        assert_eq!(done.dropped, summary.failed(ErrorKind::Dropped));
                    } else {
                        assert_eq!(done.dropped, 0, "{what}");
                        check_mix(summary, &what);
                    }
                    assert!(peak <= limit as u64, "{what}: {peak} bytes");
                    let after = live_bytes() - before;
                    assert!(after < 100_000, "{what}: {after} bytes are kept");
                    if matches!(consumer, Consumer::Slow) {
                        // All but the last ones were taken from a pile.
                        let most = (count - PILE) / TAKEN;
                        assert!(done.piles >= most, "{what}: {} of {most}", done.piles);
                    }
                    if limit == 1 << 20 {
                        // The limit is what held it up.
                        assert!(summary.peak_bytes >= limit / 2, "{what}: {summary:?}");
                    }
                    streamed += count;
                    count *= 10;
                }
            }
        }
    }
    report("batch_bytes", 0, &[("streamed", streamed)]);
}

/// As many operations are under way at once however many there are in all: the source gives one more for each
/// answer that is taken, and answers are taken from a pile. What is held then is the same for a stream of any length.
#[test]
fn a_longer_stream_holds_no_more() {
    let _alone = alone();
    let store = store();
    let longest = size("BATCH_STREAMED", 30_000);
    let workers = Workers::new(2).unwrap();
    for strategy in STRATEGIES {
        let mut config = BatchConfig::default();
        config.backpressure = strategy;
        let batch = Batch::over(&store).config(config).workers(&workers);
        let windowed = |count: u64| {
            let (give, given) = sync_channel(PILE as usize);
            let source = (0..count).map_while(move |number| {
                given.recv().ok()?;
                Some(operation(number))
            });
            let mut answers = batch.stream(source).unwrap();
            let watch = answers.watch();
            (0..PILE).for_each(|_| give.send(()).unwrap());
            for number in 0..count {
                if number % TAKEN == 0 && number + PILE <= count {
                    assert!(piled_up(&watch, count), "{number}");
                }
                assert!(answers.next().is_some_and(|(at, _)| at == number));
                let _ = give.send(()); // Nobody takes it where no more are to come.
            }
            let summary = answers.finish();
            check_mix(&summary, "windowed");
            assert_eq!(summary.applied, count);
        };
        windowed(3_000);
        let ((), short) = peak_bytes_of_all(|| windowed(1_000));
        let mut count = 10_000;
        while count <= longest {
            let ((), peak) = peak_bytes_of_all(|| windowed(count));
            let what = format!("{strategy:?} {count}");
            println!("{what}: {peak} bytes, {short} at 1,000 operations");
            assert!(
                peak <= short + GROWN_MAX,
                "{what}: {peak} bytes, not {short}"
            );
            count *= 10;
        }
    }
}

/// Walks that keep thousands of candidates, one of which takes most of the limit: no two of them go on at once,
/// and what they kept is let go of.
#[test]
fn wide_walks_stay_under_the_limit() {
    const WALKED: usize = 12_000;
    const WIDE: usize = 8_192;
    const LIMIT: usize = 560 << 10;
    let _alone = alone();
    let options = StoreOptions {
        space: Some(SpaceSpec::new(DIMENSION / 4)),
        index_lag: IndexLag::OnDemand,
        ..StoreOptions::default()
    };
    let store = Arc::new(MemoryStore::in_memory(options).unwrap());
    let short = |seed: u64| vector(seed)[..DIMENSION / 4].to_vec();
    let episode = |row: usize| Episode::new(format!("row {row}"), format!("text {row}"));
    let episodes = (0..WALKED).map(|row| episode(row).with_embedding(short(row as u64)));
    for stored in store.store_many(episodes.collect()) {
        stored.unwrap();
    }
    store.wait_indexed().unwrap();
    assert_eq!(store.stats().index.indexed, WALKED as u64);
    let workers = Workers::new(4).unwrap();
    let mut config = BatchConfig::default();
    let recall = move |ef: usize| {
        move |number| {
            let cue = Cue::embedding(short(number)).accuracy(Accuracy::Approximate { ef });
            Operation::recall(cue)
        }
    };
    let wide = recall(WIDE)(0).bytes();
    assert!((LIMIT / 2..=LIMIT).contains(&wide), "{wide}");
    config.memory_limit = LIMIT;
    let batch = Batch::over(&store).config(config).workers(&workers);
    let all_found = |operations: Vec<Operation>| {
        let answers = batch.stream(operations).unwrap();
        answers
            .inspect(|(_, answer)| assert!(answer.is_ok()))
            .count()
    };
    assert_eq!(all_found((0..500).map(recall(16)).collect()), 500);
    let before = live_bytes();
    let operations = || (0..200).map(recall(WIDE));
    let (found, peak) = peak_bytes_of_all(|| {
        let answers = batch.stream(operations()).unwrap();
        answers
            .inspect(|(_, answer)| assert!(answer.is_ok(), "{answer:?}"))
            .count()
    });
    assert_eq!(found, 200);
    println!("{wide} bytes are kept for a walk, {peak} were used");
    assert!(peak <= LIMIT as u64, "{peak} bytes");
    assert!(peak >= LIMIT as u64 / 4, "only {peak} bytes");
    let after = live_bytes() - before;
    assert!(after < 100_000, "{after} bytes are kept");
}
