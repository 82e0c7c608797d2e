//! What searching asks of the allocator once it was used: a place for each answer, and nothing for each row.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_index::{
    Codes, ExactIndex, HnswIndex, HnswOptions, Metric, Nearest, Query, VectorIndex,
};
use cortica_simd::Isa;
use cortica_testkit::{CountingAllocator, clustered, count_allocations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

fn queries(of: &[f32], dimension: usize) -> Vec<Query<'_>> {
    of.chunks_exact(dimension)
        .map(|vector| Query { vector, k: 10 })
        .collect()
}

#[test]
fn a_search_allocates_its_answer_and_nothing_more() {
    let metrics = [Metric::Cosine, Metric::Dot, Metric::L2];
    let sizes: [(usize, &[usize]); 2] = [(32, &[500, 5_000, 20_000]), (768, &[500, 3_000])];
    for (dimension, sizes) in sizes {
        for metric in metrics {
            exact(dimension, metric, sizes);
        }
    }
}

fn exact(dimension: usize, metric: Metric, sizes: &[usize]) {
    let index = ExactIndex::new(dimension, metric, Isa::best()).unwrap();
    let vectors = clustered(64, dimension, 2);
    let queries = queries(&vectors, dimension);
    for &rows in sizes {
        for row in clustered(rows, dimension, rows as u64).chunks_exact(dimension) {
            index.insert(row).unwrap();
        }
        index.search_many(&queries); // Its memory is there from now on.
        for count in [1, 16, 64] {
            let (found, counted) = count_allocations(|| index.search_many(&queries[..count]));
            assert!(
                found
                    .iter()
                    .all(|found| found.as_ref().unwrap().len() >= 10)
            );
            // One for each answer, one for all of them, and one for the queries at the door.
            let want = count as u64 + 2;
            assert_eq!(
                counted.allocations, want,
                "{metric} {dimension} values, {rows} rows, {count} queries"
            );
        }
    }
}

/// Lists of candidates are asked for, from walk to answer; the rows that a walk looks at, several hundred
/// and more, ask for nothing.
#[test]
fn a_walk_allocates_no_more_for_what_it_looks_at() {
    const DIMENSION: usize = 768;
    for codes in [Codes::F32, Codes::I8, Codes::Signs, Codes::Blocks] {
        let options = HnswOptions {
            codes,
            ..HnswOptions::default()
        };
        let index = HnswIndex::new(DIMENSION, Metric::Cosine, Isa::best(), options).unwrap();
        for row in clustered(2_000, DIMENSION, 5).chunks_exact(DIMENSION) {
            index.insert(row).unwrap();
        }
        index.link_all(1);
        let vectors = clustered(64, DIMENSION, 2);
        let queries = queries(&vectors, DIMENSION);
        for width in [16, 64, 256] {
            let how = Nearest {
                width,
                ..Nearest::default()
            };
            index.nearest_many(&queries, how); // Its memory is there from now on.
            for count in [1, 16, 64] {
                let (found, counted) =
                    count_allocations(|| index.nearest_many(&queries[..count], how));
                assert!(
                    found
                        .iter()
                        .all(|found| found.as_ref().unwrap().len() >= 10)
                );
                let most = 20 * count as u64 + 20;
                assert!(
                    counted.allocations <= most,
                    "{codes:?}, {width} candidates, {count} queries: {}",
                    counted.allocations
                );
            }
        }
    }
}
