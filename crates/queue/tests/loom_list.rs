//! Interleavings of `list::MsQueue`, explored by loom under both strategies of reclamation; for
//! hazard slots in their fenced form, as loom has no model of membarrier. Run by `cargo xtask loom`.
//!
//! Both sides of every model run on threads of their own: with one of them on the model's own
//! thread loom explores next to nothing. Every model ends with its witnesses: interleavings that
//! must have been reached for it to mean anything.
#![cfg(loom)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic in a test is its report"
)]

use std::sync::atomic::Ordering::{Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};

use cortica_queue::list::MsQueue;
use cortica_reclaim::{Epoch, EpochGuard, Protect, PublishOnPing, Reclaim, Stats};
use loom::sync::atomic::AtomicPtr;
use loom::thread::{JoinHandle, spawn};

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

/// Explores `run`, says how much that was, and asks every witness.
fn explore(name: &str, preemptions: Option<usize>, witnesses: &[&Witness], run: fn()) {
    static EXPLORED: AtomicUsize = AtomicUsize::new(0);
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    EXPLORED.store(0, Relaxed);
    for witness in witnesses {
        witness.0.store(0, Relaxed);
    }
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.max_branches = 20_000;
    model.check(move || {
        EXPLORED.fetch_add(1, Relaxed);
        run();
    });
    let explored = EXPLORED.load(Relaxed);
    let seen: Vec<usize> = witnesses
        .iter()
        .map(|witness| witness.0.load(Relaxed))
        .collect();
    println!("{name}: {explored} interleavings, witnesses {seen:?}");
    assert!(
        seen.iter().all(|&seen| seen > 0),
        "{name} never reached the danger: {seen:?}"
    );
}

/// Whole or not: both halves are written by the pusher.
type Item = [u8; 2];

fn item(number: u8) -> Item {
    [number, number]
}

/// The strategy that frees nothing until the domain is gone. It promises what every strategy
/// does and orders nothing beyond that: models of the list by itself are small and unforgiving.
#[derive(Clone, Default)]
struct AtTheEnd(Arc<Yard>);

#[derive(Default)]
struct Yard(Mutex<Vec<Retired>>);

struct Retired(*mut (), unsafe fn(*mut ()));

// SAFETY: what is retired may be freed on any thread.
unsafe impl Send for Retired {}

impl Drop for Yard {
    fn drop(&mut self) {
        for Retired(pointer, free) in self.0.get_mut().unwrap().drain(..) {
            // SAFETY: whoever retired it allows one call, and no guard is left.
            unsafe { free(pointer) };
        }
    }
}

// SAFETY: what is retired stays as long as any clone of the domain, and every guard is one.
unsafe impl Reclaim for AtTheEnd {
    type Guard<'d> = AtTheEnd;

    fn guard(&self) -> AtTheEnd {
        self.clone()
    }

    fn stats(&self) -> Stats {
        Stats::default()
    }

    fn reset_stats(&self) {}
}

// SAFETY: as above.
unsafe impl Protect for AtTheEnd {
    fn protect<T>(&mut self, source: &AtomicPtr<T>) -> *mut T {
        source.load(Acquire)
    }

    fn release(&mut self) {}

    fn park(self) {}

    unsafe fn retire_with<T: Send>(&mut self, pointer: *mut T, free: unsafe fn(*mut T)) {
        // SAFETY: pointers to sized types are passed alike, and it is called with `pointer`.
        let free = unsafe { std::mem::transmute::<unsafe fn(*mut T), unsafe fn(*mut ())>(free) };
        self.0.0.lock().unwrap().push(Retired(pointer.cast(), free));
    }

    fn collect(&mut self) {}
}

fn plain() -> AtTheEnd {
    AtTheEnd::default()
}

/// Epochs; every operation that retires something tries to free it when it is through.
#[derive(Clone)]
struct Eager(Epoch);

struct EagerGuard<'d> {
    guard: Option<EpochGuard<'d>>,
    domain: &'d Epoch,
    retired: bool,
}

// SAFETY: its guards are those of the domain inside.
unsafe impl Reclaim for Eager {
    type Guard<'d> = EagerGuard<'d>;

    fn guard(&self) -> EagerGuard<'_> {
        EagerGuard {
            guard: Some(self.0.guard()),
            domain: &self.0,
            retired: false,
        }
    }

    fn stats(&self) -> Stats {
        self.0.stats()
    }

    fn reset_stats(&self) {
        self.0.reset_stats();
    }
}

