//! What loom cannot model: the kernel's barrier, and signals. The two sides of a reservation, run
//! against each other many thousand times, with either and, as a negative control, with neither.
#![cfg(all(not(loom), target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "in helpers, a panic is the report, too")]

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, compiler_fence};
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

/// One round: the reader publishes and then looks; the reclaimer takes out and then looks.
/// Gives the rounds in which neither saw the other, which is where an object would be freed
/// under a reader.
fn rounds_missed(ping: Ping, enough: impl Fn(usize, usize) -> bool) -> (usize, usize) {
    let (published, taken, start) = (
        Line(AtomicUsize::new(0)),
        Line(AtomicUsize::new(0)),
        Line(AtomicUsize::new(0)),
    );
    let (reader_saw, reader_done) = (Line(AtomicUsize::new(0)), Line(AtomicUsize::new(0)));
    let (stop, reader) = (AtomicBool::new(false), AtomicI32::new(0));
    ASKED.store(0, Relaxed);
    ANSWERED.store(0, Relaxed);
    let (mut rounds, mut missed) = (0, 0);
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
        while !enough(rounds, missed) {
            rounds += 1;
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
            missed += usize::from(saw < rounds && reader_saw.0.load(Relaxed) < rounds);
        }
        stop.store(true, Relaxed);
    });
    (rounds, missed)
}

#[test]
fn with_the_ping_one_side_always_sees_the_other() {
    let _alone = alone();
    if Form::best() != Form::Membarrier {
        println!("skipped: the kernel has no membarrier");
        return;
    }
    let end = Instant::now() + Duration::from_secs(2);
    let (rounds, missed) = rounds_missed(Ping::Membarrier, |_, _| Instant::now() > end);
    println!("with membarrier: {missed} of {rounds} rounds missed");
    assert_eq!(missed, 0, "of {rounds}");
}

#[test]
fn with_an_answered_signal_one_side_always_sees_the_other() {
    let _alone = alone();
    let handler: extern "C" fn(libc::c_int) = answer;
    // SAFETY: the handler loads and stores.
    let before = unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    assert_ne!(before, libc::SIG_ERR);
    let end = Instant::now() + Duration::from_secs(2);
    let (rounds, missed) = rounds_missed(Ping::Signal, |_, _| Instant::now() > end);
    println!("with signals: {missed} of {rounds} rounds missed");
    assert_eq!(missed, 0, "of {rounds}");
}

/// The negative control of both: the harness can see the failure it looks for, soon.
#[test]
fn without_it_both_miss_each_other() {
    let _alone = alone();
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    if processors < 2 {
        println!("skipped: on one processor no store is ever late");
        return;
    }
    let end = Instant::now() + Duration::from_secs(20);
    let (rounds, missed) = rounds_missed(Ping::Nothing, |_, missed| {
        missed >= 10 || Instant::now() > end
    });
    println!("without: {missed} of {rounds} rounds missed, on {processors} processors");
    assert!(missed > 0, "the harness cannot see what it looks for");
}

const ALIVE: usize = 0x5AFE;

struct Canary(usize);

impl Drop for Canary {
    fn drop(&mut self) {
        // Volatile, so that the death is written though nobody should read it.
        let alive = &raw mut self.0;
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

fn check_whole(domain: &PublishOnPing) {
    let shared = Shared::new(domain, Canary(ALIVE));
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let readers = [(); 2].map(|()| {
            threads.spawn(|| {
                let mut count = 0_u64;
                while !done.load(Relaxed) {
                    let value = shared.read();
                    assert_eq!(value.0, ALIVE);
                    count += 1;
                }
                count
            })
        });
        let end = Instant::now() + Duration::from_secs(2);
        let mut replaced = 0_u32;
        while Instant::now() < end {
            shared.replace(Canary(ALIVE));
            replaced += 1;
        }
        done.store(true, Relaxed);
        // One by one: ThreadSanitizer does not see the end of a scope.
        let reads = readers.map(|reader| reader.join().unwrap());
        println!("{:?}: {replaced} replaced, {reads:?} reads", domain.form());
    });
    assert!(domain.stats().freed > 100);
}
