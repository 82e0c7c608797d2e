//! What every strategy must keep: each object freed once, none while it is looked at.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "in helpers, a panic is the report, too")]

use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize};
use std::sync::mpsc::channel;

use cortica_reclaim::{Epoch, Form, Protect, PublishOnPing, Reclaim, Shared};

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
        self.alive = 0;
        self.drops.fetch_add(1, SeqCst);
    }
}

/// Counts its drops, each of which panics.
struct Bomb(Arc<AtomicUsize>);
impl Drop for Bomb {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
        std::panic::resume_unwind(Box::new("on purpose")); // Without the hook's noise.
    }
}

type Maker = fn() -> Box<dyn AnyDomain>;

/// All forms and the epochs; a new thread for each, so that no thread outlives the check.
fn with_each(check: fn(&str, Maker)) {
    let makers: &[(&str, Maker)] = &[
        ("best", || Box::new(PublishOnPing::new())),
        ("fenced", || Box::new(PublishOnPing::fenced())),
        #[cfg(all(feature = "signal", target_os = "linux"))]
        ("signal", || Box::new(PublishOnPing::signalled().unwrap())),
        ("epoch", || Box::new(Epoch::new())),
    ];
    for &(name, make) in makers {
        let thread = std::thread::spawn(move || check(name, make));
        thread.join().unwrap();
    }
}

/// The checks, for a domain of any type.
trait AnyDomain: Send {
    fn readers_and_writers(&self, name: &str);
    fn short_threads(&self, name: &str);
    fn nested(&self, name: &str);
    fn panics(&self, name: &str);
    fn reset(&self, name: &str);
    fn destructor_uses_the_domain(&self, name: &str);
    fn retire_some(&self, count: usize, drops: &Arc<AtomicUsize>);
}

fn retire<R: Reclaim, T: Send>(domain: &R, value: T) {
    let pointer = Box::into_raw(Box::new(value));
    // SAFETY: a new box that nobody else has.
    unsafe { domain.guard().retire(pointer) };
}

impl<R: Reclaim> AnyDomain for R {
    fn readers_and_writers(&self, name: &str) {
        const EACH: usize = 20_000;
        let drops = Arc::new(AtomicUsize::new(0));
        let shared = Shared::new(self, Canary::new(&drops));
        let done = AtomicBool::new(false);
        std::thread::scope(|threads| {
            let writers: Vec<_> = (0..3)
                .map(|_| {
                    threads.spawn(|| (0..EACH).for_each(|_| shared.replace(Canary::new(&drops))))
                })
                .collect();
            let readers = [false, true].map(|again| {
                let (shared, done) = (&shared, &done);
                threads.spawn(move || {
                    let mut reader = shared.reader();
                    while !done.load(Relaxed) {
                        if again {
                            assert_eq!(reader.read().alive, ALIVE, "{name}");
                        } else {
                            let value = shared.read();
                            std::thread::yield_now();
                            assert_eq!(value.alive, ALIVE, "{name}");
                        }
                    }
                })
            });
            for writer in writers {
                writer.join().unwrap();
            }
            done.store(true, Relaxed);
            // One by one, here and elsewhere: ThreadSanitizer does not see the end of a scope.
            for reader in readers {
                reader.join().unwrap();
            }
        });
        drop(shared);
        assert_eq!(self.stats().retired, 3 * EACH as u64, "{name}");
    }

    fn short_threads(&self, name: &str) {
        let drops = Arc::new(AtomicUsize::new(0));
        let shared = Arc::new(Shared::new(self, Canary::new(&drops)));
        for _ in 0..250 {
            // Not scoped: a scope ends before the thread-locals of its threads are gone.
            let threads = [(); 4].map(|()| {
                let (shared, drops) = (Arc::clone(&shared), Arc::clone(&drops));
                std::thread::spawn(move || {
                    assert_eq!(shared.read().alive, ALIVE);
                    shared.replace(Canary::new(&drops));
                })
            });
            for thread in threads {
                thread.join().unwrap();
            }
        }
        assert!(self.stats().slots <= 4, "{name}: {:?}", self.stats());
        assert_eq!(self.stats().retired, 1_000, "{name}");
    }

