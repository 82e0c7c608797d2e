//! Levels against an injected clock.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_arena::{Level, MemoryPressure, QueuePressure};

const MS: i64 = 1_000;

#[test]
fn levels_rise_at_their_shares_at_once() {
    let shares = [
        (0, Level::Normal),
        (599, Level::Normal),
        (600, Level::Elevated),
        (799, Level::Elevated),
        (800, Level::High),
        (949, Level::High),
        (950, Level::Critical),
        (1_000, Level::Critical),
        (5_000, Level::Critical),
    ];
    for (used, level) in shares {
        let pressure = MemoryPressure::new();
        assert_eq!(pressure.level(), Level::Normal);
        assert_eq!(pressure.observe(used, 1_000, 7 * MS), level, "{used}");
        assert_eq!(pressure.level(), level);
    }
}

#[test]
fn strange_readings() {
    assert_eq!(QueuePressure::new().observe(0, 0, 0), Level::Critical);
    let pressure = QueuePressure::new();
    assert_eq!(
        pressure.observe(usize::MAX, usize::MAX, i64::MAX),
        Level::Critical
    );
    assert_eq!(pressure.observe(0, usize::MAX, i64::MIN), Level::Critical); // Jumped back.
    assert_eq!(
        pressure.observe(0, usize::MAX, i64::MIN + 50 * MS),
        Level::Normal
    );
    assert_eq!(pressure.changes(), 2);
}

/// A share that goes to and fro across a bar, but not far enough below it, changes the level once.
#[test]
fn no_fluttering() {
    let pressure = MemoryPressure::new();
    for step in 0..1_000 {
        let used = if step % 2 == 0 { 801 } else { 751 };
        pressure.observe(used, 1_000, step * 10 * MS);
    }
    assert_eq!((pressure.level(), pressure.changes()), (Level::High, 1));
    // Nor does one that dips far below for less than 50 ms at a time.
    for step in 1_000..2_000 {
        let used = if step % 5 == 0 { 801 } else { 100 };
        assert_eq!(pressure.observe(used, 1_000, step * 10 * MS), Level::High);
    }
    assert_eq!(pressure.changes(), 1);
    pressure.reset_stats();
    assert_eq!((pressure.level(), pressure.changes()), (Level::High, 0));
    // The level is still held by the readings before.
    assert_eq!(pressure.observe(0, 1_000, 19_960 * MS), Level::High);
    assert_eq!(pressure.observe(0, 1_000, 20_050 * MS), Level::Normal);
    assert_eq!(pressure.changes(), 1);
}

/// From any level to any other, however often there are readings of up to 50 ms apart, and
/// whatever came before: the new level shows within 100 ms.
#[test]
fn every_change_shows_within_100_ms() {
    let shares = [
        (100, Level::Normal),
        (700, Level::Elevated),
        (850, Level::High),
        (990, Level::Critical),
    ];
    for (before, _) in shares {
        for (between, _) in shares {
            for (after, level) in shares {
                for interval in [1, 3, 10, 20, 33, 40, 49, 50] {
                    let pressure = MemoryPressure::new();
                    let mut now = 0;
                    let mut observe = |used| {
                        now += interval * MS;
                        (now, pressure.observe(used, 1_000, now))
                    };
                    for _ in 0..10 {
                        observe(before);
                    }
                    let (changed, _) = observe(between);
                    let (at, _) = std::iter::repeat_with(|| observe(after))
                        .find(|(_, shown)| *shown == level)
                        .unwrap();
                    let note = format!("{before}, {between}, {after} every {interval} ms");
                    // The change came right after the last reading that did not show it.
                    assert!(at - changed <= 100 * MS, "{note}: {} us", at - changed);
                }
            }
        }
    }
}

#[test]
fn levels_fall_after_50_ms_and_not_before() {
    let pressure = MemoryPressure::new();
    pressure.observe(990, 1_000, 0);
    for now in 1..50 {
        assert_eq!(pressure.observe(0, 1_000, now * MS), Level::Critical);
    }
    assert_eq!(pressure.observe(0, 1_000, 50 * MS), Level::Normal);
}

#[test]
fn a_clock_that_jumps_back_starts_the_wait_anew() {
    let pressure = MemoryPressure::new();
    pressure.observe(990, 1_000, 1_000 * MS);
    assert_eq!(pressure.observe(0, 1_000, 10 * MS), Level::Critical);
    assert_eq!(pressure.observe(0, 1_000, 59 * MS), Level::Critical);
    assert_eq!(pressure.observe(0, 1_000, 60 * MS), Level::Normal);
}
