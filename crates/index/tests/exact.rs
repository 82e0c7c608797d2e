//! The exact index against brute force in f64, and against itself one query at a time.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_index::{
    DIMENSION_MAX, ExactIndex, Metric, Neighbor, Query, Row, VectorError, VectorIndex,
};
use cortica_simd::{Isa, inverse_norm};
use cortica_testkit::{Measure, Rng, bundle, clustered, scores};
use proptest::prelude::*;

const METRICS: [(Metric, Measure); 3] = [
    (Metric::Cosine, Measure::Cosine),
    (Metric::Dot, Measure::Dot),
    (Metric::L2, Measure::L2),
];

fn index_of(metric: Metric, isa: Isa, rows: &[f32], d: usize) -> ExactIndex {
    let index = ExactIndex::new(d, metric, isa).unwrap();
    for row in rows.chunks_exact(d) {
        index.insert(row).unwrap();
    }
    index
}

/// A result counts when its exact score is at least the k-th best minus a tolerance that covers
/// f32 at the scores' own size.
#[track_caller]
fn check_against_oracle(got: &[Neighbor], exact: &[f64], k: usize, metric: Metric, note: &str) {
    let mut sorted = exact.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let want = k.min(exact.len());
    assert!(
        got.len() >= want,
        "{note}: {} results, expected {want}",
        got.len()
    );
    let kth = sorted[want - 1];
    let tolerance = match metric {
        Metric::Cosine => 1e-6,
        _ => 1e-5 * sorted[0].abs().max(kth.abs()).max(1e-30),
    };
    for neighbor in got {
        let exact = exact[neighbor.row.get() as usize];
        assert!(
            exact >= kth - tolerance,
            "{note}: {neighbor:?} has {exact}, the k-th {kth}"
        );
        let score = match metric {
            Metric::L2 => 1.0 / (1.0 + (-exact).sqrt()),
            _ => exact,
        };
        let allowed = 1e-6_f64.max(tolerance);
        assert!(
            (f64::from(neighbor.score) - score).abs() <= allowed,
            "{note}: {score}"
        );
    }
    assert!(
        got.is_sorted_by(|a, b| { a.score > b.score || (a.score == b.score && a.row < b.row) })
    );
    // Beyond k only what ties with the k-th.
    assert!(
        got[want - 1..]
            .iter()
            .all(|extra| extra.score == got[want - 1].score)
    );
}

#[test]
fn real_vectors_on_every_instruction_set_and_metric() {
    let data = bundle();
    let d = data.dimension;
    for isa in Isa::available() {
        for (metric, measure) in METRICS {
            let index = index_of(metric, isa, &data.rows, d);
            for query in (0..data.query_count()).step_by(9) {
                let exact = scores(measure, &data.rows, d, data.query(query));
                for k in [1, 10, 100] {
                    let got = index.search(data.query(query), k).unwrap();
                    check_against_oracle(&got, &exact, k, metric, &format!("{isa} {metric} {k}"));
                }
            }
        }
    }
}

#[test]
fn a_batch_gives_the_same_bits_as_one_by_one() {
    let data = bundle();
    for isa in Isa::available() {
        for (metric, _) in METRICS {
            let index = index_of(metric, isa, &data.rows, data.dimension);
            for count in [1, 3, 15, 16, 17, 33] {
                let queries: Vec<_> = (0..count)
                    .map(|at| Query {
                        vector: data.query(at),
                        k: 1 + at * 7 % 40,
                    })
                    .collect();
                let together = index.search_many(&queries);
                for (query, together) in queries.iter().zip(together) {
                    let alone = index.search(query.vector, query.k).unwrap();
                    assert_eq!(
                        bits(&together.unwrap()),
                        bits(&alone),
                        "{isa} {metric} {count}"
                    );
                }
            }
        }
    }
}

fn bits(found: &[Neighbor]) -> Vec<(u32, u32)> {
    found
        .iter()
        .map(|neighbor| (neighbor.row.get(), neighbor.score.to_bits()))
        .collect()
}

#[test]
fn lent_rows_are_what_was_inserted_in_order() {
    let data = bundle();
    let index = index_of(Metric::Cosine, Isa::best(), &data.rows, data.dimension);
    let mut lent: Vec<f32> = Vec::new();
    index.lend(|rows| {
        lent.extend(rows.iter().flatten().copied());
        let norms = rows.inverse_norms().unwrap();
        for (row, &norm) in rows.iter().zip(norms) {
            assert!((norm - inverse_norm(Isa::Scalar, row)).abs() < 1e-6);
        }
    });
    assert_eq!(lent, data.rows);
    let index = index_of(Metric::Dot, Isa::best(), &data.rows, data.dimension);
    index.lend(|rows| assert_eq!(rows.inverse_norms(), None));
}

