//! Vectors that are replaced: alone, and while others search, link and repair.
#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a panic is how a test reports"
)]

use cortica_index::{
    Codes, ExactIndex, HnswIndex, HnswOptions, Metric, Nearest, Neighbor, Row, VectorIndex,
};
use cortica_simd::Isa;
use cortica_testkit::{Measure, Rng, scores};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;

const VALUES: usize = 64;

fn graph(codes: Codes) -> HnswIndex {
    let options = HnswOptions {
        codes,
        ..HnswOptions::default()
    };
    HnswIndex::new(VALUES, Metric::Cosine, Isa::best(), options).unwrap()
}

/// The `version`-th vector of an id: near the others of it, far from those of other ids.
fn vector(id: usize, version: usize) -> Vec<f32> {
    let (mut centre, mut noise) = (Rng::new(id as u64), Rng::new((id + 1_000 * version) as u64));
    (0..VALUES)
        .map(|_| centre.gaussian() + 0.1 * noise.gaussian())
        .collect()
}

#[test]
fn the_new_one_is_found_and_the_old_one_is_not() {
    let exact = ExactIndex::new(VALUES, Metric::Cosine, Isa::best()).unwrap();
    let graph = graph(Codes::default());
    for index in [&exact as &dyn VectorIndex, &graph] {
        let insert = |id: usize| index.insert(&vector(id, 0)).unwrap();
        let rows: Vec<Row> = (0..200).map(insert).collect();
        graph.link(100);
        for id in [7, 150] {
            let new = index.upsert(rows[id], &vector(id, 1)).unwrap();
            assert!(new.replaced && new.row != rows[id]);
            assert!(!index.holds(rows[id], &vector(id, 0)));
            assert!(index.holds(new.row, &vector(id, 1)));
            assert_eq!(index.search(&vector(id, 0), 1).unwrap()[0].row, new.row);
            assert_eq!(index.len(), 200);
            // What was replaced is there no more: the same again adds one.
            let added = index.upsert(rows[id], &vector(id, 2)).unwrap();
            assert!(!added.replaced && index.remove(added.row));
        }
        // Also where it happens to get the very row that was named.
        let free = index.insert(&vector(8, 1)).unwrap().get() + 1;
        for row in free..free + 3 {
            let added = index
                .upsert(Row::new(row), &vector(9, row as usize))
                .unwrap();
            assert!(!added.replaced && index.holds(added.row, &vector(9, row as usize)));
            assert!(index.remove(added.row));
        }
        assert!(index.remove(Row::new(free - 1)));
        let refused = index.upsert(rows[0], &[1.0]);
        assert!(refused.is_err() && index.holds(rows[0], &vector(0, 0)));
        assert_eq!(index.len(), 200);
    }
    let near = graph.nearest(&vector(7, 0), Nearest::default()).unwrap();
    assert!(near[0].row != Row::new(7) && graph.holds(near[0].row, &vector(7, 1)));
}

/// When a vector was there: from before it was put in until it was surely gone.
struct Lived {
    id: usize,
    version: usize,
    from: u64,
    until: u64,
}

/// What a search for an id has found, and when it began and ended.
struct Found {
    id: usize,
    from: u64,
    until: u64,
    hits: Vec<Neighbor>,
    exact: bool,
}

