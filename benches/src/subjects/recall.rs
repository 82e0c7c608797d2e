//! Recall of many cues together against one by one, and on two threads against one.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use anyhow::{Result, ensure};
use cortica::{Cortica, Cue, Recalled};

use super::fixture;
use crate::subject::{Pair, Scaled, Setup, Work};

const NEIGHBOURS: usize = 10;
const BATCH: usize = 16;

/// Rows searched, at least: far more than a core's own caches hold.
const ROWS: usize = 16_384;

/// Sixteen cues in one call against sixteen calls.
pub(super) fn batch_of_16(setup: &Setup) -> Result<Pair> {
    let data = fixture::largest(setup)?;
    let rows = fixture::tiled(&data, ROWS.max(data.len()));
    let store = Arc::new(fixture::store_of(&rows, data.dimension)?);
    let cues = fixture::cues(&data, NEIGHBOURS)?;
    let cues: Arc<[Cue]> = cues.into_iter().cycle().take(BATCH).collect();

    let check = {
        let (store, cues) = (store.clone(), cues.clone());
        move || ensure_equal(&store, &cues)
    };
    let together = (store.clone(), cues.clone());
    Ok(Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            let (store, cues) = &together;
            let recalled = watch.time(|| store.recall_many(cues));
            recalled
                .into_iter()
                .try_for_each(|recalled| ensure_full(&recalled?))
        }),
        baseline: Box::new(move |watch| {
            watch.time(|| {
                cues.iter()
                    .try_for_each(|cue| ensure_full(&store.recall(cue)?))
            })
        }),
    })
}

fn ensure_equal(store: &Cortica, cues: &[Cue]) -> Result<()> {
    for (cue, together) in cues.iter().zip(store.recall_many(cues)) {
        ensure!(
            store.recall(cue)? == together?,
            "a batch gives another answer"
        );
    }
    Ok(())
}

fn ensure_full(recalled: &[Recalled]) -> Result<()> {
    ensure!(recalled.len() == NEIGHBOURS, "{} results", recalled.len());
    Ok(())
}

/// Batches of recalls on one store by two threads at once: work for the processors more than for
/// the memory that they share with whatever else runs on the machine.
pub(super) fn two_threads(_: &Setup) -> Result<Scaled> {
    let data = fixture::bundled()?;
    let store = Arc::new(fixture::store_of(&data.rows, data.dimension)?);
    let cues: Arc<[Cue]> = fixture::cues(&data, NEIGHBOURS)?.into();

    let check = {
        let (store, cues) = (store.clone(), cues.clone());
        move || {
            let alone: Vec<_> = cues.iter().map(|cue| store.recall(cue)).collect();
            std::thread::scope(|scope| {
                let other = scope.spawn(|| cues.iter().map(|cue| store.recall(cue)).collect());
                let here: Vec<_> = cues.iter().map(|cue| store.recall(cue)).collect();
                let there: Vec<_> = other.join().unwrap_or_default();
                for ((alone, here), there) in alone.into_iter().zip(here).zip(there) {
                    let alone = alone?;
                    ensure!(
                        alone == here? && alone == there?,
                        "two threads, two answers"
                    );
                }
                Ok(())
            })
        }
    };
    // Each thread goes through the cues on its own; where they meet does not matter.
    let next = [const { AtomicUsize::new(0) }; 2];
    Ok(Scaled {
        threads: next.len(),
        check: Box::new(check),
        work: Work::Share(Box::new(move |thread| {
            let number = next[thread].fetch_add(1, Relaxed);
            let batches = cues.len() / BATCH;
            let batch = &cues[number % batches * BATCH..][..BATCH];
            let recalled = store.recall_many(batch);
            recalled
                .into_iter()
                .try_for_each(|recalled| ensure_full(&recalled?))
        })),
    })
}
