//! Interleavings, explored by loom:
//! `RUSTFLAGS="--cfg loom" cargo test -p cortica-queue --test loom --release -- --nocapture`.
//!
//! Both sides of every model run on threads of their own: with one of them on the model's own
//! thread loom explores next to nothing. Every model ends with its witnesses: interleavings that
//! must have been reached for it to mean anything.
#![cfg(loom)]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic in a test is its report"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cortica_queue::{BoundedQueue, Closed, Lane, PopError, PriorityLanes, PushError};
use loom::thread::{JoinHandle, spawn, yield_now};

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
fn explore(name: &str, preemptions: Option<usize>, witnesses: &[&Witness], run: fn()) {
    static EXPLORED: [AtomicUsize; 1] = [const { AtomicUsize::new(0) }; 1];
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    EXPLORED[0].store(0, Relaxed);
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.max_branches = 20_000;
    model.check(move || {
        EXPLORED[0].fetch_add(1, Relaxed);
        run();
    });
    let explored = EXPLORED[0].load(Relaxed);
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

fn queue<T>(capacity: usize) -> Arc<BoundedQueue<T>> {
    Arc::new(BoundedQueue::new(capacity).unwrap())
}

/// Runs `work` on a thread of its own.
fn with<T: 'static, R: 'static>(
    queue: &Arc<BoundedQueue<T>>,
    work: impl FnOnce(&BoundedQueue<T>) -> R + 'static,
) -> JoinHandle<R> {
    let queue = queue.clone();
    spawn(move || work(&queue))
}

fn drain<T>(queue: &BoundedQueue<T>) -> Vec<T> {
    std::iter::from_fn(|| queue.try_pop().ok()).collect()
}

/// Both get in, in either order, and each item is whole.
#[test]
fn push_push() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore("push_push", None, &[&FIRST, &SECOND], || {
        let queue = queue(2);
        let a = with(&queue, |queue| queue.try_push([1, 1]));
        let b = with(&queue, |queue| queue.try_push([2, 2]));
        assert_eq!((a.join().unwrap(), b.join().unwrap()), (Ok(()), Ok(())));
        assert_eq!(queue.len(), 2);
        let items = drain(&queue);
        FIRST.saw(items == [[1, 1], [2, 2]]);
        SECOND.saw(items == [[2, 2], [1, 1]]);
        assert!(items.len() == 2 && items[0] != items[1], "{items:?}");
    });
}

/// One place, two pushes: exactly one gets it and the other has its item back.
#[test]
fn push_push_on_the_last_place() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore(
        "push_push_on_the_last_place",
        None,
        &[&FIRST, &SECOND],
        || {
            let queue = queue(1);
            let a = with(&queue, |queue| queue.try_push(1));
            let b = with(&queue, |queue| queue.try_push(2));
            let (a, b) = (a.join().unwrap(), b.join().unwrap());
            FIRST.saw(a.is_ok());
            SECOND.saw(b.is_ok());
            match (a, b) {
                (Ok(()), Err(PushError::Full(2))) => assert_eq!(drain(&queue), [1]),
                (Err(PushError::Full(1)), Ok(())) => assert_eq!(drain(&queue), [2]),
                other => panic!("{other:?}"),
            }
        },
    );
}

/// What arrives is whole, also in a place that is used again.
#[test]
fn push_pop() {
    static FIRST: Witness = Witness::new();
    static AGAIN: Witness = Witness::new();
    explore("push_pop", None, &[&FIRST, &AGAIN], || {
        let queue = queue(1);
        let pusher = with(&queue, |queue| {
            let first = queue.try_push([1, 1]).is_ok();
            yield_now(); // Loom hardly ever leaves a thread between two of its calls otherwise.
            [first, queue.try_push([2, 2]).is_ok()]
        });
        let popper = with(&queue, |queue| {
            let first = queue.try_pop().ok();
            yield_now();
            [first, queue.try_pop().ok()]
        });
        let pushed = pusher.join().unwrap();
        let popped = popper.join().unwrap();
        FIRST.saw(popped[0] == Some([1, 1]));
        AGAIN.saw(pushed == [true, true] && popped.contains(&Some([1, 1])));
        let mut items: Vec<_> = popped.into_iter().flatten().collect();
        items.extend(drain(&queue));
        let want = [[1, 1], [2, 2]];
        let want: Vec<_> = (0..2).filter(|&i| pushed[i]).map(|i| want[i]).collect();
        assert_eq!(items, want);
    });
}

