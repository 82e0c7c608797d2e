//! How sure a recall is to find the best matches.

/// Candidates that an approximate recall keeps where nothing else is said: enough to find at least
/// 95 of 100 true neighbours on the embeddings this was measured with.
pub const EF_DEFAULT: usize = 64;

/// The most candidates that an approximate recall may keep.
pub const EF_MAX: usize = cortica_index::WIDTH_MAX;

/// How sure a recall is to find the best matches. Scores are exact either way, and what was stored
/// is found at once, whether it is indexed yet or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Accuracy {
    /// Compares every vector. The same bits whatever the state of the index, alone, in batches and
    /// on any number of threads.
    #[default]
    Exact,
    /// Walks along the graph index, and compares what is not indexed yet by its codes. Finds most
    /// of the best matches, in a fraction of the time. Against the same state of the index the same
    /// bits, alone, in batches and on any number of threads; while the index changes, answers may.
    Approximate {
        /// How many candidates the walk keeps, 1 to [`EF_MAX`], and never fewer than the results
        /// asked for: more finds more and takes longer.
        ef: usize,
    },
}

impl Accuracy {
    /// Approximate, with [`EF_DEFAULT`].
    #[must_use]
    pub const fn approximate() -> Self {
        Self::Approximate { ef: EF_DEFAULT }
    }
}
