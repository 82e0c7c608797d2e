//! Down to which key a candidate stays.

/// How far below the k-th best key a row can lie and still matter.
pub(crate) enum Limit {
    /// A fixed distance in units of the key.
    Margin(f64),
    /// The key is the negated squared distance, the score `1 / (1 + d)`.
    Distance { bound: f64 },
}

impl Limit {
    pub(crate) fn below(&self, kth: f32) -> f32 {
        let kth = f64::from(kth);
        let limit = match *self {
            Limit::Margin(margin) => kth - margin,
            Limit::Distance { bound } => {
                // Far scores are coarse in d and near ones coarse around 1, so the margin is taken
                // in the score, and the limit carried back to a squared distance.
                let squared = -kth * (1.0 + bound);
                let score = 1.0 / (1.0 + squared.sqrt());
                let worst = score * (1.0 - bound) - bound * score * score;
                let distance = (1.0 / worst.max(f64::MIN_POSITIVE)) - 1.0;
                -(distance * distance) * (1.0 + bound)
            }
        };
        // Towards minus infinity: a limit that is a little too low only admits a candidate more.
        (limit as f32).next_down()
    }
}
