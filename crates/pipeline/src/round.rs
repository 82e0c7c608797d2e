//! Decisions that are kept or undone together.

use crate::concepts::{Concept, ConceptTable};
use crate::engine::{AllocationEngine, Same, encoded};
use crate::place::{Placed, Seen};
use crate::sync::{lock, read, write};
use crate::worker::Lent;
use cortica_cortex::{
    AllocateError, Allocation, Code, ColumnId, Committed, ConceptId, ConceptRequest, Decision,
    Learned, Observed, Released, Replaced, Reservation, Reserved, Round, Ticket, Timings,
};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{MutexGuard, RwLockWriteGuard};

/// A round of an engine: alone at work while it is open.
pub(crate) struct EngineRound<'a> {
    engine: &'a AllocationEngine,
    steps: Vec<Step<'a>>,
    lent: Lent<'a>,
    _alone: RwLockWriteGuard<'a, ()>,
    /// Last: see [`AllocationEngine::observing`].
    _observing: Option<MutexGuard<'a, ()>>,
}

/// What was done, and how it is kept or undone.
enum Step<'a> {
    Observed(Replaced),
    Reserved {
        ticket: Ticket<'a>,
        reservation: Reservation<'a>,
        concept: ConceptId,
        column: ColumnId,
        before: Vec<Learned>,
    },
    /// What was reserved was kept before the end of the round, because it was let go of in it.
    Kept {
        concept: ConceptId,
        committed: Option<Committed>,
        before: Vec<Learned>,
    },
    Released {
        released: Released,
        concept: ConceptId,
        known: Concept,
        code: Option<[i8; cortica_cortex::CODE_DIMENSION]>,
    },
    /// It has other features now than those that were known, and another code that is looked for.
    Revised {
        concept: ConceptId,
        known: Concept,
        code: [i8; cortica_cortex::CODE_DIMENSION],
    },
}

impl<'a> EngineRound<'a> {
    pub(crate) fn new(engine: &'a AllocationEngine) -> EngineRound<'a> {
        let observing = lock(&engine.observing);
        EngineRound::opened(engine, Some(observing))
    }

    /// One for requests whose codes are in their windows already: others may add to them meanwhile.
    pub(crate) fn of_seen(engine: &'a AllocationEngine) -> EngineRound<'a> {
        EngineRound::opened(engine, None)
    }

    fn opened(
        engine: &'a AllocationEngine,
        observing: Option<MutexGuard<'a, ()>>,
    ) -> EngineRound<'a> {
        EngineRound {
            engine,
            steps: Vec::new(),
            lent: engine.borrow(),
            _alone: write(&engine.gate),
            _observing: observing,
        }
    }

    /// Decides for one, and counts it.
    pub(crate) fn decide(
        &mut self,
        request: &ConceptRequest<'_>,
    ) -> Result<Reserved, AllocateError> {
        let counting = self.engine.counters.begin();
        let steps = self.steps.len();
        let decided = self.try_decide(request);
        if decided.is_err() {
            self.undo(steps); // Also its code in the window of its stream.
        }
        counting.answered(decided.as_ref().map(|reserved| &reserved.allocation));
        decided
    }

    fn try_decide(&mut self, request: &ConceptRequest<'_>) -> Result<Reserved, AllocateError> {
        let engine = self.engine;
        engine.check(request)?;
        let worker = self.lent.get()?;
        let start = engine.micros();
        let code = encoded(worker, request.features)?;
        let seen = if let Some(stream) = request.stream {
            let (before, replaced) = engine.observe(stream, &code);
            self.steps.push(Step::Observed(replaced));
            engine.perceive(worker, &code, before.codes())?
        } else {
            Seen::alone(&code)
        };
        let timings = Timings {
            encode_us: engine.micros().saturating_sub(start),
            ..Timings::default()
        };
        self.find(request, &seen, timings)
    }

    /// Looks for duplicates, then for a column; for one whose code is in its window.
    pub(crate) fn find(
        &mut self,
        request: &ConceptRequest<'_>,
        seen: &Seen,
        mut timings: Timings,
    ) -> Result<Reserved, AllocateError> {
        let engine = self.engine;
        let start = engine.micros();
        let admitted = self.admit(request, &seen.code);
        timings.dedup_us = engine.micros().saturating_sub(start);
        let ticket = match admitted? {
            Ok(ticket) => ticket,
            Err(allocation) => return Ok(without(request, &seen.code, allocation)),
        };
        let worker = self.lent.get()?;
        let placed = engine.place(worker, request, seen, &mut timings)?;
        let Some(placed) = placed else {
            let none = Allocation::NoSuitableColumn;
            return Ok(without(request, &seen.code, none));
        };
        self.apply(request, seen, ticket, placed, timings)
    }

    /// Compares with what is there: a ticket, or what it duplicates.
    fn admit(
        &mut self,
        request: &ConceptRequest<'_>,
        code: &Code,
    ) -> Result<Result<Ticket<'a>, Allocation>, AllocateError> {
        let engine = self.engine;
        let Same {
            of,
            similarity,
            column,
        } = match engine.admit(request, code)? {
            Ok(ticket) => return Ok(Ok(ticket)),
            Err(same) => same,
        };
        let reserved = || {
            self.steps.iter().rev().find_map(|step| match step {
                Step::Reserved {
                    concept, column, ..
                } if *concept == of => Some(*column),
                _ => None,
            })
        };
        let column = column.or_else(reserved).ok_or(AllocateError::Present(of))?;
        Ok(Err(Allocation::Duplicate {
            column,
            similarity,
            of,
        }))
    }

