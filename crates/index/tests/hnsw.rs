//! The graph against brute force on real vectors: what it finds, also after removals, under filters
//! and while it changes.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica_index::{
    Codes, Filter, HnswIndex, HnswOptions, Metric, Nearest, Query, Row, RowSet, VectorIndex,
};
use cortica_simd::Isa;
use cortica_testkit::{Rng, bundle};
use std::collections::HashSet;

const CODES: [Codes; 4] = [Codes::F32, Codes::I8, Codes::Signs, Codes::Blocks];

fn empty(dimension: usize, metric: Metric, codes: Codes) -> HnswIndex {
    let options = HnswOptions {
        build_width: 128,
        codes,
        ..HnswOptions::default()
    };
    HnswIndex::new(dimension, metric, Isa::best(), options).unwrap()
}

/// The rows of `vectors` in a graph.
fn graph(vectors: &[f32], dimension: usize, metric: Metric, codes: Codes) -> HnswIndex {
    let index = empty(dimension, metric, codes);
    for vector in vectors.chunks(dimension) {
        index.insert(vector).unwrap();
    }
    assert_eq!(index.link_all(2), vectors.len() / dimension);
    index
}

/// The first `count` bundled rows.
fn real(count: usize) -> &'static [f32] {
    &bundle().rows[..count * bundle().dimension]
}

fn queries(count: usize) -> impl Iterator<Item = &'static [f32]> {
    (0..count).map(|query| bundle().query(query))
}

/// How many of the exact answer, cut to those that `lets` lets through, a search finds.
fn recall<'q>(
    index: &HnswIndex,
    queries: impl Iterator<Item = &'q [f32]>,
    how: Nearest<'_>,
    lets: impl Fn(Row) -> bool,
) -> f64 {
    let (mut right, mut all) = (0, 0);
    for query in queries {
        let exact = index.search(query, index.len()).unwrap();
        let mut exact: Vec<_> = exact.into_iter().filter(|hit| lets(hit.row)).collect();
        if let Some(&kth) = exact.get(how.k - 1) {
            exact.retain(|hit| hit.score >= kth.score);
        }
        let found = index.nearest(query, how).unwrap();
        assert!(
            found.len() >= how.k.min(exact.len()),
            "{} found",
            found.len()
        );
        assert!(found.is_sorted_by(|a, b| (b.score, a.row) <= (a.score, b.row)));
        assert!(
            found.iter().all(|hit| lets(hit.row)),
            "something was let through"
        );
        let truth: HashSet<Row> = exact.iter().map(|hit| hit.row).collect();
        let hits = found.iter().filter(|hit| truth.contains(&hit.row)).count();
        right += hits.min(how.k);
        all += how.k.min(truth.len());
        // What is found has the score of the exact search.
        for hit in found.iter().filter(|hit| truth.contains(&hit.row)) {
            assert!(exact.contains(hit));
        }
    }
    f64::from(right as u32) / f64::from(all as u32)
}

#[track_caller]
fn sound(index: &HnswIndex, linked: usize) {
    let stats = index.graph_stats();
    assert_eq!(
        (stats.linked, stats.reachable),
        (linked, linked),
        "{stats:?}"
    );
    assert_eq!(
        (stats.waiting, stats.removed, stats.links_to_removed),
        (0, 0, 0)
    );
    assert!(stats.max_degree <= 32, "{stats:?}");
}

#[test]
fn every_format_and_metric_finds_real_neighbours() {
    for codes in CODES {
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            let index = graph(real(2_000), bundle().dimension, metric, codes);
            let found = recall(&index, queries(60), Nearest::default(), |_| true);
            assert!(found >= 0.95, "{codes:?} {metric}: {found}");
            index.repair();
            sound(&index, 2_000);
        }
    }
}

