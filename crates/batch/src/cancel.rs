//! Ending a batch early.

use crate::answer::{ErrorKind, ItemError};
use crate::flow::Flow;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

/// Ends the batches it was given to. Clones end the same ones.
#[derive(Clone, Default)]
pub struct Cancel(Arc<Inner>);

#[derive(Default)]
struct Inner {
    cancelled: AtomicBool,
    /// Streams to be woken.
    flows: Mutex<Vec<Weak<Flow>>>,
}

impl Cancel {
    /// One that has not ended anything.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// What was not begun yet is answered [`Cancelled`](crate::ItemError::Cancelled); what was begun
    /// is brought to its end.
    pub fn cancel(&self) {
        // Relaxed: it says nothing about other memory, and those who wait are woken under a lock.
        self.0.cancelled.store(true, Relaxed);
        let flows = std::mem::take(&mut *self.flows());
        for flow in flows.iter().filter_map(Weak::upgrade) {
            flow.wake_all();
        }
    }

    /// Whether that has happened.
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Relaxed)
    }

    pub(crate) fn wakes(&self, flow: &Arc<Flow>) {
        let mut flows = self.flows();
        flows.retain(|flow| flow.strong_count() > 0);
        flows.push(Arc::downgrade(flow));
    }

    fn flows(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Flow>>> {
        self.0.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Cancel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Cancel").field(&self.is_cancelled()).finish()
    }
}

/// Why nothing more is begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    Dropped,
    Cancelled,
    TimedOut,
    Closed,
}

impl Stop {
    pub(crate) fn error(self) -> ItemError {
        match self {
            Self::Dropped => ItemError::Dropped,
            Self::Cancelled => ItemError::Cancelled,
            Self::TimedOut => ItemError::TimedOut,
            Self::Closed => ItemError::Closed,
        }
    }

    pub(crate) fn kind(self) -> ErrorKind {
        self.error().kind()
    }
}

/// Asked before each run of writes, and each block of reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gate {
    pub(crate) cancels: Vec<Cancel>,
    pub(crate) deadline: Option<Instant>,
}

impl Gate {
    /// Whether there is anything that could stop it.
    pub(crate) fn may_stop(&self) -> bool {
        self.deadline.is_some() || !self.cancels.is_empty()
    }

    pub(crate) fn stopped(&self) -> Option<Stop> {
        if self.cancels.iter().any(Cancel::is_cancelled) {
            return Some(Stop::Cancelled);
        }
        let late = |deadline: &Instant| Instant::now() >= *deadline;
        self.deadline
            .as_ref()
            .filter(|at| late(at))
            .map(|_| Stop::TimedOut)
    }
}
