//! What goes in comes out again, in words and as JSON.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::path::Path;

use common::{Folder, cortica, segment, stats};
use cortica_testkit::{brute_force, clustered};
use serde_json::{Value, json};

const ROWS: usize = 300;
const DIMENSION: usize = 24;

#[test]
fn rows_are_stored_and_recalled() {
    let folder = Folder::new();
    let store = folder.path("store");
    let rows = clustered(ROWS + 20, DIMENSION, 11);
    let (rows, queries) = rows.split_at(ROWS * DIMENSION);
    let file = folder.npy("rows.npy", DIMENSION, rows);
    let tsv: Vec<String> = (0..ROWS)
        .map(|row| format!("{row}\tid-{row}\ttext of {row}\tmore"))
        .collect();
    let ids = folder.write("ids.tsv", tsv.join("\n"));
    let edges = folder.u32s("edges.u32", &[0, 1, 4, 1, 2, 4, 0, 1, 4]);
    let args = [
        "ingest", &file, "--ids", &ids, "--edges", &edges, "--store", &store, "--batch", "128",
        "--model", "tester", "--json",
    ];
    let lines = cortica(&args).ok().json();
    let ack = |batch: u64, from: u64, to: u64| {
        json!({"batch": batch, "rows_from": from, "rows_to": to, "acked": to, "stored": to - from,
            "already_there": 0, "failed": 0, "durability": "durable", "failures": []})
    };
    assert_eq!(
        lines[..3],
        [ack(0, 0, 128), ack(1, 128, 256), ack(2, 256, 300)]
    );
    assert_eq!(
        (
            &lines[3]["edges_to"],
            &lines[3]["stored"],
            &lines[3]["already_there"]
        ),
        (&json!(3), &json!(2), &json!(1))
    );
    let summary = &lines[4]["summary"];
    assert_eq!(
        (&summary["rows"], &summary["stored"], &summary["failed"]),
        (&json!(300), &json!(300), &json!(0))
    );
    assert_eq!(lines.len(), 5);

    // Again, in words: nothing changes, and that is no failure.
    let before = stats(&store);
    cortica(&args[..args.len() - 1])
        .ok()
        .says(&["stored 0 of 300 rows", "300 were there already"]);
    assert_eq!(stats(&store), before);
    assert_eq!(before["episodes"], 300);
    assert_eq!(before["associations"], 2);
    assert_eq!(
        before["space"],
        json!({"dimension": 24, "metric": "cosine", "model": "tester"})
    );
    cortica(&["stats", "--store", &store])
        .ok()
        .says(&["episodes", "300", "24 numbers", "tester"]);

    let vectors = folder.npy("queries.npy", DIMENSION, queries);
    let args = [
        "recall",
        "--store",
        &store,
        "--vectors",
        &vectors,
        "-k",
        "7",
        "--json",
    ];
    let answers = cortica(&args).ok().json();
    assert_eq!(answers.len(), 20);
    for (i, (answer, query)) in answers.iter().zip(queries.chunks(DIMENSION)).enumerate() {
        assert_eq!(answer["query"], i);
        let want = brute_force(rows, DIMENSION, query, 7);
        let results = answer["results"].as_array().unwrap();
        assert_eq!(results.len(), want.len());
        for (result, (row, score)) in results.iter().zip(want) {
            assert_eq!(result["id"], format!("id-{row}"));
            assert_eq!(result["what"], format!("text of {row}"));
            assert_eq!(
                result["seq"].as_u64().unwrap(),
                seq_of(&answers, row).unwrap()
            );
            assert!((result["score"].as_f64().unwrap() - score).abs() < 1e-6);
        }
    }
    cortica(&args[..args.len() - 1])
        .ok()
        .says(&["query 19", "text of"]);

    let like = ["recall", "--store", &store, "--like", "id-5", "-k", "3"];
    let run = cortica(&like).ok().says(&["like id-5", "text of 5"]);
    assert_eq!(run.stdout.lines().count(), 4);
    let args = [&like[..], &["--threshold", "0.999", "--json"]].concat();
    let answers = cortica(&args).ok().json();
    assert_eq!(
        answers[0]["results"].as_array().unwrap().len(),
        1,
        "only itself is that near"
    );
}