/// One item, two pops: one gets it and the other is told that there is none.
#[test]
fn pop_pop_on_the_last_item() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore("pop_pop_on_the_last_item", None, &[&FIRST, &SECOND], || {
        let queue = queue(2);
        queue.try_push([7, 7]).unwrap();
        let a = with(&queue, BoundedQueue::try_pop);
        let b = with(&queue, BoundedQueue::try_pop);
        let (a, b) = (a.join().unwrap(), b.join().unwrap());
        FIRST.saw(a == Ok([7, 7]));
        SECOND.saw(b == Ok([7, 7]));
        assert!(matches!(
            (a, b),
            (Ok([7, 7]), Err(PopError::Empty)) | (Err(PopError::Empty), Ok([7, 7]))
        ));
    });
}

/// A batch stays together and a single item lies before or after it.
#[test]
fn push_many_and_push() {
    static BEFORE: Witness = Witness::new();
    static AFTER: Witness = Witness::new();
    explore("push_many_and_push", None, &[&BEFORE, &AFTER], || {
        let queue = queue(3);
        let many = with(&queue, |queue| queue.push_many(&mut vec![1, 2]));
        let single = with(&queue, |queue| queue.try_push(9));
        assert_eq!(many.join().unwrap(), Ok(2));
        assert_eq!(single.join().unwrap(), Ok(()));
        let items = drain(&queue);
        BEFORE.saw(items == [9, 1, 2]);
        AFTER.saw(items == [1, 2, 9]);
        assert!(items == [9, 1, 2] || items == [1, 2, 9], "{items:?}");
    });
}

/// Items go to the batch or to the single pop, in order, and never to both.
#[test]
fn pop_many_and_pop() {
    static BOTH: Witness = Witness::new();
    static ALL: Witness = Witness::new();
    explore("pop_many_and_pop", None, &[&BOTH, &ALL], || {
        let queue = queue(2);
        assert_eq!(queue.push_many(&mut vec![1, 2]), Ok(2));
        let many = with(&queue, |queue| {
            let mut items = Vec::new();
            queue.pop_many(&mut items, 2).unwrap();
            items
        });
        let single = with(&queue, BoundedQueue::try_pop);
        match (many.join().unwrap().as_slice(), single.join().unwrap()) {
            ([1, 2], Err(PopError::Empty)) => ALL.saw(true),
            ([2], Ok(1)) => BOTH.saw(true),
            other => panic!("{other:?}"),
        }
    });
}

/// A batch that is being pushed against one that is being popped: all of it or nothing, because
/// its first place is handed on last.
#[test]
fn push_many_and_pop_many() {
    static NOTHING: Witness = Witness::new();
    static ALL: Witness = Witness::new();
    explore("push_many_and_pop_many", None, &[&NOTHING, &ALL], || {
        let queue = queue(2);
        let pusher = with(&queue, |queue| queue.push_many(&mut vec![[1, 1], [2, 2]]));
        let popper = with(&queue, |queue| {
            let mut items = Vec::new();
            queue.pop_many(&mut items, 2).unwrap();
            items
        });
        assert_eq!(pusher.join().unwrap(), Ok(2));
        let mut items = popper.join().unwrap();
        NOTHING.saw(items.is_empty());
        ALL.saw(items.len() == 2);
        assert_ne!(items.len(), 1);
        items.extend(drain(&queue));
        assert_eq!(items, [[1, 1], [2, 2]]);
    });
}

