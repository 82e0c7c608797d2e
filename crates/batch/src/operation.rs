//! What can be asked for.

use cortica_memory::{Association, Cue, Episode};

/// One thing to be done. What it answers is in [`Answered`](crate::Answered).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(
    clippy::large_enum_variant,
    reason = "an episode is what most operations carry; a box would be one more allocation each"
)]
pub enum Operation {
    /// Stores an episode, as [`MemoryStore::store`](cortica_memory::MemoryStore::store) does.
    Store(Episode),
    /// Stores an episode and gives its concept a column. Refused where the store allocates nothing.
    Allocate(Episode),
    /// Recalls by a cue.
    Recall {
        /// What to look for.
        cue: Cue,
        /// Whether results come with their embeddings.
        vectors: bool,
    },
    /// Finds the nearest embeddings by comparing with every one.
    SimilaritySearch {
        /// A vector of the store's space.
        query: Vec<f32>,
        /// How many, 1 to [`MAX_RESULTS`](cortica_memory::MAX_RESULTS).
        k: usize,
        /// Leaves out what scores below this.
        threshold: Option<f32>,
        /// Whether results come with their embeddings.
        vectors: bool,
    },
    /// Links two episodes.
    Associate(Association),
    /// Forgets an episode.
    Forget(String),
    /// Spreads activation from what a cue finds. Refused: there is no spreading yet.
    Spread(Cue),
    /// Completes a partial pattern. Refused: there is no completion yet.
    Complete(Cue),
    /// What could not be read, and why: refused in its place among the others, so that each line of
    /// a file and each part of a request has its answer.
    Unreadable(String),
}

/// What an operation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// [`Operation::Store`].
    Store,
    /// [`Operation::Allocate`].
    Allocate,
    /// [`Operation::Recall`].
    Recall,
    /// [`Operation::SimilaritySearch`].
    SimilaritySearch,
    /// [`Operation::Associate`].
    Associate,
    /// [`Operation::Forget`].
    Forget,
    /// [`Operation::Spread`].
    Spread,
    /// [`Operation::Complete`].
    Complete,
    /// [`Operation::Unreadable`].
    Unreadable,
}

impl Operation {
    /// Recalls by a cue, without embeddings.
    #[must_use]
    pub fn recall(cue: Cue) -> Self {
        Self::Recall {
            cue,
            vectors: false,
        }
    }

    /// Finds the `k` nearest embeddings, and does not bring them along.
    #[must_use]
    pub fn similarity(query: Vec<f32>, k: usize) -> Self {
        Self::SimilaritySearch {
            query,
            k,
            threshold: None,
            vectors: false,
        }
    }

    /// Forgets an episode.
    #[must_use]
    pub fn forget(id: impl Into<String>) -> Self {
        Self::Forget(id.into())
    }

    /// Results come with their embeddings, where there are results.
    #[must_use]
    pub fn with_vectors(mut self) -> Self {
        if let Self::Recall { vectors, .. } | Self::SimilaritySearch { vectors, .. } = &mut self {
            *vectors = true;
        }
        self
    }

    /// What it and its answer may come to in bytes of memory, as
    /// [`memory_limit`](crate::BatchConfig::memory_limit) counts them.
    pub fn bytes(&self) -> usize {
        crate::bytes::needed(self)
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Store(_) => Kind::Store,
            Self::Allocate(_) => Kind::Allocate,
            Self::Recall { .. } => Kind::Recall,
            Self::SimilaritySearch { .. } => Kind::SimilaritySearch,
            Self::Associate(_) => Kind::Associate,
            Self::Forget(_) => Kind::Forget,
            Self::Spread(_) => Kind::Spread,
            Self::Complete(_) => Kind::Complete,
            Self::Unreadable(_) => Kind::Unreadable,
        }
    }
}

impl Kind {
    /// Whether it changes nothing.
    pub fn only_reads(self) -> bool {
        matches!(
            self,
            Self::Recall | Self::SimilaritySearch | Self::Spread | Self::Complete
        )
    }

    /// Its name, in lower case.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Store => "store",
            Self::Allocate => "allocate",
            Self::Recall => "recall",
            Self::SimilaritySearch => "similarity_search",
            Self::Associate => "associate",
            Self::Forget => "forget",
            Self::Spread => "spread",
            Self::Complete => "complete",
            Self::Unreadable => "unreadable",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
