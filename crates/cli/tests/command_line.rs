//! Help, exit codes, completions, and readers that leave.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::io::Read;
use std::process::Stdio;

use common::{Folder, command, cortica, stats};

#[test]
fn every_help_names_the_exit_codes() {
    cortica(&["--help"]).ok().says(&[
        "demo",
        "ingest",
        "recall",
        "stats",
        "check",
        "bench",
        "Exit codes",
    ]);
    for name in [
        "demo",
        "ingest",
        "recall",
        "stats",
        "check",
        "bench",
        "completions",
    ] {
        cortica(&[name, "--help"])
            .ok()
            .says(&["Usage: cortica", "Exit codes:", "--json"]);
    }
    cortica(&["--version"]).ok().says(&["cortica "]);
    cortica(&[]).failed(2, &["Usage"]);
    cortica(&["ingest", "x.npy"]).failed(2, &["--store"]);
    cortica(&["ingest", "x.npy", "--store", "s", "--batch", "0"]).failed(2, &["--batch"]);
    cortica(&["ingest", "x.npy", "--store", "s", "--durability", "maybe"]).failed(2, &["buffered"]);
}

#[test]
fn completions_are_written_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        cortica(&["completions", shell])
            .ok()
            .says(&["cortica", "ingest"]);
    }
}

#[test]
fn a_reader_that_leaves_ends_an_answer_quietly() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    // Far more than a pipe holds.
    let queries = folder.npy("queries.npy", 4, &cortica_testkit::clustered(3_000, 4, 5));
    for json in [&["--json"][..], &[]] {
        let args = [&["recall", "--store", &store, "--vectors", &queries], json].concat();
        let mut child = command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut start = [0; 100];
        child.stdout.take().unwrap().read_exact(&mut start).unwrap(); // And then it is closed.
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn a_reader_that_leaves_does_not_stop_an_ingest() {
    let folder = Folder::new();
    let store = folder.path("store");
    let rows = folder.npy("rows.npy", 4, &cortica_testkit::clustered(3_000, 4, 5));
    let args = [
        "ingest",
        &rows,
        "--store",
        &store,
        "--batch",
        "1",
        "--durability",
        "buffered",
        "--json",
    ];
    let mut child = command(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(stats(&store)["episodes"], 3_000);
}

#[test]
fn a_reader_that_leaves_does_not_stop_a_batch() {
    let folder = Folder::new();
    let lines = |count: usize, last: &str| {
        let line = |at| format!("{{\"store\":{{\"id\":\"e{at}\",\"what\":\"text {at}\"}}}}\n");
        let lines: String = (0..count).map(line).collect();
        folder.write(&format!("{count}.jsonl"), lines + last)
    };
    let refused = "{\"forget\":{\"id\":\"nobody\"}}\n";
    for (file, more, code, held) in [
        (lines(3_000, ""), &[][..], 0, 3_000),
        (lines(3_001, ""), &["--atomic"], 0, 3_001),
        (lines(3_002, refused), &[], 1, 3_002),
        (lines(3_003, refused), &["--atomic"], 1, 0),
    ] {
        for json in [&["--json"][..], &[]] {
            let store = folder.path(&format!("{held} {}", json.len()));
            let args = ["batch", &file, "--store", &store];
            let args = [&args[..], &["--durability", "buffered"], more, json].concat();
            let mut child = command(&args)
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            drop(child.stdout.take());
            let output = child.wait_with_output().unwrap();
            assert_eq!(output.status.code(), Some(code), "{args:?}");
            assert_eq!(String::from_utf8_lossy(&output.stderr), "");
            assert_eq!(stats(&store)["episodes"], held, "{args:?}");
        }
    }
}

#[test]
fn kernels_that_cannot_run_are_refused() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let lacking = cortica::Isa::ALL
        .into_iter()
        .find(|isa| !isa.is_available());
    let lacking = lacking.map(|isa| isa.to_string());
    for name in [Some("axv2".to_owned()), lacking].into_iter().flatten() {
        let mut command = command(&["stats", "--store", &store]);
        let output = command.env("CORTICA_ISA", &name).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr);
        for word in ["CORTICA_ISA", &name, "available here: scalar"] {
            assert!(said.contains(word), "{said}");
        }
    }
    for name in ["scalar", ""] {
        let mut command = command(&["stats", "--store", &store]);
        let output = command.env("CORTICA_ISA", name).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "`{name}`");
    }
}
