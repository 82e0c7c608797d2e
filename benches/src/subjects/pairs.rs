//! Kernels over two vectors in the first-level cache, against SimSIMD's.

use anyhow::{Context, Result, ensure};
use cortica_simd::{Isa, cosine, cosine_with_norms, dot, inverse_norm, squared_distance};
use cortica_testkit::{Measure, score};
use simsimd::SpatialSimilarity;
use std::hint::black_box;
use std::sync::Arc;

use super::fixture::{self, Aligned};
use crate::subject::{Pair, Run, Setup};
use crate::width::{load_both, multiply_adds};

/// Values of one query and of all vectors it is compared with: 27 KB, in the first-level cache.
const VALUES: usize = 9 * 768;

/// Times the vectors are gone through in one timed section, so that reading the clock does not show.
const ROUNDS: usize = 500;

/// Both must be this close to the exact value, for vectors of lengths about 1.
const TOLERANCE: f64 = 1e-6;

/// SimSIMD's cosine goes through an estimate of the inverse root.
const COSINE_TOLERANCE: f64 = 1e-5;

pub(super) fn dot_of_512(_: &Setup) -> Result<Pair> {
    dot_of(512)
}

pub(super) fn dot_of_768(_: &Setup) -> Result<Pair> {
    dot_of(768)
}

pub(super) fn dot_of_1536(_: &Setup) -> Result<Pair> {
    dot_of(1_536)
}

pub(super) fn l2_of_512(_: &Setup) -> Result<Pair> {
    l2_of(512)
}

pub(super) fn l2_of_768(_: &Setup) -> Result<Pair> {
    l2_of(768)
}

pub(super) fn l2_of_1536(_: &Setup) -> Result<Pair> {
    l2_of(1_536)
}

fn dot_of(dimension: usize) -> Result<Pair> {
    let isa = Isa::best();
    let exact = |a: &[f32], b: &[f32]| score(Measure::Dot, a, b);
    compare(
        dimension,
        TOLERANCE,
        exact,
        move |a, b, _| dot(isa, a, b),
        |a, b| f32::dot(a, b).unwrap_or(f64::NAN),
    )
}

fn l2_of(dimension: usize) -> Result<Pair> {
    let isa = Isa::best();
    let exact = |a: &[f32], b: &[f32]| -score(Measure::L2, a, b);
    compare(
        dimension,
        TOLERANCE,
        exact,
        move |a, b, _| squared_distance(isa, a, b),
        |a, b| f32::l2sq(a, b).unwrap_or(f64::NAN),
    )
}

/// Nothing is known about the vectors beforehand: three sums for us and for them.
pub(super) fn cosine_of_768(_: &Setup) -> Result<Pair> {
    let isa = Isa::best();
    compare_cosines(move |a, b, _| cosine(isa, a, b))
}

/// The norms are stored, as an index does: one sum for us, and the same call for them.
pub(super) fn cosine_of_768_with_norms(_: &Setup) -> Result<Pair> {
    let isa = Isa::best();
    compare_cosines(move |a, b, norms| cosine_with_norms(isa, a, b, norms[0], norms[1]))
}

fn compare_cosines(
    ours: impl Fn(&[f32], &[f32], [f32; 2]) -> f32 + Copy + 'static,
) -> Result<Pair> {
    let exact = |a: &[f32], b: &[f32]| score(Measure::Cosine, a, b);
    compare(768, COSINE_TOLERANCE, exact, ours, |a, b| {
        1.0 - f32::cosine(a, b).unwrap_or(f64::NAN)
    })
}

/// The dot product against loading both vectors, which nothing that reads them can do without.
pub(super) fn dot_against_loads(_: &Setup) -> Result<Pair> {
    let isa = Isa::best();
    against_roof(move |a, b| dot(isa, a, b), load_both)
}

/// As above, for the distance.
pub(super) fn l2_against_loads(_: &Setup) -> Result<Pair> {
    let isa = Isa::best();
    against_roof(move |a, b| squared_distance(isa, a, b), load_both)
}

/// The cosine against its multiply-adds alone: three for each value.
pub(super) fn cosine_against_arithmetic(_: &Setup) -> Result<Pair> {
    let isa = Isa::best();
    against_roof(
        move |a, b| cosine(isa, a, b),
        |a, _| multiply_adds(3 * a.len()),
    )
}

