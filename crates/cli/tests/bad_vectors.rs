//! Vectors that cannot be stored: the refusal names what was wrong, and nothing is stored.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use common::{Folder, cortica, ingest_refused, refused, stats};
use cortica_formats::NpyFile;

/// An npy file with this header and this many bytes behind it.
fn npy(header: &str, bytes: usize) -> Vec<u8> {
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    let padded = (10 + header.len() + 1).next_multiple_of(64) - 10;
    file.extend((padded as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.resize(10 + padded - 1, b' ');
    file.push(b'\n');
    file.resize(file.len() + bytes, 0x3c);
    file
}

#[test]
fn rows_that_are_no_embedding() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let row = |name: &str, values: &[f32]| folder.npy(name, 4, values);
    let nan = row("nan.npy", &[0.1, f32::NAN, 0.0, 0.0]);
    ingest_refused(&folder, &store, &nan, &["row 0", "embedding", "NaN"]);
    let infinite = row("inf.npy", &[0.1, 0.0, f32::NEG_INFINITY, 0.0]);
    ingest_refused(&folder, &store, &infinite, &["row 0", "embedding", "inf"]);
    let zero = row("zero.npy", &[0.0; 4]);
    ingest_refused(&folder, &store, &zero, &["row 0", "embedding", "zero"]);
    let lines = r#"{"id":"a","what":"x","embedding":[1,0,1e39,0]}"#;
    let lines = folder.write("inf.jsonl", lines);
    ingest_refused(&folder, &store, &lines, &["row 0 (a)", "embedding", "inf"]);
}

#[test]
fn another_dimension() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let file = folder.npy("three.npy", 3, &[1.0; 6]);
    refused(
        &store,
        &["ingest", &file, "--store", &store],
        1,
        &["dimension", "4", "3"],
    );
    refused(
        &store,
        &["recall", "--vectors", &file, "--store", &store],
        1,
        &["dimension", "4", "3"],
    );
    let lines = folder.write(
        "three.jsonl",
        r#"{"id":"a","what":"x","embedding":[1,0,0]}"#,
    );
    refused(
        &store,
        &["ingest", &lines, "--store", &store],
        1,
        &["row 0 (a)", "embedding", "4", "3"],
    );
    let args = [
        "ingest",
        &folder.path("small.npy"),
        "--store",
        &store,
        "--metric",
        "dot",
    ];
    refused(&store, &args, 1, &["metric", "cosine", "dot"]);
    let args = [
        "ingest",
        &folder.path("small.npy"),
        "--store",
        &store,
        "--model",
        "other",
    ];
    refused(&store, &args, 1, &["model", "other"]);
}

#[test]
fn one_bad_row_fails_alone() {
    let folder = Folder::new();
    let mut values = cortica_testkit::clustered(10, 4, 3);
    values[4 * 6 + 1] = f32::NAN;
    let file = folder.npy("rows.npy", 4, &values);
    let store = folder.path("store");
    let run = cortica(&["ingest", &file, "--store", &store, "--batch", "4", "--json"]);
    assert_eq!(run.code, Some(1));
    let lines = run.json();
    let failed: Vec<i64> = lines[..3]
        .iter()
        .map(|line| line["failed"].as_i64().unwrap())
        .collect();
    assert_eq!(failed, [0, 1, 0]);
    let failure = &lines[1]["failures"][0];
    assert_eq!(
        (failure["row"].as_u64(), failure["id"].as_str()),
        (Some(6), Some("6"))
    );
    assert!(failure["reason"].as_str().unwrap().contains("embedding"));
    assert_eq!(lines[3]["summary"]["stored"], 9);
    assert_eq!(stats(&store)["episodes"], 9);
}

#[test]
fn npy_cut_short_at_every_offset() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let whole = std::fs::read(folder.path("small.npy")).unwrap();
    for cut in 0..whole.len() {
        assert!(
            NpyFile::from_bytes(whole[..cut].to_vec()).is_err(),
            "cut at {cut}"
        );
    }
    for cut in [0, 1, 9, 10, 64, 127, 128, 129, whole.len() - 1] {
        let file = folder.write("cut.npy", &whole[..cut]);
        ingest_refused(&folder, &store, &file, &["cut.npy", "npy"]);
    }
}

#[test]
fn npy_that_is_something_else() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let header = |descr: &str, fortran: &str, shape: &str| {
        format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': ({shape}), }}")
    };
    let cases: [(&str, Vec<u8>, &[&str]); 9] = [
        (
            "f8",
            npy(&header("<f8", "False", "2, 4"), 64),
            &["type", "<f8"],
        ),
        (
            "big",
            npy(&header(">f4", "False", "2, 4"), 32),
            &["big-endian"],
        ),
        (
            "i1",
            npy(&header("|i1", "False", "2, 4"), 8),
            &["dtype", "scales"],
        ),
        (
            "fortran",
            npy(&header("<f4", "True", "2, 4"), 32),
            &["Fortran"],
        ),
        (
            "huge",
            npy(&header("<f4", "False", "1152921504606846976, 4"), 32),
            &["npy"],
        ),
        (
            "many",
            npy(&header("<f4", "False", "1000000, 4"), 32),
            &["cut short"],
        ),
        (
            "flat",
            npy(&header("<f4", "False", "8,"), 32),
            &["dimensional"],
        ),
        (
            "text",
            b"these are no vectors at all, just words".to_vec(),
            &["not an npy"],
        ),
        (
            "wide",
            npy(&header("<f4", "False", "1, 8193"), 8_193 * 4),
            &["dimension"],
        ),
    ];
    for (name, bytes, words) in cases {
        let file = folder.write(&format!("{name}.npy"), bytes);
        ingest_refused(&folder, &store, &file, words);
    }
}
