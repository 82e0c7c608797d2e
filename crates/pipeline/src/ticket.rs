//! Where the answer to a submitted request is waited for.

use crate::completions::Shelf;
use crate::sync::lock;
use cortica_cortex::{AllocateError, Allocation};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What became of a request.
pub type Answer = Result<Allocation, AllocateError>;

/// One request's place for its answer.
#[derive(Debug)]
pub(crate) struct Slot {
    seq: AtomicU64,
    pub(crate) cancelled: AtomicBool,
    /// Whether it is counted as taken in.
    counted: AtomicBool,
    state: Mutex<State>,
    ready: Condvar,
    /// Who takes answers as they come, instead of a ticket.
    shelf: Option<Arc<Shelf>>,
}

#[derive(Debug, Default)]
struct State {
    answer: Option<Answer>,
    /// Whether somebody sleeps: nobody is called for nothing.
    waiting: bool,
}

impl Slot {
    pub(crate) fn new(shelf: Option<Arc<Shelf>>) -> Slot {
        Slot {
            seq: AtomicU64::new(0),
            cancelled: AtomicBool::new(false),
            counted: AtomicBool::new(false),
            state: Mutex::default(),
            ready: Condvar::new(),
            shelf,
        }
    }

    /// Gives it its number, before anybody can answer.
    pub(crate) fn number(&self, seq: u64) {
        // Relaxed here and below: who answers has it from a queue, who asks has given it away or waited for the answer.
        self.seq.store(seq, Relaxed);
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq.load(Relaxed)
    }

    /// Marks it as counted; whether it was not before. By who holds the counts.
    pub(crate) fn count(&self) -> bool {
        // Relaxed, as below: the lock of the counts orders them.
        !self.counted.swap(true, Relaxed)
    }

    pub(crate) fn is_counted(&self) -> bool {
        self.counted.load(Relaxed)
    }

    /// The first answer counts; whether it was this one.
    pub(crate) fn answer(&self, answer: Answer) -> bool {
        if let Some(shelf) = &self.shelf {
            return shelf.put(self.seq(), answer);
        }
        let mut state = lock(&self.state);
        if state.answer.is_some() {
            return false;
        }
        state.answer = Some(answer);
        let waiting = state.waiting;
        drop(state);
        if waiting {
            self.ready.notify_all();
        }
        true
    }
}

/// A receipt for a submitted request, which is answered exactly once. Dropped, the request goes on.
#[derive(Debug)]
#[must_use = "the answer comes here"]
pub struct Ticket {
    slot: Arc<Slot>,
}

impl Ticket {
    pub(crate) fn new(slot: Arc<Slot>) -> Ticket {
        Ticket { slot }
    }

    /// The number of the request: rising in the order of submission, in which requests are also decided where
    /// the order of the pipeline is [that](crate::Order::Submission).
    #[must_use]
    pub fn seq(&self) -> u64 {
        self.slot.seq()
    }

    /// Waits for the answer.
    pub fn wait(self) -> Answer {
        let mut state = lock(&self.slot.state);
        loop {
            if let Some(answer) = state.answer.take() {
                return answer;
            }
            state.waiting = true;
            let ready = self.slot.ready.wait(state);
            state = ready.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits for as long at most; gives the ticket back where there was no answer until then.
    pub fn wait_timeout(self, at_most: Duration) -> Result<Answer, Ticket> {
        let until = Instant::now().checked_add(at_most);
        let mut state = lock(&self.slot.state);
        loop {
            if let Some(answer) = state.answer.take() {
                return Ok(answer);
            }
            let left = until.map_or(Duration::from_hours(1), |until| {
                until.saturating_duration_since(Instant::now())
            });
            if left.is_zero() {
                state.waiting = false;
                drop(state);
                return Err(self);
            }
            state.waiting = true;
            let ready = self.slot.ready.wait_timeout(state, left);
            state = ready.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The answer, if it is there; gives the ticket back where it is not.
    pub fn poll(self) -> Result<Answer, Ticket> {
        self.wait_timeout(Duration::ZERO)
    }

    /// Asks that the request be given up: it is answered [`AllocateError::Cancelled`], unless it was done before. The
    /// answer comes either way.
    pub fn cancel(&self) {
        // Relaxed: the flag carries nothing with it.
        self.slot.cancelled.store(true, Relaxed);
    }
}
