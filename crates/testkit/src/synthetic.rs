//! Synthetic input, for edges and scale only: quality is judged on real data.

/// A small random generator (SplitMix64, Steele, Lea and Flood 2014): the same numbers from the
/// same seed on every machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng(u64);

impl Rng {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The next 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0..end`; 0 when `end` is 0. Off from even by at most `end / 2^64`.
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.bits()) * end as u128) >> 64) as usize
    }

    /// A number in `0.0..1.0`, a multiple of 2^-24.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / 16_777_216.0
    }

    /// Nearly Gaussian, mean 0, deviation 1: four uniform numbers added up. No logarithm or cosine,
    /// whose last bit differs between machines.
    pub fn gaussian(&mut self) -> f32 {
        let sum: f32 = (0..4).map(|_| self.unit() - 0.5).sum();
        sum * 1.732_050_8
    }

    /// A vector of `d` such numbers.
    pub fn vector(&mut self, d: usize) -> Vec<f32> {
        (0..d).map(|_| self.gaussian()).collect()
    }
}

/// **Synthetic**: `n` unit vectors of dimension `d` in about `sqrt(n)` clusters, row after row.
///
/// A row is its cluster's centre plus noise of 0.6 of the centre's length, normalised, so that
/// neighbours have cosines around 0.7 and strangers around 0. The first rows of a longer set are
/// those of a shorter one only when both have the same number of clusters; for queries make
/// `n + queries` rows and split them. Rows of dimension 0 are empty; no row is zero.
pub fn clustered(n: usize, d: usize, seed: u64) -> Vec<f32> {
    let mut rng = Rng::new(seed);
    let clusters = n.isqrt().max(1);
    let centres = rng.vector(clusters * d);
    let mut rows = Vec::with_capacity(n * d);
    for _ in 0..n {
        let start = rng.below(clusters) * d;
        let mut row: Vec<f32> = centres[start..start + d]
            .iter()
            .map(|centre| centre + 0.6 * rng.gaussian())
            .collect();
        // Sequential: the same bits everywhere.
        let norm = row.iter().map(|v| v * v).sum::<f32>().sqrt();
        if norm > 0.0 {
            for value in &mut row {
                *value /= norm;
            }
        } else if let Some(first) = row.first_mut() {
            *first = 1.0;
        }
        rows.extend(row);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cosine;

    /// The first numbers of the published generator for seed 1234567.
    #[test]
    fn the_published_sequence() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(rng.bits(), 6_457_827_717_110_365_317);
        assert_eq!(rng.bits(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn numbers_lie_where_they_should() {
        let mut rng = Rng::new(1);
        assert_eq!(rng.below(0), 0);
        assert!((0..1000).all(|_| rng.below(3) < 3 && (0.0..1.0).contains(&rng.unit())));
        let many = rng.vector(100_000);
        let mean = many.iter().sum::<f32>() / 1e5;
        let square = many.iter().map(|v| v * v).sum::<f32>() / 1e5;
        assert!(mean.abs() < 0.02 && (square - 1.0).abs() < 0.02);
    }

    #[test]
    fn rows_are_unit_vectors_in_clusters() {
        let (n, d) = (400, 64);
        let rows = clustered(n, d, 7);
        assert_eq!(rows.len(), n * d);
        assert_eq!(rows, clustered(n, d, 7));
        assert_ne!(rows, clustered(n, d, 8));
        let rows: Vec<&[f32]> = rows.chunks(d).collect();
        let mut near = 0;
        for (at, row) in rows.iter().enumerate() {
            assert!((row.iter().map(|v| v * v).sum::<f32>() - 1.0).abs() < 1e-5);
            near += usize::from(rows[..at].iter().any(|other| cosine(row, other) > 0.5));
        }
        assert!(near > 300, "only {near} rows have a neighbour");
        assert_eq!(clustered(3, 1, 0).len(), 3);
        assert!(clustered(0, 5, 0).is_empty() && clustered(5, 0, 0).is_empty());
    }
}
