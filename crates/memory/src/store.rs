//! The memory store: one writer at a time, any number of readers beside it.

use crate::association::{Associated, Association};
use crate::codec::Link;
use crate::columns::{Allocator, agree_columns, check_allocator};
use crate::draft::{Draft, Offer};
use crate::episode::{Episode, Memory};
use crate::error::{AssociateError, IndexingError, OpenError, StoreError, TickError};
use crate::graph_cache::{self, Loaded};
use crate::indexer::{Indexer, Kept};
use crate::job::{Answers, Given, Work};
use crate::options::{AtCapacity, IndexLag, StoreOptions};
use crate::outcome::{Import, Stored, Ticked};
use crate::queue::Queue;
use crate::replay::{Replay, Replayed};
use crate::space::{Agreed, Space, agree, check_spec, write_space};
use crate::table::{EPISODES_MAX, Held, Table};
use cortica_env::{Clock, Disk};
use cortica_index::VectorIndex;
use cortica_simd::Isa;
use cortica_storage::{CommitError, Durability, Log, LogOptions, Recovery};
use parking_lot::{Mutex, RwLock};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// Episodes, durable in a log and searchable by vector. Share it behind a reference or an `Arc`.
///
/// A write is first in the log, then visible: what a recall finds has been acknowledged at the
/// store's [`Durability`]. Recalls run beside each other and beside the log's writing; they wait
/// only while a finished batch becomes visible.
#[derive(Debug)]
pub struct MemoryStore {
    pub(crate) durability: Durability,
    pub(crate) isa: Isa,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) recovery: Recovery,
    pub(crate) lost_associations: u64,
    pub(crate) lost_forgets: u64,
    pub(crate) lost_columns: u64,
    pub(crate) allocator: Option<Allocator>,
    pub(crate) space: Option<Space>,
    pub(crate) space_guessed: bool,
    /// Keeps the index of `space` up.
    pub(crate) indexer: Option<Indexer>,
    /// Work that nobody has taken yet.
    pub(crate) queue: Queue,
    /// `None` for a store in memory. Taken before `table` wherever both are.
    pub(crate) log: Arc<Mutex<Option<Log>>>,
    pub(crate) table: Arc<RwLock<Table>>,
    /// Held by whoever compacts; taken before `log`.
    pub(crate) compacting: Mutex<()>,
    /// Log position from which on compaction is tried again, after it failed.
    pub(crate) compact_from: AtomicU64,
    pub(crate) capacity: Option<usize>,
    pub(crate) at_capacity: AtCapacity,
    pub(crate) recalls_strengthen: bool,
    /// Memories that were forgotten to make room, since the store was opened.
    pub(crate) evictions: AtomicU64,
    /// Memories that were strengthened by recalls, each as often as it was.
    pub(crate) strengthened: AtomicU64,
}

