//! A bit of each byte of every file of a closed store with full log files of 16 KB flipped, and every
//! file cut at many offsets: noticed or harmless, never a wrong answer, and never twice the memory.
//! With `CORTICA_SIZE_SWEEP_BITS=8` and `CORTICA_SIZE_SWEEP_STEP=1` every bit and every offset is tried.
//! A larger store has a saved graph beside its log, of which bytes are flipped, too.
//! The log below is swept bit by bit and offset by offset in the tests of `cortica-storage` each time.
//!
//! Each damaged store is opened, compared and asked. What becomes of one after a repair is tried on
//! smaller files in `flips`, every bit of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod common;

use common::DIMENSION;
use cortica_env::{Disk, DiskFile, Keep, ManualClock, Open, SimDisk, Timestamp};
use cortica_index::Metric;
use cortica_memory::{
    Association, Confidence, Episode, Exported, MemoryStore, OpenError, SpaceSpec, StoreOptions,
};
use cortica_storage::OpenMode;
use cortica_testkit::{CountingAllocator, peak_bytes, report, size};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const DIR: &str = "/data/store";
const SEGMENT: u64 = 16 << 10;

fn options(disk: &SimDisk, mode: OpenMode) -> StoreOptions {
    let space = SpaceSpec::new(DIMENSION).with_metric(Metric::Dot);
    StoreOptions {
        space: Some(space.with_model("model")),
        segment_bytes: SEGMENT,
        mode,
        disk: Arc::new(disk.clone()),
        clock: Arc::new(ManualClock::new(Timestamp::from_micros(5))),
        ..StoreOptions::default()
    }
}

fn read_only(disk: &SimDisk) -> Result<MemoryStore, OpenError> {
    MemoryStore::open(Path::new(DIR), options(disk, OpenMode::ReadOnly))
}

fn vector(number: usize) -> Vec<f32> {
    let value = |at| ((number * 7 + at * at * (number + 3)) % 5) as f32 - 2.0;
    (0..DIMENSION).map(value).collect()
}

/// What an episode of this number is made of, so that a wrong one is known without a list.
fn episode(number: usize) -> Episode {
    let mut episode = Episode::new(format!("e{number}"), format!("text {number}"));
    episode.embedding = (!number.is_multiple_of(7)).then(|| vector(number));
    episode.encoding_confidence = Confidence::new(0.5).unwrap();
    episode
}

struct Fixture {
    disk: SimDisk,
    files: Vec<PathBuf>,
    digest: u64,
    /// By id, whether it was forgotten.
    forgotten: BTreeMap<String, bool>,
    /// Bytes an opening holds at most.
    normal: u64,
}

impl Fixture {
    /// A compacted file, a full plain one, and one that is not full.
    fn new() -> Self {
        let disk = SimDisk::new();
        let store =
            MemoryStore::open(Path::new(DIR), options(&disk, OpenMode::CreateIfMissing)).unwrap();
        let mut forgotten = BTreeMap::new();
        let mut fill = |numbers: std::ops::Range<usize>, forget: usize| {
            for number in numbers {
                let id = format!("e{number}");
                store.store(episode(number)).unwrap();
                if number % 9 == 8 {
                    let link = Association::new(&*id, "e0", 3);
                    assert!(store.associate_many(&[link])[0].is_ok());
                }
                if number % 11 == 10 {
                    store.store(episode(number)).unwrap(); // Reinforced.
                }
                let gone = number % forget == 1;
                if gone {
                    store.forget(&id).unwrap();
                }
                forgotten.insert(id, gone);
            }
        };
        fill(0..120, 4);
        store.compact().unwrap();
        fill(120..260, 20);
        let digest = store.state_digest();
        store.close().unwrap();
        let log_dir = Path::new(DIR).join("log");
        let names = disk.list(&log_dir).unwrap();
        let mut files = vec![Path::new(DIR).join("cortica.store")];
        files.extend(names.iter().map(|name| log_dir.join(name)));
        let disk = disk.power_cut(Keep::Everything);
        let (store, normal) = peak_bytes(|| read_only(&disk).unwrap());
        assert_eq!(store.state_digest(), digest);
        let fixture = Self {
            disk,
            files,
            digest,
            forgotten,
            normal,
        };
        let logs = fixture.logs();
        let full = |path: &PathBuf| fixture.bytes(path).len() as u64 + 200 > SEGMENT;
        assert!(logs.len() >= 3 && logs.iter().any(full), "{logs:?}");
        fixture
    }

