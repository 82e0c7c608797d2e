//! loom over the shipped code, its rows watched through cells beside them. Run by
//! `cargo xtask loom`. The table of what fails when an ordering is weakened is in
//! docs/concurrency.md.
//!
//! Both sides of every model run on threads of their own: with one of them on the model's own
//! thread loom explores next to nothing. Every model ends with its witnesses: interleavings that
//! must have been reached for it to mean anything.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cortica_arena::{ArenaOptions, ByteBudget, Permit, Pool, Row, VectorArena};
use loom::cell::UnsafeCell;
use loom::thread::{JoinHandle, spawn};

/// Counted outside of the model, so that they outlive the explored runs.
struct Witness(AtomicUsize);

impl Witness {
    const fn new() -> Witness {
        Witness(AtomicUsize::new(0))
    }

    fn saw(&self, it: bool) {
        self.0.fetch_add(usize::from(it), Relaxed);
    }
}

/// Explores `run`, says how much that was, and asks every witness.
fn explore(name: &str, preemptions: usize, witnesses: &[&Witness], run: fn()) {
    static EXPLORED: AtomicUsize = AtomicUsize::new(0);
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    EXPLORED.store(0, Relaxed);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions);
    model.max_branches = 20_000;
    model.check(move || {
        EXPLORED.fetch_add(1, Relaxed);
        run();
    });
    let explored = EXPLORED.load(Relaxed);
    let seen: Vec<usize> = witnesses
        .iter()
        .map(|witness| witness.0.load(Relaxed))
        .collect();
    println!("{name}: {explored} interleavings, witnesses {seen:?}");
    assert!(
        seen.iter().all(|&seen| seen > 0),
        "{name} never reached the danger: {seen:?}"
    );
}

/// Runs `work` with what is shared, on a thread of its own.
fn with<T: 'static, R: 'static>(
    shared: &Arc<T>,
    work: impl FnOnce(&T) -> R + 'static,
) -> JoinHandle<R> {
    let shared = shared.clone();
    spawn(move || work(&shared))
}

/// Rows of two values, `rows` of them in a segment.
fn arena(rows: usize, budget: Option<ByteBudget>) -> Arc<VectorArena> {
    let options = ArenaOptions {
        segment_bytes: 64 * rows,
        budget,
        ..ArenaOptions::default()
    };
    Arc::new(VectorArena::with(2, options).unwrap())
}

/// A row is found whole or not at all, by its number and in a run.
#[test]
fn publish_against_read() {
    static FOUND: Witness = Witness::new();
    static MISSED: Witness = Witness::new();
    explore("publish_against_read", 3, &[&FOUND, &MISSED], || {
        let arena = arena(2, None);
        arena.make_room(1).unwrap();
        let writer = with(&arena, |arena| arena.add(&[7.0, 7.0]).unwrap());
        let reader = with(&arena, |arena| {
            let reader = arena.read();
            let found = reader.get(Row::new(0)).map(<[f32]>::to_vec);
            FOUND.saw(found.is_some());
            MISSED.saw(found.is_none());
            assert!(found.is_none_or(|found| found == [7.0, 7.0]));
        });
        assert_eq!(writer.join().unwrap(), Row::new(0));
        reader.join().unwrap();
    });
}

/// As above, for who looks at all rows: in a segment that is made meanwhile.
#[test]
fn growth_against_runs() {
    static FOUND: Witness = Witness::new();
    static MISSED: Witness = Witness::new();
    explore("growth_against_runs", 3, &[&FOUND, &MISSED], || {
        rows_and_one_more(&[1.0], &FOUND, &MISSED);
    });
}

/// As above, where the directory has a place for the segment already.
#[test]
fn growth_within_a_bucket() {
    static FOUND: Witness = Witness::new();
    static MISSED: Witness = Witness::new();
    explore("growth_within_a_bucket", 3, &[&FOUND, &MISSED], || {
        rows_and_one_more(&[1.0, 2.0], &FOUND, &MISSED);
    });
}