#[test]
fn odd_dimensions_and_sizes() {
    for (metric, measure) in METRICS {
        for d in [1, 2, 15, 16, 17, 100, 129] {
            for n in [1, 2, 127, 128, 129, 700] {
                let rows = clustered(n, d, 5);
                let index = index_of(metric, Isa::best(), &rows, d);
                let query = Rng::new(9).vector(d);
                let exact = scores(measure, &rows, d, &query);
                for k in [1, 10, n, n + 5] {
                    let got = index.search(&query, k).unwrap();
                    check_against_oracle(&got, &exact, k, metric, &format!("{metric} {d} {n} {k}"));
                    assert!(got.len() <= n);
                }
            }
        }
    }
}

#[test]
fn all_that_tie_with_the_last_are_returned() {
    for (metric, _) in METRICS {
        let index = ExactIndex::new(3, metric, Isa::best()).unwrap();
        for _ in 0..500 {
            index.insert(&[1.0, 2.0, 3.0]).unwrap();
            index.insert(&[-1.0, 2.0, 0.0]).unwrap();
        }
        let found = index.search(&[1.0, 2.0, 3.0], 10).unwrap();
        assert_eq!(found.len(), 500, "{metric}");
        assert!(found.iter().all(|neighbor| neighbor.row.get() % 2 == 0));
    }
}

#[test]
fn sizes_at_the_edge_of_f32_rank_as_in_f64() {
    let d = 24;
    for scale in [1e-44_f32, 1e-38, 1e-30, 1e-10, 1.0, 1e10, 1e30, 1e37] {
        let rows: Vec<f32> = clustered(300, d, 3)
            .iter()
            .map(|value| value * scale)
            .collect();
        let rows: Vec<f32> = rows
            .chunks_exact(d)
            .filter(|row| row.iter().any(|&v| v != 0.0))
            .flatten()
            .copied()
            .collect();
        let index = index_of(Metric::Cosine, Isa::best(), &rows, d);
        for query_scale in [1e-38_f32, 1.0, 1e37] {
            let query: Vec<f32> = Rng::new(4)
                .vector(d)
                .iter()
                .map(|v| v * query_scale)
                .collect();
            let exact = scores(Measure::Cosine, &rows, d, &query);
            let got = index.search(&query, 10).unwrap();
            check_against_oracle(&got, &exact, 10, Metric::Cosine, &format!("{scale:e}"));
        }
        // What went in comes out.
        for (at, row) in rows.chunks_exact(d).enumerate() {
            let kept = index.vector(Row::new(at as u32)).unwrap();
            let largest = row.iter().fold(0.0_f32, |max, value| max.max(value.abs()));
            for (kept, value) in kept.iter().zip(row) {
                assert!((kept - value).abs() <= largest * 2.0_f32.powi(-126).max(f32::EPSILON));
            }
        }
    }
}

#[test]
fn mixed_lengths_do_not_hide_each_other() {
    // One row a million times longer than the rest: the dot metric's error bound must follow it.
    let d = 64;
    let mut rows = clustered(400, d, 8);
    rows[5 * d..6 * d]
        .iter_mut()
        .for_each(|value| *value *= 1e6);
    for (metric, measure) in METRICS {
        let index = index_of(metric, Isa::best(), &rows, d);
        let query = Rng::new(12).vector(d);
        let exact = scores(measure, &rows, d, &query);
        let got = index.search(&query, 10).unwrap();
        check_against_oracle(&got, &exact, 10, metric, "mixed");
    }
}

