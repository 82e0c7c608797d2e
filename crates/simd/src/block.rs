//! A block of queries and rows whose sums stay in registers: what many-row kernels are made of.

use crate::fold::fold;
use crate::native::prefetch::{Into, prefetch};
use crate::pair::Pairing;
use pulp::Simd;
use std::iter::zip;

/// f32 values in a cache line.
pub(crate) const LINE: usize = 16;

/// Rows that will be needed next, fetched a line of each at a time: in the order in which they will
/// be read, so that the first to be read have been asked for the longest.
#[derive(Clone, Copy)]
pub(crate) struct Ahead<'a> {
    pub(crate) values: &'a [f32],
    /// Where the first line starts in `values`; it may lie beyond the end.
    pub(crate) first: usize,
    /// From a row to the next.
    pub(crate) stride: usize,
    /// Lines of its own rows that a block reads for each one it fetches; 0: it fetches none.
    pub(crate) every: usize,
    pub(crate) into: Into,
}

/// Rows that stream from memory one behind the other need no help: the processor sees it.
pub(crate) const NOTHING: Ahead<'static> = Ahead {
    values: &[],
    first: 0,
    stride: 0,
    every: 0,
    into: Into::First,
};

/// Sums over all pairs of `Q` queries and `R` rows, all of the same length, while `ahead` is
/// fetched.
#[inline(always)]
pub(crate) fn block<S: Simd, P: Pairing, const Q: usize, const R: usize>(
    simd: S,
    queries: [&[f32]; Q],
    rows: [&[f32]; R],
    ahead: Ahead<'_>,
) -> [[f32; R]; Q] {
    let lengths = queries.iter().chain(&rows).map(|values| values.len());
    let d = lengths.min().unwrap_or(0);
    let chunks = d / S::F32_LANES;
    // Cut to a length the compiler can see is common to all, so that it drops the checks.
    let query_chunks = queries.map(|query| &S::as_simd_f32s(&query[..d]).0[..chunks]);
    let row_chunks = rows.map(|row| &S::as_simd_f32s(&row[..d]).0[..chunks]);
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; R]; Q];
    let (mut query, mut row) = ([zero; Q], [zero; R]);
    let (mut next, mut lines_left) = (ahead.first, 0);
    for at in 0..chunks {
        if ahead.every > 0 && (at * S::F32_LANES).is_multiple_of(LINE) {
            if lines_left == 0 {
                for row in 0..R {
                    prefetch(ahead.values, next + row * ahead.stride, ahead.into);
                }
                next += LINE;
                lines_left = ahead.every;
            }
            lines_left -= 1;
        }
        for (query, chunks) in zip(&mut query, query_chunks) {
            *query = chunks[at];
        }
        for (row, chunks) in zip(&mut row, row_chunks) {
            *row = chunks[at];
        }
        add_pairs::<S, P, Q, R>(simd, &query, &row, &mut sums);
    }
    let done = chunks * S::F32_LANES;
    if d > done {
        for (query, values) in zip(&mut query, queries) {
            *query = simd.partial_load_f32s(&values[done..d]);
        }
        for (row, values) in zip(&mut row, rows) {
            *row = simd.partial_load_f32s(&values[done..d]);
        }
        add_pairs::<S, P, Q, R>(simd, &query, &row, &mut sums);
    }
    fold::<S, Q, R>(simd, &sums)
}

/// One step of every sum. The smaller side is held in registers, the other passes through one.
#[inline(always)]
fn add_pairs<S: Simd, P: Pairing, const Q: usize, const R: usize>(
    simd: S,
    query: &[S::f32s; Q],
    row: &[S::f32s; R],
    sums: &mut [[S::f32s; R]; Q],
) {
    if Q <= R {
        for r in 0..R {
            for q in 0..Q {
                sums[q][r] = P::step(simd, query[q], row[r], sums[q][r]);
            }
        }
    } else {
        for q in 0..Q {
            for r in 0..R {
                sums[q][r] = P::step(simd, query[q], row[r], sums[q][r]);
            }
        }
    }
}
