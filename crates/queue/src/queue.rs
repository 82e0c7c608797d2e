//! An unbounded queue: a list of segments, each of which holds many items.

use std::fmt;

use cortica_reclaim::{Protect, PublishOnPing, Reclaim};

use crate::drain::drop_each;
use crate::segment::Segment;
use crate::stash::Stash;
use crate::sync::{Arc, AtomicPtr, Backoff, CachePadded, Relaxed, Release, note_stay, total_order};

/// Emptied segments a thread may hold before it asks who still looks at them, which takes some
/// 4 us: half a nanosecond an item.
const BATCH: usize = if cfg!(loom) { 1 } else { 8 };

/// An unbounded first-in-first-out queue for any number of producers and consumers.
///
/// A list of segments in the manner of Michael and Scott (PODC 1996), each an array of slots:
/// 1,024 of them, or as many as fit 64 KiB, but at least 64. A push claims the next slot of the
/// last segment and fills it; a pop takes the first that is filled. Segments that are used up are
/// recycled as soon as [`PublishOnPing`] says that nobody looks at them. So one item costs one
/// atomic exchange on each side and no allocation, and a batch no more exchanges than one item.
///
/// Every operation takes O(1) steps while nobody else is at work, those on many items O(their
/// number); a thread that goes from one of many queues to the next pays for looks into a hash table.
/// A thread's first operation at a queue looks for a slot among those of all threads that were there,
/// and what comes every few segments, the look at who still reads them, takes as many steps as there
/// are threads. Memory: the segments that hold items, up to 16 segments kept for the next items (a
/// megabyte for items of up to 1,016 bytes; a segment has 64 places at least), and up to 8 emptied ones
/// for every thread that pops, two more where it keeps guards parked. A large batch has a segment to its
/// measure, which counts as one, however large. An item takes its size and a word.
/// [`BoundedQueue`](crate::BoundedQueue) is for when memory is to have a bound.
///
/// ```
/// use cortica_queue::Queue;
///
/// let queue = Queue::new();
/// std::thread::scope(|threads| {
///     threads.spawn(|| queue.push_many(&mut vec!["one", "two"]));
///     threads.spawn(|| queue.push("three"));
/// });
/// assert_eq!(queue.len(), 3);
///
/// let mut items = Vec::new();
/// while queue.pop_many(&mut items, 32) > 0 {}
/// let one = items.iter().position(|item| *item == "one");
/// let two = items.iter().position(|item| *item == "two");
/// assert_eq!(two, one.map(|one| one + 1)); // A batch stays together.
/// ```
pub struct Queue<T> {
    list: List<T>,
    tail: CachePadded<AtomicPtr<Segment<T>>>,
    /// Protects segments: not items, each of which one thread has. Pushes park their guards on the
    /// last segment and pops on the first, each in a slot of their own, so that a thread which does
    /// both finds both where it left them.
    pushers: PublishOnPing,
    poppers: PublishOnPing,
    stash: Arc<Stash<T>>,
}

/// The first segment, and thereby all of them. It owns them, but no items.
struct List<T> {
    head: CachePadded<AtomicPtr<Segment<T>>>,
}

// SAFETY: an item is moved in by one thread and out by one thread, each of which has its slot to
// itself meanwhile (`Segment::claim`, `take`); no reference to an item inside is ever handed out.
// So sharing the queue only sends items.
unsafe impl<T: Send> Sync for Queue<T> {}
// SAFETY: as above; whoever has the queue has all items in it.
unsafe impl<T: Send> Send for Queue<T> {}

impl<T> Queue<T> {
    /// An empty queue. Allocates one segment.
    #[must_use]
    pub fn new() -> Queue<T> {
        Queue::with(PublishOnPing::new().with_batch(BATCH))
    }

    /// `domain` is the queue's own. For models, too: of what an operation finds without fences.
    pub(crate) fn with(domain: PublishOnPing) -> Queue<T> {
        let stash = Stash::new();
        let first = Box::into_raw(stash.take(1));
        Queue {
            list: List {
                head: CachePadded(AtomicPtr::new(first)),
            },
            tail: CachePadded(AtomicPtr::new(first)),
            pushers: domain.apart(),
            poppers: domain,
            stash,
        }
    }

