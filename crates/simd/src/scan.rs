//! Kernels over many rows. They select; see the crate's page on what "identical" means.

use crate::isa::Isa;
use crate::pair::{Pairing, Product, SquaredDifference};
use crate::portable;
use crate::rows::Rows;
use pulp::{Simd, WithSimd};
use std::iter::zip;

/// The dot product of one query with each row: `out[i] = query . rows[i]`.
///
/// Rows beyond `out`, and places in `out` beyond the rows, are left alone. Error per score as for
/// [`dot`](crate::dot). Cost: O(rows * d), bound by memory bandwidth once the rows leave the cache.
pub fn dot_rows(isa: Isa, query: &[f32], rows: Rows<'_>, out: &mut [f32]) {
    isa.run(OneToMany {
        query,
        rows,
        out,
        _pairing: Product,
    });
}

/// The squared Euclidean distance of one query to each row; otherwise as [`dot_rows`].
pub fn squared_distance_rows(isa: Isa, query: &[f32], rows: Rows<'_>, out: &mut [f32]) {
    isa.run(OneToMany {
        query,
        rows,
        out,
        _pairing: SquaredDifference,
    });
}

/// The dot products of every query with every row: `out[q * rows.len() + r] = queries[q] . rows[r]`.
///
/// Four queries share each row that is loaded, so this does several times the work of
/// [`dot_rows`] on the same bandwidth. Places in `out` beyond `queries.len() * rows.len()` are left
/// alone; where `out` is too short, the scores that do not fit are left out.
pub fn dot_tile(isa: Isa, queries: &[&[f32]], rows: Rows<'_>, out: &mut [f32]) {
    isa.run(ManyToMany {
        queries,
        rows,
        out,
        _pairing: Product,
    });
}

/// The squared Euclidean distances of every query to every row; otherwise as [`dot_tile`].
pub fn squared_distance_tile(isa: Isa, queries: &[&[f32]], rows: Rows<'_>, out: &mut [f32]) {
    isa.run(ManyToMany {
        queries,
        rows,
        out,
        _pairing: SquaredDifference,
    });
}

/// Rows that are read as four streams side by side.
const STREAMED_ROWS: usize = 128;

struct OneToMany<'a, P> {
    query: &'a [f32],
    rows: Rows<'a>,
    out: &'a mut [f32],
    _pairing: P,
}

impl<P: Pairing> WithSimd for OneToMany<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        one_to_many::<S, P>(simd, self.query, self.rows, self.out);
    }
}

#[inline(always)]
fn one_to_many<S: Simd, P: Pairing>(simd: S, query: &[f32], rows: Rows<'_>, out: &mut [f32]) {
    let query = &query[..query.len().min(rows.dimension())];
    if S::IS_SCALAR {
        for (row, place) in zip(rows.iter(), out) {
            *place = portable::sum_pairs(query, row, P::scalar);
        }
        return;
    }
    for from in (0..rows.len().min(out.len())).step_by(STREAMED_ROWS) {
        let end = (from + STREAMED_ROWS).min(out.len());
        streamed::<S, P>(simd, query, rows.range(from, end), &mut out[from..end]);
    }
}

/// Scores at most [`STREAMED_ROWS`] rows, four at a time that lie a quarter of them apart: each of
/// the four is read on where it ended, so the hardware sees four long streams and runs ahead of
/// them. Four neighbouring rows would be one stream read in leaps, at two thirds of the speed.
#[inline(always)]
fn streamed<S: Simd, P: Pairing>(simd: S, query: &[f32], rows: Rows<'_>, out: &mut [f32]) {
    let quarter = rows.len() / 4;
    let stream = |at: usize| rows.range(at * quarter, (at + 1) * quarter);
    let [r0, r1, r2, r3] = [0, 1, 2, 3].map(stream);
    let fours = zip(zip(r0.iter(), r1.iter()), zip(r2.iter(), r3.iter()));
    for (at, ((a, b), (c, d))) in fours.enumerate() {
        let [scores] = block::<S, P, 1, 4>(simd, [query], [a, b, c, d]);
        for (stream, score) in scores.into_iter().enumerate() {
            out[stream * quarter + at] = score;
        }
    }
    let done = 4 * quarter;
    let rest = rows.range(done, rows.len());
    for (row, place) in zip(rest.iter(), out.get_mut(done..).unwrap_or_default()) {
        *place = block::<S, P, 1, 1>(simd, [query], [row])[0][0];
    }
}

