//! The graph that is saved beside the log: taken over where it is right, made anew where not.
#![allow(clippy::unwrap_used, reason = "a panic is how a test reports")]

use cortica_env::{Keep, Seed, SimDisk};
use cortica_memory::{Accuracy, Cue, Episode, IndexLag, MemoryStore, SpaceSpec, StoreOptions};
use cortica_testkit::bundle;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const ROWS: usize = 1_200;

fn options() -> StoreOptions {
    StoreOptions {
        space: Some(SpaceSpec::new(bundle().dimension)),
        index_lag: IndexLag::OnDemand,
        ..StoreOptions::default()
    }
}

fn open(path: &Path) -> MemoryStore {
    MemoryStore::open(path, options()).unwrap()
}

fn episode(id: usize, row: usize) -> Episode {
    Episode::new(id.to_string(), id.to_string()).with_embedding(bundle().row(row).to_vec())
}

fn fill(store: &MemoryStore, rows: std::ops::Range<usize>) {
    let episodes = rows.map(|row| episode(row, row));
    for stored in store.store_many(episodes.collect()) {
        stored.unwrap();
    }
}

/// A store whose graph is saved.
fn saved(path: &Path) -> PathBuf {
    let store = open(path);
    fill(&store, 0..ROWS);
    store.wait_indexed().unwrap();
    store.close().unwrap();
    path.join("cache").join("graph.cache")
}

/// Ids and bits of scores.
fn found(store: &MemoryStore, accuracy: Accuracy) -> Vec<Vec<(String, u32)>> {
    let queries = bundle().queries.chunks(bundle().dimension).take(60);
    let answers = queries.map(|query| {
        let cue = Cue::embedding(query.to_vec()).accuracy(accuracy);
        let found = store.recall(&cue).unwrap().into_iter();
        found
            .map(|one| (one.memory.id.to_string(), one.score.to_bits()))
            .collect()
    });
    answers.collect()
}

/// Exact answers are those of a store that never was closed, approximate ones nearly.
fn check_answers(store: &MemoryStore, exact: &[Vec<(String, u32)>]) {
    assert_eq!(found(store, Accuracy::Exact), exact);
    let approximate = found(store, Accuracy::approximate());
    let pairs = approximate.iter().zip(exact);
    let hits = pairs.map(|(some, all)| some.iter().filter(|one| all.contains(one)).count());
    let all: usize = exact.iter().map(Vec::len).sum();
    let hits: usize = hits.sum();
    assert!(hits * 100 >= all * 95, "{hits} of {all}");
}

#[test]
fn a_closed_store_has_its_graph_when_it_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path);
    fill(&store, 0..ROWS);
    store.wait_indexed().unwrap();
    let exact = found(&store, Accuracy::Exact);
    let approximate = found(&store, Accuracy::approximate());
    store.close().unwrap();

    let store = open(&path);
    let index = store.stats().index;
    assert_eq!((index.loaded, index.waiting), (ROWS as u64, 0));
    assert_eq!((index.refused, index.unsavable), (None, None));
    assert_eq!(found(&store, Accuracy::approximate()), approximate);
    check_answers(&store, &exact);
    // What comes later waits; a store that is only dropped leaves the older graph.
    fill(&store, ROWS..ROWS + 100);
    drop(store);
    let store = open(&path);
    let index = store.stats().index;
    assert_eq!((index.loaded, index.waiting), (ROWS as u64, 100));
    let exact = found(&store, Accuracy::Exact);
    check_answers(&store, &exact);
    store.wait_indexed().unwrap();
    check_answers(&store, &exact);
}

#[test]
fn what_was_updated_or_forgotten_since_is_not_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    saved(&path);
    let store = open(&path);
    for id in 0..100 {
        store.store(episode(id, 2_000 + id)).unwrap();
        store.forget(&(id + 100).to_string()).unwrap();
    }
    let exact = found(&store, Accuracy::Exact);
    drop(store);
    let store = open(&path);
    let index = store.stats().index;
    assert_eq!((index.loaded, index.refused), (ROWS as u64 - 200, None));
    check_answers(&store, &exact);
    store.wait_indexed().unwrap();
    check_answers(&store, &exact);
    // When the bytes of what was forgotten go, so does the saved graph.
    store.compact().unwrap();
    assert!(!path.join("cache/graph.cache").exists());
    store.close().unwrap();
    let index = open(&path).stats().index;
    assert_eq!(index.loaded, ROWS as u64 - 100, "closing saved it again");
}

