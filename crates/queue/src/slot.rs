//! A place for one item, and the stamp that says who may use it.

use std::mem::MaybeUninit;

use crate::sync::{Acquire, AtomicUsize, Relaxed, Release, UnsafeCell};

pub(crate) struct Slot<T> {
    stamp: AtomicUsize,
    item: UnsafeCell<MaybeUninit<T>>,
}

impl<T> Slot<T> {
    pub(crate) fn new(stamp: usize) -> Slot<T> {
        Slot {
            stamp: AtomicUsize::new(stamp),
            item: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    /// Whoever sees the stamp here sees the item that was moved in or out before it was set.
    #[inline]
    pub(crate) fn has(&self, stamp: usize) -> bool {
        self.stamp.load(Acquire) == stamp
    }

    /// Hands the slot on to whoever waits for this stamp.
    #[inline]
    pub(crate) fn set(&self, stamp: usize) {
        self.stamp.store(stamp, Release); // Pairs with the Acquire in `has`.
    }

    /// As [`set`](Self::set), for a slot that nobody else has seen.
    #[inline]
    pub(crate) fn set_unseen(&self, stamp: usize) {
        self.stamp.store(stamp, Relaxed);
    }

    /// Moves `item` in. Whoever may move it out gets to know by the stamp.
    ///
    /// # Safety
    /// The slot is the caller's and vacant: claimed, its stamp seen where that says so, and
    /// filled once.
    #[inline]
    pub(crate) unsafe fn fill(&self, item: T) {
        // SAFETY: nobody else touches the slot until the stamp says so.
        self.item.with_mut(|place| unsafe { (*place).write(item) });
    }

    /// Moves the item out.
    ///
    /// # Safety
    /// The slot is the caller's and filled: its stamp seen, then claimed, and emptied once.
    #[inline]
    pub(crate) unsafe fn empty(&self) -> T {
        // SAFETY: filled, and nobody else touches it until the stamp says so.
        self.item
            .with_mut(|place| unsafe { (*place).assume_init_read() })
    }
}