/// A batch is popped while one more item comes: it is the batch's last, whole, or stays.
#[test]
fn pop_many_and_push() {
    static TAKEN: Witness = Witness::new();
    static LEFT: Witness = Witness::new();
    explore("pop_many_and_push", None, &[&TAKEN, &LEFT], || {
        let queue = queue(2);
        queue.try_push([1, 1]).unwrap();
        let many = with(&queue, |queue| {
            yield_now(); // Otherwise loom never has the push go first.
            let mut items = Vec::new();
            queue.pop_many(&mut items, 2).unwrap();
            items
        });
        let single = with(&queue, |queue| queue.try_push([2, 2]));
        assert_eq!(single.join().unwrap(), Ok(()));
        let mut items = many.join().unwrap();
        TAKEN.saw(items.len() == 2);
        LEFT.saw(items.len() == 1);
        assert!(!items.is_empty());
        items.extend(drain(&queue));
        assert_eq!(items, [[1, 1], [2, 2]]);
    });
}

/// A full queue: a push gets a place that the batch leaves, or its item back.
#[test]
fn pop_many_and_push_into_its_place() {
    static REFUSED: Witness = Witness::new();
    static IN: Witness = Witness::new();
    let name = "pop_many_and_push_into_its_place";
    explore(name, None, &[&REFUSED, &IN], || {
        let queue = queue(2);
        queue.push_many(&mut vec![[1, 1], [2, 2]]).unwrap();
        let many = with(&queue, |queue| {
            let mut items = Vec::new();
            queue.pop_many(&mut items, 2).unwrap();
            items
        });
        let single = with(&queue, |queue| queue.try_push([3, 3]));
        let pushed = single.join().unwrap();
        REFUSED.saw(pushed == Err(PushError::Full([3, 3])));
        IN.saw(pushed.is_ok());
        let mut items = many.join().unwrap();
        items.extend(drain(&queue));
        assert_eq!(
            items,
            [[1, 1], [2, 2], [3, 3]][..2 + usize::from(pushed.is_ok())]
        );
    });
}

/// The places that a batch leaves are used again at once.
#[test]
fn pop_many_and_push_many() {
    static NOTHING: Witness = Witness::new();
    static ALL: Witness = Witness::new();
    explore("pop_many_and_push_many", None, &[&NOTHING, &ALL], || {
        let queue = queue(2);
        queue.push_many(&mut vec![[1, 1], [2, 2]]).unwrap();
        let popper = with(&queue, |queue| {
            let mut items = Vec::new();
            queue.pop_many(&mut items, 2).unwrap();
            items
        });
        let pusher = with(&queue, |queue| queue.push_many(&mut vec![[3, 3], [4, 4]]));
        let pushed = pusher.join().unwrap().unwrap();
        NOTHING.saw(pushed == 0);
        ALL.saw(pushed == 2);
        let mut items = popper.join().unwrap();
        items.extend(drain(&queue));
        assert_eq!(items, [[1, 1], [2, 2], [3, 3], [4, 4]][..2 + pushed]);
    });
}

/// The oldest item is displaced or popped, never both and never neither.
#[test]
fn force_push_and_pop() {
    static DISPLACED: Witness = Witness::new();
    static POPPED: Witness = Witness::new();
    explore("force_push_and_pop", None, &[&DISPLACED, &POPPED], || {
        let queue = queue(1);
        queue.try_push([1, 1]).unwrap();
        let pusher = with(&queue, |queue| queue.force_push([2, 2]));
        let popper = with(&queue, BoundedQueue::try_pop);
        let displaced = pusher.join().unwrap().unwrap();
        let mut items = vec![popper.join().unwrap().unwrap()]; // Never empty in between.
        items.extend(drain(&queue));
        if displaced == Some([1, 1]) {
            DISPLACED.saw(true);
            assert_eq!(items, [[2, 2]]);
        } else {
            POPPED.saw(true);
            assert_eq!((displaced, items), (None, vec![[1, 1], [2, 2]]));
        }
    });
}

