//! What walks read of each vector, and the keys they get from it: more is nearer.

use crate::hnsw::blocks::{Blocks, Packer};
use crate::hnsw::options::Codes;
use crate::metric::Metric;
use crate::vectors::Vectors;
use cortica_arena::{Reader, Row as ArenaRow};
use cortica_simd::{
    I8Scale, Isa, SignTables, SignWeights, dot_scattered, dot_scattered_i8, encode_i8,
    encode_signs, inverse_norm, norm, prefetch_row, sign_words, squared_distance_scattered,
    weighted_hamming_scattered,
};
use std::collections::VecDeque;
use std::iter::zip;
use std::ops::RangeInclusive;

/// Rows in a piece of memory, and rows whose keys are computed together.
const PIECE: usize = 1 << 12;
const TOGETHER: usize = 32;

/// Codes of equal length that start on cache lines or halves of them, and never move.
#[derive(Debug, Default)]
struct Words {
    /// Words from one row to the next.
    stride: usize,
    pieces: Vec<Piece>,
}

#[derive(Debug)]
struct Piece {
    words: Vec<u64>,
    /// The first word on a cache line.
    start: usize,
}

impl Words {
    fn new(bytes: usize) -> Self {
        const HALF_LINE: usize = 32;
        Self {
            stride: bytes.div_ceil(HALF_LINE) * (HALF_LINE / size_of::<u64>()),
            pieces: Vec::new(),
        }
    }

    fn row_mut(&mut self, row: u32) -> &mut [u64] {
        const LINE: usize = 64;
        let row = row as usize;
        while self.pieces.len() <= row / PIECE {
            let words = vec![0; self.stride * PIECE + LINE / size_of::<u64>()];
            let start = words
                .as_ptr()
                .align_offset(LINE)
                .min(LINE / size_of::<u64>());
            self.pieces.push(Piece { words, start });
        }
        let piece = &mut self.pieces[row / PIECE];
        let from = piece.start + row % PIECE * self.stride;
        &mut piece.words[from..from + self.stride]
    }

    #[inline]
    fn row(&self, row: u32) -> &[u64] {
        let row = row as usize;
        let Some(piece) = self.pieces.get(row / PIECE) else {
            return &[];
        };
        let from = piece.start + row % PIECE * self.stride;
        &piece.words[from..from + self.stride]
    }

    fn bytes(&self) -> usize {
        self.pieces
            .iter()
            .map(|piece| piece.words.len() * size_of::<u64>())
            .sum()
    }
}

/// The codes of all rows, in one format.
#[derive(Debug)]
pub(crate) struct CodeStore {
    codes: Codes,
    isa: Isa,
    metric: Metric,
    dimension: usize,
    /// Behind i8 codes lie their three numbers, so that whoever reads the one has the others.
    words: Words,
    /// Of sign codes, unless the metric is cosine.
    norms: Vec<f32>,
}

/// A query in the form that walks want.
#[derive(Clone, Debug, Default)]
pub(crate) struct Prepared {
    form: Form,
    vector: Vec<f32>,
    /// 1 / |query|, 0 of a zero vector.
    inverse_norm: f32,
    codes: Vec<i8>,
    scale: I8Scale,
    weights: SignWeights,
    pub(crate) tables: SignTables,
    scaled: Vec<f32>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Form {
    #[default]
    F32,
    I8,
    Signs,
}

/// Everything keys are computed from.
#[derive(Clone, Copy)]
pub(crate) struct Space<'a> {
    pub(crate) store: &'a CodeStore,
    pub(crate) vectors: &'a Vectors,
    pub(crate) reader: &'a Reader<'a, f32>,
    pub(crate) blocks: Option<&'a Blocks>,
    /// Rows whose codes mean nothing yet.
    pub(crate) uncoded: &'a VecDeque<u32>,
}

impl CodeStore {
    pub(crate) fn new(codes: Codes, isa: Isa, metric: Metric, dimension: usize) -> Self {
        let bytes = match codes {
            Codes::F32 => 0,
            Codes::I8 | Codes::Blocks => (scale_at(dimension) + SCALE) * size_of::<f32>(),
            Codes::Signs => sign_words(dimension) * size_of::<u64>(),
        };
        Self {
            codes,
            isa,
            metric,
            dimension,
            words: Words::new(bytes),
            norms: Vec::new(),
        }
    }

