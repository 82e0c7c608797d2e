//! What became of the requests of one run of a pipeline.

use crate::figures::Totals;
use crate::sync::lock;
use crate::ticket::Answer;
use cortica_cortex::AllocateError;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Never started anew, and of one run alone: what a shutdown tells adds up, whoever resets the totals meanwhile and
/// whatever workers answer that an earlier run has left behind.
#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) totals: Arc<Totals>,
    counts: Mutex<Tallied>,
    /// Submitters whose request may be in the queue, or answered, and is not counted as taken.
    entering: AtomicUsize,
}

/// Counts a submitter as entering until it is dropped.
pub(crate) struct Entering<'a>(&'a AtomicUsize);

impl Drop for Entering<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tallied {
    taken: u64,
    /// Answered by work, and unworked because it ended.
    pub(crate) finished: u64,
    pub(crate) stopped: u64,
}

impl Tallied {
    /// Requests without an answer, once nobody is [entering](Tally::enter).
    pub(crate) fn open(self) -> u64 {
        // Saturating: whoever enters may be held up for longer than is waited for.
        self.taken.saturating_sub(self.finished + self.stopped)
    }
}

impl Tally {
    pub(crate) fn new(totals: Arc<Totals>) -> Tally {
        Tally {
            totals,
            counts: Mutex::default(),
            entering: AtomicUsize::new(0),
        }
    }

    pub(crate) fn read(&self) -> Tallied {
        *lock(&self.counts)
    }

    /// Before a request is pushed; dropped after it was counted, or refused.
    pub(crate) fn enter(&self) -> Entering<'_> {
        // SeqCst, as below: either whoever has closed the queue sees this, or this thread sees that it was closed.
        self.entering.fetch_add(1, SeqCst);
        Entering(&self.entering)
    }

    /// Waits until all that is in a queue which was closed is counted as taken, at most for so long: nothing but a
    /// few instructions lies between the two.
    pub(crate) fn settle(&self, at_most: Duration) {
        let start = Instant::now();
        while self.entering.load(SeqCst) > 0 && start.elapsed() < at_most {
            std::thread::yield_now();
        }
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
