//! Objects that are taken, touched and put back.

use std::hint::black_box;
use std::sync::mpsc::sync_channel;

use anyhow::{Context, Result, ensure};
use cortica_arena::Pool;
use cortica_testkit::{count_allocations, is_counting};
use slab::Slab;

use crate::subject::{Pair, Setup};

/// Pairs of taking and putting back in one timed section.
const PAIRS: usize = 100_000;

/// Idle objects either side may keep.
const KEPT: usize = 1_024;

/// Both write into the object and let it be seen. A slab is handed the object's bytes each time,
/// because that is how one gets anything into it; a pool keeps them.
pub(super) fn against_slab<const BYTES: usize>() -> Pair {
    let pool = Pool::new(KEPT, || [0_u8; BYTES]);
    let mut slab = Slab::with_capacity(KEPT);
    Pair {
        check: Box::new(check::<BYTES>),
        subject: Box::new(move |watch| {
            watch.time(|| {
                for _ in 0..PAIRS {
                    let mut object = pool.get();
                    object[0] = 1;
                    black_box(&mut *object);
                }
            });
            let stats = pool.stats();
            ensure!(stats.made == 1, "{stats:?}");
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            watch.time(|| {
                for _ in 0..PAIRS {
                    let key = slab.insert([0_u8; BYTES]);
                    let object = &mut slab[key];
                    object[0] = 1;
                    black_box(object);
                    slab.remove(key);
                }
            });
            ensure!(slab.is_empty(), "{} left", slab.len());
            Ok(())
        }),
    }
}

/// Two objects at once are two, and both come back.
fn check<const BYTES: usize>() -> Result<()> {
    let pool = Pool::new(KEPT, || [0_u8; BYTES]);
    let (mut first, mut second) = (pool.get(), pool.get());
    (first[0], second[0]) = (1, 2);
    ensure!(first[0] == 1 && second[0] == 2, "one object for two");
    drop((first, second));
    let mut values = [pool.get(), pool.get()].map(|object| object[0]);
    values.sort_unstable();
    ensure!(values == [1, 2], "{values:?}");
    ensure!(pool.stats().made == 2, "{:?}", pool.stats());
    Ok(())
}

/// What a pool asks of the allocator after it has been used a little: by one thread that takes and
/// puts back in pairs and in bursts, and by two of which one takes and the other puts back.
pub(super) fn allocations(setup: &Setup) -> Result<f64> {
    ensure!(is_counting(), "this program's allocator does not count");
    let kept = if setup.corrupt { 0 } else { 4 * KEPT };
    let pool = Pool::new(kept, || [0_u8; 256]);
    pool.fill(kept / 2);
    let mut burst = Vec::with_capacity(KEPT);
    let mut alone = || {
        (0..PAIRS).for_each(|_| drop(pool.get()));
        burst.extend((0..KEPT).map(|_| pool.get()));
        burst.clear();
    };
    alone();
    let ((), counted) = count_allocations(alone);
    Ok((counted.allocations + between_threads(&pool)?) as f64)
}

fn between_threads(pool: &Pool<[u8; 256]>) -> Result<u64> {
    let (sender, receiver) = sync_channel(KEPT / 4);
    std::thread::scope(|threads| {
        let putting = threads.spawn(move || {
            let put_back = |object| pool.put(object);
            receiver.iter().take(PAIRS).for_each(put_back);
            count_allocations(|| receiver.iter().for_each(put_back)).1
        });
        let send = || sender.send(pool.take()).context("the other thread is gone");
        (0..PAIRS).try_for_each(|_| send())?;
        let (sent, taking) = count_allocations(|| (0..PAIRS).try_for_each(|_| send()));
        sent?;
        drop(sender);
        let putting = putting.join().ok().context("a thread panicked")?;
        Ok(taking.allocations + putting.allocations)
    })
}