    fn nested(&self, name: &str) {
        let drops = Arc::new(AtomicUsize::new(0));
        let shared: Vec<_> = (0..20)
            .map(|_| Shared::new(self, Canary::new(&drops)))
            .collect();
        let reads: Vec<_> = shared.iter().map(Shared::read).collect();
        for shared in &shared {
            shared.replace(Canary::new(&drops));
        }
        for _ in 0..3 {
            self.guard().collect();
        }
        assert!(reads.iter().all(|read| read.alive == ALIVE), "{name}");
        assert_eq!(drops.load(SeqCst), 0, "{name}");
    }

    fn panics(&self, name: &str) {
        let drops = Arc::new(AtomicUsize::new(0));
        for _ in 0..10 {
            retire(self, Bomb(Arc::clone(&drops)));
            retire(self, Canary::new(&drops));
        }
        while self.stats().pending() > 0 {
            self.guard().collect();
        }
        assert_eq!(drops.load(SeqCst), 20, "{name}");
        assert_eq!(self.stats().panicked, 10, "{name}");
    }

    fn destructor_uses_the_domain(&self, name: &str) {
        struct Chain<R: Reclaim>(Option<Box<Chain<R>>>, R, Arc<AtomicUsize>);
        impl<R: Reclaim> Drop for Chain<R> {
            fn drop(&mut self) {
                self.2.fetch_add(1, SeqCst);
                if let Some(next) = self.0.take() {
                    retire(&self.1, *next);
                    self.1.guard().collect();
                }
            }
        }
        let drops = Arc::new(AtomicUsize::new(0));
        let chain = (0..20).fold(None, |next, _| {
            Some(Box::new(Chain(next, self.clone(), Arc::clone(&drops))))
        });
        retire(self, chain);
        while self.stats().pending() > 0 {
            self.guard().collect();
        }
        assert_eq!(drops.load(SeqCst), 20, "{name}");
    }

    /// Counts begin anew, and what is pending stays pending and is freed like the rest.
    fn reset(&self, name: &str) {
        let drops = Arc::new(AtomicUsize::new(0));
        self.retire_some(1_000, &drops);
        retire(self, Bomb(Arc::clone(&drops)));
        while self.stats().pending() > 0 {
            self.guard().collect();
        }
        assert_eq!((self.stats().freed, self.stats().panicked), (1_001, 1));
        let shared = Shared::new(self, Canary::new(&drops));
        let value = shared.read();
        shared.replace(Canary::new(&drops));
        let before = self.stats();
        assert_eq!((before.retired, before.pending()), (1_002, 1), "{name}");
        self.reset_stats();
        let after = self.stats();
        assert_eq!((after.retired, after.freed, after.panicked), (1, 0, 0));
        assert_eq!((after.slots, after.batch), (before.slots, before.batch));
        assert_eq!(value.alive, ALIVE);
        drop(value);
        while self.stats().pending() > 0 {
            // Both slots: the object lies with the one that was not the reader's.
            for mut guard in [self.guard(), self.guard()] {
                guard.collect();
            }
        }
        assert_eq!((self.stats().retired, self.stats().freed), (1, 1), "{name}");
    }

    fn retire_some(&self, count: usize, drops: &Arc<AtomicUsize>) {
        (0..count).for_each(|_| retire(self, Canary::new(drops)));
    }
}

#[test]
fn readers_beside_writers_see_only_the_living() {
    with_each(|name, make| make().readers_and_writers(name));
}

#[test]
fn a_thousand_short_threads_share_a_few_slots() {
    with_each(|name, make| make().short_threads(name));
}

#[test]
fn nested_guards_protect_each_their_own() {
    with_each(|name, make| make().nested(name));
}

#[test]
fn a_panic_in_a_destructor_loses_nothing() {
    with_each(|name, make| make().panics(name));
}

