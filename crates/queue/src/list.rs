//! The plain list of Michael and Scott, one node an item: short enough to be read and explored
//! in full. [`Queue`](crate::Queue) promises the same and is the one to use where speed counts.
//!
//! ```
//! use cortica_queue::list::MsQueue;
//!
//! let queue = MsQueue::new();
//! std::thread::scope(|threads| {
//!     threads.spawn(|| (0..100).for_each(|number| queue.push(number)));
//!     threads.spawn(|| (0..100).for_each(|number| queue.push(number)));
//! });
//! assert_eq!(queue.len(), 200);
//! assert_eq!(std::iter::from_fn(|| queue.pop()).sum::<i32>(), 2 * 4_950);
//! ```
//!
//! # How it works
//!
//! ```text
//! head ─► dummy ─► item ─► item ◄─ tail        tail may lag one node behind
//! ```
//!
//! A push links its node behind the last one and moves `tail` on to it; whoever finds that `tail`
//! lags moves it on, so nobody waits for a thread that was stopped in between. A pop moves `head`
//! on to the next node, which makes that node the dummy; the item in it belongs to the winner of
//! that exchange, and to no one else. `head` never passes `tail`.
//!
//! Michael & Scott, "Simple, fast, and practical non-blocking and blocking concurrent queue
//! algorithms", PODC 1996; with hazard pointers as in Michael, IEEE TPDS 15(6), 2004. How its
//! orderings were checked is written in `docs/concurrency.md`.

use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

use cortica_reclaim::{Protect, PublishOnPing, Reclaim};

use crate::stats::QueueStats;
use crate::sync::{
    Acquire, AtomicPtr, CachePadded, Relaxed, Release, SeqCst, UnsafeCell, total_order,
};

/// An unbounded first-in-first-out queue for any number of producers and consumers, lock-free
/// and linearisable. Every operation takes O(1) steps while nobody else is at work, but for what
/// the domain `R` does at a thread's first operation and once a batch of nodes.
///
/// A push allocates a node. Its memory is freed some time after the item has left, when the
/// domain `R` knows that nobody looks at it; the item itself is the caller's at once. `T` need not
/// be `'static`, because what may outlive the queue is memory without an item in it.
pub struct MsQueue<T, R: Reclaim = PublishOnPing> {
    /// The dummy: the node whose item has left.
    head: CachePadded<AtomicPtr<Node<T>>>,
    /// The last node, or one before it.
    tail: CachePadded<AtomicPtr<Node<T>>>,
    domain: R,
    owns: PhantomData<T>,
}

struct Node<T> {
    /// One more than that of the node before. Written before the node is linked, and not again.
    number: UnsafeCell<u64>,
    /// Null until another node is linked behind this one; never changed again.
    next: AtomicPtr<Node<T>>,
    /// There from the time the node is linked until it becomes the dummy.
    item: UnsafeCell<MaybeUninit<T>>,
}

/// A node whose item has left.
#[repr(transparent)]
struct Husk<T>(Node<T>);

// SAFETY: there is no item in it, so it is memory only, whatever `T` is.
unsafe impl<T> Send for Husk<T> {}

// SAFETY: an item is moved in by one thread and out by one other, the winner of the exchange of
// `head`; no reference to an item inside is handed out. So sharing a queue only sends items. A
// domain can be shared and sent by itself.
unsafe impl<T: Send, R: Reclaim> Sync for MsQueue<T, R> {}
// SAFETY: as above; whoever has the queue has all items in it.
unsafe impl<T: Send, R: Reclaim> Send for MsQueue<T, R> {}

impl<T> MsQueue<T> {
    /// An empty queue with a [`PublishOnPing`] domain of its own. Allocates the dummy.
    #[must_use]
    pub fn new() -> MsQueue<T> {
        MsQueue::with_domain(PublishOnPing::new())
    }
}

impl<T, R: Reclaim> MsQueue<T, R> {
    /// An empty queue whose nodes are retired in `domain`, which others may use as well.
    #[must_use]
    pub fn with_domain(domain: R) -> MsQueue<T, R> {
        let dummy = Node::boxed(MaybeUninit::uninit());
        MsQueue {
            head: CachePadded(AtomicPtr::new(dummy)),
            tail: CachePadded(AtomicPtr::new(dummy)),
            domain,
            owns: PhantomData,
        }
    }

