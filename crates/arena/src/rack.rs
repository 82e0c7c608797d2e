//! One thread's magazines.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use crate::depot::{Depot, Magazine};
use crate::sync::{Counter, Figure, Mutex, Relaxed, UnsafeCell, lock};

/// A place in a magazine: a pointer that came out of a box.
pub(crate) type Place<T> = MaybeUninit<NonNull<T>>;

/// Two magazines: the one in use, and one that is full, empty or missing, so that a thread that
/// goes to and fro across the end of a magazine does not go to the depot each time. On lines of
/// its own: processors fetch them in pairs.
#[repr(align(128))]
pub(crate) struct Rack<T> {
    /// Objects in the magazine in use and in the other. Written by the thread that has the rack,
    /// read by whoever asks for figures.
    len: Figure,
    spare_len: Figure,
    taken: Counter,
    /// Places in a magazine.
    capacity: usize,
    hands: UnsafeCell<Hands<T>>,
}

struct Hands<T> {
    /// Null while there is no magazine in use; `room` is 0 then, and `capacity` otherwise.
    places: *mut Place<T>,
    room: usize,
    spare: *mut Place<T>,
}

// Everything but `figures` is called by the thread that has the rack, and that is why it may touch
// `hands`: a rack is handed to one thread at a time, under the depot's lock.
impl<T> Rack<T> {
    pub(crate) fn new(capacity: usize) -> Rack<T> {
        Rack {
            len: Figure::new(0),
            spare_len: Figure::new(0),
            taken: Counter::new(0),
            capacity,
            hands: UnsafeCell::new(Hands {
                places: std::ptr::null_mut(),
                room: 0,
                spare: std::ptr::null_mut(),
            }),
        }
    }

    #[inline]
    pub(crate) fn pop(&self) -> Option<NonNull<T>> {
        // No read-modify-write: the counter has one writer.
        self.taken.store(self.taken.load(Relaxed) + 1, Relaxed);
        self.pop_uncounted()
    }

    #[inline]
    fn pop_uncounted(&self) -> Option<NonNull<T>> {
        let last = self.len.load(Relaxed).checked_sub(1)?;
        self.len.store(last, Relaxed);
        Some(self.hands.with_mut(|hands| {
            // SAFETY: this thread has the rack, and the first `len` places are filled.
            unsafe { (*(*hands).places.add(last)).assume_init() }
        }))
    }

    /// False if the magazine in use is full, or missing.
    #[inline]
    pub(crate) fn push(&self, object: NonNull<T>) -> bool {
        let len = self.len.load(Relaxed);
        self.hands.with_mut(|hands| {
            // SAFETY: this thread has the rack.
            let hands = unsafe { &mut *hands };
            if len == hands.room {
                return false;
            }
            // SAFETY: there are `room` places, and `len` is never more.
            unsafe { hands.places.add(len).write(Place::new(object)) };
            self.len.store(len + 1, Relaxed);
            true
        })
    }

    /// An object after `pop` found none: from the other magazine, or from one of the depot's.
    pub(crate) fn refill(&self, depot: &Mutex<Depot<T>>) -> Option<NonNull<T>> {
        if self.spare_len.load(Relaxed) > 0 {
            self.turn();
        } else {
            let mut depot = lock(depot);
            let filled = depot.filled()?;
            if let Some(empty) = self.exchange(Some(filled)) {
                depot.take_back(empty);
            }
        }
        self.pop_uncounted()
    }

    /// Puts an object somewhere after `push` found no room: into the other magazine, or into one
    /// of the depot's. False if the pool has as many idle objects as it may have.
    pub(crate) fn relieve(&self, object: NonNull<T>, depot: &Mutex<Depot<T>>) -> bool {
        if self.has_spare() && self.spare_len.load(Relaxed) == 0 {
            self.turn();
        } else {
            let mut depot = lock(depot);
            let Some(roomy) = depot.roomy() else {
                return false;
            };
            self.turn(); // What was in use is full, and so is the other, as far as they are there.
            if let Some(full) = self.exchange(Some(roomy)) {
                depot.take_back(full);
            }
        }
        self.push(object)
    }

    /// Lets go of both magazines.
    pub(crate) fn unload(&self) -> [Option<Magazine<T>>; 2] {
        let in_use = self.exchange(None);
        self.turn();
        [in_use, self.exchange(None)]
    }

    /// Objects in both magazines, and how often one was asked for.
    pub(crate) fn figures(&self) -> (usize, u64) {
        let retained = self.len.load(Relaxed) + self.spare_len.load(Relaxed);
        (retained, self.taken.load(Relaxed))
    }

    fn has_spare(&self) -> bool {
        // SAFETY: this thread has the rack.
        self.hands
            .with_mut(|hands| unsafe { !(*hands).spare.is_null() })
    }

    /// Makes the other magazine the one in use.
    fn turn(&self) {
        let (len, spare_len) = (self.len.load(Relaxed), self.spare_len.load(Relaxed));
        self.len.store(spare_len, Relaxed);
        self.spare_len.store(len, Relaxed);
        self.hands.with_mut(|hands| {
            // SAFETY: this thread has the rack.
            let hands = unsafe { &mut *hands };
            std::mem::swap(&mut hands.places, &mut hands.spare);
            hands.room = self.room(hands.places);
        });
    }

    /// Puts a magazine, or none, in place of the one in use.
    fn exchange(&self, magazine: Option<Magazine<T>>) -> Option<Magazine<T>> {
        let old_len = self.len.load(Relaxed);
        let (places, len) = magazine.map_or((std::ptr::null_mut(), 0), |magazine| {
            (magazine.places.as_ptr(), magazine.len)
        });
        self.len.store(len, Relaxed);
        let old = self.hands.with_mut(|hands| {
            // SAFETY: this thread has the rack.
            let hands = unsafe { &mut *hands };
            hands.room = self.room(places);
            std::mem::replace(&mut hands.places, places)
        });
        NonNull::new(old).map(|places| Magazine {
            places,
            len: old_len,
        })
    }

    fn room(&self, places: *mut Place<T>) -> usize {
        if places.is_null() { 0 } else { self.capacity }
    }
}
