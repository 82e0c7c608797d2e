//! What can go wrong, one enum for each thing a caller does. Every refusal happens before any
//! state changes.

use cortica_index::{HnswError, VectorError};
use cortica_storage::{AppendError, CommitError, CompactError};
use std::sync::Arc;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder or its log; says which and what to do.
    #[error(transparent)]
    Log(#[from] cortica_storage::OpenError),
    /// The store was made with another vector space; leave the field out to take what is there.
    #[error("{field}: the store has {found}, not {asked}")]
    SpaceMismatch {
        /// Which property: dimension, metric or model.
        field: &'static str,
        /// What was asked for.
        asked: String,
        /// What the store has.
        found: String,
    },
    /// The vector space that was asked for cannot be.
    #[error("the vector space cannot be made")]
    Space(#[from] VectorError),
    /// The graph index that was asked for cannot be.
    #[error("the graph index cannot be made")]
    Graph(#[source] HnswError),
    /// A metric or a model was named without a dimension; name one.
    #[error("dimension: a metric or a model needs one")]
    NoDimension,
    /// The model's name is longer than any text may be.
    #[error("model: got {got} bytes, expected at most {max}")]
    ModelTooLong {
        /// Its length in bytes.
        got: usize,
        /// The longest allowed.
        max: usize,
    },
    /// The store's columns lie in another grid; open it with that one, or without allocation.
    #[error("the store has columns in a grid of {} x {} x {}, not {} x {} x {}", .found[0], .found[1], .found[2], .asked[0], .asked[1], .asked[2])]
    Grid {
        /// The grid that was asked for.
        asked: [u32; 3],
        /// The one that the store has.
        found: [u32; 3],
    },
    /// There are no networks for such embeddings; train some, and name them.
    #[error(
        "no networks for embeddings of {asked} values; train some: `cortica-train --data DIR --out FILE`, DIR \
         holding such embeddings, and open the store with FILE"
    )]
    NoWeights {
        /// Values of the embeddings.
        asked: usize,
    },
    /// The networks are for other embeddings; name some that fit.
    #[error("the networks are for embeddings of {own} values, not {asked}")]
    Networks {
        /// Values of the embeddings.
        asked: usize,
        /// Values that the networks take.
        own: usize,
    },
    /// What gives columns could not be made.
    #[error("allocation cannot be set up")]
    Allocation(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Columns may have a grid of [`u32::MAX`] places, but a log no more than this.
    #[error("a grid of {got} columns; a store has at most {max}")]
    GridTooLarge {
        /// Its columns.
        got: usize,
        /// The most allowed.
        max: usize,
    },
    /// There is no memory for all that the store holds. Nothing is wrong with it, and nothing of it
    /// was changed.
    #[error("there is not enough memory for what the store holds")]
    NoMemory(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A store that may hold nothing is none; leave the capacity out for one without a limit.
    #[error("capacity: got {got}, expected 1 to {max}; leave it out for a store without a limit")]
    Capacity {
        /// The capacity offered.
        got: usize,
        /// The most allowed.
        max: usize,
    },
    /// The search radius must be finite and above 0.
    #[error("search_radius: got {got}, expected a finite number above 0")]
    SearchRadius {
        /// The radius offered.
        got: f32,
    },
    /// The new vector space could not be written to the log.
    #[error("cannot write the vector space to the log")]
    Commit(#[from] CommitError),
}

impl From<HnswError> for OpenError {
    fn from(error: HnswError) -> Self {
        match error {
            HnswError::Vector(error) => Self::Space(error),
            other => Self::Graph(other),
        }
    }
}

/// Why an episode was not stored.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store was opened to refuse what is more than its capacity: forget something, or open it with a
    /// larger capacity or to forget the weakest.
    #[error(
        "the store holds {live} of {capacity} episodes and refuses more; forget some, or open it with a \
         larger capacity or to forget the weakest"
    )]
    AtCapacity {
        /// Episodes that it holds.
        live: usize,
        /// Its capacity.
        capacity: usize,
    },
    /// Another write of a list of which all or none were to be done was refused; mend or leave out that one.
    #[error(
        "nothing was written: number {item} of the list was refused, and all were to be done or none"
    )]
    Abandoned {
        /// Which one of the list, from 0.
        item: usize,
    },
    /// Choose an id of 1 to 256 bytes.
    #[error("id: got {got} bytes, expected 1 to 256")]
    InvalidId {
        /// Its length in bytes.
        got: usize,
    },
    /// There is another episode with this id already. Only an import says so; storing updates it.
    #[error("id: {id:?} is taken by another episode")]
    IdTaken {
        /// The id.
        id: String,
    },
    /// A text or a list is too long; shorten it.
    #[error("{field}: got {got}, expected at most {max}")]
    TooLarge {
        /// Which field.
        field: &'static str,
        /// Its length: bytes of a text, entries of a list, bytes of the whole episode.
        got: usize,
        /// The most allowed.
        max: usize,
    },
    /// Metadata numbers are finite.
    #[error("metadata: {key:?} is not a finite number")]
    MetadataNotFinite {
        /// Which entry.
        key: String,
    },
    /// The embedding does not belong to the store's vector space.
    #[error("embedding: {0}")]
    Embedding(VectorError),
    /// The store has no vector space; open it with a dimension, or store without an embedding.
    #[error("embedding: the store has no vector space; open it with a dimension")]
    NoSpace,
    /// The store holds as many episodes as it can count.
    #[error("the store is full at {max} episodes")]
    Full {
        /// How many it holds.
        max: u32,
    },
    /// The log refused the record.
    #[error("the log refused the episode")]
    Append(#[source] Arc<AppendError>),
    /// The log could not be written. The episode counts as not stored.
    #[error("the log could not be written")]
    Log(#[source] Arc<CommitError>),
}

impl StoreError {
    /// Whether the system had no memory for it: nothing is wrong with the episode.
    pub fn is_out_of_memory(&self) -> bool {
        matches!(self, Self::Embedding(VectorError::OutOfMemory { .. }))
    }
}

/// Why a recall was refused.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RecallError {
    /// Ask for 1 to 1000 results.
    #[error("max_results: got {got}, expected 1 to {}", crate::cue::MAX_RESULTS)]
    MaxResults {
        /// How many were asked for.
        got: usize,
    },
    /// The threshold must be a number.
    #[error("result_threshold: got {got}, expected a finite number")]
    Threshold {
        /// The threshold offered.
        got: f32,
    },
    /// Keep 1 to [`EF_MAX`](crate::EF_MAX) candidates.
    #[error("ef: got {got}, expected 1 to {}", crate::accuracy::EF_MAX)]
    Ef {
        /// How many were to be kept.
        got: usize,
    },
    /// The cue's vector does not belong to the store's vector space.
    #[error("embedding: {0}")]
    Embedding(#[from] VectorError),
    /// The store has no vector space, so nothing can be found by vector.
    #[error("embedding: the store has no vector space")]
    NoSpace,
}

/// Why an association was not made.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssociateError {
    /// Store the episode first.
    #[error("{field}: there is no episode {id:?}")]
    UnknownId {
        /// Which end: from or to.
        field: &'static str,
        /// The id.
        id: String,
    },
    /// Another write of a list of which all or none were to be done was refused; mend or leave out that one.
    #[error(
        "nothing was written: number {item} of the list was refused, and all were to be done or none"
    )]
    Abandoned {
        /// Which one of the list, from 0.
        item: usize,
    },
    /// A weight is above 0 and at most 1.
    #[error("weight: got {got}, expected a number above 0 and at most 1")]
    Weight {
        /// The weight offered.
        got: f32,
    },
    /// The log refused the record.
    #[error("the log refused the association")]
    Append(#[source] Arc<AppendError>),
    /// The log could not be written. The association counts as not made.
    #[error("the log could not be written")]
    Log(#[source] Arc<CommitError>),
}

/// Why an episode was not forgotten.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ForgetError {
    /// Another write of a list of which all or none were to be done was refused; mend or leave out that one.
    #[error(
        "nothing was written: number {item} of the list was refused, and all were to be done or none"
    )]
    Abandoned {
        /// Which one of the list, from 0.
        item: usize,
    },
    /// There is no such episode, or not any more.
    #[error("id: there is no episode {id:?}")]
    UnknownId {
        /// The id.
        id: String,
    },
    /// The log refused the record.
    #[error("the log refused the record")]
    Append(#[source] Arc<AppendError>),
    /// The log could not be written. The episode is still there.
    #[error("the log could not be written")]
    Log(#[source] Arc<CommitError>),
}

/// Why what recalls have noted was not applied. It waits for the next write or tick.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TickError {
    /// The log refused the record.
    #[error("the log refused the record")]
    Append(#[source] Arc<AppendError>),
    /// The log could not be written.
    #[error("the log could not be written")]
    Log(#[source] Arc<CommitError>),
}

/// Why a store was not compacted, copied, restored or repaired. It is as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpkeepError {
    /// A store in memory has no files to copy; export it.
    #[error("the store lies in memory and has no files")]
    InMemory,
    /// The store that was to be restored is not sound; `check` lists all damage.
    #[error("what was to be restored is damaged in {places} places")]
    Damaged {
        /// In how many places.
        places: u64,
    },
    /// The log said why.
    #[error(transparent)]
    Log(#[from] CompactError),
    /// The store could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Why not all is indexed. Recalls are right all the same, and what is not indexed is found too.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IndexingError {
    /// Open the store again to begin anew.
    #[error("the index is not kept up any more, open the store again: {why}")]
    Stopped {
        /// What has happened.
        why: String,
    },
}
