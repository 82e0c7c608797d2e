//! Graphs of which all was replaced, that are linked while they are searched, and of many copies.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod common;

use common::{CODES, empty, recall};
use cortica_index::{
    Codes, Filter, HnswIndex, HnswOptions, Metric, Nearest, Neighbor, Row, SavedKey, VectorIndex,
};
use cortica_simd::Isa;
use cortica_testkit::bundle;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

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

/// Most of the nodes of a graph that was not repaired can only be passed through, and are not counted
/// among what is gone.
#[test]
fn what_takes_the_place_of_most_is_saved_and_loaded_without_a_repair() {
    for codes in CODES {
        for kept in [100, 0] {
            let index = empty(codes);
            let insert = |number: usize| index.insert(bundle().row(number)).unwrap();
            let old: Vec<Row> = (0..1_500).map(insert).collect();
            index.link(usize::MAX);
            assert!(old[kept..].iter().all(|&row| index.remove(row)));
            (1_500..2_300).for_each(|number| {
                insert(number);
            });
            index.link(usize::MAX);
            let saved = index.save(0, |row| {
                let id = row.get().into();
                Some(SavedKey { id, check: 1 })
            });
            let again = empty(codes);
            let (old, new) = (0..kept, 1_500..2_300);
            for number in old.chain(new) {
                again.insert(bundle().row(number)).unwrap();
            }
            let row_of = |key: SavedKey| {
                let gone = (1_500 - kept) as u32;
                let row = key.id as u32;
                Some(Row::new(if row < kept as u32 { row } else { row - gone }))
            };
            let loaded = again.load(&saved, row_of).unwrap();
            let all = 800 + kept;
            assert_eq!((loaded.linked, loaded.gone), (all, 1_500 - kept));
            let (found, stats) = (recall(&again), again.graph_stats());
            assert!(found >= 0.95, "{codes:?}, {kept} kept: {found}, {stats:?}");
            assert_eq!((stats.linked, stats.reachable), (all, all));
        }
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
        let how = Nearest {
            k: 1,
            width: 64,
            ..Nearest::default()
        };
        let (_, calls) = search_while_linking(&index, query, how, usize::MAX);
        let (found, _) = search_while_linking(&index, query, how, calls - 2);
        let found = found[0].row;
        assert_eq!((found, index.waiting()), (row, 0), "{codes:?}");
    }
}

/// It is found by the walk too then, and counts once: else one would seem to be missing, and all
/// vectors would be compared.
#[test]
fn what_is_linked_during_a_search_does_not_make_it_compare_all() {
    for codes in CODES {
        for new in [1, 5] {
            let index = empty(codes);
            for number in 0..2_000 {
                index.insert(bundle().row(number)).unwrap();
            }
            index.link(usize::MAX);
            let query = bundle().row(3_500);
            for value in 0..new {
                let mut near = query.to_vec();
                near[value] += 0.001;
                index.insert(&near).unwrap();
            }
            let how = Nearest::default();
            let (quiet, calls) = search_while_linking(&index, query, how, usize::MAX);
            // A walk begins when a few hundred were asked to tell how many are let through.
            let (found, calls_then) = search_while_linking(&index, query, how, 290);
            assert_eq!((found.len(), index.waiting()), (10, 0), "{codes:?}");
            assert_eq!(found[..new], quiet[..new], "{codes:?}");
            let what = format!("{codes:?}, {new} new: {calls} calls, then {calls_then}");
            assert!(calls > 290 && calls_then < calls + 200, "{what}");
        }
    }
}

/// What a search finds, and how often it asks what is let through. When it has asked so many times,
/// all that waits is linked before it goes on.
fn search_while_linking(
    index: &HnswIndex,
    query: &[f32],
    how: Nearest<'_>,
    link_at: usize,
) -> (Vec<Neighbor>, usize) {
    let calls = AtomicUsize::new(0);
    let (go, started) = mpsc::channel::<()>();
    let (done, linked) = mpsc::channel::<()>();
    let linked = Mutex::new(linked);
    let found = thread::scope(|scope| {
        scope.spawn(move || {
            if started.recv().is_ok() {
                index.link(usize::MAX);
                done.send(()).unwrap();
            }
        });
        // Dropped with the search, so that a thread that was not called for ends.
        let go = go;
        let lets = |_| {
            if calls.fetch_add(1, Ordering::Relaxed) == link_at {
                go.send(()).unwrap();
                linked.lock().unwrap().recv().unwrap();
            }
            true
        };
        let filter = Filter::Predicate(&lets);
        index.nearest(query, Nearest { filter, ..how }).unwrap()
    });
    (found, calls.into_inner())
}

/// What docs/index.md says of copies.
#[test]
fn many_copies_of_one_do_not_cut_the_others_off() {
    for codes in CODES {
        let found = recall_of((0..500).map(|_| 0).chain(1..3_000), codes);
        assert!(found >= 0.95, "{codes:?}: {found}");
    }
}

/// A five-hundredth of a hundred-thousandth apart: their codes are the same, their keys are not.
#[test]
fn many_near_copies_of_one_do_not_cut_the_others_off() {
    for metric in [Metric::Cosine, Metric::L2, Metric::Dot] {
        for codes in [Codes::F32, Codes::I8, Codes::Blocks] {
            let options = HnswOptions {
                codes,
                ..HnswOptions::default()
            };
            let index = HnswIndex::new(bundle().dimension, metric, Isa::best(), options).unwrap();
            for copy in 0..500 {
                let mut near = bundle().row(0).to_vec();
                near[copy] += 1e-5 * (1 + copy) as f32 / 500.0;
                index.insert(&near).unwrap();
            }
            for number in 1..2_000 {
                index.insert(bundle().row(number)).unwrap();
            }
            index.link(usize::MAX);
            let before = recall(&index);
            index.repair();
            let found = [before, recall(&index)];
            let enough = found.iter().all(|&found| found >= 0.95);
            assert!(
                enough,
                "{metric} {codes:?}, before and after a repair: {found:?}"
            );
        }
    }
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
