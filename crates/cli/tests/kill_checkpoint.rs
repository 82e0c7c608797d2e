//! `kill -9` while what was made from the log is saved beside it: the store is what it was, and has
//! the file from before or the new one, whole. Written in its place at once, without the rename, it was
//! found broken after 24 kills.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};

use common::{Folder, command, cortica};
use cortica::{Cortica, Cue, Episode, IndexLag};
use cortica_testkit::{Rng, clustered, report, size};

const KILLS: usize = 40;
const SEED: u64 = 0xcafe;
const DIMENSION: usize = 16;

/// Embeddings in the graph that is saved already, and those that it does not have yet: enough of
/// each to be worth a file.
const OLD: usize = 1_200;
const NEW: usize = 1_200;

fn open(store: &str) -> Cortica {
    let builder = Cortica::builder()
        .dimension(DIMENSION)
        .index_lag(IndexLag::OnDemand);
    builder.open(store).expect("it opens after any kill")
}

fn fill(store: &Cortica, rows: &[f32], ids: std::ops::Range<usize>) {
    let episode = |id: usize| {
        let row = &rows[id * DIMENSION..][..DIMENSION];
        Episode::new(id.to_string(), format!("row {id}")).with_embedding(row.to_vec())
    };
    for stored in store.store_many(ids.map(episode).collect()) {
        stored.expect("stored");
    }
}

/// A store whose saved graph has half of its embeddings.
fn template(folder: &Folder, rows: &[f32]) -> String {
    let path = folder.path("template");
    let store = open(&path);
    fill(&store, rows, 0..OLD);
    store.wait_indexed().expect("a graph");
    store.close().expect("a close");
    let store = open(&path);
    assert_eq!(store.stats().index.loaded, OLD as u64);
    fill(&store, rows, OLD..OLD + NEW);
    store.close().expect("a close");
    path
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

/// Ids and bits of scores of exact answers.
fn answers(store: &Cortica, rows: &[f32]) -> Vec<(String, u32)> {
    let queries = rows.chunks_exact(DIMENSION).step_by(171);
    let found = queries.flat_map(|row| store.recall(&Cue::embedding(row.to_vec())).expect("found"));
    found
        .map(|one| (one.memory.id.to_string(), one.score.to_bits()))
        .collect()
}

#[test]
fn a_kill_while_the_graph_is_saved_changes_nothing() {
    let folder = Folder::new();
    let rows = clustered(OLD + NEW, DIMENSION, SEED);
    let template = template(&folder, &rows);
    let store = open(&template);
    let (state, exact) = (store.state_digest(), answers(&store, &rows));
    assert_eq!(store.stats().index.loaded, OLD as u64);
    drop(store);
    let nothing = folder.write("nothing.jsonl", "");
    let (killed, new) = (
        folder.path("killed"),
        folder.path("killed/cache/graph.cache.new"),
    );
    let mut rng = Rng::new(SEED);
    let kills = size("KILLS_CHECKPOINT", KILLS as u64) as usize;
    let (mut while_written, mut with_old, mut with_new) = (0, 0, 0);
    for kill in 0..kills {
        copy(Path::new(&template), Path::new(&killed));
        let mut child = command(&["ingest", &nothing, "--index", "--store", &killed])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs");
        let started = Instant::now();
        while !Path::new(&new).exists() && child.try_wait().expect("a child").is_none() {
            assert!(
                started.elapsed() < Duration::from_mins(10), // Of a machine that is held up, too.
                "nothing is saved"
            );
            std::hint::spin_loop();
        }
        sleep(Duration::from_micros(rng.below(3_000) as u64));
        child.kill().expect("a kill"); // SIGKILL: no handler, no flush, no goodbye.
        child.wait().expect("an end");
        while_written += usize::from(Path::new(&new).exists());
        if kill % 10 == 0 {
            cortica(&["check", "--store", &killed]).ok();
        }

        let store = open(&killed);
        assert_eq!(store.state_digest(), state, "kill {kill}");
        let index = store.stats().index;
        assert_eq!(index.refused, None, "kill {kill}");
        match index.loaded as usize {
            OLD => with_old += 1,
            all if all == OLD + NEW => with_new += 1,
            other => panic!("kill {kill}: the graph has {other} embeddings"),
        }
        assert_eq!(answers(&store, &rows), exact, "kill {kill}");
        assert!(!Path::new(&new).exists(), "kill {kill}: a half file stays");
        drop(store);
        fs::remove_dir_all(&killed).expect("no more of it");
    }
    let line = format!(
        "kill -9 while a graph is saved: {kills} kills, {while_written} while it was written; \
         {with_old} stores had the graph from before, {with_new} the new one, 0 a broken one\n"
    );
    // To standard error itself: the test runner hides what `println!` says.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    let counts = [
        ("kills", kills as u64),
        ("kills_while_it_was_written", while_written as u64),
        ("old_graphs_kept", with_old as u64),
        ("new_graphs_taken", with_new as u64),
    ];
    report("kill_checkpoint", SEED, &counts);
    assert!(
        while_written > 0 && with_old > 0,
        "no kill came while the graph was saved"
    );
}
