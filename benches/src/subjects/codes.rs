//! Scans of i8 and sign codes: against SimSIMD where the codes fit the second-level cache, and
//! against a plain read of the same buffer where they fit none.

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Result, ensure};
use cortica_simd::{
    CodeRows, Isa, dot_i8_reference, dot_rows_i8, encode_i8, encode_signs, hamming_reference,
    hamming_rows, sign_words,
};
use pulp::bytemuck;
use simsimd::{BinarySimilarity, SpatialSimilarity};

use super::fixture;
use super::read::Streams;
use crate::subject::{Pair, Setup};

const DIMENSION: usize = 768;

/// 1.5 MB of i8 codes, 0.96 MB of sign codes.
const I8_ROWS: usize = 2_000;
const SIGN_ROWS: usize = 10_000;

/// Passes over the rows in one timed section, so that reading the clock does not show.
const ROUNDS: usize = 20;

/// Bytes of codes that no cache holds: more than twice the largest last-level cache about. A quick
/// run makes do with what a core's own caches do not hold.
const BEYOND: usize = 1 << 30;
const BEYOND_QUICK: usize = 128 << 20;

/// Rows whose scores are looked at before the next are scored, as a search would.
const BLOCK_ROWS: usize = 16_384;

/// Codes that start on a cache line, as every store of vectors lays them out. The words are what a
/// plain read reads.
struct Buffer {
    /// Never grown: its address, and with it the alignment, stays.
    words: Vec<u64>,
    start: usize,
}

impl Buffer {
    /// `bytes` bytes, or as many whole repetitions of `codes` as cover them.
    fn repeat(codes: &[u64], bytes: usize) -> Buffer {
        const LINE: usize = 64;
        let times = bytes.div_ceil(size_of_val(codes));
        let mut words: Vec<u64> = Vec::with_capacity(times * codes.len() + LINE / 8);
        let start = words.as_ptr().align_offset(LINE).min(LINE / 8);
        words.resize(start, 0);
        (0..times).for_each(|_| words.extend_from_slice(codes));
        Buffer { words, start }
    }

    fn words(&self) -> &[u64] {
        &self.words[self.start..]
    }

    fn i8(&self) -> &[i8] {
        bytemuck::cast_slice(self.words())
    }

    fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self.words())
    }
}

/// The codes of `count` real rows, and of a query, in both formats.
struct Codes {
    i8: Vec<u64>,
    signs: Vec<u64>,
    i8_query: Vec<i8>,
    sign_query: Vec<u64>,
}

impl Codes {
    fn of_rows(count: usize) -> Result<Codes> {
        let data = fixture::bundled()?;
        ensure!(
            data.dimension == DIMENSION,
            "the bundled rows have another dimension"
        );
        let isa = Isa::best();
        let mut codes = Codes {
            i8: vec![0; count * DIMENSION / 8],
            signs: vec![0; count * sign_words(DIMENSION)],
            i8_query: vec![0; DIMENSION],
            sign_query: vec![0; sign_words(DIMENSION)],
        };
        let rows = fixture::tiled(&data, count);
        let places = bytemuck::cast_slice_mut(&mut codes.i8);
        for (row, place) in rows.chunks(DIMENSION).zip(places.chunks_mut(DIMENSION)) {
            encode_i8(isa, row, place);
        }
        let places = codes.signs.chunks_mut(sign_words(DIMENSION));
        for (row, place) in rows.chunks(DIMENSION).zip(places) {
            encode_signs(row, place);
        }
        encode_i8(isa, data.query(0), &mut codes.i8_query);
        encode_signs(data.query(0), &mut codes.sign_query);
        Ok(codes)
    }
}

/// Our i8 scan of rows in the second-level cache against SimSIMD, row by row.
pub(super) fn i8_in_cache(_: &Setup) -> Result<Pair> {
    let codes = Codes::of_rows(I8_ROWS)?;
    let rows = Arc::new(Buffer::repeat(&codes.i8, 1));
    let query: Arc<[i8]> = codes.i8_query.into();
    let isa = Isa::best();

    let ours = {
        let (rows, query) = (rows.clone(), query.clone());
        move |out: &mut [i32]| {
            if let Ok(rows) = CodeRows::packed(rows.i8(), DIMENSION) {
                dot_rows_i8(isa, black_box(&query), rows, out);
            }
        }
    };
    let theirs = {
        let (rows, query) = (rows.clone(), query.clone());
        move |out: &mut [f64]| {
            for (place, row) in out.iter_mut().zip(rows.i8().chunks_exact(DIMENSION)) {
                *place = i8::dot(black_box(&query), row).unwrap_or(f64::NAN);
            }
        }
    };
    let want = move |row: usize| {
        let row = &rows.i8()[row * DIMENSION..][..DIMENSION];
        f64::from(dot_i8_reference(&query, row))
    };
    Ok(pair(I8_ROWS, ours, theirs, want))
}

