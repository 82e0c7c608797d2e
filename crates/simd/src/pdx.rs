//! Blocks of 64 vectors laid out dimension by dimension, for squared distances that stop early.
//!
//! A vector whose partial sum is above a limit can only get farther: once all of a block are, the
//! rest of the block is not read. How much that saves depends on the data: everything when a few
//! dimensions carry the distance (as after a rotation to principal components), little when all
//! weigh the same. The layout is that of Kuffo, Krippner and Boncz, "PDX: A Data Layout for Vector
//! Similarity Search", SIGMOD 2025.

use crate::error_bound;
use crate::isa::Isa;
use crate::pair::squared_distance;
use crate::rows::Rows;
use crate::top_k::{Scored, TopK, keep_best, select_at_least};
use pulp::{Simd, WithSimd};
use std::iter::zip;

/// Vectors in a block.
pub const PDX_LANES: usize = 64;

/// Dimensions added up between two looks at the limit.
const STEP: usize = 32;

/// Up to 64 vectors: value `dim` of vector `lane` is `values[dim * 64 + lane]`.
#[derive(Clone, Copy, Debug)]
pub struct PdxBlock<'a> {
    values: &'a [f32],
    len: usize,
}

/// The values are not a block.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PdxError {
    /// Give 64 values for each of at least one dimension, whatever the number of vectors.
    #[error("{len} values are not 64 for each of at least one dimension")]
    Values {
        /// Values given.
        len: usize,
    },
    /// Start another block.
    #[error("{len} vectors in a block of 64")]
    Vectors {
        /// Vectors announced.
        len: usize,
    },
}

impl<'a> PdxBlock<'a> {
    /// The first `len` vectors of a block; the other lanes may hold anything.
    pub fn new(values: &'a [f32], len: usize) -> Result<Self, PdxError> {
        if values.is_empty() || !values.len().is_multiple_of(PDX_LANES) {
            return Err(PdxError::Values { len: values.len() });
        }
        if len > PDX_LANES {
            return Err(PdxError::Vectors { len });
        }
        Ok(Self { values, len })
    }

    /// How many vectors there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no vectors.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Values a vector.
    pub fn dimension(&self) -> usize {
        self.values.len() / PDX_LANES
    }

    /// Copies a vector out, as far as `out` goes; there is none beyond [`len`](Self::len).
    pub fn copy_vector(&self, lane: usize, out: &mut [f32]) -> bool {
        if lane >= self.len {
            return false;
        }
        for (place, values) in zip(out, self.values.chunks_exact(PDX_LANES)) {
            *place = values[lane];
        }
        true
    }

    /// A bit for each lane that holds a vector.
    fn lanes(&self) -> u64 {
        (1_u64.checked_shl(self.len as u32).unwrap_or(0)).wrapping_sub(1)
    }
}

/// Lays rows out as a block: the first 64 of `rows` into `values`, zeros where there are fewer.
/// `values` should have `rows.dimension() * 64` places; dimensions beyond its end are left out.
pub fn pack_pdx(rows: Rows<'_>, values: &mut [f32]) {
    values.fill(0.0);
    for (lane, row) in rows.iter().take(PDX_LANES).enumerate() {
        for (values, &value) in zip(values.chunks_exact_mut(PDX_LANES), row) {
            values[lane] = value;
        }
    }
}

/// The definition of [`squared_distances_pdx`].
pub fn squared_distances_pdx_reference(
    query: &[f32],
    block: PdxBlock<'_>,
    limit: f32,
    out: &mut [f32; PDX_LANES],
) -> u64 {
    out.fill(0.0);
    for (&query, values) in zip(query, block.values.chunks_exact(PDX_LANES)) {
        for (sum, value) in zip(&mut *out, values) {
            *sum += (query - value) * (query - value);
        }
    }
    within(out, limit) & block.lanes()
}

/// Which sums are not above the limit. NaN is not.
#[inline(always)]
fn within(sums: &[f32; PDX_LANES], limit: f32) -> u64 {
    let mut bits = 0;
    for (lane, &sum) in sums.iter().enumerate() {
        bits |= u64::from(sum <= limit) << lane;
    }
    bits
}

/// The squared Euclidean distances from `query` to the vectors of a block that are at most
/// `limit`: bit `lane` of the result says that vector `lane` is, and `out[lane]` is then its
/// distance. The other places of `out` hold nothing of use.
///
/// The bits are exactly what comparing the finished sums would give: a sum of squares, rounded or
/// not, never falls, so one that has passed the limit stays above it. Each distance is within
/// [`pdx_error_bound`] of the exact one, relative. A vector whose distance is NaN is left out.
/// Query and vectors are cut to the shorter. Cost: O(64 d), less as vectors drop out.
pub fn squared_distances_pdx(
    isa: Isa,
    query: &[f32],
    block: PdxBlock<'_>,
    limit: f32,
    out: &mut [f32; PDX_LANES],
) -> u64 {
    let found = isa.run(Distances {
        query,
        block,
        limit,
        out,
    });
    found & block.lanes()
}

/// The relative error of a distance over `dimension` values: one chain of as many additions.
pub fn pdx_error_bound(dimension: usize) -> f32 {
    // 2: the difference and the square. The hundredth covers higher powers.
    (dimension + 2) as f32 * (f32::EPSILON / 2.0) * 1.01
}

