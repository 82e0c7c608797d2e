//! What a stream of operations keeps of them.

use std::sync::Arc;

use anyhow::{Result, ensure};
use cortica::{Cortica, IndexLag, Operation};
use cortica_testkit::{is_counting, live_bytes};

use super::fixture;
use crate::subject::Setup;

const NEIGHBOURS: usize = 10;

/// Operations streamed before, for tables and threads, and those that are counted.
const WARM: usize = 2_000;
const COUNTED: usize = 10_000;

/// Bytes that all threads together hold more than before when a stream of searches has ended, for each thousand of
/// them.
pub(super) fn kept(setup: &Setup) -> Result<f64> {
    ensure!(is_counting(), "this program's allocator does not count");
    let data = fixture::bundled()?;
    let builder = Cortica::builder().dimension(data.dimension);
    let store = builder.index_lag(IndexLag::OnDemand).in_memory()?;
    for stored in store.store_many(fixture::episodes(&data.rows, data.dimension, 0)) {
        stored?;
    }
    let queries = fixture::queries(&data).into_iter();
    let queries: Arc<[Vec<f32>]> = queries.map(<[f32]>::to_vec).collect();
    let batch = store.batch();
    let mut taken = Vec::new();
    let mut stream = |count: usize, keep: bool| -> Result<()> {
        let queries = queries.clone();
        let query = move |at: usize| queries[at % queries.len()].clone();
        let operation = move |at| Operation::similarity(query(at), NEIGHBOURS);
        let mut answers = batch.stream((0..count).map(operation))?;
        for (_, answer) in answers.by_ref() {
            let answer = answer?;
            if keep {
                taken.push(answer);
            }
        }
        let summary = answers.finish();
        ensure!(summary.operations == count as u64, "operations were lost");
        Ok(())
    };
    stream(WARM, false)?;
    let before = live_bytes();
    stream(COUNTED, setup.corrupt)?;
    let kept = (live_bytes() - before).max(0);
    Ok(kept as f64 / (COUNTED / 1_000) as f64)
}
