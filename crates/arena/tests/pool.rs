//! Every object is with one owner, is dropped once, and is kept only within the bound.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Barrier, LazyLock};
use std::thread;

use cortica_arena::{Pool, Pooled};

/// Counts how many of its kind there are.
struct Counted {
    alive: Arc<AtomicUsize>,
    value: usize,
}

impl Counted {
    fn new(alive: &Arc<AtomicUsize>) -> Counted {
        alive.fetch_add(1, SeqCst);
        Counted {
            alive: alive.clone(),
            value: 0,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, SeqCst);
    }
}

fn counted(retained_max: usize) -> (Pool<Counted>, Arc<AtomicUsize>) {
    let alive = Arc::new(AtomicUsize::new(0));
    let of_pool = alive.clone();
    (
        Pool::new(retained_max, move || Counted::new(&of_pool)),
        alive,
    )
}

#[test]
fn objects_come_back_as_they_were_put() {
    let pool = Pool::new(512, Vec::<u32>::new);
    for round in 0..1_000 {
        let mut object = pool.get();
        assert_eq!(object.len(), round);
        object.push(1);
    }
    let stats = pool.stats();
    assert_eq!((stats.taken, stats.made, stats.retained), (1_000, 1, 1));
    assert_eq!((stats.exchanges, stats.dropped, stats.threads), (1, 0, 1));
    assert!(stats.hit_rate() > 0.998);
}

/// Counts begin anew, and what is there stays there.
#[test]
fn a_reset_sets_the_counts_to_zero() {
    let (pool, alive) = counted(64);
    let use_many = || {
        let objects: Vec<_> = (0..100).map(|_| pool.take()).collect();
        for object in objects {
            pool.put(object);
        }
    };
    use_many();
    thread::scope(|threads| threads.spawn(use_many).join()).unwrap();
    let before = pool.stats();
    assert!(before.taken == 200 && before.made > 100, "{before:?}");
    assert!(before.dropped > 0 && before.exchanges > 0, "{before:?}");
    pool.reset_stats();
    let after = pool.stats();
    let counts = [after.taken, after.made, after.dropped, after.exchanges];
    assert_eq!(counts, [0; 4]);
    assert_eq!(
        (after.retained, after.retained_max, after.threads),
        (before.retained, before.retained_max, before.threads)
    );
    assert_eq!(after.retained, alive.load(SeqCst));
    assert!((after.hit_rate() - 1.0).abs() < f64::EPSILON);
    for _ in 0..10 {
        drop(pool.get());
    }
    assert_eq!((pool.stats().taken, pool.stats().made), (10, 0));
}

#[test]
fn the_bound_holds_for_one_thread() {
    for retained_max in [0, 1, 2, 7, 8, 9, 63, 64, 100, 512, 1_000, 5_000] {
        let (pool, alive) = counted(retained_max);
        for count in [1, 10, 1_000, 6_000, 3] {
            let out: Vec<Pooled<'_, Counted>> = (0..count).map(|_| pool.get()).collect();
            drop(out);
            let stats = pool.stats();
            assert!(stats.retained <= retained_max, "{retained_max}: {stats:?}");
            assert_eq!(stats.retained, alive.load(SeqCst), "{retained_max}");
            assert_eq!(stats.retained as u64, stats.made - stats.dropped);
        }
        // Less than a magazine is lost to rounding.
        assert!(pool.stats().retained >= retained_max - retained_max / 32);
        drop(pool);
        assert_eq!(alive.load(SeqCst), 0, "{retained_max}");
    }
}

#[test]
fn filling_makes_what_is_missing() {
    let (pool, alive) = counted(640);
    pool.fill(100);
    pool.fill(50);
    assert_eq!((pool.stats().retained, alive.load(SeqCst)), (100, 100));
    let out: Vec<_> = (0..100).map(|_| pool.get()).collect();
    assert_eq!((pool.stats().made, pool.stats().retained), (100, 0));
    drop(out);
    pool.fill(usize::MAX);
    assert_eq!((pool.stats().retained, pool.stats().dropped), (640, 0));
}