/// The oldest item has only just come, from a thread that nothing but its stamp comes after.
#[test]
fn force_push_and_push() {
    static DISPLACED: Witness = Witness::new();
    static REFUSED: Witness = Witness::new();
    explore("force_push_and_push", None, &[&DISPLACED, &REFUSED], || {
        let queue = queue(1);
        let single = with(&queue, |queue| queue.try_push([1, 1]));
        let forced = with(&queue, |queue| queue.force_push([2, 2]));
        match (single.join().unwrap(), forced.join().unwrap()) {
            (Ok(()), Ok(Some([1, 1]))) => DISPLACED.saw(true),
            (Err(PushError::Full([1, 1])), Ok(None)) => REFUSED.saw(true),
            other => panic!("{other:?}"),
        }
        assert_eq!(drain(&queue), [[2, 2]]);
    });
}

/// A forced push that closing refuses leaves nothing behind.
#[test]
fn force_push_and_close() {
    static IN_TIME: Witness = Witness::new();
    static REFUSED: Witness = Witness::new();
    explore("force_push_and_close", None, &[&IN_TIME, &REFUSED], || {
        let queue = queue(1);
        queue.try_push(1).unwrap();
        let pusher = with(&queue, |queue| queue.force_push(2));
        let closer = with(&queue, |queue| {
            queue.close();
            let items = drain(queue);
            // Drained and closed: nothing may come after this.
            assert_eq!(queue.try_pop(), Err(PopError::Closed));
            items
        });
        let pushed = pusher.join().unwrap();
        let items = closer.join().unwrap();
        IN_TIME.saw(pushed.is_ok());
        REFUSED.saw(pushed.is_err());
        match pushed {
            Ok(Some(1)) => assert_eq!(items, [2]),
            Ok(None) => assert_eq!(items, [1, 2]),
            Err(Closed(2)) => assert_eq!(items, [1]),
            other => panic!("{other:?}"),
        }
        assert_eq!(queue.try_pop(), Err(PopError::Closed));
    });
}

/// `len` looks at two counters, but never sees the tail behind the head.
#[test]
fn len_never_underflows() {
    static AFTER_POP: Witness = Witness::new();
    static INSIDE: Witness = Witness::new();
    explore(
        "len_never_underflows",
        Some(3),
        &[&AFTER_POP, &INSIDE],
        || {
            let queue = queue(2);
            let pusher = with(&queue, |queue| queue.try_push(1));
            let popper = with(&queue, BoundedQueue::try_pop);
            let looker = with(&queue, BoundedQueue::len);
            let len = looker.join().unwrap();
            let popped = popper.join().unwrap().is_ok();
            AFTER_POP.saw(len == 0 && popped);
            INSIDE.saw(len == 1);
            assert!(len <= 1, "{len}");
            pusher.join().unwrap().unwrap();
            assert_eq!(queue.len(), usize::from(!popped));
        },
    );
}

/// The same after a batch was popped.
#[test]
fn len_never_underflows_after_a_batch() {
    static AFTER_POP: Witness = Witness::new();
    explore(
        "len_never_underflows_after_a_batch",
        Some(3),
        &[&AFTER_POP],
        || {
            let queue = queue(2);
            let pusher = with(&queue, |queue| queue.try_push(1));
            let popper = with(&queue, |queue| queue.pop_many(&mut Vec::new(), 2));
            let looker = with(&queue, BoundedQueue::len);
            let len = looker.join().unwrap();
            let popped = popper.join().unwrap();
            AFTER_POP.saw(len == 0 && popped == Ok(1));
            assert!(len <= 1, "{len}");
            pusher.join().unwrap().unwrap();
        },
    );
}

