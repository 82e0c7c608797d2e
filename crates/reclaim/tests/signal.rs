//! Pings by signal: readers that answer, readers that cannot, and threads that come and go.
#![cfg(all(not(loom), target_os = "linux", feature = "signal"))]
#![allow(clippy::unwrap_used, reason = "in helpers, a panic is the report, too")]

mod blocked;
mod child;

use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use blocked::set_blocked;
use cortica_reclaim::{Form, Protect, PublishOnPing, Reclaim, Shared, SignalError, Stats};

const ALIVE: u64 = 0x5AFE_5AFE_5AFE_5AFE;

/// Counts its drops, and is visibly dead afterwards.
struct Canary {
    alive: u64,
    drops: Arc<AtomicUsize>,
}

impl Canary {
    fn new(drops: &Arc<AtomicUsize>) -> Canary {
        Canary {
            alive: ALIVE,
            drops: Arc::clone(drops),
        }
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        assert_eq!(self.alive, ALIVE, "dropped twice");
        // Volatile, so that the death is written though nobody should read it.
        let alive = &raw mut self.alive;
        // SAFETY: a pointer to a field of `self`.
        unsafe { alive.write_volatile(0) };
        self.drops.fetch_add(1, SeqCst);
    }
}

/// What the process does on a signal.
fn action(number: i32) -> libc::sighandler_t {
    // SAFETY: only looks.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        let done = libc::sigaction(number, std::ptr::null(), &raw mut action);
        assert_eq!(done, 0);
        action.sa_sigaction
    }
}

fn set_action(number: i32, handler: libc::sighandler_t) {
    // SAFETY: the handlers of these tests store to an atomic, or are the kernel's.
    let before = unsafe { libc::signal(number, handler) };
    assert_ne!(before, libc::SIG_ERR);
}

/// What another thread does in `while_retiring` while it protects an object.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reader {
    /// Answers.
    Sleeps,
    /// Has the signal blocked since before its first guard.
    WasDeaf,
    /// Blocks the signal afterwards.
    SleepsDeaf,
    /// Blocks the signal afterwards, and is at work, but not in the domain.
    SpinsDeaf,
}

/// The most that was pending, and the longest that one retirement took.
#[derive(Debug)]
struct Most {
    pending: u64,
    wait: Duration,
}

/// Retires `count` objects beside a reader that protects one of them all the time. Afterwards the
/// reader hears again, and `after` is called while it still protects its object.
fn while_retiring(
    domain: &PublishOnPing,
    reader: Reader,
    count: usize,
    after: impl FnOnce(),
) -> (Most, Stats) {
    let drops = Arc::new(AtomicUsize::new(0));
    let shared = Shared::new(domain, Canary::new(&drops));
    let (ready, is_ready) = channel::<()>();
    let (resume, resumed) = channel::<()>();
    let (hears, is_hearing) = channel::<()>();
    let (finish, finished) = channel::<()>();
    let spin = AtomicBool::new(reader == Reader::SpinsDeaf);
    let mut most = Most {
        pending: 0,
        wait: Duration::ZERO,
    };
    let mut stats = Stats::default();
    std::thread::scope(|threads| {
        let (shared, spin) = (&shared, &spin);
        let (resume, finish) = (resume, finish); // Gone with a panic here, which ends the reader.
        let thread = threads.spawn(move || {
            set_blocked(reader == Reader::WasDeaf);
            let value = shared.read();
            set_blocked(reader != Reader::Sleeps);
            ready.send(()).unwrap();
            while spin.load(Relaxed) {
                std::hint::spin_loop();
            }
            resumed.recv().unwrap();
            set_blocked(false);
            hears.send(()).unwrap();
            finished.recv().unwrap();
            assert_eq!(value.alive, ALIVE);
        });
        is_ready.recv().unwrap();
        for _ in 0..count {
            let start = Instant::now();
            shared.replace(Canary::new(&drops));
            most.wait = most.wait.max(start.elapsed());
            most.pending = most.pending.max(domain.stats().pending());
        }
        stats = domain.stats();
        spin.store(false, Relaxed);
        resume.send(()).unwrap();
        is_hearing.recv().unwrap();
        after();
        finish.send(()).unwrap();
        // One by one, here and elsewhere: ThreadSanitizer does not see the end of a scope.
        thread.join().unwrap();
    });
    println!("{reader:?}: {most:?}, {stats:?}");
    drop(shared);
    (most, stats)
}

