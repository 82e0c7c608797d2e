//! The door through which others allocate: whoever stores concepts needs no networks to name.

use crate::column::ConceptId;
use crate::cortex::{Cortex, LearnError, OccupyError};
use crate::grid::{ColumnId, GridError};
use crate::request::{ConceptRequest, Logged, Reserved};
use crate::window::Windows;
use std::fmt;

/// Why a concept was not allocated, or a decision not carried out. Nothing has changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// There are no networks for features of this dimension.
    #[error(
        "no weights for features of {dimension} values; train some: `cortica-train --data DIR --out FILE`, DIR \
         holding embeddings of that dimension"
    )]
    NoWeights {
        /// The features' dimension.
        dimension: usize,
    },
    /// There is no such column.
    #[error(transparent)]
    Grid(#[from] GridError),
    /// The decision cannot be learned from.
    #[error(transparent)]
    Learn(#[from] LearnError),
    /// The column cannot hold the concept.
    #[error(transparent)]
    Occupy(#[from] OccupyError),
    /// The request is none.
    #[error("{field} is {got}; it must be {expected}")]
    Request {
        /// Which part of it.
        field: &'static str,
        /// What was given.
        got: String,
        /// What it may be.
        expected: String,
    },
    /// The concept of a decision that is replayed is there already, by its number, id or features.
    #[error("{0} is there already; a log is replayed into an empty cortex, once")]
    Present(ConceptId),
    /// It was not done before its deadline.
    #[error("the deadline has passed; nothing was allocated")]
    Deadline,
    /// It was cancelled before it was done.
    #[error("cancelled; nothing was allocated")]
    Cancelled,
    /// The allocator stopped before it was done.
    #[error("the allocator was shut down before this was done; nothing was allocated")]
    Stopped,
    /// A panic ended it.
    #[error("allocating panicked: {0}; nothing was allocated")]
    Panicked(String),
    /// The networks gave what is no code, or could not run.
    #[error("the networks failed: {0}")]
    Networks(String),
    /// There are no numbers left for concepts.
    #[error("2^32 - 1 concepts are there; release some first")]
    Full,
}

/// Allocates columns to concepts.
///
/// A store opens a round, reserves, logs the decisions with what it stores, and commits the round when the log has
/// them; where the log fails, it drops the round, and nothing has happened. Reading its log, it replays it.
pub trait Allocate: Send + Sync + fmt::Debug {
    /// Its columns.
    fn cortex(&self) -> &Cortex;

    /// Opens a round. Waits until no other is open: rounds are in a row, in the order of their logs. A thread that
    /// opens a second one before it ends the first waits forever.
    fn begin(&self) -> Box<dyn Round + '_>;

    /// Lets go of a concept, outside of any round; whether the column held it.
    fn release(&self, column: ColumnId, concept: ConceptId) -> Result<bool, AllocateError> {
        let mut round = self.begin();
        let released = round.release(column, concept)?;
        round.commit();
        Ok(released)
    }

    /// Makes again what was logged: a log replayed in its order leaves the same columns, prototypes and windows, bit
    /// for bit. So does one of which all was replayed that was [learned](Logged::Learned), in its order, and then all
    /// that is [held](Logged::Held) at its end.
    fn replay(&self, logged: &Logged<'_>) -> Result<(), AllocateError>;

    /// A concept has other features now, by which it and what means the same are known again, also after it was
    /// [held](Logged::Held) with the code that led to its column; that and the column it keeps. Whether there is such
    /// a concept.
    fn revise(&self, concept: ConceptId, features: &[f32]) -> Result<bool, AllocateError> {
        let mut round = self.begin();
        let is_there = round.revise(concept, features)?;
        round.commit();
        Ok(is_there)
    }

    /// The windows of all streams as they are now.
    fn windows(&self) -> Windows;

    /// Puts windows there, in place of those that are there.
    fn set_windows(&self, windows: Windows);
}

/// Decisions that are kept or undone together. Each builds on those before it. Dropped, it leaves nothing behind.
#[must_use = "the decisions are undone at once"]
pub trait Round {
    /// Decides for all, in their order. One that fails fails alone.
    fn reserve_many(
        &mut self,
        requests: &[ConceptRequest<'_>],
    ) -> Vec<Result<Reserved, AllocateError>>;

    /// Decides for one.
    fn reserve(&mut self, request: &ConceptRequest<'_>) -> Result<Reserved, AllocateError> {
        let answer = self.reserve_many(std::slice::from_ref(request)).pop();
        answer.unwrap_or(Err(AllocateError::Stopped))
    }

    /// Lets go of a concept; whether the column held it. What was reserved in this round may be let go of in it: its
    /// column is free again for those that come after, and what was learned from it stays.
    fn release(&mut self, column: ColumnId, concept: ConceptId) -> Result<bool, AllocateError>;

    /// A concept, of this round or from before, has other features from here on, or none: see [`Allocate::revise`].
    fn revise(&mut self, concept: ConceptId, features: &[f32]) -> Result<bool, AllocateError>;

    /// Keeps what was decided, and shows it to others.
    fn commit(self: Box<Self>);
}
