//! A kernel that refuses membarrier after it was counted on, or from the start.
#![cfg(all(not(loom), target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "in helpers, a panic is the report, too")]

mod child;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use cortica_reclaim::{Form, Protect, PublishOnPing, Reclaim};

struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

fn retire_some(domain: &PublishOnPing, count: usize, drops: &Arc<AtomicUsize>) {
    for _ in 0..count {
        let pointer = Box::into_raw(Box::new(Counted(Arc::clone(drops))));
        // SAFETY: a new box that nobody else has.
        unsafe { domain.guard().retire(pointer) };
    }
}

#[test]
fn what_is_refused_waits_for_the_domain() {
    if !child::is_alone("what_is_refused_waits_for_the_domain") {
        return;
    }
    let domain = PublishOnPing::new().with_batch(64);
    if domain.form() != Form::Membarrier {
        println!("skipped: the kernel has no membarrier");
        return;
    }
    let drops = Arc::new(AtomicUsize::new(0));
    retire_some(&domain, 1_000, &drops);
    domain.guard().collect();
    assert_eq!(drops.load(SeqCst), 1_000);
    assert_eq!(domain.stats().refused, 0);

    if !child::refuse_membarrier() {
        return;
    }
    retire_some(&domain, 1_000, &drops);
    let stats = domain.stats();
    assert_eq!(drops.load(SeqCst), 1_000, "freed without looking");
    assert_eq!((stats.freed, stats.pending()), (1_000, 1_000));
    assert!(stats.refused > 0, "{stats:?}");
    drop(domain);
    assert_eq!(drops.load(SeqCst), 2_000);
}

#[test]
fn readers_fence_where_membarrier_was_never_there() {
    if !child::is_alone("readers_fence_where_membarrier_was_never_there")
        || !child::refuse_membarrier()
    {
        return;
    }
    let domain = PublishOnPing::new();
    assert_eq!(domain.form(), Form::Fenced);
    let drops = Arc::new(AtomicUsize::new(0));
    retire_some(&domain, 1_000, &drops);
    domain.guard().collect();
    assert_eq!(drops.load(SeqCst), 1_000);
    assert_eq!(domain.stats().refused, 0);
}
