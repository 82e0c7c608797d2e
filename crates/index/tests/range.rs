//! Everything within a threshold, against brute force: nothing missed and nothing more by the
//! exact search, most of it by the graph.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_index::{
    Codes, ExactIndex, Filter, HnswIndex, HnswOptions, Metric, Neighbor, Row, RowSet, VectorError,
    VectorIndex, Within,
};
use cortica_simd::Isa;
use cortica_testkit::{Measure, Rng, bundle, clustered, scores};
use proptest::prelude::*;

const METRICS: [(Metric, Measure); 3] = [
    (Metric::Cosine, Measure::Cosine),
    (Metric::Dot, Measure::Dot),
    (Metric::L2, Measure::L2),
];

fn bits(found: &[Neighbor]) -> Vec<(u32, u32)> {
    found
        .iter()
        .map(|neighbor| (neighbor.row.get(), neighbor.score.to_bits()))
        .collect()
}

/// All rows with their canonical scores: a search for as many as there are selects nothing.
fn everything(index: &dyn VectorIndex, query: &[f32]) -> Vec<Neighbor> {
    index.search(query, index.len().max(1)).unwrap()
}

/// At scores that occur, one step above and below them, and where nothing or everything is within.
#[track_caller]
fn check_thresholds(index: &dyn VectorIndex, query: &[f32], step: usize, note: &str) {
    let all = everything(index, query);
    assert_eq!(all.len(), index.len());
    let occurring = all.iter().step_by(step).map(|neighbor| neighbor.score);
    let near = occurring.flat_map(|score| [score.next_down(), score, score.next_up()]);
    let edges = [f32::NEG_INFINITY, f32::MIN, -1.0, -0.0, 0.0, 1.0, 1e-38];
    for threshold in near.chain(edges).chain([f32::MAX, f32::INFINITY]) {
        let mut want = all.clone();
        want.retain(|neighbor| neighbor.score >= threshold);
        let found = index.search_within(query, threshold).unwrap();
        assert_eq!(bits(&found), bits(&want), "{note}: {threshold:e}");
    }
}

fn index_of(metric: Metric, isa: Isa, rows: &[f32], d: usize) -> ExactIndex {
    let index = ExactIndex::new(d, metric, isa).unwrap();
    for row in rows.chunks_exact(d) {
        index.insert(row).unwrap();
    }
    index
}

#[test]
fn real_vectors_on_every_instruction_set_and_metric() {
    let data = bundle();
    let d = data.dimension;
    for isa in Isa::available() {
        for (metric, _) in METRICS {
            let index = index_of(metric, isa, &data.rows[..1_500 * d], d);
            for query in (0..data.query_count()).step_by(29) {
                check_thresholds(&index, data.query(query), 83, &format!("{isa} {metric}"));
            }
            // A vector that is there: scores of 1, and of what f32 makes of it.
            check_thresholds(&index, data.row(7), 211, &format!("{isa} {metric}, itself"));
        }
    }
}

/// What is within a threshold by f64 with some room is found, what is not by as much is not.
#[test]
fn real_vectors_against_f64() {
    let data = bundle();
    let d = data.dimension;
    for (metric, measure) in METRICS {
        let index = index_of(metric, Isa::best(), &data.rows, d);
        for query in (0..data.query_count()).step_by(17) {
            let query = data.query(query);
            let exact = scores(measure, &data.rows, d, query).into_iter();
            // The oracle's L2 is the negated squared distance.
            let exact: Vec<f64> = match metric {
                Metric::L2 => exact.map(|score| 1.0 / (1.0 + (-score).sqrt())).collect(),
                _ => exact.collect(),
            };
            let mut sorted = exact.clone();
            sorted.sort_by(|a, b| b.total_cmp(a));
            for rank in [0, 9, 99, 2_000] {
                let (threshold, room) = (sorted[rank], 1e-5 * sorted[0].abs().max(0.1));
                let found = index.search_within(query, threshold as f32).unwrap();
                let mut is_found = vec![false; exact.len()];
                for neighbor in &found {
                    is_found[neighbor.row.get() as usize] = true;
                }
                for (row, (&exact, found)) in exact.iter().zip(is_found).enumerate() {
                    assert!(found || exact < threshold + room, "{metric}: {row} missed");
                    assert!(!found || exact > threshold - room, "{metric}: {row} found");
                }
            }
        }
    }
}

#[test]
fn lengths_at_the_edge_of_f32_and_mixed_ones() {
    let d = 24;
    for scale in [1e-38_f32, 1e-30, 1e-10, 1e10, 1e30, 1e37] {
        let rows: Vec<f32> = clustered(300, d, 3).iter().map(|v| v * scale).collect();
        let index = index_of(Metric::Cosine, Isa::best(), &rows, d);
        for of_query in [1e-38_f32, 1.0, 1e37] {
            let query: Vec<f32> = Rng::new(4).vector(d).iter().map(|v| v * of_query).collect();
            check_thresholds(&index, &query, 7, &format!("{scale:e} {of_query:e}"));
        }
    }
    for scale in [1e-30_f32, 1e-20, 1e-3, 1e6, 1e15] {
        let mut rows: Vec<f32> = clustered(300, d, 3).iter().map(|v| v * scale).collect();
        rows[5 * d..6 * d].iter_mut().for_each(|v| *v *= 1e3);
        for (metric, _) in METRICS {
            let index = index_of(metric, Isa::best(), &rows, d);
            let query: Vec<f32> = Rng::new(4).vector(d).iter().map(|v| v * scale).collect();
            check_thresholds(&index, &query, 7, &format!("{metric} {scale:e}"));
        }
    }
}

