//! The examples of README.md, run as they stand there, and their output held against what it says.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::path::Path;
use std::process::Command;

use common::Folder;
use cortica_testkit::clustered;

const README: &str = include_str!("../README.md");

/// A command and the lines that it is said to write.
struct Example {
    command: &'static str,
    shown: Vec<&'static str>,
}

fn examples() -> Vec<Example> {
    let mut examples: Vec<Example> = Vec::new();
    let mut inside = false;
    for line in README.lines() {
        match (line, line.strip_prefix("$ ")) {
            ("```console", _) => inside = true,
            ("```", _) => inside = false,
            (_, Some(command)) if inside => examples.push(Example {
                command,
                shown: Vec::new(),
            }),
            _ if inside => examples
                .last_mut()
                .expect("a command first")
                .shown
                .push(line),
            _ => {}
        }
    }
    examples
}

/// The line with every figure replaced, and the space that figures are padded with.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    let mut last = ' ';
    for c in line.trim().chars() {
        let c = if c.is_ascii_digit() { '#' } else { c };
        let within_figure = last == '#' && matches!(c, '#' | ',' | '.');
        let padding = c == ' ' && last == ' ';
        if !within_figure && !padding {
            shape.push(c);
        }
        last = if within_figure { '#' } else { c };
    }
    shape
}

/// Every line shown comes, in this order; between them others may only where it says `...`.
#[track_caller]
fn check(example: &Example, output: &str) {
    let mut lines = output.lines().filter(|line| !line.is_empty());
    let mut anywhere = false;
    for shown in &example.shown {
        if *shown == "..." {
            anywhere = true;
            continue;
        }
        let found = if anywhere {
            lines.any(|line| shape(line) == shape(shown))
        } else {
            lines.next().is_some_and(|line| shape(line) == shape(shown))
        };
        assert!(
            found,
            "`{}` should write\n{shown}\nbut wrote\n{output}",
            example.command
        );
        anywhere = false;
    }
    if !anywhere {
        assert_eq!(
            lines.next(),
            None,
            "`{}` wrote more than is shown:\n{output}",
            example.command
        );
    }
}

/// The files that the examples name.
fn lay_out(folder: &Folder) {
    let rows = clustered(1_000, 8, 1);
    folder.npy("rows.npy", 8, &rows);
    folder.npy("queries.npy", 8, &rows[..80]);
    let ids: Vec<String> = (0..1_000)
        .map(|row| format!("{row}\trow-{row}\tthe text of row {row}"))
        .collect();
    folder.write("ids.tsv", ids.join("\n"));
    folder.u32s("edges.u32", &[0, 1, 12, 1, 2, 12]);
    let after = README
        .split_once("$ cat episodes.jsonl\n")
        .expect("the episodes")
        .1;
    let lines: Vec<&str> = after
        .lines()
        .take_while(|line| line.starts_with('{'))
        .collect();
    folder.write("episodes.jsonl", lines.join("\n"));
    std::fs::create_dir(folder.path("data")).unwrap();
    folder.npy("data/X.npy", 8, &rows);
    folder.npy("data/q.npy", 8, &rows[..80]);
}

#[test]
fn every_example_does_what_it_shows() {
    let folder = Folder::new();
    lay_out(&folder);
    let binary = Path::new(env!("CARGO_BIN_EXE_cortica")).parent().unwrap();
    let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
    let examples = examples();
    for command in [
        "demo",
        "ingest",
        "recall",
        "forget",
        "export",
        "import",
        "stats",
        "snapshot",
        "restore",
        "compact",
        "check",
        "bench",
        "completions",
    ] {
        let shown = examples.iter().any(|e| {
            e.command.starts_with(&format!("cortica {command} "))
                || e.command == format!("cortica {command}")
        });
        assert!(shown, "README.md has no example of {command}");
    }
    for example in examples {
        let mut shell = Command::new("sh");
        shell
            .args(["-c", example.command])
            .current_dir(folder.path(""))
            .env("PATH", &path);
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}: {output:?}", example.command);
        check(&example, &String::from_utf8(output.stdout).unwrap());
    }
}

#[test]
fn a_changed_answer_would_be_seen() {
    let example = Example {
        command: "x",
        shown: vec!["stored 1,000 of 1,000 rows", "...", "next: y"],
    };
    check(&example, "stored 4 of 2.5 rows\nsomething\nnext: y\n");
    for wrong in [
        "stored 4 of 4 lines\nnext: y",
        "stored 4 of 4 rows",
        "stored 4 of 4 rows\nnext: y\nmore",
    ] {
        assert!(
            std::panic::catch_unwind(|| check(&example, wrong)).is_err(),
            "{wrong}"
        );
    }
}
