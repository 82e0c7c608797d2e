//! What i8 codes say about the vectors behind them: estimates, and how far off those can be.

use crate::error_bound;
use crate::i8_codes::{I8Rows, I8Scale, I8Vector, dot_rows_i8};
use crate::isa::Isa;
use std::iter::zip;

/// Rows whose whole-number products are kept on the stack between the two steps.
const BLOCK: usize = 256;

/// Half an f32's last place, relative.
const ROUNDING: f32 = f32::EPSILON / 2.0;

/// The definition of one place of [`dot_estimates_i8`].
pub fn dot_estimate_i8_reference(a: I8Vector<'_>, b: I8Vector<'_>) -> f64 {
    let product = |(&a, &b): (&i8, &i8)| f64::from(a) * f64::from(b);
    let products: f64 = zip(a.codes, b.codes).map(product).sum();
    f64::from(a.scale.scale) * f64::from(b.scale.scale) * products
}

/// Estimates the dot product of the vector behind `query` with that behind each row; each estimate
/// is within [`I8Scale::dot_error`] of the exact value.
///
/// Rows beyond `out`, and places in `out` beyond the rows, are left alone. Cost as
/// [`dot_rows_i8`].
pub fn dot_estimates_i8(isa: Isa, query: I8Vector<'_>, rows: I8Rows<'_>, out: &mut [f32]) {
    estimates(isa, query, rows, out, |dot, _| dot);
}

/// Estimates the squared Euclidean distance from the vector behind `query` to that behind each row,
/// as `|q|^2 + |r|^2 - 2 q.r` with the exact lengths; each is within
/// [`I8Scale::squared_distance_error`] of the exact value, and never below 0. Otherwise as
/// [`dot_estimates_i8`].
pub fn squared_distance_estimates_i8(
    isa: Isa,
    query: I8Vector<'_>,
    rows: I8Rows<'_>,
    out: &mut [f32],
) {
    let squared = query.scale.norm * query.scale.norm;
    estimates(isa, query, rows, out, |dot, row| {
        let distance = squared + row.norm * row.norm - 2.0 * dot;
        // Not `max`: that would turn NaN, which must not be selected, into the best there is.
        if distance < 0.0 { 0.0 } else { distance }
    });
}

#[inline]
fn estimates(
    isa: Isa,
    query: I8Vector<'_>,
    rows: I8Rows<'_>,
    out: &mut [f32],
    finish: impl Fn(f32, &I8Scale) -> f32,
) {
    let mut sums = [0; BLOCK];
    for (block, out) in out.chunks_mut(BLOCK).enumerate() {
        let from = block * BLOCK;
        let rows = rows.range(from, from + out.len());
        let sums = &mut sums[..rows.len()];
        dot_rows_i8(isa, query.codes, rows.codes(), sums);
        for (place, (&sum, scale)) in zip(out, zip(&*sums, rows.scales())) {
            *place = finish(query.scale.scale * (scale.scale * sum as f32), scale);
        }
    }
}

impl I8Scale {
    /// How far the estimate of a dot product of two encoded vectors of `dimension` values can be
    /// from the exact one, and from what [`dot`](crate::dot) gives:
    /// `|a| e_b + e_a (|b| + e_b)` by the Cauchy-Schwarz inequality, `e` being
    /// [`error`](I8Scale::error), and a little for rounding.
    #[inline]
    pub fn dot_error(&self, other: &I8Scale, isa: Isa, dimension: usize) -> f32 {
        let (a, b) = (self.norm + self.error, other.norm + other.error);
        let by_codes = a * other.error + self.error * b;
        let by_rounding = (error_bound(isa, dimension) + 16.0 * ROUNDING) * a * b;
        // What products that vanish can add up to, where the bounds for rounding say nothing.
        let vanishing = 4.0 * dimension as f32 * f32::from_bits(1);
        by_codes * (1.0 + 16.0 * ROUNDING) + by_rounding + vanishing
    }

    /// The same for the estimate of a squared distance: twice the error of the dot product, and a
    /// little for rounding.
    #[inline]
    pub fn squared_distance_error(&self, other: &I8Scale, isa: Isa, dimension: usize) -> f32 {
        let lengths = self.norm + other.norm;
        let by_rounding = (error_bound(isa, dimension) + 16.0 * ROUNDING) * lengths * lengths;
        2.0 * self.dot_error(other, isa, dimension) + by_rounding
    }
}
