//! Logs whose checksums are right, and what their records make of a store.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::SimDisk;
use cortica_index::Metric;
use cortica_memory::{MemoryStore, OpenError, StoreOptions, check};
use cortica_storage::{Durability, Entry, Log, OpenMode};
use std::path::Path;
use std::sync::Arc;

fn open(disk: &SimDisk) -> Result<MemoryStore, OpenError> {
    let options = StoreOptions {
        disk: Arc::new(disk.clone()),
        ..StoreOptions::default()
    };
    MemoryStore::open(Path::new("store"), options)
}

const SPACE: u16 = 1;
const EPISODE: u16 = 2;
const LINKS: u16 = 3;
const FORGET: u16 = 4;
const ACTIVATION: u16 = 5;

/// Kind, dimension, seq and payload.
type Raw = (u16, u32, u64, Vec<u8>);

fn raw_episode(id: &str, embedding: &[f32]) -> Vec<u8> {
    let mut bytes: Vec<u8> = embedding
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    // Id, stored at 0, no time, empty text, no place, nobody, confidence 1, nothing else.
    bytes.push(id.len() as u8);
    bytes.extend(id.as_bytes());
    bytes.extend([0, 0, 0, 0, 0]);
    bytes.extend(1.0_f32.to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}

/// A log at `store` that holds these records.
fn raw_log(records: &[Raw], space: u32) -> SimDisk {
    let disk = SimDisk::new();
    let create = OpenMode::CreateIfMissing;
    let arc = Arc::new(disk.clone());
    let (mut log, _) = Log::open(arc, Path::new("store"), create, |_| Ok(())).unwrap();
    for (kind, dimension, seq, payload) in records {
        let (kind, dimension, seq) = (*kind, *dimension, *seq);
        let entry = Entry {
            space,
            kind,
            dimension,
            seq,
        };
        log.append(entry, |out| out.extend(payload)).unwrap();
    }
    log.commit(Durability::Durable).unwrap();
    disk
}

fn is_sound(records: &[Raw], space: u32) -> bool {
    let disk = raw_log(records, space);
    let sound = check(&disk, Path::new("store")).unwrap().is_sound();
    assert_eq!(open(&disk).is_ok(), sound, "{records:?}");
    sound
}

/// Logs whose checksums are right and whose records make no sense.
#[test]
fn check_refuses_exactly_what_open_refuses() {
    let space = vec![0, 0];
    let good = vec![
        (SPACE, 2, 0, space.clone()),
        (EPISODE, 2, 1, raw_episode("a", &[1.0, 0.0])),
    ];
    let with = |more: Raw| [good.clone(), vec![more]].concat();
    let bad = [
        with((SPACE, 2, 0, vec![1, 0])),
        with((SPACE, 3, 0, space.clone())),
        vec![(SPACE, 0, 0, space.clone())],
        vec![(SPACE, 4_000_000_000, 0, space.clone())],
        vec![(SPACE, 2, 0, vec![7, 0])],
        vec![
            (EPISODE, 2, 1, raw_episode("a", &[1.0, 0.0])),
            (EPISODE, 3, 2, raw_episode("wide", &[1.0; 3])),
            (SPACE, 2, 0, space.clone()),
        ],
        vec![
            (EPISODE, 2, 1, raw_episode("a", &[1.0, 0.0])),
            (SPACE, 3, 0, space.clone()),
        ],
        vec![
            (EPISODE, 2, 1, raw_episode("zero", &[0.0, 0.0])),
            (SPACE, 2, 0, space.clone()),
        ],
        with((EPISODE, 2, 2, raw_episode("zero", &[0.0, 0.0]))),
        with((EPISODE, 2, 2, raw_episode("nan", &[f32::NAN, 0.0]))),
        with((EPISODE, 3, 2, raw_episode("wide", &[1.0; 3]))),
        with((EPISODE, 2, 1, raw_episode("used", &[1.0, 0.0]))),
        with((EPISODE, 2, 0, raw_episode("zeroth", &[1.0, 0.0]))),
        with((EPISODE, 2, u64::MAX, raw_episode("last", &[1.0, 0.0]))),
        [
            &good[..1],
            &[
                (EPISODE, 2, 2, raw_episode("a", &[1.0, 0.0])),
                (EPISODE, 2, 1, raw_episode("a", &[1.0, 0.0])),
            ],
        ]
        .concat(),
        with((EPISODE, 0, 2, raw_episode("", &[]))),
        with((LINKS, 0, 0, vec![1; 23])),
        with((LINKS, 0, 0, vec![0; 24])),
        with((FORGET, 0, 1, vec![0])),
        with((FORGET, 0, 0, vec![])),
        with((FORGET, 0, u64::MAX, vec![])),
        with((ACTIVATION, 0, 1, vec![0; 3])),
        with((ACTIVATION, 0, 1, 2.0_f32.to_le_bytes().to_vec())),
        with((ACTIVATION, 0, 0, vec![0; 4])),
        [
            &with((FORGET, 0, 1, vec![]))[..],
            &[(EPISODE, 2, 1, raw_episode("a", &[1.0, 0.0]))],
        ]
        .concat(),
        with((99, 0, 0, vec![])),
    ];
    assert!(is_sound(&good, 0));
    for more in [
        // What was forgotten may be gone from a compacted log before the record that says so.
        (FORGET, 0, 1, vec![]),
        (FORGET, 0, 9, vec![]),
        (ACTIVATION, 0, 1, 0.5_f32.to_le_bytes().to_vec()),
        (ACTIVATION, 0, 9, 0.5_f32.to_le_bytes().to_vec()),
        // It is written twice.
        (SPACE, 2, 0, space.clone()),
        // An update.
        (EPISODE, 2, 1, raw_episode("a", &[0.0, 1.0])),
    ] {
        assert!(is_sound(&with(more), 0));
    }
    assert!(!is_sound(&good, 7));
    for records in bad {
        assert!(!is_sound(&records, 0), "{records:?}");
    }
}

/// Only a log from which records were lost looks like that.
#[test]
fn what_was_lost_is_made_up_for() {
    let dir = Path::new("store");
    let [a, b] = [[1.0, 0.0], [0.0, 1.0]];
    let space = (SPACE, 2, 0, vec![1, 0]);
    let one = (EPISODE, 2, 1, raw_episode("a", &a));
    let two = (EPISODE, 2, 2, raw_episode("b", &b));
    let zero = (EPISODE, 2, 3, raw_episode("zero", &[0.0, 0.0]));

    // The first record of the space was lost.
    let disk = raw_log(&[one.clone(), space, two.clone(), zero.clone()], 0);
    assert!(check(&disk, dir).unwrap().is_sound());
    let store = open(&disk).unwrap();
    assert_eq!(store.stats().space.unwrap().metric, Metric::Dot);
    assert_eq!(store.embedding("a").unwrap(), a);
    drop(store);

    // Both were. No direction can be told of a zero, so it was not cosine.
    for (more, metric) in [(two.clone(), Metric::Cosine), (zero, Metric::Dot)] {
        let updated = (EPISODE, 2, 1, raw_episode("a", &b));
        let disk = raw_log(&[one.clone(), more, updated], 0);
        assert!(check(&disk, dir).unwrap().space_lost);
        let stats = open(&disk).unwrap().stats();
        assert_eq!(stats.space.unwrap().metric, metric);
        assert_eq!((stats.space_guessed, stats.embedded), (true, 2));
    }

    // A forgetting was lost, and its id stored again.
    let again = (EPISODE, 2, 5, raw_episode("a", &b));
    let disk = raw_log(&[(SPACE, 2, 0, vec![0, 0]), one, two, again], 0);
    let report = check(&disk, dir).unwrap();
    assert_eq!((report.lost_forgets, report.is_sound()), (1, false));
    let store = open(&disk).unwrap();
    let stats = store.stats();
    assert_eq!(
        (stats.lost_forgets, stats.episodes, stats.embedded),
        (1, 2, 2)
    );
    assert_eq!(store.get("a").unwrap().seq, 5);
    assert_eq!(store.embedding("a").unwrap(), b);
    assert_eq!(store.embedding_of(5).unwrap(), b);
    assert_eq!(store.embedding_of(0), None, "another one with its id");
}

/// Only a log from which records were lost can hold such a link; the rest of it is as good as ever.
#[test]
fn links_to_nobody_are_dropped_and_counted() {
    let (disk, dir) = (SimDisk::new(), Path::new("store"));
    let (mut log, _) = Log::open(
        Arc::new(disk.clone()),
        dir,
        OpenMode::CreateIfMissing,
        |_| Ok(()),
    )
    .unwrap();
    let entry = Entry {
        space: 0,
        kind: 3,
        dimension: 0,
        seq: 0,
    };
    log.append(entry, |out| out.extend([1; 24])).unwrap();
    log.commit(Durability::Durable).unwrap();
    drop(log);
    let report = check(&disk, dir).unwrap();
    assert_eq!((report.lost_associations, report.is_sound()), (1, false));
    let stats = open(&disk).unwrap().stats();
    assert_eq!((stats.lost_associations, stats.associations), (1, 0));
}
