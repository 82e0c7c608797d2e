//! Pings by signal, as in the paper: a reader's reservations are its own affair until a reclaimer
//! asks, and the answer makes them visible.
//!
//! Reservations stand in their slots from the start, but without order: nobody reads them before
//! the reader has answered. A round of pings goes like this:
//!
//! 1. The reclaimer, which has taken objects out before, opens a round and sends a signal to every
//!    thread that has a slot of the domain.
//! 2. The handler runs between two instructions of the reader. If the reader's second look comes
//!    after it, the look sees what was taken out before the round was opened (Acquire of `ROUND`).
//!    If it comes before, so does the store of the reservation, and the answer shows it (Release
//!    of `answered`).
//! 3. The reclaimer waits for all answers, and then reads the slots.
//!
//! A thread that does not answer in time ([`Patience`]) is *late*: from its next reservation on it
//! runs a fence ([`Order::keep`] looks), and is not pinged again until the signal that waits for
//! it was handled. Reservations it made before it knew are visible once it has passed a barrier,
//! which is known when it ran its first fence, when it answered after all, when it ended, when
//! `membarrier` made it pass one, or when `witness.rs` says so. Until then nothing is freed; nobody
//! waits.

use std::fmt;

use crate::barrier::kernel;
use crate::handler::{Patience, Sighting, is_blocked, send, sight, tid};
use crate::order::Order;
use crate::sync::{
    Acquire, AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Mutex, MutexGuard, Relaxed, Release,
    SeqCst, fence, lock, shared,
};

shared! {
    /// Rounds of pings so far, of all domains.
    static ROUND: AtomicU64 = AtomicU64::new(0);

    /// Every thread that can be pinged, and entries to be used again. The list only grows.
    static THREADS: AtomicPtr<Thread> = AtomicPtr::new(std::ptr::null_mut());

    /// Whoever pings, and whoever joins or leaves, holds it: so no thread is pinged that has left.
    /// The handler does not take it.
    static PINGS: Mutex<Pings> = Mutex::new(Pings {
        signal: None,
        sightings: Vec::new(),
    });
}

pub(crate) struct Pings {
    /// The signal whose handler is installed.
    pub(crate) signal: Option<i32>,
    /// Where late threads were seen when they turned out to be late.
    sightings: Vec<(i32, Sighting)>,
}

/// A thread that can be pinged. Never deallocated: the handler may be looking.
#[derive(Debug)]
struct Thread {
    /// Its number with the kernel; 0 if the entry is free, `GONE` if it is of no use any more.
    tid: AtomicI32,
    /// The last round in which a signal was sent to it. Under the lock.
    asked: AtomicU64,
    /// The last round whose beginning it has seen, and which sees all it did before.
    answered: AtomicU64,
    /// How many slots it has. Under the lock.
    slots: AtomicUsize,
    next: *const Thread,
}

/// Stands for a thread that ended and left a guard behind. Not free: its entry has answered every
/// round there will be, which must not be said of another thread.
const GONE: i32 = -1;

/// The thread a slot belongs to, as far as pings go.
#[derive(Debug)]
pub(crate) struct Member(AtomicPtr<Thread>);

/// What a ping has brought about.
pub(crate) struct Pinged {
    /// Whether every reservation can be seen.
    pub(crate) shown: bool,
    /// Slots whose threads turned out to be late.
    pub(crate) late: u64,
    /// Whether the reclaimer waited as long as it may, and did not have all answers.
    pub(crate) in_vain: bool,
}

/// What the handler does in the thread of this number. It may interrupt any instruction of any
/// thread, so it is loads and stores of atomics, and one system call before, which leaves `errno`
/// alone: no lock, no allocation, no
/// thread-local (whose first use may allocate), nothing that panics. Entries of `THREADS` are
/// whole when they are found and are never freed. A thread that was not asked, because somebody
/// else sends the signal too, finds no entry, or answers without need, which does no harm.
pub(crate) fn answer(me: i32) {
    for thread in threads() {
        if thread.tid.load(Relaxed) == me {
            thread.answer();
        }
    }
}

