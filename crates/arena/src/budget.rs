//! Memory handed out by the byte, and never a byte more than there is.

use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

use crate::sync::{Arc, Condvar, Mutex, lock, wait};

/// So many bytes, handed out as [`Permit`]s that give them back when they are dropped.
///
/// It only counts: whoever allocates asks first. Clones are the same budget.
///
/// Who waits is served in the order of arrival, whatever the sizes, so a large request is not
/// starved by small ones; for the same reason nobody who does not wait gets anything while
/// somebody does. Every operation is O(1) under a lock, but for a wait that times out, which is
/// O(waiting).
///
/// ```
/// use cortica_arena::{BudgetError, ByteBudget};
///
/// let budget = ByteBudget::new(1_000);
/// let mut batch = budget.try_acquire(600)?;
/// assert_eq!(budget.try_acquire(500).err(), Some(BudgetError::Busy { needed: 500, free: 400 }));
/// batch.shrink_to(100);
/// assert!(budget.try_acquire(500).is_ok());
/// assert_eq!(budget.stats().used, 100); // The other permit is gone already.
/// # Ok::<(), BudgetError>(())
/// ```
#[derive(Clone)]
pub struct ByteBudget {
    inner: Arc<Inner>,
}

struct Inner {
    limit: usize,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Default)]
struct State {
    used: usize,
    peak: usize,
    /// The tickets of those who wait; the first is served next.
    waiting: VecDeque<u64>,
    next_ticket: u64,
    granted: u64,
    refused: u64,
    timed_out: u64,
}

/// Why there are no bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// More than there ever will be: make the request smaller, or the budget larger.
    #[error("{needed} bytes needed, the limit is {limit}")]
    TooLarge {
        /// Bytes in one permit.
        needed: usize,
        /// The whole budget.
        limit: usize,
    },
    /// Not now: wait, or come back when permits were given back. Bytes that are free may be
    /// promised to somebody who waits.
    #[error("{needed} bytes needed, {free} are free")]
    Busy {
        /// Bytes asked for.
        needed: usize,
        /// Bytes in no permit.
        free: usize,
    },
    /// Waited as long as allowed.
    #[error("{needed} bytes needed, {free} are free and the time is up")]
    TimedOut {
        /// Bytes asked for.
        needed: usize,
        /// Bytes in no permit.
        free: usize,
    },
}

/// Figures of a budget. `granted`, `refused` and `timed_out` count from the beginning, or from the
/// last [`reset_stats`](ByteBudget::reset_stats); `limit`, `used` and `waiting` say how it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetStats {
    /// Bytes there are.
    pub limit: usize,
    /// Bytes in permits.
    pub used: usize,
    /// The most bytes that were in permits at once since the last reset.
    pub peak: usize,
    /// Requests that wait.
    pub waiting: usize,
    /// Requests granted, growing included.
    pub granted: u64,
    /// Requests refused without waiting, growing included.
    pub refused: u64,
    /// Requests that waited in vain.
    pub timed_out: u64,
}

