//! What an engine has done so far.

use cortica_cortex::{AllocateError, Allocation, CortexStats, DedupStats};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the engine was made or they were reset: `attempted = allocated + duplicates + none + failed`, exactly,
/// while nobody is at work. A request counts when its answer is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Requests, with those that were refused, given up or ended by a panic. What a pipeline answers without the engine
    /// is not here: what it does not take in, and what waits when it stops.
    pub attempted: u64,
    /// Those that were given a column.
    pub allocated: u64,
    /// Those that were there already.
    pub duplicates: u64,
    /// Those for which no column was free.
    pub none: u64,
    /// Those that were refused or ended in an error.
    pub failed: u64,
    /// Exceptions among them all.
    pub exceptions: u64,
    /// Decisions that were undone: their rounds were dropped. They stay counted above.
    pub undone: u64,
    /// Concepts that have a column now.
    pub concepts: usize,
    /// Streams that have a window now.
    pub streams: usize,
    /// Of the columns.
    pub cortex: CortexStats,
    /// Of what was refused as a duplicate.
    pub dedup: DedupStats,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    attempted: AtomicU64,
    pub(crate) allocated: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) none: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) exceptions: AtomicU64,
    pub(crate) undone: AtomicU64,
}

impl Counters {
    /// A request that is begun.
    pub(crate) fn begin(&self) -> Counting<'_> {
        Counting {
            counters: self,
            counter: &self.failed,
        }
    }

    pub(crate) fn all(&self) -> [&AtomicU64; 7] {
        [
            &self.attempted,
            &self.allocated,
            &self.duplicates,
            &self.none,
            &self.failed,
            &self.exceptions,
            &self.undone,
        ]
    }

    pub(crate) fn read(&self) -> EngineStats {
        let [
            attempted,
            allocated,
            duplicates,
            none,
            failed,
            exceptions,
            undone,
        ] = self.all().map(|counter| counter.load(Relaxed));
        EngineStats {
            attempted,
            allocated,
            duplicates,
            none,
            failed,
            exceptions,
            undone,
            ..EngineStats::default()
        }
    }
}

/// A request that counts once, as failed where a panic passes.
#[derive(Debug)]
pub(crate) struct Counting<'a> {
    counters: &'a Counters,
    counter: &'a AtomicU64,
}

impl Counting<'_> {
    pub(crate) fn answered(mut self, answer: Result<&Allocation, &AllocateError>) {
        let counters = self.counters;
        self.counter = match answer {
            Ok(Allocation::Allocated { .. }) => &counters.allocated,
            Ok(Allocation::Duplicate { .. }) => &counters.duplicates,
            Ok(_) => &counters.none,
            Err(_) => &counters.failed,
        };
    }
}

impl Drop for Counting<'_> {
    fn drop(&mut self) {
        // Relaxed here and above: figures order nothing.
        self.counters.attempted.fetch_add(1, Relaxed);
        self.counter.fetch_add(1, Relaxed);
    }
}
