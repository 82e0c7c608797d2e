//! What the threads of a pool share: magazines that no thread has in hand, and the racks.

use std::ptr::NonNull;

use crate::pool::PoolStats;
use crate::rack::{Place, Rack};

/// A block of places, the first `len` of which are filled. How many there are is the depot's to
/// know; the block is freed with the depot, the magazine itself is only a note of where it is.
pub(crate) struct Magazine<T> {
    pub(crate) places: NonNull<Place<T>>,
    pub(crate) len: usize,
}

/// Owns all magazines, all racks, and the objects in them. Always under a lock.
pub(crate) struct Depot<T> {
    /// Places in a magazine.
    capacity: usize,
    magazines_max: usize,
    magazines: usize,
    full: Vec<Magazine<T>>,
    empty: Vec<Magazine<T>>,
    /// What threads that ended left over is poured together here.
    partial: Option<Magazine<T>>,
    racks: Vec<NonNull<Rack<T>>>,
    /// Racks that no thread has.
    idle: Vec<NonNull<Rack<T>>>,
    exchanges: u64,
    /// What the racks had counted at the last reset: each has a writer at work, so theirs go on.
    taken_before: u64,
}

// SAFETY: it owns what its pointers lead to. Racks in the hands of a thread are touched by that
// thread only, but for their figures, which are atomic. Objects go from thread to thread, so they
// must be `Send`.
unsafe impl<T: Send> Send for Depot<T> {}

impl<T> Depot<T> {
    pub(crate) fn new(capacity: usize, magazines_max: usize) -> Depot<T> {
        Depot {
            capacity,
            magazines_max,
            magazines: 0,
            full: Vec::new(),
            empty: Vec::new(),
            partial: None,
            racks: Vec::new(),
            idle: Vec::new(),
            exchanges: 0,
            taken_before: 0,
        }
    }

    /// A rack for the calling thread alone, without magazines.
    pub(crate) fn claim(&mut self) -> NonNull<Rack<T>> {
        self.idle.pop().unwrap_or_else(|| {
            let rack = NonNull::from(Box::leak(Box::new(Rack::new(self.capacity))));
            self.racks.push(rack);
            self.idle.reserve(self.racks.len());
            rack
        })
    }

    /// Takes a rack back, with what is in it.
    ///
    /// # Safety
    ///
    /// The rack came from this depot's `claim`, and the thread that had it does not use it again.
    pub(crate) unsafe fn give_up(&mut self, rack: NonNull<Rack<T>>) {
        // SAFETY: racks are freed with the depot, and this one is now ours.
        let magazines = unsafe { rack.as_ref() }.unload();
        magazines
            .into_iter()
            .flatten()
            .for_each(|left| self.take_back(left));
        self.idle.push(rack);
    }

    /// A magazine with objects in it.
    pub(crate) fn filled(&mut self) -> Option<Magazine<T>> {
        let filled = self.full.pop().or_else(|| self.partial.take())?;
        self.exchanges += 1;
        Some(filled)
    }

    /// A magazine with room in it, a new one if there may be one more.
    pub(crate) fn roomy(&mut self) -> Option<Magazine<T>> {
        let roomy = self
            .empty
            .pop()
            .or_else(|| self.make())
            .or_else(|| self.partial.take())?;
        self.exchanges += 1;
        Some(roomy)
    }

    /// Makes all magazines there may be.
    pub(crate) fn make_all(&mut self) {
        while let Some(made) = self.make() {
            self.empty.push(made);
        }
    }

    fn make(&mut self) -> Option<Magazine<T>> {
        if self.magazines == self.magazines_max {
            return None;
        }
        let block: Box<[Place<T>]> = Box::new_uninit_slice(self.capacity);
        self.magazines += 1;
        // Room for every magazine there is, so that taking one back never allocates.
        self.full.reserve(self.magazines - self.full.len());
        self.empty.reserve(self.magazines - self.empty.len());
        Some(Magazine {
            places: NonNull::from(Box::leak(block)).cast(),
            len: 0,
        })
    }

    /// Takes a magazine back, whatever is in it.
    pub(crate) fn take_back(&mut self, mut magazine: Magazine<T>) {
        if 0 < magazine.len
            && magazine.len < self.capacity
            && let Some(mut partial) = self.partial.take()
        {
            let poured = magazine.len.min(self.capacity - partial.len);
            magazine.len -= poured;
            // SAFETY: two blocks of `capacity` places. The last `poured` filled ones of the one
            // fit behind the filled ones of the other, and are in `len` of one of them only.
            unsafe {
                let from = magazine.places.add(magazine.len);
                from.copy_to_nonoverlapping(partial.places.add(partial.len), poured);
            }
            partial.len += poured;
            self.sort_in(partial);
        }
        self.sort_in(magazine);
    }

    /// At most one of those that come here is neither full nor empty, and `partial` is free then.
    fn sort_in(&mut self, magazine: Magazine<T>) {
        match magazine.len {
            0 => self.empty.push(magazine),
            len if len == self.capacity => self.full.push(magazine),
            _ => self.partial = Some(magazine),
        }
    }

    pub(crate) fn add_to(&self, stats: &mut PoolStats) {
        let idle = self.full.len() * self.capacity;
        stats.retained += idle + self.partial.as_ref().map_or(0, |partial| partial.len);
        stats.exchanges += self.exchanges;
        stats.threads = self.racks.len();
        for rack in &self.racks {
            // SAFETY: racks are freed with the depot; figures may be read by anyone.
            let (retained, taken) = unsafe { rack.as_ref() }.figures();
            stats.retained += retained;
            stats.taken += taken;
        }
        stats.taken = stats.taken.saturating_sub(self.taken_before);
    }

    /// Counts begin anew.
    pub(crate) fn reset_stats(&mut self) {
        self.exchanges = 0;
        // SAFETY: as in `add_to`.
        let taken = |rack: &NonNull<Rack<T>>| unsafe { rack.as_ref() }.figures().1;
        self.taken_before = self.racks.iter().map(taken).sum();
    }
}

impl<T> Drop for Depot<T> {
    fn drop(&mut self) {
        let mut magazines = std::mem::take(&mut self.full);
        magazines.append(&mut self.empty);
        magazines.extend(self.partial.take());
        for rack in self.racks.drain(..) {
            // SAFETY: leaked from a box in `claim`, once. The depot goes with its pool, so no
            // thread is at work in a rack; one that still remembers it finds the pool gone.
            let rack = unsafe { Box::from_raw(rack.as_ptr()) };
            magazines.extend(rack.unload().into_iter().flatten());
        }
        for magazine in magazines {
            // SAFETY: leaked from a box of `capacity` places in `make`; each block is noted once.
            let block = unsafe {
                let places = NonNull::slice_from_raw_parts(magazine.places, self.capacity);
                Box::from_raw(places.as_ptr())
            };
            for place in &block[..magazine.len] {
                // SAFETY: filled places hold pointers out of boxes, each once.
                drop(unsafe { Box::from_raw(place.assume_init().as_ptr()) });
            }
        }
    }
}