    /// Puts `item` at the end.
    #[inline]
    pub fn push(&self, item: T) {
        // Relaxed: what a parked pointer points to was seen whole when it was protected.
        let tail = self.tail.load(Relaxed);
        if self.pushers.has_parked(tail) {
            // SAFETY: segments are boxes, freed or used anew only when nobody protects them, as
            // this thread does until it takes its next guard.
            let segment = unsafe { &*tail };
            if let Some(slot) = segment.claim() {
                // SAFETY: claimed just now. Moving an item does not panic.
                unsafe { slot.fill(item) };
                slot.set(segment.lap());
                note_stay();
                return;
            }
        }
        self.push_guarded(item);
    }

    /// As [`push`](Self::push), for a thread that was last at another segment, or where this one
    /// is at its end.
    #[inline(never)]
    fn push_guarded(&self, mut item: T) {
        let mut guard = self.pushers.guard();
        loop {
            let tail = guard.protect(&self.tail);
            // SAFETY: as in `push`: it is protected.
            let segment = unsafe { &*tail };
            if let Some(slot) = segment.claim() {
                // SAFETY: as in `push`.
                unsafe { slot.fill(item) };
                slot.set(segment.lap());
                break;
            }
            item = match self.append_one(tail, segment, item) {
                Ok(()) => break,
                Err(refused) => refused,
            };
        }
        guard.park();
    }

    /// Puts all of `items` at the end, next to one another, as if in one moment. They leave the
    /// vector, which keeps its capacity.
    ///
    /// Where they do not fit into the last segment, they begin the next one; more than a segment
    /// holds get one of their own, made to measure. From 2^32 items on it is several batches.
    pub fn push_many(&self, items: &mut Vec<T>) {
        let mut guard = self.pushers.guard();
        while !items.is_empty() {
            let count = items.len().min(u32::MAX as usize);
            let tail = guard.protect(&self.tail);
            // SAFETY: as in `push`.
            let segment = unsafe { &*tail };
            if let Some(slots) = segment.claim_many(count) {
                for (slot, item) in slots.iter().zip(items.drain(..count)) {
                    // SAFETY: claimed just now. Neither moving items nor draining panics.
                    unsafe { slot.fill(item) };
                }
                // The first slot last: who comes to it finds the whole batch, and does not tear
                // it into many small ones.
                for slot in slots.iter().rev() {
                    slot.set(segment.lap());
                }
            } else {
                self.append_many(tail, segment, items, count);
            }
        }
        guard.park();
    }

    /// Takes the oldest item, if there is one.
    ///
    /// It waits for a push that has claimed the oldest slot and not yet filled it. The first pop
    /// that finds the queue empty looks again after a microsecond or so, because pushes are faster
    /// while they are left alone; those after it say so at once until something was pushed.
    #[inline]
    pub fn pop(&self) -> Option<T> {
        let head = self.list.head.load(Relaxed); // As in `push`.
        if self.poppers.has_parked(head) {
            // SAFETY: as in `push`.
            let segment = unsafe { &*head };
            if let Ok(slot) = segment.take_next(&mut Backoff::default()) {
                note_stay();
                // SAFETY: taken just now.
                return Some(unsafe { slot.empty() });
            }
        }
        self.pop_guarded()
    }

    /// As [`pop`](Self::pop), for a thread that was last at another segment, or where this one has
    /// nothing at hand.
    #[inline(never)]
    fn pop_guarded(&self) -> Option<T> {
        let mut guard = self.poppers.guard();
        let mut backoff = Backoff::default();
        loop {
            let head = guard.protect(&self.list.head);
            // SAFETY: as in `push`.
            match unsafe { &*head }.take_next(&mut backoff) {
                Ok(slot) => {
                    // SAFETY: taken just now.
                    let item = unsafe { slot.empty() };
                    guard.park();
                    return Some(item);
                }
                Err(taken) => {
                    if !self.is_more(&mut guard, head, taken, &mut backoff) {
                        guard.park();
                        return None;
                    }
                }
            }
        }
    }