#[test]
fn bad_vectors_are_refused_and_change_nothing() {
    let new = |d, metric| ExactIndex::new(d, metric, Isa::best());
    assert_eq!(
        new(0, Metric::Dot).unwrap_err(),
        VectorError::DimensionRange { got: 0 }
    );
    let over = DIMENSION_MAX + 1;
    assert_eq!(
        new(over, Metric::Dot).unwrap_err(),
        VectorError::DimensionRange { got: over }
    );
    new(DIMENSION_MAX, Metric::L2).unwrap();
    for (metric, _) in METRICS {
        let index = new(3, metric).unwrap();
        let mut bad = vec![
            (
                vec![1.0, 2.0],
                VectorError::Dimension {
                    got: 2,
                    expected: 3,
                },
            ),
            (
                vec![1.0; 4],
                VectorError::Dimension {
                    got: 4,
                    expected: 3,
                },
            ),
            (
                vec![],
                VectorError::Dimension {
                    got: 0,
                    expected: 3,
                },
            ),
            (
                vec![0.0, f32::INFINITY, 1.0],
                VectorError::NotFinite {
                    index: 1,
                    value: f32::INFINITY,
                },
            ),
        ];
        if metric == Metric::Cosine {
            bad.push((vec![0.0, -0.0, 0.0], VectorError::ZeroVector));
        }
        for (vector, want) in bad {
            assert_eq!(index.check(&vector).map(drop), Err(want.clone()));
            assert_eq!(index.insert(&vector), Err(want.clone()));
            assert_eq!(index.search(&vector, 1), Err(want));
        }
        let nan = index.insert(&[0.0, 1.0, f32::NAN]);
        assert!(matches!(nan, Err(VectorError::NotFinite { index: 2, value }) if value.is_nan()));
        if metric != Metric::Cosine {
            let long = index.insert(&[1e30, 0.0, 0.0]);
            assert!(matches!(long, Err(VectorError::TooLong { .. })), "{long:?}");
        }
        assert_eq!(index.search(&[1.0, 0.0, 0.0], 0), Err(VectorError::ZeroK));
        assert_eq!(index.len(), 0);
        assert_eq!(index.search(&[1.0, 0.0, 0.0], 5), Ok(vec![]));
        index.insert(&[1.0, 0.0, 0.0]).unwrap();
        // One bad query of a batch fails alone.
        let answers = index.search_many(&[
            Query {
                vector: &[1.0, 0.0, 0.0],
                k: 1,
            },
            Query {
                vector: &[1.0],
                k: 1,
            },
            Query {
                vector: &[0.0, 1.0, 0.0],
                k: 1,
            },
        ]);
        assert_eq!(
            answers.iter().map(Result::is_ok).collect::<Vec<_>>(),
            [true, false, true]
        );
        assert_eq!(answers[2].as_ref().unwrap()[0].row, Row::new(0));
        assert_eq!(index.vector(Row::new(1)), None);
        assert_eq!(index.stats().vectors, 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any vectors, many equal or nearly so: never a wrong neighbour, and a batch is one by one.
    #[test]
    fn equals_the_oracle_on_anything(
        seed in 0_u64..10_000, n in 1_usize..300, d in 1_usize..40, k in 1_usize..30,
        copies in 1_usize..4, grain in prop::sample::select(vec![0.0_f32, 0.25, 1.0]),
    ) {
        let mut rows = Rng::new(seed).vector(n * d);
        if grain > 0.0 {
            // Coarse values make ties.
            for value in &mut rows {
                *value = (*value / grain).round() * grain;
            }
        }
        let rows: Vec<f32> = rows
            .chunks_exact(d)
            .filter(|row| row.iter().any(|&value| value != 0.0))
            .flat_map(|row| row.repeat(copies))
            .collect();
        prop_assume!(!rows.is_empty());
        let query = Rng::new(seed + 20_000).vector(d);
        for (metric, measure) in METRICS {
            let index = index_of(metric, Isa::best(), &rows, d);
            let exact = scores(measure, &rows, d, &query);
            let got = index.search(&query, k).unwrap();
            check_against_oracle(&got, &exact, k, metric, "random");
            let queries = vec![Query { vector: &query, k }; 5];
            for together in index.search_many(&queries) {
                prop_assert_eq!(bits(&together.unwrap()), bits(&got));
            }
        }
    }
}

#[test]
fn what_is_prepared_is_found_once_it_is_inserted_and_not_before() {
    for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
        let index = ExactIndex::new(3, metric, Isa::best()).unwrap();
        let vectors = [[1.0, 2.0, 3.0], [0.5, 0.0, 1e-25], [1e-20, 0.0, 0.0]];
        index.reserve(1_000).unwrap();
        let prepared = vectors.map(|vector| {
            let checked = index.check(&vector).unwrap();
            index.prepare(&vector, checked).unwrap()
        });
        assert!(index.is_empty());
        assert_eq!(index.search(&vectors[0], 3), Ok(Vec::new()));
        assert_eq!(index.vector(Row::new(0)), None);
        let [first, dropped, last] = prepared;
        drop(dropped);
        let rows = [last, first].map(|it| index.insert_prepared(it).unwrap().get());
        assert_eq!((rows, index.len()), ([2, 0], 2));
        let same = index_of(metric, Isa::best(), &vectors.concat(), 3);
        same.remove(Row::new(1));
        let found = index.search(&[1.0, 1.0, 1.0], 3).unwrap();
        assert_eq!(found, same.search(&[1.0, 1.0, 1.0], 3).unwrap());
        assert!(found.iter().all(|found| found.row != Row::new(1)));
        assert_eq!(
            index.insert(&vectors[1]).unwrap(),
            Row::new(1),
            "given to another"
        );

        let other = ExactIndex::new(3, metric, Isa::best()).unwrap();
        let checked = other.check(&vectors[0]).unwrap();
        let foreign = other.prepare(&vectors[0], checked).unwrap();
        assert_eq!(index.insert_prepared(foreign), Err(VectorError::OtherIndex));
        assert_eq!((index.len(), other.len()), (3, 0));
    }
}
