//! Graphs of which all was replaced, that are linked while they are searched, and of many copies.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use cortica_index::{Codes, Filter, HnswIndex, HnswOptions, Metric, Nearest, Row, VectorIndex};
use cortica_simd::Isa;
use cortica_testkit::bundle;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

const CODES: [Codes; 4] = [Codes::F32, Codes::I8, Codes::Signs, Codes::Blocks];

fn empty(codes: Codes) -> HnswIndex {
    let options = HnswOptions {
        codes,
        ..HnswOptions::default()
    };
    HnswIndex::new(bundle().dimension, Metric::Cosine, Isa::best(), options).unwrap()
}

/// Of 100 queries, the share of the exact ten nearest scores that the graph comes to.
fn recall(index: &HnswIndex) -> f64 {
    let mut right = 0;
    for query in (0..100).map(|query| bundle().query(query)) {
        let exact = index.search(query, 10).unwrap();
        let found = index.nearest(query, Nearest::default()).unwrap();
        right += found
            .iter()
            .take(10)
            .filter(|near| near.score >= exact[9].score)
            .count();
    }
    f64::from(right as u32) / 1_000.0
}

#[test]
fn what_takes_the_place_of_all_is_found_before_a_repair_and_after_it() {
    for codes in CODES {
        let index = empty(codes);
        let insert = |number: usize| index.insert(bundle().row(number)).unwrap();
        let old: Vec<Row> = (0..1_000).map(insert).collect();
        index.link(usize::MAX);
        assert!(old.iter().all(|&row| index.remove(row)));
        (1_000..2_000).for_each(|number| {
            insert(number);
        });
        index.link(usize::MAX);
        let before = recall(&index);
        assert!(before >= 0.95, "{codes:?} before a repair: {before}");
        assert_eq!(index.repair(), 1_000);
        let (after, stats) = (recall(&index), index.graph_stats());
        assert!(
            after >= 0.95,
            "{codes:?} after a repair: {after}, {stats:?}"
        );
        assert_eq!((stats.reachable, stats.links_to_removed), (1_000, 0));
        let mean = stats.mean_degree;
        assert!(mean > 8.0, "{codes:?}: {mean} links a node");
    }
}

/// A search that is at its end when the last that waited is linked, and so waits no more.
#[test]
fn what_was_inserted_is_found_also_when_it_is_linked_during_the_search() {
    for codes in CODES {
        let index = empty(codes);
        for number in 0..1_000 {
            index.insert(bundle().row(number)).unwrap();
        }
        index.link(usize::MAX);
        let query = bundle().row(3_500);
        let row = index.insert(query).unwrap();
        let search = |lets: &(dyn Fn(Row) -> bool + Sync)| {
            let how = Nearest {
                k: 1,
                width: 400,
                filter: Filter::Predicate(lets),
            };
            index.nearest(query, how).unwrap()[0].row
        };
        let calls = AtomicUsize::new(0);
        search(&|_| {
            calls.fetch_add(1, Ordering::Relaxed);
            true
        });
        let late = calls.swap(0, Ordering::Relaxed) * 19 / 20;
        let (go, started) = mpsc::channel::<()>();
        let (done, linked) = mpsc::channel::<()>();
        let linked = Mutex::new(linked);
        let found = thread::scope(|scope| {
            let index = &index;
            scope.spawn(move || {
                started.recv().unwrap();
                assert_eq!(index.link(1), 1);
                done.send(()).unwrap();
            });
            search(&|_| {
                if calls.fetch_add(1, Ordering::Relaxed) == late {
                    go.send(()).unwrap();
                    linked.lock().unwrap().recv().unwrap();
                }
                true
            })
        });
        assert_eq!((found, index.waiting()), (row, 0), "{codes:?}");
    }
}

/// What docs/index.md says of copies.
#[test]
fn many_copies_of_one_do_not_cut_the_others_off() {
    for codes in CODES {
        let found = recall_of((0..500).map(|_| 0).chain(1..3_000), codes);
        assert!(found >= 0.95, "{codes:?}: {found}");
    }
    // A beam holds few that differ where all have copies: found is what this was, and more is better.
    let found = recall_of((0..3_000).map(|number| number / 30), Codes::I8);
    println!("100 vectors with 30 copies each: {found}");
    assert!(found >= 0.4, "{found}");
}

fn recall_of(numbers: impl Iterator<Item = usize>, codes: Codes) -> f64 {
    let index = empty(codes);
    for number in numbers {
        index.insert(bundle().row(number)).unwrap();
    }
    index.link(usize::MAX);
    index.repair();
    recall(&index)
}
