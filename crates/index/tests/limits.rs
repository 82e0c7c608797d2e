//! Data of which the graph finds less, and what helps: the figures of docs/index.md, so that they get no worse.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod common;

use common::{CODES, empty, recall};
use cortica_index::{Codes, HnswIndex, HnswOptions, Metric, Nearest, VectorIndex};
use cortica_simd::Isa;
use cortica_testkit::{Rng, bundle, clustered};
use std::iter::zip;

/// 500 copies of one bundled row (of length 1, so a value is some 0.036), each value off by a normal
/// deviate of this size, among 2,000 others: recall before and after a repair.
fn found_beside_near_copies(index: &HnswIndex, off: f32, first: bool) -> [f64; 2] {
    let mut rng = Rng::new(7);
    let others = || {
        for number in 1..2_001 {
            index.insert(bundle().row(number)).unwrap();
        }
    };
    if !first {
        others();
    }
    for _ in 0..500 {
        let off = |value: &f32| value + off * rng.gaussian();
        let near: Vec<f32> = bundle().row(0).iter().map(off).collect();
        index.insert(&near).unwrap();
    }
    if first {
        others();
    }
    index.link(usize::MAX);
    let before = recall(index);
    index.repair();
    let stats = index.graph_stats();
    assert_eq!((stats.linked, stats.reachable), (2_500, 2_500));
    [before, recall(index)]
}

#[test]
fn codes_cannot_tell_near_copies_apart_and_less_is_found_beside_them() {
    let options = HnswOptions {
        build_width: 600,
        ..HnswOptions::default()
    };
    let wide = HnswIndex::new(bundle().dimension, Metric::Cosine, Isa::best(), options).unwrap();
    let [by_f32, i8, by_blocks] = [Codes::F32, Codes::I8, Codes::Blocks].map(empty);
    let [last, apart] = [Codes::I8; 2].map(empty);
    let cases = [
        ("first, by i8", i8, 1e-4, true, 0.75),
        ("first, by blocks", by_blocks, 1e-4, true, 0.75),
        ("first, by i8, a build width of 600", wide, 1e-4, true, 0.9),
        ("first, by f32", by_f32, 1e-4, true, 0.95),
        ("last, by i8", last, 1e-4, false, 0.95),
        ("first, by i8", apart, 3e-4, true, 0.95),
    ];
    for (how, index, off, first, least) in cases {
        let found = found_beside_near_copies(&index, off, first);
        println!("near-copies off by {off}, {how}: {found:.3?}, before and after a repair");
        let enough = found.iter().all(|&found| found >= least);
        assert!(enough, "off by {off}, {how}: {found:?}");
    }
}

/// Vectors that lie far from the origin, as seen from each other: recall under L2 at widths of 64 and 256.
fn found_at_offset(offset: f32, codes: Codes) -> [f64; 2] {
    const DIMENSION: usize = 64;
    let mut values = clustered(2_100, DIMENSION, 5);
    let spread =
        (values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32).sqrt();
    for value in &mut values {
        *value += offset * spread;
    }
    let options = HnswOptions {
        codes,
        ..HnswOptions::default()
    };
    let index = HnswIndex::new(DIMENSION, Metric::L2, Isa::best(), options).unwrap();
    let (rows, queries) = values.split_at(2_000 * DIMENSION);
    for row in rows.chunks(DIMENSION) {
        index.insert(row).unwrap();
    }
    index.link(usize::MAX);
    [64, 256].map(|width| {
        let how = Nearest {
            width,
            ..Nearest::default()
        };
        let of_query = |query| {
            let exact = index.search(query, 10).unwrap();
            let found = index.nearest(query, how).unwrap();
            let near = found.iter().take(10);
            near.filter(|near| near.score >= exact[9].score).count()
        };
        let right: usize = queries.chunks(DIMENSION).map(of_query).sum();
        right as f64 / 1_000.0
    })
}

#[test]
fn codes_far_from_the_origin_tell_little() {
    // By f32, i8, signs and blocks.
    let cases = [
        (3.0, [0.99, 0.99, 0.05, 0.99]),
        (10.0, [0.99, 0.99, 0.05, 0.99]),
        (30.0, [0.99, 0.7, 0.05, 0.7]),
    ];
    for (offset, least) in cases {
        for (codes, least) in zip(CODES, least) {
            let found = found_at_offset(offset, codes);
            println!("{offset} times the spread, {codes:?}: {found:.3?}, at widths of 64 and 256");
            let enough = found.iter().all(|&found| found >= least);
            assert!(enough, "{offset} {codes:?}: {found:?}");
        }
    }
}
