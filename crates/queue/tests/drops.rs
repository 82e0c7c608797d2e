//! Every item is dropped exactly once, whatever its size and whatever its drop does.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use common::{Counted, counted};
use cortica_queue::{BoundedQueue, Lane, PriorityLanes};

mod common;

/// Fills a queue whose oldest item lies in the middle of the ring.
fn full_queue(capacity: usize, drops: &Arc<AtomicUsize>) -> BoundedQueue<Counted> {
    let queue = BoundedQueue::new(capacity).unwrap();
    for _ in 0..capacity / 2 {
        queue.push(counted(drops)).unwrap();
        queue.pop().unwrap();
    }
    while queue.len() < capacity {
        queue.push(counted(drops)).unwrap();
    }
    drops.store(0, Relaxed);
    queue
}

#[test]
fn a_full_queue_frees_every_item() {
    for capacity in [1, 2, 3, 7, 64] {
        let drops = Arc::default();
        drop(full_queue(capacity, &drops));
        assert_eq!(drops.load(Relaxed), capacity);
    }
}

#[test]
fn full_lanes_free_every_item() {
    for capacity in [1, 2, 7] {
        let drops = Arc::default();
        let lanes = PriorityLanes::new(capacity).unwrap();
        for lane in Lane::ALL {
            for _ in 0..capacity {
                lanes.push(lane, counted(&drops)).unwrap();
            }
            assert!(lanes.try_push(lane, counted(&drops)).is_err()); // Full: dropped by us.
        }
        drop(lanes.pop());
        assert_eq!(drops.swap(0, Relaxed), 4 + 1);
        drop(lanes);
        assert_eq!(drops.load(Relaxed), 4 * capacity - 1);
    }
}

#[test]
fn refused_and_displaced_items_are_the_callers() {
    let drops = Arc::default();
    let queue = full_queue(2, &drops);
    let refused = queue
        .try_push(counted(&drops))
        .map_err(cortica_queue::PushError::into_inner);
    let displaced = queue.force_push(counted(&drops)).unwrap();
    assert_eq!(drops.load(Relaxed), 0);
    drop((refused, displaced));
    assert_eq!(drops.load(Relaxed), 2);
    drop(queue);
    assert_eq!(drops.load(Relaxed), 4);
}

#[test]
fn an_item_that_panics_does_not_keep_the_others() {
    let drops = Arc::default();
    let queue = BoundedQueue::new(8).unwrap();
    for number in 0..8 {
        let mut item = counted(&drops);
        item.panics = number == 3;
        queue.push(item).unwrap();
    }
    assert!(catch_unwind(AssertUnwindSafe(|| drop(queue))).is_err());
    assert_eq!(drops.load(Relaxed), 8);
}

/// Neither those of its own lane, nor those of the others.
#[test]
fn an_item_that_panics_does_not_keep_other_lanes() {
    for lane in Lane::ALL {
        let drops = Arc::default();
        let lanes = PriorityLanes::new(3).unwrap();
        for at in Lane::ALL.into_iter().chain(Lane::ALL) {
            let mut item = counted(&drops);
            item.panics = at == lane && lanes.len(lane) == 0;
            lanes.push(at, item).unwrap();
        }
        assert!(catch_unwind(AssertUnwindSafe(|| drop(lanes))).is_err());
        assert_eq!(drops.load(Relaxed), 8, "{lane:?}");
    }
}

/// Items go in and out from four threads; the queue is dropped with some of them inside.
#[test]
fn shared_items_are_freed_once() {
    const ITEMS: usize = 2_000;
    let drops = Arc::default();
    let queue = BoundedQueue::new(5).unwrap();
    thread::scope(|scope| {
        let workers = [true, true, false, false].map(|pushes| {
            let (queue, drops) = (&queue, &drops);
            scope.spawn(move || {
                for _ in 0..ITEMS {
                    if pushes {
                        drop(queue.force_push(counted(drops)));
                    } else {
                        drop(queue.try_pop());
                    }
                }
            })
        });
        for worker in workers {
            worker.join().unwrap(); // By hand, for ThreadSanitizer's sake.
        }
    });
    let inside = queue.len();
    assert_eq!(drops.load(Relaxed) + inside, 2 * ITEMS);
    drop(queue);
    assert_eq!(drops.load(Relaxed), 2 * ITEMS);
}

#[test]
fn items_without_size() {
    let queue = BoundedQueue::new(3).unwrap();
    assert_eq!(queue.push_many(&mut vec![(); 5]), Ok(3));
    assert_eq!(queue.force_push(()), Ok(Some(())));
    assert_eq!((queue.len(), queue.try_pop()), (3, Ok(())));
    assert_eq!(queue.len(), 2);
}

#[test]
fn lanes_of_items_without_size() {
    let lanes = PriorityLanes::new(2).unwrap();
    for lane in [Lane::Low, Lane::High, Lane::Low] {
        let _ = lanes.try_push(lane, ()); // The third, too.
    }
    assert!(lanes.try_push(Lane::Low, ()).is_err());
    assert_eq!((lanes.len(Lane::Low), lanes.len(Lane::High)), (2, 1));
    let lanes: Vec<Lane> = std::iter::from_fn(|| lanes.try_pop().ok())
        .map(|(lane, ())| lane)
        .collect();
    assert_eq!(lanes, [Lane::High, Lane::Low, Lane::Low]);
}

fn item_of_4_kb(number: usize) -> [u8; 4096] {
    std::array::from_fn(|i| (i * 7 + number) as u8)
}

#[test]
fn items_of_4_kb() {
    let item = item_of_4_kb;
    let queue = BoundedQueue::new(3).unwrap();
    thread::scope(|scope| {
        let pusher = scope.spawn(|| (0..500).for_each(|n| queue.push(item(n)).unwrap()));
        (0..500).for_each(|number| assert!(queue.pop() == Some(item(number)), "{number}"));
        pusher.join().unwrap();
    });
}

#[test]
fn lanes_of_items_of_4_kb() {
    let lanes = PriorityLanes::new(3).unwrap();
    thread::scope(|scope| {
        let pusher = scope.spawn(|| {
            for number in 0..500 {
                let lane = Lane::ALL[number % 4];
                lanes.push(lane, item_of_4_kb(number)).unwrap();
            }
        });
        let mut next = [0, 1, 2, 3];
        for _ in 0..500 {
            let (lane, item) = lanes.pop().unwrap();
            let number = &mut next[lane as usize];
            assert!(item == item_of_4_kb(*number), "{number} of {lane:?}");
            *number += 4;
        }
        pusher.join().unwrap();
    });
}
