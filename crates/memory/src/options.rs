//! How a store is opened.

use cortica_cortex::Allocate;
use cortica_env::{Clock, Disk, RealDisk, SystemClock};
use cortica_index::{HnswOptions, Metric};
use cortica_simd::Isa;
use cortica_storage::{Durability, LogOptions, OpenMode};
use std::sync::Arc;

/// The vector space a store should have. Fixed once it was made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpaceSpec {
    /// Values in each embedding.
    pub dimension: usize,
    /// How embeddings are compared; `None` takes what the store has, cosine for a new one.
    pub metric: Option<Metric>,
    /// The model that makes the embeddings; `None` takes what the store has.
    pub model: Option<String>,
}

impl SpaceSpec {
    /// Embeddings of `dimension` values, compared by cosine unless the store says otherwise.
    #[must_use]
    pub fn new(dimension: usize) -> Self {
        Self {
            dimension,
            metric: None,
            model: None,
        }
    }

    /// With this metric.
    #[must_use]
    pub fn with_metric(mut self, metric: Metric) -> Self {
        self.metric = Some(metric);
        self
    }

    /// With this model.
    #[must_use]
    pub fn with_model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }
}

/// The vector space a store has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SpaceInfo {
    /// Values in each embedding.
    pub dimension: usize,
    /// How embeddings are compared.
    pub metric: Metric,
    /// The model that makes the embeddings; empty where nobody said.
    pub model: String,
}

/// When an episode is the same as one that is there: storing it then reinforces that one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dedup {
    /// When everything but its id and its encoding confidence is exactly the same, to the last bit
    /// of the embedding.
    #[default]
    Exact,
}

/// What becomes of a new episode where a store holds as many as its capacity allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AtCapacity {
    /// The weakest memories are forgotten to make room, by activation, then by seq: of equal ones the one
    /// stored first. The new episode is never the one that goes. The answer names what was
    /// [evicted](crate::Stored::evicted).
    #[default]
    Forget,
    /// It is [refused](crate::StoreError::AtCapacity). What is there may be updated and reinforced.
    Refuse,
}

/// How far the graph index may lag behind what is stored. What is not indexed yet is found all the
/// same: exact recalls compare every vector, approximate ones look at all that waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IndexLag {
    /// As far as it comes: storing never waits for the index, which is made in the background and
    /// lets bursts of writes go first.
    #[default]
    Defer,
    /// By so many vectors at most: whoever stores more helps indexing before the answer comes. Storing so
    /// also waits where linking does: for a repair to end, and for a graph that is saved to be encoded
    /// (not written). Of a store that is opened without a saved graph that can be used, all vectors
    /// wait, and whoever stores first waits for nearly all of them; call
    /// [`wait_indexed`](crate::MemoryStore::wait_indexed) before, if that is to happen at another time.
    Block(usize),
    /// All the way, until [`wait_indexed`](crate::MemoryStore::wait_indexed) is called, which does
    /// it on the thread of the caller. One thread that does all of it makes the same graph of the
    /// same store every time.
    OnDemand,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The vector space to make, or to insist on; `None` takes what the store has.
    pub space: Option<SpaceSpec>,
    /// What every write reaches before it is acknowledged.
    pub durability: Durability,
    /// When an episode is the same as one that is there.
    pub dedup: Dedup,
    /// The most episodes it may hold, 1 or more; `None` for as many as there is memory for. Not kept in the
    /// store: whoever opens it says it. Where more are there, the next episode that is new, or the next
    /// [`tick`](crate::MemoryStore::tick), evicts them down to it.
    pub capacity: Option<usize>,
    /// What becomes of a new episode where that many are there.
    pub at_capacity: AtCapacity,
    /// Whether recalls strengthen the memories that they return, with the next write or
    /// [`tick`](crate::MemoryStore::tick).
    pub recalls_strengthen: bool,
    /// Whether a store may be made where there is none.
    pub mode: OpenMode,
    /// The size of a log file in bytes, whose disk space is reserved when it is made; closing gives
    /// back what is not used. A store that holds little takes smaller ones.
    pub segment_bytes: u64,
    /// How far the index may lag behind what is stored.
    pub index_lag: IndexLag,
    /// How the graph index is built.
    pub graph: HnswOptions,
    /// The instruction set of the kernels.
    pub isa: Isa,
    /// Where "now" comes from.
    pub clock: Arc<dyn Clock>,
    /// Where files lie.
    pub disk: Arc<dyn Disk>,
    /// Gives the concepts of new episodes columns, if there is one: a fresh one, that holds nothing. A store that
    /// was allocated in before keeps its columns without one, too, and gives none then.
    pub allocator: Option<Arc<dyn Allocate>>,
    /// How far around its place a concept's column is looked for first, in units of the lattice.
    pub search_radius: f32,
}

impl Default for StoreOptions {
    /// The real disk and clock, the best instruction set, durable writes, no capacity, recalls that
    /// strengthen, and a new store where there is none.
    fn default() -> Self {
        Self {
            space: None,
            durability: Durability::Durable,
            dedup: Dedup::default(),
            capacity: None,
            at_capacity: AtCapacity::default(),
            recalls_strengthen: true,
            mode: OpenMode::CreateIfMissing,
            segment_bytes: LogOptions::from(OpenMode::CreateIfMissing).segment_bytes,
            index_lag: IndexLag::default(),
            graph: HnswOptions::default(),
            isa: Isa::best(),
            clock: Arc::new(SystemClock),
            disk: Arc::new(RealDisk),
            allocator: None,
            search_radius: 4.0,
        }
    }
}
