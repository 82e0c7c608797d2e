//! What was done to columns, and how it is taken back.

use crate::column::{ConceptId, Spike};
use crate::cortex::Cortex;
use crate::grid::{ColumnId, GridError};
use crate::guard::Claim;
use crate::prototype::CODE_DIMENSION;
use crate::state::State;

impl Cortex {
    /// Takes moves back, the last one first. Bit for bit, unless others moved the same columns since: those moves are
    /// lost.
    pub fn unlearn(&self, before: &[Learned]) {
        for learned in before.iter().rev() {
            if let Some(column) = self.columns.get(learned.column.index()) {
                column
                    .learned
                    .restore(&learned.prototype, learned.learnings);
            }
        }
    }

    /// As [`release`](Cortex::release), for who may have to take it back: see [`unrelease`](Cortex::unrelease).
    /// `None` where the column does not hold the concept.
    pub fn release_kept(
        &self,
        id: ColumnId,
        concept: ConceptId,
    ) -> Result<Option<Released>, GridError> {
        let exemplar = self.exemplar(id)?;
        Ok(self.release(id, concept)?.then_some(Released {
            column: id,
            concept,
            exemplar,
        }))
    }

    /// Takes a release back: the column holds its concept again, whether it rests or not. Whether it could be: not
    /// where another concept came to it or another thread has it.
    pub fn unrelease(&self, released: &Released) -> bool {
        let Some(column) = self.columns.get(released.column.index()) else {
            return false;
        };
        let mut seen = column.state.load();
        if column.held().is_some() {
            return false;
        }
        if seen.state() == State::Refractory {
            match self.moved(column, seen, State::Available, 0.0) {
                Ok(rested) => seen = rested,
                Err(_) => return false,
            }
        }
        let Ok(seen) = self.moved(column, seen, State::Activated, 0.0) else {
            return false;
        };
        self.counters.holds();
        column.learned.set_exemplar(&released.exemplar);
        self.shown.set(released.column.index());
        column.hold(released.concept);
        self.give_back(&Claim {
            column: released.column,
            seen,
        });
        true
    }

    /// Takes a commit back: the column holds nothing and is free at once, as if it had never fired for this concept.
    /// Whether it could be: not where the column does not hold the concept any more.
    pub fn uncommit(&self, committed: &Committed) -> bool {
        let Some(column) = self.columns.get(committed.column.index()) else {
            return false;
        };
        let seen = column.state.load();
        if column.held() != Some(committed.concept) {
            return false;
        }
        // Nobody claims a column that holds a concept.
        column.set_spike(committed.spike);
        if seen.state() == State::Refractory {
            // Refused only where `recover` was faster, and then it is so.
            let _ = self.moved(column, seen, State::Available, 0.0);
        }
        let released = self.release(committed.column, committed.concept);
        released.unwrap_or(false)
    }
}

/// What a column had learned, and how often it was moved: to be put back by [`Cortex::unlearn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The column.
    pub column: ColumnId,
    /// Its prototype, in f16.
    pub prototype: [u16; CODE_DIMENSION],
    /// How often it was moved.
    pub learnings: u64,
}

/// A concept that was let go of, to be put back by [`Cortex::unrelease`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    column: ColumnId,
    concept: ConceptId,
    exemplar: [i8; CODE_DIMENSION],
}

/// A concept that was committed, to be taken back by [`Cortex::uncommit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    pub(crate) column: ColumnId,
    pub(crate) concept: ConceptId,
    /// What was there of an earlier spike.
    pub(crate) spike: Spike,
}
