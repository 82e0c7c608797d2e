//! The door through which others allocate: whoever stores concepts needs no networks to name.

use crate::column::ConceptId;
use crate::cortex::{Cortex, LearnError, OccupyError};
use crate::grid::{ColumnId, GridError};
use crate::prototype::{Code, Learned};
use crate::request::{Allocation, ConceptRequest, Decision};
use crate::sync::{Counter, Relaxed, RwLock, read, write};
use crate::windows::{Observed, Windows};
use std::fmt;
use std::sync::Arc;

/// What came of a request that was reserved: an answer, and what is to be logged of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Reserved {
    /// The answer.
    pub allocation: Allocation,
    /// What is to be logged before it is committed; none for a duplicate or where no column is free.
    pub decision: Option<Decision>,
    /// What is to be logged where there is no decision, if the request had a stream: its code is in the window.
    pub observed: Option<Observed>,
}

/// A concept that is read back: all that it takes to hold it and to know it again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Held<'a> {
    /// The column that held it.
    pub column: ColumnId,
    /// The code by which others find it near.
    pub code: &'a Code,
    /// Its id.
    pub concept_id: &'a str,
    /// Its features, as they are stored now.
    pub features: &'a [f32],
}

/// All that was learned up to a moment: what decisions before it need not be replayed for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Checkpoint {
    /// The columns that learned something, in the order of their numbers.
    pub learned: Vec<(ColumnId, Learned)>,
    /// The streams' windows, the one that was not seen for longest first.
    pub windows: Vec<(u64, Vec<Code>)>,
}

impl Checkpoint {
    /// As it is now.
    #[must_use]
    pub fn of(cortex: &Cortex, windows: &Windows) -> Checkpoint {
        let learned = |column| {
            let learned = cortex.learned(column).ok()?;
            (learned.moves > 0).then_some((column, learned))
        };
        Checkpoint {
            learned: cortex.grid().columns().filter_map(learned).collect(),
            windows: windows.all(),
        }
    }

    /// Puts it back, in the place of all that was learned there. Refused, nothing changes.
    pub fn restore(&self, cortex: &Cortex, windows: &mut Windows) -> Result<(), LearnError> {
        for (column, learned) in &self.learned {
            cortex.check_learned(*column, learned)?;
        }
        let nothing = Learned::default();
        for column in cortex.grid().columns() {
            if cortex.learned(column)?.moves > 0 {
                cortex.set_learned(column, &nothing)?;
            }
        }
        for (column, learned) in &self.learned {
            cortex.set_learned(*column, learned)?;
        }
        windows.restore(
            self.windows
                .iter()
                .map(|(stream, codes)| (*stream, &codes[..])),
        );
        Ok(())
    }
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
/// fails, it rolls them back. Reading its log, it replays what was learned in the order of the log, and then has the
/// concepts held that are there at its end.
pub trait Allocate: Send + Sync + fmt::Debug {
    /// The columns.
    fn cortex(&self) -> &Arc<Cortex>;

