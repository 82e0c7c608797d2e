//! Blocks that are laid out dimension by dimension.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_simd::{
    Isa, PDX_LANES, PdxBlock, PdxError, PdxSearch, Rows, Scored, pack_pdx, pdx_error_bound,
    squared_distance, squared_distances_pdx, squared_distances_pdx_reference, top_k_reference,
};
use cortica_testkit::bundle;

fn values(count: usize, salt: usize) -> Vec<f32> {
    let spread = |at: usize| ((at * 7_919 + salt * 104_729) % 2_003) as f32 / 1_001.5 - 1.0;
    (0..count).map(spread).collect()
}

fn packed(vectors: &[f32], d: usize) -> Vec<f32> {
    let rows = Rows::packed(vectors, d).unwrap();
    let mut blocks = vec![f32::NAN; rows.len().div_ceil(PDX_LANES) * PDX_LANES * d];
    for (block, values) in blocks.chunks_mut(PDX_LANES * d).enumerate() {
        pack_pdx(
            rows.range(block * PDX_LANES, (block + 1) * PDX_LANES),
            values,
        );
    }
    blocks
}

fn blocks(packed: &[f32], d: usize, count: usize) -> Vec<PdxBlock<'_>> {
    let lanes = |block: usize| (count - block * PDX_LANES).min(PDX_LANES);
    let blocks = packed.chunks(PDX_LANES * d).enumerate();
    blocks
        .map(|(block, values)| PdxBlock::new(values, lanes(block)).unwrap())
        .collect()
}

#[test]
fn every_distance_at_every_length_and_count() {
    for isa in Isa::available() {
        for d in (1..=130).chain([384, 512, 768, 1_536]) {
            let count = [1, 63, 64][d % 3];
            let (query, vectors) = (values(d, 1), values(d * count, 2));
            let packed = packed(&vectors, d);
            let block = blocks(&packed, d, count)[0];
            let mut out = [0.0; PDX_LANES];
            let found = squared_distances_pdx(isa, &query, block, f32::INFINITY, &mut out);
            assert_eq!(found, u64::MAX >> (64 - count), "{isa} d={d}");
            for (lane, vector) in vectors.chunks(d).enumerate() {
                let differences = query
                    .iter()
                    .zip(vector)
                    .map(|(&a, &b)| f64::from(a) - f64::from(b));
                let want: f64 = differences.map(|difference| difference * difference).sum();
                let allowed = f64::from(pdx_error_bound(d)) * want;
                assert!(
                    (f64::from(out[lane]) - want).abs() <= allowed,
                    "{isa} d={d} lane {lane}"
                );
            }
        }
    }
}

/// Pruned or not, the same vectors are within the limit as when every sum is finished.
#[test]
fn pruning_changes_nothing() {
    let data = bundle();
    let d = data.dimension;
    let packed = packed(&data.rows[..640 * d], d);
    for isa in Isa::available() {
        for block in blocks(&packed, d, 640) {
            let (mut whole, mut out) = ([0.0; PDX_LANES], [0.0; PDX_LANES]);
            let query = data.query(0);
            squared_distances_pdx(isa, query, block, f32::INFINITY, &mut whole);
            for lane in [0, 13, 63] {
                // A limit that one of them meets exactly, and one just below it.
                for limit in [
                    whole[lane],
                    whole[lane].next_down(),
                    0.1,
                    0.0,
                    -1.0,
                    f32::NAN,
                ] {
                    let found = squared_distances_pdx(isa, query, block, limit, &mut out);
                    for (at, &distance) in whole.iter().enumerate() {
                        assert_eq!(
                            found >> at & 1 == 1,
                            distance <= limit,
                            "{isa} {at} {limit}"
                        );
                        assert!(found >> at & 1 == 0 || out[at] == distance);
                    }
                }
            }
            let limit = 1.7; // Clear of all of them: the definition adds in the same order.
            let want = squared_distances_pdx_reference(query, block, limit, &mut whole);
            assert_eq!(
                squared_distances_pdx(isa, query, block, limit, &mut out),
                want,
                "{isa}"
            );
        }
    }
}

#[test]
fn every_position_counts_once() {
    for isa in Isa::available() {
        for d in [1, 31, 32, 33, 70] {
            for lane in 0..PDX_LANES {
                let mut block = vec![0.0; d * PDX_LANES];
                let at = lane % d;
                block[at * PDX_LANES + lane] = 3.0;
                let mut out = [0.0; PDX_LANES];
                let block = PdxBlock::new(&block, PDX_LANES).unwrap();
                squared_distances_pdx(isa, &vec![0.0; d], block, f32::INFINITY, &mut out);
                let want: Vec<f32> = (0..PDX_LANES)
                    .map(|at| if at == lane { 9.0 } else { 0.0 })
                    .collect();
                assert_eq!(out[..], want, "{isa} d={d}");
            }
        }
    }
}

#[test]
fn vectors_come_out_as_they_went_in() {
    let vectors = values(70 * 5, 3);
    let packed = packed(&vectors, 5);
    let blocks = blocks(&packed, 5, 70);
    assert_eq!(
        (blocks[0].len(), blocks[1].len(), blocks[1].dimension()),
        (64, 6, 5)
    );
    let mut vector = [0.0; 5];
    for (row, want) in vectors.chunks(5).enumerate() {
        assert!(blocks[row / 64].copy_vector(row % 64, &mut vector));
        assert_eq!(vector, want);
    }
    assert!(!blocks[1].copy_vector(6, &mut vector));
}

#[test]
fn what_is_no_block_is_refused() {
    assert_eq!(
        PdxBlock::new(&[], 0).unwrap_err(),
        PdxError::Values { len: 0 }
    );
    assert_eq!(
        PdxBlock::new(&[0.0; 65], 1).unwrap_err(),
        PdxError::Values { len: 65 }
    );
    assert_eq!(
        PdxBlock::new(&[0.0; 64], 65).unwrap_err(),
        PdxError::Vectors { len: 65 }
    );
    assert!(PdxBlock::new(&[0.0; 64], 0).unwrap().is_empty());
}

#[track_caller]
fn check_search(isa: Isa, vectors: &[f32], query: &[f32], k: usize) {
    let d = query.len();
    let scores: Vec<f32> = vectors
        .chunks(d)
        .map(|row| -squared_distance(isa, query, row))
        .collect();
    let want = top_k_reference(&scores, k);
    let packed = packed(vectors, d);
    let mut found = vec![Scored { row: 1, score: 1.0 }];
    let mut search = PdxSearch::new(k);
    for _ in 0..2 {
        search.search(isa, query, &blocks(&packed, d, scores.len()), &mut found);
        assert_eq!(found, want, "{isa} k={k} d={d} of {}", scores.len());
    }
}

#[test]
fn searches_find_what_a_scan_of_rows_finds() {
    let data = bundle();
    let d = data.dimension;
    for isa in Isa::available() {
        for count in [1, 63, 64, 65, 1_000] {
            for k in [0, 1, 10, 2_000] {
                check_search(isa, &data.rows[..count * d], data.query(1), k);
            }
        }
        // Copies of one vector: everything ties.
        check_search(isa, &data.row(3).repeat(100), data.query(1), 5);
        for size in [1e-42, 1e-22, 1e-19, 1e19, 1e30] {
            let scaled =
                |values: Vec<f32>| -> Vec<f32> { values.iter().map(|x| x * size).collect() };
            check_search(isa, &scaled(values(300 * 9, 4)), &scaled(values(9, 5)), 7);
        }
    }
}
