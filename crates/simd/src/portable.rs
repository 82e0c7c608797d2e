//! The kernels' inner loop without intrinsics: 16 independent sums that a compiler can vectorise.

use std::iter::zip;

const LANES: usize = 16;

/// Sums `step` over the pairs of two slices, cut to the shorter.
#[inline(always)]
pub(crate) fn sum_pairs(a: &[f32], b: &[f32], step: impl Fn(f32, f32) -> f32) -> f32 {
    let d = a.len().min(b.len());
    let (a, b) = (&a[..d], &b[..d]);
    let (a_chunks, a_tail) = a.as_chunks::<LANES>();
    let (b_chunks, b_tail) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in zip(a_chunks, b_chunks) {
        for lane in 0..LANES {
            sums[lane] += step(a[lane], b[lane]);
        }
    }
    for (sum, (&a, &b)) in zip(&mut sums, zip(a_tail, b_tail)) {
        *sum += step(a, b);
    }
    // Pairwise, so that the order is the same wherever the compiler puts the lanes.
    let mut width = LANES;
    while width > 1 {
        width /= 2;
        for lane in 0..width {
            sums[lane] += sums[lane + width];
        }
    }
    sums[0]
}