    /// Takes up to `count_max` of the oldest items, which follow one another, in one moment, and
    /// appends them to `items`; returns how many. 0 when empty, or when asked for none.
    ///
    /// It may take fewer than there are: what is in the next segment, or after a slot that is
    /// still being filled, waits for the next call.
    pub fn pop_many(&self, items: &mut Vec<T>, count_max: usize) -> usize {
        if count_max == 0 {
            return 0;
        }
        let mut guard = self.poppers.guard();
        let mut backoff = Backoff::default();
        let popped = loop {
            let head = guard.protect(&self.list.head);
            // SAFETY: as in `push`.
            let segment = unsafe { &*head };
            let taken = segment.taken();
            let rest = segment.slots().get(taken..).unwrap_or_default();
            let filled = rest
                .iter()
                .take(count_max)
                .take_while(|slot| slot.has(segment.lap()))
                .count();
            if filled == 0 {
                if self.is_more(&mut guard, head, taken, &mut backoff) {
                    continue;
                }
                break 0;
            }
            items.reserve(filled); // May panic, so before the claim.
            if segment.take(taken, taken + filled).is_ok() {
                for slot in &rest[..filled] {
                    // SAFETY: seen filled, and taken since.
                    items.push(unsafe { slot.empty() });
                }
                break filled;
            }
            backoff.spin();
        };
        guard.park();
        popped
    }

    /// How many items are inside: exact while no other thread is at work, otherwise out of date
    /// at once. It counts items that are being pushed. O(1).
    pub fn len(&self) -> usize {
        let (mut guard, mut at_tail) = (self.poppers.guard(), self.pushers.guard());
        // Pops first: every item they count was pushed before, and the tail is never behind the
        // head. Both are seen so by whoever loads with Acquire what was stored with Release.
        let head = guard.protect(&self.list.head);
        // SAFETY: as in `push`.
        let popped = unsafe { &*head }.popped();
        let tail = at_tail.protect(&self.tail);
        // SAFETY: as in `push`.
        let pushed = unsafe { &*tail }.pushed();
        at_tail.park();
        guard.park();
        pushed.wrapping_sub(popped)
    }

    /// Whether there is no item; as exact as [`len`](Self::len).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a pop does that finds the slot after the `taken` ones of `head` unfilled: waits for a
    /// push to fill it, or goes on to the next segment. False if there is nothing to pop.
    #[inline]
    fn is_more(
        &self,
        guard: &mut impl Protect,
        head: *mut Segment<T>,
        taken: usize,
        backoff: &mut Backoff,
    ) -> bool {
        // SAFETY: the caller protects it.
        let segment = unsafe { &*head };
        // Claims, links and these looks for them are SeqCst: of two threads that push each to a
        // queue of its own and then find the other's queue empty, one is wrong.
        total_order();
        let claims = segment.claims();
        if taken < claims.count() {
            backoff.snooze(); // The slot is claimed, or our count is out of date.
            return true;
        }
        if segment.is_exhausted(claims) {
            self.advance_head(guard, head)
        } else {
            segment.lets_gather(taken)
        }
    }

    /// Goes on to the segment after `head`, of which all items are taken; false if there is none.
    #[cold]
    fn advance_head(&self, guard: &mut impl Protect, head: *mut Segment<T>) -> bool {
        // SAFETY: the caller protects it.
        let segment = unsafe { &*head };
        let next = segment.next();
        if next.is_null() {
            return false;
        }
        // The tail first, so that it never points to a segment that was taken out.
        self.advance_tail(head, next);
        // Release: who finds the new head finds the tail that came before.
        let advanced = self
            .list
            .head
            .compare_exchange(head, next, Release, Relaxed);
        if advanced.is_ok() {
            guard.release(); // Or the segment waited for ourselves.
            // SAFETY: we took it out of the list, and it had left the tail before. It is a box
            // without items: all are taken, and those who took one protect the segment until
            // they have moved it out.
            unsafe {
                segment.set_home(Arc::clone(&self.stash));
                guard.retire_with(head.cast(), Emptied::<T>::recycle);
            }
        }
        true
    }

