//! Reservation slots: a list that only grows, of entries that are used again.

use crate::barrier::{Form, kernel};
use crate::garbage::Retired;
use crate::order::Order;
use crate::signal;
use crate::stats::{Baseline, Stats};
use crate::sync::{
    Acquire, AtomicBool, AtomicPtr, Counter, Relaxed, Release, SeqCst, UnsafeCell, fence,
};

/// One reservation, and what its owner retired. Processors fetch cache lines in pairs; what every
/// reservation touches comes first.
#[derive(Debug)]
#[repr(C, align(128))]
pub(crate) struct Slot {
    /// What the owner protects; null if nothing.
    reserved: AtomicPtr<()>,
    order: Order,
    /// Whether a thread has it. Garbage and quota belong to that thread.
    owned: AtomicBool,
    private: UnsafeCell<Private>,
    // Written by the owner only, read by anyone who asks for figures.
    retired: Counter,
    freed: Counter,
    panicked: Counter,
    refused: Counter,
    late: Counter,
    waits: Counter,
    next: *const Slot,
}

#[derive(Debug, Default)]
struct Private {
    garbage: Vec<Retired>,
    /// Kept for its capacity.
    reservations: Vec<*mut ()>,
    /// How long `garbage` may be before it is looked through.
    due: usize,
    /// The slot's share of the domain's batch.
    quota: usize,
}

impl Slot {
    /// What is protected at the moment, for the owner.
    #[inline]
    pub(crate) fn reserved(&self) -> *mut () {
        self.reserved.load(Relaxed) // Own stores are always seen.
    }

    /// Release: whoever sees that an object is not protected any more sees our reads as past.
    #[inline]
    pub(crate) fn reserve(&self, pointer: *mut ()) {
        self.order.interruption();
        self.reserved.store(pointer, Release);
        self.order.interruption();
    }

    /// Between a reservation and the look at what it is for.
    #[inline]
    pub(crate) fn keep_order(&self) {
        self.order.keep();
    }
}

/// All slots of a domain.
#[derive(Debug)]
pub(crate) struct Slots {
    first: AtomicPtr<Slot>,
    form: Form,
    batch: usize,
    /// How much of `batch` is handed out.
    allotted: Counter,
    count: Counter,
    /// What the slots had counted at the last reset.
    baseline: Baseline,
}

/// No list can be longer, so a larger batch means the same; and quotas add up without overflow.
const BATCH_MAX: usize = isize::MAX as usize / size_of::<Retired>();

/// No quota is smaller, however many threads there are: a look at all slots costs microseconds.
const QUOTA_MIN: usize = 64;

// SAFETY: slots are reached through the list alone. `reserved`, `owned` and the counters are
// atomic; `private` is touched only by the thread that owns the slot, and ownership is handed
// over by Release and Acquire of `owned`. What it holds was `Send` when it was retired.
unsafe impl Send for Slots {}
// SAFETY: as above.
unsafe impl Sync for Slots {}

impl Slots {
    pub(crate) fn new(form: Form, batch: usize) -> Slots {
        Slots {
            first: AtomicPtr::new(std::ptr::null_mut()),
            form,
            batch: batch.clamp(1, BATCH_MAX),
            allotted: Counter::new(0),
            count: Counter::new(0),
            baseline: Baseline::default(),
        }
    }

    /// A slot for the calling thread: one that was given up, or a new one. O(slots).
    pub(crate) fn claim(&self) -> &Slot {
        let given_up = self.iter().find(|slot| {
            // Acquire pairs with the Release in `give_up`: what the last owner left is ours.
            !slot.owned.load(Relaxed)
                && slot
                    .owned
                    .compare_exchange(false, true, Acquire, Relaxed)
                    .is_ok()
        });
        let slot = given_up.unwrap_or_else(|| self.push());
        if self.form == Form::Signal {
            slot.order.member.join(&slot.order);
        }
        slot.private.with_mut(|private| {
            // SAFETY: the slot is owned by this thread, which holds no other access to it.
            let private = unsafe { &mut *private };
            self.allot(private);
        });
        slot
    }

