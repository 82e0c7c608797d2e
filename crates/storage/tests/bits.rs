//! Each single bit of a store with full log files is flipped, and each of its files cut at every
//! offset: no record is shown that was not written, none is lost in silence, and no opening takes
//! twice the memory of one without damage.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::{Disk, Keep, Open, SimDisk};
use cortica_storage::{Log, LogOptions, OpenMode};
use cortica_testkit::{CountingAllocator, peak_bytes, report};
use std::collections::BTreeMap;
use std::path::Path;
use support::fixture::{Fixture, short};
use support::{DIR, sim};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Opens a store for reading: how many records are shown, whether damage was noticed, and how many
/// bytes were held at most.
fn opening(disk: &SimDisk, fixture: &Fixture, want: &BTreeMap<u64, Vec<u8>>) -> (usize, bool, u64) {
    let disk = sim(disk);
    let mut shown = 0;
    let mut last = None;
    let open = || {
        let options = LogOptions {
            mode: OpenMode::ReadOnly,
            ..fixture.options
        };
        let opened = Log::open(disk, Path::new(DIR), options, |record| {
            let seq = record.entry.seq;
            assert_eq!(record.payload, want[&seq], "not what was written");
            assert!(last < Some(seq), "twice, or out of order");
            (shown, last) = (shown + 1, Some(seq));
            Ok(())
        });
        let (_, recovery) = opened.unwrap_or_else(|error| panic!("{error}"));
        !recovery.damage.is_empty()
    };
    let (damaged, held) = peak_bytes(open);
    (shown, damaged, held)
}

/// Each bit of full log files of 16 KB, and each length.
#[test]
fn no_flipped_bit_and_no_cut_is_taken_for_the_log_or_doubles_its_memory() {
    let fixture = Fixture::new(16 << 10, 300);
    let want: BTreeMap<_, _> = fixture.seqs.iter().map(|&seq| (seq, short(seq))).collect();
    let (shown, damaged, normal) = opening(&fixture.disk, &fixture, &want);
    assert!(normal > 8 << 10, "{normal}: a file is read at once");
    assert_eq!((shown, damaged), (want.len(), false));
    let mut most = 0;
    let mut flipped = 0;
    let mut cuts = 0;
    for path in &fixture.files {
        let bytes = fixture.read(path);
        let in_log = path.starts_with("/data/store/log");
        let disk = fixture.disk.power_cut(Keep::Everything);
        let file = disk.open(path, Open::Write).unwrap();
        let mut judge = |what: &dyn std::fmt::Debug, same: bool, lost_max: usize| {
            let (shown, damaged, held) = opening(&disk, &fixture, &want);
            assert!(held < 2 * normal, "{path:?}, {what:?}: {held} of {normal}");
            most = most.max(held);
            let lost = want.len() - shown;
            assert!(lost <= lost_max, "{path:?}, {what:?}: {lost} lost");
            assert!(damaged || lost == 0, "{path:?}, {what:?}: lost silently");
            assert!(
                damaged || same || !in_log,
                "{path:?}, {what:?}: not noticed"
            );
        };
        for at in 0..bytes.len() {
            for bit in 0..8 {
                file.write_at(&[bytes[at] ^ 1 << bit], at as u64).unwrap();
                // Nothing depends on the zeros that fill up a record.
                judge(&(at, bit), bytes[at] == 0, 1);
                flipped += 1;
            }
            file.write_at(&bytes[at..=at], at as u64).unwrap();
            file.sync().unwrap();
        }
        for cut in (0..bytes.len()).rev() {
            file.set_len(cut as u64).unwrap();
            file.sync().unwrap();
            let zeros = bytes[cut..].iter().all(|&byte| byte == 0);
            judge(&cut, zeros, want.len());
            cuts += 1;
        }
    }
    println!("{normal} bytes without damage, {most} at most");
    report(
        "bits",
        0,
        &[("bits_flipped", flipped), ("lengths_tried", cuts)],
    );
}
