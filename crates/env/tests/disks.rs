//! Both disks keep the same contract; the simulated one also keeps no more than it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{Disk, Keep, LockError, Open, RealDisk, Seed, SimDisk};
use std::path::Path;

fn on_both(check: impl Fn(&dyn Disk, &Path)) {
    let folder = tempfile::tempdir().unwrap();
    check(&RealDisk, folder.path());
    let disk = SimDisk::new();
    disk.create_dir_all(Path::new("/base")).unwrap();
    check(&disk, Path::new("/base"));
}

fn read_all(disk: &dyn Disk, path: &Path) -> Vec<u8> {
    let file = disk.open(path, Open::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    assert_eq!(file.read_at(&mut bytes, 0).unwrap(), bytes.len());
    bytes
}

#[test]
fn files_hold_what_was_written() {
    on_both(|disk, base| {
        let dir = base.join("a/b");
        disk.create_dir_all(&dir).unwrap();
        let path = dir.join("file");
        let file = disk.open(&path, Open::CreateNew).unwrap();
        assert!(file.is_empty().unwrap());
        file.write_at(b"world", 5).unwrap();
        file.write_at(b"hello", 0).unwrap();
        file.allocate(16).unwrap();
        file.allocate(4).unwrap();
        assert_eq!(read_all(disk, &path), b"helloworld\0\0\0\0\0\0");
        file.set_len(7).unwrap();
        file.sync().unwrap();
        disk.sync_dir(&dir).unwrap();
        assert_eq!(read_all(disk, &path), b"hellowo");
        let mut buffer = [0; 8];
        assert_eq!(
            file.read_at(&mut buffer, 5).unwrap(),
            2,
            "short at the end of the file"
        );
        assert_eq!(file.read_at(&mut buffer, 99).unwrap(), 0);
        assert_eq!(disk.list(&dir).unwrap(), ["file"]);
        assert!(disk.open(&path, Open::CreateNew).is_err());
        assert!(
            disk.open(&path, Open::Read)
                .unwrap()
                .write_at(b"x", 0)
                .is_err()
        );
        disk.remove(&path).unwrap();
        assert!(disk.open(&path, Open::Write).is_err());
        assert!(disk.remove(&path).is_err());
        assert!(disk.list(&base.join("missing")).is_err());
    });
}

#[test]
fn a_lock_has_one_holder_and_ends_with_it() {
    on_both(|disk, base| {
        let path = base.join("lock");
        let held = disk.lock(&path).unwrap();
        match disk.lock(&path) {
            Err(LockError::Held { holder, .. }) => assert_eq!(holder, Some(std::process::id())),
            other => panic!("expected a refusal, got {other:?}"),
        }
        drop(held);
        disk.lock(&path).unwrap();
    });
}

#[test]
fn only_synced_bytes_under_synced_names_survive() {
    let disk = SimDisk::new();
    let dir = Path::new("/dir");
    disk.create_dir_all(dir).unwrap();
    let file = disk.open(&dir.join("f"), Open::CreateNew).unwrap();
    file.write_at(b"12345", 0).unwrap();
    file.sync().unwrap();
    assert!(
        disk.power_cut(Keep::Nothing).list(dir).is_err(),
        "the folder's name was not synced"
    );
    disk.sync_dir(Path::new("/")).unwrap();
    assert!(disk.power_cut(Keep::Nothing).list(dir).unwrap().is_empty());
    disk.sync_dir(dir).unwrap();
    file.write_at(b"xx", 1).unwrap();
    file.write_at(b"!", 5).unwrap();
    let found = |keep| read_all(&disk.power_cut(keep), &dir.join("f"));
    assert_eq!(disk.unsynced(), 2);
    assert_eq!(found(Keep::Nothing), b"12345");
    assert_eq!(found(Keep::Everything), b"1xx45!");
    assert_eq!(found(Keep::Prefix(1)), b"1xx45");
    assert_eq!(found(Keep::Suffix(1)), b"12345!");
    assert_eq!(found(Keep::Only(1)), b"12345!");
    assert_eq!(
        read_all(&disk, &dir.join("f")),
        b"1xx45!",
        "the disk that was cut goes on"
    );
}

#[test]
fn seeded_cuts_tear_writes_between_sectors() {
    let disk = SimDisk::new();
    let path = Path::new("f");
    let file = disk.open(path, Open::CreateNew).unwrap();
    file.allocate(2_048).unwrap();
    file.sync().unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    file.write_at(&[1; 1_500], 100).unwrap();
    let (mut whole, mut none, mut torn) = (0, 0, 0);
    for seed in 0..200 {
        let bytes = read_all(&disk.power_cut(Keep::Seeded(Seed(seed))), path);
        let ones = bytes.iter().copied().map(usize::from).sum::<usize>();
        match ones {
            0 => none += 1,
            1_500 => whole += 1,
            _ => {
                torn += 1;
                for sector in bytes.chunks(512) {
                    let inside = sector.iter().copied().map(usize::from).sum::<usize>();
                    assert!(
                        [0, 412, 512, 64].contains(&inside),
                        "torn inside a sector: {inside}"
                    );
                }
            }
        }
    }
    assert!(
        whole > 20 && none > 20 && torn > 20,
        "{whole} {none} {torn}"
    );
}

#[test]
fn a_full_disk_refuses_growth_and_nothing_else() {
    let disk = SimDisk::new();
    disk.set_capacity(10);
    let file = disk.open(Path::new("f"), Open::CreateNew).unwrap();
    file.write_at(b"12345678", 0).unwrap();
    let full = file.write_at(b"xyz", 8).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(
        file.allocate(11).unwrap_err().kind(),
        std::io::ErrorKind::StorageFull
    );
    file.write_at(b"xy", 8).unwrap();
    file.write_at(b"over", 0).unwrap();
    file.set_len(4).unwrap();
    file.sync().unwrap();
    assert_eq!(read_all(&disk, Path::new("f")), b"over");
}

#[test]
fn faults_strike_where_they_were_put() {
    let disk = SimDisk::new();
    let file = disk.open(Path::new("f"), Open::CreateNew).unwrap();
    disk.sync_dir(Path::new("")).unwrap();
    disk.fail_operation(2);
    file.write_at(b"a", 0).unwrap();
    assert!(file.write_at(b"b", 1).is_err());
    file.write_at(b"c", 1).unwrap();
    disk.fail_operation(1);
    assert!(file.sync().is_err());
    file.sync().unwrap();
    let after = disk.power_cut(Keep::Everything);
    assert!(
        read_all(&after, Path::new("f")).is_empty(),
        "a failed sync loses what it held"
    );
    disk.power_off_after(1);
    file.write_at(b"d", 0).unwrap();
    assert!(file.write_at(b"e", 0).is_err());
    assert!(file.sync().is_err());
    assert!(disk.operations() >= 8);
}
