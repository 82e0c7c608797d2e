//! Few files may be open, files may not grow, memory is scarce: the command keeps to what it was given
//! or says why not, nothing that was acknowledged is gone, and with the limit gone all is well.

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

/// The command in a shell that sets limits first.
fn shell(limits: &str, args: &[&str]) -> Command {
    let script = format!("{limits}; exec \"$0\" \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, env!("CARGO_BIN_EXE_cortica")]);
    command.args(args).stdin(Stdio::null());
    command
}

fn limited(limits: &str, args: &[&str]) -> Run {
    let output = shell(limits, args).output().expect("a shell runs");
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
/// No thread may be started. Whoever has the right to all of them is somebody else for this: the system
/// counts nobody's threads against root.
#[test]
#[cfg(target_os = "linux")]
fn without_a_thread_a_command_works_or_says_why_not() {
    use std::os::unix::fs::PermissionsExt;
    let mut limit: Vec<&str> = "prlimit --nproc=0".split(' ').collect();
    if std::fs::metadata("/proc/self").is_ok_and(|of| std::os::unix::fs::MetadataExt::uid(&of) == 0)
    {
        limit.splice(
            0..0,
            "setpriv --reuid=65534 --regid=65534 --clear-groups".split(' '),
        );
    }
    let folder = Folder::new();
    let (store, columns) = (folder.path("store"), folder.path("columns"));
    // The command where anybody may run it, and a folder that anybody may write into.
    let command = folder.path("cortica");
    std::fs::copy(env!("CARGO_BIN_EXE_cortica"), &command).unwrap();
    let dir = std::path::Path::new(&command).parent().unwrap();
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o777)).unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(limit[0])
            .args(&limit[1..])
            .arg(&command)
            .args(args)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        Some(Run {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        })
    };
    if run(&["--version"]).is_none_or(|run| run.code != Some(0)) {
        println!("skipped: this system has no prlimit or setpriv");
        return;
    }
    let rows = r#"{"id":"a","what":"one","embedding":[1,2,3]}"#;
    let (rows, copy) = (folder.write("rows.jsonl", rows), folder.path("copy"));
    for args in [
        vec!["ingest", &rows, "--store", &store],
        vec!["recall", "--store", &store, "--like", "a"],
        vec![
            "recall",
            "--store",
            &store,
            "--like",
            "a",
            "--accuracy",
            "approximate",
        ],
        vec!["forget", "a", "--store", &store],
        vec!["compact", "--store", &store],
        vec!["snapshot", &copy, "--store", &store],
        vec!["check", "--store", &store],
        vec!["allocate", "--store", &columns, "--totals"],
    ] {
        run(&args).unwrap().ok();
    }
    // Its readers are threads.
    let operations = folder.write("batch.jsonl", r#"{"forget":"b"}"#);
    let refused = run(&["batch", &operations, "--store", &store]).unwrap();
    refused.failed(1, &["error: cannot start", "threads"]);
    cortica(&["check", "--store", &store]).ok();
}

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

/// Memory that the kernel refuses to go beyond. Other systems do not count what is mapped.
#[cfg(target_os = "linux")]
mod memory {
    use std::fmt::Write;
    use std::io::Read;
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use super::*;
    use cortica_testkit::report;
    use serde_json::Value;

    const BUDGET_MIB: u64 = 32;

    fn limits(kilobytes: u64) -> String {
        format!("ulimit -c 0; ulimit -d {kilobytes}")
    }

