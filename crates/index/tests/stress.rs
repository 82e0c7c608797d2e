//! Eight threads insert, link, search one by one and together, remove and repair at once.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod common;

use common::{CODES, empty, recall};
use cortica_index::{HnswIndex, Nearest, Neighbor, Query, Row, VectorIndex};
use cortica_testkit::bundle;
use std::collections::HashSet;
use std::iter::zip;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Vectors that come, of which one in five goes again, and those that are there before and stay.
const COMING: usize = 1_600;
const STAYING: usize = 400;
const QUERIES: usize = 50;

/// What a search may say and has to, whatever goes on beside it.
struct Truth {
    /// For each query, the scores of all vectors that are ever there, bit by bit.
    scores: Vec<HashSet<u32>>,
    /// For each query, the nearest of those that stay.
    nearest: Vec<Neighbor>,
}

impl Truth {
    /// Of an index that holds those that stay.
    fn new(index: &HnswIndex) -> Truth {
        let all = empty(index.options().codes);
        (0..COMING + STAYING).for_each(|number| {
            all.insert(bundle().row(number)).unwrap();
        });
        let bits = |query: usize| {
            let found = all.search(bundle().query(query), COMING + STAYING).unwrap();
            found.iter().map(|hit| hit.score.to_bits()).collect()
        };
        let nearest = |query| index.search(bundle().query(query), 1).unwrap()[0];
        Truth {
            scores: (0..QUERIES).map(bits).collect(),
            nearest: (0..QUERIES).map(nearest).collect(),
        }
    }

    /// Whether it finds what is at least as near as the nearest of those that stay.
    fn check(&self, query: usize, found: &[Neighbor]) -> bool {
        assert!(found.len() >= 10, "there are always more than ten");
        assert!(found.is_sorted_by(|a, b| a.score >= b.score));
        let rows: HashSet<Row> = found.iter().map(|hit| hit.row).collect();
        assert_eq!(rows.len(), found.len(), "a row twice");
        for hit in found {
            let is_of_one = self.scores[query].contains(&hit.score.to_bits());
            assert!(is_of_one, "no vector has this score: {hit:?}");
        }
        found[0].score >= self.nearest[query].score
    }
}

/// What the threads did beside each other.
#[derive(Debug, Default)]
struct Done {
    all: AtomicBool,
    searches: AtomicUsize,
    /// Searches that found what they had to.
    right: AtomicUsize,
    linked: AtomicUsize,
    repaired: AtomicUsize,
}

#[test]
fn everything_at_once_loses_nothing_and_invents_nothing() {
    for codes in CODES {
        let index = empty(codes);
        let staying: Vec<Row> = (COMING..COMING + STAYING)
            .map(|number| index.insert(bundle().row(number)).unwrap())
            .collect();
        index.link(usize::MAX);
        let (truth, done) = (Truth::new(&index), Done::default());
        let (index, truth, done) = (&index, &truth, &done);
        let kept: Vec<(Row, usize)> = thread::scope(|scope| {
            let writers: Vec<_> = (0..4)
                .map(|writer| scope.spawn(move || write(index, writer)))
                .collect();
            for reader in 0..2 {
                scope.spawn(move || {
                    for query in (reader..).map(|at| at % QUERIES) {
                        let found = index.nearest(bundle().query(query), Nearest::default());
                        done.searched(truth.check(query, &found.unwrap()));
                        if done.all.load(Relaxed) {
                            break;
                        }
                    }
                });
            }
            scope.spawn(move || {
                while !done.all.load(Relaxed) {
                    done.linked.fetch_add(index.link(20), Relaxed);
                    done.repaired.fetch_add(index.repair(), Relaxed);
                }
            });
            scope.spawn(move || {
                let query = |query| Query {
                    vector: bundle().query(query),
                    k: 10,
                };
                // So many that they are put in order first, and walk much later.
                let queries: Vec<_> = (0..2_000).map(|at| query(at % QUERIES)).collect();
                while !done.all.load(Relaxed) {
                    let found = index.nearest_many(&queries, Nearest::default());
                    for (at, found) in found.into_iter().enumerate() {
                        done.searched(truth.check(at % QUERIES, &found.unwrap()));
                    }
                }
            });
            let kept = writers.into_iter().map(|writer| writer.join().unwrap());
            let kept = kept.flatten().collect();
            done.all.store(true, Relaxed);
            kept
        });
        let [searches, right, linked, repaired] =
            [&done.searches, &done.right, &done.linked, &done.repaired].map(|n| n.load(Relaxed));
        println!("{codes:?}: {done:?}");
        assert!(searches > 0 && linked > 0 && repaired > 0, "{done:?}");
        assert!(right * 100 >= searches * 95, "{codes:?}: {done:?}");

        index.link_all(2);
        index.repair();
        let all = kept.len() + staying.len();
        let stats = index.graph_stats();
        assert_eq!(
            (stats.linked, stats.reachable, index.len()),
            (all, all, all)
        );
        assert_eq!(
            (stats.waiting, stats.removed, stats.links_to_removed),
            (0, 0, 0)
        );
        assert!(stats.max_degree <= 2 * index.options().degree);
        let found = recall(index);
        assert!(found >= 0.95, "{codes:?}: {found}");
        let staying = zip(staying, COMING..);
        for (row, number) in kept.into_iter().chain(staying) {
            let vector = bundle().row(number);
            assert!(index.holds(row, vector));
            let found = index.nearest(vector, Nearest::default()).unwrap();
            let is_found = found.iter().any(|hit| hit.row == row);
            assert!(is_found, "{codes:?}: vector {number}");
        }
    }
}

impl Done {
    fn searched(&self, right: bool) {
        self.searches.fetch_add(1, Relaxed);
        self.right.fetch_add(right.into(), Relaxed);
    }
}

/// A quarter of those that come; what of them is still there. Each is found as soon as it is inserted,
/// and not any more as soon as it is removed.
fn write(index: &HnswIndex, writer: usize) -> Vec<(Row, usize)> {
    let mut kept = Vec::new();
    for number in (writer..COMING).step_by(4) {
        let vector = bundle().row(number);
        let row = index.insert(vector).unwrap();
        if number % 3 == 0 {
            index.link(2);
        }
        let nearest = || index.nearest(vector, Nearest::default()).unwrap();
        let found = nearest();
        let own = found.iter().find(|hit| hit.row == row);
        assert!(
            own.is_some_and(|own| own.score > 0.999),
            "{number}: {found:?}"
        );
        if number % 5 == 0 {
            assert!(index.remove(row));
            // The row may be another one's by now.
            let is_there = |hit: &Neighbor| hit.row == row && hit.score > 0.999;
            assert!(!nearest().iter().any(is_there), "{number} was removed");
        } else {
            kept.push((row, number));
        }
    }
    kept
}
