//! `demo`: the whole way on the bundled data, more than once.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{Folder, cortica, stats};
use serde_json::Value;

fn demo(dir: &str) -> Value {
    let mut lines = cortica(&["demo", "--dir", dir, "--json"]).ok().json();
    assert_eq!(lines.len(), 1);
    lines.remove(0)
}

/// How far the index has come in the background depends on how fast the machine was.
fn without_index(mut stats: Value) -> Value {
    let index = stats
        .as_object_mut()
        .and_then(|stats| stats.remove("index"));
    assert!(index.is_some());
    stats
}

#[test]
fn it_recalls_exactly_and_a_second_run_is_harmless() {
    let folder = Folder::new();
    let dir = folder.path("demo");
    let run = cortica(&["demo", "--dir", &dir]).ok();
    let run = run.says(&[
        "4,096 concepts",
        "stored 4,096 episodes",
        "4,092 were given a column of their own, 4 mean what another one means",
        "reopened from disk",
        "4,092 of 5,832 columns hold a concept",
        "demo.svg",
        "recall@10 against exact neighbours",
        "1.000",
        "concept meant in the first ten",
        "queries per second",
        "P99",
        "<- meant",
        "relations:",
        "try next",
    ]);
    let after_first = stats(&dir);
    let data = cortica_testkit::bundle();
    assert_eq!(after_first["episodes"], data.len());
    assert_eq!(after_first["embedded"], data.len());

    let second = cortica(&["demo", "--dir", &dir]).ok();
    let second = second.says(&["there already and complete", "1.000", "try next"]);
    assert!(!second.stdout.contains("stored 4,096"));
    assert_eq!(without_index(stats(&dir)), without_index(after_first));
    // What was recalled is the same, figures of time aside.
    let examples = |run: &common::Run| {
        run.stdout
            .lines()
            .filter(|line| line.contains("  0."))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(examples(&run), examples(&second));

    let report = demo(&dir);
    assert_eq!(report["was_complete"], true);
    assert!(
        report["store"]["episodes_s"].is_null(),
        "nothing was stored, so there is no rate"
    );
    assert_eq!(report["recall"]["recall_at_10"], 1.0);
    assert_eq!(report["recall"]["queries"], data.query_count());
    assert_eq!(report["examples"].as_array().unwrap().len(), 3);
    for example in report["examples"].as_array().unwrap() {
        assert_eq!(example["results"].as_array().unwrap().len(), 10);
    }
    for share in report["recall"]["meant_in_first_10"]
        .as_object()
        .unwrap()
        .values()
    {
        assert!((0.2..=1.0).contains(&share.as_f64().unwrap()));
    }
    assert_eq!(report["allocation"]["held"], 4_092);
    let map = std::fs::read_to_string(report["allocation"]["map"].as_str().unwrap()).unwrap();
    assert!(map.matches("<rect").count() > 4_092);
    cortica(&["check", "--store", &dir]).ok();
}

#[test]
fn an_interrupted_demo_is_completed_and_a_strange_store_refused() {
    let folder = Folder::new();
    let dir = folder.path("demo");
    // As if the demo had been stopped: the first 100 concepts, as bundled.
    let data = cortica_testkit::bundle();
    let memory = cortica::Cortica::builder()
        .dimension(data.dimension)
        .model("all-mpnet-base-v2");
    let memory = memory.open(&dir).unwrap();
    for (row, item) in data.items.iter().enumerate().take(100) {
        let episode = cortica::Episode::new(&item.id, &item.text);
        memory
            .store(episode.with_embedding(data.row(row).to_vec()))
            .unwrap();
    }
    memory.close().unwrap();
    let report = demo(&dir);
    assert_eq!(report["was_complete"], false);
    assert_eq!(report["store"]["episodes_found"], 100);
    assert_eq!(report["store"]["episodes_stored"], data.len() - 100);
    assert_eq!(report["recall"]["recall_at_10"], 1.0);
    assert_eq!(stats(&dir)["episodes"], data.len());

    // One more episode makes it somebody's store.
    let line = folder.write("mine.jsonl", r#"{"id":"mine","what":"my own memory"}"#);
    cortica(&["ingest", &line, "--store", &dir]).ok();
    let before = stats(&dir);
    cortica(&["demo", "--dir", &dir])
        .failed(1, &["not the demo's", "nothing was stored in it", "--dir"]);
    assert_eq!(without_index(stats(&dir)), without_index(before));
    let other = folder.small_store("other");
    let before = stats(&other);
    cortica(&["demo", "--dir", &other]).failed(1, &["20 episodes", "--dir"]);
    assert_eq!(stats(&other), before);
}
