//! The exact scan: every vector is compared.

use crate::aligned::Aligned;
use crate::limit::Limit;
use crate::metric::Metric;
use crate::prepared::Prepared;
use crate::select::Collector;
use crate::vector_index::{
    Checked, DIMENSION_MAX, IndexStats, Neighbor, Query, Row, VectorError, VectorIndex,
};
use crate::vectors::{Vectors, scaled};
use cortica_arena::{Reader, RoomError, Row as ArenaRow, VectorArena};
use cortica_simd::{self as simd, Isa, Rows};
use std::collections::{HashMap, HashSet};
use std::iter::zip;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Rows scored before their scores are looked at: small enough for the scores and the rows of a
/// block to stay in the second-level cache.
pub(crate) const BLOCK_ROWS: usize = 128;

/// Queries that share one pass over the rows: so many that reading those is little of the work, few
/// enough for the queries and their scores to stay in the second-level cache at usual dimensions (64
/// queries of 768 values are 192 KiB, of 8,192 values 2 MiB).
const BLOCK_QUERIES: usize = 64;

/// Memory of so many searches at once is kept, and of each so many candidates: those of usual ones.
const SCRATCHES_MAX: usize = 64;
const KEPT_MAX: usize = 4_096;

/// Under dot and L2, longer vectors are refused: beyond this, squares leave the range of f32.
const NORM_MAX: f64 = (1_u64 << 60) as f64;

/// Under cosine, vectors shorter or longer than this are kept scaled by a power of two, which the
/// metric ignores.
const SCALE_FREE: std::ops::RangeInclusive<f64> = 1.0 / NORM_SAFE..=NORM_SAFE;
const NORM_SAFE: f64 = (1_u64 << 50) as f64;

/// Compares a query with every vector. Recall is 1 by construction.
///
/// A search costs O(n d) and reads each vector once; a batch shares that reading among its
/// queries. Searches run at the same time as each other; inserting and removing wait for them.
/// A removed vector's memory is kept and used again, after up to 64 removals more.
#[derive(Debug)]
pub struct ExactIndex {
    isa: Isa,
    metric: Metric,
    dimension: usize,
    /// That of `vectors`.
    rows: Arc<VectorArena>,
    vectors: RwLock<Vectors>,
    /// Memory that searches have used, for those to come.
    scratch: Mutex<Vec<Scratch>>,
}

/// What a search of a block of queries works with.
#[derive(Debug, Default)]
struct Scratch {
    queries: Aligned,
    keys: Vec<f32>,
    collectors: Vec<Collector>,
    ranked: Vec<Neighbor>,
}

impl ExactIndex {
    /// An empty index of vectors of `dimension` values, 1 to [`DIMENSION_MAX`].
    pub fn new(dimension: usize, metric: Metric, isa: Isa) -> Result<Self, VectorError> {
        let range = VectorError::DimensionRange { got: dimension };
        if dimension > DIMENSION_MAX {
            return Err(range);
        }
        let rows = Arc::new(VectorArena::new(dimension).map_err(|_| range)?);
        let vectors = Vectors {
            rows: rows.clone(),
            reached: 0,
            removed: false,
            hidden: HashSet::new(),
            inverse_norms: Vec::new(),
            norm_max: 0.0,
            exponents: HashMap::new(),
        };
        Ok(Self {
            isa,
            metric,
            dimension,
            rows,
            vectors: RwLock::new(vectors),
            scratch: Mutex::default(),
        })
    }

    pub(crate) fn isa(&self) -> Isa {
        self.isa
    }

