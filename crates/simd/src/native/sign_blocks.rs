//! Sums of table entries for blocks of signs.

use crate::isa::Isa;
use crate::native::prefetch::{of_rows, prefetch};
use crate::sign_blocks::{SIGN_BLOCK_ROWS, SignBlock, TABLE};
use std::iter::zip;

/// Takes tables and a block of equal length, of no more than [`TOGETHER`] bytes, and what to ask
/// for meanwhile: [`LINES`] of it for each [`IN_BYTES`] pairs.
type Sums = unsafe fn(&[u8], &[u8], &[u8]) -> [u16; SIGN_BLOCK_ROWS];

/// Takes sums, the least of what they stand for and what a step is worth, the block and what keys
/// are to be above. Puts keys into the last, and gives the bits of those that are above.
type Keys = unsafe fn(
    &[u32; SIGN_BLOCK_ROWS],
    (f32, f32),
    SignBlock<'_>,
    f32,
    &mut [f32; SIGN_BLOCK_ROWS],
) -> u32;

/// The signs of 16 values in a block of 32 rows, and their tables.
const PAIR: usize = 2 * TABLE;

/// Pairs whose entries are added up in bytes: four entries of up to 63 fit.
const IN_BYTES: usize = 4;

/// A line of memory, in bytes.
const LINE: usize = 64;

/// Lines that are asked for one after the other: more of them would fill the processor's list of
/// misses.
const LINES: usize = 2;

/// 512 pairs of entries up to 63 fit 16 bits.
const TOGETHER: usize = 512 * PAIR;

/// A way to look up many bytes at once that this machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// For the messages of tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the messages of tests"))]
    pub(crate) name: &'static str,
    sums: Sums,
    keys: Keys,
}

const PORTABLE: Path = Path {
    name: "portable",
    sums: portable,
    keys: portable_keys,
};

impl Path {
    /// The fastest that `isa` allows.
    pub(crate) fn of(isa: Isa) -> Path {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 if isa.is_available() => avx2::PATH,
            _ => PORTABLE,
        }
    }

    /// For each row of the block the sum of the entries that its signs choose. Asks for the first
    /// of `ahead` meanwhile: as much as the block is long at most.
    #[inline]
    pub(crate) fn sums(self, tables: &[u8], block: &[u8], ahead: &[u8]) -> [u32; SIGN_BLOCK_ROWS] {
        let bytes = tables.len().min(block.len()) / PAIR * PAIR;
        let mut sums = [0; SIGN_BLOCK_ROWS];
        // Addresses that are nowhere are dear.
        let mut ahead = if ahead.is_empty() { block } else { ahead };
        let parts = zip(
            tables[..bytes].chunks(TOGETHER),
            block[..bytes].chunks(TOGETHER),
        );
        for (tables, block) in parts {
            // SAFETY: `of` gives out a path only where this machine has been seen to have the
            // features that its function is compiled for.
            let more = unsafe { (self.sums)(tables, block, ahead) };
            ahead = ahead
                .get(TOGETHER / (IN_BYTES * PAIR) * LINES * LINE..)
                .unwrap_or(&[]);
            for (sum, more) in zip(&mut sums, more) {
                *sum += u32::from(more);
            }
        }
        sums
    }

    /// The keys that sums, in steps above a least, come to; which of those that are there are above
    /// `limit`.
    #[inline]
    pub(crate) fn keys(
        self,
        sums: &[u32; SIGN_BLOCK_ROWS],
        scale: (f32, f32),
        block: SignBlock<'_>,
        limit: f32,
        keys: &mut [f32; SIGN_BLOCK_ROWS],
    ) -> u32 {
        // SAFETY: as above.
        unsafe { (self.keys)(sums, scale, block, limit, keys) }
    }
}

fn portable_keys(
    sums: &[u32; SIGN_BLOCK_ROWS],
    (least, step): (f32, f32),
    block: SignBlock<'_>,
    limit: f32,
    keys: &mut [f32; SIGN_BLOCK_ROWS],
) -> u32 {
    let mut above = 0;
    for row in 0..SIGN_BLOCK_ROWS {
        let dot = least + step * sums[row] as f32;
        keys[row] = block.base + block.sums[row] + block.factors[row] * dot;
        above |= u32::from(keys[row] > limit && block.rows[row] != 0) << row;
    }
    above
}

