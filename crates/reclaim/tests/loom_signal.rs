//! loom over the protocol of `signal.rs`, which is the code that ships; the kernel's part of it
//! (`handler.rs`) is played by `interrupts.rs`: a reader that was asked runs the handler between
//! two of its atomic accesses, sooner or later, or never. A reclaimer gives up waiting after no
//! look or one. The table of what fails when an ordering is weakened is in docs/concurrency.md.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "in helpers, a panic is the report, too")]

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};

use cortica_reclaim::{
    Protect, PublishOnPing, Reclaim, Stats, handled, pause_around_next_signal,
    pause_before_next_wait, set_blocked, switched, testify,
};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicPtr;
use loom::thread;

/// Counted outside of the model, so that they outlive the explored runs.
struct Witness(AtomicUsize);

impl Witness {
    const fn new() -> Witness {
        Witness(AtomicUsize::new(0))
    }

    fn saw(&self, it: bool) {
        self.0.fetch_add(usize::from(it), Relaxed);
    }
}

/// Explores `run`, says how much that was, and asks every witness, and that handlers ran.
fn explore(name: &str, preemptions: usize, witnesses: &[&Witness], run: fn()) {
    let handled = explore_counting(name, preemptions, witnesses, run);
    assert!(handled > 0, "{name}: no handler ever ran");
}

/// As `explore`, and says how many handlers ran.
fn explore_counting(name: &str, preemptions: usize, witnesses: &[&Witness], run: fn()) -> usize {
    static EXPLORED: AtomicUsize = AtomicUsize::new(0);
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    EXPLORED.store(0, Relaxed);
    let before = handled();
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 20_000;
    model.check(move || {
        EXPLORED.fetch_add(1, Relaxed);
        run();
    });
    let explored = EXPLORED.load(Relaxed);
    let handled = handled() - before;
    let seen = witnesses.iter().map(|witness| witness.0.load(Relaxed));
    let seen: Vec<usize> = seen.collect();
    println!("{name}: {explored} interleavings, {handled} handlers, witnesses {seen:?}");
    assert!(
        seen.iter().all(|&seen| seen > 0),
        "{name} never reached the danger: {seen:?}"
    );
    handled
}

/// What is retired. Not deallocated: reading it and freeing it are accesses to a cell, and loom
/// watches their order.
struct Node(UnsafeCell<u64>);

const DEAD: u64 = 0;

// SAFETY: the cell is read under protection and written by whoever frees; loom checks that.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

/// # Safety
///
/// `node` is alive; loom checks that nobody else reads it.
unsafe fn bury(node: *mut Node) {
    // SAFETY: the caller's promise.
    unsafe { (*node).0.with_mut(|value| *value = DEAD) };
}

struct World {
    domain: PublishOnPing,
    nodes: [Node; 5],
    source: AtomicPtr<Node>,
    /// Where nobody changes what others look at.
    elsewhere: AtomicPtr<Node>,
}

impl World {
    /// Every retirement pings, and lets others run so often before it says that they are late.
    fn new(looks: usize) -> Arc<World> {
        let world = Arc::new(World {
            domain: PublishOnPing::interrupted(looks).with_batch(1),
            nodes: [1, 2, 3, 4, 5].map(|value| Node(UnsafeCell::new(value))),
            source: AtomicPtr::new(std::ptr::null_mut()),
            elsewhere: AtomicPtr::new(std::ptr::null_mut()),
        });
        world.source.store(world.node(0), Relaxed);
        world.elsewhere.store(world.node(4), Relaxed);
        world
    }

    fn node(&self, at: usize) -> *mut Node {
        std::ptr::from_ref(&self.nodes[at]).cast_mut()
    }

    /// Puts a node in place of another and retires that one.
    fn replace_by(&self, at: usize) -> Stats {
        self.replace_in(&self.source, at)
    }