// SAFETY: all is done by the guard inside, which stays as long as this one.
unsafe impl Protect for EagerGuard<'_> {
    fn protect<T>(&mut self, source: &AtomicPtr<T>) -> *mut T {
        self.guard.as_mut().unwrap().protect(source)
    }

    fn release(&mut self) {
        self.guard.as_mut().unwrap().release();
    }

    fn park(self) {}

    unsafe fn retire_with<T: Send>(&mut self, pointer: *mut T, free: unsafe fn(*mut T)) {
        self.retired = true;
        let guard = self.guard.as_mut().unwrap();
        // SAFETY: the caller's promise.
        unsafe { guard.retire_with(pointer, free) };
    }

    fn collect(&mut self) {
        self.guard.as_mut().unwrap().collect();
    }
}

impl Drop for EagerGuard<'_> {
    fn drop(&mut self) {
        drop(self.guard.take()); // Or the epoch would wait for ourselves.
        if self.retired && !std::thread::panicking() {
            // What was retired is freed two epochs later, and each look goes on by one.
            for _ in 0..2 {
                self.domain.guard().collect();
            }
        }
    }
}

fn eager_epochs() -> Eager {
    Eager(Epoch::new())
}

/// Epochs, which free nothing as early as that: for models that are too large for it.
fn epochs() -> Epoch {
    Epoch::new()
}

/// Hazard slots; every retirement looks at them.
fn slots() -> PublishOnPing {
    PublishOnPing::fenced().with_batch(1)
}

fn queue<R: Reclaim>(domain: R, items: &[u8]) -> Arc<MsQueue<Item, R>> {
    let queue = MsQueue::with_domain(domain);
    for &number in items {
        queue.push(item(number));
    }
    Arc::new(queue)
}

/// Runs `work` on a thread of its own.
fn with<R: Reclaim, A: 'static>(
    queue: &Arc<MsQueue<Item, R>>,
    work: impl FnOnce(&MsQueue<Item, R>) -> A + 'static,
) -> JoinHandle<A> {
    let queue = queue.clone();
    spawn(move || work(&queue))
}

fn drain<R: Reclaim>(queue: &MsQueue<Item, R>) -> Vec<Item> {
    std::iter::from_fn(|| queue.pop()).collect()
}

/// Both get in, in either order, and each item is whole.
#[test]
fn push_push() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    fn run<R: Reclaim>(domain: R) {
        let queue = queue(domain, &[]);
        let a = with(&queue, |queue| queue.push(item(1)));
        let b = with(&queue, |queue| queue.push(item(2)));
        a.join().unwrap();
        b.join().unwrap();
        assert_eq!(queue.len(), 2);
        let items = drain(&queue);
        FIRST.saw(items == [1, 2].map(item));
        SECOND.saw(items == [2, 1].map(item));
        assert!(items.len() == 2 && items[0] != items[1], "{items:?}");
    }
    let witnesses = [&FIRST, &SECOND];
    explore("push_push/plain", None, &witnesses, || run(plain()));
    explore("push_push/slots", Some(2), &witnesses, || run(slots()));
}

/// What arrives is whole and in order, also when it is taken before its push has returned.
#[test]
fn push_pop() {
    static EARLY: Witness = Witness::new();
    static EMPTY: Witness = Witness::new();
    fn run<R: Reclaim>(domain: R) {
        let queue = queue(domain, &[]);
        let pushed = Arc::new(AtomicBool::new(false)); // std's: not a part of the model.
        let pusher = with(&queue, {
            let pushed = pushed.clone();
            move |queue| {
                queue.push(item(1));
                pushed.store(true, Relaxed);
                queue.push(item(2));
            }
        });
        let popper = with(&queue, move |queue| {
            let first = queue.pop();
            // Then it moved `tail` on for the pusher, who does nothing else after linking.
            EARLY.saw(first.is_some() && !pushed.load(Relaxed));
            [first, queue.pop()]
        });
        pusher.join().unwrap();
        let popped = popper.join().unwrap();
        EMPTY.saw(popped == [None, None]);
        let mut items: Vec<Item> = popped.into_iter().flatten().collect();
        items.extend(drain(&queue));
        assert_eq!(items, [1, 2].map(item));
    }
    let witnesses = [&EARLY, &EMPTY];
    explore("push_pop/plain", None, &witnesses, || run(plain()));
    explore("push_pop/slots", Some(1), &witnesses, || run(slots()));
    explore("push_pop/epochs", Some(1), &witnesses, || run(epochs()));
}