    /// Where nodes are retired; its figures say how many are not freed yet.
    pub fn domain(&self) -> &R {
        &self.domain
    }

    /// Puts `item` at the end.
    pub fn push(&self, item: T) {
        let node = Node::boxed(MaybeUninit::new(item));
        let mut guard = self.domain.guard();
        loop {
            let tail = guard.protect(&self.tail);
            // SAFETY: protected. `tail` is retired only after it has left `self.tail`, because
            // `head` gets there later.
            let last = unsafe { &*tail };
            // SAFETY: `node` is ours until it is linked; `last` has been.
            unsafe { (*node).set_number(last.number() + 1) };
            // Whoever finds the node finds it whole (Release would do for that). SeqCst: see `pop`.
            // Acquire in case of failure: what was linked instead is handed on, below, to whoever
            // loads it from `tail`.
            match last
                .next
                .compare_exchange(null_mut(), node, SeqCst, Acquire)
            {
                Ok(_) => {
                    self.advance_tail(tail, node);
                    return;
                }
                Err(next) => self.advance_tail(tail, next),
            }
        }
    }

    /// Takes the oldest item, if there is one.
    pub fn pop(&self) -> Option<T> {
        let mut head_guard = self.domain.guard();
        let mut next_guard = self.domain.guard();
        loop {
            let head = head_guard.protect(&self.head);
            // SAFETY: protected, and retired only after it has left `self.head`.
            let link = unsafe { &(*head).next };
            // This look and the links of pushes are SeqCst: of two threads that push each to a
            // queue of its own and then find the other's queue empty, one is wrong.
            total_order();
            if link.load(SeqCst).is_null() {
                return None; // So `head` was still the dummy, and the last node.
            }
            let next = next_guard.protect(link);
            // Relaxed: it is compared only. It cannot be older than `head`: whoever moved `head`
            // there had seen `tail` there, or further on, and we loaded `head` with Acquire.
            if self.tail.load(Relaxed) == head {
                self.advance_tail(head, next); // Now it is past `head`, whoever did it.
            }
            // Release: who loads the new `head` does not see a `tail` from before it either.
            let exchanged = self.head.compare_exchange(head, next, Release, Relaxed);
            if exchanged.is_err() {
                continue;
            }
            // SAFETY: the guard held `next` before the exchange; and nobody can retire it but who
            // takes it out of `head` after the exchange put it there. So it is retired, if at all,
            // after it was protected, and stays. The item is ours: we won the exchange.
            let item = unsafe { (*next).take() };
            drop(head_guard); // Its reservation would hold the node back.
            // SAFETY: from a box, taken out by us alone, and without an item: it was the dummy.
            // Nobody finds it any more: `head` and `tail` are past it for good, and a node that
            // still points to it was retired before.
            unsafe { next_guard.retire_with(head.cast::<Husk<T>>(), Husk::free) };
            return Some(item);
        }
    }

    /// How many items are inside: exact while no other thread is at work, otherwise right a
    /// moment ago. Tries again when an item leaves meanwhile.
    pub fn len(&self) -> usize {
        let mut head_guard = self.domain.guard();
        let mut tail_guard = self.domain.guard();
        loop {
            // Head first, and with Acquire: `tail` is then not seen behind it, as in `pop`.
            let head = head_guard.protect(&self.head);
            let tail = tail_guard.protect(&self.tail);
            // A protected node does not come back as another one: if it is `head` now, it was
            // when `tail` was loaded. Relaxed: the load of `tail` keeps this one behind it.
            if self.head.load(Relaxed) == head {
                // SAFETY: protected, and linked, except for the first, which always has a number.
                let (first, last) = unsafe { ((*head).number(), (*tail).number()) };
                return (last - first) as usize;
            }
        }
    }

    /// Whether there is no item; as exact as [`len`](Self::len).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How it stands; as exact as [`len`](Self::len), and as dear. What is not freed yet, the
    /// [`domain`](Self::domain) says.
    #[must_use]
    pub fn stats(&self) -> QueueStats {
        QueueStats { len: self.len() }
    }

    /// Moves `tail` from a node on to the next one, unless somebody has done it. Release: who
    /// loads `tail` finds the node whole, also if a third thread made it.
    fn advance_tail(&self, from: *mut Node<T>, to: *mut Node<T>) {
        let _ = self.tail.compare_exchange(from, to, Release, Relaxed);
    }

