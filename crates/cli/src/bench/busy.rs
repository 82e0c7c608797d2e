//! Storing while others search: the index keeps up, and recalls go on meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use cortica::{Accuracy, Builder, Cortica, Cue, IndexLag, ItemError, StoreError};

use crate::bench::approximate::share;
use crate::bench::data::{BLOCK_ROWS, Data};
use crate::bench::measure::{K, ask_singly, cue, episodes, store_together};
use crate::bench::report::Busy;
use crate::figures::{per_second, percentile};
use crate::folder::Temporary;
use crate::output::Out;

/// Rows that may wait for the index: whoever stores more helps with it first.
const LAG_ROWS: usize = BLOCK_ROWS;

/// Stores all rows into a store of their own, one thread storing and another recalling
/// approximately for as long as that takes.
pub(crate) fn measure(space: &Builder, data: &mut Data, out: &Out) -> anyhow::Result<Busy> {
    let folder = Temporary::new("bench-busy")?;
    let lag = IndexLag::Block(LAG_ROWS);
    let memory = space
        .clone()
        .index_lag(lag)
        .open(folder.path().join("store"))?;
    let queries: Vec<Cue> = data.queries.iter().map(|query| cue(query, K)).collect();
    let approximate: Vec<Cue> = queries
        .iter()
        .map(|cue| cue.clone().accuracy(Accuracy::approximate()))
        .collect();
    let done = AtomicBool::new(false);
    let (stored, searched) = std::thread::scope(|threads| {
        let searcher = threads.spawn(|| search(&memory, &approximate, &done));
        let stored = store(&memory, data, out);
        done.store(true, Ordering::Relaxed);
        let searched = searcher.join();
        (
            stored,
            searched.unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        )
    });
    let (rows, taken) = stored?;
    let (mut asked, during) = searched?;
    asked.sort_by(f64::total_cmp);
    // What was built under way answers as well as what was built alone.
    memory.wait_indexed()?;
    let found = ask_singly(&memory, &approximate, &mut Vec::new())?;
    let exact = ask_singly(&memory, &queries, &mut Vec::new())?;
    memory.close()?;
    Ok(Busy {
        lag_rows: LAG_ROWS,
        rows_s: per_second(rows, taken),
        queries_s: per_second(asked.len() as u64, during),
        p50_us: percentile(&asked, 0.50),
        p99_us: percentile(&asked, 0.99),
        recall_at_10_after: share(&found, &exact),
    })
}

/// Rows stored, and how long the calls took that stored them.
fn store(memory: &Cortica, data: &mut Data, out: &Out) -> anyhow::Result<(u64, Duration)> {
    let n = data.count();
    let progress = out.progress(Some(n as u64), "storing while recalling");
    let (mut stored, mut taken) = (0, Duration::ZERO);
    for from in (0..n).step_by(BLOCK_ROWS) {
        let episodes = episodes(from, data.read(from, BLOCK_ROWS)?);
        let count = episodes.len();
        let (answers, elapsed) = store_together(memory, episodes)?;
        taken += elapsed;
        for (row, answer) in (from..).zip(answers) {
            match answer {
                Ok(_) => stored += 1,
                // Told of before, where the rows were stored alone.
                Err(ItemError::Store(StoreError::Embedding(_))) => {}
                Err(error) => return Err(error).with_context(|| format!("X.npy: row {row}")),
            }
        }
        progress.advance(count as u64);
    }
    Ok((stored, taken))
}

/// Recalls one cue after the other until told to stop, each once at least, from the first one that
/// finds something on; how long each took, and all of them.
fn search(
    memory: &Cortica,
    cues: &[Cue],
    done: &AtomicBool,
) -> anyhow::Result<(Vec<f64>, Duration)> {
    let mut latencies = Vec::new();
    let mut started = Instant::now();
    for cue in cues.iter().cycle() {
        let stored = done.load(Ordering::Relaxed);
        if stored && latencies.len() >= cues.len() {
            break;
        }
        let found = ask_singly(memory, std::slice::from_ref(cue), &mut latencies)?;
        if found.iter().all(Vec::is_empty) && !stored {
            // Nothing is stored yet: that is no searching.
            latencies.clear();
            started = Instant::now();
        }
    }
    Ok((latencies, started.elapsed()))
}
