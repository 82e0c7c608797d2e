//! Signs of 32 rows in one block, scored together: the query's values are summed by table.
//!
//! Four signs at a time are a number from 0 to 15, and what the query's four values add up to
//! under these signs stands in a table of 16 bytes, which is just what a shuffle of bytes looks up
//! for many rows at once (Andre, Kermarrec and Le Scouarnec, "Cache locality is not enough", VLDB
//! 2015; for signs of residuals: Gou, Gao and Long, "SymphonyQG", SIGMOD 2025).

use crate::isa::Isa;
use crate::native;
use pulp::{Simd, WithSimd};
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
/// query.encode(Isa::best(), &[1.0, 0.5, 0.25]);
/// let dots = query.dots(Isa::best(), &block);
/// assert!((dots[5] - 0.75).abs() < 0.05); // 1 - 0.5 + 0.25
/// assert!((dots[0] + 1.75).abs() < 0.05); // No sign is set.
/// ```
#[derive(Clone, Debug, Default)]
pub struct SignTables {
    /// What each value is worth under its sign, in 512ths of a step.
    parts: Vec<i16>,
    /// Two tables for each eight values.
    tables: Vec<u8>,
    /// What an entry of 1 is worth.
    step: f32,
    /// The sum under signs that are all against the query's.
    least: f32,
}

impl SignTables {
    /// Encodes a query over what was here. The same on every [`Isa`]; finite values only, others
    /// give sums that are no numbers. Cost: O(d), four additions a value.
    pub fn encode(&mut self, isa: Isa, query: &[f32]) {
        self.tables
            .resize(query.len().div_ceil(VALUES) * 2 * TABLE, 0);
        (self.least, self.step) = isa.run(Encode {
            query,
            parts: &mut self.parts,
            tables: &mut self.tables,
        });
    }

    /// How much the dot product of the query with each of the block's rows of signs, each +1 where
    /// the bit is set and -1 where it is not, comes to: within `d / 8` steps, a step being a 63rd
    /// of twice the largest sum of four neighbouring `|values|`. The same on every [`Isa`].
    ///
    /// `block` should have [`sign_block_bytes`]; the shorter counts. Cost: O(4 d), two shuffles for
    /// each eight values of 16 rows.
    #[inline]
    pub fn dots(&self, isa: Isa, block: &[u8]) -> [f32; SIGN_BLOCK_ROWS] {
        let sums = native::sign_blocks::Path::of(isa).sums(&self.tables, block, &[]);
        sums.map(|sum| self.least + self.step * sum as f32)
    }

    /// The keys of a block's rows, and which of them are above `least`: those of what is not there,
    /// and what is no number, are not. `ahead` is asked for meanwhile, but for no more of it than
    /// the block's signs are long: a line or two after the other, so that it comes while this block
    /// is summed and nothing waits for it. That changes nothing but time. Cost: as
    /// [`dots`](SignTables::dots). The same on every [`Isa`].
    #[inline]
    pub fn keys(&self, isa: Isa, block: SignBlock<'_>, least: f32, ahead: &[u8]) -> SignKeys {
        let path = native::sign_blocks::Path::of(isa);
        let sums = path.sums(&self.tables, block.signs, ahead);
        let mut keys = [0.0; SIGN_BLOCK_ROWS];
        let above = path.keys(&sums, (self.least, self.step), block, least, &mut keys);
        SignKeys { keys, above }
    }
}

/// Rows of signs and what makes keys of dot products with them: the key of row `i` is
/// `base + sums[i] + factors[i] * dot`.
#[derive(Clone, Copy, Debug)]
pub struct SignBlock<'a> {
    /// As [`set_sign_row`] puts them.
    pub signs: &'a [u8],
    /// Of all rows.
    pub base: f32,
    /// Of each.
    pub sums: &'a [f32; SIGN_BLOCK_ROWS],
    /// Of each.
    pub factors: &'a [f32; SIGN_BLOCK_ROWS],
    /// 0 where there is no row.
    pub rows: &'a [u32; SIGN_BLOCK_ROWS],
}

/// The keys of a block's rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SignKeys {
    /// Of all of them.
    pub keys: [f32; SIGN_BLOCK_ROWS],
    /// Bit `i` is set where the key of row `i` is above what was asked for.
    pub above: u32,
}

/// Fills tables; gives the least sum and what a step is worth.
struct Encode<'a> {
    query: &'a [f32],
    parts: &'a mut Vec<i16>,
    tables: &'a mut [u8],
}

impl WithSimd for Encode<'_> {
    type Output = (f32, f32);

    // Plain code: inlined where the wide instructions are on, the compiler uses them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> (f32, f32) {
        /// 1.5 * 2^23: what is added to it is rounded, and stands in its last bits.
        const ROUND: f32 = 12_582_912.0;
        let Self {
            query,
            parts,
            tables,
        } = self;
        let (least, largest) = least_and_largest(query);
        let step = largest / ENTRY_MAX;
        let per_step = 512.0 / step;
        let (tables, _) = tables.as_chunks_mut::<TABLE>();
        if !least.is_finite() || !per_step.is_finite() {
            // What is no number, or so small that a step is nothing: the least sum is all there is.
            tables.as_flattened_mut().fill(0);
            return (least, step);
        }
        parts.resize(tables.len() * HALF, 0);
        for (part, value) in zip(&mut *parts, query) {
            *part = (value * per_step + ROUND).to_bits() as i16;
        }
        if let Some(missing) = parts.get_mut(query.len()..) {
            missing.fill(0);
        }
        let (parts, _) = parts.as_chunks::<HALF>();
        for (table, parts) in zip(tables, parts) {
            *table = entries(parts);
        }
        (least, step)
    }
}