    fn shared() -> &'static Self {
        static SHARED: OnceLock<Fixture> = OnceLock::new();
        SHARED.get_or_init(Self::new)
    }

    fn logs(&self) -> Vec<PathBuf> {
        let is_log = |path: &&PathBuf| path.extension().is_some_and(|end| end == "log");
        self.files.iter().filter(is_log).cloned().collect()
    }

    fn bytes(&self, path: &Path) -> Vec<u8> {
        let file = self.disk.open(path, Open::Read).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    /// Opens a damaged store and holds it to what must be so, but for how much is lost. Says
    /// whether it was noticed, and how many episodes are lost.
    #[track_caller]
    fn judge(&self, disk: &SimDisk, path: &Path, what: &dyn std::fmt::Debug) -> (bool, usize) {
        let (opened, held) = peak_bytes(|| read_only(disk));
        assert!(held <= 2 * self.normal, "{what:?}: {held} bytes");
        let store = match opened {
            Ok(store) => store,
            Err(error) => {
                let a_log = path.extension().is_some_and(|end| end == "log");
                assert!(
                    !a_log && error.to_string().contains(DIR),
                    "{what:?}: {error}"
                );
                return (true, 0);
            }
        };
        let stats = store.stats();
        if stats.recovery.damage.is_empty() {
            assert_eq!(
                store.state_digest(),
                self.digest,
                "{what:?}: changed silently"
            );
            return (false, 0);
        }
        let mut all = Vec::new();
        let (mut live, mut back) = (0, 0);
        let exported = store.export(|exported| {
            if let Exported::Episode { memory, embedding } = exported {
                let forgotten = self.forgotten[&*memory.id];
                (live, back) = (
                    live + usize::from(!forgotten),
                    back + usize::from(forgotten),
                );
                let was = episode(memory.id[1..].parse().unwrap());
                assert_eq!(memory.what, was.what, "{what:?}");
                assert_eq!(embedding, was.embedding.as_deref(), "{what:?}");
                all.extend(embedding.map(|embedding| (memory.seq, embedding.to_vec())));
            }
            Ok::<(), ()>(())
        });
        exported.unwrap();
        assert!(
            back <= stats.lost_forgets as usize + 1,
            "{what:?}: {back} are back"
        );
        let query = vector(11);
        let score = |embedding: &[f32]| embedding.iter().zip(&query).map(|(a, b)| a * b).sum();
        let scores = all.iter().map(|(seq, embedding)| (score(embedding), *seq));
        let mut want: Vec<(f32, u64)> = scores.collect();
        want.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        want.truncate(10);
        assert_eq!(common::recalled(&store, &query, 10), want, "{what:?}");
        let lived = self.forgotten.values().filter(|gone| !**gone).count();
        (true, lived - live)
    }

    /// Flips each bit of a file in turn, in place.
    fn flip(&self, path: &Path) {
        let bytes = self.bytes(path);
        let disk = self.disk.power_cut(Keep::Everything);
        let file: Box<dyn DiskFile> = disk.open(path, Open::Write).unwrap();
        let name = path.display();
        let bits = size("SWEEP_BITS", 1);
        let mut noticed = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            for bit in (0..bits).map(|bit| (bit + at as u64) % 8) {
                file.write_at(&[byte ^ 1 << bit], at as u64).unwrap();
                let (found, lost) = self.judge(&disk, path, &(path, at, bit));
                assert!(lost <= 1, "{name}, byte {at}: {lost} episodes lost");
                noticed += u64::from(found);
            }
            file.write_at(&[byte], at as u64).unwrap();
            file.sync().unwrap();
        }
        let counts = [
            ("bits_flipped", bytes.len() as u64 * bits),
            ("noticed", noticed),
        ];
        report("sweep", 0, &counts);
        assert!(noticed > 0 || path.ends_with("cortica.store"), "{name}");
    }
}

#[test]
fn bits_of_the_first_file() {
    let fixture = Fixture::shared();
    fixture.flip(&fixture.logs()[0]);
}

