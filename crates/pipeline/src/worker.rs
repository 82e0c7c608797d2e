//! What one thread decides with: networks, scorer, competition, and their memory.

use crate::engine::AllocationEngine;
use crate::model::ModelWorker;
use cortica_cortex::{AllocateError, Claim, Code, ColumnId, Competition, Scorer};

/// Belongs to one thread at a time; engines keep those that are not in use.
pub(crate) struct Worker {
    pub(crate) model: Box<dyn ModelWorker>,
    pub(crate) scorer: Scorer,
    pub(crate) competition: Competition,
    pub(crate) near: Vec<(ColumnId, u64)>,
    pub(crate) candidates: Vec<ColumnId>,
    pub(crate) drives: Vec<f32>,
    pub(crate) claims: Vec<Claim>,
    pub(crate) window: Vec<Code>,
    /// The most prototypes that it has moved for one concept.
    pub(crate) moved: usize,
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Worker").finish_non_exhaustive()
    }
}

/// A worker that goes back to its engine. One that a panic passed does not.
pub(crate) struct Lent<'a> {
    engine: &'a AllocationEngine,
    worker: Option<Worker>,
}

impl<'a> Lent<'a> {
    pub(crate) fn new(engine: &'a AllocationEngine, worker: Worker) -> Lent<'a> {
        Lent {
            engine,
            worker: Some(worker),
        }
    }

    /// The error never, until it is dropped.
    pub(crate) fn get(&mut self) -> Result<&mut Worker, AllocateError> {
        self.worker.as_mut().ok_or(AllocateError::Stopped)
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take()
            && !std::thread::panicking()
        {
            self.engine.give_back(worker);
        }
    }
}