#[test]
fn objects_are_taken_and_put_without_the_pool_knowing_them() {
    let (pool, alive) = counted(64);
    let kept = pool.get().into_box();
    pool.put(Box::new(Counted::new(&alive)));
    assert_eq!((pool.stats().retained, alive.load(SeqCst)), (1, 2));
    drop(pool);
    assert_eq!(alive.load(SeqCst), 1);
    drop(kept);
    assert_eq!(alive.load(SeqCst), 0);
}

#[test]
fn objects_of_no_size_and_of_strict_alignment() {
    #[repr(align(4096))]
    struct Page(u8);
    let nothing = Pool::new(64, || ());
    drop((0..100).map(|_| nothing.get()).collect::<Vec<_>>());
    assert_eq!(nothing.stats().retained, 64);
    let pages = Pool::new(64, || Page(0));
    let mut page = pages.get();
    page.0 = 7;
    assert_eq!((&raw const *page).addr() % 4_096, 0);
}

/// More pools than a thread remembers at once, used in turn; some end before others.
#[test]
fn one_thread_and_many_pools() {
    let pools: Vec<_> = (0..40).map(|_| counted(128)).collect();
    for round in 0..100 {
        for (at, (pool, _)) in pools.iter().enumerate() {
            let mut object = pool.get();
            assert_eq!(object.value, round * (at + 1));
            object.value += at + 1;
        }
    }
    assert!(pools.iter().all(|(pool, _)| pool.stats().made == 1));
    let mut left = Vec::new();
    for (at, (pool, alive)) in pools.into_iter().enumerate() {
        if at % 2 == 0 {
            drop(pool);
            assert_eq!(alive.load(SeqCst), 0);
        } else {
            left.push(pool);
        }
    }
    let (new, _) = counted(8); // Forgets those that are gone.
    assert_eq!(new.get().value, 0);
    assert!(left.iter().all(|pool| pool.get().value > 0));
}

#[test]
fn pools_end_before_threads_and_threads_before_pools() {
    let (pool, alive) = counted(64);
    let used = Arc::new(Barrier::new(2));
    let dropped = used.clone();
    let (sender, receiver) = sync_channel::<Arc<Pool<Counted>>>(1);
    let outlives = thread::spawn(move || {
        let pool = receiver.recv().unwrap();
        drop(pool.get());
        drop(pool);
        used.wait(); // The other owner ends the pool now,
        used.wait();
        let (other, _) = counted(64); // and this thread goes on with another.
        drop(other.get());
        assert_eq!(other.stats().made, 1);
    });
    let pool = Arc::new(pool);
    sender.send(pool.clone()).unwrap();
    dropped.wait();
    assert_eq!((pool.stats().retained, alive.load(SeqCst)), (1, 1));
    drop(Arc::into_inner(pool).unwrap());
    assert_eq!(alive.load(SeqCst), 0);
    dropped.wait();
    outlives.join().unwrap();

    let (pool, alive) = counted(1_000);
    for round in 1..=50 {
        thread::scope(|threads| {
            let work = threads.spawn(|| drop((0..7).map(|_| pool.get()).collect::<Vec<_>>()));
            work.join().unwrap(); // By hand: a scope does not wait for thread-locals to end.
        });
        // What a thread leaves, the next one finds.
        let stats = pool.stats();
        assert_eq!(
            (stats.made, stats.retained, stats.threads),
            (7, 7, 1),
            "{round}"
        );
    }
    assert_eq!(alive.load(SeqCst), 7);
}

