//! `bench` on folders of several shapes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::collections::BTreeSet;

use common::{Folder, cortica};
use cortica_testkit::clustered;
use serde_json::Value;

#[track_caller]
fn keys(value: &Value) -> BTreeSet<&str> {
    value
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect()
}

fn skipped<'a>(report: &'a Value, part: &str) -> Option<&'a str> {
    let entry = report["skipped"]
        .as_array()?
        .iter()
        .find(|entry| entry["part"] == part)?;
    entry["why"].as_str()
}

/// Lists of each kind and length, every one of them timed.
fn check_lists(lists: &Value) {
    assert_eq!(lists["rows"], 4_096);
    let of = lists["of"].as_array().unwrap();
    let kinds: BTreeSet<_> = of
        .iter()
        .map(|list| list["kind"].as_str().unwrap())
        .collect();
    let wanted = [
        "store",
        "associate",
        "recall",
        "similarity_search",
        "forget",
        "allocate",
    ];
    assert_eq!(kinds, wanted.into());
    assert_eq!(of.len(), 4 * kinds.len());
    for list in of {
        assert!(list["lists"].as_u64() > Some(0), "{list}");
        assert!(list["operations_s"].as_f64() > Some(0.0), "{list}");
        assert!(list["p50_us"].as_f64() <= list["p99_us"].as_f64(), "{list}");
    }
}

#[test]
fn the_bundled_folder_is_recalled_exactly() {
    let data = cortica_testkit::bundle_dir();
    let data = data.to_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let curves = folder.path().join("curves.svg");
    let curves = curves.to_str().unwrap();
    let report = cortica(&[
        "bench", "--data", data, "--json", "--quick", "--curves", curves,
    ])
    .ok()
    .json()
    .remove(0);
    assert!(skipped(&report, "time").is_some_and(|why| why.contains("--quick")));
    let wanted = [
        "n",
        "d",
        "machine",
        "graph",
        "store",
        "exact",
        "approximate",
        "batch",
        "batch_approximate",
        "busy",
        "lists",
        "spreading",
        "allocation",
        "skipped",
    ];
    assert_eq!(keys(&report), wanted.into());
    assert_eq!(
        (report["n"].as_u64(), report["d"].as_u64()),
        (Some(4_096), Some(768))
    );
    assert_eq!(report["graph"]["codes"], "i8");
    check_lists(&report["lists"]);
    assert!(
        std::fs::read_to_string(curves)
            .unwrap()
            .contains("similarity_search")
    );
    let exact = &report["exact"];
    let wanted = [
        "recall_at_10",
        "recall_at_100",
        "hit_at_10",
        "qps_cpu",
        "p50_us",
        "p99_us",
    ];
    assert_eq!(keys(exact), wanted.into());
    assert_eq!(exact["recall_at_10"], 1.0);
    assert_eq!(exact["recall_at_100"], 1.0);
    let hit = exact["hit_at_10"].as_f64().unwrap();
    assert!((0.5..1.0).contains(&hit), "{hit}");
    assert!(exact["qps_cpu"].as_f64().unwrap() > 0.0);
    assert!(exact["p50_us"].as_f64() <= exact["p99_us"].as_f64());
    assert_eq!(keys(&report["batch"]), ["16", "256"].into());
    assert!(report["batch"]["16"]["ratio"].as_f64().unwrap() > 0.0);
    assert!(report["store"]["burst_rows_s"].as_f64().unwrap() > 0.0);
    assert!(report["store"]["bytes"].as_u64().unwrap() > 4_096 * 768 * 4);
    let sustained = report["store"]["sustained_rows_s"].as_f64().unwrap();
    assert!(sustained > 0.0 && sustained <= report["store"]["burst_rows_s"].as_f64().unwrap());
    assert!(report["store"]["index_bytes"].as_u64().unwrap() > 4_096 * 768);
    let curve = report["approximate"].as_array().unwrap();
    assert!(curve.len() >= 8);
    for point in curve {
        let recall = point["recall_at_10"].as_f64().unwrap();
        // At the default and above.
        let good = point["ef"].as_u64().unwrap() < 64 || recall >= 0.95;
        assert!(good && (0.5..=1.0).contains(&recall), "{point}");
        assert!(point["qps_cpu"].as_f64().unwrap() > 0.0);
        assert!(point["qps_cpu_of_100"].as_f64().unwrap() > 0.0);
        assert!(point["p50_us"].as_f64() <= point["p99_us"].as_f64());
    }
    assert_eq!(keys(&report["batch_approximate"]), ["16", "256"].into());
    assert!(skipped(&report, "spreading").is_some_and(|why| !why.is_empty()));
    let allocation = &report["allocation"];
    // Side by side it may be one or the other of two like ones that comes first, and which are like it.
    let of = |outcome: &str| allocation[outcome].as_u64().unwrap();
    assert_eq!(of("allocated") + of("duplicates"), 4_096);
    assert!((1..=8).contains(&of("duplicates")));
    let in_order = &allocation["in_order"];
    for rate in ["allocations_s", "one_worker_s"] {
        assert!(allocation[rate].as_f64().unwrap() > 0.0, "{rate}");
        assert!(in_order[rate].as_f64().unwrap() > 0.0, "{rate} in order");
    }
    let loads = allocation["loads"].as_array().unwrap();
    assert_eq!(loads.len(), 2);
    for load in loads {
        for times in ["queue", "service", "total"] {
            let times = &load[times];
            assert!(times["p50_us"].as_f64() <= times["p99_us"].as_f64());
            assert!(times["p99_us"].as_f64() <= times["p999_us"].as_f64());
        }
        assert!(load["service"]["p50_us"].as_f64() <= load["total"]["p50_us"].as_f64());
    }
    let busy = &report["busy"];
    assert!(busy["rows_s"].as_f64().unwrap() > 0.0 && busy["queries_s"].as_f64().unwrap() > 0.0);
    assert!(busy["p50_us"].as_f64().unwrap() <= busy["p99_us"].as_f64().unwrap());
    assert!(busy["recall_at_10_after"].as_f64().unwrap() >= 0.95);
}

