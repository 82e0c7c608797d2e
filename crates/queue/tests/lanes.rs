//! The schedule of the lanes, turn by turn, and waiting on several of them.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

use common::{check_all, check_order, item};
use cortica_queue::Lane::{self, Critical, High, Low, Normal};
use cortica_queue::{CapacityError, Closed, PopError, PriorityLanes, PushError};

mod common;

const SOON: Duration = Duration::from_millis(20);

fn lanes(capacity: usize) -> PriorityLanes<u32> {
    PriorityLanes::new(capacity).unwrap()
}

/// Puts 32 items into each of `filled` and says who is served in the first 16 turns.
#[track_caller]
fn check(filled: &[Lane], want: [Lane; 16]) {
    let lanes = lanes(32);
    for &lane in filled {
        (0..32).for_each(|item| lanes.push(lane, item).unwrap());
    }
    for round in 0..2 {
        let served: [Lane; 16] = std::array::from_fn(|_| lanes.try_pop().unwrap().0);
        assert_eq!(served, want, "round {round}");
    }
}

#[rustfmt::skip]
#[test]
fn the_schedule_is_as_written() {
    check(&Lane::ALL, [
        Critical, Critical, Critical, High, Critical, Critical, Critical, Normal,
        Critical, Critical, Critical, High, Critical, Critical, Critical, Low,
    ]);
    check(&[High, Normal, Low], [
        High, High, High, High, High, High, High, Normal,
        High, High, High, High, High, High, High, Low,
    ]);
    check(&[Critical, Low], [
        Critical, Critical, Critical, Critical, Critical, Critical, Critical, Critical,
        Critical, Critical, Critical, Critical, Critical, Critical, Critical, Low,
    ]);
    check(&[Low], [Low; 16]);
}

/// A lane that is never empty is served at least once in 16 pops, from whichever turn one counts.
#[test]
fn nothing_starves() {
    for starved in [High, Normal, Low] {
        for skipped in 0..16 {
            let lanes = lanes(64);
            (0..skipped).for_each(|_| assert!(lanes.try_pop().is_err())); // Each uses its turn up.
            for lane in Lane::ALL.into_iter().filter(|&lane| lane != starved) {
                (0..64).for_each(|item| lanes.push(lane, item).unwrap());
            }
            lanes.push(starved, 0).unwrap();
            let served = (0..PriorityLanes::<u32>::TURNS).map(|_| lanes.try_pop().unwrap().0);
            assert_eq!(
                served.filter(|&lane| lane == starved).count(),
                1,
                "{starved:?}"
            );
        }
    }
}

#[test]
fn each_lane_is_fifo_and_full_by_itself() {
    let lanes = lanes(2);
    assert_eq!(lanes.try_push(Low, 1), Ok(()));
    assert_eq!(lanes.try_push(Low, 2), Ok(()));
    assert_eq!(lanes.try_push(Low, 3), Err(PushError::Full(3)));
    assert_eq!(lanes.try_push(Critical, 4), Ok(()));
    assert_eq!(
        (lanes.len(Low), lanes.len(Critical), lanes.capacity()),
        (2, 1, 2)
    );
    assert_eq!(lanes.try_pop(), Ok((Critical, 4)));
    assert_eq!(lanes.try_pop(), Ok((Low, 1)));
    assert_eq!(lanes.try_pop(), Ok((Low, 2)));
    assert_eq!(lanes.try_pop(), Err(PopError::Empty));
    assert!(lanes.is_empty());
    assert_eq!(
        PriorityLanes::<u32>::new(0).err(),
        Some(CapacityError::Zero)
    );
}

#[test]
fn those_who_wait_are_served() {
    let lanes = lanes(1);
    assert_eq!(lanes.pop_timeout(SOON), Err(PopError::Empty));
    for lane in Lane::ALL {
        thread::scope(|scope| {
            let popper = scope.spawn(|| lanes.pop());
            thread::sleep(SOON);
            lanes.try_push(lane, 1).unwrap();
            assert_eq!(popper.join().unwrap(), Some((lane, 1)));

            lanes.try_push(lane, 2).unwrap();
            let pusher = scope.spawn(|| lanes.push(lane, 3));
            thread::sleep(SOON);
            assert_eq!(lanes.try_pop(), Ok((lane, 2)));
            assert_eq!(pusher.join().unwrap(), Ok(()));
            assert_eq!(lanes.try_pop(), Ok((lane, 3)));
        });
    }
}

#[test]
fn closing_wakes_everybody_and_keeps_what_is_inside() {
    let lanes = lanes(1);
    thread::scope(|scope| {
        let poppers = [(); 2].map(|()| scope.spawn(|| lanes.pop()));
        thread::sleep(SOON);
        lanes.close();
        assert!(
            poppers
                .into_iter()
                .all(|popper| popper.join().unwrap().is_none())
        );
    });
    let lanes = self::lanes(1);
    for lane in Lane::ALL {
        lanes.push(lane, 7).unwrap();
    }
    thread::scope(|scope| {
        let pushers = Lane::ALL.map(|lane| {
            let lanes = &lanes;
            scope.spawn(move || lanes.push(lane, 8))
        });
        thread::sleep(SOON);
        lanes.close();
        assert!(
            pushers
                .into_iter()
                .all(|pusher| pusher.join().unwrap() == Err(Closed(8)))
        );
    });
    assert!(lanes.is_closed());
    assert_eq!(lanes.try_push(Low, 9), Err(PushError::Closed(9)));
    let left: Vec<Lane> = std::iter::from_fn(|| lanes.pop())
        .map(|(lane, _)| lane)
        .collect();
    assert_eq!(left, Lane::ALL);
    assert_eq!(lanes.try_pop(), Err(PopError::Closed));
}

