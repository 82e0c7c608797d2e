//! Where columns lie: a lattice of nx x ny x nz places, one unit apart.

use std::fmt;

/// A column, by its number: `x + nx (y + ny z)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ColumnId(u32);

impl ColumnId {
    /// The column with this number.
    #[must_use]
    pub const fn new(number: u32) -> ColumnId {
        ColumnId(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for ColumnId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {}", self.0)
    }
}

/// Why there is no such grid, place or neighbourhood.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GridError {
    /// Every side needs a column, and all columns a number of 32 bits.
    #[error(
        "{nx} x {ny} x {nz} columns; each side needs 1, and all together at most {}",
        Grid::COLUMNS_MAX
    )]
    Size {
        /// Columns along x.
        nx: u32,
        /// Columns along y.
        ny: u32,
        /// Columns along z.
        nz: u32,
    },
    /// There is no such place.
    #[error("({x}, {y}, {z}) lies outside of a grid of {nx} x {ny} x {nz}", nx = .sides[0], ny = .sides[1], nz = .sides[2])]
    Outside {
        /// Its x.
        x: u32,
        /// Its y.
        y: u32,
        /// Its z.
        z: u32,
        /// The grid's sides.
        sides: [u32; 3],
    },
    /// There is no such column.
    #[error("{column} of a grid of {columns}")]
    NoColumn {
        /// The number that was given.
        column: ColumnId,
        /// How many there are.
        columns: u32,
    },
    /// A hint must be finite and within half a unit of a column.
    #[error("the hint ({}, {}, {}) is near no column of a grid of {} x {} x {}", .hint[0], .hint[1], .hint[2], .sides[0], .sides[1], .sides[2])]
    Hint {
        /// What was given.
        hint: [f32; 3],
        /// The grid's sides.
        sides: [u32; 3],
    },
    /// A radius must be finite and positive.
    #[error("the radius is {0}; it must be finite and above 0")]
    Radius(f32),
}

/// A lattice of columns, one unit apart.
///
/// ```
/// use cortica_cortex::Grid;
///
/// let grid = Grid::new(10, 10, 10)?;
/// let middle = grid.column(5, 5, 5)?;
/// assert_eq!(grid.neighbours(middle, 1.0)?.count(), 7, "itself and six beside it");
/// assert_eq!(grid.column_near([4.6, 5.2, 5.4])?, middle);
/// # Ok::<(), cortica_cortex::GridError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    sides: [u32; 3],
    columns: u32,
}

impl Grid {
    /// The most columns of a grid.
    pub const COLUMNS_MAX: u32 = u32::MAX;

    /// A grid of these sides.
    pub fn new(nx: u32, ny: u32, nz: u32) -> Result<Grid, GridError> {
        let columns = nx.checked_mul(ny).and_then(|plane| plane.checked_mul(nz));
        match columns {
            Some(columns) if columns > 0 => Ok(Grid {
                sides: [nx, ny, nz],
                columns,
            }),
            _ => Err(GridError::Size { nx, ny, nz }),
        }
    }

