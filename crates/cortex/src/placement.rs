//! Where to look for a column.

use crate::grid::{ColumnId, Grid, GridError};
use crate::prototype::{CODE_DIMENSION, Code, CodeError, normalised};
use cortica_env::Seed;

/// Where a concept is to be placed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Hint {
    /// Where its code leads; see [`Placement`].
    #[default]
    Auto,
    /// Near a point, in units of the lattice.
    Near([f32; 3]),
}

/// Why a concept has no place.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlacementError {
    /// The hint is no place.
    #[error(transparent)]
    Grid(#[from] GridError),
    /// The code has no direction.
    #[error(transparent)]
    Code(#[from] CodeError),
    /// Ranks are read off quantiles that are finite and ascend, along axes of finite values.
    #[error(
        "axis {0} has no ranks: its values must be finite, and its quantiles finite, ascending and 2 at least"
    )]
    Ranks(usize),
}

/// Leads codes to places of a grid: a seeded projection to three dimensions (Johnson & Lindenstrauss 1984),
/// each equalised by rank, so that like codes come near each other and every part of the grid gets as many.
///
/// ```
/// use cortica_cortex::{Grid, Hint, Placement};
/// use cortica_env::Seed;
///
/// let grid = Grid::new(10, 10, 10)?;
/// let placement = Placement::new(grid, Seed(7));
/// let column = placement.place(Hint::Auto, &[0.5; 64])?;
/// assert_eq!(placement.place(Hint::Auto, &[0.5; 64])?, column);
/// assert_eq!(placement.place(Hint::Near([3.2, 4.0, 5.0]), &[0.5; 64])?, grid.column(3, 4, 5)?);
/// # Ok::<(), cortica_cortex::PlacementError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Placement {
    grid: Grid,
    axes: [Code; 3],
    /// What ranks are read off, ascending, for each axis.
    quantiles: [Vec<f32>; 3],
}

/// Quantiles of the distribution that codes are assumed to have where none were seen.
const QUANTILES: usize = 1_024;

impl Placement {
    /// For codes about which nothing is known: ranks are those of directions spread evenly.
    #[must_use]
    pub fn new(grid: Grid, seed: Seed) -> Placement {
        let axes = axes(seed);
        // Projections of such directions, drawn.
        let mut chance = seed.derive("cortex.placement.quantiles").rng();
        let mut quantiles = [const { Vec::new() }; 3];
        for _ in 0..QUANTILES {
            let mut code = [0.0; CODE_DIMENSION];
            code.fill_with(|| gaussian(&mut chance));
            if let Ok(code) = normalised(&code) {
                add(&mut quantiles, &axes, &code);
            }
        }
        Placement::sorted(grid, &axes, quantiles)
    }

