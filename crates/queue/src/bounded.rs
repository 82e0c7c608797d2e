//! A queue with a hard capacity: the ring, and places to sleep on both sides of it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::error::{CapacityError, Closed, PopError, PushError};
use crate::parking::Parking;
use crate::ring::Ring;
use crate::stats::BoundedStats;
use crate::sync::Backoff;

/// A bounded first-in-first-out queue for any number of producers and consumers.
///
/// Every operation takes O(1) steps while nobody else is at work, those on many items O(their
/// number). Memory is capacity x (item + one word), allocated once; nothing allocates later,
/// except the vector that [`pop_many`](Self::pop_many) appends to. It can be shared by reference
/// or in an `Arc`.
pub struct BoundedQueue<T> {
    ring: Ring<T>,
    /// Pushers that wait for a vacant place.
    pushers: Parking,
    /// Poppers that wait for an item.
    poppers: Parking,
}

impl<T> BoundedQueue<T> {
    /// A queue of at most `capacity` items, which need not be a power of two.
    pub fn new(capacity: usize) -> Result<BoundedQueue<T>, CapacityError> {
        Ok(BoundedQueue {
            ring: Ring::new(capacity)?,
            pushers: Parking::new(),
            poppers: Parking::new(),
        })
    }

    /// Puts `item` at the end, or hands it back with the reason. Does not wait for room; but where
    /// pushes are close on the heels of pops, the first call that finds none looks again a
    /// microsecond or two later, because both are faster while they leave each other alone. Those
    /// after it say so at once until something was popped.
    #[inline]
    pub fn try_push(&self, item: T) -> Result<(), PushError<T>> {
        match self.ring.try_push(item) {
            Err(PushError::Full(item)) => self.push_after_a_moment(item)?,
            pushed => pushed?,
        }
        self.poppers.notify(1);
        Ok(())
    }

    #[cold]
    fn push_after_a_moment(&self, item: T) -> Result<(), PushError<T>> {
        if self.ring.steps_back_from_head() {
            self.ring.try_push(item)
        } else {
            Err(PushError::Full(item))
        }
    }

    /// Takes the oldest item, if there is one. Does not wait for any; but looks again a moment
    /// later as [`try_push`](Self::try_push) does, where pops are close on the heels of pushes.
    #[inline]
    pub fn try_pop(&self) -> Result<T, PopError> {
        let item = match self.ring.try_pop() {
            Err(PopError::Empty) => self.pop_after_a_moment()?,
            popped => popped?,
        };
        self.pushers.notify(1);
        Ok(item)
    }

    #[cold]
    fn pop_after_a_moment(&self) -> Result<T, PopError> {
        if self.ring.steps_back_from_tail() {
            self.ring.try_pop()
        } else {
            Err(PopError::Empty)
        }
    }

    /// Puts `item` at the end even if the queue is full: then the oldest item makes room and is
    /// returned. Refused only by a closed queue.
    pub fn force_push(&self, item: T) -> Result<Option<T>, Closed<T>> {
        let displaced = self.ring.force_push(item)?;
        self.poppers.notify(1);
        Ok(displaced)
    }

    /// Puts the first of `items` at the end of the queue, as many as find room, next to one
    /// another; returns how many. They leave the vector, the others stay in it. 0 when full.
    pub fn push_many(&self, items: &mut Vec<T>) -> Result<usize, Closed> {
        let count = self.ring.push_many(items)?;
        self.poppers.notify(count);
        Ok(count)
    }

    /// Takes up to `count_max` of the oldest items, which follow one another, and appends them to
    /// `items`; returns how many. 0 when empty; an error when closed and empty.
    ///
    /// It may take fewer than there are: those after a place that another thread is still filling
    /// wait for the next call.
    pub fn pop_many(&self, items: &mut Vec<T>, count_max: usize) -> Result<usize, Closed> {
        match self.ring.pop_many(items, count_max) {
            Ok(count) => {
                self.pushers.notify(count);
                Ok(count)
            }
            Err(PopError::Empty) => Ok(0),
            Err(PopError::Closed) => Err(Closed(())),
        }
    }