    fn push(&self) -> &Slot {
        let slot = Box::into_raw(Box::new(Slot {
            reserved: AtomicPtr::new(std::ptr::null_mut()),
            order: Order::new(self.form),
            owned: AtomicBool::new(true),
            private: UnsafeCell::new(Private::default()),
            retired: Counter::new(0),
            freed: Counter::new(0),
            panicked: Counter::new(0),
            refused: Counter::new(0),
            late: Counter::new(0),
            waits: Counter::new(0),
            next: std::ptr::null(),
        }));
        self.count.fetch_add(1, Relaxed);
        let mut first = self.first.load(Relaxed);
        loop {
            // SAFETY: not in the list yet, so nobody else has it.
            unsafe { (*slot).next = first };
            // Release pairs with the Acquire in `iter`: who finds the slot finds it whole.
            match self
                .first
                .compare_exchange_weak(first, slot, Release, Relaxed)
            {
                // SAFETY: slots are freed with the list, which `self` borrows.
                Ok(_) => return unsafe { &*slot },
                Err(now) => first = now,
            }
        }
    }

    /// Gives a slot back after freeing what can be freed. The rest waits for its next owner.
    ///
    /// # Safety
    ///
    /// The calling thread owns the slot, and does not use it again.
    pub(crate) unsafe fn give_up(&self, slot: &Slot) {
        slot.reserve(std::ptr::null_mut());
        // SAFETY: the slot is still this thread's.
        unsafe { self.collect(slot) };
        slot.private.with_mut(|private| {
            // SAFETY: the slot is owned by this thread, which holds no other access to it.
            let private = unsafe { &mut *private };
            self.allotted.fetch_sub(private.quota as u64, Relaxed);
            private.quota = 0;
        });
        if self.form == Form::Signal {
            slot.order.member.leave();
        }
        slot.owned.store(false, Release);
    }

    /// Keeps an object until nobody protects it.
    ///
    /// # Safety
    ///
    /// The calling thread owns the slot.
    #[inline]
    pub(crate) unsafe fn retire(&self, slot: &Slot, retired: Retired) {
        let due = slot.private.with_mut(|private| {
            // SAFETY: the slot is owned by this thread, which holds no other access to it.
            let private = unsafe { &mut *private };
            private.garbage.push(retired);
            private.garbage.len() >= private.due
        });
        add(&slot.retired, 1);
        if due {
            // SAFETY: the caller's promise.
            unsafe { self.collect(slot) };
        }
    }

    /// Frees what nobody protects. O((garbage + slots) log slots), and one ping.
    ///
    /// # Safety
    ///
    /// The calling thread owns the slot.
    pub(crate) unsafe fn collect(&self, slot: &Slot) {
        let take = |private: *mut Private| {
            // SAFETY: the slot is owned by this thread, which holds no other access to it.
            let private = unsafe { &mut *private };
            let reservations = std::mem::take(&mut private.reservations);
            (std::mem::take(&mut private.garbage), reservations)
        };
        // Out of the slot, because destructors may come back here.
        let (mut garbage, mut reservations) = slot.private.with_mut(take);
        if !garbage.is_empty() {
            if self.show(slot) {
                self.read_reservations(&mut reservations);
                let (mut freed, mut panicked) = (0, 0);
                let waiting = garbage.len();
                let mut kept = 0;
                // Freed ones are swapped to the end and popped, so that one that is kept stays
                // in the list whatever a destructor does.
                while kept < garbage.len() {
                    if reservations.binary_search(&garbage[kept].pointer()).is_ok() {
                        kept += 1;
                    } else {
                        let good = garbage.swap_remove(kept).free();
                        freed += 1;
                        panicked += u64::from(!good);
                    }
                }
                debug_assert_eq!(freed as usize + kept, waiting);
                add(&slot.freed, freed);
                add(&slot.panicked, panicked);
            } else {
                add(&slot.refused, 1);
            }
        }
        slot.private.with_mut(|private| {
            // SAFETY: the slot is owned by this thread, which holds no other access to it.
            let private = unsafe { &mut *private };
            reservations.clear();
            private.reservations = reservations;
            garbage.append(&mut private.garbage);
            private.garbage = garbage;
            self.allot(private);
        });
    }