fn rows_and_one_more(before: &'static [f32], found: &'static Witness, missed: &'static Witness) {
    let arena = arena(1, None);
    for &value in before {
        arena.add(&[value; 2]).unwrap();
    }
    let writer = with(&arena, |arena| arena.add(&[9.0; 2]).unwrap());
    let reader = with(&arena, move |arena| {
        let reader = arena.read();
        let rows: Vec<f32> = reader.runs().map(|run| run.data()[1]).collect();
        let (old, new) = rows.split_at(before.len());
        assert!(
            old == before && (new.is_empty() || new == [9.0]),
            "{rows:?}"
        );
        found.saw(!new.is_empty());
        missed.saw(new.is_empty());
    });
    assert_eq!(writer.join().unwrap().get() as usize, before.len());
    reader.join().unwrap();
}

/// The only row there may be is freed and wanted for something else while it is read: it is given
/// out when the reader is done, and not before. The reader's own accesses are watched for as long
/// as it lives, so a write before that fails.
#[test]
fn reuse_against_read() {
    static KEPT: Witness = Witness::new();
    static REUSED: Witness = Witness::new();
    static NEW: Witness = Witness::new();
    explore("reuse_against_read", 2, &[&KEPT, &REUSED, &NEW], || {
        let arena = arena(1, Some(ByteBudget::new(64)));
        let row = arena.add(&[1.0, 1.0]).unwrap();
        let reader = with(&arena, move |arena| {
            let reader = arena.read();
            let found = reader.get(row).map(|values| [values[0], values[1]]);
            drop(reader);
            found
        });
        let writer = with(&arena, move |arena| {
            arena.free(row).unwrap();
            let added = arena.add(&[2.0, 2.0]);
            added.is_ok()
        });
        let (found, added) = (reader.join().unwrap(), writer.join().unwrap());
        KEPT.saw(found == Some([1.0, 1.0]) && !added);
        REUSED.saw(found == Some([1.0, 1.0]) && added);
        NEW.saw(found == Some([2.0, 2.0]));
        assert!(
            matches!(found, None | Some([1.0, 1.0] | [2.0, 2.0])),
            "{found:?}"
        );
    });
}

/// As above, for who looks at all rows.
#[test]
fn reuse_against_runs() {
    static KEPT: Witness = Witness::new();
    static REUSED: Witness = Witness::new();
    static NEW: Witness = Witness::new();
    explore("reuse_against_runs", 2, &[&KEPT, &REUSED, &NEW], || {
        let arena = arena(1, Some(ByteBudget::new(64)));
        let row = arena.add(&[1.0, 1.0]).unwrap();
        let reader = with(&arena, |arena| {
            let reader = arena.read();
            let found = reader.runs().next().map(|run| run.data()[1]);
            drop(reader);
            found
        });
        let writer = with(&arena, move |arena| {
            arena.free(row).unwrap();
            arena.add(&[2.0, 2.0]).is_ok()
        });
        let (found, added) = (reader.join().unwrap(), writer.join().unwrap());
        KEPT.saw(found == Some(1.0) && !added);
        REUSED.saw(found == Some(1.0) && added);
        NEW.saw(found == Some(2.0));
        assert!(found.is_none_or(|found| found == 1.0 || found == 2.0));
    });
}

/// A row is freed by who only guessed its number, and written again: after its first writer.
#[test]
fn free_against_publish() {
    static FREED: Witness = Witness::new();
    static MISSED: Witness = Witness::new();
    explore("free_against_publish", 2, &[&FREED, &MISSED], || {
        let arena = arena(1, Some(ByteBudget::new(64)));
        let first = with(&arena, |arena| arena.add(&[1.0, 1.0]).is_ok());
        let second = with(&arena, |arena| {
            let freed = arena.free(Row::new(0)).is_ok();
            MISSED.saw(!freed);
            if let Some(Ok(mut reserved)) = freed.then(|| arena.reserve()) {
                FREED.saw(true);
                reserved.values_mut().fill(2.0);
                let reader = arena.read();
                assert_eq!(reader.runs().count(), 0); // The row is being written.
                assert!(reader.get(Row::new(0)).is_none());
            }
        });
        assert!(first.join().unwrap());
        second.join().unwrap();
        assert!(arena.len() <= 1);
    });
}