/// Two threads replace vectors, two search, one links and repairs. Whatever was found was there at
/// some time during the search and has the score of its definition, and of every id there is always
/// a vector.
#[test]
fn beside_searches_one_of_both_is_found_with_its_score() {
    const IDS: usize = 300;
    /// Searches of each kind that are made before the writers end, however long that takes.
    const SEARCHES: usize = 60;
    for codes in [Codes::F32, Codes::I8, Codes::Signs, Codes::Blocks] {
        let index = graph(codes);
        let clock = AtomicU64::new(1);
        let tick = || clock.fetch_add(1, Ordering::SeqCst);
        let lived: Mutex<HashMap<Row, Vec<Lived>>> = Mutex::default();
        let rows: Vec<Row> = (0..IDS)
            .map(|id| index.insert(&vector(id, 0)).unwrap())
            .collect();
        index.link(usize::MAX);
        let done = AtomicBool::new(false);
        let searches = [(); 2].map(|()| AtomicUsize::new(0));
        let found: Vec<Found> = thread::scope(|scope| {
            let (index, lived, rows, done, tick) = (&index, &lived, &rows, &done, &tick);
            let searches = &searches;
            let enough = || {
                searches
                    .iter()
                    .all(|made| made.load(Ordering::Relaxed) >= SEARCHES)
            };
            let writers = [0, 1].map(|writer| {
                scope.spawn(move || {
                    let mut now: Vec<(Row, u64)> = rows.iter().map(|&row| (row, 0)).collect();
                    let note = |id, version, (row, from), until| {
                        let one = Lived {
                            id,
                            version,
                            from,
                            until,
                        };
                        lived.lock().unwrap().entry(row).or_default().push(one);
                    };
                    let mut last = 0;
                    while last < 3 || !enough() {
                        last += 1;
                        let version = last;
                        for id in (writer..IDS).step_by(2) {
                            let from = tick();
                            let new = index.upsert(now[id].0, &vector(id, version)).unwrap();
                            assert!(new.replaced);
                            note(id, version - 1, now[id], tick());
                            now[id] = (new.row, from);
                        }
                    }
                    for id in (writer..IDS).step_by(2) {
                        note(id, last, now[id], u64::MAX);
                    }
                })
            });
            let readers = [0, 1].map(|reader| {
                scope.spawn(move || {
                    let mut found = Vec::new();
                    for at in (reader..).step_by(2) {
                        let (id, exact, from) = (at / 2 % IDS, at % 5 == 0, tick());
                        let query = vector(id, 0);
                        let hits = if exact {
                            index.search(&query, 3)
                        } else {
                            let k = 3;
                            index.nearest(
                                &query,
                                Nearest {
                                    k,
                                    ..Nearest::default()
                                },
                            )
                        };
                        searches[usize::from(exact)].fetch_add(1, Ordering::Relaxed);
                        found.push(Found {
                            id,
                            from,
                            until: tick(),
                            hits: hits.unwrap(),
                            exact,
                        });
                        if done.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    found
                })
            });
            scope.spawn(move || {
                while !done.load(Ordering::Relaxed) {
                    index.link(20);
                    index.repair();
                }
            });
            for writer in writers {
                writer.join().unwrap();
            }
            done.store(true, Ordering::Relaxed);
            readers
                .into_iter()
                .flat_map(|reader| reader.join().unwrap())
                .collect()
        });
        let lived = lived.into_inner().unwrap();
        let (mut walks, mut missed) = (0, 0);
        for one in &found {
            let mut ids = Vec::new();
            for hit in &one.hits {
                // A row may have been given to another vector while the search went on.
                let was = lived[&hit.row].iter().find(|was| {
                    let measure = Measure::Cosine;
                    let its = vector(was.id, was.version);
                    let score = scores(measure, &its, VALUES, &vector(one.id, 0))[0];
                    let meanwhile = was.from <= one.until && one.from <= was.until;
                    meanwhile && (f64::from(hit.score) - score).abs() < 1e-5
                });
                ids.extend(was.map(|was| was.id));
            }
            assert_eq!(
                ids.len(),
                one.hits.len(),
                "{codes:?}: found what was not there"
            );
            let is_there = ids.contains(&one.id);
            assert!(
                is_there || !one.exact,
                "{codes:?}: neither of id {}",
                one.id
            );
            walks += usize::from(!one.exact);
            missed += usize::from(!is_there);
        }
        assert!(
            walks >= SEARCHES && missed * 50 <= walks,
            "{codes:?}: {missed} of {walks}"
        );
        assert_eq!(index.len(), IDS);
    }
}
