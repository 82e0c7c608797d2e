//! Sums of table entries for blocks of signs.

use crate::isa::Isa;
use crate::native::prefetch::{of_rows, prefetch};
use crate::sign_blocks::{SIGN_BLOCK_ROWS, TABLE};
use std::iter::zip;

/// Takes tables and a block of equal length, of no more than [`TOGETHER`] bytes, and what to ask
/// for meanwhile: a line of it for each [`IN_BYTES`] pairs.
type Sums = unsafe fn(&[u8], &[u8], &[u8]) -> [u16; SIGN_BLOCK_ROWS];

/// The signs of 16 values in a block of 32 rows, and their tables.
const PAIR: usize = 2 * TABLE;

/// Pairs whose entries are added up in bytes: four entries of up to 63 fit.
const IN_BYTES: usize = 4;

/// A line of memory, in bytes.
const LINE: usize = 64;

/// 512 pairs of entries up to 63 fit 16 bits.
const TOGETHER: usize = 512 * PAIR;

/// A way to look up many bytes at once that this machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// For the messages of tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the messages of tests"))]
    pub(crate) name: &'static str,
    sums: Sums,
}

const PORTABLE: Path = Path {
    name: "portable",
    sums: portable,
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
    /// of `ahead` meanwhile: as much as half of the block at most.
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
                .get(TOGETHER / (IN_BYTES * PAIR) * LINE..)
                .unwrap_or(&[]);
            for (sum, more) in zip(&mut sums, more) {
                *sum += u32::from(more);
            }
        }
        sums
    }
}

fn portable(tables: &[u8], block: &[u8], ahead: &[u8]) -> [u16; SIGN_BLOCK_ROWS] {
    let mut sums = [0; SIGN_BLOCK_ROWS];
    for at in (0..ahead.len().min(block.len() / 2)).step_by(LINE) {
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
    use super::{IN_BYTES, LINE, PAIR, SIGN_BLOCK_ROWS};
    use crate::native::prefetch::{of_rows, prefetch};
    use crate::native::x86::load_256;
    #[allow(
        clippy::wildcard_imports,
        reason = "intrinsics are named after what they do"
    )]
    use std::arch::x86_64::*;

    pub(super) const PATH: super::Path = super::Path { name: "avx2", sums };

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
        let groups = std::iter::zip(
            tables.chunks(IN_BYTES * PAIR),
            block.chunks(IN_BYTES * PAIR),
        );
        for (at, (tables, block)) in groups.enumerate() {
            // One at a time, so that what is asked for never fills the processor's list of misses.
            prefetch(ahead, at * LINE, into);
            let (mut of_first, mut of_second) = (zero, zero);
            let pairs = std::iter::zip(tables.chunks_exact(PAIR), block.chunks_exact(PAIR));
            for (table, signs) in pairs {
                // SAFETY: 32 bytes are there.
                let [table, signs] =
                    unsafe { [load_256(table.as_ptr()), load_256(signs.as_ptr())] };
                let high = _mm256_and_si256(_mm256_srli_epi16::<4>(signs), low);
                let found = _mm256_shuffle_epi8(table, _mm256_and_si256(signs, low));
                of_first = _mm256_add_epi8(of_first, found);
                of_second = _mm256_add_epi8(of_second, _mm256_shuffle_epi8(table, high));
            }
            first.add(of_first);
            second.add(of_second);
        }
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
