//! A request on its way through a pipeline.

use crate::owned::Request;
use crate::relaxed::Wanted;
use crate::tally::Tally;
use crate::ticket::{Answer, Slot};
use cortica_cortex::AllocateError;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

/// Answered exactly once: by who works on it, or when it is dropped.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) request: Request,
    slot: Arc<Slot>,
    tally: Arc<Tally>,
    submitted: Instant,
    started: Option<Instant>,
    /// Time of workers that went into it.
    busy: Duration,
    answered: bool,
}

impl Job {
    pub(crate) fn new(request: Request, slot: Arc<Slot>, tally: Arc<Tally>) -> Job {
        Job {
            request,
            slot,
            tally,
            submitted: Instant::now(),
            started: None,
            busy: Duration::ZERO,
            answered: false,
        }
    }

    /// The number by which its answer is known.
    pub(crate) fn number(&self, seq: u64) {
        self.slot.number(seq);
    }

    /// The request, of a job that was refused: nobody waits for its answer.
    pub(crate) fn refused(mut self) -> Request {
        self.answered = true;
        std::mem::replace(&mut self.request, Request::new("", Vec::new()))
    }

    pub(crate) fn wanted<'a>(&'a self, stopped: &'a AtomicBool) -> Wanted<'a> {
        Wanted {
            cancelled: &self.slot.cancelled,
            stopped,
        }
    }

    /// Does a part of the work, and counts its time. A panic becomes an error.
    pub(crate) fn work<T>(
        &mut self,
        part: impl FnOnce(&Job) -> Result<T, AllocateError>,
    ) -> Result<T, AllocateError> {
        let start = Instant::now();
        if self.started.is_none() {
            self.started = Some(start);
            self.tally.begun(&self.slot);
        }
        // What a panic leaves behind is undone by guards while it passes.
        let done = catch_unwind(AssertUnwindSafe(|| part(self)));
        self.busy += start.elapsed();
        done.unwrap_or_else(|payload| {
            self.tally.totals.panicked();
            let message = message(payload);
            tracing::warn!(concept = %self.request.concept_id, %message, "allocating panicked");
            Err(AllocateError::Panicked(message))
        })
    }

    pub(crate) fn answer(mut self, answer: Answer) {
        self.settle(answer);
    }

    fn settle(&mut self, answer: Answer) {
        if self.answered {
            return;
        }
        self.answered = true;
        let queued = self.started.map(|started| started - self.submitted);
        let (total, busy) = (self.submitted.elapsed(), self.busy);
        self.tally
            .answered(&self.slot, &answer, queued, busy, total);
        self.slot.answer(answer);
    }
}

/// Whoever loses it answers it.
impl Drop for Job {
    fn drop(&mut self) {
        self.settle(Err(AllocateError::Stopped));
    }
}

/// What a panic said. What it carried may panic itself when it is dropped: then it is not.
pub(crate) fn message(payload: Box<dyn Any + Send>) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
    if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        std::mem::forget(again);
    }
    text.unwrap_or_else(|| "something that is no text".to_owned())
}