#[test]
fn a_sleeping_reader_answers_and_its_object_stays() {
    let domain = PublishOnPing::signalled().unwrap().with_batch(256);
    assert_eq!(domain.form(), Form::Signal);
    let (most, stats) = while_retiring(&domain, Reader::Sleeps, 20_000, || {});
    assert!(most.pending <= stats.pending_max(), "{most:?} {stats:?}");
    assert!(stats.freed > 19_000, "{stats:?}");
}

/// One thread was late, and was waited for once, however many batches there were.
fn assert_waited_once(stats: &Stats) {
    assert!(stats.retired >= 4 * stats.batch, "few batches: {stats:?}");
    assert_eq!((stats.late, stats.waits), (1, 1), "{stats:?}");
}

/// The reclaimer waits 10 ms once, not for every batch, and garbage stays bounded.
#[test]
fn a_deaf_reader_leaves_garbage_bounded() {
    for reader in [Reader::SleepsDeaf, Reader::SpinsDeaf] {
        let domain = PublishOnPing::signalled().unwrap().with_batch(256);
        let bounded = Form::best() == Form::Membarrier || reader == Reader::SleepsDeaf;
        let start = Instant::now();
        let (most, stats) = while_retiring(&domain, reader, 20_000, || {
            // It has answered: from here on it is pinged as before, and answers in time.
            (0..10).for_each(|_| domain.guard().collect());
        });
        assert_waited_once(&stats);
        assert!(start.elapsed() < Duration::from_secs(10), "{most:?}");
        // A thousandfold of what is meant, because machines stall.
        assert!(most.wait < Duration::from_secs(5), "{most:?}");
        if bounded {
            assert!(most.pending <= stats.pending_max(), "{most:?} {stats:?}");
        }
        drop(domain);
    }
}

#[test]
fn a_reader_that_was_deaf_from_the_start_is_not_waited_for() {
    let domain = PublishOnPing::signalled().unwrap().with_batch(256);
    let (most, stats) = while_retiring(&domain, Reader::WasDeaf, 20_000, || {});
    assert_eq!((stats.late, stats.waits), (0, 0), "{stats:?}");
    assert!(most.pending <= stats.pending_max(), "{most:?} {stats:?}");
}

/// The one wait is of 10 ms. A machine that stalls makes some waits longer, but hardly each of
/// them ten times as long.
#[test]
fn a_deaf_reader_is_waited_for_10_ms() {
    let waits = [(); 8].map(|()| {
        let domain = PublishOnPing::signalled().unwrap().with_batch(256);
        let (most, stats) = while_retiring(&domain, Reader::SleepsDeaf, 200, || {});
        assert_eq!((stats.late, stats.waits), (1, 1), "{stats:?}");
        most.wait
    });
    let least = waits.into_iter().min().unwrap();
    assert!(least >= Duration::from_millis(10), "{waits:?}");
    assert!(least < Duration::from_millis(100), "{waits:?}");
}

/// A reset sets the counts to zero; what is pending stays pending, and what comes is counted.
#[test]
fn a_reset_forgets_who_was_late() {
    let domain = PublishOnPing::signalled().unwrap().with_batch(256);
    while_retiring(&domain, Reader::SleepsDeaf, 2_000, || {
        let before = domain.stats();
        assert_eq!((before.late, before.waits), (1, 1), "{before:?}");
        domain.reset_stats();
        let after = domain.stats();
        assert_eq!(
            (after.late, after.waits, after.freed),
            (0, 0, 0),
            "{after:?}"
        );
        assert_eq!(after.pending(), before.pending(), "{after:?}");
        assert_eq!((after.slots, after.batch), (before.slots, before.batch));
    });
    while_retiring(&domain, Reader::SleepsDeaf, 2_000, || {});
    let stats = domain.stats();
    assert_eq!((stats.late, stats.waits), (1, 1), "{stats:?}");
}

/// Without membarrier the kernel is asked in another way.
#[test]
fn a_deaf_sleeper_leaves_garbage_bounded_without_membarrier() {
    if !child::is_alone("a_deaf_sleeper_leaves_garbage_bounded_without_membarrier")
        || !child::refuse_membarrier()
    {
        return;
    }
    let domain = PublishOnPing::signalled().unwrap().with_batch(256);
    assert_eq!(Form::best(), Form::Fenced);
    let (most, stats) = while_retiring(&domain, Reader::SleepsDeaf, 20_000, || {});
    assert_waited_once(&stats);
    assert!(most.pending <= stats.pending_max(), "{most:?} {stats:?}");
}

