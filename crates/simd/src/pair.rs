//! Kernels over two vectors, and their definitions.
//!
//! Both slices have d values; where their lengths differ the shorter counts. Cost: O(d).

use crate::isa::Isa;
use crate::portable;
use pulp::{Simd, WithSimd};
use std::iter::zip;
use std::ops::RangeInclusive;

/// One step of a sum over pairs: what distinguishes a dot product from a distance.
pub(crate) trait Pairing: Copy {
    fn scalar(a: f32, b: f32) -> f32;
    fn step<S: Simd>(simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s;
}

#[derive(Clone, Copy)]
pub(crate) struct Product;

impl Pairing for Product {
    #[inline(always)]
    fn scalar(a: f32, b: f32) -> f32 {
        a * b
    }

    #[inline(always)] // A call here would drop the target features `vectorize` turned on.
    fn step<S: Simd>(simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        simd.mul_add_e_f32s(a, b, sum)
    }
}

#[derive(Clone, Copy)]
pub(crate) struct SquaredDifference;

impl Pairing for SquaredDifference {
    #[inline(always)]
    fn scalar(a: f32, b: f32) -> f32 {
        (a - b) * (a - b)
    }

    #[inline(always)]
    fn step<S: Simd>(simd: S, a: S::f32s, b: S::f32s, sum: S::f32s) -> S::f32s {
        let difference = simd.sub_f32s(a, b);
        simd.mul_add_e_f32s(difference, difference, sum)
    }
}

/// Sums of squares between these bounds lost nothing to the ends of the range of f32: of d <= 8192
/// squares that add up to so much, those that vanished made less than 2^-50 of it.
pub(crate) const SQUARES: RangeInclusive<f32> =
    1.0 / (1_u128 << 80) as f32..=(1_u128 << 100) as f32;

/// The definition of [`dot`]: the sum of products, one accumulator, in order.
pub fn dot_reference(a: &[f32], b: &[f32]) -> f32 {
    zip(a, b).map(|(x, y)| x * y).sum()
}

/// The dot product. Canonical. Differs from the exact sum by at most
/// [`error_bound`](crate::error_bound)`(isa, d) * |a| * |b|`, as long as nothing leaves the range
/// of f32.
pub fn dot(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    isa.run(PairSum {
        a,
        b,
        _pairing: Product,
    })
}

/// The definition of [`squared_distance`].
pub fn squared_distance_reference(a: &[f32], b: &[f32]) -> f32 {
    zip(a, b).map(|(x, y)| (x - y) * (x - y)).sum()
}

/// The squared Euclidean distance, `>= 0`; infinite where a square overflows. Canonical. Its
/// relative error is at most [`error_bound`](crate::error_bound)`(isa, d)`.
pub fn squared_distance(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    isa.run(PairSum {
        a,
        b,
        _pairing: SquaredDifference,
    })
}

/// The definition of [`norm`].
pub fn norm_reference(a: &[f32]) -> f32 {
    squared_norm_f64_reference(a).sqrt() as f32
}

/// The Euclidean length, `>= 0`. Its relative error is at most
/// [`error_bound`](crate::error_bound)`(isa, d)`, for vectors of any finite length that f32 can
/// express: where squares leave the range of f32 they are added up in f64.
pub fn norm(isa: Isa, a: &[f32]) -> f32 {
    let squares = dot(isa, a, a);
    if SQUARES.contains(&squares) {
        squares.sqrt()
    } else {
        squared_norm_f64(isa, a).sqrt() as f32
    }
}

/// The definition of [`squared_norm_f64`].
pub fn squared_norm_f64_reference(a: &[f32]) -> f64 {
    a.iter()
        .map(|&value| f64::from(value) * f64::from(value))
        .sum()
}

/// The squared Euclidean length, added up in f64: no finite vector overflows it, so it is finite
/// exactly when every value is. Relative error at most d * 2^-53.
pub fn squared_norm_f64(isa: Isa, a: &[f32]) -> f64 {
    isa.run(SquaredNorm { a })
}

struct PairSum<'a, P> {
    a: &'a [f32],
    b: &'a [f32],
    _pairing: P,
}

impl<P: Pairing> WithSimd for PairSum<'_, P> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let Self { a, b, .. } = self;
        let d = a.len().min(b.len());
        let (a, b) = (&a[..d], &b[..d]);
        if S::IS_SCALAR {
            return portable::sum_pairs(a, b, P::scalar);
        }
        let (a, a_tail) = S::as_simd_f32s(a);
        let (b, b_tail) = S::as_simd_f32s(b);
        // Four accumulators: with one, each addition waits for the last to leave the pipeline.
        let zero = simd.splat_f32s(0.0);
        let mut sums = [zero; 4];
        // Two turns of them at a time: over few values the loop's own steps show.
        let (a_eights, a_rest) = a.as_chunks::<8>();
        let (b_eights, b_rest) = b.as_chunks::<8>();
        for (a, b) in zip(a_eights, b_eights) {
            for at in 0..8 {
                sums[at % 4] = P::step(simd, a[at], b[at], sums[at % 4]);
            }
        }
        for (at, (&a, &b)) in zip(a_rest, b_rest).enumerate() {
            sums[at % 4] = P::step(simd, a, b, sums[at % 4]);
        }
        if !a_tail.is_empty() {
            // The tail loads as a vector padded with zeros, which add nothing to the sum.
            let (a, b) = (
                simd.partial_load_f32s(a_tail),
                simd.partial_load_f32s(b_tail),
            );
            sums[3] = P::step(simd, a, b, sums[3]);
        }
        fold_four(simd, sums)
    }
}

/// Adds up the four accumulators of a canonical kernel: part of what fixes its bits.
#[inline(always)]
pub(crate) fn fold_four<S: Simd>(simd: S, [s0, s1, s2, s3]: [S::f32s; 4]) -> f32 {
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(s0, s1), simd.add_f32s(s2, s3)))
}

struct SquaredNorm<'a> {
    a: &'a [f32],
}

impl WithSimd for SquaredNorm<'_> {
    type Output = f64;

    // Plain code: inlined where the wide instructions are on, the compiler uses them.
    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) -> f64 {
        let (chunks, tail) = self.a.as_chunks::<32>();
        let mut sums = [0.0_f64; 32];
        for chunk in chunks {
            for (sum, &value) in zip(&mut sums, chunk) {
                *sum += f64::from(value) * f64::from(value);
            }
        }
        sums.iter().sum::<f64>() + squared_norm_f64_reference(tail)
    }
}
