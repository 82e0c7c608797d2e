//! A clock that jumps: back a year, ahead a hundred years, to both ends of time, and one that stands
//! still. Nothing panics, no id is given twice, order is that of storing, and the log brings it all back.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use cortica_env::{ManualClock, SimDisk, Timestamp};
use cortica_index::Metric;
use cortica_memory::{Association, Cue, Episode, MemoryStore, SpaceSpec, StoreOptions};
use std::path::Path;
use std::sync::Arc;

const YEAR: i64 = 365 * 24 * 3_600 * 1_000_000;

fn open(disk: &SimDisk, clock: &Arc<ManualClock>) -> MemoryStore {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(common::DIMENSION).with_metric(Metric::Dot)),
        segment_bytes: 16 << 10,
        clock: clock.clone(),
        disk: Arc::new(disk.clone()),
        ..StoreOptions::default()
    };
    MemoryStore::open(Path::new("store"), options).unwrap()
}

fn episode(number: usize) -> Episode {
    let vector = vec![1.0; common::DIMENSION]; // All alike: order decides.
    Episode::new(number.to_string(), format!("text {number}")).with_embedding(vector)
}

#[test]
fn jumps_of_the_clock_change_no_order_and_no_identity() {
    let today = 1_700_000_000 * 1_000_000;
    let readings = [
        today,
        today - YEAR,
        today + 100 * YEAR,
        i64::MIN,
        i64::MAX,
        0,
        -1,
        today,
        today,
    ];
    let disk = SimDisk::new();
    let clock = Arc::new(ManualClock::default());
    let mut store = open(&disk, &clock);
    let mut number = 0;
    for (round, &reading) in readings.iter().cycle().take(40).enumerate() {
        clock.set(Timestamp::from_micros(reading));
        let batch: Vec<Episode> = (number..number + 5).map(episode).collect();
        for (answer, at) in store.store_many(batch).into_iter().zip(number..) {
            let answer = answer.unwrap();
            assert_eq!(answer.seq, at as u64 + 1, "one seq after the other");
            assert!((0.0..=1.0).contains(&answer.activation.get()));
        }
        number += 5;
        let again = store.store(episode(number - 1)).unwrap();
        assert!((0.0..=1.0).contains(&again.activation.get()));
        store.associate_many(&[Association::new("0", (number - 1).to_string(), 1)]);
        let digest = store.state_digest();
        match round % 4 {
            0 => {
                store.close().unwrap();
                store = open(&disk, &clock);
            }
            1 => drop(store.compact().unwrap()),
            2 => {
                drop(store);
                store = open(&disk, &clock);
            }
            _ => {}
        }
        assert_eq!(store.state_digest(), digest, "round {round}");
        let found = store.recall(&Cue::embedding(vec![1.0; common::DIMENSION]).max_results(1_000));
        let seqs: Vec<u64> = found
            .unwrap()
            .iter()
            .map(|found| found.memory.seq)
            .collect();
        assert!(seqs.iter().copied().eq(1..=number as u64), "by seq alone");
    }
}
