//! Rows under many threads.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::{Duration, Instant};

use cortica_arena::{ArenaOptions, Row, VectorArena};
use cortica_testkit::Rng;

/// Four writers add and free, four readers look. A row holds one number in all its places, and
/// what a reader found stays as it was found until the reader is gone. It goes on until rows were
/// used again a thousand times.
#[test]
fn rows_are_whole_and_still_under_eight_threads() {
    const DIMENSION: usize = 33;
    const REUSED: usize = 1_000;
    let options = ArenaOptions {
        segment_bytes: 4_096,
        ..ArenaOptions::default()
    };
    let arena = VectorArena::<f32>::with(DIMENSION, options).unwrap();
    let reused = AtomicUsize::new(0);
    let start = Instant::now();
    let is_over = || reused.load(Relaxed) >= REUSED || start.elapsed() > Duration::from_mins(1);
    thread::scope(|threads| {
        for writer in 0..4 {
            let (arena, reused, is_over) = (&arena, &reused, &is_over);
            threads.spawn(move || write_and_free(arena, writer, reused, is_over));
        }
        for reader in 0..4 {
            let (arena, is_over) = (&arena, &is_over);
            threads.spawn(move || read_and_compare(arena, reader, is_over));
        }
    });
    let stats = arena.stats();
    assert_eq!((stats.live, arena.len()), (0, 0));
    let reused = reused.load(Relaxed);
    assert!(reused >= REUSED, "used again: {reused}, {stats:?}");
}

fn write_and_free(
    arena: &VectorArena,
    writer: u64,
    reused: &AtomicUsize,
    is_over: impl Fn() -> bool,
) {
    let mut rng = Rng::new(writer);
    let mut mine: Vec<Row> = Vec::new();
    let (mut number, mut highest) = (writer as u32, 0);
    while !is_over() {
        number = number % 1_000_000 + 4;
        let mut reserved = arena.reserve().unwrap();
        for place in reserved.values_mut() {
            *place = number as f32;
        }
        let row = reserved.publish();
        reused.fetch_add(usize::from(row.get() < highest), Relaxed);
        highest = highest.max(row.get());
        mine.push(row);
        while mine.len() > rng.below(60) {
            let row = mine.swap_remove(rng.below(mine.len()));
            arena.free(row).unwrap();
        }
        if number % 64 < 4 {
            thread::yield_now();
        }
    }
    for row in mine {
        arena.free(row).unwrap();
    }
}

fn read_and_compare(arena: &VectorArena, reader: u64, is_over: impl Fn() -> bool) {
    let whole = |row: &[f32]| row.iter().all(|value| *value == row[0]) && row[0] > 0.0;
    let mut rng = Rng::new(100 + reader);
    while !is_over() {
        let count = arena.stats().rows.max(1);
        let reader = arena.read();
        let found: Vec<(&[f32], Vec<f32>)> = (0..20)
            .filter_map(|_| reader.get(Row::new(rng.below(count) as u32)))
            .map(|row| (row, row.to_vec()))
            .collect();
        let (runs, skipped) = (reader.runs(), rng.below(10));
        let mut sums = Vec::new();
        for run in runs.skip(skipped).take(5) {
            assert!(run.rows().iter().all(whole));
            sums.push((run.data(), run.data().iter().sum::<f32>()));
        }
        thread::yield_now();
        for (row, copy) in found {
            assert!(whole(row));
            assert_eq!(row, copy, "written under a reader");
        }
        for (data, sum) in sums {
            assert_eq!(data.iter().sum::<f32>(), sum, "written under a reader");
        }
        drop(reader);
        thread::yield_now();
    }
}
