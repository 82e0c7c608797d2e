//! Stores in folders of which somebody may only read: commands that read do, commands that write say
//! what is the matter, and nothing changes.
//!
//! Permissions do not bind the superuser, so as one this runs the command as somebody else. A mount
//! that is read-only for everybody is tried where the kernel lets us make one, and named where not.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use common::{Folder, Run, cortica};

/// Nobody, by most systems.
const NOBODY: u32 = 65_534;

/// How the store is made one that cannot be written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Way {
    Permissions,
    Mount,
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("permissions");
}

/// Gives a folder and all in it these rights.
fn set_modes(folder: &Path, of_folders: u32, of_files: u32) {
    // Before it is listed and after, as the rights are taken or given.
    set_mode(folder, 0o755);
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            set_modes(&path, of_folders, of_files);
        } else {
            set_mode(&path, of_files);
        }
    }
    set_mode(folder, of_folders);
}

/// Every file below a folder, byte for byte.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            all.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).expect("a file");
            all.insert(path, bytes);
        }
    }
    all
}

/// A folder in which somebody else works, and the command where they can run it.
struct Place {
    folder: Folder,
    binary: String,
    /// Whether we are the superuser, whom permissions do not bind.
    unbound: bool,
}

impl Place {
    fn new() -> Self {
        let folder = Folder::new();
        set_mode(Path::new(&folder.path("")), 0o755);
        let probe = folder.write("probe", "");
        set_mode(Path::new(&probe), 0o400);
        let unbound = fs::OpenOptions::new().write(true).open(&probe).is_ok();
        let binary = folder.path("cortica");
        fs::copy(env!("CARGO_BIN_EXE_cortica"), &binary).expect("a copy");
        set_mode(Path::new(&binary), 0o755);
        fs::create_dir(folder.path("out")).expect("a folder");
        set_mode(Path::new(&folder.path("out")), 0o777);
        Self {
            folder,
            binary,
            unbound,
        }
    }

    fn command(&self, way: Way, store: &str) -> Command {
        match way {
            Way::Permissions => {
                let mut command = Command::new(&self.binary);
                if self.unbound {
                    command.uid(NOBODY).gid(NOBODY);
                }
                command
            }
            Way::Mount => {
                let mut command = Command::new("unshare");
                if !self.unbound {
                    command.args(["--user", "--map-root-user"]);
                }
                let script =
                    "mount --bind \"$0\" \"$0\" && mount -o remount,bind,ro \"$0\" && exec \"$@\"";
                command.args(["--mount", "sh", "-c", script, store, &self.binary]);
                command
            }
        }
    }

    /// Why nothing can be tried this way here.
    fn missing(&self, way: Way) -> Option<String> {
        let store = self.folder.path("out");
        let mut command = self.command(way, &store);
        let output = command.arg("--version").stdin(Stdio::null()).output();
        match output {
            Ok(output) if output.status.success() => None,
            Ok(output) => Some(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Some(error.to_string()),
        }
    }

    fn run(&self, way: Way, store: &str, args: &[&str]) -> Run {
        let mut command = self.command(way, store);
        let output = command.args(args).stdin(Stdio::null()).output();
        let output = output.expect("the binary runs");
        let run = Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        };
        assert!(!run.stderr.contains("panicked"), "{args:?}: {}", run.stderr);
        run
    }
}

