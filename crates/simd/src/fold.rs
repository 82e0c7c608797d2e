//! Adds up the lanes of many accumulators at once.

use pulp::Simd;
use std::iter::zip;

/// The sum of the lanes of each accumulator.
#[inline(always)]
pub(crate) fn fold<S: Simd, const Q: usize, const R: usize>(
    simd: S,
    sums: &[[S::f32s; R]; Q],
) -> [[f32; R]; Q] {
    let mut scores = [[0.0; R]; Q];
    #[cfg(target_arch = "x86_64")]
    if (Q * R).is_multiple_of(8)
        && let Some(simd) = avx512::token(simd)
    {
        let (sums, _) = sums.as_flattened().as_chunks::<8>();
        let (eights, _) = scores.as_flattened_mut().as_chunks_mut::<8>();
        for (eight, sums) in zip(eights, sums) {
            *eight = avx512::fold_eight(simd, sums);
        }
        return scores;
    }
    // Loops and not `map`: a closure is a function of its own, and called from here it would get
    // its vectors through memory and fold them without the wide instructions.
    for (scores, sums) in zip(&mut scores, sums) {
        for (score, &sum) in zip(scores, sums) {
            *score = simd.reduce_sum_f32s(sum);
        }
    }
    scores
}

/// Folded one by one, an accumulator leaves most of the register idle: eight of them take half as
/// many instructions together. Half of one and half of another make a full register, so the
/// registers stay full until one holds all sums. Lanes are added in the order in which `reduce_sum`
/// adds them, so the bits are the same.
#[cfg(target_arch = "x86_64")]
mod avx512 {
    use pulp::bytemuck::{AnyBitPattern, NoUninit, cast};
    use pulp::x86::V4;
    use std::any::Any;
    use std::arch::x86_64::__m512;

    /// The instructions, if they are those of `simd`. Known at compile time.
    #[inline(always)]
    pub(super) fn token<S: pulp::Simd>(simd: S) -> Option<V4> {
        let any: &dyn Any = &simd;
        any.downcast_ref().copied()
    }

    #[inline(always)]
    pub(super) fn fold_eight<V: NoUninit + AnyBitPattern>(simd: V4, sums: &[V; 8]) -> [f32; 8] {
        let [a, b, c, d, e, f, g, h] = *sums;
        let [ae, cg] = [
            pair_halves(simd, cast(a), cast(e)),
            pair_halves(simd, cast(c), cast(g)),
        ];
        let [bf, dh] = [
            pair_halves(simd, cast(b), cast(f)),
            pair_halves(simd, cast(d), cast(h)),
        ];
        let aceg = pair_quarters(simd, ae, cg);
        let bdfh = pair_quarters(simd, bf, dh);
        let all = pair_twos(simd, aceg, bdfh);
        // Both lanes of each two become its sum, and every other lane is kept.
        let avx512 = simd.avx512f;
        let swapped = avx512._mm512_permute_ps::<0b10_11_00_01>(all);
        let all = avx512._mm512_castps_si512(avx512._mm512_add_ps(all, swapped));
        cast(avx512._mm512_cvtepi64_epi32(all))
    }

    /// Lanes 0-7 get sums of `a`, the others of `b`.
    #[inline(always)]
    fn pair_halves(simd: V4, a: __m512, b: __m512) -> __m512 {
        let avx512 = simd.avx512f;
        let kept = avx512._mm512_mask_blend_ps(0xff00, a, b);
        let moved = avx512._mm512_shuffle_f32x4::<0b01_00_11_10>(a, b);
        avx512._mm512_add_ps(kept, moved)
    }

    /// Within each half, lanes 0-3 get sums of `a`, the others of `b`.
    #[inline(always)]
    fn pair_quarters(simd: V4, a: __m512, b: __m512) -> __m512 {
        let avx512 = simd.avx512f;
        let kept = avx512._mm512_mask_blend_ps(0xf0f0, a, b);
        let moved = avx512._mm512_mask_blend_ps(0xf0f0, b, a);
        let moved = avx512._mm512_shuffle_f32x4::<0b10_11_00_01>(moved, moved);
        avx512._mm512_add_ps(kept, moved)
    }

    /// Within each quarter, lanes 0 and 1 get sums of `a`, the others of `b`.
    #[inline(always)]
    fn pair_twos(simd: V4, a: __m512, b: __m512) -> __m512 {
        let avx512 = simd.avx512f;
        let kept = avx512._mm512_mask_blend_ps(0xcccc, a, b);
        let moved = avx512._mm512_shuffle_ps::<0b01_00_11_10>(a, b);
        avx512._mm512_add_ps(kept, moved)
    }
}
