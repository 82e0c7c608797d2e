//! Input shared by the subjects: real rows, as many as a size needs.

use anyhow::{Context, Result, ensure};
use cortica::{Cortica, Cue, Episode, IndexLag, Recalled};
use cortica_env::Seed;
use cortica_testkit::{Dataset, bundle_dir, load};
use tempfile::TempDir;

use crate::subject::Setup;

/// Noise added to each value of a repeated row, as a share of an average value. Rows that were
/// the same bit for bit would tie, and ties are work that real data does not make.
const NOISE: f64 = 0.05;

/// The bundled rows and queries.
pub(crate) fn bundled() -> Result<Dataset> {
    load(&bundle_dir()).context("cannot load the bundled data")
}

/// The data folder's rows and queries where there is one, else the bundled ones.
pub(crate) fn largest(setup: &Setup) -> Result<Dataset> {
    match &setup.data {
        Some(folder) => load(folder).context("cannot load the data folder"),
        None => bundled(),
    }
}

/// Exactly `count` rows: those of `data`, repeated with a little seeded noise when there are fewer.
pub(crate) fn tiled(data: &Dataset, count: usize) -> Vec<f32> {
    let mut rng = Seed(7).derive("tiled").rng();
    let scale = 2.0 * NOISE / (data.dimension as f64).sqrt();
    let mut rows = Vec::with_capacity(count * data.dimension);
    for number in 0..count {
        let row = data.row(number % data.len());
        if number < data.len() {
            rows.extend_from_slice(row);
        } else {
            rows.extend(
                row.iter()
                    .map(|value| value + ((rng.unit() - 0.5) * scale) as f32),
            );
        }
    }
    rows
}

/// Values that start on a cache line, as every store of vectors lays them out.
#[derive(Clone)]
pub(crate) struct Aligned {
    /// Never grown: its address, and with it the alignment, stays.
    values: Vec<f32>,
    start: usize,
}

impl Aligned {
    pub(crate) fn copy_of(values: &[f32]) -> Aligned {
        const LINE: usize = 64;
        let mut copy: Vec<f32> = Vec::with_capacity(values.len() + LINE / 4);
        let start = copy.as_ptr().align_offset(LINE).min(LINE / 4);
        copy.resize(start, 0.0);
        copy.extend_from_slice(values);
        Aligned {
            values: copy,
            start,
        }
    }

    pub(crate) fn values(&self) -> &[f32] {
        &self.values[self.start..]
    }
}

/// A folder on the scratch disk, gone with what it holds when it is dropped.
pub(crate) fn folder(setup: &Setup) -> Result<TempDir> {
    TempDir::new_in(&setup.scratch).context("cannot make a folder on the scratch disk")
}

/// One episode per row, called by its number from `first` on.
pub(crate) fn episodes(rows: &[f32], dimension: usize, first: usize) -> Vec<Episode> {
    rows.chunks_exact(dimension)
        .enumerate()
        .map(|(number, row)| {
            let number = first + number;
            Episode::new(number.to_string(), format!("concept {number}"))
                .with_embedding(row.to_vec())
        })
        .collect()
}

/// A store in memory with these rows; an episode's id and its seq tell its row.
pub(crate) fn store_of(rows: &[f32], dimension: usize) -> Result<Cortica> {
    const BATCH: usize = 1_000;
    let store = Cortica::builder()
        .dimension(dimension)
        .index_lag(IndexLag::OnDemand) // Nothing goes on beside what is timed.
        .in_memory()?;
    for (number, batch) in rows.chunks(BATCH * dimension).enumerate() {
        for stored in store.store_many(episodes(batch, dimension, number * BATCH)) {
            stored?;
        }
    }
    Ok(store)
}

/// The queries of `data`, or its first rows when it comes without any.
pub(crate) fn queries(data: &Dataset) -> Vec<&[f32]> {
    const ROWS: usize = 100;
    match data.query_count() {
        0 => (0..data.len().min(ROWS)).map(|row| data.row(row)).collect(),
        count => (0..count).map(|query| data.query(query)).collect(),
    }
}

/// One cue per query of `data`; at least one.
pub(crate) fn cues(data: &Dataset, max_results: usize) -> Result<Vec<Cue>> {
    ensure!(!data.is_empty(), "the data has no rows");
    let cue = |query: &[f32]| Cue::embedding(query.to_vec()).max_results(max_results);
    Ok(queries(data).into_iter().map(cue).collect())
}

/// The rows of what was recalled; an id that is no row becomes one that does not exist.
pub(crate) fn rows_of(recalled: &[Recalled]) -> Vec<u32> {
    recalled
        .iter()
        .map(|result| result.memory.id.parse().unwrap_or(u32::MAX))
        .collect()
}
