//! Conversions between f16 and f32, and sums over rows that are widened on the way.

use crate::code_rows::CodeRows;
use crate::extension::Extension;
use crate::f16_codes::{f16_from_f32, f32_from_f16};
use crate::isa::Isa;
use std::iter::zip;

/// A way to convert that this machine has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path {
    /// For the messages of tests.
    #[cfg_attr(not(test), expect(dead_code, reason = "for the messages of tests"))]
    pub(crate) name: &'static str,
    decode: unsafe fn(&[u16], &mut [f32]),
    encode: unsafe fn(&[f32], &mut [u16]),
    dot_rows: unsafe fn(&[f32], CodeRows<'_, u16>, &mut [f32]),
    squared_distance_rows: unsafe fn(&[f32], CodeRows<'_, u16>, &mut [f32]),
}

// SAFETY, of the four calls in it: `of` gives out a path only where this machine has been seen to
// have the features that its functions are compiled for.
impl Path {
    /// The fastest that `isa` allows.
    pub(crate) fn of(isa: Isa) -> Path {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if isa.is_available() => avx512::PATH,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 if isa.has(Extension::F16c) => f16c::PATH,
            #[cfg(target_arch = "aarch64")]
            Isa::Neon if isa.is_available() => neon_f16::PATH,
            _ => portable::PATH,
        }
    }

    /// Every one this machine has.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Path> {
        Isa::ALL.into_iter().map(Path::of).collect()
    }

    /// See [`decode_f16`](crate::decode_f16).
    pub(crate) fn decode(self, codes: &[u16], out: &mut [f32]) {
        // SAFETY: as said above.
        unsafe { (self.decode)(codes, out) }
    }

    /// See [`encode_f16`](crate::encode_f16).
    pub(crate) fn encode(self, values: &[f32], codes: &mut [u16]) {
        // SAFETY: as said above.
        unsafe { (self.encode)(values, codes) }
    }

    /// See [`dot_rows_f16`](crate::dot_rows_f16).
    pub(crate) fn dot_rows(self, query: &[f32], rows: CodeRows<'_, u16>, out: &mut [f32]) {
        // SAFETY: as said above.
        unsafe { (self.dot_rows)(query, rows, out) }
    }

    /// See [`squared_distance_rows_f16`](crate::squared_distance_rows_f16).
    pub(crate) fn squared_distance_rows(
        self,
        query: &[f32],
        rows: CodeRows<'_, u16>,
        out: &mut [f32],
    ) {
        // SAFETY: as said above.
        unsafe { (self.squared_distance_rows)(query, rows, out) }
    }
}

mod portable {
    use super::{CodeRows, Path, f16_from_f32, f32_from_f16, zip};

    pub(super) const PATH: Path = Path {
        name: "portable",
        decode,
        encode,
        dot_rows: rows::<false>,
        squared_distance_rows: rows::<true>,
    };

    const LANES: usize = 16;

    fn decode(codes: &[u16], out: &mut [f32]) {
        for (value, &code) in zip(out, codes) {
            *value = f32_from_f16(code);
        }
    }

    fn encode(values: &[f32], codes: &mut [u16]) {
        for (code, &value) in zip(codes, values) {
            *code = f16_from_f32(value);
        }
    }

    fn rows<const DISTANCE: bool>(query: &[f32], rows: CodeRows<'_, u16>, out: &mut [f32]) {
        for (place, row) in zip(out, rows.iter()) {
            *place = sum::<DISTANCE>(query, row);
        }
    }

    fn sum<const DISTANCE: bool>(query: &[f32], row: &[u16]) -> f32 {
        let mut sums = [0.0_f32; LANES];
        for (query, row) in zip(query.chunks(LANES), row.chunks(LANES)) {
            for (sum, (&a, &b)) in zip(&mut sums, zip(query, row)) {
                let b = f32_from_f16(b);
                *sum += if DISTANCE { (a - b) * (a - b) } else { a * b };
            }
        }
        // Pairwise, so that the order is the same wherever the compiler puts the lanes.
        let mut width = LANES;
        while width > 1 {
            width /= 2;
            for lane in 0..width {
                sums[lane] += sums[lane + width];
            }
        }
        sums[0]
    }
}

