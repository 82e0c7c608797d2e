//! Decisions side by side.

use crate::concepts::Concept;
use crate::engine::{AllocationEngine, encoded};
use crate::place::{Placed, Seen};
use crate::settled::Open;
use crate::sync::{lock, read, write};
use crate::worker::Worker;
use cortica_cortex::{AllocateError, Allocation, Code, ConceptRequest, Ticket, Timings};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// How long one waits for what others have on their way, before deadline and cancellation are looked at again.
const PATIENCE: Duration = Duration::from_millis(1);

/// Whether an answer is still waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) cancelled: &'a AtomicBool,
    pub(crate) stopped: &'a AtomicBool,
}

/// Never set.
static NEVER: AtomicBool = AtomicBool::new(false);

impl Wanted<'_> {
    /// By a caller who waits for it.
    pub(crate) const ALWAYS: Wanted<'static> = Wanted {
        cancelled: &NEVER,
        stopped: &NEVER,
    };

    pub(crate) fn check(self) -> Result<(), AllocateError> {
        // Relaxed: the flags carry nothing with them.
        if self.cancelled.load(Relaxed) {
            return Err(AllocateError::Cancelled);
        }
        self.check_stopped()
    }

    pub(crate) fn check_stopped(self) -> Result<(), AllocateError> {
        if self.stopped.load(Relaxed) {
            return Err(AllocateError::Stopped);
        }
        Ok(())
    }
}

/// A ticket that, however it goes, lets those who wait for it look again.
struct OnItsWay<'a> {
    /// First: it is gone when the others look.
    ticket: Option<Ticket<'a>>,
    _open: Open<'a>,
}

impl AllocationEngine {
    /// Gives a concept a column; given up where nobody wants it any more. Of a request that was checked.
    pub(crate) fn allocate_checked(
        &self,
        request: &ConceptRequest<'_>,
        wanted: Wanted<'_>,
    ) -> Result<Allocation, AllocateError> {
        let counting = self.counters.begin();
        let answer = self.decide(request, wanted);
        counting.answered(answer.as_ref());
        answer
    }

    pub(crate) fn decide(
        &self,
        request: &ConceptRequest<'_>,
        wanted: Wanted<'_>,
    ) -> Result<Allocation, AllocateError> {
        let mut lent = self.borrow();
        let worker = lent.get()?;
        self.check_before_window(request, wanted)?;
        let mut timings = Timings::default();
        let start = self.micros();
        let code = encoded(worker, request.features)?;
        let before = request.stream.map(|stream| {
            let _observing = lock(&self.observing);
            self.observe(stream, &code).0
        });
        self.check_wanted(request, wanted)?;
        let seen = match before {
            Some(before) => self.perceive(worker, &code, before.codes())?,
            None => Seen::alone(&code),
        };
        let _together = read(&self.gate);
        let encoded_at = self.micros();
        timings.encode_us = encoded_at.saturating_sub(start);
        let admitted = self.admit_or_wait(request, &code, wanted);
        timings.dedup_us = self.micros().saturating_sub(encoded_at);
        let mut on_its_way = match admitted? {
            Ok(on_its_way) => on_its_way,
            Err(duplicate) => return Ok(duplicate),
        };
        let placed = self.place_or_wait(worker, request, &seen, wanted, &mut timings)?;
        let Some(placed) = placed else {
            return Ok(Allocation::NoSuitableColumn);
        };
        self.check_wanted(request, wanted)?;
        let column = placed.column;
        if let Some(ticket) = on_its_way.ticket.take() {
            let mut concepts = write(&self.concepts);
            let committed = placed.reservation.commit(ticket.concept(), &seen.code);
            committed.map_err(|refused| AllocateError::Networks(refused.to_string()))?;
            let (concept, id, features) = ticket.commit_kept();
            let known = Concept {
                id,
                features,
                column,
            };
            concepts.insert(concept, known);
        }
        drop(on_its_way);
        let radius = self.learning_radius(&seen);
        self.cortex
            .learn(column, &seen.code, self.options.rate, radius)?;
        Ok(Allocation::Allocated {
            column,
            activation: placed.activation,
            score: placed.score,
            candidates: placed.candidates,
            inhibited: placed.inhibited,
            timings,
        })
    }

    /// A ticket, or the duplicate. Where that is on its way itself, its end is awaited: it may be given up.
    fn admit_or_wait(
        &self,
        request: &ConceptRequest<'_>,
        code: &Code,
        wanted: Wanted<'_>,
    ) -> Result<Result<OnItsWay<'_>, Allocation>, AllocateError> {
        loop {
            let settled = self.settled.count();
            let same = match self.admit(request, code)? {
                Ok(ticket) => {
                    return Ok(Ok(OnItsWay {
                        ticket: Some(ticket),
                        _open: self.settled.open(),
                    }));
                }
                Err(same) => same,
            };
            if let Some(column) = same.column {
                return Ok(Err(Allocation::Duplicate {
                    column,
                    similarity: same.similarity,
                    of: same.of,
                }));
            }
            self.settled.wait(settled, PATIENCE);
            self.check_wanted(request, wanted)?;
        }
    }

    /// A column; none where none is free. Those that others may yet give up are waited for.
    fn place_or_wait(
        &self,
        worker: &mut Worker,
        request: &ConceptRequest<'_>,
        seen: &Seen,
        wanted: Wanted<'_>,
        timings: &mut Timings,
    ) -> Result<Option<Placed<'_>>, AllocateError> {
        loop {
            let claimed = self.claimed.count();
            let placed = self.place(worker, request, seen, timings)?;
            if placed.is_some() || self.is_full() || !self.claimed.may_move(claimed) {
                return Ok(placed);
            }
            self.claimed.wait(claimed, PATIENCE);
            self.check_wanted(request, wanted)?;
        }
    }

    /// Gives a request up before its code is made, where nobody wants the answer and no window the code; that of a
    /// stream only where all ends.
    pub(crate) fn check_before_window(
        &self,
        request: &ConceptRequest<'_>,
        wanted: Wanted<'_>,
    ) -> Result<(), AllocateError> {
        if request.stream.is_some() {
            wanted.check_stopped()
        } else {
            self.check_wanted(request, wanted)
        }
    }

    pub(crate) fn check_wanted(
        &self,
        request: &ConceptRequest<'_>,
        wanted: Wanted<'_>,
    ) -> Result<(), AllocateError> {
        wanted.check()?;
        self.check_deadline(request)
    }

    /// An exception teaches its column alone.
    pub(crate) fn learning_radius(&self, seen: &Seen) -> f32 {
        if seen.exception {
            0.0
        } else {
            self.options.learning_radius
        }
    }
}
