//! Streams: every operation is answered once and in order, also where some are dropped, cancelled or too
//! late; whoever stops listening stops the source and leaves nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use common::lists::{DIMENSION, vector};
use cortica_batch::{
    Answers, Backpressure, Batch, BatchConfig, Cancel, ErrorKind, ItemError, Operation, Outcome,
};
use cortica_memory::{Episode, MemoryStore, SpaceSpec, StoreOptions};
use futures_core::Stream;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

const STRATEGIES: [Backpressure; 4] = [
    Backpressure::Block,
    Backpressure::DropOldest,
    Backpressure::AdaptiveResize,
    Backpressure::FallbackSingle,
];

fn store() -> Arc<MemoryStore> {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(DIMENSION)),
        ..StoreOptions::default()
    };
    let store = MemoryStore::in_memory(options).unwrap();
    for number in 0..10 {
        let episode = Episode::new(format!("e{number}"), "").with_embedding(vector(number));
        store.store(episode).unwrap();
    }
    Arc::new(store)
}

fn config(strategy: Backpressure) -> BatchConfig {
    let mut config = BatchConfig::default();
    config.memory_limit = 256 << 10;
    config.backpressure = strategy;
    config
}

/// Stores, searches and forgets in turns.
fn operation(number: u64) -> Operation {
    let id = || format!("n{}", number % 50);
    match number % 3 {
        0 => Operation::Store(Episode::new(id(), format!("text {number}"))),
        1 => Operation::similarity(vector((number % 9) as u8), 5),
        _ => Operation::forget(id()),
    }
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn every_operation_is_answered_once_and_in_order() {
    for strategy in STRATEGIES {
        for pause in [None, Some(Duration::from_micros(200))] {
            let count = if pause.is_some() { 2_000 } else { 20_000 };
            let store = store();
            let batch = Batch::over(&store).config(config(strategy));
            let mut answers = batch.stream((0..count).map(operation)).unwrap();
            let mut next = 0;
            let mut dropped = 0;
            for (number, answer) in answers.by_ref() {
                assert_eq!(number, next, "{strategy:?}");
                next += 1;
                dropped += u64::from(matches!(answer, Err(ItemError::Dropped)));
                if let Some(pause) = pause {
                    thread::sleep(pause);
                }
            }
            assert_eq!(next, count, "{strategy:?}");
            let summary = answers.finish();
            assert_eq!(summary.ended_by, None, "the source was at its end");
            assert_eq!(summary.operations, count);
            assert_eq!(summary.applied, count);
            assert_eq!(summary.outcomes.values().sum::<u64>(), count);
            assert_eq!(summary.failed(ErrorKind::Dropped), dropped);
            assert!(dropped == 0 || strategy == Backpressure::DropOldest);
            assert!(summary.peak_bytes <= 256 << 10, "{}", summary.peak_bytes);
        }
    }
}

#[test]
fn a_stalled_consumer_has_the_source_wait_or_drop() {
    for strategy in STRATEGIES {
        let store = store();
        let asked = Arc::new(AtomicU64::new(0));
        let counting = asked.clone();
        let count = 100_000;
        let source = (0..count).map(move |number| {
            counting.fetch_add(1, Relaxed);
            operation(number)
        });
        let batch = Batch::over(&store).config(config(strategy));
        let mut answers = batch.stream(source).unwrap();
        if strategy == Backpressure::DropOldest {
            wait_until("all of it is asked for", || asked.load(Relaxed) == count);
        } else {
            thread::sleep(Duration::from_millis(100));
            let so_far = asked.load(Relaxed);
            assert!(so_far < 1_000, "{strategy:?}: {so_far} were asked for");
            thread::sleep(Duration::from_millis(50));
            assert!(asked.load(Relaxed) <= so_far + 1, "{strategy:?}");
        }
        let progress = answers.progress();
        assert!(progress.bytes <= 256 << 10 && progress.taken == 0);
        let (mut next, mut dropped) = (0, 0);
        for (number, answer) in answers.by_ref() {
            assert_eq!(number, next);
            next += 1;
            dropped += u64::from(matches!(answer, Err(ItemError::Dropped)));
        }
        assert_eq!(next, count);
        if strategy == Backpressure::DropOldest {
            assert!(dropped > 90_000, "{dropped}");
        } else {
            assert_eq!(dropped, 0);
        }
    }
}

/// Threads of this process whose names begin so.
fn threads(named: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with(named)).count()
}