/// Vectors of real ones: cut to `dimension` values, or two of the list, half of it apart, joined.
fn reshaped(vectors: &[f32], dimension: usize) -> Vec<f32> {
    let rows: Vec<&[f32]> = vectors.chunks(bundle().dimension).collect();
    let half = rows.len() / 2;
    let whole = |at: usize| [rows[at], rows[(at + half) % rows.len()]].concat();
    (0..rows.len())
        .flat_map(|at| whole(at)[..dimension].to_vec())
        .collect()
}

/// As the index is by default, but for `codes`: queries that are not in it. Prints the figures of
/// docs/index.md; one thread makes the same graphs every time.
#[test]
fn other_dimensions_are_found_as_well() {
    for dimension in [100, 384, 1_536] {
        let vectors = reshaped(real(2_000), dimension);
        let queries = reshaped(&bundle().queries, dimension);
        for codes in CODES {
            let options = HnswOptions {
                codes,
                ..HnswOptions::default()
            };
            let index = HnswIndex::new(dimension, Metric::Cosine, Isa::best(), options).unwrap();
            for vector in vectors.chunks(dimension) {
                index.insert(vector).unwrap();
            }
            index.link_all(1);
            index.repair();
            let queries = queries.chunks(dimension).take(100);
            // A hundred bits tell little.
            let coarse = dimension == 100 && matches!(codes, Codes::Signs | Codes::Blocks);
            let widths: &[usize] = if coarse { &[64, 128, 256, 320] } else { &[64] };
            let mut found = 0.0;
            for &width in widths {
                let how = Nearest {
                    width,
                    ..Nearest::default()
                };
                found = recall(&index, queries.clone(), how, |_| true);
                println!("{dimension} values by {codes:?}, width {width}: {found:.3}");
            }
            assert!(found >= 0.95, "{dimension} values by {codes:?}: {found}");
            sound(&index, 2_000);
        }
    }
}

/// Drawn vectors of low rank, and copies.
#[test]
fn awkward_sets_are_found_too() {
    let mut rng = Rng::new(7);
    let mut normal = |count: usize| -> Vec<f32> { (0..count).map(|_| rng.gaussian()).collect() };
    let (bases, weights) = (normal(12 * 64), normal(2_000 * 12));
    let low_rank: Vec<f32> = weights
        .chunks(12)
        .flat_map(|weights| {
            let bases = &bases;
            (0..64).map(move |at| {
                (0..12)
                    .map(|b| weights[b] * bases[b * 64 + at])
                    .sum::<f32>()
            })
        })
        .collect();
    let copies: Vec<f32> = reshaped(real(500), 100).repeat(4);
    let sets = [
        ("rank 12", low_rank, 64),
        ("four copies of each", copies, 100),
    ];
    for (name, vectors, dimension) in sets {
        for codes in CODES {
            let index = graph(&vectors, dimension, Metric::Cosine, codes);
            index.repair();
            let queries = vectors.chunks(dimension).step_by(37);
            let found = recall(&index, queries, Nearest::default(), |_| true);
            assert!(found >= 0.95, "{name} by {codes:?}: {found}");
            sound(&index, vectors.len() / dimension);
        }
    }
}

#[test]
fn the_exact_search_is_that_of_the_scan_whatever_the_graph() {
    let exact = cortica_index::ExactIndex::new(768, Metric::Cosine, Isa::best()).unwrap();
    let index = empty(768, Metric::Cosine, Codes::I8);
    let mut number = 0;
    let compare = || {
        for query in queries(5) {
            assert_eq!(index.search(query, 10), exact.search(query, 10));
        }
    };
    for vector in real(300).chunks(768) {
        index.insert(vector).unwrap();
        exact.insert(vector).unwrap();
        number += 1;
        if number % 100 == 0 {
            compare();
            index.link(50);
            compare();
        }
    }
    for row in (0..300).step_by(3) {
        assert!(index.remove(Row::new(row)) && !index.remove(Row::new(row)));
        exact.remove(Row::new(row));
    }
    compare();
    assert_eq!((index.len(), index.vector(Row::new(0))), (200, None));
    index.repair();
    compare();
}

