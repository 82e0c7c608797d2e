//! The vectors of an exact index, and what belongs to each.

use cortica_arena::{Row as ArenaRow, Run, VectorArena};
use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Vectors {
    /// Shared with the index, which fills rows without a lock before they are found.
    pub(crate) rows: Arc<VectorArena>,
    /// One more than the highest row that ever held a vector. The memory up to it is in use, and stays so
    /// whatever is removed.
    pub(crate) reached: usize,
    /// Whether a row was ever removed: until then none needs to be asked whether it is in use.
    pub(crate) removed: bool,
    /// Rows that are removed, but not given to other vectors before they are released.
    pub(crate) hidden: HashSet<u32>,
    /// `1 / |row|` by row, for cosine only.
    pub(crate) inverse_norms: Vec<f32>,
    /// The longest vector's length, for dot only.
    pub(crate) norm_max: f64,
    /// Rows that are kept as `vector * 2^-exponent`.
    pub(crate) exponents: HashMap<u32, i32>,
}

impl Vectors {
    /// The stretches of a run whose rows are in use.
    pub(crate) fn live_parts(&self, run: &Run<'_, f32>) -> Vec<Range<usize>> {
        if !self.removed {
            return std::iter::once(0..run.len()).collect();
        }
        let mut parts: Vec<Range<usize>> = Vec::new();
        for at in (0..run.len()).filter(|&at| self.is_in_use(run, at)) {
            match parts.last_mut() {
                Some(part) if part.end == at => part.end = at + 1,
                _ => parts.push(at..at + 1),
            }
        }
        parts
    }

    /// Whether the `at`-th row of a run can be found.
    fn is_in_use(&self, run: &Run<'_, f32>, at: usize) -> bool {
        let row = run.first().get() + at as u32;
        run.is_live(at) && (self.hidden.is_empty() || !self.hidden.contains(&row))
    }

    /// Gives a row back; whether it was there.
    pub(crate) fn free(&mut self, row: u32) -> bool {
        let freed = self.rows.free(ArenaRow::new(row)).is_ok();
        if freed {
            self.removed = true;
            self.exponents.remove(&row);
        }
        freed
    }

    /// How many rows can be found.
    pub(crate) fn len(&self) -> usize {
        self.rows.len() - self.hidden.len()
    }

    /// Whether none of these rows of a run can be found.
    pub(crate) fn all_removed(&self, run: &Run<'_, f32>, from: usize, rows: usize) -> bool {
        self.removed && !(from..from + rows).any(|at| self.is_in_use(run, at))
    }

    /// Takes the keys of rows that cannot be found out of the running. A row that was removed lies
    /// among the others until it is used again.
    pub(crate) fn hide_removed(
        &self,
        run: &Run<'_, f32>,
        from: usize,
        rows: usize,
        keys: &mut [f32],
    ) {
        for at in (0..rows).filter(|&at| !self.is_in_use(run, from + at)) {
            for keys in keys.chunks_exact_mut(rows) {
                keys[at] = f32::NAN; // Not above any limit, so never collected.
            }
        }
    }

    /// Notes what belongs to a row that was just filled.
    pub(crate) fn set_inverse_norm(&mut self, row: u32, inverse_norm: f32) {
        let row = row as usize;
        if self.inverse_norms.len() <= row {
            self.inverse_norms.resize(row + 1, 0.0);
        }
        self.inverse_norms[row] = inverse_norm;
    }
}

/// `vector * 2^exponent`, in f64 on the way because the factor may leave the range of f32.
pub(crate) fn scaled(vector: &[f32], exponent: i32) -> Vec<f32> {
    let factor = 2.0_f64.powi(exponent);
    vector
        .iter()
        .map(|&value| (f64::from(value) * factor) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use crate::exact::{BLOCK_ROWS, ExactIndex};
    use crate::metric::Metric;
    use crate::vector_index::{Row, VectorIndex};
    use cortica_simd::Isa;

    #[test]
    fn blocks_without_a_vector_are_passed_over() {
        let index = ExactIndex::new(4, Metric::Dot, Isa::best()).unwrap();
        let insert = |_| index.insert(&[1.0; 4]).unwrap();
        let rows: Vec<Row> = (0..3 * BLOCK_ROWS).map(insert).collect();
        let visited = || {
            let (vectors, mut visited) = (index.read(), Vec::new());
            let (reader, query) = (vectors.rows.read(), [1.0; 4]);
            index.scan(
                &vectors,
                &reader,
                &[&query],
                &mut Vec::new(),
                |_, first, _| {
                    visited.push(first);
                },
            );
            visited
        };
        assert_eq!(visited(), [0, BLOCK_ROWS, 2 * BLOCK_ROWS]);
        let (middle, last) = (BLOCK_ROWS..2 * BLOCK_ROWS, 3 * BLOCK_ROWS - 1);
        for &row in rows[middle].iter().chain([&rows[last]]) {
            assert!(index.remove(row));
        }
        assert_eq!(visited(), [0, 2 * BLOCK_ROWS]);
        assert_eq!(
            index.search(&[1.0; 4], 1).unwrap().len(),
            2 * BLOCK_ROWS - 1
        );
    }
}