#[test]
fn a_reset_keeps_what_is_pending() {
    with_each(|name, make| make().reset(name));
}

#[test]
fn destructors_may_retire_and_collect() {
    with_each(|name, make| make().destructor_uses_the_domain(name));
}

#[test]
fn everything_is_freed_once_the_domain_is_gone() {
    fn check<R: Reclaim>(domain: R) {
        let drops = Arc::new(AtomicUsize::new(0));
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let (domain, drops) = (domain.clone(), Arc::clone(&drops));
                std::thread::spawn(move || domain.retire_some(5_000, &drops))
            })
            .collect();
        for thread in threads {
            thread.join().unwrap();
        }
        domain.retire_some(5_000, &drops);
        assert_eq!(domain.stats().retired, 25_000);
        drop(domain);
        assert_eq!(drops.load(SeqCst), 25_000);
    }
    check(PublishOnPing::new());
    check(PublishOnPing::fenced());
    check(Epoch::new());
}

/// The comparison the two strategies are chosen by. One thread reads and stalls; two others
/// retire.
#[test]
fn behind_a_stalled_reader_slots_are_bounded_and_epochs_grow() {
    const EACH: usize = 50_000;
    fn pending_most<R: Reclaim>(domain: &R) -> (u64, u64) {
        let drops = Arc::new(AtomicUsize::new(0));
        let shared = Shared::new(domain, Canary::new(&drops));
        let (stalled, has_stalled) = channel::<()>();
        let (resume, is_resumed) = channel::<()>();
        std::thread::scope(|threads| {
            let shared = &shared;
            let reader = threads.spawn(move || {
                let value = shared.read();
                stalled.send(()).unwrap();
                is_resumed.recv().unwrap();
                assert_eq!(value.alive, ALIVE);
            });
            has_stalled.recv().unwrap();
            let replace = || {
                let mut most = 0;
                for at in 0..EACH {
                    shared.replace(Canary::new(&drops));
                    if at % 16 == 0 {
                        most = most.max(domain.stats().pending());
                    }
                }
                most
            };
            let (one, two) = (threads.spawn(replace), threads.spawn(replace));
            let most = one.join().unwrap().max(two.join().unwrap());
            let stats = domain.stats();
            resume.send(()).unwrap();
            reader.join().unwrap();
            (most.max(stats.pending()), stats.pending_max())
        })
    }
    for domain in [
        PublishOnPing::new(),
        PublishOnPing::fenced().with_batch(256),
    ] {
        let (most, limit) = pending_most(&domain);
        println!(
            "slots ({:?}): at most {most} pending, limit {limit}",
            domain.form()
        );
        assert!(most <= limit, "{most} pending, {limit} allowed");
        assert!(limit <= 4_096 + 16, "{limit}");
    }
    let (most, _) = pending_most(&Epoch::new());
    println!("epochs: {most} pending");
    assert!(most > EACH as u64, "{most} pending");
}

/// Late comers do not add to the batch while there are few.
#[test]
fn quotas_stay_within_the_batch() {
    let domain = PublishOnPing::new().with_batch(1_024);
    let guards: Vec<_> = (0..8).map(|_| domain.guard()).collect();
    assert_eq!(domain.stats().slots, 8);
    assert_eq!(domain.stats().batch, 1_024);
    drop(guards);
    let guards: Vec<_> = (0..64).map(|_| domain.guard()).collect();
    assert!(
        domain.stats().batch <= 1_024 + 64 * 64,
        "{:?}",
        domain.stats()
    );
    drop(guards);
}

