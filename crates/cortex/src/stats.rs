//! What a cortex has done so far.

use crate::state::State;
use crate::sync::{Counter, Relaxed};

/// Counts of changes since the cortex was made or they were reset, and what is held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CortexStats {
    /// Columns of the grid.
    pub columns: u64,
    /// Columns that hold a concept now.
    pub held: u64,
    /// Columns that became candidates.
    pub activated: u64,
    /// Columns that entered a competition.
    pub competed: u64,
    /// Columns that won one.
    pub allocated: u64,
    /// Columns that fired: their concept was committed.
    pub fired: u64,
    /// Columns that were available again after their rest.
    pub recovered: u64,
    /// Candidates and competitors that were given back.
    pub returned: u64,
    /// Winners that were given back without a concept.
    pub rolled_back: u64,
    /// Concepts that were let go of.
    pub released: u64,
    /// Prototypes that were moved.
    pub learned: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    held: Counter,
    activated: Counter,
    competed: Counter,
    allocated: Counter,
    fired: Counter,
    recovered: Counter,
    returned: Counter,
    rolled_back: Counter,
    released: Counter,
    learned: Counter,
}

impl Counters {
    /// A change that took place.
    pub(crate) fn changed(&self, from: State, to: State) {
        use State::{Activated, Allocated, Available, Competing, Refractory};
        let counter = match (from, to) {
            (_, Activated) => &self.activated,
            (_, Competing) => &self.competed,
            (_, Allocated) => &self.allocated,
            (_, Refractory) => &self.fired,
            (Refractory, Available) => &self.recovered,
            (Allocated, Available) => &self.rolled_back,
            (_, Available) => &self.returned,
        };
        // Relaxed here and below: figures order nothing.
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn holds(&self) {
        self.held.fetch_add(1, Relaxed);
    }

    pub(crate) fn released(&self) {
        self.held.fetch_sub(1, Relaxed);
        self.released.fetch_add(1, Relaxed);
    }

    pub(crate) fn learned(&self, columns: u64) {
        self.learned.fetch_add(columns, Relaxed);
    }

    pub(crate) fn read(&self, columns: u64) -> CortexStats {
        let read = |counter: &Counter| counter.load(Relaxed);
        CortexStats {
            columns,
            held: read(&self.held),
            activated: read(&self.activated),
            competed: read(&self.competed),
            allocated: read(&self.allocated),
            fired: read(&self.fired),
            recovered: read(&self.recovered),
            returned: read(&self.returned),
            rolled_back: read(&self.rolled_back),
            released: read(&self.released),
            learned: read(&self.learned),
        }
    }

    /// What is held now stays counted.
    pub(crate) fn reset(&self) {
        for counter in [
            &self.activated,
            &self.competed,
            &self.allocated,
            &self.fired,
            &self.recovered,
            &self.returned,
            &self.rolled_back,
            &self.released,
            &self.learned,
        ] {
            counter.store(0, Relaxed);
        }
    }
}