/// The same row has the same seq wherever it appears.
fn seq_of(answers: &[Value], row: usize) -> Option<u64> {
    let mut results = answers
        .iter()
        .filter_map(|a| a["results"].as_array())
        .flatten();
    results.find(|result| result["id"] == format!("id-{row}"))?["seq"].as_u64()
}

#[test]
fn half_floats_and_other_metrics() {
    let folder = Folder::new();
    let file = folder.path("half.npy");
    let rows: Vec<f32> = (0_i16..40).map(|i| f32::from(i % 11) - 3.5).collect();
    cortica_formats::write_npy_f16(Path::new(&file), 10, 4, &rows).unwrap();
    for metric in ["cosine", "dot", "l2"] {
        let store = folder.path(metric);
        cortica(&[
            "ingest",
            &file,
            "--store",
            &store,
            "--metric",
            metric,
            "--durability",
            "none",
        ])
        .ok();
        assert_eq!(stats(&store)["space"]["metric"], metric);
        assert_eq!(stats(&store)["episodes"], 10);
        cortica(&["recall", "--store", &store, "--vectors", &file]).ok();
        // Later files need not repeat it.
        cortica(&["ingest", &file, "--store", &store])
            .ok()
            .says(&["10 were there already"]);
    }
}

#[test]
fn lines_of_json_keep_every_field() {
    let folder = Folder::new();
    let store = folder.path("store");
    let lines = folder.write(
        "episodes.jsonl",
        concat!(
            r#"{"id":"note","what":"no embedding yet"}"#,
            "\n",
            r#"{"id":"tea","what":"tea with Ada","when":"2024-05-01T14:30:00+02:00","place":"Kew","who":["Ada"],"#,
            r#""embedding":[1,0.5],"encoding_confidence":0.5,"metadata":{"cups":2,"good":true},"stream":"day"}"#,
            "\n\n",
            r#"{"id":"rain","what":"it rained","when":1714566600000001,"embedding":[-1,0]}"#,
            "\n",
        ),
    );
    let edges = folder.u32s("edges.u32", &[1, 2, 9]);
    let args = [
        "ingest", &lines, "--store", &store, "--edges", &edges, "--batch", "1",
    ];
    cortica(&args)
        .ok()
        .says(&["stored 3 of 3 rows", "relations: 1 stored"]);
    let of = stats(&store);
    assert_eq!(
        (&of["episodes"], &of["embedded"], &of["associations"]),
        (&json!(3), &json!(2), &json!(1))
    );
    let answer = cortica(&["recall", "--store", &store, "--like", "tea", "--json"])
        .ok()
        .json()
        .remove(0);
    let tea = &answer["results"][0];
    for (field, value) in [
        ("id", json!("tea")),
        ("what", json!("tea with Ada")),
        ("when", json!("2024-05-01T12:30:00Z")),
        ("place", json!("Kew")),
        ("who", json!(["Ada"])),
        ("encoding_confidence", json!(0.5)),
        ("metadata", json!({"cups": 2, "good": true})),
        ("stream", json!("day")),
    ] {
        assert_eq!(tea[field], value, "{field}");
    }
    assert_eq!(answer["results"][1]["when"], "2024-05-01T12:30:00.000001Z");
    cortica(&["recall", "--store", &store, "--like", "note"]).failed(1, &["note", "no embedding"]);
    cortica(&args).ok().says(&["3 were there already"]);
}

#[test]
fn check_tells_sound_from_damaged() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let report = cortica(&["check", "--store", &store, "--json"])
        .ok()
        .json()
        .remove(0);
    assert_eq!(
        (&report["sound"], &report["episodes"]),
        (&json!(true), &json!(20))
    );
    assert_eq!(report["damage"], json!([]));
    cortica(&["check", "--store", &store])
        .ok()
        .says(&["sound", "20"]);

    let path = segment(&store);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    std::fs::write(&path, &bytes).unwrap();
    let run = cortica(&["check", "--store", &store]).failed(1, &["damaged"]);
    run.says(&["damage in", "at byte"]);
    let run = cortica(&["check", "--store", &store, "--json"]);
    assert_eq!(run.code, Some(1));
    assert_eq!(run.json()[0]["sound"], false);
    assert_eq!(
        std::fs::read(&path).unwrap(),
        bytes,
        "checking changes nothing"
    );
}
