//! What a store holds, in numbers.

use crate::columns::Columns;
use crate::level::pressure;
use crate::options::{AtCapacity, SpaceInfo};
use crate::space::Space;
use crate::store::MemoryStore;
use cortica_index::{GraphStats, VectorIndex};
use cortica_simd::Isa;
use cortica_storage::{Durability, Log, Recovery};
use std::sync::atomic::Ordering::Relaxed;

/// How far the graph index is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Indexing {
    /// Embeddings that are part of the graph.
    pub indexed: u64,
    /// Embeddings that wait for that: the lag. They are found too.
    pub waiting: u64,
    /// Embeddings that were forgotten or replaced and whose memory cannot be given to others yet.
    pub unreleased: u64,
    /// Bytes of memory taken by links and codes, beside the embeddings; kept as theirs is.
    pub bytes: u64,
    /// Embeddings that were part of the graph when the store was opened, because it was saved.
    pub loaded: u64,
    /// Why there was a saved graph that was not used; it is made anew.
    pub refused: Option<String>,
    /// Why the graph could not be saved, when that was tried last.
    pub unsavable: Option<String>,
    /// Why the index is not kept up any more, if it is not.
    pub trouble: Option<String>,
}

/// What a store holds.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Episodes.
    pub episodes: u64,
    /// Episodes with an embedding.
    pub embedded: u64,
    /// Associations.
    pub associations: u64,
    /// The most episodes it may hold, if there is a limit.
    pub capacity: Option<u64>,
    /// What becomes of a new episode where that many are there.
    pub at_capacity: AtCapacity,
    /// Memories that recalls have used since the last write: the next one, or a
    /// [tick](MemoryStore::tick), strengthens them.
    pub pending: u64,
    /// Memories that were strengthened so since the store was opened, each as often as it was.
    pub strengthened: u64,
    /// Memories that were forgotten to make room since the store was opened.
    pub evictions: u64,
    /// Bytes of whole records in the log.
    pub log_bytes: u64,
    /// Bytes the log takes on disk, space reserved ahead included.
    pub file_bytes: u64,
    /// Bytes of records that mean nothing any more, until compaction drops them.
    pub dead_bytes: u64,
    /// Files of the log.
    pub segments: u64,
    /// Compactions since the store was opened.
    pub compactions: u64,
    /// Whether it can be written: not if it is damaged, was opened for reading only, or a write
    /// failed.
    pub writable: bool,
    /// Bytes of memory taken by embeddings. It does not shrink while the store is open: the memory of
    /// embeddings that were forgotten or replaced is kept for those to come.
    pub vector_bytes: u64,
    /// How far the graph index is, and what it takes.
    pub index: Indexing,
    /// The seq the next episode gets.
    pub next_seq: u64,
    /// Its columns, if it has some.
    pub columns: Option<Columns>,
    /// Concepts that have lost their columns, because what said so was lost.
    pub lost_columns: u64,
    /// The vector space, if the store has one.
    pub space: Option<SpaceInfo>,
    /// The instruction set of the kernels.
    pub isa: Isa,
    /// What a write reaches before it is acknowledged.
    pub durability: Durability,
    /// What opening the store found.
    pub recovery: Recovery,
    /// Associations in the log whose episodes were not: what a damaged log has lost.
    pub lost_associations: u64,
    /// Episodes that are left out because another one was stored under their id later: what said
    /// that they were forgotten is lost. Compaction removes them.
    pub lost_forgets: u64,
    /// Whether the log has lost what its vector space is. The dimension is that of the embeddings;
    /// metric and model are what the store was opened with or, where that said nothing, guesses.
    /// Opening the store for writing with a dimension, a metric and a model puts them back.
    pub space_guessed: bool,
}

impl Stats {
    /// How full the store is, from 0 to 1: episodes / capacity, and 0 without one.
    pub fn pressure(&self) -> f64 {
        pressure(
            self.episodes as usize,
            self.capacity.map(|most| most as usize),
        )
    }
}

impl MemoryStore {
    /// What the store holds.
    pub fn stats(&self) -> Stats {
        let columns = self.columns();
        let log = self.log.lock();
        let writable = log.as_ref().is_none_or(Log::is_writable);
        let log = log.as_ref().map(Log::stats).unwrap_or_default();
        let table = self.table.read();
        let exact = self.space.as_ref().map(|space| space.index.vector_stats());
        Stats {
            episodes: table.len() as u64,
            embedded: table.embedded() as u64,
            associations: table.links.len() as u64,
            capacity: self.capacity.map(|most| most as u64),
            at_capacity: self.at_capacity,
            pending: table.used() as u64,
            strengthened: self.strengthened.load(Relaxed),
            evictions: self.evictions.load(Relaxed),
            log_bytes: log.bytes,
            file_bytes: log.file_bytes,
            dead_bytes: log.dead_bytes,
            segments: log.segments,
            compactions: log.compactions,
            writable,
            vector_bytes: exact.map_or(0, |exact| exact.bytes),
            index: self.indexing(),
            next_seq: table.next_seq(),
            columns,
            lost_columns: self.lost_columns,
            space: self.space.as_ref().map(|space| space.info.clone()),
            isa: self.isa,
            durability: self.durability,
            recovery: self.recovery.clone(),
            lost_associations: self.lost_associations,
            lost_forgets: self.lost_forgets,
            space_guessed: self.space_guessed,
        }
    }

    /// What the graph index consists of: degree, reachability, what was removed and is still in it.
    /// `None` as long as there is no vector space. O(n times degree): writes wait meanwhile, and behind
    /// them recalls.
    pub fn graph_stats(&self) -> Option<GraphStats> {
        let space = self.space.as_ref()?;
        Some(space.index.graph_stats())
    }

    /// The instruction set of the kernels.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Whether the concepts of new episodes are given columns.
    pub fn allocates(&self) -> bool {
        let allocator = self.allocator.as_ref();
        allocator.is_some_and(|allocator| allocator.decides)
    }

    fn indexing(&self) -> Indexing {
        let (Some(Space { index, .. }), Some(indexer)) = (&self.space, &self.indexer) else {
            return Indexing::default();
        };
        let (all, waiting) = (index.stats(), index.waiting() as u64);
        Indexing {
            indexed: all.vectors.saturating_sub(waiting),
            waiting,
            unreleased: index.unreleased() as u64,
            bytes: all.bytes.saturating_sub(index.vector_stats().bytes),
            loaded: indexer.loaded().vectors,
            refused: indexer.loaded().refused.clone(),
            unsavable: indexer.unsavable(),
            trouble: indexer.trouble(),
        }
    }
}
