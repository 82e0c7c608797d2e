//! A memory that allocates and has a capacity: what goes frees its column, in the same batch too, and the log brings
//! everything back to the bit.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica::{
    AllocationOptions, Atomicity, Builder, Confidence, Cortica, Cue, Episode, ManualClock,
    Networks, Stored, StoredColumn, Timestamp, Write, Written,
};
use cortica_env::{Keep, Seed, SimDisk};
use cortica_testkit::Rng;
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "/data/store";
/// What the small networks of the tests take.
const DIMENSION: usize = 40;

fn networks() -> Networks {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../neural/tests/golden/networks.safetensors");
    Networks::open(&path).unwrap()
}

fn builder(disk: &SimDisk, capacity: usize) -> Builder {
    Cortica::builder()
        .dimension(DIMENSION)
        .capacity(capacity)
        .segment_bytes(16 << 10)
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(Timestamp::from_micros(5))))
}

fn open(disk: &SimDisk, capacity: usize) -> Cortica {
    let allocation = AllocationOptions::new(5, 5, 4).with_networks(networks());
    let builder = builder(disk, capacity).allocation(allocation);
    builder.open(DIR).unwrap()
}

fn vector(number: u64) -> Vec<f32> {
    Rng::new(1_000 + number).vector(DIMENSION)
}

fn episode(number: u64) -> Episode {
    let sure = Confidence::new((number * 7 % 10) as f32 / 10.0).unwrap();
    let episode = Episode::new(format!("e{number}"), format!("text {number}"));
    let episode = episode.with_embedding(vector(number)).with_confidence(sure);
    match number % 3 {
        0 => episode,
        stream => episode.with_stream(format!("stream {stream}")),
    }
}

/// New ones, updates, contents that are there, and concepts that others have or had.
fn work() -> Vec<Episode> {
    let again = |number: u64| episode(number).with_embedding(vector(number + 500));
    let like =
        |number: u64| Episode::new(format!("like {number}"), "x").with_embedding(vector(number));
    let all = (0..30).map(episode).chain((20..28).map(again));
    let all = all.chain((0..20).map(like)).chain((25..30).map(episode));
    all.collect()
}

#[test]
fn a_batch_that_evicts_what_it_stored_is_as_one_by_one() {
    for capacity in [1, 5, 20] {
        let (disk_one, disk_many, disk_list) = (SimDisk::new(), SimDisk::new(), SimDisk::new());
        let one = open(&disk_one, capacity);
        let many = open(&disk_many, capacity);
        let list = open(&disk_list, capacity);
        let alone: Vec<Stored> = work()
            .into_iter()
            .map(|it| one.store(it).unwrap())
            .collect();
        let together = many.store_many(work()).into_iter().map(Result::unwrap);
        let writes = work().into_iter().map(Write::Store).collect();
        let listed = list.write_many(writes, Atomicity::All).into_iter();
        let listed = listed.map(|written| match written {
            Written::Stored(stored) => stored.unwrap(),
            other => panic!("{other:?}"),
        });
        assert_eq!(alone, together.collect::<Vec<_>>(), "{capacity}");
        assert_eq!(alone, listed.collect::<Vec<_>>(), "{capacity}");
        let gone: usize = alone.iter().map(|stored| stored.evicted.len()).sum();
        assert!(gone > 20, "{gone}");
        let digest = one.state_digest();
        assert_eq!(many.state_digest(), digest);
        assert_eq!(list.state_digest(), digest);
        let held = one.stats().columns.unwrap().held;
        assert!(held as usize <= capacity && held > 0);
        drop((one, many, list));
        for disk in [disk_one, disk_many, disk_list] {
            let memory = open(&disk, capacity);
            assert_eq!(memory.state_digest(), digest, "{capacity}");
            memory.compact().unwrap();
            assert_eq!(memory.state_digest(), digest);
            memory.close().unwrap();
            // Without networks, too.
            let memory = builder(&disk, capacity).open(DIR).unwrap();
            assert_eq!(memory.state_digest(), digest);
        }
    }
}

