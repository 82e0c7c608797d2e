//! In place of `handler.rs` in models, which interrupt no thread between two instructions. Here a
//! thread is interrupted, if it was asked by then, beside every atomic access that it makes as a
//! reader: [`interruption`]. It then runs the handler that ships, itself: what came before in the
//! program is before it and what comes after is after it, and that is all. The signal by itself
//! orders nothing.

use crate::signal;
use crate::sync::stage::{self, Mutex, MutexGuard, Switch, Tally};
use crate::sync::{
    Acquire, AtomicBool, AtomicUsize, Relaxed, Release, ThreadId, current, shared, yield_now,
};

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
        testifies: Switch::new(false),
        switches: std::array::from_fn(|_| AtomicUsize::new(0)),
        paused: Mutex::new(None),
        waits: Mutex::new(None),
        threads: Mutex::new(Vec::new()),
    };
}

/// By the number of the thread.
struct Signals {
    /// Sent and not yet handled. Loom's, so that it explores a signal that comes earlier and one
    /// that comes later.
    waiting: [AtomicBool; THREADS_MAX + 1],
    blocked: [Switch; THREADS_MAX + 1],
    /// Whether the kernel testifies.
    testifies: Switch,
    /// How often a processor was taken from each. Loom's: who hears of it from the kernel comes after
    /// what the thread did, by the kernel's locks.
    switches: [AtomicUsize; THREADS_MAX + 1],
    /// The thread that pauses around its next signal, and what it does then.
    paused: Mutex<Option<(i32, Meanwhile)>>,
    /// The thread that does something before it waits for answers, and what.
    waits: Mutex<Option<(i32, Meanwhile)>>,
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

fn paused() -> MutexGuard<'static, Option<(i32, Meanwhile)>> {
    stage::lock(&SIGNALS.paused)
}

/// Does `meanwhile` when the calling thread has asked others the next time, before it looks whether
/// they have answered.
pub fn pause_before_next_wait(meanwhile: impl FnOnce() + Send + 'static) {
    *stage::lock(&SIGNALS.waits) = Some((tid(), Box::new(meanwhile)));
}

/// In this run of a model the kernel says who has passed a barrier: whoever was [`switched`].
pub fn testify() {
    SIGNALS.testifies.store(true, Relaxed);
}

/// A processor is taken from the calling thread, and given back. It is a full barrier, of which
/// models have one half: whoever hears of it sees what came before it.
pub fn switched() {
    SIGNALS.switches[tid() as usize].fetch_add(1, Release);
}

pub(crate) fn tid() -> i32 {
    let id = current().id();
    let mut threads = stage::lock(&SIGNALS.threads);
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
        let meanwhile = stage::lock(&SIGNALS.waits).take_if(|(of, _)| *of == me);
        if let Some((_, meanwhile)) = meanwhile {
            meanwhile();
        }
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

/// How often a processor had been taken from a thread.
#[derive(Clone, Copy)]
pub(crate) struct Sighting(usize);

impl Sighting {
    pub(crate) fn is_past(self, before: &Sighting) -> bool {
        self.0 != before.0
    }
}

/// Nobody testifies, but in models that ask for it.
pub(crate) fn sight(tid: i32) -> Option<Sighting> {
    let testifies = SIGNALS.testifies.load(Relaxed);
    testifies.then(|| Sighting(SIGNALS.switches[tid as usize].load(Acquire)))
}
