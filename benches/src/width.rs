//! How much arithmetic a processor does at once: the roof of kernels that lack for nothing else.

use std::hint::black_box;
use std::iter::zip;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use cortica_simd::Isa;
use pulp::{Arch, Simd, WithSimd};

/// Sums side by side: enough that none waits for the last multiply-add to leave the pipeline.
const SUMS: usize = 12;

/// So much faster per value the wider registers must be to count as worked on whole. It is about
/// 2 where they are, and 1 where they are taken in two halves.
const WHOLE_FROM: f64 = 1.4;

/// Whether this machine works on the 512-bit registers of AVX-512 whole. Some take them in two
/// halves, one after the other: there the instructions are the same and so are the answers, but
/// arithmetic and loads from the first cache are no faster than with AVX2. Measured once.
pub fn is_whole() -> bool {
    static WHOLE: OnceLock<bool> = OnceLock::new();
    *WHOLE.get_or_init(measure)
}

#[cfg(target_arch = "x86_64")]
fn measure() -> bool {
    use pulp::x86::{V3, V4};
    const VALUES: usize = 1 << 18;
    let (Some(half), Some(whole)) = (V3::try_new(), V4::try_new()) else {
        return false;
    };
    let best = |run: &dyn Fn() -> f32| -> Duration {
        let rounds = (0..30).map(|_| {
            let start = Instant::now();
            black_box(run());
            start.elapsed()
        });
        rounds.min().unwrap_or_default()
    };
    let of_half = best(&|| Simd::vectorize(half, MultiplyAdds(VALUES)));
    let of_whole = best(&|| Simd::vectorize(whole, MultiplyAdds(VALUES)));
    of_half.as_secs_f64() > WHOLE_FROM * of_whole.as_secs_f64()
}

#[cfg(not(target_arch = "x86_64"))]
fn measure() -> bool {
    false
}

/// Runs `op` with the instructions that our kernels use here, be they forced: a roof that is measured
/// with others is another machine's.
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    match Isa::best() {
        Isa::Scalar => return pulp::Scalar.vectorize(op),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => {
            if let Some(simd) = pulp::x86::V3::try_new() {
                return Simd::vectorize(simd, op);
            }
        }
        _ => {}
    }
    Arch::new().dispatch(op)
}

/// Multiplies and adds so many values, rounded up to whole rounds of all sums, in
/// registers and nowhere else.
pub(crate) fn multiply_adds(values: usize) -> f32 {
    dispatch(MultiplyAdds(values))
}

struct MultiplyAdds(usize);

impl WithSimd for MultiplyAdds {
    type Output = f32;

    #[allow(
        clippy::inline_always,
        reason = "a call here would drop the target features `dispatch` turned on"
    )]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let factor = simd.splat_f32s(black_box(0.5));
        let mut sums = [factor; SUMS];
        for _ in 0..self.0.div_ceil(SUMS * S::F32_LANES) {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(*sum, factor, factor);
            }
        }
        fold(simd, sums)
    }
}

/// Loads every value of two slices, in turns as a kernel over pairs does, and does no more with
/// them than it takes to have loaded them.
pub(crate) fn load_both(a: &[f32], b: &[f32]) -> f32 {
    dispatch(Loads([a, b]))
}

struct Loads<'a>([&'a [f32]; 2]);

impl WithSimd for Loads<'_> {
    type Output = f32;

    #[allow(
        clippy::inline_always,
        reason = "a call here would drop the target features `dispatch` turned on"
    )]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let [a, b] = self.0.map(|values| S::as_simd_f32s(values).0);
        let (a_fours, a_rest) = a.as_chunks::<4>();
        let (b_fours, b_rest) = b.as_chunks::<4>();
        let mut sums = [simd.splat_f32s(0.0); 8];
        for (a, b) in zip(a_fours, b_fours) {
            for lane in 0..4 {
                sums[lane] = simd.add_f32s(sums[lane], a[lane]);
                sums[lane + 4] = simd.add_f32s(sums[lane + 4], b[lane]);
            }
        }
        for (sum, (&a, &b)) in zip(&mut sums, zip(a_rest, b_rest)) {
            *sum = simd.add_f32s(*sum, simd.add_f32s(a, b));
        }
        fold(simd, sums)
    }
}

/// As a kernel does it: sums with one another, the lanes of what comes out once.
#[allow(
    clippy::inline_always,
    reason = "a call here would drop the target features `dispatch` turned on"
)]
#[inline(always)]
fn fold<S: Simd, const N: usize>(simd: S, mut sums: [S::f32s; N]) -> f32 {
    let mut width = N;
    while width > 1 {
        let half = width.div_ceil(2);
        for at in half..width {
            sums[at - half] = simd.add_f32s(sums[at - half], sums[at]);
        }
        width = half;
    }
    simd.reduce_sum_f32s(sums[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sum_is_worked_on() {
        // Each lane of each sum starts at 1/2 and is 3/4 after one round, all but 1 after many.
        let lanes = multiply_adds(1) / 0.75;
        assert_eq!(lanes % SUMS as f32, 0.0, "{lanes}");
        assert!((multiply_adds(100_000) - lanes).abs() < 1e-3 * lanes);
    }

    #[test]
    fn every_whole_vector_is_loaded() {
        for length in [0, 16, 48, 64, 112, 768] {
            let a: Vec<f32> = (0..length).map(|i| (i % 7) as f32).collect();
            let b = vec![2.0; length];
            let want = a.iter().sum::<f32>() + 2.0 * length as f32;
            assert_eq!(load_both(&a, &b), want, "{length}");
        }
    }

    #[test]
    fn what_was_found_stays() {
        assert_eq!(is_whole(), is_whole());
    }
}