    fn replace_in(&self, source: &AtomicPtr<Node>, at: usize) -> Stats {
        let mut guard = self.domain.guard();
        let old = source.swap(self.node(at), AcqRel);
        // SAFETY: it was just taken out of the only source; nodes outlive the domain's use.
        unsafe { guard.retire_with(old, bury) };
        drop(guard);
        self.domain.stats()
    }

    fn value(&self, guard: &mut impl Protect) -> u64 {
        World::value_in(&self.source, guard)
    }

    fn value_in(source: &AtomicPtr<Node>, guard: &mut impl Protect) -> u64 {
        let node = guard.protect(source);
        // SAFETY: nodes live as long as the world; loom checks that nobody frees it meanwhile.
        let value = unsafe { (*node).0.with(|value| *value) };
        assert_ne!(value, DEAD, "freed under a reader");
        value
    }
}

/// Runs `work` on a thread of its own.
fn with<R: 'static>(
    world: &Arc<World>,
    work: impl FnOnce(&World) -> R + 'static,
) -> thread::JoinHandle<R> {
    let world = world.clone();
    thread::spawn(move || work(&world))
}

/// A reader that answers, sooner or later or too late.
#[test]
fn retire_against_protect() {
    static KEPT: Witness = Witness::new();
    static FREED: Witness = Witness::new();
    static LATE: Witness = Witness::new();
    explore("signal/protect", 2, &[&KEPT, &FREED, &LATE], || {
        let world = World::new(1);
        let reader = with(&world, |world| world.value(&mut world.domain.guard()));
        let reclaimer = with(&world, |world| world.replace_by(1));
        let (value, stats) = (reader.join().unwrap(), reclaimer.join().unwrap());
        let answered = stats.late == 0 && stats.slots == 2;
        KEPT.saw(answered && value == 1 && stats.pending() == 1);
        FREED.saw(answered && value == 2 && stats.pending() == 0);
        LATE.saw(stats.late == 1 && stats.pending() == 1);
    });
}

/// A reader that does not hear any more: it turns out to be late, runs fences from then on, and
/// nothing is freed before it was seen to.
#[test]
fn retire_against_a_deaf_reader() {
    static REFUSED: Witness = Witness::new();
    static FREED: Witness = Witness::new();
    static KEPT: Witness = Witness::new();
    let handled = explore_counting("signal/deaf", 2, &[&REFUSED, &FREED, &KEPT], || {
        let world = World::new(0);
        let reader = with(&world, |world| {
            let mut guard = world.domain.guard();
            set_blocked(true);
            let first = world.value(&mut guard);
            (first, world.value(&mut guard))
        });
        let reclaimer = with(&world, |world| [world.replace_by(1), world.replace_by(2)]);
        let (values, stats) = (reader.join().unwrap(), reclaimer.join().unwrap());
        let [first, second] = stats;
        assert!(second.waits <= 1, "it was waited for again: {second:?}");
        REFUSED.saw(first.late == 1 && first.refused == 1 && second.pending() == 2);
        // It has run a fence by then, and lets go of what it had, or not.
        FREED.saw(second.late == 1 && second.freed == 2 && values == (1, 3));
        KEPT.saw(second.late == 1 && second.freed == 1 && values.1 == 2);
    });
    assert_eq!(handled, 0, "it heard");
}

/// It hears again, answers, and is let off its fences.
#[test]
fn retire_against_a_reader_that_hears_again() {
    static LET_OFF: Witness = Witness::new();
    static FREED: Witness = Witness::new();
    explore("signal/hears_again", 2, &[&LET_OFF, &FREED], || {
        let world = World::new(0);
        let reader = with(&world, |world| {
            let mut guard = world.domain.guard();
            set_blocked(true);
            let first = world.value(&mut guard);
            set_blocked(false);
            (first, world.value(&mut guard))
        });
        let reclaimer = with(&world, |world| [world.replace_by(1), world.replace_by(2)]);
        let (values, stats) = (reader.join().unwrap(), reclaimer.join().unwrap());
        let [first, second] = stats;
        LET_OFF.saw(second.late == 2); // Or it could not be late a second time.
        FREED.saw(first.late == 1 && second.freed > first.freed && values.0 == 1);
    });
}

