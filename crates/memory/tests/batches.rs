//! Many at a time give exactly what one at a time gives, on real data.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{ManualClock, SimDisk, Timestamp};
use cortica_index::Metric;
use cortica_memory::{
    AssociateOutcome, Associated, Association, Cue, Episode, IndexLag, MemoryStore, Recalled,
    SpaceSpec, StoreError, StoreOptions, StoreOutcome, Value,
};
use cortica_simd::Isa;
use cortica_storage::Durability;
use cortica_testkit::{Measure, bundle, scores};
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "store";

/// Bundled concepts, among them some that must be refused.
fn episodes() -> Vec<Episode> {
    let data = bundle();
    let mut episodes: Vec<_> = (0..data.len())
        .map(|row| {
            let item = &data.items[row];
            Episode::new(&item.id, &item.text)
                .with_embedding(data.row(row).to_vec())
                .with_when(Timestamp::from_micros(row as i64))
                .with_metadata("split", Value::Text(item.split.as_str().into()))
        })
        .collect();
    episodes.insert(7, Episode::new("short", "").with_embedding(vec![1.0; 767]));
    episodes.insert(70, episodes[3].clone());
    episodes.insert(700, Episode::new("", "no id"));
    episodes.insert(1_000, Episode::new("plain", "without an embedding"));
    episodes.insert(
        2_000,
        Episode::new("nan", "").with_embedding(vec![f32::NAN; 768]),
    );
    episodes
}

fn open(disk: &SimDisk, metric: Metric) -> MemoryStore {
    open_at(disk, metric, Durability::Buffered)
}

fn open_at(disk: &SimDisk, metric: Metric, durability: Durability) -> MemoryStore {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(768).with_metric(metric)),
        durability,
        disk: Arc::new(disk.clone()),
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(42))),
        // How far the index is belongs to the figures that are compared.
        index_lag: IndexLag::OnDemand,
        ..StoreOptions::default()
    };
    MemoryStore::open(Path::new(DIR), options).unwrap()
}

fn cues() -> Vec<Cue> {
    let data = bundle();
    let mut cues: Vec<_> = (0..data.query_count())
        .map(|at| Cue::embedding(data.query(at).to_vec()).max_results(1 + at % 50))
        .collect();
    cues.insert(5, Cue::embedding(vec![0.0; 3]));
    cues.insert(6, Cue::embedding(data.query(0).to_vec()).max_results(0));
    cues.insert(
        9,
        Cue::embedding(data.query(1).to_vec()).result_threshold(0.6),
    );
    cues
}

/// What an answer says, in a form that compares bit for bit.
fn words<T: std::fmt::Debug, E: std::fmt::Debug>(answers: &[Result<T, E>]) -> Vec<String> {
    answers.iter().map(|answer| format!("{answer:?}")).collect()
}

#[test]
fn storing_and_recalling_many_equals_one_by_one() {
    // Of a large durable batch, a second thread prepares what becomes visible.
    for (metric, durability) in [
        (Metric::Cosine, Durability::Buffered),
        (Metric::Cosine, Durability::Durable),
        (Metric::L2, Durability::Durable),
        (Metric::Dot, Durability::Buffered),
    ] {
        let (one_disk, many_disk) = (SimDisk::new(), SimDisk::new());
        let open = |disk: &SimDisk| open_at(disk, metric, durability);
        let (one, many) = (open(&one_disk), open(&many_disk));
        let one_by_one: Vec<_> = episodes()
            .into_iter()
            .map(|episode| one.store(episode))
            .collect();
        let mut together = Vec::new();
        for batch in episodes().chunks(999) {
            together.extend(many.store_many(batch.to_vec()));
        }
        assert_eq!(words(&one_by_one), words(&together));
        assert_eq!(together.iter().filter(|answer| answer.is_err()).count(), 3);
        // What comes twice, in the same batch, is there once.
        let again = &together[70].as_ref().unwrap().outcome;
        let of = episodes()[3].id.as_str().into();
        assert_eq!(*again, StoreOutcome::Reinforced { of });
        // Space is reserved ahead by the commit, so only that may differ.
        let but_reserved = |store: &MemoryStore| {
            let mut stats = store.stats();
            stats.file_bytes = 0;
            stats
        };
        assert_eq!(but_reserved(&one), but_reserved(&many));

        let alone: Vec<_> = cues().iter().map(|cue| one.recall(cue)).collect();
        let at_once = many.recall_many(&cues());
        assert_eq!(words(&alone), words(&at_once));
        assert_eq!(at_once.iter().filter(|answer| answer.is_err()).count(), 2);
        let bits = |recalled: &Vec<Recalled>| -> Vec<_> {
            recalled
                .iter()
                .map(|found| (found.score.to_bits(), found.memory.seq))
                .collect()
        };
        for (alone, at_once) in alone.iter().flatten().zip(at_once.iter().flatten()) {
            assert_eq!(bits(alone), bits(at_once));
        }

        // And both logs give the same store again.
        drop((one, many));
        let (one, many) = (open(&one_disk), open(&many_disk));
        assert_eq!(one.state_digest(), many.state_digest());
        assert_eq!(words(&one.recall_many(&cues())), words(&at_once));
        assert_eq!(words(&many.recall_many(&cues())), words(&at_once));
    }
}

