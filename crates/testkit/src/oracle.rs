//! The right answer, in f64 and by definition: slow and obvious.

/// A result counts when its exact score is at least the k-th one minus this: two rows that f32
/// cannot tell apart may stand in either order.
pub const TOLERANCE: f64 = 1e-6;

/// How two vectors are compared. Greater scores are better for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Measure {
    /// Cosine of the angle, in -1..=1; 0 when either vector is zero.
    Cosine,
    /// Dot product.
    Dot,
    /// Squared Euclidean distance, negated.
    L2,
}

/// The score of one pair of vectors of equal length.
pub fn score(measure: Measure, a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len(), "vectors of different dimension");
    let pairs = a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    match measure {
        Measure::Dot => pairs.map(|(a, b)| a * b).sum(),
        Measure::L2 => -pairs.map(|(a, b)| (a - b) * (a - b)).sum::<f64>(),
        Measure::Cosine => {
            let (mut dot, mut aa, mut bb) = (0.0, 0.0, 0.0);
            for (a, b) in pairs {
                dot += a * b;
                aa += a * a;
                bb += b * b;
            }
            // Two roots, not one of the product: that would overflow first.
            let norms = f64::sqrt(aa) * f64::sqrt(bb);
            if norms == 0.0 { 0.0 } else { dot / norms }
        }
    }
}

/// Cosine of the angle between `a` and `b`; 0 when either is zero.
pub fn cosine(a: &[f32], b: &[f32]) -> f64 {
    score(Measure::Cosine, a, b)
}

/// The score of every row: `rows` holds rows of `d` values, one after the other.
pub fn scores(measure: Measure, rows: &[f32], d: usize, query: &[f32]) -> Vec<f64> {
    assert_eq!(rows.len() % d, 0, "not a whole number of rows");
    rows.chunks_exact(d)
        .map(|row| score(measure, row, query))
        .collect()
}

/// The `k` best rows by cosine with their scores, best first, equal scores by row.
pub fn brute_force(rows: &[f32], d: usize, query: &[f32], k: usize) -> Vec<(usize, f64)> {
    brute_force_by(Measure::Cosine, rows, d, query, k)
}

/// The `k` best rows by any measure, best first, equal scores by row.
pub fn brute_force_by(
    measure: Measure,
    rows: &[f32],
    d: usize,
    query: &[f32],
    k: usize,
) -> Vec<(usize, f64)> {
    let scores = scores(measure, rows, d, query);
    let mut best: Vec<(usize, f64)> = scores.into_iter().enumerate().collect();
    // The sort is stable, and rows come in order.
    best.sort_by(|a, b| b.1.total_cmp(&a.1));
    best.truncate(k);
    best
}

/// The share of the first `k` of `got` that are right, given the exact score of every row.
///
/// Right means: an exact score of at least the k-th best minus [`TOLERANCE`]. A row given twice
/// counts once, a row that does not exist never. With fewer than `k` rows, all of them are asked
/// for. 1 when nothing was asked for.
pub fn recall_at(k: usize, got: &[u32], scores: &[f64]) -> f64 {
    let mut sorted = scores.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let k = k.min(sorted.len());
    if k == 0 {
        return 1.0;
    }
    recall_above(sorted[k - 1], k, got, |row| {
        scores.get(row as usize).copied()
    })
}

/// The same when the k-th best score is already known: scores only the rows in `got`.
pub fn recall_above(
    kth_score: f64,
    k: usize,
    got: &[u32],
    score_of: impl Fn(u32) -> Option<f64>,
) -> f64 {
    let got = &got[..k.min(got.len())];
    let right = got.iter().enumerate().filter(|&(at, row)| {
        let first = !got[..at].contains(row);
        first && score_of(*row).is_some_and(|score| score >= kth_score - TOLERANCE)
    });
    right.count() as f64 / k as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worked_examples() {
        let (a, b) = ([3.0, 4.0], [4.0, 3.0]);
        assert_eq!(score(Measure::Dot, &a, &b), 24.0);
        assert_eq!(score(Measure::L2, &a, &b), -2.0);
        assert_eq!(score(Measure::Cosine, &a, &b), 0.96);
        assert_eq!(cosine(&[1.0, 0.0], &[-2.0, 0.0]), -1.0);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 5.0]), 0.0);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 1.0]), 0.0);
        assert_eq!(cosine(&[], &[]), 0.0);
        // Squares of these overflow f32; the cosine is still right.
        assert!((cosine(&[1e30, 1e30], &[1e-30, 0.0]) - 0.5_f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn equal_scores_by_row() {
        let rows = [0.0, 1.0, 2.0, 0.0, 1.0, 0.0, 0.0, -1.0];
        let rows_of = |found: Vec<(usize, f64)>| -> Vec<usize> {
            found.into_iter().map(|(row, _)| row).collect()
        };
        assert_eq!(rows_of(brute_force(&rows, 2, &[1.0, 0.0], 9)), [1, 2, 0, 3]);
        let dot = brute_force_by(Measure::Dot, &rows, 2, &[1.0, 0.0], 2);
        assert_eq!(dot, [(1, 2.0), (2, 1.0)]);
        let near = brute_force_by(Measure::L2, &rows, 2, &[1.0, 0.0], 2);
        assert_eq!(near, [(2, 0.0), (1, -1.0)]);
    }

    #[track_caller]
    fn check(k: usize, got: &[u32], scores: &[f64], want: f64) {
        assert_eq!(recall_at(k, got, scores), want);
    }

    #[test]
    fn recall() {
        let scores = [0.9, 0.8, 0.7, 0.7, 0.1];
        check(3, &[0, 1, 2], &scores, 1.0);
        check(3, &[3, 1, 0], &scores, 1.0); // Row 3 ties with row 2.
        check(3, &[0, 1, 4], &scores, 2.0 / 3.0);
        check(3, &[0, 0, 0], &scores, 1.0 / 3.0); // Given twice counts once.
        check(3, &[0, 1], &scores, 2.0 / 3.0); // Missing counts as wrong.
        check(2, &[4, 4, 0, 1], &scores, 0.0); // Only the first k are looked at.
        check(9, &[0, 1, 2, 3, 4], &scores, 1.0);
        check(1, &[77], &scores, 0.0);
        check(0, &[], &scores, 1.0);
        check(3, &[], &[], 1.0);
    }

    #[test]
    fn the_tolerance_is_what_it_says() {
        check(1, &[1], &[0.5, 0.5 - 0.9e-6], 1.0);
        check(1, &[1], &[0.5, 0.5 - 1.1e-6], 0.0);
    }
}
