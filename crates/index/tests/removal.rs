//! Rows that are removed and used again, against brute force over what is left.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_index::{ExactIndex, Metric, Query, Row, VectorIndex};
use cortica_simd::Isa;
use cortica_testkit::{Measure, Rng, bundle, scores};
use std::collections::{BTreeMap, HashSet};

const METRICS: [(Metric, Measure); 3] = [
    (Metric::Cosine, Measure::Cosine),
    (Metric::Dot, Measure::Dot),
    (Metric::L2, Measure::L2),
];

/// What a search finds: score bits and the number of the vector, so that rows do not matter.
fn found(index: &ExactIndex, held: &BTreeMap<Row, usize>, query: &[f32]) -> Vec<(u32, usize)> {
    let neighbors = index.search(query, 10).unwrap();
    let mut found: Vec<_> = neighbors
        .iter()
        .map(|neighbor| (neighbor.score.to_bits(), held[&neighbor.row]))
        .collect();
    found.sort_unstable();
    found
}

/// An index into which the same vectors were only ever inserted.
fn fresh(
    metric: Metric,
    rows: &[f32],
    d: usize,
    held: &BTreeMap<Row, usize>,
) -> (ExactIndex, BTreeMap<Row, usize>) {
    let index = ExactIndex::new(d, metric, Isa::best()).unwrap();
    let held = held.values().map(|&number| {
        let row = index.insert(&rows[number * d..][..d]).unwrap();
        (row, number)
    });
    let held = held.collect();
    (index, held)
}

#[test]
fn inserting_removing_and_searching_at_random_equals_brute_force() {
    let data = bundle();
    let d = data.dimension;
    for (metric, measure) in METRICS {
        let index = ExactIndex::new(d, metric, Isa::best()).unwrap();
        let mut rng = Rng::new(5);
        let mut held: BTreeMap<Row, usize> = BTreeMap::new();
        let (mut reused, mut most) = (0, 0);
        let mut seen = HashSet::new();
        for step in 0..4_000 {
            let grow = step < 600 || (step / 500) % 2 == 1;
            if held.is_empty() || rng.below(10) < if grow { 7 } else { 3 } {
                let number = rng.below(data.len());
                let row = index.insert(data.row(number)).unwrap();
                assert_eq!(
                    held.insert(row, number),
                    None,
                    "{row:?} was given out twice"
                );
                reused += usize::from(!seen.insert(row));
            } else {
                let nth = rng.below(held.len());
                let row = *held.keys().nth(nth).unwrap();
                held.remove(&row);
                assert!(index.remove(row));
                assert!(!index.remove(row), "a row is removed once");
                assert_eq!(index.vector(row), None);
            }
            assert_eq!(index.len(), held.len());
            most = most.max(held.len());
            if step % 200 != 0 {
                continue;
            }
            let query = data.query(rng.below(data.query_count()));
            let got = index.search(query, 10).unwrap();
            let numbers: Vec<_> = held.values().copied().collect();
            let live: Vec<f32> = numbers
                .iter()
                .flat_map(|&number| data.row(number).iter().copied())
                .collect();
            let mut exact = scores(measure, &live, d, query);
            exact.sort_by(|a, b| b.total_cmp(a));
            let kth = exact[9.min(exact.len() - 1)];
            for neighbor in &got {
                let score = scores(measure, data.row(held[&neighbor.row]), d, query)[0];
                assert!(score >= kth - 1e-5, "{metric} step {step}");
            }
            let (again, held_again) = fresh(metric, &data.rows, d, &held);
            assert_eq!(
                found(&index, &held, query),
                found(&again, &held_again, query)
            );
            let together = index.search_many(
                &[Query {
                    vector: query,
                    k: 10,
                }; 3],
            );
            assert!(together.iter().all(|answer| answer.as_ref() == Ok(&got)));
            for (&row, &number) in &held {
                assert!(index.holds(row, data.row(number)));
                assert_eq!(index.vector(row).unwrap(), data.row(number));
            }
        }
        assert!(reused > 500, "{reused} rows were used again");
        let rows = seen.len();
        // Freed rows are used again 64 at a time, and two such lots may be on their way.
        assert!(
            rows <= most + 3 * 64,
            "{rows} rows for {most} vectors at most"
        );
    }
}

#[test]
fn lent_rows_leave_out_what_was_removed() {
    let data = bundle();
    let index = ExactIndex::new(data.dimension, Metric::Cosine, Isa::best()).unwrap();
    let rows: Vec<_> = (0..300)
        .map(|n| index.insert(data.row(n)).unwrap())
        .collect();
    let mut want = Vec::new();
    for (number, row) in rows.into_iter().enumerate() {
        if number % 3 == 0 {
            assert!(index.remove(row));
        } else {
            want.extend_from_slice(data.row(number));
        }
    }
    let mut lent: Vec<f32> = Vec::new();
    index.lend(|rows| {
        assert_eq!(rows.inverse_norms().unwrap().len(), rows.len());
        lent.extend(rows.iter().flatten());
    });
    assert_eq!(lent, want);
}

#[test]
fn a_row_holds_exactly_what_inserting_would_put_there() {
    for metric in [Metric::Cosine, Metric::L2] {
        let index = ExactIndex::new(2, metric, Isa::best()).unwrap();
        let row = index.insert(&[1.0, -0.0]).unwrap();
        assert!(index.holds(row, &[1.0, -0.0]));
        assert!(!index.holds(row, &[1.0, 0.0]), "other bits");
        assert!(!index.holds(row, &[2.0, -0.0]));
        assert!(!index.holds(row, &[1.0]));
        assert!(!index.holds(Row::new(7), &[1.0, -0.0]));
    }
    // Under cosine, extreme lengths are kept scaled.
    let index = ExactIndex::new(2, Metric::Cosine, Isa::best()).unwrap();
    let long = index.insert(&[3e30, 1e30]).unwrap();
    assert!(index.holds(long, &[3e30, 1e30]));
    assert!(!index.holds(long, &[3e20, 1e20]));
    assert!(index.remove(long));
    assert!(!index.holds(long, &[3e30, 1e30]));
    // The row's next vector has a scale of its own.
    for _ in 0..200 {
        let row = index.insert(&[0.5, 0.25]).unwrap();
        assert_eq!(index.vector(row).unwrap(), [0.5, 0.25]);
        assert!(index.remove(row));
    }
}
