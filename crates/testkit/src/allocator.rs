//! An allocator that counts what every thread asks of it.
#![allow(
    unsafe_code,
    reason = "there is no other way to write an allocator; it hands everything to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// The system's allocator, with a count for each thread.
///
/// A test that is about allocations is a program of its own and sets it:
///
/// ```
/// use cortica_testkit::{CountingAllocator, count_allocations};
///
/// #[global_allocator]
/// static ALLOCATOR: CountingAllocator = CountingAllocator;
///
/// let mut numbers = Vec::with_capacity(10);
/// let (_, counted) = count_allocations(|| numbers.extend(0..10_u64));
/// assert_eq!(counted.allocations, 0);
/// let (_, counted) = count_allocations(|| numbers.push(10)); // Too many: it has to move.
/// assert_eq!(counted.allocations, 1);
/// assert_eq!(counted.net_bytes(), 80);
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct CountingAllocator;

/// What one thread asked of a [`CountingAllocator`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocations {
    /// Blocks asked for, those included that another grew or shrank into.
    pub allocations: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Blocks given back, by this thread, and those that grew or shrank.
    pub frees: u64,
    /// Bytes of them.
    pub bytes_freed: u64,
}

impl Allocations {
    /// All that the calling thread asked for since it began; nothing, in a program whose allocator
    /// does not count.
    #[must_use]
    pub fn of_this_thread() -> Allocations {
        COUNTED.get()
    }

    /// What was added since an earlier reading of the same thread.
    #[must_use]
    pub fn since(self, before: Allocations) -> Allocations {
        Allocations {
            allocations: self.allocations - before.allocations,
            bytes: self.bytes - before.bytes,
            frees: self.frees - before.frees,
            bytes_freed: self.bytes_freed - before.bytes_freed,
        }
    }

    /// Bytes asked for less bytes given back: what is still held, if nothing went between threads.
    #[must_use]
    pub fn net_bytes(self) -> i64 {
        self.bytes as i64 - self.bytes_freed as i64
    }
}

/// Runs `work` and says what the calling thread asked for meanwhile.
///
/// # Panics
///
/// In a program whose allocator does not count: a count of nothing would prove nothing.
pub fn count_allocations<R>(work: impl FnOnce() -> R) -> (R, Allocations) {
    assert!(
        is_counting(),
        "set `CountingAllocator` as this program's #[global_allocator]"
    );
    let before = Allocations::of_this_thread();
    let result = work();
    (result, Allocations::of_this_thread().since(before))
}

/// Runs `work` and says how many bytes the calling thread held at most at once, beyond what it held
/// before.
///
/// # Panics
///
/// As [`count_allocations`].
pub fn peak_bytes<R>(work: impl FnOnce() -> R) -> (R, u64) {
    assert!(
        is_counting(),
        "set `CountingAllocator` as this program's #[global_allocator]"
    );
    let before = HELD.get().0;
    HELD.set((before, before));
    let result = work();
    (result, (HELD.get().1 - before).max(0) as u64)
}

/// Runs `work` and says how many bytes all threads together held at most at once meanwhile, beyond
/// what they held before. Two at a time disturb each other: such tests take turns.
///
/// # Panics
///
/// As [`count_allocations`].
pub fn peak_bytes_of_all<R>(work: impl FnOnce() -> R) -> (R, u64) {
    assert!(
        is_counting(),
        "set `CountingAllocator` as this program's #[global_allocator]"
    );
    let before = live_bytes();
    MOST.store(before, Relaxed);
    WATCHED_LIVE.store(before, Relaxed);
    WATCHED.store(true, Relaxed);
    let result = work();
    WATCHED.store(false, Relaxed);
    (result, (MOST.load(Relaxed) - before).max(0) as u64)
}

/// Runs `work` and says how many blocks all threads together asked for meanwhile. Two at a time count each other's.
///
/// # Panics
///
/// As [`count_allocations`].
pub fn count_allocations_of_all<R>(work: impl FnOnce() -> R) -> (R, u64) {
    assert!(
        is_counting(),
        "set `CountingAllocator` as this program's #[global_allocator]"
    );
    let blocks = || STRIPES.iter().map(|stripe| stripe.blocks.load(Relaxed));
    let before: u64 = blocks().sum();
    let result = work();
    (result, blocks().sum::<u64>() - before)
}

