//! Objects that are used again instead of being made anew.

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use crate::depot::Depot;
use crate::local::{self, Leave, PoolId};
use crate::rack::Rack;
use crate::sync::{Arc, Counter, Mutex, Relaxed, Weak, downgrade, lock};

/// Objects a magazine holds, where the pool is large enough for many of them.
const MAGAZINE: usize = 64;

/// A smaller pool has as many, so that sixteen threads can have two each.
const MAGAZINES: usize = 32;

/// A pool of objects for any number of threads.
///
/// Every thread has a magazine of objects of its own, so that taking and putting back touch
/// nothing that is shared. Only a whole magazine, full or empty, is exchanged with the depot that
/// all share, under a lock.
///
/// An object is handed out **as it was put back**. Nothing is cleared, moved or dropped in
/// between, which is what makes it fast; whoever takes one sets what it relies on.
///
/// The pool keeps at most as many idle objects as it was made for, those in the magazines of all
/// threads included; what is put back beyond that is dropped. Each thread has up to two magazines
/// of 64 objects, or of a 32nd of the bound if that is less. So, to make nothing anew after a
/// while, allow for as many idle objects beyond those in use at once, and for 32 threads at most
/// where the bound is below 2,048.
///
/// Bonwick & Adams, "Magazines and Vmem", USENIX 2001.
///
/// ```
/// use cortica_arena::Pool;
///
/// let buffers = Pool::new(512, || Vec::<f32>::with_capacity(768));
/// let mut buffer = buffers.get();
/// buffer.push(1.0);
/// drop(buffer); // Back to the pool.
///
/// let mut again = buffers.get();
/// assert_eq!(*again, [1.0]); // As it was put back.
/// again.clear();
/// assert_eq!(buffers.stats().made, 1);
/// ```
pub struct Pool<T: Send + 'static> {
    id: PoolId,
    shared: Arc<Shared<T>>,
}

/// What threads that have not ended may outlive.
struct Shared<T: Send + 'static> {
    depot: Mutex<Depot<T>>,
    make: Box<dyn Fn() -> T + Send + Sync>,
    retained_max: usize,
    made: Counter,
    dropped: Counter,
}

/// Figures of a pool. Exact when no thread is at work in it.
///
/// `taken`, `made`, `dropped` and `exchanges` count from the beginning, or from the last
/// [`reset_stats`](Pool::reset_stats). The others say how it stands, and no reset changes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolStats {
    /// Objects taken.
    pub taken: u64,
    /// Objects made because none was idle.
    pub made: u64,
    /// Objects dropped because enough were idle.
    pub dropped: u64,
    /// Idle objects, in the depot and with threads.
    pub retained: usize,
    /// The most idle objects there can be.
    pub retained_max: usize,
    /// Magazines exchanged with the depot.
    pub exchanges: u64,
    /// Threads that take part, or the most that ever did at once.
    pub threads: usize,
}

impl PoolStats {
    /// The share of takes that found an idle object; 1 if there were no takes.
    #[must_use]
    pub fn hit_rate(&self) -> f64 {
        if self.taken == 0 {
            return 1.0;
        }
        1.0 - self.made as f64 / self.taken as f64
    }
}

