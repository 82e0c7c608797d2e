//! The least a processor has to do for a kernel: the same reads and the same arithmetic, without
//! anything that makes an answer of it.

use std::hint::black_box;

use cortica_simd::Isa;
use pulp::{Arch, Simd, WithSimd};

/// Runs `op` with the instructions that our kernels use here, be they forced: a limit that is
/// measured with others is another machine's.
pub(super) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    match Isa::best() {
        Isa::Scalar => return Simd::vectorize(pulp::Scalar, op),
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

/// What a kernel does with each pair of vector registers it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Steps {
    /// A product is added to a sum.
    Product,
    /// The square of a difference is added to a sum.
    Difference,
    /// A product and both squares are added to three sums.
    ProductAndSquares,
}

/// Registers that are added to in turn: more than a multiplication takes steps, so that none waits
/// for the one before.
const SUMS: usize = 8;

/// Goes through `rounds` times all of `rows` beside `query`, whose length theirs is a multiple of.
/// Sums are carried from row to row and folded only at the end.
pub(super) fn pairs(steps: Steps, query: &[f32], rows: &[f32], rounds: usize) -> f32 {
    match steps {
        Steps::Product | Steps::Difference => dispatch(Pairs::<1>(steps, query, rows, rounds)),
        Steps::ProductAndSquares => dispatch(Pairs::<3>(steps, query, rows, rounds)),
    }
}

struct Pairs<'a, const N: usize>(Steps, &'a [f32], &'a [f32], usize);

impl<const N: usize> WithSimd for Pairs<'_, N> {
    type Output = f32;

    #[allow(
        clippy::inline_always,
        reason = "a call here would drop the target features `dispatch` turned on"
    )]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let Pairs(steps, query, rows, rounds) = self;
        let mut sums = [[simd.splat_f32s(0.0); SUMS]; N];
        let (query_blocks, _) = S::as_simd_f32s(query).0.as_chunks::<SUMS>();
        for _ in 0..rounds {
            for row in black_box(rows).chunks_exact(query.len()) {
                let (blocks, _) = S::as_simd_f32s(row).0.as_chunks::<SUMS>();
                for (a, b) in query_blocks.iter().zip(blocks) {
                    for at in 0..SUMS {
                        let (a, b) = (a[at], b[at]);
                        match steps {
                            Steps::Product => {
                                sums[0][at] = simd.mul_add_e_f32s(a, b, sums[0][at]);
                            }
                            Steps::Difference => {
                                let difference = simd.sub_f32s(a, b);
                                let sum = sums[0][at];
                                sums[0][at] = simd.mul_add_e_f32s(difference, difference, sum);
                            }
                            Steps::ProductAndSquares => {
                                for (sum, (a, b)) in sums.iter_mut().zip([(a, b), (a, a), (b, b)]) {
                                    sum[at] = simd.mul_add_e_f32s(a, b, sum[at]);
                                }
                            }
                        }
                    }
                }
            }
        }
        folded(simd, sums.as_flattened())
    }
}

/// What a processor does at least for all products of `QUERIES` queries with `rows`: reads each
/// register of the rows once, and multiplies and adds it so often, to sums that stay in registers.
pub(super) fn products<const QUERIES: usize>(rows: &[f32]) -> f32 {
    dispatch(Products::<QUERIES>(rows))
}

struct Products<'a, const QUERIES: usize>(&'a [f32]);

impl<const QUERIES: usize> WithSimd for Products<'_, QUERIES> {
    type Output = f32;

    #[allow(
        clippy::inline_always,
        reason = "a call here would drop the target features `dispatch` turned on"
    )]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let factor = simd.splat_f32s(black_box(1.0));
        let mut sums = [simd.splat_f32s(0.0); QUERIES];
        for &values in S::as_simd_f32s(self.0).0 {
            for sum in &mut sums {
                *sum = simd.mul_add_e_f32s(values, factor, *sum);
            }
        }
        folded(simd, &sums)
    }
}

#[allow(
    clippy::inline_always,
    reason = "a call here would drop the target features `dispatch` turned on"
)]
#[inline(always)]
fn folded<S: Simd>(simd: S, sums: &[S::f32s]) -> f32 {
    let sum = sums
        .iter()
        .fold(simd.splat_f32s(0.0), |all, &sum| simd.add_f32s(all, sum));
    simd.reduce_sum_f32s(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Small whole numbers add up exactly in any order, so whoever left something out is found.
    #[test]
    fn nothing_is_left_out() {
        let query: Vec<f32> = (0..512).map(|at| (at % 3) as f32).collect();
        let rows: Vec<f32> = (0..3 * 512).map(|at| (at % 5) as f32).collect();
        let pairs_of = |of: fn(f32, f32) -> f32| -> f32 {
            let sum = |row: &[f32]| -> f32 { query.iter().zip(row).map(|(&a, &b)| of(a, b)).sum() };
            2.0 * rows.chunks_exact(512).map(sum).sum::<f32>()
        };
        let product = pairs_of(|a, b| a * b);
        assert_eq!(pairs(Steps::Product, &query, &rows, 2), product);
        let difference = pairs_of(|a, b| (a - b) * (a - b));
        assert_eq!(pairs(Steps::Difference, &query, &rows, 2), difference);
        let all = pairs_of(|a, b| a * b + a * a + b * b);
        assert_eq!(pairs(Steps::ProductAndSquares, &query, &rows, 2), all);
    }

    #[test]
    fn each_query_meets_every_row() {
        let rows: Vec<f32> = (0..512).map(|at| (at % 5) as f32).collect();
        assert_eq!(products::<16>(&rows), 16.0 * rows.iter().sum::<f32>());
    }
}
