//! The unbounded queue against crossbeam's `SegQueue`, by number of threads and size of item.

use std::sync::Arc;

use cortica_queue::Queue;
use crossbeam_queue::SegQueue;

use super::traffic::{self, Item, Placement, latency_p99, one_by_one, pair};
use crate::subject::{Pair, Run};

/// In one run. Divisible by every number of producers.
const ITEMS: u64 = 1 << 19;

/// Of which each push and each pop is timed.
const TIMED: u64 = 1 << 18;

/// 128 bytes.
pub(super) type Bytes128 = [u64; 16];

impl<T: Send + 'static> traffic::Queue<T> for Queue<T> {
    fn push(&self, item: T) -> bool {
        self.push(item);
        true
    }

    fn pop(&self) -> Option<T> {
        self.pop()
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl traffic::Batches for Queue<u64> {
    fn push_many(&self, items: &mut Vec<u64>) -> usize {
        let count = items.len();
        self.push_many(items);
        count
    }

    fn pop_many(&self, items: &mut Vec<u64>, count_max: usize) -> usize {
        self.pop_many(items, count_max)
    }
}

impl<T: Send + 'static> traffic::Queue<T> for SegQueue<T> {
    fn push(&self, item: T) -> bool {
        self.push(item);
        true
    }

    fn pop(&self) -> Option<T> {
        self.pop()
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

/// From `producers` threads to as many.
pub(super) fn throughput<T: Item>(producers: u64) -> Pair {
    let (ours, theirs) = (Arc::new(Queue::<T>::new()), Arc::new(SegQueue::<T>::new()));
    let free = Placement::Free;
    pair(
        move || one_by_one(&*ours, producers, ITEMS, free),
        move || one_by_one(&*theirs, producers, ITEMS, free),
    )
}

/// The 99th percentile of pushes and pops together, four threads of each.
pub(super) fn p99<T: Item>() -> Pair {
    Pair {
        check: Box::new(|| one_by_one(&Queue::<T>::new(), 4, TIMED, Placement::Free)),
        subject: timed(Queue::<T>::new()),
        baseline: timed(SegQueue::<T>::new()),
    }
}

/// Counts a run as if every operation in it had taken as long as the 99th percentile.
fn timed<T: Item>(queue: impl traffic::Queue<T>) -> Run {
    Box::new(move |watch| {
        let (p99, operations) = latency_p99(&queue, 4, TIMED)?;
        watch.add(p99 * operations as u32);
        Ok(())
    })
}
