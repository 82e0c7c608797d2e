//! What one thread sees, and what closing and deadlines do to those who wait.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::collections::VecDeque;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use cortica_queue::{BoundedQueue, CapacityError, Closed, PopError, PushError};
use proptest::prelude::*;

const SOON: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_mins(1);

fn queue<T>(capacity: usize) -> BoundedQueue<T> {
    BoundedQueue::new(capacity).unwrap()
}

#[test]
fn impossible_capacities_are_refused() {
    let made = |capacity| BoundedQueue::<u64>::new(capacity).map(drop);
    assert_eq!(made(0), Err(CapacityError::Zero));
    assert_eq!(made(usize::MAX), Err(CapacityError::TooLarge(usize::MAX)));
    assert_eq!(made(1 << 40), Err(CapacityError::TooLarge(1 << 40)));
}

#[derive(Clone, Debug)]
enum Op {
    Push,
    Pop,
    Force,
    PushMany(usize),
    PopMany(usize),
    PushSoon,
    PopSoon,
    Close,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => Just(Op::Push),
        6 => Just(Op::Pop),
        3 => Just(Op::Force),
        3 => (0..7_usize).prop_map(Op::PushMany),
        3 => (0..7_usize).prop_map(Op::PopMany),
        1 => Just(Op::PushSoon),
        1 => Just(Op::PopSoon),
        1 => Just(Op::Close),
    ];
    proptest::collection::vec(op, 0..200)
}

proptest! {
    /// Every answer of every operation is that of a `VecDeque` and a flag.
    #[test]
    fn like_a_deque(capacity in 1..10_usize, may_close: bool, ops in ops()) {
        let queue = queue(capacity);
        let (mut model, mut closed, mut next) = (VecDeque::new(), false, 0_u64);
        for op in ops {
            match op {
                Op::Push | Op::PushSoon => {
                    let got = match op {
                        Op::Push => queue.try_push(next),
                        _ => queue.push_timeout(next, Duration::ZERO),
                    };
                    if closed {
                        prop_assert_eq!(got, Err(PushError::Closed(next)));
                    } else if model.len() == capacity {
                        prop_assert_eq!(got, Err(PushError::Full(next)));
                    } else {
                        prop_assert_eq!(got, Ok(()));
                        model.push_back(next);
                    }
                    next += 1;
                }
                Op::Pop | Op::PopSoon => {
                    let got = match op {
                        Op::Pop => queue.try_pop(),
                        _ => queue.pop_timeout(Duration::ZERO),
                    };
                    let none = if closed { PopError::Closed } else { PopError::Empty };
                    prop_assert_eq!(got, model.pop_front().ok_or(none));
                }
                Op::Force => {
                    let got = queue.force_push(next);
                    if closed {
                        prop_assert_eq!(got, Err(Closed(next)));
                    } else {
                        let full = model.len() == capacity;
                        let displaced = if full { model.pop_front() } else { None };
                        prop_assert_eq!(got, Ok(displaced));
                        model.push_back(next);
                    }
                    next += 1;
                }
                Op::PushMany(count) => {
                    let mut items: Vec<u64> = (next..next + count as u64).collect();
                    let got = queue.push_many(&mut items);
                    let room = if closed { 0 } else { count.min(capacity - model.len()) };
                    prop_assert_eq!(got, if closed { Err(Closed(())) } else { Ok(room) });
                    model.extend(next..next + room as u64);
                    let left: Vec<u64> = (next + room as u64..next + count as u64).collect();
                    prop_assert_eq!(items, left);
                    next += count as u64;
                }
                Op::PopMany(count) => {
                    let mut items = vec![u64::MAX];
                    let got = queue.pop_many(&mut items, count);
                    let mut want = vec![u64::MAX];
                    if closed && model.is_empty() && count > 0 {
                        prop_assert_eq!(got, Err(Closed(())));
                    } else {
                        want.extend(model.drain(..count.min(model.len())));
                        prop_assert_eq!(got, Ok(want.len() - 1));
                    }
                    prop_assert_eq!(items, want);
                }
                Op::Close if may_close => {
                    prop_assert_eq!(queue.close(), !closed);
                    closed = true;
                }
                Op::Close => {}
            }
            prop_assert_eq!(queue.len(), model.len());
            prop_assert_eq!(queue.is_empty(), model.is_empty());
            prop_assert_eq!(queue.is_full(), model.len() == capacity);
            prop_assert_eq!(queue.is_closed(), closed);
            prop_assert_eq!(queue.capacity(), capacity);
        }
    }
}

#[test]
fn deadlines_are_kept() {
    let queue = queue(1);
    let start = Instant::now();
    assert_eq!(queue.pop_timeout(SOON), Err(PopError::Empty));
    queue.try_push(1).unwrap();
    assert_eq!(queue.push_timeout(2, SOON), Err(PushError::Full(2)));
    let took = start.elapsed();
    assert!(took >= 2 * SOON && took < LONG, "{took:?}");
    assert_eq!(queue.pop_timeout(Duration::MAX), Ok(1)); // No overflow of the clock.
}

#[test]
fn those_who_wait_get_what_comes() {
    let queue = queue(1);
    thread::scope(|scope| {
        let popper = scope.spawn(|| queue.pop_timeout(LONG));
        thread::sleep(SOON); // By now it sleeps.
        queue.try_push(1).unwrap();
        assert_eq!(popper.join().unwrap(), Ok(1));

        queue.try_push(2).unwrap();
        let pusher = scope.spawn(|| queue.push_timeout(3, LONG));
        thread::sleep(SOON);
        assert_eq!(queue.try_pop(), Ok(2));
        assert_eq!(pusher.join().unwrap(), Ok(()));
        assert_eq!(queue.try_pop(), Ok(3));
    });
}

#[test]
fn closing_wakes_everybody() {
    let (full, empty) = (queue(1), queue::<u32>(1));
    full.try_push(0).unwrap();
    let (full, empty) = (&full, &empty);
    let ready = &Barrier::new(9);
    thread::scope(|scope| {
        let pushers: Vec<_> = (1..=4)
            .map(|item| {
                scope.spawn(move || {
                    ready.wait();
                    full.push(item) == Err(Closed(item))
                })
            })
            .collect();
        let poppers: Vec<_> = (1..=4)
            .map(|_| {
                scope.spawn(move || {
                    ready.wait();
                    empty.pop().is_none()
                })
            })
            .collect();
        ready.wait();
        thread::sleep(SOON); // By now they sleep; if not, they find it closed.
        assert!(full.close() && empty.close());
        let all = pushers.into_iter().chain(poppers);
        assert!(all.into_iter().all(|thread| thread.join().unwrap()));
    });
    assert!(!full.close(), "only the first call closes");
    assert_eq!((full.pop(), full.pop()), (Some(0), None));
}

#[test]
fn errors_say_what_happened() {
    let queue = queue(1);
    queue.try_push("a").unwrap();
    let full = queue.try_push("b").unwrap_err();
    assert_eq!(full.to_string(), "the queue is full");
    assert_eq!(full.into_inner(), "b");
    assert_eq!(
        format!("{queue:?}"),
        "BoundedQueue { len: 1, capacity: 1, closed: false }"
    );
    queue.close();
    let closed = queue.push("c").unwrap_err();
    assert_eq!(
        (closed.to_string().as_str(), closed.0),
        ("the queue is closed", "c")
    );
}