/// Two pushes and two pops, each on a thread of its own: each may find the tail that another left
/// behind.
#[test]
fn two_push_and_two_pop() {
    static BOTH: Witness = Witness::new();
    static EMPTY: Witness = Witness::new();
    explore("two_and_two/plain", Some(2), &[&BOTH, &EMPTY], || {
        let queue = queue(plain(), &[]);
        let pushers = [1, 2].map(|number| with(&queue, move |queue| queue.push(item(number))));
        let poppers = [(), ()].map(|()| with(&queue, MsQueue::pop));
        for pusher in pushers {
            pusher.join().unwrap();
        }
        let popped = poppers.map(|popper| popper.join().unwrap());
        BOTH.saw(popped.iter().all(Option::is_some));
        EMPTY.saw(popped == [None, None]);
        let mut items: Vec<Item> = popped.into_iter().flatten().collect();
        assert_eq!(queue.len(), 2 - items.len());
        items.extend(drain(&queue));
        items.sort_unstable();
        assert_eq!(items, [1, 2].map(item));
    });
}

/// One item, two pops: one gets it and the other is told that there is none.
#[test]
fn pop_pop_on_the_last_item() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    fn run<R: Reclaim>(domain: R) {
        let queue = queue(domain, &[7]);
        let a = with(&queue, MsQueue::pop);
        let b = with(&queue, MsQueue::pop);
        let popped = (a.join().unwrap(), b.join().unwrap());
        FIRST.saw(popped.0.is_some());
        SECOND.saw(popped.1.is_some());
        let seven = Some(item(7));
        assert!(popped == (seven, None) || popped == (None, seven));
        assert_eq!(queue.len(), 0);
    }
    let witnesses = [&FIRST, &SECOND];
    explore("pop_pop/plain", None, &witnesses, || run(plain()));
    explore("pop_pop/slots", Some(2), &witnesses, || run(slots()));
    explore(
        "pop_pop/epochs",
        Some(1),
        &witnesses,
        || run(eager_epochs()),
    );
}

/// Takes an item; says which, how many nodes were retired by then, and how many of them are kept.
fn pop_and_ask<R: Reclaim>(queue: &MsQueue<Item, R>) -> (Option<Item>, u64, u64) {
    let item = queue.pop();
    let stats = queue.domain().stats();
    (item, stats.retired, stats.pending())
}

/// A pop that has won the exchange still has to move its item out of the new dummy; another one
/// takes that node out and retires it. The node stays until the item has been moved.
#[test]
fn retire_against_pop() {
    static KEPT: Witness = Witness::new();
    static FREED: Witness = Witness::new();
    fn run<R: Reclaim>(domain: R) {
        let queue = queue(domain, &[1, 2]);
        let a = with(&queue, pop_and_ask);
        let b = with(&queue, pop_and_ask);
        let mut popped = [a.join().unwrap(), b.join().unwrap()];
        popped.sort_unstable();
        assert_eq!(popped.map(|(item, ..)| item), [1, 2].map(item).map(Some));
        // The second item is out and only its dummy is retired: so whoever has the first item,
        // from that very node, is not done, and the node is kept for it.
        let (_, retired, kept) = popped[1];
        KEPT.saw((retired, kept) == (1, 1));
        FREED.saw((retired, kept) == (2, 0));
        assert_eq!(queue.len(), 0);
    }
    let witnesses = [&KEPT, &FREED];
    explore("retire_pop/slots", Some(1), &witnesses, || run(slots()));
}

/// A push looks at the last node, which another thread passes and retires.
#[test]
fn retire_against_push() {
    static KEPT: Witness = Witness::new();
    static FREED: Witness = Witness::new();
    fn run<R: Reclaim>(domain: R) {
        let queue = queue(domain, &[]);
        let pusher = with(&queue, |queue| queue.push(item(1)));
        let worker = with(&queue, |queue| {
            queue.push(item(2));
            pop_and_ask(queue)
        });
        pusher.join().unwrap();
        let (first, retired, kept) = worker.join().unwrap();
        KEPT.saw((retired, kept) == (1, 1)); // Nobody but the pusher can hold it.
        FREED.saw((retired, kept) == (1, 0));
        let mut items: Vec<Item> = first.into_iter().collect();
        items.extend(drain(&queue));
        items.sort_unstable();
        assert_eq!(items, [1, 2].map(item));
    }
    let witnesses = [&KEPT, &FREED];
    explore("retire_push/slots", Some(1), &witnesses, || run(slots()));
}

