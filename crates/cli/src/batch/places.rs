//! Which line an operation came from.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The lines of operations, which count from 0. Blank lines are none, so a line is not the number of
/// its operation and one. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<Mutex<VecDeque<Stretch>>>);

/// Operations from this one on that come from lines without a blank one between them.
#[derive(Debug)]
struct Stretch {
    from: u64,
    line: u64,
}

impl Places {
    /// The operation is the next one, and comes from this line.
    pub(crate) fn add(&self, operation: u64, line: u64) {
        let mut all = self.lock();
        let last = all.back();
        if last.is_none_or(|last| last.line + (operation - last.from) != line) {
            let from = operation;
            all.push_back(Stretch { from, line });
        }
    }

    /// The line of an operation that was added.
    pub(crate) fn line(&self, operation: u64) -> u64 {
        let all = self.lock();
        let behind = all.partition_point(|stretch| stretch.from <= operation);
        let stretch = behind.checked_sub(1).and_then(|at| all.get(at));
        stretch.map_or(operation + 1, |stretch| {
            stretch.line + (operation - stretch.from)
        })
    }

    /// Nobody will ask for those before this one.
    pub(crate) fn forget_before(&self, operation: u64) {
        let mut all = self.lock();
        while all.get(1).is_some_and(|next| next.from <= operation) {
            all.pop_front();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Stretch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_lines_are_passed_over() {
        let places = Places::default();
        let lines = [1, 2, 4, 5, 9, 11];
        for (operation, line) in (0..).zip(lines) {
            places.add(operation, line);
        }
        let of = |operations: std::ops::Range<u64>| -> Vec<u64> {
            operations.map(|operation| places.line(operation)).collect()
        };
        assert_eq!(of(0..6), lines);
        places.forget_before(3);
        assert_eq!(of(3..6), lines[3..]);
    }
}
