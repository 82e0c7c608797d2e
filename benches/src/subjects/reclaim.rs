//! Protected reads, and the garbage behind a stalled reader.

use std::hint::black_box;
use std::sync::atomic::Ordering::{Acquire, Release, SeqCst};
use std::sync::atomic::{AtomicUsize, compiler_fence};
use std::sync::mpsc::channel;

use anyhow::{Context, Result, ensure};
use cortica_reclaim::{Epoch, Form, PublishOnPing, Reclaim, Shared};
use crossbeam_epoch::Atomic;

use crate::subject::{Limited, Pair, Run, Setup};

/// Reads in one timed section.
const READS: usize = 100_000;

/// Objects that each thread retires behind the stalled reader: many batches.
const RETIRED: usize = 50_000;

/// An object of a cache line.
pub(super) type Object = [u64; 8];

pub(super) const OBJECT: Object = [7; 8];

/// Protect, look, let go, with a slot that the reader keeps; against crossbeam's pin, load, unpin,
/// which does not even look.
pub(super) fn read(_: &Setup) -> Result<Limited> {
    let source = Atomic::new(OBJECT);
    against(Box::new(move |watch| {
        watch.time(|| {
            for _ in 0..READS {
                let guard = crossbeam_epoch::pin();
                black_box(source.load(Acquire, &guard).as_raw());
            }
        });
        Ok(())
    }))
}

/// The same code with and without the fence.
pub(super) fn read_fenced(_: &Setup) -> Result<Limited> {
    against(subject_of_reads(&PublishOnPing::fenced()))
}

fn against(baseline: Run) -> Result<Limited> {
    let domain = PublishOnPing::new();
    ensure_membarrier(&domain)?;
    Ok(Limited {
        pair: Pair {
            check: Box::new(check_reads),
            subject: subject_of_reads(&domain),
            baseline,
        },
        roof: least_of_reads(),
        share: 0.7,
    })
}

/// What no reader of a hazard slot can do without: a load, a store that others can see, a second
/// load, a look, and a store that lets go. No domain, no thread that could be late.
fn least_of_reads() -> Run {
    let object = black_box(OBJECT);
    let (source, slot) = (AtomicUsize::new(1), AtomicUsize::new(0));
    Box::new(move |watch| {
        watch.time(|| {
            for _ in 0..READS {
                let found = source.load(Acquire);
                slot.store(found, Release);
                compiler_fence(SeqCst);
                if source.load(Acquire) != found {
                    has_changed();
                }
                black_box(object[found % object.len()]);
                slot.store(0, Release);
            }
        });
        Ok(())
    })
}

/// Nobody replaces anything here; but a reader has to look.
#[cold]
fn has_changed() {
    black_box(());
}

pub(super) fn ensure_membarrier(domain: &PublishOnPing) -> Result<()> {
    let form = domain.form();
    ensure!(form == Form::Membarrier, "the kernel has no membarrier");
    Ok(())
}

fn subject_of_reads(domain: &PublishOnPing) -> Run {
    let shared = Shared::new(domain, OBJECT);
    Box::new(move |watch| {
        watch.time(|| {
            let mut reader = shared.reader();
            for _ in 0..READS {
                black_box(reader.read()[0]);
                reader.release();
            }
        });
        Ok(())
    })
}

fn check_reads() -> Result<()> {
    let shared = Shared::new(&PublishOnPing::new(), OBJECT);
    let before = shared.read();
    let mut reader = shared.reader();
    ensure!(reader.read()[7] == 7, "read another object");
    reader.release();
    shared.replace([8; 8]);
    ensure!(
        before[7] == 7 && reader.read()[7] == 8 && shared.read()[7] == 8,
        "read another object"
    );
    Ok(())
}

/// The most objects pending while one reader stalls and two threads retire. Each of the three has
/// one slot. Epochs are what it looks like without a bound, which is looked at first: where they kept
/// one, too, it would be the load that is bounded.
pub(super) fn bound(setup: &Setup) -> Result<f64> {
    let unbounded = pending_most(&Epoch::new(), setup)?;
    ensure!(
        unbounded > RETIRED as f64,
        "epochs have {unbounded} pending: nobody stalled"
    );
    if setup.corrupt {
        return Ok(unbounded);
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
