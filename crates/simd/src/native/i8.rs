//! Dot products of i8 codes.

use crate::code_rows::CodeRows;
use crate::extension::Extension;
use crate::i8_codes::dot_i8_reference;
use crate::isa::Isa;

/// A way to add up products of i8 that this machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// For the messages of tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the messages of tests"))]
    pub(crate) name: &'static str,
    dot_rows: unsafe fn(&[i8], CodeRows<'_, i8>, &mut [i32]),
    dot_scattered: unsafe fn(&[i8], &[&[i8]], &mut [i32]),
}

const PORTABLE: Path = Path {
    name: "portable",
    dot_rows: portable,
    dot_scattered: portable_scattered,
};

impl Path {
    /// The fastest that `isa` allows.
    pub(crate) fn of(isa: Isa) -> Path {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if isa.has(Extension::Vnni) => avx512_vnni::PATH,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if isa.is_available() => avx512::PATH,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if isa.has(Extension::Vnni) => avx_vnni::PATH,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if isa.is_available() => avx2::PATH,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon if isa.has(Extension::Vnni) => neon_dot::PATH,
            _ => PORTABLE,
        }
    }

    /// Every one this machine has, the ones that `of` passes over included.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Path> {
        let mut all: Vec<Path> = Isa::ALL.into_iter().map(Path::of).collect();
        #[cfg(target_arch = "x86_64")]
        {
            all.extend(Isa::Avx2.is_available().then_some(avx2::PATH));
            all.extend(Isa::Avx512.is_available().then_some(avx512::PATH));
        }
        all
    }

    /// `query . row` for every row that has a place in `out`, each cut to the shorter of the two.
    pub(crate) fn dot_rows(self, query: &[i8], rows: CodeRows<'_, i8>, out: &mut [i32]) {
        // SAFETY: `of` and `all` give out a path only where this machine has been seen to have
        // the features that its functions are compiled for.
        unsafe { (self.dot_rows)(query, rows, out) }
    }

    /// The same for rows that lie anywhere.
    pub(crate) fn dot_scattered(self, query: &[i8], rows: &[&[i8]], out: &mut [i32]) {
        // SAFETY: as above.
        unsafe { (self.dot_scattered)(query, rows, out) }
    }
}

fn portable_scattered(query: &[i8], rows: &[&[i8]], out: &mut [i32]) {
    for (place, row) in std::iter::zip(out, rows) {
        *place = dot_i8_reference(query, row);
    }
}

fn portable(query: &[i8], rows: CodeRows<'_, i8>, out: &mut [i32]) {
    for (place, row) in std::iter::zip(out, rows.iter()) {
        *place = dot_i8_reference(query, row);
    }
}