/// The one case that has no bound, the exception at `Stats::pending_max`: everything that is retired
/// beside the reader is held back, far beyond that figure. Nothing is freed too early, nobody waits
/// twice, and all is made up for as soon as the thread is heard of.
#[test]
fn a_deaf_spinner_without_membarrier_holds_back_until_it_is_seen() {
    if !child::is_alone("a_deaf_spinner_without_membarrier_holds_back_until_it_is_seen")
        || !child::refuse_membarrier()
    {
        return;
    }
    let domain = PublishOnPing::signalled().unwrap().with_batch(256);
    let (most, stats) = while_retiring(&domain, Reader::SpinsDeaf, 2_000, || {
        domain.guard().collect();
        let stats = domain.stats();
        assert!(stats.pending() <= stats.pending_max(), "{stats:?}");
    });
    assert_waited_once(&stats); // Although its reservations still cannot be seen.
    // None was freed but by a switch of processors, which some machines make all the time.
    println!(
        "at most {} pending, {} bounded",
        most.pending,
        stats.pending_max()
    );
    assert!(most.wait < Duration::from_secs(5), "{most:?}");
}

/// A thread that does not hear runs fences, and what it protects stays.
#[test]
fn a_deaf_reader_at_work_is_not_freed_under() {
    let domain = PublishOnPing::signalled().unwrap().with_batch(4);
    let drops = Arc::new(AtomicUsize::new(0));
    let shared = Shared::new(&domain, Canary::new(&drops));
    let done = AtomicBool::new(false);
    std::thread::scope(|threads| {
        let (shared, done) = (&shared, &done);
        let reader = threads.spawn(move || {
            let mut reads = 0_u64;
            while !done.load(Relaxed) {
                // Deaf and hearing by turns, so that it goes from one way to the other and back.
                if reads.is_multiple_of(10_000) {
                    set_blocked(reads.is_multiple_of(20_000));
                }
                assert_eq!(shared.read().alive, ALIVE);
                reads += 1;
            }
            println!("{reads} reads");
        });
        let end = Instant::now() + Duration::from_secs(2);
        let mut replaced = 0;
        while Instant::now() < end {
            shared.replace(Canary::new(&drops));
            replaced += 1;
        }
        done.store(true, Relaxed);
        reader.join().unwrap();
        println!("{replaced} replaced, {:?}", domain.stats());
    });
    assert!(domain.stats().freed > 100, "{:?}", domain.stats());
}

/// Somebody takes the signal away, so that no thread ever answers.
#[test]
fn a_handler_that_is_gone_is_survived() {
    if !child::is_alone("a_handler_that_is_gone_is_survived") {
        return;
    }
    let domain = PublishOnPing::signalled().unwrap().with_batch(256);
    set_action(libc::SIGURG, libc::SIG_IGN);
    let (most, stats) = while_retiring(&domain, Reader::Sleeps, 20_000, || {});
    assert_waited_once(&stats);
    assert!(most.pending <= stats.pending_max(), "{most:?} {stats:?}");
}

/// Threads start, read, replace, and end, while two others do nothing but ping.
#[test]
fn threads_come_and_go_under_pings() {
    let domain = PublishOnPing::signalled().unwrap().with_batch(1);
    let drops = Arc::new(AtomicUsize::new(0));
    let shared = Arc::new(Shared::new(&domain, Canary::new(&drops)));
    let done = AtomicBool::new(false);
    let (mut started, mut pings) = (0, 0);
    std::thread::scope(|threads| {
        let pingers = [(); 2].map(|()| {
            threads.spawn(|| {
                let mut pings = 0;
                while !done.load(Relaxed) {
                    shared.replace(Canary::new(&drops));
                    pings += 1;
                }
                pings
            })
        });
        let end = Instant::now() + Duration::from_secs(3);
        while Instant::now() < end {
            let short = [(); 4].map(|()| {
                let (shared, drops) = (Arc::clone(&shared), Arc::clone(&drops));
                std::thread::spawn(move || {
                    let value = shared.read();
                    shared.replace(Canary::new(&drops));
                    assert_eq!(value.alive, ALIVE);
                })
            });
            started += short.len();
            for thread in short {
                thread.join().unwrap();
            }
        }
        done.store(true, Relaxed);
        for pinger in pingers {
            pings += pinger.join().unwrap();
        }
    });
    println!("{started} threads, {pings} pings, {:?}", domain.stats());
    assert!(started >= 40 && pings >= 100, "{started} {pings}");
    // Two guards of each short thread, one of each pinger.
    assert!(domain.stats().slots <= 10, "{:?}", domain.stats());
    drop(shared);
    let retired = domain.stats().retired as usize;
    drop(domain);
    assert_eq!(drops.load(SeqCst), retired + 1);
}

