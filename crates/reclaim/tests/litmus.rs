//! What loom cannot model: the kernel's barrier, and signals. The two sides of a reservation, run
//! against each other many thousand times, with either and, as a negative control, with neither.
#![cfg(all(not(loom), target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "in helpers, a panic is the report, too")]

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, AtomicUsize, compiler_fence};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use cortica_reclaim::{Form, PublishOnPing, Reclaim, Shared};
use rustix::thread::{MembarrierCommand, gettid, membarrier};

/// Side by side means on two processors: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[repr(align(128))]
struct Line(AtomicUsize);

/// What the reclaimer does between taking out and looking.
#[derive(Clone, Copy, PartialEq)]
enum Ping {
    Membarrier,
    /// A signal, and waits for the answer.
    Signal,
    Nothing,
}

/// Of the signal form's protocol: the round asked for, and the last one answered.
static ASKED: AtomicUsize = AtomicUsize::new(0);
static ANSWERED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn answer(_: libc::c_int) {
    ANSWERED.store(ASKED.load(Acquire), Release);
}

/// Asks the thread, which runs `answer`, and waits until it has.
fn ask(thread: i32, round: usize) {
    ASKED.store(round, Release);
    // SAFETY: sends a signal whose handler loads and stores.
    let sent = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, libc::SIGUSR1) };
    assert_eq!(sent, 0);
    while ANSWERED.load(Acquire) < round {
        std::hint::spin_loop();
    }
}

/// What came of the rounds.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    rounds: usize,
    /// Neither saw the other, which is where an object would be freed under a reader.
    missed: usize,
    /// The reader looked too early to see what was taken out, or did see it: only where both happen
    /// do the two meet.
    early: usize,
    late: usize,
}

/// Rounds that count for something, and how often the reader has to be early, and late.
const ROUNDS_MIN: usize = 2_000;
const MEETINGS_MIN: usize = 50;

