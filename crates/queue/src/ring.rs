//! The ring: places with stamps, and two counters that claim them.
//!
//! A counter is `lap | closed bit | index`. The stamp of a place says who may use it:
//!
//! - `stamp == tail`: vacant, for the push that claims this value of `tail`;
//! - `stamp == head + 1`: filled, for the pop that claims this value of `head`.
//!
//! A push leaves `tail + 1` behind, a pop `head + one lap`, which is the value `tail` will have
//! when it comes by again. Claiming is one compare-and-swap, so between a claim and the stamp
//! that ends it there is only a move of the item: nothing that panics, allocates or waits.

use crate::drain::drop_each;
use crate::error::{CapacityError, Closed, PopError, PushError};
use crate::slot::Slot;
use crate::sync::{Acquire, AtomicUsize, Backoff, CachePadded, Relaxed, SeqCst, total_order};

/// A bounded queue without any waiting for room or for items.
pub(crate) struct Ring<T> {
    /// Never has the closed bit.
    head: CachePadded<AtomicUsize>,
    tail: CachePadded<AtomicUsize>,
    slots: Box<[Slot<T>]>,
    /// A power of two above every index; indices lie below it, laps above.
    closed_bit: usize,
    /// Where head was when a pop last found nothing, and tail when a push last found no room.
    empty_at: CachePadded<AtomicUsize>,
    full_at: CachePadded<AtomicUsize>,
}

/// 2^7 pauses are a microsecond and a half to three, in which a busy thread moves 200 items or more.
const STEP_BACK: u32 = 7;

