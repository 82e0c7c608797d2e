//! The graph index at a fixed recall: against itself, the exact scan, and other graphs.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use cortica_index::{Codes, HnswIndex, HnswOptions, Metric, Nearest, Query, VectorIndex};
use cortica_simd::Isa;
use cortica_testkit::{Dataset, Rng};

use super::fixture;
use crate::subject::{Pair, Run, Setup};

pub(super) const K: usize = 10;

/// What every side is brought to before times are compared.
pub(super) const RECALL: f64 = 0.955;

/// Of all sides alike: M, and efConstruction.
pub(super) const DEGREE: usize = 16;
pub(super) const BUILD_WIDTH: usize = 128;

/// The candidates at which recall is measured; times are interpolated in between.
const WIDTHS: [usize; 12] = [10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256];

/// Queries of a run.
const QUERIES: usize = 1_024;

/// Answers one query, by its number, with so many candidates.
pub(super) type Search = Arc<dyn Fn(usize, usize) -> Result<Vec<u32>>>;

/// The data that graphs are compared on.
pub(super) struct Work {
    pub(super) data: Arc<Dataset>,
    pub(super) queries: usize,
}

impl Work {
    pub(super) fn new(setup: &Setup) -> Result<Work> {
        let data = Arc::new(fixture::largest(setup)?);
        let queries = data.query_count().min(QUERIES);
        ensure!(queries > 0, "the data has no queries");
        Ok(Work { data, queries })
    }

    /// As [`new`](Work::new), where a bar is about at least 30,000 rows.
    #[cfg(feature = "peers")]
    pub(super) fn large(setup: &Setup) -> Result<Work> {
        const ROWS_MIN: usize = 30_000;
        let work = Work::new(setup)?;
        let rows = work.data.len();
        ensure!(
            rows >= ROWS_MIN,
            "{rows} rows, but the bar is about {ROWS_MIN} or more"
        );
        Ok(work)
    }

    /// A graph of all rows, one for each format of codes: building takes far longer than a gate.
    pub(super) fn graph(&self, codes: Codes) -> Result<Arc<HnswIndex>> {
        type Built = Vec<(Codes, usize, Arc<HnswIndex>)>;
        static BUILT: Mutex<Built> = Mutex::new(Vec::new());
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        let is_it = |(of, rows, _): &&(Codes, usize, _)| *of == codes && *rows == self.data.len();
        if let Some((_, _, index)) = built.iter().find(is_it) {
            return Ok(index.clone());
        }
        let index = Arc::new(empty(self.data.dimension, codes)?);
        for row in self.data.rows.chunks_exact(self.data.dimension) {
            index.insert(row)?;
        }
        index.link(usize::MAX);
        built.push((codes, self.data.len(), index.clone()));
        Ok(index)
    }

    pub(super) fn search(&self, codes: Codes) -> Result<Search> {
        let (index, data) = (self.graph(codes)?, self.data.clone());
        Ok(Arc::new(move |query, width| {
            let how = Nearest {
                k: K,
                width,
                ..Nearest::default()
            };
            let found = index.nearest(data.query(query), how)?;
            Ok(found.iter().map(|near| near.row.get()).collect())
        }))
    }

    fn exact(&self) -> Result<Search> {
        let (index, data) = (self.graph(Codes::Blocks)?, self.data.clone());
        Ok(Arc::new(move |query, _| {
            let found = index.search(data.query(query), K)?;
            Ok(found.iter().map(|near| near.row.get()).collect())
        }))
    }

    fn recall(&self, search: &Search, width: usize) -> Result<f64> {
        let mut sum = 0.0;
        for query in 0..self.queries {
            sum += self.data.recall_at(K, query, &search(query, width)?);
        }
        Ok(sum / self.queries as f64)
    }

    /// For each query the width with which the side comes to the recall that is asked for: of the
    /// two widths around it, each for so many queries that the mean is between them.
    pub(super) fn widths(&self, name: &str, search: &Search) -> Result<Arc<[usize]>> {
        let mut below = (WIDTHS[0], 0.0);
        for width in WIDTHS {
            let recall = self.recall(search, width)?;
            if recall >= RECALL {
                let share = if recall > below.1 {
                    (RECALL - below.1) / (recall - below.1)
                } else {
                    1.0
                };
                eprintln!(
                    "{name}: recall@{K} {RECALL} at {:.1} candidates",
                    below.0 as f64 + share * (width - below.0) as f64
                );
                // Spread evenly over the queries.
                let wide = |query: usize| {
                    ((query + 1) as f64 * share).floor() > (query as f64 * share).floor()
                };
                let of = |query| if wide(query) { width } else { below.0 };
                return Ok((0..self.queries).map(of).collect());
            }
            below = (width, recall);
        }
        anyhow::bail!(
            "{name}: recall@{K} is {:.3} at {} candidates",
            below.1,
            below.0
        )
    }

