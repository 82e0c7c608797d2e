//! Readers whose stores reach memory late, against the signal form as it ships.
//!
//! A reclaimer waits for an answer or a fence because a reader's reservation may not have reached
//! memory yet. On a processor with nothing else to store it gets there in nanoseconds, before a
//! signal is even sent, and a reclaimer that waits for nobody goes unnoticed. So here the reader's
//! reservations queue behind stores that take long, no signal comes that would empty the queue, as
//! the reader blocks it most of the time, and what was found is held until the queue is empty.
#![cfg(all(not(loom), target_os = "linux", feature = "signal"))]
#![allow(clippy::unwrap_used, reason = "in helpers, a panic is the report, too")]

mod blocked;

use std::collections::VecDeque;
use std::ptr::{from_ref, null_mut};
use std::sync::Mutex;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU64};
use std::time::{Duration, Instant};

use blocked::set_blocked;
use cortica_reclaim::{Protect, PublishOnPing, Reclaim};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// A count of its births and deaths: odd while it is alive.
#[repr(align(128))]
struct Node(AtomicU64);

/// Born again in the order in which they died, so late that no reader takes one life for another.
/// Never deallocated: a reader that is wrong finds that out, and does no harm.
static DEAD: Mutex<VecDeque<&'static Node>> = Mutex::new(VecDeque::new());
const NODES: usize = 4_096;

fn bear() -> *mut Node {
    let node = DEAD.lock().unwrap().pop_front().unwrap();
    node.0.fetch_add(1, Relaxed);
    from_ref(node).cast_mut()
}

/// # Safety
///
/// `node` came from `bear`.
unsafe fn bury(node: *mut Node) {
    // SAFETY: the caller's promise: it lives for ever.
    let node: &'static Node = unsafe { &*node };
    node.0.fetch_add(1, Relaxed);
    DEAD.lock().unwrap().push_back(node);
}

/// Two threads on one processor never meet. Says whether there is more than one.
fn stay_on_processor(number: usize) -> bool {
    let allowed = sched_getaffinity(None).unwrap();
    let mut ones = (0..CpuSet::MAX_CPU).filter(|&one| allowed.is_set(one));
    let mut only = CpuSet::new();
    only.set(ones.nth(number % allowed.count() as usize).unwrap());
    sched_setaffinity(None, &only).unwrap();
    allowed.count() > 1
}

/// Keeps the processor's stores waiting for one another, and for memory.
struct Waste(Vec<Line>);

#[repr(align(64))]
struct Line(AtomicU64);

impl Waste {
    /// 64 MiB.
    const LINES: usize = 1 << 20;
    /// As many as wait for memory one after another for longer than it takes to send a signal that
    /// is blocked, and look at the slots.
    const STORES: usize = 20;

    fn new() -> Waste {
        Waste((0..Waste::LINES).map(|_| Line(AtomicU64::new(0))).collect())
    }

    fn store(&self, random: &mut u64) {
        for _ in 0..Waste::STORES {
            // Knuth's generator; the upper bits are the good ones.
            *random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            let line = &self.0[(*random >> 40) as usize % Waste::LINES];
            line.0.store(*random, Relaxed);
            // Stores wait for it, and loads do not: just so. Caches may be larger than the waste.
            #[cfg(target_arch = "x86_64")]
            // SAFETY: every x86-64 has it, and it changes nothing that can be read.
            unsafe {
                std::arch::x86_64::_mm_clflush(from_ref(line).cast());
            }
        }
    }
}

/// What the reader came by.
#[derive(Debug, Default)]
struct Tally {
    reads: u64,
    /// Reads that found another node than the last.
    changes: u64,
    /// Reads whose node died meanwhile.
    died: u64,
}

const TIME_MIN: Duration = Duration::from_secs(4);
const TIME_MAX: Duration = Duration::from_mins(1);
/// How often the two have to meet for it to mean something.
const CHANGES_MIN: u64 = 1_000;
/// How long the reader blocks the signal at a time: several times as long as a reclaimer waits for
/// an answer, however fast the reader is.
const DEAF: Duration = Duration::from_millis(40);
/// And how long it hears in between.
const HEARING: Duration = Duration::from_millis(5);
/// Reads between two looks at the clock.
const TURN: u64 = 100;
/// How long a node is held: as long as the stores before may take.
const LOOKS: usize = 500;

#[test]
fn nothing_is_freed_under_a_reader_whose_stores_are_late() {
    let domain = PublishOnPing::signalled().unwrap().with_batch(1);
    let nodes = (0..NODES).map(|_| &*Box::leak(Box::new(Node(AtomicU64::new(0)))));
    DEAD.lock().unwrap().extend(nodes);
    let source = AtomicPtr::new(bear());
    let (done, changes) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut replaced = 0;
    std::thread::scope(|threads| {
        let reader = threads.spawn(|| {
            stay_on_processor(1);
            let (waste, mut random) = (Waste::new(), 0);
            let mut tally = Tally::default();
            let mut last = null_mut();
            let mut guard = domain.guard();
            let (mut is_deaf, mut since) = (false, Instant::now());
            while !done.load(Relaxed) && tally.died == 0 {
                if tally.reads.is_multiple_of(TURN)
                    && since.elapsed() >= if is_deaf { DEAF } else { HEARING }
                {
                    (is_deaf, since) = (!is_deaf, Instant::now());
                    set_blocked(is_deaf);
                }
                waste.store(&mut random);
                let found = guard.protect(&source);
                // SAFETY: from `bear`, so it lives for ever.
                let node = unsafe { &*found };
                let birth = node.0.load(Relaxed);
                let dies = (0..LOOKS).any(|_| node.0.load(Relaxed) != birth);
                tally.died += u64::from(dies || birth.is_multiple_of(2));
                tally.changes += u64::from(found != last);
                changes.store(tally.changes, Relaxed);
                last = found;
                tally.reads += 1;
            }
            set_blocked(false);
            tally
        });
        let can_meet = stay_on_processor(0);
        let start = Instant::now();
        // Where others are at work too, a reader seldom runs while it is asked.
        let is_late = || domain.stats().late > 0;
        let is_enough = || !can_meet || changes.load(Relaxed) >= CHANGES_MIN && is_late();
        while start.elapsed() < TIME_MIN || !(is_enough() || start.elapsed() > TIME_MAX) {
            let mut guard = domain.guard();
            let old = source.swap(bear(), AcqRel);
            // SAFETY: from `bear`, and taken out just now by us alone.
            unsafe { guard.retire_with(old, bury) };
            replaced += 1;
            if reader.is_finished() {
                break; // It has found something, and says so below.
            }
        }
        done.store(true, Relaxed);
        let tally = reader.join().unwrap();
        println!("{replaced} replaced, {tally:?}, {:?}", domain.stats());
        assert_eq!(tally.died, 0, "freed under a reader");
        assert!(
            is_enough(),
            "{tally:?} in {TIME_MAX:?} says nothing: {CHANGES_MIN} changes are needed, and a reader that is \
             late once; run it on a machine that does less beside"
        );
    });
}