#[test]
fn fewer_rows_than_results_and_no_truth_given() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("data")).unwrap();
    folder.npy("data/X.npy", 5, &clustered(7, 5, 1));
    folder.npy("data/q.npy", 5, &clustered(3, 5, 2));
    let (data, store) = (folder.path("data"), folder.path("store"));
    let report = cortica(&[
        "bench", "--data", &data, "--store", &store, "--json", "--quick",
    ])
    .ok()
    .json()
    .remove(0);
    assert_eq!(report["exact"]["recall_at_10"], 1.0);
    assert_eq!(report["exact"]["recall_at_100"], 1.0);
    assert!(report["exact"]["hit_at_10"].is_null());
    assert!(
        skipped(&report, "exact.hit_at_10")
            .unwrap()
            .contains("queries.tsv")
    );
    assert!(
        report["skipped"]
            .to_string()
            .contains("first 3 of 3 queries")
    );
    // The store was asked for, so it stays; and it is not measured into twice.
    assert_eq!(common::stats(&store)["episodes"], 7);
    cortica(&["bench", "--data", &data, "--store", &store]).failed(1, &["not empty"]);
    // In full, and in words.
    let run = cortica(&["bench", "--data", &data]).ok();
    assert!(!run.stdout.contains("--quick"), "{}", run.stdout);
    run.says(&["recall@10", "1.0000", "P99", "skipped"]);
}

#[test]
fn a_wrong_truth_is_seen() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("data")).unwrap();
    let rows = clustered(200, 8, 1);
    folder.npy("data/X.npy", 8, &rows);
    folder.npy("data/q.npy", 8, &rows[..16]);
    // Claims that the nearest neighbour, the row itself, is the hundredth: nothing else comes up
    // to it.
    let truth: Vec<u32> = [[0; 100], [1; 100]].concat();
    folder.u32s("data/gt100.u32", &truth);
    folder.write(
        "data/queries.tsv",
        "0\tlemma\t0\tfirst\n1\tlemma\t1\tsecond\n",
    );
    let data = folder.path("data");
    let report = cortica(&["bench", "--data", &data, "--json", "--quick"])
        .ok()
        .json()
        .remove(0);
    assert_eq!(report["exact"]["recall_at_10"], 0.1);
    assert_eq!(report["exact"]["recall_at_100"], 0.01);
    assert_eq!(report["exact"]["hit_at_10"], 1.0);

    folder.u32s("data/gt100.u32", &[200; 200]);
    cortica(&["bench", "--data", &data]).failed(1, &["gt100.u32", "row 200"]);
    folder.u32s("data/gt100.u32", &[0; 199]);
    cortica(&["bench", "--data", &data]).failed(1, &["gt100.u32", "2 queries"]);
    folder.npy("data/q.npy", 4, &rows[..16]);
    cortica(&["bench", "--data", &data]).failed(1, &["q.npy", "dimension"]);
}

#[test]
fn a_row_that_the_store_refuses_is_nobodys_neighbour() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("data")).unwrap();
    let data = folder.path("data");
    let mut rows = clustered(50, 8, 1);
    rows[7 * 8..8 * 8].fill(0.0);
    folder.npy("data/X.npy", 8, &rows);
    folder.npy("data/q.npy", 8, &rows[..3 * 8]);
    // The second query means the row that is not there.
    folder.write("data/queries.tsv", "0\tlemma\t0\n1\tlemma\t7\n");
    let run = || {
        let run = cortica(&["bench", "--data", &data, "--json", "--quick"]);
        let report = run.ok().json().remove(0);
        for depth in ["recall_at_10", "recall_at_100", "hit_at_10"] {
            assert_eq!(report["exact"][depth], 1.0, "{depth}");
        }
        let why = skipped(&report, "rows").unwrap();
        assert!(why.contains("1 of 50") && why.contains("row 7"), "{why}");
    };
    run();
    // A truth that is brought along may name the row, first or last.
    for zero_first in [false, true] {
        let nearest = |query: &[f32]| {
            let ranked = cortica_testkit::brute_force(&rows, 8, query, 50);
            let mut ranked: Vec<u32> = ranked.into_iter().map(|(row, _)| row as u32).collect();
            ranked.retain(|row| *row != 7);
            ranked.insert(if zero_first { 0 } else { 49 }, 7);
            ranked
        };
        let truth: Vec<u32> = rows[..3 * 8].chunks(8).flat_map(nearest).collect();
        folder.u32s("data/gt100.u32", &truth);
        run();
    }
}
