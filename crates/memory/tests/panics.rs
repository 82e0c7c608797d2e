//! A panic in the middle of a write leaves nothing of it behind.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{Clock, SimDisk, Timestamp};
use cortica_memory::{Episode, MemoryStore, StoreOptions};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A clock that panics at one reading.
#[derive(Debug, Default)]
struct Faulty(AtomicU64);

impl Clock for Faulty {
    fn now(&self) -> Timestamp {
        assert!(self.0.fetch_add(1, Relaxed) != 7, "on purpose");
        Timestamp::from_micros(42)
    }
}

#[test]
fn what_a_panic_interrupts_is_not_in_the_log() {
    let disk = SimDisk::new();
    let open = || {
        let options = StoreOptions {
            disk: Arc::new(disk.clone()),
            clock: Arc::new(Faulty::default()),
            ..StoreOptions::default()
        };
        MemoryStore::open(Path::new("store"), options).unwrap()
    };
    let store = open();
    let episode = |name: &str, at: usize| Episode::new(format!("{name} {at}"), format!("{at}"));
    let all = || (0..10).map(|at| episode("lost", at)).collect();
    let panicked = catch_unwind(AssertUnwindSafe(|| store.store_many(all())));
    assert!(panicked.is_err());
    assert_eq!(store.stats().episodes, 0);
    for at in 0..10 {
        store.store(episode("kept", at)).unwrap();
    }
    let digest = store.state_digest();
    drop(store);
    let store = open();
    assert_eq!(store.state_digest(), digest);
    assert!(store.get("lost 0").is_none() && store.get("kept 9").is_some());
}
