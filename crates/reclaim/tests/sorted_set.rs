//! `SortedSet` against `BTreeSet`, and under threads that fight over a few keys.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "in helpers, a panic is the report, too")]

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicIsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};

use cortica_reclaim::{Epoch, PublishOnPing, Reclaim, SortedSet};

/// The same numbers every time: splitmix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }
}

fn check_against_btree<R: Reclaim>(domain: &R) {
    let mut numbers = Numbers(7);
    for keys in [1, 2, 5, 60] {
        let (set, mut reference) = (SortedSet::new(domain), BTreeSet::new());
        for _ in 0..3_000 {
            let key = numbers.next(keys);
            match numbers.next(3) {
                0 => assert_eq!(set.insert(key).is_ok(), reference.insert(key)),
                1 => assert_eq!(set.remove(&key), reference.remove(&key)),
                _ => assert_eq!(set.contains(&key), reference.contains(&key)),
            }
        }
        for key in 0..=keys {
            assert_eq!(set.contains(&key), reference.contains(&key));
        }
    }
}

#[test]
fn it_does_what_a_btree_does() {
    check_against_btree(&PublishOnPing::new().with_batch(3));
    check_against_btree(&PublishOnPing::fenced());
    check_against_btree(&Epoch::new());
    #[cfg(all(feature = "signal", target_os = "linux"))]
    check_against_btree(&PublishOnPing::signalled().unwrap().with_batch(3));
}

#[test]
fn a_key_that_is_there_comes_back() {
    let set = SortedSet::new(&PublishOnPing::new());
    assert_eq!(set.insert("one".to_owned()), Ok(()));
    assert_eq!(set.insert("one".to_owned()), Err("one".to_owned()));
}

/// Counts how many of it there are, and is visibly dead afterwards.
struct Counted {
    key: u64,
    alive: Arc<AtomicIsize>,
}

impl Counted {
    fn new(key: u64, alive: &Arc<AtomicIsize>) -> Counted {
        alive.fetch_add(1, SeqCst);
        Counted {
            key,
            alive: Arc::clone(alive),
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        assert_ne!(self.key, u64::MAX, "dropped twice");
        // Volatile, so that the death is written though nobody should read it.
        let key = &raw mut self.key;
        // SAFETY: a pointer to a field of `self`.
        unsafe { key.write_volatile(u64::MAX) };
        self.alive.fetch_sub(1, SeqCst);
    }
}

impl Ord for Counted {
    fn cmp(&self, other: &Counted) -> Ordering {
        assert_ne!(self.key, u64::MAX, "compared after it was freed");
        self.key.cmp(&other.key)
    }
}

impl PartialOrd for Counted {
    fn partial_cmp(&self, other: &Counted) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Counted {
    fn eq(&self, other: &Counted) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Counted {}

/// What went in and did not come out is there, each key at most once, and nothing is lost or kept.
fn check_under_threads<R: Reclaim>(domain: R) {
    const KEYS: u64 = 8;
    const EACH: usize = 30_000;
    let alive = Arc::new(AtomicIsize::new(0));
    let set = SortedSet::new(&domain);
    let balance: Vec<AtomicIsize> = (0..KEYS).map(|_| AtomicIsize::new(0)).collect();
    // Always there, behind all the others: every search for it goes through the fight.
    assert!(set.insert(Counted::new(KEYS, &alive)).is_ok());
    std::thread::scope(|threads| {
        let fighters = [0, 1, 2, 3].map(|seed| {
            let (set, balance, alive) = (&set, &balance, &alive);
            threads.spawn(move || {
                let mut numbers = Numbers(seed);
                for _ in 0..EACH {
                    let key = numbers.next(KEYS);
                    let count = &balance[key as usize];
                    match numbers.next(3) {
                        0 if set.insert(Counted::new(key, alive)).is_ok() => {
                            count.fetch_add(1, Relaxed);
                        }
                        1 if set.remove(&Counted::new(key, alive)) => {
                            count.fetch_sub(1, Relaxed);
                        }
                        2 => assert!(set.contains(&Counted::new(KEYS, alive))),
                        _ => {}
                    }
                }
            })
        });
        for fighter in fighters {
            fighter.join().unwrap(); // By hand: the scope does not wait for its thread-locals.
        }
    });
    for (key, count) in balance.iter().enumerate() {
        let there = set.contains(&Counted::new(key as u64, &alive));
        assert_eq!(count.load(Relaxed), isize::from(there), "key {key}");
    }
    let retired = domain.stats().retired;
    assert!(retired > 1_000, "{retired}: there was no fight");
    drop(set);
    drop(domain);
    // Threads that used an epoch domain may hold on to garbage until they end; they have.
    assert_eq!(alive.load(SeqCst), 0);
}

#[test]
fn threads_that_fight_over_keys_agree() {
    check_under_threads(PublishOnPing::new());
    check_under_threads(PublishOnPing::new().with_batch(2));
    check_under_threads(PublishOnPing::fenced().with_batch(2));
    check_under_threads(Epoch::new());
    #[cfg(all(feature = "signal", target_os = "linux"))]
    check_under_threads(PublishOnPing::signalled().unwrap().with_batch(64));
}
