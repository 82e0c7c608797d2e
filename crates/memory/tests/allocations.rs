//! What a recall asks of the allocator once it was used: lists for its answer, and nothing for each
//! row that it compares.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use cortica_memory::{Accuracy, Cue, Episode, IndexLag, MemoryStore, SpaceSpec, StoreOptions};
use cortica_testkit::{CountingAllocator, bundle, count_allocations};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Real rows, indexed.
fn store(rows: usize) -> MemoryStore {
    let store = MemoryStore::in_memory(StoreOptions {
        space: Some(SpaceSpec::new(bundle().dimension)),
        index_lag: IndexLag::OnDemand,
        ..StoreOptions::default()
    });
    let store = store.unwrap();
    let episode = |row: usize| {
        Episode::new(row.to_string(), row.to_string()).with_embedding(bundle().row(row).to_vec())
    };
    for stored in store.store_many((0..rows).map(episode).collect()) {
        stored.unwrap();
    }
    store.wait_indexed().unwrap();
    store
}

/// For 1, 16 and 64 cues, once all was used.
fn counted(store: &MemoryStore, accuracy: Accuracy) -> [u64; 3] {
    let cue = |query| Cue::embedding(bundle().query(query).to_vec()).accuracy(accuracy);
    let cues: Vec<Cue> = (0..64).map(cue).collect();
    store.recall_many(&cues);
    [1, 16, 64].map(|count| {
        let (found, counted) = count_allocations(|| store.recall_many(&cues[..count]));
        assert!(
            found
                .iter()
                .all(|found| found.as_ref().unwrap().len() == 10)
        );
        counted.allocations
    })
}

#[test]
fn an_exact_recall_allocates_the_same_however_many_rows_it_compares() {
    let [few, many] = [500, 4_000].map(|rows| counted(&store(rows), Accuracy::Exact));
    println!("{few:?}, {many:?}");
    assert_eq!(few, many);
    for (count, allocations) in std::iter::zip([1, 16, 64], few) {
        assert!(allocations <= 5 * count + 12, "{count} cues: {allocations}");
    }
}

/// A walk looks at a thousand rows and more.
#[test]
fn an_approximate_recall_allocates_lists_and_nothing_for_each_row() {
    let store = store(4_000);
    for ef in [16, 64, 256] {
        let walked = counted(&store, Accuracy::Approximate { ef });
        println!("{ef}: {walked:?}");
        for (count, allocations) in std::iter::zip([1, 16, 64], walked) {
            assert!(
                allocations <= 14 * count + 40,
                "{ef}, {count}: {allocations}"
            );
        }
    }
}