#[test]
fn what_waits_is_found_at_once_and_what_is_removed_is_not() {
    let index = empty(768, Metric::Cosine, Codes::Signs);
    for (number, vector) in real(200).chunks(768).enumerate() {
        let row = index.insert(vector).unwrap();
        let found = index
            .nearest(
                vector,
                Nearest {
                    k: 1,
                    ..Nearest::default()
                },
            )
            .unwrap();
        assert_eq!(found[0].row, row, "inserted just now");
        if number % 5 == 4 {
            index.link(3);
        }
    }
    assert_eq!(index.waiting(), 200 - 40 * 3);
    let removed: Vec<Row> = (0..200).step_by(2).map(Row::new).collect();
    assert!(removed.iter().all(|&row| index.remove(row)));
    for vector in real(200).chunks(768) {
        let found = index.nearest(vector, Nearest::default()).unwrap();
        assert!(found.len() >= 10 && found.iter().all(|hit| hit.row.get() % 2 == 1));
    }
    index.link(usize::MAX);
    index.repair();
    sound(&index, 100);
    // Rows are given out again, and found by what they hold now.
    for vector in real(400).chunks(768).skip(200) {
        let row = index.insert(vector).unwrap();
        index.link(1);
        let found = index
            .nearest(
                vector,
                Nearest {
                    k: 1,
                    ..Nearest::default()
                },
            )
            .unwrap();
        assert_eq!(found[0].row, row);
    }
}

#[test]
fn half_deleted_and_nearly_all_replaced_it_still_finds() {
    for codes in CODES {
        let index = graph(real(3_000), 768, Metric::Cosine, codes);
        let mut rows: Vec<Row> = (0..3_000).map(Row::new).collect();
        let mut rng = Rng::new(3);
        for at in (1..rows.len()).rev() {
            rows.swap(at, rng.below(at + 1));
        }
        let rest = rows.split_off(1_500);
        assert!(rows.iter().all(|&row| index.remove(row)));
        let found = recall(&index, queries(40), Nearest::default(), |_| true);
        assert!(found >= 0.95, "{codes:?} before repair: {found}");
        assert_eq!(index.repair(), 1_500);
        sound(&index, 1_500);
        let found = recall(&index, queries(40), Nearest::default(), |_| true);
        assert!(found >= 0.95, "{codes:?} half deleted: {found}");
        // Of what is left nine tenths go, a few at a time, and what was deleted comes back.
        let mut others = rows
            .iter()
            .map(|row| &real(3_000)[row.get() as usize * 768..][..768]);
        for gone in rest[..1_350].chunks(135) {
            for &row in gone {
                assert!(index.remove(row));
                index.insert(others.next().unwrap()).unwrap();
            }
            index.link_all(2);
            index.repair();
        }
        sound(&index, 1_500);
        let found = recall(&index, queries(40), Nearest::default(), |_| true);
        assert!(found >= 0.95, "{codes:?} replaced: {found}");
    }
}

#[test]
fn filters_find_what_they_let_through_at_every_selectivity() {
    for codes in CODES {
        let index = graph(real(4_000), 768, Metric::Cosine, codes);
        let mut rng = Rng::new(11);
        for per_mille in [500, 100, 10, 1] {
            let lets: RowSet = (0..4_000)
                .filter(|_| rng.below(1_000) < per_mille)
                .map(Row::new)
                .collect();
            let predicate = |row: Row| lets.contains(row);
            for filter in [Filter::Rows(&lets), Filter::Predicate(&predicate)] {
                let how = Nearest {
                    filter,
                    ..Nearest::default()
                };
                let found = recall(&index, queries(40), how, predicate);
                let what = format!("{codes:?}: {per_mille} of 1,000, {filter:?}");
                assert!(found >= 0.95, "{what}: {found}");
            }
        }
        let none = Nearest {
            filter: Filter::Predicate(&|_| false),
            ..Nearest::default()
        };
        assert_eq!(index.nearest(bundle().query(0), none), Ok(Vec::new()));
    }
}

