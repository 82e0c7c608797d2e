//! The engine as its users hold it.

use crate::builder::Builder;
use cortica_batch::{Batch, Cancel};
use cortica_cortex::{ColumnId, Cortex};
use cortica_index::GraphStats;
use cortica_memory::{
    AssociateError, Associated, Association, Atomicity, Cue, Episode, Exported, ForgetError,
    Forgotten, Import, IndexingError, Memory, MemoryStore, OpenError, RecallError, Recalled, Stats,
    StoreError, Stored, TickError, Ticked, UpkeepError, Write, Written,
};
use cortica_storage::{CommitError, Copied, Durability, Freed};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// Between two looks at whether a batch has come to its end.
const PAUSE: Duration = Duration::from_millis(1);

/// A memory: episodes stored durably and recalled by cue.
#[derive(Debug)]
pub struct Cortica {
    /// Lent to the batches that are at work.
    memory: Arc<MemoryStore>,
    /// Ends them.
    closing: Cancel,
    /// What they begin as, so that they share their workers.
    batch: Batch,
}

impl Cortica {
    pub(crate) fn over(memory: MemoryStore) -> Self {
        let (memory, closing) = (Arc::new(memory), Cancel::new());
        let batch = Batch::over(&memory).cancelled_by(&closing);
        Self {
            memory,
            closing,
            batch,
        }
    }

