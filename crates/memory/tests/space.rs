//! A store that lives long stays small: files and bytes, after many single writes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{association, vector};
use cortica_env::{ManualClock, Timestamp};
use cortica_index::Metric;
use cortica_memory::{Episode, MemoryStore, SpaceSpec, StoreOptions};
use cortica_storage::Durability;
use cortica_testkit::Rng;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const OPERATIONS: usize = 100_000;

/// How many files there are below a folder, and how long they are together.
fn on_disk(folder: &Path) -> (u64, u64) {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.fold((0, 0), |(files, bytes), entry| {
        let about = entry.metadata().unwrap();
        let (more, longer) = if about.is_dir() {
            on_disk(&entry.path())
        } else {
            (1, about.len())
        };
        (files + more, bytes + longer)
    })
}

/// Bytes that the log needs for what the store holds: what a compacted log has.
fn live_bytes(store: &MemoryStore) -> u64 {
    let stats = store.stats();
    stats.log_bytes - stats.dead_bytes
}

#[test]
fn after_100_000_inserts_updates_and_deletes_files_are_few_and_the_disk_is_not_wasted() {
    let worst = live_long(256 << 10);
    assert!(worst < 1.5, "{worst} x live");
}

/// With files of the size that they have by default, what a store of this size takes on the way goes by the size
/// of one file; compacted, by what is live.
#[test]
fn the_same_with_files_of_the_size_they_have_by_default() {
    live_long(StoreOptions::default().segment_bytes);
}

/// Says how many times what is live the disk held at most on the way.
fn live_long(segment_bytes: u64) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("store");
    let clock = Arc::new(ManualClock::new(Timestamp::from_micros(1)));
    let options = || StoreOptions {
        space: Some(SpaceSpec::new(common::DIMENSION).with_metric(Metric::Dot)),
        durability: Durability::Buffered,
        clock: clock.clone(),
        segment_bytes,
        ..StoreOptions::default()
    };
    let mut store = MemoryStore::open(&dir, options()).unwrap();
    let mut rng = Rng::new(7);
    // Ids from a window that moves on, so that some are updated and some forgotten.
    let mut held = Vec::new();
    let (mut most_files, mut worst) = (0, 0.0_f64);
    for operation in 0..OPERATIONS {
        let episode = |id: String, rng: &mut Rng| {
            let text = format!("{operation} {}", "word ".repeat(60 + rng.below(60)));
            Episode::new(id, text).with_embedding(vector(rng))
        };
        match rng.below(10) {
            0..4 if held.len() < 20_000 => {
                let id = format!("id-{operation}");
                store.store(episode(id.clone(), &mut rng)).unwrap();
                held.push(id);
            }
            0..7 if !held.is_empty() => {
                let id = held[rng.below(held.len())].clone();
                store.store(episode(id, &mut rng)).unwrap();
            }
            _ if !held.is_empty() => {
                let id = held.swap_remove(rng.below(held.len()));
                store.forget(&id).unwrap();
            }
            _ => {}
        }
        if operation % 5_000 == 4_999 {
            let (files, bytes) = on_disk(&dir);
            most_files = most_files.max(files);
            if live_bytes(&store) > 2 << 20 {
                // Beside the log, space is held that is given up when the disk is full.
                let reserve = fs::metadata(dir.join("reserve")).map_or(0, |about| about.len());
                worst = worst.max((bytes - reserve) as f64 / live_bytes(&store) as f64);
            }
        }
        if operation % 30_000 == 29_999 {
            let before = store.state_digest();
            store.close().unwrap();
            store = MemoryStore::open(&dir, options()).unwrap();
            assert_eq!(store.state_digest(), before);
        }
    }
    let stats = store.stats();
    assert_eq!(stats.episodes, held.len() as u64);
    let before = store.state_digest();
    store.compact().unwrap();
    store.close().unwrap();
    let (files, bytes) = on_disk(&dir);
    let store = MemoryStore::open(&dir, options()).unwrap();
    assert_eq!(store.state_digest(), before);
    let live = live_bytes(&store);
    println!(
        "{OPERATIONS} operations: {} episodes, {} compactions by itself, at most {most_files} \
         files and {worst:.2} x live; compacted {files} files, {bytes} bytes for {live} live",
        stats.episodes, stats.compactions
    );
    assert!(most_files < 200, "{most_files} files");
    assert!(
        files < 200 && (bytes as f64) < 1.5 * live as f64,
        "{bytes} for {live}"
    );
    worst
}

/// Bytes of what was forgotten or replaced: in no file after a compaction, nor in a snapshot.
#[test]
fn forgotten_bytes_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let (dir, snapshot) = (folder.path().join("store"), folder.path().join("snapshot"));
    let options = StoreOptions {
        space: Some(SpaceSpec::new(common::DIMENSION).with_metric(Metric::Dot)),
        durability: Durability::Buffered,
        segment_bytes: 16 << 10,
        ..StoreOptions::default()
    };
    let store = MemoryStore::open(&dir, options).unwrap();
    let mut rng = Rng::new(3);
    let secret = |number: usize| format!("secret-{number:04}");
    let vector = |number: usize| vec![number as f32 + 0.123_456; common::DIMENSION];
    for number in 0..1_000 {
        let plain = common::episode(&mut rng);
        let marked = Episode::new(format!("marked-{number}"), secret(number));
        let marked = marked.with_embedding(vector(number));
        let answers = store.store_many(vec![plain, marked]);
        assert!(answers.iter().all(Result::is_ok));
        store.associate_many(&[association(&mut rng)]);
    }
    let anywhere = |dir: &Path| -> usize {
        let mut bytes = Vec::new();
        read_all(dir, &mut bytes);
        let words: Vec<Vec<u8>> = (0..1_000)
            .flat_map(|number| {
                let values = vector(number)[..2].to_vec();
                let vector = values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect();
                [secret(number).into_bytes(), vector]
            })
            .collect();
        let of_length = |length: usize| -> std::collections::HashSet<&[u8]> {
            words
                .iter()
                .map(Vec::as_slice)
                .filter(|word| word.len() == length)
                .collect()
        };
        let found = [8, 11].map(|length| {
            let words = of_length(length);
            bytes
                .windows(length)
                .filter(|window| words.contains(window))
                .count()
        });
        found.iter().sum()
    };
    assert!(anywhere(&dir) >= 2_000, "the search finds what is there");
    for number in 0..1_000 {
        let id = format!("marked-{number}");
        if number % 2 == 0 {
            store.forget(&id).unwrap();
        } else {
            store.store(Episode::new(&id, number.to_string())).unwrap();
        }
    }
    store.snapshot(&snapshot).unwrap();
    assert_eq!(anywhere(&snapshot), 0);
    store.compact().unwrap();
    assert_eq!(anywhere(&dir), 0);
}

fn read_all(dir: &Path, into: &mut Vec<u8>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_all(&path, into);
        } else {
            into.extend(fs::read(path).unwrap());
        }
    }
}
