//! A full disk: what lets go of something is done as it is one by one, whatever else is in the list.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_batch::{Answer, Answered, Atomicity, Batch, BatchConfig, ItemError, Operation};
use cortica_env::{ManualClock, SimDisk, Timestamp};
use cortica_memory::{Episode, MemoryStore, StoreError, StoreOptions};
use std::path::Path;
use std::sync::Arc;

const SEGMENT_BYTES: u64 = 64 << 10;

/// A store on a disk without room for another episode, and how many it has.
fn full(capacity: u64) -> (Arc<MemoryStore>, usize) {
    let disk = SimDisk::new();
    disk.set_capacity(capacity);
    let options = StoreOptions {
        disk: Arc::new(disk),
        segment_bytes: SEGMENT_BYTES,
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(42))),
        ..StoreOptions::default()
    };
    let store = MemoryStore::open(Path::new("/data/store"), options).unwrap();
    let mut held = 0;
    let mut words = 200;
    loop {
        let text = format!("{held} {}", "word ".repeat(words));
        if store.store(Episode::new(format!("e{held}"), text)).is_ok() {
            held += 1;
        } else if words > 0 {
            words /= 2;
        } else {
            return (Arc::new(store), held);
        }
    }
}

/// What is done, and what is refused for want of room.
fn words(answer: &Answer) -> &'static str {
    match answer {
        Ok(Answered::Forgotten(_)) => "forgotten",
        Err(ItemError::Store(StoreError::Log(_))) => "no room",
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_to_be_forgotten_does_not_share_the_fate_of_what_finds_no_room() {
    for capacity in (256..512_u64).step_by(64) {
        let large = || Operation::Store(Episode::new("large", "word ".repeat(200_000)));
        let forget = |at: usize| Operation::forget(format!("e{at}"));
        let list = |held: usize| vec![large(), forget(0), large(), forget(held - 1)];
        let ((one, held), (many, as_many)) = (full(capacity << 10), full(capacity << 10));
        assert_eq!(held, as_many);
        let batch = Batch::over(&one);
        let alone = |operation| batch.run(vec![operation]).unwrap().answers.remove(0);
        let by_one: Vec<Answer> = list(held).into_iter().map(alone).collect();
        let done = Batch::over(&many).run(list(held)).unwrap();
        let one_by_one: Vec<_> = by_one.iter().map(words).collect();
        let together: Vec<_> = done.answers.iter().map(words).collect();
        assert_eq!(together, ["no room", "forgotten", "no room", "forgotten"]);
        assert_eq!(together, one_by_one);
        assert_eq!(many.state_digest(), one.state_digest());
    }
}

/// As many as there is room for at once, as one by one.
#[test]
fn all_that_is_to_be_forgotten_is() {
    for capacity in (256..640_u64).step_by(64) {
        let (store, held) = full(capacity << 10);
        let forget = |at: usize| Operation::forget(format!("e{at}"));
        let list = (0..held / 2).map(forget).collect();
        let done = Batch::over(&store).run(list).unwrap();
        assert!(
            done.answers
                .iter()
                .all(|answer| words(answer) == "forgotten")
        );
        assert_eq!(store.stats().episodes, (held - held / 2) as u64);
    }
}

#[test]
fn all_of_what_only_forgets_is_done_on_a_full_disk() {
    for capacity in (256..640_u64).step_by(64) {
        let (store, held) = full(capacity << 10);
        let mut config = BatchConfig::default();
        config.atomicity = Atomicity::All;
        let batch = Batch::over(&store).config(config);
        let forget = |at: usize| Operation::forget(format!("e{at}"));
        for few in 0..4 {
            let list = (20 * few..20 * (few + 1)).map(forget).collect();
            for answer in batch.run(list).unwrap().answers {
                assert_eq!(words(&answer), "forgotten", "{capacity}");
            }
        }
        assert_eq!(store.stats().episodes, (held - 80) as u64);
    }
}
