//! The unbounded queue: like a deque alone, and among threads nothing lost, nothing twice, each
//! producer's order kept.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

use common::{check_all, check_order, counted, item};
use cortica_queue::Queue;
use proptest::prelude::*;

mod common;

/// More than a segment holds, whatever the items are.
const MANY: usize = 5_000;

#[derive(Clone, Debug)]
enum Op {
    Push,
    Pop,
    PushMany(usize),
    PopMany(usize),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    // Up to twice what a segment holds, so that batches begin segments, seal them and have their own.
    let op = prop_oneof![
        3 => Just(Op::Push),
        3 => Just(Op::Pop),
        3 => (0..40_usize).prop_map(Op::PushMany),
        3 => (0..40_usize).prop_map(Op::PopMany),
        1 => (0..2_100_usize).prop_map(Op::PushMany),
        1 => (0..2_100_usize).prop_map(Op::PopMany),
    ];
    proptest::collection::vec(op, 0..200)
}

proptest! {
    /// Alone, every answer of every operation is that of a `VecDeque`; but `pop_many` may take
    /// fewer than there are.
    #[test]
    fn like_a_deque(ops in ops()) {
        let queue = Queue::new();
        let (mut model, mut next) = (VecDeque::new(), 0_usize);
        for op in ops {
            match op {
                Op::Push => {
                    queue.push(next);
                    model.push_back(next);
                    next += 1;
                }
                Op::Pop => prop_assert_eq!(queue.pop(), model.pop_front()),
                Op::PushMany(count) => {
                    let mut items: Vec<_> = (next..next + count).collect();
                    next += count;
                    model.extend(&items);
                    queue.push_many(&mut items);
                    prop_assert!(items.is_empty());
                }
                Op::PopMany(count_max) => {
                    let mut items = vec![usize::MAX];
                    let count = queue.pop_many(&mut items, count_max);
                    prop_assert!(count <= count_max);
                    prop_assert_eq!(count == 0, count_max == 0 || model.is_empty());
                    prop_assert_eq!(items.len(), 1 + count);
                    prop_assert!(items.into_iter().skip(1).eq(model.drain(..count)));
                }
            }
            prop_assert_eq!(queue.len(), model.len());
            prop_assert_eq!(queue.is_empty(), model.is_empty());
        }
        prop_assert!(std::iter::from_fn(|| queue.pop()).eq(model));
    }
}

