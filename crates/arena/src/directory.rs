//! A list that grows at its end while others read it, and moves nothing.

use std::marker::PhantomData;

use crate::sync::{Acquire, AtomicPtr, Relaxed, Release};

/// Bucket `k` has room for 2^k items. A row number is a u32, so 32 are enough for one item a row.
#[cfg(not(loom))]
const BUCKETS: usize = 32;
/// Every place is an atomic that loom keeps a history of.
#[cfg(loom)]
const BUCKETS: usize = 2;

/// Items that stay until the list is dropped.
pub(crate) struct Directory<S> {
    buckets: [AtomicPtr<AtomicPtr<S>>; BUCKETS],
    owns: PhantomData<Box<S>>,
}

/// Which bucket an item is in, and where in it: 1, 2 and 3, 4 to 7, ...
fn place(at: usize) -> (usize, usize) {
    let from_one = at as u64 + 1;
    let bucket = from_one.ilog2();
    (bucket as usize, (from_one - (1 << bucket)) as usize)
}

impl<S> Directory<S> {
    pub(crate) fn new() -> Directory<S> {
        Directory {
            buckets: std::array::from_fn(|_| AtomicPtr::new(std::ptr::null_mut())),
            owns: PhantomData,
        }
    }

    /// An item, if there are that many. O(1).
    #[inline]
    pub(crate) fn get(&self, at: usize) -> Option<&S> {
        let (bucket, offset) = place(at);
        // Acquire pairs with the Release in `put`: what is found is whole.
        let places = self.buckets.get(bucket)?.load(Acquire);
        if places.is_null() {
            return None;
        }
        // SAFETY: bucket `k` has 2^k places, `offset` is less than that, and neither places nor
        // items are freed before the list is.
        unsafe { (*places.add(offset)).load(Acquire).as_ref() }
    }

    /// Puts an item at `at`, where there is none; gives it back if the list cannot be that long.
    /// Only one thread at a time may call this.
    pub(crate) fn put(&self, at: usize, item: Box<S>) -> Result<(), Box<S>> {
        let (bucket, offset) = place(at);
        let Some(bucket_of) = self.buckets.get(bucket) else {
            return Err(item);
        };
        // Relaxed: stores come from this thread, or from one that called this earlier.
        let mut places = bucket_of.load(Relaxed);
        if places.is_null() {
            let null = || AtomicPtr::new(std::ptr::null_mut());
            let made: Box<[AtomicPtr<S>]> = (0..1 << bucket).map(|_| null()).collect();
            places = Box::into_raw(made).cast();
            // Release pairs with the Acquire in `get`, here and below.
            bucket_of.store(places, Release);
        }
        // SAFETY: as in `get`.
        unsafe { (*places.add(offset)).store(Box::into_raw(item), Release) };
        Ok(())
    }
}

impl<S> Drop for Directory<S> {
    fn drop(&mut self) {
        for (bucket, places) in self.buckets.iter().enumerate() {
            // Relaxed, here and below: whoever made `&mut self` out of shares of it ordered
            // everything before.
            let places = places.load(Relaxed);
            if places.is_null() {
                continue;
            }
            // SAFETY: out of a box of as many in `put`, and freed once: here.
            let places =
                unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(places, 1 << bucket)) };
            for item in &places {
                let item = item.load(Relaxed);
                if !item.is_null() {
                    // SAFETY: out of a box in `put`, and `&mut self`: nobody borrows it.
                    drop(unsafe { Box::from_raw(item) });
                }
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_where_they_were_put_and_stay_there() {
        let list = Directory::new();
        assert_eq!(list.get(0), None);
        assert!(list.put(0, Box::new(0_usize)).is_ok());
        let first = list.get(0).map(std::ptr::from_ref);
        for at in 1..1_000 {
            assert_eq!(list.get(at), None);
            assert!(list.put(at, Box::new(at)).is_ok());
            assert_eq!(list.get(at), Some(&at));
        }
        assert_eq!(list.get(0).map(std::ptr::from_ref), first);
        assert!((0..1_000).all(|at| list.get(at) == Some(&at)));
        assert_eq!(list.get(u32::MAX as usize), None);
        assert_eq!(list.get(1 << 40), None);
    }
}