impl Thread {
    /// Runs on the thread itself.
    fn answer(&self) {
        // Acquire: what comes after this in the thread sees what was taken out before the round.
        let round = ROUND.load(Acquire);
        // Release: whoever sees the answer sees the reservations made before it. The maximum,
        // because the handler may run in the middle of this, too.
        self.answered.fetch_max(round, Release);
    }

    fn has_answered(&self, round: u64) -> bool {
        self.answered.load(Acquire) >= round
    }
}

fn threads() -> impl Iterator<Item = &'static Thread> {
    // Acquire pairs with the Release in `entry_for`.
    let mut next = THREADS.load(Acquire).cast_const();
    std::iter::from_fn(move || {
        // SAFETY: entries are never freed, and whole before they are found.
        let thread: &'static Thread = unsafe { next.as_ref() }?;
        next = thread.next;
        Some(thread)
    })
}

pub(crate) fn pings() -> MutexGuard<'static, Pings> {
    lock(&PINGS)
}

impl Member {
    /// Nobody's yet.
    pub(crate) fn new() -> Member {
        Member(AtomicPtr::new(std::ptr::null_mut()))
    }

    /// The calling thread has the slot with this order from now on, and can be pinged. If it has
    /// the signal blocked, it runs fences instead.
    pub(crate) fn join(&self, order: &Order) {
        let pings = pings();
        if pings.signal.is_none_or(is_blocked) {
            order.set_always();
            return;
        }
        order.let_off(); // Its last owner may have been late.
        let thread = entry_for(tid());
        thread.slots.store(thread.slots.load(Relaxed) + 1, Relaxed);
        // As good as a handler: everything before is done, and everything after comes after.
        thread.answer();
        self.0.store(std::ptr::from_ref(thread).cast_mut(), Release);
    }

    /// The thread gives the slot up; with its last one, it is not pinged any more.
    pub(crate) fn leave(&self) {
        let mut pings = pings();
        let Some(thread) = self.thread() else {
            return;
        };
        // Release: whoever finds no thread here sees its reads as past.
        self.0.store(std::ptr::null_mut(), Release);
        let left = thread.slots.load(Relaxed) - 1;
        thread.slots.store(left, Relaxed);
        if left == 0 {
            let tid = thread.tid.swap(0, Relaxed);
            pings.sightings.retain(|(seen, _)| *seen != tid);
        }
    }

    /// The number of its thread, if that can be pinged, for that thread.
    fn tid(&self) -> Option<i32> {
        self.thread().map(|thread| thread.tid.load(Relaxed))
    }

    /// For models: runs the handler if there is a signal for the thread, which is the calling one.
    /// Of its own stores it sees the last, without a look that others could see.
    #[cfg(loom)]
    pub(crate) fn interruption(&self) {
        // SAFETY: only this thread changes either, and entries are never freed.
        let tid = unsafe {
            self.0
                .unsync_load()
                .as_ref()
                .map(|own| own.tid.unsync_load())
        };
        if let Some(tid) = tid {
            crate::handler::interruption(tid);
        }
    }

    fn thread(&self) -> Option<&'static Thread> {
        // SAFETY: entries are never freed.
        unsafe { self.0.load(Acquire).as_ref() }
    }
}

/// The entry of the thread with this number: its own, a free one, or a new one. Under the lock.
fn entry_for(tid: i32) -> &'static Thread {
    let of = |wanted| threads().find(|thread| thread.tid.load(Relaxed) == wanted);
    if let Some(own) = of(tid) {
        return own;
    }
    let thread = of(0).unwrap_or_else(|| {
        let thread = Box::leak(Box::new(Thread {
            tid: AtomicI32::new(0),
            asked: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            slots: AtomicUsize::new(0),
            next: THREADS.load(Relaxed),
        }));
        THREADS.store(thread, Release);
        thread
    });
    thread.tid.store(tid, Relaxed);
    thread
}

/// Asks all readers for their reservations; `own` is of a slot of the calling thread's. The caller
/// has taken objects out before, and reads the slots afterwards if it is told that they show
/// everything.
pub(crate) fn ping<'o, I>(own: &Order, orders: impl Fn() -> I) -> Pinged
where
    I: Iterator<Item = &'o Order>,
{
    fence(SeqCst); // The other half of the fences that late readers run.
    let me = own.member.tid().unwrap_or_else(tid);
    let round = ask(orders(), me);
    let mut late = 0;
    let in_vain = !wait(&orders, round, me);
    if in_vain || !orders().all(|order| is_shown(order, round, me)) {
        late = settle(&orders, round, me);
    }
    Pinged {
        shown: orders().all(|order| is_shown(order, round, me)),
        late,
        in_vain,
    }
}

