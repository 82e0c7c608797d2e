//! Answers in the order in which they come.

use crate::job::message;
use crate::sync::lock;
use crate::ticket::Answer;
use futures_core::Stream;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
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
    /// Of tasks that wait for an answer.
    wakers: Vec<Waker>,
}

impl Shelf {
    pub(crate) fn put(&self, seq: u64, answer: Answer) -> bool {
        let mut state = lock(&self.state);
        state.open = state.open.saturating_sub(1);
        state.completions.push_back(Completion { seq, answer });
        self.wake(state);
        true
    }

    /// Has all who wait look again: one takes what has come, the others may wait for what is not to come any more.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        self.ready.notify_all();
        for waker in wakers {
            // The trouble of whoever waits: who answers goes on, and the others are woken.
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                let words = message(panic); // Also where nobody listens.
                tracing::warn!(words, "a waker of completions panicked");
            }
        }
    }
}

/// Answers in the order in which they come, of the requests that were
/// [submitted for it](crate::AllocationPipeline::submit_for). At most `capacity` are open or waiting to be taken,
/// so that nobody who answers has to wait. Shared by any number of takers, threads that wait
/// ([`next`](Completions::next)) and tasks of any executor ([`Stream`]; beside the `next` of this type that of
/// `StreamExt` is called by its full name).
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
            wakers: Vec::new(),
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
        let mut state = lock(&self.shelf.state);
        state.open = state.open.saturating_sub(1);
        self.shelf.wake(state);
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
        if next.is_some() {
            self.shelf.wake(state);
        }
        next
    }

    /// As [`next`](Completions::next), for as long at most.
    pub fn next_timeout(&self, at_most: Duration) -> Option<Completion> {
        let until = Instant::now().checked_add(at_most);
        let mut state = lock(&self.shelf.state);
        loop {
            if let Some(next) = state.completions.pop_front() {
                self.shelf.wake(state);
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

/// Ends where no answer is to come, as [`next`](Completions::next) does: goes on when more is submitted for it.
impl Stream for Completions {
    type Item = Completion;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Completion>> {
        let mut state = lock(&self.shelf.state);
        if let Some(next) = state.completions.pop_front() {
            self.shelf.wake(state);
            return Poll::Ready(Some(next));
        }
        if state.open == 0 {
            return Poll::Ready(None);
        }
        let waker = context.waker();
        if !state.wakers.iter().any(|other| other.will_wake(waker)) {
            state.wakers.push(waker.clone());
        }
        Poll::Pending
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (lock(&self.shelf.state).completions.len(), None)
    }
}