    /// Lends the vectors to `visit` as they lie in memory, in runs without gaps, by rising row.
    /// Under cosine they come with their inverse norms, and a vector longer than 2^50 or shorter
    /// than 2^-50 is scaled by a power of two. Inserts wait until `visit` is done.
    pub fn lend(&self, mut visit: impl FnMut(Rows<'_>)) {
        let vectors = self.read();
        let reader = vectors.rows.read();
        for run in reader.runs() {
            let first = run.first().get() as usize;
            for live in vectors.live_parts(&run) {
                let rows = run.rows().range(live.start, live.end);
                // Only cosine keeps norms.
                let norms = vectors
                    .inverse_norms
                    .get(first + live.start..first + live.end);
                let with_norms = norms.and_then(|norms| rows.with_inverse_norms(norms).ok());
                visit(with_norms.unwrap_or(rows));
            }
        }
    }

    /// As removing a row, but it is not given to another vector before it is released.
    pub(crate) fn hide(&self, row: u32) -> bool {
        let mut vectors = self.write();
        let is_there = vectors.rows.read().get(ArenaRow::new(row)).is_some();
        let hidden = is_there && vectors.hidden.insert(row);
        vectors.removed |= hidden;
        hidden
    }

    /// Whether a row is hidden and not released.
    pub(crate) fn is_hidden(&self, row: u32) -> bool {
        let vectors = self.read();
        vectors.removed && vectors.hidden.contains(&row)
    }

    /// Gives hidden rows back.
    pub(crate) fn release(&self, rows: &[u32]) {
        let mut vectors = self.write();
        for row in rows {
            if vectors.hidden.remove(row) {
                vectors.free(*row);
            }
        }
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Vectors> {
        // Nothing that is done under the lock panics; should it, the rows before `len` are whole.
        self.vectors.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vectors> {
        self.vectors.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vector's length, if it may enter.
    fn admit(&self, vector: &[f32]) -> Result<f64, VectorError> {
        if vector.len() != self.dimension {
            return Err(VectorError::Dimension {
                got: vector.len(),
                expected: self.dimension,
            });
        }
        // In f64 no square of an f32 overflows, so a sum that is not finite has one culprit.
        let squares = simd::squared_norm_f64(self.isa, vector);
        if !squares.is_finite()
            && let Some(index) = vector.iter().position(|value| !value.is_finite())
        {
            return Err(VectorError::NotFinite {
                index,
                value: vector[index],
            });
        }
        let norm = squares.sqrt();
        match self.metric {
            Metric::Cosine if norm == 0.0 => Err(VectorError::ZeroVector),
            Metric::Dot | Metric::L2 if norm > NORM_MAX => Err(VectorError::TooLong {
                norm,
                max: NORM_MAX,
                metric: self.metric,
            }),
            _ => Ok(norm),
        }
    }

    /// A query at the door.
    pub(crate) fn admit_query<'q>(&self, query: &Query<'q>) -> Result<Admitted<'q>, VectorError> {
        let norm = self.admit(query.vector)?;
        if query.k == 0 {
            return Err(VectorError::ZeroK);
        }
        // Under cosine a query out of range is scaled like a row.
        let exponent = self.exponent(norm);
        let vector = match exponent {
            0 => query.vector.into(),
            _ => scaled(query.vector, -exponent).into(),
        };
        Ok(Admitted {
            vector,
            norm: norm * 2.0_f64.powi(-exponent),
            k: query.k,
        })
    }

    /// By which power of two a vector of this length is kept smaller.
    fn exponent(&self, norm: f64) -> i32 {
        if self.metric != Metric::Cosine || SCALE_FREE.contains(&norm) {
            0
        } else {
            norm.log2().floor() as i32
        }
    }

    /// Searches for up to [`BLOCK_QUERIES`] queries that were admitted, and shows what each has found.
    fn search_block(
        &self,
        vectors: &Vectors,
        queries: &[Admitted<'_>],
        scratch: &mut Scratch,
        mut show: impl FnMut(&[Neighbor]),
    ) {
        let Scratch {
            queries: aligned,
            keys,
            collectors,
            ranked,
        } = scratch;
        while collectors.len() < queries.len() {
            collectors.push(Collector::new(1));
        }
        // On the stack: what is lent cannot be kept.
        let mut slices: [&[f32]; BLOCK_QUERIES] = [&[]; BLOCK_QUERIES];
        let mut limits = [const { None }; BLOCK_QUERIES];
        let values = queries.iter().map(|query| query.vector.as_ref());
        aligned.lend(self.dimension(), values, &mut slices);
        for (at, query) in queries.iter().enumerate() {
            limits[at] = Some(self.limit(vectors, query));
            collectors[at].begin(query.k);
        }
        let below = |query: usize, kth: f32| {
            let limit: &Option<Limit> = &limits[query];
            limit
                .as_ref()
                .map_or(f32::NEG_INFINITY, |limit| limit.below(kth))
        };
        let reader = vectors.rows.read();
        let slices = &slices[..queries.len()];
        self.scan(vectors, &reader, slices, keys, |query, first_row, keys| {
            collectors[query].offer(self.isa, first_row, keys, |kth| below(query, kth));
        });
        for (at, query) in queries.iter().enumerate() {
            let rows = collectors[at].finish(|kth| below(at, kth));
            self.rank_into(vectors, &reader, query, rows, std::iter::empty(), ranked);
            show(ranked);
        }
    }

    fn take_scratch(&self) -> Scratch {
        let mut kept = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        kept.pop().unwrap_or_default()
    }

    /// Keeps what it is worth to keep: what large searches have used goes back.
    fn keep_scratch(&self, mut scratch: Scratch) {
        for collector in &mut scratch.collectors {
            collector.shrink_to(KEPT_MAX);
        }
        scratch.queries.shrink();
        scratch.ranked.clear();
        scratch.ranked.shrink_to(KEPT_MAX);
        let mut kept = self.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() < SCRATCHES_MAX {
            kept.push(scratch);
        }
    }

    /// Lends each query, by its number, its keys of one block of rows after the other, with the
    /// block's first row. What cannot be found has the key NaN; where that is all of a block, it is left out.
    pub(crate) fn scan(
        &self,
        vectors: &Vectors,
        reader: &Reader<'_, f32>,
        queries: &[&[f32]],
        keys: &mut Vec<f32>,
        mut visit: impl FnMut(usize, usize, &[f32]),
    ) {
        keys.clear();
        keys.resize(queries.len() * BLOCK_ROWS, 0.0);
        for run in reader.runs() {
            let first = run.first().get() as usize;
            for from in (0..run.len()).step_by(BLOCK_ROWS) {
                let rows = run.rows().range(from, from + BLOCK_ROWS);
                if vectors.all_removed(&run, from, rows.len()) {
                    continue;
                }
                let first_row = first + from;
                let keys = &mut keys[..queries.len() * rows.len()];
                self.keys(vectors, queries, first_row, rows, keys);
                if vectors.removed {
                    vectors.hide_removed(&run, from, rows.len(), keys);
                }
                for (query, keys) in keys.chunks_exact(rows.len()).enumerate() {
                    visit(query, first_row, keys);
                }
            }
        }
    }

    /// Selection keys, more is nearer: `keys[q * rows.len() + r]` for query q and row r.
    fn keys(
        &self,
        vectors: &Vectors,
        queries: &[&[f32]],
        first: usize,
        rows: Rows<'_>,
        keys: &mut [f32],
    ) {
        match (self.metric, queries) {
            (Metric::L2, [query]) => simd::squared_distance_rows(self.isa, query, rows, keys),
            (Metric::L2, _) => simd::squared_distance_tile(self.isa, queries, rows, keys),
            (_, [query]) => simd::dot_rows(self.isa, query, rows, keys),
            _ => simd::dot_tile(self.isa, queries, rows, keys),
        }
        match self.metric {
            Metric::Dot => {}
            Metric::L2 => keys.iter_mut().for_each(|key| *key = -*key),
            Metric::Cosine => {
                let inverse_norms = &vectors.inverse_norms[first..first + rows.len()];
                for keys in keys.chunks_exact_mut(rows.len()) {
                    for (key, inverse_norm) in zip(keys, inverse_norms) {
                        *key *= inverse_norm;
                    }
                }
            }
        }
    }

    /// How far below the k-th best key a row can lie and still reach, or tie with, the k-th best
    /// score. Both a key and a score are within one error bound of the exact value; the margin is
    /// what two of each can add up to, plus the roundings on the way from sum to score.
    pub(crate) fn limit(&self, vectors: &Vectors, query: &Admitted<'_>) -> Limit {
        let bound = f64::from(simd::error_bound(self.isa, self.dimension));
        let rounding = f64::from(f32::EPSILON);
        match self.metric {
            // Keys are scores times the query's length.
            Metric::Cosine => Limit::Margin {
                margin: (4.0 * bound + 8.0 * rounding) * query.norm,
                of_score: query.norm,
            },
            Metric::Dot => {
                // The last term: below it, products vanish instead of being rounded.
                let vanishing = f64::from(f32::MIN_POSITIVE) * self.dimension as f64;
                Limit::Margin {
                    margin: 4.0 * bound * query.norm * vectors.norm_max + vanishing,
                    of_score: 1.0,
                }
            }
            Metric::L2 => Limit::Distance {
                bound: 4.0 * bound + 8.0 * rounding,
            },
        }
    }

    /// Scores the chosen rows canonically and keeps the k best, with all that tie with the last.
    /// Asks for a row of `ahead` at each.
    pub(crate) fn rank(
        &self,
        vectors: &Vectors,
        reader: &Reader<'_, f32>,
        query: &Admitted<'_>,
        rows: impl Iterator<Item = u32>,
        ahead: impl Iterator<Item = u32>,
    ) -> Vec<Neighbor> {
        let mut found = Vec::new();
        self.rank_into(vectors, reader, query, rows, ahead, &mut found);
        found
    }

    /// As [`rank`](Self::rank), in the place of what `found` held.
    fn rank_into(
        &self,
        vectors: &Vectors,
        reader: &Reader<'_, f32>,
        query: &Admitted<'_>,
        rows: impl Iterator<Item = u32>,
        mut ahead: impl Iterator<Item = u32>,
        found: &mut Vec<Neighbor>,
    ) {
        found.clear();
        found.extend(rows.filter_map(|row| {
            let next = ahead.next();
            if let Some(next) = next.and_then(|next| reader.get(ArenaRow::new(next))) {
                simd::prefetch_row(next);
            }
            let vector = reader.get(ArenaRow::new(row))?;
            let score = match self.metric {
                Metric::Dot => simd::dot(self.isa, &query.vector, vector),
                Metric::Cosine => {
                    let inverse_norm = *vectors.inverse_norms.get(row as usize)?;
                    let of_query = query.inverse_norm();
                    let q = &query.vector;
                    simd::cosine_with_norms(self.isa, q, vector, of_query, inverse_norm)
                }
                Metric::L2 => {
                    let squared = simd::squared_distance(self.isa, &query.vector, vector);
                    simd::distance_similarity(squared)
                }
            };
            // Adding zero turns -0 into 0, so that equal scores also compare equal.
            Some(Neighbor {
                row: Row::new(row),
                score: score + 0.0,
            })
        }));
        found.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.row.cmp(&b.row)));
        if let Some(&Neighbor { score: kth, .. }) = found.get(query.k - 1) {
            let ties = found[query.k..].partition_point(|neighbor| neighbor.score >= kth);
            found.truncate(query.k + ties);
        }
    }
}

/// A query that passed the door.
pub(crate) struct Admitted<'a> {
    pub(crate) vector: std::borrow::Cow<'a, [f32]>,
    norm: f64,
    pub(crate) k: usize,
}

