//! Joins the parts.

use crate::allocation::AllocationOptions;
use crate::engine::Cortica;
use cortica_env::{Clock, Disk};
use cortica_index::{HnswOptions, Metric};
use cortica_memory::{
    AtCapacity, Dedup, IndexLag, MemoryStore, OpenError, SpaceSpec, StoreOptions,
};
use cortica_simd::Isa;
use cortica_storage::{Durability, OpenMode};
use std::path::Path;
use std::sync::Arc;

/// Says how a [`Cortica`] is opened. What is not said is taken from the store, or from the
/// defaults: a real disk and clock, the best instruction set, durable writes.
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until it opens"]
pub struct Builder {
    dimension: Option<usize>,
    metric: Option<Metric>,
    model: Option<String>,
    allocation: Option<AllocationOptions>,
    options: StoreOptions,
}

impl Builder {
    /// The number of values in each embedding, 1 to [`DIMENSION_MAX`](crate::DIMENSION_MAX). A new
    /// store gets a vector space of this dimension; another one must have it.
    pub fn dimension(mut self, dimension: usize) -> Self {
        self.dimension = Some(dimension);
        self
    }

    /// How embeddings are compared; cosine when a new store is not told. Needs a dimension.
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = Some(metric);
        self
    }

    /// The name of the model that makes the embeddings, so that two are never mixed. Needs a
    /// dimension.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// What every write reaches before it is acknowledged.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.options.durability = durability;
        self
    }

    /// When an episode is the same as one that is there, so that storing it reinforces that one.
    pub fn dedup(mut self, dedup: Dedup) -> Self {
        self.options.dedup = dedup;
        self
    }

    /// The most episodes the store may hold, 1 or more. Not kept in the store: say it at each opening.
    /// Where more are there, the next new episode, or the next [`tick`](Cortica::tick), evicts them down
    /// to it. The fuller a store is, the weaker a new memory begins.
    pub fn capacity(mut self, capacity: usize) -> Self {
        self.options.capacity = Some(capacity);
        self
    }

    /// What becomes of a new episode where that many are there: the weakest memories are forgotten for
    /// it, which is the default, or it is refused.
    pub fn at_capacity(mut self, at_capacity: AtCapacity) -> Self {
        self.options.at_capacity = at_capacity;
        self
    }

    /// Whether recalls strengthen what they return, with the next write or [`tick`](Cortica::tick); they
    /// do by default. Turn it off where recalls only measure.
    pub fn recalls_strengthen(mut self, strengthen: bool) -> Self {
        self.options.recalls_strengthen = strengthen;
        self
    }

    /// Whether to refuse a folder without a store instead of making one.
    pub fn must_exist(mut self, must_exist: bool) -> Self {
        self.options.mode = if must_exist {
            OpenMode::MustExist
        } else {
            OpenMode::CreateIfMissing
        };
        self
    }

    /// Only reads: nothing about the store is changed, not even mended, and no permission to write
    /// is needed. Others may read beside it.
    pub fn read_only(mut self) -> Self {
        self.options.mode = OpenMode::ReadOnly;
        self
    }

    /// Gives the concept of each new episode with an embedding a column: near like ones, and none of its own where
    /// another one is the same. A store that was allocated in keeps its columns also when it is opened without
    /// this; its new episodes get none then.
    pub fn allocation(mut self, allocation: AllocationOptions) -> Self {
        self.allocation = Some(allocation);
        self
    }

    /// The size of a log file in bytes, 16 MiB by default, reserved when it is made; a store that
    /// holds little takes smaller ones, and closing gives back what is not used.
    /// Most syncs then have no new file length to write.
    pub fn segment_bytes(mut self, segment_bytes: u64) -> Self {
        self.options.segment_bytes = segment_bytes;
        self
    }

    /// How far the graph index, by which approximate recalls search, may lag behind what is stored.
    pub fn index_lag(mut self, index_lag: IndexLag) -> Self {
        self.options.index_lag = index_lag;
        self
    }

    /// How the graph index is built.
    pub fn graph(mut self, graph: HnswOptions) -> Self {
        self.options.graph = graph;
        self
    }

    /// The instruction set of the kernels.
    pub fn isa(mut self, isa: Isa) -> Self {
        self.options.isa = isa;
        self
    }

    /// Where "now" comes from.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.options.clock = clock;
        self
    }

    /// Where files lie.
    pub fn disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.options.disk = disk;
        self
    }

    /// Opens the store in the folder `path`, or makes one in an absent or empty folder.
    pub fn open(self, path: impl AsRef<Path>) -> Result<Cortica, OpenError> {
        MemoryStore::open(path.as_ref(), self.into_options()?).map(Cortica::over)
    }

    /// A store that is gone when it is dropped. Its writes answer `none`.
    pub fn in_memory(self) -> Result<Cortica, OpenError> {
        MemoryStore::in_memory(self.into_options()?).map(Cortica::over)
    }

    fn into_options(self) -> Result<StoreOptions, OpenError> {
        let Self {
            dimension,
            metric,
            model,
            allocation,
            mut options,
        } = self;
        let mut dimension = dimension;
        if let Some(allocation) = allocation {
            options.search_radius = allocation.search_radius;
            let (engine, own) = allocation.engine(dimension, &options.clock, options.isa)?;
            options.allocator = Some(engine);
            dimension = Some(own);
        }
        let Some(dimension) = dimension else {
            return if metric.is_some() || model.is_some() {
                Err(OpenError::NoDimension)
            } else {
                Ok(options)
            };
        };
        let mut space = SpaceSpec::new(dimension);
        space.metric = metric;
        space.model = model;
        options.space = Some(space);
        Ok(options)
    }
}
