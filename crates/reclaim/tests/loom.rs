//! loom over the shipped code, in its fenced form: loom has no model of membarrier (tests/litmus.rs
//! has that). Run by `cargo xtask loom`. The table of what fails when an ordering is weakened is
//! in docs/concurrency.md.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "in helpers, a panic is the report, too")]

use std::cmp::Ordering;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicUsize};

use cortica_reclaim::{Epoch, Protect, PublishOnPing, Reclaim, Shared, SortedSet};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::sync::atomic::AtomicPtr;
use loom::thread;

/// What is retired. It is not deallocated, so that a model which fails does so by loom's word:
/// reading it and freeing it are accesses to a cell, and loom watches their order.
struct Node {
    value: UnsafeCell<u64>,
}

const DEAD: u64 = 0;

// SAFETY: the cell is read under protection and written by whoever frees; loom checks that.
unsafe impl Send for Node {}
// SAFETY: as above.
unsafe impl Sync for Node {}

impl Node {
    fn new(value: u64) -> Node {
        Node {
            value: UnsafeCell::new(value),
        }
    }

    fn read(&self) -> u64 {
        // SAFETY: loom checks that no write is under way.
        self.value.with(|value| unsafe { *value })
    }

    fn as_mut_ptr(&self) -> *mut Node {
        std::ptr::from_ref(self).cast_mut()
    }
}

/// # Safety
///
/// `node` is alive; loom checks that nobody else reads it.
unsafe fn bury(node: *mut Node) {
    // SAFETY: the caller's promise.
    let before = unsafe {
        (*node)
            .value
            .with_mut(|value| std::mem::replace(&mut *value, DEAD))
    };
    assert_ne!(before, DEAD, "freed twice");
}

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

/// Explores a model and says how large it was.
fn explore(name: &str, preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    static EXPLORED: AtomicUsize = AtomicUsize::new(0);
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    EXPLORED.store(0, Relaxed);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    builder.check(move || {
        EXPLORED.fetch_add(1, Relaxed);
        model();
    });
    println!("{name}: {} interleavings", EXPLORED.load(Relaxed));
}

/// Every retirement looks at the slots.
fn eager() -> PublishOnPing {
    PublishOnPing::fenced().with_batch(1)
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

/// A value that loom watches from beginning to end: making it, reading it and dropping it are
/// accesses to a cell.
struct Watched(Node);

impl Watched {
    fn new(value: u64) -> Watched {
        let node = Node::new(DEAD);
        // SAFETY: nobody else has it yet.
        node.value.with_mut(|cell| unsafe { *cell = value });
        Watched(node)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return; // The model has failed already; a second panic would hide why.
        }
        // SAFETY: loom checks that nobody reads it.
        unsafe { bury(self.0.as_mut_ptr()) };
    }
}

impl Ord for Watched {
    fn cmp(&self, other: &Watched) -> Ordering {
        let (own, other) = (self.0.read(), other.0.read());
        assert!(own != DEAD && other != DEAD, "compared after it was freed");
        own.cmp(&other)
    }
}

impl PartialOrd for Watched {
    fn partial_cmp(&self, other: &Watched) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Watched) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Watched {}

type Set = SortedSet<Watched, PublishOnPing>;

/// A set of these keys and its domain.
fn set_of(domain: PublishOnPing, keys: &[u64]) -> (Arc<Set>, PublishOnPing) {
    let set = SortedSet::new(&domain);
    for key in keys {
        assert!(set.insert(Watched::new(*key)).is_ok());
    }
    (Arc::new(set), domain)
}

/// Runs two operations beside each other, and then what must hold.
fn beside<A: Send + 'static, B: Send + 'static>(
    set: &Arc<Set>,
    one: impl FnOnce(&Set) -> A + Send + 'static,
    two: impl FnOnce(&Set) -> B + Send + 'static,
) -> (A, B) {
    let one = thread::spawn({
        let set = set.clone();
        move || one(&set)
    });
    let two = thread::spawn({
        let set = set.clone();
        move || two(&set)
    });
    (one.join().unwrap(), two.join().unwrap())
}

#[test]
fn a_search_goes_through_what_is_removed() {
    static KEPT: AtomicBool = AtomicBool::new(false);
    static FREED: AtomicBool = AtomicBool::new(false);
    explore("a_search_goes_through_what_is_removed", 1, || {
        let (set, domain) = set_of(eager(), &[1, 2, 3]);
        let (found, pending) = beside(
            &set,
            |set| set.contains(&Watched::new(3)),
            move |set| {
                // One after the other: the first, removed, still points to the second.
                assert!(set.remove(&Watched::new(1)) && set.remove(&Watched::new(2)));
                // Each guard's slot may have some of it.
                let (mut one, mut two) = (domain.guard(), domain.guard());
                one.collect();
                two.collect();
                domain.stats().pending()
            },
        );
        assert!(found);
        match pending {
            0 => FREED.store(true, Relaxed),
            _ => KEPT.store(true, Relaxed),
        }
    });
    assert!(KEPT.load(Relaxed), "never met the search");
    assert!(FREED.load(Relaxed), "never freed");
}

