//! What the tests of all queues share.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "a panic in a test is its report; every test file uses a part of this one"
)]

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::thread;
use std::time::{Duration, Instant};

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
/// into the other's. One of them must see an item. In rounds in which both do, both pushes came
/// before both looks: they really met. So that they do, also on a busy machine and where one
/// thread learns sooner than the other that both are there: each has a processor of its own, and
/// waits a little, a different time in every round, before it pushes.
pub fn cross(push: impl Fn(usize, usize) + Sync, pop: impl Fn(usize) -> bool + Sync) {
    const ROUNDS_MIN: usize = 20_000;
    const MEETINGS_MIN: usize = 20;
    const TIME_MAX: Duration = Duration::from_mins(1);
    let can_meet = thread::available_parallelism().is_ok_and(|count| count.get() > 1);
    let arrived = [(); 2].map(|()| AtomicUsize::new(0));
    let done = AtomicBool::new(false);
    let saw = [(); 2].map(|()| AtomicBool::new(false));
    let (rounds, neither, both) = thread::scope(|scope| {
        let (push, pop, arrived, done, saw) = (&push, &pop, &arrived, &done, &saw);
        let cross = move |me: usize| {
            stay_on_processor(me);
            let meet = |round: usize| {
                // Release and Acquire for `saw` and `done`; not between the push and the look.
                arrived[me].store(round, Release);
                let mut spins = 0;
                while arrived[1 - me].load(Acquire) < round {
                    spins += 1;
                    if spins % 1_000 == 0 {
                        thread::yield_now();
                    }
                }
            };
            let start = Instant::now();
            let (mut rounds, mut neither, mut both) = (0, 0, 0);
            loop {
                meet(3 * rounds + 1);
                let wait = rounds.wrapping_mul(0x9e37_79b9) >> (8 * me + 8) & 31;
                (0..wait).for_each(|_| std::hint::spin_loop());
                push(me, rounds);
                saw[me].store(pop(1 - me), Relaxed);
                meet(3 * rounds + 2);
                pop(me); // What the other did not take.
                match [0, 1].map(|one| saw[one].load(Relaxed)) {
                    [false, false] => neither += 1,
                    [true, true] => both += 1,
                    _ => {}
                }
                if me == 0 {
                    let enough = rounds + 1 >= ROUNDS_MIN && (both >= MEETINGS_MIN || !can_meet);
                    done.store(enough || start.elapsed() > TIME_MAX, Relaxed);
                }
                meet(3 * rounds + 3);
                rounds += 1;
                if done.load(Relaxed) {
                    return (rounds, neither, both);
                }
            }
        };
        let threads = [0, 1].map(|me| scope.spawn(move || cross(me)));
        let [tally, other] = threads.map(|thread| thread.join().unwrap());
        assert_eq!(tally, other);
        tally
    });
    println!("{rounds} rounds, in {both} of which both saw an item");
    assert_eq!(neither, 0, "of {rounds} rounds");
    assert!(
        rounds >= ROUNDS_MIN && (both >= MEETINGS_MIN || !can_meet),
        "{rounds} rounds, {both} of them with both at once, in {TIME_MAX:?} say nothing: {ROUNDS_MIN} and \
         {MEETINGS_MIN} are needed; run it on a machine that does less beside"
    );
}

/// Keeps the calling thread on one of the processors that it may run on, in turn.
#[cfg(target_os = "linux")]
fn stay_on_processor(number: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let allowed = sched_getaffinity(None).unwrap();
    let mut ones = (0..CpuSet::MAX_CPU).filter(|&one| allowed.is_set(one));
    let mut only = CpuSet::new();
    only.set(ones.nth(number % allowed.count() as usize).unwrap());
    sched_setaffinity(None, &only).unwrap();
}

#[cfg(not(target_os = "linux"))]
fn stay_on_processor(_: usize) {}
