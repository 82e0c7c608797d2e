//! loom over the shipped code, in its fenced form: loom has no model of membarrier (tests/litmus.rs
//! has that). Run by `cargo xtask loom`. The table of what fails when an ordering is weakened is
//! in docs/concurrency.md.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "in helpers, a panic is the report, too")]

mod watched;

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use cortica_reclaim::{Epoch, Protect, PublishOnPing, Reclaim, Shared};
use loom::sync::Arc;
use loom::sync::atomic::AtomicPtr;
use loom::thread;
use watched::{DEAD, Node, Watched, bury, eager, explore};

struct World<R> {
    domain: R,
    nodes: [Node; 3],
    source: AtomicPtr<Node>,
}

impl<R: Reclaim> World<R> {
    fn new(domain: R) -> Arc<World<R>> {
        let nodes = [Node::new(1), Node::new(2), Node::new(3)];
        let world = Arc::new(World {
            domain,
            nodes,
            source: AtomicPtr::new(std::ptr::null_mut()),
        });
        world.source.store(world.nodes[0].as_mut_ptr(), Relaxed);
        world
    }

    /// Puts a node in place of another and retires that one.
    fn replace_by(&self, node: usize) {
        let mut guard = self.domain.guard();
        let old = self.source.swap(self.nodes[node].as_mut_ptr(), AcqRel);
        // SAFETY: it was just taken out of the only source; nodes outlive the domain's use.
        unsafe { guard.retire_with(old, bury) };
    }

    fn value(&self, guard: &mut impl Protect) -> u64 {
        let node = guard.protect(&self.source);
        // SAFETY: nodes live as long as the world.
        let value = unsafe { &*node }.read();
        assert_ne!(value, DEAD, "freed under a reader");
        value
    }
}

#[test]
fn retire_against_protect() {
    static KEPT: AtomicBool = AtomicBool::new(false);
    static FREED: AtomicBool = AtomicBool::new(false);
    explore("retire_against_protect", 3, || {
        let world = World::new(eager());
        let reader = thread::spawn({
            let world = world.clone();
            move || world.value(&mut world.domain.guard())
        });
        let reclaimer = thread::spawn({
            let world = world.clone();
            move || {
                world.replace_by(1);
                world.domain.stats().pending()
            }
        });
        let (value, pending) = (reader.join().unwrap(), reclaimer.join().unwrap());
        // Saw the reader's reservation of the old node; or freed it, and the reader moved on.
        if value == 1 && pending == 1 {
            KEPT.store(true, Relaxed);
        }
        if value == 2 && pending == 0 {
            FREED.store(true, Relaxed);
        }
    });
    assert!(KEPT.load(Relaxed), "never met a reservation");
    assert!(FREED.load(Relaxed), "never freed beside a reader");
}

/// A guard that goes from one object to the next lets go of the first only after its last read.
#[test]
fn retire_against_a_reader_that_moves_on() {
    static MOVED: AtomicBool = AtomicBool::new(false);
    explore("retire_against_a_reader_that_moves_on", 3, || {
        let world = World::new(eager());
        let reader = thread::spawn({
            let world = world.clone();
            move || {
                let mut guard = world.domain.guard();
                let first = world.value(&mut guard);
                guard.park(); // Left standing: the second read takes the short way if it can.
                let mut guard = world.domain.guard();
                (first, world.value(&mut guard))
            }
        });
        let reclaimer = thread::spawn({
            let world = world.clone();
            move || {
                world.replace_by(1);
                world.domain.guard().collect();
                world.domain.stats().freed
            }
        });
        let (values, freed) = (reader.join().unwrap(), reclaimer.join().unwrap());
        if values == (1, 2) && freed == 1 {
            MOVED.store(true, Relaxed);
        }
    });
    assert!(MOVED.load(Relaxed), "never freed what a reader had let go");
}

/// Reads what this thread has parked, as operations do that take no guard.
fn value_if_parked(world: &World<PublishOnPing>) -> Option<u64> {
    let node = world.source.load(Relaxed);
    let is_parked = world.domain.has_parked(node);
    is_parked.then(|| {
        // SAFETY: nodes live as long as the world.
        let value = unsafe { &*node }.read();
        assert_ne!(value, DEAD, "freed though it was parked");
        value
    })
}