/// A store that was closed, one whose files are all compacted, and one that a crash left.
fn stores(folder: &Folder) -> [(&'static str, String); 3] {
    let closed = folder.small_store("closed");
    let compacted = folder.small_store("compacted");
    cortica(&["forget", "19", "--store", &compacted]).ok();
    cortica(&["compact", "--store", &compacted]).ok();
    let crashed = folder.path("crashed");
    let rows = cortica_testkit::clustered(20, 4, 7);
    let store = cortica::Cortica::builder().dimension(4).open(&crashed);
    let store = store.unwrap();
    for (id, row) in rows.chunks_exact(4).enumerate() {
        let episode = cortica::Episode::new(id.to_string(), "").with_embedding(row.to_vec());
        store.store(episode).unwrap();
    }
    drop(store); // Not closed.
    [
        ("closed", closed),
        ("compacted", compacted),
        ("crashed", crashed),
    ]
}

fn try_all(way: Way) {
    let place = Place::new();
    if let Some(why) = place.missing(way) {
        let line = format!("skipped: stores made read-only by {way:?}: {why}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    let line = r#"{"id":"new","what":"new","embedding":[4,3,2,1]}"#;
    let new = place.folder.write("new.jsonl", line);
    let export = place.folder.path("export.jsonl");
    let other = place.folder.small_store("other");
    cortica(&["forget", "3", "--store", &other]).ok();
    cortica(&["export", &export, "--store", &other]).ok();
    for (name, store) in stores(&place.folder) {
        if way == Way::Permissions {
            set_modes(Path::new(&store), 0o555, 0o444);
        }
        let before = contents(Path::new(&store));
        let out = |what: &str| place.folder.path(&format!("out/{name}-{what}"));
        let (copy, back, written) = (out("copy"), out("back"), out("export"));
        for args in [
            vec!["stats", "--store", &store],
            vec!["check", "--store", &store],
            vec!["recall", "--store", &store, "--like", "3"],
            vec!["export", "-", "--store", &store],
            vec!["export", &written, "--store", &store],
            vec!["snapshot", &copy, "--store", &store],
            vec!["restore", &store, "--store", &back],
        ] {
            place.run(way, &store, &args).ok();
        }
        let mut writes = vec![
            vec!["ingest", &new, "--store", &store],
            vec!["ingest", &new, "--update", "--store", &store],
            vec!["ingest", &new, "--durability", "none", "--store", &store],
            vec!["forget", "3", "--store", &store],
            vec!["import", &export, "--store", &store],
        ];
        if name != "compacted" {
            // There is nothing to be done to that one, and nothing is.
            writes.push(vec!["compact", "--store", &store]);
            writes.push(vec!["check", "--repair", "--store", &store]);
        }
        for args in writes {
            let run = place.run(way, &store, &args);
            run.failed(1, &["error:", "next:", "may read", "writable"]);
        }
        let inside = format!("{store}/copy");
        let run = place.run(way, &store, &["snapshot", &inside, "--store", &store]);
        run.failed(2, &["lies in the folder of the store"]);
        assert_eq!(contents(Path::new(&store)), before, "{name}, {way:?}");
        set_modes(Path::new(&store), 0o755, 0o644);
        cortica(&["ingest", &new, "--store", &store]).ok();
        for copy in [&copy, &back] {
            set_modes(Path::new(copy), 0o755, 0o644);
            cortica(&["check", "--store", copy]).ok();
        }
    }
}

#[test]
fn a_folder_without_the_right_to_write_is_read_and_left_alone() {
    try_all(Way::Permissions);
}

#[test]
fn a_folder_that_is_mounted_read_only_is_read_and_left_alone() {
    try_all(Way::Mount);
}

#[test]
fn a_folder_without_the_right_to_read_is_named() {
    let place = Place::new();
    if let Some(why) = place.missing(Way::Permissions) {
        let line = format!("skipped: stores of somebody else: {why}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    }
    let store = place.folder.small_store("store");
    let line = r#"{"id":"new","what":"new","embedding":[4,3,2,1]}"#;
    let new = place.folder.write("new.jsonl", line);
    let before = contents(Path::new(&store));
    let log = format!("{store}/log");
    for (path, mode) in [(&store, 0o000), (&log, 0o000), (&log, 0o444)] {
        set_modes(Path::new(&store), 0o755, 0o644);
        set_mode(Path::new(path), mode);
        for args in [
            vec!["stats", "--store", &store],
            vec!["check", "--store", &store],
            vec!["recall", "--store", &store, "--like", "3"],
            vec!["ingest", &new, "--store", &store],
            vec!["forget", "3", "--store", &store],
        ] {
            let run = place.run(Way::Permissions, &store, &args);
            run.failed(1, &["error:", "denied", "next:", "may read"]);
        }
    }
    set_modes(Path::new(&store), 0o755, 0o644);
    assert_eq!(contents(Path::new(&store)), before);
}
