//! No damage makes an opening take more than twice the memory of one without damage.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

mod support;

use cortica_env::SimDisk;
use cortica_storage::{Log, OpenMode};
use cortica_testkit::{CountingAllocator, peak_bytes};
use std::path::Path;
use support::fixture::Fixture;
use support::{DIR, sim};

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// Bytes an opening holds at most.
fn opening(disk: &SimDisk) -> u64 {
    let disk = sim(disk);
    let open = || {
        drop(Log::open(disk, Path::new(DIR), OpenMode::ReadOnly, |_| {
            Ok(())
        }));
    };
    peak_bytes(open).1
}

#[test]
fn no_flipped_bit_doubles_the_memory_of_an_opening() {
    let fixture = Fixture::new(16 << 10, 300);
    let normal = opening(&fixture.disk);
    assert!(normal > 8 << 10, "{normal}: a file is read at once");
    let mut most = 0;
    for path in &fixture.files {
        let bytes = fixture.read(path);
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1 << (at % 8);
            let held = opening(&fixture.with(path, &bad));
            assert!(held < 2 * normal, "{path:?}, byte {at}: {held} of {normal}");
            most = most.max(held);
        }
    }
    println!("{normal} bytes without damage, {most} at most");
}
