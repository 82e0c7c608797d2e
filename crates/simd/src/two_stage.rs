//! Search in two stages: codes select, f32 vectors decide.
//!
//! A scan of codes reads a fraction of the bytes and gives every row a key; the rows with the best
//! keys are scored from their f32 vectors by the canonical kernels, and only those scores are
//! reported. Whoever owns codes and vectors lends both, run by run; nothing is copied.

use crate::block::LINE;
use crate::code_rows::CodeRows;
use crate::cosine;
use crate::i8_codes::{I8Rows, I8Scale, I8Vector, encode_i8};
use crate::i8_scores::{dot_estimates_i8, squared_distance_estimates_i8};
use crate::isa::Isa;
use crate::native::prefetch::{Into, prefetch};
use crate::native::sign_weights;
use crate::pair::{dot, squared_distance};
use crate::sign_codes::{encode_signs, hamming_rows, sign_words};
use crate::sign_weights::SignWeights;
use crate::top_k::{Scored, TopK, keep_best, score_again};
use std::iter::zip;

/// What makes a row near; scores are such that more is nearer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Measure {
    /// The dot product. Of vectors of length 1 it is the cosine.
    Dot,
    /// The cosine of the angle.
    Cosine,
    /// The squared Euclidean distance, negated.
    SquaredDistance,
}

impl Measure {
    /// The canonical score of a row.
    pub fn score(self, isa: Isa, query: &[f32], row: &[f32]) -> f32 {
        match self {
            Measure::Dot => dot(isa, query, row),
            Measure::Cosine => cosine(isa, query, row),
            Measure::SquaredDistance => -squared_distance(isa, query, row),
        }
    }
}

/// A query, encoded like the rows that it selects from.
pub trait EncodedQuery: Clone + Default + sealed::Sealed {
    /// Encodes a query over what was here.
    fn encode(&mut self, isa: Isa, query: &[f32]);
}

/// Borrowed rows of codes that can select.
pub trait SelectingRows: Copy + sealed::Sealed {
    /// A query in the same format.
    type Query: EncodedQuery;

    /// How many rows there are.
    fn count(&self) -> usize;

    /// The rows from `from` up to but not including `to`, cut to what is there.
    #[must_use]
    fn between(&self, from: usize, to: usize) -> Self;

    /// A key for each row: more is nearer, as far as the codes tell.
    fn keys(&self, isa: Isa, by: Measure, query: &Self::Query, keys: &mut [f32]);
}

mod sealed {
    pub trait Sealed {}
}

/// Rows that get their keys together, on the stack.
pub(crate) const BLOCK: usize = 1_024;

/// A query of sign codes. Keys are negated Hamming distances. Signs know no lengths, so whatever
/// the measure, they select by angle: right for vectors of length 1, or nearly the same length.
#[derive(Clone, Debug, Default)]
pub struct SignQuery {
    words: Vec<u64>,
    /// Of the last query that was refined.
    weights: SignWeights,
}

impl sealed::Sealed for SignQuery {}
impl sealed::Sealed for CodeRows<'_, u64> {}

impl EncodedQuery for SignQuery {
    fn encode(&mut self, _: Isa, query: &[f32]) {
        self.words.resize(sign_words(query.len()), 0);
        encode_signs(query, &mut self.words);
    }
}

impl SelectingRows for CodeRows<'_, u64> {
    type Query = SignQuery;

    fn count(&self) -> usize {
        self.len()
    }

    fn between(&self, from: usize, to: usize) -> Self {
        self.range(from, to)
    }

    fn keys(&self, isa: Isa, _: Measure, query: &SignQuery, keys: &mut [f32]) {
        let mut distances = [0; BLOCK];
        for (block, keys) in keys.chunks_mut(BLOCK).enumerate() {
            let rows = self.range(block * BLOCK, block * BLOCK + keys.len());
            hamming_rows(isa, &query.words, rows, &mut distances);
            for (key, &distance) in zip(keys, &distances) {
                *key = -(distance as f32); // Exact for up to 2^24 bits.
            }
        }
    }
}

