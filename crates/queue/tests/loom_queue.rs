//! Interleavings of the unbounded queue, explored by loom over the code that ships; a segment has
//! two slots here, a thread looks for readers after every segment, and one segment is kept for
//! later. `cargo xtask loom` runs them.
//!
//! Both sides of every model run on threads of their own, and every model ends with its
//! witnesses: interleavings that must have been reached for it to mean anything.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cortica_queue::{Queue, reused, stayed, unfenced};
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
    let seen = witnesses.iter().map(|witness| witness.0.load(Relaxed));
    let seen: Vec<usize> = seen.collect();
    println!("{name}: {explored} interleavings, witnesses {seen:?}");
    assert!(
        seen.iter().all(|&seen| seen > 0),
        "{name} never reached the danger: {seen:?}"
    );
}

/// A queue that has had the items of `before`; the first `gone` of them were popped again.
fn queue<const N: usize>(before: [[u32; 2]; N], gone: usize) -> Arc<Queue<[u32; 2]>> {
    begun(Queue::new(), before, gone)
}

fn begun<const N: usize>(
    queue: Queue<[u32; 2]>,
    before: [[u32; 2]; N],
    gone: usize,
) -> Arc<Queue<[u32; 2]>> {
    let queue = Arc::new(queue);
    for item in before {
        queue.push(item);
    }
    for _ in 0..gone {
        queue.pop().unwrap();
    }
    queue
}

/// Runs `work` on a thread of its own.
fn with<R: 'static>(
    queue: &Arc<Queue<[u32; 2]>>,
    work: impl FnOnce(&Queue<[u32; 2]>) -> R + 'static,
) -> JoinHandle<R> {
    let queue = queue.clone();
    spawn(move || work(&queue))
}

/// Two words, so that an item that is not whole can be told.
fn item(number: u32) -> [u32; 2] {
    [number; 2]
}

fn drain(queue: &Queue<[u32; 2]>) -> Vec<u32> {
    let items = std::iter::from_fn(|| queue.pop());
    items
        .map(|[one, two]| {
            assert_eq!(one, two, "half an item");
            one
        })
        .collect()
}

/// Both get in, in either order.
#[test]
fn push_push() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore("push_push", 3, &[&FIRST, &SECOND], || {
        let queue = queue([], 0);
        let a = with(&queue, |queue| queue.push(item(1)));
        let b = with(&queue, |queue| queue.push(item(2)));
        a.join().unwrap();
        b.join().unwrap();
        assert_eq!(queue.len(), 2);
        let items = drain(&queue);
        FIRST.saw(items == [1, 2]);
        SECOND.saw(items == [2, 1]);
        assert!(items.len() == 2 && items[0] != items[1], "{items:?}");
    });
}

/// The last segment is full: both begin one, and one of them gets its item back for another try.
#[test]
fn push_push_into_the_next_segment() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore(
        "push_push_into_the_next_segment",
        2,
        &[&FIRST, &SECOND],
        || {
            let queue = queue([item(1), item(2)], 0);
            let a = with(&queue, |queue| queue.push(item(3)));
            let b = with(&queue, |queue| queue.push(item(4)));
            a.join().unwrap();
            b.join().unwrap();
            assert_eq!(queue.len(), 4);
            let items = drain(&queue);
            FIRST.saw(items == [1, 2, 3, 4]);
            SECOND.saw(items == [1, 2, 4, 3]);
            assert!(items.len() == 4 && items[2] != items[3], "{items:?}");
        },
    );
}

/// What arrives is whole, and in order.
#[test]
fn push_pop() {
    static ARRIVED: Witness = Witness::new();
    static EMPTY: Witness = Witness::new();
    explore("push_pop", 3, &[&ARRIVED, &EMPTY], || {
        let queue = queue([], 0);
        let pusher = with(&queue, |queue| {
            queue.push(item(1));
            queue.push(item(2));
        });
        let popper = with(&queue, |queue| [queue.pop(), queue.pop()]);
        pusher.join().unwrap();
        let popped = popper.join().unwrap();
        ARRIVED.saw(popped[0].is_some());
        EMPTY.saw(popped[0].is_none());
        let mut items: Vec<_> = popped.into_iter().flatten().collect();
        items.extend(drain(&queue).into_iter().map(item));
        assert_eq!(items, [item(1), item(2)]);
    });
}