#[test]
fn bits_of_the_second_file() {
    let fixture = Fixture::shared();
    fixture.flip(&fixture.logs()[1]);
}

#[test]
fn bits_of_the_other_files() {
    let fixture = Fixture::shared();
    let logs = fixture.logs();
    for path in fixture
        .files
        .iter()
        .filter(|path| !logs[..2].contains(path))
    {
        fixture.flip(path);
    }
}

#[test]
fn every_file_cut_at_many_offsets() {
    let fixture = Fixture::shared();
    for path in &fixture.files {
        let bytes = fixture.bytes(path);
        let disk = fixture.disk.power_cut(Keep::Everything);
        let file = disk.open(path, Open::Write).unwrap();
        let mut noticed = 0;
        let offsets = (0..bytes.len())
            .rev()
            .step_by(size("SWEEP_STEP", 7) as usize);
        let tried = offsets.len() as u64;
        for cut in offsets {
            file.set_len(cut as u64).unwrap();
            file.sync().unwrap();
            noticed += u64::from(fixture.judge(&disk, path, &(path, cut)).0);
        }
        let counts = [("lengths_tried", tried), ("shorter_noticed", noticed)];
        report("sweep", 0, &counts);
    }
}

/// A graph that is damaged anywhere is not used, and nothing else depends on it: bytes of the saved
/// one are flipped, all of its header and its end and some in between, and it is cut.
#[test]
fn a_damaged_graph_is_not_used_and_harms_nothing() {
    const ROWS: usize = 1_250; // Six of seven have an embedding; of less than 1,000 no graph is saved.
    let disk = SimDisk::new();
    let store =
        MemoryStore::open(Path::new(DIR), options(&disk, OpenMode::CreateIfMissing)).unwrap();
    let stored = store.store_many((0..ROWS).map(episode).collect());
    assert!(stored.iter().all(Result::is_ok));
    store.wait_indexed().unwrap();
    let query = vector(11);
    let want = common::recalled(&store, &query, 10);
    store.tick().unwrap(); // What that strengthened belongs to the state.
    let digest = store.state_digest();
    store.close().unwrap();
    let path = Path::new(DIR).join("cache").join("graph.cache");
    let disk = disk.power_cut(Keep::Everything);
    let (whole, normal) = peak_bytes(|| read_only(&disk).unwrap());
    let index = whole.stats().index;
    assert!(index.loaded > 900 && index.refused.is_none(), "{index:?}");
    drop(whole);
    let refused = |what: &dyn std::fmt::Debug| {
        let (store, held) = peak_bytes(|| read_only(&disk).unwrap());
        assert!(held <= 2 * normal, "{what:?}: {held} of {normal} bytes");
        let stats = store.stats();
        assert_eq!(stats.recovery.damage, [], "{what:?}");
        let (loaded, refused) = (stats.index.loaded, stats.index.refused);
        assert!(
            loaded == 0 && refused.is_some(),
            "{what:?}: {loaded} taken over"
        );
        assert_eq!(store.state_digest(), digest, "{what:?}");
        assert_eq!(common::recalled(&store, &query, 10), want, "{what:?}");
    };
    let file = disk.open(&path, Open::Write).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(&mut bytes, 0).unwrap();
    let step = size("SWEEP_GRAPH_STEP", 97) as usize;
    let ends = (0..128).chain(bytes.len() - 128..bytes.len());
    let (mut flipped, mut cut) = (0, 0);
    for at in ends.chain((128..bytes.len() - 128).step_by(step)) {
        file.write_at(&[bytes[at] ^ 1 << (at % 8)], at as u64)
            .unwrap();
        refused(&("byte", at));
        file.write_at(&[bytes[at]], at as u64).unwrap();
        flipped += 1;
    }
    for len in (0..bytes.len()).rev().step_by(4 * step) {
        file.set_len(len as u64).unwrap();
        refused(&("length", len));
        cut += 1;
    }
    let counts = [("bits_flipped", flipped), ("noticed", flipped)];
    report("sweep", 0, &counts);
    report(
        "sweep",
        0,
        &[("lengths_tried", cut), ("shorter_noticed", cut)],
    );
    assert!(
        flipped > 500 && cut > 50,
        "{flipped} and {cut} of {}",
        bytes.len()
    );
}