fn portable(tables: &[u8], block: &[u8], ahead: &[u8]) -> [u16; SIGN_BLOCK_ROWS] {
    let mut sums = [0; SIGN_BLOCK_ROWS];
    for at in (0..ahead.len().min(block.len())).step_by(LINE) {
        prefetch(ahead, at, of_rows());
    }
    for (table, signs) in zip(tables.chunks_exact(TABLE), block.chunks_exact(TABLE)) {
        let (first, second) = sums.split_at_mut(TABLE);
        for ((first, second), &signs) in zip(zip(first, second), signs) {
            *first += u16::from(table[usize::from(signs & 15)]);
            *second += u16::from(table[usize::from(signs >> 4)]);
        }
    }
    sums
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use super::{IN_BYTES, LINE, LINES, PAIR, SIGN_BLOCK_ROWS, SignBlock};
    use crate::native::prefetch::{of_rows, prefetch};
    use crate::native::x86::load_256;
    #[allow(
        clippy::wildcard_imports,
        reason = "intrinsics are named after what they do"
    )]
    use std::arch::x86_64::*;

    pub(super) const PATH: super::Path = super::Path {
        name: "avx2",
        sums,
        keys,
    };

    /// Rows in a vector.
    const LANES: usize = 8;

    #[target_feature(enable = "avx2")]
    fn keys(
        sums: &[u32; SIGN_BLOCK_ROWS],
        (least, step): (f32, f32),
        block: SignBlock<'_>,
        limit: f32,
        keys: &mut [f32; SIGN_BLOCK_ROWS],
    ) -> u32 {
        let all = _mm256_set1_ps;
        let (least, step, base, limit) = (all(least), all(step), all(block.base), all(limit));
        let mut above = 0;
        for from in (0..SIGN_BLOCK_ROWS).step_by(LANES) {
            // SAFETY: eight values are there in each, and the instructions ask for no alignment.
            let [sums, add, factors, rows] = unsafe {
                [
                    load_256(sums[from..from + LANES].as_ptr()),
                    load_256(block.sums[from..from + LANES].as_ptr()),
                    load_256(block.factors[from..from + LANES].as_ptr()),
                    load_256(block.rows[from..from + LANES].as_ptr()),
                ]
            };
            let [add, factors] = [add, factors].map(|bits| _mm256_castsi256_ps(bits));
            // Products and sums apart, as everywhere: rounding them at once gives other bits.
            let dots = _mm256_add_ps(least, _mm256_mul_ps(step, _mm256_cvtepi32_ps(sums)));
            let found = _mm256_add_ps(_mm256_add_ps(base, add), _mm256_mul_ps(factors, dots));
            let none = _mm256_cmpeq_epi32(rows, _mm256_setzero_si256());
            let near = _mm256_cmp_ps::<_CMP_GT_OQ>(found, limit);
            let near = _mm256_andnot_ps(_mm256_castsi256_ps(none), near);
            above |= (_mm256_movemask_ps(near) as u32) << from;
            // SAFETY: as above.
            unsafe { _mm256_storeu_ps(keys[from..from + LANES].as_mut_ptr(), found) };
        }
        above
    }

    /// Sums of 32 lanes of bytes, of the even lanes and, in `odd`, of the odd ones. In `all` the
    /// odd lanes' sums are above the even ones', and carries go where they are taken away at last.
    #[derive(Clone, Copy)]
    struct Wide {
        all: __m256i,
        odd: __m256i,
    }

    impl Wide {
        #[inline]
        #[target_feature(enable = "avx2")]
        fn add(&mut self, bytes: __m256i) {
            self.all = _mm256_add_epi16(self.all, bytes);
            self.odd = _mm256_add_epi16(self.odd, _mm256_srli_epi16::<8>(bytes));
        }

        /// The sums of 16 rows, for which the two halves hold a part each.
        #[inline]
        #[target_feature(enable = "avx2")]
        fn rows(self, out: &mut [u16]) {
            let even = _mm256_sub_epi16(self.all, _mm256_slli_epi16::<8>(self.odd));
            let [even, odd] = [even, self.odd].map(|both| {
                let (low, high) = (
                    _mm256_castsi256_si128(both),
                    _mm256_extracti128_si256::<1>(both),
                );
                _mm_add_epi16(low, high)
            });
            let (first, second) = out.split_at_mut(8);
            let rows = [
                (first, _mm_unpacklo_epi16(even, odd)),
                (second, _mm_unpackhi_epi16(even, odd)),
            ];
            for (out, rows) in rows {
                let out = &mut out[..8];
                // SAFETY: 16 bytes are there, and the instruction asks for no alignment.
                unsafe { _mm_storeu_si128(out.as_mut_ptr().cast(), rows) };
            }
        }
    }

    #[target_feature(enable = "avx2")]
    fn sums(tables: &[u8], block: &[u8], ahead: &[u8]) -> [u16; SIGN_BLOCK_ROWS] {
        let into = of_rows();
        let zero = _mm256_setzero_si256();
        let low = _mm256_set1_epi8(15);
        let none = Wide {
            all: zero,
            odd: zero,
        };
        let (mut first, mut second) = (none, none);
        let (tables, table_tail) = tables.as_chunks::<PAIR>();
        let (pairs, pair_tail) = block.as_chunks::<PAIR>();
        debug_assert!(table_tail.is_empty() && pair_tail.is_empty());
        // What the entries of some pairs add up to in bytes, for the rows of low halves and high.
        let of_pairs = |tables: &[[u8; PAIR]], pairs: &[[u8; PAIR]]| {
            let mut sums = [zero; 2];
            for (table, signs) in std::iter::zip(tables, pairs) {
                // SAFETY: 32 bytes are there.
                let [table, signs] =
                    unsafe { [load_256(table.as_ptr()), load_256(signs.as_ptr())] };
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(signs), low);
                let found = _mm256_shuffle_epi8(table, _mm256_and_si256(signs, low));
                sums[0] = _mm256_add_epi8(sums[0], found);
                sums[1] = _mm256_add_epi8(sums[1], _mm256_shuffle_epi8(table, high));
            }
            sums
        };
        let (table_groups, tables) = tables.as_chunks::<IN_BYTES>();
        let (groups, pairs) = pairs.as_chunks::<IN_BYTES>();
        for (at, (tables, pairs)) in std::iter::zip(table_groups, groups).enumerate() {
            for line in 0..LINES {
                prefetch(ahead, (LINES * at + line) * LINE, into);
            }
            let [of_first, of_second] = of_pairs(tables, pairs);
            first.add(of_first);
            second.add(of_second);
        }
        let [of_first, of_second] = of_pairs(tables, pairs);
        first.add(of_first);
        second.add(of_second);
        let mut rows = [0; SIGN_BLOCK_ROWS];
        let (of_first, of_second) = rows.split_at_mut(SIGN_BLOCK_ROWS / 2);
        first.rows(of_first);
        second.rows(of_second);
        rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::tests::bits;

    #[test]
    fn every_path_looks_up_the_same() {
        // One pair, groups cut short, the most that fits 16 bits and one more, all at the largest.
        for pairs in [0, 1, 2, 3, 4, 5, 16, 96, 97, 511, 512, 513, 1_030] {
            let bytes = pairs * PAIR;
            let block: Vec<u8> = bits(7).map(|x| x as u8).take(bytes).collect();
            let some: Vec<u8> = bits(9).map(|x| (x % 64) as u8).take(bytes).collect();
            for tables in [some, vec![63; bytes]] {
                let want = PORTABLE.sums(&tables, &block, &[]);
                for path in Isa::ALL.into_iter().map(Path::of) {
                    assert_eq!(
                        path.sums(&tables, &block, &block),
                        want,
                        "{} {pairs}",
                        path.name
                    );
                }
                if tables.iter().all(|&entry| entry == 63) {
                    assert_eq!(want, [126 * pairs as u32; SIGN_BLOCK_ROWS]);
                }
            }
        }
    }
}