/// One item, two pops: one gets it and the other is told that there is none.
#[test]
fn pop_pop_on_the_last_item() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore("pop_pop_on_the_last_item", 3, &[&FIRST, &SECOND], || {
        let queue = queue([item(1)], 0);
        let a = with(&queue, Queue::pop);
        let b = with(&queue, Queue::pop);
        let (a, b) = (a.join().unwrap(), b.join().unwrap());
        FIRST.saw(a.is_some());
        SECOND.saw(b.is_some());
        assert_eq!(a.or(b), Some(item(1)));
        assert!(a.is_none() || b.is_none(), "popped twice");
        assert_eq!((queue.len(), queue.pop()), (0, None));
    });
}

/// Both pops find the first segment empty and go on to the next; one of them retires it, while
/// the other may still look at it.
#[test]
fn two_pops_go_on_to_the_next_segment() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore(
        "two_pops_go_on_to_the_next_segment",
        2,
        &[&FIRST, &SECOND],
        || {
            let queue = queue([item(1), item(2), item(3), item(4)], 2);
            let a = with(&queue, Queue::pop);
            let b = with(&queue, Queue::pop);
            let (a, b) = (a.join().unwrap(), b.join().unwrap());
            FIRST.saw(a == Some(item(3)));
            SECOND.saw(a == Some(item(4)));
            let mut both = [a, b];
            both.sort_unstable();
            assert_eq!(both, [Some(item(3)), Some(item(4))]);
            assert_eq!(queue.len(), 0);
        },
    );
}

/// A pop takes the first segment out while a push that saw it as the last one goes on to the next
/// one. Whoever is late must not find it in another life.
#[test]
fn a_segment_is_handed_over() {
    static POPPED: Witness = Witness::new();
    static EMPTY: Witness = Witness::new();
    static REUSED: Witness = Witness::new();
    explore(
        "a_segment_is_handed_over",
        2,
        &[&POPPED, &EMPTY, &REUSED],
        || {
            let before = reused();
            // Nothing is done here before: this thread would go on protecting what it saw last.
            let queue = queue([], 0);
            let pusher = with(&queue, |queue| {
                for number in 1..=5 {
                    queue.push(item(number));
                }
            });
            let popper = with(&queue, |queue| [queue.pop(), queue.pop(), queue.pop()]);
            pusher.join().unwrap();
            let popped = popper.join().unwrap();
            POPPED.saw(popped[2] == Some(item(3)));
            EMPTY.saw(popped[0].is_none());
            REUSED.saw(reused() > before);
            let mut items: Vec<_> = popped.into_iter().flatten().collect();
            items.extend(drain(&queue).into_iter().map(item));
            assert_eq!(items, [1, 2, 3, 4, 5].map(item));
        },
    );
}

/// A pop comes back, without a guard, to the segment where its thread's last one was, while another
/// thread empties it, takes it out and needs a segment for what it pushes. It must not find this one
/// in another life: what it would take there are the newest items before the oldest.
#[test]
fn a_parked_pop_keeps_its_segment() {
    static STAYED: Witness = Witness::new();
    static WENT_ON: Witness = Witness::new();
    static REUSED: Witness = Witness::new();
    static KEPT: Witness = Witness::new();
    explore(
        "a_parked_pop_keeps_its_segment",
        1,
        &[&STAYED, &WENT_ON, &REUSED, &KEPT],
        || {
            // By its last push this thread has moved on to the second segment.
            let queue = queue([1, 2, 3, 4].map(item), 0);
            let (used, at_home) = (reused(), stayed());
            let two = with(&queue, |queue| [queue.pop(), queue.pop()]);
            let on = with(&queue, |queue| {
                let popped = [queue.pop(), queue.pop()];
                queue.push(item(5));
                popped
            });
            let (two, on) = (two.join().unwrap(), on.join().unwrap());
            let went_on = on[1] >= Some(item(3));
            STAYED.saw(stayed() > at_home);
            WENT_ON.saw(went_on);
            REUSED.saw(reused() > used);
            KEPT.saw(went_on && reused() == used);
            let ascends = |of: &[Option<[u32; 2]>]| of.iter().flatten().is_sorted();
            assert!(ascends(&two) && ascends(&on), "{two:?} {on:?}");
            let mut items: Vec<_> = two.into_iter().chain(on).flatten().collect();
            items.sort_unstable();
            items.extend(drain(&queue).into_iter().map(item));
            assert_eq!(items, [1, 2, 3, 4, 5].map(item), "out of order");
        },
    );
}

