//! Uses of memories that recalls have noted and no write has applied yet.
//!
//! A recall only counts: one addition beside each memory that it returns, and a place in a list for those
//! that had no use noted. There is nothing to be ordered: what uses do to a memory depends on their
//! number alone, and on no other memory. So the queue holds a number for each memory at most.

use crate::level::USES_MAX;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// How often a memory was used since uses were applied last.
#[derive(Debug, Default)]
pub(crate) struct Uses(AtomicU32);

/// Seqs of the memories that have uses waiting, each once, in no order that means anything.
#[derive(Debug, Default)]
pub(crate) struct Noted(Mutex<Vec<u64>>);

/// Uses of one memory that a write applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Used {
    pub(crate) seq: u64,
    pub(crate) times: u32,
}

impl Uses {
    pub(crate) fn get(&self) -> u32 {
        // Relaxed is enough: the number is all there is to read.
        self.0.load(Relaxed)
    }

    /// Takes uses off that were applied.
    pub(crate) fn take(&mut self, times: u32) {
        let left = self.0.get_mut();
        *left = left.saturating_sub(times);
    }
}

impl Noted {
    /// Counts a use of a memory. More than [`USES_MAX`] make no difference.
    pub(crate) fn note(&self, seq: u64, uses: &Uses) {
        if uses.get() >= USES_MAX {
            return;
        }
        if uses.0.fetch_add(1, Relaxed) == 0 {
            self.0.lock().push(seq);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// The memories with uses, by seq: the same for any number of threads that noted them.
    pub(crate) fn in_order(&self, uses: impl Fn(u64) -> Option<u32>) -> Vec<Used> {
        let mut all: Vec<u64> = self.0.lock().clone();
        all.sort_unstable();
        let used = all.into_iter().filter_map(|seq| {
            let times = uses(seq).filter(|&times| times > 0)?;
            Some(Used { seq, times })
        });
        used.collect()
    }

    /// Keeps those that still have uses.
    pub(crate) fn retain(&mut self, has: impl Fn(u64) -> bool) {
        self.0.get_mut().retain(|&seq| has(seq));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_counted_beside_each_memory_and_listed_once() {
        let noted = Noted::default();
        let uses = [Uses::default(), Uses::default()];
        for seq in [1, 0, 1, 1] {
            noted.note(seq, &uses[seq as usize]);
        }
        let all = noted.in_order(|seq| uses.get(seq as usize).map(Uses::get));
        let used = |seq, times| Used { seq, times };
        assert_eq!(all, [used(0, 1), used(1, 3)]);
        assert_eq!(noted.len(), 2);
    }

    #[test]
    fn what_is_taken_leaves_what_came_since() {
        let mut noted = Noted::default();
        let mut uses = Uses::default();
        noted.note(7, &uses);
        noted.note(7, &uses);
        uses.take(1);
        noted.retain(|_| uses.get() > 0);
        assert_eq!((uses.get(), noted.len()), (1, 1));
        uses.take(9);
        noted.retain(|_| uses.get() > 0);
        assert_eq!((uses.get(), noted.len()), (0, 0));
    }

    #[test]
    fn the_count_is_bounded() {
        let (noted, uses) = (Noted::default(), Uses::default());
        for _ in 0..3 * USES_MAX {
            noted.note(7, &uses);
        }
        assert_eq!(uses.get(), USES_MAX);
        assert_eq!(noted.len(), 1);
    }
}
