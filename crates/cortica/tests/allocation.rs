//! A memory that allocates: what it answers, and that its log brings back every column, prototype and window to the
//! bit, with networks and without.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

use cortica::{
    AllocationOptions, Answered, Builder, ColumnId, Cortica, Durability, Episode, ManualClock,
    Networks, OpenError, Operation, StoreError, StoreOutcome, Stored, StoredColumn, Timestamp,
};
use cortica_env::{Keep, Seed, SimDisk};
use cortica_testkit::Rng;
use std::collections::HashSet;
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

fn allocation() -> AllocationOptions {
    AllocationOptions::new(5, 5, 4).with_networks(networks())
}

fn builder(disk: &SimDisk) -> Builder {
    Cortica::builder()
        .dimension(DIMENSION)
        .segment_bytes(16 << 10)
        .disk(Arc::new(disk.clone()))
        .clock(Arc::new(ManualClock::new(Timestamp::from_micros(5))))
}

fn open(disk: &SimDisk) -> Cortica {
    builder(disk).allocation(allocation()).open(DIR).unwrap()
}

fn vector(number: u64) -> Vec<f32> {
    Rng::new(1_000 + number).vector(DIMENSION)
}

fn episode(number: u64) -> Episode {
    let episode = Episode::new(format!("e{number}"), format!("text {number}"));
    let episode = episode.with_embedding(vector(number));
    match number % 3 {
        0 => episode,
        stream => episode.with_stream(format!("stream {stream}")),
    }
}

