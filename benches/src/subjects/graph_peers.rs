//! The graph index against the usearch crate and hnsw_rs, on the same rows with the same
//! parameters.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result, anyhow};
use cortica_index::{Codes, HnswIndex, VectorIndex};
use hnsw_rs::prelude::{DistCosine, Hnsw};
use usearch::{Index, IndexOptions, MetricKind, ScalarKind, new_index};

use super::graph::{BUILD_WIDTH, DEGREE, K, Search, Work, empty, pair};
use crate::subject::{NoPeer, Pair, Setup};

/// An index of `usearch`, empty, that uses the processor's vector instructions.
fn usearch(dimension: usize, rows: usize) -> Result<Index> {
    let index = new_index(&IndexOptions {
        dimensions: dimension,
        metric: MetricKind::Cos,
        quantization: ScalarKind::F32,
        connectivity: DEGREE,
        expansion_add: BUILD_WIDTH,
        ..IndexOptions::default()
    })?;
    index.reserve(rows)?;
    let acceleration = index.hardware_acceleration();
    eprintln!("usearch: hardware acceleration `{acceleration}`");
    if acceleration == "serial" {
        return Err(NoPeer("usearch runs without vector instructions here".to_owned()).into());
    }
    Ok(index)
}

fn add(index: &Index, work: &Work, rows: std::ops::Range<usize>) -> Result<()> {
    for row in rows {
        index.add(row as u64, work.data.row(row))?;
    }
    Ok(())
}

/// Of all rows, built once.
fn usearch_search(work: &Work) -> Result<Search> {
    static BUILT: OnceLock<Result<Arc<Index>, String>> = OnceLock::new();
    let rows = work.data.len();
    let build = || {
        let index = usearch(work.data.dimension, rows)?;
        add(&index, work, 0..rows)?;
        Ok(Arc::new(index))
    };
    let built = BUILT.get_or_init(|| build().map_err(|error: anyhow::Error| error.to_string()));
    let index = built.clone().map_err(|error| anyhow!(NoPeer(error)))?;
    let data = work.data.clone();
    Ok(Arc::new(move |query, width| {
        index.change_expansion_search(width);
        let found = index.search(data.query(query), K)?;
        Ok(found.keys.iter().map(|&key| key as u32).collect())
    }))
}

/// Walks over the format that is named against walks of usearch over f32.
pub(super) fn against_usearch(setup: &Setup, codes: Codes) -> Result<Pair> {
    let work = Work::large(setup)?;
    let subject = work.side(&format!("{codes:?}"), work.search(codes)?)?;
    let baseline = work.side("usearch f32", usearch_search(&work)?)?;
    Ok(pair(subject, baseline))
}

/// Walks over f32 against those of `hnsw_rs`.
pub(super) fn against_hnsw_rs(setup: &Setup) -> Result<Pair> {
    const LAYERS: usize = 16;
    let work = Work::large(setup)?;
    let rows = work.data.len();
    let index = Hnsw::<f32, DistCosine>::new(DEGREE, rows, LAYERS, BUILD_WIDTH, DistCosine {});
    for row in 0..rows {
        index.insert((work.data.row(row), row));
    }
    let data = work.data.clone();
    let search: Search = Arc::new(move |query, width| {
        let found = index.search(data.query(query), K, width);
        Ok(found.iter().map(|near| near.d_id as u32).collect())
    });
    let subject = work.side("F32", work.search(Codes::F32)?)?;
    let baseline = work.side("hnsw_rs f32", search)?;
    Ok(pair(subject, baseline))
}

/// Rows that are there when the clock starts, and rows that a run adds.
const BEFORE: usize = 8_192;
const PART: usize = 512;

/// How far a build has come; begun anew when it is through.
struct Build<I> {
    index: Option<I>,
    next: usize,
}

impl<I> Build<I> {
    /// An index to which a run may add the rows of the range.
    fn next(
        &mut self,
        rows: usize,
        begin: impl FnOnce() -> Result<I>,
    ) -> Result<(&I, std::ops::Range<usize>)> {
        if self.index.is_none() || self.next + PART > rows {
            self.index = Some(begin()?);
            self.next = BEFORE;
        }
        let from = self.next;
        self.next += PART;
        let index = self.index.as_ref().context("it was just begun")?;
        Ok((index, from..from + PART))
    }
}

fn fresh<I>() -> Mutex<Build<I>> {
    Mutex::new(Build {
        index: None,
        next: 0,
    })
}

/// Adding rows, from 8,192 of them to all, one after the other.
pub(super) fn build(setup: &Setup) -> Result<Pair> {
    let work = Arc::new(Work::large(setup)?);
    usearch(work.data.dimension, 1)?; // Whether it is what the bar is about.
    let (ours, theirs) = (fresh::<HnswIndex>(), fresh::<Index>());
    let insert = |index: &HnswIndex, work: &Work, rows: std::ops::Range<usize>| -> Result<()> {
        for row in rows {
            index.insert(work.data.row(row))?;
            index.link(1);
        }
        Ok(())
    };
    let subject = {
        let work = work.clone();
        move |watch: &mut crate::stopwatch::Stopwatch| {
            let mut build = ours.lock().unwrap_or_else(PoisonError::into_inner);
            let begin = || {
                let index = empty(work.data.dimension, Codes::Blocks)?;
                insert(&index, &work, 0..BEFORE)?;
                Ok(index)
            };
            let (index, rows) = build.next(work.data.len(), begin)?;
            watch.time(|| insert(index, &work, rows))
        }
    };
    let baseline = {
        let work = work.clone();
        move |watch: &mut crate::stopwatch::Stopwatch| {
            let mut build = theirs.lock().unwrap_or_else(PoisonError::into_inner);
            let begin = || {
                let index = usearch(work.data.dimension, work.data.len())?;
                add(&index, &work, 0..BEFORE)?;
                Ok(index)
            };
            let (index, rows) = build.next(work.data.len(), begin)?;
            watch.time(|| add(index, &work, rows))
        }
    };
    Ok(Pair {
        check: Box::new(|| Ok(())),
        subject: Box::new(subject),
        baseline: Box::new(baseline),
    })
}
