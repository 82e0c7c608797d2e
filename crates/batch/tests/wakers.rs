//! A waker that panics is the trouble of its task: the stream goes on, every operation is answered, and
//! others are told.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_batch::{Answers, Batch, BatchConfig, Cancel, ErrorKind, ItemError, Operation};
use cortica_memory::{MemoryStore, SpaceSpec, StoreOptions};
use futures_core::Stream;
use std::panic::{AssertUnwindSafe, catch_unwind, panic_any, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, channel};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

/// Far more than anything here takes.
const LONG: Duration = Duration::from_secs(20);

fn store() -> Arc<MemoryStore> {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(3)),
        ..StoreOptions::default()
    };
    Arc::new(MemoryStore::in_memory(options).unwrap())
}

/// Panics, and says that it was called.
#[derive(Default)]
struct Faulty(AtomicBool);

impl Wake for Faulty {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
        resume_unwind(Box::new(Twice));
    }
}

/// An iterator over what comes through a channel.
struct Fed(Receiver<Operation>);

impl Iterator for Fed {
    type Item = Operation;

    fn next(&mut self) -> Option<Operation> {
        self.0.recv().ok()
    }
}

/// Has the next answer told to a waker that panics.
fn wait_faultily(answers: &mut Answers) -> Arc<Faulty> {
    let faulty = Arc::new(Faulty::default());
    let waker = Waker::from(faulty.clone());
    let polled = Pin::new(answers).poll_next(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    faulty
}

fn wait_until(what: &str, mut is: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < LONG, "{what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// One that takes operations one by one, and begins none before it is told to.
fn held_back(store: &Arc<MemoryStore>, go: &Arc<AtomicBool>) -> Batch {
    let gone = go.clone();
    let mut config = BatchConfig::default();
    config.batch_size = 1;
    Batch::over(store).config(config).before(move |_, _| {
        while !gone.load(SeqCst) {
            thread::yield_now();
        }
    })
}

/// A stream of this batch into which so many operations came, each of which forgets nobody.
fn streamed(batch: &Batch, count: u64) -> Answers {
    let list = (0..count).map(|number| Operation::forget(format!("nobody {number}")));
    let answers = batch.stream(list.collect::<Vec<_>>()).unwrap();
    let watch = answers.watch();
    wait_until("all came in", || watch.progress().submitted == count);
    answers
}

#[test]
fn a_waker_that_panics_loses_nothing() {
    let store = store();
    let go = Arc::new(AtomicBool::new(false));
    let mut answers = streamed(&held_back(&store, &go), 11);
    let faulty = wait_faultily(&mut answers);
    go.store(true, SeqCst);
    wait_until("it is woken", || faulty.0.load(SeqCst));
    let mut next = 0;
    for (number, answer) in answers.by_ref() {
        assert_eq!(number, next);
        next += 1;
        assert!(matches!(answer, Err(ItemError::Forget(_))), "{answer:?}");
    }
    assert_eq!(next, 11);
    assert_eq!(answers.finish().failed(ErrorKind::Unknown), 11);
}

#[test]
fn a_cancel_reaches_the_streams_behind_a_waker_that_panics() {
    let store = store();
    let cancel = Cancel::new();
    let batch = Batch::over(&store).cancelled_by(&cancel);
    let (_feed, source) = channel();
    let mut first = batch.stream(Fed(source)).unwrap();
    let (_other_feed, source) = channel();
    let second = batch.stream(Fed(source)).unwrap();
    let watch = second.watch();
    let faulty = wait_faultily(&mut first);
    let cancelled = catch_unwind(AssertUnwindSafe(|| cancel.cancel()));
    assert!(cancelled.is_ok(), "it is not the trouble of who cancels");
    assert!(faulty.0.load(SeqCst), "it was called");
    wait_until("the second ends", || watch.summary().is_some());
    assert!(first.next().is_none());
    // Kept until here: it ends by being told, not by being dropped.
    drop(second);
}

/// What is thrown, and throws once more when it is let go of.
struct Twice;

impl Drop for Twice {
    fn drop(&mut self) {
        if !thread::panicking() {
            resume_unwind(Box::new("thrown again"));
        }
    }
}

#[test]
fn what_panics_twice_fails_no_other_operation() {
    let store = store();
    let mut config = BatchConfig::default();
    config.batch_size = 1;
    let batch = Batch::over(&store).config(config).before(|number, _| {
        if number == 3 {
            panic_any(Twice);
        }
    });
    let kinds = streamed(&batch, 10).map(|(_, answer)| answer.unwrap_err().kind());
    let mut want = [ErrorKind::Unknown; 10];
    want[3] = ErrorKind::Panicked;
    assert_eq!(kinds.collect::<Vec<_>>(), want);
}

/// Who is told of progress is nobody that is waited for: all is done.
#[test]
fn who_panics_twice_when_told_ends_nothing() {
    let store = store();
    let go = Arc::new(AtomicBool::new(false));
    let batch = held_back(&store, &go).on_progress(|_| panic_any(Twice));
    let answers = streamed(&batch, 10);
    go.store(true, SeqCst);
    let kinds = answers.map(|(_, answer)| answer.unwrap_err().kind());
    assert_eq!(kinds.collect::<Vec<_>>(), [ErrorKind::Unknown; 10]);
}
