//! The exact scan of vectors far beyond the caches of one core, against a plain read of
//! the index's own memory.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cortica_index::{ExactIndex, Metric, VectorIndex};
use cortica_simd::Isa;
use cortica_testkit::{Measure, recall_at, scores};

use super::fixture;
use super::read::Streams;
use crate::subject::{Pair, Setup};

/// Bytes of vectors, at least.
const BYTES: usize = 128 << 20;

const NEIGHBOURS: usize = 10;

pub(super) fn subject(setup: &Setup) -> Result<Pair> {
    let data = fixture::largest(setup)?;
    let dimension = data.dimension;
    let count = (BYTES / (4 * dimension)).max(data.len());
    let rows = fixture::tiled(&data, count);
    let index = ExactIndex::new(dimension, Metric::Cosine, Isa::best())?;
    for row in rows.chunks_exact(dimension) {
        index.insert(row)?;
    }
    let query = fixture::queries(&data)
        .first()
        .context("the data has no rows")?
        .to_vec();
    let index = Arc::new(index);
    let read = |index: &ExactIndex, streams: Streams| {
        let mut sum = 0.0;
        index.lend(|rows| sum += streams.sum(rows.data()));
        sum
    };
    let streams = Streams::fastest(|streams| read(&index, streams));

    let lender = index.clone();
    let checked = (index.clone(), query.clone());
    let check = move || {
        let (index, query) = &checked;
        let found = index.search(query, NEIGHBOURS)?;
        let found: Vec<u32> = found.iter().map(|neighbour| neighbour.row.get()).collect();
        let exact = scores(Measure::Cosine, &rows, dimension, query);
        let recall = recall_at(NEIGHBOURS, &found, &exact);
        ensure!(recall == 1.0, "recall {recall}");
        Ok(())
    };
    Ok(Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            let found = watch.time(|| index.search(&query, NEIGHBOURS))?;
            ensure!(found.len() >= NEIGHBOURS, "{} found", found.len());
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            let sum = watch.time(|| read(&lender, streams));
            sum.is_finite().then_some(()).context("not a number")
        }),
    })
}
