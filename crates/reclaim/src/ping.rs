//! Hazard slots that are made visible on demand.

use std::marker::PhantomData;

use crate::barrier::Form;
use crate::garbage::Retired;
#[cfg(all(feature = "signal", target_os = "linux", not(loom)))]
use crate::handler::SignalError;
use crate::local::{self, Source};
use crate::slot::{Slot, Slots};
use crate::stats::Stats;
use crate::strategy::{Protect, Reclaim};
use crate::sync::{Acquire, Arc, AtomicPtr};

/// Objects all threads together hold back. The first thread gets a quarter of it as its quota: a
/// ping takes about 4 us, 4 ns an object.
const BATCH: usize = 4_096;

/// Hazard slots whose readers pay no fence.
///
/// A reader writes what it protects into a slot of its own with a plain store and looks again;
/// a thread whose batch of retired objects is full pings all readers through the kernel, which
/// makes their stores visible, and frees what is in no slot. Where the kernel cannot do so,
/// readers run a fence: [`form`](PublishOnPing::form) says which it is.
///
/// Garbage is bounded whatever readers do, [`Stats::pending_max`], as long as the kernel does not
/// refuse to ping ([`Stats::refused`]). The form with signals has one exception more: where the
/// kernel refuses membarrier, a reader that blocks the signal, never pauses and never uses the
/// domain again holds everything back. When the last clone of the domain is dropped, everything
/// that was retired is freed.
///
/// After Singh & Brown, "Publish on Ping", PPoPP 2025, whose ping is a signal with a handler;
/// here the kernel's barrier takes its place, and no handler is installed unless a domain is made
/// that asks for one (feature `signal`). The slots are
/// Michael's hazard pointers (IEEE TPDS 15(6), 2004).
#[derive(Clone, Debug)]
pub struct PublishOnPing {
    form: Form,
    source: Source,
}

impl PublishOnPing {
    /// A domain of the fastest form this kernel has.
    #[must_use]
    pub fn new() -> PublishOnPing {
        PublishOnPing::with(Form::best(), BATCH)
    }

    /// A domain whose readers run a fence, as everywhere that the kernel cannot ping.
    #[must_use]
    pub fn fenced() -> PublishOnPing {
        PublishOnPing::with(Form::Fenced, BATCH)
    }

    /// A domain whose readers are pinged by `SIGURG`: see
    /// [`signalled_by`](PublishOnPing::signalled_by). It is ignored by default, so one that comes
    /// from elsewhere does no harm, and hardly anybody handles it.
    #[cfg(all(feature = "signal", target_os = "linux", not(loom)))]
    pub fn signalled() -> Result<PublishOnPing, SignalError> {
        PublishOnPing::signalled_by(libc::SIGURG)
    }

    /// A domain whose readers are pinged by the signal `number`, as in the paper; on kernels
    /// without membarrier, or to compare with it.
    ///
    /// **Installs a handler** for the signal, process-wide and for good; nothing else in this
    /// crate does. All domains of a process use the signal that the first one chose. Threads that
    /// have used the domain are then interrupted once a batch. Calls of the kernel's that were
    /// interrupted go on (`SA_RESTART`), except those that never do, such as `poll` and
    /// `nanosleep` (the manual page signal(7) lists them), which give `EINTR`.
    ///
    /// A thread that has the signal blocked at its first guard runs a fence with each protection.
    /// One that does not answer within 10 ms, because it blocked the signal later or was not given
    /// a processor, keeps nobody waiting any longer: it runs fences, too, until it answers. Nothing
    /// is freed before it has passed some barrier, which the kernel is asked to bring about
    /// (membarrier) or else to testify (`/proc`): [`Stats::late`], [`Stats::waits`], [`Stats::refused`]. From then
    /// on [`Stats::pending_max`] holds again. Only where the kernel has no membarrier, a thread
    /// that blocked the signal later, never sleeps, never shares its processor and never uses the
    /// domain again holds everything back.
    ///
    /// Not for use in a child after `fork`: threads are known by the parent's numbers.
    ///
    /// # Errors
    ///
    /// If the signal is in use in this process already, or cannot be used.
    #[cfg(all(feature = "signal", target_os = "linux", not(loom)))]
    pub fn signalled_by(number: i32) -> Result<PublishOnPing, SignalError> {
        crate::handler::install(number)?;
        Ok(PublishOnPing::with(Form::Signal, BATCH))
    }

