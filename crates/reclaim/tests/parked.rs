//! What a thread's parked guards protect, and how it gets to know.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its report")]

use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};

use cortica_reclaim::{Protect, PublishOnPing, Reclaim};

fn source<T>(value: T) -> AtomicPtr<T> {
    AtomicPtr::new(Box::into_raw(Box::new(value)))
}

fn park<T>(domain: &PublishOnPing, source: &AtomicPtr<T>) -> *mut T {
    let mut guard = domain.guard();
    let pointer = guard.protect(source);
    guard.park();
    pointer
}

/// Takes the object out and retires it, on a thread of its own; how many objects are pending then.
fn retire_elsewhere<T: Send + Sync>(domain: &PublishOnPing, source: &AtomicPtr<T>) -> u64 {
    std::thread::scope(|threads| {
        let retire = || {
            let mut guard = domain.guard();
            let pointer = source.swap(null_mut(), SeqCst);
            // SAFETY: from a box, taken out just now, and retired once.
            unsafe { guard.retire(pointer) };
            guard.collect();
            domain.stats().pending()
        };
        threads.spawn(retire).join().unwrap()
    })
}

#[test]
fn what_is_parked_is_known_until_the_next_guard() {
    let domain = PublishOnPing::new();
    let (one, two) = (source(1), source(2));
    assert!(!domain.has_parked(one.load(SeqCst)));
    let first = park(&domain, &one);
    assert!(domain.has_parked(first) && domain.clone().has_parked(first));
    assert!(!domain.has_parked(two.load(SeqCst)));
    assert!(!domain.has_parked(null_mut::<u8>()));
    assert!(!PublishOnPing::new().has_parked(first), "of another domain");
    let elsewhere = std::thread::scope(|threads| {
        let look = || domain.has_parked(one.load(SeqCst));
        threads.spawn(look).join().unwrap()
    });
    assert!(!elsewhere, "of another thread");
    let second = park(&domain, &two);
    assert!(domain.has_parked(second) && !domain.has_parked(first));
    let guard = domain.guard();
    assert!(!domain.has_parked(second));
    drop(guard); // It lets go.
    assert!(!domain.has_parked(second));
    retire_elsewhere(&domain, &one);
    assert_eq!(retire_elsewhere(&domain, &two), 0);
}

#[test]
fn nothing_parked_is_freed() {
    let domain = PublishOnPing::new();
    let value = Arc::new(7);
    let source = source(Arc::clone(&value));
    let pointer = park(&domain, &source);
    assert_eq!(retire_elsewhere(&domain, &source), 1);
    assert!(domain.has_parked(pointer));
    // SAFETY: parked, as asked just now.
    assert_eq!(unsafe { &**pointer }, &7);
    assert_eq!(Arc::strong_count(&value), 2);
    let mut guard = domain.guard();
    guard.release();
    assert!(!domain.has_parked(pointer));
    drop(guard);
    drop(domain);
    assert_eq!(Arc::strong_count(&value), 1);
}

/// A guard from one of them leaves alone what was parked by one from the other; both hold back what
/// is retired through either.
#[test]
fn what_is_parked_apart_stays() {
    let domain = PublishOnPing::new();
    let apart = domain.apart();
    let (one, two) = (source(1), source(2));
    let first = park(&domain, &one);
    let second = park(&apart, &two);
    assert!(domain.has_parked(first) && apart.has_parked(second));
    assert!(!domain.has_parked(second) && !apart.has_parked(first));
    assert_eq!(retire_elsewhere(&apart, &one), 1);
    assert_eq!(retire_elsewhere(&domain, &two), 2);
    drop(apart.guard());
    assert!(domain.has_parked(first), "another's guard changed nothing");
    drop(domain.guard());
    // The next thread takes over what those before it left.
    assert_eq!(retire_elsewhere(&domain, &source(3)), 0);
}

/// More domains than are remembered: what is forgotten is protected all the same.
#[test]
fn many_domains_share_the_places() {
    let domains: Vec<_> = (0..9).map(|_| PublishOnPing::new()).collect();
    let sources: Vec<_> = (0..9).map(source).collect();
    let pointers: Vec<_> = domains
        .iter()
        .zip(&sources)
        .map(|(domain, source)| park(domain, source))
        .collect();
    let known = |(domain, pointer): (&PublishOnPing, &*mut i32)| domain.has_parked(*pointer);
    assert!(domains.iter().zip(&pointers).any(known));
    for (domain, source) in domains.iter().zip(&sources) {
        assert_eq!(retire_elsewhere(domain, source), 1);
    }
    // SAFETY: each is parked by this thread, which has taken no guard since.
    let values: Vec<_> = pointers
        .iter()
        .map(|pointer| unsafe { **pointer })
        .collect();
    assert_eq!(values, (0..9).collect::<Vec<_>>());
}

/// Its slots have gone back, and what stood in them is let go.
#[test]
fn nothing_is_parked_when_the_thread_has_ended() {
    let domain = PublishOnPing::new();
    let one = source(1);
    std::thread::scope(|threads| {
        // Joined by hand: the scope alone does not wait for the thread's destructors.
        threads.spawn(|| _ = park(&domain, &one)).join().unwrap();
    });
    assert_eq!(retire_elsewhere(&domain, &one), 0);
}
