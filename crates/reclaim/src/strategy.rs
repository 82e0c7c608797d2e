//! What every strategy offers: a domain gives guards, guards protect and retire.

use crate::stats::Stats;
use crate::sync::AtomicPtr;

/// A domain of memory reclamation. Clones are the same domain.
///
/// An object that is protected under a domain must be retired under the same domain.
///
/// # Safety
///
/// An implementation promises that the guards it gives keep what [`Protect::protect`] says.
pub unsafe trait Reclaim: Clone + Send + Sync + 'static {
    /// What protects and retires; it stays on its thread.
    type Guard<'d>: Protect
    where
        Self: 'd;

    /// A guard of the calling thread. Threads need not register, and leave no trace when they
    /// end; guards may be nested.
    fn guard(&self) -> Self::Guard<'_>;

    /// How much was retired and freed since the last reset, and what there is now. Exact when no
    /// thread is at work in the domain.
    fn stats(&self) -> Stats;

    /// Sets the counts to zero, and [`retired`](Stats::retired) to what is pending now.
    fn reset_stats(&self);
}

/// Protects one pointer at a time, and retires objects that were made unreachable.
///
/// # Safety
///
/// An implementation promises that an object whose pointer `protect` returned is not freed until
/// the guard protects something else, releases, or is dropped, provided that the object was
/// made unreachable through `source` before it was retired in the same domain.
pub unsafe trait Protect {
    /// Loads `source` and protects what it points to, replacing what was protected before.
    ///
    /// The returned pointer was in `source` at some moment during the call, and everything that
    /// was written before it was stored there with `Release` is visible. It may be dereferenced
    /// while it stays protected, if all objects ever stored in `source` were valid then and are
    /// only ever freed by [`retire`](Protect::retire) in this guard's domain.
    fn protect<T>(&mut self, source: &AtomicPtr<T>) -> *mut T;

    /// As [`protect`](Protect::protect), for whoever has loaded `source` already and expects to find
    /// `expected` there again: it saves the first of two loads. What is returned was in `source`
    /// during the call, be it `expected` or not. `Relaxed` will do for the load before.
    #[inline]
    fn protect_expected<T>(&mut self, source: &AtomicPtr<T>, expected: *mut T) -> *mut T {
        let _ = expected;
        self.protect(source)
    }

    /// Stops protecting; the guard can be used again.
    fn release(&mut self);

    /// Ends the guard but leaves its reservation standing where the strategy can, so that this
    /// thread protects the same pointer again at the price of two loads. It holds back at most
    /// that one object, until the thread protects another or ends.
    fn park(self);

    /// Frees the box behind `pointer` as soon as nobody protects it. A destructor that panics is
    /// counted in [`Stats::panicked`] and goes no further: whoever happens to be freeing is not
    /// its owner.
    ///
    /// # Safety
    ///
    /// `pointer` came from `Box::into_raw`; nobody can reach it any more except guards of this
    /// domain that protect it already; it is retired once. What `T` borrows, if anything, lives
    /// until the domain has freed it (see [`Reclaim`] implementations for when that is at last).
    unsafe fn retire<T: Send>(&mut self, pointer: *mut T) {
        // SAFETY: as the caller promises; `free_box` does what a box from `into_raw` needs.
        unsafe { self.retire_with(pointer, free_box::<T>) }
    }

    /// Like [`retire`](Protect::retire), for an object that `free` gets rid of, or recycles.
    ///
    /// # Safety
    ///
    /// As for `retire`; and `free` may be called with `pointer` once, on any thread.
    unsafe fn retire_with<T: Send>(&mut self, pointer: *mut T, free: unsafe fn(*mut T));

    /// Frees what can be freed now, instead of when the next batch is full.
    fn collect(&mut self);
}

/// # Safety
///
/// `pointer` came from `Box::into_raw` and is not used again.
unsafe fn free_box<T>(pointer: *mut T) {
    // SAFETY: the caller's promise.
    drop(unsafe { Box::from_raw(pointer) });
}
