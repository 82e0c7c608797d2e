//! The part of a grid in which a competition takes place, as it lies in memory.

use crate::grid::{ColumnId, Grid, GridError};

/// A box of the lattice, laid flat with gaps of zeros as wide as a window reaches between its lines and
/// planes, and before and behind it: so that a window over the flat values never joins two lines.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Block {
    low: [u32; 3],
    sides: [usize; 3],
    reach: usize,
}

impl Block {
    /// The smallest box around some columns, one at least.
    pub(crate) fn around(
        grid: &Grid,
        columns: &[ColumnId],
        reach: usize,
    ) -> Result<Block, GridError> {
        let (mut low, mut high) = ([u32::MAX; 3], [0; 3]);
        for &column in columns {
            let place = grid.place(column)?;
            for axis in 0..3 {
                low[axis] = low[axis].min(place[axis]);
                high[axis] = high[axis].max(place[axis]);
            }
        }
        let side = |axis: usize| {
            let count: u32 = high[axis].saturating_sub(low[axis]) + 1;
            count as usize
        };
        Ok(Block {
            low,
            sides: [side(0), side(1), side(2)],
            reach,
        })
    }

    /// As [`around`](Block::around), grown by as many columns as a window reaches, as far as the grid goes.
    pub(crate) fn grown(
        grid: &Grid,
        columns: &[ColumnId],
        reach: usize,
    ) -> Result<Block, GridError> {
        let mut block = Block::around(grid, columns, reach)?;
        let grow = reach as u32;
        for (axis, side) in grid.sides().into_iter().enumerate() {
            let high = block.low[axis] + block.sides[axis] as u32 - 1;
            let (low, high) = (
                block.low[axis].saturating_sub(grow),
                high.saturating_add(grow).min(side - 1),
            );
            block.low[axis] = low;
            block.sides[axis] = (high - low) as usize + 1;
        }
        Ok(block)
    }

    /// Columns along x, y and z.
    pub(crate) fn sides(&self) -> [usize; 3] {
        self.sides
    }

    /// Where a column of the box lies in it.
    pub(crate) fn inside(&self, place: [u32; 3]) -> [u32; 3] {
        std::array::from_fn(|axis| place[axis] - self.low[axis])
    }

    /// The lines of its columns along x: the number of the first one, and where it lies counted from the first of all.
    pub(crate) fn lines(&self, grid: &Grid) -> impl Iterator<Item = (usize, usize)> {
        let (grid, block) = (*grid, *self);
        (0..self.sides[2]).flat_map(move |z| {
            (0..block.sides[1]).map(move |y| {
                let [low_x, low_y, low_z] = block.low;
                let place = [low_x, low_y + y as u32, low_z + z as u32];
                (grid.at(place).index(), block.at(place))
            })
        })
    }

    /// Places from a column to the next one along x, y and z.
    pub(crate) fn strides(&self) -> [usize; 3] {
        let line = self.sides[0] + self.reach;
        [1, line, line * (self.sides[1] + self.reach)]
    }

    /// Places before the first column: half a window along every axis.
    pub(crate) fn margin(&self) -> usize {
        self.reach * self.strides().iter().sum::<usize>()
    }

    /// Places from the first column to the last one, both included.
    pub(crate) fn span(&self) -> usize {
        let steps = self.strides().into_iter().zip(self.sides);
        1 + steps
            .map(|(stride, side)| stride * side.saturating_sub(1))
            .sum::<usize>()
    }

    /// Places of all: with margins before and behind.
    pub(crate) fn len(&self) -> usize {
        self.span() + 2 * self.margin()
    }

    /// Where a column of the box lies, counted from the first one.
    pub(crate) fn at(&self, place: [u32; 3]) -> usize {
        let strides = self.strides();
        (0..3)
            .map(|axis| strides[axis] * (place[axis] - self.low[axis]) as usize)
            .sum()
    }
}
