//! The one door to `std::sync` and `loom`: what loom explores is what we ship.

use std::ops::Deref;
use std::time::Instant;

#[cfg(loom)]
pub(crate) use loom::{
    cell::UnsafeCell,
    sync::atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering},
    sync::{Arc, Condvar, Mutex, MutexGuard},
};
#[cfg(not(loom))]
pub(crate) use std::sync::{
    Arc, Condvar, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicPtr, AtomicU64, AtomicUsize, Ordering},
};

pub(crate) use Ordering::{Acquire, Relaxed, Release, SeqCst};

/// Loom's cell without its checks.
#[cfg(not(loom))]
#[derive(Debug)]
pub(crate) struct UnsafeCell<T>(std::cell::UnsafeCell<T>);

#[cfg(not(loom))]
impl<T> UnsafeCell<T> {
    pub(crate) fn new(value: T) -> UnsafeCell<T> {
        UnsafeCell(std::cell::UnsafeCell::new(value))
    }

    #[inline]
    pub(crate) fn with<R>(&self, access: impl FnOnce(*const T) -> R) -> R {
        access(self.0.get())
    }

    #[inline]
    pub(crate) fn with_mut<R>(&self, access: impl FnOnce(*mut T) -> R) -> R {
        access(self.0.get())
    }
}

/// Stands between two `SeqCst` accesses of one thread whose order against the `SeqCst` accesses
/// of others matters. The memory model puts all such accesses into one total order, so the
/// shipped code needs nothing here; loom 0.7 treats them as acquire and release only, and gets
/// the fence that stands for that order.
#[inline]
pub(crate) fn total_order() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// Locks; nothing panics while it holds one of our locks, so none is ever left half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    #[cfg(not(loom))]
    return mutex.lock().unwrap_or_else(PoisonError::into_inner);
    #[cfg(loom)]
    match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}

/// Sleeps until notified or, where there is a deadline, until then; may also wake for no reason.
/// Loom has no time: under it nobody gives a deadline.
#[cfg(not(loom))]
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

/// Outside of loom, so that it outlives the explored runs.
#[cfg(loom)]
static SLEPT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// How often a thread went to sleep, in all runs of all models: the witness that it happened.
#[cfg(loom)]
pub fn slept() -> usize {
    SLEPT.load(Ordering::Relaxed)
}

#[cfg(loom)]
pub(crate) fn wait<'a, T>(
    condvar: &Condvar,
    guard: MutexGuard<'a, T>,
    _deadline: Option<Instant>,
) -> MutexGuard<'a, T> {
    SLEPT.fetch_add(1, Ordering::Relaxed);
    match condvar.wait(guard) {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
}

/// Waiting without sleeping, longer each time.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    losses: u32,
    step: u32,
}

impl Backoff {
    /// 2^6 pauses are some microseconds here; a thread that needs longer is not running.
    const SPINS: u32 = 6;
    /// After as many yields it is cheaper to sleep.
    const STEPS: u32 = 10;

    /// The loser of a race leaves the counter to the winner for 2^4 pauses, then longer. Coming
    /// back sooner, both would pay for moving its cache line to and fro at every single item.
    const LOSSES: std::ops::RangeInclusive<u32> = 4..=7;

    /// After losing a race to a thread that has moved on.
    #[inline]
    pub(crate) fn spin(&mut self) {
        let doublings = Backoff::LOSSES.start() + self.losses;
        Backoff::pause(doublings);
        self.losses += u32::from(doublings < *Backoff::LOSSES.end());
    }

    /// Before waiting for a thread to finish what it began: it may need our processor for that.
    #[inline]
    pub(crate) fn snooze(&mut self) {
        if self.step <= Backoff::SPINS {
            Backoff::pause(self.step);
        } else {
            #[cfg(loom)]
            loom::thread::yield_now();
            #[cfg(not(loom))]
            std::thread::yield_now();
        }
        self.step += u32::from(self.step <= Backoff::STEPS);
    }

    /// Whether going on like this costs more than sleeping. Under loom at once: a model has no
    /// use for going round in circles.
    pub(crate) fn is_spent(&self) -> bool {
        cfg!(loom) || self.step > Backoff::STEPS
    }

    /// 2^doublings pauses.
    pub(crate) fn pause(doublings: u32) {
        #[cfg(loom)]
        {
            let _ = doublings;
            loom::thread::yield_now();
        }
        #[cfg(not(loom))]
        for _ in 0..1_u32 << doublings {
            std::hint::spin_loop();
        }
    }
}

/// A value alone on its cache lines. Two lines of 64 bytes, because processors fetch them in pairs.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct CachePadded<T>(pub(crate) T);

impl<T> Deref for CachePadded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A queue whose operations run no fence when they protect a segment, as with membarrier, which no
/// model has; so its segments are not used again.
#[cfg(loom)]
#[must_use]
pub fn unfenced<T>() -> crate::Queue<T> {
    crate::Queue::with(cortica_reclaim::PublishOnPing::unfenced())
}

/// How often a segment was used again, in all runs of all models: the witness that it happened.
#[cfg(loom)]
static REUSED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

#[cfg(loom)]
pub fn reused() -> usize {
    REUSED.load(Ordering::Relaxed)
}

/// Called for every segment that is used again.
pub(crate) fn note_reuse() {
    #[cfg(loom)]
    REUSED.fetch_add(1, Ordering::Relaxed);
}

/// How often an operation found the segment that its thread was parked on and did without a guard,
/// in all runs of all models: the witness that it happened.
#[cfg(loom)]
static STAYED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

#[cfg(loom)]
pub fn stayed() -> usize {
    STAYED.load(Ordering::Relaxed)
}

/// Called for every item that goes in or out without a guard.
#[inline]
pub(crate) fn note_stay() {
    #[cfg(loom)]
    STAYED.fetch_add(1, Ordering::Relaxed);
}
