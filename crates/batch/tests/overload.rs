//! Ten times the load that can be served: nothing grows, what is refused is told so, nearly as much is served as
//! without, and all is as it was when the load is.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_batch::{Backpressure, Batch, BatchConfig, ItemError, Operation, Workers};
use cortica_memory::{Cue, Episode, IndexLag, MemoryStore, SpaceSpec, StoreOptions};
use cortica_testkit::{CountingAllocator, Rng, live_bytes, peak_bytes_of_all, report, size};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const DIMENSION: usize = 64;
const ROWS: u64 = 10_000;
const LIMIT: usize = 4 << 20;

/// What is offered, in capacities, and what must be served of one.
const OVERLOAD: f64 = 10.0;
const GOODPUT_MIN: f64 = 0.8;
/// What a source that others hold up must have offered at least, of the overload.
const OFFERED_MIN: f64 = 0.9;
/// What is offered before and after.
const EASY: f64 = 0.4;
/// From the end of the overload until all is as it was.
const RECOVERY: Duration = Duration::from_secs(10);

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
    let episode = |row: u64| {
        Episode::new(format!("row {row}"), format!("text {row}")).with_embedding(vector(row))
    };
    for stored in store.store_many((0..ROWS).map(episode).collect()) {
        stored.unwrap();
    }
    Arc::new(store)
}

/// Searches, and now and then a text that is replaced. Made beforehand: the load must not wait for them.
fn operations() -> Vec<Operation> {
    let operation = |number: u64| match number % 16 {
        0 => Operation::Store(Episode::new(
            format!("note {}", number % 40),
            format!("text {number}"),
        )),
        1..8 => Operation::recall(Cue::embedding(vector(number)).max_results(10)),
        _ => Operation::similarity(vector(number), 10),
    };
    (0..4_096).map(operation).collect()
}

/// Operations at a rate, for a time.
struct Phase {
    rate: f64,
    lasts: Duration,
}

/// How each phase began, once it has.
struct Begun {
    /// The number of its first operation.
    first: [AtomicU64; 3],
    /// When that was given, in microseconds since `since`.
    at_us: [AtomicU64; 3],
    since: Instant,
}

impl Begun {
    fn new() -> Self {
        Self {
            first: Default::default(),
            at_us: Default::default(),
            since: Instant::now(),
        }
    }

    fn note(&self, phase: usize, number: u64) {
        let at_us = self.since.elapsed().as_micros() as u64;
        self.at_us[phase].store(at_us, Relaxed);
        self.first[phase].store(number, Relaxed);
    }

    /// Operations a second that were given in this phase, of those before the last: by the clock, as a
    /// source that is held up gives fewer than it is to.
    fn rate(&self, phase: usize) -> f64 {
        let between = |of: &[AtomicU64; 3]| of[phase + 1].load(Relaxed) - of[phase].load(Relaxed);
        between(&self.first) as f64 / (between(&self.at_us) as f64 / 1e6)
    }
}

/// Gives operations when they are due, phase after phase.
fn paced(
    phases: [Phase; 3],
    operations: Arc<[Operation]>,
    begun: Arc<Begun>,
) -> impl Iterator<Item = Operation> {
    let (mut phase, mut given, mut number) = (0, 0_u64, 0_u64);
    let mut start = Instant::now();
    std::iter::from_fn(move || {
        loop {
            let Phase { rate, lasts } = phases.get(phase)?;
            let due = Duration::from_secs_f64(given as f64 / rate);
            if due >= *lasts {
                phase += 1;
                (given, start) = (0, Instant::now());
                continue;
            }
            if given == 0 {
                begun.note(phase, number);
            }
            let early = due.saturating_sub(start.elapsed());
            if early > Duration::from_micros(100) {
                std::thread::sleep(early);
            }
            given += 1;
            number += 1;
            return Some(operations[number as usize % operations.len()].clone());
        }
    })
}

/// How many operations a second a stream does when it never waits for its source.
fn capacity(batch: &Batch, operations: &Arc<[Operation]>) -> f64 {
    let all = operations.clone();
    let started = Instant::now();
    let time = Duration::from_secs(2);
    let source = (0..).map(move |number: usize| all[number % all.len()].clone());
    let mut answers = batch
        .stream(source.take_while(move |_| started.elapsed() < time))
        .unwrap();
    let count = answers
        .by_ref()
        .inspect(|(_, answer)| assert!(answer.is_ok()))
        .count();
    let _ = answers.finish();
    count as f64 / started.elapsed().as_secs_f64()
}

