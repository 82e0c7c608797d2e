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

/// How many of the exact results are found.
fn hits(found: &[Vec<(String, f64)>], exact: &[Vec<(String, f64)>]) -> usize {
    let pairs = found.iter().zip(exact);
    let of_query = pairs.map(|(some, all)| some.iter().filter(|one| all.contains(one)).count());
    of_query.sum()
}

#[test]
fn approximate_recall_walks_and_finds_nearly_all_that_exact_recall_finds() {
    let folder = Folder::new();
    let rows = folder.npy("rows.npy", 24, &clustered(3_000, 24, 5));
    let queries = folder.npy("q.npy", 24, &clustered(40, 24, 6));
    let store = folder.path("store");
    cortica(&["ingest", &rows, "--store", &store, "--index"]).ok();
    let index = &stats(&store)["index"];
    assert_eq!(
        (&index["indexed"], &index["waiting"]),
        (&3_000.into(), &0.into())
    );
    let nothing = |why: &&str| index.get(why) == Some(&Value::Null);
    assert!(["trouble", "unsavable", "refused"].iter().all(nothing));
    assert_eq!(index["reachable"], 3_000);
    let degrees = (
        index["mean_degree"].as_f64().unwrap(),
        index["max_degree"].as_u64().unwrap(),
    );
    assert!(
        (8.0..32.0).contains(&degrees.0) && (16..=32).contains(&degrees.1),
        "{degrees:?}"
    );
    cortica(&["stats", "--store", &store])
        .ok()
        .says(&["3,000 embeddings in the graph, 0 waiting", "all reachable"]);

    let exact = results(&store, &queries, &[]);
    assert_eq!(results(&store, &queries, &["--accuracy", "exact"]), exact);
    let approximate = |how: &[&str]| {
        let fixed = ["--accuracy", "approximate"];
        results(&store, &queries, &[&fixed[..], how].concat())
    };
    let found = approximate(&[]);
    assert!(found.iter().all(|results| results.len() == 10));
    let walked = [
        hits(&found, &exact),
        hits(&approximate(&["--ef", "10"]), &exact),
    ];
    assert!(
        walked[0] >= 380 && walked[1] < walked[0],
        "{walked:?} of 400"
    );
    assert_eq!(approximate(&["--ef", "3000"]), exact);

    // Without the graph all wait, and the codes of all are compared: no walk misses any.
    std::fs::remove_dir_all(std::path::Path::new(&store).join("cache")).unwrap();
    assert_eq!(stats(&store)["index"]["waiting"], 3_000);
    let compared = hits(&approximate(&["--ef", "10"]), &exact);
    assert!(walked[1] < compared, "{walked:?}, {compared} compared");
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
