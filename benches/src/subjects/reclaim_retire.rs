//! Retirements: allocate, publish by an exchange, retire; beside a reader.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use anyhow::{Result, ensure};
use cortica_reclaim::{PublishOnPing, Reclaim, Shared};

use super::reclaim::{OBJECT, Object, ensure_membarrier};
use super::reclaim_peer::Replaced;
use crate::subject::{Pair, Setup};

/// Objects made and retired in one timed section: many batches.
const RETIRED: usize = 50_000;

/// On lines of its own, so that two objects that have nothing to do with each other do not meet.
#[repr(align(128))]
struct Apart<T>(T);

/// The other thread reads another object: a ping has a processor to reach, and no line goes to and
/// fro.
pub(super) fn beside_a_reader_elsewhere(_: &Setup) -> Result<Pair> {
    pair(false)
}

/// The other thread reads, and looks into, the very object that is replaced.
pub(super) fn under_a_reader(_: &Setup) -> Result<Pair> {
    pair(true)
}

fn pair(same: bool) -> Result<Pair> {
    let domain = PublishOnPing::new();
    ensure_membarrier(&domain)?;
    let ours = [(); 2].map(|()| Apart(Shared::new(&domain, OBJECT)));
    let theirs = [(); 2].map(|()| Apart(Replaced::new(OBJECT)));
    let read_at = usize::from(!same);
    Ok(Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            let read = || ours[read_at].0.read()[0];
            let retire = || ours[0].0.replace(black_box(OBJECT));
            beside(read, || watch.time(|| (0..RETIRED).for_each(|_| retire())));
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            let read = || theirs[read_at].0.read(|object: &Object| object[0]);
            let retire = || theirs[0].0.replace(black_box(OBJECT));
            beside(read, || watch.time(|| (0..RETIRED).for_each(|_| retire())));
            Ok(())
        }),
    })
}

fn check() -> Result<()> {
    let domain = PublishOnPing::new();
    let shared = Shared::new(&domain, OBJECT);
    (0..RETIRED).for_each(|_| shared.replace(OBJECT));
    let stats = domain.stats();
    ensure!(stats.retired == RETIRED as u64, "{stats:?}");
    ensure!(stats.pending() <= stats.pending_max(), "{stats:?}");
    Ok(())
}

/// Runs `work` while another thread does nothing but `read`, which began before.
fn beside(read: impl Fn() -> u64 + Sync, work: impl FnOnce()) {
    let (reading, done) = (Apart(AtomicBool::new(false)), Apart(AtomicBool::new(false)));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.0.load(Relaxed) {
                black_box(read());
                reading.0.store(true, Relaxed);
            }
        });
        while !reading.0.load(Relaxed) {
            std::thread::yield_now();
        }
        work();
        done.0.store(true, Relaxed);
    });
}
