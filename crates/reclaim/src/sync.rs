//! The door to `std::sync` and to loom: nothing else in this crate names either, but for tests and
//! examples, so the code loom explores is the code we ship.

// Figures carry no ordering that anything relies on; std's make no branches in a model.
pub(crate) use std::sync::atomic::AtomicU64 as Counter;

// Says whether somebody is left, and carries no ordering that anything relies on either.
pub(crate) use std::sync::{Arc as Token, Weak as TokenWatch};

pub(crate) use std::sync::atomic::compiler_fence;

pub(crate) use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

#[cfg(loom)]
mod of_loom {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering, fence,
    };
    pub(crate) use loom::sync::{Mutex, MutexGuard};
    pub(crate) use loom::thread::{ThreadId, current, yield_now};

    /// std's, for the stage around a model: loom does not see them, and they order nothing there.
    pub(crate) mod stage {
        pub(crate) use std::sync::atomic::{AtomicBool as Switch, AtomicUsize as Tally};
        pub(crate) use std::sync::{Mutex, MutexGuard};

        pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
            mutex
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner)
        }
    }

    /// Of readers that are not pinged it never changes, and makes no branches in their models.
    #[derive(Debug)]
    pub(crate) enum Flag {
        Fixed(u64),
        Changes(AtomicU64),
    }

    impl Flag {
        pub(crate) fn new(value: u64, changes: bool) -> Flag {
            if changes {
                Flag::Changes(AtomicU64::new(value))
            } else {
                Flag::Fixed(value)
            }
        }

        pub(crate) fn changes(&self) -> bool {
            matches!(self, Flag::Changes(_))
        }

        pub(crate) fn load(&self, order: Ordering) -> u64 {
            match self {
                Flag::Fixed(value) => *value,
                Flag::Changes(value) => value.load(order),
            }
        }

        pub(crate) fn store(&self, new: u64, order: Ordering) {
            match self {
                Flag::Fixed(value) => assert_eq!(*value, new, "a flag that does not change"),
                Flag::Changes(value) => value.store(new, order),
            }
        }
    }

    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        match mutex.lock() {
            Ok(guard) => guard,
            Err(poisoned) => poisoned.into_inner(),
        }
    }

    /// A static of one run of a model: loom's own are gone before the last threads are.
    pub(crate) struct Static<T> {
        now: std::sync::atomic::AtomicPtr<T>,
        make: fn() -> T,
    }

    impl<T> Static<T> {
        pub(crate) const fn new(make: fn() -> T) -> Static<T> {
            Static {
                now: std::sync::atomic::AtomicPtr::new(std::ptr::null_mut()),
                make,
            }
        }

        /// Makes the one of this run. That of the last run is leaked.
        pub(crate) fn begin_anew(&self) {
            let made = Box::leak(Box::new((self.make)()));
            self.now.store(made, Ordering::Relaxed);
        }
    }

    impl<T> std::ops::Deref for Static<T> {
        type Target = T;

        fn deref(&self) -> &T {
            let now = self.now.load(Ordering::Relaxed);
            assert!(!now.is_null(), "begun by the domain of the model");
            // SAFETY: leaked above.
            unsafe { &*now }
        }
    }

    macro_rules! shared {
        ($($(#[$doc:meta])* static $name:ident: $type:ty = $value:expr;)*) => {
            $(
                $(#[$doc])*
                static $name: crate::sync::Static<$type> = crate::sync::Static::new(|| $value);
            )*

            /// At the beginning of every run of a model.
            pub(crate) fn begin_anew() {
                $($name.begin_anew();)*
            }
        };
    }
    pub(crate) use shared;

    /// loom has no `Weak`. This one is strong: in a model a domain outlives every thread that
    /// used it, and is gone when the last of them is.
    #[derive(Debug)]
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

        pub(crate) fn as_ptr(&self) -> *const T {
            &raw const *self.0
        }
    }

    /// As std's, without the promise that the value is a constant, which loom does not take.
    macro_rules! per_thread {
        ($($(#[$doc:meta])* static $name:ident: $type:ty = const $value:block;)*) => {
            loom::thread_local! { $($(#[$doc])* static $name: $type = $value;)* }
        };
    }
    pub(crate) use per_thread;
}

#[cfg(not(loom))]
mod of_std {
    #[cfg(target_os = "linux")]
    pub(crate) use std::sync::OnceLock;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering, fence};
    pub(crate) use std::sync::{Arc, Weak};

    use std::sync::atomic::AtomicU64;

    #[derive(Debug)]
    pub(crate) struct Flag(AtomicU64);

    impl Flag {
        pub(crate) fn new(value: u64, _changes: bool) -> Flag {
            Flag(AtomicU64::new(value))
        }

        #[inline]
        pub(crate) fn load(&self, order: Ordering) -> u64 {
            self.0.load(order)
        }

        #[inline]
        pub(crate) fn store(&self, new: u64, order: Ordering) {
            self.0.store(new, order);
        }
    }

    pub(crate) fn downgrade<T>(strong: &Arc<T>) -> Weak<T> {
        Arc::downgrade(strong)
    }
    pub(crate) use std::thread_local as per_thread;

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
}

/// What only pings by signal need.
#[cfg(all(feature = "signal", target_os = "linux", not(loom)))]
mod of_signals {
    pub(crate) use std::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize};
    pub(crate) use std::sync::{Mutex, MutexGuard};

    /// Nothing under these locks is left half done by a panic.
    pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
        mutex
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    macro_rules! shared {
        ($($(#[$doc:meta])* static $name:ident: $type:ty = $value:expr;)*) => {
            $($(#[$doc])* static $name: $type = $value;)*
        };
    }
    pub(crate) use shared;
}

#[cfg(loom)]
pub(crate) use of_loom::*;
#[cfg(all(feature = "signal", target_os = "linux", not(loom)))]
pub(crate) use of_signals::*;
#[cfg(not(loom))]
pub(crate) use of_std::*;