/// Four producers fill the lanes, then four consumers empty them: the case which a predecessor of
/// these queues failed.
#[test]
fn four_producers_then_four_consumers() {
    let lanes = PriorityLanes::new(100).unwrap();
    thread::scope(|scope| {
        let producers = [0, 1, 2, 3].map(|producer| {
            let lanes = &lanes;
            scope.spawn(move || {
                for number in 0..100 {
                    // Each lane gets a quarter of what each producer has.
                    let lane = Lane::ALL[(number % 4) as usize];
                    lanes.try_push(lane, item(producer, number)).unwrap();
                }
            })
        });
        for producer in producers {
            producer.join().unwrap(); // Joined by hand, here and below, for ThreadSanitizer's sake.
        }
    });
    assert_eq!(Lane::ALL.map(|lane| lanes.len(lane)), [100; 4]);
    let received = thread::scope(|scope| {
        let drain = || std::iter::from_fn(|| lanes.try_pop().ok()).collect::<Vec<_>>();
        let consumers = [(); 4].map(|()| scope.spawn(drain));
        consumers.map(|consumer| consumer.join().unwrap())
    });
    check_lanes(&received, 4);
    assert!(lanes.is_empty());
    let received = received.concat().into_iter().map(|(_, item)| item);
    check_all(received.collect(), 4, 100);
}

/// Within what one consumer received from one lane, the items of each producer must rise.
fn check_lanes(received: &[Vec<(Lane, u64)>; 4], producers: usize) {
    for (received, lane) in received
        .iter()
        .flat_map(|r| Lane::ALL.map(|lane| (r, lane)))
    {
        let mine = received.iter().filter(|(from, _)| *from == lane);
        check_order(&mine.map(|&(_, item)| item).collect::<Vec<_>>(), producers);
    }
}

/// Eight threads, each producer on all lanes; meanwhile a ninth looks at the lengths: never more
/// than can have been inside.
#[test]
fn eight_threads_on_all_lanes() {
    const ITEMS: u64 = 8_000;
    let lanes = PriorityLanes::new(64).unwrap();
    let [pushing, popped] = [const { AtomicUsize::new(0) }; 2];
    let over = AtomicBool::new(false);
    let received = thread::scope(|scope| {
        let (lanes, pushing, popped) = (&lanes, &pushing, &popped);
        let looker = scope.spawn(|| {
            while !over.load(Relaxed) {
                let popped = popped.load(SeqCst);
                for lane in Lane::ALL {
                    let len = lanes.len(lane);
                    let inside_max = pushing.load(SeqCst) - popped;
                    assert!(len <= inside_max, "{len} > {inside_max}");
                }
                thread::yield_now();
            }
        });
        let consumers = [(); 4].map(|()| {
            scope.spawn(move || {
                let popped = |_: &(Lane, u64)| _ = popped.fetch_add(1, SeqCst);
                let all = std::iter::from_fn(|| lanes.pop()).inspect(popped);
                all.collect::<Vec<_>>()
            })
        });
        let producers = [0, 1, 2, 3].map(|producer| {
            scope.spawn(move || {
                for number in 0..ITEMS {
                    pushing.fetch_add(1, SeqCst);
                    let lane = Lane::ALL[(number % 7 % 4) as usize];
                    lanes.push(lane, item(producer, number)).unwrap();
                }
            })
        });
        for producer in producers {
            producer.join().unwrap();
        }
        lanes.close();
        let received = consumers.map(|consumer| consumer.join().unwrap());
        over.store(true, Relaxed);
        looker.join().unwrap();
        received
    });
    check_lanes(&received, 4);
    assert!(lanes.is_empty() && Lane::ALL.iter().all(|&lane| lanes.len(lane) == 0));
    let received = received.concat().into_iter().map(|(_, item)| item);
    check_all(received.collect(), 4, ITEMS);
}

/// Eight threads, each producer on a lane of its own: everything arrives, in order.
#[test]
fn nothing_is_lost_between_lanes() {
    let lanes = lanes(8);
    let received = thread::scope(|scope| {
        let lanes = &lanes;
        let producers = Lane::ALL
            .map(|lane| scope.spawn(move || (0..5_000).for_each(|n| lanes.push(lane, n).unwrap())));
        let consumers = [(); 4]
            .map(|()| scope.spawn(|| std::iter::from_fn(|| lanes.pop()).collect::<Vec<_>>()));
        for producer in producers {
            producer.join().unwrap();
        }
        lanes.close();
        consumers.map(|consumer| consumer.join().unwrap())
    });
    for lane in Lane::ALL {
        let mut all = Vec::new();
        for received in &received {
            let mine = received.iter().filter(|(from, _)| *from == lane);
            let mine: Vec<u32> = mine.map(|&(_, number)| number).collect();
            assert!(mine.is_sorted(), "{lane:?}");
            all.extend(mine);
        }
        all.sort_unstable();
        assert!(all.into_iter().eq(0..5_000), "{lane:?}");
    }
}
