//! One bad operation of a thousand fails alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_batch::{
    Answered, Atomicity, Batch, BatchConfig, ConfigError, ErrorKind, ItemError, Kind, Operation,
    Outcome, Workers,
};
use cortica_memory::{Association, Cue, Episode, MemoryStore, SpaceSpec, StoreOptions};
use std::panic::panic_any;
use std::sync::Arc;

const COUNT: usize = 1_000;
const POISONED: usize = 637;

fn store() -> Arc<MemoryStore> {
    let options = StoreOptions {
        space: Some(SpaceSpec::new(3)),
        ..StoreOptions::default()
    };
    Arc::new(MemoryStore::in_memory(options).unwrap())
}

fn vector(number: usize) -> Vec<f32> {
    vec![1.0, number as f32 / 7.0, (number % 13) as f32]
}

fn episode(number: usize) -> Operation {
    let episode = Episode::new(format!("e{number}"), format!("text {number}"));
    Operation::Store(episode.with_embedding(vector(number)))
}

fn filled() -> Arc<MemoryStore> {
    let store = store();
    let done = Batch::over(&store)
        .run((0..COUNT).map(episode).collect())
        .unwrap();
    assert_eq!(done.summary.count(Outcome::Stored), COUNT as u64);
    store
}

#[track_caller]
fn fails_alone(batch: &Batch, operations: Vec<Operation>, kind: ErrorKind) {
    let good = operations.len() as u64 - 1;
    let done = batch.run(operations).unwrap();
    for (number, answer) in done.answers.iter().enumerate() {
        assert_eq!(answer.is_err(), number == POISONED, "{number}: {answer:?}");
    }
    assert_eq!(done.summary.failed(kind), 1, "{:?}", done.summary.errors);
    assert_eq!(done.summary.outcomes.values().sum::<u64>(), good + 1);
    assert_eq!(done.summary.applied, good + 1);
}

fn poisoned(mut operations: Vec<Operation>, by: Operation) -> Vec<Operation> {
    operations[POISONED] = by;
    operations
}

#[test]
fn a_bad_vector_fails_alone() {
    let nan = vec![1.0, f32::NAN, 0.0];
    let short = vec![1.0, 0.0];
    for bad in [nan, short] {
        for threads in [1, 2, 3] {
            let workers = Workers::new(threads).unwrap();
            let stores: Vec<_> = (0..COUNT).map(episode).collect();
            let episode = Episode::new("bad", "bad").with_embedding(bad.clone());
            let list = poisoned(stores, Operation::Store(episode));
            let batch = |store: &Arc<MemoryStore>| Batch::over(store).workers(&workers);
            fails_alone(&batch(&store()), list, ErrorKind::Invalid);

            let search = |number| Operation::similarity(vector(number), 5);
            let list = poisoned((0..COUNT).map(search).collect(), {
                Operation::recall(Cue::embedding(bad.clone()))
            });
            fails_alone(&batch(&filled()), list, ErrorKind::Invalid);
        }
    }
}

#[test]
fn a_panic_in_a_worker_fails_alone() {
    for threads in [1, 2, 3] {
        let workers = Workers::new(threads).unwrap();
        let before = |number: u64, _: Kind| assert!(number != POISONED as u64, "on purpose");
        let batch = |store: &Arc<MemoryStore>| Batch::over(store).workers(&workers).before(before);
        let search = |number| Operation::similarity(vector(number), 5);
        let searches: Vec<_> = (0..COUNT).map(search).collect();
        fails_alone(&batch(&filled()), searches.clone(), ErrorKind::Panicked);
        let stores: Vec<_> = (0..COUNT).map(episode).collect();
        fails_alone(&batch(&store()), stores, ErrorKind::Panicked);
        let forget = |number| Operation::forget(format!("e{number}"));
        fails_alone(
            &batch(&filled()),
            (0..COUNT).map(forget).collect(),
            ErrorKind::Panicked,
        );

        // And those that are answered beside it are answered as ever.
        let store = filled();
        let clean = Batch::over(&store).run(searches.clone()).unwrap();
        let done = batch(&store).run(searches).unwrap();
        for (number, (clean, answer)) in clean.answers.iter().zip(&done.answers).enumerate() {
            if number != POISONED {
                assert_eq!(clean.as_ref().unwrap(), answer.as_ref().unwrap());
            }
        }
        let Err(ItemError::Panicked(words)) = &done.answers[POISONED] else {
            panic!();
        };
        assert_eq!(words, "on purpose");
    }
}