/// One module per instruction set. `load` and `load_halves` take `$lanes` values and codes into a
/// vector each, `widen` and `narrow` convert, `store` and `store_halves` put back.
macro_rules! kernel {
    ($module:ident, $features:literal, $lanes:literal, $($item:item)*) => {
        mod $module {
            use crate::code_rows::CodeRows;
            use crate::native::{by_streams, padded, prefetch};
            use std::iter::zip;
            $($item)*

            pub(super) const PATH: super::Path = super::Path {
                name: stringify!($module),
                decode,
                encode,
                dot_rows: rows::<false>,
                squared_distance_rows: rows::<true>,
            };

            const LANES: usize = $lanes;

            #[target_feature(enable = $features)]
            fn decode(codes: &[u16], out: &mut [f32]) {
                let count = codes.len().min(out.len());
                let (chunks, tail) = codes[..count].as_chunks::<LANES>();
                let (out, out_tail) = out[..count].as_chunks_mut::<LANES>();
                for (codes, out) in zip(chunks, out) {
                    // SAFETY: a chunk is a vector long.
                    store(out, widen(unsafe { load_halves(codes.as_ptr()) }));
                }
                let mut last = [0.0; LANES];
                // SAFETY: padding fills a vector.
                unsafe {
                    let codes = padded::<u16, LANES>(tail.as_ptr(), tail.len());
                    store(&mut last, widen(load_halves(codes.as_ptr())));
                }
                out_tail.copy_from_slice(&last[..out_tail.len()]);
            }

            #[target_feature(enable = $features)]
            fn encode(values: &[f32], codes: &mut [u16]) {
                let count = codes.len().min(values.len());
                let (chunks, tail) = values[..count].as_chunks::<LANES>();
                let (codes, codes_tail) = codes[..count].as_chunks_mut::<LANES>();
                for (values, codes) in zip(chunks, codes) {
                    // SAFETY: a chunk is a vector long.
                    store_halves(codes, narrow(unsafe { load(values.as_ptr()) }));
                }
                let mut last = [0; LANES];
                // SAFETY: padding fills a vector.
                unsafe {
                    let values = padded::<f32, LANES>(tail.as_ptr(), tail.len());
                    store_halves(&mut last, narrow(load(values.as_ptr())));
                }
                codes_tail.copy_from_slice(&last[..codes_tail.len()]);
            }

            #[target_feature(enable = $features)]
            fn rows<const DISTANCE: bool>(
                query: &[f32],
                rows: CodeRows<'_, u16>,
                out: &mut [f32],
            ) {
                let query = &query[..query.len().min(rows.width())];
                // SAFETY: a pointer is a row's start, and no row is shorter than `query`.
                let four = |rows| unsafe { block::<4, DISTANCE>(query, rows) };
                // SAFETY: as above.
                let one = |row| unsafe { block::<1, DISTANCE>(query, [row])[0] };
                by_streams(rows, out, prefetch::of_codes(), four, one);
            }

            /// # Safety
            /// As many codes as the query has values can be read from the start of each row.
            #[inline]
            #[target_feature(enable = $features)]
            unsafe fn block<const R: usize, const DISTANCE: bool>(
                query: &[f32],
                rows: [*const u16; R],
            ) -> [f32; R] {
                let d = query.len();
                let query = query.as_ptr();
                // Two sums a row: with one, a row alone waits for each addition.
                let mut sums = [[zero(); 2]; R];
                let mut at = 0;
                // SAFETY: every read ends at or before the query's length.
                unsafe {
                    while at + 2 * LANES <= d {
                        for turn in 0..2 {
                            let values = load(query.add(at));
                            for row in 0..R {
                                let codes = widen(load_halves(rows[row].add(at)));
                                sums[row][turn] = step::<DISTANCE>(sums[row][turn], values, codes);
                            }
                            at += LANES;
                        }
                    }
                    while at < d {
                        let count = LANES.min(d - at);
                        let values = load(padded::<f32, LANES>(query.add(at), count).as_ptr());
                        for row in 0..R {
                            let codes = padded::<u16, LANES>(rows[row].add(at), count);
                            let codes = widen(load_halves(codes.as_ptr()));
                            sums[row][0] = step::<DISTANCE>(sums[row][0], values, codes);
                        }
                        at += count;
                    }
                }
                let mut out = [0.0; R];
                for row in 0..R {
                    out[row] = sum(add(sums[row][0], sums[row][1]));
                }
                out
            }

            #[inline]
            #[target_feature(enable = $features)]
            fn step<const DISTANCE: bool>(sum: Vector, a: Vector, b: Vector) -> Vector {
                if DISTANCE {
                    let difference = sub(a, b);
                    mul_add(difference, difference, sum)
                } else {
                    mul_add(a, b, sum)
                }
            }
        }
    };
}

