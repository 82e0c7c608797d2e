//! Waking whoever waits for an answer.

use crate::execute::words;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Calls a waker. What it does is not ours to know: a panic in it is the trouble of whoever waits, and
/// no reason to leave others without answers or to stop what is being done.
pub(crate) fn wake(waker: Waker) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
        let words = words(panic); // Also where nobody listens.
        tracing::warn!(words, "a waker of a batch panicked");
    }
}
