//! In place of `handler.rs` in models, which interrupt no thread between two instructions. Here a
//! thread is interrupted, if it was asked by then, beside every atomic access that it makes as a
//! reader: [`interruption`]. It then runs the handler that ships, itself: what came before in the
//! program is before it and what comes after is after it, and that is all. The signal by itself
//! orders nothing.

use std::sync::atomic::{AtomicBool as Switch, AtomicUsize as Tally};
use std::sync::{Mutex, PoisonError};

use crate::signal;
use crate::sync::{AtomicBool, Relaxed, ThreadId, current, shared, yield_now};

/// As many as loom has room for.
const THREADS_MAX: usize = 5;

/// How often a reclaimer lets others run before a thread is late. Whoever lets others run does not
/// go on before they end or wait, so 0 is for models of threads that are late.
static LOOKS: Tally = Tally::new(0);

/// How often a handler ran, in all runs of all models: the witness that it did.
static HANDLED: Tally = Tally::new(0);

type Meanwhile = Box<dyn FnOnce() + Send>;

shared! {
    static SIGNALS: Signals = Signals {
        waiting: std::array::from_fn(|_| AtomicBool::new(false)),
        blocked: std::array::from_fn(|_| Switch::new(false)),
        paused: Mutex::new(None),
        threads: Mutex::new(Vec::new()),
    };
}

/// By the number of the thread.
struct Signals {
    /// Sent and not yet handled. Loom's, so that it explores a signal that comes earlier and one
    /// that comes later.
    waiting: [AtomicBool; THREADS_MAX + 1],
    blocked: [Switch; THREADS_MAX + 1],
    /// The thread that pauses around its next signal, and what it does then.
    paused: Mutex<Option<(i32, Meanwhile)>>,
    /// In the order of their numbers, which begin with 1.
    threads: Mutex<Vec<ThreadId>>,
}

/// How often a handler ran.
pub fn handled() -> usize {
    HANDLED.load(Relaxed)
}

/// Blocks the signal for the calling thread, or lets it through.
pub fn set_blocked(blocked: bool) {
    SIGNALS.blocked[tid() as usize].store(blocked, Relaxed);
}

/// Lets others run before the calling thread looks for a signal the next time, and again when it
/// has handled that and done `meanwhile`: what loom would need preemptions for, of which a model
/// tries only a few. Nothing is ordered by it.
pub fn pause_around_next_signal(meanwhile: impl FnOnce() + Send + 'static) {
    *paused() = Some((tid(), Box::new(meanwhile)));
}

fn paused() -> std::sync::MutexGuard<'static, Option<(i32, Meanwhile)>> {
    let paused = SIGNALS.paused.lock();
    paused.unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn tid() -> i32 {
    let id = current().id();
    let threads = SIGNALS.threads.lock();
    let mut threads = threads.unwrap_or_else(PoisonError::into_inner);
    let known = threads.iter().position(|thread| *thread == id);
    let at = known.unwrap_or_else(|| {
        threads.push(id);
        threads.len() - 1
    });
    at as i32 + 1
}

/// Runs the handler if there is a signal for the calling thread, which has this number.
pub(crate) fn interruption(tid: i32) {
    let number = tid as usize;
    let meanwhile = paused().take_if(|(of, _)| *of == tid);
    if meanwhile.is_some() {
        yield_now();
    }
    let is_blocked = SIGNALS.blocked[number].load(Relaxed);
    if !is_blocked && SIGNALS.waiting[number].swap(false, Relaxed) {
        HANDLED.fetch_add(1, Relaxed);
        signal::answer(tid);
    }
    if let Some((_, meanwhile)) = meanwhile {
        meanwhile();
        yield_now();
    }
}

/// Begins a run of a model.
pub(crate) fn install(looks: usize) {
    LOOKS.store(looks, Relaxed);
    begin_anew();
    signal::begin_anew();
    signal::pings().signal = Some(0);
}

pub(crate) fn is_blocked(_: i32) -> bool {
    SIGNALS.blocked[tid() as usize].load(Relaxed)
}

pub(crate) fn send(_: i32, tid: i32) -> bool {
    SIGNALS.waiting[tid as usize].store(true, Relaxed);
    true
}

pub(crate) struct Patience {
    me: i32,
    looks: usize,
}

impl Patience {
    pub(crate) fn new(me: i32) -> Patience {
        Patience { me, looks: 0 }
    }

    pub(crate) fn wait(&mut self) -> bool {
        interruption(self.me); // Two that ping each other answer each other.
        self.looks += 1;
        if self.looks > LOOKS.load(Relaxed) {
            return false;
        }
        yield_now();
        true
    }
}

/// Nobody testifies in a model.
#[derive(Clone, Copy)]
pub(crate) struct Sighting;

impl Sighting {
    pub(crate) fn is_past(self, _: &Sighting) -> bool {
        false
    }
}

pub(crate) fn sight(_: i32) -> Option<Sighting> {
    None
}
