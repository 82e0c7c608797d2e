//! Kernels of many queries and many rows. They select; see the crate's page on what "identical"
//! means.

use crate::block::{Ahead, LINE, NOTHING, block};
use crate::cosine::cosine_of_dot;
use crate::inverse_norm;
use crate::isa::Isa;
use crate::native::prefetch;
use crate::pair::{Pairing, Product, SquaredDifference};
use crate::rows::Rows;
use crate::scan::{one_to_many, with_row_norms};
use pulp::{Simd, WithSimd};
use std::iter::zip;

/// The dot products of every query with every row: `out[q * rows.len() + r] = queries[q] . rows[r]`.
///
/// Groups of four queries share each row that is loaded, and fetch the next rows while they work, so
/// this does several times the work of [`dot_rows`](crate::dot_rows) on the same bandwidth. Places
/// in `out` beyond `queries.len() * rows.len()` are left alone; where `out` is too short, the scores
/// that do not fit are left out. Where a query and the rows have not as many values, the fewer
/// count. Error per score as for [`dot`](crate::dot). Cost: O(queries * rows * d).
pub fn dot_tile(isa: Isa, queries: &[&[f32]], rows: Rows<'_>, out: &mut [f32]) {
    isa.run(ManyToMany {
        queries,
        rows,
        out,
        _pairing: Product,
    });
}

/// The squared Euclidean distances of every query to every row; otherwise as [`dot_tile`]. Error
/// per score as for [`squared_distance`](crate::squared_distance).
pub fn squared_distance_tile(isa: Isa, queries: &[&[f32]], rows: Rows<'_>, out: &mut [f32]) {
    isa.run(ManyToMany {
        queries,
        rows,
        out,
        _pairing: SquaredDifference,
    });
}

/// The cosines of every query with every row, 0 where either is zero; otherwise as [`dot_tile`].
///
/// Inverse norms that `rows` brings along are used; without them they are computed, which costs
/// another O(rows * d). Queries with fewer values or more count as in
/// [`cosine_rows`](crate::cosine_rows). Error per score as for
/// [`cosine_with_norms`](crate::cosine_with_norms).
pub fn cosine_tile(isa: Isa, queries: &[&[f32]], rows: Rows<'_>, out: &mut [f32]) {
    dot_tile(isa, queries, rows, out);
    let width = rows.len();
    with_row_norms(isa, rows, |first, norms| {
        for (at, query) in queries.iter().enumerate() {
            let query = &query[..query.len().min(rows.dimension())];
            let inverse_norm = inverse_norm(isa, query);
            let places = out.get_mut(at * width + first..).unwrap_or_default();
            for (place, &norm) in zip(places, norms) {
                *place = cosine_of_dot(*place, inverse_norm, norm);
            }
        }
    });
}

/// Rows in a block where there are registers enough: with four queries twenty-four sums, four
/// queries and a row make twenty-nine of thirty-two.
const BLOCK_ROWS: usize = 6;

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
        let (d, width) = (self.rows.dimension(), self.rows.len());
        // A block has only whole queries and rows, and room for all its scores.
        let long_enough = self.queries.iter().all(|query| query.len() >= d);
        let room = self.out.len() / self.queries.len().max(1) >= width;
        if S::IS_SCALAR || width < BLOCK_ROWS || !long_enough || !room {
            let outs = self.out.chunks_mut(width.max(1));
            for (query, out) in zip(self.queries, outs) {
                one_to_many::<S, P>(simd, query, self.rows, out);
            }
        } else if S::REGISTER_COUNT < 32 {
            // Twelve sums, three rows and a query make sixteen.
            self.tile::<S, 3>(simd);
        } else {
            self.tile::<S, BLOCK_ROWS>(simd);
        }
    }
}

/// Where the scores of a block of rows go: a line of `width` for each query, of which they begin at `from`.
struct Scores<'a> {
    out: &'a mut [f32],
    width: usize,
    from: usize,
}

impl Scores<'_> {
    /// Of queries from `first` on.
    #[inline(always)]
    fn put<const Q: usize, const R: usize>(&mut self, first: usize, scores: [[f32; R]; Q]) {
        for (at, scores) in scores.iter().enumerate() {
            let place = (first + at) * self.width + self.from;
            self.out[place..place + R].copy_from_slice(scores);
        }
    }
}

impl<P: Pairing> ManyToMany<'_, P> {
    /// Row blocks outside, queries inside: `R` rows stay in the first cache while every group of
    /// four queries passes over them. Each group fetches its share of the next `R` rows, so that
    /// all have been asked for when their turn comes.
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(self, simd: S) {
        let Self {
            queries, rows, out, ..
        } = self;
        let (d, width) = (rows.dimension(), rows.len());
        let (groups, rest) = queries.as_chunks::<4>();
        let share = d.div_ceil(LINE).div_ceil(groups.len().max(1)) * LINE;
        let into = prefetch::of_tiles();
        let mut from = 0;
        while from < width {
            // The last block starts early enough to be whole, and scores some rows again: the same
            // pair gives the same bits wherever it stands.
            from = from.min(width - R);
            let mut block_of = [&rows.data()[..d]; R];
            for (at, row) in block_of.iter_mut().enumerate() {
                *row = &rows.data()[(from + at) * rows.stride()..][..d];
            }
            for (group, queries) in groups.iter().enumerate() {
                let ahead = Ahead {
                    values: rows.data(),
                    first: (from + R) * rows.stride() + group * share,
                    stride: rows.stride(),
                    every: groups.len(),
                    into,
                };
                let queries = queries.map(|query| &query[..d]);
                let scores = block::<S, P, 4, R>(simd, queries, block_of, ahead);
                Scores { out, width, from }.put(group * 4, scores);
            }
            // Two or three together read the rows once, and have sums enough for none to wait for its own last step.
            let first = groups.len() * 4;
            let mut places = Scores { out, width, from };
            match *rest {
                [] => {}
                [a] => places.put(
                    first,
                    block::<S, P, 1, R>(simd, [&a[..d]], block_of, NOTHING),
                ),
                [a, b] => {
                    let queries = [&a[..d], &b[..d]];
                    places.put(first, block::<S, P, 2, R>(simd, queries, block_of, NOTHING));
                }
                [a, b, c, ..] => {
                    let queries = [&a[..d], &b[..d], &c[..d]];
                    places.put(first, block::<S, P, 3, R>(simd, queries, block_of, NOTHING));
                }
            }
            from += R;
        }
    }
}