#[track_caller]
fn column_of(stored: &Stored) -> ColumnId {
    match &stored.allocation {
        Some(StoredColumn::Allocated { column, .. }) => *column,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_concept_has_a_column_and_its_like_is_named() {
    let disk = SimDisk::new();
    let memory = open(&disk);
    let tea = memory.store(episode(1)).unwrap();
    let column = column_of(&tea);
    assert_eq!(memory.column("e1"), Some(column));
    // The same embedding under another id and with another text: stored, and without a column.
    let chai = Episode::new("chai", "another text").with_embedding(vector(1));
    let chai = memory.store(chai).unwrap();
    assert_eq!(chai.outcome, StoreOutcome::Stored);
    let Some(StoredColumn::Duplicate {
        column: at,
        similarity,
        of,
    }) = &chai.allocation
    else {
        panic!("{:?}", chai.allocation)
    };
    assert_eq!((*at, *similarity, &**of), (column, 1.0, "e1"));
    assert_eq!(memory.column("chai"), None);
    // What is there already is reinforced, and nothing is asked for without an embedding.
    assert_eq!(memory.store(episode(1)).unwrap().allocation, None);
    let bare = memory.store(Episode::new("bare", "no embedding")).unwrap();
    assert_eq!((bare.allocation, memory.column("bare")), (None, None));
    let columns = memory.stats().columns.unwrap();
    assert_eq!(
        (columns.sides, columns.held, columns.allocates),
        ([5, 5, 4], 1, true)
    );
    // Forgotten, it frees its column, and its like may have one.
    memory.forget("e1").unwrap();
    assert_eq!(memory.stats().columns.unwrap().held, 0);
    let again = Episode::new("again", "a third text").with_embedding(vector(1));
    column_of(&memory.store(again).unwrap());
}

#[test]
fn an_update_keeps_its_column_and_is_known_by_its_new_embedding() {
    let disk = SimDisk::new();
    let memory = open(&disk);
    let column = column_of(&memory.store(episode(3)).unwrap());
    let updated = episode(3).with_embedding(vector(77));
    assert_eq!(
        memory.store(updated).unwrap().outcome,
        StoreOutcome::Updated
    );
    assert_eq!(memory.column("e3"), Some(column));
    let like = |memory: &Cortica, id: &str| {
        let stored = memory.store(Episode::new(id, id).with_embedding(vector(77)));
        match stored.unwrap().allocation {
            Some(StoredColumn::Duplicate { column, of, .. }) => (column, of.to_string()),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(like(&memory, "a"), (column, "e3".to_owned()));
    let digest = memory.state_digest();
    memory.close().unwrap();
    let memory = open(&disk);
    assert_eq!(memory.state_digest(), digest);
    assert_eq!(like(&memory, "b"), (column, "e3".to_owned()));
    // Also where the record that taught it is nothing but a trace any more, or gone.
    memory.compact().unwrap();
    let digest = memory.state_digest();
    drop(memory);
    let memory = open(&disk);
    assert_eq!(
        (memory.state_digest(), memory.column("e3")),
        (digest, Some(column))
    );
}

#[test]
fn what_is_like_an_update_of_the_same_batch_is_known_as_one_by_one() {
    let clocked = || open(&SimDisk::new());
    for number in 0..10 {
        let store = |id: &str, number: u64, by: f32| {
            let mut embedding = vector(number);
            embedding[0] += by;
            Episode::new(id, format!("{id} {number}")).with_embedding(embedding)
        };
        let list = [
            store("tea", number, 0.0),
            store("tea", number + 500, 0.0),
            store("same", number + 500, 0.0),
            store("near", number + 500, 1e-4),
            store("old", number, 0.0),
            store("tea", number, 0.0),
            store("older", number, 1e-4),
        ];
        let alone = clocked();
        let one_by_one = list.clone().map(|episode| alone.store(episode).unwrap());
        let like = |stored: &Stored| match &stored.allocation {
            Some(StoredColumn::Duplicate { of, .. }) => of.to_string(),
            _ => String::new(),
        };
        let likes = one_by_one.each_ref().map(like);
        assert_eq!(likes[..4], ["", "", "tea", "tea"], "{number}");
        let many = clocked();
        let stored = many.store_many(list.to_vec());
        let stored: Vec<_> = stored.into_iter().map(Result::unwrap).collect();
        assert_eq!(stored, one_by_one, "{number}");
        assert_eq!(many.state_digest(), alone.state_digest(), "{number}");
        let batch = clocked();
        let done = batch.batch().run(list.map(Operation::Allocate).into());
        let answered = |(answer, one): (_, &Stored)| match answer {
            Ok(Answered::Allocated(stored)) => assert_eq!(&stored, one, "{number}"),
            other => panic!("{other:?}"),
        };
        done.unwrap()
            .answers
            .into_iter()
            .zip(&one_by_one)
            .for_each(answered);
        assert_eq!(batch.state_digest(), alone.state_digest(), "{number}");
    }
}

#[test]
fn an_update_without_an_embedding_keeps_its_column_and_number_and_nothing_is_like_it() {
    let disks = [SimDisk::new(), SimDisk::new()];
    let [plain, opened] = disks.each_ref().map(|disk| {
        let is_opened = std::ptr::eq(disk, &raw const disks[1]);
        let mut memory = open(disk);
        let again = |memory: Cortica| {
            if !is_opened {
                return memory;
            }
            let digest = memory.state_digest();
            drop(memory);
            let memory = open(disk);
            assert_eq!(memory.state_digest(), digest);
            memory
        };
        let tea = column_of(&memory.store(episode(3)).unwrap());
        memory.store(Episode::new("e3", "without")).unwrap();
        memory = again(memory);
        assert_eq!(memory.column("e3"), Some(tea));
        let like = Episode::new("like", "like").with_embedding(vector(3));
        let like_at = column_of(&memory.store(like).unwrap());
        memory = again(memory);
        memory.store(episode(6)).unwrap();
        memory.forget("e3").unwrap();
        memory = again(memory);
        // The number of the one that is gone was nobody else's.
        let second = Episode::new("second", "second").with_embedding(vector(3));
        let second = memory.store(second).unwrap().allocation;
        assert!(
            matches!(&second, Some(StoredColumn::Duplicate { column, of, .. }) if *column == like_at && &**of == "like"),
            "{second:?}"
        );
        memory.store(Episode::new("like", "without")).unwrap();
        memory = again(memory);
        memory.store(Episode::new("like", "with").with_embedding(vector(50))).unwrap();
        memory = again(memory);
        let third = Episode::new("third", "third").with_embedding(vector(50));
        let third = memory.store(third).unwrap().allocation;
        assert!(matches!(&third, Some(StoredColumn::Duplicate { of, .. }) if &**of == "like"));
        again(memory).state_digest()
    });
    assert_eq!(plain, opened);
}

/// Near, not the same to the bit: found among codes.
#[test]
fn what_is_near_an_updated_embedding_is_a_duplicate_before_and_after_opening() {
    let near = |number: u64, by: f32| {
        let mut near = vector(number);
        near[0] += by;
        near
    };
    for number in 0..30 {
        let disk = SimDisk::new();
        let memory = open(&disk);
        let store = |memory: &Cortica, id: &str, embedding| {
            let stored = memory.store(Episode::new(id, id).with_embedding(embedding));
            stored.unwrap().allocation
        };
        let is_like = |answer: Option<StoredColumn>, id: &str| match answer {
            Some(StoredColumn::Duplicate { of, .. }) => &*of == id,
            _ => false,
        };
        store(&memory, "tea", near(number, 0.0));
        assert!(is_like(store(&memory, "like", near(number, 1e-4)), "tea"));
        store(&memory, "tea", near(number + 500, 0.0));
        let like = store(&memory, "new", near(number + 500, 1e-4));
        assert!(is_like(like, "tea"), "{number}");
        let digest = memory.state_digest();
        drop(memory);
        let memory = open(&disk);
        assert_eq!(memory.state_digest(), digest);
        let like = store(&memory, "again", near(number + 500, 2e-4));
        assert!(is_like(like, "tea"), "{number}, opened again");
        memory.compact().unwrap();
        drop(memory);
        let like = store(&open(&disk), "compacted", near(number + 500, 3e-4));
        assert!(is_like(like, "tea"), "{number}, compacted");
    }
}

#[test]
fn a_full_grid_stores_without_a_column() {
    let memory = Cortica::builder()
        .allocation(AllocationOptions::new(2, 2, 1).with_networks(networks()))
        .in_memory()
        .unwrap();
    let answers = memory.store_many((0..6).map(episode).collect());
    let none = |answer: &&Result<Stored, StoreError>| {
        answer.as_ref().unwrap().allocation == Some(StoredColumn::NoSuitableColumn)
    };
    assert_eq!(answers.iter().filter(none).count(), 2);
    assert_eq!(memory.stats().episodes, 6);
}

/// What is done to a store, step by step; each is one commit.
fn step(memory: &Cortica, number: u64) {
    let forgotten = |by: u64| format!("e{}", number.saturating_sub(by));
    match number % 7 {
        3 => drop(memory.store_many((0..4).map(|at| episode(number * 10 + at)).collect())),
        5 => drop(memory.forget_many(&[forgotten(1), forgotten(4)])),
        6 => {
            let update = episode(number - 5).with_embedding(vector(number * 1_000));
            drop(memory.store(update));
        }
        _ => drop(memory.store(episode(number))),
    }
}

#[test]
fn what_many_at_a_time_give_is_what_one_at_a_time_gives() {
    let episodes = || -> Vec<Episode> {
        let again = |number: u64| episode(number).with_embedding(vector(number + 500));
        let same = |number: u64| {
            Episode::new(format!("like {number}"), "x").with_embedding(vector(number))
        };
        let all = (0..30).map(episode).chain((0..5).map(again));
        all.chain((10..20).map(same)).collect()
    };
    let (one, many) = (open(&SimDisk::new()), open(&SimDisk::new()));
    let alone: Vec<_> = episodes()
        .into_iter()
        .map(|it| one.store(it).unwrap())
        .collect();
    let together: Vec<_> = many
        .store_many(episodes())
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(alone, together);
    assert_eq!(one.state_digest(), many.state_digest());
}

#[test]
fn every_opening_brings_back_the_same_bits() {
    let disk = SimDisk::new();
    let mut memory = open(&disk);
    for number in 0..90 {
        step(&memory, number);
        if number % 9 == 8 {
            let digest = memory.state_digest();
            match number % 4 {
                0 => drop(memory),
                1 => assert_eq!(memory.close().unwrap(), Durability::Durable),
                _ => {
                    memory.compact().unwrap();
                    assert_eq!(memory.state_digest(), digest, "compaction changes nothing");
                    drop(memory);
                }
            }
            // Without networks, too, and for reading only.
            let reader = builder(&disk).read_only().open(DIR).unwrap();
            assert_eq!(reader.state_digest(), digest, "without networks");
            assert!(!reader.stats().columns.unwrap().allocates);
            drop(reader);
            memory = open(&disk);
            assert_eq!(memory.state_digest(), digest, "after {number}");
            let stats = memory.stats();
            assert_eq!(stats.lost_columns, 0);
            assert!(stats.columns.unwrap().held > 0);
        }
    }
    // A snapshot is the same, and so is what was restored from it.
    let digest = memory.state_digest();
    memory.snapshot("/data/copy").unwrap();
    assert_eq!(memory.state_digest(), digest);
    let copy = builder(&disk)
        .allocation(allocation())
        .open("/data/copy")
        .unwrap();
    assert_eq!(copy.state_digest(), digest);
}

#[test]
fn nothing_is_left_of_what_was_forgotten() {
    let disk = SimDisk::new();
    let memory = open(&disk);
    for number in 0..60 {
        memory.store(episode(number)).unwrap();
    }
    // Its code, as it lies in the log: 32 bytes of it are told from chance.
    let mut code = [[0.0; 64]];
    let networks = networks();
    let encoder = networks.encoder();
    encoder
        .encode_many(&vector(30), &mut networks.scratch(), &mut code)
        .unwrap();
    let code = cortica_cortex::normalised(&code[0]).unwrap();
    let needle: Vec<u8> = code[..8]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let found = |folder: &str| {
        let log = Path::new(folder).join("log");
        let names = cortica_env::Disk::list(&disk, &log).unwrap();
        names.iter().any(|name| {
            let file = cortica_env::Disk::open(&disk, &log.join(name), cortica_env::Open::Read);
            let bytes = file.unwrap().map().unwrap();
            bytes.windows(needle.len()).any(|window| window == needle)
        })
    };
    assert!(found(DIR), "the test can see it");
    memory.forget("e30").unwrap();
    memory.snapshot("/data/copy").unwrap();
    assert!(!found("/data/copy"));
    memory.compact().unwrap();
    assert!(!found(DIR));
    let digest = memory.state_digest();
    drop(memory);
    assert_eq!(open(&disk).state_digest(), digest);
}

#[test]
fn a_power_cut_leaves_a_state_that_there_was() {
    // With the log durable after every step, the disk is cut off at every operation of the next ones.
    let (mut cuts, mut kept) = (0, 0);
    for prefix in [1, 12, 33] {
        let base = SimDisk::new();
        let memory = open(&base);
        for number in 0..prefix {
            step(&memory, number);
        }
        memory.close().unwrap();
        let total = {
            let disk = base.power_cut(Keep::Everything);
            let memory = open(&disk);
            let before = disk.operations();
            for number in prefix..prefix + 7 {
                step(&memory, number);
            }
            memory.compact().unwrap();
            disk.operations() - before
        };
        for cut in 0..total {
            let disk = base.power_cut(Keep::Everything);
            let memory = open(&disk);
            disk.power_off_after(cut);
            let mut states = HashSet::from([memory.state_digest()]);
            let mut last = memory.state_digest();
            for number in prefix..prefix + 7 {
                step(&memory, number);
                let digest = memory.state_digest();
                if digest != last {
                    last = digest;
                    states.insert(digest);
                }
            }
            let _ = memory.compact();
            // What a step that was not acknowledged would have led to.
            let twin = base.power_cut(Keep::Everything);
            let twin = open(&twin);
            let mut all = vec![twin.state_digest()];
            for number in prefix..prefix + 7 {
                step(&twin, number);
                all.push(twin.state_digest());
            }
            let acknowledged = all.iter().rposition(|digest| *digest == last).unwrap();
            for keep in [Keep::Nothing, Keep::Everything, Keep::Seeded(Seed(cut))] {
                let found = open(&disk.power_cut(keep));
                let digest = found.state_digest();
                let at = all.iter().rposition(|known| *known == digest);
                assert!(
                    at.is_some_and(|at| at >= acknowledged),
                    "cut {cut} of {total} after {prefix}: {at:?} of {acknowledged}"
                );
                kept += usize::from(at > Some(acknowledged));
                cuts += 1;
            }
        }
    }
    println!("{cuts} disks tried, {kept} with more than was acknowledged");
    assert!(cuts > 150, "{cuts}");
}

#[test]
fn a_log_that_fails_leaves_no_column_behind() {
    let disk = SimDisk::new();
    let memory = open(&disk);
    memory.store(episode(0)).unwrap();
    let (digest, used) = (memory.state_digest(), disk.used());
    disk.set_capacity(used);
    let mut number = 1;
    // What the file has room for is stored; then the disk is full.
    let refused = loop {
        let before = memory.state_digest();
        let answers = memory.store_many((number..number + 5).map(episode).collect());
        if answers.iter().any(Result::is_err) {
            assert_eq!(memory.state_digest(), before, "rolled back to the bit");
            break answers;
        }
        number += 5;
        assert!(number < 10_000);
    };
    assert!(refused.iter().all(Result::is_err) && memory.state_digest() != digest);
    // With room again it goes on as if nothing had been in between.
    disk.set_capacity(u64::MAX);
    let twin = open(&SimDisk::new());
    twin.store(episode(0)).unwrap();
    for from in (1..=number).step_by(5) {
        twin.store_many((from..from + 5).map(episode).collect());
    }
    assert!(
        memory
            .store_many((number..number + 5).map(episode).collect())
            .iter()
            .all(Result::is_ok)
    );
    assert_eq!(memory.state_digest(), twin.state_digest());
}

#[test]
fn what_cannot_be_is_refused_before_a_folder_is_made() {
    let disk = SimDisk::new();
    let refused = |allocation: AllocationOptions, dimension: usize| {
        let opened = builder(&disk)
            .dimension(dimension)
            .allocation(allocation)
            .open(DIR);
        assert!(cortica_env::Disk::list(&disk, Path::new(DIR)).is_err());
        opened.err().unwrap()
    };
    assert!(matches!(
        refused(allocation(), 39),
        OpenError::Networks { asked: 39, own: 40 }
    ));
    let shipped = AllocationOptions::new(4, 4, 4);
    assert!(matches!(
        refused(shipped, 39),
        OpenError::NoWeights { asked: 39 }
    ));
    let radius = allocation().with_search_radius(0.0);
    assert!(matches!(
        refused(radius, 40),
        OpenError::SearchRadius { .. }
    ));
    let none = AllocationOptions::new(0, 4, 4).with_networks(networks());
    assert!(matches!(refused(none, 40), OpenError::Allocation(_)));
    let mut odd = allocation();
    odd.engine.rate = f32::NAN;
    assert!(matches!(refused(odd, 40), OpenError::Allocation(_)));
    // Who replays the log without networks would drop other windows.
    for streams_max in [1, 4_095, 4_097] {
        let mut few = allocation();
        few.engine.streams_max = streams_max;
        let OpenError::Allocation(why) = refused(few, 40) else {
            panic!("{streams_max} streams")
        };
        assert!(why.to_string().starts_with("streams_max is"), "{why}");
    }
    // The grid of a store is what it is.
    let memory = open(&disk);
    memory.store(episode(1)).unwrap();
    memory.close().unwrap();
    let other = AllocationOptions::new(6, 5, 4).with_networks(networks());
    let refused = builder(&disk).allocation(other).open(DIR).err().unwrap();
    let (asked, found) = ([6, 5, 4], [5, 5, 4]);
    assert!(matches!(refused, OpenError::Grid { asked: a, found: f } if (a, f) == (asked, found)));
}

#[test]
fn a_store_begins_to_allocate_whenever_it_is_asked_to() {
    let disk = SimDisk::new();
    let memory = builder(&disk)
        .durability(Durability::Buffered)
        .open(DIR)
        .unwrap();
    memory.store(episode(1)).unwrap();
    assert!(memory.stats().columns.is_none());
    memory.close().unwrap();
    let memory = open(&disk);
    assert_eq!(memory.column("e1"), None, "what was there has none");
    let column = column_of(&memory.store(episode(2)).unwrap());
    memory.close().unwrap();
    let memory = builder(&disk).open(DIR).unwrap();
    assert_eq!(memory.column("e2"), Some(column));
    assert_eq!(memory.store(episode(4)).unwrap().allocation, None);
    memory.forget("e2").unwrap();
    let digest = memory.state_digest();
    memory.close().unwrap();
    assert_eq!(open(&disk).state_digest(), digest);
}