    /// Encodes the vector of a row, as it is kept.
    pub(crate) fn set(&mut self, row: u32, vector: &[f32]) {
        match self.codes {
            Codes::F32 => {}
            Codes::I8 | Codes::Blocks => {
                let words = self.words.row_mut(row);
                let scale = encode_i8(self.isa, vector, bytemuck::cast_slice_mut(words));
                let I8Scale { scale, norm, error } = scale;
                let values: &mut [f32] = bytemuck::cast_slice_mut(words);
                values[scale_at(self.dimension)..][..SCALE].copy_from_slice(&[scale, norm, error]);
            }
            Codes::Signs => {
                encode_signs(vector, self.words.row_mut(row));
                if self.metric != Metric::Cosine {
                    put(&mut self.norms, row, norm(self.isa, vector));
                }
            }
        }
    }

    /// Bytes of memory.
    pub(crate) fn bytes(&self) -> usize {
        self.words.bytes() + self.norms.capacity() * size_of::<f32>()
    }

    fn i8(&self, row: u32) -> &[i8] {
        let codes: &[i8] = bytemuck::cast_slice(self.words.row(row));
        codes.get(..self.dimension).unwrap_or(&[])
    }

    #[inline]
    fn scale(&self, row: u32) -> I8Scale {
        let values: &[f32] = bytemuck::cast_slice(self.words.row(row));
        match values.get(scale_at(self.dimension)..) {
            Some(&[scale, norm, error, ..]) => I8Scale { scale, norm, error },
            _ => I8Scale::default(),
        }
    }
}

/// The numbers of an [`I8Scale`].
const SCALE: usize = 3;

/// Which value of a row the first of them is.
fn scale_at(dimension: usize) -> usize {
    dimension.div_ceil(size_of::<f32>())
}

fn put<T: Copy + Default>(values: &mut Vec<T>, row: u32, value: T) {
    let row = row as usize;
    if values.len() <= row {
        values.resize(row + 1, T::default());
    }
    values[row] = value;
}

