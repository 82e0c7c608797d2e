//! Hamming distances of sign codes.

use crate::code_rows::CodeRows;
use crate::extension::Extension;
use crate::isa::Isa;
use crate::sign_codes::hamming_reference;

/// A way to count differing bits that this machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// For the messages of tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the messages of tests"))]
    pub(crate) name: &'static str,
    hamming_rows: unsafe fn(&[u64], CodeRows<'_, u64>, &mut [u32]),
}

const PORTABLE: Path = Path {
    name: "portable",
    hamming_rows: portable,
};

impl Path {
    /// The fastest that `isa` allows.
    pub(crate) fn of(isa: Isa) -> Path {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if isa.has(Extension::Vpopcntdq) => vpopcntdq::PATH,
            // Counting half bytes in 512 bits takes no fewer steps a row: three chunks that are
            // counted as two are often all that a row has, and only of 256 bits.
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 | Isa::Avx512 if isa.is_available() => avx2::PATH,
            // NEON is part of its target, and the compiler counts bits with it by itself.
            _ => PORTABLE,
        }
    }

    /// Every one this machine has, the ones that `of` passes over included.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Path> {
        Isa::ALL.into_iter().map(Path::of).collect()
    }

    /// Bits in which `query` and each row that has a place in `out` differ, each cut to the
    /// shorter of the two.
    pub(crate) fn hamming_rows(self, query: &[u64], rows: CodeRows<'_, u64>, out: &mut [u32]) {
        // SAFETY: `of` and `all` give out a path only where this machine has been seen to have
        // the features that its functions are compiled for.
        unsafe { (self.hamming_rows)(query, rows, out) }
    }
}

fn portable(query: &[u64], rows: CodeRows<'_, u64>, out: &mut [u32]) {
    for (place, row) in std::iter::zip(out, rows.iter()) {
        *place = hamming_reference(query, row);
    }
}

