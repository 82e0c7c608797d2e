//! How an engine decides.

use cortica_cortex::{
    AllocateError, DedupError, DedupParams, InhibitionError, InhibitionParams, STREAMS_MAX,
    ScoreError, ScoreWeights,
};
use cortica_env::Seed;

/// How an engine decides.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// When two concepts are one.
    pub dedup: DedupParams,
    /// What the parts of a score count.
    pub weights: ScoreWeights,
    /// How columns hold each other down.
    pub inhibition: InhibitionParams,
    /// How far around a column exemplars count for its similarity, in units of the lattice; at most 64.
    pub similarity_radius: f32,
    /// The share of the way that prototypes move, in \[0, 1\].
    pub rate: f32,
    /// How far around a winner prototypes move, in units of the lattice; 0 for the winner alone.
    pub learning_radius: f32,
    /// From which probability on a concept is an exception, in \[0, 1\]; above 1 none is.
    pub exception_min: f32,
    /// The most columns that compete for a concept: the nearest to its place. 1 at least.
    pub candidates_max: usize,
    /// What nearness to its place adds to a column's drive, in \[0, 1\]: the whole at the place, nothing at
    /// the radius. Decides among columns that nothing else tells apart.
    pub proximity: f32,
    /// Streams whose windows are kept: 1 to [`STREAMS_MAX`]. In a store all of them, because its log is replayed with so
    /// many.
    pub streams_max: usize,
    /// All chance begins here: the directions of [`Placement`](cortica_cortex::Placement), where the model has
    /// learnt none.
    pub seed: Seed,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            dedup: DedupParams::default(),
            weights: ScoreWeights::default(),
            inhibition: InhibitionParams::default(),
            similarity_radius: 2.0,
            rate: 0.2,
            learning_radius: 2.0,
            exception_min: 0.5,
            candidates_max: 1_000,
            proximity: 0.01,
            streams_max: STREAMS_MAX,
            seed: Seed(0),
        }
    }
}

/// Why there is no such engine.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// An option out of its range.
    #[error("{field} is {got}; it must be {expected}")]
    Option {
        /// Which.
        field: &'static str,
        /// What was given.
        got: f64,
        /// What it may be.
        expected: &'static str,
    },
    /// When concepts are one.
    #[error(transparent)]
    Dedup(#[from] DedupError),
    /// How scores are weighted.
    #[error(transparent)]
    Score(#[from] ScoreError),
    /// How columns hold each other down.
    #[error(transparent)]
    Inhibition(#[from] InhibitionError),
    /// There are no networks for this dimension.
    #[error(transparent)]
    Networks(AllocateError),
    /// The cortex holds concepts that the engine knows nothing of.
    #[error(
        "the cortex holds {held} concepts; an engine begins with an empty one, and replays a log into it"
    )]
    Held {
        /// How many.
        held: u64,
    },
}

impl EngineOptions {
    pub(crate) fn check(&self) -> Result<(), EngineError> {
        let shares = "in 0..=1";
        let unit = |got: f32| (0.0..=1.0).contains(&got);
        let radius = self.learning_radius;
        for (field, got, good, expected) in [
            ("rate", self.rate, unit(self.rate), shares),
            ("proximity", self.proximity, unit(self.proximity), shares),
            (
                "learning_radius",
                radius,
                (0.0..=64.0).contains(&radius),
                "in 0..=64",
            ),
            (
                "exception_min",
                self.exception_min,
                self.exception_min >= 0.0,
                "0 at least",
            ),
            (
                "candidates_max",
                self.candidates_max as f32,
                self.candidates_max > 0,
                "1 at least",
            ),
            (
                "streams_max",
                self.streams_max as f32,
                (1..=STREAMS_MAX).contains(&self.streams_max),
                "in 1..=4,096",
            ),
        ] {
            if !good {
                let got = f64::from(got);
                return Err(EngineError::Option {
                    field,
                    got,
                    expected,
                });
            }
        }
        Ok(())
    }
}
