//! What numbers beyond all bounds come to, and what a waker may do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_batch::{Backpressure, Batch, BatchConfig, ErrorKind, ItemError, Operation, Watch};
use cortica_memory::{Cue, Episode, MemoryStore, RecallError, SpaceSpec, StoreOptions};
use futures_core::Stream;
use std::pin::Pin;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

fn store() -> Arc<MemoryStore> {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(3)),
        ..StoreOptions::default()
    };
    Arc::new(MemoryStore::in_memory(options).unwrap())
}

#[test]
fn too_many_results_are_refused_as_such() {
    let store = store();
    for k in [1_001, 1_000_000_000, usize::MAX] {
        let search = || Operation::similarity(vec![1.0; 3], k).with_vectors();
        let recall = || Operation::recall(Cue::embedding(vec![1.0; 3]).max_results(k));
        let list = || vec![search(), search(), recall(), recall()];
        let listed = Batch::over(&store).run(list()).unwrap().answers;
        let streamed = Batch::over(&store).stream(list()).unwrap();
        for answer in streamed.map(|(_, answer)| answer).chain(listed) {
            let Err(ItemError::Recall(RecallError::MaxResults { got })) = answer else {
                panic!("{k}: {answer:?}");
            };
            assert_eq!(got, k);
        }
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

/// Holds the thread of a stream at this operation until it is let go.
const HELD: u64 = 90;

/// Answers that nobody takes hold more than half of the bytes, and a few small operations wait: one that is
/// larger than the rest is not worth dropping those for, as it would find no room all the same.
#[test]
fn what_finds_no_room_in_the_place_of_all_that_waits_is_dropped_itself() {
    let store = store();
    let (go, wait) = channel::<()>();
    let wait = Mutex::new(wait);
    let mut config = BatchConfig::default();
    config.memory_limit = 320 << 10;
    config.backpressure = Backpressure::DropOldest;
    let batch = Batch::over(&store).config(config).before(move |number, _| {
        if number == HELD {
            wait.lock().unwrap().recv().unwrap();
        }
    });
    let (feed, source) = channel();
    let small = || Operation::forget("nobody");
    let large = |id: &str| Operation::Store(Episode::new(id, "x".repeat(200 << 10)));
    let mut answers = batch.stream(Fed(source)).unwrap();
    let watch = answers.watch();
    let until = |what: &str, is: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
            thread::sleep(Duration::from_millis(1));
        }
    };
    for number in 0..HELD {
        feed.send(small()).unwrap();
        until("it is answered", &|| watch.progress().answered > number);
    }
    assert!(watch.progress().bytes > 120 << 10, "{:?}", watch.progress());
    let behind = [
        small(), // Begun, and held up.
        small(),
        small(),
        large("a"),
        large("b"),
        small(),
        large("c"),
    ];
    let count = HELD + behind.len() as u64;
    for operation in behind {
        feed.send(operation).unwrap();
    }
    until("all came", &|| watch.progress().submitted == count);
    go.send(()).unwrap();
    drop(feed);
    let dropped = answers
        .by_ref()
        .enumerate()
        .inspect(|(at, (number, _))| assert_eq!(*at as u64, *number))
        .filter(|(_, (_, answer))| matches!(answer, Err(ItemError::Dropped)))
        .map(|(_, (number, _))| number - HELD);
    assert_eq!(dropped.collect::<Vec<_>>(), [3, 4, 6]);
    let summary = answers.finish();
    assert_eq!((summary.operations, summary.applied), (count, count));
    assert_eq!(summary.failed(ErrorKind::Unknown), HELD + 4);
    assert!(summary.peak_bytes <= 320 << 10);
    assert_eq!(store.stats().episodes, 0);
}

/// Looks at the stream that wakes it.
struct Looks(Watch, Sender<u64>);

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let _ = self.1.send(self.0.progress().answered);
    }
}

/// Called under the lock of the stream, it would wait for itself for ever.
#[test]
fn a_waker_may_ask_the_stream_that_calls_it() {
    let store = store();
    let (feed, source) = channel();
    let mut answers = Batch::over(&store).stream(Fed(source)).unwrap();
    let (told, looked) = channel();
    let waker = Waker::from(Arc::new(Looks(answers.watch(), told)));
    let mut context = Context::from_waker(&waker);
    assert!(Pin::new(&mut answers).poll_next(&mut context).is_pending());
    feed.send(Operation::forget("nobody")).unwrap();
    let Ok(answered) = looked.recv_timeout(Duration::from_secs(20)) else {
        std::process::exit(1); // Its threads wait for ever, and dropping the answers waits for them.
    };
    assert_eq!(answered, 1);
    let next = Pin::new(&mut answers).poll_next(&mut context);
    assert!(matches!(next, Poll::Ready(Some((0, Err(_))))));
    drop(feed);
}