/// What is known to be parked is not freed under a thread that looks at it without a guard.
#[test]
fn retire_against_what_is_parked() {
    static KEPT: AtomicBool = AtomicBool::new(false);
    static WENT_ON: AtomicBool = AtomicBool::new(false);
    explore("retire_against_what_is_parked", 3, || {
        let world = World::new(eager());
        let reader = thread::spawn({
            let world = world.clone();
            move || {
                let mut guard = world.domain.guard();
                world.value(&mut guard);
                guard.park();
                value_if_parked(&world)
            }
        });
        let reclaimer = thread::spawn({
            let world = world.clone();
            move || {
                world.replace_by(1);
                world.domain.stats().pending()
            }
        });
        match (reader.join().unwrap(), reclaimer.join().unwrap()) {
            (Some(1), 1) => KEPT.store(true, Relaxed), // Retired before the thread had ended.
            (None, _) => WENT_ON.store(true, Relaxed),
            _ => {}
        }
    });
    assert!(KEPT.load(Relaxed), "never looked at what was retired");
    assert!(WENT_ON.load(Relaxed), "never found another object");
}

/// The next guard forgets what was parked before it protects anything else.
#[test]
fn retire_against_what_was_parked() {
    static FREED: AtomicBool = AtomicBool::new(false);
    static STAYED: AtomicBool = AtomicBool::new(false);
    explore("retire_against_what_was_parked", 3, || {
        let world = World::new(eager());
        let reader = thread::spawn({
            let world = world.clone();
            move || {
                let mut guard = world.domain.guard();
                world.value(&mut guard);
                guard.park();
                let mut other = world.domain.guard();
                let elsewhere = AtomicPtr::new(world.nodes[2].as_mut_ptr());
                other.protect(&elsewhere);
                value_if_parked(&world)
            }
        });
        let reclaimer = thread::spawn({
            let world = world.clone();
            move || {
                world.replace_by(1);
                world.domain.stats().freed
            }
        });
        let (value, freed) = (reader.join().unwrap(), reclaimer.join().unwrap());
        assert_eq!(value, None, "known as parked, but it is not");
        match freed {
            0 => STAYED.store(true, Relaxed),
            _ => FREED.store(true, Relaxed),
        }
    });
    assert!(
        FREED.load(Relaxed),
        "never freed what is not parked any more"
    );
    assert!(STAYED.load(Relaxed), "never met the reservation");
}

