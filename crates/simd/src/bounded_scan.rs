//! Search in two stages that misses nothing: i8 codes rule out, f32 vectors decide.

use crate::error_bound;
use crate::i8_codes::{I8Rows, I8Scale};
use crate::isa::Isa;
use crate::top_k::{Scored, TopK, select_at_least};
use crate::two_stage::{BLOCK, EncodedQuery, I8Query, Measure, SelectingRows, fetch_all, rank};
use std::iter::zip;

/// Finds exactly what a scan of the f32 vectors would find, reading mostly their i8 codes.
///
/// Codes and their error bound give each row a lowest and a highest possible score. What cannot
/// reach the k-th highest of the lowest scores is ruled out, the rest is scored canonically: so
/// the answer has every row and every bit of an exact scan, ties at rank k included. How many
/// rows are left over depends on the data (on 30,720 sentence embeddings of 768 values and k = 10,
/// 22 on average); at worst all.
///
/// ```
/// use cortica_simd::{
///     BoundedScan, CodeRows, I8Rows, Isa, Measure, Rows, encode_i8,
/// };
///
/// let isa = Isa::best();
/// let vectors = [0.6_f32, 0.8, 0.8, -0.6, -0.6, 0.8]; // Three of two values.
/// let rows = Rows::packed(&vectors, 2)?;
/// let mut codes = [0; 6];
/// let encode = |(row, codes): (&[f32], &mut [i8])| encode_i8(isa, row, codes);
/// let scales: Vec<_> = rows.iter().zip(codes.chunks_exact_mut(2)).map(encode).collect();
///
/// let mut scan = BoundedScan::new(isa, Measure::Dot, 1);
/// let mut found = Vec::new();
/// scan.start(&[1.0, 0.1]);
/// scan.offer(0, I8Rows::new(CodeRows::packed(&codes, 2)?, &scales)?);
/// scan.finish(|row| rows.iter().nth(row as usize), &mut found);
/// assert_eq!(found[0].row, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct BoundedScan {
    isa: Isa,
    by: Measure,
    query: Vec<f32>,
    encoded: I8Query,
    /// The best by their lowest possible scores.
    lowest: TopK,
    /// What can still be among the best, by highest possible scores.
    left: Vec<Scored>,
}

impl BoundedScan {
    /// A search for the best `k`.
    pub fn new(isa: Isa, by: Measure, k: usize) -> Self {
        Self {
            isa,
            by,
            query: Vec::new(),
            encoded: I8Query::default(),
            lowest: TopK::new(k),
            left: Vec::new(),
        }
    }

    /// Starts over with another query.
    pub fn start(&mut self, query: &[f32]) {
        self.query.clear();
        self.query.extend_from_slice(query);
        self.encoded.encode(self.isa, query);
        self.lowest.clear();
        self.left.clear();
    }

    /// The first stage for a run of rows, of which `first` is the first. The codes must be those of
    /// the vectors that `finish` will be lent, by [`encode_i8`](crate::encode_i8).
    pub fn offer(&mut self, first: u32, rows: I8Rows<'_>) {
        let Self { isa, by, .. } = *self;
        let (mut lowest, mut highest) = ([0.0; BLOCK], [0.0; BLOCK]);
        for from in (0..rows.len()).step_by(BLOCK) {
            let rows = rows.range(from, from + BLOCK);
            let first = first.wrapping_add(from as u32);
            let (lowest, highest) = (&mut lowest[..rows.len()], &mut highest[..rows.len()]);
            rows.keys(isa, by, &self.encoded, highest);
            let errors = Errors::new(isa, by, self.query.len(), self.encoded.vector().scale);
            for ((lowest, highest), scale) in zip(zip(&mut *lowest, &mut *highest), rows.scales()) {
                (*lowest, *highest) = errors.range(*highest, scale);
            }
            self.lowest.offer(isa, first, lowest);
            self.lowest.prune();
            let limit = self.lowest.limit();
            select_at_least(isa, highest, limit, first, &mut self.left);
        }
    }

    /// How many rows the second stage will score.
    pub fn candidates(&mut self) -> usize {
        self.rule_out();
        self.left.len()
    }

    /// The second stage: the best `k` and what ties with the last of them into `found`, which is
    /// emptied before; score descending, then row ascending. `vector_of` lends the vector of a row.
    /// A row for which it has none is not found, but may have ruled out others.
    pub fn finish<'r>(
        &mut self,
        vector_of: impl Fn(u32) -> Option<&'r [f32]>,
        found: &mut Vec<Scored>,
    ) {
        self.rule_out();
        let (isa, by, query) = (self.isa, self.by, &self.query);
        found.clear();
        found.extend_from_slice(&self.left);
        let fetch = |row| vector_of(row).into_iter().for_each(fetch_all);
        let score = |row| Some(by.score(isa, query, vector_of(row)?));
        rank(found, self.lowest.k(), fetch, score);
    }

    fn rule_out(&mut self) {
        self.lowest.prune();
        let (limit, k) = (self.lowest.limit(), self.lowest.k());
        self.left.retain(|row| k > 0 && row.score >= limit);
    }
}

/// Products of two lengths by which a dot product can be divided with nothing lost.
const LENGTHS: std::ops::RangeInclusive<f32> = 1e-30..=1e30;

/// Up to here no sum on the way to a canonical score can leave the range of f32.
const SUM_MAX: f32 = 1e38;

/// For what f32 cannot bound, and for values that are not finite: the vector has to be looked at.
const UNBOUNDED: (f32, f32) = (f32::NEG_INFINITY, f32::INFINITY);

/// How far keys can be from canonical scores.
struct Errors {
    isa: Isa,
    by: Measure,
    dimension: usize,
    query: I8Scale,
}

impl Errors {
    fn new(isa: Isa, by: Measure, dimension: usize, query: I8Scale) -> Self {
        Self {
            isa,
            by,
            dimension,
            query,
        }
    }

    /// The lowest and the highest score that a row with this key can have.
    #[inline]
    fn range(&self, key: f32, row: &I8Scale) -> (f32, f32) {
        let Self { isa, dimension, .. } = *self;
        let (lengths, both) = (self.query.norm * row.norm, self.query.norm + row.norm);
        let error = match self.by {
            Measure::Dot if lengths <= SUM_MAX => self.query.dot_error(row, isa, dimension),
            Measure::SquaredDistance if both * both <= SUM_MAX => {
                self.query.squared_distance_error(row, isa, dimension)
            }
            // Longer than that, or with a length that is no number.
            Measure::Dot | Measure::SquaredDistance => return UNBOUNDED,
            Measure::Cosine => {
                if !LENGTHS.contains(&lengths) {
                    return UNBOUNDED;
                }
                // Twice more: the lengths in the canonical score are off by as much as its sum.
                let rounding = 4.0 * error_bound(isa, dimension) + 16.0 * f32::EPSILON;
                self.query.dot_error(row, isa, dimension) / lengths + rounding
            }
        };
        let (lowest, highest) = (key - error, key + error);
        if lowest.is_finite() && highest.is_finite() {
            (lowest, highest)
        } else {
            UNBOUNDED
        }
    }
}
