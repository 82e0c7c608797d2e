//! Everything within a threshold, by the graph.

use crate::filter::Filter;
use crate::hnsw::search::Nearest;
use crate::hnsw::{HnswIndex, WIDTH_MAX};
use crate::range::{check_threshold, cut};
use crate::vector_index::{Neighbor, VectorError, VectorIndex};

/// What to look for within a threshold.
#[derive(Clone, Copy, Debug)]
pub struct Within<'a> {
    /// The least score of what is found.
    pub threshold: f32,
    /// How many candidates a walk keeps at first (ef), up to [`WIDTH_MAX`](crate::WIDTH_MAX): more
    /// finds more and takes longer.
    pub width: usize,
    /// What may be found.
    pub filter: Filter<'a>,
}

impl Default for Within<'_> {
    /// Anything, as wide as [`Nearest`] is by default.
    fn default() -> Self {
        let Nearest { width, filter, .. } = Nearest::default();
        Self {
            threshold: f32::NEG_INFINITY,
            width,
            filter,
        }
    }
}

/// Where more than one in so many of all vectors would be candidates of a walk, all are compared.
const COMPARED_AT: usize = 8;

impl HnswIndex {
    /// About all vectors whose score is at least the threshold and which the filter lets through,
    /// by score descending, then row ascending; scores are those of the exact search. NaN is
    /// refused.
    ///
    /// It is a [`nearest`](HnswIndex::nearest) for half of `width`, for twice as many and so on until
    /// the last that is found lies below the threshold, each walk three times as wide as what it is
    /// to find. Where that would be an eighth of all vectors, all are compared, and the answer is
    /// that of [`search_within`](VectorIndex::search_within), filtered.
    pub fn nearest_within(
        &self,
        query: &[f32],
        how: Within<'_>,
    ) -> Result<Vec<Neighbor>, VectorError> {
        let Within {
            threshold,
            width,
            filter,
        } = how;
        self.check(query)?;
        check_threshold(threshold)?;
        let mut k = (width / 2).max(1);
        while k < self.len() / COMPARED_AT && 3 * k <= WIDTH_MAX {
            let how = Nearest {
                k,
                // All k count, the last as much as the first: a wider walk than for the nearest.
                width: width.max(3 * k),
                filter,
            };
            let mut found = self.nearest(query, how)?;
            let is_all = found.len() < k;
            if is_all || found.last().is_some_and(|last| last.score < threshold) {
                cut(&mut found, threshold);
                return Ok(found);
            }
            k *= 2;
        }
        let mut found = self.search_within(query, threshold)?;
        found.retain(|neighbor| filter.lets(neighbor.row.get()));
        Ok(found)
    }
}
