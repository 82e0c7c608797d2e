//! Which line an operation came from.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// The lines of operations, which count from 0. Blank lines are none, so a line is not the number of
/// its operation and one. Clones share what they know.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    stretches: Mutex<VecDeque<Stretch>>,
    /// Some were forgotten.
    room: Condvar,
    /// The most stretches.
    most: usize,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            stretches: Mutex::default(),
            room: Condvar::new(),
            most: usize::MAX,
        }
    }
}

/// Operations from this one on that come from lines without a blank one between them.
#[derive(Debug)]
struct Stretch {
    from: u64,
    line: u64,
}

/// A stream takes at least as many bytes for an operation: with a stretch for each of these bytes of
/// its limit there is room for all that it holds, and only what it dropped can be in the way.
const OPERATION_BYTES: usize = 1_024;

impl Places {
    /// For a stream that holds so many bytes: takes at most a thirty-second of them, with a half of its
    /// places unused.
    pub(crate) fn within(bytes: usize) -> Self {
        Self(Arc::new(Inner {
            most: (bytes / OPERATION_BYTES).max(2),
            ..Inner::default()
        }))
    }

    /// The operation is the next one, and comes from this line. Waits for what is in front of it to be
    /// [forgotten](Self::forget_before) where there is no room.
    pub(crate) fn add(&self, operation: u64, line: u64) {
        let mut all = self.lock();
        let goes_on = |last: &Stretch| last.line.checked_add(operation - last.from) == Some(line);
        if all.back().is_some_and(goes_on) {
            return;
        }
        let full = |all: &mut VecDeque<Stretch>| all.len() >= self.0.most;
        all = self
            .0
            .room
            .wait_while(all, full)
            .unwrap_or_else(PoisonError::into_inner);
        let from = operation;
        all.push_back(Stretch { from, line });
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
            self.0.room.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Stretch>> {
        self.0
            .stretches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
    use std::thread;
    use std::time::Duration;

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

    /// Every line with a blank one behind it, and answers that nobody takes for a while.
    #[test]
    fn whoever_adds_waits_for_room() {
        const OPERATIONS: u64 = 10_000;
        let places = Places::within(64 << 10);
        let added = AtomicU64::new(0);
        thread::scope(|scope| {
            scope.spawn(|| {
                for operation in 0..OPERATIONS {
                    places.add(operation, 2 * operation + 1);
                    added.store(operation + 1, SeqCst);
                }
            });
            while added.load(SeqCst) < 64 {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(20));
            assert_eq!(added.load(SeqCst), 64);
            for operation in 0..OPERATIONS {
                while added.load(SeqCst) <= operation {
                    thread::yield_now();
                }
                assert!(places.lock().len() <= 64);
                assert_eq!(places.line(operation), 2 * operation + 1);
                places.forget_before(operation);
            }
        });
    }
}