/// Little, too much, and little again.
fn phases(capacity: f64, overload: Duration, after: Duration) -> [Phase; 3] {
    let phase = |share: f64, lasts| Phase {
        rate: capacity * share,
        lasts,
    };
    [
        phase(EASY, Duration::from_secs(1)),
        phase(OVERLOAD, overload),
        phase(EASY, after),
    ]
}

/// What was seen of one phase.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    served: u64,
    dropped: u64,
}

#[test]
fn ten_times_the_load() {
    let store = store();
    let seconds = size("OVERLOAD_SECONDS", 2);
    let is_long = seconds >= 60;
    let operations: Arc<[Operation]> = operations().into();
    // The other processor is the source's.
    let workers = Workers::new(1).unwrap();
    let mut config = BatchConfig::default();
    config.memory_limit = LIMIT;
    let batch = Batch::over(&store).workers(&workers);
    let capacity = capacity(&batch.clone().config(config.clone()), &operations);
    config.backpressure = Backpressure::DropOldest;
    let batch = batch.config(config);

    let after = if is_long {
        2 * RECOVERY
    } else {
        Duration::from_secs(2)
    };
    let overload = Duration::from_secs(seconds);
    let phases = phases(capacity, overload, after);
    let begun = Arc::new(Begun::new());
    let before = live_bytes();
    let mut seen = [Seen::default(); 3];
    // When the first answer to the overload came, and how long after it the last one.
    let mut answering = (None, Duration::ZERO);
    let (mut late, mut middle, mut next) = (0, None, 0);
    let ((), peak) = peak_bytes_of_all(|| {
        let started = Instant::now();
        let source = paced(phases, operations.clone(), begun.clone());
        let mut answers = batch.stream(source).unwrap();
        let mut calm = None;
        for (number, answer) in answers.by_ref() {
            assert_eq!(number, next, "answers come in order, one each");
            next += 1;
            let [_, overload, easy] = begun.first.each_ref().map(|first| first.load(Relaxed));
            let phase = match number {
                number if easy > 0 && number >= easy => 2,
                number if overload > 0 && number >= overload => 1,
                _ => 0,
            };
            if phase == 1
                && middle.is_none()
                && started.elapsed().as_secs_f64() > 1.0 + seconds as f64 / 2.0
            {
                middle = Some(live_bytes() - before);
            }
            if phase == 1 {
                let begun = *answering.0.get_or_insert_with(Instant::now);
                answering.1 = begun.elapsed();
            }
            if phase == 2 {
                calm.get_or_insert_with(Instant::now);
            }
            match answer {
                Ok(_) => seen[phase].served += 1,
                Err(ItemError::Dropped) => {
                    seen[phase].dropped += 1;
                    let since = calm.map_or(Duration::ZERO, |calm| calm.elapsed());
                    late += u64::from(phase == 2 && since > after / 2);
                }
                Err(error) => panic!("{number}: {error}"),
            }
        }
        let summary = answers.finish();
        assert_eq!((summary.operations, summary.applied), (next, next));
        let counted: u64 = seen.iter().map(|seen| seen.served + seen.dropped).sum();
        assert_eq!(counted, next);
    });
    let goodput = seen[1].served as f64 / answering.1.as_secs_f64() / capacity;
    let offered = begun.rate(1) / capacity;
    println!(
        "{capacity:.0} operations a second, {offered:.2} times that offered, {seen:?}, {:.0}% of that served, {peak} bytes at most",
        100.0 * goodput
    );
    assert!(
        seen[1].dropped > seen[1].served,
        "{seen:?}: that was no overload"
    );
    // Within moments, what else is at work may hold the source up for a large part of them.
    let least = if is_long { OFFERED_MIN } else { 0.5 } * OVERLOAD;
    assert!(offered >= least, "{offered} times what can be served");
    assert!(peak <= LIMIT as u64, "{peak} bytes");
    let kept = live_bytes() - before;
    assert!(kept < 100_000, "{kept} bytes are kept");
    assert!(
        middle.is_some_and(|held| held <= LIMIT as i64),
        "{middle:?}"
    );
    assert_eq!(late, 0, "operations dropped long after the overload");
    // Rates say something where nothing else is at work, and not within moments.
    assert!(!is_long || goodput >= GOODPUT_MIN, "{goodput}");
    report(
        "overload",
        0,
        &[
            ("seconds", seconds),
            ("operations_offered", next),
            ("operations_served_under_overload", seen[1].served),
            ("operations_told_they_were_dropped", seen[1].dropped),
            ("offered_in_percent_of_capacity", (100.0 * offered) as u64),
            ("goodput_in_percent_of_capacity", (100.0 * goodput) as u64),
            ("bytes_at_most", peak),
            ("dropped_after_the_time_to_recover", late),
        ],
    );
}
