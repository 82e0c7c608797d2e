//! Many queries against many rows, and one query against rows that no cache of a core holds. The
//! rows lie as an index lays them out: on cache lines, in huge pages where there are any.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use cortica_index::{ExactIndex, Metric, VectorIndex};
use cortica_simd::{Isa, dot_rows, dot_tile};
use cortica_testkit::{Dataset, Measure, score};

use super::fixture::{self, Aligned};
use super::gemm::{Matrix, multiply};
use super::read::Streams;
use super::roof;
use crate::subject::{Limited, Pair, Setup};

const QUERIES: usize = 16;
const ROWS: usize = 10_000;

/// Rows of a scan: 300 MB of 768 values; a quick run makes do with 128 MB.
const SCANNED_ROWS: usize = 100_000;
const SCANNED_ROWS_QUICK: usize = 43_690;

/// Unit vectors: every score must be this close to the exact one.
const TOLERANCE: f64 = 1e-6;

/// One score in so many is compared with its definition.
const CHECKED: usize = 97;

/// Real rows in an index, and queries for them.
struct Work {
    index: ExactIndex,
    queries: Vec<Aligned>,
}

impl Work {
    fn new(data: &Dataset, rows: usize, queries: usize) -> Result<Work> {
        let index = ExactIndex::new(data.dimension, Metric::Dot, Isa::best())?;
        for row in fixture::tiled(data, rows).chunks_exact(data.dimension) {
            index.insert(row)?;
        }
        let mut real = fixture::queries(data).into_iter().cycle();
        let queries = (0..queries).map_while(|_| real.next().map(Aligned::copy_of));
        let queries = queries.collect();
        Ok(Work { index, queries })
    }

    fn queries(&self) -> Vec<&[f32]> {
        self.queries.iter().map(Aligned::values).collect()
    }

    /// All scores in one pass over the rows: for each run of rows, query by query.
    fn tile(&self, out: &mut [f32]) {
        let (isa, queries) = (Isa::best(), self.queries());
        let mut done = 0;
        self.index.lend(|rows| {
            dot_tile(isa, &queries, rows, &mut out[done..]);
            done += queries.len() * rows.len();
        });
    }

    /// The same scores in the same places, one query after the other.
    fn one_by_one(&self, out: &mut [f32]) {
        let isa = Isa::best();
        for (at, query) in self.queries.iter().enumerate() {
            let mut done = 0;
            self.index.lend(|rows| {
                let from = done * self.queries.len() + at * rows.len();
                dot_rows(isa, query.values(), rows, &mut out[from..]);
                done += rows.len();
            });
        }
    }

    /// The same scores in the same places, as products of matrices.
    fn products(&self, queries: &Aligned, out: &mut [f32]) -> Result<()> {
        let dimension = self.index.dimension();
        let (mut done, mut result) = (0, Ok(()));
        self.index.lend(|rows| {
            let length = self.queries.len() * rows.len();
            let rows = Matrix {
                values: rows.data(),
                columns: dimension,
                stride: rows.stride(),
            };
            let queries = Matrix {
                values: queries.values(),
                columns: dimension,
                stride: dimension,
            };
            let product = multiply(queries, rows, &mut out[done..done + length]);
            result = std::mem::replace(&mut result, Ok(())).and(product);
            done += length;
        });
        result
    }

    /// Compares some of the scores with their definition.
    fn check(&self, out: &[f32]) -> Result<()> {
        let (mut at, mut compared) = (0, 0);
        let mut wrong = None;
        self.index.lend(|rows| {
            for query in &self.queries {
                for row in rows.iter() {
                    if at % CHECKED == 0 {
                        let want = score(Measure::Dot, query.values(), row);
                        let good = (f64::from(out[at]) - want).abs() < TOLERANCE;
                        if !good {
                            wrong = Some((out[at], want));
                        }
                        compared += 1;
                    }
                    at += 1;
                }
            }
        });
        ensure!(compared > 0, "nothing was compared");
        match wrong {
            Some((got, want)) => anyhow::bail!("{got} instead of {want}"),
            None => Ok(()),
        }
    }
}

pub(super) fn against_gemm(_: &Setup) -> Result<Pair> {
    let data = fixture::bundled()?;
    let work = Arc::new(Work::new(&data, ROWS, QUERIES)?);
    let packed: Vec<f32> = work.queries().concat();
    let packed = Arc::new(Aligned::copy_of(&packed));
    let out = || vec![0.0; QUERIES * ROWS];

    let (checked, checked_packed) = (work.clone(), packed.clone());
    let check = move || {
        let mut scores = out();
        checked.tile(&mut scores);
        checked.check(&scores)?;
        scores.fill(0.0);
        checked.products(&checked_packed, &mut scores)?;
        checked.check(&scores).context("gemm")
    };
    let (tiled, mut ours, mut theirs) = (work.clone(), out(), out());
    Ok(Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            watch.time(|| tiled.tile(&mut ours));
            Ok(())
        }),
        baseline: Box::new(move |watch| watch.time(|| work.products(&packed, &mut theirs))),
    })
}

pub(super) fn against_one_by_one(_: &Setup) -> Result<Limited> {
    let data = fixture::bundled()?;
    let work = Arc::new(Work::new(&data, ROWS, QUERIES)?);
    let out = || vec![0.0; QUERIES * ROWS];

    let checked = work.clone();
    let check = move || {
        let mut scores = out();
        checked.tile(&mut scores);
        checked.check(&scores)?;
        let mut single = out();
        checked.one_by_one(&mut single);
        ensure!(single == scores, "the tile has other bits");
        Ok(())
    };
    let (tiled, read, mut ours, mut theirs) = (work.clone(), work.clone(), out(), out());
    Ok(Limited {
        pair: Pair {
            check: Box::new(check),
            subject: Box::new(move |watch| {
                watch.time(|| tiled.tile(&mut ours));
                Ok(())
            }),
            baseline: Box::new(move |watch| {
                watch.time(|| work.one_by_one(&mut theirs));
                Ok(())
            }),
        },
        roof: Box::new(move |watch| {
            let mut sum = 0.0;
            watch.time(|| {
                let index = &read.index;
                index.lend(|rows| sum += roof::products::<QUERIES>(rows.data()));
            });
            sum.is_finite().then_some(()).context("not a number")
        }),
        share: 0.7, // This roof does not read the queries again for each row.
    })
}

/// One query against rows beyond the caches, against a plain read of the very same memory.
pub(super) fn scan_against_read(setup: &Setup) -> Result<Pair> {
    let data = fixture::bundled()?;
    let rows = if setup.quick {
        SCANNED_ROWS_QUICK
    } else {
        SCANNED_ROWS
    };
    let work = Arc::new(Work::new(&data, rows, 1)?);
    let read = |work: &Work, streams: Streams| {
        let mut sum = 0.0;
        work.index.lend(|rows| sum += streams.sum(rows.data()));
        sum
    };
    let streams = Streams::fastest(|streams| read(&work, streams));

    let checked = work.clone();
    let check = move || {
        let mut scores = vec![0.0; rows];
        checked.one_by_one(&mut scores);
        checked.check(&scores)
    };
    let (scanned, mut scores) = (work.clone(), vec![0.0; rows]);
    Ok(Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            watch.time(|| scanned.one_by_one(&mut scores));
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            let sum = watch.time(|| read(&work, streams));
            sum.is_finite().then_some(()).context("not a number")
        }),
    })
}
