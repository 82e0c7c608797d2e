//! `list::MsQueue` under every strategy of reclamation: like a deque alone, and among threads
//! nothing lost, nothing twice, each producer's order kept.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::thread;

use common::{check_all, check_order, counted, item};
use cortica_queue::list::MsQueue;
use cortica_reclaim::{Epoch, Protect, PublishOnPing, Reclaim};
use proptest::collection::vec;
use proptest::prelude::*;

mod common;

/// Every check under every strategy.
macro_rules! under {
    ($($strategy:ident: $domain:expr, $checks:tt;)*) => { $( under! { @ $strategy $domain, $checks } )* };
    (@ $strategy:ident $domain:expr, [$($check:ident)*]) => {
        mod $strategy {
            use super::*;
            $( #[test] fn $check() { super::$check(&$domain); } )*
        }
    };
}

macro_rules! checks {
    ($($check:tt)*) => {
        under! {
            pings: PublishOnPing::new(), [$($check)*];
            fences_and_frees_at_once: PublishOnPing::fenced().with_batch(1), [$($check)*];
            epochs: Epoch::new(), [$($check)*];
        }
    };
}

checks! {
    four_producers_then_four_consumers
    eight_threads
    len_is_exact_when_nobody_is_at_work
    threads_come_and_go
    a_full_queue_frees_every_item
    an_item_that_panics_does_not_keep_the_others
    shared_items_are_freed_once
    items_may_borrow_what_is_gone_before_the_domain
    items_without_size
    items_of_4_kb
    two_queues_agree_on_an_order
}

fn queue<T, R: Reclaim>(domain: &R) -> MsQueue<T, R> {
    MsQueue::with_domain(domain.clone())
}

fn drain<T, R: Reclaim>(queue: &MsQueue<T, R>) -> Vec<T> {
    std::iter::from_fn(|| queue.pop()).collect()
}

/// Four producers fill a queue, then four consumers empty it: the case which a predecessor of
/// this queue failed.
fn four_producers_then_four_consumers(domain: &impl Reclaim) {
    let queue = queue(domain);
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
        let consumers = [(); 4].map(|()| scope.spawn(|| drain(&queue)));
        consumers.map(|consumer| consumer.join().unwrap())
    });
    for received in &received {
        check_order(received, 4);
    }
    assert_eq!(queue.len(), 0);
    check_all(received.concat(), 4, 100);
}

/// Eight threads; meanwhile a ninth looks at the length: never more than can have been inside.
fn eight_threads(domain: &impl Reclaim) {
    const ITEMS: u64 = 10_000;
    let queue = queue(domain);
    let [pushing, popped] = [const { AtomicUsize::new(0) }; 2];
    let over = AtomicBool::new(false);
    let received = thread::scope(|scope| {
        let (queue, pushing, popped) = (&queue, &pushing, &popped);
        let looker = scope.spawn(|| {
            while !over.load(Relaxed) {
                let popped = popped.load(SeqCst);
                let len = queue.len();
                let inside_max = pushing.load(SeqCst) - popped;
                assert!(len <= inside_max, "{len} > {inside_max}");
                thread::yield_now();
            }
        });
        let consumers = [(); 4].map(|()| {
            scope.spawn(move || {
                let mut received = Vec::new();
                while popped.load(SeqCst) < 4 * ITEMS as usize {
                    match queue.pop() {
                        Some(item) => {
                            popped.fetch_add(1, SeqCst);
                            received.push(item);
                        }
                        None => thread::yield_now(),
                    }
                }
                received
            })
        });
        let producers = [0, 1, 2, 3].map(|producer| {
            scope.spawn(move || {
                for number in 0..ITEMS {
                    pushing.fetch_add(1, SeqCst);
                    queue.push(item(producer, number));
                }
            })
        });
        for producer in producers {
            producer.join().unwrap();
        }
        let received = consumers.map(|consumer| consumer.join().unwrap());
        over.store(true, Relaxed);
        looker.join().unwrap();
        received
    });
    for received in &received {
        check_order(received, 4);
    }
    check_all(received.concat(), 4, ITEMS);
    assert!(queue.is_empty());
}