/// A reader that has the signal blocked when it comes is not waited for.
#[test]
fn retire_against_a_reader_that_was_deaf() {
    static KEPT: Witness = Witness::new();
    static FREED: Witness = Witness::new();
    let handled = explore_counting("signal/was_deaf", 2, &[&KEPT, &FREED], || {
        let world = World::new(1);
        let reader = with(&world, |world| {
            set_blocked(true);
            world.value(&mut world.domain.guard())
        });
        let reclaimer = with(&world, |world| world.replace_by(1));
        let (value, stats) = (reader.join().unwrap(), reclaimer.join().unwrap());
        assert_eq!((stats.late, stats.refused), (0, 0));
        KEPT.saw(value == 1 && stats.pending() == 1);
        FREED.saw(value == 2 && stats.pending() == 0 && stats.slots == 2);
    });
    assert_eq!(handled, 0, "it heard");
}

/// A slot, and an entry to be pinged by, go from a thread that ends to one that begins, beside a
/// reclaimer.
#[test]
fn a_second_reader_in_a_used_slot_is_seen() {
    static KEPT: Witness = Witness::new();
    static FREED: Witness = Witness::new();
    explore("signal/used_slot", 1, &[&KEPT, &FREED], || {
        let world = World::new(1);
        let first = with(&world, |world| world.value(&mut world.domain.guard()));
        first.join().unwrap();
        let reader = with(&world, |world| {
            let mut guard = world.domain.guard();
            let value = world.value(&mut guard);
            thread::yield_now(); // Loom would not leave a thread here otherwise.
            value
        });
        let reclaimer = with(&world, |world| world.replace_by(1));
        let (value, stats) = (reader.join().unwrap(), reclaimer.join().unwrap());
        KEPT.saw(stats.slots == 2 && value == 1 && stats.pending() == 1);
        FREED.saw(stats.slots == 2 && value == 2 && stats.pending() == 0);
    });
}

/// Two that retire and read ping each other.
#[test]
fn two_ping_each_other() {
    static BOTH: Witness = Witness::new();
    explore("signal/each_other", 1, &[&BOTH], || {
        let world = World::new(1);
        let work = |at| {
            move |world: &World| {
                let value = world.value(&mut world.domain.guard());
                (value, world.replace_by(at))
            }
        };
        let (one, two) = (with(&world, work(1)), with(&world, work(2)));
        let (one, two) = (one.join().unwrap(), two.join().unwrap());
        BOTH.saw(one.0 == 1 && two.0 == 1 && one.1.freed + two.1.freed > 0);
    });
}

/// Two reclaimers and a late reader. One takes an object out while the reader runs fences, and
/// relies on them; the other, later, finds that the reader has answered, and lets it off. The
/// reader, which runs no fence then, has to see what the first one took out. It has not looked at
/// the source before: whoever lets others run does not see again, in loom, what it saw before.
#[test]
fn two_retire_against_a_late_reader() {
    static RELIED: Witness = Witness::new();
    static LET_OFF: Witness = Witness::new();
    explore("signal/two_and_late", 0, &[&RELIED, &LET_OFF], || {
        let world = World::new(0);
        let reader = with(&world, {
            let world = world.clone();
            move |_| {
                let mut guard = world.domain.guard();
                set_blocked(true);
                World::value_in(&world.elsewhere, &mut guard);
                let first = with(&world, |world| world.replace_by(1)).join().unwrap();
                assert_eq!((first.late, first.freed), (1, 0), "it heard");
                guard.release(); // Or the next look would be all there is to it.
                World::value_in(&world.elsewhere, &mut guard); // With a fence: it was seen.
                set_blocked(false);
                let one = with(&world, |world| world.replace_by(2));
                let two = std::sync::Arc::new(std::sync::Mutex::new(None));
                pause_around_next_signal({
                    let (world, two) = (world.clone(), two.clone());
                    move || *two.lock().unwrap() = Some(with(&world, |world| world.replace_by(3)))
                });
                let value = world.value(&mut guard);
                let two = two.lock().unwrap().take().unwrap();
                (value, one.join().unwrap(), two.join().unwrap())
            }
        });
        let (value, one, two) = reader.join().unwrap();
        // It frees under a late reader whose answer it does not have.
        let relied = one.late == 1 && one.freed > 0;
        RELIED.saw(relied && value > 2);
        LET_OFF.saw(relied && two.late == 2); // Or it could not be late a second time.
    });
}