/// Bytes that all threads together hold now; meaningful in differences.
#[must_use]
pub fn live_bytes() -> i64 {
    let live = STRIPES.iter().map(|stripe| stripe.live.load(Relaxed));
    live.sum()
}

/// What some of the threads asked for. Threads are given stripes in turn, so that two at work seldom write to the same
/// cache line: what is timed under this allocator must not wait for its counts.
#[repr(align(128))]
struct Stripe {
    /// Bytes asked for less bytes given back.
    live: AtomicI64,
    /// Blocks asked for.
    blocks: AtomicU64,
}

static STRIPES: [Stripe; 32] = [const {
    Stripe {
        live: AtomicI64::new(0),
        blocks: AtomicU64::new(0),
    }
}; 32];

static NEXT_STRIPE: AtomicUsize = AtomicUsize::new(0);

/// While somebody asks for the most that was: bytes of all threads, and the most of them. Only then do all threads write
/// to the same.
static WATCHED: AtomicBool = AtomicBool::new(false);
static WATCHED_LIVE: AtomicI64 = AtomicI64::new(0);
static MOST: AtomicI64 = AtomicI64::new(0);

/// Whether this program's allocator is a [`CountingAllocator`].
#[must_use]
pub fn is_counting() -> bool {
    let before = Allocations::of_this_thread();
    drop(std::hint::black_box(Box::new(0_u8)));
    Allocations::of_this_thread().since(before).allocations > 0
}

thread_local! {
    // A constant without a destructor: reading it never allocates, and works to a thread's end.
    static COUNTED: Cell<Allocations> = const {
        Cell::new(Allocations { allocations: 0, bytes: 0, frees: 0, bytes_freed: 0 })
    };
}

thread_local! {
    /// The stripe of this thread, once it has one.
    static STRIPE: Cell<Option<usize>> = const { Cell::new(None) };
}

thread_local! {
    /// Bytes asked for less bytes given back, and the most that was, since somebody asked.
    static HELD: Cell<(i64, i64)> = const { Cell::new((0, 0)) };
}

fn stripe() -> &'static Stripe {
    let number = STRIPE.try_with(|own| {
        own.get().unwrap_or_else(|| {
            let next = NEXT_STRIPE.fetch_add(1, Relaxed) % STRIPES.len();
            own.set(Some(next));
            next
        })
    });
    // The first, at a thread's end.
    &STRIPES[number.unwrap_or(0)]
}

fn allocated(bytes: usize) {
    // Relaxed, here and below: figures, which order nothing.
    let stripe = stripe();
    stripe.live.fetch_add(bytes as i64, Relaxed);
    stripe.blocks.fetch_add(1, Relaxed);
    if WATCHED.load(Relaxed) {
        let live = WATCHED_LIVE.fetch_add(bytes as i64, Relaxed) + bytes as i64;
        MOST.fetch_max(live, Relaxed);
    }
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = now + bytes as i64;
        held.set((now, most.max(now)));
    });
    let _ = COUNTED.try_with(|counted| {
        let mut all = counted.get();
        all.allocations += 1;
        all.bytes += bytes as u64;
        counted.set(all);
    });
}

fn freed(bytes: usize) {
    stripe().live.fetch_sub(bytes as i64, Relaxed);
    if WATCHED.load(Relaxed) {
        WATCHED_LIVE.fetch_sub(bytes as i64, Relaxed);
    }
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        held.set((now - bytes as i64, most));
    });
    let _ = COUNTED.try_with(|counted| {
        let mut all = counted.get();
        all.frees += 1;
        all.bytes_freed += bytes as u64;
        counted.set(all);
    });
}

// SAFETY: every call goes to the system's allocator as it came, and its answer goes back as it is;
// counting neither allocates nor panics.
unsafe impl GlobalAlloc for CountingAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        allocated(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        freed(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        allocated(new_size);
        freed(layout.size());
        // SAFETY: the caller's promise.
        unsafe { System.realloc(block, layout, new_size) }
    }
}
