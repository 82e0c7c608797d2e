//! What became of the requests of one run of a pipeline.

use crate::figures::Totals;
use crate::sync::lock;
use crate::ticket::Answer;
use cortica_cortex::AllocateError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Never started anew, and of one run alone: what a shutdown tells adds up, whoever resets the totals meanwhile and
/// whatever workers answer that an earlier run has left behind.
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
    /// Requests without an answer.
    pub(crate) fn open(self) -> u64 {
        // Saturating: one may be answered before it is counted as taken.
        self.taken.saturating_sub(self.finished + self.stopped)
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

    pub(crate) fn taken(&self, queued: usize) {
        lock(&self.counts).taken += 1;
        self.totals.submitted(queued);
    }

    pub(crate) fn answered(
        &self,
        answer: &Answer,
        queued: Option<Duration>,
        busy: Duration,
        total: Duration,
    ) {
        let mut counts = lock(&self.counts);
        match answer {
            Err(AllocateError::Stopped) => counts.stopped += 1,
            _ => counts.finished += 1,
        }
        drop(counts);
        self.totals.answered(answer, queued, busy, total);
    }
}
