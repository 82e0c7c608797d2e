//! Few files may be open, files may not grow, threads may not be begun: the command says so, nothing
//! that was acknowledged is gone, and with the limit gone all is well.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::process::{Command, Stdio};

use common::{Folder, Run, cortica, stats};

/// Runs the command in a shell that sets limits first.
fn limited(limits: &str, args: &[&str]) -> Run {
    let script = format!("{limits}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_cortica")]);
    let output = command.args(args).stdin(Stdio::null()).output();
    let output = output.expect("a shell runs");
    let run = Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    };
    assert!(
        !run.stderr.contains("panicked"),
        "{limits}, {args:?}: {}",
        run.stderr
    );
    run
}

/// What was acknowledged in `--json`.
fn acked(run: &Run) -> u64 {
    let lines = run.stdout.lines();
    let told = lines.filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    told.filter_map(|line| line["acked"].as_u64())
        .max()
        .unwrap_or(0)
}

#[test]
fn with_few_open_files_a_command_works_or_says_why_not() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let line = |id: usize| format!(r#"{{"id":"new-{id}","what":"new","embedding":[4,3,2,{id}]}}"#);
    let (mut worked, mut refused) = (0, 0);
    for files in 4..24 {
        let new = folder.write("new.jsonl", line(files));
        let copy = folder.path(&format!("copy-{files}"));
        let before = stats(&store)["episodes"].as_u64().unwrap();
        let limits = format!("ulimit -n {files}");
        for args in [
            vec!["stats", "--store", &store],
            vec!["recall", "--store", &store, "--like", "3"],
            vec!["ingest", &new, "--store", &store, "--json"],
            vec!["compact", "--store", &store],
            vec!["snapshot", &copy, "--store", &store],
            vec!["check", "--store", &store],
        ] {
            let run = limited(&limits, &args);
            if run.code == Some(0) {
                worked += 1;
            } else if run.stderr.contains("error while loading") {
                // The system's loader has no file left to load the command with.
            } else {
                run.failed(1, &["error:", "Too many open files"]);
                refused += 1;
            }
        }
        cortica(&["check", "--store", &store]).ok();
        let now = stats(&store)["episodes"].as_u64().unwrap();
        assert!(now == before || now == before + 1);
    }
    assert!(
        worked > 60 && refused > 5,
        "{worked} worked, {refused} refused"
    );
}

/// Files of some KB at most, as on a disk that is full: refused as a whole, and later done.
#[test]
fn a_file_that_may_not_grow_is_a_full_disk() {
    let folder = Folder::new();
    let rows = folder.npy("rows.npy", 64, &cortica_testkit::clustered(3_000, 64, 5));
    for (signal, kilobytes) in [(true, 64), (false, 64), (false, 256), (true, 256)] {
        let store = folder.path(&format!("store-{signal}-{kilobytes}"));
        // A shell counts in 512 or 1,024 bytes; which is of no matter. Ignored, the signal that goes with
        // it is an error; else it ends the process, as a kill does.
        let ignore = if signal { "" } else { "trap '' XFSZ; " };
        let limits = format!("{ignore}ulimit -c 0; ulimit -f {kilobytes}");
        let args = [
            "ingest", &rows, "--store", &store, "--batch", "10", "--json",
        ];
        let run = limited(&limits, &args);
        let acked = acked(&run);
        if signal {
            assert_eq!(run.code, None, "ended by the signal: {}", run.stderr);
        } else {
            run.failed(1, &["error:", "full", "next:", "space"]);
        }
        if std::path::Path::new(&store).join("cortica.store").exists() {
            cortica(&["check", "--store", &store]).ok();
            assert!(stats(&store)["episodes"].as_u64() >= Some(acked));
        }
        cortica(&["ingest", &rows, "--store", &store]).ok();
        assert_eq!(stats(&store)["episodes"], 3_000);
    }
}
