//! A cache is given back as it was written, for the log position it stands for, or not at all.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Disk, Keep, Open, SimDisk};
use cortica_storage::{
    CacheError, CacheKind, CachePoint, CommitError, CompactError, Durability, Effort, Fate, Log,
    LogOptions, OpenMode, check, repair,
};
use cortica_testkit::{CountingAllocator, peak_bytes, report};
use std::io::{self, Read, Write};
use std::path::Path;
use support::{DIR, OPTIONS, entry, keeps, payload, sim};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const KIND: CacheKind = CacheKind {
    name: "things",
    format: 3,
};
const FILE: &str = "/data/store/cache/things.cache";
const NEW: &str = "/data/store/cache/things.cache.new";

fn open(disk: &SimDisk) -> Log {
    open_with(disk, OPTIONS)
}

fn open_with(disk: &SimDisk, options: LogOptions) -> Log {
    let opened = Log::open(sim(disk), Path::new(DIR), options, |_| Ok(()));
    opened.unwrap().0
}

fn add(log: &mut Log, seq: u64, durability: Durability) -> Result<(), CommitError> {
    log.append(entry(seq), |out| out.extend(payload(seq)))
        .unwrap();
    log.commit(durability).map(|_| ())
}

/// What stands for a log position in these tests.
fn content(position: u64, len: usize) -> Vec<u8> {
    let mut rng = cortica_env::Seed(position).rng();
    (0..len).map(|_| rng.next_u64() as u8).collect()
}

fn write_at(point: &CachePoint, len: usize) -> Result<u64, CacheError> {
    let mut cache = point.create(KIND, !point.position())?;
    let wrote = cache.write_all(&content(point.position(), len));
    wrote.map_err(|source| CacheError::Io {
        action: "write",
        path: NEW.into(),
        source,
    })?;
    cache.finish()
}

/// Looks a cache up in both ways; the position it stands for, if it is whole.
#[track_caller]
fn found(log: &Log, len: usize) -> Result<u64, CacheError> {
    let cache = log.open_cache(KIND)?;
    let position = cache.position();
    assert!(position <= log.durable_to());
    let pieces = log.open_cache(KIND).map(|mut cache| {
        let mut bytes = Vec::new();
        cache.read_to_end(&mut bytes).map(|_| bytes)
    });
    let mapped = log.open_cache(KIND)?.into_mapped();
    match cache.into_payload() {
        Ok(bytes) => {
            assert_eq!(bytes, content(position, len), "not as it was written");
            assert!(*mapped.unwrap() == *bytes);
            assert_eq!(pieces.unwrap().unwrap(), bytes);
            Ok(position)
        }
        Err(error) => {
            assert!(mapped.is_err());
            let refused = pieces.unwrap().unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
            assert_eq!(refused.to_string(), error.to_string());
            Err(error)
        }
    }
}

fn names(disk: &SimDisk) -> Vec<String> {
    disk.list(Path::new("/data/store/cache"))
        .unwrap_or_default()
}