    /// For models of what readers find: none of them runs a fence, as with membarrier, which no
    /// model has, so nothing is freed.
    #[cfg(loom)]
    #[doc(hidden)]
    #[must_use]
    pub fn unfenced() -> PublishOnPing {
        PublishOnPing::with(Form::Membarrier, BATCH)
    }

    /// For models: the signal form, whose readers are interrupted where `interrupts.rs` says.
    #[cfg(loom)]
    #[doc(hidden)]
    #[must_use]
    pub fn interrupted(looks: usize) -> PublishOnPing {
        crate::handler::install(looks);
        PublishOnPing::with(Form::Signal, BATCH)
    }

    /// As [`new`](PublishOnPing::new), with at most `batch` objects held back before slots are
    /// looked at: smaller means less memory and more pings. From some number of threads on it
    /// is 64 a thread, where `batch` is not smaller than that; [`Stats::batch`] says how much it is.
    #[must_use]
    pub fn with_batch(self, batch: usize) -> PublishOnPing {
        PublishOnPing::with(self.form, batch)
    }

    fn with(form: Form, batch: usize) -> PublishOnPing {
        PublishOnPing {
            form,
            source: Source::new(Arc::new(Slots::new(form, batch))),
        }
    }

    /// The same domain, with slots of their own for the guards that a thread takes from here: what it
    /// [parked](Protect::park) by guards from elsewhere stays parked meanwhile. For a structure that
    /// a thread is at in two places in turn, such as the two ends of a queue.
    ///
    /// A thread keeps the slots that it had from here until it ends or, when this and all clones
    /// of it are gone, until it comes to use another domain or one made apart and has as many of
    /// those behind it as are still in use.
    #[must_use]
    pub fn apart(&self) -> PublishOnPing {
        PublishOnPing {
            form: self.form,
            source: self.source.apart(),
        }
    }

    /// Whether this thread still protects `pointer` by a guard that it took from here and
    /// [parked](Protect::park): three loads, and no guard. False says nothing: it may do so all the
    /// same.
    ///
    /// If true, what the pointer points to stays until this thread takes its next guard from here
    /// (or from a clone, but not from what was made [apart](PublishOnPing::apart)), or ends. So an operation on an object that the thread was last at can do without a
    /// guard: load the pointer, ask here, and only then dereference it. `Relaxed` will do: what was
    /// written before it was stored was seen when it was protected.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};
    ///
    /// use cortica_reclaim::{Protect, PublishOnPing, Reclaim};
    ///
    /// let domain = PublishOnPing::new();
    /// let source = AtomicPtr::new(Box::into_raw(Box::new(7)));
    ///
    /// let mut guard = domain.guard();
    /// let first = guard.protect(&source);
    /// guard.park();
    /// assert!(domain.has_parked(source.load(Relaxed)));
    ///
    /// let mut guard = domain.guard(); // It may come to protect something else.
    /// assert!(!domain.has_parked(first));
    /// # // SAFETY: from a box, and nobody else has it.
    /// # unsafe { guard.retire(first) };
    /// ```
    #[inline]
    #[must_use]
    pub fn has_parked<T>(&self, pointer: *mut T) -> bool {
        local::is_parked(&self.source, pointer.cast_const().cast())
    }

    /// How readers and reclaimers see each other.
    #[must_use]
    pub fn form(&self) -> Form {
        self.form
    }
}

impl Default for PublishOnPing {
    fn default() -> PublishOnPing {
        PublishOnPing::new()
    }
}

// SAFETY: see `PingGuard`.
unsafe impl Reclaim for PublishOnPing {
    type Guard<'d> = PingGuard<'d>;

