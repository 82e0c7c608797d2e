//! What the index does behind the store's back, and that nobody sees it by the answers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_memory::{
    Accuracy, Cue, EF_MAX, Episode, IndexLag, MemoryStore, RecallError, Recalled, SpaceSpec,
    StoreOptions,
};
use cortica_testkit::bundle;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

const ROWS: usize = 1_500;

fn options(index_lag: IndexLag) -> StoreOptions {
    StoreOptions {
        space: Some(SpaceSpec::new(bundle().dimension)),
        index_lag,
        ..StoreOptions::default()
    }
}

fn in_memory(index_lag: IndexLag) -> MemoryStore {
    MemoryStore::in_memory(options(index_lag)).unwrap()
}

fn episode(row: usize) -> Episode {
    Episode::new(row.to_string(), row.to_string()).with_embedding(bundle().row(row).to_vec())
}

fn fill(store: &MemoryStore, rows: std::ops::Range<usize>) {
    for stored in store.store_many(rows.map(episode).collect()) {
        stored.unwrap();
    }
}

fn cues(accuracy: Accuracy) -> Vec<Cue> {
    let queries = bundle().queries.chunks(bundle().dimension).take(48);
    let cue = |query: &[f32]| Cue::embedding(query.to_vec()).accuracy(accuracy);
    queries.map(cue).collect()
}

/// Everything about answers: ids in order, and the bits of their scores.
fn bits(answers: Vec<Result<Vec<Recalled>, RecallError>>) -> Vec<Vec<(u64, u32)>> {
    let bits = |found: Recalled| (found.memory.seq, found.score.to_bits());
    let answers = answers.into_iter().map(Result::unwrap);
    answers
        .map(|found| found.into_iter().map(bits).collect())
        .collect()
}

/// The answers to all cues: together, one by one, and shared among threads, which must agree.
fn ask(store: &MemoryStore, cues: &[Cue]) -> Vec<Vec<(u64, u32)>> {
    let together = bits(store.recall_many(cues));
    for threads in [1, 2, 8] {
        let share = cues.len().div_ceil(threads);
        let answers: Vec<_> = thread::scope(|scope| {
            let asked = cues.chunks(share).map(|cues| {
                scope.spawn(|| bits(cues.iter().map(|cue| store.recall(cue)).collect()))
            });
            let asked: Vec<_> = asked.collect();
            asked
                .into_iter()
                .flat_map(|one| one.join().unwrap())
                .collect()
        });
        assert!(answers == together, "{threads} threads");
    }
    together
}

fn share_found(found: &[Vec<(u64, u32)>], truth: &[Vec<(u64, u32)>]) -> f64 {
    let pairs = found.iter().zip(truth);
    let hits = pairs.map(|(found, truth)| found.iter().filter(|one| truth.contains(one)).count());
    hits.sum::<usize>() as f64 / truth.iter().map(Vec::len).sum::<usize>() as f64
}

#[test]
fn exact_answers_have_the_same_bits_before_during_and_after_indexing() {
    let cues = cues(Accuracy::Exact);
    let before = in_memory(IndexLag::OnDemand);
    fill(&before, 0..ROWS);
    let want = ask(&before, &cues);
    assert_eq!(before.stats().index.indexed, 0, "nobody asked for it");
    let mut seen_halfway = false;
    thread::scope(|scope| {
        let indexing = scope.spawn(|| before.wait_indexed());
        while !indexing.is_finished() {
            let indexed = before.stats().index.indexed;
            assert_eq!(ask(&before, &cues), want);
            seen_halfway |= (1..ROWS as u64).contains(&indexed);
        }
        indexing.join().unwrap().unwrap();
    });
    assert!(seen_halfway, "it was over too soon to be looked at");
    assert_eq!(before.stats().index.waiting, 0);
    assert_eq!(ask(&before, &cues), want, "after");

    let beside = in_memory(IndexLag::Defer);
    fill(&beside, 0..ROWS);
    assert_eq!(ask(&beside, &cues), want, "in the background");
}

#[test]
fn approximate_answers_are_good_and_the_same_for_the_same_index() {
    let store = in_memory(IndexLag::Defer);
    fill(&store, 0..ROWS);
    let exact = ask(&store, &cues(Accuracy::Exact));
    let approximate = cues(Accuracy::approximate());
    // At any time.
    let while_indexing = bits(store.recall_many(&approximate));
    assert!(share_found(&while_indexing, &exact) >= 0.95);
    store.wait_indexed().unwrap();
    let found = ask(&store, &approximate);
    assert!(share_found(&found, &exact) >= 0.95);
    let wide = ask(&store, &cues(Accuracy::Approximate { ef: 400 }));
    assert!(share_found(&wide, &exact) >= 0.99);
    // Some exact and some not, in one batch.
    let mut mixed = cues(Accuracy::Exact);
    mixed.truncate(4);
    mixed.extend_from_slice(&approximate[4..8]);
    let answers = bits(store.recall_many(&mixed));
    assert_eq!(answers[..4], exact[..4]);
    assert_eq!(answers[4..], found[4..8]);
}