/// A batch that fits stays together whatever another push does.
#[test]
fn push_many_against_push() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore("push_many_against_push", 3, &[&FIRST, &SECOND], || {
        let queue = queue([], 0);
        let many = with(&queue, |queue| {
            queue.push_many(&mut vec![item(1), item(2)]);
        });
        let one = with(&queue, |queue| queue.push(item(3)));
        many.join().unwrap();
        one.join().unwrap();
        assert_eq!(queue.len(), 3);
        let items = drain(&queue);
        FIRST.saw(items == [1, 2, 3]);
        SECOND.saw(items == [3, 1, 2]);
        assert!(items == [1, 2, 3] || items == [3, 1, 2], "{items:?}");
    });
}

/// A batch that does not fit seals the segment, and one that no segment holds has its own.
#[test]
fn push_many_against_push_many() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore("push_many_against_push_many", 2, &[&FIRST, &SECOND], || {
        let queue = queue([item(1)], 0);
        let two = with(&queue, |queue| {
            queue.push_many(&mut vec![item(2), item(3)]);
        });
        let three = with(&queue, |queue| {
            queue.push_many(&mut vec![item(4), item(5), item(6)]);
        });
        two.join().unwrap();
        three.join().unwrap();
        assert_eq!(queue.len(), 6);
        let items = drain(&queue);
        let orders = [[1, 2, 3, 4, 5, 6], [1, 4, 5, 6, 2, 3]];
        FIRST.saw(items == orders[0]);
        SECOND.saw(items == orders[1]);
        assert!(items == orders[0] || items == orders[1], "{items:?}");
    });
}

/// Batches against batches: a pop takes what follows one another, and never half of what is
/// being pushed before it is there.
#[test]
fn push_many_against_pop_many() {
    static WHOLE: Witness = Witness::new();
    static EMPTY: Witness = Witness::new();
    explore("push_many_against_pop_many", 3, &[&WHOLE, &EMPTY], || {
        let queue = queue([], 0);
        let pusher = with(&queue, |queue| {
            queue.push_many(&mut vec![item(1), item(2)]);
        });
        let popper = with(&queue, |queue| {
            let mut items = Vec::new();
            queue.pop_many(&mut items, 2);
            items
        });
        pusher.join().unwrap();
        let popped = popper.join().unwrap();
        WHOLE.saw(popped.len() == 2);
        EMPTY.saw(popped.is_empty());
        assert!(popped.len() != 1, "half a batch: {popped:?}");
        let mut items: Vec<_> = popped.iter().map(|item| item[0]).collect();
        items.extend(drain(&queue));
        assert_eq!(items, [1, 2]);
    });
}

/// A single pop takes the first of a batch, whole, or finds nothing: never its second.
#[test]
fn push_many_against_pop() {
    static FIRST: Witness = Witness::new();
    static EMPTY: Witness = Witness::new();
    explore("push_many_against_pop", 3, &[&FIRST, &EMPTY], || {
        let queue = queue([], 0);
        let pusher = with(&queue, |queue| {
            queue.push_many(&mut vec![item(1), item(2)]);
        });
        let popper = with(&queue, Queue::pop);
        pusher.join().unwrap();
        let popped = popper.join().unwrap();
        FIRST.saw(popped.is_some());
        EMPTY.saw(popped.is_none());
        let mut items: Vec<_> = popped.iter().map(|item| item[0]).collect();
        items.extend(drain(&queue));
        assert_eq!(items, [1, 2]);
    });
}

/// A batch of pops against single ones: each item once.
#[test]
fn pop_many_against_pop() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    explore("pop_many_against_pop", 3, &[&FIRST, &SECOND], || {
        let queue = queue([item(1), item(2)], 0);
        let many = with(&queue, |queue| {
            let mut items = Vec::new();
            queue.pop_many(&mut items, 2);
            items
        });
        let one = with(&queue, Queue::pop);
        let (many, one) = (many.join().unwrap(), one.join().unwrap());
        FIRST.saw(one == Some(item(1)));
        SECOND.saw(one.is_none());
        let all: Vec<_> = one.into_iter().chain(many).collect();
        assert_eq!(all, [item(1), item(2)]);
    });
}