#[test]
fn a_parked_guard_holds_back_one_object_until_the_next() {
    let domain = PublishOnPing::new();
    let drops = Arc::new(AtomicUsize::new(0));
    let source = AtomicPtr::new(Box::into_raw(Box::new(Canary::new(&drops))));
    let mut guard = domain.guard();
    let first = guard.protect(&source);
    guard.park();
    let mut guard = domain.guard();
    assert_eq!(guard.protect(&source), first);
    guard.park();

    let old = source.swap(null_mut(), AcqRel);
    let mut guard = domain.guard();
    // SAFETY: from a box, and out of the only source.
    unsafe { guard.retire(old) };
    guard.collect();
    assert_eq!(drops.load(SeqCst), 0);
    assert!(guard.protect(&source).is_null());
    guard.collect();
    assert_eq!(drops.load(SeqCst), 1);
}

/// What is returned was found in the source, expected or not, and is protected.
#[test]
fn what_is_expected_is_looked_for_and_not_believed() {
    fn check<R: Reclaim>(domain: &R) {
        let drops = Arc::new(AtomicUsize::new(0));
        let boxed = || Box::into_raw(Box::new(Canary::new(&drops)));
        let (old, new) = (boxed(), boxed());
        let source = AtomicPtr::new(old);
        let mut guard = domain.guard();
        assert_eq!(guard.protect_expected(&source, old), old);
        source.store(new, SeqCst);
        assert_eq!(guard.protect_expected(&source, old), new);
        assert_eq!(guard.protect_expected(&source, null_mut()), new);
        // The old one is not protected any more, the new one is.
        let mut other = domain.guard();
        source.store(null_mut(), SeqCst);
        // SAFETY: from boxes, out of the only source, and retired once.
        unsafe {
            other.retire(old);
            other.retire(new);
        }
        other.collect();
        // SAFETY: protected since before it was retired.
        assert_eq!(unsafe { &*new }.alive, ALIVE);
        assert!(guard.protect_expected(&source, new).is_null());
    }
    check(&PublishOnPing::new());
    check(&PublishOnPing::fenced());
    check(&Epoch::new());
}

#[test]
fn domains_do_not_mix_on_one_thread() {
    let (one, two) = (PublishOnPing::new(), PublishOnPing::fenced());
    let drops = Arc::new(AtomicUsize::new(0));
    for _ in 0..100 {
        let (first, second) = (one.guard(), two.guard());
        retire(&one, Canary::new(&drops));
        retire(&two, Canary::new(&drops));
        drop((first, second));
    }
    drop(one);
    assert_eq!(drops.load(SeqCst), 100);
    retire(&two, Canary::new(&drops));
    assert_eq!(two.stats().retired, 101);
    drop(two);
    assert_eq!(drops.load(SeqCst), 201);
}

#[test]
fn the_form_is_what_was_asked_for() {
    assert_eq!(PublishOnPing::fenced().form(), Form::Fenced);
    assert_eq!(PublishOnPing::new().form(), Form::best());
    assert_eq!(Form::best(), Form::best());
}

/// A guard in a thread-local of the user's, dropped after the crate's own are gone or before.
#[test]
fn guards_outlive_thread_locals() {
    use std::cell::RefCell;
    use std::sync::OnceLock;
    static DOMAIN: OnceLock<PublishOnPing> = OnceLock::new();
    thread_local! {
        static KEPT: RefCell<Option<cortica_reclaim::PingGuard<'static>>> = const { RefCell::new(None) };
    }
    let domain = DOMAIN.get_or_init(PublishOnPing::new);
    for kept_first in [true, false] {
        for _ in 0..10 {
            let thread = std::thread::spawn(move || {
                if kept_first {
                    KEPT.with(|kept| *kept.borrow_mut() = None);
                }
                let guard = domain.guard();
                drop(domain.guard()); // A second one, which goes back first.
                KEPT.with(|kept| *kept.borrow_mut() = Some(guard));
            });
            thread.join().unwrap();
        }
    }
    assert!(domain.stats().slots <= 2, "{:?}", domain.stats());
}

#[test]
fn a_batch_without_end_is_cut_to_what_there_can_be() {
    let domain = PublishOnPing::new().with_batch(usize::MAX);
    let guards: Vec<_> = (0..100).map(|_| domain.guard()).collect();
    retire(&domain, 7);
    let stats = domain.stats();
    assert!(stats.pending_max() >= stats.batch, "{stats:?}");
    drop(guards);

    let mut stats = stats;
    (stats.slots, stats.batch) = (u64::MAX, u64::MAX);
    assert_eq!(stats.pending_max(), u64::MAX);
}

