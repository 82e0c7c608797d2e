//! The cosine of two vectors, alone and with stored norms.

use crate::isa::Isa;
use crate::pair::{Pairing, Product, SQUARES, dot, fold_four, squared_norm_f64};
use crate::portable;
use pulp::{Simd, WithSimd};
use std::iter::zip;

/// The definition of [`cosine`], in f64 so that no finite vector is too long or too short for it.
pub fn cosine_reference(a: &[f32], b: &[f32]) -> f32 {
    let pairs = zip(a, b).map(|(&x, &y)| (f64::from(x), f64::from(y)));
    let (dot, a, b) = pairs.fold((0.0, 0.0, 0.0), |(dot, a, b), (x, y)| {
        (dot + x * y, a + x * x, b + y * y)
    });
    if a == 0.0 || b == 0.0 {
        return 0.0;
    }
    (dot / (a.sqrt() * b.sqrt())).clamp(-1.0, 1.0) as f32
}

/// The cosine of the angle between two vectors, in [-1, 1]; 0 when either is zero. Canonical.
///
/// At most 2 [`error_bound`](crate::error_bound)`(isa, d)` and four roundings from the exact value,
/// whatever the vectors; below 1e-6 for all but vectors made to accumulate every rounding in one
/// direction. Where squares leave the range of f32 it is computed as [`cosine_reference`] does.
pub fn cosine(isa: Isa, a: &[f32], b: &[f32]) -> f32 {
    isa.run(Cosine { a, b })
}

/// The definition of [`inverse_norm`].
pub fn inverse_norm_reference(a: &[f32]) -> f32 {
    inverse_of_squares(crate::squared_norm_f64_reference(a))
}

/// `1 / |a|`, to be stored beside a vector and handed to [`cosine_with_norms`]; 0 for a zero
/// vector, at most [`f32::MAX`]. One rounding from the exact value, for lengths from 2^-126 to
/// 2^126; beyond, scale the vector first.
pub fn inverse_norm(isa: Isa, a: &[f32]) -> f32 {
    inverse_of_squares(squared_norm_f64(isa, a))
}

fn inverse_of_squares(squares: f64) -> f32 {
    if squares == 0.0 {
        return 0.0;
    }
    // `clamp` keeps what is not a number.
    squares.sqrt().recip().clamp(0.0, f64::from(f32::MAX)) as f32
}

/// The definition of [`cosine_with_norms`].
pub fn cosine_with_norms_reference(a: &[f32], b: &[f32], inverse_a: f32, inverse_b: f32) -> f32 {
    cosine_of_dot(crate::dot_reference(a, b), inverse_a, inverse_b)
}

/// [`cosine`] for vectors whose [`inverse_norm`]s are known, at the price of a dot product.
/// Canonical: its bits are those of `dot(a, b) * (inverse_a * inverse_b)`, cut to [-1, 1].
///
/// At most [`error_bound`](crate::error_bound)`(isa, d)` and four roundings from the exact value
/// for vectors of lengths from 2^-40 to 2^60; beyond, use [`cosine`] or scale the vectors first.
pub fn cosine_with_norms(isa: Isa, a: &[f32], b: &[f32], inverse_a: f32, inverse_b: f32) -> f32 {
    cosine_of_dot(dot(isa, a, b), inverse_a, inverse_b)
}

#[inline(always)]
pub(crate) fn cosine_of_dot(dot: f32, inverse_a: f32, inverse_b: f32) -> f32 {
    (dot * (inverse_a * inverse_b)).clamp(-1.0, 1.0)
}

/// Of three sums in one pass, each with the bits of its own [`dot`].
struct Cosine<'a> {
    a: &'a [f32],
    b: &'a [f32],
}

impl WithSimd for Cosine<'_> {
    type Output = f32;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let [dot, a, b] = self.sums(simd);
        if SQUARES.contains(&a) && SQUARES.contains(&b) {
            (dot / (a.sqrt() * b.sqrt())).clamp(-1.0, 1.0)
        } else {
            out_of_range(self.a, self.b)
        }
    }
}

/// Apart, so that ordinary vectors do not pay for its registers.
#[cold]
#[inline(never)]
fn out_of_range(a: &[f32], b: &[f32]) -> f32 {
    cosine_reference(a, b)
}

impl Cosine<'_> {
    #[inline(always)]
    fn sums<S: Simd>(&self, simd: S) -> [f32; 3] {
        let d = self.a.len().min(self.b.len());
        let (a, b) = (&self.a[..d], &self.b[..d]);
        if S::IS_SCALAR {
            return [
                portable::sum_pairs(a, b, Product::scalar),
                portable::sum_pairs(a, a, Product::scalar),
                portable::sum_pairs(b, b, Product::scalar),
            ];
        }
        let (a, a_tail) = S::as_simd_f32s(a);
        let (b, b_tail) = S::as_simd_f32s(b);
        let mut sums = [[simd.splat_f32s(0.0); 4]; 3];
        let (a_fours, a_rest) = a.as_chunks::<4>();
        let (b_fours, b_rest) = b.as_chunks::<4>();
        for (a, b) in zip(a_fours, b_fours) {
            for lane in 0..4 {
                step(simd, &mut sums, lane, a[lane], b[lane]);
            }
        }
        for (lane, (&a, &b)) in zip(a_rest, b_rest).enumerate() {
            step(simd, &mut sums, lane, a, b);
        }
        if !a_tail.is_empty() {
            let a = simd.partial_load_f32s(a_tail);
            step(simd, &mut sums, 3, a, simd.partial_load_f32s(b_tail));
        }
        let [dot, a, b] = sums;
        [fold_four(simd, dot), fold_four(simd, a), fold_four(simd, b)]
    }
}

#[inline(always)]
fn step<S: Simd>(simd: S, sums: &mut [[S::f32s; 4]; 3], lane: usize, a: S::f32s, b: S::f32s) {
    sums[0][lane] = simd.mul_add_e_f32s(a, b, sums[0][lane]);
    sums[1][lane] = simd.mul_add_e_f32s(a, a, sums[1][lane]);
    sums[2][lane] = simd.mul_add_e_f32s(b, b, sums[2][lane]);
}