/// Whether the reservations of a slot can be seen by whoever opened the round before.
fn is_shown(order: &Order, round: u64, me: i32) -> bool {
    let Some(thread) = order.member.thread() else {
        return true; // Nobody's; whoever comes sees what was taken out.
    };
    thread.tid.load(Relaxed) == me || order.is_fenced() || thread.has_answered(round)
}

/// Opens a round, and sends a signal to every other thread that is not late.
fn ask<'o>(orders: impl Iterator<Item = &'o Order>, me: i32) -> u64 {
    let pings = pings();
    // Relaxed: the fence in `ping` came before, and so releases what was taken out.
    let round = ROUND.fetch_add(1, Relaxed) + 1;
    let Some(signal) = pings.signal else {
        return round; // Not without `install`.
    };
    for order in orders {
        let Some(thread) = order.member.thread() else {
            continue;
        };
        let tid = thread.tid.load(Relaxed);
        if tid == me || tid == GONE {
            continue;
        }
        if let Some(since) = order.late_since() {
            if !thread.has_answered(since) {
                continue; // Its signal waits for it still.
            }
            order.let_off();
        }
        if thread.asked.swap(round, Relaxed) != round && !send(signal, tid) {
            // It ended and left a guard behind for good: it reads no more.
            thread.answered.store(u64::MAX, Release);
            thread.tid.store(GONE, Relaxed);
        }
    }
    round
}

/// Waits until all have answered that are not late; not for long.
fn wait<'o, I>(orders: &impl Fn() -> I, round: u64, me: i32) -> bool
where
    I: Iterator<Item = &'o Order>,
{
    let mut patience = Patience::new(me);
    loop {
        let silent = |order: &Order| order.late_since().is_none() && !is_shown(order, round, me);
        if !orders().any(silent) {
            return true;
        }
        if !patience.wait() {
            return false;
        }
    }
}

/// Makes late what did not answer, and finds out of all that are late what can be seen. Says how
/// many turned out to be late.
fn settle<'o, I>(orders: &impl Fn() -> I, round: u64, me: i32) -> u64
where
    I: Iterator<Item = &'o Order>,
{
    let mut pings = pings();
    let mut late = 0;
    for order in orders() {
        if order.late_since().is_none() && !is_shown(order, round, me) {
            order.set_late(round);
            late += 1;
        }
    }
    fence(SeqCst); // Whoever passes a barrier after this finds `late` set.
    if late > 0 {
        pings.sight(orders(), round, me);
    }
    let by_kernel = kernel::registered() && kernel::ping();
    for order in orders() {
        let (Some(since), Some(thread)) = (order.late_since(), order.member.thread()) else {
            continue;
        };
        let tid = thread.tid.load(Relaxed);
        if by_kernel || (!is_shown(order, round, me) && pings.has_passed(tid)) {
            order.set_seen(since);
        }
    }
    late
}

impl Pings {
    /// Notes where the threads are that turned out to be late in this round.
    fn sight<'o>(&mut self, orders: impl Iterator<Item = &'o Order>, round: u64, me: i32) {
        for order in orders {
            let Some(thread) = order.member.thread() else {
                continue;
            };
            let tid = thread.tid.load(Relaxed);
            if tid != me && order.late_since() == Some(round) {
                self.sightings.retain(|(seen, _)| *seen != tid);
                if let Some(now) = sight(tid) {
                    self.sightings.push((tid, now));
                }
            }
        }
    }

    /// Whether the thread was seen to pass a barrier since it was last noted.
    fn has_passed(&self, tid: i32) -> bool {
        let noted = self.sightings.iter().find(|(seen, _)| *seen == tid);
        let (Some((_, noted)), Some(now)) = (noted, sight(tid)) else {
            return false;
        };
        now.is_past(noted)
    }
}

impl fmt::Debug for Pings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pings")
            .field("signal", &self.signal)
            .finish_non_exhaustive()
    }
}
