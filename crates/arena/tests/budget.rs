//! Bytes: never more than there are, and in the order of arrival.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::thread;
use std::time::{Duration, Instant};

use cortica_arena::{BudgetError, ByteBudget};

#[test]
fn what_is_asked_for_is_granted_or_refused_by_name() {
    let budget = ByteBudget::new(100);
    let busy = |needed, free| Some(BudgetError::Busy { needed, free });
    let too_large = |needed| Some(BudgetError::TooLarge { needed, limit: 100 });
    assert_eq!(budget.try_acquire(101).err(), too_large(101));
    assert_eq!(budget.acquire(usize::MAX).err(), too_large(usize::MAX));
    let mut first = budget.try_acquire(60).unwrap();
    assert_eq!(budget.try_acquire(41).err(), busy(41, 40));
    let second = budget.try_acquire(40).unwrap();
    assert_eq!(budget.try_acquire(1).err(), busy(1, 0));
    assert!(budget.try_acquire(0).is_ok());

    assert_eq!(first.try_grow(1).err(), busy(1, 0));
    drop(second);
    assert_eq!(first.try_grow(41).err(), too_large(101));
    assert_eq!(first.try_grow(usize::MAX).err(), too_large(usize::MAX));
    first.try_grow(40).unwrap();
    assert_eq!((first.bytes(), budget.stats().used), (100, 100));
    first.shrink_to(200);
    first.shrink_to(30);
    let part = first.split(10);
    assert_eq!(
        (part.bytes(), first.bytes(), budget.stats().used),
        (10, 20, 30)
    );
    let all = first.split(1_000);
    assert_eq!((all.bytes(), first.bytes()), (20, 0));
    drop((part, first));
    assert_eq!(budget.stats().used, 20);

    let stats = budget.stats();
    assert_eq!((stats.limit, stats.peak, stats.waiting), (100, 100, 0));
    assert_eq!((stats.granted, stats.refused, stats.timed_out), (4, 7, 0));
    budget.reset_stats();
    assert_eq!((budget.stats().peak, budget.stats().refused), (20, 0));
}

#[test]
fn a_budget_of_nothing_grants_nothing() {
    let budget = ByteBudget::new(0);
    assert!(budget.acquire(0).is_ok());
    let refused = budget.acquire_timeout(1, Duration::MAX).err();
    assert_eq!(
        refused,
        Some(BudgetError::TooLarge {
            needed: 1,
            limit: 0
        })
    );
}

#[test]
fn a_wait_ends_at_its_time() {
    let budget = ByteBudget::new(10);
    let held = budget.try_acquire(4).unwrap();
    let start = Instant::now();
    let pause = Duration::from_millis(30);
    let refused = budget.acquire_timeout(7, pause).err();
    assert_eq!(refused, Some(BudgetError::TimedOut { needed: 7, free: 6 }));
    assert!(start.elapsed() >= pause);
    drop(held);
    assert!(budget.acquire_timeout(7, Duration::ZERO).is_ok());
    let stats = budget.stats();
    assert_eq!((stats.timed_out, stats.waiting, stats.used), (1, 0, 0));
}

/// Waits until so many requests wait.
fn until_waiting(budget: &ByteBudget, count: usize) {
    while budget.stats().waiting != count {
        thread::yield_now();
    }
}

#[test]
fn a_large_request_is_not_starved_by_small_ones() {
    let budget = ByteBudget::new(10);
    let small = budget.try_acquire(1).unwrap();
    thread::scope(|threads| {
        let large = threads.spawn(|| budget.acquire(10).map(|permit| permit.bytes()));
        until_waiting(&budget, 1);
        // Nine bytes are free, but they are waited for.
        let refused = budget.try_acquire(1).err();
        assert_eq!(refused, Some(BudgetError::Busy { needed: 1, free: 9 }));
        let mut held = budget.acquire_timeout(1, Duration::from_millis(5));
        assert!(matches!(held, Err(BudgetError::TimedOut { .. })));
        let mut small = small;
        assert!(matches!(small.try_grow(1), Err(BudgetError::Busy { .. })));
        drop(small);
        assert_eq!(large.join().unwrap(), Ok(10));
        held = budget.acquire(1);
        assert!(held.is_ok());
    });
}