/// Takes a guard and drops it, so that the thread keeps the slot.
fn touch(domain: &PublishOnPing) {
    drop(domain.guard());
}

/// What is made apart and dropped leaves its slot to the next.
#[test]
fn dropped_parts_give_their_slots_back() {
    for parked in [false, true] {
        let domain = PublishOnPing::new();
        let drops = Arc::new(AtomicUsize::new(0));
        let source = AtomicPtr::new(Box::into_raw(Box::new(Canary::new(&drops))));
        for _ in 0..2_000 {
            let apart = domain.apart();
            touch(&domain);
            let mut guard = apart.guard();
            guard.protect(&source);
            if parked {
                guard.park();
            }
        }
        assert!(domain.stats().slots <= 4, "{:?}", domain.stats());
        let mut guard = domain.guard();
        // SAFETY: from a box; nobody else takes it out.
        unsafe { guard.retire(source.swap(null_mut(), AcqRel)) };
        drop(guard);
        assert_eq!(drops.load(SeqCst), 0);
        touch(&domain.apart());
        touch(&domain.apart()); // Now the last of those above has let go.
        domain.guard().collect();
        assert_eq!(drops.load(SeqCst), 1, "parked: {parked}");
    }
}

/// Many at once, dropped in another order and by another thread: their slots are used again, and
/// those of what is still there are left alone.
#[test]
fn parts_that_live_keep_their_slots() {
    let domain = PublishOnPing::new();
    let mut parts: Vec<_> = (0..100).map(|_| domain.apart()).collect();
    let object = AtomicPtr::new(Box::into_raw(Box::new(7_u64)));
    for part in &parts {
        let mut guard = part.guard();
        guard.protect(&object);
        guard.park();
    }
    assert_eq!(domain.stats().slots, 100);
    let mut turn = 0;
    let gone: Vec<_> = parts
        .extract_if(.., |_| {
            turn += 1;
            turn % 2 == 0
        })
        .collect();
    std::thread::spawn(|| drop(gone)).join().unwrap();
    for _ in 0..1_000 {
        touch(&domain.apart());
    }
    assert!(domain.stats().slots <= 203, "{:?}", domain.stats());
    let pointer = object.load(SeqCst);
    // As many as are remembered are known as parked still, and none as what it is not.
    assert!(parts.iter().filter(|part| part.has_parked(pointer)).count() <= 4);
    drop(parts);
    // SAFETY: from a box, and what was parked is not looked at any more.
    drop(unsafe { Box::from_raw(pointer) });
}

/// A thread that uses many domains in turn finds its slot in each, and gives all back.
#[test]
fn a_thousand_domains_on_one_thread() {
    let domains: Arc<[_]> = (0..1_000).map(|_| PublishOnPing::new()).collect();
    for _ in 0..3 {
        let domains = Arc::clone(&domains);
        let thread = std::thread::spawn(move || {
            for _ in 0..3 {
                domains.iter().for_each(touch);
            }
            let guards: Vec<_> = domains.iter().map(Reclaim::guard).collect();
            assert_eq!(guards.len(), 1_000);
        });
        thread.join().unwrap();
    }
    for domain in &*domains {
        assert_eq!(domain.stats().slots, 1, "{:?}", domain.stats());
    }
}

/// Domains that are gone are forgotten while others come.
#[test]
fn domains_come_and_go_on_one_thread() {
    let stays = PublishOnPing::new();
    let drops = Arc::new(AtomicUsize::new(0));
    for round in 0..2_000 {
        let domain = PublishOnPing::new();
        retire(&domain, Canary::new(&drops));
        touch(&stays);
        drop(domain);
        assert_eq!(drops.load(SeqCst), round + 1);
    }
    assert_eq!(stays.stats().slots, 1);
}