fn bytes_of(disk: &SimDisk, path: &str) -> Vec<u8> {
    let file = disk.open(Path::new(path), Open::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

fn put(disk: &SimDisk, path: &str, bytes: &[u8]) {
    let path = Path::new(path);
    let opened = disk.open(path, Open::Write);
    let file = opened.unwrap_or_else(|_| disk.open(path, Open::CreateNew).unwrap());
    file.set_len(0).unwrap();
    file.write_at(bytes, 0).unwrap();
}

#[test]
fn what_was_written_comes_back() {
    for len in [0, 1, 4_095, 4_096, 4_097, 1 << 20, (1 << 20) + 1, 3_000_000] {
        let disk = SimDisk::new();
        let mut log = open(&disk);
        assert!(matches!(
            log.open_cache(KIND),
            Err(CacheError::Missing { .. })
        ));
        add(&mut log, 0, Durability::Buffered).unwrap();
        let point = log.cache_point().unwrap();
        assert_eq!(point.position(), log.durable_to());
        let bytes = write_at(&point, len).unwrap();
        assert_eq!(bytes, bytes_of(&disk, FILE).len() as u64);
        assert_eq!(bytes, (64 + len + len.div_ceil(4_096) * 4) as u64);
        // It goes on standing for what it stood for, in this opening and the next one.
        let position = log.end();
        add(&mut log, 1, Durability::Durable).unwrap();
        assert_eq!(found(&log, len).unwrap(), position);
        drop((log, point));
        let log = open(&disk);
        assert_eq!(found(&log, len).unwrap(), position);
        let cache = log.open_cache(KIND).unwrap();
        assert_eq!(cache.fingerprint(), !position);
        assert_eq!(cache.payload_len(), len as u64);
        // In pieces of any size, and the rest at once.
        let mut cache = log.open_cache(KIND).unwrap();
        let mut first = vec![0; len.min(5_000)];
        cache.read_exact(&mut first).unwrap();
        first.extend(cache.into_payload().unwrap());
        assert_eq!(first, content(position, len));
        let next = CacheKind { format: 4, ..KIND };
        let refused = log.open_cache(next).unwrap_err();
        assert!(matches!(refused, CacheError::OtherFormat { .. }));
        assert_eq!(names(&disk), ["things.cache"]);
    }
}

/// Every bit of the file, and every length of it.
#[test]
fn damaged_it_is_refused() {
    const LEN: usize = 9_000; // Three blocks, the last one not full.
    let disk = SimDisk::new();
    let mut log = open(&disk);
    add(&mut log, 0, Durability::Durable).unwrap();
    write_at(&log.cache_point().unwrap(), LEN).unwrap();
    let whole = bytes_of(&disk, FILE);
    let (_, normal) = peak_bytes(|| found(&log, LEN));
    let file = disk.open(Path::new(FILE), Open::Write).unwrap();
    for bit in 0..whole.len() * 8 {
        let at = bit / 8;
        file.write_at(&[whole[at] ^ 1 << (bit % 8)], at as u64)
            .unwrap();
        let (outcome, held) = peak_bytes(|| found(&log, LEN));
        assert!(
            matches!(outcome, Err(CacheError::Damaged { .. })),
            "bit {bit}: {outcome:?}"
        );
        assert!(held <= 2 * normal, "bit {bit}: {held} of {normal}");
        file.write_at(&[whole[at]], at as u64).unwrap();
    }
    for len in (0..whole.len()).chain([whole.len() + 1, whole.len() + 4_096]) {
        put(&disk, FILE, &whole[..len.min(whole.len())]);
        file.set_len(len as u64).unwrap();
        let outcome = found(&log, LEN);
        assert!(
            matches!(outcome, Err(CacheError::Damaged { .. })),
            "{len}: {outcome:?}"
        );
    }
    for (from, to) in [(0, 1), (1, 0)] {
        let mut bad = whole.clone();
        let block = |number: usize| 64 + number * 4_096..64 + (number + 1) * 4_096;
        bad.copy_within(block(from), block(to).start);
        put(&disk, FILE, &bad);
        assert!(matches!(found(&log, LEN), Err(CacheError::Damaged { .. })));
    }
    put(&disk, FILE, &whole);
    found(&log, LEN).unwrap();
    let counts = [
        ("bits_flipped", whole.len() as u64 * 8),
        ("lengths_tried", whole.len() as u64 + 2),
    ];
    report("caches", 0, &counts);
}

/// What `check` says of the caches of a closed store: for each whether it is whole, and why not.
fn checked(disk: &SimDisk) -> Vec<(String, Option<u64>, Option<String>)> {
    let report = check(disk, Path::new(DIR), |_| Ok(())).unwrap();
    assert!(report.is_sound(), "a cache is no damage: {report:?}");
    let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
    let caches = report.caches.into_iter();
    caches
        .map(|it| (name(&it.file), it.position, it.useless))
        .collect()
}

/// `check` reads every byte of a cache: each flip and each length is found, and changes nothing.
#[test]
fn check_says_whether_caches_are_whole() {
    const LEN: usize = 4_200; // A block, and the beginning of another.
    let disk = SimDisk::new();
    let mut log = open(&disk);
    add(&mut log, 0, Durability::Durable).unwrap();
    let point = log.cache_point().unwrap();
    let position = point.position();
    write_at(&point, LEN).unwrap();
    drop(point);
    log.close().unwrap();
    let whole = [("things.cache".to_owned(), Some(position), None)];
    assert_eq!(checked(&disk), whole);
    let bytes = bytes_of(&disk, FILE);
    let file = disk.open(Path::new(FILE), Open::Write).unwrap();
    for (at, &byte) in bytes.iter().enumerate() {
        for bit in 0..8 {
            file.write_at(&[byte ^ 1 << bit], at as u64).unwrap();
            let found = checked(&disk);
            let why = found[0].2.as_deref().unwrap_or_default();
            assert!(
                why.contains("is damaged"),
                "byte {at}, bit {bit}: {found:?}"
            );
        }
        file.write_at(&[byte], at as u64).unwrap();
    }
    for len in (0..bytes.len()).rev() {
        file.set_len(len as u64).unwrap();
        assert!(checked(&disk)[0].2.is_some(), "{len}");
    }
    put(&disk, FILE, &bytes);
    assert_eq!(checked(&disk), whole);
    // One that was begun, and what is no cache at all.
    put(&disk, NEW, &bytes);
    put(&disk, "/data/store/cache/notes.txt", b"mine");
    let found = checked(&disk);
    assert_eq!((found.len(), &found[..1]), (2, &whole[..]));
    assert!(found[1].2.as_ref().unwrap().contains("never finished"));
    assert_eq!(bytes_of(&disk, NEW), bytes, "checking changes nothing");
    report("caches", 0, &[("bits_flipped", bytes.len() as u64 * 8)]);
    report("caches", 0, &[("lengths_tried", bytes.len() as u64)]);
}

/// Of a cache that stands for more than the log has, and of one beside a damaged log.
#[test]
fn check_says_which_caches_are_of_no_use() {
    let disk = SimDisk::new();
    let mut log = open(&disk);
    add(&mut log, 0, Durability::Durable).unwrap();
    log.close().unwrap();
    let older = disk.power_cut(Keep::Everything);
    let mut log = open(&disk);
    add(&mut log, 1, Durability::Durable).unwrap();
    write_at(&log.cache_point().unwrap(), 100).unwrap();
    log.close().unwrap();
    older
        .create_dir_all(Path::new("/data/store/cache"))
        .unwrap();
    put(&older, FILE, &bytes_of(&disk, FILE));
    let why = checked(&older).remove(0).2.unwrap();
    assert!(why.contains("stands for log position"), "{why}");

    let name = disk.list(Path::new("/data/store/log")).unwrap();
    let name = name.iter().find(|it| it.ends_with("0.log")).unwrap();
    let log = Path::new("/data/store/log").join(name);
    let file = disk.open(&log, Open::Write).unwrap();
    file.write_at(&[0xff], 128 + 60).unwrap();
    let report = check(&disk, Path::new(DIR), |_| Ok(())).unwrap();
    assert!(!report.is_sound());
    let why = report.caches[0].useless.as_ref().unwrap();
    assert!(why.contains("the log is damaged"), "{why}");
}

/// A reader that was told of damage is told again, and gives nothing out.
#[test]
fn reading_on_after_damage_says_so_again() {
    let disk = SimDisk::new();
    let mut log = open(&disk);
    add(&mut log, 0, Durability::Durable).unwrap();
    write_at(&log.cache_point().unwrap(), 9_000).unwrap();
    let file = disk.open(Path::new(FILE), Open::Write).unwrap();
    file.write_at(&[1, 2, 3, 4], 5_000).unwrap();
    let mut cache = log.open_cache(KIND).unwrap();
    for _ in 0..3 {
        let refused = cache.read(&mut [0; 100]).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidData);
    }
    let refused = cache.into_payload().unwrap_err();
    assert!(matches!(refused, CacheError::Damaged { .. }), "{refused}");
}

#[test]
fn one_that_stands_for_more_than_the_log_holds_is_refused_and_removed() {
    let disk = SimDisk::new();
    let mut log = open(&disk);
    add(&mut log, 0, Durability::Durable).unwrap();
    log.close().unwrap();
    let older = disk.power_cut(Keep::Everything);
    let mut log = open(&disk);
    add(&mut log, 1, Durability::Durable).unwrap();
    write_at(&log.cache_point().unwrap(), 100).unwrap();
    let newer = bytes_of(&disk, FILE);
    older
        .create_dir_all(Path::new("/data/store/cache"))
        .unwrap();
    put(&older, FILE, &newer);
    let reading = LogOptions {
        mode: OpenMode::ReadOnly,
        ..OPTIONS
    };
    let refused = open_with(&older, reading).open_cache(KIND).unwrap_err();
    assert!(matches!(refused, CacheError::Ahead { .. }), "{refused}");
    let (log, recovery) = Log::open(sim(&older), Path::new(DIR), OPTIONS, |_| Ok(())).unwrap();
    assert!(recovery.notes[0].contains("things.cache"), "{recovery:?}");
    // Else the log could grow past the position, with other records in it.
    assert!(names(&older).is_empty());
    assert!(matches!(
        log.open_cache(KIND),
        Err(CacheError::Missing { .. })
    ));
}

#[test]
fn none_is_used_where_the_log_lost_something() {
    let disk = SimDisk::new();
    let mut log = open(&disk);
    for seq in 0..20 {
        add(&mut log, seq, Durability::Durable).unwrap();
    }
    write_at(&log.cache_point().unwrap(), 100).unwrap();
    log.close().unwrap();
    let first = "/data/store/log/00000000000000000000.log";
    let file = disk.open(Path::new(first), Open::Write).unwrap();
    file.write_at(&[0x55; 9], 700).unwrap();
    let log = open(&disk);
    let refused = log.open_cache(KIND).unwrap_err();
    assert!(matches!(refused, CacheError::LogDamaged), "{refused}");
    drop(log);
    repair(&sim(&disk), Path::new(DIR), |_| Ok(())).unwrap();
    assert!(names(&disk).is_empty());
    let log = open(&disk);
    assert!(log.is_writable());
    assert!(matches!(
        log.open_cache(KIND),
        Err(CacheError::Missing { .. })
    ));
}

#[test]
fn none_holds_what_was_forgotten() {
    let disk = SimDisk::new();
    let mut log = open(&disk);
    add(&mut log, 0, Durability::Durable).unwrap();
    let location = log.append(entry(1), |out| out.extend(payload(1))).unwrap();
    log.commit(Durability::Durable).unwrap();
    let before = log.cache_point().unwrap();
    write_at(&before, 100).unwrap();
    let other = CacheKind {
        name: "others",
        ..KIND
    };
    let under_way = before.create(other, 0).unwrap();
    add(&mut log, 2, Durability::Durable).unwrap(); // Says that 1 is forgotten.
    log.retire(location);
    let after = log.cache_point().unwrap();
    let kind = CacheKind {
        name: "third",
        ..KIND
    };
    after.create(kind, 0).unwrap().finish().unwrap();
    while let Some(plan) = log.plan_compaction(Effort::Everything).unwrap() {
        let rewritten = plan.rewrite(|record| match record.entry.seq {
            1 => Fate::Drop,
            _ => Fate::Keep,
        });
        log.install(rewritten.unwrap()).unwrap();
    }
    assert_eq!(names(&disk), ["third.cache"]);
    let refused = under_way.finish().unwrap_err();
    assert!(!matches!(refused, CacheError::Missing { .. }), "{refused}");
    let refused = before.create(KIND, 0).unwrap_err();
    assert!(matches!(refused, CacheError::Overtaken { .. }), "{refused}");
    assert_eq!(names(&disk), ["third.cache"]);
    log.open_cache(kind).unwrap();
}

#[test]
fn one_is_written_at_a_time_and_one_begun_leaves_nothing() {
    let disk = SimDisk::new();
    let mut log = open(&disk);
    add(&mut log, 0, Durability::Durable).unwrap();
    let point = log.cache_point().unwrap();
    let first = point.create(KIND, 0).unwrap();
    let refused = point.create(KIND, 0).unwrap_err();
    assert!(matches!(refused, CacheError::Busy { .. }), "{refused}");
    drop(first);
    assert!(names(&disk).is_empty());
    write_at(&point, 10).unwrap();
    for name in ["", "a/b", "..", "a.b"] {
        let kind = CacheKind { name, format: 0 };
        let refused = point.create(kind, 0).unwrap_err();
        assert!(matches!(refused, CacheError::BadName { .. }), "{refused}");
    }
    // What a process left behind when it was killed.
    put(&disk, NEW, b"half");
    drop((log, point));
    let log = open(&disk);
    assert_eq!(names(&disk), ["things.cache"]);
    // Somebody else's are left alone.
    disk.create_dir_all(Path::new("/data/store/cache/more.cache"))
        .unwrap();
    put(&disk, "/data/store/cache/notes.txt", b"mine");
    drop(log);
    let log = open(&disk);
    assert_eq!(names(&disk), ["more.cache", "notes.txt", "things.cache"]);
    found(&log, 10).unwrap();
}

/// A script that writes caches now and then, for positions some of which were not durable before.
/// Calls `told` with each position whose cache was said to be durable.
fn script(disk: &SimDisk, mut told: impl FnMut(u64)) -> Result<(), CompactError> {
    for session in 0..3 {
        let opened = Log::open(sim(disk), Path::new(DIR), OPTIONS, |_| Ok(()))?;
        let mut log = opened.0;
        for seq in 0..3 {
            let last = seq == 2;
            let durability = [Durability::Buffered, Durability::Durable][usize::from(last)];
            add(&mut log, session * 10 + seq, durability)?;
            let point = log.cache_point()?;
            if write_at(&point, 5_000).is_ok() {
                told(point.position());
            }
            add(&mut log, session * 10 + 5 + seq, Durability::Buffered)?;
        }
        if session == 1 {
            log.close()?;
        }
    }
    Ok(())
}

/// What is there after a disaster is right, and not older than what was promised.
#[track_caller]
fn judge(disk: &SimDisk, promised: u64, what: &dyn std::fmt::Debug) {
    let mut log = open(disk);
    match found(&log, 5_000) {
        Ok(position) => assert!(position >= promised, "{what:?}: {position}"),
        Err(CacheError::Missing { .. }) if promised == 0 => {}
        Err(error) => panic!("{what:?}: {error}"),
    }
    assert!(names(disk).len() <= 1, "{what:?}");
    add(&mut log, 99, Durability::Durable).unwrap();
    write_at(&log.cache_point().unwrap(), 5_000).unwrap();
    found(&log, 5_000).unwrap();
}

#[test]
fn a_power_cut_leaves_a_whole_one_that_is_not_ahead() {
    let (mut cuts, mut images) = (0, 0);
    loop {
        let disk = SimDisk::new();
        disk.power_off_after(cuts);
        let mut promised = 0;
        let ended = script(&disk, |position| promised = position).is_ok();
        for keep in keeps(disk.unsynced(), cuts, 16) {
            judge(&disk.power_cut(keep), promised, &(cuts, keep));
            images += 1;
        }
        if ended {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 80 && images > 3_000, "{cuts}, {images}");
    let counts = [("cuts", cuts), ("disks_tried", images)];
    report("caches", 0, &counts);
}

#[test]
fn one_that_cannot_be_written_does_no_harm() {
    let mut n = 1;
    loop {
        let disk = SimDisk::new();
        disk.fail_operation(n);
        let mut promised = 0;
        let ended = script(&disk, |position| promised = position);
        for keep in [Keep::Nothing, Keep::Everything] {
            judge(&disk.power_cut(keep), promised, &(n, keep));
        }
        judge(&disk.power_cut(Keep::Everything), promised, &n);
        if disk.operations() < n {
            ended.unwrap();
            break;
        }
        n += 1;
    }
    report("caches", 0, &[("failing_operations", n)]);
    // Nor on a full disk.
    let disk = SimDisk::new();
    let mut log = open(&disk);
    add(&mut log, 0, Durability::Durable).unwrap();
    let point = log.cache_point().unwrap();
    write_at(&point, 5_000).unwrap();
    disk.set_capacity(disk.used() + 3_000);
    let mut refused = point.create(KIND, 0).unwrap();
    refused.write_all(&[1; 5_000]).unwrap();
    assert!(matches!(refused.finish(), Err(CacheError::Io { .. })));
    assert_eq!(names(&disk), ["things.cache"]);
    found(&log, 5_000).unwrap();
    add(&mut log, 1, Durability::Durable).unwrap();
}
