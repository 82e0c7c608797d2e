//! loom over the shipped sorted set and its slots, in their fenced form or with no fence at all. Run
//! by `cargo xtask loom`.
#![cfg(loom)]
#![allow(clippy::unwrap_used, reason = "in helpers, a panic is the report, too")]

mod watched;

use std::cmp::Ordering;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use cortica_reclaim::{Protect, PublishOnPing, Reclaim, SortedSet};
use loom::sync::Arc;
use loom::thread;
use watched::{DEAD, Watched, eager, explore};

impl Ord for Watched {
    fn cmp(&self, other: &Watched) -> Ordering {
        let (own, other) = (self.0.read(), other.0.read());
        assert!(own != DEAD && other != DEAD, "compared after it was freed");
        own.cmp(&other)
    }
}

impl PartialOrd for Watched {
    fn partial_cmp(&self, other: &Watched) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Watched) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Watched {}

type Set = SortedSet<Watched, PublishOnPing>;

/// A set of these keys and its domain.
fn set_of(domain: PublishOnPing, keys: &[u64]) -> (Arc<Set>, PublishOnPing) {
    let set = SortedSet::new(&domain);
    for key in keys {
        assert!(set.insert(Watched::new(*key)).is_ok());
    }
    (Arc::new(set), domain)
}

/// Runs two operations beside each other, and then what must hold.
fn beside<A: Send + 'static, B: Send + 'static>(
    set: &Arc<Set>,
    one: impl FnOnce(&Set) -> A + Send + 'static,
    two: impl FnOnce(&Set) -> B + Send + 'static,
) -> (A, B) {
    let one = thread::spawn({
        let set = set.clone();
        move || one(&set)
    });
    let two = thread::spawn({
        let set = set.clone();
        move || two(&set)
    });
    (one.join().unwrap(), two.join().unwrap())
}

#[test]
fn a_search_goes_through_what_is_removed() {
    static KEPT: AtomicBool = AtomicBool::new(false);
    static FREED: AtomicBool = AtomicBool::new(false);
    explore("a_search_goes_through_what_is_removed", 1, || {
        let (set, domain) = set_of(eager(), &[1, 2, 3]);
        let (found, pending) = beside(
            &set,
            |set| set.contains(&Watched::new(3)),
            move |set| {
                // One after the other: the first, removed, still points to the second.
                assert!(set.remove(&Watched::new(1)) && set.remove(&Watched::new(2)));
                // Each guard's slot may have some of it.
                let (mut one, mut two) = (domain.guard(), domain.guard());
                one.collect();
                two.collect();
                domain.stats().pending()
            },
        );
        assert!(found);
        match pending {
            0 => FREED.store(true, Relaxed),
            _ => KEPT.store(true, Relaxed),
        }
    });
    assert!(KEPT.load(Relaxed), "never met the search");
    assert!(FREED.load(Relaxed), "never freed");
}

#[test]
fn one_of_two_removes_a_key() {
    static FIRST: AtomicBool = AtomicBool::new(false);
    static SECOND: AtomicBool = AtomicBool::new(false);
    explore("one_of_two_removes_a_key", 1, || {
        let (set, domain) = set_of(eager(), &[1]);
        let remove = |set: &Set| set.remove(&Watched::new(1));
        match beside(&set, remove, remove) {
            (true, false) => FIRST.store(true, Relaxed),
            (false, true) => SECOND.store(true, Relaxed),
            both => panic!("{both:?}"),
        }
        assert_eq!(domain.stats().retired, 1);
    });
    assert!(
        FIRST.load(Relaxed) && SECOND.load(Relaxed),
        "one always won"
    );
}

/// The mark: what is linked behind a node while it is removed is not lost with it.
#[test]
fn nothing_is_linked_behind_what_is_removed() {
    static ORDER: [AtomicBool; 2] = [AtomicBool::new(false), AtomicBool::new(false)];
    explore("nothing_is_linked_behind_what_is_removed", 1, || {
        let (set, domain) = set_of(eager(), &[1]);
        let (inserted, before) = beside(
            &set,
            |set| set.insert(Watched::new(2)).is_ok(),
            |set| {
                assert!(set.remove(&Watched::new(1)));
                !set.contains(&Watched::new(2))
            },
        );
        assert!(inserted && set.contains(&Watched::new(2)) && !set.contains(&Watched::new(1)));
        assert_eq!(domain.stats().retired, 1);
        ORDER[usize::from(before)].store(true, Relaxed);
    });
    assert!(
        ORDER.iter().all(|seen| seen.load(Relaxed)),
        "one order only"
    );
}

#[test]
fn neighbours_are_removed_at_once() {
    static HELPED: AtomicBool = AtomicBool::new(false);
    static BY_BOTH: AtomicBool = AtomicBool::new(false);
    explore("neighbours_are_removed_at_once", 1, || {
        let (set, domain) = set_of(eager(), &[1, 2, 3]);
        let remove = |key| {
            let domain = domain.clone();
            move |set: &Set| {
                assert!(set.remove(&Watched::new(key)));
                domain.stats().retired
            }
        };
        let (one, two) = beside(&set, remove(1), remove(2));
        assert!(!set.contains(&Watched::new(1)) && !set.contains(&Watched::new(2)));
        assert!(set.contains(&Watched::new(3)));
        assert_eq!(domain.stats().retired, 2);
        match (one, two) {
            (2, 2) => HELPED.store(true, Relaxed),
            _ => BY_BOTH.store(true, Relaxed),
        }
    });
    assert!(
        HELPED.load(Relaxed) && BY_BOTH.load(Relaxed),
        "never at once"
    );
}

/// With no fence to help.
#[test]
fn keys_arrive_whole() {
    static FOUND: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    explore("keys_arrive_whole", 2, || {
        let (set, _) = set_of(PublishOnPing::unfenced(), &[]);
        let (inserted, found) = beside(
            &set,
            |set| set.insert(Watched::new(2)).is_ok(),
            |set| set.contains(&Watched::new(2)),
        );
        assert!(inserted);
        FOUND[usize::from(found)].store(true, Relaxed);
    });
    assert!(
        FOUND.iter().all(|seen| seen.load(Relaxed)),
        "one order only"
    );
}

/// The same for a key that is found through a link which another thread made, when it took out
/// the node before.
#[test]
fn keys_arrive_whole_through_others() {
    static FOUND: [AtomicBool; 2] = [const { AtomicBool::new(false) }; 2];
    explore("keys_arrive_whole_through_others", 1, || {
        let (set, _) = set_of(PublishOnPing::unfenced(), &[1]);
        let searcher = thread::spawn({
            let set = set.clone();
            move || set.contains(&Watched::new(2))
        });
        let remover = thread::spawn({
            let set = set.clone();
            move || assert!(set.remove(&Watched::new(1)))
        });
        assert!(set.insert(Watched::new(2)).is_ok());
        remover.join().unwrap();
        let found = searcher.join().unwrap();
        FOUND[usize::from(found)].store(true, Relaxed);
    });
    assert!(
        FOUND.iter().all(|seen| seen.load(Relaxed)),
        "one order only"
    );
}