#[test]
fn a_saved_graph_that_is_damaged_or_of_another_log_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let cache = saved(&path);
    let whole = fs::read(&cache).unwrap();
    let exact = found(&open(&path), Accuracy::Exact);
    let refused = |bytes: &[u8], why: &str| {
        fs::write(&cache, bytes).unwrap();
        let read_only = StoreOptions {
            mode: cortica_storage::OpenMode::ReadOnly,
            ..options()
        };
        let store = MemoryStore::open(&path, read_only).unwrap();
        let index = store.stats().index;
        let said = index.refused.unwrap();
        assert!(said.contains(why), "{said}");
        assert_eq!((index.loaded, index.waiting), (0, ROWS as u64));
        store
    };
    // Anywhere: in the header, in the payload, in its table of checksums.
    for at in (0..whole.len()).step_by(whole.len() / 40) {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        refused(&flipped, "the cache");
        refused(&whole[..at], "damaged");
    }
    check_answers(&refused(&whole[..100], "damaged"), &exact);

    // Of a store that has gone on: ahead of the log it is put beside.
    let older = folder.path().join("older");
    let store = open(&older);
    fill(&store, 0..10);
    store.close().unwrap();
    fs::create_dir_all(older.join("cache")).unwrap();
    fs::write(older.join("cache/graph.cache"), &whole).unwrap();
    let store = open(&older);
    let said = store.stats().index.refused;
    assert!(said.is_none_or(|said| said.contains("ends at")));
    assert_eq!(store.stats().index.loaded, 0);

    // Of another store of the same length: nothing of it is what it says.
    let other = folder.path().join("other");
    let store = open(&other);
    let episodes = (0..ROWS).map(|id| episode(id, 2_000 + id));
    for stored in store.store_many(episodes.collect()) {
        stored.unwrap();
    }
    store.close().unwrap();
    fs::create_dir_all(other.join("cache")).unwrap();
    fs::write(other.join("cache/graph.cache"), &whole).unwrap();
    let store = open(&other);
    let index = store.stats().index;
    assert!(index.refused.unwrap().contains("gone"));
    let exact = found(&store, Accuracy::Exact);
    check_answers(&store, &exact);
}

/// With a lag of `n`, whoever stores first behind it links what was to be in it.
#[test]
fn without_its_saved_graph_a_store_is_within_its_lag_as_soon_as_something_is_stored() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let cache = saved(&path);
    let exact = found(&open(&path), Accuracy::Exact);
    let whole = fs::read(&cache).unwrap();
    let bounded = || {
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        fs::write(&cache, flipped).unwrap();
        let mut options = options();
        options.index_lag = IndexLag::Block(10);
        let store = MemoryStore::open(&path, options).unwrap();
        assert!(store.stats().index.refused.is_some());
        store
    };
    let store = bounded();
    check_answers(&store, &exact);
    store.store(Episode::new("new", "no embedding")).unwrap();
    fill(&store, ROWS..ROWS + 1);
    let index = store.stats().index;
    assert!(
        index.waiting <= 10 && index.indexed > ROWS as u64 - 10,
        "{index:?}"
    );
    store.forget(&ROWS.to_string()).unwrap();
    check_answers(&store, &exact);
    drop(store);

    // Or it is done before.
    let store = bounded();
    store.wait_indexed().unwrap();
    assert_eq!(store.stats().index.waiting, 0);
    check_answers(&store, &exact);
}

#[test]
fn another_kind_of_graph_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    saved(&path);
    let mut wider = options();
    wider.graph.degree = 20;
    let store = MemoryStore::open(&path, wider).unwrap();
    let index = store.stats().index;
    assert!(index.refused.unwrap().contains("degree"));
    assert_eq!(index.waiting, ROWS as u64);
}

#[test]
fn the_thread_saves_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let small = StoreOptions {
        space: Some(SpaceSpec::new(4)),
        index_lag: IndexLag::Defer,
        ..StoreOptions::default()
    };
    let store = MemoryStore::open(&path, small.clone()).unwrap();
    let rows = cortica_testkit::clustered(9_000, 4, 1);
    let episode = |(id, row): (usize, &[f32])| {
        Episode::new(id.to_string(), id.to_string()).with_embedding(row.to_vec())
    };
    let episodes = rows.chunks(4).enumerate().map(episode);
    for stored in store.store_many(episodes.collect()) {
        stored.unwrap();
    }
    let cache = path.join("cache/graph.cache");
    while !cache.exists() {
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(store); // As a crash would leave it, but for the lock.
    let index = MemoryStore::open(&path, small).unwrap().stats().index;
    assert!(index.loaded >= 8_192, "{index:?}");
}

/// The graph is the store's checkpoint: whatever a power cut leaves of it, the log decides.
#[test]
fn no_power_cut_while_it_is_saved_changes_what_the_store_holds() {
    let dir = Path::new("store");
    let open = |disk: &SimDisk| {
        let options = StoreOptions {
            disk: Arc::new(disk.clone()),
            space: Some(SpaceSpec::new(2)),
            ..options()
        };
        MemoryStore::open(dir, options).unwrap()
    };
    let (mut cuts, mut taken_over, mut made_anew) = (0, 0, 0);
    loop {
        let disk = SimDisk::new();
        let store = open(&disk);
        let episodes = (0..ROWS).map(|row| {
            let (x, y) = (row as f32 / 100.0).sin_cos();
            Episode::new(row.to_string(), "").with_embedding(vec![x, y])
        });
        store.store_many(episodes.collect());
        store.forget("7").unwrap();
        store.wait_indexed().unwrap();
        let digest = store.state_digest();
        disk.power_off_after(cuts);
        let ended = store.close().is_ok();
        let ends = [Keep::Nothing, Keep::Everything];
        let seeded = (0..8).map(|seed| Keep::Seeded(Seed(seed).derive(&cuts.to_string())));
        for keep in ends.into_iter().chain(seeded) {
            let store = open(&disk.power_cut(keep));
            assert_eq!(store.state_digest(), digest, "cut {cuts}, {keep:?}");
            match store.stats().index.loaded {
                0 => made_anew += 1,
                all => {
                    assert_eq!(all, ROWS as u64 - 1, "cut {cuts}, {keep:?}");
                    taken_over += 1;
                }
            }
        }
        if ended {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 5 && taken_over > 0 && made_anew > 0, "{cuts} cuts");
}
