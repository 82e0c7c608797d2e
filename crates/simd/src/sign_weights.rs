//! A finer reading of sign codes: a sign that differs counts as much as the query is large there.
//!
//! A row has only its signs, but the query has its values. How far the sum of `|q[i]|` over the
//! places with another sign is from what `q` itself would give is what a dot product of the query
//! with the row's signs says: far more about the angle than the number of those places. With the
//! values in few bits it is a matter of counting bits again (Gao and Long, "RaBitQ: quantizing
//! high-dimensional vectors with a theoretical error bound", SIGMOD 2024).

use crate::native;
use crate::sign_codes::{encode_signs, sign_words};
use std::iter::zip;

/// Weights have so many bits, and one that is always set: odd numbers from 1 to 15.
const BITS: usize = 3;
const WEIGHT_MAX: u32 = 15;

/// What is that many times the root of the mean square has the greatest weight.
const RANGE: f64 = 3.0;

/// A query's signs and weights; the memory is used again by the next.
///
/// ```
/// use cortica_simd::{Isa, SignWeights, encode_signs, weighted_hamming};
///
/// let mut query = SignWeights::default();
/// query.encode(&[0.9, -0.1, 0.1, -0.9]);
/// let [mut small, mut large] = [[0], [0]];
/// encode_signs(&[1.0, 1.0, -1.0, -1.0], &mut small); // Differs where the query is small,
/// encode_signs(&[-1.0, -1.0, 1.0, 1.0], &mut large); // and where it is large.
///
/// let isa = Isa::best();
/// assert!(weighted_hamming(isa, &query, &small) < weighted_hamming(isa, &query, &large));
/// ```
#[derive(Clone, Debug, Default)]
pub struct SignWeights {
    signs: Vec<u64>,
    /// For each word of signs the bits of its weights, lowest first, and ones.
    planes: Vec<[u64; BITS + 1]>,
    values: u32,
}

impl SignWeights {
    /// Encodes a query over what was here. NaN weighs least; so does everything in a query whose
    /// length is no number. Cost: O(d).
    pub fn encode(&mut self, query: &[f32]) {
        let words = sign_words(query.len());
        self.signs.resize(words, 0);
        encode_signs(query, &mut self.signs);
        self.planes.clear();
        self.planes.resize(words, [0, 0, 0, u64::MAX]);
        self.values = query.len() as u32;
        let steps = steps(query);
        for (planes, values) in zip(&mut self.planes, query.chunks(u64::BITS as usize)) {
            let [mut ones, mut twos, mut fours] = [0; BITS];
            for (&value, bit) in zip(values, 0..) {
                let weight = u64::from(weight(value, steps));
                ones |= (weight >> 1 & 1) << bit;
                twos |= (weight >> 2 & 1) << bit;
                fours |= (weight >> 3) << bit;
            }
            *planes = [ones, twos, fours, u64::MAX];
        }
    }

    /// All weights, added up: the distance of a row whose signs all differ. O(d / 64).
    pub fn total(&self) -> u32 {
        let all = |count: &[u64; BITS + 1]| {
            let [ones, twos, fours, _] = count.map(u64::count_ones);
            2 * (ones + 2 * twos + 4 * fours)
        };
        self.planes.iter().map(all).sum::<u32>() + self.values
    }

    pub(crate) fn signs(&self) -> &[u64] {
        &self.signs
    }

    pub(crate) fn planes(&self) -> &[[u64; BITS + 1]] {
        &self.planes
    }
}

/// How many steps of the weights a value of 1 is worth.
fn steps(query: &[f32]) -> f32 {
    let squares: f64 = query.iter().map(|&value| f64::from(value).powi(2)).sum();
    let range = RANGE * (squares / query.len().max(1) as f64).sqrt();
    (f64::from(WEIGHT_MAX) / (2.0 * range)) as f32
}

/// An odd number.
fn weight(value: f32, steps: f32) -> u32 {
    // What is no number becomes 0.
    let steps = (value.abs() * steps) as u32;
    2 * steps.min(WEIGHT_MAX / 2) + 1
}

/// The definition of [`weighted_hamming`]: the weights of the places of `query` whose sign is not
/// that of `row`, added up.
pub fn weighted_hamming_reference(query: &[f32], row: &[u64]) -> u32 {
    let mut signs = vec![0; sign_words(query.len())];
    encode_signs(query, &mut signs);
    let steps = steps(query);
    let places = query.iter().enumerate();
    let of_place = |(at, &value): (usize, &f32)| {
        let (word, bit) = (at / u64::BITS as usize, at % u64::BITS as usize);
        let differs = row
            .get(word)
            .map_or(0, |row| (row ^ signs[word]) >> bit & 1);
        differs as u32 * weight(value, steps)
    };
    places.map(of_place).sum()
}

/// How much the signs of a row differ from those of a query, by the query's weights: 0 where they
/// are the same, up to 15 for each value. Exact on every [`Isa`](crate::Isa). The shorter counts;
/// bits of a row beyond the query's values should be 0, as [`encode_signs`] leaves them.
///
/// Cost: O(d / 64), four words counted for each of the row's.
pub fn weighted_hamming(isa: crate::Isa, query: &SignWeights, row: &[u64]) -> u32 {
    native::sign_weights::Path::of(isa).distance(query, row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_odd_and_saturate() {
        let per_one = steps(&[1.0; 8]);
        let weights = [0.0, 0.39, 0.41, 2.9, 1e30].map(|value| weight(value, per_one));
        assert_eq!(weights, [1, 1, 3, 15, 15]);
        assert_eq!(weight(-0.41, per_one), 3);
        assert_eq!(weight(f32::NAN, per_one), 1);
        // Of a query with an infinity, and of zeros.
        assert_eq!(
            [0.0, 1.0].map(|value| weight(value, steps(&[f32::INFINITY]))),
            [1, 1]
        );
        assert_eq!(weight(0.0, steps(&[0.0; 3])), 1);
    }

    #[test]
    fn memory_of_a_longer_query_leaves_no_trace() {
        let row = [u64::MAX; 3];
        let mut used = SignWeights::default();
        used.encode(&[-0.5; 180]);
        used.encode(&[-0.5, 0.1, -0.2]);
        let isa = crate::Isa::best();
        // The third value's sign differs, and the first's; so do all places without a value.
        let want = weighted_hamming_reference(&[-0.5, 0.1, -0.2], &[5]);
        assert_eq!(weighted_hamming(isa, &used, &[5]), want);
        assert_eq!(weighted_hamming(isa, &used, &row[..0]), 0);
        assert_eq!(
            weighted_hamming(isa, &used, &[5]),
            used.total(),
            "all signs differ"
        );
    }
}
