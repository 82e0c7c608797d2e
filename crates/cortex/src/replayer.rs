//! Carries decisions out that were made before, by whoever has networks.

use crate::allocate::{Allocate, AllocateError, Round};
use crate::column::ConceptId;
use crate::cortex::Cortex;
use crate::grid::ColumnId;
use crate::prototype::normalised;
use crate::request::{ConceptRequest, Decision, Logged, Reserved};
use crate::sync::{Mutex, lock};
use crate::window::Windows;
use std::sync::Arc;

/// Carries decisions out that were made before, by whoever has networks: what a store is read back with.
///
/// ```
/// use cortica_cortex::{
///     Allocate, ColumnId, ConceptId, Cortex, CortexOptions, Decision, Grid, Logged, Replayer,
/// };
/// use std::sync::Arc;
///
/// let cortex = Arc::new(Cortex::new(Grid::new(4, 4, 4)?, CortexOptions::default())?);
/// let replayer = Replayer::new(cortex.clone());
/// let (concept, column) = (ConceptId::new(0), ColumnId::new(21));
/// let decision = Decision { concept, column, rate: 0.1, radius: 2.0, code: [0.5; 64], stream: Some(3) };
/// replayer.replay(&Logged::Allocated { decision: &decision, concept_id: "tea", features: &[0.5; 768] })?;
/// assert_eq!(cortex.held(column)?, Some(concept));
/// assert_eq!(replayer.windows().codes(3), [[0.5; 64]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Replayer {
    cortex: Arc<Cortex>,
    windows: Mutex<Windows>,
}

impl Replayer {
    /// Of these columns, with the usual number of streams.
    #[must_use]
    pub fn new(cortex: Arc<Cortex>) -> Replayer {
        Replayer::with_windows(cortex, Windows::default())
    }

    /// As [`new`](Replayer::new), with windows of the caller's choice.
    #[must_use]
    pub fn with_windows(cortex: Arc<Cortex>, windows: Windows) -> Replayer {
        Replayer {
            cortex,
            windows: Mutex::new(windows),
        }
    }
}

impl Decision {
    /// Makes it again: its column holds the concept, and its neighbourhood has learned. What is refused changes
    /// nothing.
    pub fn carry_out(&self, cortex: &Cortex) -> Result<(), AllocateError> {
        if self.radius != 0.0 {
            let _ = cortex.grid().neighbours(self.column, self.radius)?;
        }
        cortex.occupy(self.column, self.concept, &self.code)?;
        self.teach(cortex)
    }

    /// Learns from it again. What is refused changes nothing.
    pub fn teach(&self, cortex: &Cortex) -> Result<(), AllocateError> {
        if self.radius != 0.0 {
            let _ = cortex.grid().neighbours(self.column, self.radius)?;
        }
        cortex.learn(self.column, &self.code, self.rate, self.radius)?;
        Ok(())
    }
}

impl Allocate for Replayer {
    fn cortex(&self) -> &Cortex {
        &self.cortex
    }

    /// Of releases alone: deciding takes networks.
    fn begin(&self) -> Box<dyn Round + '_> {
        Box::new(Releases {
            cortex: &self.cortex,
            released: Vec::new(),
        })
    }

    fn replay(&self, logged: &Logged<'_>) -> Result<(), AllocateError> {
        let (stream, code) = match *logged {
            Logged::Allocated { decision, .. } => {
                decision.carry_out(&self.cortex)?;
                (decision.stream, decision.code)
            }
            Logged::Learned(decision) => {
                decision.teach(&self.cortex)?;
                (decision.stream, decision.code)
            }
            Logged::Held { decision, .. } => {
                let Decision {
                    column, concept, ..
                } = *decision;
                self.cortex.occupy(column, concept, &decision.code)?;
                return Ok(());
            }
            Logged::Observed(observed) => {
                normalised(&observed.code)
                    .map_err(|refused| AllocateError::Learn(refused.into()))?;
                (Some(observed.stream), observed.code)
            }
            Logged::Released { column, concept } => {
                self.cortex.release(column, concept)?;
                return Ok(());
            }
        };
        if let Some(stream) = stream {
            drop(lock(&self.windows).push(stream, &code));
        }
        Ok(())
    }

    fn windows(&self) -> Windows {
        lock(&self.windows).clone()
    }

    fn set_windows(&self, windows: Windows) {
        *lock(&self.windows) = windows;
    }
}

/// A round in which nothing is decided.
struct Releases<'a> {
    cortex: &'a Cortex,
    released: Vec<crate::undo::Released>,
}

impl Round for Releases<'_> {
    fn reserve_many(
        &mut self,
        requests: &[ConceptRequest<'_>],
    ) -> Vec<Result<Reserved, AllocateError>> {
        let refused = |request: &ConceptRequest<'_>| {
            let dimension = request.features.len();
            Err(AllocateError::NoWeights { dimension })
        };
        requests.iter().map(refused).collect()
    }

    fn release(&mut self, column: ColumnId, concept: ConceptId) -> Result<bool, AllocateError> {
        let released = self.cortex.release_kept(column, concept)?;
        self.released.extend(released);
        Ok(released.is_some())
    }

    /// Knows no features.
    fn revise(&mut self, _: ConceptId, _: &[f32]) -> Result<bool, AllocateError> {
        Ok(false)
    }

    fn commit(mut self: Box<Self>) {
        self.released.clear();
    }
}

impl Drop for Releases<'_> {
    fn drop(&mut self) {
        for released in self.released.iter().rev() {
            self.cortex.unrelease(released);
        }
    }
}