struct ManyToMany<'a, P> {
    queries: &'a [&'a [f32]],
    rows: Rows<'a>,
    out: &'a mut [f32],
    _pairing: P,
}

impl<P: Pairing> WithSimd for ManyToMany<'_, P> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self {
            queries, rows, out, ..
        } = self;
        let width = rows.len();
        if width == 0 {
            return;
        }
        let whole = queries.len() - queries.len() % 4;
        // Row blocks outside, queries inside: four rows stay in the first cache while every group
        // of four queries passes over them.
        if !S::IS_SCALAR {
            for from in (0..width - width % 4).step_by(4) {
                let mut four = rows.range(from, from + 4).iter();
                let four = [(); 4].map(|()| four.next().unwrap_or_default());
                for (group, queries) in queries[..whole].chunks_exact(4).enumerate() {
                    let queries = [queries[0], queries[1], queries[2], queries[3]];
                    let scores = block::<S, P, 4, 4>(simd, queries, four);
                    for (at, scores) in scores.iter().enumerate() {
                        let start = (group * 4 + at) * width + from;
                        if let Some(places) = out.get_mut(start..start + 4) {
                            places.copy_from_slice(scores);
                        }
                    }
                }
            }
        }
        for (at, query) in queries.iter().enumerate() {
            let from = if at < whole && !S::IS_SCALAR {
                width - width % 4
            } else {
                0
            };
            let start = (at * width + from).min(out.len());
            let end = ((at + 1) * width).min(out.len());
            one_to_many::<S, P>(simd, query, rows.range(from, width), &mut out[start..end]);
        }
    }
}

/// Sums over all pairs of `Q` queries and `R` rows, each cut to the shortest of them.
#[inline(always)]
fn block<S: Simd, P: Pairing, const Q: usize, const R: usize>(
    simd: S,
    queries: [&[f32]; Q],
    rows: [&[f32]; R],
) -> [[f32; R]; Q] {
    let lengths = queries.iter().chain(&rows).map(|values| values.len());
    let d = lengths.min().unwrap_or(0);
    let chunks = d / S::F32_LANES;
    // Cut to a length the compiler can see is common to all, so that it drops the checks.
    let query_chunks = queries.map(|query| &S::as_simd_f32s(&query[..d]).0[..chunks]);
    let row_chunks = rows.map(|row| &S::as_simd_f32s(&row[..d]).0[..chunks]);
    let zero = simd.splat_f32s(0.0);
    let mut sums = [[zero; R]; Q];
    let mut row = [zero; R];
    for at in 0..chunks {
        for (row, chunks) in zip(&mut row, row_chunks) {
            *row = chunks[at];
        }
        for (sums, query) in zip(&mut sums, query_chunks) {
            for (sum, &row) in zip(sums, &row) {
                *sum = P::step(simd, query[at], row, *sum);
            }
        }
    }
    let done = chunks * S::F32_LANES;
    if d > done {
        for (row, values) in zip(&mut row, rows) {
            *row = simd.partial_load_f32s(&values[done..d]);
        }
        for (sums, values) in zip(&mut sums, queries) {
            let query = simd.partial_load_f32s(&values[done..d]);
            for (sum, &row) in zip(sums, &row) {
                *sum = P::step(simd, query, row, *sum);
            }
        }
    }
    // Loops and not `map`: a closure is a function of its own, and called from here it would get
    // its vectors through memory and fold them without the wide instructions.
    let mut scores = [[0.0; R]; Q];
    for (scores, sums) in zip(&mut scores, sums) {
        for (score, sum) in zip(scores, sums) {
            *score = simd.reduce_sum_f32s(sum);
        }
    }
    scores
}
