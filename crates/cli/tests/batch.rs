//! `cortica batch`: every line is answered, in order, whatever is wrong with the others.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::{Folder, command, cortica};
use cortica::Cortica;
use cortica_testkit::{Rng, report, size};
use serde_json::{Value, json};

const MIXED: &str = r#"{"store":{"id":"tea","what":"had tea","embedding":[1,0]}}
{"store":{"id":"cha","what":"had tea","embedding":[1,0]}}
{"recall":{"embedding":[0.9,0.1],"k":3}}

{"store":{"id":"rain","what":"it rained","embedding":[0,1]}}
{"associate":{"from":"tea","to":"rain"}}
{"associate":{"from":"tea","to":"rain","weight":0.5}}
{"similarity_search":{"embedding":[0,1],"k":1,"vectors":true}}
no JSON
{"forget":{"id":"tea"}}
{"forget":{"id":"tea"}}
{"store":{"id":"odd","what":"three values","embedding":[1,2,3]}}
{"spread":{"embedding":[1,0]}}
{"recall":{"embedding":[1,0],"ef":0}}
"#;

fn store(folder: &Folder) -> String {
    folder.path("store")
}

#[test]
fn every_line_has_its_answer() {
    let folder = Folder::new();
    let file = folder.write("mixed.jsonl", MIXED);
    let store = store(&folder);
    let run = cortica(&[
        "batch",
        &file,
        "--store",
        &store,
        "--dimension",
        "2",
        "--json",
    ]);
    let lines = run.failed(1, &[]).json();
    assert_eq!(lines.len(), 14, "13 answers and a summary");
    for (at, line) in lines[..13].iter().enumerate() {
        let blank = usize::from(at >= 3);
        assert_eq!(line["line"], json!(at + 1 + blank), "{line}");
    }
    assert_eq!(lines[0]["stored"]["outcome"], "stored");
    assert_eq!(lines[0]["stored"]["durability"], "durable");
    assert_eq!(lines[1]["stored"]["of"], "tea");
    assert_eq!(lines[2]["recalled"][0]["id"], "tea");
    assert_eq!(lines[2]["recalled"].as_array().unwrap().len(), 1);
    assert_eq!(lines[4]["associated"]["outcome"], "linked");
    assert_eq!(lines[5]["associated"]["outcome"], "reweighted");
    assert_eq!(lines[6]["similar"][0]["embedding"], json!([0.0, 1.0]));
    assert!(lines[7]["error"].as_str().unwrap().starts_with("line 9: "));
    assert_eq!(lines[8]["forgotten"]["seq"], 1);
    let kinds: Vec<&Value> = lines[7..13].iter().map(|line| &line["kind"]).collect();
    let want = [
        "invalid",
        "",
        "unknown",
        "invalid",
        "unsupported",
        "invalid",
    ];
    for (kind, want) in kinds.into_iter().zip(want) {
        assert_eq!(kind.as_str().unwrap_or_default(), want);
    }
    let summary = &lines[13]["summary"];
    assert_eq!(summary["operations"], 13);
    assert_eq!(summary["applied"], 13);
    assert_eq!(summary["outcomes"]["stored"], 2);
    assert_eq!(summary["outcomes"]["failed"], 5);
    assert_eq!(summary["errors"]["invalid"], 3);
    assert_eq!(summary["episodes"], 1);

    // And for people.
    let second = folder.write("second.jsonl", "{\"recall\":{\"embedding\":[0,1]}}\n");
    let run = cortica(&["batch", &second, "--store", &store]).ok();
    run.says(&[
        "1 found: rain 1.0000",
        "1 operations",
        "the store holds 1 episodes",
    ]);
}

