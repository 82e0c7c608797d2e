//! What every index can do.

use crate::metric::Metric;
use crate::prepared::Prepared;
use std::fmt;

/// The most values a vector may have.
pub const DIMENSION_MAX: usize = 8_192;

/// Where a vector lies in its index. Not an identity: replacing a vector gives it another row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row(u32);

impl Row {
    /// The row with this number. While none is removed, rows are numbered from 0 in the order of
    /// insertion; a removed row is given out again.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// The row's number.
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A vector that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Neighbor {
    /// Where it lies.
    pub row: Row,
    /// How near it is, by the index's [`Metric`]; more is nearer.
    pub score: f32,
}

/// What came of replacing a vector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upserted {
    /// Where the new one lies.
    pub row: Row,
    /// Whether the row that was named held one. Of two threads that replace the same at once one is
    /// told so, and what both have put in is there.
    pub replaced: bool,
}

/// What checking a vector found out about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Checked {
    /// The vector's Euclidean length.
    pub(crate) norm: f64,
}

impl Checked {
    /// The vector's Euclidean length.
    pub fn norm(&self) -> f64 {
        self.norm
    }
}

/// Why a vector was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    /// Use vectors of the index's dimension.
    #[error("dimension: got {got} values, expected {expected}")]
    Dimension {
        /// Values in the vector that was offered.
        got: usize,
        /// Values in each vector of the index.
        expected: usize,
    },
    /// Every value must be a finite number.
    #[error("value {index} is {value}, expected a finite number")]
    NotFinite {
        /// Which value, counted from 0.
        index: usize,
        /// NaN or an infinity.
        value: f32,
    },
    /// A zero vector has no direction, so cosine cannot place it.
    #[error("all values are zero, expected a direction (metric cosine)")]
    ZeroVector,
    /// Scale the vectors down: the squares would leave the range of f32.
    #[error("the length is {norm:e}, expected at most {max:e} (metric {metric})")]
    TooLong {
        /// The vector's Euclidean length.
        norm: f64,
        /// The longest allowed.
        max: f64,
        /// The index's metric.
        metric: Metric,
    },
    /// A dimension is 1 to [`DIMENSION_MAX`].
    #[error("dimension: got {got}, expected 1 to {DIMENSION_MAX}")]
    DimensionRange {
        /// The dimension asked for.
        got: usize,
    },
    /// At least one neighbour must be asked for.
    #[error("k: got 0, expected at least 1")]
    ZeroK,
    /// A threshold must be a number; infinities are: nothing reaches the one, all the other.
    #[error("threshold: got NaN, expected a score")]
    NanThreshold,
    /// The system has no memory left for more vectors.
    #[error("cannot get {bytes} bytes of memory for vectors")]
    OutOfMemory {
        /// How much was asked for.
        bytes: usize,
    },
    /// Insert it into the index that prepared it.
    #[error("the vector was prepared by another index")]
    OtherIndex,
    /// The index holds as many vectors as a row number can count.
    #[error("the index is full at {max} vectors")]
    Full {
        /// How many it holds.
        max: u32,
    },
}

/// What an index holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexStats {
    /// Vectors held.
    pub vectors: u64,
    /// Bytes of memory taken by the vectors and what belongs to them. It does not shrink: the memory of
    /// vectors that were removed is kept for those to come.
    pub bytes: u64,
}

/// Finds the vectors nearest to a query. Shared freely between threads.
pub trait VectorIndex: Send + Sync + fmt::Debug {
    /// Values in each vector.
    fn dimension(&self) -> usize;

    /// How vectors are compared.
    fn metric(&self) -> Metric;

    /// How many vectors it holds.
    fn len(&self) -> usize;

    /// Whether it holds none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says whether [`insert`](VectorIndex::insert) and [`search`](VectorIndex::search) would take
    /// this vector. O(d).
    fn check(&self, vector: &[f32]) -> Result<Checked, VectorError>;