/// Room for what a panic says is kept with each operation, so there is an end to it.
#[test]
fn what_a_panic_says_is_cut() {
    let store = filled();
    let batch =
        Batch::over(&store).before(|number, _| assert!(number != 1, "{}", "é".repeat(100_001)));
    let list = || vec![episode(1), episode(2), Operation::Unreadable("no".into())];
    let streamed = batch.stream(list()).unwrap().map(|(_, answer)| answer);
    for answers in [streamed.collect(), batch.run(list()).unwrap().answers] {
        let Err(ItemError::Panicked(words)) = &answers[1] else {
            panic!("{answers:?}");
        };
        assert_eq!(*words, "é".repeat(256), "whole letters");
        assert!(words.capacity() <= 512);
    }
    assert!(list().iter().all(|operation| operation.bytes() > 512));
}

/// Carried by a panic, and panics when it is dropped.
struct Again;

impl Drop for Again {
    fn drop(&mut self) {
        panic_any("and again");
    }
}

#[test]
fn what_a_panic_carries_may_panic_too() {
    let before = |number: u64, _: Kind| {
        if number == POISONED as u64 {
            panic_any(Again);
        }
    };
    for threads in [1, 3] {
        let workers = Workers::new(threads).unwrap();
        let batch = |store: &Arc<MemoryStore>| Batch::over(store).workers(&workers).before(before);
        let search = |number| Operation::similarity(vector(number), 5);
        let searches: Vec<_> = (0..COUNT).map(search).collect();
        fails_alone(&batch(&filled()), searches, ErrorKind::Panicked);
        let stores: Vec<_> = (0..COUNT).map(episode).collect();
        fails_alone(&batch(&store()), stores, ErrorKind::Panicked);
    }
    // The thread of the source has nobody to fail.
    let faulty = (0..2).map(|number| match number {
        0 => episode(0),
        _ => panic_any(Again),
    });
    let store = store();
    let mut answers = Batch::over(&store).stream(faulty).unwrap();
    assert!(answers.by_ref().all(|(_, answer)| answer.is_ok()));
    let summary = answers.finish();
    assert_eq!(summary.applied, 1);
    assert!(summary.source_panicked.is_some());
}

#[test]
fn what_is_not_there_yet_says_so() {
    let store = filled();
    let cue = || Cue::embedding(vector(1));
    let done = Batch::over(&store)
        .run(vec![
            Operation::Spread(cue()),
            Operation::Complete(cue()),
            Operation::Allocate(Episode::new("a", "a")),
            Operation::Unreadable("line 4: not JSON".into()),
        ])
        .unwrap();
    let errors: Vec<_> = done
        .answers
        .iter()
        .map(|answer| answer.as_ref().unwrap_err())
        .collect();
    assert!(matches!(
        errors[0],
        ItemError::Unsupported { kind: Kind::Spread }
    ));
    assert!(matches!(
        errors[1],
        ItemError::Unsupported {
            kind: Kind::Complete
        }
    ));
    assert!(matches!(errors[2], ItemError::NoAllocation));
    assert_eq!(errors[3].to_string(), "line 4: not JSON");
    assert!(store.get("a").is_none());
    assert_eq!(done.summary.failed(ErrorKind::Unsupported), 3);
}

#[test]
fn vectors_come_where_they_are_asked_for() {
    let store = filled();
    let done = Batch::over(&store)
        .run(vec![
            Operation::similarity(vector(3), 2),
            Operation::similarity(vector(3), 2).with_vectors(),
        ])
        .unwrap();
    let [Ok(Answered::Similar(without)), Ok(Answered::Similar(with))] = &done.answers[..] else {
        panic!("{:?}", done.answers);
    };
    for (without, with) in without.iter().zip(with) {
        assert_eq!((without.seq, &without.vector), (with.seq, &None));
        assert_eq!(with.vector, store.embedding(&with.id));
    }
}

