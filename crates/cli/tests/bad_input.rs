//! Bad input is refused before anything changes, and the refusal names what was wrong.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use common::{Folder, Run, command, cortica, segment, stats};
use cortica_formats::NpyFile;

/// Runs the command, which must fail and leave the store exactly as it was.
#[track_caller]
fn refused(store: &str, args: &[&str], code: i32, words: &[&str]) -> Run {
    let before = stats(store);
    let run = cortica(args).failed(code, words);
    assert_eq!(stats(store), before, "something was stored");
    run
}

#[track_caller]
fn ingest_refused(folder: &Folder, store: &str, file: &str, words: &[&str]) {
    refused(store, &["ingest", file, "--store", store], 1, words);
    // The same with a store that is not there yet: at most an empty one is made.
    let fresh = folder.path("fresh");
    cortica(&["ingest", file, "--store", &fresh]).failed(1, &[]);
    if std::path::Path::new(&fresh).exists() {
        assert_eq!(stats(&fresh)["episodes"], 0);
        std::fs::remove_dir_all(&fresh).unwrap();
    }
}

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
fn ids_of_no_and_of_too_many_bytes() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let row = folder.npy("row.npy", 4, &[1.0, 0.0, 0.0, 0.0]);
    for (length, fits) in [(0, false), (1, true), (256, true), (257, false)] {
        let id = "i".repeat(length);
        let ids = folder.write("ids.tsv", format!("0\t{id}\ttext\n"));
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
    let args = [
        "recall",
        "--store",
        &store,
        "--like",
        "0",
        "--threshold",
        "nan",
    ];
    refused(&store, &args, 1, &["threshold"]);
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

#[test]
fn files_and_folders_that_are_not_there() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let gone = folder.path("gone");
    for args in [
        vec!["stats", "--store", &gone],
        vec!["check", "--store", &gone],
        vec!["recall", "--store", &gone, "--like", "a"],
    ] {
        cortica(&args).failed(1, &["gone", "next:"]);
        assert!(
            !std::path::Path::new(&gone).exists(),
            "{args:?} made a folder"
        );
    }
    let file = folder.path("gone.npy");
    ingest_refused(&folder, &store, &file, &["gone.npy"]);
    ingest_refused(&folder, &store, &folder.path("gone.jsonl"), &["gone.jsonl"]);
    cortica(&["bench", "--data", &gone]).failed(1, &["X.npy"]);
    cortica(&[
        "ingest",
        &folder.write("rows.csv", "1,2"),
        "--store",
        &store,
    ])
    .failed(2, &["rows.csv"]);
    cortica(&["nonsense"]).failed(2, &["nonsense"]);

    // A folder that holds somebody's files is left alone.
    let photos = folder.path("photos");
    std::fs::create_dir(&photos).unwrap();
    folder.write("photos/cat.jpg", "meow");
    let rows = folder.path("small.npy");
    for args in [
        vec!["ingest", &rows, "--store", &photos],
        vec!["demo", "--dir", &photos],
        vec!["stats", "--store", &photos],
        vec!["bench", "--data", &photos, "--store", &photos],
    ] {
        cortica(&args).failed(1, &[]);
        assert_eq!(std::fs::read_dir(&photos).unwrap().count(), 1, "{args:?}");
    }
}

#[test]
fn a_store_that_another_process_holds() {
    let folder = Folder::new();
    let store = folder.path("store");
    let args = ["ingest", "-", "--store", &store, "--batch", "1", "--json"];
    let mut holder = command(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = holder.stdin.take().unwrap();
    let mut stdout = BufReader::new(holder.stdout.take().unwrap());
    stdin
        .write_all(b"{\"id\":\"a\",\"what\":\"held\",\"embedding\":[1,0]}\n")
        .unwrap();
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    assert!(line.contains(r#""acked":1"#), "{line}");

    let pid = holder.id().to_string();
    for args in [
        vec!["stats", "--store", &store],
        vec!["check", "--store", &store],
        vec!["recall", "--store", &store, "--like", "a"],
        vec!["demo", "--dir", &store],
    ] {
        cortica(&args).failed(1, &["in use", &pid, "next:"]);
    }
    drop(stdin);
    assert!(holder.wait().unwrap().success());
    assert_eq!(stats(&store)["episodes"], 1);
}

#[test]
fn a_store_of_a_newer_release() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let path = segment(&store);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8..12].copy_from_slice(&999_u32.to_le_bytes());
    let crc = crc32(&bytes[..60]).to_le_bytes();
    bytes[60..64].copy_from_slice(&crc);
    std::fs::write(&path, &bytes).unwrap();
    let row = folder.npy("row.npy", 4, &[1.0; 4]);
    for args in [
        vec!["stats", "--store", &store],
        vec!["check", "--store", &store],
        vec!["recall", "--store", &store, "--like", "0"],
        vec!["ingest", &row, "--store", &store],
    ] {
        cortica(&args).failed(1, &["format", "999", "next:"]);
    }
    assert_eq!(
        std::fs::read(&path).unwrap(),
        bytes,
        "the store was touched"
    );
}

/// CRC-32 as in zlib, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| {
        if crc & 1 == 1 {
            crc >> 1 ^ 0xedb8_8320
        } else {
            crc >> 1
        }
    };
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
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