#[test]
fn what_is_stored_is_recalled_at_once_and_what_is_forgotten_is_not() {
    for lag in [IndexLag::Defer, IndexLag::Block(3), IndexLag::OnDemand] {
        let store = in_memory(lag);
        fill(&store, 0..300);
        for row in 300..400 {
            store.store(episode(row)).unwrap();
            for accuracy in [Accuracy::Exact, Accuracy::Approximate { ef: 40 }] {
                let cue = Cue::embedding(bundle().row(row).to_vec()).accuracy(accuracy);
                let found = store.recall(&cue.clone().max_results(1)).unwrap();
                assert_eq!(*found[0].memory.id, *row.to_string(), "{lag:?}");
                store.forget(&(row - 300).to_string()).unwrap();
                let forgotten = Cue::embedding(bundle().row(row - 300).to_vec());
                let found = store.recall(&forgotten.accuracy(accuracy)).unwrap();
                let gone = (row - 300).to_string();
                assert!(found.iter().all(|found| *found.memory.id != *gone));
                store.store(episode(row - 300)).unwrap();
            }
            if let IndexLag::Block(most) = lag {
                assert!(store.stats().index.waiting <= most as u64);
            }
        }
    }
}

/// Whoever stores waits also for what another is just linking.
#[test]
fn nothing_is_left_unindexed_behind_a_lag_of_none_while_another_links() {
    let store = in_memory(IndexLag::Block(0));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Relaxed) {
                store.wait_indexed().unwrap();
            }
        });
        for row in 0..600 {
            store.store(episode(row)).unwrap();
            let waiting = store.stats().index.waiting;
            if waiting > 0 {
                done.store(true, Relaxed); // Else the other would go on for ever.
            }
            assert_eq!(waiting, 0, "behind row {row}");
        }
        done.store(true, Relaxed);
    });
}

#[test]
fn memory_of_forgotten_embeddings_is_given_back_whatever_the_lag() {
    for lag in [IndexLag::Defer, IndexLag::Block(50), IndexLag::OnDemand] {
        let store = in_memory(lag);
        fill(&store, 0..600);
        if lag != IndexLag::OnDemand {
            store.wait_indexed().unwrap();
        }
        let ids: Vec<String> = (0..500).map(|row| row.to_string()).collect();
        store.forget_many(&ids).into_iter().for_each(|answer| {
            answer.unwrap();
        });
        let begun = Instant::now();
        while store.stats().index.unreleased >= 256 {
            assert!(begun.elapsed() < Duration::from_mins(1), "{lag:?}");
            thread::sleep(Duration::from_millis(1));
        }
        // Those that are left can all be found.
        store.wait_indexed().unwrap();
        let all = Cue::embedding(bundle().row(7).to_vec())
            .max_results(1_000)
            .accuracy(Accuracy::approximate());
        let found: HashSet<u64> = store
            .recall(&all)
            .unwrap()
            .iter()
            .map(|found| found.memory.seq)
            .collect();
        assert_eq!(found.len(), 100, "{lag:?}");
    }
}

#[test]
fn a_store_closes_soon_while_much_is_to_be_indexed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    for round in 0..3 {
        let store = MemoryStore::open(&path, options(IndexLag::Defer)).unwrap();
        if round == 0 {
            fill(&store, 0..ROWS);
        }
        assert_eq!(store.stats().embedded, ROWS as u64);
        let begun = Instant::now();
        if round == 1 {
            drop(store);
        } else {
            store.close().unwrap();
        }
        // All of it takes longer than that, by far.
        assert!(begun.elapsed() < Duration::from_millis(250));
    }
}

#[test]
fn stores_and_recalls_go_on_while_the_index_is_kept_up() {
    let store = in_memory(IndexLag::Block(100));
    thread::scope(|scope| {
        for part in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for row in (part..ROWS).step_by(4) {
                    store.store(episode(row)).unwrap();
                    if row >= 200 {
                        store.forget(&(row - 200).to_string()).unwrap();
                    }
                    let cue = Cue::embedding(bundle().row(row).to_vec())
                        .accuracy(Accuracy::approximate())
                        .max_results(1);
                    assert_eq!(*store.recall(&cue).unwrap()[0].memory.id, *row.to_string());
                }
            });
        }
        let store = &store;
        scope.spawn(move || (0..20).for_each(|_| store.wait_indexed().unwrap()));
    });
    store.wait_indexed().unwrap();
    let index = store.stats().index;
    assert_eq!((index.waiting, index.trouble), (0, None));
    assert_eq!(index.indexed, store.stats().embedded);
}

#[test]
fn a_width_that_cannot_be_is_refused() {
    let store = in_memory(IndexLag::Defer);
    fill(&store, 0..3);
    for ef in [0, EF_MAX + 1] {
        let cue = Cue::embedding(bundle().row(0).to_vec());
        let refused = store.recall(&cue.accuracy(Accuracy::Approximate { ef }));
        assert_eq!(refused, Err(RecallError::Ef { got: ef }));
    }
}
