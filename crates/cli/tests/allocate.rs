//! `allocate` and `map`: the bundled concepts in columns, and their picture.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{Folder, cortica};

#[test]
fn concepts_get_columns_and_a_picture() {
    let folder = Folder::new();
    let (store, picture) = (folder.path("store"), folder.path("map.svg"));
    let lines = cortica(&[
        "allocate",
        "--store",
        &store,
        "--durability",
        "none",
        "--json",
    ]);
    let lines = lines.ok().json();
    let data = cortica_testkit::bundle();
    assert_eq!(lines.len(), data.len() + 1);
    let of = |outcome: &str| {
        lines
            .iter()
            .filter(|line| line["outcome"] == outcome)
            .count()
    };
    assert_eq!((of("allocated"), of("duplicate")), (4_092, 4));
    let last = &lines[data.len()]["summary"];
    assert_eq!(
        (&last["allocated"], &last["held"]),
        (&4_092.into(), &4_092.into())
    );
    let drawn = cortica(&["map", "--store", &store, &picture]).ok();
    drawn.says(&["4,092 of 5,832 columns", "noun", "verb", "adjective"]);
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(svg.starts_with("<svg") && svg.matches("<rect").count() > 4_092);
    // Again: everything is there, and the grid is the store's.
    let again = cortica(&["allocate", "--store", &store, "--totals"]).ok();
    again.says(&["4,096 there before", "(18 x 18 x 18)"]);
    cortica(&["check", "--store", &store]).ok();
    let exported = cortica(&["export", &folder.path("all.jsonl"), "--store", &store]).ok();
    let told = exported.stderr.contains("columns are not in an export");
    assert!(told, "{}", exported.stderr);
    cortica(&["allocate", "--store", &store, "--grid", "5,5,5"])
        .failed(1, &["grid of 18 x 18 x 18, not 5 x 5 x 5"]);
}

#[test]
fn a_store_without_columns_has_no_picture() {
    let folder = Folder::new();
    let store = folder.small_store("small");
    let picture = folder.path("map.svg");
    cortica(&["map", "--store", &store, &picture]).failed(1, &["no columns", "cortica allocate"]);
    cortica(&["map", "--store", &store, "map.png"]).failed(2, &["FILE.svg"]);
}