#[test]
fn what_goes_frees_its_column_for_its_like() {
    let memory = open(&SimDisk::new(), 1);
    let stored = memory.store_many(vec![
        episode(1),
        Episode::new("like", "x").with_embedding(vector(1)),
    ]);
    let column = |at: usize| match &stored[at].as_ref().unwrap().allocation {
        Some(StoredColumn::Allocated { column, .. }) => *column,
        other => panic!("{other:?}"),
    };
    assert_eq!(memory.column("like"), Some(column(1)));
    assert_eq!((memory.column("e1"), column(0) == column(1)), (None, false));
    assert_eq!(memory.stats().columns.unwrap().held, 1);
}

/// A list that is refused leaves columns, prototypes and windows as they were, also where something was let go
/// of that it had stored itself.
#[test]
fn a_list_that_is_refused_leaves_no_bit_behind() {
    let memory = open(&SimDisk::new(), 4);
    for number in 0..6 {
        memory.store(episode(number)).unwrap();
    }
    let before = memory.state_digest();
    let mut list: Vec<Write> = (6..20).map(|n| Write::Store(episode(n))).collect();
    list.push(Write::Forget("e19".into()));
    list.push(Write::Forget("nobody".into()));
    let answers = memory.write_many(list, Atomicity::All);
    assert!(answers.iter().all(|answer| !answer.is_ok()));
    assert_eq!(memory.state_digest(), before);
    // And what comes next is what it would have been.
    let other = open(&SimDisk::new(), 4);
    for number in 0..6 {
        other.store(episode(number)).unwrap();
    }
    let next = |memory: &Cortica| memory.store(episode(77)).unwrap().evicted;
    assert_eq!(next(&memory), next(&other));
}

#[test]
fn recalls_keep_what_they_return() {
    let memory = open(&SimDisk::new(), 3);
    for number in [3, 6, 9] {
        // Confidences 0.1, 0.2 and 0.3.
        memory.store(episode(number)).unwrap();
    }
    let cue = Cue::embedding(vector(3)).max_results(1);
    for _ in 0..9 {
        assert_eq!(&*memory.recall(&cue).unwrap()[0].memory.id, "e3");
    }
    assert_eq!(memory.stats().pending, 1);
    let stored = memory.store(episode(12)).unwrap();
    assert_eq!(&*stored.evicted[0].id, "e6");
    assert!(memory.get("e3").is_some());
}

/// One step: a recall, and one new episode or a list of them.
fn step(memory: &Cortica, number: u64) -> bool {
    let cue = Cue::embedding(vector(number)).max_results(2);
    memory.recall(&cue).unwrap();
    if number % 4 == 3 {
        let many = (0..9).map(|at| Write::Store(episode(100 * number + at)));
        let answers = memory.write_many(many.collect(), Atomicity::All);
        return answers.iter().all(Written::is_ok);
    }
    memory.store(episode(number)).is_ok()
}

#[test]
fn a_power_cut_leaves_no_part_of_what_was_stored_and_evicted() {
    const STEPS: u64 = 16;
    let reference = open(&SimDisk::new(), 5);
    let mut states = vec![reference.state_digest()];
    for number in 0..STEPS {
        assert!(step(&reference, number));
        states.push(reference.state_digest());
    }
    let (mut tried, mut torn) = (0, 0);
    for cut in 0.. {
        let disk = SimDisk::new();
        let memory = open(&disk, 5);
        disk.power_off_after(cut);
        let done = (0..STEPS).take_while(|&number| step(&memory, number));
        let acknowledged = done.count();
        drop(memory);
        let seeded = (0..4).map(|seed| Keep::Seeded(Seed(seed).derive(&cut.to_string())));
        for keep in [Keep::Nothing, Keep::Everything].into_iter().chain(seeded) {
            let found = open(&disk.power_cut(keep), 5);
            let digest = found.state_digest();
            let at = states.iter().position(|state| *state == digest);
            assert!(
                at.is_some_and(|at| at >= acknowledged),
                "cut {cut}, {keep:?}: {at:?}"
            );
            torn += u64::from(found.stats().recovery.dropped_tail_bytes > 0);
            tried += 1;
        }
        if acknowledged as u64 == STEPS {
            break;
        }
    }
    assert!(
        tried > 100 && torn > 0,
        "{tried} disks tried, {torn} with a torn end"
    );
}
