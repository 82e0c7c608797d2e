//! Reading memory and doing next to nothing with it: the roof of every scan.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pulp::{Simd, WithSimd};

use super::roof::dispatch;

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
        self.sum_of(values)
    }

    /// The same for memory that holds no f32; the sum wraps.
    pub(super) fn sum_words(self, words: &[u64]) -> u64 {
        self.sum_of(words)
    }

    fn sum_of<T: Value>(self, values: &[T]) -> T {
        match self {
            Streams::One => dispatch(Sum([values])),
            Streams::Four => dispatch(Sum(parts::<4, T>(values))),
            Streams::Eight => dispatch(Sum(parts::<8, T>(values))),
        }
    }
}

/// What can be added up a vector at a time.
trait Value: Copy {
    type Vector<S: Simd>: Copy;
    const ZERO: Self;
    fn plus(self, other: Self) -> Self;
    fn vectors<S: Simd>(values: &[Self]) -> &[Self::Vector<S>];
    fn zero<S: Simd>(simd: S) -> Self::Vector<S>;
    fn add<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    fn fold<S: Simd>(simd: S, sum: Self::Vector<S>) -> Self;
}

macro_rules! value {
    ($value:ty, $vector:ident, $as_simd:ident, $splat:ident, $add:ident, $plus:expr, $fold:expr) => {
        #[allow(
            clippy::inline_always,
            reason = "a call here would drop the target features `dispatch` turned on"
        )]
        impl Value for $value {
            type Vector<S: Simd> = S::$vector;
            const ZERO: Self = 0 as $value;

            #[inline(always)]
            fn plus(self, other: Self) -> Self {
                $plus(self, other)
            }

            #[inline(always)]
            fn vectors<S: Simd>(values: &[Self]) -> &[S::$vector] {
                S::$as_simd(values).0
            }

            #[inline(always)]
            fn zero<S: Simd>(simd: S) -> S::$vector {
                simd.$splat(Self::ZERO)
            }

            #[inline(always)]
            fn add<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$add(a, b)
            }

            #[inline(always)]
            fn fold<S: Simd>(simd: S, sum: S::$vector) -> Self {
                $fold(simd, sum)
            }
        }
    };
}

value!(
    f32,
    f32s,
    as_simd_f32s,
    splat_f32s,
    add_f32s,
    |a, b| a + b,
    |simd: S, sum| simd.reduce_sum_f32s(sum)
);
value!(
    u64,
    u64s,
    as_simd_u64s,
    splat_u64s,
    add_u64s,
    u64::wrapping_add,
    |simd: S, sum| {
        let mut lanes = [0; 8];
        simd.partial_store_u64s(&mut lanes, sum);
        lanes.into_iter().fold(0, u64::wrapping_add)
    }
);

/// Cuts a slice into `N` parts of the same length; the last one takes what is left over.
fn parts<const N: usize, T>(values: &[T]) -> [&[T]; N] {
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
struct Sum<'a, T, const N: usize>([&'a [T]; N]);

impl<T: Value, const N: usize> WithSimd for Sum<'_, T, N> {
    type Output = T;

    #[allow(
        clippy::inline_always,
        reason = "a call here would drop the target features `dispatch` turned on"
    )]
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> T {
        let lanes = size_of::<T::Vector<S>>() / size_of::<T>();
        let whole = self.0.map(|values| T::vectors::<S>(values));
        let blocks = whole.map(|values| values.as_chunks::<ACCUMULATORS>());
        let together = blocks.iter().map(|(blocks, _)| blocks.len()).min();
        let mut sums = [[T::zero(simd); ACCUMULATORS]; N];
        for block in 0..together.unwrap_or(0) {
            for (sums, (blocks, _)) in sums.iter_mut().zip(&blocks) {
                for (sum, value) in sums.iter_mut().zip(&blocks[block]) {
                    *sum = T::add(simd, *sum, *value);
                }
            }
        }
        let mut total = T::ZERO;
        for (stream, values) in self.0.iter().enumerate() {
            for sum in sums[stream] {
                total = total.plus(T::fold(simd, sum));
            }
            // What is left: less than a block, and where one stream is longer than the others.
            let read = together.unwrap_or(0) * ACCUMULATORS * lanes;
            let rest = values[read.min(values.len())..].iter();
            total = rest.fold(total, |sum, value| sum.plus(*value));
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
                let words: Vec<u64> = (0..length).map(|i| 1 << (i % 64)).collect();
                let want = words
                    .iter()
                    .fold(0, |sum: u64, word| sum.wrapping_add(*word));
                assert_eq!(streams.sum_words(&words), want, "{streams:?} of {length}");
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
