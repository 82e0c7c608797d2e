//! Segments that wait to be used again.

use std::ptr;

use crate::segment::Segment;
use crate::sync::{Acquire, Arc, AtomicPtr, Relaxed, Release, note_reuse};

/// Segments kept: with the usual 16 KiB to 64 KiB each at most a megabyte; more where 64 items take more
/// than 64 KiB.
const PLACES: usize = if cfg!(loom) { 1 } else { 16 };

/// A few segments without items. It lasts as long as its queue, or as long as one of the queue's
/// segments is on the way here.
pub(crate) struct Stash<T> {
    places: [AtomicPtr<Segment<T>>; PLACES],
}

impl<T> Stash<T> {
    pub(crate) fn new() -> Arc<Stash<T>> {
        Arc::new(Stash {
            places: std::array::from_fn(|_| AtomicPtr::new(ptr::null_mut())),
        })
    }

    /// Keeps the segment; frees it if there are enough, or if it is of no use to others.
    pub(crate) fn put(&self, mut segment: Box<Segment<T>>) {
        if segment.slots().len() != Segment::<T>::SLOTS {
            return;
        }
        segment.renew();
        let segment = Box::into_raw(segment);
        for place in &self.places {
            // Release pairs with the Acquire in `take`: its next user finds it renewed.
            let is_kept = place.load(Relaxed).is_null()
                && place
                    .compare_exchange(ptr::null_mut(), segment, Release, Relaxed)
                    .is_ok();
            if is_kept {
                return;
            }
        }
        // SAFETY: made from the box above, and no place has it.
        drop(unsafe { Box::from_raw(segment) });
    }

    /// A segment without items, of at least so many slots.
    pub(crate) fn take(&self, slots: usize) -> Box<Segment<T>> {
        if slots > Segment::<T>::SLOTS {
            return Segment::new(slots);
        }
        for place in &self.places {
            if place.load(Relaxed).is_null() {
                continue; // An exchange of nothing for nothing would cost as much as any.
            }
            let segment = place.swap(ptr::null_mut(), Acquire);
            if !segment.is_null() {
                note_reuse();
                // SAFETY: `put` made it from a box, and the exchange gave it to us alone.
                return unsafe { Box::from_raw(segment) };
            }
        }
        Segment::new(Segment::<T>::SLOTS)
    }
}

impl<T> Drop for Stash<T> {
    fn drop(&mut self) {
        for place in &self.places {
            let segment = place.swap(ptr::null_mut(), Relaxed); // `&mut self` is the order.
            if !segment.is_null() {
                // SAFETY: as in `take`.
                drop(unsafe { Box::from_raw(segment) });
            }
        }
    }
}
