//! Reading memory and doing next to nothing with it: the roof of every scan.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pulp::{Arch, Simd, WithSimd};

/// In how many places at once a buffer is read. More keep more of the hardware's prefetchers
/// busy; which is fastest differs between machines, so it is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Streams {
    One,
    Four,
    Eight,
}

/// Vectors added side by side in one stream: with one, each addition waits for the last.
const ACCUMULATORS: usize = 4;

impl Streams {
    const ALL: [Streams; 3] = [Streams::One, Streams::Four, Streams::Eight];

    /// The fastest on this machine for what `read` reads: the best of a few rounds each.
    pub(super) fn fastest(read: impl Fn(Streams) -> f32) -> Streams {
        let time = |streams: &Streams| -> Duration {
            let rounds = (0..5).map(|_| {
                let start = Instant::now();
                black_box(read(*streams));
                start.elapsed()
            });
            rounds.min().unwrap_or_default()
        };
        let fastest = Streams::ALL.into_iter().min_by_key(time);
        fastest.unwrap_or(Streams::One)
    }

    /// The sum of all values, so that every one of them has to be read.
    pub(super) fn sum(self, values: &[f32]) -> f32 {
        let arch = Arch::new();
        match self {
            Streams::One => arch.dispatch(Sum([values])),
            Streams::Four => arch.dispatch(Sum(parts::<4>(values))),
            Streams::Eight => arch.dispatch(Sum(parts::<8>(values))),
        }
    }
}

/// Cuts a slice into `N` parts of the same length; the last one takes what is left over.
fn parts<const N: usize>(values: &[f32]) -> [&[f32]; N] {
    let length = values.len() / N;
    std::array::from_fn(|part| {
        let from = part * length;
        let to = if part + 1 == N {
            values.len()
        } else {
            from + length
        };
        &values[from..to]
    })
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
        for length in [0, 1, 3, 9, 100, 1_000, 4_099] {
            // Small whole numbers: every order of adding gives the same sum.
            let values: Vec<f32> = (0..length).map(|i| (i % 7) as f32).collect();
            let want: f32 = values.iter().sum();
            for streams in Streams::ALL {
                assert_eq!(streams.sum(&values), want, "{streams:?} of {length}");
            }
        }
    }

    #[test]
    fn the_fastest_is_one_of_those_tried() {
        let pause = |streams| Duration::from_millis(if streams == Streams::Four { 1 } else { 9 });
        let read = |streams| {
            std::thread::sleep(pause(streams));
            0.0
        };
        assert_eq!(Streams::fastest(read), Streams::Four);
    }
}
