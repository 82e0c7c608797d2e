//! The counting allocator counts what its thread asks for, and that alone.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use std::hint::black_box;
use std::thread;

use cortica_testkit::{
    Allocations, CountingAllocator, count_allocations, count_allocations_of_all, is_counting,
};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

#[track_caller]
fn check(work: impl FnOnce(), allocations: u64, bytes: u64, frees: u64, bytes_freed: u64) {
    let ((), counted) = count_allocations(work);
    let want = Allocations {
        allocations,
        bytes,
        frees,
        bytes_freed,
    };
    assert_eq!(counted, want);
}

#[test]
fn every_way_to_ask_is_counted() {
    assert!(is_counting());
    check(|| {}, 0, 0, 0, 0);
    check(|| drop(black_box(Box::new([1_u8; 100]))), 1, 100, 1, 100);
    check(|| drop(black_box(vec![0_u64; 8])), 1, 64, 1, 64); // Zeroed.
    let mut text = String::with_capacity(10);
    check(|| text.reserve_exact(20), 1, 20, 1, 10); // Grown.
    check(|| text.shrink_to(5), 1, 5, 1, 20);
    check(|| drop(text), 0, 0, 1, 5);
    let (boxed, counted) = count_allocations(|| Box::new([1_u32; 4]));
    assert_eq!((counted.net_bytes(), boxed[3]), (16, 1));
}

#[test]
fn threads_count_for_themselves() {
    let (counted_there, counted_here) = count_allocations(|| {
        thread::scope(|threads| {
            let work = || count_allocations(|| drop(black_box(vec![1_u8; 1_000_000]))).1;
            threads.spawn(work).join().unwrap()
        })
    });
    assert_eq!(counted_there.bytes, 1_000_000);
    assert!(counted_here.bytes < 100_000, "{counted_here:?}");
}

#[test]
fn all_threads_together_are_counted() {
    let ((), blocks) = count_allocations_of_all(|| {
        let ask = || {
            for _ in 0..10_000 {
                drop(black_box(Box::new([1_u8; 100])));
            }
        };
        thread::scope(|threads| {
            threads.spawn(ask);
            threads.spawn(ask);
        });
    });
    // Other tests ask for a little meanwhile.
    assert!((20_000..21_000).contains(&blocks), "{blocks}");
}
