//! Signs of 32 rows in one block, scored together: the query's values are summed by table.
//!
//! Four signs at a time are a number from 0 to 15, and what the query's four values add up to
//! under these signs stands in a table of 16 bytes, which is just what a shuffle of bytes looks up
//! for many rows at once (Andre, Kermarrec and Le Scouarnec, "Cache locality is not enough", VLDB
//! 2015; for signs of residuals: Gou, Gao and Long, "SymphonyQG", SIGMOD 2025).

use crate::isa::Isa;
use crate::native;
use std::iter::zip;

/// Rows in a block.
pub const SIGN_BLOCK_ROWS: usize = 32;

/// Values whose signs lie in the 32 bytes that are looked up together.
const VALUES: usize = 8;
const HALF: usize = VALUES / 2;
pub(crate) const TABLE: usize = 16;

/// Entries are so large at most: four of them fit a byte together.
const ENTRY_MAX: f32 = 63.0;

/// Bytes of a block of rows of `dimension` values.
pub const fn sign_block_bytes(dimension: usize) -> usize {
    dimension.div_ceil(VALUES) * SIGN_BLOCK_ROWS
}

/// Puts the signs of a row, as [`encode_signs`](crate::encode_signs) gives them, into a block as
/// its `row`-th, 0 to 31, over what was there. A block of zeros is one of rows without a positive
/// value. The shorter of the two counts; cost: O(d).
///
/// # Panics
/// Where `row` is not below [`SIGN_BLOCK_ROWS`].
pub fn set_sign_row(block: &mut [u8], row: usize, signs: &[u64]) {
    assert!(row < SIGN_BLOCK_ROWS, "a block has 32 rows");
    let (at, shift) = (row % TABLE, row / TABLE * HALF);
    let bytes = signs.iter().flat_map(|word| word.to_le_bytes());
    for (pair, signs) in zip(block.chunks_exact_mut(2 * TABLE), bytes) {
        for (half, signs) in [(0, signs & 15), (TABLE, signs >> HALF)] {
            let place = &mut pair[half + at];
            *place = *place & !(15 << shift) | signs << shift;
        }
    }
}

/// What a query's values add up to under all signs, four at a time; the memory is used again by
/// the next query.
///
/// ```
/// use cortica_simd::{Isa, SignTables, encode_signs, set_sign_row, sign_block_bytes, sign_words};
///
/// let mut block = vec![0; sign_block_bytes(3)];
/// let mut signs = vec![0; sign_words(3)];
/// encode_signs(&[0.3, -9.0, 0.1], &mut signs);
/// set_sign_row(&mut block, 5, &signs);
///
/// let mut query = SignTables::default();
/// query.encode(&[1.0, 0.5, 0.25]);
/// let dots = query.dots(Isa::best(), &block);
/// assert!((dots[5] - 0.75).abs() < 0.05); // 1 - 0.5 + 0.25
/// assert!((dots[0] + 1.75).abs() < 0.05); // No sign is set.
/// ```
#[derive(Clone, Debug, Default)]
pub struct SignTables {
    /// Two tables for each eight values.
    tables: Vec<u8>,
    /// What an entry of 1 is worth.
    step: f32,
    /// The sum under signs that are all against the query's.
    least: f32,
}

impl SignTables {
    /// Encodes a query over what was here. Cost: O(d), four additions a value.
    pub fn encode(&mut self, query: &[f32]) {
        let mut largest = 0.0_f32;
        let mut least = 0.0;
        for four in query.chunks(HALF) {
            let sum: f32 = four.iter().map(|value| value.abs()).sum();
            largest = largest.max(2.0 * sum);
            least -= sum;
        }
        self.least = least;
        self.step = largest / ENTRY_MAX;
        let per_step = Some(self.step.recip()).filter(|per_step| per_step.is_finite());
        let per_step = per_step.unwrap_or(0.0);
        self.tables.clear();
        self.tables
            .resize(query.len().div_ceil(VALUES) * 2 * TABLE, 0);
        let (tables, _) = self.tables.as_chunks_mut();
        for (table, four) in zip(tables, query.chunks(HALF)) {
            let mut parts = [0; HALF];
            for (part, value) in zip(&mut parts, four) {
                *part = fixed(2.0 * value * per_step);
            }
            *table = entries(parts);
        }
    }

    /// How much the dot product of the query with each of the block's rows of signs, each +1 where
    /// the bit is set and -1 where it is not, comes to: within `d / 8` steps, a step being a 63rd
    /// of twice the largest sum of four neighbouring `|values|`. The same on every [`Isa`].
    ///
    /// `block` should have [`sign_block_bytes`]; the shorter counts. Cost: O(4 d), two shuffles for
    /// each eight values of 16 rows.
    #[inline]
    pub fn dots(&self, isa: Isa, block: &[u8]) -> [f32; SIGN_BLOCK_ROWS] {
        self.dots_fetching(isa, block, &[])
    }

    /// [`dots`](SignTables::dots), which asks for `ahead` meanwhile, but for no more of it than half
    /// of the block's length: a line after the other, so that it comes while this block is summed and
    /// nothing waits for it. Changes nothing but time.
    #[inline]
    pub fn dots_fetching(&self, isa: Isa, block: &[u8], ahead: &[u8]) -> [f32; SIGN_BLOCK_ROWS] {
        let sums = native::sign_blocks::Path::of(isa).sums(&self.tables, block, ahead);
        sums.map(|sum| self.least + self.step * sum as f32)
    }
}

