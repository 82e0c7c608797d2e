//! Bounded queues between threads, against crossbeam's and concurrent-queue's.
//!
//! One run moves [`ITEMS`] numbers through a queue of [`CAPACITY`] twice: with two producers and two
//! consumers, then with four of each. A thread that finds the queue full or empty yields.

use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::{Result, ensure};
use concurrent_queue::ConcurrentQueue;
use cortica_queue::BoundedQueue;
use crossbeam_queue::ArrayQueue;

use crate::stopwatch::Stopwatch;
use crate::subject::{Pair, Run, Setup, in_parallel};

const CAPACITY: usize = 1024;

/// Producers, and as many consumers.
const PRODUCERS: [u64; 2] = [2, 4];

/// Divisible by every number of producers times [`BATCH`].
const ITEMS: u64 = 1 << 19;

/// Items handed over at a time by `queue.many`.
const BATCH: usize = 32;

/// What of a queue is measured: whether `item` went in, and an item that came out.
trait Queue: Send + Sync + 'static {
    fn push(&self, item: u64) -> bool;
    fn pop(&self) -> Option<u64>;
    fn is_empty(&self) -> bool;
}

impl Queue for BoundedQueue<u64> {
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

impl Queue for ArrayQueue<u64> {
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

impl Queue for ConcurrentQueue<u64> {
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

/// One by one against crossbeam's `ArrayQueue`.
pub(super) fn against_array_queue(_: &Setup) -> Result<Pair> {
    let (ours, theirs) = (ours()?, Arc::new(ArrayQueue::new(CAPACITY)));
    Ok(pair(
        move || one_by_one(&*ours),
        move || one_by_one(&*theirs),
    ))
}

/// One by one against `ConcurrentQueue::bounded`.
pub(super) fn against_concurrent_queue(_: &Setup) -> Result<Pair> {
    let theirs = Arc::new(ConcurrentQueue::bounded(CAPACITY));
    let ours = ours()?;
    Ok(pair(
        move || one_by_one(&*ours),
        move || one_by_one(&*theirs),
    ))
}

/// In batches against crossbeam's `ArrayQueue` one by one.
pub(super) fn many_against_array_queue(_: &Setup) -> Result<Pair> {
    let (ours, theirs) = (ours()?, Arc::new(ArrayQueue::new(CAPACITY)));
    Ok(pair(
        move || in_batches(&ours),
        move || one_by_one(&*theirs),
    ))
}

fn ours() -> Result<Arc<BoundedQueue<u64>>> {
    Ok(Arc::new(BoundedQueue::new(CAPACITY)?))
}

/// Both sides check what arrived in every run.
fn pair(
    subject: impl Fn() -> Result<()> + Clone + 'static,
    baseline: impl Fn() -> Result<()> + Clone + 'static,
) -> Pair {
    let (ours, theirs) = (subject.clone(), baseline.clone());
    Pair {
        check: Box::new(move || ours().and_then(|()| theirs())),
        subject: run(subject),
        baseline: run(baseline),
    }
}

fn run(work: impl Fn() -> Result<()> + 'static) -> Run {
    Box::new(move |watch: &mut Stopwatch| watch.time(&work))
}

fn one_by_one<Q: Queue>(queue: &Q) -> Result<()> {
    let produce = |items: std::ops::Range<u64>| {
        for item in items {
            let mut waited = 0;
            while !queue.push(item) {
                wait(&mut waited);
            }
        }
    };
    let consume = |count: u64| {
        let (mut sum, mut waited) = (0, 0);
        for _ in 0..count {
            sum += loop {
                if let Some(item) = queue.pop() {
                    waited = 0;
                    break item;
                }
                wait(&mut waited);
            };
        }
        sum
    };
    transfer(produce, consume)?;
    ensure!(queue.is_empty(), "items are left over");
    Ok(())
}

fn in_batches(queue: &BoundedQueue<u64>) -> Result<()> {
    let produce = |items: std::ops::Range<u64>| {
        let mut batch = Vec::with_capacity(BATCH);
        let (mut next, mut waited) = (items.start, 0);
        while next < items.end {
            batch.extend(next..next + BATCH as u64);
            next += BATCH as u64;
            while !batch.is_empty() {
                match queue.push_many(&mut batch) {
                    Ok(0) | Err(_) => wait(&mut waited),
                    Ok(_) => waited = 0,
                }
            }
        }
    };
    let consume = |count: u64| {
        let mut batch = Vec::with_capacity(BATCH);
        let (mut sum, mut left, mut waited) = (0, count, 0);
        while left > 0 {
            let most = BATCH.min(left as usize);
            match queue.pop_many(&mut batch, most) {
                Ok(0) | Err(_) => wait(&mut waited),
                Ok(taken) => {
                    waited = 0;
                    left -= taken as u64;
                    sum += batch.drain(..).sum::<u64>();
                }
            }
        }
        sum
    };
    transfer(produce, consume)?;
    ensure!(queue.is_empty(), "items are left over");
    Ok(())
}

/// Some pauses, then a yield: the thread that is waited for may need this processor.
fn wait(waited: &mut u32) {
    *waited += 1;
    if waited.is_multiple_of(16) {
        std::thread::yield_now();
    } else {
        spin_loop();
    }
}

/// Lets producers make all items and consumers take them, and checks their sum.
fn transfer(
    produce: impl Fn(std::ops::Range<u64>) + Sync,
    consume: impl Fn(u64) -> u64 + Sync,
) -> Result<()> {
    for producers in PRODUCERS {
        let sum = AtomicU64::new(0);
        let share = ITEMS / producers;
        in_parallel(2 * producers as usize, 1.0, |thread| {
            let number = thread as u64 / 2;
            if thread % 2 == 0 {
                produce(number * share..(number + 1) * share);
            } else {
                sum.fetch_add(consume(share), Relaxed);
            }
            Ok(())
        })?;
        let sum = sum.load(Relaxed);
        ensure!(sum == ITEMS * (ITEMS - 1) / 2, "items add up to {sum}");
    }
    Ok(())
}
