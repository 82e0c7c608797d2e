//! Reading memory and doing next to nothing with it: the roof of every scan.

use std::time::{Duration, Instant};

use pulp::{Arch, Simd, WithSimd};

/// One way to read a buffer. Which is fastest differs between machines, so it is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// From front to back.
    OneStream,
    /// Four places at once, which keeps more of the hardware's prefetchers busy.
    FourStreams,
}

/// Vectors added side by side in one stream: with one, each addition waits for the last.
const ACCUMULATORS: usize = 8;

impl Read {
    /// The fastest on this machine for these buffers: the best of a few rounds each.
    pub(super) fn fastest(buffers: &[Vec<f32>]) -> Read {
        let time = |read: Read| -> Duration {
            let rounds = (0..3).map(|_| {
                let start = Instant::now();
                std::hint::black_box(read.sum(buffers));
                start.elapsed()
            });
            rounds.min().unwrap_or_default()
        };
        let [one, four] = [Read::OneStream, Read::FourStreams].map(|read| (time(read), read));
        if one.0 <= four.0 { one.1 } else { four.1 }
    }

    /// The sum of all values, so that every one of them has to be read.
    pub(super) fn sum(self, buffers: &[Vec<f32>]) -> f32 {
        let arch = Arch::new();
        let sum = |values: &[f32]| {
            let quarter = values.len() / 4;
            match self {
                Read::FourStreams if quarter > 0 => {
                    let (a, rest) = values.split_at(quarter);
                    let (b, rest) = rest.split_at(quarter);
                    let (c, d) = rest.split_at(quarter);
                    arch.dispatch(Sum([a, b, c, d]))
                }
                _ => arch.dispatch(Sum([values])),
            }
        };
        buffers.iter().map(|buffer| sum(buffer)).sum()
    }
}

/// The sum of all values of `N` slices, which are read side by side.
struct Sum<'a, const N: usize>([&'a [f32]; N]);

impl<const N: usize> WithSimd for Sum<'_, N> {
    type Output = f32;

    #[allow(
        clippy::inline_always,
        reason = "a call here would drop the target features `dispatch` turned on"
    )]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f32 {
        let whole = self.0.map(|values| S::as_simd_f32s(values).0);
        let blocks = whole.map(|values| values.as_chunks::<ACCUMULATORS>());
        let together = blocks.iter().map(|(blocks, _)| blocks.len()).min();
        let mut sums = [[simd.splat_f32s(0.0); ACCUMULATORS]; N];
        for block in 0..together.unwrap_or(0) {
            for (sums, (blocks, _)) in sums.iter_mut().zip(&blocks) {
                for (sum, value) in sums.iter_mut().zip(&blocks[block]) {
                    *sum = simd.add_f32s(*sum, *value);
                }
            }
        }
        let mut total = 0.0;
        for (stream, values) in self.0.iter().enumerate() {
            for sum in sums[stream] {
                total += simd.reduce_sum_f32s(sum);
            }
            // What is left: less than a block, and where one stream is longer than the others.
            let read = together.unwrap_or(0) * ACCUMULATORS * S::F32_LANES;
            total += values[read.min(values.len())..].iter().sum::<f32>();
        }
        total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_once() {
        for length in [0, 1, 3, 4, 100, 1_000, 4_099] {
            // Small whole numbers: every order of adding gives the same sum.
            let buffer: Vec<f32> = (0..length).map(|i| (i % 7) as f32).collect();
            let want: f32 = buffer.iter().sum();
            for read in [Read::OneStream, Read::FourStreams] {
                let buffers = [buffer.clone(), buffer.clone()];
                assert_eq!(read.sum(&buffers), 2.0 * want, "{read:?} of {length}");
            }
        }
    }

    #[test]
    fn some_way_is_the_fastest() {
        let read = Read::fastest(&[vec![1.0; 10_000]]);
        assert_eq!(read.sum(&[vec![1.0; 10_000]]), 10_000.0);
    }
}