    /// Opens the store in the folder `path` as it is, or makes one without a vector space; use
    /// [`builder`](Self::builder) to give a new store its dimension.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        Self::builder().open(path)
    }

    /// Says how to open a store.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Stores one episode. A new id is stored; one that is there with another content is updated;
    /// content that is there already, under this id or another, is reinforced:
    /// [`Stored::outcome`] says which.
    pub fn store(&self, episode: Episode) -> Result<Stored, StoreError> {
        self.memory.store(episode)
    }

    /// Stores episodes in order, with one sync for all; answer i is for episode i. Gives what
    /// storing them one by one gives.
    pub fn store_many(&self, episodes: Vec<Episode>) -> Vec<Result<Stored, StoreError>> {
        self.memory.store_many(episodes)
    }

    /// Forgets an episode with its embedding and associations.
    pub fn forget(&self, id: &str) -> Result<Forgotten, ForgetError> {
        self.memory.forget(id)
    }

    /// Forgets episodes, in one write and one sync; answer i is for id i.
    pub fn forget_many(&self, ids: &[impl AsRef<str>]) -> Vec<Result<Forgotten, ForgetError>> {
        self.memory.forget_many(ids)
    }

    /// Stores episodes of another store, with the time they were stored there and their activation;
    /// answer i is for episode i. An id that is there with anything else is refused.
    pub fn import_many(&self, imports: Vec<Import>) -> Vec<Result<Stored, StoreError>> {
        self.memory.import_many(imports)
    }

    /// Does writes of several kinds in their order, with one commit; answer i is for write i. Gives what
    /// they give one by one. With [`Atomicity::All`] all of them are done or none, whatever happens.
    pub fn write_many(&self, writes: Vec<Write>, atomicity: Atomicity) -> Vec<Written> {
        self.memory.write_many(writes, atomicity)
    }

    /// Applies what recalls have noted since the last write, which the next write would do otherwise,
    /// and evicts what is more than a capacity that was lowered.
    pub fn tick(&self) -> Result<Ticked, TickError> {
        self.memory.tick()
    }

    /// Finds the memories that match a cue best, by score descending, then seq ascending. That they were
    /// used strengthens them with the next write or [`tick`](Self::tick).
    pub fn recall(&self, cue: &Cue) -> Result<Vec<Recalled>, RecallError> {
        self.memory.recall(cue)
    }

    /// Recalls for many cues in one pass over the vectors; answer i is for cue i, and bit for bit
    /// what [`recall`](Self::recall) gives.
    pub fn recall_many(&self, cues: &[Cue]) -> Vec<Result<Vec<Recalled>, RecallError>> {
        self.memory.recall_many(cues)
    }

    /// Links episodes to each other, in one write and one sync; answer i is for association i.
    pub fn associate_many(
        &self,
        associations: &[Association],
    ) -> Vec<Result<Associated, AssociateError>> {
        self.memory.associate_many(associations)
    }

    /// Runs mixed operations many at a time, from a list or a stream: what they give one by one in
    /// their order, faster.
    ///
    /// ```
    /// use cortica::{Answered, Cortica, Cue, Episode, Operation, Outcome};
    ///
    /// let memory = Cortica::builder().dimension(2).in_memory()?;
    /// let done = memory.batch().run(vec![
    ///     Operation::Store(Episode::new("tea", "had tea").with_embedding(vec![1.0, 0.0])),
    ///     Operation::recall(Cue::embedding(vec![0.9, 0.1])), // Sees the tea.
    ///     Operation::forget("tea"),
    ///     Operation::forget("tea"), // And this one does not any more: it fails, alone.
    /// ])?;
    /// assert!(matches!(&done.answers[1], Ok(Answered::Recalled(hits)) if &*hits[0].id == "tea"));
    /// assert_eq!(done.summary.count(Outcome::Failed), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn batch(&self) -> Batch {
        self.batch.clone()
    }

    /// The associations that start at an episode, by relation, then by the target's seq.
    pub fn associations(&self, id: &str) -> Vec<Association> {
        self.memory.associations(id)
    }

    /// The memory with exactly this content, whatever its id: the one that storing this episode
    /// would reinforce.
    pub fn same_as(&self, episode: &Episode) -> Option<Arc<Memory>> {
        self.memory.same_as(episode)
    }

    /// The memory with this id.
    pub fn get(&self, id: &str) -> Option<Arc<Memory>> {
        self.memory.get(id)
    }

    /// The embedding of the memory with this id, as it was stored; see
    /// [`MemoryStore::embedding`] for the one rounding there is.
    pub fn embedding(&self, id: &str) -> Option<Vec<f32>> {
        self.memory.embedding(id)
    }

    /// Shows everything the store holds, at one moment: the episodes in the order of their seqs,
    /// then the associations. Writes wait until it is over. An error that `show` gives ends it.
    pub fn export<E>(&self, show: impl FnMut(Exported<'_>) -> Result<(), E>) -> Result<(), E> {
        self.memory.export(show)
    }

    /// Rewrites the log without anything that means nothing any more, so that what was forgotten or
    /// replaced is in none of the store's files. Reads and writes go on meanwhile.
    pub fn compact(&self) -> Result<Freed, UpkeepError> {
        self.memory.compact()
    }

    /// Makes a copy of the store as it is now in the folder `dest`, which is absent or empty: a
    /// store like any other, without what was forgotten or replaced. Reads and writes go on
    /// meanwhile.
    pub fn snapshot(&self, dest: impl AsRef<Path>) -> Result<Copied, UpkeepError> {
        self.memory.snapshot(dest.as_ref())
    }

    /// A number that is the same for two stores that hold the same; see
    /// [`MemoryStore::state_digest`].
    pub fn state_digest(&self) -> u64 {
        self.memory.state_digest()
    }

    /// The column that holds the concept of the episode with this id; none where it has none.
    pub fn column(&self, id: &str) -> Option<ColumnId> {
        self.memory.column(id)
    }

    /// The columns: the grid they lie in, what each holds and has learned. None where the store has none.
    pub fn cortex(&self) -> Option<&Cortex> {
        self.memory.cortex()
    }

    /// What the store holds.
    pub fn stats(&self) -> Stats {
        self.memory.stats()
    }

    /// What the graph index consists of: its degree, and how much of it can be reached. `None` as long as
    /// there is no vector space. It looks at every link; writes wait meanwhile, and behind them recalls.
    pub fn graph_stats(&self) -> Option<GraphStats> {
        self.memory.graph_stats()
    }

    /// Waits until all that is stored at this moment is part of the graph index, and helps with it.
    /// Recalls find it before that too; approximate ones are slower while much waits.
    pub fn wait_indexed(&self) -> Result<(), IndexingError> {
        self.memory.wait_indexed()
    }

    /// Makes everything acknowledged durable, leaves a proof of it beside the log, returns reserved
    /// disk space, and releases the folder; applies what recalls have noted first. Dropping writes what
    /// waits, and no more than that.
    ///
    /// Says what everything acknowledged has reached: [`Durability::Durable`], or
    /// [`Durability::None`] where there are no files or they could only be read. Batches that are at
    /// work are cancelled, and what they have begun is waited for.
    pub fn close(self) -> Result<Durability, CommitError> {
        self.closing.cancel();
        let mut memory = self.memory;
        loop {
            match Arc::try_unwrap(memory) {
                Ok(memory) => return memory.close(),
                Err(lent) => memory = lent,
            }
            thread::sleep(PAUSE);
        }
    }
}