#[cfg(target_arch = "x86_64")]
kernel! {
    f16c, "avx2,fma,f16c", 8,

    use crate::native::x86::{
        load_128 as load_halves, load_f32s_256 as load, store_128 as store_halves,
        store_f32s_256 as store, sum_f32s_256 as sum,
    };
    use std::arch::x86_64::{
        __m128i, __m256 as Vector, _MM_FROUND_TO_NEAREST_INT, _mm256_add_ps as add,
        _mm256_cvtph_ps as widen, _mm256_cvtps_ph, _mm256_fmadd_ps as mul_add,
        _mm256_setzero_ps as zero, _mm256_sub_ps as sub,
    };

    #[inline]
    #[target_feature(enable = "f16c")]
    fn narrow(values: Vector) -> __m128i {
        _mm256_cvtps_ph::<_MM_FROUND_TO_NEAREST_INT>(values)
    }
}

#[cfg(target_arch = "x86_64")]
kernel! {
    avx512, "avx512f,avx512bw", 16,

    use crate::native::x86::{
        load_256 as load_halves, load_f32s_512 as load, store_256 as store_halves,
        store_f32s_512 as store, sum_f32s_512 as sum,
    };
    use std::arch::x86_64::{
        __m256i, __m512 as Vector, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT,
        _mm512_add_ps as add, _mm512_cvtph_ps as widen, _mm512_cvtps_ph,
        _mm512_fmadd_ps as mul_add, _mm512_setzero_ps as zero, _mm512_sub_ps as sub,
    };

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn narrow(values: Vector) -> __m256i {
        _mm512_cvtps_ph::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(values)
    }
}

