//! Exact and approximate recalls by the command.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{Folder, cortica, stats};
use cortica_testkit::clustered;
use serde_json::Value;

/// Ids and scores of each query's results.
fn results(store: &str, queries: &str, how: &[&str]) -> Vec<Vec<(String, f64)>> {
    let fixed = ["recall", "--store", store, "--vectors", queries, "--json"];
    let lines = cortica(&[&fixed[..], how].concat()).ok().json();
    let one = |result: &Value| {
        let id = result["id"].as_str().unwrap().to_owned();
        (id, result["score"].as_f64().unwrap())
    };
    let lines = lines.iter().map(|line| line["results"].as_array().unwrap());
    lines
        .map(|results| results.iter().map(one).collect())
        .collect()
}

#[test]
fn approximate_recall_finds_nearly_all_that_exact_recall_finds() {
    let folder = Folder::new();
    let rows = folder.npy("rows.npy", 24, &clustered(3_000, 24, 5));
    let queries = folder.npy("q.npy", 24, &clustered(40, 24, 6));
    let store = folder.path("store");
    cortica(&["ingest", &rows, "--store", &store]).ok();
    let index = &stats(&store)["index"];
    let known = index["indexed"].as_u64().unwrap() + index["waiting"].as_u64().unwrap();
    assert_eq!(known, 3_000);
    assert!(index["trouble"].is_null());
    cortica(&["stats", "--store", &store])
        .ok()
        .says(&["waiting"]);

    let exact = results(&store, &queries, &[]);
    assert_eq!(results(&store, &queries, &["--accuracy", "exact"]), exact);
    let mut found = 0;
    let approximate = ["--accuracy", "approximate"];
    for (some, all) in results(&store, &queries, &approximate).iter().zip(&exact) {
        assert_eq!(some.len(), 10);
        found += some.iter().filter(|one| all.contains(one)).count();
    }
    assert!(found >= 380, "{found} of 400");
    // Along the graph: comparing all would find all also where few candidates are kept.
    let narrow = ["--accuracy", "approximate", "--ef", "10"];
    assert_ne!(results(&store, &queries, &narrow), exact);
    let wide = ["--accuracy", "approximate", "--ef", "3000"];
    assert_eq!(results(&store, &queries, &wide), exact);
}

#[test]
fn widths_that_mean_nothing_are_refused() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let recall = |how: &[&str]| {
        let fixed = ["recall", "--store", &store, "--like", "3"];
        cortica(&[&fixed[..], how].concat())
    };
    recall(&["--ef", "10"]).failed(2, &["--accuracy approximate"]);
    let approximate = ["--accuracy", "approximate", "--ef"];
    recall(&[&approximate[..], &["0"]].concat()).failed(2, &["--ef"]);
    recall(&[&approximate[..], &["65537"]].concat()).failed(2, &["--ef"]);
    recall(&["--accuracy", "good"]).failed(2, &["approximate"]);
    recall(&[&approximate[..], &["20"]].concat()).ok();
}
