//! Ids, texts, relations and requests that are refused before anything changes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::io::Write;
use std::process::Stdio;

use common::{Folder, command, cortica, refused, stats};

#[test]
fn ids_of_no_and_of_too_many_bytes() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let row = folder.npy("row.npy", 4, &[1.0, 0.0, 0.0, 0.0]);
    for (length, fits) in [(0, false), (1, true), (256, true), (257, false)] {
        let id = "i".repeat(length);
        let ids = folder.write("ids.tsv", format!("0\t{id}\ttext {length}\n"));
        let lines = folder.write("line.jsonl", format!(r#"{{"id":"{id}","what":""}}"#));
        let by_row = ["ingest", &row, "--ids", &ids, "--store", &store];
        let by_line = ["ingest", &lines, "--store", &store];
        if fits {
            cortica(&by_row).ok();
        } else {
            let got = format!("got {length} bytes");
            refused(&store, &by_row, 1, &["id", &got]);
            refused(&store, &by_line, 1, &["id", &got]);
        }
    }
}

#[test]
fn an_id_taken_by_other_content_is_no_resume() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let other = folder.npy("other.npy", 4, &[1.0, 2.0, 3.0, 4.0]);
    refused(
        &store,
        &["ingest", &other, "--store", &store],
        1,
        &["row 0 (0)", "taken", "embedding"],
    );
    let line = folder.write("other.jsonl", r#"{"id":"0","what":"another text"}"#);
    refused(
        &store,
        &["ingest", &line, "--store", &store],
        1,
        &["row 0 (0)", "taken"],
    );
    // The same id twice in one batch: the second is held against the first.
    let twice = folder.write(
        "twice.jsonl",
        "{\"id\":\"t\",\"what\":\"a\"}\n{\"id\":\"t\",\"what\":\"a\"}\n{\"id\":\"t\",\"what\":\"b\"}\n",
    );
    let run = cortica(&["ingest", &twice, "--store", &store, "--json"]);
    let lines = run.failed(1, &["row 2 (t)", "`what`"]).json();
    let counts =
        ["stored", "already_there", "failed"].map(|field| lines[0][field].as_u64().unwrap());
    assert_eq!(counts, [1, 1, 1]);
}

#[test]
fn results_that_cannot_be_asked_for() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    for k in ["0", "1001", "-1", "ten"] {
        let k = format!("-k={k}");
        refused(
            &store,
            &["recall", "--store", &store, "--like", "0", &k],
            2,
            &["-k"],
        );
    }
    for threshold in ["nan", "inf", "-inf", "1e39", "high"] {
        let threshold = format!("--threshold={threshold}");
        let args = ["recall", "--store", &store, "--like", "0", &threshold];
        refused(&store, &args, 2, &["--threshold", "finite"]);
    }
    refused(
        &store,
        &["recall", "--store", &store, "--like", "nobody"],
        1,
        &["nobody"],
    );
    refused(
        &store,
        &["recall", "--store", &store],
        2,
        &["--vectors", "--like"],
    );
    let zero = folder.npy("zero.npy", 4, &[1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    let args = ["recall", "--store", &store, "--vectors", &zero, "--json"];
    let answers = refused(&store, &args, 1, &["query 1", "zero"]).json();
    assert_eq!(
        answers[0]["results"].as_array().unwrap().len(),
        10,
        "the other query is answered"
    );
    assert!(answers[1]["error"].as_str().unwrap().contains("zero"));
}

#[test]
fn lines_that_are_no_episode() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    for (line, words) in [
        (
            r#"{"id":"a","what":"x","colour":"red"}"#,
            &["line 1", "colour"][..],
        ),
        (r#"{"id":"a"}"#, &["line 1", "what"]),
        (r#"{"id":"a","what":7}"#, &["line 1", "`what`"]),
        (
            r#"{"id":"a","what":"x","when":"soon"}"#,
            &["line 1", "`when`", "soon"],
        ),
        (
            r#"{"id":"a","what":"x","encoding_confidence":2}"#,
            &["line 1", "`encoding_confidence`", "2"],
        ),
        (
            r#"{"id":"a","what":"x","metadata":{"k":null}}"#,
            &["line 1", "`metadata`", "`k`", "expected text"],
        ),
        (
            r#"{"id":"a","what":"x","metadata":{"k":1,"k":2}}"#,
            &["line 1", "`metadata`", "`k`", "twice"],
        ),
        (
            r#"{"id":"a","what":"x","metadata":{"k":9223372036854775808}}"#,
            &["line 1", "`metadata`", "`k`", "64 bits"],
        ),
        ("{\"id\":", &["line 1"]),
        ("\u{1}", &["line 1"]),
    ] {
        let file = folder.write("bad.jsonl", line);
        refused(&store, &["ingest", &file, "--store", &store], 1, words);
    }
    // Others go on, and a bad embedding does not decide the dimension of a new store.
    let lines = folder.write(
        "mixed.jsonl",
        "{\"id\":\"a\",\"what\":\"\",\"embedding\":[1e39,0,0]}\n\n{\"id\":\"b\",\"what\":\"\",\"embedding\":[1,0]}\nnope\n",
    );
    let fresh = folder.path("fresh");
    cortica(&["ingest", &lines, "--store", &fresh]).failed(1, &["row 0 (a)", "line 4"]);
    assert_eq!(stats(&fresh)["space"]["dimension"], 2);
    assert_eq!(stats(&fresh)["episodes"], 1);
}

#[test]
fn ids_and_relations_that_do_not_fit_the_rows() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let rows = folder.npy("three.npy", 4, &cortica_testkit::clustered(3, 4, 9));
    for (tsv, words) in [
        ("0\ta\n1\tb\n", &["2 of 3 rows", "row 2"][..]),
        ("0\ta\n1\tb\n1\tc\n", &["line 3", "row: 1"]),
        ("0\ta\nx\tb\n2\tc\n", &["line 2", "`x`"]),
        ("0\ta\n1\n2\tc\n", &["line 2", "columns"]),
        ("", &["0 of 3 rows"]),
    ] {
        let ids = folder.write("ids.tsv", tsv);
        refused(
            &store,
            &["ingest", &rows, "--ids", &ids, "--store", &store],
            1,
            words,
        );
    }
    let ids = folder.write(
        "ids.tsv",
        "2\tz\tthird\n0\tx\tfirst\n1\ty\tsecond\n7\tq\tnobody\n",
    );
    let edges = folder.u32s("edges.u32", &[0, 1, 5, 1, 3, 5]);
    let args = [
        "ingest", &rows, "--ids", &ids, "--edges", &edges, "--store", &store,
    ];
    refused(&store, &args, 1, &["edge 1", "destination", "row 3"]);
    let ragged = folder.write("ragged.u32", [0; 13]);
    refused(
        &store,
        &["ingest", &rows, "--edges", &ragged, "--store", &store],
        1,
        &["ragged.u32"],
    );
    // Rows in any order are fine.
    let edges = folder.u32s("edges.u32", &[0, 1, 5, 2, 0, 5]);
    let args = [
        "ingest", &rows, "--ids", &ids, "--edges", &edges, "--store", &store,
    ];
    cortica(&args).ok().says(&["relations: 2 stored"]);
    cortica(&["recall", "--store", &store, "--like", "z", "-k", "1"])
        .ok()
        .says(&["third"]);
    let lines = folder.write("line.jsonl", "{\"id\":\"l\",\"what\":\"\"}\n");
    cortica(&["ingest", &lines, "--ids", &ids, "--store", &store]).failed(2, &["--ids"]);
}

#[test]
fn a_changed_field_is_no_resume() {
    let folder = Folder::new();
    let store = folder.path("store");
    let write = |line: &str| folder.write("line.jsonl", line);
    let file = write(r#"{"id":"a","what":"x","place":"Kew","metadata":{"k":1}}"#);
    cortica(&["ingest", &file, "--store", &store]).ok();
    for (line, fields) in [
        (
            r#"{"id":"a","what":"x","place":"Kew"}"#,
            "another `metadata` (",
        ),
        (
            r#"{"id":"a","what":"x","stream":"s","metadata":{"k":1}}"#,
            "another `place`, `stream` (",
        ),
    ] {
        let file = write(line);
        refused(&store, &["ingest", &file, "--store", &store], 1, &[fields]);
    }
}

#[test]
fn relations_beyond_the_lines_are_refused_before_anything_is_stored() {
    let folder = Folder::new();
    let store = folder.path("store");
    // Three rows, for a line that cannot be read is a row too; a blank one is not.
    let text = "{\"id\":\"a\",\"what\":\"1\"}\n\nnope\n{\"id\":\"b\",\"what\":\"2\"}\n";
    let lines = folder.write("lines.jsonl", text);
    let edges = folder.u32s("edges.u32", &[0, 2, 5, 0, 3, 5]);
    let args = ["ingest", &lines, "--edges", &edges, "--store", &store];
    cortica(&args).failed(1, &["edge 1", "row 3", "3 rows", "nothing was stored"]);
    assert!(!std::path::Path::new(&store).exists());

    // What comes through a pipe is seen once only: the error says what became of the rows.
    let mut child = command(&["ingest", "-", "--edges", &edges, "--store", &store])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text.as_bytes()).unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    let rows = "no relation was stored; of the rows 2 were stored, 0 were there already, 1 failed";
    assert!(said.contains("edge 1") && said.contains(rows), "{said}");
    assert_eq!(stats(&store)["episodes"], 2);
    assert_eq!(stats(&store)["associations"], 0);

    // Within the lines they are stored.
    folder.u32s("edges.u32", &[0, 2, 5]);
    let run = cortica(&args).failed(1, &["row 1: line 3"]);
    run.says(&["2 were there already", "relations: 1 stored"]);
}