impl Admitted<'_> {
    fn inverse_norm(&self) -> f32 {
        (1.0 / self.norm) as f32
    }
}

impl VectorIndex for ExactIndex {
    fn dimension(&self) -> usize {
        self.dimension
    }

    fn metric(&self) -> Metric {
        self.metric
    }

    fn len(&self) -> usize {
        self.read().len()
    }

    fn check(&self, vector: &[f32]) -> Result<Checked, VectorError> {
        self.admit(vector).map(|norm| Checked { norm })
    }

    fn reserve(&self, additional: usize) -> Result<(), VectorError> {
        self.rows.make_room(additional).map_err(no_room)
    }

    fn prepare(&self, vector: &[f32], checked: Checked) -> Result<Prepared<'_>, VectorError> {
        if vector.len() != self.dimension {
            return Err(VectorError::Dimension {
                got: vector.len(),
                expected: self.dimension,
            });
        }
        let exponent = self.exponent(checked.norm);
        let mut reserved = self.rows.reserve().map_err(no_room)?;
        if exponent == 0 {
            reserved.values_mut().copy_from_slice(vector);
        } else {
            let scaled = scaled(vector, -exponent);
            reserved.values_mut().copy_from_slice(&scaled);
        }
        Ok(Prepared {
            of: &self.rows,
            reserved,
            norm: checked.norm,
        })
    }

    fn insert_prepared(&self, prepared: Prepared<'_>) -> Result<Row, VectorError> {
        let Prepared { of, reserved, norm } = prepared;
        if !std::ptr::eq(of, Arc::as_ptr(&self.rows)) {
            return Err(VectorError::OtherIndex);
        }
        let exponent = self.exponent(norm);
        let mut vectors = self.write();
        let row = reserved.publish().get();
        vectors.reached = vectors.reached.max(row as usize + 1);
        if exponent != 0 {
            vectors.exponents.insert(row, exponent);
        }
        match self.metric {
            Metric::Cosine => {
                let inverse = 1.0 / (norm * 2.0_f64.powi(-exponent));
                vectors.set_inverse_norm(row, inverse as f32);
            }
            Metric::Dot => vectors.norm_max = vectors.norm_max.max(norm),
            Metric::L2 => {}
        }
        Ok(Row::new(row))
    }

    fn remove(&self, row: Row) -> bool {
        let mut vectors = self.write();
        !vectors.hidden.contains(&row.get()) && vectors.free(row.get())
    }

    fn holds(&self, row: Row, vector: &[f32]) -> bool {
        let Ok(norm) = self.admit(vector) else {
            return false;
        };
        let exponent = self.exponent(norm);
        let vectors = self.read();
        if vectors.hidden.contains(&row.get()) {
            return false;
        }
        let reader = vectors.rows.read();
        let Some(kept) = reader.get(ArenaRow::new(row.get())) else {
            return false;
        };
        let same = |a: &[f32]| zip(a, kept).all(|(a, b)| a.to_bits() == b.to_bits());
        match exponent {
            _ if vectors.exponents.get(&row.get()).copied().unwrap_or(0) != exponent => false,
            0 => same(vector),
            _ => same(&scaled(vector, -exponent)),
        }
    }

    fn vector(&self, row: Row) -> Option<Vec<f32>> {
        let vectors = self.read();
        if vectors.hidden.contains(&row.get()) {
            return None;
        }
        let reader = vectors.rows.read();
        let kept = reader.get(ArenaRow::new(row.get()))?;
        Some(match vectors.exponents.get(&row.get()) {
            Some(&exponent) => scaled(kept, exponent),
            None => kept.to_vec(),
        })
    }

    fn search(&self, query: &[f32], k: usize) -> Result<Vec<Neighbor>, VectorError> {
        let one = self.search_many(&[Query { vector: query, k }]).pop();
        one.unwrap_or_else(|| Ok(Vec::new()))
    }

    fn search_within(&self, query: &[f32], threshold: f32) -> Result<Vec<Neighbor>, VectorError> {
        self.within(query, threshold)
    }

    fn search_many(&self, queries: &[Query<'_>]) -> Vec<Result<Vec<Neighbor>, VectorError>> {
        let admitted = queries.iter().map(|query| self.admit_query(query));
        let mut answers = Vec::with_capacity(queries.len());
        let mut good = Vec::with_capacity(queries.len());
        for admitted in admitted {
            answers.push(admitted.map(|query| {
                good.push(query);
                Vec::new()
            }));
        }
        let vectors = self.read();
        let mut scratch = self.take_scratch();
        let mut open = answers.iter_mut().filter(|answer| answer.is_ok());
        for block in good.chunks(BLOCK_QUERIES) {
            self.search_block(&vectors, block, &mut scratch, |found| {
                if let Some(answer) = open.next() {
                    *answer = Ok(found.to_vec());
                }
            });
        }
        self.keep_scratch(scratch);
        answers
    }

    fn stats(&self) -> IndexStats {
        let vectors = self.read();
        let rows = vectors.reached * vectors.rows.stride() * size_of::<f32>();
        let norms = vectors.inverse_norms.len() * size_of::<f32>();
        let exponents = vectors.exponents.len() * size_of::<(u32, i32)>();
        IndexStats {
            vectors: vectors.len() as u64,
            bytes: (rows + norms + exponents) as u64,
        }
    }
}

fn no_room(error: RoomError) -> VectorError {
    match error {
        RoomError::OutOfMemory { bytes } => VectorError::OutOfMemory { bytes },
        RoomError::Full { max } => VectorError::Full { max: max as u32 },
        // The arena has no budget.
        _ => VectorError::Full { max: u32::MAX },
    }
}