impl MemoryStore {
    /// Opens the store in the folder `dir`, rebuilding memory and index from its log.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self, OpenError> {
        let span = tracing::info_span!("open_store", dir = %dir.display());
        let _entered = span.enter();
        check_spec(&options)?; // Before a folder is made for it.
        check_capacity(&options)?;
        check_allocator(&options)?;
        let mut replay = Replay::into_memory(options.isa, options.graph);
        replay.allocate(&options);
        let log_options = LogOptions {
            mode: options.mode,
            segment_bytes: options.segment_bytes,
        };
        let opened = Log::open(options.disk.clone(), dir, log_options, |record| {
            replay.take(&record)
        });
        let (mut log, recovery) =
            opened.map_err(|error| replay.no_memory().unwrap_or_else(|| error.into()))?;
        tell(&recovery);
        let Replayed {
            space,
            mut space_guessed,
            mut table,
            lost_associations,
            lost_forgets,
            lost_columns,
            allocator,
            grid,
        } = replay.finish(options.space.as_ref())?;
        agree_columns(&mut log, &options, allocator.as_ref(), grid)?;
        table.raise_seq(recovery.seq_high);
        if evicts(&options) {
            table.keep_order();
        }
        for location in table.take_dead() {
            log.retire(location);
        }
        let space = match agree(space, &options)? {
            Agreed::Space(space) => space,
            Agreed::New(info) => {
                if recovery.damage.is_empty() {
                    write_space(&mut log, &info)?;
                }
                Some(Space::new(info, options.isa, options.graph)?)
            }
        };
        if space_guessed && let Some(Space { info, .. }) = &space {
            // What nobody named stays a guess, so that whoever knows better can still say so.
            if options.space.is_some() && log.is_writable() {
                write_space(&mut log, info)?;
                space_guessed = false;
            }
            tracing::warn!(
                dimension = info.dimension,
                metric = %info.metric,
                model = info.model,
                written = !space_guessed,
                "the log has lost what its vector space is; metric and model are what was asked \
                 for, or guesses"
            );
        }
        let graph = space.as_ref().map(|space| &*space.index);
        let loaded = graph.map(|index| graph_cache::load(&log, &table, index));
        let kept = Kept {
            savable: log.is_writable(),
            loaded: loaded.unwrap_or_default(),
            log: Arc::new(Mutex::new(Some(log))),
            table: Arc::new(RwLock::new(table)),
        };
        Ok(Self {
            durability: options.durability,
            isa: options.isa,
            clock: options.clock,
            disk: options.disk,
            recovery,
            lost_associations,
            lost_forgets,
            lost_columns,
            allocator,
            space_guessed,
            queue: Queue::default(),
            log: kept.log.clone(),
            table: kept.table.clone(),
            indexer: index_of(space.as_ref(), options.index_lag, kept),
            space,
            compacting: Mutex::default(),
            compact_from: AtomicU64::default(),
            capacity: options.capacity,
            at_capacity: options.at_capacity,
            recalls_strengthen: options.recalls_strengthen,
            evictions: AtomicU64::default(),
            strengthened: AtomicU64::default(),
        })
    }

    /// A store without a log: everything is gone when it is dropped, and every write answers
    /// [`Durability::None`].
    pub fn in_memory(options: StoreOptions) -> Result<Self, OpenError> {
        check_allocator(&options)?;
        check_capacity(&options)?;
        let allocator = Allocator::of(&options);
        let mut table = Table::default();
        if evicts(&options) {
            table.keep_order();
        }
        let space = match agree(None, &options)? {
            Agreed::Space(space) => space,
            Agreed::New(info) => Some(Space::new(info, options.isa, options.graph)?),
        };
        let kept = Kept {
            savable: false,
            loaded: Loaded::default(),
            log: Arc::default(),
            table: Arc::new(RwLock::new(table)),
        };
        Ok(Self {
            durability: Durability::None,
            isa: options.isa,
            clock: options.clock,
            disk: options.disk,
            recovery: Recovery::default(),
            lost_associations: 0,
            lost_forgets: 0,
            lost_columns: 0,
            allocator,
            space_guessed: false,
            queue: Queue::default(),
            log: kept.log.clone(),
            table: kept.table.clone(),
            indexer: index_of(space.as_ref(), options.index_lag, kept),
            space,
            compacting: Mutex::default(),
            compact_from: AtomicU64::default(),
            capacity: options.capacity,
            at_capacity: options.at_capacity,
            recalls_strengthen: options.recalls_strengthen,
            evictions: AtomicU64::default(),
            strengthened: AtomicU64::default(),
        })
    }

    /// Stores one episode. What [`store_many`](Self::store_many) does for a batch of one.
    pub fn store(&self, episode: Episode) -> Result<Stored, StoreError> {
        // One episode gives one answer; the other case does not occur.
        self.store_many(vec![episode])
            .pop()
            .unwrap_or(Err(StoreError::NoSpace))
    }

    /// Stores episodes in order; answer i is for episode i. One bad episode fails alone.
    ///
    /// A new id is stored; an id that is there with another content is updated; content that is
    /// there already, under this id or another, is reinforced: see [`StoreOutcome`].
    ///
    /// The whole batch is synced once, with whatever other threads are storing, and becomes visible
    /// at once when that is done. When the log fails, every episode that reached it fails.
    ///
    /// [`StoreOutcome`]: crate::StoreOutcome
    pub fn store_many(&self, episodes: Vec<Episode>) -> Vec<Result<Stored, StoreError>> {
        match self.submit(Work::Store(episodes, None)) {
            Answers::Stored(answers) => answers,
            _ => Vec::new(), // Work is answered in kind.
        }
    }

    /// Stores episodes of another store in order, with the time they were stored there and their
    /// activation; answer i is for episode i. Each gets a seq of this store.
    ///
    /// Nothing is updated or reinforced: an id that is there is refused, unless everything else is
    /// the same too, so that an import that was interrupted can be run again.
    pub fn import_many(&self, imports: Vec<Import>) -> Vec<Result<Stored, StoreError>> {
        let (episodes, given) = imports
            .into_iter()
            .map(|import| {
                let Import {
                    episode,
                    stored_at,
                    activation,
                } = import;
                let given = Given {
                    stored_at,
                    activation,
                };
                (episode, given)
            })
            .unzip();
        match self.submit(Work::Store(episodes, Some(given))) {
            Answers::Stored(answers) => answers,
            _ => Vec::new(),
        }
    }

    /// Links episodes to each other; answer i is for association i. One write, one sync. Linking
    /// what is linked already changes nothing, or its weight.
    pub fn associate_many(
        &self,
        associations: &[Association],
    ) -> Vec<Result<Associated, AssociateError>> {
        match self.submit(Work::Associate(associations.to_vec())) {
            Answers::Associated(answers) => answers,
            _ => Vec::new(),
        }
    }

    /// Applies what recalls have noted since the last write, which the next write would do otherwise,
    /// and evicts what is more than a capacity that was lowered.
    pub fn tick(&self) -> Result<Ticked, TickError> {
        match self.submit(Work::Tick) {
            Answers::Ticked(answer) => answer,
            _ => Err(TickError::Log(Arc::new(CommitError::Stopped))),
        }
    }

    /// The associations that start at an episode, by relation, then by the target's seq.
    pub fn associations(&self, id: &str) -> Vec<Association> {
        let table = self.table.read();
        let Some(Held { memory: from, .. }) = table.get(id) else {
            return Vec::new();
        };
        let named = |link: Link| {
            let to = &table.by_seq(link.to)?.memory;
            let association = Association::new(&*from.id, &*to.id, link.relation);
            Some(association.with_weight(link.weight))
        };
        let links = table.links.links_from(from.seq);
        links.filter_map(named).collect()
    }

    /// The memory with exactly this content, whatever its id and its encoding confidence: the one
    /// that storing this episode would reinforce. The first one stored, if there are several.
    pub fn same_as(&self, episode: &Episode) -> Option<Arc<Memory>> {
        let table = self.table.read();
        let checked = match (&episode.embedding, self.index()) {
            (Some(embedding), index) => Some(index?.check(embedding).ok()?),
            (None, _) => None,
        };
        let offer = Offer::new(&table.hashing, episode, checked);
        let seq = Draft::new(&table, self.index()).same(&offer)?.seq;
        table.by_seq(seq).map(|held| held.memory.clone())
    }

    /// The memory with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Memory>> {
        let table = self.table.read();
        table.get(id).map(|held| held.memory.clone())
    }

    /// The embedding of the memory with this id, as it was stored. Under cosine, a vector longer
    /// than 2^50 or shorter than 2^-50 comes back rounded to 2^-126 of its largest value.
    pub fn embedding(&self, id: &str) -> Option<Vec<f32>> {
        let table = self.table.read();
        self.index()?.vector(table.get(id)?.row?)
    }

    /// As [`embedding`](Self::embedding), of the memory with this identity: none once it was forgotten, also where
    /// another one was stored with its id.
    pub fn embedding_of(&self, seq: u64) -> Option<Vec<f32>> {
        let table = self.table.read();
        self.index()?.vector(table.by_seq(seq)?.row?)
    }

    /// Waits until all that is stored at this moment is part of the graph index, and helps with it.
    /// Recalls find it before that too; approximate ones are slower while much waits.
    pub fn wait_indexed(&self) -> Result<(), IndexingError> {
        let finished = self.indexer.as_ref().map_or(Ok(()), Indexer::finish);
        finished.map_err(|why| IndexingError::Stopped { why })
    }

    /// Applies what recalls have noted, if the store can be written. Makes everything acknowledged
    /// durable, leaves a proof of it beside the log, returns reserved disk space, and releases the
    /// folder. Saves the graph index, if much was added to it, for the next opening. Dropping the
    /// store writes what waits, and no more than that: what recalls have noted is lost, as in a crash.
    ///
    /// Says what everything acknowledged has reached: [`Durability::Durable`], or
    /// [`Durability::None`] where there are no files or they could only be read.
    pub fn close(self) -> Result<Durability, CommitError> {
        let writable = self.log.lock().as_ref().is_some_and(Log::is_writable);
        if writable && self.table.read().used() > 0 {
            // On a full disk it is lost: closing must be possible. Any other error, closing meets again.
            if let Err(error) = self.tick() {
                tracing::warn!(%error, "what recalls have noted is lost");
            }
        }
        if let Some(indexer) = self.indexer {
            indexer.close();
        }
        let log = self.log.lock().take();
        log.map_or(Ok(Durability::None), Log::close)
    }

    /// Whether it forgets the weakest to make room.
    pub(crate) fn evicts(&self) -> bool {
        self.capacity.is_some() && self.at_capacity == AtCapacity::Forget
    }

    pub(crate) fn index(&self) -> Option<&dyn VectorIndex> {
        let space = self.space.as_ref()?;
        Some(&*space.index)
    }
}

fn tell(recovery: &Recovery) {
    if !recovery.damage.is_empty() {
        tracing::error!(
            places = recovery.damage.len(),
            "the log is damaged; the store is open for reading only"
        );
    }
    if recovery.dropped_tail_bytes > 0 {
        tracing::warn!(
            bytes = recovery.dropped_tail_bytes,
            set_aside = ?recovery.set_aside,
            "dropped an unfinished commit at the end of the log"
        );
    }
}

fn evicts(options: &StoreOptions) -> bool {
    options.capacity.is_some() && options.at_capacity == AtCapacity::Forget
}

/// Refuses a capacity that cannot be.
fn check_capacity(options: &StoreOptions) -> Result<(), OpenError> {
    match options.capacity {
        Some(got) if !(1..=EPISODES_MAX).contains(&got) => Err(OpenError::Capacity {
            got,
            max: EPISODES_MAX,
        }),
        _ => Ok(()),
    }
}

fn index_of(space: Option<&Space>, lag: IndexLag, kept: Kept) -> Option<Indexer> {
    space.map(|space| Indexer::new(space.index.clone(), lag, kept))
}