#[test]
fn calls_of_the_kernel_go_on_after_a_ping() {
    let domain = PublishOnPing::signalled().unwrap();
    let shared = Shared::new(&domain, 1_u64);
    let asleep = Duration::from_millis(200);
    let (mut to_read, mut to_write) = std::io::pipe().unwrap();
    let (ready, is_ready) = channel::<()>();
    std::thread::scope(|threads| {
        let shared = &shared;
        let sleeper = threads.spawn({
            let ready = ready.clone();
            move || {
                let value = shared.read();
                ready.send(()).unwrap();
                let start = Instant::now();
                std::thread::sleep(asleep);
                (*value, start.elapsed())
            }
        });
        let waiter = threads.spawn(move || {
            let value = shared.read();
            ready.send(()).unwrap();
            let mut byte = [0];
            // One call: std repeats others that were interrupted, but not this.
            (*value, to_read.read(&mut byte), byte)
        });
        is_ready.recv().unwrap();
        is_ready.recv().unwrap();
        let end = Instant::now() + asleep / 2;
        while Instant::now() < end {
            shared.replace(1);
            domain.guard().collect();
        }
        let stats = domain.stats();
        assert!(stats.freed > 10, "nobody was pinged: {stats:?}");
        to_write.write_all(&[7]).unwrap();
        let (value, read, byte) = waiter.join().unwrap();
        assert_eq!((value, read.unwrap(), byte), (1, 1, [7]));
        let (value, slept) = sleeper.join().unwrap();
        assert!(value == 1 && slept >= asleep, "{slept:?}");
    });
}

#[test]
fn two_domains_share_threads_and_signal() {
    let domains = [(); 2].map(|()| PublishOnPing::signalled().unwrap().with_batch(16));
    let drops = Arc::new(AtomicUsize::new(0));
    let shared = domains
        .each_ref()
        .map(|domain| Shared::new(domain, Canary::new(&drops)));
    std::thread::scope(|threads| {
        let workers = [0, 1, 2].map(|turn| {
            let (shared, drops) = (&shared, &drops);
            threads.spawn(move || {
                for at in 0..3_000 {
                    let value = shared[(at + turn) % 2].read();
                    shared[at % 2].replace(Canary::new(drops));
                    assert_eq!(value.alive, ALIVE);
                }
            })
        });
        for worker in workers {
            worker.join().unwrap();
        }
    });
    drop(shared);
    let retired: u64 = domains.iter().map(|domain| domain.stats().retired).sum();
    assert_eq!(retired, 9_000);
    drop(domains);
    assert_eq!(drops.load(SeqCst), 9_002);
}

/// A guard in a thread-local of the user's keeps its thread pinged for as long as it lives.
#[test]
fn guards_in_thread_locals_are_pinged_to_the_end() {
    use std::cell::RefCell;
    use std::sync::OnceLock;
    static DOMAIN: OnceLock<PublishOnPing> = OnceLock::new();
    thread_local! {
        static KEPT: RefCell<Option<cortica_reclaim::PingGuard<'static>>> = const { RefCell::new(None) };
    }
    let domain = DOMAIN.get_or_init(|| PublishOnPing::signalled().unwrap());
    for kept_first in [true, false] {
        for _ in 0..20 {
            let thread = std::thread::spawn(move || {
                if kept_first {
                    KEPT.with(|kept| *kept.borrow_mut() = None);
                }
                let guard = domain.guard();
                drop(domain.guard());
                KEPT.with(|kept| *kept.borrow_mut() = Some(guard));
            });
            while !thread.is_finished() {
                domain.guard().collect();
            }
            thread.join().unwrap();
        }
    }
    assert!(domain.stats().slots <= 3, "{:?}", domain.stats());
}

