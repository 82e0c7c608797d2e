//! Interrupted and asked to end, at any moment and twice: the command ends at once, what it acknowledged
//! is there, and nothing has to be mended by hand. What was closed has nothing to make up for.

#![cfg(unix)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Folder, command, cortica, stats};
use cortica_testkit::{Rng, clustered};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// It takes some milliseconds; a machine that is busy with other things takes longer.
const SOON: Duration = Duration::from_secs(5);
const ROUNDS: usize = 20;
const DIMENSION: usize = 16;

/// More than the rows take, and less than an open log reserves.
const UNUSED: u64 = 4 << 20;

fn log_bytes(store: &str) -> u64 {
    let Ok(files) = std::fs::read_dir(std::path::Path::new(store).join("log")) else {
        return 0;
    };
    let lengths = files.map(|file| {
        file.and_then(|file| file.metadata())
            .map_or(0, |it| it.len())
    });
    lengths.sum()
}

fn send(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    kill_process(pid.expect("a process"), signal).expect("a signal is sent");
}

/// Waits for the end; gives how long it took, and the signal that ended it.
fn end(mut child: Child) -> (Duration, Option<i32>) {
    let started = Instant::now();
    let status = child.wait().expect("an end");
    (started.elapsed(), status.signal())
}

#[test]
fn a_command_that_is_told_to_end_ends_and_keeps_what_it_acknowledged() {
    let folder = Folder::new();
    let rows = clustered(4_000, DIMENSION, 3);
    let file = folder.npy("rows.npy", DIMENSION, &rows);
    let mut rng = Rng::new(9);
    let (mut signalled, mut at_work, mut unclosed) = (0, 0, 0);
    for round in 0..ROUNDS {
        let store = folder.path(&format!("store-{round}"));
        let args = ["ingest", &file, "--store", &store, "--batch", "8", "--json"];
        let mut child = command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut acked = 0;
        let mut line = String::new();
        let mut hear = |line: &str| {
            let told: Result<Value, _> = serde_json::from_str(line);
            let told = told.ok().and_then(|line| line["rows_to"].as_u64());
            acked = told.unwrap_or(0).max(acked);
        };
        // Half of them at their start, half at work.
        if round % 2 == 0 {
            sleep(Duration::from_micros(rng.below(4_000) as u64));
            send(&child, Signal::INT);
        } else {
            for _ in 0..=rng.below(30) {
                stdout.read_line(&mut line).expect("a pipe");
                hear(&line);
                line.clear();
            }
            send(&child, Signal::TERM);
            send(&child, Signal::TERM);
        }
        while stdout.read_line(&mut line).expect("a pipe") > 0 {
            hear(&line);
            line.clear();
        }
        let (took, signal) = end(child);
        assert!(took < SOON, "{took:?}");
        signalled += usize::from(signal.is_some());
        at_work += usize::from(acked > 0);
        // Closing gives back what a log has reserved and not used.
        unclosed += usize::from(log_bytes(&store) > UNUSED);
        // It may not have come far enough to make a store.
        if std::path::Path::new(&store).join("cortica.store").exists() {
            cortica(&["check", "--store", &store]).ok();
            assert!(stats(&store)["episodes"].as_u64() >= Some(acked), "{acked}");
        }
        cortica(&["ingest", &file, "--store", &store]).ok();
        let held = stats(&store);
        assert_eq!(held["episodes"], 4_000);
        let recovery = &held["recovery"];
        let nothing = (&recovery["damage"], &recovery["dropped_tail_bytes"]);
        assert_eq!(nothing, (&0.into(), &0.into()));
        assert!(log_bytes(&store) < UNUSED, "it was not closed");
    }
    assert!(
        signalled > ROUNDS / 2 && at_work > ROUNDS / 4 && unclosed > ROUNDS / 4,
        "{signalled}, {at_work}, {unclosed}"
    );
}
