//! What numbers beyond all bounds come to, and what a waker may do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_batch::{Batch, ItemError, Operation, Watch};
use cortica_memory::{Cue, MemoryStore, RecallError, SpaceSpec, StoreOptions};
use futures_core::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

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
