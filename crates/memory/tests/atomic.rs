//! Writes that count together: what they evict, and lists of which all are done or none, through power
//! cuts at every operation.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{Keep, ManualClock, Seed, SimDisk, Timestamp};
use cortica_index::Metric;
use cortica_memory::{
    AssociateError, Association, Atomicity, Confidence, Cue, Episode, ForgetError, MemoryStore,
    OpenError, SpaceSpec, StoreError, StoreOptions, Write, Written,
};
use cortica_storage::Durability;
use cortica_testkit::report;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

fn options(disk: &SimDisk, capacity: Option<usize>) -> StoreOptions {
    StoreOptions {
        space: Some(SpaceSpec::new(2).with_metric(Metric::Dot)),
        capacity,
        segment_bytes: 4 << 10,
        disk: Arc::new(disk.clone()),
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(9))),
        ..StoreOptions::default()
    }
}

fn open(disk: &SimDisk, capacity: Option<usize>) -> Result<MemoryStore, OpenError> {
    MemoryStore::open(Path::new("store"), options(disk, capacity))
}

fn episode(number: usize) -> Episode {
    let confidence = ((number * 7) % 10) as f32 / 10.0;
    Episode::new(
        format!("e{number}"),
        format!("text {number} {}", "x".repeat(number * 31 % 400)),
    )
    .with_embedding(vec![(number % 5) as f32, 1.0])
    .with_confidence(Confidence::new(confidence).unwrap())
}

fn recall(store: &MemoryStore) {
    store
        .recall(&Cue::embedding(vec![1.0, 0.5]).max_results(4))
        .unwrap();
}

/// One thing done to a store; those that fail end it.
type Step = Box<dyn Fn(&MemoryStore) -> Result<(), ()>>;

fn stored(numbers: std::ops::Range<usize>) -> Step {
    Box::new(move |store| {
        let answers = store.store_many(numbers.clone().map(episode).collect());
        answers.iter().all(Result::is_ok).then_some(()).ok_or(())
    })
}

fn listed(writes: Vec<Write>) -> Step {
    Box::new(move |store| {
        let answers = store.write_many(writes.clone(), Atomicity::All);
        answers.iter().all(Written::is_ok).then_some(()).ok_or(())
    })
}

/// Runs steps until one fails. Gives the digests of the states in between.
fn run(store: &MemoryStore, steps: &[Step]) -> (Vec<u64>, bool) {
    let mut states = vec![store.state_digest()];
    for step in steps {
        if step(store).is_err() {
            return (states, false);
        }
        states.push(store.state_digest());
    }
    (states, true)
}

/// Cuts the power at every operation of these steps, done durably and done so that only the system has them. What is
/// there afterwards is one of the states that they go through, and none before what was acknowledged as
/// durable. Gives how many disks were tried, or what was found instead.
fn cut_everywhere(steps: &[Step], capacity: Option<usize>) -> Result<u64, String> {
    let start = |disk: &SimDisk, durability| {
        let options = StoreOptions {
            durability,
            ..options(disk, capacity)
        };
        MemoryStore::open(Path::new("store"), options)
    };
    let (states, ended) = run(&open(&SimDisk::new(), capacity).unwrap(), steps);
    assert!(ended);
    let distinct: BTreeSet<u64> = states.iter().copied().collect();
    assert_eq!(distinct.len(), states.len(), "every step changes something");
    let (mut cuts, mut tried, mut torn) = (0, 0, 0);
    for durability in [Durability::Durable, Durability::Buffered] {
        for cut in 0.. {
            let disk = SimDisk::new();
            disk.power_off_after(cut);
            let Ok(store) = start(&disk, durability) else {
                continue;
            };
            let (acknowledged, ended) = run(&store, steps);
            assert!(states.starts_with(&acknowledged));
            drop(store);
            let each = (0..disk.unsynced()).flat_map(|n| [Keep::Only(n), Keep::Prefix(n)]);
            let seeded = (0..12).map(|seed| Keep::Seeded(Seed(seed).derive(&cut.to_string())));
            let keeps = [Keep::Nothing, Keep::Everything].into_iter().chain(each);
            for keep in keeps.chain(seeded) {
                let found = open(&disk.power_cut(keep), capacity).unwrap();
                let recovery = found.stats().recovery;
                assert_eq!(recovery.damage, []);
                let digest = found.state_digest();
                let Some(at) = states.iter().position(|state| *state == digest) else {
                    return Err(format!(
                        "cut {cut}, {durability}, {keep:?}: a part of a step"
                    ));
                };
                if durability == Durability::Durable && at + 1 < acknowledged.len() {
                    return Err(format!("cut {cut}, {keep:?}: lost"));
                }
                torn += u64::from(recovery.dropped_tail_bytes > 0);
                tried += 1;
            }
            cuts += 1;
            if ended {
                break;
            }
        }
    }
    assert!(torn > 0, "no cut was inside a write");
    let counts = [
        ("cuts", cuts),
        ("disks_tried", tried),
        ("torn", torn),
        ("parts", 0),
    ];
    report("atomic", 0, &counts);
    Ok(tried)
}

