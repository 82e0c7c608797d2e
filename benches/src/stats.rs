//! Medians and how sure of them we are.

use cortica_env::Seed;

/// Resamples a bootstrap draws; more narrow the interval's own noise only slightly.
pub const RESAMPLES: usize = 2_000;

/// A median and the bounds between which it lies with 95% confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The median of what was measured.
    pub median: f64,
    /// 2.5% of resampled medians lie below.
    pub low: f64,
    /// 2.5% of resampled medians lie above.
    pub high: f64,
}

impl Estimate {
    /// A figure without noise: a count, or a share of right answers.
    #[must_use]
    pub const fn exact(value: f64) -> Estimate {
        Estimate {
            median: value,
            low: value,
            high: value,
        }
    }

    /// The percentile bootstrap of the median (Efron, 1979), seeded: the same samples give the
    /// same interval. `None` without samples, or when one is not a finite number.
    pub fn of(samples: &[f64], seed: Seed) -> Option<Estimate> {
        let median = median(samples)?;
        let mut rng = seed.rng();
        let mut resample = vec![0.0; samples.len()];
        let mut medians = Vec::with_capacity(RESAMPLES);
        for _ in 0..RESAMPLES {
            for place in &mut resample {
                *place = samples[rng.below(samples.len() as u64) as usize];
            }
            medians.push(median_in_place(&mut resample));
        }
        medians.sort_by(f64::total_cmp);
        let tail = RESAMPLES / 40;
        Some(Estimate {
            median,
            low: medians[tail],
            high: medians[RESAMPLES - 1 - tail],
        })
    }

    /// How many times the upper bound is the lower one; infinite when the lower is not positive.
    pub fn width(&self) -> f64 {
        if self.low > 0.0 {
            self.high / self.low
        } else {
            f64::INFINITY
        }
    }
}

/// The middle value, or the mean of the two in the middle; `None` without samples or when one is
/// not a finite number.
pub fn median(samples: &[f64]) -> Option<f64> {
    if samples.is_empty() || samples.iter().any(|sample| !sample.is_finite()) {
        return None;
    }
    Some(median_in_place(&mut samples.to_vec()))
}

/// As [`median`], of at least one value; leaves them sorted.
fn median_in_place(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len().is_multiple_of(2) {
        f64::midpoint(values[middle - 1], values[middle])
    } else {
        values[middle]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(&[7.0]), Some(7.0));
    }

    #[test]
    fn nothing_and_non_numbers_have_no_median() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, f64::NAN]), None);
        assert_eq!(Estimate::of(&[f64::INFINITY], Seed(1)), None);
    }

    #[test]
    fn equal_samples_leave_no_doubt() {
        let estimate = Estimate::of(&[2.0; 15], Seed(1)).unwrap();
        assert_eq!(estimate, Estimate::exact(2.0));
        assert_eq!(estimate.width(), 1.0);
    }

    #[test]
    fn one_seed_one_interval() {
        let samples: Vec<f64> = (0..15).map(f64::from).collect();
        assert_eq!(
            Estimate::of(&samples, Seed(1)),
            Estimate::of(&samples, Seed(1))
        );
    }

    /// The order statistics of a median of 15 are known: with probability 0.965 the fourth to
    /// twelfth value hold it (binomial), and the bootstrap must come out beside them.
    #[test]
    fn the_interval_of_fifteen_ranks_is_the_binomial_one() {
        let samples: Vec<f64> = (1..=15).map(f64::from).collect();
        let estimate = Estimate::of(&samples, Seed(7)).unwrap();
        assert_eq!(estimate.median, 8.0);
        assert!((4.0..=5.0).contains(&estimate.low), "{estimate:?}");
        assert!((11.0..=12.0).contains(&estimate.high), "{estimate:?}");
    }

    /// Of many experiments on a known distribution, about 95% must hold the true median.
    #[test]
    fn intervals_hold_the_truth_as_often_as_they_say() {
        let mut rng = Seed(42).rng();
        let held = (0..400_u64)
            .filter(|&experiment| {
                let samples: Vec<f64> = (0..21).map(|_| 1.0 + rng.unit()).collect();
                let estimate = Estimate::of(&samples, Seed(experiment)).unwrap();
                (estimate.low..=estimate.high).contains(&1.5)
            })
            .count();
        // Binomial: 380 expected at 95%, standard deviation 4.4; a median's percentile bootstrap
        // is known to run a point or two off at this size.
        assert!((360..=396).contains(&held), "{held} of 400");
    }

    #[test]
    fn a_bound_at_zero_is_infinitely_wide() {
        let estimate = Estimate {
            median: 1.0,
            low: 0.0,
            high: 2.0,
        };
        assert_eq!(estimate.width(), f64::INFINITY);
    }
}
