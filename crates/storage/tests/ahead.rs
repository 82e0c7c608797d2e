//! A log that is large enough to be read ahead by a thread: what is found, what is damaged and what fails is
//! what it is without that thread.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Disk, Keep, Open, SimDisk};
use cortica_storage::{Damage, Durability, Log, LogOptions, OpenError, OpenMode};
use std::path::Path;
use std::sync::Arc;
use support::disks::Keeping;
use support::{DIR, entry, sim};

const RECORDS: u64 = 300;
const OPTIONS: LogOptions = LogOptions {
    mode: OpenMode::CreateIfMissing,
    segment_bytes: 4 << 20,
};

/// Some 18 MB in five files, closed.
fn stored() -> SimDisk {
    let disk = SimDisk::new();
    let (mut log, _) = Log::open(sim(&disk), Path::new(DIR), OPTIONS, |_| Ok(())).unwrap();
    for seq in 0..RECORDS {
        log.append(entry(seq), |out| out.extend(vec![seq as u8 | 1; 60_000]))
            .unwrap();
        if seq % 50 == 49 {
            log.commit(Durability::Durable).unwrap();
        }
    }
    log.close().unwrap();
    disk
}

type Found = (Vec<u64>, Vec<Damage>);

fn open(disk: Arc<dyn Disk>) -> Result<Found, OpenError> {
    let mut seen = Vec::new();
    let opened = Log::open(disk, Path::new(DIR), OpenMode::ReadOnly, |record| {
        assert!(
            record
                .payload
                .iter()
                .all(|&byte| byte == record.entry.seq as u8 | 1)
        );
        seen.push(record.entry.seq);
        Ok(())
    });
    opened.map(|(_, recovery)| (seen, recovery.damage))
}

#[test]
fn damage_is_the_same() {
    let disk = stored();
    let names = disk.list(&Path::new(DIR).join("log")).unwrap();
    let logs: Vec<_> = names
        .iter()
        .filter(|name| name.as_str() != "closed")
        .collect();
    assert!(logs.len() > 3, "{logs:?}");
    for (at, name) in logs.into_iter().enumerate() {
        let bad = disk.power_cut(Keep::Everything);
        let path = Path::new(DIR).join("log").join(name);
        let file = bad.open(&path, Open::Write).unwrap();
        file.write_at(&[0], 1_000_000 + at as u64).unwrap();
        let want = open(sim(&bad)).unwrap();
        assert_eq!((want.0.len() as u64, want.1.len()), (RECORDS - 1, 1));
        assert_eq!(open(Arc::new(Keeping(bad))).unwrap(), want);
    }
}

/// A read that fails is told if the opening needed it, and harmless if only the thread did.
#[test]
fn a_read_that_fails_is_told_or_harmless() {
    let disk = stored();
    let (all, _) = open(sim(&disk)).unwrap();
    let (mut told, mut harmless) = (0, 0);
    for n in 1..90 {
        let disk = disk.power_cut(Keep::Everything);
        disk.fail_read(n);
        match open(Arc::new(Keeping(disk))) {
            Ok((seen, damage)) => {
                assert_eq!((seen, damage), (all.clone(), vec![]), "{n}");
                harmless += 1;
            }
            Err(OpenError::Io { .. }) => told += 1,
            Err(error) => panic!("{n}: {error}"),
        }
    }
    assert!(
        told > 10 && harmless > 10,
        "{told} told, {harmless} harmless"
    );
}
