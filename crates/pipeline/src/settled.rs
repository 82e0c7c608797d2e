//! Where those wait who need to know what becomes of others.

use crate::sync::lock;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Counts what was on its way and is no more: committed or given up.
#[derive(Debug, Default)]
pub(crate) struct Settled {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Debug, Default)]
struct State {
    count: u64,
    open: usize,
    waiting: usize,
}

/// Something on its way; when it is dropped those who wait look again.
#[derive(Debug)]
pub(crate) struct Open<'a>(&'a Settled);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut state = lock(&self.0.state);
        state.open -= 1;
        state.count += 1;
        if state.waiting > 0 {
            self.0.moved.notify_all();
        }
    }
}

impl Settled {
    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        lock(&self.state).count
    }

    /// One is on its way.
    pub(crate) fn open(&self) -> Open<'_> {
        lock(&self.state).open += 1;
        Open(self)
    }

    /// Whether one is on its way, or there were more than `seen`.
    pub(crate) fn may_move(&self, seen: u64) -> bool {
        let state = lock(&self.state);
        state.open > 0 || state.count != seen
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