#[test]
fn nothing_is_installed_unless_asked() {
    if !child::is_alone("nothing_is_installed_unless_asked") {
        return;
    }
    let domain = PublishOnPing::new();
    let shared = Shared::new(&domain, 1);
    (0..10_000).for_each(|at| shared.replace(at));
    assert_eq!(action(libc::SIGURG), libc::SIG_DFL);
    let _signalled = PublishOnPing::signalled().unwrap();
    assert_ne!(action(libc::SIGURG), libc::SIG_DFL);
}

#[test]
fn a_signal_in_use_is_left_alone() {
    static HEARD: AtomicU32 = AtomicU32::new(0);
    extern "C" fn heard(_: libc::c_int) {
        HEARD.fetch_add(1, Relaxed);
    }
    if !child::is_alone("a_signal_in_use_is_left_alone") {
        return;
    }
    let handler: extern "C" fn(libc::c_int) = heard;
    set_action(libc::SIGUSR1, handler as libc::sighandler_t);
    set_action(libc::SIGUSR2, libc::SIG_IGN);
    for number in [libc::SIGUSR1, libc::SIGUSR2] {
        let refused = PublishOnPing::signalled_by(number).unwrap_err();
        assert!(matches!(refused, SignalError::InUse { number: of } if of == number));
    }
    // SAFETY: its handler adds to an atomic.
    unsafe { libc::raise(libc::SIGUSR1) };
    assert_eq!(HEARD.load(Relaxed), 1);

    // Refusals have chosen nothing. What is chosen stays.
    let real_time = libc::SIGRTMIN() + 3;
    let domain = PublishOnPing::signalled_by(real_time).unwrap();
    let (most, stats) = while_retiring(&domain, Reader::Sleeps, 5_000, || {});
    assert!(most.pending <= stats.pending_max(), "{most:?} {stats:?}");
    assert!(PublishOnPing::signalled_by(real_time).is_ok());
    let refused = PublishOnPing::signalled().unwrap_err();
    let SignalError::Chosen { number, chosen } = refused else {
        panic!("{refused}");
    };
    assert_eq!((number, chosen), (libc::SIGURG, real_time));
}

#[test]
fn signals_with_a_meaning_are_refused() {
    if !child::is_alone("signals_with_a_meaning_are_refused") {
        return;
    }
    let past = libc::SIGRTMAX() + 1;
    for number in [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        0,
        -1,
        32,
        33,
        past,
    ] {
        let refused = PublishOnPing::signalled_by(number).unwrap_err();
        assert!(
            matches!(refused, SignalError::Unusable { number: of } if of == number),
            "{number}: {refused}"
        );
    }
}

/// A signal that comes from somebody else, to threads in the domain and outside of it.
#[test]
fn stray_signals_do_no_harm() {
    let domain = PublishOnPing::signalled().unwrap().with_batch(8);
    let drops = Arc::new(AtomicUsize::new(0));
    let shared = Shared::new(&domain, Canary::new(&drops));
    let stop = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !stop.load(Acquire) {
                // SAFETY: the signal's handler is the crate's. To the process: any thread gets it.
                unsafe { libc::kill(libc::getpid(), libc::SIGURG) };
            }
        });
        for _ in 0..20_000 {
            let value = shared.read();
            shared.replace(Canary::new(&drops));
            assert_eq!(value.alive, ALIVE);
        }
        stop.store(true, Release);
    });
}

/// A thread that ends with a guard is not pinged any more, and nobody who comes later is taken for
/// it: a deaf one is waited for like any other.
#[test]
fn a_guard_that_was_left_behind_answers_for_nobody_else() {
    let domain = PublishOnPing::signalled().unwrap().with_batch(256);
    let drops = Arc::new(AtomicUsize::new(0));
    let shared = Shared::new(&domain, Canary::new(&drops));
    std::thread::scope(|threads| {
        let leaver = threads.spawn(|| std::mem::forget(shared.read()));
        leaver.join().unwrap();
    });
    // Joined a moment before the kernel forgets its number.
    std::thread::sleep(Duration::from_millis(20));
    shared.replace(Canary::new(&drops));
    domain.guard().collect(); // Finds that the thread has ended.
    let before = domain.stats();
    let (_, stats) = while_retiring(&domain, Reader::SleepsDeaf, 2_000, || {});
    assert_eq!(
        (stats.late - before.late, stats.waits - before.waits),
        (1, 1),
        "{stats:?}"
    );
}