impl ByteBudget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> ByteBudget {
        ByteBudget {
            inner: Arc::new(Inner {
                limit,
                state: Mutex::new(State::default()),
                freed: Condvar::new(),
            }),
        }
    }

    /// Bytes there are.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.inner.limit
    }

    /// `bytes` at once, or not at all: [`TooLarge`](BudgetError::TooLarge) or
    /// [`Busy`](BudgetError::Busy).
    pub fn try_acquire(&self, bytes: usize) -> Result<Permit, BudgetError> {
        let mut state = self.enter(bytes)?;
        if state.waiting.is_empty() && self.inner.fits(&state, bytes) {
            Ok(self.grant(&mut state, bytes))
        } else {
            state.refused += 1;
            Err(BudgetError::Busy {
                needed: bytes,
                free: self.inner.limit - state.used,
            })
        }
    }

    /// `bytes`, as soon as they are free and all who came earlier have theirs. A thread that holds
    /// permits while it waits may wait for itself. [`TooLarge`](BudgetError::TooLarge) is its
    /// only error.
    pub fn acquire(&self, bytes: usize) -> Result<Permit, BudgetError> {
        self.acquire_until(bytes, None)
    }

    /// As [`acquire`](ByteBudget::acquire), but no longer than `timeout`:
    /// [`TimedOut`](BudgetError::TimedOut).
    pub fn acquire_timeout(&self, bytes: usize, timeout: Duration) -> Result<Permit, BudgetError> {
        // A time too far off to be told is as good as none.
        self.acquire_until(bytes, Instant::now().checked_add(timeout))
    }

    /// How it stands, and what went through it.
    #[must_use]
    pub fn stats(&self) -> BudgetStats {
        let state = lock(&self.inner.state);
        BudgetStats {
            limit: self.inner.limit,
            used: state.used,
            peak: state.peak,
            waiting: state.waiting.len(),
            granted: state.granted,
            refused: state.refused,
            timed_out: state.timed_out,
        }
    }

    /// Sets the counts to zero, and the peak to what is used now.
    pub fn reset_stats(&self) {
        let mut state = lock(&self.inner.state);
        state.peak = state.used;
        (state.granted, state.refused, state.timed_out) = (0, 0, 0);
    }

    fn acquire_until(
        &self,
        bytes: usize,
        deadline: Option<Instant>,
    ) -> Result<Permit, BudgetError> {
        let inner = &self.inner;
        let mut state = self.enter(bytes)?;
        if state.waiting.is_empty() && inner.fits(&state, bytes) {
            return Ok(self.grant(&mut state, bytes));
        }
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push_back(ticket);
        loop {
            if state.waiting.front() == Some(&ticket) && inner.fits(&state, bytes) {
                state.waiting.pop_front();
                inner.wake_next(&state);
                return Ok(self.grant(&mut state, bytes));
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                state.waiting.retain(|&waiting| waiting != ticket);
                state.timed_out += 1;
                inner.wake_next(&state);
                return Err(BudgetError::TimedOut {
                    needed: bytes,
                    free: inner.limit - state.used,
                });
            }
            state = wait(&inner.freed, state, deadline);
        }
    }

    fn enter(&self, bytes: usize) -> Result<crate::sync::MutexGuard<'_, State>, BudgetError> {
        let mut state = lock(&self.inner.state);
        if bytes > self.inner.limit {
            state.refused += 1;
            return Err(BudgetError::TooLarge {
                needed: bytes,
                limit: self.inner.limit,
            });
        }
        Ok(state)
    }

    fn grant(&self, state: &mut State, bytes: usize) -> Permit {
        state.take(bytes);
        Permit {
            budget: self.clone(),
            bytes,
        }
    }
}

impl Inner {
    fn fits(&self, state: &State, bytes: usize) -> bool {
        bytes <= self.limit - state.used
    }

    /// All are woken, since only the first can go on and nobody knows which thread that is.
    fn wake_next(&self, state: &State) {
        if !state.waiting.is_empty() {
            self.freed.notify_all();
        }
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            let mut state = lock(&self.state);
            state.used -= bytes;
            self.wake_next(&state);
        }
    }
}

impl State {
    fn take(&mut self, bytes: usize) {
        self.used += bytes;
        self.peak = self.peak.max(self.used);
        self.granted += 1;
    }
}

impl fmt::Debug for ByteBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ByteBudget").field(&self.stats()).finish()
    }
}

/// The right to so many bytes; dropping it gives them back.
#[must_use = "the bytes are given back when it is dropped"]
pub struct Permit {
    budget: ByteBudget,
    bytes: usize,
}

impl Permit {
    /// How many bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// `more` bytes for the same permit, at once or not at all. It never waits, because those who
    /// would wait may hold what others wait for. Refused with the permit as it was:
    /// [`TooLarge`](BudgetError::TooLarge) if the permit would be, [`Busy`](BudgetError::Busy)
    /// otherwise.
    pub fn try_grow(&mut self, more: usize) -> Result<(), BudgetError> {
        let needed = self.bytes.saturating_add(more);
        let inner = &self.budget.inner;
        let mut state = self.budget.enter(needed)?;
        if state.waiting.is_empty() && inner.fits(&state, more) {
            state.take(more);
            self.bytes = needed;
            Ok(())
        } else {
            state.refused += 1;
            Err(BudgetError::Busy {
                needed: more,
                free: inner.limit - state.used,
            })
        }
    }

    /// Gives back what it holds beyond `bytes`; nothing, if it holds no more than that.
    pub fn shrink_to(&mut self, bytes: usize) {
        let beyond = self.bytes.saturating_sub(bytes);
        self.bytes -= beyond;
        self.budget.inner.give_back(beyond);
    }

    /// A permit of its own for `bytes` of these, or for all of them if they are fewer. Nothing is
    /// given back in between.
    pub fn split(&mut self, bytes: usize) -> Permit {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Permit {
            budget: self.budget.clone(),
            bytes,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.inner.give_back(self.bytes);
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.bytes).finish()
    }
}
