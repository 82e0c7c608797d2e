//! A snapshot while others store holds, of what each of them did, all up to one operation and nothing
//! behind it; and everything that was acknowledged before the snapshot was asked for.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{Disk, Keep, SimDisk};
use cortica_memory::{Episode, Exported, MemoryStore, StoreOptions, restore};
use cortica_storage::{Durability, OpenMode};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

const SNAPSHOTS: usize = 12;
const WRITERS: usize = 2;

/// What one writer did: how many operations it began, and how many were acknowledged.
#[derive(Default)]
struct Progress {
    begun: AtomicUsize,
    done: AtomicUsize,
}

/// Operation number `n` of a writer: mostly it stores, then updates what it stored, then forgets.
enum Operation {
    Store(usize, String),
    Forget(usize),
}

impl Operation {
    /// No two have the same text, which would reinforce the episode that has it.
    fn number(writer: usize, n: usize) -> Self {
        match n % 5 {
            3 => Self::Store(n - 2, format!("{writer}, again {n}")),
            4 => Self::Forget(n - 2),
            _ => Self::Store(n, format!("{writer}, first {n} {}", "x".repeat(n % 200))),
        }
    }

    fn apply(self, state: &mut BTreeMap<String, String>, writer: usize) {
        match self {
            Self::Store(id, text) => drop(state.insert(format!("{writer}/{id}"), text)),
            Self::Forget(id) => drop(state.remove(&format!("{writer}/{id}"))),
        }
    }
}

fn options(disk: &SimDisk, mode: OpenMode) -> StoreOptions {
    StoreOptions {
        disk: Arc::new(disk.clone()),
        segment_bytes: 16 << 10,
        mode,
        ..StoreOptions::default()
    }
}

fn write(store: &MemoryStore, writer: usize, progress: &Progress, pace: &Pace) {
    let _over = Over(pace); // Where it fails, the others need not wait.
    for n in 0.. {
        while !pace.go.load(SeqCst) && !pace.over.load(SeqCst) {
            thread::sleep(Duration::from_micros(200));
        }
        if pace.over.load(SeqCst) {
            return;
        }
        progress.begun.store(n + 1, SeqCst);
        let reached = match Operation::number(writer, n) {
            Operation::Store(id, text) => {
                let stored = store.store(Episode::new(format!("{writer}/{id}"), text));
                stored.unwrap().durability
            }
            Operation::Forget(id) => store.forget(&format!("{writer}/{id}")).unwrap().durability,
        };
        assert_eq!(reached, Durability::Durable);
        progress.done.store(n + 1, SeqCst);
    }
}

/// When the writers write: not while a snapshot is looked at, so that the test ends.
#[derive(Default)]
struct Pace {
    go: AtomicBool,
    over: AtomicBool,
}

/// Ends the writers when the test is over, however it ends.
struct Over<'a>(&'a Pace);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, SeqCst);
    }
}

/// All ids and texts of a store.
fn contents(disk: &SimDisk, dir: &Path) -> BTreeMap<String, String> {
    let store = MemoryStore::open(dir, options(disk, OpenMode::ReadOnly)).unwrap();
    let mut all = BTreeMap::new();
    let exported = store.export(|exported| {
        if let Exported::Episode { memory, .. } = exported {
            all.insert(memory.id.to_string(), memory.what.clone());
        }
        Ok::<(), ()>(())
    });
    exported.unwrap();
    all
}

/// Up to which operation of a writer these contents go: at least `done` of them, at most `begun`.
fn reached(all: &BTreeMap<String, String>, writer: usize, done: usize, begun: usize) -> usize {
    let prefix = format!("{writer}/");
    let own = all.iter().filter(|(id, _)| id.starts_with(&prefix));
    let own: BTreeMap<_, _> = own.map(|(id, text)| (id.clone(), text.clone())).collect();
    let mut state = BTreeMap::new();
    for n in 0..=begun {
        if n >= done && state == own {
            return n;
        }
        Operation::number(writer, n).apply(&mut state, writer);
    }
    let last = own.last_key_value();
    panic!("writer {writer}: no state between operations {done} and {begun} ends with {last:?}");
}

#[test]
fn a_snapshot_beside_writers_is_a_prefix_of_what_each_of_them_did() {
    let disk = SimDisk::new();
    let dir = Path::new("/data/store");
    let store = MemoryStore::open(dir, options(&disk, OpenMode::CreateIfMissing)).unwrap();
    let progress: [Progress; WRITERS] = Default::default();
    let pace = Pace::default();
    let mut meanwhile = 0;
    thread::scope(|scope| {
        for (writer, progress) in progress.iter().enumerate() {
            let (store, pace) = (&store, &pace);
            scope.spawn(move || write(store, writer, progress, pace));
        }
        let _over = Over(&pace);
        for number in 0..SNAPSHOTS {
            pace.go.store(true, SeqCst);
            // Each writer has gone on since the last one.
            let before: Vec<usize> = progress.iter().map(|it| it.done.load(SeqCst)).collect();
            let went_on = |at: usize| progress[at].done.load(SeqCst) >= before[at] + 100;
            while !(0..WRITERS).all(went_on) && !pace.over.load(SeqCst) {
                thread::yield_now();
            }
            let done = progress.each_ref().map(|it| it.done.load(SeqCst));
            let copy = format!("/data/copy{number}");
            let copied = store.snapshot(Path::new(&copy)).unwrap();
            let begun = progress.each_ref().map(|it| it.begun.load(SeqCst));
            pace.go.store(false, SeqCst);
            // It is durable when it is acknowledged, and comes back as a store.
            let left = disk.power_cut(Keep::Nothing);
            let arc: Arc<dyn Disk> = Arc::new(left.clone());
            let back = Path::new("/data/back");
            restore(&arc, Path::new(&copy), back).unwrap();
            let all = contents(&left, back);
            assert_eq!(all, contents(&left, Path::new(&copy)));
            assert!(copied.records as usize >= all.len());
            for writer in 0..WRITERS {
                let reached = reached(&all, writer, done[writer], begun[writer]);
                meanwhile += reached - done[writer];
            }
        }
    });
    let all: usize = progress.iter().map(|it| it.done.load(SeqCst)).sum();
    let compactions = store.stats().compactions;
    println!(
        "{SNAPSHOTS} snapshots beside {all} operations and {compactions} compactions; \
         {meanwhile} operations came in between asking and taking"
    );
    assert!(compactions > 0, "nothing was compacted meanwhile");
    store.close().unwrap();
}
