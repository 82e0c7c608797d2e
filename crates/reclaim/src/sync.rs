//! The door to `std::sync` and to loom: nothing else in this crate names either, so the code
//! loom explores is the code we ship.

// Figures carry no ordering that anything relies on; std's make no branches in a model.
pub(crate) use std::sync::atomic::AtomicU64 as Counter;

// Whether readers run a fence does not change in a model.
pub(crate) use std::sync::atomic::AtomicU64 as Flag;
pub(crate) use std::sync::atomic::compiler_fence;

pub(crate) use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};

#[cfg(loom)]
mod of_loom {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::Arc;
    pub(crate) use loom::sync::atomic::{AtomicBool, AtomicPtr, fence};

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
        ($(static $name:ident: $type:ty = const $value:block;)*) => {
            loom::thread_local! { $(static $name: $type = $value;)* }
        };
    }
    pub(crate) use per_thread;
}

#[cfg(not(loom))]
mod of_std {
    #[cfg(target_os = "linux")]
    pub(crate) use std::sync::OnceLock;
    pub(crate) use std::sync::atomic::{AtomicBool, AtomicPtr, fence};
    pub(crate) use std::sync::{Arc, Weak};

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

/// What only pings by signal need; no model has them.
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
}

#[cfg(loom)]
pub(crate) use of_loom::*;
#[cfg(all(feature = "signal", target_os = "linux", not(loom)))]
pub(crate) use of_signals::*;
#[cfg(not(loom))]
pub(crate) use of_std::*;
