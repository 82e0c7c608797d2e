//! A repair that is given up, and what it gives back.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use cortica_index::{HnswIndex, HnswOptions, Metric, Nearest, Row, VectorIndex};
use cortica_simd::Isa;
use cortica_testkit::bundle;
use std::cell::Cell;

fn index(rows: usize) -> HnswIndex {
    let data = bundle();
    let options = HnswOptions::default();
    let index = HnswIndex::new(data.dimension, Metric::Cosine, Isa::best(), options).unwrap();
    for row in 0..rows {
        index.insert(data.row(row)).unwrap();
    }
    index
}

#[test]
fn a_repair_that_is_given_up_can_be_done_later() {
    let index = index(400);
    index.link(usize::MAX);
    (0..400)
        .step_by(2)
        .for_each(|row| assert!(index.remove(Row::new(row))));
    for patience in 0..12 {
        let asked = Cell::new(0);
        let stop = || asked.replace(asked.get() + 1) == patience;
        assert_eq!(index.repair_unless(stop), None);
        assert_eq!(index.graph_stats().removed, 200);
        let found = index.nearest(bundle().row(1), Nearest::default()).unwrap();
        assert!(found.len() >= 10 && found.iter().all(|near| near.row.get() % 2 == 1));
    }
    assert_eq!(index.repair_unless(|| false), Some(200));
    let stats = index.graph_stats();
    assert_eq!(
        (stats.linked, stats.reachable, stats.links_to_removed),
        (200, 200, 0)
    );
    assert_eq!(index.unreleased(), 0);
}

#[test]
fn rows_that_were_removed_before_they_were_linked_are_given_back() {
    let index = index(300);
    index.link(100);
    (50..250).for_each(|row| assert!(index.remove(Row::new(row))));
    assert_eq!((index.unreleased(), index.waiting()), (200, 200));
    assert_eq!(index.repair(), 200);
    assert_eq!((index.unreleased(), index.waiting()), (0, 50));
    assert_eq!(index.link(usize::MAX), 50);
    let stats = index.graph_stats();
    assert_eq!((stats.linked, stats.reachable), (100, 100));
}