    /// Puts `item` at the end; waits for room as long as it takes. Refused only by a closed queue,
    /// also when it is closed while this call waits.
    pub fn push(&self, item: T) -> Result<(), Closed<T>> {
        self.push_until(item, None)
            .map_err(|refused| Closed(refused.into_inner()))
    }

    /// As [`push`](Self::push), but waits at most `timeout` for room.
    pub fn push_timeout(&self, item: T, timeout: Duration) -> Result<(), PushError<T>> {
        self.push_until(item, Instant::now().checked_add(timeout))
    }

    /// Takes the oldest item; waits for one as long as it takes. `None` when the queue is closed
    /// and everything in it has been taken.
    pub fn pop(&self) -> Option<T> {
        self.pop_until(None).ok()
    }

    /// As [`pop`](Self::pop), but waits at most `timeout` for an item.
    pub fn pop_timeout(&self, timeout: Duration) -> Result<T, PopError> {
        self.pop_until(Instant::now().checked_add(timeout))
    }

    fn push_until(&self, item: T, deadline: Option<Instant>) -> Result<(), PushError<T>> {
        let item = match self.try_push(item) {
            Err(PushError::Full(item)) => item,
            done => return done,
        };
        wait_until(&self.pushers, deadline, item, |item| {
            match self.try_push(item) {
                Err(PushError::Full(item)) => Err(item),
                done => Ok(done),
            }
        })
        .unwrap_or_else(|item| Err(PushError::Full(item)))
    }

    fn pop_until(&self, deadline: Option<Instant>) -> Result<T, PopError> {
        wait_until(&self.poppers, deadline, (), |()| match self.try_pop() {
            Err(PopError::Empty) => Err(()),
            done => Ok(done),
        })
        .unwrap_or(Err(PopError::Empty))
    }

    /// Refuses every push from now on, wakes everybody who waits, and lets pops take what is left;
    /// whether it was this call that closed the queue.
    pub fn close(&self) -> bool {
        let closed = self.ring.close();
        self.pushers.notify_all();
        self.poppers.notify_all();
        closed
    }

    /// Whether pushes are refused.
    pub fn is_closed(&self) -> bool {
        self.ring.is_closed()
    }

    /// How many items are inside: exact while no other thread is at work, otherwise out of date at
    /// once. Never more than the capacity.
    pub fn len(&self) -> usize {
        self.ring.len()
    }

    /// Whether there is no item; as exact as [`len`](Self::len).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is no room; as exact as [`len`](Self::len).
    pub fn is_full(&self) -> bool {
        self.len() == self.capacity()
    }

    /// The most items it can hold.
    pub fn capacity(&self) -> usize {
        self.ring.capacity()
    }

    /// How it stands; as exact as [`len`](Self::len). A few loads.
    #[must_use]
    pub fn stats(&self) -> BoundedStats {
        BoundedStats {
            len: self.len(),
            capacity: self.capacity(),
            pushers_asleep: self.pushers.asleep(),
            poppers_asleep: self.poppers.asleep(),
            closed: self.is_closed(),
        }
    }
}

impl<T> fmt::Debug for BoundedQueue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BoundedQueue")
            .field("len", &self.len())
            .field("capacity", &self.capacity())
            .field("closed", &self.is_closed())
            .finish()
    }
}

/// Makes `attempt` until it succeeds: spins briefly, then sleeps between attempts. An attempt
/// takes its input and gives it back when it fails; so does this, once the deadline has passed.
pub(crate) fn wait_until<I, R>(
    parking: &Parking,
    deadline: Option<Instant>,
    mut input: I,
    mut attempt: impl FnMut(I) -> Result<R, I>,
) -> Result<R, I> {
    let mut backoff = Backoff::default();
    while !backoff.is_spent() {
        input = match attempt(input) {
            Ok(result) => return Ok(result),
            Err(input) => input,
        };
        if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(input);
        }
        backoff.snooze();
    }
    loop {
        let seat = parking.take_seat();
        input = match attempt(input) {
            Ok(result) => return Ok(result),
            Err(input) => input,
        };
        if !seat.park(deadline) {
            // What came between the last attempt and the deadline still counts.
            return attempt(input);
        }
    }
}