// SAFETY: an item is moved in by one thread and out by one thread, each of which owns its place
// meanwhile (see the stamps above); no reference to an item inside is ever handed out. So sharing
// the ring only sends items.
unsafe impl<T: Send> Sync for Ring<T> {}
// SAFETY: as above; whoever has the ring has all items in it.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T> Ring<T> {
    pub(crate) fn new(capacity: usize) -> Result<Ring<T>, CapacityError> {
        if capacity == 0 {
            return Err(CapacityError::Zero);
        }
        // The upper half of the bits is left to laps: a thread that sleeps while the counter
        // goes all the way round would not notice.
        if capacity >= 1 << (usize::BITS / 2 - 1) {
            return Err(CapacityError::TooLarge(capacity));
        }
        let mut slots = Vec::new();
        let reserved = slots.try_reserve_exact(capacity);
        reserved.map_err(|_| CapacityError::TooLarge(capacity))?;
        slots.extend((0..capacity).map(Slot::new));
        Ok(Ring {
            head: CachePadded(AtomicUsize::new(0)),
            tail: CachePadded(AtomicUsize::new(0)),
            slots: slots.into_boxed_slice(),
            closed_bit: (capacity + 1).next_power_of_two(),
            empty_at: CachePadded(AtomicUsize::new(0)),
            full_at: CachePadded(AtomicUsize::new(0)),
        })
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Exact while nobody else is at work; never more than the capacity.
    pub(crate) fn len(&self) -> usize {
        // Head first: tail is never behind any value that head has had, and does not go back.
        // Acquire pairs with the claims of pops, each of which has seen the tail beyond it; so
        // the tail read here cannot be an older one, and Relaxed is enough for it.
        let head = self.head.load(Acquire);
        let tail = self.tail.load(Relaxed) & !self.closed_bit;
        self.distance(head, tail).min(self.capacity())
    }

    /// How many places `to` is beyond `from`; wraps around where it is not.
    fn distance(&self, from: usize, to: usize) -> usize {
        let index_mask = self.closed_bit - 1;
        let laps = (to & !index_mask).wrapping_sub(from & !index_mask) / self.one_lap();
        // With a lap between them the index may be smaller.
        laps.wrapping_mul(self.capacity())
            .wrapping_add(to & index_mask)
            .wrapping_sub(from & index_mask)
    }

    /// Refuses pushes from now on; whether it was this call that did it.
    pub(crate) fn close(&self) -> bool {
        self.tail.fetch_or(self.closed_bit, SeqCst) & self.closed_bit == 0
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.tail.load(Relaxed) & self.closed_bit != 0 // The flag by itself orders nothing.
    }

    #[inline]
    fn one_lap(&self) -> usize {
        self.closed_bit * 2
    }

    #[inline]
    fn slot(&self, position: usize) -> &Slot<T> {
        let index = position & (self.closed_bit - 1);
        debug_assert!(index < self.slots.len());
        // SAFETY: positions start at index 0 and go on by `next` only, which keeps the index
        // below the number of places.
        unsafe { self.slots.get_unchecked(index) }
    }

    #[inline]
    fn next(&self, position: usize) -> usize {
        self.after(position, 1)
    }

    /// The position `count` places on, which are at most all there are.
    #[inline]
    fn after(&self, position: usize, count: usize) -> usize {
        let index = position & (self.closed_bit - 1);
        let beyond = (index + count).wrapping_sub(self.slots.len());
        if index + count < self.slots.len() {
            position + count
        } else {
            (position - index).wrapping_add(self.one_lap() + beyond)
        }
    }

    /// The `count` places from `position` on, which are at most all there are: up to the end of
    /// the ring, and from its beginning; each with the position of its first place.
    #[inline]
    fn places(&self, position: usize, count: usize) -> [(usize, &[Slot<T>]); 2] {
        let index = position & (self.closed_bit - 1);
        let (beginning, end) = self.slots.split_at(index);
        let first = &end[..count.min(end.len())];
        let second = &beginning[..(count - first.len()).min(index)];
        let lap = (position - index).wrapping_add(self.one_lap());
        [(position, first), (lap, second)]
    }

    /// How many places from `position` on, up to `count_max`, have a stamp `ahead` of their
    /// position. What it counts stays so until the counter that `position` was read from moves.
    #[inline]
    fn run(&self, position: usize, ahead: usize, count_max: usize) -> usize {
        let mut count = 0;
        for (start, places) in self.places(position, count_max) {
            let ready = places
                .iter()
                .enumerate()
                .take_while(|(number, slot)| slot.has(start.wrapping_add(ahead + number)));
            let ready = ready.count();
            count += ready;
            if ready < places.len() {
                break;
            }
        }
        count
    }

    /// Gives `count` places from `position` on to whoever waits for them. The first place last:
    /// who comes to it finds the whole batch, and does not tear it into many small ones.
    #[inline]
    fn hand_on_many(&self, position: usize, count: usize, ahead: usize) {
        for (start, places) in self.places(position, count).into_iter().rev() {
            for (number, slot) in places.iter().enumerate().rev() {
                slot.set(start.wrapping_add(number).wrapping_add(ahead));
            }
        }
    }

    /// Whether the place which `tail` would claim is still in use because the ring is full. If
    /// not, somebody is about to leave it, or `tail` is out of date.
    #[inline]
    fn is_full_at(&self, tail: usize) -> bool {
        total_order();
        // SeqCst: a pusher that takes a seat and then finds the ring full is seen by the pop
        // that moves head on.
        self.head.load(SeqCst).wrapping_add(self.one_lap()) == tail
    }

    #[inline]
    pub(crate) fn try_push(&self, item: T) -> Result<(), PushError<T>> {
        let mut backoff = Backoff::default();
        let mut tail = self.tail.load(Relaxed); // A claim checks it.
        loop {
            if tail & self.closed_bit != 0 {
                return Err(PushError::Closed(item));
            }
            let slot = self.slot(tail);
            if slot.has(tail) {
                // SeqCst: before the look at who sleeps; see `Parking`.
                let claim = self
                    .tail
                    .compare_exchange_weak(tail, self.next(tail), SeqCst, Relaxed);
                match claim {
                    Ok(_) => {
                        // SAFETY: claimed just now, seen vacant above; the stamp cannot have
                        // changed since, for only the claimer of `tail` may do that.
                        unsafe { slot.fill(item) };
                        slot.set(tail.wrapping_add(1));
                        return Ok(());
                    }
                    Err(now) => {
                        tail = now;
                        backoff.spin();
                    }
                }
            } else if self.is_full_at(tail) {
                // Still the same tail, open: it was full when head was read.
                let now = self.tail.load(SeqCst);
                if now == tail {
                    return Err(PushError::Full(item));
                }
                tail = now;
            } else {
                backoff.snooze();
                tail = self.tail.load(Relaxed);
            }
        }
    }

    #[inline]
    pub(crate) fn try_pop(&self) -> Result<T, PopError> {
        let mut backoff = Backoff::default();
        let mut head = self.head.load(Relaxed); // A claim checks it.
        loop {
            let slot = self.slot(head);
            if slot.has(head.wrapping_add(1)) {
                // SeqCst: before the look at who sleeps; see `Parking`.
                let claim = self
                    .head
                    .compare_exchange_weak(head, self.next(head), SeqCst, Relaxed);
                match claim {
                    Ok(_) => {
                        // SAFETY: claimed just now, seen filled above; the stamp cannot have
                        // changed since, for only the claimer of `head` may do that.
                        let item = unsafe { slot.empty() };
                        slot.set(head.wrapping_add(self.one_lap()));
                        return Ok(item);
                    }
                    Err(now) => {
                        head = now;
                        backoff.spin();
                    }
                }
            } else {
                self.check_empty(head)?;
                backoff.snooze();
                head = self.head.load(Relaxed);
            }
        }
    }

    /// For a pop that found nothing: leaves the pushes alone for a moment if it is close on their
    /// heels. False if it is not, or if this was done for the same place before.
    #[cold]
    pub(crate) fn steps_back_from_tail(&self) -> bool {
        self.steps_back(&self.empty_at, &self.head)
    }

    /// As [`steps_back_from_tail`](Self::steps_back_from_tail), for a push that found no room.
    #[cold]
    pub(crate) fn steps_back_from_head(&self) -> bool {
        self.steps_back(&self.full_at, &self.tail)
    }

    /// Two threads in step would pay for moving cache lines to and fro at every single item: so
    /// the one that was stopped here less than half a ring ago lets the other get ahead. Whoever
    /// comes by after more than that has not been in step. Not under loom, where waiting means
    /// nothing: the answer is then the one of the second look.
    fn steps_back(&self, stopped_at: &AtomicUsize, counter: &AtomicUsize) -> bool {
        if cfg!(loom) {
            return false;
        }
        // Relaxed: at worst somebody waits once more, or once less.
        let position = counter.load(Relaxed) & !self.closed_bit;
        let before = stopped_at.load(Relaxed);
        if before == position {
            return false;
        }
        stopped_at.store(position, Relaxed);
        let is_close = self.distance(before, position) < self.capacity() / 2;
        if is_close {
            Backoff::pause(STEP_BACK);
        }
        is_close
    }

    /// An error if there is nothing at or after `head`. Otherwise somebody is filling the place,
    /// or `head` is out of date.
    #[inline]
    fn check_empty(&self, head: usize) -> Result<(), PopError> {
        total_order();
        // SeqCst: a popper that takes a seat and then finds the ring empty is seen by the push
        // that moves tail on.
        let tail = self.tail.load(SeqCst);
        if tail & !self.closed_bit != head {
            return Ok(());
        }
        Err(if tail & self.closed_bit == 0 {
            PopError::Empty
        } else {
            PopError::Closed
        })
    }

    /// Moves as many of the first items in as there are vacant places in a row; how many.
    pub(crate) fn push_many(&self, items: &mut Vec<T>) -> Result<usize, Closed> {
        let mut backoff = Backoff::default();
        let mut tail = self.tail.load(Relaxed);
        loop {
            if tail & self.closed_bit != 0 {
                return Err(Closed(()));
            }
            let count = self.run(tail, 0, items.len());
            if count > 0 {
                // As in `try_push`. Success means that tail has not moved, so the run is as it was.
                let end = self.after(tail, count);
                let claim = self.tail.compare_exchange_weak(tail, end, SeqCst, Relaxed);
                match claim {
                    Ok(_) => {
                        let [(_, first), (_, second)] = self.places(tail, count);
                        for (slot, item) in first.iter().chain(second).zip(items.drain(..count)) {
                            // SAFETY: within the claimed run, each place of which was seen vacant.
                            unsafe { slot.fill(item) };
                        }
                        self.hand_on_many(tail, count, 1);
                        return Ok(count);
                    }
                    Err(now) => {
                        tail = now;
                        backoff.spin();
                    }
                }
            } else if items.is_empty() {
                return Ok(0);
            } else if self.is_full_at(tail) {
                let now = self.tail.load(SeqCst);
                if now == tail {
                    return Ok(0);
                }
                tail = now;
            } else {
                backoff.snooze();
                tail = self.tail.load(Relaxed);
            }
        }
    }

    /// Moves up to `count_max` items that follow one another to the end of `items`; how many.
    pub(crate) fn pop_many(&self, items: &mut Vec<T>, count_max: usize) -> Result<usize, PopError> {
        let mut backoff = Backoff::default();
        let mut head = self.head.load(Relaxed);
        loop {
            let count = self.run(head, 1, count_max);
            if count > 0 {
                items.reserve(count); // May panic or allocate, so before the claim.
                // As in `try_pop`. Success means that head has not moved, so the run is as it was.
                let end = self.after(head, count);
                let claim = self.head.compare_exchange_weak(head, end, SeqCst, Relaxed);
                match claim {
                    Ok(_) => {
                        let [(_, first), (_, second)] = self.places(head, count);
                        let slots = first.iter().chain(second);
                        // SAFETY: within the claimed run, each place of which was seen filled.
                        items.extend(slots.map(|slot| unsafe { slot.empty() }));
                        self.hand_on_many(head, count, self.one_lap());
                        return Ok(count);
                    }
                    Err(now) => {
                        head = now;
                        backoff.spin();
                    }
                }
            } else if count_max == 0 {
                return Ok(0);
            } else {
                self.check_empty(head)?;
                backoff.snooze();
                head = self.head.load(Relaxed);
            }
        }
    }

    /// Pushes; when the ring is full, in place of the oldest item, which it returns.
    pub(crate) fn force_push(&self, item: T) -> Result<Option<T>, Closed<T>> {
        let mut backoff = Backoff::default();
        let mut item = item;
        loop {
            item = match self.try_push(item) {
                Ok(()) => return Ok(None),
                Err(PushError::Closed(item)) => return Err(Closed(item)),
                Err(PushError::Full(item)) => item,
            };
            // Full: the place after the newest is the one of the oldest. Claim it as a push, so
            // that closing and other pushes are decided; then claim it as a pop, unless somebody
            // else is taking the oldest already.
            let tail = self.tail.load(Relaxed);
            if tail & self.closed_bit == 0 && self.is_full_at(tail) {
                let claim = self
                    .tail
                    .compare_exchange(tail, self.next(tail), SeqCst, Relaxed);
                if claim.is_ok() {
                    return Ok(self.displace(tail, item));
                }
            }
            backoff.spin();
        }
    }

    /// Ends a push that claimed `tail` while the ring was full.
    fn displace(&self, tail: usize, item: T) -> Option<T> {
        let slot = self.slot(tail);
        let oldest = tail.wrapping_sub(self.one_lap());
        let mut backoff = Backoff::default();
        let mut displaced = None;
        loop {
            if slot.has(tail) {
                // SAFETY: claimed by the caller, and vacant: emptied by us or by a pop.
                unsafe { slot.fill(item) };
                slot.set(tail.wrapping_add(1));
                return displaced;
            }
            let filled = slot.has(oldest.wrapping_add(1));
            let next = self.next(oldest);
            if filled
                && self
                    .head
                    .compare_exchange(oldest, next, SeqCst, Relaxed)
                    .is_ok()
            {
                // SAFETY: claimed just now, and seen filled above.
                displaced = Some(unsafe { slot.empty() });
                slot.set(tail);
            } else {
                backoff.snooze();
            }
        }
    }
}

impl<T> Drop for Ring<T> {
    fn drop(&mut self) {
        drop_each(|| self.try_pop().ok());
    }
}