/// What many threads leave over fills whole magazines: no room is lost to pieces.
#[test]
fn leftovers_are_poured_together() {
    let (pool, _) = counted(64); // Magazines of 2.
    let barrier = Barrier::new(8);
    thread::scope(|threads| {
        let workers = [(); 8].map(|()| {
            let (pool, barrier) = (&pool, &barrier);
            threads.spawn(move || {
                let out: Vec<_> = (0..5).map(|_| pool.get()).collect();
                barrier.wait();
                drop(out);
                barrier.wait(); // All eight have a magazine now.
            })
        });
        for worker in workers {
            worker.join().unwrap(); // By hand, as above.
        }
    });
    assert_eq!((pool.stats().retained, pool.stats().dropped), (40, 0));
    let out: Vec<_> = (0..64).map(|_| pool.get()).collect();
    assert_eq!(pool.stats().made, 64);
    drop(out);
    assert_eq!((pool.stats().retained, pool.stats().dropped), (64, 0));
}

/// Objects and makers that use pools themselves.
#[test]
fn pools_within_pools() {
    #[allow(clippy::vec_box, reason = "they come from a pool in boxes")]
    struct Nested(Vec<Box<Counted>>, Arc<Pool<Counted>>);
    impl Drop for Nested {
        fn drop(&mut self) {
            while let Some(inner) = self.0.pop() {
                self.1.put(inner);
            }
            drop(self.1.get());
        }
    }
    let (inner, alive) = counted(16);
    let inner = Arc::new(inner);
    let for_make = inner.clone();
    let outer = Pool::new(2, move || {
        Nested((0..3).map(|_| for_make.take()).collect(), for_make.clone())
    });
    drop((0..5).map(|_| outer.get()).collect::<Vec<_>>()); // Three of them are dropped.
    assert_eq!((outer.stats().retained, outer.stats().dropped), (2, 3));
    assert_eq!(alive.load(SeqCst), 15);
    assert_eq!(inner.stats().retained, 9);
    drop(outer);
    assert_eq!(inner.stats().retained, 15);
}

#[test]
fn makers_and_destructors_may_panic() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let pool = Pool::new(0, || Bomb);
    let dropped = catch_unwind(AssertUnwindSafe(|| drop(pool.get())));
    assert!(dropped.is_err());
    assert_eq!((pool.stats().made, pool.stats().dropped), (1, 1));

    let fails = AtomicUsize::new(1);
    let pool = Pool::new(8, move || {
        assert_eq!(fails.swap(0, SeqCst), 0, "on purpose");
    });
    assert!(catch_unwind(AssertUnwindSafe(|| drop(pool.get()))).is_err());
    assert_eq!((pool.stats().taken, pool.stats().made), (1, 0));
    drop(pool.get());
    assert_eq!(pool.stats().retained, 1);
}

/// Destructors of other thread-locals run before and after that of the pools.
#[test]
fn ending_threads_still_take_and_put() {
    static POOL: LazyLock<Pool<u64>> = LazyLock::new(|| Pool::new(64, || 7));
    struct AtTheEnd;
    impl Drop for AtTheEnd {
        fn drop(&mut self) {
            assert_eq!(*POOL.get(), 7);
            POOL.put(Box::new(7));
        }
    }
    thread_local! {
        static FIRST: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
        static SECOND: RefCell<Option<AtTheEnd>> = const { RefCell::new(None) };
    }
    thread::spawn(|| {
        FIRST.set(Some(AtTheEnd));
        assert_eq!(*POOL.get(), 7);
        SECOND.set(Some(AtTheEnd));
    })
    .join()
    .unwrap();
    let stats = POOL.stats();
    assert!(stats.made >= 1 && stats.retained >= 1, "{stats:?}");
    assert!(stats.retained <= 64);
}