impl<T: Send + 'static> Pool<T> {
    /// A pool that keeps at most `retained_max` idle objects. It makes none before one is taken.
    pub fn new(retained_max: usize, make: impl Fn() -> T + Send + Sync + 'static) -> Pool<T> {
        static NEXT: Counter = Counter::new(1);
        let magazine = (retained_max / MAGAZINES).clamp(1, MAGAZINE);
        Pool {
            id: NEXT.fetch_add(1, Relaxed),
            shared: Arc::new(Shared {
                depot: Mutex::new(Depot::new(magazine, retained_max / magazine)),
                make: Box::new(make),
                retained_max,
                made: Counter::new(0),
                dropped: Counter::new(0),
            }),
        }
    }

    /// An object, which goes back when the guard is dropped. O(1); it allocates only if it has to
    /// make one.
    #[inline]
    pub fn get(&self) -> Pooled<'_, T> {
        Pooled {
            pool: self,
            object: ManuallyDrop::new(self.take()),
        }
    }

    /// An object to keep for as long as one likes; [`put`](Pool::put) gives it back.
    #[inline]
    pub fn take(&self) -> Box<T> {
        let rack = self.rack();
        let object = rack
            .and_then(Rack::pop)
            .unwrap_or_else(|| self.take_slowly(rack));
        // SAFETY: racks hold what `put` leaked from boxes, each once; or it was just leaked.
        unsafe { Box::from_raw(object.as_ptr()) }
    }

    /// Gives an object back, or any other of its kind: the pool does not care who made it. O(1).
    #[inline]
    pub fn put(&self, object: Box<T>) {
        let object = NonNull::from(Box::leak(object));
        let rack = self.rack();
        if !rack.is_some_and(|rack| rack.push(object)) {
            self.put_slowly(rack, object);
        }
    }

    /// Makes objects until `count` are idle, or as many as may be, and all magazines there may be:
    /// from then on, nothing is allocated but objects beyond these. O(bound).
    pub fn fill(&self, count: usize) {
        lock(&self.shared.depot).make_all();
        let short = count.min(self.shared.retained_max);
        for _ in self.stats().retained..short {
            let object = Box::new((self.shared.make)());
            self.shared.made.fetch_add(1, Relaxed);
            self.put(object);
        }
    }

    /// How it stands, and what went through it. O(threads).
    pub fn stats(&self) -> PoolStats {
        let shared = &self.shared;
        let depot = lock(&shared.depot);
        let mut stats = PoolStats {
            made: shared.made.load(Relaxed),
            dropped: shared.dropped.load(Relaxed),
            retained_max: shared.retained_max,
            ..PoolStats::default()
        };
        depot.add_to(&mut stats);
        stats
    }

    /// Sets the counts to zero; [`hit_rate`](PoolStats::hit_rate) is of what comes afterwards.
    /// O(threads).
    pub fn reset_stats(&self) {
        let shared = &self.shared;
        let mut depot = lock(&shared.depot);
        shared.made.store(0, Relaxed);
        shared.dropped.store(0, Relaxed);
        depot.reset_stats();
    }

    /// The calling thread's part of the pool; none if the thread is ending.
    #[inline]
    fn rack(&self) -> Option<&Rack<T>> {
        let rack = local::find(self.id).or_else(|| self.join());
        // SAFETY: the id is this pool's, so the rack is one of its depot, which `self` keeps; its
        // type is the pool's.
        rack.map(|rack| unsafe { rack.cast().as_ref() })
    }

    #[cold]
    fn join(&self) -> Option<NonNull<()>> {
        local::join(self.id, || {
            let rack = lock(&self.shared.depot).claim();
            let membership = Membership {
                rack,
                shared: downgrade(&self.shared),
            };
            (rack.cast(), Box::new(membership))
        })
    }

    #[cold]
    fn take_slowly(&self, rack: Option<&Rack<T>>) -> NonNull<T> {
        let shared = &self.shared;
        let idle = rack.and_then(|rack| rack.refill(&shared.depot));
        idle.unwrap_or_else(|| {
            let made = NonNull::from(Box::leak(Box::new((shared.make)())));
            shared.made.fetch_add(1, Relaxed); // If it did not panic.
            made
        })
    }

    #[cold]
    fn put_slowly(&self, rack: Option<&Rack<T>>, object: NonNull<T>) {
        let shared = &self.shared;
        if !rack.is_some_and(|rack| rack.relieve(object, &shared.depot)) {
            shared.dropped.fetch_add(1, Relaxed);
            // SAFETY: leaked from a box in `put`, and taken by no rack.
            drop(unsafe { Box::from_raw(object.as_ptr()) });
        }
    }
}

impl<T: Send + 'static> fmt::Debug for Pool<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pool").field(&self.stats()).finish()
    }
}

/// One thread's part in one pool, as the thread remembers it.
struct Membership<T: Send + 'static> {
    rack: NonNull<Rack<T>>,
    shared: Weak<Shared<T>>,
}

impl<T: Send + 'static> Leave for Membership<T> {
    fn is_of_the_past(&self) -> bool {
        self.shared.strong_count() == 0
    }

    fn leave(&self) {
        if let Some(shared) = self.shared.upgrade() {
            // SAFETY: the rack is of this depot, which is there, and was this thread's until now.
            unsafe { lock(&shared.depot).give_up(self.rack) };
        }
    }
}

/// An object out of a pool; it goes back when this is dropped.
pub struct Pooled<'p, T: Send + 'static> {
    pool: &'p Pool<T>,
    object: ManuallyDrop<Box<T>>,
}

impl<T: Send + 'static> Pooled<'_, T> {
    /// Keeps the object: it does not go back.
    #[must_use]
    pub fn into_box(self) -> Box<T> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so the object is taken once.
        unsafe { ManuallyDrop::take(&mut this.object) }
    }
}

impl<T: Send + 'static> Deref for Pooled<'_, T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.object
    }
}

impl<T: Send + 'static> DerefMut for Pooled<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.object
    }
}

impl<T: Send + 'static> Drop for Pooled<'_, T> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this is the end of `self`, which had it.
        self.pool
            .put(unsafe { ManuallyDrop::take(&mut self.object) });
    }
}

impl<T: Send + fmt::Debug + 'static> fmt::Debug for Pooled<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pooled").field(&**self).finish()
    }
}