#[test]
fn a_bad_configuration_fails_the_batch() {
    let store = filled();
    let with = |change: fn(&mut BatchConfig)| {
        let mut config = BatchConfig::default();
        change(&mut config);
        let batch = Batch::over(&store).config(config);
        let streamed = batch.stream(vec![Operation::forget("e1")]).err();
        let run = batch.run(vec![Operation::forget("e1")]).err();
        assert_eq!(streamed, run);
        run
    };
    let small = |field| move |error| matches!(error, Some(ConfigError::TooSmall { field: found, .. }) if found == field);
    assert!(small("batch_size")(with(|config| config.batch_size = 0)));
    assert!(small("memory_limit")(with(
        |config| config.memory_limit = 1_000
    )));
    assert!(store.get("e1").is_some());
    for isa in cortica_simd::Isa::available() {
        let mut config = BatchConfig::default();
        config.simd = Some(isa);
        let run = Batch::over(&store).config(config).run(Vec::new());
        let fits = isa == store.isa();
        let simd =
            |error: &ConfigError| matches!(error, ConfigError::Simd { asked, .. } if *asked == isa);
        assert!(fits == run.is_ok() && run.err().as_ref().is_none_or(simd));
    }
}

#[test]
fn all_or_nothing_is_what_it_says() {
    let store = filled();
    let mut config = BatchConfig::default();
    config.atomicity = Atomicity::All;
    let batch = Batch::over(&store).config(config.clone());
    let list = |bad: Option<Operation>| {
        let mut list = vec![
            Operation::Store(Episode::new("a", "a")),
            Operation::Associate(Association::new("a", "e1", 1)),
            Operation::forget("e2"),
        ];
        list.splice(1..1, bad);
        list
    };
    for bad in [
        Operation::forget("nobody"),
        Operation::Store(Episode::new("b", "b").with_embedding(vec![1.0])),
        Operation::Store(Episode::new("", "no id")),
        Operation::Allocate(Episode::new("b", "b")),
        Operation::Unreadable("no JSON".into()),
    ] {
        let before = store.state_digest();
        let done = batch.run(list(Some(bad))).unwrap();
        for (number, answer) in done.answers.iter().enumerate() {
            let undone = matches!(answer, Err(ItemError::Undone { item: 1 }));
            assert!(
                answer.is_err() && undone == (number != 1),
                "{number}: {answer:?}"
            );
        }
        assert_eq!(done.summary.failed(ErrorKind::Undone), 3);
        assert_eq!(store.state_digest(), before);
    }
    let panics = batch
        .clone()
        .before(|number, _| assert!(number != 2, "on purpose"));
    let done = panics.run(list(None)).unwrap();
    assert_eq!(done.summary.failed(ErrorKind::Panicked), 1);
    assert_eq!(done.summary.failed(ErrorKind::Undone), 2);
    assert!(store.get("a").is_none());

    let done = batch.run(list(None)).unwrap();
    assert!(done.answers.iter().all(Result::is_ok), "{:?}", done.answers);
    assert!(store.get("a").is_some() && store.get("e2").is_none());
    assert_eq!(store.associations("a").len(), 1);

    let reads = batch
        .run(list(Some(Operation::similarity(vector(1), 1))))
        .err();
    let no_write = ConfigError::NoWrite {
        operation: 1,
        kind: Kind::SimilaritySearch,
    };
    assert_eq!(reads, Some(no_write));
    assert_eq!(
        batch.stream(list(None)).err(),
        Some(ConfigError::AtomicStream)
    );
    config.memory_limit = 64 << 10;
    let large = |at: usize| Operation::Store(Episode::new(format!("l{at}"), "x".repeat(1_000)));
    let done = Batch::over(&store)
        .config(config)
        .run((0..50).map(large).collect())
        .unwrap();
    assert_eq!(done.summary.failed(ErrorKind::TooLarge), 50);
}