#[test]
fn recall_finds_what_brute_force_finds_on_every_instruction_set() {
    let data = bundle();
    for isa in Isa::available() {
        let options = StoreOptions {
            space: Some(SpaceSpec::new(768)),
            isa,
            ..StoreOptions::default()
        };
        let store = MemoryStore::in_memory(options).unwrap();
        store.store_many(episodes());
        let cues: Vec<_> = (0..data.query_count())
            .map(|at| Cue::embedding(data.query(at).to_vec()))
            .collect();
        for (at, recalled) in store.recall_many(&cues).into_iter().enumerate() {
            let rows: Vec<u32> = recalled
                .unwrap()
                .iter()
                .map(|found| {
                    let row = data
                        .items
                        .iter()
                        .position(|item| *item.id == *found.memory.id);
                    row.unwrap() as u32
                })
                .collect();
            let exact = scores(Measure::Cosine, &data.rows, data.dimension, data.query(at));
            assert_eq!(
                cortica_testkit::recall_at(10, &rows, &exact),
                1.0,
                "{isa} query {at}"
            );
        }
    }
}

#[test]
fn equal_scores_come_in_the_order_of_storing() {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(2)),
        ..StoreOptions::default()
    };
    let store = MemoryStore::in_memory(options).unwrap();
    for at in 0..40 {
        store
            .store(Episode::new(at.to_string(), at.to_string()).with_embedding(vec![1.0, 0.0]))
            .unwrap();
    }
    let recalled = store
        .recall(&Cue::embedding(vec![2.0, 0.0]).max_results(7))
        .unwrap();
    let seqs: Vec<_> = recalled.iter().map(|found| found.memory.seq).collect();
    assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 7]);
}

fn outcome<E>(answer: &Result<Associated, E>) -> Option<AssociateOutcome> {
    answer.as_ref().ok().map(|associated| {
        assert_eq!(associated.durability, Durability::Buffered);
        associated.outcome
    })
}

#[test]
fn associations_are_logged_once_and_come_back() {
    let data = bundle();
    let disk = SimDisk::new();
    let store = open(&disk, Metric::Cosine);
    store.store_many(episodes());
    let id = |row: u32| data.items[row as usize].id.clone();
    let associations: Vec<_> = data
        .edges
        .iter()
        .map(|&[from, to, kind]| Association::new(id(from), id(to), kind))
        .collect();
    let answers = store.associate_many(&associations);
    assert!(
        answers
            .iter()
            .all(|answer| outcome(answer) == Some(AssociateOutcome::Added))
    );
    let again = store.associate_many(&associations);
    assert!(
        again
            .iter()
            .all(|answer| outcome(answer) == Some(AssociateOutcome::AlreadyThere))
    );

    let (from, to) = (id(data.edges[0][0]), id(data.edges[0][1]));
    let link = |weight| Association::new(&from, &to, 9_999).with_weight(weight);
    let mixed = store.associate_many(&[
        link(0.5),
        link(0.5),
        link(0.25),
        link(0.0),
        link(f32::NAN),
        Association::new("nobody", &to, 0),
    ]);
    let mixed: Vec<_> = mixed
        .iter()
        .map(|answer| {
            answer
                .as_ref()
                .map_or_else(ToString::to_string, |ok| format!("{:?}", ok.outcome))
        })
        .collect();
    assert_eq!(mixed[..3], ["Added", "AlreadyThere", "Reweighted"]);
    assert!(mixed[3].starts_with("weight") && mixed[4].starts_with("weight"));
    assert_eq!(mixed[5], "from: there is no episode \"nobody\"");

    let before = store.associations(&from);
    let stats = store.stats();
    assert_eq!(stats.associations as usize, associations.len() + 1);
    assert_eq!(before.last(), Some(&link(0.25)));
    drop(store);
    let store = open(&disk, Metric::Cosine);
    assert_eq!(store.associations(&from), before);
    assert_eq!(store.stats().associations, stats.associations);
    assert!(store.associations("nobody").is_empty());
}

