//! Kernels over confidences and activations, numbers in [0, 1], and their definitions.
//!
//! What is outside counts as the nearer end, and what is not a number as 0, so results are in
//! [0, 1] whatever comes in. Where slices differ in length the shorter counts.

use crate::isa::Isa;
use crate::map::{Map2, map2, unit, units};
use pulp::{Simd, WithSimd};
use std::iter::zip;

/// The definition of [`weigh`].
pub fn weigh_reference(values: &mut [f32], confidences: &[f32]) {
    zip(values, confidences).for_each(|(value, &by)| *value = unit(*value) * unit(by));
}

/// Both of two independent things: `values *= confidences`. One rounding: the same bits on every
/// [`Isa`].
///
/// ```
/// use cortica_simd::{Isa, weigh};
///
/// let mut scores = [0.5, 0.5, 0.5];
/// weigh(Isa::best(), &mut scores, &[1.0, 0.5, 7.0]);
/// assert_eq!(scores, [0.5, 0.25, 0.5]);
/// ```
pub fn weigh(isa: Isa, values: &mut [f32], confidences: &[f32]) {
    map2(isa, values, confidences, Both);
}

/// The definition of [`reinforce`].
pub fn reinforce_reference(values: &mut [f32], amounts: &[f32]) {
    zip(values, amounts).for_each(|(value, &amount)| {
        let kept = unit(*value);
        *value = unit(kept + unit(amount) * (1.0 - kept));
    });
}

/// Either of two independent things: `values = values + amounts - values * amounts`, which is
/// `1 - (1 - values)(1 - amounts)`. Never lowers a value in [0, 1]. At most 2^-23 from the exact
/// value.
pub fn reinforce(isa: Isa, values: &mut [f32], amounts: &[f32]) {
    map2(isa, values, amounts, Either);
}

/// The definition of [`weighted_mean`].
pub fn weighted_mean_reference(values: &[f32], weights: &[f32]) -> f32 {
    let pairs = zip(values, weights).map(|(&value, &weight)| (f64::from(value), f64::from(weight)));
    mean(pairs.fold((0.0, 0.0), |(sum, total), (value, weight)| {
        (sum + value * weight, total + weight)
    }))
}

/// The mean of numbers, each counted `weights[i]` times; 0 where the weights add up to 0 or to no
/// finite number. Values need not lie in [0, 1]. Added up in f64: for weights of one sign and n of
/// them, at most 2^-24 + n * 2^-52 of the largest value from the exact mean.
pub fn weighted_mean(isa: Isa, values: &[f32], weights: &[f32]) -> f32 {
    mean(isa.run(WeightedSums { values, weights }))
}

fn mean((sum, total): (f64, f64)) -> f32 {
    if total.is_finite() && total != 0.0 {
        (sum / total) as f32
    } else {
        0.0
    }
}

#[derive(Clone, Copy)]
struct Both;

impl Map2 for Both {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, value: S::f32s, other: S::f32s) -> S::f32s {
        simd.mul_f32s(units(simd, value), units(simd, other))
    }
}

#[derive(Clone, Copy)]
struct Either;

impl Map2 for Either {
    #[inline(always)]
    fn of<S: Simd>(self, simd: S, value: S::f32s, other: S::f32s) -> S::f32s {
        let kept = units(simd, value);
        let room = simd.sub_f32s(simd.splat_f32s(1.0), kept);
        units(simd, simd.mul_add_e_f32s(units(simd, other), room, kept))
    }
}

struct WeightedSums<'a> {
    values: &'a [f32],
    weights: &'a [f32],
}

impl WithSimd for WeightedSums<'_> {
    type Output = (f64, f64);

    // Plain code: inlined where the wide instructions are on, the compiler uses them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> (f64, f64) {
        const LANES: usize = 16;
        let length = self.values.len().min(self.weights.len());
        let (values, values_tail) = self.values[..length].as_chunks::<LANES>();
        let (weights, weights_tail) = self.weights[..length].as_chunks::<LANES>();
        let (mut sums, mut totals) = ([0.0_f64; LANES], [0.0_f64; LANES]);
        for (values, weights) in zip(values, weights) {
            for lane in 0..LANES {
                let weight = f64::from(weights[lane]);
                sums[lane] += f64::from(values[lane]) * weight;
                totals[lane] += weight;
            }
        }
        for (lane, (&value, &weight)) in zip(values_tail, weights_tail).enumerate() {
            sums[lane] += f64::from(value) * f64::from(weight);
            totals[lane] += f64::from(weight);
        }
        (sums.iter().sum(), totals.iter().sum())
    }
}