/// Looking at the length while items pass and segments change: pushes are counted after pops, so
/// it may count both items, but never fewer than none.
#[test]
fn len_never_underflows() {
    static LOOKED: [Witness; 3] = [const { Witness::new() }; 3];
    explore(
        "len_never_underflows",
        2,
        &[&LOOKED[0], &LOOKED[1], &LOOKED[2]],
        || {
            let queue = queue([item(1)], 1);
            let mover = with(&queue, |queue| {
                [item(2), item(3)].map(|item| {
                    queue.push(item);
                    queue.pop()
                })
            });
            let looker = with(&queue, Queue::len);
            assert_eq!(mover.join().unwrap(), [Some(item(2)), Some(item(3))]);
            let len = looker.join().unwrap();
            assert!(len <= 2, "{len}");
            LOOKED[len].saw(true);
            assert_eq!(queue.len(), 0);
        },
    );
}

/// As above, where nobody runs a fence that would show the pushes: the thread is parked where it
/// pushes and pops. Whoever sees the second pop must see the second push.
#[test]
fn len_never_underflows_beside_parked_guards() {
    static LOOKED: [Witness; 3] = [const { Witness::new() }; 3];
    static STAYED: Witness = Witness::new();
    explore(
        "len_never_underflows_beside_parked_guards",
        2,
        &[&LOOKED[0], &LOOKED[1], &LOOKED[2], &STAYED],
        || {
            let at_home = stayed();
            let queue = begun(unfenced(), [], 0);
            let mover = with(&queue, |queue| {
                [item(1), item(2)].map(|item| {
                    queue.push(item);
                    queue.pop()
                })
            });
            let looker = with(&queue, Queue::len);
            assert_eq!(mover.join().unwrap(), [Some(item(1)), Some(item(2))]);
            let len = looker.join().unwrap();
            assert!(len <= 2, "{len}");
            LOOKED[len].saw(true);
            STAYED.saw(stayed() == at_home + 2);
        },
    );
}

/// One thread begins the next segment, another goes on to it, and a third finds it where the second
/// has put it: as the first. It must find it whole, though it has nothing to do with the thread
/// that filled it, and though no fence of a hazard slot helps.
#[test]
fn a_pop_finds_the_head_that_another_moved_on() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    static NEITHER: Witness = Witness::new();
    explore(
        "a_pop_finds_the_head_that_another_moved_on",
        1,
        &[&FIRST, &SECOND, &NEITHER],
        || {
            let queue = begun(unfenced(), [item(1), item(2)], 2);
            let pusher = with(&queue, |queue| queue.push(item(3)));
            let poppers = [(); 2].map(|()| with(&queue, Queue::pop));
            pusher.join().unwrap();
            let popped = poppers.map(|popper| popper.join().unwrap());
            FIRST.saw(popped[0] == Some(item(3)));
            SECOND.saw(popped[1] == Some(item(3)));
            NEITHER.saw(popped == [None, None]);
            assert!(popped[0].is_none() || popped[1].is_none(), "popped twice");
            let mut items: Vec<_> = popped.into_iter().flatten().collect();
            items.extend(drain(&queue).into_iter().map(item));
            assert_eq!(items, [item(3)]);
        },
    );
}

/// Of two threads which each push to one queue and then look into the other, one sees an item. The
/// slots have no fence, as with membarrier: it would stand between push and look and hide what the
/// queue itself owes.
#[test]
fn two_queues_agree_on_an_order() {
    static FIRST: Witness = Witness::new();
    static SECOND: Witness = Witness::new();
    static BOTH: Witness = Witness::new();
    explore(
        "two_queues_agree_on_an_order",
        2,
        &[&FIRST, &SECOND, &BOTH],
        || {
            let queues = [begun(unfenced(), [], 0), begun(unfenced(), [], 0)];
            let cross = |mine: usize| {
                let queues = queues.clone();
                spawn(move || {
                    queues[mine].push(item(1));
                    queues[1 - mine].pop().is_some()
                })
            };
            let threads = [cross(0), cross(1)];
            let saw = threads.map(|thread| thread.join().unwrap());
            FIRST.saw(saw == [true, false]);
            SECOND.saw(saw == [false, true]);
            BOTH.saw(saw == [true, true]);
            assert_ne!(saw, [false, false]);
        },
    );
}
