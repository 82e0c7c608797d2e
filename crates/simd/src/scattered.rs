//! One query against rows that lie anywhere: what a walk through a graph asks for.
//!
//! The sums are those of the many-row kernels, bit for bit: they select, canonical kernels score.

use crate::block::{NOTHING, block};
use crate::isa::Isa;
use crate::native;
use crate::native::prefetch::{of_rows, prefetch};
use crate::pair::{Pairing, Product, SquaredDifference};
use crate::portable;
use crate::sign_weights::SignWeights;
use pulp::{Simd, WithSimd};
use std::iter::zip;

/// As [`dot_rows`](crate::dot_rows), of rows that lie anywhere: `out[i] = query . rows[i]`, the
/// shorter of the two counting. Rows beyond `out`, and places beyond the rows, are left alone.
pub fn dot_scattered(isa: Isa, query: &[f32], rows: &[&[f32]], out: &mut [f32]) {
    isa.run(Scattered {
        query,
        rows,
        out,
        _pairing: Product,
    });
}

/// As [`squared_distance_rows`](crate::squared_distance_rows), of rows that lie anywhere; otherwise
/// as [`dot_scattered`].
pub fn squared_distance_scattered(isa: Isa, query: &[f32], rows: &[&[f32]], out: &mut [f32]) {
    isa.run(Scattered {
        query,
        rows,
        out,
        _pairing: SquaredDifference,
    });
}

/// As [`dot_rows_i8`](crate::dot_rows_i8), of rows that lie anywhere; otherwise as
/// [`dot_scattered`]. Exact for up to 2^17 values.
pub fn dot_scattered_i8(isa: Isa, query: &[i8], rows: &[&[i8]], out: &mut [i32]) {
    native::i8::Path::of(isa).dot_scattered(query, rows, out);
}

/// [`weighted_hamming`](crate::weighted_hamming) of rows that lie anywhere; otherwise as
/// [`dot_scattered`].
pub fn weighted_hamming_scattered(isa: Isa, query: &SignWeights, rows: &[&[u64]], out: &mut [u32]) {
    let path = native::sign_weights::Path::of(isa);
    for (place, row) in zip(out, rows) {
        *place = path.distance(query, row);
    }
}

/// Asks for a row before it is needed, on processors that can be asked. Costs an instruction for
/// each line of 64 bytes; changes nothing but time.
#[inline]
pub fn prefetch_row<T>(row: &[T]) {
    const LINE: usize = 64;
    let into = of_rows();
    for at in (0..row.len()).step_by(LINE / size_of::<T>().clamp(1, LINE)) {
        prefetch(row, at, into);
    }
}

struct Scattered<'a, P> {
    query: &'a [f32],
    rows: &'a [&'a [f32]],
    out: &'a mut [f32],
    _pairing: P,
}

