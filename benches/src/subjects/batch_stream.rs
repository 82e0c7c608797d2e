//! What a stream of operations holds and keeps of them.

use std::sync::Arc;

use anyhow::{Result, ensure};
use cortica::{Answered, Batch, Cortica, IndexLag, Operation};
use cortica_testkit::{is_counting, live_bytes, peak_bytes_of_all};

use super::fixture;
use crate::subject::Setup;

const NEIGHBOURS: usize = 10;

/// Operations streamed before, for tables and threads, and those that are counted.
const WARM: usize = 2_000;
const COUNTED: usize = 10_000;

/// Searches of a store of the bundled rows, streamed.
struct Searches {
    queries: Arc<[Vec<f32>]>,
    batch: Batch,
    /// A batch does not keep its store open.
    _store: Cortica,
}

impl Searches {
    fn new() -> Result<Searches> {
        ensure!(is_counting(), "this program's allocator does not count");
        let data = fixture::bundled()?;
        let builder = Cortica::builder().dimension(data.dimension);
        let store = builder.index_lag(IndexLag::OnDemand).in_memory()?;
        for stored in store.store_many(fixture::episodes(&data.rows, data.dimension, 0)) {
            stored?;
        }
        let queries = fixture::queries(&data).into_iter();
        Ok(Searches {
            queries: queries.map(<[f32]>::to_vec).collect(),
            batch: store.batch(),
            _store: store,
        })
    }

    /// Streams so many; answers are dropped as they come, or go to `taken`.
    fn stream(&self, count: usize, mut taken: Option<&mut Vec<Answered>>) -> Result<()> {
        let queries = self.queries.clone();
        let query = move |at: usize| queries[at % queries.len()].clone();
        let operation = move |at| Operation::similarity(query(at), NEIGHBOURS);
        let mut answers = self.batch.stream((0..count).map(operation))?;
        for (_, answer) in answers.by_ref() {
            let answer = answer?;
            if let Some(taken) = &mut taken {
                taken.push(answer);
            }
        }
        let summary = answers.finish();
        ensure!(summary.operations == count as u64, "operations were lost");
        Ok(())
    }
}

/// Bytes that all threads together hold more than before when a stream of searches has ended, for each thousand of
/// them.
pub(super) fn kept(setup: &Setup) -> Result<f64> {
    let searches = Searches::new()?;
    searches.stream(WARM, None)?;
    let before = live_bytes();
    let mut taken = Vec::new();
    searches.stream(COUNTED, setup.corrupt.then_some(&mut taken))?;
    let kept = (live_bytes() - before).max(0);
    Ok(kept as f64 / (COUNTED / 1_000) as f64)
}

/// Bytes that all threads together hold at most at once, beyond what they held before, while a thousand searches are
/// streamed.
pub(super) fn held(setup: &Setup) -> Result<f64> {
    let searches = Searches::new()?;
    searches.stream(WARM, None)?;
    let mut taken = Vec::new();
    let taken = setup.corrupt.then_some(&mut taken);
    let (streamed, most) = peak_bytes_of_all(|| searches.stream(1_000, taken));
    streamed?;
    Ok(most as f64)
}
