//! What "near" means.

use std::fmt;
use std::str::FromStr;

/// How two vectors are compared. Every metric gives a score of which more is nearer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Metric {
    /// The cosine of the angle, in [-1, 1]; length does not matter. A zero vector is refused.
    #[default]
    Cosine,
    /// The dot product, unbounded.
    Dot,
    /// `1 / (1 + d)` of the Euclidean distance d, in (0, 1].
    L2,
}

impl Metric {
    const ALL: [Metric; 3] = [Metric::Cosine, Metric::Dot, Metric::L2];

    fn name(self) -> &'static str {
        match self {
            Metric::Cosine => "cosine",
            Metric::Dot => "dot",
            Metric::L2 => "l2",
        }
    }
}

impl fmt::Display for Metric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The name is none of a [`Metric`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no metric is called {0:?}; use cosine, dot or l2")]
pub struct ParseMetricError(String);

impl FromStr for Metric {
    type Err = ParseMetricError;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = Metric::ALL.into_iter().find(|metric| metric.name() == name);
        named.ok_or_else(|| ParseMetricError(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for metric in Metric::ALL {
            assert_eq!(metric.to_string().parse(), Ok(metric));
        }
        assert!("manhattan".parse::<Metric>().is_err());
    }
}
