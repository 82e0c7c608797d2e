//! Items through queues, from threads to threads: the harness of every gate about queues.

use std::hint::spin_loop;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::stopwatch::Stopwatch;
use crate::subject::{Pair, Run, in_parallel};

/// What of a queue is measured: whether `item` went in, and an item that came out.
pub(super) trait Queue<T>: Send + Sync + 'static {
    fn push(&self, item: T) -> bool;
    fn pop(&self) -> Option<T>;
    fn is_empty(&self) -> bool;
}

/// A queue that takes and gives several items at a time; how many.
pub(super) trait Batches: Queue<u64> {
    fn push_many(&self, items: &mut Vec<u64>) -> usize;
    fn pop_many(&self, items: &mut Vec<u64>, count_max: usize) -> usize;
}

/// Items in a batch.
const BATCH: usize = 32;

/// What goes through a queue: a number, and perhaps some more.
pub(super) trait Item: Send + 'static {
    fn new(number: u64) -> Self;
    fn number(&self) -> u64;
}

impl Item for u64 {
    fn new(number: u64) -> u64 {
        number
    }

    fn number(&self) -> u64 {
        *self
    }
}

/// 128 bytes.
impl Item for [u64; 16] {
    fn new(number: u64) -> [u64; 16] {
        [number; 16]
    }

    fn number(&self) -> u64 {
        self[15]
    }
}

/// Two ways to do the same; each checks what arrived in every run.
pub(super) fn pair(
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

/// Where the threads of a run are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placement {
    /// Wherever the system puts them.
    Free,
    /// Each producer and one consumer on the same processor, the next two on the next: they take
    /// turns.
    InPairs,
    /// Producers and consumers apart, by turns on every other processor: all items cross.
    Apart,
}

/// Sends `items` numbers through `queue` from as many producers to as many consumers.
pub(super) fn one_by_one<T: Item>(
    queue: &impl Queue<T>,
    producers: u64,
    items: u64,
    placement: Placement,
) -> Result<()> {
    let produce = |numbers: Range<u64>| {
        let mut waited = 0;
        for number in numbers {
            while !queue.push(T::new(number)) {
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
                    break item.number();
                }
                wait(&mut waited);
            };
        }
        sum
    };
    transfer(producers, items, placement, produce, consume)?;
    ensure!(queue.is_empty(), "items are left over");
    Ok(())
}

/// As [`one_by_one`], in batches.
pub(super) fn in_batches(
    queue: &impl Batches,
    producers: u64,
    items: u64,
    placement: Placement,
) -> Result<()> {
    let produce = |numbers: Range<u64>| {
        let mut batch = Vec::with_capacity(BATCH);
        let (mut next, mut waited) = (numbers.start, 0);
        while next < numbers.end {
            batch.extend(next..next + BATCH as u64);
            next += BATCH as u64;
            while !batch.is_empty() {
                match queue.push_many(&mut batch) {
                    0 => wait(&mut waited),
                    _ => waited = 0,
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
                0 => wait(&mut waited),
                taken => {
                    waited = 0;
                    left -= taken as u64;
                    sum += batch.drain(..).sum::<u64>();
                }
            }
        }
        sum
    };
    transfer(producers, items, placement, produce, consume)?;
    ensure!(queue.is_empty(), "items are left over");
    Ok(())
}

/// As [`one_by_one`], but it looks at the clock around every push and every pop that succeeds:
/// the 99th percentile of all of them together, and how many there were.
pub(super) fn latency_p99<T: Item>(
    queue: &impl Queue<T>,
    producers: u64,
    items: u64,
) -> Result<(Duration, usize)> {
    let pooled = Mutex::new(Vec::with_capacity(2 * items as usize));
    let pool = |mut latencies: Vec<Duration>| {
        let mut pooled = pooled.lock().unwrap_or_else(PoisonError::into_inner);
        pooled.append(&mut latencies);
    };
    let produce = |numbers: Range<u64>| {
        let mut latencies = Vec::with_capacity((numbers.end - numbers.start) as usize);
        let mut waited = 0;
        for number in numbers {
            loop {
                let start = Instant::now();
                if queue.push(T::new(number)) {
                    latencies.push(start.elapsed());
                    break;
                }
                wait(&mut waited);
            }
        }
        pool(latencies);
    };
    let consume = |count: u64| {
        let mut latencies = Vec::with_capacity(count as usize);
        let (mut sum, mut waited) = (0, 0);
        while (latencies.len() as u64) < count {
            let start = Instant::now();
            if let Some(item) = queue.pop() {
                latencies.push(start.elapsed());
                sum += item.number();
                waited = 0;
            } else {
                wait(&mut waited);
            }
        }
        pool(latencies);
        sum
    };
    transfer(producers, items, Placement::Free, produce, consume)?;
    let mut pooled = pooled.into_inner().unwrap_or_else(PoisonError::into_inner);
    let at = pooled.len() * 99 / 100;
    ensure!(
        pooled.len() as u64 == 2 * items,
        "not every operation was timed"
    );
    let (_, p99, _) = pooled.select_nth_unstable(at);
    Ok((*p99, pooled.len()))
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

/// Lets producers make the numbers up to `items` and as many consumers take them, and checks
/// their sum.
fn transfer(
    producers: u64,
    items: u64,
    placement: Placement,
    produce: impl Fn(Range<u64>) + Sync,
    consume: impl Fn(u64) -> u64 + Sync,
) -> Result<()> {
    let sum = AtomicU64::new(0);
    let share = items / producers;
    ensure!(share * producers == items, "the items cannot be shared out");
    let threads = usize::try_from(2 * producers).context("too many threads")?;
    in_parallel(threads, 1.0, |thread| {
        let number = thread as u64 / 2;
        match placement {
            Placement::Free => {}
            Placement::InPairs => stay_on_processor(thread / 2),
            Placement::Apart => stay_on_processor(thread % 2),
        }
        if thread % 2 == 0 {
            produce(number * share..(number + 1) * share);
        } else {
            sum.fetch_add(consume(share), Relaxed);
        }
        Ok(())
    })?;
    let sum = sum.load(Relaxed);
    ensure!(sum == items * (items - 1) / 2, "items add up to {sum}");
    Ok(())
}

/// Keeps the calling thread on one of the processors that it may run on, in turn.
#[cfg(target_os = "linux")]
fn stay_on_processor(number: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let Ok(allowed) = sched_getaffinity(None) else {
        return; // It stays where it is put: the figures are noisier, and no other.
    };
    let mut allowed_ones = (0..CpuSet::MAX_CPU).filter(|&one| allowed.is_set(one));
    let count = (allowed.count() as usize).max(1);
    if let Some(one) = allowed_ones.nth(number % count) {
        let mut only = CpuSet::new();
        only.set(one);
        let _ = sched_setaffinity(None, &only); // As above.
    }
}

#[cfg(not(target_os = "linux"))]
fn stay_on_processor(_: usize) {}