/// A query of i8 codes. Keys are estimates of the score.
#[derive(Clone, Debug, Default)]
pub struct I8Query {
    codes: Vec<i8>,
    scale: I8Scale,
}

impl sealed::Sealed for I8Query {}
impl sealed::Sealed for I8Rows<'_> {}

impl EncodedQuery for I8Query {
    fn encode(&mut self, isa: Isa, query: &[f32]) {
        self.codes.resize(query.len(), 0);
        self.scale = encode_i8(isa, query, &mut self.codes);
    }
}

impl I8Query {
    /// The codes and their scale.
    pub fn vector(&self) -> I8Vector<'_> {
        I8Vector {
            codes: &self.codes,
            scale: self.scale,
        }
    }
}

impl SelectingRows for I8Rows<'_> {
    type Query = I8Query;

    fn count(&self) -> usize {
        self.len()
    }

    fn between(&self, from: usize, to: usize) -> Self {
        self.range(from, to)
    }

    fn keys(&self, isa: Isa, by: Measure, query: &I8Query, keys: &mut [f32]) {
        match by {
            Measure::Dot => dot_estimates_i8(isa, query.vector(), *self, keys),
            Measure::Cosine => {
                dot_estimates_i8(isa, query.vector(), *self, keys);
                for (key, row) in zip(keys, self.scales()) {
                    // A zero vector has cosine 0 with everything, and a dot product of 0.
                    *key /= (query.scale.norm * row.norm).max(f32::MIN_POSITIVE);
                }
            }
            Measure::SquaredDistance => {
                squared_distance_estimates_i8(isa, query.vector(), *self, keys);
                for key in keys {
                    *key = -*key;
                }
            }
        }
    }
}

/// Selects a fixed number of candidates by their codes and scores those canonically.
///
/// What it misses depends on the data, the format and the number of candidates: measure it on your
/// own vectors before relying on it. As a start: on 30,720 sentence embeddings of 768 values, the
/// best 10 were among 200 candidates by sign codes in 99.6% of cases, and among 50 by i8 in all.
/// Sign codes can be read once more, more finely, by [`refine`](TwoStage::refine).
///
/// A search allocates nothing once its buffers have grown.
///
/// ```
/// use cortica_simd::{CodeRows, Isa, Measure, Rows, SignQuery, TwoStage, encode_signs};
///
/// let vectors = [0.6_f32, 0.8, 0.8, -0.6, -0.6, 0.8]; // Three of two values.
/// let rows = Rows::packed(&vectors, 2)?;
/// let mut words = [0; 3];
/// for (row, word) in rows.iter().zip(&mut words) {
///     encode_signs(row, std::slice::from_mut(word));
/// }
///
/// let mut scan = TwoStage::<SignQuery>::new(Isa::best(), Measure::Dot, 1, 2);
/// let mut found = Vec::new();
/// scan.start(&[1.0, 0.1]);
/// scan.offer(0, CodeRows::packed(&words, 1)?); // As many runs as the rows lie in.
/// scan.finish(|row| rows.iter().nth(row as usize), &mut found);
/// assert_eq!(found[0].row, 1); // Row 1, though row 0 has the signs of the query.
/// # Ok::<(), cortica_simd::RowsError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TwoStage<Q> {
    isa: Isa,
    by: Measure,
    k: usize,
    query: Vec<f32>,
    encoded: Q,
    selected: TopK,
}

impl<Q: EncodedQuery> TwoStage<Q> {
    /// A search for the best `k`, which scores the best `candidates` by their codes, and all that
    /// tie with the last of those. Fewer candidates than `k` count as `k`.
    pub fn new(isa: Isa, by: Measure, k: usize, candidates: usize) -> Self {
        Self {
            isa,
            by,
            k,
            query: Vec::new(),
            encoded: Q::default(),
            selected: TopK::new(candidates.max(k)),
        }
    }

    /// Starts over with another query.
    pub fn start(&mut self, query: &[f32]) {
        self.query.clear();
        self.query.extend_from_slice(query);
        self.encoded.encode(self.isa, query);
        self.selected.clear();
    }

