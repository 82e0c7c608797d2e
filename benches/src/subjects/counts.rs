//! What one durable batch asks of the disk.

use std::sync::Arc;

use anyhow::{Result, ensure};
use cortica::{Cortica, Durability};

use super::counting_disk::{Calls, CountingDisk};
use super::fixture;
use crate::subject::Setup;

const BATCH: usize = 1_000;

pub(super) fn syncs_per_batch(setup: &Setup) -> Result<f64> {
    Ok(calls_of_a_batch(setup)?.syncs as f64)
}

pub(super) fn writes_per_batch(setup: &Setup) -> Result<f64> {
    Ok(calls_of_a_batch(setup)?.writes as f64)
}

/// Counts what a batch does to the files of a store on a real disk. Not the first batch: making
/// a store has calls of its own.
fn calls_of_a_batch(setup: &Setup) -> Result<Calls> {
    let data = fixture::bundled()?;
    let rows = fixture::tiled(&data, 2 * BATCH);
    let mut episodes = fixture::episodes(&rows, data.dimension, 0);
    let second = episodes.split_off(BATCH);

    let disk = Arc::new(CountingDisk::default());
    let folder = fixture::folder(setup)?;
    let store = Cortica::builder()
        .dimension(data.dimension)
        .durability(Durability::Durable)
        .disk(disk.clone())
        .open(folder.path().join("store"))?;
    store_all(&store, episodes)?;
    let before = disk.calls();
    if setup.corrupt {
        for episode in second {
            store_all(&store, vec![episode])?;
        }
    } else {
        store_all(&store, second)?;
    }
    let after = disk.calls();
    ensure!(
        store.stats().episodes == 2 * BATCH as u64,
        "episodes are missing"
    );
    store.close()?;
    Ok(after.since(before))
}

fn store_all(store: &Cortica, episodes: Vec<cortica::Episode>) -> Result<()> {
    for stored in store.store_many(episodes) {
        let stored = stored?;
        ensure!(stored.durability == Durability::Durable, "not durable");
    }
    Ok(())
}
