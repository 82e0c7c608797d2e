//! Segments: arrays of slots that are filled and emptied once, in order, and then used anew.

use std::ptr;

use crate::slot::Slot;
use crate::stash::Stash;
use crate::sync::{
    Acquire, Arc, AtomicPtr, AtomicU64, AtomicUsize, Backoff, CachePadded, Relaxed, Release,
    SeqCst, UnsafeCell,
};

/// How much of a segment pushes have claimed. The lower half is the number of slots claimed, or
/// that of all slots once no more can be. The upper half is 0, or one more than the slots claimed
/// when the segment was sealed before its end.
#[derive(Clone, Copy)]
pub(crate) struct Claims(u64);

impl Claims {
    const HALF: u32 = 32;

    #[inline]
    fn next(self) -> usize {
        self.0 as u32 as usize
    }

    fn sealed(self, slots: usize) -> Claims {
        Claims((self.0 + 1) << Claims::HALF | slots as u64)
    }

    /// Slots that hold an item or are about to.
    #[inline]
    pub(crate) fn count(self) -> usize {
        match (self.0 >> Claims::HALF) as usize {
            0 => self.next(),
            sealed => sealed - 1,
        }
    }
}

/// A segment of a queue's list.
pub(crate) struct Segment<T> {
    /// Stamped with the lap once the item is in, with an older one before.
    slots: Box<[Slot<T>]>,
    /// A cell only so that models see who looks at it when: it changes while one thread has the
    /// segment to itself.
    life: UnsafeCell<Life>,
    /// Where it goes in the end. Touched by whoever took it out of the list, and then by whoever
    /// recycles it.
    home: UnsafeCell<Option<Arc<Stash<T>>>>,
    next: AtomicPtr<Segment<T>>,
    /// Pushes and pops each have a line of their own, off the one that both read.
    claims: CachePadded<AtomicU64>,
    pops: CachePadded<Pops>,
}

/// What stays as it is from the time the segment is in the list until it is recycled.
#[derive(Clone, Copy)]
struct Life {
    /// Another one at each use of the segment, so that no stamp need be wiped.
    lap: usize,
    /// Items in all segments before this one since the queue was made; wraps around.
    base: usize,
}

/// What pops change.
struct Pops {
    taken: AtomicUsize,
    /// How many were taken when a pop last let items gather.
    gathered_at: AtomicUsize,
}

impl Pops {
    fn none() -> CachePadded<Pops> {
        CachePadded(Pops {
            taken: AtomicUsize::new(0),
            gathered_at: AtomicUsize::new(usize::MAX),
        })
    }
}

impl<T> Segment<T> {
    /// What a segment has unless a batch needs more: enough for the price of changing segments to
    /// be small, and no more than 64 KiB where that is enough.
    pub(crate) const SLOTS: usize = if cfg!(loom) {
        2
    } else {
        let fit = 64 * 1024 / size_of::<Slot<T>>();
        if fit < 64 {
            64
        } else if fit > 1024 {
            1024
        } else {
            fit
        }
    };

    /// 2^5 pauses are half a microsecond to two, in which a busy thread pushes some 50 items.
    const GATHERING: u32 = 5;

    /// A segment without items, of fewer than 2^32 slots.
    pub(crate) fn new(slots: usize) -> Box<Segment<T>> {
        Box::new(Segment {
            slots: (0..slots).map(|_| Slot::new(0)).collect(),
            life: UnsafeCell::new(Life { lap: 1, base: 0 }),
            home: UnsafeCell::new(None),
            next: AtomicPtr::new(ptr::null_mut()),
            claims: CachePadded(AtomicU64::new(0)),
            pops: Pops::none(),
        })
    }

    /// Makes it as good as new. What items are in it are forgotten.
    pub(crate) fn renew(&mut self) {
        let lap = self.lap() + 1; // A lap takes nanoseconds: the number lasts for centuries.
        self.begin(Life { lap, base: 0 });
        self.next = AtomicPtr::new(ptr::null_mut());
        self.claims = CachePadded(AtomicU64::new(0));
        self.pops = Pops::none();
    }

    /// Puts as many of `items` as there are slots into a segment that has none and that nobody
    /// else has seen. `base` is how many went before them.
    pub(crate) fn begin_with(&mut self, base: usize, items: impl Iterator<Item = T>) {
        let lap = self.lap();
        let mut count = 0;
        for (slot, item) in self.slots.iter().zip(items) {
            // SAFETY: nobody else has seen the segment, and each slot is filled once.
            unsafe { slot.fill(item) };
            slot.set_unseen(lap); // Seen after the segment, which Release shows.
            count += 1;
        }
        self.begin(Life { lap, base });
        self.claims = CachePadded(AtomicU64::new(count));
    }

    #[inline]
    pub(crate) fn slots(&self) -> &[Slot<T>] {
        &self.slots
    }

    #[inline]
    pub(crate) fn lap(&self) -> usize {
        self.life().lap
    }

    #[inline]
    fn life(&self) -> Life {
        // SAFETY: written through `&mut self` only.
        self.life.with(|life| unsafe { *life })
    }

    fn begin(&mut self, life: Life) {
        // SAFETY: `&mut self`.
        self.life.with_mut(|place| unsafe { *place = life });
    }