/// Whose turn it is, in models that lead their threads to where they meet. No part of the model, in
/// which it orders nothing.
#[derive(Clone)]
struct Turn(std::sync::Arc<AtomicUsize>);

impl Turn {
    fn of(thread: usize) -> Turn {
        Turn(std::sync::Arc::new(AtomicUsize::new(thread)))
    }

    fn give(&self, thread: usize) {
        self.0.store(thread, Relaxed);
    }

    fn wait(&self, own: usize) {
        while self.0.load(Relaxed) != own {
            thread::yield_now();
        }
    }

    /// Lets another go on until it gives the turn back.
    fn lend(&self, own: usize, thread: usize) {
        self.give(thread);
        self.wait(own);
    }
}

/// The model's own thread, a reader, and a reclaimer.
const LEADER: usize = 0;
const READER: usize = 1;
const RECLAIMER: usize = 2;

/// A late reader passes a barrier, and the kernel says so to one reclaimer. Another, which did not
/// ask, relies on that: it sees what the reader had reserved by then.
#[test]
fn retire_against_a_reader_that_was_switched() {
    static KEPT: Witness = Witness::new();
    explore("signal/was_switched", 0, &[&KEPT], || {
        let (world, turn) = (World::new(0), Turn::of(READER));
        testify();
        let reader = with(&world, {
            let turn = turn.clone();
            move |world| {
                let mut guard = world.domain.guard();
                set_blocked(true);
                let node = guard.protect(&world.source);
                turn.lend(READER, LEADER);
                switched();
                turn.lend(READER, LEADER);
                // SAFETY: nodes live as long as the world; loom checks that nobody frees it.
                let value = unsafe { (*node).0.with(|value| *value) };
                assert_ne!(value, DEAD, "freed under a reader");
            }
        });
        let reclaimer = with(&world, {
            let turn = turn.clone();
            move |world| {
                turn.wait(RECLAIMER);
                let lent = turn.clone();
                pause_before_next_wait(move || lent.lend(RECLAIMER, READER));
                let stats = world.replace_by(1);
                turn.give(READER);
                stats
            }
        });
        // Each on a thread that was not there when the reclaimer asked, and so tells it nothing.
        let replace = |at| {
            let work = move |world: &World| world.replace_in(&world.elsewhere, at);
            with(&world, work).join().unwrap()
        };
        turn.wait(LEADER);
        let late = replace(2);
        assert_eq!((late.late, late.refused), (1, 1), "it heard");
        turn.lend(LEADER, RECLAIMER); // It asks, and then the reader is switched.
        let seen = replace(3);
        assert_eq!((seen.late, seen.refused), (2, 3), "the reclaimer heard");
        turn.give(RECLAIMER);
        let stats = reclaimer.join().unwrap();
        reader.join().unwrap();
        // It did not have to ask the kernel, and met the reservation. The other two were each
        // refused once more at the end of their thread.
        KEPT.saw((stats.refused, stats.pending()) == (4, 3));
    });
}