    /// Gets the memory for the values of `additional` more vectors, so that [`prepare`](VectorIndex::prepare)
    /// and [`insert`](VectorIndex::insert) cannot refuse them as [`OutOfMemory`](VectorError::OutOfMemory).
    ///
    /// What an index keeps beside them, such as norms, and the links and codes of a graph, is got as they
    /// are inserted and linked: without memory for that the process ends, as it does wherever a `Vec`
    /// cannot grow.
    fn reserve(&self, additional: usize) -> Result<(), VectorError>;

    /// Adds a vector and returns its row. It can be found as soon as this returns.
    fn insert(&self, vector: &[f32]) -> Result<Row, VectorError> {
        let checked = self.check(vector)?;
        self.insert_checked(vector, checked)
    }

    /// Adds a vector that [`check`](VectorIndex::check) of this index has passed, without looking
    /// at every value again. With what was checked for another vector, scores come out wrong.
    fn insert_checked(&self, vector: &[f32], checked: Checked) -> Result<Row, VectorError> {
        self.insert_prepared(self.prepare(vector, checked)?)
    }

    /// Writes a vector that [`check`](VectorIndex::check) of this index has passed into a row,
    /// where it is not found yet: the longer part of inserting it, and one that no search waits
    /// for. O(d).
    fn prepare(&self, vector: &[f32], checked: Checked) -> Result<Prepared<'_>, VectorError>;

    /// Lets a vector that this index has prepared be found, and returns its row. Refuses one of
    /// another index, and nothing else. O(1).
    fn insert_prepared(&self, prepared: Prepared<'_>) -> Result<Row, VectorError>;

    /// Removes a vector: it is not found any more when this returns, and its row will be given to
    /// another one. False for a row that holds none. O(1).
    fn remove(&self, row: Row) -> bool;

    /// Puts a vector in the place of the one in `row`, if there is one, and adds it if not. A row is
    /// no identity: what takes another's place has another row, and what is added may have any. Two
    /// callers who replace the same row at once are to agree who does, since a row that was given up
    /// may be given to a third. When this returns, it can be found and the old
    /// one cannot; a search that goes on meanwhile finds one of them or both, never neither. A
    /// vector that is refused changes nothing. O(d).
    fn upsert(&self, row: Row, vector: &[f32]) -> Result<Upserted, VectorError> {
        let new = self.insert(vector)?;
        // Only now: in between, neither would be found.
        let replaced = new != row && self.remove(row);
        Ok(Upserted { row: new, replaced })
    }

    /// Whether a row holds what inserting `vector` would put there, bit for bit. O(d).
    fn holds(&self, row: Row, vector: &[f32]) -> bool;

    /// The vector in a row, as it was inserted; `None` for a row that holds none.
    fn vector(&self, row: Row) -> Option<Vec<f32>>;

    /// The `k` nearest vectors **and every other one that ties with the k-th**, by score
    /// descending, then row ascending. Fewer when the index holds fewer.
    fn search(&self, query: &[f32], k: usize) -> Result<Vec<Neighbor>, VectorError>;

    /// **Every** vector whose score is at least `threshold`, by score descending, then row
    /// ascending. Scores are those of [`search`](VectorIndex::search), bit for bit, so a threshold
    /// that is the score of a vector finds that vector. NaN is refused.
    ///
    /// Costs what a search costs, and a score for each vector that is found.
    fn search_within(&self, query: &[f32], threshold: f32) -> Result<Vec<Neighbor>, VectorError>;

    /// What [`search`](VectorIndex::search) gives for each query, bit for bit, in one pass. Answer
    /// i is for query i; one bad query fails alone.
    fn search_many(&self, queries: &[Query<'_>]) -> Vec<Result<Vec<Neighbor>, VectorError>>;

    /// What it holds.
    fn stats(&self) -> IndexStats;
}

/// One query of a batch.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// What to look for.
    pub vector: &'a [f32],
    /// How many neighbours to return.
    pub k: usize,
}
