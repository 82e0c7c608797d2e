//! Forgetting, replacing, exporting and importing through the real command.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::fs;
use std::path::Path;

use common::{Folder, cortica, stats};
use serde_json::{Value, json};

const EPISODES: &str = r#"{"id":"tea","what":"tea with \"Ada\"\n","when":-5,"place":"Kew","who":["Ada","Bob"],"encoding_confidence":0.3}
{"id":"rain","what":"","embedding":[0.1,-0.0,1e-40,3.0000002],"metadata":{"ratio":0.1,"mm":4,"wet":true,"note":"ä","tiny":2.2250738585072014e-308}}
{"id":"snow","what":"it snowed","embedding":[1,2,3,4],"stream":"day","encoding_confidence":0.7}
"#;

fn store_of(folder: &Folder) -> String {
    let store = folder.path("store");
    let file = folder.write("episodes.jsonl", EPISODES);
    let edges = folder.u32s("edges.u32", &[0, 1, 7, 1, 2, 7, 2, 2, 9]);
    let args = ["ingest", &file, "--edges", &edges, "--store", &store];
    cortica(&[&args[..], &["--model", "m"]].concat()).ok();
    store
}

#[test]
fn export_import_export_is_the_same_to_the_last_byte() {
    let folder = Folder::new();
    let store = store_of(&folder);
    // Activations and seqs that are not what storing alone would give.
    let again = r#"{"id":"other","what":"it snowed","embedding":[1,2,3,4],"stream":"day"}"#;
    cortica(&["forget", "tea", "--store", &store]).ok();
    let file = folder.write("more.jsonl", format!("{EPISODES}{again}\n"));
    cortica(&["ingest", &file, "--store", &store])
        .ok()
        .says(&["1 have exactly the content of another episode"]);
    let first = folder.path("first.jsonl");
    cortica(&["export", &first, "--store", &store]).ok().says(&[
        "exported 3 episodes and 2 relations",
        "next: cortica import",
    ]);
    let other = folder.path("other");
    cortica(&["import", &first, "--store", &other])
        .ok()
        .says(&["imported 3 of 3 episodes and 2 of 2 relations (durable)"]);
    let second = folder.path("second.jsonl");
    cortica(&["export", &second, "--store", &other]).ok();
    let bytes = fs::read(&first).unwrap();
    assert_eq!(bytes, fs::read(&second).unwrap());
    let to_stdout = cortica(&["export", "-", "--store", &other]).ok();
    assert_eq!(to_stdout.stdout.as_bytes(), bytes);
    let order: Vec<Value> = to_stdout.json();
    let ids: Vec<_> = order
        .iter()
        .filter_map(|line| line["id"].as_str())
        .collect();
    assert_eq!(ids, ["rain", "snow", "tea"], "in the order of storing");
    assert_eq!(order[0]["space"]["model"], "m");
    assert_eq!(
        order.last().unwrap(),
        &json!({"end": {"episodes": 3, "associations": 2}})
    );

    // Again, nothing happens; onto a store that has one of them otherwise, that one fails.
    let run = cortica(&["import", &first, "--store", &other, "--json"]).ok();
    assert_eq!(run.json().last().unwrap()["summary"]["already_there"], 3);
    cortica(&["import", &first, "--store", &store]).ok();
    let taken = folder.write("taken.jsonl", r#"{"id":"snow","what":"other"}"#);
    let third = folder.path("third");
    cortica(&["ingest", &taken, "--store", &third]).ok();
    cortica(&["import", &first, "--store", &third])
        .failed(1, &["snow", "is taken by another episode"]);
    assert_eq!(stats(&third)["episodes"], 3);
}

#[test]
fn exports_that_were_cut_or_are_none_are_refused() {
    let folder = Folder::new();
    let store = store_of(&folder);
    let whole = folder.path("whole.jsonl");
    cortica(&["export", &whole, "--store", &store]).ok();
    let text = fs::read_to_string(&whole).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    for cut in [1, 3, lines.len() - 1] {
        let cut = folder.write("cut.jsonl", lines[..cut].join("\n"));
        let into = folder.path("into");
        cortica(&["import", &cut, "--store", &into]).failed(1, &["was cut", "no last line"]);
        fs::remove_dir_all(into).unwrap();
    }
    let missing = [&lines[..2], &lines[3..]].concat().join("\n");
    let missing = folder.write("missing.jsonl", missing);
    let into = folder.path("into");
    cortica(&["import", &missing, "--store", &into]).failed(1, &["was cut", "not 3 and 3"]);
    let none = folder.path("none");
    let plain = folder.write("plain.jsonl", EPISODES);
    cortica(&["import", &plain, "--store", &none]).failed(1, &["no export", "cortica ingest"]);
    let newer = text.replacen("\"version\":1", "\"version\":2", 1);
    let newer = folder.write("newer.jsonl", newer);
    cortica(&["import", &newer, "--store", &none]).failed(1, &["version 2", "newer"]);
    let bad = text.replacen("\"activation\":1.0", "\"activation\":2.0", 1);
    let bad = folder.write("bad.jsonl", bad);
    cortica(&["import", &bad, "--store", &none]).failed(1, &["field `activation`", "line 3"]);
    fs::remove_dir_all(&none).unwrap();
    let second = text.replacen("\n{", "\n{{", 1);
    let second = folder.write("second.jsonl", second);
    cortica(&["import", &second, "--store", &none]).failed(1, &["line 2", "nothing of"]);
    assert!(!Path::new(&none).exists(), "an empty store is left");
    let both = ["export", "-", "--store", &store, "--json"];
    cortica(&both).failed(2, &["standard output"]);
    cortica(&["export", &whole, "--store", &folder.path("nowhere")])
        .failed(1, &["no store", "next:"]);
}

#[test]
fn what_is_forgotten_is_gone_and_what_is_not_there_is_named() {
    let folder = Folder::new();
    let store = store_of(&folder);
    let run = cortica(&["forget", "rain", "nobody", "--store", &store, "--json"]);
    let run = run.failed(1, &["there is no episode \"nobody\""]);
    let lines = run.json();
    assert_eq!(
        lines[0],
        json!({"id": "rain", "forgotten": true, "seq": 2, "durability": "durable", "error": null})
    );
    assert_eq!(lines[1]["forgotten"], false);
    assert_eq!(lines[2]["summary"]["episodes"], 2);
    assert_eq!(stats(&store)["associations"], 1);
    cortica(&["recall", "--store", &store, "--like", "rain"]).failed(1, &["no episode `rain`"]);
    let ids = folder.write("ids", "tea\n\nsnow\n");
    let buffered = [
        "forget",
        "--file",
        &ids,
        "--store",
        &store,
        "--durability",
        "buffered",
    ];
    cortica(&buffered).ok().says(&[
        "forgot 2 of 2 episodes (buffered); the store holds 0",
        "next: cortica compact",
    ]);
    assert_eq!(stats(&store)["next_seq"], 4, "no seq is given out again");
    cortica(&["forget", "--store", &store]).failed(2, &["required"]);
}

#[test]
fn another_content_replaces_only_where_it_is_asked_for() {
    let folder = Folder::new();
    let store = store_of(&folder);
    let changed = r#"{"id":"tea","what":"coffee","embedding":[4,3,2,1]}"#;
    let file = folder.write("changed.jsonl", format!("{EPISODES}{changed}\n"));
    cortica(&["ingest", &file, "--store", &store])
        .failed(1, &["`tea` is taken", "`what`, `when`", "--update"]);
    let run = cortica(&["ingest", &file, "--store", &store, "--update", "--json"]).ok();
    let summary = run.json().pop().unwrap()["summary"].take();
    assert_eq!(
        (
            &summary["stored"],
            &summary["updated"],
            &summary["already_there"]
        ),
        (&json!(0), &json!(1), &json!(3))
    );
    let run = cortica(&[
        "recall", "--store", &store, "--like", "tea", "-k", "1", "--json",
    ])
    .ok();
    let found = run.json()[0]["results"][0].take();
    assert_eq!(
        (&found["what"], &found["seq"]),
        (&json!("coffee"), &json!(1))
    );
    assert_eq!(stats(&store)["associations"], 3);
    cortica(&["ingest", &file, "--store", &store, "--update"])
        .ok()
        .says(&["2 took the place", "2 were there already"]);
}
