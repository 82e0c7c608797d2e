//! Running the real binary, and small files to run it on.

#![allow(dead_code, reason = "each test file uses its own part of this")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// What a run of the binary left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The binary with these arguments, separated by spaces.
pub(crate) fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cortica"));
    // A backtrace in front of a user would be a fault; ask for one, so that a fault shows.
    command
        .args(args)
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null());
    command
}

/// Runs the binary to its end.
pub(crate) fn cortica(args: &[&str]) -> Run {
    let output = command(args).output().expect("the binary runs");
    let run = Run {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("UTF-8 on standard output"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8 on standard error"),
    };
    for fault in ["panicked", "stack backtrace", "RUST_BACKTRACE"] {
        assert!(!run.stderr.contains(fault), "{args:?}: {}", run.stderr);
    }
    run
}

impl Run {
    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Failed with this code, and standard error says all of these words.
    #[track_caller]
    pub(crate) fn failed(self, code: i32, words: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stdout, self.stderr);
        for word in words {
            assert!(
                self.stderr.contains(word),
                "`{word}` is not in:\n{}",
                self.stderr
            );
        }
        self
    }

    /// The lines of standard output, each an object.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
        self.stdout.lines().map(parse).collect()
    }

    /// Human text without a trace of JSON, saying all of these words.
    #[track_caller]
    pub(crate) fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(
                self.stdout.contains(word),
                "`{word}` is not in:\n{}",
                self.stdout
            );
        }
        self
    }
}

/// A temporary folder with paths as text.
#[derive(Debug)]
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().expect("UTF-8").to_owned()
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        std::fs::write(self.0.path().join(name), contents).expect("a file");
        self.path(name)
    }

    /// An npy file of f32 rows of this dimension.
    pub(crate) fn npy(&self, name: &str, dimension: usize, values: &[f32]) -> String {
        let path = self.path(name);
        let rows = values.len() / dimension;
        cortica_formats::write_npy_f32(Path::new(&path), rows, dimension, values).expect("an npy");
        path
    }

    pub(crate) fn u32s(&self, name: &str, values: &[u32]) -> String {
        self.write(
            name,
            values
                .iter()
                .flat_map(|v| v.to_le_bytes())
                .collect::<Vec<u8>>(),
        )
    }

    /// A store `name` of 20 rows of 4 numbers with the ids `0` to `19`.
    pub(crate) fn small_store(&self, name: &str) -> String {
        let store = self.path(name);
        let rows = self.npy("small.npy", 4, &cortica_testkit::clustered(20, 4, 7));
        cortica(&["ingest", &rows, "--store", &store]).ok();
        store
    }
}

/// What `stats --json` says about a store.
#[track_caller]
pub(crate) fn stats(store: &str) -> Value {
    cortica(&["stats", "--store", store, "--json"])
        .ok()
        .json()
        .remove(0)
}

/// The only segment of a store's log.
pub(crate) fn segment(store: &str) -> PathBuf {
    let mut segments: Vec<PathBuf> = std::fs::read_dir(Path::new(store).join("log"))
        .expect("a log")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "log"))
        .collect();
    assert_eq!(segments.len(), 1);
    segments.remove(0)
}

/// Runs the command, which must fail and leave the store exactly as it was.
#[track_caller]
pub(crate) fn refused(store: &str, args: &[&str], code: i32, words: &[&str]) -> Run {
    let before = stats(store);
    let run = cortica(args).failed(code, words);
    assert_eq!(stats(store), before, "something was stored");
    run
}

/// Refused by a store that holds rows, and by one that is not there yet.
#[track_caller]
pub(crate) fn ingest_refused(folder: &Folder, store: &str, file: &str, words: &[&str]) {
    refused(store, &["ingest", file, "--store", store], 1, words);
    // The same with a store that is not there yet: at most an empty one is made.
    let fresh = folder.path("fresh");
    cortica(&["ingest", file, "--store", &fresh]).failed(1, &[]);
    if Path::new(&fresh).exists() {
        assert_eq!(stats(&fresh)["episodes"], 0);
        std::fs::remove_dir_all(&fresh).expect("an empty store");
    }
}
