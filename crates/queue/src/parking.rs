//! Where threads sleep until there is something to do for them.
//!
//! A thread first takes a [`Seat`], then looks once more whether it still has to wait, and only
//! then parks. Whoever changes what is waited for makes the change and then calls
//! [`notify`](Parking::notify), which is one load while nobody is seated. Both the change and the
//! count of seats are `SeqCst` accesses on both sides, the look of a seated thread being the one
//! by which the ring says full or empty. So either the notifier sees the seat or the seated thread
//! sees the change: no wake-up is lost.

use std::time::Instant;

use crate::sync::{
    AtomicUsize, Condvar, Mutex,
    Ordering::{Relaxed, SeqCst},
    lock, total_order, wait,
};

#[derive(Debug)]
pub(crate) struct Parking {
    /// Seated threads for which there is no permit yet. Written only under the lock, so that a
    /// burst of notifications pays for each sleeper once.
    waiting: AtomicUsize,
    /// Permits to leave. Seated threads = `waiting` + permits; who takes which permit is open.
    permits: Mutex<usize>,
    wake: Condvar,
}

impl Parking {
    pub(crate) fn new() -> Parking {
        Parking {
            waiting: AtomicUsize::new(0),
            permits: Mutex::new(0),
            wake: Condvar::new(),
        }
    }

    /// Announces that the caller is about to look and, if it finds nothing, to park.
    pub(crate) fn take_seat(&self) -> Seat<'_> {
        {
            let _permits = lock(&self.permits);
            self.waiting.fetch_add(1, SeqCst);
        }
        Seat {
            parking: self,
            left: false,
        }
    }

    /// Lets `count` seated threads look again, if there are as many. Call after the change.
    #[inline]
    pub(crate) fn notify(&self, count: usize) {
        total_order();
        if self.waiting.load(SeqCst) > 0 {
            self.wake(count);
        }
    }

    /// Threads that sleep, or are about to: out of date at once.
    pub(crate) fn asleep(&self) -> usize {
        self.waiting.load(Relaxed) // A figure: it orders nothing.
    }

    /// Lets every seated thread look again.
    pub(crate) fn notify_all(&self) {
        self.notify(usize::MAX);
    }

    #[cold]
    fn wake(&self, count: usize) {
        let mut permits = lock(&self.permits);
        // Relaxed, here and in what leaves a seat: the lock orders these, and one who still sees a
        // seat that is gone only takes the lock for nothing.
        let waiting = self.waiting.load(Relaxed);
        let woken = waiting.min(count);
        self.waiting.store(waiting - woken, Relaxed);
        *permits += woken;
        drop(permits);
        for _ in 0..woken {
            self.wake.notify_one();
        }
    }
}

/// A thread's announcement that it may sleep. Dropped unused, it is taken back.
#[derive(Debug)]
#[must_use]
pub(crate) struct Seat<'a> {
    parking: &'a Parking,
    left: bool,
}

impl Seat<'_> {
    /// Sleeps until there is a permit; false when the deadline came first.
    pub(crate) fn park(mut self, deadline: Option<Instant>) -> bool {
        self.left = true;
        let parking = self.parking;
        let mut permits = lock(&parking.permits);
        while *permits == 0 {
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                parking.waiting.fetch_sub(1, Relaxed);
                return false;
            }
            permits = wait(&parking.wake, permits, deadline);
        }
        *permits -= 1;
        true
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        if self.left {
            return;
        }
        let mut permits = lock(&self.parking.permits);
        // A permit is left to others while one of them may need it. If all have one, ours goes.
        if self.parking.waiting.load(Relaxed) > 0 {
            self.parking.waiting.fetch_sub(1, Relaxed);
        } else {
            *permits -= 1;
        }
    }
}
