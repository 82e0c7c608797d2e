//! Half precision as storage: u16 holding the bits of an IEEE 754 binary16, half the bytes of f32.
//!
//! Arithmetic stays in f32: f16 rows are widened as they are read. Storing rounds to the nearest,
//! ties to even: the relative error is at most 2^-11 from 2^-14 (6.1e-5) up to 65,504, the
//! absolute error at most 2^-25 below; from 65,520 on values become infinite.

use crate::code_rows::CodeRows;
use crate::isa::Isa;
use crate::native;
use std::iter::zip;

/// The definition of [`f32_from_f16`]: sign, exponent, mantissa.
pub fn f32_from_f16_reference(bits: u16) -> f32 {
    let sign = if bits >> 15 == 0 { 1.0 } else { -1.0 };
    let exponent = i32::from(bits >> 10 & 31);
    let mantissa = f32::from(bits & 1023);
    sign * match exponent {
        0 => mantissa * 2.0_f32.powi(-24),
        31 if mantissa == 0.0 => f32::INFINITY,
        31 => f32::NAN,
        _ => (1.0 + mantissa / 1024.0) * 2.0_f32.powi(exponent - 15),
    }
}

/// The f32 that the bits of an f16 stand for; exact. NaN stays NaN, and becomes a quiet one.
#[inline]
pub fn f32_from_f16(bits: u16) -> f32 {
    const TWO_TO_112: f32 = f32::from_bits((127 + 112) << 23);
    let sign = u32::from(bits & 0x8000) << 16;
    let rest = u32::from(bits & 0x7fff);
    // Moved into place, the exponent is 112 too small, for subnormals too; infinity and NaN,
    // which have no exponent, get theirs by setting all its bits.
    let scaled = (f32::from_bits(rest << 13) * TWO_TO_112).to_bits();
    let special = if rest >= 0x7c00 { 0x7f80_0000 } else { 0 };
    let quiet = if rest > 0x7c00 { 0x0040_0000 } else { 0 };
    f32::from_bits(sign | scaled | special | quiet)
}

/// The bits of the f16 nearest to `value`, ties to even; see the bounds above. NaN stays NaN.
#[inline]
pub fn f16_from_f32(value: f32) -> u16 {
    const INFINITY: u32 = 0x7c00;
    let bits = value.to_bits();
    let sign = bits >> 16 & 0x8000;
    let rest = bits & 0x7fff_ffff;
    // Below 2^-14 an f16 counts steps of 2^-24, which is what the last bit of 0.5 is worth.
    let small = (f32::from_bits(rest) + 0.5)
        .to_bits()
        .wrapping_sub(0.5_f32.to_bits());
    // Above, thirteen bits go: a little less than half of the last one that stays is added, and
    // the missing step where that one is odd. What overflows by it becomes infinity by itself.
    let odd = rest >> 13 & 1;
    let normal = rest.wrapping_sub(112 << 23).wrapping_add(0x0fff + odd) >> 13;
    let finite = if rest < 113 << 23 { small } else { normal };
    let nan = INFINITY | 0x0200 | (rest >> 13 & 0x03ff);
    let magnitude = if rest > 0x7f80_0000 {
        nan
    } else if rest >= 143 << 23 {
        INFINITY
    } else {
        finite
    };
    (sign | magnitude) as u16
}

/// `out[i] = f32_from_f16(codes[i])`; the shorter of the two counts.
pub fn decode_f16(isa: Isa, codes: &[u16], out: &mut [f32]) {
    native::f16::Path::of(isa).decode(codes, out);
}

/// `codes[i] = f16_from_f32(values[i])`; the shorter of the two counts.
pub fn encode_f16(isa: Isa, values: &[f32], codes: &mut [u16]) {
    native::f16::Path::of(isa).encode(values, codes);
}

/// The definition of [`dot_f16`].
pub fn dot_f16_reference(query: &[f32], row: &[u16]) -> f32 {
    zip(query, row).map(|(a, &b)| a * f32_from_f16(b)).sum()
}

/// The definition of [`squared_distance_f16`].
pub fn squared_distance_f16_reference(query: &[f32], row: &[u16]) -> f32 {
    let differences = zip(query, row).map(|(a, &b)| a - f32_from_f16(b));
    differences.map(|difference| difference * difference).sum()
}

/// The dot product of a query in f32 and a vector in f16; the shorter counts. Off by at most
/// [`error_bound`](crate::error_bound)`(isa, d) * |query| * |row|`, `row` being what the codes
/// stand for; against the vector before it was stored, add `2^-11 * |query| * |row|`.
pub fn dot_f16(isa: Isa, query: &[f32], row: &[u16]) -> f32 {
    one(query, row, |query, row, out| {
        dot_rows_f16(isa, query, row, out);
    })
}

/// The squared Euclidean distance between a query in f32 and a vector in f16, `>= 0`. Its relative
/// error is at most [`error_bound`](crate::error_bound)`(isa, d)`, against what the codes stand for.
pub fn squared_distance_f16(isa: Isa, query: &[f32], row: &[u16]) -> f32 {
    one(query, row, |query, row, out| {
        squared_distance_rows_f16(isa, query, row, out);
    })
}

fn one(
    query: &[f32],
    row: &[u16],
    score: impl FnOnce(&[f32], CodeRows<'_, u16>, &mut [f32]),
) -> f32 {
    let d = query.len().min(row.len());
    let mut out = [0.0];
    if let Ok(row) = CodeRows::packed(&row[..d], d) {
        score(&query[..d], row, &mut out);
    }
    out[0]
}

/// The dot product of one query in f32 with each f16 row: `out[i] = query . rows[i]`, with the
/// same bits as [`dot_f16`].
///
/// Rows beyond `out`, and places in `out` beyond the rows, are left alone. Cost: O(rows * d), bound
/// by the conversion in cache and by memory bandwidth beyond it.
pub fn dot_rows_f16(isa: Isa, query: &[f32], rows: CodeRows<'_, u16>, out: &mut [f32]) {
    native::f16::Path::of(isa).dot_rows(query, rows, out);
}

/// The squared Euclidean distance of one query in f32 to each f16 row; otherwise as
/// [`dot_rows_f16`].
pub fn squared_distance_rows_f16(
    isa: Isa,
    query: &[f32],
    rows: CodeRows<'_, u16>,
    out: &mut [f32],
) {
    native::f16::Path::of(isa).squared_distance_rows(query, rows, out);
}