#[test]
#[cfg(target_os = "linux")]
fn whoever_drops_the_answers_stops_the_source_and_leaves_nothing_behind() {
    // Other tests of this program have streams of their own: this one tells its by the name of the
    // thread it is started from no more than by their end.
    for strategy in STRATEGIES {
        let store = store();
        let asked = Arc::new(AtomicU64::new(0));
        let counting = asked.clone();
        let source = (0..u64::MAX).map(move |number| {
            counting.fetch_add(1, Relaxed);
            Operation::Store(Episode::new(format!("s{number}"), format!("text {number}")))
        });
        let batch = Batch::over(&store).config(config(strategy));
        let mut answers = batch.stream(source).unwrap();
        let watch = answers.watch();
        let taken = answers
            .by_ref()
            .take(1_000)
            .filter(|(_, answer)| answer.is_ok());
        let taken = taken.count() as u64;
        drop(answers);
        let summary = watch.summary().expect("it has ended");
        wait_until("the source is let go of", || Arc::strong_count(&asked) == 1);
        let after = asked.load(Relaxed);
        thread::sleep(Duration::from_millis(20));
        assert_eq!(asked.load(Relaxed), after, "the source is asked no more");
        // What was applied is there: a prefix, but for what was dropped on the way.
        let stored = summary.count(Outcome::Stored);
        assert!(stored >= taken && summary.applied >= stored);
        assert_eq!(store.stats().episodes, 10 + stored);
        if strategy != Backpressure::DropOldest {
            assert_eq!(summary.applied, stored);
            assert!(store.get(&format!("s{}", stored - 1)).is_some());
            assert!(store.get(&format!("s{stored}")).is_none());
        }
        // No lock is left behind: it can be written, read and given up.
        store.store(Episode::new("later", "later")).unwrap();
        assert_eq!(Arc::strong_count(&store), 1);
        Arc::try_unwrap(store).unwrap().close().unwrap();
    }
    wait_until("threads end", || {
        threads("cortica-intake") + threads("cortica-batch") == 0
    });
}

#[test]
fn what_is_too_large_alone_is_refused_alone() {
    let store = store();
    let large = "x".repeat(300 << 10);
    let list = move || {
        vec![
            Operation::Store(Episode::new("small", "small")),
            Operation::Store(Episode::new("large", large.clone())),
            Operation::similarity(vector(1), 1_000),
            Operation::forget("small"),
        ]
    };
    for strategy in STRATEGIES {
        let batch = Batch::over(&store).config(config(strategy));
        let streamed: Vec<_> = batch
            .stream(list())
            .unwrap()
            .map(|(_, answer)| answer)
            .collect();
        for answers in [streamed, batch.run(list()).unwrap().answers] {
            assert_eq!(answers.len(), 4);
            assert!(answers[0].is_ok() && answers[3].is_ok(), "{answers:?}");
            for large in [&answers[1], &answers[2]] {
                let Err(ItemError::TooLarge { needed, limit }) = large else {
                    panic!("{large:?}");
                };
                assert!(*needed > 256 << 10 && *limit == 256 << 10);
            }
        }
    }
}

#[test]
fn a_batch_that_is_cancelled_answers_all_the_same() {
    let store = store();
    let cancel = Cancel::new();
    let (feed, source) = channel();
    let batch = Batch::over(&store).cancelled_by(&cancel);
    let mut answers = batch.stream(Fed(source)).unwrap();
    feed.send(operation(0)).unwrap();
    assert!(answers.next().unwrap().1.is_ok());
    cancel.cancel();
    assert!(answers.next().is_none(), "nobody else was submitted");
    drop(feed);
    let summary = answers.finish();
    assert_eq!((summary.operations, summary.applied), (1, 1));
    assert_eq!(summary.ended_by, Some(ErrorKind::Cancelled));

    // What was in the middle of it: the rest is told.
    let cancel = Cancel::new();
    let (after, cancelling) = (AtomicU64::new(0), cancel.clone());
    let batch = Batch::over(&store)
        .cancelled_by(&cancel)
        .before(move |_, _| {
            if after.fetch_add(1, Relaxed) == 6 {
                cancelling.cancel();
            }
        });
    let done = batch.run((0..30).map(operation).collect()).unwrap();
    assert_eq!(done.summary.applied, 7);
    assert_eq!(done.summary.failed(ErrorKind::Cancelled), 23);
    assert_eq!(done.summary.ended_by, Some(ErrorKind::Cancelled));
    assert!(matches!(done.answers[7], Err(ItemError::Cancelled)));
}

#[test]
fn what_is_too_late_is_told_so_also_where_nobody_polls() {
    let store = store();
    let mut late = config(Backpressure::Block);
    late.timeout = Some(Duration::from_millis(50));
    let batch = Batch::over(&store).config(late.clone());
    let (feed, source) = channel();
    let answers = batch.stream(Fed(source)).unwrap();
    let watch = answers.watch();
    wait_until("the time is up", || watch.summary().is_some());
    let summary = watch.summary().unwrap();
    assert!(summary.wall >= Duration::from_millis(50));
    assert_eq!(
        summary.ended_by,
        Some(ErrorKind::TimedOut),
        "it had nothing to answer so"
    );
    drop(feed);
    drop(answers);

    let batch = batch.before(|number, _| {
        if number == 3 {
            thread::sleep(Duration::from_millis(60));
        }
    });
    let done = batch.run((0..12).map(operation).collect()).unwrap();
    assert_eq!(done.summary.applied, 4);
    assert_eq!(done.summary.failed(ErrorKind::TimedOut), 8);
    assert_eq!(done.summary.ended_by, Some(ErrorKind::TimedOut));
}

