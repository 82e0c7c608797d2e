//! Kernels that change vectors in place, and their definitions.
//!
//! Where slices differ in length the shorter counts; what lies beyond is left alone. Cost: O(d),
//! bound by memory bandwidth.

use crate::isa::Isa;
use crate::map::{Map, Map2, map, map2, unit, units};
use crate::rows::Rows;
use pulp::{Simd, WithSimd};
use std::iter::zip;

/// The definition of [`axpy`].
pub fn axpy_reference(factor: f32, x: &[f32], y: &mut [f32]) {
    zip(y, x).for_each(|(y, x)| *y += factor * x);
}

/// `y += factor * x`. Each value is at most two roundings from the exact one, of its own size and
/// of that of the product.
pub fn axpy(isa: Isa, factor: f32, x: &[f32], y: &mut [f32]) {
    map2(isa, y, x, AddScaled(factor));
}

/// The definition of [`scale`].
pub fn scale_reference(values: &mut [f32], factor: f32) {
    for value in values {
        *value *= factor;
    }
}

/// `values *= factor`. Each value is one rounding from the exact one: the same bits on every
/// [`Isa`].
pub fn scale(isa: Isa, values: &mut [f32], factor: f32) {
    map(isa, values, Scale(factor));
}

/// The definition of [`clamped_add`].
pub fn clamped_add_reference(values: &mut [f32], changes: &[f32]) {
    zip(values, changes).for_each(|(value, change)| *value = unit(*value + change));
}

/// `values = clamp(values + changes, 0, 1)`, and 0 where the sum is not a number: whatever is
/// added, an activation stays one. One rounding: the same bits on every [`Isa`].
///
/// ```
/// use cortica_simd::{Isa, clamped_add};
///
/// let mut activations = [0.5, 0.3, 0.9, 0.8];
/// clamped_add(Isa::best(), &mut activations, &[0.1, -0.5, 0.2, -0.3]);
/// assert_eq!(activations, [0.6, 0.0, 1.0, 0.5]);
/// ```
pub fn clamped_add(isa: Isa, values: &mut [f32], changes: &[f32]) {
    map2(isa, values, changes, ClampedAdd);
}

/// What is left of 1 after `elapsed`, where after each `time_constant` a part of 1 / e is left:
/// `exp(-elapsed / time_constant)`, in [0, 1]. Both have the same unit, whichever it is.
///
/// Time that went backwards, or is not a number, changes nothing: 1. A time constant of 0 or less,
/// or none at all, leaves nothing once time has passed: 0.
pub fn decay_factor(elapsed: f32, time_constant: f32) -> f32 {
    let (elapsed, time_constant) = (f64::from(elapsed), f64::from(time_constant));
    if elapsed.is_nan() || elapsed <= 0.0 {
        1.0
    } else if time_constant > 0.0 {
        // Both infinite: no limit is the right one, and keeping is the one that loses nothing.
        let rate = elapsed / time_constant;
        if rate.is_nan() {
            1.0
        } else {
            (-rate).exp() as f32
        }
    } else {
        0.0
    }
}

/// The definition of [`decay`].
pub fn decay_reference(values: &mut [f32], elapsed: f32, time_constant: f32) {
    scale_reference(values, decay_factor(elapsed, time_constant));
}

/// Exponential decay: `values *= `[`decay_factor`]`(elapsed, time_constant)`. Each value is two
/// roundings from the exact one.
pub fn decay(isa: Isa, values: &mut [f32], elapsed: f32, time_constant: f32) {
    scale(isa, values, decay_factor(elapsed, time_constant));
}

/// The definition of [`weighted_average`], in f64.
pub fn weighted_average_reference(rows: Rows<'_>, weights: &[f32], out: &mut [f32]) {
    let total = total(rows, weights);
    for (at, place) in out.iter_mut().take(rows.dimension()).enumerate() {
        let products = zip(rows.iter(), weights).map(|(row, &w)| f64::from(row[at]) * f64::from(w));
        *place = match total {
            Some(total) => (products.sum::<f64>() / total) as f32,
            None => 0.0,
        };
    }
}

