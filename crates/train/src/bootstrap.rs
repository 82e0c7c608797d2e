//! Intervals by drawing again.

use cortica_env::{Rng, Seed};

/// Draws for an interval.
const DRAWS: usize = 1_000;

/// Lower end, middle and upper end of the 95% interval of what `figure` says of places drawn with
/// replacement from `0..count`.
pub(crate) fn interval(count: usize, seed: Seed, figure: impl Fn(&[usize]) -> f64) -> [f64; 3] {
    let mut rng = seed.derive("bootstrap").rng();
    let draw = |rng: &mut Rng| rng.below(count as u64) as usize;
    let mut figures: Vec<f64> = (0..DRAWS)
        .map(|_| {
            let drawn: Vec<usize> = (0..count).map(|_| draw(&mut rng)).collect();
            figure(&drawn)
        })
        .collect();
    figures.sort_by(f64::total_cmp);
    [DRAWS / 40, DRAWS / 2, DRAWS - 1 - DRAWS / 40].map(|at| figures[at])
}

/// The interval of the mean of `ours - theirs`, pair by pair.
pub(crate) fn mean_difference(ours: &[f64], theirs: &[f64], seed: Seed) -> [f64; 3] {
    let count = ours.len().min(theirs.len());
    interval(count, seed, |drawn| {
        let differences = drawn.iter().map(|&at| ours[at] - theirs[at]);
        differences.sum::<f64>() / drawn.len().max(1) as f64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interval_holds_what_is_there() {
        let ours: Vec<f64> = (0..400).map(|at| f64::from(at % 7) + 0.5).collect();
        let theirs: Vec<f64> = (0..400).map(|at| f64::from(at * 3 % 7)).collect();
        let [low, middle, high] = mean_difference(&ours, &theirs, Seed(1));
        assert!(low < 0.5 && 0.5 < high && low < middle && middle < high);
        assert!(high - low < 0.8);
        let same = mean_difference(&ours, &ours, Seed(1));
        assert_eq!(same, [0.0; 3]);
    }
}
