//! End to end: a sorted list that is searched hop by hop, and now and then changed.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Result, ensure};
use cortica_env::Seed;
use cortica_reclaim::{Form, PublishOnPing, Reclaim, SortedSet};

use crate::stopwatch::Stopwatch;
use crate::subject::{Pair, Run, Setup};

/// Keys that may be there; every other one is at the start.
const KEYS: u64 = 512;

/// Operations in one timed section.
const OPERATIONS: usize = 20_000;

/// Of a hundred: insertions, and as many removals. The rest are searches.
const CHANGES: u64 = 2;

/// Readers pinged by signal, against readers that run a fence at each hop; all else is the same.
pub(super) fn signal_against_fenced(_: &Setup) -> Result<Pair> {
    let domain = PublishOnPing::signalled()?;
    ensure!(domain.form() == Form::Signal);
    Ok(Pair {
        check: Box::new(check),
        subject: side(&domain),
        baseline: side(&PublishOnPing::fenced()),
    })
}

fn side(domain: &PublishOnPing) -> Run {
    let set = filled(domain);
    let mut seed = 0;
    Box::new(move |watch| {
        seed += 1;
        beside_another(&set, seed, watch);
        Ok(())
    })
}

fn filled<R: Reclaim>(domain: &R) -> SortedSet<u64, R> {
    let set = SortedSet::new(domain);
    for key in (0..KEYS).step_by(2) {
        let _ = set.insert(key); // A new set has none of them.
    }
    set
}

/// What happens to which key.
#[derive(Clone, Copy)]
enum Operation {
    Insert(u64),
    Remove(u64),
    Search(u64),
}

fn operations(seed: u64) -> impl Iterator<Item = Operation> {
    let mut rng = Seed(seed).rng();
    std::iter::repeat_with(move || {
        let key = rng.below(KEYS);
        match rng.below(100) {
            chance if chance < CHANGES => Operation::Insert(key),
            chance if chance < 2 * CHANGES => Operation::Remove(key),
            _ => Operation::Search(key),
        }
    })
}

/// Whether the set changed, or the key was there.
fn run<R: Reclaim>(set: &SortedSet<u64, R>, operation: Operation) -> bool {
    match operation {
        Operation::Insert(key) => set.insert(key).is_ok(),
        Operation::Remove(key) => set.remove(&key),
        Operation::Search(key) => set.contains(&key),
    }
}

/// Times a thread that works on the set while another does the same.
fn beside_another<R: Reclaim>(set: &SortedSet<u64, R>, seed: u64, watch: &mut Stopwatch) {
    let (working, done) = (AtomicBool::new(false), AtomicBool::new(false));
    let (other, own) = (operations(seed), operations(!seed).take(OPERATIONS));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            for operation in other {
                black_box(run(set, operation));
                working.store(true, Relaxed);
                if done.load(Relaxed) {
                    break;
                }
            }
        });
        while !working.load(Relaxed) {
            std::thread::yield_now();
        }
        watch.time(|| own.for_each(|operation| _ = black_box(run(set, operation))));
        done.store(true, Relaxed);
    });
}

/// Both forms do what a reference does.
fn check() -> Result<()> {
    for domain in [PublishOnPing::signalled()?, PublishOnPing::fenced()] {
        let (set, mut reference) = (filled(&domain), BTreeSet::new());
        reference.extend((0..KEYS).step_by(2));
        for operation in operations(7).take(OPERATIONS) {
            let expected = match operation {
                Operation::Insert(key) => reference.insert(key),
                Operation::Remove(key) => reference.remove(&key),
                Operation::Search(key) => reference.contains(&key),
            };
            ensure!(run(&set, operation) == expected, "the set lost its way");
        }
        ensure!(domain.stats().retired > 100, "hardly anything was removed");
    }
    Ok(())
}
