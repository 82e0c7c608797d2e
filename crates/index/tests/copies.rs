//! Sets of which all or half are copies of few vectors: what a graph finds of them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod common;

use common::{CODES, empty, recall};
use cortica_index::{Codes, Filter, Nearest, Row, SavedKey, VectorIndex};
use cortica_testkit::bundle;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Built, with every second row deleted, repaired, and loaded.
fn check(numbers: &[usize]) {
    for codes in CODES {
        let index = empty(codes);
        let insert = |number: &usize| index.insert(bundle().row(*number)).unwrap();
        let rows: Vec<Row> = numbers.iter().map(insert).collect();
        index.link(usize::MAX);
        let mut found = vec![("built", recall(&index))];
        for row in rows.iter().step_by(2) {
            assert!(index.remove(*row));
        }
        found.push(("half deleted", recall(&index)));
        index.repair();
        found.push(("repaired", recall(&index)));
        let left = numbers.iter().skip(1).step_by(2);
        let saved = index.save(0, |row| {
            let id = (row.get() / 2).into();
            Some(SavedKey { id, check: 1 })
        });
        let again = empty(codes);
        for number in left.clone() {
            again.insert(bundle().row(*number)).unwrap();
        }
        let row_of = |key: SavedKey| Some(Row::new(key.id as u32));
        let linked = again.load(&saved, row_of).unwrap().linked;
        found.push(("loaded", recall(&again)));
        let stats = again.graph_stats();
        let sound = (stats.linked, stats.reachable, stats.links_to_removed);
        assert_eq!((linked, sound), (left.len(), (left.len(), left.len(), 0)));
        let enough = found.iter().all(|&(_, found)| found >= 0.95);
        assert!(enough, "{codes:?}: {found:?}");
    }
}

#[test]
fn of_thirty_copies_of_each_those_that_differ_are_found() {
    let numbers: Vec<usize> = (0..3_000).map(|number| number / 30).collect();
    check(&numbers);
}

#[test]
fn of_a_hundred_copies_of_each_those_that_differ_are_found() {
    // Not one after the other.
    let numbers: Vec<usize> = (0..3_000).map(|number| number % 30).collect();
    check(&numbers);
}

/// Halves of the halves, so that deleting every second row leaves as many copies.
#[test]
fn where_half_are_copies_those_that_differ_are_found() {
    let number = |at: usize| if at % 4 < 2 { at / 60 } else { at };
    let numbers: Vec<usize> = (0..3_000).map(number).collect();
    check(&numbers);
}

/// Where all near nodes are full, others take what nothing links to.
#[test]
fn every_one_of_very_many_copies_can_be_reached() {
    for (vectors, rows) in [(1, 2_000), (10, 3_000)] {
        let index = empty(Codes::I8);
        for number in 0..rows {
            index.insert(bundle().row(number % vectors)).unwrap();
        }
        index.link(usize::MAX);
        index.repair();
        let stats = index.graph_stats();
        let sound = (stats.linked, stats.reachable);
        assert_eq!(sound, (rows, rows), "copies of {vectors}: {stats:?}");
        assert!(stats.max_degree <= 32, "{stats:?}");
    }
}

/// Thirty of each have the same sign codes, and so the same keys, but are not the same: the beam holds as
/// many as of any others.
#[test]
fn what_is_as_near_by_its_codes_is_no_copy() {
    let index = empty(Codes::Signs);
    for number in 0..3_000 {
        let mut near = bundle().row(number / 30).to_vec();
        near[number % 30] *= 1.001;
        index.insert(&near).unwrap();
    }
    index.link(usize::MAX);
    let asked = AtomicUsize::new(0);
    let lets = |_| {
        asked.fetch_add(1, Ordering::Relaxed);
        true
    };
    let how = Nearest {
        filter: Filter::Predicate(&lets),
        ..Nearest::default()
    };
    let found = index.nearest(bundle().row(0), how).unwrap();
    let asked = asked.into_inner();
    println!("asked {asked} times");
    assert!(found.len() >= 10 && asked < 1_000, "{asked}");
}
