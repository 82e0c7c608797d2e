//! The crate without unsafe code: one value that many threads read and some replace.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use crate::strategy::{Protect, Reclaim};
use crate::sync::{AcqRel, AtomicPtr, Relaxed};

/// A value that is read without locks and replaced as a whole.
///
/// Readers keep the value they found for as long as they look at it; writers never wait for
/// them. The old value is retired in the domain.
///
/// ```
/// use cortica_reclaim::{PublishOnPing, Shared};
///
/// let limits = Shared::new(&PublishOnPing::new(), vec![1, 2, 3]);
/// let before = limits.read();
/// limits.replace(vec![4]);
/// assert_eq!((*before).len(), 3);
/// assert_eq!(limits.read().len(), 1);
/// ```
pub struct Shared<T: Send + Sync + 'static, R: Reclaim> {
    pointer: AtomicPtr<T>,
    domain: R,
    owns: PhantomData<T>,
}

impl<T: Send + Sync + 'static, R: Reclaim> Shared<T, R> {
    /// Holds `value`; what replaces it is retired in `domain`.
    pub fn new(domain: &R, value: T) -> Shared<T, R> {
        Shared {
            pointer: AtomicPtr::new(Box::into_raw(Box::new(value))),
            domain: domain.clone(),
            owns: PhantomData,
        }
    }

    /// The value as it is now, protected while the result lives. O(1), no lock.
    #[inline]
    pub fn read(&self) -> Read<'_, T, R> {
        let mut guard = self.domain.guard();
        let pointer = guard.protect(&self.pointer);
        Read {
            pointer,
            _guard: guard,
            value: PhantomData,
        }
    }

    /// A reader that looks again and again, and pays for a protection only when the value has
    /// changed.
    #[inline]
    pub fn reader(&self) -> Reader<'_, T, R> {
        Reader {
            shared: self,
            guard: self.domain.guard(),
        }
    }

    /// Puts `value` in place of what is there. One allocation, one atomic exchange.
    pub fn replace(&self, value: T) {
        let new = Box::into_raw(Box::new(value));
        let mut guard = self.domain.guard();
        // Release: who loads the pointer sees the value whole. Acquire: so do we, who free it.
        let old = self.pointer.swap(new, AcqRel);
        // SAFETY: `old` came from a box; the exchange took it out, and gave it to us alone.
        // Readers hold guards of the same domain. `T` borrows nothing.
        unsafe { guard.retire(old) };
    }
}

impl<T: Send + Sync + 'static, R: Reclaim> Drop for Shared<T, R> {
    fn drop(&mut self) {
        // Relaxed: whoever made `&mut self` out of shares of it ordered everything before.
        // SAFETY: readers borrow `self`, so there are none; the value was never retired.
        drop(unsafe { Box::from_raw(self.pointer.load(Relaxed)) });
    }
}

impl<T: fmt::Debug + Send + Sync + 'static, R: Reclaim> fmt::Debug for Shared<T, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Shared").field(&*self.read()).finish()
    }
}

/// A value found by [`Shared::read`].
pub struct Read<'s, T: Send + Sync + 'static, R: Reclaim + 's> {
    pointer: *const T,
    _guard: R::Guard<'s>,
    value: PhantomData<&'s T>,
}

impl<T: Send + Sync + 'static, R: Reclaim> Deref for Read<'_, T, R> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the guard in `self` protects it, and protects nothing else. It was in the
        // `Shared`, which holds valid boxes only and retires them in the guard's domain.
        unsafe { &*self.pointer }
    }
}

/// Reads one [`Shared`] many times.
pub struct Reader<'s, T: Send + Sync + 'static, R: Reclaim + 's> {
    shared: &'s Shared<T, R>,
    guard: R::Guard<'s>,
}

impl<T: Send + Sync + 'static, R: Reclaim> Reader<'_, T, R> {
    /// The value as it is now. The last one that was read is let go.
    #[inline]
    pub fn read(&mut self) -> &T {
        let pointer = self.guard.protect(&self.shared.pointer);
        // SAFETY: as in `Read::deref`; and the guard protects nothing else before the borrow of
        // `self` ends.
        unsafe { &*pointer }
    }

    /// Lets the value go, and epochs advance, until the next `read`.
    #[inline]
    pub fn release(&mut self) {
        self.guard.release();
    }
}
