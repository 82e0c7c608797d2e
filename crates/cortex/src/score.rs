//! How well a free column suits a concept.

use crate::block::Block;
use crate::cortex::Cortex;
use crate::grid::{ColumnId, Grid, GridError};
use crate::prototype::{CODE_DIMENSION, Code, CodeError, EXEMPLAR_WORDS, normalised};
use cortica_simd::{
    CodeRows, Isa, Rows, cosine_tile, decode_f16, dot_i8, dot_rows_i8, encode_i8, tap_sum,
};

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
    exemplars: Exemplars,
    prototypes: Prototypes,
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
            exemplars: Exemplars::default(),
            prototypes: Prototypes::default(),
        })
    }

    /// Scores columns, in their order, for a concept with this code, where `predicted` was expected (none:
    /// neutral). O(columns r^3); nothing is allocated once a grid and as many columns were seen.
    ///
    /// Where the columns lie close together, as around a place, all exemplars around them are compared at once, and
    /// summed up by one kernel: about ten times as fast as column by column, with the same bits.
    pub fn score(
        &mut self,
        cortex: &Cortex,
        columns: &[ColumnId],
        code: &Code,
        predicted: Option<&Code>,
    ) -> Result<&[Score], ScoreError> {
        let code = normalised(code)?;
        let predicted = predicted.map(normalised).transpose()?;
        self.scores.clear();
        if columns.is_empty() {
            return Ok(&self.scores);
        }
        self.similarities(cortex, columns, &code)?;
        let likenesses = self
            .prototypes
            .compare(cortex, columns, &code, predicted.as_ref())?;
        let ScoreWeights {
            similarity,
            semantic,
            temporal,
        } = self.weights;
        let whole = similarity + semantic + temporal;
        let (with_code, with_predicted) = likenesses.split_at(columns.len());
        let unit = |cosine: f32| 0.5 + 0.5 * cosine.clamp(-1.0, 1.0);
        for (at, score) in self.scores.iter_mut().enumerate() {
            score.semantic = unit(with_code[at]);
            score.temporal = with_predicted.get(at).map_or(0.5, |&cosine| unit(cosine));
            let total = similarity * score.similarity
                + semantic * score.semantic
                + temporal * score.temporal;
            score.total = (total / whole).clamp(0.0, 1.0);
        }
        Ok(&self.scores)
    }

    /// Scores with their similarities alone.
    fn similarities(
        &mut self,
        cortex: &Cortex,
        columns: &[ColumnId],
        code: &Code,
    ) -> Result<(), ScoreError> {
        let reach = self.radius.floor() as usize;
        let block = Block::grown(cortex.grid(), columns, reach)?;
        let query = Query::new(cortex, code);
        if block.len() > PLACES_A_COLUMN * columns.len() + PLACES {
            return self.one_by_one(cortex, columns, &query);
        }
        self.exemplars
            .look_around(cortex.grid(), &block, columns, self.radius)?;
        self.exemplars.gather(cortex, &block, &query);
        let [sums, counts] = self.exemplars.sum_up(cortex, &block, &self.shares, reach);
        for &column in columns {
            let at = block.at(cortex.grid().place(column)?);
            self.scores.push(of_similarity(sums[at], counts[at]));
        }
        Ok(())
    }

    /// The definition, for columns that lie far apart.
    fn one_by_one(
        &mut self,
        cortex: &Cortex,
        columns: &[ColumnId],
        query: &Query,
    ) -> Result<(), ScoreError> {
        for &column in columns {
            let (mut sum, mut count) = (0.0_f32, 0.0_f32);
            for (neighbour, distance) in cortex.grid().neighbours(column, self.radius)? {
                let words = cortex.at(neighbour.index()).learned.exemplar_words();
                let (words, square) = words.split_at(EXEMPLAR_WORDS);
                if square[0] == 0 {
                    continue; // Nothing is held.
                }
                let exemplar: &[i8] = bytemuck::cast_slice(words);
                let dot = dot_i8(query.isa, &query.code, exemplar);
                let share = self.shares[distance as usize];
                sum += share * query.likeness(dot, square[0]);
                count += share;
            }
            self.scores.push(of_similarity(sum, count));
        }
        Ok(())
    }
}

/// Fields of so many places are small, however few columns are scored; beyond them, so many for each column.
const PLACES: usize = 8_192;
const PLACES_A_COLUMN: usize = 16;

fn of_similarity(sum: f32, count: f32) -> Score {
    Score {
        similarity: if count > 0.0 {
            (sum / count).min(1.0)
        } else {
            0.0
        },
        ..Score::default()
    }
}