/// Four producers fill a queue, then four consumers empty it: the case which a predecessor of
/// this queue failed.
#[test]
fn four_producers_then_four_consumers() {
    let queue = Queue::new();
    thread::scope(|scope| {
        let producers = [0, 1, 2, 3].map(|producer| {
            let queue = &queue;
            scope.spawn(move || (0..100).for_each(|n| queue.push(item(producer, n))))
        });
        for producer in producers {
            producer.join().unwrap(); // Joined by hand, here and below, for ThreadSanitizer's sake.
        }
    });
    assert_eq!(queue.len(), 400);
    let received = thread::scope(|scope| {
        let drain = || std::iter::from_fn(|| queue.pop()).collect::<Vec<u64>>();
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

type Produce = fn(&Queue<u64>, u64, u64);
type Consume = fn(&Queue<u64>, &mut Vec<u64>) -> usize;

fn one_by_one(queue: &Queue<u64>, producer: u64, items: u64) {
    (0..items).for_each(|number| queue.push(item(producer, number)));
}

/// In batches of all sizes up to one that no segment holds.
fn in_batches(queue: &Queue<u64>, producer: u64, items: u64) {
    let (mut number, mut size) = (0, 1);
    while number < items {
        let end = items.min(number + size);
        queue.push_many(&mut (number..end).map(|n| item(producer, n)).collect());
        number = end;
        size = if size > MANY as u64 { 1 } else { size * 3 };
    }
}

fn one(queue: &Queue<u64>, received: &mut Vec<u64>) -> usize {
    let item = queue.pop();
    received.extend(item);
    usize::from(item.is_some())
}

fn many(queue: &Queue<u64>, received: &mut Vec<u64>) -> usize {
    queue.pop_many(received, 23)
}

/// Eight threads; meanwhile a ninth looks at the length.
#[track_caller]
fn check(items: u64, produce: [Produce; 4], consume: [Consume; 4]) {
    let queue = Queue::new();
    let (produced, over) = (AtomicBool::new(false), AtomicBool::new(false));
    let received = thread::scope(|scope| {
        let (queue, produced, over) = (&queue, &produced, &over);
        let looker = scope.spawn(move || {
            while !over.load(Relaxed) {
                assert!(queue.len() as u64 <= 4 * items);
                thread::yield_now();
            }
        });
        let consumers = consume.map(|consume| {
            scope.spawn(move || {
                let mut received = Vec::new();
                loop {
                    let was_last = produced.load(Relaxed);
                    if consume(queue, &mut received) > 0 {
                        continue;
                    }
                    if was_last {
                        return received;
                    }
                    thread::yield_now();
                }
            })
        });
        let mut number = 0;
        let producers = produce.map(|produce| {
            let producer = number;
            number += 1;
            scope.spawn(move || produce(queue, producer, items))
        });
        for producer in producers {
            producer.join().unwrap();
        }
        produced.store(true, Relaxed);
        let received = consumers.map(|consumer| consumer.join().unwrap());
        over.store(true, Relaxed);
        looker.join().unwrap();
        received
    });
    for received in &received {
        check_order(received, 4);
    }
    check_all(received.concat(), 4, items);
    assert_eq!(queue.len(), 0);
}

#[test]
fn eight_threads_one_by_one() {
    check(40_000, [one_by_one; 4], [one; 4]);
}

#[test]
fn eight_threads_in_batches() {
    check(80_000, [in_batches; 4], [many; 4]);
}

#[test]
fn eight_threads_of_both_kinds() {
    check(
        40_000,
        [one_by_one, in_batches, one_by_one, in_batches],
        [one, many, one, many],
    );
}

/// A batch stays together: between its items there are none of others.
#[test]
fn batches_are_not_torn() {
    let queue = Queue::new();
    thread::scope(|scope| {
        for producer in 0..4 {
            let queue = &queue;
            scope.spawn(move || {
                for batch in 0..500 {
                    let size = 1 + (batch * 7 + producer) % 400;
                    queue.push_many(&mut (0..size).map(|n| (producer, batch, n, size)).collect());
                }
            });
        }
    });
    let mut batches = 0;
    while let Some((producer, batch, first, size)) = queue.pop() {
        assert_eq!(first, 0, "the rest of a torn batch");
        for number in 1..size {
            assert_eq!(queue.pop(), Some((producer, batch, number, size)));
        }
        batches += 1;
    }
    assert_eq!((batches, queue.len()), (4 * 500, 0));
}

/// Threads come and go while items pass.
#[test]
fn threads_come_and_go() {
    let queue = Queue::new();
    let mut next = 0;
    for round in 0..200_u64 {
        thread::scope(|scope| {
            let pusher = || (0..30).for_each(|n| queue.push(round * 30 + n));
            // Joined by hand: ThreadSanitizer does not see that a scope waits.
            scope.spawn(pusher).join().unwrap();
        });
        let taken = thread::scope(|scope| {
            let taker = || (0..29).map(|_| queue.pop().unwrap()).collect::<Vec<_>>();
            scope.spawn(taker).join().unwrap()
        });
        assert!(taken.into_iter().eq(next..next + 29));
        next += 29;
    }
    assert_eq!(queue.len(), 200);
}

/// Each thread takes from one queue and puts into the next, all the way round, at more queues than a
/// thread remembers being at; nothing is lost and nothing is overtaken.
#[test]
fn items_go_round_many_queues() {
    const QUEUES: usize = 7;
    const ITEMS: u64 = 3_000;
    let queues: [Queue<u64>; QUEUES] = std::array::from_fn(|_| Queue::new());
    let last = QUEUES - 1;
    thread::scope(|threads| {
        threads.spawn(|| (0..ITEMS).for_each(|item| queues[0].push(item)));
        // One hop a thread, so that order is kept; each looks at all other queues on the way.
        for hop in 0..last {
            let queues = &queues;
            threads.spawn(move || {
                for _ in 0..ITEMS {
                    let item = std::iter::repeat_with(|| queues[hop].pop())
                        .inspect(|item| {
                            if item.is_none() {
                                thread::yield_now();
                            }
                        })
                        .find_map(|item| item);
                    assert!(
                        queues.iter().map(Queue::len).sum::<usize>() <= QUEUES * ITEMS as usize
                    );
                    queues[hop + 1].push(item.unwrap());
                }
            });
        }
    });
    let arrived: Vec<_> = std::iter::from_fn(|| queues[last].pop()).collect();
    assert_eq!(arrived, (0..ITEMS).collect::<Vec<_>>());
    assert!(queues.iter().all(Queue::is_empty));
}

#[test]
fn a_full_queue_frees_every_item() {
    for count in [0, 1, 1_023, 1_024, 1_025, MANY] {
        let drops = Arc::new(AtomicUsize::new(0));
        let queue = Queue::new();
        for _ in 0..count {
            queue.push(counted(&drops));
        }
        queue.push_many(&mut (0..count).map(|_| counted(&drops)).collect());
        for _ in 0..count / 2 {
            queue.pop().unwrap();
        }
        assert_eq!(drops.load(Relaxed), count / 2);
        drop(queue);
        assert_eq!(drops.load(Relaxed), 2 * count);
    }
}

#[test]
fn an_item_that_panics_does_not_keep_the_others() {
    let drops = Arc::default();
    let queue = Queue::new();
    for number in 0..MANY {
        let mut item = counted(&drops);
        item.panics = number == 3;
        queue.push(item);
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(queue))).is_err());
    assert_eq!(drops.load(Relaxed), MANY);
}

/// Items go in and out from four threads; the queue is dropped with some of them inside.
#[test]
fn shared_items_are_freed_once() {
    let drops = Arc::default();
    let queue = Queue::new();
    thread::scope(|scope| {
        let workers = [true, true, false, false].map(|pushes| {
            let (queue, drops) = (&queue, &drops);
            scope.spawn(move || {
                for _ in 0..MANY {
                    if pushes {
                        queue.push(counted(drops));
                    } else {
                        drop(queue.pop());
                    }
                }
            })
        });
        for worker in workers {
            worker.join().unwrap(); // By hand, for ThreadSanitizer's sake.
        }
    });
    assert_eq!(drops.load(Relaxed) + queue.len(), 2 * MANY);
    drop(queue);
    assert_eq!(drops.load(Relaxed), 2 * MANY);
}

#[test]
fn items_without_size() {
    let queue = Queue::new();
    queue.push_many(&mut vec![(); MANY]);
    queue.push(());
    assert_eq!((queue.len(), queue.pop()), (MANY + 1, Some(())));
    let mut items = Vec::new();
    while queue.pop_many(&mut items, usize::MAX) > 0 {}
    assert_eq!((items.len(), queue.len()), (MANY, 0));
}

#[test]
fn items_of_4_kb() {
    let item = |number: usize| -> [u8; 4096] { std::array::from_fn(|i| (i * 7 + number) as u8) };
    let queue = Queue::new();
    thread::scope(|scope| {
        let pusher = scope.spawn(|| (0..500).for_each(|number| queue.push(item(number))));
        for number in 0..500 {
            let popped = loop {
                match queue.pop() {
                    Some(popped) => break popped,
                    None => thread::yield_now(),
                }
            };
            assert!(popped == item(number), "{number}");
        }
        pusher.join().unwrap();
    });
}

/// Items may borrow: what is left of a queue that is gone holds none of them.
#[test]
fn items_may_borrow() {
    let texts: Vec<String> = (0..MANY).map(|number| number.to_string()).collect();
    let queue = Queue::new();
    for text in &texts {
        queue.push(text.as_str());
    }
    let back: Vec<&str> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!(back, texts);
    drop(queue);
    drop(texts);
}

/// Of two threads which each push to one queue and then look into the other, one sees an item.
/// Loom cannot explore the axiom behind it (one total order of `SeqCst` accesses); the processor
/// is asked instead.
#[test]
fn two_queues_agree_on_an_order() {
    let queues = [(); 2].map(|()| Queue::new());
    common::cross(
        |me, round| queues[me].push(round),
        |me| queues[me].pop().is_some(),
    );
}

/// One thread at a thousand queues in turn finds its way in each, and loses nothing.
#[test]
fn a_thousand_queues_on_one_thread() {
    let queues: Vec<_> = (0..1_000).map(|_| Queue::new()).collect();
    for round in 0..3 {
        for (number, queue) in queues.iter().enumerate() {
            queue.push((round, number));
            queue.push_many(&mut vec![(round, number + 1)]);
        }
        for (number, queue) in queues.iter().enumerate().rev() {
            assert_eq!(queue.pop(), Some((round, number)));
            assert_eq!(queue.pop(), Some((round, number + 1)));
            assert_eq!(queue.pop(), None);
        }
    }
}
