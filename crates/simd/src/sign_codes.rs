//! One bit for each value, its sign: a thirty-second of the bytes of f32.
//!
//! The share of signs in which two vectors differ estimates the angle between them: exactly, in
//! the mean over random rotations, it is `angle / pi` (Charikar, "Similarity estimation techniques
//! from rounding algorithms", STOC 2002). Lengths are forgotten, so signs rank by cosine only.

use crate::code_rows::CodeRows;
use crate::isa::Isa;
use crate::native;
use std::iter::zip;

/// Words that hold the signs of a vector of `dimension` values.
pub const fn sign_words(dimension: usize) -> usize {
    dimension.div_ceil(u64::BITS as usize)
}

/// Encodes a vector: bit `i % 64` of word `i / 64` is set where `values[i] > 0`. Zeros and NaN
/// count as not positive; bits beyond the values are 0. Cost: O(d).
///
/// `words` should have [`sign_words`] places. Values beyond them are left out, places beyond the
/// values become 0.
pub fn encode_signs(values: &[f32], words: &mut [u64]) {
    let mut chunks = values.chunks(u64::BITS as usize);
    for word in words {
        let values = chunks.next().unwrap_or_default();
        *word = zip(values, 0..).fold(0, |word, (&value, bit)| {
            word | (u64::from(value > 0.0) << bit)
        });
    }
}

/// The definition of [`hamming`].
pub fn hamming_reference(a: &[u64], b: &[u64]) -> u32 {
    zip(a, b).map(|(a, b)| (a ^ b).count_ones()).sum()
}

/// The number of bits in which two codes differ; the shorter counts. Exact on every [`Isa`].
pub fn hamming(isa: Isa, a: &[u64], b: &[u64]) -> u32 {
    let words = a.len().min(b.len());
    let mut out = [0];
    if let Ok(row) = CodeRows::packed(&b[..words], words) {
        hamming_rows(isa, &a[..words], row, &mut out);
    }
    out[0]
}

/// The Hamming distance of one query to each row: `out[i]` bits differ between `query` and
/// `rows[i]`.
///
/// Rows beyond `out`, and places in `out` beyond the rows, are left alone. Cost: O(rows * words),
/// bound by memory bandwidth beyond the second-level cache.
pub fn hamming_rows(isa: Isa, query: &[u64], rows: CodeRows<'_, u64>, out: &mut [u32]) {
    native::sign::Path::of(isa).hamming_rows(query, rows, out);
}