/// One module per instruction set. `load` takes `$chunk` words into a vector, `load_tail` fewer,
/// `step` adds the number of differing bits to the 32-bit lanes of a sum, `three_steps` that of
/// three chunks, `short` scores all rows by another way if it has one for that length.
macro_rules! kernel {
    ($module:ident, $features:literal, $chunk:literal, $ahead:expr, $($item:item)*) => {
        mod $module {
            use crate::code_rows::CodeRows;
            use crate::native::{by_streams, prefetch};
            $($item)*

            pub(super) const PATH: super::Path = super::Path {
                name: stringify!($module),
                hamming_rows,
            };

            #[target_feature(enable = $features)]
            fn hamming_rows(query: &[u64], rows: CodeRows<'_, u64>, out: &mut [u32]) {
                let query = &query[..query.len().min(rows.width())];
                if short(query, rows, out) {
                    return;
                }
                // SAFETY: a pointer is a row's start, and no row is shorter than `query`.
                let four = |rows| unsafe { block(query, rows) };
                // SAFETY: as above.
                let one = |row| unsafe { block(query, [row])[0] };
                by_streams(rows, out, $ahead, four, one);
            }

            /// The distances of up to four rows; places beyond them are zero.
            ///
            /// # Safety
            /// As many words as the query has can be read from the start of each row.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn block<const R: usize>(query: &[u64], rows: [*const u64; R]) -> [u32; 4] {
                let whole = query.len() - query.len() % $chunk;
                let tail = query.len() - whole;
                let mut sums = [zero(); 4];
                // SAFETY: every read ends at or before the query's length.
                unsafe {
                    let mut at = 0;
                    while at + 3 * $chunk <= whole {
                        let load_three = |words: *const u64| {
                            [0, 1, 2].map(|chunk| load(words.add(at + chunk * $chunk)))
                        };
                        let query = load_three(query.as_ptr());
                        for row in 0..R {
                            sums[row] = three_steps(sums[row], query, load_three(rows[row]));
                        }
                        at += 3 * $chunk;
                    }
                    while at < whole {
                        let query = load(query.as_ptr().add(at));
                        for row in 0..R {
                            sums[row] = step(sums[row], query, load(rows[row].add(at)));
                        }
                        at += $chunk;
                    }
                    if tail > 0 {
                        let query = load_tail(query.as_ptr().add(whole), tail);
                        for row in 0..R {
                            let words = load_tail(rows[row].add(whole), tail);
                            sums[row] = step(sums[row], query, words);
                        }
                    }
                }
                let [a, b, c, d] = sums_of_four(sums);
                [a as u32, b as u32, c as u32, d as u32]
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel! {
    avx2, "avx2", 4, prefetch::of_counting(),

    use crate::native::{padded, x86::{HALF_BYTES, load_128, load_256 as load, sums_of_four_256 as sums_of_four}};
    #[allow(clippy::wildcard_imports, reason = "intrinsics are named after what they do")]
    use std::arch::x86_64::*;

    /// # Safety
    /// `count` words can be read there.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load_tail(words: *const u64, count: usize) -> __m256i {
        // SAFETY: the caller's.
        unsafe { load(padded::<u64, 4>(words, count).as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn zero() -> __m256i {
        _mm256_setzero_si256()
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn step(sum: __m256i, query: __m256i, row: __m256i) -> __m256i {
        counted(sum, bytes(_mm256_xor_si256(query, row)))
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn short(_: &[u64], _: CodeRows<'_, u64>, _: &mut [u32]) -> bool {
        false
    }

    /// A full adder for each place: three bits become one of their own weight and one of twice
    /// that, so two vectors are left to count.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn three_steps(sum: __m256i, query: [__m256i; 3], row: [__m256i; 3]) -> __m256i {
        let a = _mm256_xor_si256(query[0], row[0]);
        let b = _mm256_xor_si256(query[1], row[1]);
        let c = _mm256_xor_si256(query[2], row[2]);
        let either = _mm256_xor_si256(a, b);
        let ones = _mm256_xor_si256(either, c);
        let twos = _mm256_or_si256(_mm256_and_si256(a, b), _mm256_and_si256(either, c));
        let twos = bytes(twos);
        counted(sum, _mm256_add_epi8(bytes(ones), _mm256_add_epi8(twos, twos)))
    }

    /// How many bits are set in each byte.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn bytes(bits: __m256i) -> __m256i {
        let low = _mm256_set1_epi8(15);
        // SAFETY: 16 bytes are there.
        let counts = _mm256_broadcastsi128_si256(unsafe { load_128(HALF_BYTES.as_ptr()) });
        let upper = _mm256_srli_epi16::<4>(bits);
        _mm256_add_epi8(
            _mm256_shuffle_epi8(counts, _mm256_and_si256(bits, low)),
            _mm256_shuffle_epi8(counts, _mm256_and_si256(upper, low)),
        )
    }

    /// Adds the counts of each eight bytes into one 64-bit lane.
    #[inline]
    #[target_feature(enable = "avx2")]
    fn counted(sum: __m256i, bytes: __m256i) -> __m256i {
        _mm256_add_epi64(sum, _mm256_sad_epu8(bytes, zero()))
    }
}

#[cfg(target_arch = "x86_64")]
kernel! {
    vpopcntdq, "avx512f,avx512bw,avx512vpopcntdq", 8, prefetch::of_counting_at_once(),

    use crate::native::x86::{load_512 as load, load_512_part, sums_of_four_512 as sums_of_four};
    #[allow(clippy::wildcard_imports, reason = "intrinsics are named after what they do")]
    use std::arch::x86_64::*;

    /// # Safety
    /// `count` words can be read there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq")]
    unsafe fn load_tail(words: *const u64, count: usize) -> __m512i {
        // SAFETY: the caller's.
        unsafe { load_512_part(words, count) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq")]
    fn zero() -> __m512i {
        _mm512_setzero_si512()
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq")]
    fn step(sum: __m512i, query: __m512i, row: __m512i) -> __m512i {
        _mm512_add_epi64(sum, _mm512_popcnt_epi64(_mm512_xor_si512(query, row)))
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq")]
    fn three_steps(sum: __m512i, query: [__m512i; 3], row: [__m512i; 3]) -> __m512i {
        let sum = step(sum, query[0], row[0]);
        step(step(sum, query[1], row[1]), query[2], row[2])
    }

    /// Codes of up to 2,048 bits: the query stays in registers, and no loop asks how long it is.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq")]
    fn short(query: &[u64], rows: CodeRows<'_, u64>, out: &mut [u32]) -> bool {
        match query.len().div_ceil(8) {
            1 => in_registers::<1>(query, rows, out),
            2 => in_registers::<2>(query, rows, out),
            3 => in_registers::<3>(query, rows, out),
            4 => in_registers::<4>(query, rows, out),
            _ => return false,
        }
        true
    }

    /// `query` has `C` chunks, the last of which may be cut short.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vpopcntdq")]
    fn in_registers<const C: usize>(query: &[u64], rows: CodeRows<'_, u64>, out: &mut [u32]) {
        let last = query.len() - (C - 1) * 8;
        let mask = u8::MAX >> (8 - last);
        // SAFETY: words whose bit in the mask is zero are not touched; all others lie within a
        // query's or a row's length, and no row is shorter than `query`.
        let chunk = |words: *const u64, at: usize| unsafe {
            if at + 1 < C {
                load(words.add(at * 8))
            } else {
                _mm512_maskz_loadu_epi64(mask, words.add(at * 8).cast())
            }
        };
        let mut chunks = [zero(); C];
        for (at, place) in chunks.iter_mut().enumerate() {
            *place = chunk(query.as_ptr(), at);
        }
        let counted = |row: *const u64| {
            let mut sum = zero();
            for (at, &query) in chunks.iter().enumerate() {
                sum = step(sum, query, chunk(row, at));
            }
            sum
        };
        let four = |[a, b, c, d]: [*const u64; 4]| {
            let sums = sums_of_four([counted(a), counted(b), counted(c), counted(d)]);
            sums.map(|sum| sum as u32)
        };
        let one = |row| _mm512_reduce_add_epi64(counted(row)) as u32;
        by_streams(rows, out, prefetch::of_counting_at_once(), four, one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::tests::{COUNTS, bits};

    fn words(count: usize, seed: u64) -> Vec<u64> {
        bits(seed).take(count).collect()
    }

    #[track_caller]
    fn check(path: Path, query: &[u64], rows: CodeRows<'_, u64>) {
        let mut got = vec![7; rows.len()];
        path.hamming_rows(query, rows, &mut got);
        let want: Vec<u32> = rows
            .iter()
            .map(|row| hamming_reference(query, row))
            .collect();
        assert_eq!(got, want, "{} words={}", path.name, query.len());
    }

    #[test]
    fn every_path_agrees_at_every_length_and_start() {
        for path in Path::all() {
            for width in (1..=40).chain([128]) {
                for start in [0, 1, 3] {
                    let (query, data) = (words(width + start, 1), words(5 * width + start, 2));
                    let rows = CodeRows::packed(&data[start..], width).unwrap();
                    check(path, &query[start..], rows);
                }
            }
        }
    }

    #[test]
    fn every_count_of_rows_and_padding() {
        for path in Path::all() {
            for count in COUNTS {
                let data = words(count * 14, 3);
                check(path, &words(12, 4), CodeRows::new(&data, 12, 14).unwrap());
            }
        }
    }

    #[test]
    fn shorter_queries_and_shorter_rows_are_cut() {
        for path in Path::all() {
            let data = words(9 * 11, 5);
            let rows = CodeRows::packed(&data, 11).unwrap();
            check(path, &words(3, 6), rows);
            check(path, &words(20, 6), rows);
            check(path, &[], rows);
        }
    }

    #[test]
    fn every_bit_counts_once_and_all_of_them() {
        for path in Path::all() {
            let width = 25;
            let mut data = vec![0; width * 64 * width];
            for (bit, row) in data.chunks_exact_mut(width).enumerate() {
                row[bit / 64] = 1 << (bit % 64);
            }
            check(
                path,
                &vec![0; width],
                CodeRows::packed(&data, width).unwrap(),
            );
            check(
                path,
                &vec![u64::MAX; width],
                CodeRows::packed(&data, width).unwrap(),
            );
            // 8,192 bits that all differ.
            check(
                path,
                &[0; 128],
                CodeRows::packed(&[u64::MAX; 3 * 128], 128).unwrap(),
            );
        }
    }
}
