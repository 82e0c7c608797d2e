//! Why an arena refuses something.

use crate::budget::BudgetError;
use crate::vectors::ROW_VALUES_MAX;

/// A row may have 1 to [`ROW_VALUES_MAX`] values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("dimension: got {got}, expected 1 to {ROW_VALUES_MAX}")]
pub struct DimensionError {
    /// The dimension asked for.
    pub got: usize,
}

/// Why there is no row for a vector. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoomError {
    /// Free rows, or memory elsewhere; rows that were freed while they were read come back when
    /// their readers are done.
    #[error("the budget has no bytes for more rows")]
    Budget(#[from] BudgetError),
    /// The system has no memory for more rows.
    #[error("cannot get {bytes} bytes of memory for rows")]
    OutOfMemory {
        /// How much was asked for.
        bytes: usize,
    },
    /// There are as many rows as a number can count.
    #[error("the arena is full at {max} rows")]
    Full {
        /// How many rows there are.
        max: usize,
    },
}

/// Why a vector was not added. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AddError {
    /// Use vectors of the arena's dimension.
    #[error("dimension: got {got} values, expected {expected}")]
    Dimension {
        /// Values in the vector.
        got: usize,
        /// Values in a row.
        expected: usize,
    },
    /// There is no row for it.
    #[error(transparent)]
    Room(#[from] RoomError),
}

/// The row was never published, or is free already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is nothing in row {row}")]
pub struct FreeError {
    /// The row's number.
    pub row: u32,
}