    /// Decides for all, in their order, each as if those before it were committed, and keeps the columns. One that
    /// fails fails alone, and leaves nothing behind.
    fn reserve_many(&self, requests: &[ConceptRequest<'_>])
    -> Vec<Result<Reserved, AllocateError>>;

    /// Makes a decision final: it cannot be rolled back any more.
    fn commit(&self, decision: &Decision) -> Result<(), AllocateError>;

    /// Gives up what was reserved last, of what was neither committed nor rolled back: column, learning and window are
    /// as if it had never been asked for. So a batch is rolled back from its end. For an answer without a decision
    /// it takes back the window.
    fn rollback(&self, reserved: &Reserved) -> Result<(), AllocateError>;

    /// Lets go of a concept; whether the column held it. What was learned stays.
    fn release(&self, column: ColumnId, concept: ConceptId) -> Result<bool, AllocateError>;

    /// A concept has other features now; it keeps its column and its code.
    fn revise(&self, concept: ConceptId, features: &[f32]) -> Result<(), AllocateError>;

    /// Learns from a logged decision again, as it was learned, and lets its code into its stream's window; holds
    /// nothing. Replayed in the order of their log, decisions leave the same bits.
    fn replay(&self, decision: &Decision) -> Result<(), AllocateError>;

    /// Lets a code that was logged without a decision into its stream's window.
    fn observe(&self, observed: &Observed);

    /// Has a concept held that is read back, by the column that held it; it neither fires nor learns. Gives the
    /// number by which the column knows it now.
    fn hold(&self, held: &Held<'_>) -> Result<ConceptId, AllocateError>;

    /// All that was learned, and the windows.
    fn checkpoint(&self) -> Checkpoint;

    /// Puts back what a checkpoint has, in the place of all that was learned.
    fn restore(&self, checkpoint: &Checkpoint) -> Result<(), AllocateError>;
}

/// Carries decisions out that were made before, by whoever has networks: what a store is read back with.
///
/// ```
/// use cortica_cortex::{
///     Allocate, ColumnId, ConceptId, Cortex, CortexOptions, Decision, Grid, Held, Replayer,
/// };
/// use std::sync::Arc;
///
/// let cortex = Arc::new(Cortex::new(Grid::new(4, 4, 4)?, CortexOptions::default())?);
/// let replayer = Replayer::new(cortex.clone());
/// let (concept, column, code) = (ConceptId::new(0), ColumnId::new(21), [0.5; 64]);
/// let logged = Decision { concept, column, rate: 0.1, radius: 2.0, code, stream: None };
/// replayer.replay(&logged)?;
/// let held = Held { column, code: &code, concept_id: "tea", features: &[0.9, 0.1, 0.0] };
/// let concept = replayer.hold(&held)?;
/// assert_eq!(cortex.held(column)?, Some(concept));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Replayer {
    cortex: Arc<Cortex>,
    windows: RwLock<Windows>,
    concepts: Counter,
}

impl Replayer {
    /// Of these columns.
    #[must_use]
    pub fn new(cortex: Arc<Cortex>) -> Replayer {
        Replayer {
            cortex,
            windows: RwLock::new(Windows::default()),
            concepts: Counter::new(0),
        }
    }
}

impl Allocate for Replayer {
    fn cortex(&self) -> &Arc<Cortex> {
        &self.cortex
    }

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

    /// Does nothing where there is no decision: it reserves none.
    fn rollback(&self, reserved: &Reserved) -> Result<(), AllocateError> {
        match &reserved.decision {
            Some(decision) => Err(AllocateError::NotReserved(decision.concept)),
            None => Ok(()),
        }
    }

    fn release(&self, column: ColumnId, concept: ConceptId) -> Result<bool, AllocateError> {
        Ok(self.cortex.release(column, concept)?)
    }

    /// Knows no features.
    fn revise(&self, _: ConceptId, _: &[f32]) -> Result<(), AllocateError> {
        Ok(())
    }

    fn replay(&self, decision: &Decision) -> Result<(), AllocateError> {
        replay(&self.cortex, &mut write(&self.windows), decision)
    }

    fn observe(&self, observed: &Observed) {
        let _ = write(&self.windows).observe(observed);
    }

    fn hold(&self, held: &Held<'_>) -> Result<ConceptId, AllocateError> {
        // Relaxed: numbers differ, and order nothing.
        let concept = ConceptId::new(self.concepts.fetch_add(1, Relaxed) as u32);
        self.cortex.occupy(held.column, concept, held.code)?;
        Ok(concept)
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint::of(&self.cortex, &read(&self.windows))
    }

    fn restore(&self, checkpoint: &Checkpoint) -> Result<(), AllocateError> {
        Ok(checkpoint.restore(&self.cortex, &mut write(&self.windows))?)
    }
}

/// Learns from a logged decision, and lets its code into its window: what [`Allocate::replay`] does, for whoever
/// has columns and windows. Refused, nothing changes.
pub fn replay(
    cortex: &Cortex,
    windows: &mut Windows,
    decision: &Decision,
) -> Result<(), AllocateError> {
    let Decision {
        column,
        rate,
        radius,
        code,
        stream,
        ..
    } = *decision;
    if radius != 0.0 {
        let _ = cortex.grid().neighbours(column, radius)?;
    }
    cortex.learn(column, &code, rate, radius)?;
    if let Some(stream) = stream {
        let _ = windows.observe(&Observed { stream, code });
    }
    Ok(())
}
