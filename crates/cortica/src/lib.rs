//! An embeddable, durable cognitive memory engine.
//!
//! Open a [`Cortica`], store [`Episode`]s, recall them by [`Cue`]. Every write is checksummed in a
//! log before it can be seen, and says how durable it is; everything else is rebuilt from the log.
//!
//! ```
//! use cortica::{Cortica, Cue, Episode};
//!
//! let folder = tempfile::tempdir()?;
//! let memory = Cortica::builder().dimension(3).open(folder.path().join("store"))?;
//! memory.store(Episode::new("tea", "had tea with Ada").with_embedding(vec![0.9, 0.1, 0.0]))?;
//! memory.store(Episode::new("rain", "it rained").with_embedding(vec![0.0, 0.2, 1.0]))?;
//! let recalled = memory.recall(&Cue::embedding(vec![0.1, 0.0, 0.9]).max_results(1))?;
//! assert_eq!(recalled[0].memory.what, "it rained");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A `Cortica` is shared by reference or in an [`Arc`](std::sync::Arc); all its methods take
//! `&self`. Bad input is refused by a typed error before any state changes, and one bad item of a
//! batch fails alone.
#![forbid(unsafe_code)]

mod allocation;
mod builder;
mod engine;

pub use crate::allocation::AllocationOptions;
pub use crate::builder::Builder;
pub use crate::engine::Cortica;
pub use cortica_batch::{
    Answer, Answered, Answers, Backpressure, Batch, BatchConfig, BatchOutcome, BatchSummary,
    Cancel, ConfigError, ErrorKind, Hit, ItemError, Kind, Level, MEMORY_LIMIT_MIN, Operation,
    Outcome, Progress, Watch, Workers,
};
pub use cortica_cortex::{
    AllocateError, ColumnId, Cortex, CortexOptions, Grid, GridError, Score, ScoreWeights, State,
    Windows,
};
pub use cortica_env::{
    Clock, Disk, DiskFile, DiskLock, LockError, ManualClock, Open, RealDisk, SystemClock, Timestamp,
};
pub use cortica_index::{
    Codes, DIMENSION_MAX, GraphStats, HnswError, HnswOptions, Metric, ParseMetricError, VectorError,
};
pub use cortica_memory::{
    Accuracy, Activation, AssociateError, AssociateOutcome, Associated, Association, AtCapacity,
    Atomicity, CheckReport, Columns, Confidence, Cue, Dedup, EF_DEFAULT, EF_MAX, Episode, Evicted,
    Exported, ForgetError, Forgotten, ID_BYTES_MAX, Import, IndexLag, Indexing, IndexingError,
    MAX_RESULTS, Memory, OpenError, RangeError, RecallError, Recalled, SpaceInfo, Stats,
    StoreError, StoreOutcome, Stored, StoredColumn, TEXT_BYTES_MAX, TickError, Ticked, UpkeepError,
    Value, Write, Written,
};
pub use cortica_neural::{Networks, WeightsError};
pub use cortica_pipeline as pipeline; // Concepts without a store: engines, workers, tickets.
pub use cortica_pipeline::{EngineError, EngineOptions};
pub use cortica_simd::{ForcedIsaError, Isa, ParseIsaError};
pub use cortica_storage::{
    AppendError, CommitError, CompactError, Copied, Damage, Durability, FoundCache, Freed,
    OpenError as LogOpenError, OpenMode, ParseDurabilityError, Recovery, RepairReport,
};

/// Verifies every checksum and the meaning of every record of the store in the folder `path`.
/// Changes nothing but the process id in the lock file; the store must not be open.
pub fn check(path: impl AsRef<std::path::Path>) -> Result<CheckReport, OpenError> {
    cortica_memory::check(&RealDisk, path.as_ref())
}

/// Copies the store in the folder `from`, such as a snapshot, into the folder `to`, which is absent
/// or empty. Verifies all of it first and changes nothing about it.
pub fn restore(
    from: impl AsRef<std::path::Path>,
    to: impl AsRef<std::path::Path>,
) -> Result<Copied, UpkeepError> {
    let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(RealDisk);
    cortica_memory::restore(&disk, from.as_ref(), to.as_ref())
}

/// Makes the damaged store in the folder `path` one that can be written again, keeping all that is
/// whole; see [`cortica_memory::repair`]. Does nothing to a sound store. Call [`repair_told`] when what
/// it found has been passed on; until then the next repair reports it again.
pub fn repair(path: impl AsRef<std::path::Path>) -> Result<RepairReport, UpkeepError> {
    let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(RealDisk);
    cortica_memory::repair(&disk, path.as_ref())
}

/// Says that what [`repair`] found has been passed on, so that it is not reported again: always
/// durably.
pub fn repair_told(path: impl AsRef<std::path::Path>) -> Result<Durability, UpkeepError> {
    let disk: std::sync::Arc<dyn Disk> = std::sync::Arc::new(RealDisk);
    cortica_memory::repair_told(&disk, path.as_ref())
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeDoctests;

#[cfg(doctest)]
#[doc = include_str!("../../../docs/memory.md")]
struct MemoryDoctests;

#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct ProjectReadmeDoctests;
