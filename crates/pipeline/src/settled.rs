//! Where those wait who duplicate what is still on its way.

use crate::sync::lock;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts concepts that were on their way and are no more: committed or given up.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    count: u64,
    waiting: usize,
}

impl Settled {
    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        lock(&self.state).count
    }

    /// One more; wakes all who wait.
    pub(crate) fn settle(&self) {
        let mut state = lock(&self.state);
        state.count += 1;
        if state.waiting > 0 {
            self.moved.notify_all();
        }
    }

    /// Waits until there are more than `seen`, for as long at most.
    pub(crate) fn wait(&self, seen: u64, at_most: Duration) {
        let mut state = lock(&self.state);
        if state.count != seen {
            return;
        }
        state.waiting += 1;
        let waited = self
            .moved
            .wait_timeout_while(state, at_most, |state| state.count == seen);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.waiting -= 1;
    }
}
