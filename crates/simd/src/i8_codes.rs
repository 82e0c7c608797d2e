//! Vectors of i8 with one scale each: a quarter of the bytes of f32.
//!
//! `value ~ scale * code`, with codes in -127..=127 and `scale = max |value| / 127`. There is no
//! zero point: embeddings lie around zero, where it would make the steps only 7% finer (measured
//! on sentence embeddings of 768 values) and every dot product three terms longer.

use crate::code_rows::CodeRows;
use crate::isa::Isa;
use crate::native;
use pulp::{Simd, WithSimd};
use std::iter::zip;

/// The largest code; the range is symmetric.
const CODE_MAX: f32 = 127.0;

/// Vectors whose largest value is below this become zero: their scale would lose its precision.
const LARGEST_MIN: f32 = 127.0 * f32::MIN_POSITIVE;

/// What is kept beside the codes of one vector.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct I8Scale {
    /// What one step of a code is worth. 0 for a zero vector; NaN for a vector with a value that
    /// is not finite, so that its estimates are NaN and never selected.
    pub scale: f32,
    /// The length of the vector itself, not of its codes; infinite where it is beyond f32.
    pub norm: f32,
    /// At least the length of the difference between the vector and what its codes stand for.
    pub error: f32,
}

/// One vector's codes and their scale.
#[derive(Clone, Copy, Debug)]
pub struct I8Vector<'a> {
    /// Each in -127..=127.
    pub codes: &'a [i8],
    /// What they stand for.
    pub scale: I8Scale,
}

/// Borrowed rows of i8 codes with a scale for each row.
#[derive(Clone, Copy, Debug)]
pub struct I8Rows<'a> {
    codes: CodeRows<'a, i8>,
    scales: &'a [I8Scale],
}

/// Every row of codes needs a scale, and every scale a row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rows} rows of codes with {scales} scales")]
pub struct I8RowsError {
    /// Rows of codes.
    pub rows: usize,
    /// Scales.
    pub scales: usize,
}

impl<'a> I8Rows<'a> {
    /// Rows and the scales that [`encode_i8`] gave for them, in the same order.
    pub fn new(codes: CodeRows<'a, i8>, scales: &'a [I8Scale]) -> Result<Self, I8RowsError> {
        if codes.len() == scales.len() {
            return Ok(Self { codes, scales });
        }
        Err(I8RowsError {
            rows: codes.len(),
            scales: scales.len(),
        })
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.scales.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.scales.is_empty()
    }

    /// The codes.
    pub fn codes(&self) -> CodeRows<'a, i8> {
        self.codes
    }

    /// The scale of each row.
    pub fn scales(&self) -> &'a [I8Scale] {
        self.scales
    }

    /// The rows from `from` up to but not including `to`, cut to what is there.
    #[must_use]
    pub fn range(&self, from: usize, to: usize) -> I8Rows<'a> {
        let to = to.min(self.len());
        I8Rows {
            codes: self.codes.range(from, to),
            scales: &self.scales[from.min(to)..to],
        }
    }
}

/// Encodes a vector; `codes` has as many places as `values`, where not the fewer count.
///
/// `|value - scale * code| <= 0.5001 * scale`, or `<= 1.5e-36` where the scale comes out as 0.
/// Cost: O(d), three passes.
pub fn encode_i8(isa: Isa, values: &[f32], codes: &mut [i8]) -> I8Scale {
    let d = values.len().min(codes.len());
    isa.run(Encode {
        values: &values[..d],
        codes: &mut codes[..d],
    })
}

struct Encode<'a> {
    values: &'a [f32],
    codes: &'a mut [i8],
}