/// Eight threads pass objects among themselves and put back what others took. Whoever has an
/// object marks it; a mark that is there already would be another owner's.
#[test]
fn one_owner_at_a_time_under_eight_threads() {
    const THREADS: usize = 8;
    const ROUNDS: usize = 10_000;
    for retained_max in [16, 512, 4_096] {
        let (pool, alive) = counted(retained_max);
        let (pool, start) = (&pool, &Barrier::new(THREADS));
        thread::scope(|threads| {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS)
                .map(|_| sync_channel::<Box<Counted>>(64))
                .unzip();
            for (me, receiver) in receivers.into_iter().enumerate() {
                let next = senders[(me + 1) % THREADS].clone();
                threads.spawn(move || {
                    let mut rng = cortica_testkit::Rng::new(me as u64);
                    let mut mine = Vec::new();
                    start.wait();
                    for round in 0..ROUNDS {
                        for _ in 0..rng.below(20) {
                            let mut object = pool.take();
                            assert_eq!(object.value, 0, "two owners");
                            object.value = me + 1;
                            mine.push(object);
                        }
                        while mine.len() > 100 || rng.below(4) > 0 {
                            let Some(mut object) = mine.pop() else { break };
                            assert_eq!(object.value, me + 1, "two owners");
                            object.value = 0;
                            match next.try_send(object) {
                                Ok(()) => {}
                                Err(refused) => {
                                    let (std::sync::mpsc::TrySendError::Full(object)
                                    | std::sync::mpsc::TrySendError::Disconnected(object)) =
                                        refused;
                                    pool.put(object);
                                }
                            }
                        }
                        for object in receiver.try_iter() {
                            pool.put(object);
                        }
                        if round % 500 == 0 {
                            assert!(pool.stats().retained <= retained_max);
                        }
                    }
                    for mut object in mine {
                        object.value = 0;
                        pool.put(object);
                    }
                    drop(next);
                    for object in receiver {
                        pool.put(object);
                    }
                });
            }
            drop(senders);
        });
        let stats = pool.stats();
        assert!(stats.retained <= retained_max, "{stats:?}");
        assert_eq!(stats.retained, alive.load(SeqCst), "{stats:?}");
    }
}

/// Four threads take and four others put back: whole magazines go round.
#[test]
fn takers_and_putters() {
    const ROUNDS: usize = 20_000;
    let (pool, alive) = counted(2_048);
    let pool = &pool;
    thread::scope(|threads| {
        for me in 1..=4 {
            let (sender, receiver) = sync_channel::<Box<Counted>>(64);
            threads.spawn(move || {
                for _ in 0..ROUNDS {
                    let mut object = pool.take();
                    assert_eq!(std::mem::replace(&mut object.value, me), 0, "two owners");
                    sender.send(object).unwrap();
                }
            });
            threads.spawn(move || {
                for mut object in receiver {
                    assert_eq!(std::mem::take(&mut object.value), me, "two owners");
                    pool.put(object);
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!(
        (stats.taken, stats.dropped),
        (4 * ROUNDS as u64, 0),
        "{stats:?}"
    );
    assert_eq!(stats.retained, alive.load(SeqCst), "{stats:?}");
    // Each magazine of 64 that was emptied had been filled: two exchanges.
    let round_trips = (stats.taken - stats.made) / 64;
    assert!(stats.exchanges >= 2 * round_trips, "{stats:?}");
    assert!(stats.made < 1_024, "{stats:?}"); // 4 x 64 on the way, 8 x 64 in hand.
}

/// Threads begin and end all the time while others are at work.
#[test]
fn threads_come_and_go() {
    let (pool, alive) = counted(256);
    let taken = AtomicUsize::new(0);
    thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                for _ in 0..40 {
                    thread::scope(|inner| {
                        let work = || {
                            let out: Vec<_> = (0..30).map(|_| pool.get()).collect();
                            taken.fetch_add(out.len(), Relaxed);
                        };
                        for ends in [inner.spawn(work), inner.spawn(work)] {
                            ends.join().unwrap();
                        }
                    });
                }
            });
        }
    });
    let stats = pool.stats();
    assert_eq!(stats.taken as usize, taken.load(Relaxed));
    assert_eq!(stats.retained, alive.load(SeqCst));
    assert!(stats.retained <= 256 && stats.threads <= 8, "{stats:?}");
}