/// A code as exemplars are compared with it.
struct Query {
    isa: Isa,
    code: [i8; CODE_DIMENSION],
    norm: f32,
}

impl Query {
    fn new(cortex: &Cortex, values: &Code) -> Query {
        let isa = cortex.options().isa;
        let mut code = [0; CODE_DIMENSION];
        encode_i8(isa, values, &mut code);
        let norm = (dot_i8(isa, &code, &code) as f32).sqrt();
        Query { isa, code, norm }
    }

    /// `(1 + cos) / 2`, of a dot product and the square of the other length.
    fn likeness(&self, dot: i32, square: u64) -> f32 {
        let cosine = dot as f32 / ((square as f32).sqrt() * self.norm);
        0.5 + 0.5 * cosine.clamp(-1.0, 1.0)
    }
}

/// Exemplars around the columns that are scored.
#[derive(Clone, Debug, Default)]
struct Exemplars {
    /// Their words, one after the other.
    words: Vec<u64>,
    squares: Vec<u64>,
    /// Where each lies in the field.
    places: Vec<usize>,
    dots: Vec<i32>,
    /// `(1 + cos) / 2` at the place of each, 0 elsewhere; and 1 there, 0 elsewhere.
    fields: [Vec<f32>; 2],
    sums: [Vec<f32>; 2],
    taps: Vec<(usize, f32)>,
    /// For each line of the block where the columns that are scored begin and end in it, and those within the
    /// radius of them.
    scored: Vec<(u32, u32)>,
    near: Vec<(u32, u32)>,
}

/// A line in which there is none.
const NONE: (u32, u32) = (u32::MAX, 0);

impl Exemplars {
    /// Which columns of each line lie within the radius of a column that is scored, or between such.
    fn look_around(
        &mut self,
        grid: &Grid,
        block: &Block,
        columns: &[ColumnId],
        radius: f32,
    ) -> Result<(), GridError> {
        let [nx, ny, nz] = block.sides();
        self.scored.clear();
        self.scored.resize(ny * nz, NONE);
        for &column in columns {
            let [x, y, z] = block.inside(grid.place(column)?);
            let (from, to) = &mut self.scored[y as usize + ny * z as usize];
            (*from, *to) = ((*from).min(x), (*to).max(x + 1));
        }
        self.near.clear();
        self.near.resize(ny * nz, NONE);
        let square = (f64::from(radius) * f64::from(radius)).floor() as u64;
        let reach = radius.floor() as usize;
        for (z, y) in (0..nz).flat_map(|z| (0..ny).map(move |y| (z, y))) {
            let near = &mut self.near[y + ny * z];
            let beside =
                |at: usize, side: usize| at.saturating_sub(reach)..(at + reach + 1).min(side);
            for (of_z, of_y) in
                beside(z, nz).flat_map(|of_z| beside(y, ny).map(move |of_y| (of_z, of_y)))
            {
                let away = (of_z.abs_diff(z).pow(2) + of_y.abs_diff(y).pow(2)) as u64;
                let (from, to) = self.scored[of_y + ny * of_z];
                if let Some(left) = square.checked_sub(away)
                    && from < to
                {
                    let half = left.isqrt() as u32;
                    near.0 = near.0.min(from.saturating_sub(half));
                    near.1 = near.1.max((to + half).min(nx as u32));
                }
            }
        }
        Ok(())
    }

    /// Compares all that lie in a block with a query.
    fn gather(&mut self, cortex: &Cortex, block: &Block, query: &Query) {
        self.words.clear();
        self.squares.clear();
        self.places.clear();
        let lines = block.lines(cortex.grid()).zip(&self.near);
        for ((first, place), &(from, to)) in lines.filter(|(_, (from, to))| from < to) {
            let (start, len) = (first + from as usize, (to - from) as usize);
            cortex.each_shown(start, len, |index| {
                let words = cortex.at(index).learned.exemplar_words();
                let (words, square) = words.split_at(EXEMPLAR_WORDS);
                if square[0] > 0 {
                    self.words.extend_from_slice(words);
                    self.squares.push(square[0]);
                    self.places.push(block.margin() + place + index - first);
                }
            });
        }
        let codes: &[i8] = bytemuck::cast_slice(&self.words);
        self.dots.clear();
        self.dots.resize(self.squares.len(), 0);
        if let Ok(rows) = CodeRows::packed(codes, CODE_DIMENSION) {
            dot_rows_i8(query.isa, &query.code, rows, &mut self.dots);
        }
        for field in &mut self.fields {
            field.clear();
            field.resize(block.len(), 0.0);
        }
        let [known, held] = &mut self.fields;
        let exemplars = self.dots.iter().zip(&self.squares).zip(&self.places);
        for ((&dot, &square), &place) in exemplars {
            known[place] = query.likeness(dot, square);
            held[place] = 1.0;
        }
    }