/// What is right is what the gates against SimSIMD check; the roof gives no score to compare.
fn against_roof(
    ours: impl Fn(&[f32], &[f32]) -> f32 + Copy + 'static,
    roof: impl Fn(&[f32], &[f32]) -> f32 + Copy + 'static,
) -> Result<Pair> {
    let vectors = Arc::new(Vectors::of(768)?);
    let checked = vectors.clone();
    Ok(Pair {
        check: Box::new(move || {
            let finite = |of: &dyn Fn(&[f32], &[f32]) -> f32| {
                checked.pairs().all(|(a, b, _)| of(a, b).is_finite())
            };
            ensure!(finite(&ours) && finite(&roof), "not a number");
            Ok(())
        }),
        subject: timed(vectors.clone(), move |a, b, _| ours(a, b)),
        baseline: timed(vectors, move |a, b, _| roof(a, b)),
    })
}

/// A query, vectors, and the inverse norms of each pair.
struct Vectors {
    dimension: usize,
    query: Aligned,
    rows: Aligned,
    norms: Vec<[f32; 2]>,
}

impl Vectors {
    /// Real vectors, cut or put together to the dimension that is asked for.
    fn of(dimension: usize) -> Result<Vectors> {
        let data = fixture::bundled()?;
        let cut = |first: usize| -> Vec<f32> {
            let values = (first..).flat_map(|row| data.row(row % data.len()));
            values.take(dimension).copied().collect()
        };
        let query = cut(0);
        let rows: Vec<f32> = (1..VALUES / dimension)
            .flat_map(|row| cut(2 * row))
            .collect();
        let isa = Isa::best();
        let norms = rows.chunks_exact(dimension);
        let norms = norms.map(|row| [inverse_norm(isa, &query), inverse_norm(isa, row)]);
        Ok(Vectors {
            dimension,
            norms: norms.collect(),
            query: Aligned::copy_of(&query),
            rows: Aligned::copy_of(&rows),
        })
    }

    /// Every pair of the query and a vector, with what is stored about them.
    fn pairs(&self) -> impl Iterator<Item = (&[f32], &[f32], [f32; 2])> {
        let rows = self.rows.values().chunks_exact(self.dimension);
        let query = self.query.values();
        std::iter::zip(rows, &self.norms).map(move |(row, &norms)| (query, row, norms))
    }

    /// The same loop for both, compiled once for each.
    fn sum(&self, of: impl Fn(&[f32], &[f32], [f32; 2]) -> f32) -> f32 {
        let mut sum = 0.0;
        for _ in 0..ROUNDS {
            for (a, b, norms) in self.pairs() {
                sum += of(black_box(a), black_box(b), norms);
            }
        }
        sum
    }
}

fn compare(
    dimension: usize,
    tolerance: f64,
    exact: impl Fn(&[f32], &[f32]) -> f64 + 'static,
    ours: impl Fn(&[f32], &[f32], [f32; 2]) -> f32 + Copy + 'static,
    theirs: impl Fn(&[f32], &[f32]) -> f64 + Copy + 'static,
) -> Result<Pair> {
    let vectors = Arc::new(Vectors::of(dimension)?);
    let checked = vectors.clone();
    let check = move || {
        for (a, b, norms) in checked.pairs() {
            let want = exact(a, b);
            let got = f64::from(ours(a, b, norms));
            ensure!((got - want).abs() < TOLERANCE, "{got} instead of {want}");
            let got = theirs(a, b);
            ensure!(
                (got - want).abs() < tolerance,
                "SimSIMD: {got} instead of {want}"
            );
        }
        Ok(())
    };
    Ok(Pair {
        check: Box::new(check),
        subject: timed(vectors.clone(), ours),
        baseline: timed(vectors, move |a, b, _| theirs(a, b) as f32),
    })
}

fn timed(
    vectors: Arc<Vectors>,
    of: impl Fn(&[f32], &[f32], [f32; 2]) -> f32 + Copy + 'static,
) -> Run {
    Box::new(move |watch| {
        let sum = watch.time(|| vectors.sum(of));
        sum.is_finite().then_some(()).context("not a number")
    })
}
