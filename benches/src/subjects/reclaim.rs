//! Protected reads, retirements, and the garbage behind a stalled reader.

use std::hint::black_box;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::mpsc::channel;

use anyhow::{Context, Result, ensure};
use cortica_reclaim::{Epoch, Form, PublishOnPing, Reclaim, Shared};
use crossbeam_epoch::Atomic;

use crate::subject::{Pair, Setup};

/// Reads in one timed section.
const READS: usize = 100_000;

/// Objects made and retired in one timed section: many batches.
const RETIRED: usize = 50_000;

/// An object of a cache line.
type Object = [u64; 8];

const OBJECT: Object = [7; 8];

/// Guard, load, look, let go; against crossbeam's pin, load, unpin, which does not even look.
pub(super) fn read(_: &Setup) -> Result<Pair> {
    let domain = PublishOnPing::new();
    ensure_membarrier(&domain)?;
    let source = Atomic::new(OBJECT);
    Ok(Pair {
        check: Box::new(check_reads),
        subject: subject_of_reads(&domain),
        baseline: Box::new(move |watch| {
            watch.time(|| {
                for _ in 0..READS {
                    let guard = crossbeam_epoch::pin();
                    black_box(source.load(Acquire, &guard).as_raw());
                }
            });
            Ok(())
        }),
    })
}

/// The same code with and without the fence.
pub(super) fn read_fenced(_: &Setup) -> Result<Pair> {
    let domain = PublishOnPing::new();
    ensure_membarrier(&domain)?;
    Ok(Pair {
        check: Box::new(check_reads),
        subject: subject_of_reads(&domain),
        baseline: subject_of_reads(&PublishOnPing::fenced()),
    })
}

fn ensure_membarrier(domain: &PublishOnPing) -> Result<()> {
    let form = domain.form();
    ensure!(form == Form::Membarrier, "the kernel has no membarrier");
    Ok(())
}

fn subject_of_reads(domain: &PublishOnPing) -> crate::subject::Run {
    let shared = Shared::new(domain, OBJECT);
    Box::new(move |watch| {
        watch.time(|| {
            for _ in 0..READS {
                black_box(shared.read()[0]);
            }
        });
        Ok(())
    })
}

fn check_reads() -> Result<()> {
    let shared = Shared::new(&PublishOnPing::new(), OBJECT);
    let before = shared.read();
    shared.replace([8; 8]);
    ensure!(
        before[7] == 7 && shared.read()[7] == 8,
        "read another object"
    );
    Ok(())
}

/// Allocate, take a guard, exchange, retire; while another thread reads something else, so that
/// a ping has a processor to reach, and cache lines that go to and fro cost neither side.
pub(super) fn retire(_: &Setup) -> Result<Pair> {
    let domain = PublishOnPing::new();
    ensure_membarrier(&domain)?;
    let (shared, idle) = (Shared::new(&domain, OBJECT), Shared::new(&domain, OBJECT));
    let (other, address) = (Atomic::new(OBJECT), AtomicU64::new(0));
    let check = || {
        let domain = PublishOnPing::new();
        let shared = Shared::new(&domain, OBJECT);
        (0..RETIRED).for_each(|_| shared.replace(OBJECT));
        let stats = domain.stats();
        ensure!(stats.retired == RETIRED as u64, "{stats:?}");
        ensure!(stats.pending() <= stats.pending_max(), "{stats:?}");
        Ok(())
    };
    Ok(Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            let read = || {
                black_box(idle.read()[0]);
            };
            let retire = || shared.replace(black_box(OBJECT));
            beside_a_reader(read, || watch.time(|| (0..RETIRED).for_each(|_| retire())));
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            let read = || {
                let guard = crossbeam_epoch::pin();
                black_box(other.load(Acquire, &guard).as_raw());
            };
            let retire = || {
                // What `defer_destroy` does, in the form that needs no unsafe code: the box goes
                // into the closure, and the exchange is of its address.
                let object = Box::new(black_box(OBJECT));
                let guard = crossbeam_epoch::pin();
                address.swap((&raw const *object).addr() as u64, AcqRel);
                guard.defer(move || drop(object));
            };
            beside_a_reader(read, || watch.time(|| (0..RETIRED).for_each(|_| retire())));
            Ok(())
        }),
    })
}

/// Runs `work` while another thread does nothing but `read`, which began before.
fn beside_a_reader(read: impl Fn() + Sync, work: impl FnOnce()) {
    let (reading, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Relaxed) {
                read();
                reading.store(true, Relaxed);
            }
        });
        while !reading.load(Relaxed) {
            std::thread::yield_now();
        }
        work();
        done.store(true, Relaxed);
    });
}

/// The most objects pending while one reader stalls and two threads retire. Each of the three has
/// one slot. Epochs are what it looks like without a bound.
pub(super) fn bound(setup: &Setup) -> Result<f64> {
    if setup.corrupt {
        return pending_most(&Epoch::new(), setup);
    }
    pending_most(&PublishOnPing::new(), setup)
}

fn pending_most<R: Reclaim>(domain: &R, setup: &Setup) -> Result<f64> {
    let shared = Shared::new(domain, OBJECT);
    let (stalled, has_stalled) = channel::<()>();
    let (resume, is_resumed) = channel::<()>();
    let rounds = if setup.quick { RETIRED } else { 10 * RETIRED };
    std::thread::scope(|threads| {
        let shared = &shared;
        threads.spawn(move || {
            let object = shared.read();
            let _ = stalled.send(());
            let _ = is_resumed.recv(); // An error: the other end has gone, and so shall we.
            black_box(object[0]);
        });
        let retire = move || {
            let mut most = 0;
            for round in 0..rounds {
                shared.replace(OBJECT);
                if round % 16 == 0 {
                    most = most.max(domain.stats().pending());
                }
            }
            most
        };
        has_stalled.recv().context("the reader is lost")?;
        let workers = [threads.spawn(retire), threads.spawn(retire)];
        let mut most = domain.stats().pending();
        for worker in workers {
            most = most.max(worker.join().ok().context("a thread panicked")?);
        }
        drop(resume);
        Ok(most as f64)
    })
}