    /// Two thread-local accesses where this thread has used few domains; beyond four, two looks into
    /// a hash table, however many they are. Its first guard looks through the domain's slots for one
    /// that is free.
    #[inline]
    fn guard(&self) -> PingGuard<'_> {
        let slot = local::take(&self.source);
        let held = slot.reserved();
        if !held.is_null() {
            local::unpark(&self.source);
        }
        PingGuard {
            domain: self,
            slot,
            held,
            stays: PhantomData,
        }
    }

    fn stats(&self) -> Stats {
        self.source.slots().stats()
    }

    fn reset_stats(&self) {
        self.source.slots().reset_stats();
    }
}

/// A guard of [`PublishOnPing`]: one slot.
#[derive(Debug)]
pub struct PingGuard<'d> {
    domain: &'d PublishOnPing,
    slot: &'d Slot,
    /// What stands in the slot, where no store needs to be waited for to know it.
    held: *mut (),
    /// The slot is the thread's, so the guard does not leave it.
    stays: PhantomData<*mut ()>,
}

impl PingGuard<'_> {
    #[inline]
    fn reserve(&mut self, pointer: *mut ()) {
        self.slot.reserve(pointer);
        self.held = pointer;
    }

    /// Reserves `pointer`, and says what is in `source` after that.
    #[inline]
    fn validate<T>(&mut self, source: &AtomicPtr<T>, pointer: *mut T) -> *mut T {
        self.reserve(pointer.cast());
        self.slot.keep_order();
        // Acquire, as in the first load: what was written before the pointer was stored.
        source.load(Acquire)
    }

    /// For a source that changed between the two looks, as seldom happens.
    #[cold]
    fn protect_another<T>(&mut self, source: &AtomicPtr<T>, mut pointer: *mut T) -> *mut T {
        loop {
            let again = self.validate(source, pointer);
            if again == pointer {
                return again;
            }
            pointer = again;
        }
    }
}

// SAFETY: a pointer is returned only if `source` still held it after it stood in the slot and
// the fence. A reclaimer takes objects out of `source`, then runs its half of the fence, then
// reads the slots: so either we see that the object was taken out, or it sees the slot. The slot
// keeps the pointer until the guard's next `protect`, `release` or end.
unsafe impl Protect for PingGuard<'_> {
    #[inline]
    fn protect<T>(&mut self, source: &AtomicPtr<T>) -> *mut T {
        let pointer = source.load(Acquire);
        // What stands in the slot was found in its source after it was put there, and has been
        // standing since: the object was not freed, so there is nothing to validate anew.
        if self.held == pointer.cast() {
            return pointer;
        }
        let again = self.validate(source, pointer);
        if again == pointer {
            return again;
        }
        self.protect_another(source, again)
    }

    #[inline]
    fn protect_expected<T>(&mut self, source: &AtomicPtr<T>, expected: *mut T) -> *mut T {
        let again = self.validate(source, expected);
        if again == expected {
            return again;
        }
        self.protect_another(source, again)
    }

    #[inline]
    fn release(&mut self) {
        self.reserve(std::ptr::null_mut());
    }

    #[inline]
    fn park(self) {
        let guard = std::mem::ManuallyDrop::new(self);
        // SAFETY: the slot came from `take`, and the guard, which is not dropped, is at its end.
        unsafe { local::park(&guard.domain.source, guard.slot, guard.held) };
    }

    #[inline]
    unsafe fn retire_with<T: Send>(&mut self, pointer: *mut T, free: unsafe fn(*mut T)) {
        // SAFETY: the caller's promise; the slot is this thread's while the guard lives.
        unsafe {
            let retired = Retired::new(pointer, free);
            self.domain.source.slots().retire(self.slot, retired);
        }
    }

    fn collect(&mut self) {
        // SAFETY: the slot is this thread's while the guard lives.
        unsafe { self.domain.source.slots().collect(self.slot) };
    }
}

impl Drop for PingGuard<'_> {
    #[inline]
    fn drop(&mut self) {
        self.release();
        // SAFETY: the slot came from `take`, and the guard is at its end.
        unsafe { local::put_back(&self.domain.source, self.slot) };
    }
}