impl Tally {
    /// On one processor the two never meet: the reader is through before the reclaimer goes on.
    fn is_enough(&self) -> bool {
        let meetings = self.early.min(self.late);
        self.rounds >= ROUNDS_MIN && (meetings >= MEETINGS_MIN || processors() < 2)
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// For two seconds, or as long as it takes until that was enough.
fn check_rounds(ping: Ping, name: &str) {
    let start = Instant::now();
    let tally = rounds_missed(ping, |tally| {
        let time = start.elapsed();
        time > TIME_MAX || (time > TIME_MIN && tally.is_enough())
    });
    println!("with {name}: {tally:?}");
    assert_eq!(tally.missed, 0, "{tally:?}");
    assert!(
        tally.is_enough(),
        "{tally:?} in {TIME_MAX:?} says nothing: {ROUNDS_MIN} rounds are needed, and {MEETINGS_MIN} in which the \
         reader is early, and late; run it on a machine that does less beside"
    );
}

const TIME_MIN: Duration = Duration::from_secs(2);
const TIME_MAX: Duration = Duration::from_mins(1);

/// One round: the reader publishes and then looks; the reclaimer takes out and then looks.
fn rounds_missed(ping: Ping, enough: impl Fn(&Tally) -> bool) -> Tally {
    let (published, taken, start) = (
        Line(AtomicUsize::new(0)),
        Line(AtomicUsize::new(0)),
        Line(AtomicUsize::new(0)),
    );
    let (reader_saw, reader_done) = (Line(AtomicUsize::new(0)), Line(AtomicUsize::new(0)));
    let (stop, reader) = (AtomicBool::new(false), AtomicI32::new(0));
    ASKED.store(0, Relaxed);
    ANSWERED.store(0, Relaxed);
    let mut tally = Tally::default();
    std::thread::scope(|threads| {
        threads.spawn(|| {
            reader.store(gettid().as_raw_pid(), Release);
            let mut round = 0;
            loop {
                round += 1;
                while start.0.load(Acquire) < round {
                    if stop.load(Relaxed) {
                        return;
                    }
                    std::hint::spin_loop();
                }
                published.0.store(round, Release);
                compiler_fence(SeqCst);
                let saw = taken.0.load(Acquire);
                reader_saw.0.store(saw, Relaxed);
                reader_done.0.store(round, Release);
            }
        });
        while reader.load(Acquire) == 0 {
            std::thread::yield_now();
        }
        while !enough(&tally) {
            tally.rounds += 1;
            let rounds = tally.rounds;
            start.0.store(rounds, Release);
            // The reader hears of it a cache miss later; be about as late, differently each time.
            for _ in 0..rounds % 97 {
                std::hint::spin_loop();
            }
            taken.0.store(rounds, Release);
            compiler_fence(SeqCst);
            match ping {
                Ping::Membarrier => {
                    assert_eq!(membarrier(MembarrierCommand::PrivateExpedited), Ok(()));
                }
                Ping::Signal => ask(reader.load(Relaxed), rounds),
                Ping::Nothing => {}
            }
            let saw = published.0.load(Acquire);
            let mut waited = 0_u32;
            while reader_done.0.load(Acquire) < rounds {
                waited += 1;
                if waited.is_multiple_of(4_096) {
                    std::thread::yield_now(); // In case the two share a processor.
                }
                std::hint::spin_loop();
            }
            let is_early = reader_saw.0.load(Relaxed) < rounds;
            tally.early += usize::from(is_early);
            tally.late += usize::from(!is_early);
            tally.missed += usize::from(is_early && saw < rounds);
        }
        stop.store(true, Relaxed);
    });
    tally
}

#[test]
fn with_the_ping_one_side_always_sees_the_other() {
    let _alone = alone();
    if Form::best() != Form::Membarrier {
        println!("skipped: the kernel has no membarrier");
        return;
    }
    check_rounds(Ping::Membarrier, "membarrier");
}

#[test]
fn with_an_answered_signal_one_side_always_sees_the_other() {
    let _alone = alone();
    let handler: extern "C" fn(libc::c_int) = answer;
    // SAFETY: the handler loads and stores.
    let before = unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    assert_ne!(before, libc::SIG_ERR);
    check_rounds(Ping::Signal, "signals");
}

/// The negative control of both: the harness can see the failure it looks for, soon.
#[test]
fn without_it_both_miss_each_other() {
    let _alone = alone();
    if processors() < 2 {
        println!("skipped: on one processor no store is ever late");
        return;
    }
    let end = Instant::now() + TIME_MAX;
    let tally = rounds_missed(Ping::Nothing, |tally| {
        tally.missed >= 10 || Instant::now() > end
    });
    println!("without: {tally:?}, on {} processors", processors());
    assert!(
        tally.missed > 0,
        "the harness cannot see what it looks for: {tally:?}"
    );
}

const ALIVE: usize = 0x5AFE;

/// How many went before it, and whether it is alive.
struct Canary(u32, usize);

impl Drop for Canary {
    fn drop(&mut self) {
        // Volatile, so that the death is written though nobody should read it.
        let alive = &raw mut self.1;
        // SAFETY: a pointer to a field of `self`.
        unsafe { alive.write_volatile(0) };
    }
}

/// The whole thing, with the batch so small that nearly every replacement pings.
#[test]
fn nothing_is_freed_under_a_reader() {
    let _alone = alone();
    check_whole(&PublishOnPing::new().with_batch(4));
    #[cfg(feature = "signal")]
    check_whole(&PublishOnPing::signalled().unwrap().with_batch(4));
}

/// Replacements that count for something, and how often each of two readers has to find another
/// value than the last time.
const REPLACED_MIN: u32 = 500;
const CHANGES_MIN: u64 = 200;

fn check_whole(domain: &PublishOnPing) {
    let shared = Shared::new(domain, Canary(0, ALIVE));
    let done = AtomicBool::new(false);
    let changes = [const { AtomicU64::new(0) }; 2];
    let mut replaced = 0;
    let is_enough = |replaced| {
        let seen = |changes: &AtomicU64| changes.load(Relaxed) >= CHANGES_MIN;
        replaced >= REPLACED_MIN && changes.iter().all(seen)
    };
    std::thread::scope(|threads| {
        let readers = [0, 1].map(|reader| {
            let (shared, done, changes) = (&shared, &done, &changes[reader]);
            threads.spawn(move || {
                let (mut reads, mut last) = (0_u64, 0);
                while !done.load(Relaxed) {
                    let value = shared.read();
                    assert_eq!(value.1, ALIVE);
                    if value.0 != last {
                        last = value.0;
                        changes.fetch_add(1, Relaxed);
                    }
                    reads += 1;
                }
                reads
            })
        });
        let start = Instant::now();
        while start.elapsed() < TIME_MIN || !(is_enough(replaced) || start.elapsed() > TIME_MAX) {
            replaced += 1;
            shared.replace(Canary(replaced, ALIVE));
            if readers
                .iter()
                .any(std::thread::ScopedJoinHandle::is_finished)
            {
                break; // It has found something, and says so below.
            }
        }
        done.store(true, Relaxed);
        // One by one: ThreadSanitizer does not see the end of a scope.
        let reads = readers.map(|reader| reader.join().unwrap());
        let form = domain.form();
        println!("{form:?}: {replaced} replaced, {reads:?} reads, {changes:?} changes seen");
    });
    assert!(domain.stats().freed > 100);
    assert!(
        is_enough(replaced),
        "{replaced} replaced and {changes:?} changes seen in {TIME_MAX:?} say nothing: {REPLACED_MIN} and \
         {CHANGES_MIN} are needed; run it on a machine that does less beside"
    );
}
