//! What saving and loading ask may use the index, whoever waits beside it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use cortica_index::{HnswIndex, HnswOptions, Metric, Nearest, Row, SavedKey, VectorIndex};
use cortica_simd::Isa;
use cortica_testkit::clustered;
use std::cell::Cell;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

const DIMENSION: usize = 8;
const ROWS: u32 = 300;

fn index() -> Arc<HnswIndex> {
    let options = HnswOptions::default();
    let index = HnswIndex::new(DIMENSION, Metric::L2, Isa::best(), options).unwrap();
    for vector in clustered(ROWS as usize, DIMENSION, 3).chunks(DIMENSION) {
        index.insert(vector).unwrap();
    }
    Arc::new(index)
}

/// One waits to change the graph, one searches behind it, one waits to change the vectors behind that:
/// whoever has the graph and asks for a vector now waits for all of them, and they for it.
fn crowd(index: &Arc<HnswIndex>) {
    let enter = |what: fn(&HnswIndex)| {
        let index = index.clone();
        thread::spawn(move || what(&index));
        thread::sleep(Duration::from_millis(50)); // It is waiting by then, if it has to.
    };
    let insert = |index: &HnswIndex| {
        index.insert(&[1.0; DIMENSION]).unwrap();
    };
    let search = |index: &HnswIndex| {
        index
            .nearest(&[1.0; DIMENSION], Nearest::default())
            .unwrap();
    };
    enter(insert);
    enter(search);
    enter(insert);
}

/// What a callback may do, in a crowd that comes with the first.
fn use_index(index: &Arc<HnswIndex>, calls: &Cell<u32>, row: Row) {
    if calls.replace(calls.get() + 1) == 0 {
        crowd(index);
    }
    let vector = index.vector(row).unwrap();
    assert!(index.holds(row, &vector));
    assert_eq!(index.search(&vector, 1).unwrap()[0].score, 1.0);
    let found = index.nearest(&vector, Nearest::default()).unwrap();
    assert!(found.len() >= 10 && index.stats().vectors >= u64::from(ROWS));
    let new = index.insert(&vector).unwrap();
    assert!(index.remove(new));
}

/// Fails where it takes so long that it will never end.
fn ends<T: Send + 'static>(what: impl FnOnce() -> T + Send + 'static) -> T {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(what()));
    result.recv_timeout(Duration::from_mins(1)).unwrap()
}

fn key(row: Row) -> SavedKey {
    let (id, check) = (row.get().into(), 7);
    SavedKey { id, check }
}

#[test]
fn keys_may_be_made_of_what_is_saved() {
    let index = index();
    index.link(usize::MAX);
    let saved = ends(move || {
        let calls = Cell::new(0);
        let saved = index.save(0, |row| {
            use_index(&index, &calls, row);
            Some(key(row))
        });
        assert_eq!(calls.get(), ROWS);
        saved
    });
    let row_of = |key: SavedKey| Some(Row::new(key.id as u32));
    let again = self::index();
    let loaded = again.load(&saved, row_of).unwrap();
    assert_eq!((loaded.linked, loaded.gone), (ROWS as usize, 0));
}

#[test]
fn rows_may_be_found_by_what_is_there() {
    let saved = {
        let index = index();
        index.link(usize::MAX);
        index.save(0, |row| Some(key(row)))
    };
    let index = index();
    let loaded = ends(move || {
        let calls = Cell::new(0);
        let loaded = index.load(&saved, |key| {
            let row = Row::new(key.id as u32);
            use_index(&index, &calls, row);
            Some(row)
        });
        assert_eq!(calls.get(), ROWS);
        loaded.unwrap()
    });
    assert_eq!((loaded.linked, loaded.gone), (ROWS as usize, 0));
}

/// A key stands for what is saved: what is removed while keys are asked for is not found again.
#[test]
fn what_is_removed_while_it_is_saved_is_gone() {
    let index = index();
    index.link(usize::MAX);
    let saved = index.save(0, |row| {
        // One that was asked for, one that is, and one that will be.
        if row.get() == 100 {
            assert!(
                [50, 100, 150]
                    .into_iter()
                    .all(|row| index.remove(Row::new(row)))
            );
        }
        Some(key(row))
    });
    let again = self::index();
    let row_of = |key: SavedKey| Some(Row::new(key.id as u32));
    let loaded = again.load(&saved, row_of).unwrap();
    assert_eq!((loaded.linked, loaded.gone), (ROWS as usize - 3, 3));
    assert_eq!(again.waiting(), 3);
}
