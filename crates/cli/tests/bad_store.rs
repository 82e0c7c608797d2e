//! Stores that cannot be opened: the refusal names why, and nothing is changed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use common::{Folder, command, cortica, ingest_refused, segment, stats};

#[test]
fn files_and_folders_that_are_not_there() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let gone = folder.path("gone");
    for args in [
        vec!["stats", "--store", &gone],
        vec!["check", "--store", &gone],
        vec!["recall", "--store", &gone, "--like", "a"],
    ] {
        cortica(&args).failed(1, &["gone", "next:"]);
        assert!(
            !std::path::Path::new(&gone).exists(),
            "{args:?} made a folder"
        );
    }
    let file = folder.path("gone.npy");
    ingest_refused(&folder, &store, &file, &["gone.npy"]);
    ingest_refused(&folder, &store, &folder.path("gone.jsonl"), &["gone.jsonl"]);
    cortica(&["bench", "--data", &gone]).failed(1, &["X.npy"]);
    cortica(&[
        "ingest",
        &folder.write("rows.csv", "1,2"),
        "--store",
        &store,
    ])
    .failed(2, &["rows.csv"]);
    cortica(&["nonsense"]).failed(2, &["nonsense"]);

    // A folder that holds somebody's files is left alone.
    let photos = folder.path("photos");
    std::fs::create_dir(&photos).unwrap();
    folder.write("photos/cat.jpg", "meow");
    let rows = folder.path("small.npy");
    for args in [
        vec!["ingest", &rows, "--store", &photos],
        vec!["demo", "--dir", &photos],
        vec!["stats", "--store", &photos],
        vec!["bench", "--data", &photos, "--store", &photos],
    ] {
        cortica(&args).failed(1, &[]);
        assert_eq!(std::fs::read_dir(&photos).unwrap().count(), 1, "{args:?}");
    }
}

#[test]
fn a_store_that_another_process_holds() {
    let folder = Folder::new();
    let store = folder.path("store");
    let args = ["ingest", "-", "--store", &store, "--batch", "1", "--json"];
    let mut holder = command(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = holder.stdin.take().unwrap();
    let mut stdout = BufReader::new(holder.stdout.take().unwrap());
    stdin
        .write_all(b"{\"id\":\"a\",\"what\":\"held\",\"embedding\":[1,0]}\n")
        .unwrap();
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains(r#""acked":1"#), "{line}");

    let pid = holder.id().to_string();
    let snapshot = folder.path("snapshot");
    for args in [
        vec!["stats", "--store", &store],
        vec!["check", "--store", &store],
        vec!["check", "--repair", "--store", &store],
        vec!["recall", "--store", &store, "--like", "a"],
        vec!["demo", "--dir", &store],
        vec!["forget", "a", "--store", &store],
        vec!["compact", "--store", &store],
        vec!["snapshot", &snapshot, "--store", &store],
        vec!["restore", &store, "--store", &snapshot],
        vec!["export", &snapshot, "--store", &store],
    ] {
        cortica(&args).failed(1, &["in use", &pid, "next:"]);
    }
    drop(stdin);
    assert!(holder.wait().unwrap().success());
    assert_eq!(stats(&store)["episodes"], 1);
}

#[test]
fn a_store_of_a_newer_release() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let path = segment(&store);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8..12].copy_from_slice(&999_u32.to_le_bytes());
    let crc = crc32(&bytes[..124]).to_le_bytes();
    bytes[124..128].copy_from_slice(&crc);
    std::fs::write(&path, &bytes).unwrap();
    let row = folder.npy("row.npy", 4, &[1.0; 4]);
    for args in [
        vec!["stats", "--store", &store],
        vec!["check", "--store", &store],
        vec!["recall", "--store", &store, "--like", "0"],
        vec!["ingest", &row, "--store", &store],
    ] {
        cortica(&args).failed(1, &["format", "999", "next:"]);
    }
    assert_eq!(
        std::fs::read(&path).unwrap(),
        bytes,
        "the store was touched"
    );
}

/// What a repair would write is in the way of a repair, not of those who only read and write.
#[test]
fn strangers_with_names_that_a_repair_needs() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let inside = |name: &str| std::path::Path::new(&store).join(name);
    std::fs::create_dir(inside("repair")).unwrap();
    std::fs::write(inside("quarantine"), "a file").unwrap();
    assert_eq!(stats(&store)["episodes"], 20);
    cortica(&["forget", "3", "--store", &store]).ok();
    let checked = cortica(&["check", "--store", &store]).ok();
    for name in ["repair", "quarantine"] {
        let path = inside(name).display().to_string();
        assert!(checked.stdout.contains(&path), "{}", checked.stdout);
    }
    let repair = ["check", "--store", &store, "--repair"];
    cortica(&repair).failed(1, &["repair", "no regular file"]);
    assert!(inside("repair").is_dir() && inside("quarantine").is_file());
    std::fs::remove_dir(inside("repair")).unwrap();
    std::fs::write(inside("repair"), "junk").unwrap();
    let checked = cortica(&["check", "--store", &store]).ok();
    assert!(
        checked.stdout.contains("`cortica check --repair` tells"),
        "{}",
        checked.stdout
    );
}

