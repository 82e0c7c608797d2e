//! What an engine has done so far.

use cortica_cortex::{AllocateError, Allocation, CortexStats, DedupStats};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counts since the engine was made or they were reset: `attempted = allocated + duplicates + none + failed`, exactly,
/// while nobody is at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineStats {
    /// Requests, refused ones counted.
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
    pub(crate) allocated: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) none: AtomicU64,
    pub(crate) failed: AtomicU64,
    pub(crate) exceptions: AtomicU64,
    pub(crate) undone: AtomicU64,
}

impl Counters {
    /// An answer that was given.
    pub(crate) fn answered(&self, answer: Result<&Allocation, &AllocateError>) {
        let counter = match answer {
            Ok(Allocation::Allocated { .. }) => &self.allocated,
            Ok(Allocation::Duplicate { .. }) => &self.duplicates,
            Ok(_) => &self.none,
            Err(_) => &self.failed,
        };
        // Relaxed here and below: figures order nothing.
        counter.fetch_add(1, Relaxed);
    }

    pub(crate) fn all(&self) -> [&AtomicU64; 6] {
        [
            &self.allocated,
            &self.duplicates,
            &self.none,
            &self.failed,
            &self.exceptions,
            &self.undone,
        ]
    }

    pub(crate) fn read(&self) -> EngineStats {
        let [allocated, duplicates, none, failed, exceptions, undone] =
            self.all().map(|counter| counter.load(Relaxed));
        EngineStats {
            attempted: allocated + duplicates + none + failed,
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