#[test]
fn the_graph_answers_exactly_as_the_scan_does_whatever_its_state() {
    let data = bundle();
    let index = HnswIndex::new(768, Metric::Cosine, Isa::best(), HnswOptions::default()).unwrap();
    for row in 0..400 {
        index.insert(data.row(row)).unwrap();
    }
    check_thresholds(&index, data.query(0), 31, "all wait");
    index.link(300);
    for row in (0..400).step_by(3) {
        index.remove(Row::new(row));
    }
    check_thresholds(&index, data.query(1), 31, "a third removed");
    index.repair();
    check_thresholds(&index, data.query(1), 31, "repaired");
}

#[test]
fn what_cannot_be_answered_is_refused_and_nothing_is_an_answer() {
    for (metric, _) in METRICS {
        let graph = HnswIndex::new(2, metric, Isa::best(), HnswOptions::default()).unwrap();
        let exact = ExactIndex::new(2, metric, Isa::best()).unwrap();
        let query = [1.0, 2.0];
        let how = |threshold| Within {
            threshold,
            ..Within::default()
        };
        for index in [&graph as &dyn VectorIndex, &exact] {
            assert_eq!(index.search_within(&query, f32::NEG_INFINITY), Ok(vec![]));
            let nan = index.search_within(&query, f32::NAN);
            assert_eq!(nan, Err(VectorError::NanThreshold));
            let bad = index.search_within(&[1.0], 0.5);
            assert!(matches!(bad, Err(VectorError::Dimension { .. })), "{bad:?}");
            index.insert(&query).unwrap();
            assert_eq!(index.search_within(&query, f32::INFINITY), Ok(vec![]));
        }
        assert_eq!(graph.nearest_within(&query, how(1e30)), Ok(vec![]));
        let nan = graph.nearest_within(&query, how(f32::NAN));
        assert_eq!(nan, Err(VectorError::NanThreshold));
        assert!(graph.nearest_within(&[f32::NAN, 0.0], how(0.0)).is_err());
    }
}

/// Each format and metric, without a filter and with one in five let through: 0.98 of what lies
/// within the score of the 5th to the 300th, and nothing else.
#[test]
fn by_the_graph_most_of_what_lies_within_is_found() {
    let data = bundle();
    let rows = 4_000;
    let lets: RowSet = (0..rows).step_by(5).map(Row::new).collect();
    for codes in [Codes::F32, Codes::I8, Codes::Signs, Codes::Blocks] {
        for (metric, _) in METRICS {
            let options = HnswOptions {
                build_width: 128,
                codes,
                ..HnswOptions::default()
            };
            let index = HnswIndex::new(768, metric, Isa::best(), options).unwrap();
            for row in 0..rows {
                index.insert(data.row(row as usize)).unwrap();
            }
            index.link_all(2);
            for filter in [Filter::All, Filter::Rows(&lets)] {
                let (mut right, mut all) = (0_u32, 0_u32);
                for query in (0..data.query_count()).step_by(7) {
                    let query = data.query(query);
                    let mut exact = everything(&index, query);
                    if let Filter::Rows(lets) = filter {
                        exact.retain(|neighbor| lets.contains(neighbor.row));
                    }
                    for rank in [5, 40, 300] {
                        let threshold = exact[rank].score;
                        let want = exact.partition_point(|hit| hit.score >= threshold);
                        let how = Within {
                            threshold,
                            filter,
                            ..Within::default()
                        };
                        let found = index.nearest_within(query, how).unwrap();
                        // Everything found is right, with its score, so counting is enough.
                        let mut truth = exact[..want].iter();
                        assert!(found.iter().all(|hit| truth.any(|other| other == hit)));
                        right += found.len() as u32;
                        all += want as u32;
                    }
                }
                let recall = f64::from(right) / f64::from(all);
                assert!(recall >= 0.98, "{codes:?} {metric} {filter:?}: {recall}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any vectors, many equal or nearly so, any threshold: all within it and nothing else.
    #[test]
    fn equals_brute_force_on_anything(
        seed in 0_u64..10_000, n in 1_usize..300, d in 1_usize..40, step in 1_usize..60,
        copies in 1_usize..4, grain in prop::sample::select(vec![0.0_f32, 0.25, 1.0]),
        removed in 1_u32..9,
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
        for isa in Isa::available() {
            for (metric, _) in METRICS {
                let index = index_of(metric, isa, &rows, d);
                for row in (removed..(rows.len() / d) as u32).step_by(5) {
                    index.remove(Row::new(row));
                }
                check_thresholds(&index, &query, step, &format!("{isa} {metric}"));
                check_thresholds(&index, &rows[..d], step, &format!("{isa} {metric}, itself"));
            }
        }
    }
}
