//! What the right answer is, computed apart from the engine.
//!
//! Plain f64 arithmetic over the values that were offered for storing. A result counts towards
//! recall when its exact score is at least that of the k-th neighbour minus [`TOLERANCE`]: f32
//! rows a rounding error apart may change places.

/// How far below the k-th neighbour a result may score and still count.
pub(crate) const TOLERANCE: f64 = 1e-6;

/// The cosine of the angle between two vectors, 0 if one of them has no length.
pub(crate) fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths > 0.0 {
        dot(a, b) / lengths
    } else {
        0.0
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    // Eight sums, so that an addition need not wait for the one before.
    let mut sums = [0.0_f64; 8];
    let (a_blocks, b_blocks) = (a.chunks_exact(8), b.chunks_exact(8));
    let tail = a_blocks.remainder().iter().zip(b_blocks.remainder());
    let tail: f64 = tail.map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
    for (a, b) in a_blocks.zip(b_blocks) {
        for ((sum, &a), &b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f64::from(a) * f64::from(b);
        }
    }
    sums.iter().sum::<f64>() + tail
}

/// The best scores seen so far, best first, at most `max` of them.
#[derive(Clone, Debug)]
pub(crate) struct Best {
    scores: Vec<f64>,
    max: usize,
}

impl Best {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            scores: Vec::with_capacity(max + 1),
            max,
        }
    }

    pub(crate) fn offer(&mut self, score: f64) {
        if self.scores.len() == self.max && self.scores.last().is_some_and(|last| score <= *last) {
            return;
        }
        let at = self.scores.partition_point(|kept| *kept >= score);
        self.scores.insert(at, score);
        self.scores.truncate(self.max);
    }

    /// The score of the k-th neighbour, or of the last one where there are fewer than k.
    pub(crate) fn kth(&self, k: usize) -> Option<f64> {
        self.scores
            .get(k.min(self.scores.len()).checked_sub(1)?)
            .copied()
    }
}

/// The share of the k nearest that was found: `scores` are the exact scores of distinct
/// results, `kth` that of the k-th neighbour, `possible` how many there are to find.
pub(crate) fn share_found(scores: &[f64], kth: f64, possible: usize) -> f64 {
    let found = scores
        .iter()
        .filter(|score| **score >= kth - TOLERANCE)
        .count();
    if possible == 0 {
        1.0
    } else {
        found.min(possible) as f64 / possible as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_ignores_length_and_survives_zero() {
        let a: Vec<f32> = (1_i16..20).map(f32::from).collect();
        let b: Vec<f32> = a.iter().map(|x| x * 3.0).collect();
        assert!((cosine(&a, &b) - 1.0).abs() < 1e-12);
        assert_eq!(cosine(&a, &[0.0; 19]), 0.0);
    }

    #[test]
    fn best_keeps_the_best() {
        let mut best = Best::new(3);
        for score in [0.1, 0.9, 0.5, 0.7, 0.2] {
            best.offer(score);
        }
        assert_eq!(
            (best.kth(1), best.kth(3), best.kth(9)),
            (Some(0.9), Some(0.5), Some(0.5))
        );
        assert_eq!(Best::new(3).kth(1), None);
    }

    #[test]
    fn a_rounding_error_below_the_kth_still_counts() {
        assert_eq!(share_found(&[0.9, 0.5 - 1e-7, 0.4], 0.5, 2), 1.0);
        assert_eq!(share_found(&[0.9, 0.4], 0.5, 2), 0.5);
    }
}
