//! What the figures say of queues at rest, and of those who sleep on either side.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::thread;
use std::time::{Duration, Instant};

use cortica_queue::list::MsQueue;
use cortica_queue::{BoundedQueue, Lane, PriorityLanes, Queue};

/// Waits for threads that are on their way to sleep, but not for ever.
fn until(is_so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !is_so() {
        assert!(Instant::now() < end, "it never came to that");
        thread::yield_now();
    }
}

#[test]
fn unbounded_queues_say_how_many_items_there_are() {
    let (queue, list) = (Queue::new(), MsQueue::new());
    for number in 0..3_000 {
        queue.push(number);
        list.push(number);
    }
    assert_eq!((queue.stats().len, list.stats().len), (3_000, 3_000));
    for _ in 0..1_000 {
        queue.pop().unwrap();
        list.pop().unwrap();
    }
    assert_eq!((queue.stats().len, list.stats().len), (2_000, 2_000));
}

#[test]
fn a_bounded_queue_says_who_sleeps() {
    let queue = BoundedQueue::new(2).unwrap();
    thread::scope(|threads| {
        let poppers = [(); 3].map(|()| threads.spawn(|| queue.pop()));
        until(|| queue.stats().poppers_asleep == 3);
        let stats = queue.stats();
        assert_eq!((stats.len, stats.capacity, stats.closed), (0, 2, false));
        assert_eq!(stats.pushers_asleep, 0);
        for number in 0..3 {
            queue.push(number).unwrap();
        }
        let popped = poppers.map(|popper| popper.join().unwrap());
        assert!(popped.iter().all(Option::is_some), "{popped:?}");
        assert_eq!(queue.stats().poppers_asleep, 0);

        queue.push_many(&mut vec![4, 5]).unwrap();
        let pusher = threads.spawn(|| queue.push(6));
        until(|| queue.stats().pushers_asleep == 1);
        assert_eq!((queue.stats().len, queue.stats().poppers_asleep), (2, 0));
        queue.close();
        assert!(pusher.join().unwrap().is_err());
        let stats = queue.stats();
        assert_eq!((stats.pushers_asleep, stats.closed), (0, true));
    });
}

#[test]
fn lanes_say_where_somebody_sleeps() {
    let lanes = PriorityLanes::new(1).unwrap();
    thread::scope(|threads| {
        let popper = threads.spawn(|| lanes.pop());
        until(|| lanes.stats().poppers_asleep == 1);
        lanes.push(Lane::Low, 1).unwrap();
        assert_eq!(popper.join().unwrap(), Some((Lane::Low, 1)));

        lanes.push(Lane::High, 2).unwrap();
        let pusher = threads.spawn(|| lanes.push(Lane::High, 3));
        until(|| lanes.stats().pushers_asleep == [0, 1, 0, 0]);
        let stats = lanes.stats();
        assert_eq!((stats.lens, stats.capacity), ([0, 1, 0, 0], 1));
        assert_eq!((stats.poppers_asleep, stats.closed), (0, false));
        lanes.close();
        assert!(pusher.join().unwrap().is_err());
        let stats = lanes.stats();
        assert_eq!((stats.pushers_asleep, stats.closed), ([0; 4], true));
    });
}
