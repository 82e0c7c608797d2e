//! Down to which key a candidate stays.

/// How far below the key of some score a row's key can lie although its score reaches it.
pub(crate) enum Limit {
    /// A fixed distance in units of the key, in which a score is `of_score` times itself.
    Margin { margin: f64, of_score: f64 },
    /// The key is the negated squared distance, the score `1 / (1 + d)`.
    Distance { bound: f64 },
}

impl Limit {
    /// Below which key nothing can reach, or tie with, the k-th best score, from the k-th best key.
    pub(crate) fn below(&self, kth: f32) -> f32 {
        let kth = f64::from(kth);
        match *self {
            Limit::Margin { margin, .. } => admitting(kth - margin),
            Limit::Distance { bound } => {
                let squared = -kth * (1.0 + bound);
                let score = 1.0 / (1.0 + squared.sqrt());
                admitting(farthest(score, bound))
            }
        }
    }

    /// Below which key nothing can have a score of at least `threshold`, which is not NaN.
    pub(crate) fn reaching(&self, threshold: f32) -> f32 {
        let threshold = f64::from(threshold);
        match *self {
            Limit::Margin { margin, of_score } => admitting(threshold * of_score - margin),
            // All scores are in (0, 1].
            Limit::Distance { .. } if threshold <= 0.0 => f32::NEG_INFINITY,
            Limit::Distance { .. } if threshold > 1.0 => f32::INFINITY,
            Limit::Distance { bound } => admitting(farthest(threshold, bound)),
        }
    }
}

/// The key of what is farthest of all that may have a score. Far scores are coarse in the distance
/// and near ones coarse around 1, so the margin is taken in the score, and what is left carried
/// back to a squared distance.
fn farthest(score: f64, bound: f64) -> f64 {
    let worst = score * (1.0 - bound) - bound * score * score;
    let distance = (1.0 / worst.max(f64::MIN_POSITIVE)) - 1.0;
    -(distance * distance) * (1.0 + bound)
}

/// Towards minus infinity: a limit that is a little too low only admits a candidate more.
fn admitting(limit: f64) -> f32 {
    (limit as f32).next_down()
}