/// Whoever finds a node that is being linked finds all of its links, and none is written over.
#[test]
fn two_threads_make_as_good_a_graph_as_one() {
    let found = [1, 2].map(|threads| {
        let index = empty(768, Metric::Cosine, Codes::F32);
        for vector in real(2_000).chunks(768) {
            index.insert(vector).unwrap();
        }
        assert_eq!(index.link_all(threads), 2_000);
        recall(&index, queries(60), Nearest::default(), |_| true)
    });
    assert!(found[1] >= found[0] - 0.01, "{found:?}");
}

#[test]
fn more_threads_than_vectors_link_them_all() {
    let index = empty(768, Metric::Cosine, Codes::I8);
    assert_eq!(index.link_all(usize::MAX), 0);
    for vector in real(10).chunks(768) {
        index.insert(vector).unwrap();
    }
    assert_eq!(index.link_all(usize::MAX), 10);
    sound(&index, 10);
}

/// Large batches are put in another order, and walks go on in turns: neither changes a bit of an
/// answer, whatever is let through, with some rows waiting, some removed, and on several threads.
#[test]
fn a_batch_gives_what_its_queries_give_one_by_one() {
    const VALUES: usize = 64;
    let cut = |vector: &[f32]| vector[..VALUES].to_vec();
    let stored: Vec<f32> = real(1_040).chunks(768).flat_map(cut).collect();
    let (linked, waiting) = stored.split_at(1_000 * VALUES);
    let others: Vec<f32> = queries(60).flat_map(cut).collect();
    for codes in CODES {
        let index = graph(linked, VALUES, Metric::Cosine, codes);
        for vector in waiting.chunks(VALUES) {
            index.insert(vector).unwrap();
        }
        for row in (0..1_000).step_by(9) {
            assert!(index.remove(Row::new(row)));
        }
        let vectors = stored.chunks(VALUES).chain(others.chunks(VALUES));
        let queries: Vec<_> = (0..2_500)
            .zip(vectors.cycle())
            .map(|(at, vector)| Query {
                vector,
                k: 1 + at % 13,
            })
            .collect();
        let odd = |row: Row| row.get() % 2 == 1;
        for filter in [Filter::All, Filter::Predicate(&odd)] {
            for width in [8, 40] {
                let how = |k| Nearest { k, width, filter };
                let want: Vec<_> = queries
                    .iter()
                    .map(|query| index.nearest(query.vector, how(query.k)))
                    .collect();
                assert_eq!(index.nearest_many(&queries, how(1)), want, "{codes:?}");
                std::thread::scope(|scope| {
                    let parts = queries.chunks(2_100).zip(want.chunks(2_100));
                    for (queries, want) in parts {
                        let index = &index;
                        scope.spawn(move || {
                            assert_eq!(index.nearest_many(queries, how(1)), want);
                        });
                    }
                });
            }
        }
    }
}

#[test]
fn a_bad_query_of_a_batch_fails_alone() {
    let index = graph(real(200), 768, Metric::Cosine, Codes::Signs);
    let how = Nearest {
        k: 7,
        width: 20,
        ..Nearest::default()
    };
    let bad = [
        Query {
            vector: &[1.0],
            k: 1,
        },
        Query {
            vector: bundle().query(0),
            k: 7,
        },
    ];
    let answers = index.nearest_many(&bad, how);
    assert!(
        answers[0].is_err() && answers[1].is_ok(),
        "a bad query fails alone"
    );
    assert!(
        index
            .nearest(bundle().query(0), Nearest { k: 0, ..how })
            .is_err()
    );
}