/// The sum of all values without sign, negated, and the largest of what four add up to, doubled.
#[inline(always)]
fn least_and_largest(query: &[f32]) -> (f32, f32) {
    /// Sums side by side, which the compiler makes vectors of.
    const LANES: usize = 16;
    let mut least = [0.0; LANES];
    let (chunks, tail) = query.as_chunks::<LANES>();
    let mut largest = [0.0_f32; LANES / HALF];
    let mut last = [0.0; LANES];
    last[..tail.len()].copy_from_slice(tail);
    for chunk in chunks.iter().chain([&last]) {
        let sizes = chunk.map(f32::abs);
        for (least, size) in zip(&mut least, sizes) {
            *least -= size;
        }
        let (fours, _) = sizes.as_chunks::<HALF>();
        for (largest, [a, b, c, d]) in zip(&mut largest, fours) {
            let sum = (a + b) + (c + d);
            *largest = if sum > *largest { sum } else { *largest };
        }
    }
    (
        least.iter().sum(),
        2.0 * largest.into_iter().fold(0.0, f32::max),
    )
}

/// The sums of all choices of four parts, the least being 0, in whole steps, from halves of parts in
/// 256ths of a step. In integers of 16 bits, for which compilers find vector instructions everywhere.
#[inline(always)]
fn entries(parts: &[i16; HALF]) -> [u8; TABLE] {
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
    let mut sums = [128; TABLE]; // Half a step, for rounding.
    for (&part, set) in zip(parts, &SET) {
        // Where the sign is that of the part it adds all of it, where not nothing.
        let (size, against) = (part.abs(), part >> 15);
        for (sum, set) in zip(&mut sums, set) {
            *sum += size & (set ^ against);
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
            tables.encode(Isa::best(), &query);
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
    fn keys_are_the_same_everywhere_and_those_above_are_found() {
        let dimension = 100;
        let query = values(3, dimension);
        let mut block = vec![0; sign_block_bytes(dimension)];
        let mut signs = vec![0; sign_words(dimension)];
        for row in 0..SIGN_BLOCK_ROWS {
            encode_signs(&values(row as u64 + 7, dimension), &mut signs);
            set_sign_row(&mut block, row, &signs);
        }
        let mut sums: [f32; SIGN_BLOCK_ROWS] = std::array::from_fn(|row| row as f32 / 9.0);
        sums[8] = f32::NAN;
        let factors = std::array::from_fn(|row| 1.0 / (row + 1) as f32);
        for present in [0, 1, 7, 8, 9, 31, 32] {
            let rows = std::array::from_fn(|row| u32::from(row < present));
            let block = SignBlock {
                signs: &block,
                base: 0.25,
                sums: &sums,
                factors: &factors,
                rows: &rows,
            };
            let mut tables = SignTables::default();
            tables.encode(Isa::best(), &query);
            let dots = tables.dots(Isa::best(), block.signs);
            let want: Vec<f32> = (0..SIGN_BLOCK_ROWS)
                .map(|row| block.base + sums[row] + factors[row] * dots[row])
                .collect();
            for least in [f32::NEG_INFINITY, 0.3, want[5], 1e9] {
                let above = (0..present).filter(|&row| want[row] > least);
                let above = above.fold(0, |bits, row| bits | 1 << row);
                for isa in Isa::available() {
                    tables.encode(isa, &query);
                    let got = tables.keys(isa, block, least, &[]);
                    let bits = |keys: &[f32]| keys.iter().map(|key| key.to_bits()).collect();
                    let (got_bits, want_bits): (Vec<u32>, Vec<u32>) =
                        (bits(&got.keys), bits(&want));
                    assert_eq!(got_bits[..8], want_bits[..8], "{isa}");
                    assert_eq!(got_bits[9..], want_bits[9..], "{isa}");
                    assert_eq!(got.above, above, "{isa} {present} {least}");
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
        tables.encode(Isa::best(), &[0.0; 16]);
        assert_eq!(tables.dots(Isa::best(), &block), [0.0; SIGN_BLOCK_ROWS]);
        tables.encode(Isa::best(), &[1e-45; 16]);
        assert!(
            tables
                .dots(Isa::best(), &block)
                .iter()
                .all(|dot| dot.is_finite())
        );
        tables.encode(Isa::best(), &[f32::NAN; 16]);
        let _ = tables.dots(Isa::best(), &block);
        assert_eq!(tables.dots(Isa::best(), &[]).len(), SIGN_BLOCK_ROWS);
    }
}
