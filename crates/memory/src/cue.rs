//! What to look for, and what was found.

use crate::accuracy::{Accuracy, EF_MAX};
use crate::episode::Memory;
use crate::error::RecallError;
use std::sync::Arc;

/// The most results a recall may ask for.
pub const MAX_RESULTS: usize = 1_000;

/// What to look for: a vector of the store's space, how many results, and how good they must be.
#[derive(Clone, Debug, PartialEq)]
pub struct Cue {
    embedding: Vec<f32>,
    max_results: usize,
    result_threshold: Option<f32>,
    accuracy: Accuracy,
}

impl Cue {
    /// Looks for the 10 memories whose embeddings are nearest to this one.
    #[must_use]
    pub fn embedding(mut embedding: Vec<f32>) -> Self {
        // Cues wait in queues that count the values they hold: places without one would add to that.
        embedding.shrink_to_fit();
        Self {
            embedding,
            max_results: 10,
            result_threshold: None,
            accuracy: Accuracy::Exact,
        }
    }

    /// Looks for at most this many, 1 to [`MAX_RESULTS`].
    #[must_use]
    pub fn max_results(mut self, max_results: usize) -> Self {
        self.max_results = max_results;
        self
    }

    /// Leaves out results whose score is below this.
    #[must_use]
    pub fn result_threshold(mut self, threshold: f32) -> Self {
        self.result_threshold = Some(threshold);
        self
    }

    /// Finds the best matches, which is the default, or most of them in less time.
    #[must_use]
    pub fn accuracy(mut self, accuracy: Accuracy) -> Self {
        self.accuracy = accuracy;
        self
    }

    /// How sure it is to find the best matches.
    pub fn how_sure(&self) -> Accuracy {
        self.accuracy
    }

    /// The vector it looks around.
    pub fn vector(&self) -> &[f32] {
        &self.embedding
    }

    /// How many memories it looks for at most.
    pub fn k(&self) -> usize {
        self.max_results
    }

    pub(crate) fn threshold(&self) -> f32 {
        self.result_threshold.unwrap_or(f32::NEG_INFINITY)
    }

    /// Refuses what cannot be looked for, the vector aside.
    pub(crate) fn check(&self) -> Result<(), RecallError> {
        if !(1..=MAX_RESULTS).contains(&self.max_results) {
            return Err(RecallError::MaxResults {
                got: self.max_results,
            });
        }
        if let Accuracy::Approximate { ef } = self.accuracy
            && !(1..=EF_MAX).contains(&ef)
        {
            return Err(RecallError::Ef { got: ef });
        }
        match self.result_threshold {
            Some(got) if !got.is_finite() => Err(RecallError::Threshold { got }),
            _ => Ok(()),
        }
    }
}

/// A memory that was found. Results come by score descending, then `seq` ascending.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Recalled {
    /// How near its embedding is to the cue's, by the store's metric; more is nearer.
    pub score: f32,
    /// The memory.
    pub memory: Arc<Memory>,
}

impl Recalled {
    /// A memory, and how near it is.
    pub fn new(score: f32, memory: Arc<Memory>) -> Self {
        Self { score, memory }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cue_holds_no_more_than_its_values() {
        let mut vector = Vec::with_capacity(64 << 10);
        vector.extend([1.0; 256]);
        assert!(Cue::embedding(vector).embedding.capacity() < 512);
    }
}