/// A slot with garbage in it goes from a thread that ends to one that begins.
#[test]
fn slots_are_handed_over() {
    static HANDED_OVER: AtomicBool = AtomicBool::new(false);
    static BOTH_NEW: AtomicBool = AtomicBool::new(false);
    explore("slots_are_handed_over", 3, || {
        let world = World::new(PublishOnPing::fenced().with_batch(8));
        let threads = [1, 2].map(|node| {
            let world = world.clone();
            thread::spawn(move || {
                world.replace_by(node); // Below the quota: freed when the thread ends.
                world.domain.stats().slots
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let stats = world.domain.stats();
        assert_eq!(stats.retired, 2);
        match stats.slots {
            1 => HANDED_OVER.store(true, Relaxed),
            _ => BOTH_NEW.store(true, Relaxed),
        }
    });
    assert!(HANDED_OVER.load(Relaxed), "no thread took another's slot");
    assert!(BOTH_NEW.load(Relaxed), "the threads never overlapped");
}

/// A slot that is new, or changes hands, is seen by a reclaimer that is at work already.
#[test]
fn a_second_reader_in_a_used_slot_is_seen() {
    static KEPT: AtomicBool = AtomicBool::new(false);
    explore("a_second_reader_in_a_used_slot_is_seen", 1, || {
        let world = World::new(eager());
        let readers = thread::spawn({
            let world = world.clone();
            move || {
                let first = thread::spawn({
                    let world = world.clone();
                    move || world.value(&mut world.domain.guard())
                });
                let second = world.value(&mut world.domain.guard());
                (first.join().unwrap(), second)
            }
        });
        let reclaimer = thread::spawn({
            let world = world.clone();
            move || {
                world.replace_by(1);
                world.domain.stats().pending()
            }
        });
        let (values, pending) = (readers.join().unwrap(), reclaimer.join().unwrap());
        if values == (1, 1) && pending == 1 {
            KEPT.store(true, Relaxed);
        }
    });
    assert!(KEPT.load(Relaxed), "never met a reservation");
}

/// What a writer wrote is there when a reader finds the pointer, and the reader is done when
/// the value is dropped: `Shared`'s own orderings.
#[test]
fn shared_values_arrive_whole() {
    static SEEN: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    explore("shared_values_arrive_whole", 3, || {
        read_beside_replace(eager(), &SEEN)
    });
    assert!(
        SEEN.iter().all(|seen| seen.load(Relaxed)),
        "one side always won"
    );
}

/// The same with no fence to help.
#[test]
fn shared_values_arrive_whole_without_fences() {
    static SEEN: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    explore("shared_values_arrive_whole_without_fences", 3, || {
        read_beside_replace(PublishOnPing::unfenced(), &SEEN);
    });
    assert!(
        SEEN.iter().all(|seen| seen.load(Relaxed)),
        "one side always won"
    );
}

fn read_beside_replace(domain: PublishOnPing, seen: &[AtomicBool; 2]) {
    let shared = Arc::new(Shared::new(&domain, Watched::new(1)));
    let reader = thread::spawn({
        let shared = shared.clone();
        move || shared.read().0.read()
    });
    let writer = thread::spawn({
        let shared = shared.clone();
        move || shared.replace(Watched::new(2))
    });
    match reader.join().unwrap() {
        value @ (1 | 2) => seen[value as usize - 1].store(true, Relaxed),
        other => panic!("read {other}"),
    }
    writer.join().unwrap();
}

/// crossbeam's own models cover its epochs; here, that guards of ours hold them. What is retired is
/// freed two epochs later, and each look at it goes on by one.
#[test]
fn epochs_hold_what_a_guard_reads() {
    static HELD: AtomicBool = AtomicBool::new(false);
    static FREED: AtomicBool = AtomicBool::new(false);
    explore("epochs_hold_what_a_guard_reads", 2, || {
        let world = World::new(Epoch::new());
        let reads = Reads::default();
        let reader = thread::spawn({
            let (world, reads) = (world.clone(), reads.clone());
            move || {
                let mut guard = world.domain.guard();
                let node = guard.protect(&world.source);
                reads.set(true);
                // SAFETY: nodes live as long as the world.
                let read = || unsafe { &*node }.read();
                let first = read();
                thread::yield_now(); // Loom would not leave a thread here otherwise.
                let values = [first, read()];
                assert!(!values.contains(&DEAD), "freed under a reader");
                reads.set(false);
                drop(guard);
                values
            }
        });
        let reclaimer = thread::spawn({
            let world = world.clone();
            move || {
                world.replace_by(1);
                let before = reads.get();
                for _ in 0..2 {
                    world.domain.guard().collect();
                }
                (world.domain.stats().freed, before && reads.get())
            }
        });
        let (values, (freed, beside)) = (reader.join().unwrap(), reclaimer.join().unwrap());
        if values == [1, 1] && beside {
            // It tried to free what was being read all the while.
            assert_eq!(freed, 0);
            HELD.store(true, Relaxed);
        }
        if values == [2, 2] && freed == 1 {
            FREED.store(true, Relaxed);
        }
    });
    assert!(HELD.load(Relaxed), "never tried to free what was read");
    assert!(FREED.load(Relaxed), "never freed beside a reader");
}

/// Whether a reader is at it. No part of the model, in which it orders nothing.
#[derive(Clone, Default)]
struct Reads(std::sync::Arc<AtomicBool>);

impl Reads {
    fn set(&self, reads: bool) {
        self.0.store(reads, Relaxed);
    }

    fn get(&self) -> bool {
        self.0.load(Relaxed)
    }
}
