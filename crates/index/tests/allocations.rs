//! What searching asks of the allocator once it was used: a place for each answer, and nothing for each row.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_index::{ExactIndex, Metric, Query, VectorIndex};
use cortica_simd::Isa;
use cortica_testkit::{CountingAllocator, clustered, count_allocations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const DIMENSION: usize = 32;

#[test]
fn a_search_allocates_its_answer_and_nothing_more() {
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        let index = ExactIndex::new(DIMENSION, metric, Isa::best()).unwrap();
        let queries = clustered(64, DIMENSION, 2);
        let queries: Vec<Query<'_>> = queries
            .chunks_exact(DIMENSION)
            .map(|vector| Query { vector, k: 10 })
            .collect();
        for rows in [500, 5_000, 20_000] {
            for row in clustered(rows, DIMENSION, rows as u64).chunks_exact(DIMENSION) {
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
                    "{metric} {rows} rows, {count} queries"
                );
            }
        }
    }
}
