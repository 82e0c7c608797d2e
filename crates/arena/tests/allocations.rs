//! Nothing is asked of the allocator once everything has been used a little. A program of its own,
//! because its allocator counts.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use std::sync::mpsc::sync_channel;
use std::thread;

use cortica_arena::{ByteBudget, Level, MemoryPressure, Pool, Row, Scratch, VectorArena};
use cortica_testkit::{Allocations, CountingAllocator, count_allocations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Runs `work` some times and then counts: the first rounds may allocate, the others not.
#[track_caller]
fn check(mut work: impl FnMut()) {
    let ((), first) = count_allocations(&mut work);
    (0..3).for_each(|_| work());
    let ((), counted) = count_allocations(|| (0..100).for_each(|_| work()));
    assert_eq!(
        counted,
        Allocations::default(),
        "after {first:?} in the first round"
    );
}

#[test]
fn pool_pairs_and_bursts() {
    let pool = Pool::new(1_024, || [0_u8; 256]);
    let mut out = Vec::with_capacity(800);
    check(|| {
        (0..1_000).for_each(|_| drop(pool.get()));
        out.extend((0..800).map(|_| pool.get()));
        out.clear(); // Across a dozen magazines.
    });
    assert_eq!(pool.stats().made, 800);
}

#[test]
fn a_pool_too_small_does_allocate() {
    let pool = Pool::new(8, || [0_u8; 256]);
    let nine = || {
        let out = [(); 9].map(|()| pool.take());
        for object in out {
            pool.put(object);
        }
    };
    nine();
    let ((), counted) = count_allocations(nine); // The ninth was dropped, and is made anew.
    assert_eq!((counted.allocations, counted.bytes), (1, 256));
}

/// One thread takes, another puts back: objects go round in whole magazines.
#[test]
fn pool_between_threads() {
    const ROUNDS: usize = 20_000;
    let pool = Pool::new(4_096, || [0_u8; 64]);
    pool.fill(2_048); // How many are on the way at once is up to the scheduler.
    thread::scope(|threads| {
        let pool = &pool;
        let (sender, receiver) = sync_channel::<Box<[u8; 64]>>(256);
        threads.spawn(move || {
            let put_back = || pool.put(receiver.recv().unwrap());
            (0..ROUNDS).for_each(|_| put_back());
            let ((), counted) = count_allocations(|| (0..ROUNDS).for_each(|_| put_back()));
            assert_eq!(counted, Allocations::default());
        });
        let send = || sender.send(pool.take()).unwrap();
        (0..ROUNDS).for_each(|_| send());
        let ((), counted) = count_allocations(|| (0..ROUNDS).for_each(|_| send()));
        assert_eq!(counted, Allocations::default());
    });
    assert!(pool.stats().exchanges as usize > ROUNDS / 64);
}

#[test]
fn scratch_budget_and_pressure() {
    let mut scratch = Scratch::new(1 << 20).unwrap();
    let budget = ByteBudget::new(1 << 20);
    let pressure = MemoryPressure::new();
    let mut now = 0;
    check(|| {
        for at in 0..100 {
            let slice = scratch.filled(at, at as f32).unwrap();
            let copy = scratch.copied(slice).unwrap();
            assert_eq!(copy.len(), at);
        }
        scratch.reset();
        let mut permit = budget.try_acquire(1_000).unwrap();
        let part = permit.split(100);
        permit.try_grow(50).unwrap();
        permit.shrink_to(10);
        let stats = budget.stats();
        now += 1_000;
        assert_eq!(
            pressure.observe(stats.used, stats.limit, now),
            Level::Normal
        );
        drop(part);
    });
}

/// Reading, and writing where there is room.
#[test]
fn rows_are_read_and_written() {
    let arena = VectorArena::<f32>::new(100).unwrap();
    arena.make_room(200).unwrap();
    let mut sum = 0.0;
    check(|| {
        let row = arena.add(&[1.0; 100]).unwrap();
        let reader = arena.read();
        sum += reader.get(row).unwrap()[99];
        sum += reader.get(Row::new(0)).unwrap()[0];
        for run in reader.runs() {
            sum += run.rows().data()[0];
        }
    });
    assert!(sum > 300.0);
}