/// One pop against pop, push and pop: a node that is freed and used again must not be taken for
/// the one that the first pop saw.
#[test]
fn a_node_does_not_come_back() {
    static EACH: Witness = Witness::new();
    static BOTH: Witness = Witness::new();
    fn run<R: Reclaim>(domain: R) {
        let queue = queue(domain, &[1]);
        let a = with(&queue, MsQueue::pop);
        let b = with(&queue, |queue| {
            let first = queue.pop();
            queue.push(item(2));
            [first, queue.pop()]
        });
        let (a, b) = (a.join().unwrap(), b.join().unwrap());
        EACH.saw(a == Some(item(1)) && b == [None, Some(item(2))]);
        BOTH.saw(a.is_none() && b == [Some(item(1)), Some(item(2))]);
        let mut items: Vec<Item> = [a, b[0], b[1]].into_iter().flatten().collect();
        items.extend(drain(&queue));
        items.sort_unstable();
        assert_eq!(items, [1, 2].map(item));
        assert_eq!(queue.len(), 0);
    }
    let witnesses = [&EACH, &BOTH];
    explore("comes_back/slots", Some(1), &witnesses, || run(slots()));
}

/// `len` looks at two nodes, but never sees the last behind the first; here they pass it by.
#[test]
fn len_never_underflows() {
    static AFTER: Witness = Witness::new();
    static INSIDE: Witness = Witness::new();
    fn run<R: Reclaim>(domain: R) {
        let queue = queue(domain, &[]);
        let popped = Arc::new(AtomicBool::new(false));
        let worker = with(&queue, {
            let popped = popped.clone();
            move |queue| {
                queue.push(item(1));
                assert_eq!(queue.pop(), Some(item(1)));
                popped.store(true, Relaxed);
            }
        });
        let looker = with(&queue, move |queue| (queue.len(), popped.load(Relaxed)));
        let (len, popped) = looker.join().unwrap();
        worker.join().unwrap();
        AFTER.saw(len == 0 && popped);
        INSIDE.saw(len == 1);
        assert!(len <= 1, "{len}");
    }
    let witnesses = [&AFTER, &INSIDE];
    explore("underflow/plain", None, &witnesses, || run(plain()));
    explore("underflow/slots", Some(2), &witnesses, || run(slots()));
    explore("underflow/epochs", Some(1), &witnesses, || {
        run(eager_epochs())
    });
}

/// As above, with each of the three on a thread of its own.
#[test]
fn len_beside_others_never_underflows() {
    static AFTER: Witness = Witness::new();
    static INSIDE: Witness = Witness::new();
    explore("len_beside/plain", Some(3), &[&AFTER, &INSIDE], || {
        let queue = queue(plain(), &[]);
        let pusher = with(&queue, |queue| queue.push(item(1)));
        let popper = with(&queue, MsQueue::pop);
        let looker = with(&queue, MsQueue::len);
        let len = looker.join().unwrap();
        let popped = popper.join().unwrap().is_some();
        pusher.join().unwrap();
        AFTER.saw(len == 0 && popped);
        INSIDE.saw(len == 1);
        assert!(len <= 1, "{len}");
        assert_eq!(queue.len(), usize::from(!popped));
    });
}

/// `len` never counts items together that were not inside together. The nodes it looks at are
/// taken out meanwhile.
#[test]
fn len_is_of_one_moment() {
    static NONE: Witness = Witness::new();
    static ONE: Witness = Witness::new();
    fn run<R: Reclaim>(domain: R) {
        let queue = queue(domain, &[1]);
        let worker = with(&queue, |queue| {
            let first = queue.pop();
            queue.push(item(2));
            [first, queue.pop()]
        });
        let looker = with(&queue, MsQueue::len);
        let len = looker.join().unwrap();
        assert_eq!(worker.join().unwrap(), [1, 2].map(item).map(Some));
        NONE.saw(len == 0);
        ONE.saw(len == 1);
        assert!(len <= 1, "{len}");
    }
    let witnesses = [&NONE, &ONE];
    explore("len_moment/plain", None, &witnesses, || run(plain()));
    explore("len_moment/slots", Some(1), &witnesses, || run(slots()));
    explore("len_moment/epochs", Some(1), &witnesses, || run(epochs()));
}

/// Of two threads which each push to one queue and then look into the other, one sees an item.
#[test]
fn two_queues_agree_on_an_order() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    static BOTH: Witness = Witness::new();
    let witnesses = [&FIRST, &SECOND, &BOTH];
    explore("agree/plain", None, &witnesses, || {
        let queues = [queue(plain(), &[]), queue(plain(), &[])];
        let cross = |mine: usize| {
            let queues = queues.clone();
            spawn(move || {
                queues[mine].push(item(1));
                queues[1 - mine].pop().is_some()
            })
        };
        let threads = [cross(0), cross(1)];
        let saw = threads.map(|thread| thread.join().unwrap());
        FIRST.saw(saw == [true, false]);
        SECOND.saw(saw == [false, true]);
        BOTH.saw(saw == [true, true]);
        assert_ne!(saw, [false, false]);
    });
}
