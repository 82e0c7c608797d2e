//! Everything within a threshold.

use crate::exact::ExactIndex;
use crate::vector_index::{Neighbor, Query, VectorError};

impl ExactIndex {
    /// All whose score is at least `threshold`: rows are selected by their keys, with the margin
    /// that belongs to the threshold, and then scored canonically.
    pub(crate) fn within(
        &self,
        query: &[f32],
        threshold: f32,
    ) -> Result<Vec<Neighbor>, VectorError> {
        let everything = Query {
            vector: query,
            k: usize::MAX,
        };
        let query = self.admit_query(&everything)?;
        check_threshold(threshold)?;
        let vectors = self.read();
        let reader = vectors.rows.read();
        let limit = self.limit(&vectors, &query).reaching(threshold);
        let mut rows: Vec<u32> = Vec::new();
        self.scan(
            &vectors,
            &reader,
            &[&query.vector],
            &mut Vec::new(),
            |_, first_row, keys| {
                let near = keys.iter().enumerate().filter(|&(_, &key)| key >= limit);
                rows.extend(near.map(|(at, _)| (first_row + at) as u32));
            },
        );
        let mut found = self.rank(
            &vectors,
            &reader,
            &query,
            rows.into_iter(),
            std::iter::empty(),
        );
        cut(&mut found, threshold);
        Ok(found)
    }
}

pub(crate) fn check_threshold(threshold: f32) -> Result<(), VectorError> {
    if threshold.is_nan() {
        return Err(VectorError::NanThreshold);
    }
    Ok(())
}

/// Leaves what reaches the threshold of what comes best first.
pub(crate) fn cut(found: &mut Vec<Neighbor>, threshold: f32) {
    let within = found.partition_point(|neighbor| neighbor.score >= threshold);
    found.truncate(within);
}
