//! Right answers: against the definition, against a folder's own truth, and against each other.

use anyhow::{Result, ensure};
use cortica::Recalled;
use cortica_testkit::{Dataset, Measure, recall_at, scores};

use super::fixture;
use crate::subject::Setup;

const NEIGHBOURS: usize = 10;

/// Queries for which truth is computed; each costs a pass over all rows in f64.
const COMPUTED_MAX: usize = 200;

/// Recall@10 over the bundled queries; truth is every score computed in f64.
pub(super) fn exact_recall(setup: &Setup) -> Result<f64> {
    recall_by_definition(&fixture::bundled()?, setup)
}

/// Recall@10 over the queries of the data folder; truth is its own list of neighbours, where it
/// has one.
pub(super) fn exact_recall_data(setup: &Setup) -> Result<f64> {
    let data = fixture::largest(setup)?;
    if data.truth.is_empty() {
        return recall_by_definition(&data, setup);
    }
    mean_recall(&data, setup, usize::MAX, |query, found| {
        data.recall_at(NEIGHBOURS, query, found)
    })
}

fn recall_by_definition(data: &Dataset, setup: &Setup) -> Result<f64> {
    let queries = fixture::queries(data);
    mean_recall(data, setup, COMPUTED_MAX, |query, found| {
        let exact = scores(Measure::Cosine, &data.rows, data.dimension, queries[query]);
        recall_at(NEIGHBOURS, found, &exact)
    })
}

fn mean_recall(
    data: &Dataset,
    setup: &Setup,
    queries_max: usize,
    recall: impl Fn(usize, &[u32]) -> f64,
) -> Result<f64> {
    let store = fixture::store_of(&data.rows, data.dimension)?;
    let cues = fixture::cues(data, NEIGHBOURS)?;
    let cues = &cues[..cues.len().min(queries_max)];
    let mut sum = 0.0;
    for (query, cue) in cues.iter().enumerate() {
        let mut found = fixture::rows_of(&store.recall(cue)?);
        if setup.corrupt && query == 0 {
            found.pop(); // One result of one query: the least there is to notice.
        }
        sum += recall(query, &found);
    }
    Ok(sum / cues.len() as f64)
}

/// The share of queries which a batch answers as they are answered alone: the same memories in
/// the same order with the same bits in every score.
pub(super) fn batch_equals_single(setup: &Setup) -> Result<f64> {
    let data = fixture::bundled()?;
    let store = fixture::store_of(&data.rows, data.dimension)?;
    let cues = fixture::cues(&data, NEIGHBOURS)?;
    let together = store.recall_many(&cues);
    ensure!(together.len() == cues.len(), "a cue was not answered");
    let mut same = 0_usize;
    for (number, (cue, together)) in cues.iter().zip(together).enumerate() {
        let mut together = bits(&together?);
        if setup.corrupt && number == 0 {
            together[0].1 ^= 1; // The last bit of one score.
        }
        same += usize::from(together == bits(&store.recall(cue)?));
    }
    Ok(same as f64 / cues.len() as f64)
}

/// Seq and the bits of the score of each result.
fn bits(recalled: &[Recalled]) -> Vec<(u64, u32)> {
    let pair = |result: &Recalled| (result.memory.seq, result.score.to_bits());
    recalled.iter().map(pair).collect()
}