    /// Ranks are those among these codes: a sample of what is to come, of a thousand or more. Codes without direction
    /// are passed over; without any, as [`new`](Placement::new). O(n log n).
    #[must_use]
    pub fn fitted<'a>(
        grid: Grid,
        seed: Seed,
        codes: impl IntoIterator<Item = &'a Code>,
    ) -> Placement {
        let axes = axes(seed);
        let mut quantiles = [const { Vec::new() }; 3];
        for code in codes {
            if let Ok(code) = normalised(code) {
                add(&mut quantiles, &axes, &code);
            }
        }
        if quantiles[0].is_empty() {
            return Placement::new(grid, seed);
        }
        Placement::sorted(grid, &axes, quantiles)
    }

    /// Along directions of the caller's choice, such as principal components of the codes; otherwise as
    /// [`fitted`](Placement::fitted).
    #[must_use]
    pub fn along<'a>(
        grid: Grid,
        axes: [Code; 3],
        codes: impl IntoIterator<Item = &'a Code>,
    ) -> Placement {
        let mut quantiles = [const { Vec::new() }; 3];
        for code in codes {
            if let Ok(code) = normalised(code) {
                add(&mut quantiles, &axes, &code);
            }
        }
        Placement::sorted(grid, &axes, quantiles)
    }

    /// Along directions whose ranks are known, such as those that come with trained networks: for each axis the
    /// products of codes with it at even shares from the least to the greatest.
    pub fn ranked(
        grid: Grid,
        axes: [Code; 3],
        quantiles: [Vec<f32>; 3],
    ) -> Result<Placement, PlacementError> {
        for (axis, (direction, values)) in axes.iter().zip(&quantiles).enumerate() {
            let finite = direction
                .iter()
                .chain(values)
                .all(|value| value.is_finite());
            if !finite || values.len() < 2 || !values.is_sorted() {
                return Err(PlacementError::Ranks(axis));
            }
        }
        Ok(Placement {
            grid,
            axes,
            quantiles,
        })
    }

    fn sorted(grid: Grid, axes: &[Code; 3], mut quantiles: [Vec<f32>; 3]) -> Placement {
        for values in &mut quantiles {
            values.sort_unstable_by(f32::total_cmp);
        }
        Placement {
            grid,
            axes: *axes,
            quantiles,
        }
    }

    /// The column at which to look first.
    pub fn place(&self, hint: Hint, code: &Code) -> Result<ColumnId, PlacementError> {
        if let Hint::Near(point) = hint {
            return Ok(self.grid.column_near(point)?);
        }
        let code = normalised(code)?;
        let sides = self.grid.sides();
        let place = std::array::from_fn(|axis| {
            let value = project(&self.axes[axis], &code);
            let rank = rank(&self.quantiles[axis], value);
            ((rank * f64::from(sides[axis])) as u32).min(sides[axis] - 1)
        });
        Ok(self.grid.at(place))
    }
}

/// The share of what quantiles stand for that lies below a value: even between two of them.
fn rank(quantiles: &[f32], value: f32) -> f64 {
    let below = quantiles.partition_point(|&quantile| quantile < value);
    let (Some(last), Some(&above)) = (below.checked_sub(1), quantiles.get(below)) else {
        return if below == 0 { 0.0 } else { 1.0 };
    };
    let from = f64::from(quantiles[last]);
    let within = (f64::from(value) - from) / (f64::from(above) - from);
    (last as f64 + within) / (quantiles.len() - 1) as f64
}

/// Three directions, each at right angles to the others.
fn axes(seed: Seed) -> [Code; 3] {
    let mut chance = seed.derive("cortex.placement.axes").rng();
    let mut axes: [Code; 3] = [[0.0; CODE_DIMENSION]; 3];
    for axis in 0..3 {
        let (before, rest) = axes.split_at_mut(axis);
        let direction = &mut rest[0];
        // One that is all but spanned by those before it has no chance to speak of.
        direction.fill_with(|| gaussian(&mut chance));
        for other in before {
            let along = project(other, direction);
            let pairs = direction.iter_mut().zip(other.iter());
            pairs.for_each(|(value, other)| *value -= along * other);
        }
        *direction = normalised(direction).unwrap_or(*direction);
    }
    axes
}

fn add(quantiles: &mut [Vec<f32>; 3], axes: &[Code; 3], code: &Code) {
    for (values, axis) in quantiles.iter_mut().zip(axes) {
        values.push(project(axis, code));
    }
}

/// In the order of the source: the same bits on every machine.
fn project(axis: &Code, code: &Code) -> f32 {
    axis.iter().zip(code).map(|(a, b)| a * b).sum()
}

/// Four uniform numbers added up: nearly Gaussian, mean 0, deviation 1, and without a logarithm, whose
/// last bit differs between machines.
fn gaussian(chance: &mut cortica_env::Rng) -> f32 {
    let sum: f64 = (0..4).map(|_| chance.unit() - 0.5).sum();
    (sum * 3.0_f64.sqrt()) as f32
}
