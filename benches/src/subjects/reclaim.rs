//! Protected reads, and the garbage behind a stalled reader.

use std::hint::black_box;
use std::sync::atomic::Ordering::Acquire;
use std::sync::mpsc::channel;

use anyhow::{Context, Result, ensure};
use cortica_reclaim::{Epoch, Form, PublishOnPing, Reclaim, Shared};
use crossbeam_epoch::Atomic;

use crate::subject::{Pair, Setup};

/// Reads in one timed section.
const READS: usize = 100_000;

/// Objects that each thread retires behind the stalled reader: many batches.
const RETIRED: usize = 50_000;

/// An object of a cache line.
pub(super) type Object = [u64; 8];

pub(super) const OBJECT: Object = [7; 8];

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

pub(super) fn ensure_membarrier(domain: &PublishOnPing) -> Result<()> {
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