#[test]
fn a_stream_ends_with_its_store() {
    let store = store();
    let (feed, source) = channel();
    let mut answers = Batch::over(&store).stream(Fed(source)).unwrap();
    feed.send(operation(0)).unwrap();
    assert!(answers.next().unwrap().1.is_ok());
    wait_until("it is let go of", || Arc::strong_count(&store) == 1);
    Arc::try_unwrap(store).unwrap().close().unwrap();
    feed.send(operation(1)).unwrap();
    let (_, answer) = answers.next().unwrap();
    assert!(matches!(answer, Err(ItemError::Closed)), "{answer:?}");
    assert!(answers.next().is_none());
    let summary = answers.finish();
    assert_eq!(summary.applied, 1);
    assert_eq!(summary.ended_by, Some(ErrorKind::Closed));
}

#[test]
fn a_source_that_panics_ends_the_stream_and_is_named() {
    let store = store();
    let source = (0..10).map(|number| {
        assert!(number < 5, "no more");
        operation(number)
    });
    let mut answers = Batch::over(&store).stream(source).unwrap();
    assert_eq!(answers.by_ref().count(), 5);
    let summary = answers.finish();
    assert_eq!(summary.operations, 5);
    assert_eq!(summary.source_panicked.as_deref(), Some("no more"));
}

/// An iterator over what comes through a channel.
struct Fed(Receiver<Operation>);

impl Iterator for Fed {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        self.0.recv().ok()
    }
}

/// A stream whose items come from elsewhere.
#[derive(Default)]
struct Shared {
    items: Vec<Operation>,
    ended: bool,
    waker: Option<Waker>,
}

struct Pushed(Arc<Mutex<Shared>>);

impl Stream for Pushed {
    type Item = Operation;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Operation>> {
        let mut shared = self.0.lock().unwrap();
        match shared.items.pop() {
            Some(item) => Poll::Ready(Some(item)),
            None if shared.ended => Poll::Ready(None),
            None => {
                shared.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// The next answer, as a program without threads to spare would ask for it.
fn block_on_next(answers: &mut Answers) -> Option<(u64, cortica_batch::Answer)> {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        match Pin::new(&mut *answers).poll_next(&mut context) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => thread::park_timeout(Duration::from_secs(20)),
        }
    }
}

#[test]
fn streams_are_polled_and_give_streams() {
    let store = store();
    let shared = Arc::new(Mutex::new(Shared::default()));
    let push = |items: Vec<Operation>, ended| {
        let waker = {
            let mut shared = shared.lock().unwrap();
            shared.items.extend(items.into_iter().rev());
            shared.ended = ended;
            shared.waker.take()
        };
        waker.into_iter().for_each(Waker::wake);
    };
    let batch = Batch::over(&store);
    let mut answers = batch.stream_async(Pushed(shared.clone())).unwrap();
    for round in 0..20 {
        push(
            (0..30).map(|at| operation(round * 30 + at)).collect(),
            false,
        );
        for at in 0..30 {
            let (number, _) = block_on_next(&mut answers).unwrap();
            assert_eq!(number, round * 30 + at);
        }
    }
    push(Vec::new(), true);
    assert!(block_on_next(&mut answers).is_none());
    drop(answers);

    // One that is never ready is let go of at once.
    let silent = Arc::new(Mutex::new(Shared::default()));
    let answers = batch.stream_async(Pushed(silent.clone())).unwrap();
    wait_until("it is polled", || silent.lock().unwrap().waker.is_some());
    drop(answers);
    wait_until("it is let go of", || {
        silent.lock().unwrap().waker = None;
        Arc::strong_count(&silent) == 1
    });
}

#[test]
fn progress_is_told_while_it_goes_on() {
    let store = store();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let telling = seen.clone();
    let batch = Batch::over(&store).config(config(Backpressure::Block));
    let batch = batch.on_progress(move |progress| telling.lock().unwrap().push(progress.answered));
    let answers = batch.stream((0..5_000).map(operation)).unwrap();
    assert_eq!(answers.count(), 5_000);
    let seen = seen.lock().unwrap();
    assert!(seen.len() > 3 && seen.is_sorted(), "{seen:?}");
    assert_eq!(seen.last(), Some(&5_000));
}
