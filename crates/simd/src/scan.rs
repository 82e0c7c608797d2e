//! Kernels of one query and many rows. They select; see the crate's page on what "identical" means.

use crate::block::{NOTHING, block};
use crate::cosine::cosine_of_dot;
use crate::inverse_norm;
use crate::isa::Isa;
use crate::pair::{Pairing, Product, SquaredDifference};
use crate::portable;
use crate::rows::Rows;
use pulp::{Simd, WithSimd};
use std::iter::zip;

/// The dot product of one query with each row: `out[i] = query . rows[i]`.
///
/// Rows beyond `out`, and places in `out` beyond the rows, are left alone. Where query and rows have
/// not as many values, the fewer count. Error per score as for [`dot`](crate::dot). Cost: O(rows * d), bound by memory bandwidth once the rows leave the cache.
pub fn dot_rows(isa: Isa, query: &[f32], rows: Rows<'_>, out: &mut [f32]) {
    isa.run(OneToMany {
        query,
        rows,
        out,
        _pairing: Product,
    });
}

/// The squared Euclidean distance of one query to each row; otherwise as [`dot_rows`]. Error per
/// score as for [`squared_distance`](crate::squared_distance).
pub fn squared_distance_rows(isa: Isa, query: &[f32], rows: Rows<'_>, out: &mut [f32]) {
    isa.run(OneToMany {
        query,
        rows,
        out,
        _pairing: SquaredDifference,
    });
}

/// The cosine of one query with each row, 0 where either is zero; otherwise as [`dot_rows`].
///
/// Inverse norms that `rows` brings along are used; without them they are computed, which costs
/// another O(rows * d). They are those of whole rows: a query with fewer values counts as one with
/// zeros behind them, and of one with more what is beyond the rows counts for nothing. Error per
/// score as for [`cosine_with_norms`](crate::cosine_with_norms).
pub fn cosine_rows(isa: Isa, query: &[f32], rows: Rows<'_>, out: &mut [f32]) {
    let query = &query[..query.len().min(rows.dimension())];
    let query_norm = inverse_norm(isa, query);
    let rows = rows.range(0, out.len());
    with_row_norms(isa, rows, |first, norms| {
        let places = out.get_mut(first..first + norms.len()).unwrap_or_default();
        dot_rows(isa, query, rows.range(first, first + norms.len()), places);
        for (place, &norm) in zip(places, norms) {
            *place = cosine_of_dot(*place, query_norm, norm);
        }
    });
}

/// Calls `visit` with the inverse norms of the rows in order, and the number of the first of them:
/// those that were lent, or those of a few rows at a time.
pub(crate) fn with_row_norms(isa: Isa, rows: Rows<'_>, mut visit: impl FnMut(usize, &[f32])) {
    if let Some(norms) = rows.inverse_norms() {
        return visit(0, norms);
    }
    let mut norms = [0.0; STREAMED_ROWS];
    for first in (0..rows.len()).step_by(STREAMED_ROWS) {
        let rows = rows.range(first, first + STREAMED_ROWS);
        for (norm, row) in zip(&mut norms, rows.iter()) {
            *norm = inverse_norm(isa, row);
        }
        visit(first, &norms[..rows.len()]);
    }
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
pub(crate) fn one_to_many<S: Simd, P: Pairing>(
    simd: S,
    query: &[f32],
    rows: Rows<'_>,
    out: &mut [f32],
) {
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
        let [scores] = block::<S, P, 1, 4>(simd, [query], [a, b, c, d], NOTHING);
        for (stream, score) in scores.into_iter().enumerate() {
            out[stream * quarter + at] = score;
        }
    }
    let done = 4 * quarter;
    let rest = rows.range(done, rows.len());
    for (row, place) in zip(rest.iter(), out.get_mut(done..).unwrap_or_default()) {
        *place = block::<S, P, 1, 1>(simd, [query], [row], NOTHING)[0][0];
    }
}