/// Two queues used as flags: of two who each raise one and look at the other's, one sees it.
/// This is what linearisable means for more than one queue, and what parking rests on.
#[test]
fn two_queues_agree_on_an_order() {
    static BOTH: Witness = Witness::new();
    static ONE: Witness = Witness::new();
    explore(
        "two_queues_agree_on_an_order",
        Some(3),
        &[&BOTH, &ONE],
        || {
            let (a, b) = (queue(1), queue(1));
            let other = b.clone();
            let first = with(&a, move |mine| {
                mine.try_push(1).unwrap();
                other.try_pop().is_ok()
            });
            let other = a.clone();
            let second = with(&b, move |mine| {
                mine.try_push(2).unwrap();
                other.try_pop().is_ok()
            });
            let saw = (first.join().unwrap(), second.join().unwrap());
            BOTH.saw(saw == (true, true));
            ONE.saw(saw.0 != saw.1);
            assert_ne!(saw, (false, false), "neither saw the other's item");
        },
    );
}

/// A popper that parks is woken by the push; a lost wake-up would be a deadlock, which loom finds.
#[test]
fn parked_popper_is_woken() {
    explore_parking("parked_popper_is_woken", || {
        let queue = queue(1);
        let popper = with(&queue, BoundedQueue::pop);
        let pusher = with(&queue, |queue| queue.try_push(5));
        assert_eq!(pusher.join().unwrap(), Ok(()));
        assert_eq!(popper.join().unwrap(), Some(5));
    });
}

/// The same for a pusher and room.
#[test]
fn parked_pusher_is_woken() {
    explore_parking("parked_pusher_is_woken", || {
        let queue = queue(1);
        queue.try_push(1).unwrap();
        let pusher = with(&queue, |queue| queue.push(2));
        let popper = with(&queue, BoundedQueue::try_pop);
        assert_eq!(popper.join().unwrap(), Ok(1));
        assert_eq!(pusher.join().unwrap(), Ok(()));
        assert_eq!(drain(&queue), [2]);
    });
}

/// Two parked poppers and a batch of two: both are woken.
#[test]
fn a_batch_wakes_as_many() {
    static BOTH_ASLEEP: Witness = Witness::new();
    explore_parking_within("a_batch_wakes_as_many", Some(1), &[&BOTH_ASLEEP], || {
        let slept = cortica_queue::slept();
        let queue = queue(2);
        let a = with(&queue, BoundedQueue::pop);
        let b = with(&queue, BoundedQueue::pop);
        let pusher = with(&queue, move |queue| {
            // Nobody has been woken by now, so nobody has slept twice.
            let both_asleep = cortica_queue::slept() == slept + 2;
            (both_asleep, queue.push_many(&mut vec![1, 2]))
        });
        let (both_asleep, pushed) = pusher.join().unwrap();
        assert_eq!(pushed, Ok(2));
        BOTH_ASLEEP.saw(both_asleep);
        let mut got = [a.join().unwrap(), b.join().unwrap()];
        got.sort_unstable();
        assert_eq!(got, [Some(1), Some(2)]);
    });
}

/// Closing lets a parked popper and a parked pusher return.
#[test]
fn close_while_blocked() {
    explore_parking("close_while_blocked/pop", || {
        let queue = queue::<u8>(1);
        let popper = with(&queue, BoundedQueue::pop);
        let closer = with(&queue, BoundedQueue::close);
        assert_eq!(popper.join().unwrap(), None);
        assert!(closer.join().unwrap());
    });
    explore_parking("close_while_blocked/push", || {
        let queue = queue(1);
        queue.try_push(1).unwrap();
        let pusher = with(&queue, |queue| queue.push(2));
        let closer = with(&queue, BoundedQueue::close);
        assert_eq!(pusher.join().unwrap(), Err(Closed(2)));
        assert!(closer.join().unwrap());
        assert_eq!(drain(&queue), [1]);
    });
}