#[test]
fn associations_whose_log_fails_are_all_refused() {
    let disk = SimDisk::new();
    let store = open(&disk, Metric::Cosine);
    store.store(Episode::new("a", "first")).unwrap();
    store.store(Episode::new("b", "second")).unwrap();
    let there = Association::new("a", "b", 1);
    store.associate_many(std::slice::from_ref(&there));
    disk.power_off_after(0);
    let new = Association::new("b", "a", 1);
    let answers = store.associate_many(&[new.clone(), new.clone(), there, new.with_weight(0.5)]);
    let refused: Vec<_> = answers.iter().map(Result::is_err).collect();
    assert_eq!(refused, [true, true, false, true], "{answers:?}");
    assert!(store.associations("b").is_empty());
}

#[test]
fn a_batch_whose_log_fails_is_refused_whole_and_leaves_the_store_readable() {
    let disk = SimDisk::new();
    let store = open(&disk, Metric::Cosine);
    let mut all = episodes();
    let rest = all.split_off(500);
    store.store_many(all);
    let before = store.stats();
    let recalled = words(&store.recall_many(&cues()));
    disk.fail_operation(1);
    let answers = store.store_many(rest);
    assert!(answers.iter().all(Result::is_err));
    assert!(matches!(answers[0], Err(StoreError::Log(_))));
    assert_eq!(store.stats().episodes, before.episodes);
    assert_eq!(words(&store.recall_many(&cues())), recalled);
    let later = store.store(Episode::new("later", ""));
    assert!(matches!(later, Err(StoreError::Log(_))), "{later:?}");
    drop(store);
    let store = open(&disk, Metric::Cosine);
    assert_eq!(words(&store.recall_many(&cues())), recalled);
    store.store(Episode::new("later", "")).unwrap();
}

#[test]
fn a_large_durable_batch_is_not_seen_before_the_disk_has_it() {
    let mut all = episodes();
    let rest = all.split_off(1_500);
    let set_up = || {
        let disk = SimDisk::new();
        let store = open_at(&disk, Metric::Cosine, Durability::Durable);
        store.store_many(all.clone());
        (disk, store)
    };
    let (disk, store) = set_up();
    let before = disk.operations();
    store.store_many(rest.clone());
    let operations = disk.operations() - before;
    assert!(operations > 3, "several pieces and a sync: {operations}");
    drop(store);
    // Whichever fails, the sync at the end among them.
    for failing in 1..=operations {
        let (disk, store) = set_up();
        let (digest, stats) = (store.state_digest(), store.stats());
        let recalled = words(&store.recall_many(&cues()));
        disk.fail_operation(failing);
        let answers = store.store_many(rest.clone());
        assert!(answers.iter().all(Result::is_err), "operation {failing}");
        // Neither seen, nor left over in the index.
        assert_eq!(store.state_digest(), digest, "operation {failing}");
        let now = store.stats();
        assert_eq!(now.index, stats.index, "operation {failing}");
        assert_eq!(now.vector_bytes, stats.vector_bytes);
        assert_eq!(words(&store.recall_many(&cues())), recalled);
        drop(store);
        let store = open_at(&disk, Metric::Cosine, Durability::Durable);
        assert!(store.stats().episodes >= all.len() as u64 - 4);
        store.store(Episode::new("later", "")).unwrap();
    }
}