/// One episode at a time into a full store, recalls before each: what is evicted, what is strengthened and
/// the new one, all or nothing.
#[test]
fn no_cut_parts_what_is_stored_from_what_is_evicted_and_strengthened() {
    let one = |number: usize| -> Step {
        Box::new(move |store| {
            recall(store);
            store.store(episode(number)).map_err(|_| ())?;
            Ok(())
        })
    };
    let steps: Vec<Step> = (0..24).map(one).collect();
    assert!(cut_everywhere(&steps, Some(8)).unwrap() > 300);
}

#[test]
fn no_cut_leaves_a_part_of_what_a_tick_applies() {
    let tick: fn() -> Step = || {
        Box::new(|store| {
            recall(store);
            store.tick().map(drop).map_err(|_| ())
        })
    };
    let steps: Vec<Step> = vec![stored(0..1), tick(), stored(1..2), tick(), tick()];
    assert!(cut_everywhere(&steps, None).unwrap() > 50);
}

#[test]
fn no_cut_leaves_a_part_of_a_list_of_which_all_are_done_or_none() {
    let store = |numbers: std::ops::Range<usize>| numbers.map(|n| Write::Store(episode(n)));
    let link = |from: usize, to: usize| {
        Write::Associate(Association::new(format!("e{from}"), format!("e{to}"), 1))
    };
    let steps = vec![
        listed(store(0..6).collect()),
        listed(vec![link(0, 1), Write::Forget("e2".into()), link(1, 3)]),
        listed(
            store(6..20)
                .chain([link(19, 19), Write::Forget("e19".into())])
                .collect(),
        ),
        listed(store(20..23).collect()),
    ];
    assert!(cut_everywhere(&steps, Some(7)).unwrap() > 300);
}

/// The judge sees parts where all or none was not asked for.
#[test]
fn a_batch_of_which_each_counts_may_be_there_in_part() {
    let steps = vec![stored(0..6), stored(6..30)];
    let parts = cut_everywhere(&steps, Some(7)).unwrap_err();
    assert!(parts.ends_with("a part of a step"), "{parts}");
}

#[test]
fn one_that_is_refused_takes_all_along_and_the_others_say_so() {
    let store = open(&SimDisk::new(), None).unwrap();
    store.store(episode(0)).unwrap();
    recall(&store);
    let before = (store.state_digest(), store.stats());
    let list = vec![
        Write::Store(episode(1)),
        Write::Forget("e0".into()),
        Write::Store(episode(2).with_embedding(vec![f32::NAN, 0.0])),
        Write::Forget("nobody".into()),
        Write::Associate(Association::new("e1", "e1", 1)),
    ];
    let answers = store.write_many(list.clone(), Atomicity::All);
    let abandoned = |answer: &Written| match answer {
        Written::Stored(Err(StoreError::Abandoned { item }))
        | Written::Forgotten(Err(ForgetError::Abandoned { item }))
        | Written::Associated(Err(AssociateError::Abandoned { item })) => Some(*item),
        _ => None,
    };
    let told: Vec<_> = answers.iter().map(abandoned).collect();
    assert_eq!(told, [Some(2), Some(2), None, None, Some(2)]);
    assert!(matches!(
        &answers[2],
        Written::Stored(Err(StoreError::Embedding(_)))
    ));
    assert!(matches!(
        &answers[3],
        Written::Forgotten(Err(ForgetError::UnknownId { .. }))
    ));
    assert_eq!(
        (store.state_digest(), store.stats()),
        before,
        "what was noted waits too"
    );
    // Each for itself, two of them are bad.
    let answers = store.write_many(list, Atomicity::Each);
    let done: Vec<_> = answers.iter().map(Written::is_ok).collect();
    assert_eq!(done, [true, true, false, false, true]);
    assert_eq!(store.stats().episodes, 1);
}

/// A list is what its writes are one by one, whether all are done or each counts.
#[test]
fn lists_are_as_one_by_one() {
    for (capacity, atomicity) in [
        (None, Atomicity::Each),
        (Some(9), Atomicity::Each),
        (Some(9), Atomicity::All),
        (Some(1), Atomicity::All),
    ] {
        let write = |number: usize| match number % 7 {
            // Unknown ids would take all along.
            3 => Write::Store(Episode::new(
                format!("e{}", number - 1),
                format!("new {number}"),
            )),
            5 => Write::Store(episode(number - 1)),
            6 => Write::Associate(Association::new(
                format!("e{}", number - 2),
                format!("e{}", number - 2),
                2,
            )),
            _ => Write::Store(episode(number)),
        };
        let list: Vec<Write> = (0..200).map(write).collect();
        let (disk_one, disk_list) = (SimDisk::new(), SimDisk::new());
        let one = open(&disk_one, capacity).unwrap();
        let together = open(&disk_list, capacity).unwrap();
        let mut singly = Vec::new();
        for write in list.clone() {
            singly.extend(one.write_many(vec![write], atomicity));
        }
        let mut listed = Vec::new();
        for part in list.chunks(33) {
            listed.extend(together.write_many(part.to_vec(), atomicity));
        }
        assert_eq!(format!("{singly:?}"), format!("{listed:?}"));
        assert!(listed.iter().all(Written::is_ok));
        let digest = one.state_digest();
        assert_eq!(together.state_digest(), digest);
        drop((one, together));
        for disk in [disk_one, disk_list] {
            assert_eq!(open(&disk, capacity).unwrap().state_digest(), digest);
        }
    }
}
