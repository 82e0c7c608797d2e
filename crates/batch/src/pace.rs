//! How many operations are taken from a stream at once.

use crate::config::Backpressure;
use cortica_arena::Level;

/// Steps from one operation to the full size.
const STEPS: usize = 16;

/// How many operations are taken at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    strategy: Backpressure,
    full: usize,
    now: usize,
}

impl Pace {
    pub(crate) fn new(strategy: Backpressure, full: usize) -> Self {
        Self {
            strategy,
            full,
            now: full,
        }
    }

    /// The most for the next time, with bytes that scarce.
    pub(crate) fn most(&mut self, level: Level) -> usize {
        match self.strategy {
            Backpressure::FallbackSingle if level >= Level::High => 1,
            Backpressure::Block | Backpressure::DropOldest | Backpressure::FallbackSingle => {
                self.full
            }
            Backpressure::AdaptiveResize => {
                self.now = match level {
                    Level::High | Level::Critical => (self.now / 2).max(1),
                    Level::Elevated => self.now,
                    Level::Normal => (self.now + self.full.div_ceil(STEPS)).min(self.full),
                };
                self.now
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(strategy: Backpressure, levels: &[Level]) -> Vec<usize> {
        let mut pace = Pace::new(strategy, 160);
        levels.iter().map(|&level| pace.most(level)).collect()
    }

    #[test]
    fn fewer_are_taken_while_bytes_are_scarce() {
        let levels = [
            Level::Normal,
            Level::High,
            Level::Critical,
            Level::Elevated,
            Level::Normal,
            Level::Normal,
        ];
        for (strategy, want) in [
            (Backpressure::Block, [160; 6]),
            (Backpressure::DropOldest, [160; 6]),
            (Backpressure::AdaptiveResize, [160, 80, 40, 40, 50, 60]),
            (Backpressure::FallbackSingle, [160, 1, 1, 160, 160, 160]),
        ] {
            assert_eq!(sizes(strategy, &levels), want, "{strategy:?}");
        }
    }

    #[test]
    fn one_is_always_taken() {
        let levels = [Level::Critical; 20];
        assert_eq!(
            sizes(Backpressure::AdaptiveResize, &levels).last(),
            Some(&1)
        );
    }
}
