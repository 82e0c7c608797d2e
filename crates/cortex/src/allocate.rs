//! The door through which others allocate: whoever stores concepts needs no networks to name.

use crate::column::ConceptId;
use crate::cortex::{Cortex, LearnError, OccupyError};
use crate::grid::{ColumnId, GridError};
use crate::request::{Allocation, ConceptRequest, Decision};
use std::fmt;
use std::sync::Arc;

/// What came of a request that was reserved: an answer, and the decision to log where it has a column.
#[derive(Clone, Debug, PartialEq)]
pub struct Reserved {
    /// The answer.
    pub allocation: Allocation,
    /// What is to be logged before it is committed; none for a duplicate or where no column is free.
    pub decision: Option<Decision>,
}

/// Why a concept was not allocated, or a decision not carried out. Nothing has changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AllocateError {
    /// There are no networks for features of this dimension.
    #[error("no weights for features of {dimension} values; train some with `cortica-train`")]
    NoWeights {
        /// The features' dimension.
        dimension: usize,
    },
    /// The decision was not reserved here, or was committed or rolled back before.
    #[error("nothing is reserved for {0}")]
    NotReserved(ConceptId),
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
        expected: &'static str,
    },
}

/// Allocates columns to concepts.
///
/// A store reserves, logs the decisions with what it stores, and commits them when the log has them; where the log
/// fails, it rolls them back. Reading its log, it replays them.
pub trait Allocate: Send + Sync + fmt::Debug {
    /// Decides for all, in their order, and keeps the columns. One that fails fails alone.
    fn reserve_many(&self, requests: &[ConceptRequest<'_>])
    -> Vec<Result<Reserved, AllocateError>>;

    /// Makes a decision visible: the column holds the concept, and has learned from it.
    fn commit(&self, decision: &Decision) -> Result<(), AllocateError>;

    /// Gives up what was reserved.
    fn rollback(&self, decision: &Decision) -> Result<(), AllocateError>;

    /// Lets go of a concept; whether the column held it.
    fn release(&self, column: ColumnId, concept: ConceptId) -> Result<bool, AllocateError>;

    /// Makes a logged decision again, as it was made: decisions replayed in the order of their log leave the
    /// same bits.
    fn replay(&self, decision: &Decision) -> Result<(), AllocateError>;
}

/// Carries decisions out that were made before, by whoever has networks: what a store is read back with.
///
/// ```
/// use cortica_cortex::{
///     Allocate, ColumnId, ConceptId, Cortex, CortexOptions, Decision, Grid, Replayer,
/// };
/// use std::sync::Arc;
///
/// let cortex = Arc::new(Cortex::new(Grid::new(4, 4, 4)?, CortexOptions::default())?);
/// let replayer = Replayer::new(cortex.clone());
/// let (concept, column) = (ConceptId::new(0), ColumnId::new(21));
/// let logged = Decision { concept, column, rate: 0.1, radius: 2.0, code: [0.5; 64], stream: None };
/// replayer.replay(&logged)?;
/// assert_eq!(cortex.held(column)?, Some(concept));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Replayer {
    cortex: Arc<Cortex>,
}

impl Replayer {
    /// Of these columns.
    #[must_use]
    pub fn new(cortex: Arc<Cortex>) -> Replayer {
        Replayer { cortex }
    }
}

impl Allocate for Replayer {
    /// Decides nothing: that takes networks.
    fn reserve_many(
        &self,
        requests: &[ConceptRequest<'_>],
    ) -> Vec<Result<Reserved, AllocateError>> {
        let refused = |request: &ConceptRequest<'_>| {
            let dimension = request.features.len();
            Err(AllocateError::NoWeights { dimension })
        };
        requests.iter().map(refused).collect()
    }

    fn commit(&self, decision: &Decision) -> Result<(), AllocateError> {
        Err(AllocateError::NotReserved(decision.concept))
    }

    fn rollback(&self, decision: &Decision) -> Result<(), AllocateError> {
        Err(AllocateError::NotReserved(decision.concept))
    }

    fn release(&self, column: ColumnId, concept: ConceptId) -> Result<bool, AllocateError> {
        Ok(self.cortex.release(column, concept)?)
    }

    fn replay(&self, decision: &Decision) -> Result<(), AllocateError> {
        let Decision {
            concept,
            column,
            rate,
            radius,
            ref code,
            ..
        } = *decision;
        // Refused before anything changes.
        if radius != 0.0 {
            let _ = self.cortex.grid().neighbours(column, radius)?;
        }
        self.cortex.occupy(column, concept, code)?;
        self.cortex.learn(column, code, rate, radius)?;
        Ok(())
    }
}
