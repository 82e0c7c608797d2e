//! The bytes on disk are those that docs/storage.md describes: files put together here, by that page
//! alone, are opened, and the log writes the same ones. Whoever changes a byte has changed the format.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{Disk, Open, SimDisk};
use cortica_storage::{Durability, Effort, Entry, Fate, Location, Log, LogOptions, OpenMode};
use std::path::Path;
use std::sync::Arc;

const DIR: &str = "store";
const OPTIONS: LogOptions = LogOptions {
    mode: OpenMode::CreateIfMissing,
    segment_bytes: 1 << 10,
};

/// CRC-32 as in zlib, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = !0_u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let low = crc & 1;
            crc = (crc >> 1) ^ (low * 0xedb8_8320);
        }
    }
    !crc
}

/// Puts numbers at their offsets, little-endian, and a checksum of all before it at the end.
fn fields(len: usize, magic: &[u8], numbers: &[(usize, u64, usize)]) -> Vec<u8> {
    let mut bytes = vec![0; len];
    bytes[..magic.len()].copy_from_slice(magic);
    for (at, number, size) in numbers {
        bytes[*at..at + size].copy_from_slice(&number.to_le_bytes()[..*size]);
    }
    let crc = crc32(&bytes[..len - 4]);
    bytes[len - 4..].copy_from_slice(&crc.to_le_bytes());
    bytes
}

/// What a log file says about itself: the offsets of docs/storage.md, "A log file".
#[derive(Default)]
struct Head {
    flags: u64,
    start: u64,
    end: u64,
    length: u64,
    durable_to: u64,
    known_to: u64,
    seq_high: u64,
    records: u64,
    generation: u64,
    crc_of_headers: u64,
}

impl Head {
    fn bytes(&self) -> Vec<u8> {
        let numbers = [
            (8, 2, 4),
            (12, self.flags, 4),
            (16, self.start, 8),
            (24, self.end, 8),
            (32, self.length, 8),
            (40, self.durable_to, 8),
            (48, self.known_to, 8),
            (56, self.seq_high, 8),
            (64, self.records, 8),
            (72, self.generation, 4),
            (76, self.crc_of_headers, 4),
        ];
        fields(128, b"CORTLOG\n", &numbers)
    }
}

/// A record's 56 bytes and its payload, filled up to a multiple of 8.
fn record(seq: u64, position: u64, durable_to: u64, payload: &[u8]) -> Vec<u8> {
    let numbers = [
        (4, 2, 2),
        (6, 7, 2),
        (8, 3, 4),
        (12, 1, 4),
        (16, seq, 8),
        (24, position, 8),
        (32, durable_to, 8),
        (40, payload.len() as u64, 4),
        (44, u64::from(crc32(payload)), 4),
    ];
    let mut bytes = fields(56, b"CREC", &numbers);
    bytes.extend(payload);
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

const FIRST: &[u8] = b"\0\0\x80\x3fa first payload";
const SECOND: &[u8] = b"\0\0\0\x40second";

/// The two records, the second written when the first one was durable.
fn records() -> [Vec<u8>; 2] {
    let first = record(11, 0, 0, FIRST);
    let end = first.len() as u64;
    let second = record(12, end, end, SECOND);
    [first, second]
}

fn entry(seq: u64) -> Entry {
    Entry {
        space: 3,
        kind: 7,
        dimension: 1,
        seq,
    }
}

fn read(disk: &SimDisk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Open::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    bytes
}

/// The log of the two records, closed; and where they are.
fn written(disk: &SimDisk) -> Vec<Location> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, _) = Log::open(disk, Path::new(DIR), OPTIONS, |_| Ok(())).unwrap();
    let mut places = Vec::new();
    for (seq, payload) in [(11, FIRST), (12, SECOND)] {
        let place = log.append(entry(seq), |out| out.extend(payload)).unwrap();
        places.push(place);
        log.commit(Durability::Durable).unwrap();
    }
    log.close().unwrap();
    places
}

fn closed_at(end: u64) -> Vec<u8> {
    fields(28, b"CORTEND\n", &[(8, 2, 4), (16, end, 8)])
}

#[test]
fn a_log_is_written_as_it_is_described() {
    let disk = SimDisk::new();
    written(&disk);
    let records = records().concat();
    let file = read(&disk, Path::new("store/log/00000000000000000000.log"));
    let head = Head {
        length: 1 << 10,
        ..Head::default()
    };
    assert_eq!(file, [head.bytes(), records.clone()].concat());
    let closed = read(&disk, Path::new("store/log/closed"));
    assert_eq!(closed, closed_at(records.len() as u64));
    let names = disk.list(Path::new(DIR)).unwrap();
    assert!(names.contains(&"cortica.store".to_owned()), "{names:?}");
}

#[test]
fn a_compacted_log_is_written_as_it_is_described() {
    let disk = SimDisk::new();
    let places = written(&disk);
    let shared: Arc<dyn Disk> = Arc::new(disk.clone());
    let (mut log, _) = Log::open(shared, Path::new(DIR), OPTIONS, |_| Ok(())).unwrap();
    log.retire(places[0]);
    while let Some(plan) = log.plan_compaction(Effort::Everything).unwrap() {
        let keep = |seq| if seq == 12 { Fate::Keep } else { Fate::Drop };
        let rewritten = plan.rewrite(|record| keep(record.entry.seq)).unwrap();
        log.install(rewritten).unwrap();
    }
    log.close().unwrap();
    let [first, second] = records();
    let end = (first.len() + second.len()) as u64;
    let head = Head {
        flags: 1,
        end,
        length: 128 + second.len() as u64,
        durable_to: end,
        known_to: end,
        seq_high: 12,
        records: 1,
        generation: 1,
        crc_of_headers: u64::from(crc32(&second[..56])),
        ..Head::default()
    };
    // A record that is rewritten stays at its position, and says what it said.
    let file = read(
        &disk,
        Path::new("store/log/00000000000000000000.000001.log"),
    );
    assert_eq!(file, [head.bytes(), second].concat());
}

#[test]
fn what_is_written_by_the_description_alone_is_opened() {
    let disk = SimDisk::new();
    let records = records().concat();
    let mut file = [
        Head {
            length: 4_096,
            ..Head::default()
        }
        .bytes(),
        records.clone(),
    ]
    .concat();
    file.resize(4_096, 0);
    let log_dir = Path::new("store/log");
    disk.create_dir_all(log_dir).unwrap();
    for (path, bytes) in [
        (log_dir.join("00000000000000000000.log"), file),
        (log_dir.join("closed"), closed_at(records.len() as u64)),
        (Path::new("store/cortica.store").to_owned(), vec![b'\n']),
    ] {
        let file = disk.open(&path, Open::CreateNew).unwrap();
        file.write_at(&bytes, 0).unwrap();
    }
    let mut seen = Vec::new();
    let shared: Arc<dyn Disk> = Arc::new(disk);
    let opened = Log::open(shared, Path::new(DIR), OPTIONS, |record| {
        seen.push((record.entry, record.position, record.payload.to_vec()));
        Ok(())
    });
    let (log, recovery) = opened.unwrap();
    assert!(log.is_writable());
    assert_eq!((recovery.records, recovery.damage.len()), (2, 0));
    let second_at = record(11, 0, 0, FIRST).len() as u64;
    let want = [
        (entry(11), 0, FIRST.to_vec()),
        (entry(12), second_at, SECOND.to_vec()),
    ];
    assert_eq!(seen, want);
}