impl<P: Pairing> WithSimd for Scattered<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            query, rows, out, ..
        } = self;
        if S::IS_SCALAR {
            for (row, place) in zip(rows, out) {
                *place = portable::sum_pairs(query, row, P::scalar);
            }
            return;
        }
        let count = rows.len().min(out.len());
        let (rows, out) = (&rows[..count], &mut out[..count]);
        // A block is cut to the shortest of its rows: where one is short, each goes alone.
        let in_fours = if rows.iter().all(|row| row.len() >= query.len()) {
            count - count % 4
        } else {
            0
        };
        let (fours, rest) = rows.split_at(in_fours);
        let (four_places, places) = out.split_at_mut(in_fours);
        let four_places = four_places.as_chunks_mut::<4>().0;
        for (rows, places) in zip(fours.as_chunks::<4>().0, four_places) {
            [*places] = block::<S, P, 1, 4>(simd, [query], *rows, NOTHING);
        }
        for (row, place) in zip(rest, places) {
            *place = block::<S, P, 1, 1>(simd, [query], [row], NOTHING)[0][0];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::tests::{COUNTS, bits, lengths};
    use crate::{CodeRows, Rows, dot_rows, dot_rows_i8, encode_signs, sign_words};
    use crate::{squared_distance_rows, weighted_hamming};

    fn values(count: usize, seed: u64) -> Vec<f32> {
        let value = |bits: u64| (bits % 2_001) as f32 / 1_000.0 - 1.0;
        bits(seed).map(value).take(count).collect()
    }

    #[test]
    fn the_bits_are_those_of_the_many_row_kernels() {
        for isa in Isa::available() {
            for d in lengths().filter(|&d| d > 0) {
                let (query, data) = (values(d, 1), values(7 * d, 2));
                let rows: Vec<&[f32]> = data.chunks(d).collect();
                let packed = Rows::packed(&data, d).unwrap();
                let (mut got, mut want) = ([0.0; 7], [0.0; 7]);
                dot_scattered(isa, &query, &rows, &mut got);
                dot_rows(isa, &query, packed, &mut want);
                assert_eq!(got, want, "{isa} dot of {d}");
                squared_distance_scattered(isa, &query, &rows, &mut got);
                squared_distance_rows(isa, &query, packed, &mut want);
                assert_eq!(got, want, "{isa} distance of {d}");
            }
        }
    }

    #[test]
    fn codes_are_counted_exactly_for_every_number_of_rows() {
        for isa in Isa::available() {
            for count in COUNTS {
                let d = 100;
                let codes: Vec<i8> = bits(3).map(|bits| bits as i8).take(count * d).collect();
                let query: Vec<i8> = bits(4).map(|bits| bits as i8).take(d).collect();
                let rows: Vec<&[i8]> = codes.chunks(d).collect();
                let (mut got, mut want) = (vec![0; count], vec![0; count]);
                dot_scattered_i8(isa, &query, &rows, &mut got);
                if count > 0 {
                    dot_rows_i8(isa, &query, CodeRows::packed(&codes, d).unwrap(), &mut want);
                }
                assert_eq!(got, want, "{isa} {count} rows");

                let mut weights = SignWeights::default();
                weights.encode(&values(d, 5));
                let mut signs = vec![0; count * sign_words(d)];
                for (row, place) in zip(values(count * d, 6).chunks(d), signs.chunks_mut(2)) {
                    encode_signs(row, place);
                }
                let rows: Vec<&[u64]> = signs.chunks(2).collect();
                let mut got = vec![0; count];
                weighted_hamming_scattered(isa, &weights, &rows, &mut got);
                let want: Vec<u32> = rows
                    .iter()
                    .map(|row| weighted_hamming(isa, &weights, row))
                    .collect();
                assert_eq!(got, want, "{isa} {count} rows");
            }
        }
    }

    #[test]
    fn shorter_rows_and_fewer_places_are_cut() {
        for isa in Isa::available() {
            let mut out = [7; 3];
            dot_scattered_i8(isa, &[1, 2, 3], &[&[1, 1], &[1, 1, 1, 1]], &mut out);
            assert_eq!(out, [3, 6, 7], "{isa}");
            dot_scattered_i8(isa, &[1, 2], &[&[5, 5], &[6, 6]], &mut out[..1]);
            assert_eq!(out, [15, 6, 7], "{isa}");
            let mut out = [7.0; 2];
            dot_scattered(isa, &[1.0, 2.0], &[&[3.0]], &mut out);
            assert_eq!(out, [3.0, 7.0], "{isa}");
            // In fours, of which each is cut alone.
            let (long, ones) = ([1.0; 40], [1; 40]);
            for short in 0..9 {
                let rows: [&[f32]; 9] =
                    std::array::from_fn(|row| if row == short { &long[..17] } else { &long[..] });
                let codes: [&[i8]; 9] =
                    std::array::from_fn(|row| if row == short { &ones[..17] } else { &ones[..] });
                let want = |of_long: f32| -> [f32; 9] {
                    std::array::from_fn(|row| of_long * if row == short { 17.0 } else { 37.0 })
                };
                let (mut dots, mut distances, mut sums) = ([0.0; 9], [0.0; 9], [0; 9]);
                dot_scattered(isa, &[2.0; 37], &rows, &mut dots);
                squared_distance_scattered(isa, &[4.0; 37], &rows, &mut distances);
                dot_scattered_i8(isa, &[2; 37], &codes, &mut sums);
                assert_eq!(dots, want(2.0), "{isa} {short}");
                assert_eq!(distances, want(9.0), "{isa} {short}");
                assert_eq!(sums.map(|sum| sum as f32), want(2.0), "{isa} {short}");
            }
            dot_scattered(isa, &[], &[&[], &[1.0]], &mut out);
            assert_eq!(out, [0.0; 2], "{isa}");
            prefetch_row::<f32>(&[]);
            prefetch_row(&[1_u64; 100]);
        }
    }
}