    /// The first stage for a run of rows, of which `first` is the first.
    pub fn offer<R: SelectingRows<Query = Q>>(&mut self, first: u32, rows: R) {
        let mut keys = [0.0; BLOCK];
        for from in (0..rows.count()).step_by(BLOCK) {
            let rows = rows.between(from, from + BLOCK);
            let keys = &mut keys[..rows.count()];
            rows.keys(self.isa, self.by, &self.encoded, keys);
            self.selected
                .offer(self.isa, first.wrapping_add(from as u32), keys);
        }
    }

    /// The rows that the second stage will score, in the order of the runs, each with its key.
    pub fn candidates(&mut self) -> &[Scored] {
        self.selected.best()
    }

    /// The second stage: the best `k` and what ties with the last of them into `found`, which is
    /// emptied before; score descending, then row ascending. `vector_of` lends the vector of a
    /// row, or none for a row that is gone.
    pub fn finish<'r>(
        &mut self,
        vector_of: impl Fn(u32) -> Option<&'r [f32]>,
        found: &mut Vec<Scored>,
    ) {
        self.select(found);
        let (isa, by, query) = (self.isa, self.by, &self.query);
        let fetch = |row| vector_of(row).into_iter().for_each(fetch_all);
        let score = |row| Some(by.score(isa, query, vector_of(row)?));
        rank(found, self.k, fetch, score);
    }

    /// As [`finish`](Self::finish), for an owner that has a canonical score of its own.
    pub fn finish_by(&mut self, score_of: impl FnMut(u32) -> Option<f32>, found: &mut Vec<Scored>) {
        self.select(found);
        rank(found, self.k, |_| (), score_of);
    }

    /// The candidates in the order in which they lie: neighbours share pages.
    fn select(&mut self, found: &mut Vec<Scored>) {
        found.clear();
        found.extend_from_slice(self.selected.best_by_row());
    }
}

impl TwoStage<SignQuery> {
    /// Reads the signs of the candidates once more, by [`weighted_hamming`](crate::weighted_hamming),
    /// and keeps the best `keep` of them, `k` at least, and all that tie with the last of those:
    /// after the last run was offered, before `finish`. `code_of` lends the signs of a row, or none
    /// for a row that is gone. [`candidates`](Self::candidates) then have other keys: minus the
    /// weighted distance.
    ///
    /// Signs are a thirty-second of the bytes of the vectors, so it pays to select many and keep
    /// few: of 4,096 embeddings of 768 values, a quarter of 256 candidates holds the best 10 in
    /// 99.4% of cases.
    pub fn refine<'r>(&mut self, keep: usize, code_of: impl Fn(u32) -> Option<&'r [u64]>) {
        let path = sign_weights::Path::of(self.isa);
        let weights = &mut self.encoded.weights;
        weights.encode(&self.query);
        let fetch = |row| {
            if let Some(code) = code_of(row) {
                prefetch(code, 0, Into::First);
                prefetch(code, code.len().saturating_sub(1), Into::First);
            }
        };
        let key = |row| Some(-(path.distance(weights, code_of(row)?) as f32));
        self.selected.narrow(keep.max(self.k), fetch, key);
    }
}

/// How many candidates ahead a vector is fetched: they lie far apart, where no processor expects
/// the next one.
const AHEAD: usize = 2;

/// Starts to fetch a whole vector.
pub(crate) fn fetch_all(vector: &[f32]) {
    for at in (0..vector.len()).step_by(LINE) {
        prefetch(vector, at, Into::First);
    }
}

/// Replaces keys by scores and keeps the best. `fetch` is told of each row some rows before it is
/// scored.
pub(crate) fn rank(
    found: &mut Vec<Scored>,
    k: usize,
    fetch: impl FnMut(u32),
    score_of: impl FnMut(u32) -> Option<f32>,
) {
    score_again(found, AHEAD, fetch, score_of);
    keep_best(found, k);
}