    /// As [`pop`](Self::pop), for one who has the queue alone: the node is freed at once.
    fn pop_alone(&mut self) -> Option<T> {
        let head = self.head.load(Relaxed); // Relaxed: `&mut self` is the order, here and below.
        // SAFETY: what `head` points to is alive, and nobody else is here.
        let next = unsafe { (*head).next.load(Relaxed) };
        if next.is_null() {
            return None;
        }
        self.head.store(next, Relaxed);
        // SAFETY: taken out just now; it was the dummy.
        unsafe { Husk::free(head.cast::<Husk<T>>()) };
        // SAFETY: `next` was not yet the dummy, so its item is there.
        Some(unsafe { (*next).take() })
    }
}

impl<T> Node<T> {
    fn boxed(item: MaybeUninit<T>) -> *mut Node<T> {
        Box::into_raw(Box::new(Node {
            number: UnsafeCell::new(0),
            next: AtomicPtr::new(null_mut()),
            item: UnsafeCell::new(item),
        }))
    }

    /// # Safety
    ///
    /// The node has been linked, or is the first: its number does not change any more.
    unsafe fn number(&self) -> u64 {
        // SAFETY: the caller's promise.
        self.number.with(|number| unsafe { *number })
    }

    /// # Safety
    ///
    /// The node has not been linked.
    unsafe fn set_number(&self, number: u64) {
        // SAFETY: it is still its maker's alone.
        self.number.with_mut(|place| unsafe { *place = number });
    }

    /// # Safety
    ///
    /// The caller made this node the dummy, and calls this once.
    unsafe fn take(&self) -> T {
        // SAFETY: the item was there until the caller made the node the dummy, and is the caller's.
        self.item
            .with_mut(|item| unsafe { (*item).assume_init_read() })
    }
}

impl<T> Husk<T> {
    /// # Safety
    ///
    /// `husk` came from [`Node::boxed`], its item has left, and it is not used again.
    unsafe fn free(husk: *mut Husk<T>) {
        // SAFETY: the caller's promise.
        let Husk(node) = *unsafe { Box::from_raw(husk) };
        // Nothing in the shipped code. Loom learns from it that whatever others did with the
        // node must lie before this.
        node.number.with_mut(|_| ());
        node.item.with_mut(|_| ());
    }
}

impl<T, R: Reclaim> Drop for MsQueue<T, R> {
    fn drop(&mut self) {
        // Drops the rest even if an item panics while it is dropped. If a second one does, the
        // process ends, as it does for a `Vec`.
        struct Rest<'a, T, R: Reclaim>(&'a mut MsQueue<T, R>);
        impl<T, R: Reclaim> Drop for Rest<'_, T, R> {
            fn drop(&mut self) {
                while let Some(item) = self.0.pop_alone() {
                    drop(item);
                }
                // SAFETY: the last node, without an item, and nobody comes after us.
                unsafe { Husk::free(self.0.head.load(Relaxed).cast::<Husk<T>>()) };
            }
        }
        let rest = Rest(self);
        while let Some(item) = rest.0.pop_alone() {
            drop(item);
        }
    }
}

impl<T, R: Reclaim + Default> Default for MsQueue<T, R> {
    /// An empty queue with a domain of its own.
    fn default() -> MsQueue<T, R> {
        MsQueue::with_domain(R::default())
    }
}

impl<T, R: Reclaim + Default> FromIterator<T> for MsQueue<T, R> {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> MsQueue<T, R> {
        let mut queue = MsQueue::default();
        queue.extend(items);
        queue
    }
}

impl<T, R: Reclaim> Extend<T> for MsQueue<T, R> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, items: I) {
        items.into_iter().for_each(|item| self.push(item));
    }
}

impl<T, R: Reclaim> fmt::Debug for MsQueue<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MsQueue")
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}

/// Neither shared nor sent when its items must not be.
///
/// ```compile_fail
/// fn is_shared<T: Sync>() {}
/// is_shared::<cortica_queue::list::MsQueue<std::rc::Rc<u8>>>();
/// ```
///
/// ```compile_fail
/// fn is_sent<T: Send>() {}
/// is_sent::<cortica_queue::list::MsQueue<std::rc::Rc<u8>>>();
/// ```
#[cfg(doctest)]
struct Bounds;
