//! How far a batch is.

use cortica_arena::Level;
use std::time::Duration;

/// How far a batch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Operations that came in.
    pub submitted: u64,
    /// Operations that were answered, whether somebody has taken the answer or not.
    pub answered: u64,
    /// Answers that were taken.
    pub taken: u64,
    /// Bytes that are used, as `memory_limit` counts them. Of a list, those of all answers so far and all
    /// operations that still wait.
    pub bytes: usize,
    /// How scarce they are; always [`Normal`](Level::Normal) for a list, which `memory_limit` does not bound.
    pub pressure: Level,
    /// How long it has taken so far.
    pub elapsed: Duration,
}