/// Our scan of sign codes in the second-level cache against SimSIMD, row by row.
pub(super) fn signs_in_cache(_: &Setup) -> Result<Pair> {
    let codes = Codes::of_rows(SIGN_ROWS)?;
    let rows = Arc::new(Buffer::repeat(&codes.signs, 1));
    let query: Arc<[u64]> = codes.sign_query.into();
    let (isa, width) = (Isa::best(), sign_words(DIMENSION));

    let ours = {
        let (rows, query) = (rows.clone(), query.clone());
        move |out: &mut [u32]| {
            if let Ok(rows) = CodeRows::packed(rows.words(), width) {
                hamming_rows(isa, black_box(&query), rows, out);
            }
        }
    };
    let theirs = {
        let (rows, query) = (rows.clone(), query.clone());
        move |out: &mut [f64]| {
            let query: &[u8] = bytemuck::cast_slice(&query);
            for (place, row) in out.iter_mut().zip(rows.bytes().chunks_exact(8 * width)) {
                *place = u8::hamming(black_box(query), row).unwrap_or(f64::NAN);
            }
        }
    };
    let want = move |row: usize| {
        let row = &rows.words()[row * width..][..width];
        f64::from(hamming_reference(&query, row))
    };
    Ok(pair(SIGN_ROWS, ours, theirs, want))
}

/// Both fill a place for each row; both must give the whole numbers that the definition gives.
fn pair<T: Copy + Default + Into<f64> + 'static>(
    rows: usize,
    ours: impl Fn(&mut [T]) + Clone + 'static,
    theirs: impl Fn(&mut [f64]) + Clone + 'static,
    want: impl Fn(usize) -> f64 + 'static,
) -> Pair {
    let (mut ours_out, mut theirs_out) = (vec![T::default(); rows], vec![0.0; rows]);
    let check = {
        let (ours, theirs) = (ours.clone(), theirs.clone());
        let (mut ours_out, mut theirs_out) = (ours_out.clone(), theirs_out.clone());
        move || {
            ours(&mut ours_out);
            theirs(&mut theirs_out);
            for row in 0..rows {
                let (want, ours, theirs) = (want(row), ours_out[row].into(), theirs_out[row]);
                ensure!(ours == want, "row {row}: {ours} instead of {want}");
                ensure!(
                    theirs == want,
                    "row {row}, peer: {theirs} instead of {want}"
                );
            }
            Ok(())
        }
    };
    Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            watch.time(|| {
                for _ in 0..ROUNDS {
                    ours(black_box(&mut ours_out));
                }
            });
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            watch.time(|| {
                for _ in 0..ROUNDS {
                    theirs(black_box(&mut theirs_out));
                }
            });
            Ok(())
        }),
    }
}

/// Our i8 scan of a buffer beyond every cache against a plain read of it.
pub(super) fn i8_beyond(setup: &Setup) -> Result<Pair> {
    let codes = Codes::of_rows(BLOCK_ROWS)?;
    let query = codes.i8_query;
    Ok(beyond(setup, &codes.i8, move |words, sums: &mut [i32]| {
        if let Ok(rows) = CodeRows::packed(bytemuck::cast_slice(words), DIMENSION) {
            dot_rows_i8(Isa::best(), &query, rows, sums);
        }
    }))
}

/// Our scan of sign codes beyond every cache against a plain read of them.
pub(super) fn signs_beyond(setup: &Setup) -> Result<Pair> {
    let codes = Codes::of_rows(BLOCK_ROWS)?;
    let query = codes.sign_query;
    Ok(beyond(
        setup,
        &codes.signs,
        move |words, distances: &mut [u32]| {
            if let Ok(rows) = CodeRows::packed(words, sign_words(DIMENSION)) {
                hamming_rows(Isa::best(), &query, rows, distances);
            }
        },
    ))
}

/// `scan` scores the rows of a part of the buffer: [`BLOCK_ROWS`] of them.
fn beyond<T: Copy + Default + PartialEq + 'static>(
    setup: &Setup,
    codes: &[u64],
    scan: impl Fn(&[u64], &mut [T]) + Clone + 'static,
) -> Pair {
    let bytes = if setup.quick { BEYOND_QUICK } else { BEYOND };
    let buffer = Arc::new(Buffer::repeat(codes, bytes));
    let block = codes.len();
    let streams = Streams::fastest(|streams| streams.sum_words(buffer.words()) as f32);

    let check = {
        let (buffer, scan) = (buffer.clone(), scan.clone());
        move || {
            // The buffer repeats one block, so every block has the scores of the first.
            let mut first = vec![T::default(); BLOCK_ROWS];
            let mut scores = first.clone();
            scan(&buffer.words()[..block], &mut first);
            ensure!(first.iter().any(|&score| score != T::default()), "no score");
            for part in buffer.words().chunks_exact(block) {
                scan(part, &mut scores);
                ensure!(scores == first, "the same rows, other scores");
            }
            Ok(())
        }
    };
    let read = buffer.clone();
    let mut scores = vec![T::default(); BLOCK_ROWS];
    Pair {
        check: Box::new(check),
        subject: Box::new(move |watch| {
            watch.time(|| {
                for part in buffer.words().chunks_exact(block) {
                    scan(part, black_box(&mut scores));
                }
            });
            Ok(())
        }),
        baseline: Box::new(move |watch| {
            watch.time(|| black_box(streams.sum_words(read.words())));
            Ok(())
        }),
    }
}