impl<'a> Space<'a> {
    #[inline]
    fn vector(&self, row: u32) -> &'a [f32] {
        self.reader.get(ArenaRow::new(row)).unwrap_or(&[])
    }

    /// A query for walks.
    pub(crate) fn prepare(&self, vector: &[f32], query: &mut Prepared) {
        let isa = self.store.isa;
        match self.store.codes {
            Codes::F32 => {
                query.form = Form::F32;
                query.vector.clear();
                query.vector.extend_from_slice(vector);
                query.inverse_norm = inverse_norm(isa, vector);
            }
            Codes::I8 | Codes::Blocks => {
                query.form = Form::I8;
                query.codes.resize(vector.len(), 0);
                query.scale = encode_i8(isa, vector, &mut query.codes);
            }
            Codes::Signs => {
                query.form = Form::Signs;
                query.weights.encode(vector);
                query.scale.norm = norm(isa, vector);
            }
        }
    }

    /// What a walk over blocks reads of a query beside what [`prepare`](Space::prepare) makes of it.
    pub(crate) fn prepare_tables(&self, vector: &[f32], query: &mut Prepared) {
        if self.store.metric == Metric::Cosine {
            let scale = inverse_norm(self.store.isa, vector);
            query.scaled.clear();
            query
                .scaled
                .extend(vector.iter().map(|value| value * scale));
            query.tables.encode(self.store.isa, &query.scaled);
        } else {
            query.tables.encode(self.store.isa, vector);
        }
    }

    /// To be called by whoever has changed a node's links, before letting go of its stripe.
    pub(crate) fn links_changed(&self, row: u32, level: usize) {
        if let (0, Some(blocks)) = (level, self.blocks) {
            blocks.outdate(row);
        }
    }

    /// As [`links_changed`](Space::links_changed), where a link was added to those that there are.
    pub(crate) fn link_added(&self, row: u32, level: usize, link: u32, packer: &mut Packer) {
        if let (0, Some(blocks)) = (level, self.blocks) {
            blocks.append(*self, row, link, packer);
        }
    }

    pub(crate) fn metric(&self) -> Metric {
        self.store.metric
    }

    /// A vector, and what it has to be multiplied by for a key to be what its metric says of it.
    pub(crate) fn vector_and_scale(&self, row: u32) -> (&'a [f32], f32) {
        let scale = match self.store.metric {
            Metric::Cosine => self.inverse_norm(row),
            Metric::Dot | Metric::L2 => 1.0,
        };
        (self.vector(row), scale)
    }

    /// A row as a query, for choosing among neighbours: by i8 where those are there, by f32
    /// otherwise.
    pub(crate) fn prepare_row(&self, row: u32, query: &mut Prepared) {
        if matches!(self.store.codes, Codes::I8 | Codes::Blocks) {
            query.form = Form::I8;
            query.codes.clear();
            query.codes.extend_from_slice(self.store.i8(row));
            query.scale = self.store.scale(row);
        } else {
            query.form = Form::F32;
            query.vector.clear();
            query.vector.extend_from_slice(self.vector(row));
            query.inverse_norm = self.inverse_norm(row);
        }
    }

    /// As it is kept; 0 where none is, under other metrics than cosine.
    fn inverse_norm(&self, row: u32) -> f32 {
        let norms = &self.vectors.inverse_norms;
        norms.get(row as usize).copied().unwrap_or(0.0)
    }

    /// Whether keys of walks are coarser than those of [`prepare_row`](Space::prepare_row).
    pub(crate) fn walks_are_coarse(&self) -> bool {
        self.store.codes == Codes::Signs
    }

    /// By how much a row's key is off, as a standard deviation: rounding errors point anywhere.
    /// Infinite where it is not known.
    pub(crate) fn key_deviation(&self, query: &Prepared, row: u32) -> f32 {
        let dimension = self.store.dimension as f32;
        match (query.form, self.store.metric) {
            (Form::Signs, _) | (Form::F32, Metric::Dot | Metric::L2) => f32::INFINITY,
            (Form::F32, Metric::Cosine) => f32::EPSILON * dimension.sqrt(),
            (Form::I8, metric) => {
                let (a, b) = (query.scale, self.store.scale(row));
                let squares = (a.norm * b.error).powi(2) + (b.norm * a.error).powi(2);
                let dot = (squares / dimension).sqrt();
                match metric {
                    Metric::Dot => dot,
                    Metric::Cosine => dot / (a.norm * b.norm).max(f32::MIN_POSITIVE),
                    Metric::L2 => 2.0 * dot,
                }
            }
        }
    }

    /// Asks for what [`keys`](Space::keys) will read of a row.
    #[inline]
    pub(crate) fn fetch(&self, query: &Prepared, row: u32) {
        match query.form {
            Form::F32 => prefetch_row(self.vector(row)),
            Form::I8 | Form::Signs => prefetch_row(self.store.words.row(row)),
        }
    }

    /// Whether two rows hold the same vector, bit by bit. Codes, which a walk has read, are compared
    /// first.
    pub(crate) fn is_same(&self, a: u32, b: u32) -> bool {
        let bits = |row| bytemuck::cast_slice::<f32, u32>(self.vector(row));
        let alike =
            self.store.codes == Codes::F32 || self.store.words.row(a) == self.store.words.row(b);
        alike && !bits(a).is_empty() && bits(a) == bits(b)
    }

    /// How near a row is: as [`keys`](Space::keys), of one.
    #[inline]
    pub(crate) fn key(&self, query: &Prepared, row: u32) -> f32 {
        let mut key = [0.0];
        match query.form {
            Form::I8 => {
                let (isa, mut sum) = (self.store.isa, [0]);
                dot_scattered_i8(isa, &query.codes, &[self.store.i8(row)], &mut sum);
                key[0] = self.key_i8(query, row, sum[0]);
            }
            Form::F32 | Form::Signs => self.keys(query, &[row], &mut key),
        }
        key[0]
    }

    /// The keys of copies of the row that is the query. By i8 those of near-copies, too: where a row
    /// has the same codes, which of the two is nearer to what else is chance. By f32 that can be
    /// told, and only what is the same is a copy.
    pub(crate) fn keys_of_copies(&self, query: &Prepared, row: u32) -> RangeInclusive<f32> {
        /// Of the squared length: far less than keys by i8 are off (3e-4 of it for 768 values), so
        /// that nothing they tell apart is taken for a copy.
        const TOLERANCE: f32 = 1e-5;
        let key = self.key(query, row);
        let off = match (query.form, self.store.metric) {
            (Form::F32 | Form::Signs, _) => 0.0,
            (Form::I8, Metric::Cosine) => TOLERANCE,
            (Form::I8, Metric::Dot | Metric::L2) => TOLERANCE * query.scale.norm.powi(2),
        };
        match self.store.metric {
            // Nothing is nearer than a copy.
            Metric::Cosine | Metric::L2 => key - off..=f32::INFINITY,
            Metric::Dot => key - off..=key + off,
        }
    }

    /// `keys[i]` says how near `rows[i]` is; as many keys as rows.
    pub(crate) fn keys(&self, query: &Prepared, rows: &[u32], keys: &mut [f32]) {
        for (rows, keys) in zip(rows.chunks(TOGETHER), keys.chunks_mut(TOGETHER)) {
            match query.form {
                Form::F32 => self.keys_f32(query, rows, keys),
                Form::I8 => self.keys_i8(query, rows, keys),
                Form::Signs => self.keys_signs(query, rows, keys),
            }
        }
    }

    fn keys_f32(&self, query: &Prepared, rows: &[u32], keys: &mut [f32]) {
        let isa = self.store.isa;
        let mut slices = [&[][..]; TOGETHER];
        for (slice, &row) in zip(&mut slices, rows) {
            *slice = self.vector(row);
        }
        let slices = &slices[..rows.len()];
        match self.store.metric {
            Metric::L2 => {
                squared_distance_scattered(isa, &query.vector, slices, keys);
                for key in keys {
                    *key = -*key;
                }
            }
            Metric::Dot => dot_scattered(isa, &query.vector, slices, keys),
            Metric::Cosine => {
                dot_scattered(isa, &query.vector, slices, keys);
                for (key, &row) in zip(keys, rows) {
                    *key *= self.inverse_norm(row) * query.inverse_norm;
                }
            }
        }
    }

    fn keys_i8(&self, query: &Prepared, rows: &[u32], keys: &mut [f32]) {
        let mut slices = [&[][..]; TOGETHER];
        for (slice, &row) in zip(&mut slices, rows) {
            *slice = self.store.i8(row);
        }
        let mut sums = [0; TOGETHER];
        dot_scattered_i8(
            self.store.isa,
            &query.codes,
            &slices[..rows.len()],
            &mut sums,
        );
        for ((key, &row), sum) in zip(zip(keys, rows), sums) {
            *key = self.key_i8(query, row, sum);
        }
    }

    /// The key that a dot product of codes comes to.
    #[inline]
    fn key_i8(&self, query: &Prepared, row: u32, sum: i32) -> f32 {
        let scale = self.store.scale(row);
        let dot = query.scale.scale * (scale.scale * sum as f32);
        match self.store.metric {
            Metric::Dot => dot,
            Metric::Cosine => dot / (query.scale.norm * scale.norm).max(f32::MIN_POSITIVE),
            Metric::L2 => {
                let (a, b) = (query.scale.norm, scale.norm);
                2.0 * dot - a * a - b * b
            }
        }
    }

    fn keys_signs(&self, query: &Prepared, rows: &[u32], keys: &mut [f32]) {
        let mut slices = [&[][..]; TOGETHER];
        for (slice, &row) in zip(&mut slices, rows) {
            *slice = self.store.words.row(row);
        }
        let mut distances = [0; TOGETHER];
        let slices = &slices[..rows.len()];
        weighted_hamming_scattered(self.store.isa, &query.weights, slices, &mut distances);
        let weight = query.weights.total() as f32;
        for ((key, &row), distance) in zip(zip(keys, rows), distances) {
            // The cosine, as far as signs tell: 1 where all are the same.
            let cosine = 1.0 - 2.0 * distance as f32 / weight;
            let norm = || self.store.norms.get(row as usize).copied().unwrap_or(0.0);
            *key = match self.store.metric {
                Metric::Cosine => cosine,
                Metric::Dot => cosine * norm(),
                Metric::L2 => {
                    let (a, b) = (query.scale.norm, norm());
                    2.0 * cosine * a * b - a * a - b * b
                }
            };
        }
    }
}