/// Two writers, a row that was freed and one that is new: each gets one of its own, unless the
/// freed one is on its way through the domain when it is wanted.
#[test]
fn reserve_against_reserve() {
    static RECYCLED: Witness = Witness::new();
    static REFUSED: Witness = Witness::new();
    let witnesses = [&RECYCLED, &REFUSED];
    explore("reserve_against_reserve", 1, &witnesses, || {
        let arena = arena(1, Some(ByteBudget::new(128)));
        let row = arena.add(&[1.0, 1.0]).unwrap();
        arena.free(row).unwrap();
        let writers = [2.0, 3.0].map(|value| {
            with(&arena, move |arena| {
                arena.add(&[value; 2]).ok().map(|row| (row, value))
            })
        });
        let added: Vec<(Row, f32)> = writers
            .into_iter()
            .filter_map(|writer| writer.join().unwrap())
            .collect();
        assert_eq!(arena.len(), added.len());
        let reader = arena.read();
        for &(row, value) in &added {
            assert_eq!(reader.get(row), Some(&[value; 2][..]));
        }
        RECYCLED.saw(added.len() == 2);
        REFUSED.saw(added.len() == 1);
        assert!(!added.is_empty());
    });
}

/// Freed by two threads at once, a row is freed once.
#[test]
fn free_against_free() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore("free_against_free", 3, &[&FIRST, &SECOND], || {
        let arena = arena(2, None);
        let row = arena.add(&[1.0, 1.0]).unwrap();
        let freed = [(); 2].map(|()| with(&arena, move |arena| arena.free(row).is_ok()));
        let [first, second] = freed.map(|thread| thread.join().unwrap());
        FIRST.saw(first);
        SECOND.saw(second);
        assert!(first != second);
        assert_eq!((arena.len(), arena.stats().freed), (0, 1));
    });
}

/// What goes through a pool: loom watches that who takes it comes after who put it back.
struct Object(UnsafeCell<u32>);

// SAFETY: the cell is touched by who has the object; loom checks that.
unsafe impl Send for Object {}

impl Object {
    fn add_one(&mut self) -> u32 {
        self.0.with_mut(|value| {
            // SAFETY: loom checks that nobody else is at it.
            unsafe {
                *value += 1;
                *value
            }
        })
    }
}

fn pool(retained_max: usize) -> Arc<Pool<Object>> {
    Arc::new(Pool::new(retained_max, || Object(UnsafeCell::new(0))))
}

/// One thread puts back more than it may keep, the other finds it in the depot; both end and
/// leave what they have.
#[test]
fn magazines_are_exchanged() {
    static MADE: Witness = Witness::new();
    static FROM_THE_OTHER: Witness = Witness::new();
    let witnesses = [&MADE, &FROM_THE_OTHER];
    explore("magazines_are_exchanged", 3, &witnesses, || {
        let pool = pool(8); // Eight magazines of one object.
        let giver = with(&pool, |pool| {
            let objects = [(); 3].map(|()| {
                let mut object = pool.take();
                object.add_one();
                object
            });
            objects.into_iter().for_each(|object| pool.put(object));
        });
        let taker = with(&pool, |pool| {
            let uses = pool.get().add_one();
            MADE.saw(uses == 1);
            FROM_THE_OTHER.saw(uses == 2);
        });
        giver.join().unwrap();
        taker.join().unwrap();
        let stats = pool.stats();
        assert_eq!(stats.retained as u64, stats.made, "{stats:?}");
    });
}