    /// How many columns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.columns as usize
    }

    /// Never: a grid has a column.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Columns along x, y and z.
    #[must_use]
    pub fn sides(&self) -> [u32; 3] {
        self.sides
    }

    /// All columns, in the order of their numbers.
    pub fn columns(&self) -> impl ExactSizeIterator<Item = ColumnId> + use<> {
        // Not every platform's ranges of u32 know their length; those of usize do.
        (0..self.columns as usize).map(|number| ColumnId(number as u32))
    }

    /// The column at a place.
    pub fn column(&self, x: u32, y: u32, z: u32) -> Result<ColumnId, GridError> {
        let [nx, ny, nz] = self.sides;
        if x < nx && y < ny && z < nz {
            return Ok(self.at([x, y, z]));
        }
        Err(GridError::Outside {
            x,
            y,
            z,
            sides: self.sides,
        })
    }

    /// Where a column lies.
    pub fn place(&self, column: ColumnId) -> Result<[u32; 3], GridError> {
        if column.0 >= self.columns {
            return Err(GridError::NoColumn {
                column,
                columns: self.columns,
            });
        }
        let [nx, ny, _] = self.sides;
        let (row, x) = (column.0 / nx, column.0 % nx);
        Ok([x, row % ny, row / ny])
    }

    /// The column nearest to a point in units of the lattice, each value in `-0.5..=n - 0.5`; of two that
    /// are equally near, the one with the greater coordinate.
    pub fn column_near(&self, hint: [f32; 3]) -> Result<ColumnId, GridError> {
        let refused = GridError::Hint {
            hint,
            sides: self.sides,
        };
        let mut place = [0; 3];
        for axis in 0..3 {
            let (value, side) = (f64::from(hint[axis]), f64::from(self.sides[axis]));
            if !(-0.5..=side - 0.5).contains(&value) {
                return Err(refused);
            }
            let nearest = (value + 0.5).floor() as u32;
            place[axis] = nearest.min(self.sides[axis] - 1);
        }
        Ok(self.at(place))
    }

    /// The columns within a distance of one, itself included, in the order of their numbers, each with the
    /// square of its distance. O(r^3), no allocation.
    pub fn neighbours(
        &self,
        centre: ColumnId,
        radius: f32,
    ) -> Result<impl Iterator<Item = (ColumnId, u64)> + use<>, GridError> {
        let lines = self.ball(centre, radius)?;
        Ok(lines.flat_map(|line| {
            let columns = line.first..line.first + line.len;
            columns.map(move |index| (ColumnId(index as u32), line.square_at(index)))
        }))
    }

    /// The lines along x whose columns lie within a distance of one, in the order of their numbers. O(r^2).
    pub(crate) fn ball(
        &self,
        centre: ColumnId,
        radius: f32,
    ) -> Result<impl Iterator<Item = Line> + use<>, GridError> {
        let place = self.place(centre)?;
        if !radius.is_finite() || radius <= 0.0 {
            return Err(GridError::Radius(radius));
        }
        let radius = f64::from(radius);
        // A lattice distance never comes near f64's limits; the radius may, and is cut.
        let square_max = (radius * radius).floor().min(u64::MAX as f64) as u64;
        let reach = radius.floor().min(f64::from(u32::MAX)) as u32;
        let range = |axis: usize| {
            let low = place[axis].saturating_sub(reach);
            let high = place[axis].saturating_add(reach).min(self.sides[axis] - 1);
            low..=high
        };
        let (grid, ys) = (*self, range(1));
        Ok(range(2).flat_map(move |z| {
            let dz = square(place[2], z);
            ys.clone().filter_map(move |y| {
                let away = square(place[1], y).saturating_add(dz);
                let half = square_max.checked_sub(away)?.isqrt();
                let half = half.min(u64::from(u32::MAX)) as u32;
                let low = place[0].saturating_sub(half);
                let high = place[0].saturating_add(half).min(grid.sides[0] - 1);
                let first = grid.at([low, y, z]).index();
                Some(Line {
                    first,
                    len: (high - low) as usize + 1,
                    middle: first + (place[0] - low) as usize,
                    away,
                })
            })
        }))
    }

    /// The `k` columns nearest to one, itself included, with the squares of their distances; nearest first,
    /// equal ones by number. `k` of them, or all that there are. O(k log k); `found` is cleared first.
    pub fn nearest(
        &self,
        centre: ColumnId,
        k: usize,
        found: &mut Vec<(ColumnId, u64)>,
    ) -> Result<(), GridError> {
        found.clear();
        self.place(centre)?;
        let k = k.min(self.len());
        if k == 0 {
            return Ok(());
        }
        // The radius of a ball with as many columns; more are needed where the grid ends.
        let mut radius = (k as f64 * 0.24).cbrt().max(1.0);
        loop {
            found.clear();
            found.extend(self.neighbours(centre, radius as f32)?);
            if found.len() >= k {
                break;
            }
            radius *= 1.3;
        }
        found.sort_unstable_by_key(|&(column, distance)| (distance, column));
        found.truncate(k);
        Ok(())
    }

    /// The square of the distance of two columns.
    pub fn squared_distance(&self, a: ColumnId, b: ColumnId) -> Result<u64, GridError> {
        let (a, b) = (self.place(a)?, self.place(b)?);
        let sum = (0..3).fold(0_u64, |sum, axis| {
            sum.saturating_add(square(a[axis], b[axis]))
        });
        Ok(sum)
    }

    /// The column at a place that is known to be inside.
    pub(crate) fn at(&self, [x, y, z]: [u32; 3]) -> ColumnId {
        let [nx, ny, _] = self.sides;
        ColumnId(x + nx * (y + ny * z))
    }
}

/// Columns next to each other along x.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line {
    pub(crate) first: usize,
    pub(crate) len: usize,
    /// The one with the x of the centre.
    middle: usize,
    /// The square of its distance.
    away: u64,
}

impl Line {
    /// The square of the distance of one of them.
    pub(crate) fn square_at(&self, index: usize) -> u64 {
        let along = index.abs_diff(self.middle) as u64;
        self.away + along * along
    }
}

fn square(a: u32, b: u32) -> u64 {
    let apart = u64::from(a.abs_diff(b));
    apart.saturating_mul(apart)
}