    /// Between taking objects out and reading reservations: makes them visible. If it fails,
    /// nothing may be freed.
    #[must_use]
    fn show(&self, own: &Slot) -> bool {
        match self.form {
            Form::Fenced => {
                fence(SeqCst);
                true
            }
            Form::Membarrier => kernel::ping(),
            Form::Signal => {
                let pinged = signal::ping(&own.order, || self.iter().map(|slot| &slot.order));
                add(&own.late, pinged.late);
                add(&own.waits, u64::from(pinged.in_vain));
                pinged.shown
            }
        }
    }

    fn read_reservations(&self, reservations: &mut Vec<*mut ()>) {
        reservations.clear();
        // Acquire pairs with the Release in `reserve`.
        let reserved = self.iter().map(|slot| slot.reserved.load(Acquire));
        reservations.extend(reserved.filter(|pointer| !pointer.is_null()));
        reservations.sort_unstable();
    }

    /// Exchanges a slot's quota for one that suits the number of slots there are now. All quotas
    /// together stay within the batch as long as `QUOTA_MIN` allows; most of it is left for those to
    /// come, because those that are there change theirs only when they collect.
    fn allot(&self, private: &mut Private) {
        let slots = self.count.load(Relaxed).max(1) as usize;
        let wanted = (self.batch / (4 * slots)).max(1);
        let quota = |allotted: u64| {
            let others = (allotted as usize).saturating_sub(private.quota);
            let left = self.batch.saturating_sub(others);
            (others, wanted.min(left).max(QUOTA_MIN.min(self.batch)))
        };
        let exchange = |allotted| {
            let (others, own) = quota(allotted);
            Some((others + own) as u64)
        };
        let exchanged = self.allotted.fetch_update(Relaxed, Relaxed, exchange);
        let (Ok(before) | Err(before)) = exchanged;
        private.quota = quota(before).1;
        private.due = private.garbage.len() + private.quota;
    }

    fn iter(&self) -> impl Iterator<Item = &Slot> {
        let mut next = self.first.load(Acquire).cast_const();
        std::iter::from_fn(move || {
            // SAFETY: slots are freed with the list, which `self` borrows; those in the list
            // are whole since their push was seen with Acquire, and `next` is never changed.
            let slot = unsafe { next.as_ref() }?;
            next = slot.next;
            Some(slot)
        })
    }

    pub(crate) fn stats(&self) -> Stats {
        self.baseline.since(self.totals())
    }

    pub(crate) fn reset_stats(&self) {
        self.baseline.set(&self.totals());
    }

    /// Figures since the domain was made.
    fn totals(&self) -> Stats {
        let mut stats = Stats {
            slots: self.count.load(Relaxed),
            batch: self.allotted.load(Relaxed).max(self.batch as u64),
            ..Stats::default()
        };
        for slot in self.iter() {
            stats.freed += slot.freed.load(Relaxed);
            stats.retired += slot.retired.load(Relaxed);
            stats.panicked += slot.panicked.load(Relaxed);
            stats.refused += slot.refused.load(Relaxed);
            stats.late += slot.late.load(Relaxed);
            stats.waits += slot.waits.load(Relaxed);
        }
        stats
    }
}

/// No read-modify-write: each counter has one writer at a time.
fn add(counter: &Counter, more: u64) {
    counter.store(counter.load(Relaxed) + more, Relaxed);
}

impl Drop for Slots {
    fn drop(&mut self) {
        // Relaxed: whoever made `&mut self` out of shares of it ordered everything before.
        let mut next = self.first.load(Relaxed);
        while !next.is_null() {
            // SAFETY: `&mut self`: no guard is left that could use a slot, and each slot is in
            // the list once.
            let slot = unsafe { Box::from_raw(next) };
            next = slot.next.cast_mut();
            let garbage = slot.private.with_mut(|private| {
                // SAFETY: as above, the slot is ours alone.
                std::mem::take(unsafe { &mut (*private).garbage })
            });
            for retired in garbage {
                let _ = retired.free(); // Nobody is left to ask for figures.
            }
        }
    }
}