/// A folder is told from a file that was being written, and where it has the name of one, who is to move it.
#[test]
fn folders_where_files_should_be() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let log = std::path::Path::new(&store).join("log");
    std::fs::create_dir(log.join("notes.new")).unwrap();
    cortica(&["forget", "3", "--store", &store]).ok();
    let checked = cortica(&["check", "--store", &store]).ok();
    assert!(checked.stdout.contains("notes.new is no part of the log"));
    let in_the_way = log.join("closed.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let failed = ["closed.new", "next: move that folder out of the store"];
    cortica(&["forget", "4", "--store", &store]).failed(1, &failed);
    std::fs::remove_dir(in_the_way).unwrap();
    cortica(&["forget", "4", "--store", &store]).ok();
}

/// CRC-32 as in zlib, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            crc >> 1 ^ 0xedb8_8320
        } else {
            crc >> 1
        }
    };
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

/// Whoever opens a store after a crash and damage is told what is left out. Who only reads leaves
/// it where it is; the first to write sets it aside.
#[test]
fn whoever_opens_is_told_what_is_left_out() {
    for opener in ["recall", "stats", "ingest"] {
        let folder = Folder::new();
        let store = folder.path("store");
        let memory = cortica::Cortica::builder()
            .dimension(2)
            .open(&store)
            .unwrap();
        let episodes = (0..10_u8).map(|at| {
            cortica::Episode::new(at.to_string(), "x").with_embedding(vec![1.0, f32::from(at)])
        });
        assert!(
            memory
                .store_many(episodes.collect())
                .iter()
                .all(Result::is_ok)
        );
        drop(memory); // Not closed: nothing in the log proves this commit durable.
        let mut log = std::fs::read(segment(&store)).unwrap();
        let used = log.iter().rposition(|&byte| byte != 0).unwrap();
        let at = used - 200;
        log[at] ^= 1;
        std::fs::write(segment(&store), log).unwrap();
        cortica(&["check", "--store", &store])
            .ok()
            .says(&["sets whole records aside"]);
        let rows = folder.write("one.jsonl", r#"{"id":"new","what":"y"}"#);
        let run = match opener {
            "recall" => cortica(&["recall", "--store", &store, "--like", "1"]).ok(),
            "stats" => cortica(&["stats", "--store", &store]).ok(),
            _ => cortica(&["ingest", &rows, "--store", &store]).ok(),
        };
        let said = format!("{}{}", run.stdout, run.stderr);
        let words: &[&str] = if opener == "ingest" {
            &["whole records among them are set aside in", ".dropped"]
        } else {
            &["are left out", "the next command that writes sets"]
        };
        for word in words {
            assert!(said.contains(word), "{opener}: {said}");
        }
        // Reading changed nothing; after writing, the log is whole.
        let next = cortica(&["stats", "--store", &store]).ok();
        let whole = next.stdout.contains("nothing dropped");
        assert_eq!(whole, opener == "ingest", "{}", next.stdout);
    }
}

/// What is written beside a store must not take the place of its files, nor keep there what is forgotten later.
#[test]
fn copies_are_not_written_into_the_store() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let before = stats(&store);
    let inside = |name: &str| format!("{store}/{name}");
    let log = segment(&store).display().to_string();
    for args in [
        vec!["export", &log, "--store", &store],
        vec!["export", &inside("new.jsonl"), "--store", &store],
        vec!["snapshot", &inside("copy"), "--store", &store],
        vec!["restore", &store, "--store", &inside("copy")],
    ] {
        cortica(&args).failed(2, &["lies in the folder of the store"]);
    }
    assert_eq!(stats(&store), before);
    cortica(&["check", "--store", &store]).ok();
    cortica(&["export", &folder.path("store.jsonl"), "--store", &store]).ok();
}

/// Whoever removes a store because its export worked must not lose what the damage hid.
#[test]
fn an_export_of_a_damaged_store_says_so() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let log = segment(&store);
    let mut bytes = std::fs::read(&log).unwrap();
    let middle = bytes.iter().rposition(|&byte| byte != 0).unwrap() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let file = folder.path("export.jsonl");
    cortica(&["export", &file, "--store", &store]).failed(1, &["damaged"]);
    let last = std::fs::read_to_string(&file).unwrap();
    let last = last.lines().last().unwrap();
    assert!(last.contains("\"damage\":1"), "{last}");
    let other = folder.path("other");
    let run = cortica(&["import", &file, "--store", &other]).ok();
    assert!(run.stderr.contains("was damaged"), "{}", run.stderr);
}

#[cfg(unix)]
#[test]
fn a_pipe_in_place_of_a_file_is_not_waited_for() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let log = segment(&store);
    std::fs::rename(&log, folder.path("away")).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&log).status();
    assert!(made.unwrap().success());
    cortica(&["stats", "--store", &store]).failed(1, &["no regular file"]);
}