/// One module per instruction set. `load` takes `$chunk` codes into a vector, `load_tail` fewer,
/// `step` adds their products to the i32 lanes of a `Sum`, and `$offset` times the sum of the
/// query is what it adds too much.
macro_rules! kernel {
    ($module:ident, $features:literal, $chunk:literal, $offset:literal, $($item:item)*) => {
        mod $module {
            use crate::code_rows::CodeRows;
            use crate::native::{by_streams, prefetch::{self, Ahead}};
            $($item)*

            pub(super) const PATH: super::Path = super::Path {
                name: stringify!($module),
                dot_rows,
                dot_scattered,
            };

            /// What [`sums`] adds too much for each row.
            #[inline]
            #[target_feature(enable = $features)]
            fn too_much(query: &[i8]) -> i32 {
                /// Codes that `step` makes ones of.
                const ONES: [i8; $chunk] = [(1 - $offset) as i8; $chunk];
                if $offset == 0 {
                    return 0;
                }
                let (chunks, tail) = query.as_chunks::<$chunk>();
                let mut last = [0; $chunk];
                last[..tail.len()].copy_from_slice(tail);
                let mut sum = zero();
                for chunk in chunks.iter().chain([&last]) {
                    // SAFETY: both have as many codes as are read.
                    unsafe { sum = step(sum, load(chunk.as_ptr()), load(ONES.as_ptr())) };
                }
                let [sum, ..] = sums_of_four([sum, zero(), zero(), zero()]);
                sum.wrapping_mul($offset)
            }

            #[target_feature(enable = $features)]
            fn dot_scattered(query: &[i8], rows: &[&[i8]], out: &mut [i32]) {
                let whole = too_much(query);
                let count = rows.len().min(out.len());
                let (fours, rest) = rows[..count].as_chunks::<4>();
                let (four_places, places) = out[..count].as_chunks_mut::<4>();
                for (rows, places) in std::iter::zip(fours, four_places) {
                    if rows.iter().all(|row| row.len() >= query.len()) {
                        let rows = rows.map(<[i8]>::as_ptr);
                        // SAFETY: no row is shorter than `query`.
                        *places = unsafe { block::<4, false>(query, rows, whole, Ahead::NONE) };
                    } else {
                        for (row, place) in std::iter::zip(rows, places) {
                            *place = one(query, row, whole);
                        }
                    }
                }
                for (row, place) in std::iter::zip(rest, places) {
                    *place = one(query, row, whole);
                }
            }

            /// The sum of one row; `whole` is what the whole query adds too much.
            #[inline]
            #[target_feature(enable = $features)]
            fn one(query: &[i8], row: &[i8], whole: i32) -> i32 {
                if row.len() < query.len() {
                    let query = &query[..row.len()];
                    // SAFETY: the row is as long as what is left of the query.
                    return unsafe { single(query, row.as_ptr(), too_much(query)) };
                }
                // SAFETY: the row is not shorter than `query`.
                unsafe { single(query, row.as_ptr(), whole) }
            }

            /// The sum of one row, four chunks at a time, so that none waits for the one before.
            ///
            /// # Safety
            /// As many codes as the query has can be read from the start of the row.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn single(query: &[i8], row: *const i8, too_much: i32) -> i32 {
                const FOUR: usize = 4 * $chunk;
                let whole = query.len() - query.len() % FOUR;
                let mut sums = [zero(); 4];
                let mut at = 0;
                // SAFETY: every read ends at or before the query's length.
                unsafe {
                    while at < whole {
                        for (part, sum) in sums.iter_mut().enumerate() {
                            let from = at + part * $chunk;
                            *sum = step(*sum, load(query.as_ptr().add(from)), load(row.add(from)));
                        }
                        at += FOUR;
                    }
                    let rest = block::<1, false>(&query[whole..], [row.add(whole)], too_much, Ahead::NONE)[0];
                    let sums = sums_of_four(sums);
                    sums.into_iter().fold(rest, i32::wrapping_add)
                }
            }

            #[target_feature(enable = $features)]
            fn dot_rows(query: &[i8], rows: CodeRows<'_, i8>, out: &mut [i32]) {
                let query = &query[..query.len().min(rows.width())];
                let too_much = too_much(query);
                // Asked for a line at a time, between the steps of a row: all lines of a row at once
                // have to wait for each other.
                let ahead = prefetch::of_codes();
                // SAFETY: a pointer is a row's start, and no row is shorter than `query`.
                let one = |row| unsafe { block::<1, false>(query, [row], too_much, ahead)[0] };
                if ahead.is_none() {
                    // SAFETY: as above.
                    let four = |rows| unsafe { block::<4, false>(query, rows, too_much, ahead) };
                    by_streams(rows, out, Ahead::NONE, four, one);
                } else {
                    // SAFETY: as above.
                    let four = |rows| unsafe { block::<4, true>(query, rows, too_much, ahead) };
                    by_streams(rows, out, Ahead::NONE, four, one);
                }
            }

            /// The sums of up to four rows; places beyond them are zero.
            ///
            /// # Safety
            /// As many codes as the query has can be read from the start of each row.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn block<const R: usize, const FETCH: bool>(
                query: &[i8],
                rows: [*const i8; R],
                too_much: i32,
                ahead: Ahead,
            ) -> [i32; 4] {
                let whole = query.len() - query.len() % $chunk;
                let tail = query.len() - whole;
                let mut sums = [zero(); 4];
                // SAFETY: every read ends at or before the query's length.
                unsafe {
                    let mut at = 0;
                    while at < whole {
                        let query = load(query.as_ptr().add(at));
                        for row in 0..R {
                            if FETCH && at % prefetch::LINE_BYTES == 0 {
                                ahead.line(rows[row].add(at));
                            }
                            sums[row] = step(sums[row], query, load(rows[row].add(at)));
                        }
                        at += $chunk;
                    }
                    if tail > 0 {
                        let query = load_tail(query.as_ptr().add(whole), tail);
                        for row in 0..R {
                            let codes = load_tail(rows[row].add(whole), tail);
                            sums[row] = step(sums[row], query, codes);
                        }
                    }
                }
                let [a, b, c, d] = sums_of_four(sums);
                let right = |sum: i32| sum.wrapping_sub(too_much);
                [right(a), right(b), right(c), right(d)]
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel! {
    avx2, "avx2", 16, 0,

    use crate::native::{padded, x86::{load_128, sums_of_four_256 as sums_of_four}};
    use std::arch::x86_64::{__m256i as Sum, _mm256_add_epi32, _mm256_cvtepi8_epi16, _mm256_madd_epi16, _mm256_setzero_si256 as zero};

    /// # Safety
    /// 16 codes can be read there.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load(codes: *const i8) -> Sum {
        // SAFETY: the caller's.
        unsafe { _mm256_cvtepi8_epi16(load_128(codes)) }
    }

    /// # Safety
    /// `count` codes can be read there.
    #[inline]
    #[target_feature(enable = "avx2")]
    unsafe fn load_tail(codes: *const i8, count: usize) -> Sum {
        // SAFETY: the caller's.
        unsafe { load(padded::<i8, 16>(codes, count).as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2")]
    fn step(sum: Sum, query: Sum, row: Sum) -> Sum {
        _mm256_add_epi32(sum, _mm256_madd_epi16(query, row))
    }
}

// VNNI multiplies unsigned by signed. A row's codes become unsigned by an added 128, one bit
// flipped; that adds 128 times the sum of the query, which is known before the first row. So
// rows are kept as they are, and no sum is kept beside them. (The instructions for two signed
// sides, AVX-VNNI-INT8, would save the flip, which takes no time where memory is waited for.)
#[cfg(target_arch = "x86_64")]
kernel! {
    avx_vnni, "avx2,avxvnni", 32, 128,

    use crate::native::{padded, x86::{load_256, sums_of_four_256 as sums_of_four}};
    use std::arch::x86_64::{__m256i as Sum, _mm256_dpbusd_avx_epi32, _mm256_set1_epi8, _mm256_xor_si256, _mm256_setzero_si256 as zero};

    /// # Safety
    /// 32 codes can be read there.
    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn load(codes: *const i8) -> Sum {
        // SAFETY: the caller's.
        unsafe { load_256(codes) }
    }

    /// # Safety
    /// `count` codes can be read there.
    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    unsafe fn load_tail(codes: *const i8, count: usize) -> Sum {
        // SAFETY: the caller's.
        unsafe { load(padded::<i8, 32>(codes, count).as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx2,avxvnni")]
    fn step(sum: Sum, query: Sum, row: Sum) -> Sum {
        let unsigned = _mm256_xor_si256(row, _mm256_set1_epi8(i8::MIN));
        _mm256_dpbusd_avx_epi32(sum, unsigned, query)
    }
}

#[cfg(target_arch = "x86_64")]
kernel! {
    avx512, "avx512f,avx512bw", 32, 0,

    use crate::native::{padded, x86::{load_256, sums_of_four_512 as sums_of_four}};
    use std::arch::x86_64::{__m512i as Sum, _mm512_add_epi32, _mm512_cvtepi8_epi16, _mm512_madd_epi16, _mm512_setzero_si512 as zero};

    /// # Safety
    /// 32 codes can be read there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load(codes: *const i8) -> Sum {
        // SAFETY: the caller's.
        unsafe { _mm512_cvtepi8_epi16(load_256(codes)) }
    }

    /// # Safety
    /// `count` codes can be read there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    unsafe fn load_tail(codes: *const i8, count: usize) -> Sum {
        // SAFETY: the caller's.
        unsafe { load(padded::<i8, 32>(codes, count).as_ptr()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn step(sum: Sum, query: Sum, row: Sum) -> Sum {
        _mm512_add_epi32(sum, _mm512_madd_epi16(query, row))
    }
}

#[cfg(target_arch = "x86_64")]
kernel! {
    avx512_vnni, "avx512f,avx512bw,avx512vnni", 64, 128,

    use crate::native::x86::{load_512, load_512_part, sums_of_four_512 as sums_of_four};
    use std::arch::x86_64::{__m512i as Sum, _mm512_dpbusd_epi32, _mm512_set1_epi8, _mm512_xor_si512, _mm512_setzero_si512 as zero};

    /// # Safety
    /// 64 codes can be read there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn load(codes: *const i8) -> Sum {
        // SAFETY: the caller's.
        unsafe { load_512(codes) }
    }

    /// # Safety
    /// `count` codes can be read there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    unsafe fn load_tail(codes: *const i8, count: usize) -> Sum {
        // SAFETY: the caller's.
        unsafe { load_512_part(codes, count) }
    }

    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
    fn step(sum: Sum, query: Sum, row: Sum) -> Sum {
        let unsigned = _mm512_xor_si512(row, _mm512_set1_epi8(i8::MIN));
        _mm512_dpbusd_epi32(sum, unsigned, query)
    }
}

#[cfg(target_arch = "aarch64")]
kernel! {
    neon_dot, "neon,dotprod", 16, 0,

    use crate::native::neon::{
        add_dots as step, load_i8s as load, sums_of_four, zero_i32s as zero,
    };
    use crate::native::padded;
    use std::arch::aarch64::int8x16_t;

    /// # Safety
    /// `count` codes can be read there.
    #[inline]
    #[target_feature(enable = "neon")]
    unsafe fn load_tail(codes: *const i8, count: usize) -> int8x16_t {
        // SAFETY: the caller's.
        unsafe { load(padded::<i8, 16>(codes, count).as_ptr()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::tests::{COUNTS, bits, lengths};

    fn codes(count: usize, seed: u64) -> Vec<i8> {
        bits(seed).map(|bits| bits as i8).take(count).collect()
    }

    #[track_caller]
    fn check(path: Path, query: &[i8], rows: CodeRows<'_, i8>) {
        let mut got = vec![7; rows.len()];
        path.dot_rows(query, rows, &mut got);
        let want: Vec<i32> = rows
            .iter()
            .map(|row| dot_i8_reference(query, row))
            .collect();
        assert_eq!(got, want, "{} d={}", path.name, query.len());
    }

    #[test]
    fn every_path_agrees_at_every_length_and_start() {
        for path in Path::all() {
            for d in lengths().filter(|&d| d > 0) {
                for start in [0, 1, 3] {
                    // -128 is among them: no path has to leave it out.
                    let (query, data) = (codes(d + start, 1), codes(5 * d + start, 2));
                    let rows = CodeRows::packed(&data[start..], d).unwrap();
                    check(path, &query[start..], rows);
                }
            }
        }
    }

    #[test]
    fn every_count_of_rows_and_padding() {
        for path in Path::all() {
            for count in COUNTS {
                let data = codes(count * 80, 3);
                check(path, &codes(77, 4), CodeRows::new(&data, 77, 80).unwrap());
            }
        }
    }

    #[test]
    fn shorter_queries_and_shorter_rows_are_cut() {
        for path in Path::all() {
            let data = codes(9 * 100, 5);
            let rows = CodeRows::packed(&data, 100).unwrap();
            check(path, &codes(33, 6), rows);
            check(path, &codes(150, 6), rows);
            check(path, &[], rows);
        }
    }

    #[test]
    fn every_position_counts_once() {
        for path in Path::all() {
            let query: Vec<i8> = (1..=127).chain(1..=70).collect();
            let d = query.len();
            let mut data = vec![0; d * d];
            for at in 0..d {
                data[at * d + at] = -1;
            }
            check(path, &query, CodeRows::packed(&data, d).unwrap());
        }
    }

    #[test]
    fn extremes_do_not_saturate() {
        for path in Path::all() {
            for (a, b) in [
                (127, 127),
                (-127, 127),
                (127, -127),
                (-128, -128),
                (-128, 127),
            ] {
                for d in [64, 768, 8_192] {
                    check(
                        path,
                        &vec![a; d],
                        CodeRows::packed(&vec![b; 6 * d], d).unwrap(),
                    );
                }
            }
        }
    }
}
