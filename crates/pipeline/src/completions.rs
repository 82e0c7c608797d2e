//! Answers in the order in which they come.

use crate::sync::lock;
use crate::ticket::Answer;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// An answer to a request that was submitted for a stream of completions.
#[derive(Clone, Debug, PartialEq)]
pub struct Completion {
    /// The number that the submission gave.
    pub seq: u64,
    /// What became of it.
    pub answer: Answer,
}

/// Where answers lie until they are taken.
#[derive(Debug)]
pub(crate) struct Shelf {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct State {
    completions: VecDeque<Completion>,
    /// Submitted and not answered.
    open: usize,
}

impl Shelf {
    pub(crate) fn put(&self, seq: u64, answer: Answer) -> bool {
        let mut state = lock(&self.state);
        state.open = state.open.saturating_sub(1);
        state.completions.push_back(Completion { seq, answer });
        drop(state);
        self.ready.notify_all();
        true
    }
}

/// Answers in the order in which they come, of the requests that were
/// [submitted for it](crate::AllocationPipeline::submit_for). At most `capacity` are open or waiting to be taken,
/// so that nobody who answers has to wait. Shared by any number of takers.
#[derive(Clone, Debug)]
pub struct Completions {
    shelf: Arc<Shelf>,
    capacity: usize,
}

impl Completions {
    /// For so many requests at once; 1 at least.
    #[must_use]
    pub fn new(capacity: usize) -> Completions {
        let capacity = capacity.max(1);
        let state = State {
            completions: VecDeque::with_capacity(capacity.min(1_024)),
            open: 0,
        };
        Completions {
            shelf: Arc::new(Shelf {
                state: Mutex::new(state),
                ready: Condvar::new(),
            }),
            capacity,
        }
    }

    /// Takes a place for a request; none where all are taken.
    pub(crate) fn open(&self) -> Option<Arc<Shelf>> {
        let mut state = lock(&self.shelf.state);
        if state.open + state.completions.len() >= self.capacity {
            return None;
        }
        state.open += 1;
        Some(Arc::clone(&self.shelf))
    }

    /// Gives a place back whose request was refused.
    pub(crate) fn refused(&self) {
        lock(&self.shelf.state).open -= 1;
    }

    /// Requests that are not answered, and answers that were not taken.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        let state = lock(&self.shelf.state);
        state.open + state.completions.len()
    }

    /// The next answer, for which it waits; `None` where none is to come.
    #[allow(
        clippy::should_implement_trait,
        reason = "by reference: several may take"
    )]
    pub fn next(&self) -> Option<Completion> {
        let state = lock(&self.shelf.state);
        let none = |state: &mut State| state.completions.is_empty() && state.open > 0;
        let waited = self.shelf.ready.wait_while(state, none);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let next = state.completions.pop_front();
        drop(state);
        if next.is_some() {
            self.shelf.ready.notify_all(); // Others may wait for what is not to come any more.
        }
        next
    }

    /// As [`next`](Completions::next), for as long at most.
    pub fn next_timeout(&self, at_most: Duration) -> Option<Completion> {
        let until = Instant::now().checked_add(at_most);
        let mut state = lock(&self.shelf.state);
        loop {
            if let Some(next) = state.completions.pop_front() {
                return Some(next);
            }
            let left = until.map_or(Duration::from_hours(1), |until| {
                until.saturating_duration_since(Instant::now())
            });
            if state.open == 0 || left.is_zero() {
                return None;
            }
            let waited = self.shelf.ready.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