#[cfg(target_arch = "aarch64")]
kernel! {
    neon_f16, "neon", 4,

    use crate::native::neon::{
        load_f32s as load, load_u16s as load_halves, mul_add, narrow, store_f32s as store,
        store_u16s as store_halves, sum_f32s as sum, widen, zero_f32s as zero,
    };
    use std::arch::aarch64::{float32x4_t as Vector, vaddq_f32 as add, vsubq_f32 as sub};
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_bound;
    use crate::f16_codes::f32_from_f16_reference;
    use crate::native::tests::{COUNTS, lengths};

    /// The same number, or both not a number.
    fn same(a: f32, b: f32) -> bool {
        a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
    }

    #[test]
    fn all_codes_decode_to_what_they_stand_for() {
        let codes: Vec<u16> = (0..=u16::MAX).collect();
        for path in Path::all() {
            let mut values = vec![0.0; codes.len()];
            path.decode(&codes, &mut values);
            for (&code, &value) in zip(&codes, &values) {
                let want = f32_from_f16_reference(code);
                assert!(same(value, want), "{} {code:#06x}: {value}", path.name);
                // The same bits on every path, the payload of a NaN too.
                assert_eq!(value.to_bits(), f32_from_f16(code).to_bits(), "{code:#06x}");
            }
        }
    }

    #[test]
    fn all_codes_survive_the_way_there_and_back() {
        let codes: Vec<u16> = (0..=u16::MAX).collect();
        for path in Path::all() {
            let (mut values, mut back) = (vec![0.0; codes.len()], vec![0; codes.len()]);
            path.decode(&codes, &mut values);
            path.encode(&values, &mut back);
            for (&code, &back) in zip(&codes, &back) {
                let is_nan = code & 0x7fff > 0x7c00;
                let want = if is_nan { code | 0x0200 } else { code };
                assert_eq!(back, want, "{}", path.name);
            }
        }
    }

    /// Between any two neighbours: just below the middle goes down, just above it up, the middle
    /// itself to the even one.
    #[test]
    fn rounding_is_to_the_nearest_ties_to_even() {
        let mut values = Vec::new();
        let mut want = Vec::new();
        for code in 0..0x7c00_u16 {
            let (low, high) = (f32_from_f16(code), f32_from_f16(code + 1));
            // Beyond the largest number a step is as wide as the last one before it.
            let high = if high.is_finite() { high } else { 65_536.0 };
            let middle = f32::midpoint(low, high);
            for sign in [1.0, -1.0] {
                let bit = if sign < 0.0 { 0x8000 } else { 0 };
                values.extend([
                    middle.next_down() * sign,
                    middle * sign,
                    middle.next_up() * sign,
                ]);
                want.extend([code | bit, (code + (code & 1)) | bit, (code + 1) | bit]);
            }
        }
        let extremes = [
            f32::MAX,
            f32::INFINITY,
            65_520.0,
            f32::MIN_POSITIVE,
            f32::from_bits(1),
            0.0,
        ];
        values.extend(extremes);
        want.extend([0x7c00, 0x7c00, 0x7c00, 0, 0, 0]);
        for path in Path::all() {
            let mut codes = vec![0; values.len()];
            path.encode(&values, &mut codes);
            for ((&value, &code), &want) in zip(zip(&values, &codes), &want) {
                assert_eq!(code, want, "{} of {value:e}", path.name);
                assert_eq!(f16_from_f32(value), want, "plain, of {value:e}");
            }
        }
    }

    fn values(count: usize, salt: usize) -> Vec<f32> {
        let spread = |at: usize| ((at * 7_919 + salt * 104_729) % 2_003) as f32 / 1_001.5 - 1.0;
        (0..count).map(spread).collect()
    }

    fn codes(count: usize, salt: usize) -> Vec<u16> {
        values(count, salt).into_iter().map(f16_from_f32).collect()
    }

    /// Every tail of the conversions, and nothing written beyond it.
    #[test]
    fn conversions_stop_where_the_shorter_ends() {
        for path in Path::all() {
            for d in 0..70 {
                let (from, codes) = (values(d, 1), codes(d, 1));
                let (mut to, mut out) = (vec![9; d + 3], vec![9.0; d + 3]);
                path.encode(&from, &mut to);
                path.decode(&codes, &mut out);
                assert_eq!(to[..d], codes, "{}", path.name);
                assert_eq!(to[d..], [9; 3]);
                assert_eq!(out[d..], [9.0; 3]);
                assert!(zip(&out, &codes).all(|(&value, &code)| value == f32_from_f16(code)));
            }
        }
    }

    #[track_caller]
    fn check(isa: Isa, query: &[f32], rows: CodeRows<'_, u16>) {
        let path = Path::of(isa);
        let d = query.len().min(rows.width());
        let bound = f64::from(error_bound(isa, d));
        let (mut dots, mut distances) = (vec![7.0; rows.len()], vec![7.0; rows.len()]);
        path.dot_rows(query, rows, &mut dots);
        path.squared_distance_rows(query, rows, &mut distances);
        for ((row, dot), distance) in zip(zip(rows.iter(), dots), distances) {
            let pairs = zip(query, row).map(|(&a, &b)| (f64::from(a), f64::from(f32_from_f16(b))));
            let (mut want, mut size, mut squared) = (0.0, 0.0, 0.0);
            for (a, b) in pairs {
                want += a * b;
                size += (a * b).abs();
                squared += (a - b) * (a - b);
            }
            let name = path.name;
            let miss = (f64::from(dot) - want).abs();
            assert!(miss <= bound * size, "{name} d={d}: {dot}, {want}");
            let miss = (f64::from(distance) - squared).abs();
            assert!(
                miss <= bound * squared,
                "{name} d={d}: {distance}, {squared}"
            );
            // One row alone goes another way, to the same bits.
            let alone = CodeRows::packed(row, row.len()).unwrap();
            let mut score = [0.0];
            path.dot_rows(query, alone, &mut score);
            assert_eq!(score[0].to_bits(), dot.to_bits(), "{name} d={d}");
        }
    }

    #[test]
    fn scores_agree_at_every_length_start_and_count() {
        for isa in Isa::ALL {
            for d in lengths().filter(|&d| d > 0) {
                for start in [0, 1, 3] {
                    let (query, data) = (values(d + start, 1), codes(5 * d + start, 2));
                    let rows = CodeRows::packed(&data[start..], d).unwrap();
                    check(isa, &query[start..], rows);
                }
            }
            for count in COUNTS {
                let data = codes(count * 50, 3);
                check(isa, &values(45, 4), CodeRows::new(&data, 45, 50).unwrap());
            }
            let data = codes(9 * 45, 3);
            let rows = CodeRows::packed(&data, 45).unwrap();
            check(isa, &values(20, 4), rows);
            check(isa, &values(90, 4), rows);
            check(isa, &[], rows);
        }
    }

    #[test]
    fn every_position_counts_once() {
        for path in Path::all() {
            let query: Vec<f32> = (0_u8..131).map(|at| f32::from(at) + 1.0).collect();
            let d = query.len();
            let mut data = vec![0; d * d];
            for at in 0..d {
                data[at * d + at] = f16_from_f32(1.0);
            }
            let mut dots = vec![0.0; d];
            path.dot_rows(&query, CodeRows::packed(&data, d).unwrap(), &mut dots);
            assert_eq!(dots, query, "{}", path.name);
        }
    }
}