#[test]
fn who_came_first_is_served_first() {
    let budget = ByteBudget::new(4);
    let order = AtomicUsize::new(0);
    let mut all = Some(budget.try_acquire(4).unwrap());
    thread::scope(|threads| {
        let waiting = (0..6).map(|turn| {
            let (budget, order) = (&budget, &order);
            let waiter = threads.spawn(move || {
                let permit = budget.acquire(4).unwrap(); // All of it, so one at a time.
                let served = order.fetch_add(1, SeqCst);
                drop(permit);
                (turn, served)
            });
            until_waiting(budget, turn + 1);
            waiter
        });
        let waiting: Vec<_> = waiting.collect();
        all.take();
        for waiter in waiting {
            let (turn, served) = waiter.join().unwrap();
            assert_eq!(turn, served);
        }
    });
}

/// What is given back at once is enough for all who wait, and all get theirs although nobody gives
/// anything back in between: who is served wakes the next.
#[test]
fn who_is_served_lets_the_next_go() {
    const WAITERS: usize = 6;
    for _ in 0..50 {
        let budget = ByteBudget::new(WAITERS);
        let all = budget.try_acquire(WAITERS).unwrap();
        let (start, limit) = (Instant::now(), Duration::from_secs(20));
        let permits: Vec<_> = thread::scope(|threads| {
            let wait = || budget.acquire_timeout(1, limit);
            let waiting = [(); WAITERS].map(|()| threads.spawn(wait));
            until_waiting(&budget, WAITERS);
            drop(all);
            waiting.map(|waiter| waiter.join().unwrap()).into()
        });
        assert!(permits.iter().all(Result::is_ok), "{permits:?}");
        // Whoever slept on would have been served at the end of its time.
        assert!(start.elapsed() < limit, "somebody was not woken");
    }
}

/// One that gives up passes its place on.
#[test]
fn a_timed_out_request_lets_the_next_go() {
    let budget = ByteBudget::new(10);
    let held = budget.try_acquire(5).unwrap();
    thread::scope(|threads| {
        let large = threads.spawn(|| budget.acquire_timeout(10, Duration::from_millis(50)).err());
        until_waiting(&budget, 1);
        let small = threads.spawn(|| budget.acquire(5).map(|permit| permit.bytes()));
        assert!(matches!(
            large.join().unwrap(),
            Some(BudgetError::TimedOut { .. })
        ));
        assert_eq!(small.join().unwrap(), Ok(5)); // Although nothing was given back.
    });
    drop(held);
    assert_eq!(budget.stats().used, 0);
}

/// Eight threads take, grow, shrink and split. They count for themselves what they hold, after
/// they got it and before they give it back: that is never a byte more than the limit.
#[test]
fn never_a_byte_too_much_under_eight_threads() {
    const LIMIT: usize = 1_000;
    let budget = ByteBudget::new(LIMIT);
    let held = AtomicUsize::new(0);
    let most = AtomicUsize::new(0);
    let hold = |bytes: usize| {
        let now = held.fetch_add(bytes, SeqCst) + bytes;
        assert!(now <= LIMIT, "{now}");
        most.fetch_max(now, Relaxed);
    };
    let release = |bytes: usize| {
        held.fetch_sub(bytes, SeqCst);
    };
    thread::scope(|threads| {
        let workers: Vec<_> = (0..8_u64)
            .map(|worker| {
                let (budget, hold, release) = (&budget, &hold, &release);
                threads.spawn(move || {
                    let mut rng = cortica_testkit::Rng::new(worker);
                    for round in 0..4_000 {
                        let bytes = rng.below(LIMIT / 2);
                        let permit = match round % 3 {
                            0 => budget.try_acquire(bytes),
                            1 => budget.acquire(bytes),
                            _ => budget.acquire_timeout(bytes, Duration::from_micros(200)),
                        };
                        let Ok(mut permit) = permit else { continue };
                        hold(bytes);
                        let more = rng.below(100);
                        if permit.try_grow(more).is_ok() {
                            hold(more);
                        }
                        let part = permit.split(rng.below(50));
                        release(part.bytes());
                        drop(part);
                        let rest = permit.bytes() / 2;
                        release(permit.bytes() - rest);
                        permit.shrink_to(rest);
                        if round % 16 == 0 {
                            thread::yield_now();
                        }
                        release(rest);
                    }
                })
            })
            .collect();
        for worker in workers {
            worker.join().unwrap();
        }
    });
    let stats = budget.stats();
    assert_eq!((stats.used, stats.waiting), (0, 0));
    assert!(
        stats.peak <= LIMIT && stats.peak >= most.load(Relaxed),
        "{stats:?}"
    );
    assert!(stats.peak > LIMIT / 2, "there was never a rush: {stats:?}");
}
