//! How a write was answered.

use crate::level::Activation;
use cortica_cortex::{AllocateError, ColumnId, Score};
use cortica_storage::Durability;
use std::sync::Arc;

/// How an episode was stored.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Stored {
    /// The identity in this store of the episode, or of the one that was reinforced.
    pub seq: u64,
    /// How strongly it stands out.
    pub activation: Activation,
    /// What became of it.
    pub outcome: StoreOutcome,
    /// The memories that were forgotten to make room for it, in that order; empty where there was room.
    pub evicted: Vec<Evicted>,
    /// Which column its concept was given, or why none; `None` where the store allocates nothing, the episode
    /// is not new, or it has no embedding.
    pub allocation: Option<StoredColumn>,
    /// What the write reached.
    pub durability: Durability,
}

/// A memory that was forgotten to make room.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Evicted {
    /// The identity that it had; never given out again.
    pub seq: u64,
    /// The id that it had.
    pub id: Arc<str>,
    /// How strongly it stood out: least of all.
    pub activation: Activation,
}

/// What a [tick](crate::MemoryStore::tick) did.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ticked {
    /// Memories of which uses were applied.
    pub strengthened: u64,
    /// Uses that were applied, of all of them together.
    pub uses: u64,
    /// The memories that were forgotten because the capacity was lowered.
    pub evicted: Vec<Evicted>,
    /// What the write reached.
    pub durability: Durability,
}

/// Which column the concept of a new episode was given.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StoredColumn {
    /// It has a column of its own.
    Allocated {
        /// Which.
        column: ColumnId,
        /// Its activity when it won, in \[0, 1\].
        activation: f32,
        /// Why it won.
        score: Score,
        /// How many columns competed.
        candidates: usize,
        /// How many of them were held down.
        inhibited: usize,
    },
    /// Another episode's concept is the same: it has no column of its own.
    Duplicate {
        /// The column that holds it.
        column: ColumnId,
        /// The cosine of the embeddings; 1 for the same values.
        similarity: f32,
        /// The id of that episode.
        of: Arc<str>,
    },
    /// No column is free.
    NoSuitableColumn,
    /// It could not be decided; the episode is stored all the same.
    Refused(AllocateError),
}

/// What became of an episode.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOutcome {
    /// It is new.
    Stored,
    /// There was one with this id and another content, which it replaces. Identity, associations
    /// and the time of storing stay; the activation starts anew.
    Updated,
    /// Its content was there already: that episode stands out more now, and nothing else changed.
    Reinforced {
        /// The id of the episode that was there.
        of: Arc<str>,
    },
    /// It was there already with everything that was imported; nothing changed. Only an import
    /// says so.
    AlreadyThere,
}

/// How an episode was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Forgotten {
    /// The identity that it had; never given out again.
    pub seq: u64,
    /// What the write reached.
    pub durability: Durability,
}

/// An episode with what a store had added to it, on its way to another store.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Import {
    /// The episode.
    pub episode: crate::Episode,
    /// When it was stored first.
    pub stored_at: cortica_env::Timestamp,
    /// How strongly it stood out.
    pub activation: Activation,
}

impl Import {
    /// An episode that was stored at that time, and stood out so strongly.
    pub fn new(
        episode: crate::Episode,
        stored_at: cortica_env::Timestamp,
        activation: Activation,
    ) -> Self {
        Self {
            episode,
            stored_at,
            activation,
        }
    }
}