    fn apply(
        &mut self,
        request: &ConceptRequest<'_>,
        seen: &Seen,
        ticket: Ticket<'a>,
        placed: Placed<'a>,
        timings: Timings,
    ) -> Result<Reserved, AllocateError> {
        let engine = self.engine;
        let Placed {
            mut reservation,
            column,
            ..
        } = placed;
        let shown = reservation.show(&seen.code);
        shown.map_err(|refused| AllocateError::Networks(refused.to_string()))?;
        let rate = engine.options.rate;
        let radius = engine.learning_radius(seen);
        let worker = self.lent.get()?;
        // As many as before: one allocation.
        let mut before = Vec::with_capacity(worker.moved);
        engine
            .cortex
            .learn_kept(column, &seen.code, rate, radius, &mut before)?;
        worker.moved = worker.moved.max(before.len());
        let concept = ticket.concept();
        self.steps.push(Step::Reserved {
            ticket,
            reservation,
            concept,
            column,
            before,
        });
        Ok(Reserved {
            allocation: Allocation::Allocated {
                column,
                activation: placed.activation,
                score: placed.score,
                candidates: placed.candidates,
                inhibited: placed.inhibited,
                timings,
            },
            decision: Some(Decision {
                concept,
                column,
                rate,
                radius,
                code: seen.code,
                stream: request.stream,
            }),
            observed: None,
        })
    }

    pub(crate) fn let_go(
        &mut self,
        column: ColumnId,
        concept: ConceptId,
    ) -> Result<bool, AllocateError> {
        self.keep_early(concept);
        let engine = self.engine;
        let Some(released) = engine.cortex.release_kept(column, concept)? else {
            return Ok(false);
        };
        let mut concepts = write(&engine.concepts);
        let code = engine.dedup.code(concept);
        engine.dedup.remove(concept);
        if let Some(known) = concepts.remove(concept) {
            self.steps.push(Step::Released {
                released,
                concept,
                known,
                code,
            });
        }
        Ok(true)
    }

    /// Near ones are looked for among codes: by the old one none of the new features would be found. What the column
    /// has learned and shows stays with the code that led there.
    fn give_features(
        &mut self,
        concept: ConceptId,
        features: &[f32],
    ) -> Result<bool, AllocateError> {
        self.keep_early(concept);
        let engine = self.engine;
        let is_there = read(&engine.concepts).get(concept).is_some();
        let Some(old) = engine.dedup.code(concept).filter(|_| is_there) else {
            return Ok(false);
        };
        let code = if features.is_empty() {
            old
        } else {
            engine.check(&ConceptRequest::new("-", features))?;
            // Of some that may be stored the networks make no code. Then it is as when a store is opened.
            encoded(self.lent.get()?, features).map_or(old, |code| engine.i8_code(&code))
        };
        let mut concepts = write(&engine.concepts);
        let Some(known) = concepts.remove(concept) else {
            return Ok(false); // Never: nobody else is at work.
        };
        engine.dedup.remove(concept);
        let restored = engine.dedup.restore(concept, &known.id, features, &code);
        if restored.is_err() {
            // Its number is free, and it was there: this cannot fail.
            let (id, features) = (&known.id, &known.features);
            let _ = engine.dedup.restore(concept, id, features, &old);
        }
        let revised = Concept {
            features: match &restored {
                Ok(()) => features.into(),
                Err(_) => known.features.clone(),
            },
            ..known.clone()
        };
        concepts.insert(concept, revised);
        restored.map_err(|refused| AllocateError::Networks(refused.to_string()))?;
        self.steps.push(Step::Revised {
            concept,
            known,
            code: old,
        });
        Ok(true)
    }