    /// For each place of a block what exemplars within the radius come to, and what they count.
    fn sum_up(
        &mut self,
        cortex: &Cortex,
        block: &Block,
        shares: &[f32],
        reach: usize,
    ) -> [&[f32]; 2] {
        let [x, y, z] = block.strides();
        self.taps.clear();
        let along = || 0..=2 * reach;
        let apart = |at: usize| at.abs_diff(reach).pow(2);
        for (at_z, at_y) in along().flat_map(|at_z| along().map(move |at_y| (at_z, at_y))) {
            for at_x in along() {
                if let Some(&share) = shares.get(apart(at_x) + apart(at_y) + apart(at_z)) {
                    self.taps.push((x * at_x + y * at_y + z * at_z, share));
                }
            }
        }
        for (sums, field) in self.sums.iter_mut().zip(&self.fields) {
            sums.clear();
            sums.resize(block.span(), 0.0);
            tap_sum(cortex.options().isa, &self.taps, field, sums);
        }
        let [sums, counts] = &self.sums;
        [sums, counts]
    }
}

/// Prototypes of the columns that are scored.
#[derive(Clone, Debug, Default)]
struct Prototypes {
    words: Vec<u64>,
    values: Vec<f32>,
    cosines: Vec<f32>,
}

impl Prototypes {
    /// The cosines of all with a code, and behind them those with what was predicted.
    fn compare(
        &mut self,
        cortex: &Cortex,
        columns: &[ColumnId],
        code: &Code,
        predicted: Option<&Code>,
    ) -> Result<&[f32], GridError> {
        self.words.clear();
        for &column in columns {
            let words = cortex.column(column)?.learned.prototype_words();
            self.words.extend_from_slice(&words);
        }
        let isa = cortex.options().isa;
        self.values.resize(columns.len() * CODE_DIMENSION, 0.0);
        decode_f16(isa, bytemuck::cast_slice(&self.words), &mut self.values);
        let queries = [&code[..], predicted.map_or(&[][..], |code| &code[..])];
        let queries = &queries[..=usize::from(predicted.is_some())];
        self.cosines.clear();
        self.cosines.resize(queries.len() * columns.len(), 0.0);
        if let Ok(rows) = Rows::packed(&self.values, CODE_DIMENSION) {
            cosine_tile(isa, queries, rows, &mut self.cosines);
        }
        Ok(&self.cosines)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::column::ConceptId;
    use crate::options::CortexOptions;

    /// Together they have the bits that they have one by one, on every instruction set and wherever they lie.
    #[test]
    fn together_and_one_by_one_are_the_same_bits() {
        let mut chance = cortica_env::Seed(23).rng();
        let mut code = || -> Code { std::array::from_fn(|_| chance.unit() as f32 - 0.5) };
        for isa in Isa::available() {
            for (radius, sides) in [
                (1.0, [7, 9, 8]),
                (2.0, [12, 5, 9]),
                (3.3, [6, 11, 10]),
                (2.0, [1, 1, 40]),
            ] {
                let grid = Grid::new(sides[0], sides[1], sides[2]).unwrap();
                let options = CortexOptions {
                    isa,
                    ..CortexOptions::default()
                };
                let cortex = Cortex::new(grid, options).unwrap();
                for column in grid.columns().filter(|column| column.get() % 3 == 0) {
                    cortex
                        .occupy(column, ConceptId::new(column.get()), &code())
                        .unwrap();
                }
                let centre = ColumnId::new(grid.len() as u32 / 2 + 1);
                let free = grid.neighbours(centre, 4.0).unwrap();
                let columns: Vec<_> = free
                    .map(|(id, _)| id)
                    .filter(|id| id.get() % 3 > 0)
                    .collect();
                let mut scorer = Scorer::new(ScoreWeights::default(), radius).unwrap();
                let of = code();
                let together = scorer.score(&cortex, &columns, &of, None).unwrap().to_vec();
                assert!(together.iter().any(|score| score.similarity > 0.0));
                scorer.scores.clear();
                let query = Query::new(&cortex, &normalised(&of).unwrap());
                scorer.one_by_one(&cortex, &columns, &query).unwrap();
                for (together, alone) in together.iter().zip(&scorer.scores) {
                    assert_eq!(together.similarity.to_bits(), alone.similarity.to_bits());
                }
            }
        }
    }
}
