//! One dot product of two vectors in the first-level cache, against SimSIMD's.

use anyhow::{Context, Result, ensure};
use cortica_simd::{Isa, dot};
use cortica_testkit::{Measure, score};
use simsimd::SpatialSimilarity;
use std::hint::black_box;
use std::sync::Arc;

use super::fixture::{self, Aligned};
use crate::subject::{Pair, Setup};

const DIMENSION: usize = 768;

/// One query and so many vectors: 27 KB in all.
const VECTORS: usize = 8;

/// Times the vectors are gone through in one timed section, so that reading the clock does not show.
const ROUNDS: usize = 500;

/// Both must be this close to the exact value, for vectors of length 1.
const TOLERANCE: f64 = 1e-6;

pub(super) fn subject(_: &Setup) -> Result<Pair> {
    let data = fixture::bundled()?;
    ensure!(
        data.dimension == DIMENSION,
        "the bundled rows have another dimension"
    );
    let query = Arc::new(Aligned::copy_of(data.query(0)));
    let vectors = Arc::new(Aligned::copy_of(&fixture::tiled(&data, VECTORS)));
    let isa = Isa::best();
    let theirs = |a: &[f32], b: &[f32]| f32::dot(a, b).unwrap_or(f64::NAN);

    let (q, v) = (query.clone(), vectors.clone());
    let check = move || {
        for vector in v.values().chunks_exact(DIMENSION) {
            let exact = score(Measure::Dot, q.values(), vector);
            for got in [
                f64::from(dot(isa, q.values(), vector)),
                theirs(q.values(), vector),
            ] {
                ensure!((got - exact).abs() < TOLERANCE, "{got} instead of {exact}");
            }
        }
        Ok(())
    };
    Ok(Pair {
        check: Box::new(check),
        subject: {
            let (query, vectors) = (query.clone(), vectors.clone());
            Box::new(move |watch| {
                let sum =
                    watch.time(|| sum_of(query.values(), vectors.values(), |a, b| dot(isa, a, b)));
                sum.is_finite().then_some(()).context("not a number")
            })
        },
        baseline: Box::new(move |watch| {
            let sum =
                watch.time(|| sum_of(query.values(), vectors.values(), |a, b| theirs(a, b) as f32));
            sum.is_finite().then_some(()).context("not a number")
        }),
    })
}

/// The same loop for both, compiled once for each.
fn sum_of(query: &[f32], vectors: &[f32], dot: impl Fn(&[f32], &[f32]) -> f32) -> f32 {
    let mut sum = 0.0;
    for _ in 0..ROUNDS {
        for vector in vectors.chunks_exact(DIMENSION) {
            sum += dot(black_box(query), black_box(vector));
        }
    }
    sum
}