fn len_is_exact_when_nobody_is_at_work(domain: &impl Reclaim) {
    let queue = queue(domain);
    let mut want = 0;
    for round in 0..50 {
        let popped: usize = thread::scope(|scope| {
            let workers = [3, 5, 7].map(|step| {
                let queue = &queue;
                scope.spawn(move || {
                    let mut popped = 0;
                    for number in 0..20 {
                        queue.push(number);
                        if number % step == round % step {
                            popped += usize::from(queue.pop().is_some());
                        }
                    }
                    popped
                })
            });
            workers.map(|worker| worker.join().unwrap()).iter().sum()
        });
        want += 3 * 20 - popped;
        assert_eq!(queue.len(), want, "round {round}");
    }
    assert_eq!(drain(&queue).len(), want);
    assert!(queue.is_empty());
}

/// Threads end with nodes they retired; others go on with their slots.
fn threads_come_and_go(domain: &impl Reclaim) {
    const EACH: usize = 20;
    let queue = queue(domain);
    for round in 1..=100 {
        thread::scope(|scope| {
            let workers = [(); 4].map(|()| {
                scope.spawn(|| {
                    (0..EACH).for_each(|number| queue.push(number));
                    (0..EACH).for_each(|_| assert!(queue.pop().is_some())); // As many are inside.
                })
            });
            for worker in workers {
                worker.join().unwrap();
            }
        });
        let retired = queue.domain().stats().retired;
        assert_eq!((retired, queue.len()), (4 * EACH as u64 * round, 0));
    }
    let stats = queue.domain().stats();
    assert_eq!(stats.panicked, 0);
    assert!(stats.freed > 0, "{stats:?}");
}

fn a_full_queue_frees_every_item(domain: &impl Reclaim) {
    for (pushed, popped) in [(0, 0), (1, 0), (1, 1), (100, 0), (100, 40)] {
        let drops = Arc::default();
        let queue = queue(domain);
        (0..pushed).for_each(|_| queue.push(counted(&drops)));
        (0..popped).for_each(|_| drop(queue.pop().unwrap()));
        assert_eq!(drops.load(Relaxed), popped);
        drop(queue);
        assert_eq!(drops.load(Relaxed), pushed);
    }
}

fn an_item_that_panics_does_not_keep_the_others(domain: &impl Reclaim) {
    let drops = Arc::default();
    let queue = queue(domain);
    for number in 0..8 {
        let mut item = counted(&drops);
        item.panics = number == 3 || number == 5;
        queue.push(item);
    }
    let pop = || (0..4).for_each(|_| drop(queue.pop())); // One in the caller's hands.
    assert!(catch_unwind(AssertUnwindSafe(pop)).is_err());
    assert_eq!((drops.load(Relaxed), queue.len()), (4, 4));
    assert!(catch_unwind(AssertUnwindSafe(|| drop(queue))).is_err()); // The other in the queue's.
    assert_eq!(drops.load(Relaxed), 8);
}

/// Items go in and out from four threads; the queue is dropped with some of them inside.
fn shared_items_are_freed_once(domain: &impl Reclaim) {
    const ITEMS: usize = 2_000;
    let drops = Arc::default();
    let queue = queue(domain);
    thread::scope(|scope| {
        let workers = [true, true, false, false].map(|pushes| {
            let (queue, drops) = (&queue, &drops);
            scope.spawn(move || {
                for _ in 0..ITEMS {
                    if pushes {
                        queue.push(counted(drops));
                    } else {
                        drop(queue.pop());
                    }
                }
            })
        });
        for worker in workers {
            worker.join().unwrap();
        }
    });
    assert_eq!(drops.load(Relaxed) + queue.len(), 2 * ITEMS);
    drop(queue);
    assert_eq!(drops.load(Relaxed), 2 * ITEMS);
}

