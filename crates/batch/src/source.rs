//! Where a stream's operations come from: a thread that asks for the next one as soon as there is room.

use crate::flow::Flow;
use crate::operation::Operation;
use futures_core::Stream;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Takes operations from an iterator until there are no more, or nobody wants them.
pub(crate) fn pull(source: impl Iterator<Item = Operation>, flow: &Flow) {
    for operation in source {
        if flow.submit(operation).is_err() {
            break;
        }
    }
}

/// As [`pull`], from a stream, which is polled here.
pub(crate) fn poll(source: impl Stream<Item = Operation>, flow: &Flow) {
    let mut source = pin!(source);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    while !flow.is_over() {
        match source.as_mut().poll_next(&mut context) {
            Poll::Ready(Some(operation)) => {
                if flow.submit(operation).is_err() {
                    break;
                }
            }
            Poll::Ready(None) => break,
            Poll::Pending => thread::park(), // Woken by the source, or when the flow is over.
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}
