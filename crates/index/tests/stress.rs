//! Ten threads insert, link, search one by one, together, filtered and within a threshold, replace, remove,
//! repair, save and load at once.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

mod common;

use common::{CODES, empty, recall};
use cortica_index::{
    Filter, HnswIndex, Nearest, Neighbor, Query, Row, RowSet, SavedKey, VectorIndex, Within,
};
use cortica_testkit::bundle;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::iter::zip;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;

/// Vectors that come, of which one in five goes again and another is replaced by one of as many others, and
/// those that are there before and stay.
const COMING: usize = 1_600;
const STAYING: usize = 400;
const QUERIES: usize = 50;

/// What a search may say and has to, whatever goes on beside it.
struct Truth {
    /// For each query, the scores of all vectors that are ever there, bit by bit.
    scores: Vec<HashSet<u32>>,
    /// For each query, those that stay, nearest first.
    staying: Vec<Vec<Neighbor>>,
}

impl Truth {
    /// Of an index that holds those that stay.
    fn new(index: &HnswIndex) -> Truth {
        let all = empty(index.options().codes);
        (0..2 * COMING + STAYING).for_each(|number| {
            all.insert(bundle().row(number)).unwrap();
        });
        let bits = |query: usize| {
            let found = all.search(bundle().query(query), all.len()).unwrap();
            found.iter().map(|hit| hit.score.to_bits()).collect()
        };
        let staying = |query| index.search(bundle().query(query), STAYING).unwrap();
        Truth {
            scores: (0..QUERIES).map(bits).collect(),
            staying: (0..QUERIES).map(staying).collect(),
        }
    }

    /// Whether it finds what is at least as near as the nearest of those that stay.
    fn check(&self, query: usize, found: &[Neighbor]) -> bool {
        assert!(found.len() >= 10, "there are always more than ten");
        self.check_scores(query, found);
        found[0].score >= self.staying[query][0].score
    }

    fn check_scores(&self, query: usize, found: &[Neighbor]) {
        assert!(found.is_sorted_by(|a, b| a.score >= b.score));
        let rows: HashSet<Row> = found.iter().map(|hit| hit.row).collect();
        assert_eq!(rows.len(), found.len(), "a row twice");
        for hit in found {
            let is_of_one = self.scores[query].contains(&hit.score.to_bits());
            assert!(is_of_one, "no vector has this score: {hit:?}");
        }
    }

    /// Filtered searches, of those that stay and of half of all rows: whether they find what they have to.
    fn check_filtered(&self, index: &HnswIndex, query: usize, staying: &RowSet) -> bool {
        let search = |filter| {
            let how = Nearest {
                filter,
                ..Nearest::default()
            };
            index.nearest(bundle().query(query), how).unwrap()
        };
        let truth = &self.staying[query];
        // Nothing of those that stay changes, so what is found is in the truth, bit for bit.
        let stays = |row| staying.contains(row);
        let mut is_right = true;
        for filter in [Filter::Rows(staying), Filter::Predicate(&stays)] {
            let found = search(filter);
            let mut rest = truth.iter();
            assert!(
                found.iter().all(|hit| rest.any(|other| other == hit)),
                "{found:?}"
            );
            let right = found.iter().filter(|hit| truth[..10].contains(hit)).count();
            assert!(found.len() >= 10, "{found:?}");
            is_right &= right >= 8;
        }
        let lets = |row: Row| row.get().is_multiple_of(2);
        let found = search(Filter::Predicate(&lets));
        self.check_scores(query, &found);
        assert!(
            found.len() >= 10 && found.iter().all(|hit| lets(hit.row)),
            "{found:?}"
        );
        let nearest = truth.iter().find(|hit| lets(hit.row)).unwrap();
        is_right && found[0].score >= nearest.score
    }

    /// What is as near as the twentieth of those that stay, by the graph and by comparing all: whether the
    /// graph finds nearly all of those.
    fn check_within(&self, index: &HnswIndex, query: usize) -> bool {
        let staying = &self.staying[query][..20];
        let threshold = staying[19].score;
        let of_staying = |found: Vec<Neighbor>| {
            self.check_scores(query, &found);
            assert!(found.iter().all(|hit| hit.score >= threshold), "{found:?}");
            staying.iter().filter(|hit| found.contains(hit)).count()
        };
        let vector = bundle().query(query);
        assert_eq!(
            of_staying(index.search_within(vector, threshold).unwrap()),
            20
        );
        let how = Within {
            threshold,
            ..Within::default()
        };
        of_staying(index.nearest_within(vector, how).unwrap()) >= 19
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
    saved: AtomicUsize,
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
            let rows: RowSet = staying.iter().copied().collect();
            scope.spawn(move || {
                for query in (0..).map(|at| at % QUERIES) {
                    done.searched(truth.check_filtered(index, query, &rows));
                    done.searched(truth.check_within(index, query));
                    if done.all.load(Relaxed) {
                        break;
                    }
                }
            });
            scope.spawn(move || {
                while !done.all.load(Relaxed) {
                    save_and_load(index);
                    done.saved.fetch_add(1, Relaxed);
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
        let [searches, right] = [&done.searches, &done.right].map(|n| n.load(Relaxed));
        println!("{codes:?}: {done:?}");
        let each = [&done.searches, &done.linked, &done.saved, &done.repaired];
        assert!(each.iter().all(|n| n.load(Relaxed) > 0), "{done:?}");
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

/// Saves the graph as it is just now, and loads it beside the vectors that were in it then.
fn save_and_load(index: &HnswIndex) {
    let again = empty(index.options().codes);
    let rows = RefCell::new(HashMap::new());
    let saved = index.save(7, |row| {
        let vector = index.vector(row)?; // It may be removed just now.
        let id = row.get().into();
        let check = vector[0].to_bits();
        rows.borrow_mut()
            .insert(id, (again.insert(&vector).unwrap(), check));
        Some(SavedKey { id, check })
    });
    let rows = rows.into_inner();
    let row_of = |key: SavedKey| {
        let (row, check) = rows[&key.id];
        assert_eq!(key.check, check);
        Some(row)
    };
    let loaded = again.load(&saved, row_of).unwrap();
    let stats = again.graph_stats();
    // Of those that were asked for, some may have been removed before they were saved.
    assert!(loaded.linked >= STAYING, "{loaded:?}");
    assert_eq!(
        (stats.linked, stats.reachable),
        (loaded.linked, loaded.linked)
    );
    assert_eq!(
        (stats.links_to_removed, stats.waiting),
        (0, rows.len() - loaded.linked)
    );
    let found = recall(&again);
    assert!(found >= 0.95, "{:?}: {found}", index.options().codes);
}

/// A quarter of those that come; what of them is still there. Each is found as soon as it is inserted,
/// and not any more as soon as it is removed or replaced.
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
        } else if number % 5 == 1 {
            let other = number + COMING + STAYING;
            let new = index.upsert(row, bundle().row(other)).unwrap();
            assert!(new.replaced && index.holds(new.row, bundle().row(other)));
            let is_there = |hit: &Neighbor| hit.row == row && hit.score > 0.999;
            assert!(!nearest().iter().any(is_there), "{number} was replaced");
            kept.push((new.row, other));
        } else {
            kept.push((row, number));
        }
    }
    kept
}
