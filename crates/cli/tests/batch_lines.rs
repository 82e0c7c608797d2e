//! `cortica batch` names the lines of the file it was given, and touches nothing where it cannot begin.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::path::Path;

use common::{Folder, cortica};

#[test]
fn the_line_that_is_to_blame_is_named_as_the_file_has_it() {
    let folder = Folder::new();
    let store = folder.path("store");
    let text = r#"{"store":{"id":"a","what":"a"}}

{"store":{"id":"b","what":"b"}}
no JSON

{"forget":{"id":"a"}}
no JSON
"#;
    let file = folder.write("bad.jsonl", text);
    let args = ["batch", &file, "--store", &store, "--atomic", "--json"];
    let lines = cortica(&args).failed(1, &[]).json();
    let found: Vec<_> = lines[..5].iter().map(|line| &line["line"]).collect();
    assert_eq!(found, [1, 3, 4, 6, 7]);
    for undone in [0, 1, 3] {
        let error = lines[undone]["error"].as_str().unwrap();
        assert!(error.contains("line 4"), "{error}");
    }
    assert!(lines[2]["error"].as_str().unwrap().starts_with("line 4: "));

    let recall = "\n\n{\"recall\":{\"embedding\":[1]}}\n";
    let file = folder.write("recall.jsonl", recall);
    let args = ["batch", &file, "--store", &store, "--atomic"];
    cortica(&args).failed(1, &["line 3 is a recall, which is no write"]);
}

#[test]
fn the_field_that_is_to_blame_is_named() {
    let bad = [
        (
            r#"{"store":{"id":"a","what":"a","embedding":[1,"x"]}}"#,
            "store.embedding: ",
        ),
        (
            r#"{"store":{"id":"a","what":"a","who":["a",3]}}"#,
            "store.who[1]: ",
        ),
        (r#"{"recall":{"embedding":[1],"k":-1}}"#, "recall.k: "),
        (
            r#"{"recall":{"embedding":[1],"nearest":1}}"#,
            "recall.nearest: ",
        ),
        (
            r#"{"similarity_search":{"embedding":[1],"threshold":"high"}}"#,
            "similarity_search.threshold: ",
        ),
        (
            r#"{"associate":{"from":"a","to":"b","weight":[]}}"#,
            "associate.weight: ",
        ),
        (r#"{"recal":{"embedding":[1]}}"#, "unknown variant `recal`"),
        ("[1", ""),
    ];
    let folder = Folder::new();
    let text = bad.map(|(line, _)| line).join("\n");
    let file = folder.write("bad.jsonl", &text);
    let args = ["batch", &file, "--store", &folder.path("store"), "--json"];
    let lines = cortica(&args).failed(1, &[]).json();
    for (at, (line, named)) in bad.iter().enumerate() {
        let error = lines[at]["error"].as_str().unwrap();
        let starts = format!("line {}: {named}", at + 1);
        assert!(error.starts_with(&starts), "{line}: {error}");
        assert!(error.contains(" at column "), "{line}: {error}");
    }
}

#[test]
fn a_line_beyond_the_memory_limit_is_refused_alone() {
    let folder = Folder::new();
    let store = folder.path("store");
    let long = "x".repeat(3 << 20);
    let text = format!(
        "{{\"store\":{{\"id\":\"a\",\"what\":\"{long}\"}}}}\n{{\"store\":{{\"id\":\"b\",\"what\":\"b\"}}}}\n"
    );
    let file = folder.write("long.jsonl", text);
    let args = ["batch", &file, "--store", &store, "--memory-limit", "1"];
    let args = [&args[..], &["--json"]].concat();
    let lines = cortica(&args).failed(1, &[]).json();
    let error = lines[0]["error"].as_str().unwrap();
    assert!(error.ends_with("raise --memory-limit"), "{error}");
    assert_eq!(lines[1]["stored"]["outcome"], "stored");
}

#[test]
fn a_folder_is_no_file_and_leaves_no_store_behind() {
    let folder = Folder::new();
    let store = folder.path("store");
    let lines = folder.path("lines");
    std::fs::create_dir(&lines).unwrap();
    cortica(&["batch", &lines, "--store", &store]).failed(2, &["is a folder"]);
    assert!(!Path::new(&store).exists());
}