/// What is retired is memory without an item, so it may wait longer than what items borrow lives.
fn items_may_borrow_what_is_gone_before_the_domain(domain: &impl Reclaim) {
    {
        let words: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let queue = queue(domain);
        for word in &words {
            queue.push(word.as_str());
        }
        assert!((0..50).all(|number| queue.pop() == Some(words[number].as_str())));
    }
    assert_eq!(domain.stats().retired, 50);
    for _ in 0..3 {
        // Each of a thread's slots has a list of its own; epochs need more than one round.
        for mut guard in [domain.guard(), domain.guard()] {
            guard.collect();
        }
    }
    assert!(domain.stats().freed > 0);
}

fn items_without_size(domain: &impl Reclaim) {
    let queue = queue(domain);
    (0..5).for_each(|_| queue.push(()));
    assert_eq!((queue.len(), queue.pop()), (5, Some(())));
    assert_eq!(drain(&queue).len(), 4);
    assert_eq!((queue.len(), queue.pop()), (0, None));
}

fn items_of_4_kb(domain: &impl Reclaim) {
    let item = |number: usize| -> [u8; 4096] { std::array::from_fn(|i| (i * 7 + number) as u8) };
    let queue = queue(domain);
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

/// Of two threads which each push to one queue and then look into the other, one sees an item.
fn two_queues_agree_on_an_order(domain: &impl Reclaim) {
    let queues = [queue(domain), queue(domain)];
    common::cross(
        |me, round| queues[me].push(round),
        |me| queues[me].pop().is_some(),
    );
}

/// `Some` is pushed, `None` pops.
fn check_against_deque(domain: &impl Reclaim, calls: &[Option<u8>]) {
    let queue = queue(domain);
    let mut want = VecDeque::new();
    for &call in calls {
        match call {
            Some(item) => {
                queue.push(item);
                want.push_back(item);
            }
            None => assert_eq!(queue.pop(), want.pop_front()),
        }
        assert_eq!(queue.len(), want.len());
        assert_eq!(queue.is_empty(), want.is_empty());
    }
    assert_eq!(drain(&queue), Vec::from(want));
}

proptest! {
    #[test]
    fn like_a_deque(calls in vec(any::<Option<u8>>(), 0..200)) {
        check_against_deque(&PublishOnPing::new(), &calls);
        check_against_deque(&PublishOnPing::fenced().with_batch(1), &calls);
        check_against_deque(&Epoch::new(), &calls);
    }
}

#[test]
fn collects_extends_and_shows() {
    let mut queue: MsQueue<u32> = (0..3).collect();
    queue.extend(3..5);
    assert_eq!(format!("{queue:?}"), "MsQueue { len: 5, .. }");
    assert!(drain(&queue).into_iter().eq(0..5));
    assert!(MsQueue::<u32, Epoch>::default().is_empty());
}

/// Behind a guard that is held, slots keep a bounded number of nodes; epochs keep them all.
#[test]
fn a_stalled_reader_holds_back_little_or_all() {
    const ITEMS: u64 = 50_000;
    fn pending(domain: &impl Reclaim) -> (u64, u64) {
        let queue = queue(domain);
        let guard = domain.guard();
        for number in 0..ITEMS {
            queue.push(number);
            assert_eq!(queue.pop(), Some(number));
        }
        let stats = domain.stats();
        drop(guard);
        (stats.pending(), stats.pending_max())
    }
    let (kept, kept_max) = pending(&PublishOnPing::new().with_batch(256));
    assert!(kept <= kept_max && kept_max < 500, "{kept} of {kept_max}");
    assert_eq!(pending(&Epoch::new()).0, ITEMS);
}

#[test]
fn shared_where_items_may_be_sent() {
    fn is_shared<T: Send + Sync>() {}
    is_shared::<MsQueue<std::cell::Cell<u8>>>();
    is_shared::<MsQueue<std::cell::Cell<u8>, Epoch>>();
}
