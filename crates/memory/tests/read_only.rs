//! Folders in which nothing may be changed: what is there is read, who wants to write is told, and
//! nothing is acknowledged that is not there.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use cortica_env::{Keep, SimDisk};
use cortica_index::Metric;
use cortica_memory::{
    Association, Episode, MemoryStore, OpenError, SpaceSpec, StoreError, StoreOptions, check,
    repair, restore,
};
use cortica_storage::{CommitError, OpenError as LogOpenError, OpenMode};
use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

const REFUSALS: [ErrorKind; 2] = [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];

fn open(disk: &SimDisk, mode: OpenMode) -> Result<MemoryStore, OpenError> {
    let options = StoreOptions {
        space: (mode != OpenMode::ReadOnly)
            .then(|| SpaceSpec::new(common::DIMENSION).with_metric(Metric::Dot)),
        segment_bytes: 16 << 10,
        mode,
        disk: Arc::new(disk.clone()),
        ..StoreOptions::default()
    };
    MemoryStore::open(Path::new("store"), options)
}

fn episode(number: usize) -> Episode {
    let vector = vec![number as f32; common::DIMENSION];
    Episode::new(number.to_string(), format!("text {number}")).with_embedding(vector)
}

fn filled(disk: &SimDisk) -> MemoryStore {
    let store = open(disk, OpenMode::CreateIfMissing).unwrap();
    let stored = store.store_many((0..80).map(episode).collect());
    assert!(stored.iter().all(Result::is_ok));
    store.associate_many(&[Association::new("1", "2", 3)]);
    store
}

/// Closed, compacted and closed, and left by a crash.
fn stores() -> [(&'static str, SimDisk); 3] {
    let [closed, compacted, crashed] = [SimDisk::new(), SimDisk::new(), SimDisk::new()];
    filled(&closed).close().unwrap();
    let store = filled(&compacted);
    store.forget("7").unwrap();
    store.compact().unwrap();
    store.close().unwrap();
    let store = filled(&crashed);
    let crashed = crashed.power_cut(Keep::Everything);
    drop(store);
    [
        ("closed", closed),
        ("compacted", compacted),
        ("crashed", crashed),
    ]
}

/// The refusal of the disk, found among the causes.
fn refusal(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

#[test]
fn what_may_only_be_read_is_read_and_stays_as_it_is() {
    for kind in REFUSALS {
        for (name, disk) in stores() {
            let before = open(&disk, OpenMode::ReadOnly).unwrap().state_digest();
            let (unsynced, used) = (disk.unsynced(), disk.used());
            disk.refuse_changes(Some(kind));
            let store = open(&disk, OpenMode::ReadOnly).unwrap();
            assert_eq!(store.state_digest(), before, "{name}");
            assert_eq!(store.embedding("3"), Some(vec![3.0; common::DIMENSION]));
            let found = common::recalled(&store, &[1.0; common::DIMENSION], 5);
            assert_eq!(found.len(), 5, "{name}");
            // A second reader, and a copy on another disk, which a reader may make.
            let beside = open(&disk, OpenMode::ReadOnly).unwrap();
            assert_eq!(beside.state_digest(), before);
            let Err(StoreError::Log(error)) = store.store(episode(999)) else {
                panic!("{name}: stored");
            };
            assert!(matches!(*error, CommitError::ReadOnly), "{error}");
            drop((store, beside));
            assert!(check(&disk, Path::new("store")).unwrap().is_sound());
            assert_eq!((disk.unsynced(), disk.used()), (unsynced, used), "{name}");
        }
    }
}

#[test]
fn who_wants_to_write_is_told_and_nothing_is_acknowledged() {
    for kind in REFUSALS {
        for (name, disk) in stores() {
            let before = open(&disk, OpenMode::ReadOnly).unwrap().state_digest();
            disk.refuse_changes(Some(kind));
            // A compacted store has no file that is written on: it opens, and the write is refused.
            match open(&disk, OpenMode::MustExist) {
                Err(error) => {
                    let log = matches!(error, OpenError::Log(LogOpenError::Io { .. }));
                    assert!(log, "{name}: {error:?}");
                    assert_eq!(refusal(&error), Some(kind), "{name}: {error:?}");
                }
                Ok(store) => {
                    assert_eq!(name, "compacted");
                    let error = store.store(episode(999)).unwrap_err();
                    assert_eq!(refusal(&error), Some(kind), "{error:?}");
                    let error = store.forget("1").unwrap_err();
                    assert!(matches!(error, cortica_memory::ForgetError::Log(_)));
                    assert_eq!(store.state_digest(), before, "reading goes on");
                }
            }
            let shared: Arc<dyn cortica_env::Disk> = Arc::new(disk.clone());
            let copied = restore(&shared, Path::new("store"), Path::new("copy"));
            assert_eq!(refusal(&copied.unwrap_err()), Some(kind), "{name}");
            if name != "compacted" {
                let repaired = repair(&shared, Path::new("store"));
                assert_eq!(refusal(&repaired.unwrap_err()), Some(kind), "{name}");
            }
            disk.refuse_changes(None);
            let store = open(&disk, OpenMode::MustExist).unwrap();
            assert_eq!(store.state_digest(), before, "{name}");
            store.store(episode(999)).unwrap();
        }
    }
}

/// What a file system does that was mounted read-only after an error.
#[test]
fn a_disk_that_turns_read_only_stops_the_writer_and_no_reader() {
    for kind in REFUSALS {
        let disk = SimDisk::new();
        let store = filled(&disk);
        let before = store.state_digest();
        disk.refuse_changes(Some(kind));
        let Err(StoreError::Log(error)) = store.store(episode(999)) else {
            panic!("stored");
        };
        assert!(matches!(*error, CommitError::Io { .. }), "{error}");
        assert_eq!(store.state_digest(), before);
        assert!(!store.stats().writable);
        assert_eq!(
            common::recalled(&store, &[1.0; common::DIMENSION], 5).len(),
            5
        );
        // It does not go on by itself: what the failed write left behind, nobody knows.
        disk.refuse_changes(None);
        assert!(store.store(episode(999)).is_err());
        drop(store);
        let store = open(&disk, OpenMode::MustExist).unwrap();
        assert_eq!(store.state_digest(), before);
        store.store(episode(999)).unwrap();
    }
}