struct Distances<'a> {
    query: &'a [f32],
    block: PdxBlock<'a>,
    limit: f32,
    out: &'a mut [f32; PDX_LANES],
}

impl WithSimd for Distances<'_> {
    type Output = u64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> u64 {
        match S::F32_LANES {
            16 => self.run::<S, 4>(simd),
            8 => self.run::<S, 8>(simd),
            4 => self.run::<S, 16>(simd),
            _ => self.run_plain(),
        }
    }
}

impl Distances<'_> {
    /// `VECTORS` vectors hold the sums of all lanes.
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize>(self, simd: S) -> u64 {
        let limit = simd.splat_f32s(self.limit);
        let mut sums = [simd.splat_f32s(0.0); VECTORS];
        let steps = zip(
            self.query.chunks(STEP),
            self.block.values.chunks(STEP * PDX_LANES),
        );
        for (query, values) in steps {
            for (&query, values) in zip(query, values.as_chunks::<PDX_LANES>().0) {
                let query = simd.splat_f32s(query);
                let values = S::as_simd_f32s(values).0;
                for vector in 0..VECTORS {
                    let difference = simd.sub_f32s(query, values[vector]);
                    sums[vector] = simd.mul_add_e_f32s(difference, difference, sums[vector]);
                }
            }
            let mut near = false;
            for sum in sums {
                let within = simd.less_than_or_equal_f32s(sum, limit);
                near |= simd.first_true_m32s(within) < S::F32_LANES;
            }
            if !near {
                return 0;
            }
        }
        for (vector, sum) in sums.into_iter().enumerate() {
            let places = &mut self.out[vector * S::F32_LANES..][..S::F32_LANES];
            simd.partial_store_f32s(places, sum);
        }
        within(self.out, self.limit)
    }

    #[inline(always)]
    fn run_plain(self) -> u64 {
        self.out.fill(0.0);
        let steps = zip(
            self.query.chunks(STEP),
            self.block.values.chunks(STEP * PDX_LANES),
        );
        for (query, values) in steps {
            for (&query, values) in zip(query, values.as_chunks::<PDX_LANES>().0) {
                for (sum, value) in zip(&mut *self.out, values) {
                    *sum += (query - value) * (query - value);
                }
            }
            if within(self.out, self.limit) == 0 {
                return 0;
            }
        }
        within(self.out, self.limit)
    }
}

/// Finds the nearest vectors of many blocks; keeps its memory from search to search.
#[derive(Clone, Debug)]
pub struct PdxSearch {
    nearest: TopK,
    vector: Vec<f32>,
}

impl PdxSearch {
    /// A search for the nearest `k`.
    pub fn new(k: usize) -> Self {
        Self {
            nearest: TopK::new(k),
            vector: Vec::new(),
        }
    }

    /// Puts the `k` nearest vectors and all that tie with the k-th into `found`, which is emptied
    /// before: nearest first, then by row. Vector `lane` of block `b` is row `64 * b + lane`.
    ///
    /// A score is the negated [`squared_distance`](crate::squared_distance) of query and vector,
    /// with the same bits as from rows. No vector that belongs there is missed: what blocks are
    /// pruned with allows for the errors of both kernels. A vector of other dimension than the
    /// query's is compared as far as both go.
    pub fn search(
        &mut self,
        isa: Isa,
        query: &[f32],
        blocks: &[PdxBlock<'_>],
        found: &mut Vec<Scored>,
    ) {
        self.nearest.clear();
        found.clear();
        // Both kernels are within their bound of the exact distance, for this vector and for the
        // k-th; the last term is for the roundings of the products with it.
        let bounds = pdx_error_bound(query.len()) + error_bound(isa, query.len());
        let slack = 1.0 + 2.0 * bounds + 8.0 * f32::EPSILON;
        // What squares that vanish can add up to, where the bounds say nothing.
        let vanishing = query.len() as f32 * 4.0 * f32::from_bits(1);
        let mut distances = [0.0; PDX_LANES];
        let mut keys = [0.0; PDX_LANES];
        for (block, first) in zip(blocks, (0_u32..).step_by(PDX_LANES)) {
            let limit = -self.nearest.limit() * slack + vanishing;
            let within = squared_distances_pdx(isa, query, *block, limit, &mut distances);
            if within == 0 {
                continue;
            }
            for lane in 0..PDX_LANES {
                keys[lane] = if within >> lane & 1 == 1 {
                    -distances[lane]
                } else {
                    f32::NAN
                };
            }
            self.nearest.offer(isa, first, &keys);
            // At once, and not when there are many: the next block is pruned by it.
            self.nearest.prune();
            select_at_least(isa, &keys, f32::NEG_INFINITY, first, found);
        }
        let limit = self.nearest.limit() * slack - vanishing;
        found.retain(|candidate| candidate.score >= limit);
        for candidate in &mut *found {
            let row = candidate.row as usize;
            let block = blocks[row / PDX_LANES];
            self.vector.resize(block.dimension(), 0.0);
            block.copy_vector(row % PDX_LANES, &mut self.vector);
            candidate.score = -squared_distance(isa, query, &self.vector);
        }
        keep_best(found, self.nearest.k());
    }
}
