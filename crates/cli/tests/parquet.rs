//! Exporting and importing as Parquet through the real command.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::fs;

use common::{Folder, cortica};

#[cfg(not(feature = "parquet"))]
#[test]
fn a_build_without_parquet_says_so() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let file = folder.path("all.parquet");
    for args in [
        &["export", &file, "--store", &store][..],
        &["export", "-", "--format", "parquet", "--store", &store],
    ] {
        cortica(args).failed(2, &["--features parquet", "--format jsonl"]);
    }
    assert!(!fs::exists(&file).unwrap_or(true), "nothing was written");
    let file = folder.write("some.parquet", b"PAR1PAR1");
    cortica(&["import", &file, "--store", &folder.path("other")])
        .failed(1, &["--features parquet", "JSON Lines"]);
}

#[cfg(feature = "parquet")]
mod with_parquet {
    use super::*;
    use common::{command, stats};
    use cortica_formats::parquet::{Column, Kind, Reader, Writer};
    use cortica_testkit::Rng;
    use std::fmt::Write as _;
    use std::fs::File;
    use std::io::{Read, Write as _};
    use std::path::Path;
    use std::process::Stdio;

    const DIMENSION: usize = 16;

    /// Lines for `ingest`: every field there and not there, texts and numbers of every kind.
    fn episodes(count: usize, seed: u64) -> String {
        let mut chance = Rng::new(seed);
        let texts = [
            "",
            "tea",
            "\u{e4}\u{1f375} \\\"quoted\\\"",
            "a\\nb\\u0000c",
            "crc32:00000000",
        ];
        let mut lines = String::new();
        for number in 0..count {
            let mut text = || texts[chance.below(texts.len())];
            let _ = write!(lines, r#"{{"id":"e{number}","what":"{} {number}""#, text());
            let (place, stream, first, second) = (text(), text(), text(), text());
            let has = chance.bits();
            let mut field = |bit: u32, text: String| {
                if has >> bit & 1 == 1 {
                    lines.push_str(&text);
                }
            };
            field(0, format!(r#","place":"{place}""#));
            field(1, format!(r#","stream":"{stream}""#));
            field(2, format!(r#","who":["{first}","{second}"]"#));
            field(3, format!(r#","when":{}"#, chance.bits().cast_signed()));
            field(
                4,
                format!(r#","encoding_confidence":{}"#, chance.unit().abs().min(1.0)),
            );
            let values: Vec<String> = (0..DIMENSION)
                .map(|at| match at {
                    0 => "-0.0".to_owned(),
                    1 => "1e-42".to_owned(),
                    _ => chance.gaussian().to_string(),
                })
                .collect();
            field(5, format!(r#","embedding":[{}]"#, values.join(",")));
            let float = f64::from_bits(chance.bits());
            let float = if float.is_finite() { float } else { 0.1 };
            let int = chance.bits().cast_signed();
            field(
                6,
                format!(r#","metadata":{{"f":{float:e},"i":{int},"t":"{first}","b":true}}"#),
            );
            lines.push_str("}\n");
        }
        lines
    }

    /// A store with relations, of which some things were forgotten, replaced and reinforced.
    fn store_of(folder: &Folder, count: usize, seed: u64) -> String {
        let store = folder.path("store");
        let lines = folder.write("episodes.jsonl", episodes(count, seed));
        let mut chance = Rng::new(seed + 1);
        let edges: Vec<u32> = (0..count)
            .flat_map(|row| {
                [
                    row as u32,
                    chance.below(count) as u32,
                    chance.bits() as u32 >> 8,
                ]
            })
            .collect();
        let edges = folder.u32s("edges.u32", &edges);
        let args = [
            "ingest", &lines, "--edges", &edges, "--store", &store, "--model", "m",
        ];
        cortica(&args).ok();
        let gone: Vec<String> = (0..count)
            .step_by(17)
            .map(|row| format!("e{row}"))
            .collect();
        let gone = folder.write("gone", gone.join("\n"));
        cortica(&["forget", "--file", &gone, "--store", &store]).ok();
        let again = folder.write("again.jsonl", episodes(count / 3, seed + 2));
        cortica(&["ingest", &again, "--store", &store, "--update"]).ok();
        store
    }

    fn exported(folder: &Folder, store: &str, name: &str) -> Vec<u8> {
        let file = folder.path(name);
        cortica(&["export", &file, "--store", store]).ok();
        fs::read(file).unwrap()
    }

    /// Both formats say the same: whichever way a store goes, the exports of what comes out are the
    /// same to the last byte.
    #[track_caller]
    fn check_round_trip(count: usize, seed: u64) {
        let folder = Folder::new();
        let store = store_of(&folder, count, seed);
        let lines = exported(&folder, &store, "first.jsonl");
        let table = exported(&folder, &store, "first.parquet");
        let ways = [("first.parquet", "by_table"), ("first.jsonl", "by_lines")];
        for (file, other) in ways {
            let (file, other) = (folder.path(file), folder.path(other));
            cortica(&["import", &file, "--store", &other]).ok();
            assert_eq!(
                exported(&folder, &other, "second.jsonl"),
                lines,
                "seed {seed}"
            );
            assert_eq!(
                exported(&folder, &other, "second.parquet"),
                table,
                "seed {seed}"
            );
            // Again, nothing happens.
            let run = cortica(&["import", &file, "--store", &other, "--json"]).ok();
            let summary = run.json().pop().unwrap()["summary"].take();
            assert_eq!(summary["already_there"], summary["episodes"]);
            assert_eq!(summary["associations_stored"], 0);
        }
    }

    #[test]
    fn stores_go_both_ways_and_come_out_the_same() {
        check_round_trip(0, 1);
        check_round_trip(1, 2);
        for seed in 3..7 {
            check_round_trip(300, seed);
        }
    }

    /// More than a row group holds, and more than a batch of an import.
    #[test]
    fn large_stores_go_both_ways_and_come_out_the_same() {
        check_round_trip(9_500, 7);
    }

    #[test]
    fn standard_output_takes_it_and_standard_input_cannot() {
        let folder = Folder::new();
        let store = store_of(&folder, 20, 8);
        let want = exported(&folder, &store, "all.parquet");
        let args = ["export", "-", "--format", "parquet", "--store", &store];
        assert_eq!(command(&args).output().unwrap().stdout, want);
        // The format is what is asked for, whatever the name.
        let lines = folder.path("lines.parquet");
        cortica(&["export", &lines, "--format", "jsonl", "--store", &store]).ok();
        assert_eq!(
            fs::read(&lines).unwrap(),
            exported(&folder, &store, "lines.jsonl")
        );
        cortica(&["import", &lines, "--store", &folder.path("by_name")]).ok();

        let mut run = command(&["import", "-", "--store", &folder.path("other")]);
        let mut run = run
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It may have left before all is written.
        let _ = run.stdin.take().unwrap().write_all(&want);
        let mut said = String::new();
        run.stderr
            .take()
            .unwrap()
            .read_to_string(&mut said)
            .unwrap();
        assert_eq!(run.wait().unwrap().code(), Some(1));
        assert!(said.contains("not from standard input"), "{said}");
    }

    /// Nothing of a damaged file is stored, not even what comes before the damage.
    #[test]
    fn damaged_files_are_refused_and_store_nothing() {
        let folder = Folder::new();
        let store = store_of(&folder, 20, 9);
        let whole = exported(&folder, &store, "all.parquet");
        let into = folder.path("into");
        let refused = |bytes: &[u8], words: &[&str]| {
            let damaged = folder.write("damaged.parquet", bytes);
            cortica(&["import", &damaged, "--store", &into]).failed(1, words);
            assert!(!fs::exists(&into).unwrap(), "{words:?}");
        };
        for at in (4..whole.len()).step_by(whole.len() / 23) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            refused(&bytes, &["damaged.parquet", "because: "]);
            refused(&whole[..at], &["damaged.parquet", "cut short"]);
        }
        // What does not begin as Parquet is taken for JSON Lines.
        refused(&whole[1..], &["this is no export of a store"]);
    }

    #[test]
    fn other_tables_are_refused_with_what_to_do() {
        const OTHER: &[Column] = &[
            Column::new("id", Kind::Text),
            Column::new("age", Kind::Count),
        ];
        let folder = Folder::new();
        let into = folder.path("into");
        let import = |file: &str| cortica(&["import", file, "--store", &into]);
        let other = folder.path("other.parquet");
        let rows = Writer::new(File::create(&other).unwrap(), OTHER).unwrap();
        rows.finish(&[]).unwrap();
        import(&other).failed(
            1,
            &[
                "other.parquet is no export",
                "cortica ingest",
                "has the columns id",
                "age (INT32",
            ],
        );
        let store = store_of(&folder, 20, 10);
        let whole = exported(&folder, &store, "all.parquet");
        // As if another program had written the file anew: the checksum is not there.
        let at = whole.windows(6).rposition(|it| it == b"crc32:").unwrap();
        let foreign = [&whole[..at], b"other:", &whole[at + 6..]].concat();
        let foreign = folder.write("foreign.parquet", foreign);
        import(&foreign).failed(1, &["foreign.parquet", "because: "]);
        assert!(!fs::exists(&into).unwrap());
    }

    /// The columns of an export. They are not to be had from outside, so they are told here once more.
    const COLUMNS: &[Column] = &[
        Column::new("id", Kind::Text),
        Column::new("what", Kind::Text),
        Column::new("when", Kind::Micros),
        Column::new("place", Kind::Text),
        Column::new("who", Kind::Texts),
        Column::new("embedding", Kind::Floats),
        Column::new("encoding_confidence", Kind::Float),
        Column::new("metadata", Kind::Json),
        Column::new("stream", Kind::Text),
        Column::new("stored_at", Kind::Micros),
        Column::new("activation", Kind::Float),
        Column::new("from", Kind::Text),
        Column::new("to", Kind::Text),
        Column::new("relation", Kind::Count),
        Column::new("weight", Kind::Float),
    ];

    /// Copies an export, each row and the metadata changed as asked.
    fn changed(
        folder: &Folder,
        metadata: &[(&str, &str)],
        change: impl Fn(usize, &mut Vec<cortica_formats::parquet::Cell<'static>>),
    ) -> String {
        let (from, to) = (folder.path("all.parquet"), folder.path("changed.parquet"));
        let rows = Reader::open(Path::new(&from), COLUMNS).unwrap();
        let mut texts: Vec<(&str, String)> = Vec::new();
        for key in ["cortica.export", "cortica.end"] {
            texts.push((key, rows.metadata(key).unwrap().to_owned()));
        }
        let mut out = Writer::new(File::create(&to).unwrap(), COLUMNS).unwrap();
        for (at, row) in rows.enumerate() {
            let mut row = row.unwrap();
            change(at, &mut row);
            out.write(&row).unwrap();
        }
        let texts = texts.iter().map(|(key, text)| {
            let other = metadata.iter().find(|(other, _)| other == key);
            (*key, other.map_or(&**text, |(_, text)| text))
        });
        out.finish(&texts.collect::<Vec<_>>()).unwrap();
        to
    }

    #[test]
    fn rows_that_make_no_sense_are_named() {
        use cortica_formats::parquet::Cell;
        let folder = Folder::new();
        let store = store_of(&folder, 20, 11);
        exported(&folder, &store, "all.parquet");
        let refused = |file: &str, words: &[&str]| {
            let into = folder.path("into");
            cortica(&["import", file, "--store", &into]).failed(1, words);
            let _ = fs::remove_dir_all(into);
        };
        let cell = |row: usize, column: usize, cell: Cell<'static>| {
            move |at: usize, cells: &mut Vec<Cell<'static>>| {
                if at == row {
                    cells[column] = cell.clone();
                }
            }
        };
        let same = changed(&folder, &[], |_, _| {});
        assert_eq!(
            fs::read(&same).unwrap(),
            fs::read(folder.path("all.parquet")).unwrap()
        );
        for (change, words) in [
            (
                cell(3, 1, Cell::Null),
                &["row 4: field `what` is missing"][..],
            ),
            (
                cell(0, 10, Cell::Float(2.0)),
                &["row 1: field `activation`"],
            ),
            (
                cell(0, 6, Cell::Float(f32::NAN)),
                &["row 1: field `encoding_confidence`"],
            ),
            (
                cell(1, 7, Cell::from("{\"a\":[]}")),
                &["row 2: field `metadata`: `a`"],
            ),
            (
                cell(2, 9, Cell::Null),
                &["row 3: field `stored_at` is missing"],
            ),
            (
                cell(2, 14, Cell::Float(1.0)),
                &["row 3: field `from` is missing"],
            ),
            (
                cell(2, 11, Cell::from("x")),
                &["row 3: an episode and a relation in one"],
            ),
        ] {
            refused(&changed(&folder, &[], change), words);
        }
        let newer = r#"{"format":"cortica-export","version":2,"space":null}"#;
        refused(
            &changed(&folder, &[("cortica.export", newer)], |_, _| {}),
            &["version 2", "newer"],
        );
        let more = r#"{"episodes":99,"associations":0}"#;
        refused(
            &changed(&folder, &[("cortica.end", more)], |_, _| {}),
            &["was cut", "not 99 and 0"],
        );
        assert_eq!(stats(&store)["episodes"], 19);
    }
}
