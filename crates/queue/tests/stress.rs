//! Many threads: nothing lost, nothing twice, each producer's order kept.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::thread;

use common::{check_all, check_order, item};
use cortica_queue::BoundedQueue;

mod common;

/// Four producers fill a queue, then four consumers empty it: the case which a predecessor of
/// this queue failed.
#[test]
fn four_producers_then_four_consumers() {
    let queue = BoundedQueue::new(400).unwrap();
    thread::scope(|scope| {
        let producers = [0, 1, 2, 3].map(|producer| {
            let queue = &queue;
            scope.spawn(move || (0..100).for_each(|n| queue.try_push(item(producer, n)).unwrap()))
        });
        for producer in producers {
            producer.join().unwrap(); // Joined by hand, here and below, for ThreadSanitizer's sake.
        }
    });
    assert_eq!(queue.len(), 400);
    let received = thread::scope(|scope| {
        let drain = || std::iter::from_fn(|| queue.try_pop().ok()).collect::<Vec<u64>>();
        let consumers: Vec<_> = (0..4).map(|_| scope.spawn(drain)).collect();
        let received = consumers
            .into_iter()
            .map(|consumer| consumer.join().unwrap());
        received
            .inspect(|received| check_order(received, 4))
            .flatten()
            .collect()
    });
    assert_eq!(queue.len(), 0);
    check_all(received, 4, 100);
}

/// A queue, and how many items were on the way in at most and are out at least.
struct Watched {
    queue: BoundedQueue<u64>,
    pushing: AtomicUsize,
    popped: AtomicUsize,
}

impl Watched {
    /// `len` never says more than can have been inside: were it to wrap around below zero, it
    /// would say that the queue is full.
    fn check_len(&self) {
        let popped = self.popped.load(SeqCst);
        let len = self.queue.len();
        let inside_max = self.pushing.load(SeqCst) - popped;
        assert!(len <= inside_max, "{len} > {inside_max}");
        assert!(len <= self.queue.capacity());
    }
}

type Produce = fn(&Watched, u64, u64);
type Consume = fn(&Watched) -> Vec<u64>;

fn one_by_one(to: &Watched, producer: u64, items: u64) {
    for number in 0..items {
        to.pushing.fetch_add(1, SeqCst);
        to.queue.push(item(producer, number)).unwrap();
    }
}

fn in_batches(to: &Watched, producer: u64, items: u64) {
    let mut left: Vec<u64> = Vec::new();
    for number in 0..items {
        to.pushing.fetch_add(1, SeqCst);
        left.push(item(producer, number));
        while left.len() == 17 || (number + 1 == items && !left.is_empty()) {
            if to.queue.push_many(&mut left).unwrap() == 0 {
                thread::yield_now();
            }
        }
    }
}

fn until_closed(from: &Watched) -> Vec<u64> {
    let popped = |_: &u64| _ = from.popped.fetch_add(1, SeqCst);
    std::iter::from_fn(|| from.queue.pop())
        .inspect(popped)
        .collect()
}

fn batches_until_closed(from: &Watched) -> Vec<u64> {
    let mut received = Vec::new();
    while let Ok(count) = from.queue.pop_many(&mut received, 23) {
        from.popped.fetch_add(count, SeqCst);
        if count == 0 {
            thread::yield_now();
        }
    }
    received
}

/// Eight threads; meanwhile a ninth looks at the length. Closing ends the consumers.
#[track_caller]
fn check(capacity: usize, items: u64, produce: [Produce; 4], consume: [Consume; 4]) {
    let watched = Watched {
        queue: BoundedQueue::new(capacity).unwrap(),
        pushing: AtomicUsize::new(0),
        popped: AtomicUsize::new(0),
    };
    let over = AtomicBool::new(false);
    let received = thread::scope(|scope| {
        let watched = &watched;
        let looker = scope.spawn(|| {
            while !over.load(Relaxed) {
                watched.check_len();
                thread::yield_now();
            }
        });
        let consumers = consume.map(|consume| scope.spawn(move || consume(watched)));
        let mut number = 0;
        let producers = produce.map(|produce| {
            let producer = number;
            number += 1;
            scope.spawn(move || produce(watched, producer, items))
        });
        for producer in producers {
            producer.join().unwrap();
        }
        watched.queue.close();
        let received = consumers.map(|consumer| consumer.join().unwrap());
        over.store(true, Relaxed);
        looker.join().unwrap();
        received
    });
    for received in &received {
        check_order(received, 4);
    }
    check_all(received.concat(), 4, items);
    assert_eq!(watched.queue.len(), 0);
}

#[test]
fn eight_threads_one_by_one() {
    check(1024, 20_000, [one_by_one; 4], [until_closed; 4]);
}

#[test]
fn eight_threads_on_one_place() {
    check(1, 3_000, [one_by_one; 4], [until_closed; 4]);
}

#[test]
fn eight_threads_on_three_places() {
    check(3, 5_000, [one_by_one; 4], [until_closed; 4]);
}

#[test]
fn eight_threads_in_batches() {
    check(64, 20_000, [in_batches; 4], [batches_until_closed; 4]);
}

#[test]
fn eight_threads_of_both_kinds() {
    check(
        50,
        10_000,
        [one_by_one, in_batches, one_by_one, in_batches],
        [
            until_closed,
            batches_until_closed,
            until_closed,
            batches_until_closed,
        ],
    );
}

/// Whatever is pushed by force comes out as displaced or as popped, once, in order.
#[test]
fn displaced_or_popped() {
    const ITEMS: u64 = 20_000;
    let queue = BoundedQueue::new(7).unwrap();
    let all = thread::scope(|scope| {
        let queue = &queue;
        let producers: Vec<_> = (0..4)
            .map(|producer| {
                scope.spawn(move || {
                    let push = |number| queue.force_push(item(producer, number)).unwrap();
                    (0..ITEMS).filter_map(push).collect::<Vec<u64>>()
                })
            })
            .collect();
        let until_closed = move || std::iter::from_fn(|| queue.pop()).collect::<Vec<u64>>();
        let consumers: Vec<_> = (0..4).map(|_| scope.spawn(until_closed)).collect();
        let displaced: Vec<_> = producers.into_iter().map(|p| p.join().unwrap()).collect();
        queue.close();
        let popped = consumers.into_iter().map(|c| c.join().unwrap());
        displaced.into_iter().chain(popped).collect::<Vec<_>>()
    });
    for received in &all {
        check_order(received, 4);
    }
    check_all(all.concat(), 4, ITEMS);
}

/// Of two threads which each push to one queue and then look into the other, one sees an item.
/// Loom cannot explore the axiom behind it (one total order of `SeqCst` accesses); the processor
/// is asked instead.
#[test]
fn two_queues_agree_on_an_order() {
    let queues = [(); 2].map(|()| BoundedQueue::new(1).unwrap());
    common::cross(
        |me, round| queues[me].try_push(round).unwrap(),
        |me| queues[me].try_pop().is_ok(),
    );
}