/// The average of rows, each counted `weights[i]` times: `out = sum(weights[i] * rows[i]) /
/// sum(weights)`; zeros where the weights add up to 0 or to no finite number, or there are no rows.
///
/// With n rows each value is at most n + 3 roundings from the exact one, of the size of
/// `sum(|weights[i] * rows[i]|) / |sum(weights)|`. Cost: O(n d).
pub fn weighted_average(isa: Isa, rows: Rows<'_>, weights: &[f32], out: &mut [f32]) {
    let length = rows.dimension().min(out.len());
    let out = &mut out[..length];
    out.fill(0.0);
    if let Some(total) = total(rows, weights) {
        isa.run(WeightedSum { rows, weights, out });
        scale(isa, out, total.recip() as f32);
    }
}

/// What the weights of rows add up to, if it can be divided by.
fn total(rows: Rows<'_>, weights: &[f32]) -> Option<f64> {
    let weights = weights.iter().take(rows.len());
    let total: f64 = weights.map(|&weight| f64::from(weight)).sum();
    (total.is_finite() && total != 0.0).then_some(total)
}

#[derive(Clone, Copy)]
struct AddScaled(f32);

impl Map2 for AddScaled {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, y: S::f32s, x: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(simd.splat_f32s(self.0), x, y)
    }
}

#[derive(Clone, Copy)]
struct Scale(f32);

impl Map for Scale {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, value: S::f32s) -> S::f32s {
        simd.mul_f32s(value, simd.splat_f32s(self.0))
    }
}

#[derive(Clone, Copy)]
struct ClampedAdd;

impl Map2 for ClampedAdd {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, value: S::f32s, change: S::f32s) -> S::f32s {
        units(simd, simd.add_f32s(value, change))
    }
}

struct WeightedSum<'a> {
    rows: Rows<'a>,
    weights: &'a [f32],
    out: &'a mut [f32],
}

impl WithSimd for WeightedSum<'_> {
    type Output = ();

    /// Four rows at a time, so that `out` is read and written once for four of them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { rows, weights, out } = self;
        let count = rows.len().min(weights.len());
        let (fours, _) = weights[..count].as_chunks::<4>();
        for (at, &four) in fours.iter().enumerate() {
            let mut block = [&rows.data()[..out.len()]; 4];
            for (row, from) in zip(&mut block, 4 * at..) {
                *row = &rows.data()[from * rows.stride()..][..out.len()];
            }
            add_rows(simd, block, four, out);
        }
        let done = 4 * fours.len();
        for (row, &weight) in zip(rows.range(done, count).iter(), &weights[done..count]) {
            add_rows(simd, [&row[..out.len()]], [weight], out);
        }
    }
}

/// `out += sum(weights[i] * rows[i])`, for rows of the length of `out`.
#[inline(always)]
fn add_rows<S: Simd, const N: usize>(
    simd: S,
    rows: [&[f32]; N],
    weights: [f32; N],
    out: &mut [f32],
) {
    let (whole, tail) = S::as_mut_simd_f32s(out);
    let weights = weights.map(|weight| simd.splat_f32s(weight));
    let chunks = rows.map(|row| &S::as_simd_f32s(row).0[..whole.len()]);
    let tails = rows.map(|row| S::as_simd_f32s(row).1);
    for (at, sum) in whole.iter_mut().enumerate() {
        for (chunks, &weight) in zip(chunks, &weights) {
            *sum = simd.mul_add_e_f32s(chunks[at], weight, *sum);
        }
    }
    if !tail.is_empty() {
        let mut sum = simd.partial_load_f32s(tail);
        for (values, &weight) in zip(tails, &weights) {
            sum = simd.mul_add_e_f32s(simd.partial_load_f32s(values), weight, sum);
        }
        simd.partial_store_f32s(tail, sum);
    }
}
