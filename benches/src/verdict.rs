//! From a measurement to a verdict.

use serde::{Deserialize, Serialize};

use crate::gate::{Bar, Gate, Kind};
use crate::stats::Estimate;

/// Bounds further apart than this need more samples, or tell nothing.
pub const WIDTH_MAX: f64 = 1.2;

/// No code that has to make an answer of what it reads comes closer to what a processor can do: a
/// bar above this share of it is beyond reach.
const REACH: f64 = 0.9;

/// What came of a gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The bar is met as far as can be told.
    Pass,
    /// The bar is missed, surely.
    Fail,
    /// The bar is missed, but it lies beyond what this processor can do, and the subject comes
    /// close to that.
    Beyond,
    /// The machine is too noisy, or too small, to tell.
    Unmeasurable,
    /// Something the gate needs is not here.
    Skipped,
}

/// A gate's result.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The gate's name.
    pub gate: String,
    /// What it measures.
    pub kind: Kind,
    /// The figure; none where nothing could be measured.
    pub estimate: Option<Estimate>,
    /// The figure it must reach: ratios as "times as good as the baseline".
    pub required: f64,
    /// The figure below which it fails on this processor: less than the bar where that is beyond
    /// reach.
    pub held_to: f64,
    /// What it was compared with.
    pub baseline: String,
    /// What came of it.
    pub verdict: Verdict,
    /// For people: why it was skipped, what went wrong, how many pairs were taken.
    pub note: String,
}

impl Outcome {
    /// The outcome of `gate` with nothing measured.
    #[must_use]
    pub fn without_figure(gate: &Gate, verdict: Verdict, note: impl Into<String>) -> Outcome {
        Outcome {
            gate: gate.name.clone(),
            kind: gate.kind,
            estimate: None,
            required: required(gate),
            held_to: required(gate),
            baseline: gate.baseline.clone(),
            verdict,
            note: note.into(),
        }
    }

    /// The outcome of `gate` with a figure.
    #[must_use]
    pub fn with_figure(gate: &Gate, estimate: Estimate, verdict: Verdict, note: String) -> Outcome {
        Outcome {
            estimate: Some(estimate),
            ..Outcome::without_figure(gate, verdict, note)
        }
    }
}

/// The figure a gate must reach, in the unit in which it is measured.
fn required(gate: &Gate) -> f64 {
    match gate.kind {
        Kind::Answer | Kind::Count => gate.required.value(),
        Kind::Ratio | Kind::Scaling => gate.required.ratio(),
    }
}

/// Judges a count or a share of right answers: there is no noise to allow for.
#[must_use]
pub fn judge_exact(bar: &Bar, measured: f64) -> Verdict {
    if bar.is_met_by(measured) {
        Verdict::Pass
    } else {
        Verdict::Fail
    }
}

/// Judges a ratio. It fails only when even its upper bound is below the bar, however wide the
/// bounds are; beyond that, bounds too far apart tell nothing.
#[must_use]
pub fn judge_ratio(bar: &Bar, estimate: &Estimate) -> Verdict {
    if estimate.high < bar.ratio_floor() {
        Verdict::Fail
    } else if estimate.width() > WIDTH_MAX {
        Verdict::Unmeasurable
    } else {
        Verdict::Pass
    }
}

/// The ratio a subject is held to on a processor that could reach no more than `ceiling`: the
/// bar's, or `share` of the ceiling where the bar may be beyond reach, which the ceiling's lower
/// bound tells: what fails, fails surely.
#[must_use]
pub fn held_to(bar: &Bar, ceiling: &Estimate, share: f64) -> f64 {
    if bar.ratio_floor() > REACH * ceiling.low {
        (share.min(REACH) * ceiling.median).min(bar.ratio_floor())
    } else {
        bar.ratio_floor()
    }
}

/// Judges a ratio on a processor that could reach no more than `ceiling`. A bar that is met is
/// met; one that is missed is no failure where it is beyond reach and the subject reaches
/// `share` of the ceiling.
#[must_use]
pub fn judge_below(bar: &Bar, estimate: &Estimate, ceiling: &Estimate, share: f64) -> Verdict {
    let verdict = judge_ratio(bar, estimate);
    let held_to = held_to(bar, ceiling, share);
    if verdict == Verdict::Fail && held_to < bar.ratio_floor() && estimate.high >= held_to {
        Verdict::Beyond
    } else {
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A processor that could reach 2 at most.
    #[test]
    fn a_bar_beyond_reach_leaves_a_share_of_the_ceiling() {
        #[track_caller]
        fn below(bar: &str, measured: f64, want: Verdict) {
            let bar = bar.parse().unwrap();
            let estimate = Estimate::exact(measured);
            let ceiling = Estimate::exact(2.0);
            assert_eq!(judge_below(&bar, &estimate, &ceiling, 0.75), want);
        }
        below(">= 1.8", 1.85, Verdict::Pass);
        below(">= 1.8", 1.79, Verdict::Fail);
        below(">= 1.81", 1.79, Verdict::Beyond);
        below(">= 1.81", 1.82, Verdict::Pass);
        below(">= 4", 1.51, Verdict::Beyond);
        below(">= 4", 1.49, Verdict::Fail);
    }

    /// 2.1 at most, or perhaps 1.9: whether 1.8 is out of reach is not sure, so to miss it is no
    /// sure failure; to miss the share is.
    #[test]
    fn an_uncertain_ceiling_is_taken_for_its_lower_bound() {
        let bar = ">= 1.8".parse().unwrap();
        let ceiling = Estimate {
            median: 2.1,
            low: 1.9,
            high: 2.2,
        };
        let judged = |measured| judge_below(&bar, &Estimate::exact(measured), &ceiling, 0.75);
        assert_eq!(judged(1.79), Verdict::Beyond);
        assert_eq!(judged(1.57), Verdict::Fail);
    }

    #[track_caller]
    fn check(bar: &str, low: f64, high: f64, want: Verdict) {
        let estimate = Estimate {
            median: f64::midpoint(low, high),
            low,
            high,
        };
        let bar = bar.parse().unwrap();
        assert_eq!(judge_ratio(&bar, &estimate), want);
    }

    #[test]
    fn only_an_upper_bound_below_the_bar_fails() {
        check(">= 2", 2.1, 2.2, Verdict::Pass);
        check(">= 2", 1.9, 2.0, Verdict::Pass);
        check(">= 2", 1.9, 1.99, Verdict::Fail);
    }

    #[test]
    fn wide_bounds_tell_nothing_unless_all_below() {
        check(">= 2", 1.9, 2.4, Verdict::Unmeasurable);
        check(">= 2", 3.0, 4.0, Verdict::Unmeasurable);
        check(">= 2", 1.0, 1.9, Verdict::Fail);
    }

    #[test]
    fn inverted_bars_ask_for_the_inverse() {
        // At most 1.25 times the baseline's time: a ratio of at least 0.8.
        check("<= 1.25", 0.78, 0.81, Verdict::Pass);
        check("<= 1.25", 0.70, 0.79, Verdict::Fail);
    }

    #[test]
    fn parity_forgives_a_twentieth() {
        check("parity", 0.90, 0.96, Verdict::Pass);
        check("parity", 0.90, 0.94, Verdict::Fail);
    }

    #[test]
    fn counts_have_no_grace() {
        let bar = "== 1".parse().unwrap();
        assert_eq!(judge_exact(&bar, 1.0), Verdict::Pass);
        assert_eq!(judge_exact(&bar, 2.0), Verdict::Fail);
    }
}
