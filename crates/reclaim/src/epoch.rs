//! Epochs, by crossbeam.

use std::cell::RefCell;

use crossbeam_epoch::{Collector, LocalHandle};

use crate::garbage::Retired;
use crate::stats::{Baseline, Stats};
use crate::strategy::{Protect, Reclaim};
use crate::sync::{Acquire, Arc, AtomicPtr, Counter, Relaxed, Weak, downgrade, per_thread};

/// Epoch-based reclamation on [crossbeam-epoch](https://docs.rs/crossbeam-epoch): portable, and
/// a guard protects everything it loads, not one pointer only.
///
/// One fence a guard. Garbage is not bounded: while one guard is held, nothing that is retired
/// after it was taken is freed. What is left over when the last clone of the domain is dropped
/// is freed when the last thread that used the domain ends or uses a new one; with no such
/// thread, at once.
///
/// Fraser, "Practical lock-freedom", Cambridge 2004.
#[derive(Clone, Debug)]
pub struct Epoch {
    domain: Arc<Domain>,
}

#[derive(Debug)]
struct Domain {
    collector: Collector,
    counters: Arc<Counters>,
    /// What they said at the last reset.
    baseline: Baseline,
}

#[derive(Debug, Default)]
struct Counters {
    retired: Counter,
    freed: Counter,
    panicked: Counter,
}

/// This thread's part in one domain.
struct Local {
    domain: Weak<Domain>,
    handle: LocalHandle,
}

per_thread! {
    static LOCALS: RefCell<Vec<Local>> = const { RefCell::new(Vec::new()) };
}

impl Epoch {
    /// A domain with epochs of its own.
    #[must_use]
    pub fn new() -> Epoch {
        Epoch {
            domain: Arc::new(Domain {
                collector: Collector::new(),
                counters: Arc::new(Counters::default()),
                baseline: Baseline::default(),
            }),
        }
    }

    fn pin(&self) -> crossbeam_epoch::Guard {
        let known = LOCALS.try_with(|locals| {
            // Pinning may free objects, whose destructors may come back here: a shared borrow.
            let locals = locals.try_borrow().ok()?;
            let mine =
                |local: &&Local| std::ptr::eq(local.domain.as_ptr(), &raw const *self.domain);
            locals.iter().find(mine).map(|local| local.handle.pin())
        });
        known.ok().flatten().unwrap_or_else(|| self.join())
    }

    #[cold]
    fn join(&self) -> crossbeam_epoch::Guard {
        let handle = self.domain.collector.register();
        let guard = handle.pin();
        let local = Local {
            domain: downgrade(&self.domain),
            handle,
        };
        // If the list cannot be had (the thread is ending, or this is a destructor), the handle
        // lasts as long as the guard.
        let gone = LOCALS.try_with(|locals| {
            let mut locals = locals.try_borrow_mut().ok()?;
            let is_gone = |local: &mut Local| local.domain.strong_count() == 0;
            let gone: Vec<Local> = locals.extract_if(.., is_gone).collect();
            locals.push(local);
            Some(gone)
        });
        drop(gone); // Outside the borrow: handles of domains that are gone may free objects.
        guard
    }
}

impl Default for Epoch {
    fn default() -> Epoch {
        Epoch::new()
    }
}

impl Drop for Domain {
    fn drop(&mut self) {
        let own = LOCALS.try_with(|locals| {
            let mut locals = locals.try_borrow_mut().ok()?;
            let at = locals
                .iter()
                .position(|local| std::ptr::eq(local.domain.as_ptr(), &raw const *self))?;
            Some(locals.swap_remove(at))
        });
        drop(own); // Outside the borrow, as in `join`.
    }
}

// SAFETY: see `EpochGuard`.
unsafe impl Reclaim for Epoch {
    type Guard<'d> = EpochGuard<'d>;

    fn guard(&self) -> EpochGuard<'_> {
        EpochGuard {
            guard: self.pin(),
            counters: &self.domain.counters,
        }
    }

    fn stats(&self) -> Stats {
        self.domain.baseline.since(self.domain.totals())
    }

    fn reset_stats(&self) {
        self.domain.baseline.set(&self.domain.totals());
    }
}

impl Domain {
    /// Figures since the domain was made.
    fn totals(&self) -> Stats {
        let counters = &self.counters;
        // Freed first: an object freed in between would otherwise be freed but not retired. Relaxed,
        // as all counters: figures read beside others at work need not fit together, and what is
        // pending is never less than nothing.
        let freed = counters.freed.load(Relaxed);
        Stats {
            retired: counters.retired.load(Relaxed),
            freed,
            panicked: counters.panicked.load(Relaxed),
            ..Stats::default()
        }
    }
}

/// A guard of [`Epoch`]: a pinned thread.
#[derive(Debug)]
pub struct EpochGuard<'d> {
    guard: crossbeam_epoch::Guard,
    counters: &'d Arc<Counters>,
}

// SAFETY: what is retired under a collector is freed two epochs later, and the epoch does not
// advance twice while a thread is pinned: what a pinned thread can still reach stays.
unsafe impl Protect for EpochGuard<'_> {
    #[inline]
    fn protect<T>(&mut self, source: &AtomicPtr<T>) -> *mut T {
        source.load(Acquire)
    }

    /// Enters the current epoch.
    fn release(&mut self) {
        self.guard.repin();
    }

    /// The same as dropping it: an epoch holds back everything, so it is not left standing.
    fn park(self) {}

    unsafe fn retire_with<T: Send>(&mut self, pointer: *mut T, free: unsafe fn(*mut T)) {
        self.counters.retired.fetch_add(1, Relaxed);
        let counters = Arc::clone(self.counters);
        // SAFETY: the caller's promise.
        let retired = unsafe { Retired::new(pointer, free) };
        // SAFETY: nobody can reach the object but guards that are pinned now. It may be freed
        // on any thread; three words, so crossbeam allocates nothing for it.
        unsafe {
            self.guard.defer_unchecked(move || {
                if !retired.free() {
                    counters.panicked.fetch_add(1, Relaxed);
                }
                counters.freed.fetch_add(1, Relaxed);
            });
        }
    }

    fn collect(&mut self) {
        self.guard.flush();
    }
}
