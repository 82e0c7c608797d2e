//! crossbeam-epoch used the way its documentation shows, behind safe functions: its own are not.
#![allow(unsafe_code, reason = "the peer's `deref` and `defer_destroy` are")]

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crossbeam_epoch::{Atomic, Owned, pin, unprotected};

/// A value that is read without locks and replaced as a whole, as `cortica_reclaim::Shared` is.
pub(super) struct Replaced<T: Send + Sync + 'static>(Atomic<T>);

impl<T: Send + Sync + 'static> Replaced<T> {
    pub(super) fn new(value: T) -> Replaced<T> {
        Replaced(Atomic::new(value))
    }

    /// Pin, load, look, unpin.
    #[inline]
    pub(super) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        let guard = pin();
        // SAFETY: never null, and what is taken out is destroyed when no thread is pinned that
        // could have seen it.
        look(unsafe { self.0.load(Acquire, &guard).deref() })
    }

    /// Allocate, pin, exchange, defer.
    #[inline]
    pub(super) fn replace(&self, value: T) {
        let new = Owned::new(value);
        let guard = pin();
        let old = self.0.swap(new, AcqRel, &guard);
        // SAFETY: it came from `Owned`, and the exchange gave it to this thread alone.
        unsafe { guard.defer_destroy(old) };
    }
}

impl<T: Send + Sync + 'static> Drop for Replaced<T> {
    fn drop(&mut self) {
        // SAFETY: `&mut self`: nobody else has it, and the value was never deferred.
        unsafe { drop(self.0.load(Relaxed, unprotected()).into_owned()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn values_are_replaced_and_dropped() {
        let value = Arc::new(7);
        let replaced = Replaced::new(Arc::clone(&value));
        replaced.replace(Arc::clone(&value));
        assert_eq!(replaced.read(|value| **value), 7);
        drop(replaced);
        // What was replaced waits for the epochs to advance.
        while Arc::strong_count(&value) > 1 {
            pin().flush();
        }
    }
}