impl WithSimd for Encode<'_> {
    type Output = I8Scale;

    // Plain code: inlined where the wide instructions are on, the compiler uses them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> I8Scale {
        // Adding 1.5 * 2^23 rounds to the nearest whole number, ties to even, as the processor's
        // own rounding does, without a call where the target has no instruction for it. The number
        // then stands in the last bits: a cast would look for what does not fit, one at a time.
        const ROUND: f32 = 12_582_912.0;
        let Self { values, codes } = self;
        let (squares, largest) = squares_and_largest(values);
        if !squares.is_finite() {
            codes.fill(0);
            return I8Scale {
                scale: f32::NAN,
                norm: f32::NAN,
                error: f32::NAN,
            };
        }
        let norm = squares.sqrt() as f32;
        if largest < LARGEST_MIN {
            codes.fill(0);
            return I8Scale {
                scale: 0.0,
                norm,
                error: rounded_up(squares),
            };
        }
        let (scale, steps) = (largest / CODE_MAX, CODE_MAX / largest);
        for (value, code) in zip(values, &mut *codes) {
            *code = (value * steps + ROUND).to_bits() as i8;
        }
        let miss = |value: f32, code: i8| f64::from(value) - f64::from(scale) * f64::from(code);
        let mut missed = [0.0_f64; LANES];
        let (value_chunks, value_tail) = values.as_chunks::<LANES>();
        let (code_chunks, code_tail) = codes.as_chunks::<LANES>();
        for (values, codes) in zip(value_chunks, code_chunks) {
            let misses: [f64; LANES] = std::array::from_fn(|lane| miss(values[lane], codes[lane]));
            for (missed, miss) in zip(&mut missed, misses) {
                *missed += miss * miss;
            }
        }
        for ((&value, &code), missed) in zip(zip(value_tail, code_tail), &mut missed) {
            let miss = miss(value, code);
            *missed += miss * miss;
        }
        I8Scale {
            scale,
            norm,
            error: rounded_up(missed.iter().sum()),
        }
    }
}

const LANES: usize = 16;

/// The sum of squares, finite exactly when every value is, and the largest value without sign.
#[inline(always)]
fn squares_and_largest(values: &[f32]) -> (f64, f32) {
    let (chunks, tail) = values.as_chunks::<LANES>();
    let mut squares = [0.0_f64; LANES];
    let mut largest = [0.0_f32; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            let value = chunk[lane];
            squares[lane] += f64::from(value) * f64::from(value);
            largest[lane] = if value.abs() > largest[lane] {
                value.abs()
            } else {
                largest[lane]
            };
        }
    }
    for (&value, (squares, largest)) in zip(tail, zip(&mut squares, &mut largest)) {
        *squares += f64::from(value) * f64::from(value);
        *largest = largest.max(value.abs());
    }
    (
        squares.iter().sum(),
        largest.into_iter().fold(0.0, f32::max),
    )
}

/// The root of a sum of squares, never below it.
#[inline(always)]
fn rounded_up(squares: f64) -> f32 {
    // The sum is off by less than 2^-40 of itself for as many values as a vector has.
    let root = squares.sqrt() * (1.0 + 1e-9);
    if root == 0.0 {
        0.0
    } else {
        (root as f32).next_up()
    }
}

/// What the codes stand for: `out[i] = scale * codes[i]`; the shorter of the two counts.
pub fn decode_i8(vector: I8Vector<'_>, out: &mut [f32]) {
    for (value, &code) in zip(out, vector.codes) {
        // Cut where 127 rounded steps go beyond the f32 that they came from.
        *value = (vector.scale.scale * f32::from(code)).clamp(f32::MIN, f32::MAX);
    }
}

/// The definition of [`dot_i8`].
pub fn dot_i8_reference(a: &[i8], b: &[i8]) -> i32 {
    let products = zip(a, b).map(|(&a, &b)| i32::from(a) * i32::from(b));
    products.fold(0, i32::wrapping_add)
}

/// The dot product of two vectors of codes; the shorter counts. Exact, with the same bits on every
/// [`Isa`], for up to 131,071 values (beyond, i32 may wrap), -128 included.
pub fn dot_i8(isa: Isa, a: &[i8], b: &[i8]) -> i32 {
    let d = a.len().min(b.len());
    let mut out = [0];
    if let Ok(row) = CodeRows::packed(&b[..d], d) {
        dot_rows_i8(isa, &a[..d], row, &mut out);
    }
    out[0]
}

/// The dot product of one query with each row: `out[i] = query . rows[i]`, as [`dot_i8`].
///
/// Rows beyond `out`, and places in `out` beyond the rows, are left alone. Cost: O(rows * d), bound
/// by memory bandwidth from the second-level cache on.
pub fn dot_rows_i8(isa: Isa, query: &[i8], rows: CodeRows<'_, i8>, out: &mut [i32]) {
    native::i8::Path::of(isa).dot_rows(query, rows, out);
}