    /// One side of a pair: all queries, at the recall that is asked for.
    pub(super) fn side(&self, name: &str, search: Search) -> Result<Run> {
        let widths = self.widths(name, &search)?;
        Ok(Box::new(move |watch| {
            watch.time(|| {
                for (query, &width) in widths.iter().enumerate() {
                    ensure!(search(query, width)?.len() >= K, "fewer than {K} found");
                }
                Ok(())
            })
        }))
    }
}

/// Both sides are brought to the same recall when they are made, so there is no other answer to
/// check.
pub(super) fn pair(subject: Run, baseline: Run) -> Pair {
    Pair {
        check: Box::new(|| Ok(())),
        subject,
        baseline,
    }
}

pub(super) fn empty(dimension: usize, codes: Codes) -> Result<HnswIndex> {
    let options = HnswOptions {
        degree: DEGREE,
        build_width: BUILD_WIDTH,
        codes,
        ..HnswOptions::default()
    };
    HnswIndex::new(dimension, Metric::Cosine, Isa::best(), options)
        .context("an index of the data's dimension")
}

/// Recall@10 of an index as it is by default.
pub(super) fn recall(setup: &Setup) -> Result<f64> {
    let work = Work::new(setup)?;
    let index = HnswIndex::new(
        work.data.dimension,
        Metric::Cosine,
        Isa::best(),
        HnswOptions::default(),
    )?;
    for row in work.data.rows.chunks_exact(work.data.dimension) {
        index.insert(row)?;
    }
    index.link(usize::MAX);
    let data = work.data.clone();
    let corrupt = setup.corrupt;
    let search: Search = Arc::new(move |query, _| {
        let found = index.nearest(data.query(query), Nearest::default())?;
        let rows = found.iter().map(|near| near.row.get());
        Ok(rows.map(|row| row + u32::from(corrupt)).collect())
    });
    work.recall(&search, 0)
}

/// Walks over blocks against the exact scan.
pub(super) fn against_exact(setup: &Setup) -> Result<Pair> {
    let work = Work::new(setup)?;
    let exact = work.exact()?;
    let subject = work.side("blocks", work.search(Codes::Blocks)?)?;
    let baseline = work.side("exact", exact)?;
    Ok(pair(subject, baseline))
}

/// Walks over blocks against walks over f32 vectors.
pub(super) fn against_f32(setup: &Setup) -> Result<Pair> {
    let work = Work::new(setup)?;
    let subject = work.side("blocks", work.search(Codes::Blocks)?)?;
    let baseline = work.side("f32", work.search(Codes::F32)?)?;
    Ok(pair(subject, baseline))
}

/// Many queries in one call against one after the other, in the order in which they were given:
/// stored rows in a random one, as whoever looks for the neighbours of all that is stored asks.
pub(super) fn batch(setup: &Setup, codes: Codes) -> Result<Pair> {
    const WIDTH: usize = 64;
    const BATCH: usize = 10_000;
    let work = Work::new(setup)?;
    let (index, data) = (work.graph(codes)?, work.data.clone());
    let mut rows: Vec<usize> = (0..data.len()).collect();
    let mut random = Rng::new(7);
    for place in (1..rows.len()).rev() {
        rows.swap(place, random.below(place + 1));
    }
    rows.truncate(BATCH);
    let rows: Arc<[usize]> = rows.into();
    let how = Nearest {
        k: K,
        width: WIDTH,
        ..Nearest::default()
    };
    let one_by_one = {
        let (index, data, rows) = (index.clone(), data.clone(), rows.clone());
        move || {
            let rows = rows.iter();
            rows.map(|&row| index.nearest(data.row(row), how))
                .collect::<Vec<_>>()
        }
    };
    let together = move || {
        let rows = rows.iter();
        let queries: Vec<_> = rows
            .map(|&row| Query {
                vector: data.row(row),
                k: K,
            })
            .collect();
        index.nearest_many(&queries, how)
    };
    let check = {
        let (one_by_one, together) = (one_by_one.clone(), together.clone());
        move || {
            ensure!(one_by_one() == together(), "a batch gives another answer");
            Ok(())
        }
    };
    Ok(Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            ensure!(
                watch.time(&together).iter().all(Result::is_ok),
                "a query failed"
            );
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            ensure!(
                watch.time(&one_by_one).iter().all(Result::is_ok),
                "a query failed"
            );
            Ok(())
        }),
    })
}