/// A pool that may keep one object does, whoever puts it back first.
#[test]
fn a_pool_keeps_its_bound() {
    static KEPT_BY_FIRST: Witness = Witness::new();
    static KEPT_BY_SECOND: Witness = Witness::new();
    let witnesses = [&KEPT_BY_FIRST, &KEPT_BY_SECOND];
    explore("a_pool_keeps_its_bound", 3, &witnesses, || {
        let pool = pool(1);
        let threads = [10, 20].map(|value| {
            with(&pool, move |pool| {
                pool.put(Box::new(Object(UnsafeCell::new(value))));
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let stats = pool.stats();
        assert_eq!((stats.retained, stats.dropped), (1, 1), "{stats:?}");
        let kept = pool.get().add_one();
        KEPT_BY_FIRST.saw(kept == 11);
        KEPT_BY_SECOND.saw(kept == 21);
    });
}

/// Three bytes and two requests for two: one waits, is woken, and there are never four in use.
#[test]
fn a_permit_is_waited_for() {
    static WAITED: Witness = Witness::new();
    static AT_ONCE: Witness = Witness::new();
    explore("a_permit_is_waited_for", 3, &[&WAITED, &AT_ONCE], || {
        let budget = Arc::new(ByteBudget::new(3));
        let in_use = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let slept = cortica_arena::slept();
        let threads = [(); 2].map(|()| {
            let in_use = in_use.clone();
            with(&budget, move |budget| {
                let permit = budget.acquire(2).unwrap();
                assert_eq!(in_use.fetch_add(2, Relaxed), 0);
                in_use.fetch_sub(2, Relaxed);
                drop(permit);
            })
        });
        for thread in threads {
            thread.join().unwrap();
        }
        let waited = cortica_arena::slept() > slept;
        WAITED.saw(waited);
        AT_ONCE.saw(!waited);
        let stats = budget.stats();
        assert_eq!((stats.used, stats.peak, stats.waiting), (0, 2, 0));
    });
}

/// What is given back is enough for both who wait. Each keeps what it got until both have theirs,
/// so that nobody but the first can wake the second.
#[test]
fn a_permit_is_passed_on() {
    static BOTH_WAITED: Witness = Witness::new();
    explore("a_permit_is_passed_on", 4, &[&BOTH_WAITED], || {
        let budget = Arc::new(ByteBudget::new(2));
        let all = budget.acquire(2).unwrap();
        let slept = cortica_arena::slept();
        let threads =
            [1, 1].map(|bytes| with(&budget, move |budget| budget.acquire(bytes).unwrap()));
        let releaser = spawn(move || drop(all));
        let permits = threads.map(|thread| thread.join().unwrap());
        releaser.join().unwrap();
        BOTH_WAITED.saw(cortica_arena::slept() >= slept + 2);
        let bytes: usize = permits.iter().map(Permit::bytes).sum();
        assert_eq!((bytes, budget.stats().used), (2, 2));
        drop(permits);
        assert_eq!((budget.stats().used, budget.stats().waiting), (0, 0));
    });
}

/// Who comes while another waits is served after it, also if the bytes are given back just then.
#[test]
fn nobody_overtakes() {
    static BEHIND: Witness = Witness::new();
    static BOTH_WAITED: Witness = Witness::new();
    explore("nobody_overtakes", 3, &[&BEHIND, &BOTH_WAITED], || {
        let budget = Arc::new(ByteBudget::new(2));
        let all = budget.acquire(2).unwrap();
        let served = Arc::new(loom::sync::Mutex::new(Vec::new()));
        let slept = cortica_arena::slept();
        let (first_served, second_served) = (served.clone(), served.clone());
        let first = with(&budget, move |budget| {
            let permit = budget.acquire(2).unwrap();
            first_served.lock().unwrap().push(1);
            drop(permit);
        });
        let second = with(&budget, move |budget| {
            let behind = budget.stats().waiting == 1;
            let permit = budget.acquire(2).unwrap(); // All there is: one is served at a time.
            second_served.lock().unwrap().push(2);
            drop(permit);
            behind
        });
        let releaser = spawn(move || drop(all));
        first.join().unwrap();
        let behind = second.join().unwrap();
        releaser.join().unwrap();
        BEHIND.saw(behind);
        BOTH_WAITED.saw(behind && cortica_arena::slept() >= slept + 2);
        let served = served.lock().unwrap();
        assert!(!behind || *served == [1, 2], "{served:?}");
    });
}

/// A byte is free, and another waits for two: it is not for who comes and does not wait, nor for
/// who has one already.
#[test]
fn what_is_waited_for_is_not_taken() {
    static BEHIND: Witness = Witness::new();
    static BEFORE: Witness = Witness::new();
    let witnesses = [&BEHIND, &BEFORE];
    explore("what_is_waited_for_is_not_taken", 3, &witnesses, || {
        let budget = Arc::new(ByteBudget::new(2));
        let mut held = budget.acquire(1).unwrap();
        let first = with(&budget, |budget| budget.acquire(2).map(drop));
        let second = with(&budget, move |budget| {
            let behind = budget.stats().waiting == 1;
            let taken = budget.try_acquire(1).is_ok();
            let grown = held.try_grow(1).is_ok();
            BEHIND.saw(behind);
            BEFORE.saw(taken && grown);
            assert!(!behind || !(taken || grown));
        });
        second.join().unwrap();
        assert_eq!(first.join().unwrap(), Ok(()));
        assert_eq!(budget.stats().used, 0);
    });
}
