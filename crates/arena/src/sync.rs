//! The door to `std::sync` and to loom: nothing else in this crate names either, so the code
//! loom explores is the code we ship.

use std::time::Instant;

// Figures carry no ordering that anything relies on; std's make no branches in a model.
pub(crate) use std::sync::atomic::AtomicU64 as Counter;
pub(crate) use std::sync::atomic::AtomicUsize as Figure;

pub(crate) use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

/// Locks; nothing of ours panics while it holds a lock, so none is ever left half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}

#[cfg(loom)]
mod of_loom {
    use super::{Instant, Relaxed};
    use std::cell::RefCell;
    use std::sync::atomic::AtomicUsize;

    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{AtomicPtr, AtomicU64};
    pub(crate) use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

    /// loom has no `Weak`. This one is strong: in a model, what it points to outlives every
    /// thread that has one, and is gone when the last of them is.
    pub(crate) struct Weak<T>(Arc<T>);

    pub(crate) fn downgrade<T>(strong: &Arc<T>) -> Weak<T> {
        Weak(Arc::clone(strong))
    }

    impl<T> Weak<T> {
        #[allow(clippy::unnecessary_wraps, reason = "std's signature")]
        pub(crate) fn upgrade(&self) -> Option<Arc<T>> {
            Some(Arc::clone(&self.0))
        }

        #[allow(clippy::unused_self, reason = "std's signature")]
        pub(crate) fn strong_count(&self) -> usize {
            1
        }
    }

    /// As std's, without the promise that the value is a constant, which loom does not take.
    macro_rules! per_thread {
        ($(static $name:ident: $type:ty = const $value:block;)*) => {
            loom::thread_local! { $(static $name: $type = $value;)* }
        };
    }
    pub(crate) use per_thread;

    /// Outside of loom, so that it outlives the explored runs.
    static SLEPT: AtomicUsize = AtomicUsize::new(0);

    /// How often a thread went to sleep, in all runs of all models: a witness.
    pub fn slept() -> usize {
        SLEPT.load(Relaxed)
    }

    /// Sleeps until notified. loom has no time: under it nobody gives a deadline.
    pub(crate) fn wait<'a, T>(
        condvar: &Condvar,
        guard: MutexGuard<'a, T>,
        _deadline: Option<Instant>,
    ) -> MutexGuard<'a, T> {
        SLEPT.fetch_add(1, Relaxed);
        match condvar.wait(guard) {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// One cell a row. The rows themselves are plain memory, so loom watches these instead.
    pub(crate) struct Watches(Vec<UnsafeCell<()>>);

    impl Watches {
        pub(crate) fn new(rows: usize) -> Watches {
            Watches((0..rows).map(|_| UnsafeCell::new(())).collect())
        }

        pub(crate) fn write(&self, row: usize) -> Writing {
            Writing(self.0[row].get_mut())
        }
    }

    /// A row is being written while this lives.
    pub(crate) struct Writing(
        #[allow(dead_code, reason = "its drop is its use")] loom::cell::MutPtr<()>,
    );

    /// The rows that are being read while this lives.
    pub(crate) struct Readings(RefCell<Vec<loom::cell::ConstPtr<()>>>);

    impl Readings {
        pub(crate) fn new() -> Readings {
            Readings(RefCell::new(Vec::new()))
        }

        pub(crate) fn add(&self, watches: &Watches, rows: std::ops::Range<usize>) {
            let readings = rows.map(|row| watches.0[row].get());
            self.0.borrow_mut().extend(readings);
        }

        pub(crate) fn clear(&mut self) {
            self.0.get_mut().clear();
        }
    }
}

#[cfg(not(loom))]
mod of_std {
    use super::Instant;

    pub(crate) use std::sync::atomic::{AtomicPtr, AtomicU64};
    pub(crate) use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
    pub(crate) use std::thread_local as per_thread;

    pub(crate) fn downgrade<T>(strong: &Arc<T>) -> Weak<T> {
        Arc::downgrade(strong)
    }

    /// As loom has it: the pointer is lent to a closure, so that every access has an end.
    #[derive(Debug)]
    pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) fn new(value: T) -> UnsafeCell<T> {
            UnsafeCell(std::cell::UnsafeCell::new(value))
        }

        #[inline]
        pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
            access(self.0.get())
        }
    }

    /// Sleeps until notified or, where there is a deadline, until then; may also wake for no
    /// reason.
    pub(crate) fn wait<'a, T>(
        condvar: &Condvar,
        guard: MutexGuard<'a, T>,
        deadline: Option<Instant>,
    ) -> MutexGuard<'a, T> {
        match deadline {
            None => condvar.wait(guard).unwrap_or_else(PoisonError::into_inner),
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                let woken = condvar.wait_timeout(guard, left);
                woken.unwrap_or_else(PoisonError::into_inner).0
            }
        }
    }

    // What loom watches rows with, and what is nothing at all in the code we ship.

    pub(crate) struct Watches;

    impl Watches {
        pub(crate) fn new(_rows: usize) -> Watches {
            Watches
        }

        #[allow(clippy::unused_self, reason = "loom's has something to look at")]
        pub(crate) fn write(&self, _row: usize) -> Writing {
            Writing
        }
    }

    pub(crate) struct Writing;

    pub(crate) struct Readings;

    impl Readings {
        pub(crate) fn new() -> Readings {
            Readings
        }

        #[inline]
        #[allow(clippy::unused_self, reason = "as above")]
        pub(crate) fn add(&self, _watches: &Watches, _rows: std::ops::Range<usize>) {}

        #[inline]
        #[allow(clippy::unused_self, reason = "as above")]
        pub(crate) fn clear(&mut self) {}
    }
}

#[cfg(loom)]
pub use of_loom::slept;
#[cfg(loom)]
pub(crate) use of_loom::*;
#[cfg(not(loom))]
pub(crate) use of_std::*;
