//! A vector between being written and being found.

use cortica_arena::{Reserved, VectorArena};
use std::fmt;

/// A vector that lies in its row, and that no search finds before
/// [`insert_prepared`](crate::VectorIndex::insert_prepared). Dropped, its row is given to another.
#[must_use = "a prepared vector is found only after it is inserted"]
pub struct Prepared<'a> {
    /// Whose row it is.
    pub(crate) of: &'a VectorArena,
    pub(crate) reserved: Reserved<'a, f32>,
    pub(crate) norm: f64,
}

impl fmt::Debug for Prepared<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Prepared")
            .field(&self.reserved.row())
            .finish()
    }
}
