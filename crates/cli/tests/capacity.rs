//! Stores with a capacity through the real command.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{Folder, cortica, stats};

fn lines(numbers: std::ops::Range<u32>) -> String {
    let line = |number: u32| {
        let confidence = f64::from(number * 7 % 10) / 10.0;
        format!(
            "{{\"id\":\"e{number}\",\"what\":\"text {number}\",\"embedding\":[{number},1],\"encoding_confidence\":{confidence}}}\n"
        )
    };
    numbers.map(line).collect()
}

#[test]
fn a_full_store_forgets_the_weakest_and_says_how_many() {
    let folder = Folder::new();
    let (store, file) = (folder.path("store"), folder.write("e.jsonl", lines(0..30)));
    let args = ["ingest", &file, "--store", &store, "--capacity", "20"];
    let run = cortica(&[&args[..], &["--json"]].concat()).ok();
    let all = run.json();
    assert_eq!(all[0]["evicted"], 10);
    let summary = &all.last().unwrap()["summary"];
    assert_eq!(
        (&summary["evicted"], &summary["episodes"]),
        (&10.into(), &20.into())
    );
    let more = folder.write("more.jsonl", lines(30..35));
    cortica(&["ingest", &more, "--store", &store, "--capacity", "20"])
        .ok()
        .says(&[
            "5 were forgotten to make room",
            "the store holds 20 episodes",
        ]);
    // The capacity is what the command says, not what another one said.
    let again = folder.write("again.jsonl", lines(40..50));
    cortica(&["ingest", &again, "--store", &store])
        .ok()
        .says(&["the store holds 30 episodes"]);
    assert!(stats(&store)["capacity"].is_null());
    cortica(&["stats", "--store", &store, "--capacity", "40"])
        .ok()
        .says(&["30 of 40: a pressure of 0.75"]);
}

#[test]
fn a_full_store_may_refuse() {
    let folder = Folder::new();
    let (store, file) = (folder.path("store"), folder.write("e.jsonl", lines(0..5)));
    let args = ["ingest", &file, "--store", &store, "--capacity", "3"];
    cortica(&[&args[..], &["--at-capacity", "refuse"]].concat()).failed(
        1,
        &["the store holds 3 of 3 episodes and refuses more; forget some"],
    );
    assert_eq!(stats(&store)["episodes"], 3);
}

#[test]
fn what_makes_no_sense_is_refused() {
    let folder = Folder::new();
    let (store, file) = (folder.path("store"), folder.write("e.jsonl", lines(0..5)));
    let ingest = |more: &[&str]| cortica(&[&["ingest", &file, "--store", &store], more].concat());
    ingest(&["--capacity", "0"]).failed(2, &["--capacity"]);
    ingest(&["--at-capacity", "forget"]).failed(2, &["--capacity <N>"]);
    ingest(&["--capacity", "3", "--at-capacity", "shrink"]).failed(2, &["forget, refuse"]);
}