/// Two parked poppers and two pushes one by one. Who finds the first item before it sleeps gives its
/// seat up; the permit that the second push left is then for the other, who sleeps.
#[test]
fn a_permit_is_left_to_who_sleeps() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore_parking_within(
        "a_permit_is_left_to_who_sleeps",
        Some(2),
        &[&FIRST, &SECOND],
        || {
            let queue = queue(2);
            let a = with(&queue, BoundedQueue::pop);
            let b = with(&queue, BoundedQueue::pop);
            let pusher = with(&queue, |queue| [1, 2].map(|item| queue.try_push(item)));
            assert_eq!(pusher.join().unwrap(), [Ok(()), Ok(())]);
            let got = [a.join().unwrap(), b.join().unwrap()];
            FIRST.saw(got == [Some(1), Some(2)]);
            SECOND.saw(got == [Some(2), Some(1)]);
            assert!(got[0] != got[1] && !got.contains(&None), "{got:?}");
        },
    );
}

/// Closing wakes all who sleep, not the first alone.
#[test]
fn close_wakes_both_who_sleep() {
    static BOTH_ASLEEP: Witness = Witness::new();
    explore_parking_within(
        "close_wakes_both_who_sleep",
        Some(1),
        &[&BOTH_ASLEEP],
        || {
            let slept = cortica_queue::slept();
            let queue = queue::<u8>(1);
            let a = with(&queue, BoundedQueue::pop);
            let b = with(&queue, BoundedQueue::pop);
            let closer = with(&queue, move |queue| {
                let both_asleep = cortica_queue::slept() == slept + 2;
                (both_asleep, queue.close())
            });
            let (both_asleep, closed) = closer.join().unwrap();
            assert!(closed);
            BOTH_ASLEEP.saw(both_asleep);
            assert_eq!([a.join().unwrap(), b.join().unwrap()], [None, None]);
        },
    );
}

/// A popper of lanes is woken by a push into any of them.
#[test]
fn lanes_wake_a_parked_popper() {
    explore_parking("lanes_wake_a_parked_popper", || {
        let lanes = Arc::new(PriorityLanes::new(1).unwrap());
        let (mine, theirs) = (lanes.clone(), lanes);
        let popper = spawn(move || mine.pop());
        let pusher = spawn(move || theirs.try_push(Lane::Low, 5));
        assert_eq!(pusher.join().unwrap(), Ok(()));
        assert_eq!(popper.join().unwrap(), Some((Lane::Low, 5)));
    });
}

/// Closing lets them return, too, though it closes lane after lane.
#[test]
fn closed_lanes_wake_those_who_wait() {
    explore_parking("closed_lanes/pop", || {
        let lanes = Arc::new(PriorityLanes::<u8>::new(1).unwrap());
        let (mine, theirs) = (lanes.clone(), lanes);
        let popper = spawn(move || mine.pop());
        let closer = spawn(move || theirs.close());
        closer.join().unwrap();
        assert_eq!(popper.join().unwrap(), None);
    });
    explore_parking("closed_lanes/push", || {
        let lanes = Arc::new(PriorityLanes::new(1).unwrap());
        lanes.try_push(Lane::Low, 1).unwrap();
        let (mine, theirs) = (lanes.clone(), lanes);
        let pusher = spawn(move || mine.push(Lane::Low, 2));
        let closer = spawn(move || theirs.close());
        closer.join().unwrap();
        assert_eq!(pusher.join().unwrap(), Err(Closed(2)));
    });
}

fn explore_parking(name: &str, run: fn()) {
    explore_parking_within(name, None, &[], run);
}

/// The witness of parking is inside the crate: how often somebody slept.
fn explore_parking_within(
    name: &str,
    preemptions: Option<usize>,
    witnesses: &[&Witness],
    run: fn(),
) {
    let before = cortica_queue::slept();
    explore(name, preemptions, witnesses, run);
    let slept = cortica_queue::slept() - before;
    println!("{name}: slept {slept} times");
    assert!(slept > 0, "{name}: nobody ever slept");
}
