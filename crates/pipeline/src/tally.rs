//! What became of the requests of one run of a pipeline.

use crate::figures::Totals;
use crate::sync::lock;
use crate::ticket::{Answer, Slot};
use cortica_cortex::AllocateError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Never started anew, and of one run alone: what a shutdown tells adds up, whoever resets the totals meanwhile and
/// whatever workers answer that an earlier run has left behind.
///
/// A request is taken in when it is in the queue, where it may be begun and answered before its submitter comes to count
/// it. Whoever is first counts it: no reading has more answers than requests, nor fewer requests than workers are at.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) totals: Arc<Totals>,
    counts: Mutex<Tallied>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tallied {
    taken: u64,
    /// Answered by work, and unworked because it ended.
    pub(crate) finished: u64,
    pub(crate) stopped: u64,
}

impl Tallied {
    /// Under the lock, with the totals: whoever finds it counted finds it in both.
    fn take(&mut self, slot: &Slot, totals: &Totals) {
        if slot.count() {
            self.taken += 1;
            totals.submitted();
        }
    }

    /// Requests without an answer.
    pub(crate) fn open(self) -> u64 {
        self.taken - (self.finished + self.stopped)
    }
}

impl Tally {
    pub(crate) fn new(totals: Arc<Totals>) -> Tally {
        Tally {
            totals,
            counts: Mutex::default(),
        }
    }

    pub(crate) fn read(&self) -> Tallied {
        *lock(&self.counts)
    }

    /// By the submitter, once it is in the queue, with how many wait there.
    pub(crate) fn taken(&self, slot: &Slot, queued: usize) {
        let mut counts = lock(&self.counts);
        counts.take(slot, &self.totals);
        self.totals.queued(queued);
    }

    /// By who begins to work on it.
    pub(crate) fn begun(&self, slot: &Slot) {
        if !slot.is_counted() {
            lock(&self.counts).take(slot, &self.totals);
        }
    }

    pub(crate) fn answered(
        &self,
        slot: &Slot,
        answer: &Answer,
        queued: Option<Duration>,
        busy: Duration,
        total: Duration,
    ) {
        let mut counts = lock(&self.counts);
        counts.take(slot, &self.totals);
        match answer {
            Err(AllocateError::Stopped) => counts.stopped += 1,
            _ => counts.finished += 1,
        }
        drop(counts);
        self.totals.answered(answer, queued, busy, total);
    }
}
