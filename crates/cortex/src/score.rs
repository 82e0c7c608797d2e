//! How well a free column suits a concept.

use crate::cortex::Cortex;
use crate::grid::{ColumnId, GridError};
use crate::prototype::{CODE_DIMENSION, Code, CodeError, normalised};
use cortica_simd::{cosine, decode_f16, dot_i8, encode_i8};

/// What the parts of a score count.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScoreWeights {
    /// Of concepts held nearby.
    pub similarity: f32,
    /// Of what the column has learned.
    pub semantic: f32,
    /// Of what was expected next.
    pub temporal: f32,
}

impl Default for ScoreWeights {
    fn default() -> ScoreWeights {
        ScoreWeights {
            similarity: 0.5,
            semantic: 0.3,
            temporal: 0.2,
        }
    }
}

/// The score of a column, and its parts, each in \[0, 1\].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Score {
    /// The mean of `(1 + cos) / 2` to the exemplars held within the radius, each counted
    /// `exp(-d^2 / 2 sigma^2)` times, sigma half of the radius; 0 where none is held.
    pub similarity: f32,
    /// `(1 + cos(code, prototype)) / 2`.
    pub semantic: f32,
    /// `(1 + cos(predicted, prototype)) / 2`; 0.5 without a prediction.
    pub temporal: f32,
    /// The weighted mean of the three: the column's drive.
    pub total: f32,
}

/// Why columns were not scored.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// A column that is none, or a radius that is none.
    #[error(transparent)]
    Grid(#[from] GridError),
    /// A code without direction.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// Weights must be finite, not below 0, and not all 0.
    #[error(
        "the weights {0:?} cannot be averaged with; each must be finite and at least 0, one above it"
    )]
    Weights(ScoreWeights),
}

/// Scores columns for one concept after another. Belongs to one worker; keeps its memory.
#[derive(Clone, Debug)]
pub struct Scorer {
    weights: ScoreWeights,
    radius: f32,
    /// For each squared distance up to the radius, what an exemplar there counts.
    shares: Vec<f32>,
    scores: Vec<Score>,
    /// `(1 + cos) / 2` to the exemplar of each column of the grid that was looked at for this concept.
    seen: Vec<(u64, f32)>,
    /// Which concept it is: what was seen for another counts as not seen.
    round: u64,
}

impl Scorer {
    /// A scorer that looks for exemplars within `radius`, in units of the lattice, at most 64.
    pub fn new(weights: ScoreWeights, radius: f32) -> Result<Scorer, ScoreError> {
        let all = [weights.similarity, weights.semantic, weights.temporal];
        let good = all
            .iter()
            .all(|weight| weight.is_finite() && *weight >= 0.0);
        if !good || all.iter().sum::<f32>() <= 0.0 {
            return Err(ScoreError::Weights(weights));
        }
        if !(radius > 0.0 && radius <= 64.0) {
            return Err(GridError::Radius(radius).into());
        }
        let sigma = f64::from(radius) / 2.0;
        let most = f64::from(radius).powi(2).floor() as u32;
        let share = |distance: u32| (-f64::from(distance) / (2.0 * sigma * sigma)).exp() as f32;
        Ok(Scorer {
            weights,
            radius,
            shares: (0..=most).map(share).collect(),
            scores: Vec::new(),
            seen: Vec::new(),
            round: 0,
        })
    }

    /// Scores columns, in their order, for a concept with this code, where `predicted` was expected (none:
    /// neutral). O(columns r^3); nothing is allocated once a grid and as many columns were seen.
    pub fn score(
        &mut self,
        cortex: &Cortex,
        columns: &[ColumnId],
        code: &Code,
        predicted: Option<&Code>,
    ) -> Result<&[Score], ScoreError> {
        let code = normalised(code)?;
        let predicted = predicted.map(normalised).transpose()?;
        let isa = cortex.options().isa;
        let mut query = [0; CODE_DIMENSION];
        encode_i8(isa, &code, &mut query);
        let query_norm = (dot_i8(isa, &query, &query) as f32).sqrt();
        self.scores.clear();
        self.seen.resize(cortex.grid().len(), (0, 0.0));
        self.round += 1;
        let ScoreWeights {
            similarity,
            semantic,
            temporal,
        } = self.weights;
        let whole = similarity + semantic + temporal;
        let mut prototype = [0.0; CODE_DIMENSION];
        for &column in columns {
            let near = cortex.grid().neighbours(column, self.radius)?;
            let (mut sum, mut count) = (0.0_f32, 0.0_f32);
            for (neighbour, distance) in near {
                let (round, known) = &mut self.seen[neighbour.index()];
                if *round != self.round {
                    let exemplar = cortex.exemplar(neighbour)?;
                    let norm = (dot_i8(isa, &exemplar, &exemplar) as f32).sqrt();
                    let cosine = dot_i8(isa, &query, &exemplar) as f32 / (norm * query_norm);
                    (*round, *known) = (self.round, 0.5 + 0.5 * cosine.clamp(-1.0, 1.0));
                }
                // Not a number where nothing is held.
                if !known.is_nan() {
                    let share = self.shares[distance as usize];
                    sum += share * *known;
                    count += share;
                }
            }
            decode_f16(isa, &cortex.prototype(column)?, &mut prototype);
            let likeness = |code: &Code| 0.5 + 0.5 * cosine(isa, code, &prototype).clamp(-1.0, 1.0);
            let mut score = Score {
                similarity: if count > 0.0 {
                    (sum / count).min(1.0)
                } else {
                    0.0
                },
                semantic: likeness(&code),
                temporal: predicted.as_ref().map_or(0.5, likeness),
                total: 0.0,
            };
            let total = similarity * score.similarity
                + semantic * score.semantic
                + temporal * score.temporal;
            score.total = (total / whole).clamp(0.0, 1.0);
            self.scores.push(score);
        }
        Ok(&self.scores)
    }
}
