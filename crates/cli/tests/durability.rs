//! Every command that writes says what its answer is worth: `durable`, `buffered` or `none`, to people
//! and in `--json`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::collections::BTreeSet;
use std::fs;

use common::{Folder, cortica, segment};
use serde_json::Value;

/// Commands that write nothing that anybody would rely on, or nothing at all. `bench` fills a
/// store of its own, and `map` draws a picture.
const READS: [&str; 6] = ["bench", "completions", "map", "recall", "stats", "help"];

const WORDS: [&str; 3] = ["durable", "buffered", "none"];

/// What a command has to say, and where it was heard.
struct Walk {
    folder: Folder,
    json: bool,
    heard: BTreeSet<String>,
}

/// The durability that an object speaks of: its own, or that of the one part that has one.
fn word(line: &Value) -> Option<&str> {
    let parts = [
        "summary",
        "store",
        "repaired",
        "stored",
        "associated",
        "forgotten",
    ];
    let parts = parts.map(|part| &line[part]["durability"]);
    let mut words = [&line["durability"]].into_iter().chain(parts);
    words.find_map(Value::as_str)
}

impl Walk {
    /// Runs a command, all of whose answers must say `want`.
    #[track_caller]
    fn says(&mut self, want: &str, args: &[&str]) {
        self.heard.insert(args[0].to_owned());
        if self.json {
            let run = cortica(&[args, &["--json"]].concat()).ok();
            let lines = run.json();
            assert!(!lines.is_empty(), "{args:?} says nothing");
            for line in lines {
                assert_eq!(word(&line), Some(want), "{args:?}: {line}");
            }
            return;
        }
        let run = cortica(args).ok();
        let said = run.stdout.split(|c: char| !c.is_alphanumeric());
        let said: Vec<_> = said.filter(|said| WORDS.contains(said)).collect();
        // Of a file that is cut or of counts, people are told nothing that could be taken for it.
        assert!(said.contains(&want), "{args:?}: {}", run.stdout);
        let others = said
            .iter()
            .filter(|said| **said != want && **said != "none");
        assert_eq!(others.count(), 0, "{args:?}: {}", run.stdout);
    }

    fn chosen(&mut self, durability: &str) {
        // Of the word itself there may be nothing in what is said about files.
        let path = |name: &str| self.folder.path(&format!("{}-{name}", &durability[..2]));
        let (store, columns, back) = (path("store"), path("columns"), path("back"));
        let lines = |what: &str| {
            let line = |id: usize| {
                format!(r#"{{"id":"{id}","what":"{what} {id}","embedding":[1,{id},2,3]}}"#)
            };
            (0..5).map(line).collect::<Vec<_>>().join("\n")
        };
        let first = self.folder.write("first.jsonl", lines("first"));
        let second = self.folder.write("second.jsonl", lines("second"));
        let edges = self.folder.u32s("edges.u32", &[0, 1, 7, 2, 3, 7]);
        let ids = self.folder.write("ids", "0\n1\n");
        let mixed = self.folder.write(
            "mixed.jsonl",
            r#"{"store":{"id":"8","what":"eight","embedding":[1,2,3,8]}}
{"associate":{"from":"8","to":"2"}}
{"forget":{"id":"8"}}
"#,
        );
        let with = ["--durability", durability];
        let run = |args: &[&'static str], more: &[&str]| -> Vec<String> {
            let all = args.iter().chain(more).chain(&with);
            all.map(|arg| (*arg).to_owned()).collect()
        };
        let export = path("export");
        let columns_of = |args: &[&str]| -> Vec<String> {
            let store = ["--store", &columns];
            let all = args.iter().chain(&store).chain(&with);
            all.map(|arg| (*arg).to_owned()).collect()
        };
        let mut commands = vec![
            run(&["ingest"], &[&first, "--edges", &edges, "--store", &store]),
            // All of it is there.
            run(&["ingest"], &[&first, "--edges", &edges, "--store", &store]),
            run(&["ingest", "--update"], &[&second, "--store", &store]),
            run(&["forget"], &["--file", &ids, "--store", &store]),
            run(&["batch"], &[&mixed, "--store", &store]),
            vec!["export".into(), export.clone(), "--store".into(), store],
            run(&["import"], &[&export, "--store", &back]),
            run(&["import"], &[&export, "--store", &back]),
            columns_of(&["allocate", "--totals"]),
        ];
        if durability == "buffered" {
            commands.push(columns_of(&["allocate"])); // Once is enough: a line for each concept.
        }
        for command in commands {
            let want = match command[0].as_str() {
                "export" => "durable",
                _ => durability,
            };
            let args: Vec<&str> = command.iter().map(String::as_str).collect();
            self.says(want, &args);
        }
    }

    /// What is durable or fails.
    fn always_durable(&mut self) {
        let store = self.folder.small_store("store");
        let path = |name: &str| self.folder.path(name);
        let (copy, back, demo) = (path("copy"), path("back"), path("demo"));
        self.says("durable", &["snapshot", &copy, "--store", &store]);
        self.says("durable", &["restore", &copy, "--store", &back]);
        self.says("durable", &["compact", "--store", &store]);
        self.says("durable", &["demo", "--dir", &demo]);
        let log = segment(&back);
        let mut bytes = fs::read(&log).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(&log, bytes).unwrap();
        self.says("durable", &["check", "--repair", "--store", &back]);
    }
}

/// So that a command that is added is asked too.
fn commands() -> BTreeSet<String> {
    let help = cortica(&["--help"]).ok().stdout;
    let (_, list) = help.split_once("Commands:\n").expect("a list of commands");
    let names = list.lines().take_while(|line| line.starts_with("  "));
    names
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_command_that_writes_says_how_durable_it_is() {
    for json in [true, false] {
        let mut walk = Walk {
            folder: Folder::new(),
            json,
            heard: BTreeSet::new(),
        };
        for durability in WORDS {
            walk.chosen(durability);
        }
        walk.always_durable();
        let all = commands();
        let missing: Vec<_> = all
            .iter()
            .filter(|name| !walk.heard.contains(*name) && !READS.contains(&name.as_str()))
            .collect();
        assert!(walk.heard.is_subset(&all) && all.len() > 10);
        assert_eq!(missing, [] as [&String; 0], "nobody asked them");
    }
}
