//! What the tests of all queues share.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "a panic in a test is its report; every test file uses a part of this one"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

/// An item that says who made it and as which: `producer << 32 | number`.
pub fn item(producer: u64, number: u64) -> u64 {
    producer << 32 | number
}

/// Within what one consumer received, the items of each producer must rise.
pub fn check_order(received: &[u64], producers: usize) {
    let mut next = vec![0; producers];
    for &item in received {
        let (producer, number) = ((item >> 32) as usize, item & 0xffff_ffff);
        assert!(
            number >= next[producer],
            "{number} of producer {producer} came late"
        );
        next[producer] = number + 1;
    }
}

/// Every item of every producer, once.
pub fn check_all(mut received: Vec<u64>, producers: u64, items: u64) {
    received.sort_unstable();
    let want = (0..producers).flat_map(|producer| (0..items).map(move |n| item(producer, n)));
    assert!(
        received.into_iter().eq(want),
        "items were lost or came twice"
    );
}

/// Counts its drop; panics there when told to.
pub struct Counted {
    drops: Arc<AtomicUsize>,
    pub panics: bool,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.drops.fetch_add(1, Relaxed);
        assert!(!self.panics, "on purpose");
    }
}

pub fn counted(drops: &Arc<AtomicUsize>) -> Counted {
    Counted {
        drops: drops.clone(),
        panics: false,
    }
}

/// Two threads meet again and again; each pushes to the queue of its own number and then looks
/// into the other's. One of them must see an item.
pub fn cross(push: impl Fn(usize, usize) + Sync, pop: impl Fn(usize) -> bool + Sync) {
    const ROUNDS: usize = 20_000;
    let arrived = [(); 2].map(|()| AtomicUsize::new(0));
    let saw = thread::scope(|scope| {
        let (push, pop, arrived) = (&push, &pop, &arrived);
        [0, 1]
            .map(|me| {
                scope.spawn(move || {
                    let meet = |round: usize| {
                        arrived[me].store(round, Relaxed);
                        let mut spins = 0;
                        while arrived[1 - me].load(Relaxed) < round {
                            spins += 1;
                            if spins % 1_000 == 0 {
                                thread::yield_now();
                            }
                        }
                    };
                    let mut saw = Vec::new();
                    for round in 0..ROUNDS {
                        meet(3 * round + 1);
                        push(me, round);
                        saw.push(pop(1 - me));
                        meet(3 * round + 2);
                        pop(me); // What the other did not take.
                        meet(3 * round + 3);
                    }
                    saw
                })
            })
            .map(|thread| thread.join().unwrap())
    });
    let neither = saw[0].iter().zip(&saw[1]).filter(|&(a, b)| !a && !b);
    assert_eq!(neither.count(), 0, "of {ROUNDS} rounds");
}