#[test]
fn one_of_two_removes_a_key() {
    static FIRST: AtomicBool = AtomicBool::new(false);
    static SECOND: AtomicBool = AtomicBool::new(false);
    explore("one_of_two_removes_a_key", 1, || {
        let (set, domain) = set_of(eager(), &[1]);
        let remove = |set: &Set| set.remove(&Watched::new(1));
        match beside(&set, remove, remove) {
            (true, false) => FIRST.store(true, Relaxed),
            (false, true) => SECOND.store(true, Relaxed),
            both => panic!("{both:?}"),
        }
        assert_eq!(domain.stats().retired, 1);
    });
    assert!(
        FIRST.load(Relaxed) && SECOND.load(Relaxed),
        "one always won"
    );
}

/// The mark: what is linked behind a node while it is removed is not lost with it.
#[test]
fn nothing_is_linked_behind_what_is_removed() {
    static ORDER: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];
    explore("nothing_is_linked_behind_what_is_removed", 1, || {
        let (set, domain) = set_of(eager(), &[1]);
        let (inserted, before) = beside(
            &set,
            |set| set.insert(Watched::new(2)).is_ok(),
            |set| {
                assert!(set.remove(&Watched::new(1)));
                !set.contains(&Watched::new(2))
            },
        );
        assert!(inserted && set.contains(&Watched::new(2)) && !set.contains(&Watched::new(1)));
        assert_eq!(domain.stats().retired, 1);
        ORDER[usize::from(before)].store(true, Relaxed);
    });
    assert!(
        ORDER.iter().all(|seen| seen.load(Relaxed)),
        "one order only"
    );
}

#[test]
fn neighbours_are_removed_at_once() {
    static HELPED: AtomicBool = AtomicBool::new(false);
    static BY_BOTH: AtomicBool = AtomicBool::new(false);
    explore("neighbours_are_removed_at_once", 1, || {
        let (set, domain) = set_of(eager(), &[1, 2, 3]);
        let remove = |key| {
            let domain = domain.clone();
            move |set: &Set| {
                assert!(set.remove(&Watched::new(key)));
                domain.stats().retired
            }
        };
        let (one, two) = beside(&set, remove(1), remove(2));
        assert!(!set.contains(&Watched::new(1)) && !set.contains(&Watched::new(2)));
        assert!(set.contains(&Watched::new(3)));
        assert_eq!(domain.stats().retired, 2);
        match (one, two) {
            (2, 2) => HELPED.store(true, Relaxed),
            _ => BY_BOTH.store(true, Relaxed),
        }
    });
    assert!(
        HELPED.load(Relaxed) && BY_BOTH.load(Relaxed),
        "never at once"
    );
}

/// With no fence to help.
#[test]
fn keys_arrive_whole() {
    static FOUND: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    explore("keys_arrive_whole", 2, || {
        let (set, _) = set_of(PublishOnPing::unfenced(), &[]);
        let (inserted, found) = beside(
            &set,
            |set| set.insert(Watched::new(2)).is_ok(),
            |set| set.contains(&Watched::new(2)),
        );
        assert!(inserted);
        FOUND[usize::from(found)].store(true, Relaxed);
    });
    assert!(
        FOUND.iter().all(|seen| seen.load(Relaxed)),
        "one order only"
    );
}

/// The same for a key that is found through a link which another thread made, when it took out
/// the node before.
#[test]
fn keys_arrive_whole_through_others() {
    static FOUND: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    explore("keys_arrive_whole_through_others", 1, || {
        let (set, _) = set_of(PublishOnPing::unfenced(), &[1]);
        let searcher = thread::spawn({
            let set = set.clone();
            move || set.contains(&Watched::new(2))
        });
        let remover = thread::spawn({
            let set = set.clone();
            move || assert!(set.remove(&Watched::new(1)))
        });
        assert!(set.insert(Watched::new(2)).is_ok());
        remover.join().unwrap();
        let found = searcher.join().unwrap();
        FOUND[usize::from(found)].store(true, Relaxed);
    });
    assert!(
        FOUND.iter().all(|seen| seen.load(Relaxed)),
        "one order only"
    );
}

/// crossbeam's own models cover its epochs; here, that guards of ours hold them.
#[test]
fn epochs_hold_what_a_guard_reads() {
    static OLD: AtomicBool = AtomicBool::new(false);
    static NEW: AtomicBool = AtomicBool::new(false);
    explore("epochs_hold_what_a_guard_reads", 2, || {
        let world = World::new(Epoch::new());
        let reader = thread::spawn({
            let world = world.clone();
            move || world.value(&mut world.domain.guard())
        });
        let reclaimer = thread::spawn({
            let world = world.clone();
            move || {
                world.replace_by(1);
                world.domain.guard().collect();
            }
        });
        match reader.join().unwrap() {
            1 => OLD.store(true, Relaxed),
            _ => NEW.store(true, Relaxed),
        }
        reclaimer.join().unwrap();
    });
    assert!(
        OLD.load(Relaxed) && NEW.load(Relaxed),
        "one side always won"
    );
}