#[test]
fn a_stream_of_any_length_goes_through_a_pipe() {
    let folder = Folder::new();
    let store = store(&folder);
    let args = [
        "batch",
        "-",
        "--store",
        &store,
        "--memory-limit",
        "1",
        "--json",
    ];
    let args = [&args[..], &["--durability", "buffered"]].concat();
    let mut child = command(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines = 20_000;
    let writing = std::thread::spawn(move || {
        for at in 0..lines {
            let id = at % 500;
            writeln!(
                stdin,
                r#"{{"store":{{"id":"e{id}","what":"text {at} {}"}}}}"#,
                "x".repeat(200)
            )
            .unwrap();
        }
    });
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let answers: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(answers.len(), lines + 1);
    for (at, answer) in answers[..lines].iter().enumerate() {
        assert_eq!(answer["line"], json!(at + 1));
    }
    let summary = &answers[lines]["summary"];
    assert_eq!(summary["outcomes"]["stored"], 500);
    assert_eq!(summary["outcomes"]["updated"], lines - 500);
    assert!(summary["peak_bytes"].as_u64().unwrap() <= 1 << 20);
}

/// Blank lines are no operations, but what is known of them takes memory until the answers are taken.
#[test]
fn lines_are_read_no_further_than_their_numbers_have_room() {
    const LINES: usize = 300_000;
    let folder = Folder::new();
    let store = store(&folder);
    let args = ["batch", "-", "--store", &store, "--memory-limit", "1"];
    let args = [&args[..], &["--backpressure", "drop-oldest", "--json"]].concat();
    let mut child = command(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let counting = written.clone();
    let writing = std::thread::spawn(move || {
        let lines = "x\n\n".repeat(1_000);
        for _ in 0..LINES / 1_000 {
            stdin.write_all(lines.as_bytes()).unwrap();
            counting.fetch_add(1_000, Relaxed);
        }
    });
    // Nobody reads the answers: the child comes to a standstill, or to the end of what there is.
    let mut before = usize::MAX;
    while before != written.load(Relaxed) || before == 0 {
        before = written.load(Relaxed);
        std::thread::sleep(Duration::from_millis(300));
    }
    let output = child.wait_with_output().unwrap();
    writing.join().unwrap();
    // A pipe and a buffer hold some thousands, and there is room for a thousand; the rest is waited for.
    assert!(before < 60_000, "{before} were read");
    assert_eq!(output.status.code(), Some(1), "none is an operation");
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text.lines().count(), LINES + 1);
    for (at, line) in text.lines().take(LINES).enumerate() {
        let number = format!("\"line\":{}}}", 2 * at + 1);
        assert!(line.ends_with(&number), "{at}: {line}");
    }
}

/// A source that falls silent is no source at its end.
#[test]
fn a_timeout_is_told_and_is_no_success() {
    let folder = Folder::new();
    let store = store(&folder);
    let args = ["batch", "-", "--store", &store, "--timeout", "1", "--json"];
    let mut child = command(&args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(b"{\"store\":{\"id\":\"a\",\"what\":\"a\"}}\n")
        .unwrap();
    // The pipe is open: more could come.
    let output = child.wait_with_output().unwrap();
    let late = stdin.write_all(b"{\"store\":{\"id\":\"b\",\"what\":\"b\"}}\n");
    assert!(late.is_err(), "nobody reads any more");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let stderr = String::from_utf8(output.stderr).unwrap();
    let told = "the time was up: nothing behind line 1 was done";
    assert!(stderr.contains(told), "{stderr}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert_eq!(lines[0]["stored"]["outcome"], "stored");
    assert_eq!(lines[1]["summary"]["ended_by"], "timed_out");
    assert_eq!(lines[1]["summary"]["applied"], 1);

    // One that is at its end in time is not ended by anything.
    let file = folder.write("b.jsonl", "{\"store\":{\"id\":\"b\",\"what\":\"b\"}}\n");
    let run = cortica(&[
        "batch",
        &file,
        "--store",
        &store,
        "--timeout",
        "600",
        "--json",
    ])
    .ok();
    assert_eq!(run.json()[1]["summary"]["ended_by"], Value::Null);
    assert!(!run.stderr.contains("the time was up"), "{}", run.stderr);
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let folder = Folder::new();
    let store = store(&folder);
    cortica(&["batch", "nowhere.jsonl", "--store", &store]).failed(1, &["nowhere.jsonl"]);
}

#[test]
fn all_or_nothing() {
    let folder = Folder::new();
    let store = store(&folder);
    let good =
        "{\"store\":{\"id\":\"a\",\"what\":\"a\"}}\n{\"store\":{\"id\":\"b\",\"what\":\"b\"}}\n";
    let bad = folder.write(
        "bad.jsonl",
        format!("{good}{{\"forget\":{{\"id\":\"nobody\"}}}}\n"),
    );
    let good = folder.write("good.jsonl", good);
    let run = cortica(&["batch", &bad, "--store", &store, "--atomic", "--json"]).failed(1, &[]);
    let lines = run.json();
    assert_eq!(lines[0]["kind"], "undone");
    assert_eq!(lines[2]["kind"], "unknown");
    assert_eq!(lines[3]["summary"]["episodes"], 0);
    cortica(&["batch", &good, "--store", &store, "--atomic"])
        .ok()
        .says(&["stored (seq 1)", "2 stored"]);
    let recall = folder.write("recall.jsonl", "{\"recall\":{\"embedding\":[1]}}\n");
    let args = ["batch", &recall, "--store", &store, "--atomic"];
    cortica(&args).failed(1, &["no write"]);
}

/// `kill -9` in the middle of an atomic list leaves all of it or none.
#[test]
fn a_kill_leaves_all_or_nothing() {
    const EPISODES: u64 = 3_000;
    let folder = Folder::new();
    let list = |round: u64| {
        let line = |at: u64| {
            let text = "word ".repeat((at % 60) as usize);
            format!("{{\"store\":{{\"id\":\"r{round} {at}\",\"what\":\"{round} {at} {text}\"}}}}\n")
        };
        (0..EPISODES).map(line).collect::<String>()
    };
    let store = store(&folder);
    let kills = size("ATOMIC_KILLS", 24);
    let (mut whole, mut none, mut held) = (0, 0, 0);
    let mut random = Rng::new(5);
    // One that nobody kills says how long it takes; from there on earlier where the last kill came too late, and
    // later where it came too early: most come as the list is written.
    let start = Instant::now();
    let file = folder.write("list.jsonl", list(kills));
    cortica(&["batch", &file, "--store", &store, "--atomic"]).ok();
    let mut after = start.elapsed().as_secs_f64();
    held += EPISODES;
    for round in 0..kills {
        let file = folder.write("list.jsonl", list(round));
        let args = ["batch", &file, "--store", &store, "--atomic"];
        let mut child = command(&args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let by = 1.0 + 0.1 * (f64::from(random.unit()) - 0.5);
        std::thread::sleep(Duration::from_secs_f64(after * by));
        child.kill().unwrap(); // SIGKILL: no handler, no flush, no goodbye.
        child.wait().unwrap();
        let now = if Path::new(&store).exists() {
            let memory = Cortica::open(&store).unwrap();
            let there = (0..EPISODES).filter(|at| memory.get(&format!("r{round} {at}")).is_some());
            let there = there.count() as u64;
            assert!(
                [0, EPISODES].contains(&there),
                "round {round}: {there}, a part of it"
            );
            memory.stats().episodes
        } else {
            0
        };
        assert!(
            now == held || now == held + EPISODES,
            "round {round}: {held}, then {now}"
        );
        let is_whole = now > held;
        whole += u64::from(is_whole);
        none += u64::from(!is_whole);
        held = now;
        after *= if is_whole { 1.0 / 1.2 } else { 1.2 };
    }
    report(
        "atomic_kills",
        5,
        &[("kills", kills), ("whole", whole), ("none", none)],
    );
    assert!(whole > 0 && none > 0, "{whole} whole, {none} none");
}