/// What is added where a sign is set, in 256ths of a step; 0 for what is no number.
#[inline]
fn fixed(steps: f32) -> i16 {
    let scaled = steps * 256.0;
    // Rounded by hand: without SSE4.1 the function for it is a call.
    (scaled + 0.5_f32.copysign(scaled)) as i16
}

/// The sums of all choices of four parts, the least being 0, in whole steps. In integers of 16
/// bits, for which compilers find vector instructions everywhere.
#[inline]
fn entries(parts: [i16; HALF]) -> [u8; TABLE] {
    /// All bits where the sign that is meant is set.
    const SET: [[i16; TABLE]; HALF] = {
        let mut set = [[0; TABLE]; HALF];
        let mut at = 0;
        while at < HALF * TABLE {
            let (bit, entry) = (at / TABLE, at % TABLE);
            set[bit][entry] = -((entry >> bit & 1) as i16);
            at += 1;
        }
        set
    };
    let least: i16 = parts.iter().map(|part| part.min(&0)).sum();
    let mut sums = [128 - least; TABLE]; // 128: half a step, for rounding.
    for (part, set) in zip(parts, &SET) {
        for (sum, set) in zip(&mut sums, set) {
            *sum += part & set;
        }
    }
    sums.map(|sum| (sum >> 8) as u8)
}

/// The definition of [`SignTables::dots`], for one row: nothing is rounded to steps.
pub fn sign_dot_reference(query: &[f32], signs: &[u64]) -> f64 {
    let places = query.iter().take(signs.len() * u64::BITS as usize);
    let of_place = |(at, &value): (usize, &f32)| {
        let bit = signs[at / u64::BITS as usize] >> (at % u64::BITS as usize) & 1;
        f64::from(value) * (2.0 * bit as f64 - 1.0)
    };
    places.enumerate().map(of_place).sum()
}

/// Takes the signs of a row out of a block.
#[cfg(test)]
pub(crate) fn signs_of(block: &[u8], row: usize, dimension: usize) -> Vec<u64> {
    let (at, shift) = (row % TABLE, row / TABLE * HALF);
    let mut words = vec![0; crate::sign_codes::sign_words(dimension)];
    for (byte, pair) in block.chunks_exact(2 * TABLE).enumerate() {
        let [low, high] = [pair[at], pair[TABLE + at]].map(|both| u64::from(both >> shift & 15));
        words[byte / 8] |= (low | high << HALF) << (byte % 8 * 8);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::tests::{bits, lengths};
    use crate::sign_codes::{encode_signs, sign_words};

    fn values(seed: u64, dimension: usize) -> Vec<f32> {
        let value = |bits: u64| (bits % 2_001) as f32 / 1_000.0 - 1.0;
        bits(seed).map(value).take(dimension).collect()
    }

    #[test]
    fn sums_are_within_their_bound_at_every_length() {
        let mut tables = SignTables::default();
        for dimension in lengths() {
            let query = values(1, dimension);
            tables.encode(&query);
            let mut block = vec![0; sign_block_bytes(dimension)];
            let mut signs = vec![vec![0; sign_words(dimension)]; SIGN_BLOCK_ROWS];
            for (row, signs) in signs.iter_mut().enumerate() {
                encode_signs(&values(row as u64 + 2, dimension), signs);
                set_sign_row(&mut block, row, signs);
            }
            let largest = query
                .chunks(HALF)
                .map(|four| four.iter().map(|value| value.abs()).sum::<f32>());
            let step = 2.0 * largest.fold(0.0, f32::max) / ENTRY_MAX;
            let bound = dimension.div_ceil(VALUES) as f32 * step + 1e-3;
            for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
                let dots = tables.dots(isa, &block);
                for (dot, signs) in zip(dots, &signs) {
                    let want = sign_dot_reference(&query, signs) as f32;
                    assert!(
                        (dot - want).abs() <= bound,
                        "{isa} {dimension}: {dot} {want}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_row_is_replaced_and_its_neighbours_stay() {
        let mut block = vec![0; sign_block_bytes(70)];
        set_sign_row(&mut block, 3, &[u64::MAX, 63]);
        set_sign_row(&mut block, 19, &[u64::MAX, 63]);
        set_sign_row(&mut block, 3, &[5, 1]);
        assert_eq!(signs_of(&block, 3, 70), [5, 1]);
        assert_eq!(signs_of(&block, 19, 70), [u64::MAX, 63]);
        assert_eq!(signs_of(&block, 4, 70), [0, 0]);
    }

    #[test]
    fn queries_of_zeros_and_of_no_numbers_give_finite_sums_where_they_can() {
        let block = vec![0x5a; sign_block_bytes(16)];
        let mut tables = SignTables::default();
        tables.encode(&[0.0; 16]);
        assert_eq!(tables.dots(Isa::best(), &block), [0.0; SIGN_BLOCK_ROWS]);
        tables.encode(&[1e-45; 16]);
        assert!(
            tables
                .dots(Isa::best(), &block)
                .iter()
                .all(|dot| dot.is_finite())
        );
        tables.encode(&[f32::NAN; 16]);
        let _ = tables.dots(Isa::best(), &block);
        assert_eq!(tables.dots(Isa::best(), &[]).len(), SIGN_BLOCK_ROWS);
    }
}