    /// Writes that leave the store as large as it is, and reads with long answers.
    fn operations(count: usize) -> String {
        let mut lines = String::new();
        for at in 0..count {
            let (id, text, value) = (at % 40, "x".repeat(2_000), at % 7);
            let line = match at % 4 {
                0 => format!(r#"{{"store":{{"id":"note-{id}","what":"{at} {text}"}}}}"#),
                1 => format!(r#"{{"recall":{{"embedding":[{value},1,2,3],"k":20}}}}"#),
                _ => format!(
                    r#"{{"similarity_search":{{"embedding":[1,{value},2,3],"k":20,"vectors":true}}}}"#
                ),
            };
            // Into a string: cannot fail.
            let _ = writeln!(lines, "{line}");
        }
        lines
    }

    fn batch<'a>(file: &'a str, store: &'a str, budget: &'a str, full: &'a str) -> Vec<&'a str> {
        let args = ["batch", file, "--store", store, "--memory-limit", budget];
        let rest = ["--backpressure", full, "--durability", "buffered", "--json"];
        [&args[..], &rest[..]].concat()
    }

    /// The kilobytes that the command takes for itself, its threads, the store and a few operations, to
    /// within 250.
    fn base(folder: &Folder, store: &str, few: &str) -> u64 {
        let few = folder.write("few.jsonl", few);
        let enough = |kilobytes: &u64| {
            let args = batch(&few, store, "1", "block");
            let output = shell(&limits(*kilobytes), &args).output();
            output.expect("a shell runs").status.success()
        };
        let tried = (4_000..400_000).step_by(250).find(enough);
        tried.expect("it runs with that much")
    }

    /// With a fifth more memory than the budget it lives, whatever comes and however slowly answers are
    /// taken; a budget that is larger than the memory is what that would be without.
    #[test]
    fn a_budget_of_memory_is_kept() {
        let folder = Folder::new();
        let store = folder.small_store("store");
        let base = base(&folder, &store, &operations(400));
        let room = limits(base + BUDGET_MIB * 1_024 * 6 / 5);
        let count = 40_000;
        let many = folder.write("many.jsonl", operations(count));
        let budget = BUDGET_MIB.to_string();
        let (mut peak, mut shed) = (0, 0);
        for full in ["block", "drop-oldest"] {
            let mut child = shell(&room, &batch(&many, &store, &budget, full))
                .stdout(Stdio::piped())
                .spawn()
                .expect("a shell runs");
            sleep(Duration::from_secs(1)); // Nobody takes an answer, and the budget fills.
            let mut text = String::new();
            let stdout = child.stdout.as_mut().expect("a pipe");
            stdout.read_to_string(&mut text).expect("UTF-8");
            let status = child.wait().expect("an end");
            assert!(status.code().is_some_and(|code| code <= 1), "{status}");
            assert_eq!(text.lines().count(), count + 1, "{full}");
            let last: Value = serde_json::from_str(text.lines().last().expect("a line")).unwrap();
            let summary = &last["summary"];
            let dropped = summary["errors"]["dropped"].as_u64().unwrap_or(0);
            assert_eq!(status.success(), dropped == 0, "{summary}");
            assert_eq!(dropped > 0, full == "drop-oldest", "{summary}");
            shed += dropped;
            peak = peak.max(summary["peak_bytes"].as_u64().expect("a number"));
        }
        // A budget that was not needed would show nothing.
        assert!(peak > (BUDGET_MIB << 20) * 9 / 10, "{peak}");
        assert!(peak <= BUDGET_MIB << 20, "{peak}");
        let mut child = shell(&room, &batch(&many, &store, "1024", "block"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell runs");
        let started = Instant::now();
        let status = loop {
            if let Some(status) = child.try_wait().expect("a child") {
                break status;
            }
            if started.elapsed() > Duration::from_mins(2) {
                child.kill().expect("an end");
                panic!("the memory was enough for everything");
            }
            sleep(Duration::from_millis(20));
        };
        assert_eq!(status.code(), None, "{status}");
        cortica(&["check", "--store", &store]).ok();
        let counts = [
            ("base_kilobytes", base),
            ("peak_bytes", peak),
            ("operations_shed", shed),
        ];
        report("memory_budget", 0, &counts);
    }

    #[test]
    fn a_store_that_memory_is_too_small_for_is_not_called_damaged() {
        let folder = Folder::new();
        let store = folder.small_store("store");
        for command in ["stats", "recall", "compact"] {
            let mut args = vec![command, "--store", &store];
            if command == "recall" {
                args.extend(["--like", "3"]);
            }
            // Less than the first vectors take.
            let run = limited(&limits(3_000), &args).failed(1, &["not enough memory", "next:"]);
            assert!(!run.stderr.contains("damage"), "{}", run.stderr);
        }
        limited(&limits(3_000), &["check", "--store", &store]).ok();
        assert_eq!(stats(&store)["episodes"], 20);
    }
}