    /// The next slot, for the caller to fill and stamp; none if there is none left.
    #[inline]
    pub(crate) fn claim(&self) -> Option<&Slot<T>> {
        let mut backoff = Backoff::default();
        let mut claims = Claims(self.claims.load(Relaxed)); // The exchange checks it.
        loop {
            let slot = self.slots.get(claims.next())?;
            // The item is ordered by its stamp. SeqCst: see `Queue::pop`.
            let claim = self
                .claims
                .compare_exchange_weak(claims.0, claims.0 + 1, SeqCst, Relaxed);
            match claim {
                Ok(_) => return Some(slot),
                Err(now) => {
                    // What is out of date by the end of the pause: another loss, and a longer
                    // pause, as long as the winner goes on.
                    claims = Claims(now);
                    backoff.spin();
                }
            }
        }
    }

    /// `count` slots that follow one another, for the caller to fill and stamp. If there are fewer
    /// left, none, and the segment is sealed: those that are left stay empty.
    pub(crate) fn claim_many(&self, count: usize) -> Option<&[Slot<T>]> {
        let mut backoff = Backoff::default();
        let mut claims = Claims(self.claims.load(Relaxed));
        loop {
            let rest = self.slots.get(claims.next()..).unwrap_or_default();
            if rest.is_empty() {
                return None;
            }
            let slots = rest.get(..count);
            let after = match slots {
                Some(_) => claims.0 + count as u64,
                None => claims.sealed(self.slots.len()).0,
            };
            // As in `claim`.
            let claim = self
                .claims
                .compare_exchange_weak(claims.0, after, SeqCst, Relaxed);
            match claim {
                Ok(_) => return slots,
                Err(now) => {
                    claims = Claims(now);
                    backoff.spin();
                }
            }
        }
    }

    #[inline]
    pub(crate) fn claims(&self) -> Claims {
        Claims(self.claims.load(SeqCst)) // See `Queue::pop`.
    }

    /// Whether no slot can be claimed any more.
    #[inline]
    pub(crate) fn is_exhausted(&self, claims: Claims) -> bool {
        claims.next() >= self.slots.len()
    }

    #[inline]
    pub(crate) fn taken(&self) -> usize {
        self.pops.taken.load(Acquire) // Pairs with the Release in `take`; see `popped`.
    }

    /// Takes the oldest slot that is not taken, if it is filled, for the caller to empty; or says
    /// how many are taken.
    #[inline]
    pub(crate) fn take_next(&self, backoff: &mut Backoff) -> Result<&Slot<T>, usize> {
        let mut taken = self.taken();
        while let Some(slot) = self.slots.get(taken)
            && slot.has(self.lap())
        {
            match self.take(taken, taken + 1) {
                Ok(()) => return Ok(slot),
                Err(now) => {
                    taken = now; // As in `claim`.
                    backoff.spin();
                }
            }
        }
        Err(taken)
    }

    /// Takes the slots from `from` up to `to`, or says how many slots are taken by now.
    #[inline]
    pub(crate) fn take(&self, from: usize, to: usize) -> Result<(), usize> {
        let taken = &self.pops.taken;
        let exchange = taken.compare_exchange_weak(from, to, Release, Relaxed);
        exchange.map(|_| ())
    }

    /// For a pop that has caught up with the pushes: leaves them their cache lines for a moment,
    /// so that they get ahead of it. Otherwise both would pay for moving these to and fro at every
    /// single item. Once for every item that is waited for: false if that was done before, and the
    /// queue is not busy but empty.
    #[cold]
    pub(crate) fn lets_gather(&self, taken: usize) -> bool {
        // Relaxed: at worst somebody waits once more, or once less.
        let gathered_at = &self.pops.gathered_at;
        if cfg!(loom) || gathered_at.load(Relaxed) == taken {
            return false;
        }
        gathered_at.store(taken, Relaxed);
        Backoff::pause(Segment::<T>::GATHERING);
        true
    }

    /// Items pushed into this segment and all before it. Exact once it is exhausted.
    pub(crate) fn pushed(&self) -> usize {
        // Relaxed: as new as what the caller has seen before, which is all that is asked of it.
        let claims = Claims(self.claims.load(Relaxed));
        self.life().base.wrapping_add(claims.count())
    }

    /// Items popped from this segment and all before it. Whoever has read it reads a `pushed`
    /// that counts these items.
    pub(crate) fn popped(&self) -> usize {
        self.life().base.wrapping_add(self.taken())
    }

    /// The segment after this one, or null.
    #[inline]
    pub(crate) fn next(&self) -> *mut Segment<T> {
        // Acquire pairs with the Release in `set_next`: what is found is whole. SeqCst: see
        // `Queue::pop`.
        self.next.load(SeqCst)
    }

    /// Puts a segment after this one, which must be exhausted; false if there is one.
    pub(crate) fn set_next(&self, next: *mut Segment<T>) -> bool {
        self.next
            .compare_exchange(ptr::null_mut(), next, SeqCst, Relaxed)
            .is_ok()
    }

    /// Says where the segment goes in the end.
    ///
    /// # Safety
    /// The caller has taken the segment out of the list and not handed it on.
    pub(crate) unsafe fn set_home(&self, home: Arc<Stash<T>>) {
        // SAFETY: nobody but the caller touches the cell now.
        self.home.with_mut(|cell| unsafe { *cell = Some(home) });
    }

    /// Where the segment goes; it forgets that.
    pub(crate) fn take_home(&mut self) -> Option<Arc<Stash<T>>> {
        // SAFETY: `&mut self`.
        self.home.with_mut(|cell| unsafe { (*cell).take() })
    }
}
