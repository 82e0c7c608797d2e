//! How far a fast kernel can be from the exact sum.

use crate::isa::Isa;

/// How far a kernel's sum over `dimension` pairs can be from the exact one, in units of what the
/// pairs add up to in absolute value (for a dot product that is at most `|a| * |b|`).
///
/// Any order of adding that an f32 kernel of this crate uses stays below it, so two kernels of one
/// [`Isa`] that were given the same pairs are at most twice as far from each other. The bound
/// grows with d / lanes: at 768 values it is 3.4e-6 for AVX-512 and the portable form, 6.2e-6 for
/// AVX2.
///
/// It counts a chain of d / lanes roundings, the lanes folded in log2 steps, and two for the pair
/// itself, each at most 2^-24 (Higham, "Accuracy and Stability of Numerical Algorithms", 2002,
/// section 4.2). It knows nothing of overflow; and each product that falls below 2^-126 adds up to
/// 2^-150 of its own.
pub fn error_bound(isa: Isa, dimension: usize) -> f32 {
    let lanes = isa.lanes();
    // 2: four accumulators folded into one. 2: the difference and the product.
    let roundings = dimension.div_ceil(lanes) + lanes.ilog2() as usize + 2 + 2;
    // The hundredth covers the higher powers that the first-order bound leaves out.
    roundings as f32 * (f32::EPSILON / 2.0) * 1.01
}
