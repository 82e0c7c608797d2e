//! Bounded queues between threads, against crossbeam's and concurrent-queue's.
//!
//! One run moves [`ITEMS`] numbers through a queue of [`CAPACITY`]: in batches with two producers and
//! two consumers, then with four of each. A thread that finds the queue full or empty yields.

use std::sync::Arc;

use anyhow::Result;
use concurrent_queue::ConcurrentQueue;
use cortica_queue::{BoundedQueue, Queue};
use crossbeam_queue::ArrayQueue;

use super::traffic::{self, Batches, Placement, in_batches, one_by_one, pair};
use crate::subject::{Pair, Setup};

const CAPACITY: usize = 1024;

/// Producers of batches, and as many consumers.
const PRODUCERS: [u64; 2] = [2, 4];

/// Divisible by every number of producers times the size of a batch.
const ITEMS: u64 = 1 << 19;

impl traffic::Queue<u64> for BoundedQueue<u64> {
    fn push(&self, item: u64) -> bool {
        self.try_push(item).is_ok()
    }

    fn pop(&self) -> Option<u64> {
        self.try_pop().ok()
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl Batches for BoundedQueue<u64> {
    fn push_many(&self, items: &mut Vec<u64>) -> usize {
        self.push_many(items).unwrap_or(0)
    }

    fn pop_many(&self, items: &mut Vec<u64>, count_max: usize) -> usize {
        self.pop_many(items, count_max).unwrap_or(0)
    }
}

impl traffic::Queue<u64> for ArrayQueue<u64> {
    fn push(&self, item: u64) -> bool {
        self.push(item).is_ok()
    }

    fn pop(&self) -> Option<u64> {
        self.pop()
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

impl traffic::Queue<u64> for ConcurrentQueue<u64> {
    fn push(&self, item: u64) -> bool {
        self.push(item).is_ok()
    }

    fn pop(&self) -> Option<u64> {
        self.pop().ok()
    }

    fn is_empty(&self) -> bool {
        self.is_empty()
    }
}

/// One by one against crossbeam's `ArrayQueue`, with so many producers and as many consumers.
pub(super) fn against_array_queue(producers: u64) -> Result<Pair> {
    let (ours, theirs) = (ours()?, Arc::new(ArrayQueue::new(CAPACITY)));
    Ok(pair(
        move || singly(&*ours, producers),
        move || singly(&*theirs, producers),
    ))
}

/// One by one against `ConcurrentQueue::bounded`, as above.
pub(super) fn against_concurrent_queue(producers: u64) -> Result<Pair> {
    let theirs = Arc::new(ConcurrentQueue::bounded(CAPACITY));
    let ours = ours()?;
    Ok(pair(
        move || singly(&*ours, producers),
        move || singly(&*theirs, producers),
    ))
}

/// In batches against crossbeam's `ArrayQueue` one by one.
pub(super) fn many(_: &Setup) -> Result<Pair> {
    let ours = ours()?;
    Ok(against_array_queue_singly(move || batchwise(&*ours)))
}

/// The unbounded queue in batches, against the same.
pub(super) fn many_unbounded() -> Pair {
    let ours = Arc::new(Queue::new());
    against_array_queue_singly(move || batchwise(&*ours))
}

fn against_array_queue_singly(subject: impl Fn() -> Result<()> + Clone + 'static) -> Pair {
    let theirs = Arc::new(ArrayQueue::new(CAPACITY));
    pair(subject, move || singly_placed(&*theirs))
}

fn ours() -> Result<Arc<BoundedQueue<u64>>> {
    Ok(Arc::new(BoundedQueue::new(CAPACITY)?))
}

/// Threads that send batches are done so soon that it depends on where they happened to begin how
/// long it takes, twofold and for seconds on end. So both ways to begin are taken in turn.
const PLACED: [Placement; 2] = [Placement::InPairs, Placement::Apart];

fn batchwise(queue: &impl Batches) -> Result<()> {
    placed(|producers, placement| in_batches(queue, producers, ITEMS, placement))
}

fn singly_placed(queue: &impl traffic::Queue<u64>) -> Result<()> {
    placed(|producers, placement| one_by_one(queue, producers, ITEMS, placement))
}

fn placed(run: impl Fn(u64, Placement) -> Result<()>) -> Result<()> {
    let mut runs = PLACED
        .into_iter()
        .flat_map(|placement| PRODUCERS.map(|count| (count, placement)));
    runs.try_for_each(|(producers, placement)| run(producers, placement))
}

fn singly(queue: &impl traffic::Queue<u64>, producers: u64) -> Result<()> {
    one_by_one(queue, producers, ITEMS, Placement::Free)
}