    /// Makes the tail point to `next` if it points to `segment`, after which `next` comes.
    fn advance_tail(&self, segment: *mut Segment<T>, next: *mut Segment<T>) {
        // The caller protects `segment`, so that it is no other one by now. Release: who finds
        // `next` finds it whole.
        let _ = self.tail.compare_exchange(segment, next, Release, Relaxed);
    }

    /// Begins a segment after `tail`, which is exhausted, with `item`; or hands the item back
    /// because there is another one by now.
    #[cold]
    fn append_one(&self, tail: *mut Segment<T>, segment: &Segment<T>, item: T) -> Result<(), T> {
        let next = segment.next();
        if !next.is_null() {
            self.advance_tail(tail, next);
            return Err(item);
        }
        let mut new = self.stash.take(1);
        new.begin_with(segment.pushed(), std::iter::once(item));
        self.append(tail, segment, new).map_err(|refused| {
            // SAFETY: filled above, and nobody has seen it.
            let item = unsafe { refused.slots()[0].empty() };
            self.stash.put(refused);
            item
        })
    }

    /// As [`append_one`](Self::append_one), for the first `count` of a batch: they leave the
    /// vector, or not.
    #[cold]
    fn append_many(
        &self,
        tail: *mut Segment<T>,
        segment: &Segment<T>,
        items: &mut Vec<T>,
        count: usize,
    ) {
        let next = segment.next();
        if !next.is_null() {
            self.advance_tail(tail, next);
            return;
        }
        let mut new = self.stash.take(count);
        new.begin_with(segment.pushed(), items.drain(..count));
        if let Err(refused) = self.append(tail, segment, new) {
            let filled = &refused.slots()[..count];
            // SAFETY: filled above, and nobody has seen them.
            let back = filled.iter().map(|slot| unsafe { slot.empty() });
            items.splice(..0, back);
            self.stash.put(refused);
        }
    }

    /// Puts `new` after `tail`, or hands it back because there is another one by now.
    fn append(
        &self,
        tail: *mut Segment<T>,
        segment: &Segment<T>,
        new: Box<Segment<T>>,
    ) -> Result<(), Box<Segment<T>>> {
        let new = Box::into_raw(new);
        if segment.set_next(new) {
            self.advance_tail(tail, new);
            Ok(())
        } else {
            self.advance_tail(tail, segment.next());
            // SAFETY: made from a box above, and not in the list.
            Err(unsafe { Box::from_raw(new) })
        }
    }
}

/// A segment without items, whatever they were.
#[repr(transparent)]
struct Emptied<T>(Segment<T>);

// SAFETY: it is memory; there is no `T` in it.
unsafe impl<T> Send for Emptied<T> {}

impl<T> Emptied<T> {
    /// Brings a segment home.
    ///
    /// # Safety
    /// It came from a box, it holds no items, its home is set, and nobody else can reach it.
    unsafe fn recycle(segment: *mut Emptied<T>) {
        // SAFETY: the caller's promise; and the types have one layout.
        let mut segment = unsafe { Box::from_raw(segment.cast::<Segment<T>>()) };
        if let Some(stash) = segment.take_home() {
            stash.put(segment);
        }
    }
}

impl<T> Default for Queue<T> {
    fn default() -> Queue<T> {
        Queue::new()
    }
}

impl<T> fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("len", &self.len()).finish()
    }
}

impl<T> Drop for Queue<T> {
    fn drop(&mut self) {
        drop_each(|| self.pop());
    }
}

impl<T> Drop for List<T> {
    fn drop(&mut self) {
        let mut next = self.head.load(Relaxed); // `&mut self` is the order.
        while !next.is_null() {
            // SAFETY: `&mut self`: nobody else has the list, and each segment is in it once.
            next = unsafe { Box::from_raw(next) }.next();
        }
    }
}
