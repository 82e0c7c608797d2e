//! Both disks keep the same contract; the simulated one also keeps no more than it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test reports"
)]

use cortica_env::{Disk, Keep, LockError, Open, RealDisk, Seed, SimDisk};
use std::io;
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
    assert_eq!(full.kind(), io::ErrorKind::StorageFull);
    assert_eq!(
        file.allocate(11).unwrap_err().kind(),
        io::ErrorKind::StorageFull
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

#[test]
fn a_renamed_file_has_one_name_at_least() {
    let (old, new) = (Path::new("one/a"), Path::new("two/a"));
    let disk = SimDisk::new();
    for dir in ["one", "two"] {
        disk.create_dir_all(Path::new(dir)).unwrap();
    }
    let file = disk.open(old, Open::CreateNew).unwrap();
    file.write_at(b"hello", 0).unwrap();
    file.sync().unwrap();
    for dir in ["", "one", "two"] {
        disk.sync_dir(Path::new(dir)).unwrap();
    }
    disk.rename(old, new).unwrap();
    assert!(disk.open(old, Open::Read).is_err() && disk.open(new, Open::Read).is_ok());
    let names = |disk: &SimDisk| [old, new].map(|path| disk.open(path, Open::Read).is_ok());
    let mut seen = Vec::new();
    for keep in [
        Keep::Nothing,
        Keep::Everything,
        Keep::Only(0),
        Keep::Only(1),
    ] {
        seen.push(names(&disk.power_cut(keep)));
    }
    assert_eq!(
        seen,
        [[true, false], [false, true], [true, true], [true, false]]
    );
    // The old folder alone says nothing about the new name.
    disk.sync_dir(Path::new("one")).unwrap();
    assert_eq!(names(&disk.power_cut(Keep::Nothing)), [true, false]);
    disk.sync_dir(Path::new("two")).unwrap();
    disk.sync_dir(Path::new("one")).unwrap();
    assert_eq!(names(&disk.power_cut(Keep::Nothing)), [false, true]);
}

#[test]
fn renaming_takes_the_place_of_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let check = |disk: &dyn Disk, dir: &Path| {
        disk.create_dir_all(dir).unwrap();
        for (name, text) in [("a", b"new"), ("b", b"old")] {
            let file = disk.open(&dir.join(name), Open::CreateNew).unwrap();
            file.write_at(text, 0).unwrap();
        }
        disk.rename(&dir.join("a"), &dir.join("b")).unwrap();
        assert_eq!(disk.list(dir).unwrap(), ["b"]);
        let mut bytes = [0; 3];
        let file = disk.open(&dir.join("b"), Open::Read).unwrap();
        file.read_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"new");
        assert!(disk.rename(&dir.join("a"), &dir.join("c")).is_err());
    };
    check(&RealDisk, folder.path());
    check(&SimDisk::new(), Path::new("dir"));
}

#[test]
fn readers_share_a_lock_and_keep_writers_away() {
    let folder = tempfile::tempdir().unwrap();
    let check = |disk: &dyn Disk, path: &Path| {
        drop(disk.lock(path).unwrap());
        let readers = [
            disk.lock_shared(path).unwrap(),
            disk.lock_shared(path).unwrap(),
        ];
        assert!(matches!(disk.lock(path), Err(LockError::Held { .. })));
        drop(readers);
        let writer = disk.lock(path).unwrap();
        assert!(matches!(
            disk.lock_shared(path),
            Err(LockError::Held { .. })
        ));
        drop(writer);
        disk.lock_shared(path).unwrap();
    };
    check(&RealDisk, &folder.path().join("lock"));
    check(&SimDisk::new(), Path::new("lock"));
    // Where nobody ever locked, nothing is made.
    let other = folder.path().join("other");
    RealDisk.lock_shared(&other).unwrap();
    assert!(!other.exists());
}

#[test]
fn looking_fails_where_it_should() {
    let disk = SimDisk::new();
    let path = Path::new("a");
    let file = disk.open(path, Open::CreateNew).unwrap();
    let looks: [&dyn Fn() -> bool; 4] = [
        &|| disk.open(path, Open::Read).is_ok(),
        &|| disk.list(Path::new("")).is_ok(),
        &|| file.len().is_ok(),
        &|| file.read_at(&mut [0], 0).is_ok(),
    ];
    for look in looks {
        disk.fail_read(1);
        assert!(!look());
        assert!(look());
    }
    assert_eq!(disk.reads(), 8);
}

#[test]
fn a_file_without_a_name_takes_no_space() {
    let disk = SimDisk::new();
    disk.set_capacity(100);
    let fill = |name: &str| {
        let file = disk.open(Path::new(name), Open::CreateNew).unwrap();
        file.allocate(100)
    };
    fill("a").unwrap();
    assert_eq!(fill("b").unwrap_err().kind(), io::ErrorKind::StorageFull);
    disk.remove(Path::new("a")).unwrap();
    fill("c").unwrap();
    assert_eq!(disk.used(), 100);
}