    /// Keeps what was reserved for a concept in this round, so that it can be let go of in it too.
    fn keep_early(&mut self, which: ConceptId) {
        let of =
            |step: &Step<'_>| matches!(step, Step::Reserved { concept, .. } if *concept == which);
        // A number that was let go of may have been given again: the last one has it.
        let Some(at) = self.steps.iter().rposition(of) else {
            return;
        };
        // Its place is taken by the last step until its own is there.
        let step = self.steps.swap_remove(at);
        let Step::Reserved {
            ticket,
            reservation,
            concept,
            column,
            before,
        } = step
        else {
            return; // Never: it was looked for.
        };
        let mut concepts = write(&self.engine.concepts);
        let committed = keep_one(&mut concepts, ticket, reservation, column);
        drop(concepts);
        self.steps.push(Step::Kept {
            concept,
            committed,
            before,
        });
        let last = self.steps.len() - 1;
        self.steps.swap(at, last);
    }

    /// Keeps all of it.
    pub(crate) fn keep(mut self) {
        let engine = self.engine;
        let mut concepts = write(&engine.concepts);
        for step in self.steps.drain(..) {
            if let Step::Reserved {
                ticket,
                reservation,
                column,
                ..
            } = step
            {
                keep_one(&mut concepts, ticket, reservation, column);
            }
        }
    }

    /// Undoes all steps but the first so many, the last one first.
    fn undo(&mut self, keep: usize) {
        let engine = self.engine;
        while self.steps.len() > keep {
            match self.steps.pop() {
                Some(Step::Observed(replaced)) => lock(&engine.windows).undo(replaced),
                Some(Step::Reserved {
                    ticket,
                    reservation,
                    before,
                    ..
                }) => {
                    engine.cortex.unlearn(&before);
                    drop(reservation);
                    drop(ticket);
                    engine.counters.undone.fetch_add(1, Relaxed);
                }
                Some(Step::Kept {
                    concept,
                    committed,
                    before,
                }) => {
                    engine.cortex.unlearn(&before);
                    // It holds the concept again: what let go of it was undone before.
                    if let Some(committed) = committed {
                        engine.cortex.uncommit(&committed);
                    }
                    engine.dedup.remove(concept);
                    write(&engine.concepts).remove(concept);
                    engine.counters.undone.fetch_add(1, Relaxed);
                }
                Some(Step::Released {
                    released,
                    concept,
                    known,
                    code,
                }) => {
                    if let Some(code) = code {
                        let (id, features) = (&known.id, &known.features);
                        // Its number is free: what took it since was undone before.
                        let _ = engine.dedup.restore(concept, id, features, &code);
                    }
                    write(&engine.concepts).insert(concept, known);
                    engine.cortex.unrelease(&released);
                }
                Some(Step::Revised {
                    concept,
                    known,
                    code,
                }) => {
                    engine.dedup.remove(concept);
                    let (id, features) = (&known.id, &known.features);
                    // Its number is free.
                    let _ = engine.dedup.restore(concept, id, features, &code);
                    write(&engine.concepts).insert(concept, known);
                }
                None => {}
            }
        }
    }
}

/// Gives a column the concept that it is reserved for.
fn keep_one(
    concepts: &mut ConceptTable,
    ticket: Ticket<'_>,
    reservation: Reservation<'_>,
    column: ColumnId,
) -> Option<Committed> {
    // It was shown, and nobody else moves a reserved column: this cannot fail.
    let committed = reservation.commit_shown(ticket.concept()).ok();
    let (concept, id, features) = ticket.commit_kept();
    let known = Concept {
        id,
        features,
        column,
    };
    concepts.insert(concept, known);
    committed
}

/// An answer without a column.
fn without(request: &ConceptRequest<'_>, code: &Code, allocation: Allocation) -> Reserved {
    Reserved {
        allocation,
        decision: None,
        observed: request.stream.map(|stream| Observed {
            stream,
            code: *code,
        }),
    }
}

impl Drop for EngineRound<'_> {
    fn drop(&mut self) {
        self.undo(0);
    }
}

impl Round for EngineRound<'_> {
    fn reserve_many(
        &mut self,
        requests: &[ConceptRequest<'_>],
    ) -> Vec<Result<Reserved, AllocateError>> {
        requests
            .iter()
            .map(|request| self.decide(request))
            .collect()
    }

    fn release(&mut self, column: ColumnId, concept: ConceptId) -> Result<bool, AllocateError> {
        self.let_go(column, concept)
    }

    fn revise(&mut self, concept: ConceptId, features: &[f32]) -> Result<bool, AllocateError> {
        self.give_features(concept, features)
    }

    fn commit(self: Box<Self>) {
        self.keep();
    }
}
