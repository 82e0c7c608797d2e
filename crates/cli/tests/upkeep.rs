//! Snapshots, compaction and repair through the real command.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Folder, cortica, segment, stats};

/// All files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let files = entries.map(|path| {
        if path.is_dir() {
            files(&path)
        } else {
            vec![path]
        }
    });
    files.flatten().collect()
}

/// The files below a folder that hold these bytes.
fn holding(folder: &str, bytes: &[u8]) -> Vec<PathBuf> {
    let mut files = files(Path::new(folder));
    files.retain(|file| {
        fs::read(file)
            .unwrap()
            .windows(bytes.len())
            .any(|at| at == bytes)
    });
    files
}

const SECRET: &str = "zanzibar-7f3a";

/// Vector bytes as they lie in the log and nowhere else.
const SECRET_VECTOR: [f32; 4] = [0.123_456_7, 7.654_321, -3.333_333_3, 1e-3];

fn secret_bytes() -> Vec<u8> {
    SECRET_VECTOR.iter().flat_map(|x| x.to_le_bytes()).collect()
}

fn store_with_secrets(folder: &Folder) -> String {
    let store = folder.small_store("store");
    let line = |id: &str, what: &str| {
        format!(r#"{{"id":"{id}","what":"{what}","embedding":{SECRET_VECTOR:?}}}"#)
    };
    let secrets = [
        line("secret", SECRET),
        line("changed", "the zanzibar-7f3a of old"),
    ];
    let secrets = folder.write("secrets.jsonl", secrets.join("\n"));
    cortica(&["ingest", &secrets, "--store", &store]).ok();
    store
}

#[test]
fn what_was_forgotten_or_replaced_is_in_no_file_after_compaction_nor_in_a_snapshot() {
    let folder = Folder::new();
    let store = store_with_secrets(&folder);
    for bytes in [SECRET.as_bytes(), &secret_bytes()] {
        assert!(
            !holding(&store, bytes).is_empty(),
            "the search finds nothing"
        );
    }
    cortica(&["forget", "secret", "--store", &store]).ok();
    let changed = folder.write("changed.jsonl", r#"{"id":"changed","what":"plain"}"#);
    cortica(&["ingest", &changed, "--store", &store, "--update"]).ok();

    // Even before a compaction, a snapshot has nothing of it.
    let snapshot = folder.path("snapshot");
    cortica(&["snapshot", &snapshot, "--store", &store])
        .ok()
        .says(&["verified"]);
    let export = folder.path("export.jsonl");
    cortica(&["export", &export, "--store", &store]).ok();
    cortica(&["compact", "--store", &store])
        .ok()
        .says(&["21 episodes"]);
    for bytes in [SECRET.as_bytes(), &secret_bytes()] {
        assert_eq!(holding(&store, bytes), [] as [PathBuf; 0]);
        assert_eq!(holding(&snapshot, bytes), [] as [PathBuf; 0]);
    }
    assert!(!fs::read_to_string(&export).unwrap().contains(SECRET));
    let now = stats(&store);
    assert_eq!(
        (&now["episodes"], &now["dead_bytes"]),
        (&21.into(), &0.into())
    );
    assert_eq!(
        now["next_seq"], 23,
        "the seq of what was forgotten is not given out again"
    );

    // The snapshot is what the store is, and a store restored from it as well.
    let restored = folder.path("restored");
    cortica(&["restore", &snapshot, "--store", &restored]).ok();
    let export_of = |store: &str| cortica(&["export", "-", "--store", store]).ok().stdout;
    assert_eq!(export_of(&restored), export_of(&store));
    assert_eq!(export_of(&snapshot), export_of(&store));
    assert_eq!(stats(&restored)["next_seq"], 23);
    cortica(&["check", "--store", &restored]).ok();
    for (to, from) in [(&store, &snapshot), (&snapshot, &store)] {
        cortica(&["restore", from, "--store", to]).failed(1, &["next:", "not empty"]);
    }
    let run = cortica(&["compact", "--store", &store, "--json"]).ok();
    assert_eq!(run.json()[0]["durability"], "durable");
    cortica(&["compact", "--store", &folder.path("none")]).failed(1, &["no store"]);
}

#[test]
fn a_damaged_store_is_read_with_a_warning_and_mended() {
    let folder = Folder::new();
    let store = folder.small_store("store");
    let more = folder.write(
        "more.jsonl",
        r#"{"id":"later","what":"proof","embedding":[1,2,3,4]}"#,
    );
    cortica(&["ingest", &more, "--store", &store]).ok();
    let path = segment(&store);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(&path, &bytes).unwrap();

    cortica(&["check", "--store", &store])
        .failed(1, &["next: cortica check --repair"])
        .says(&["damage in", "checksum"]);
    let warned = ["WARNING", "damaged in 1 places", "check --repair"];
    let run = cortica(&["recall", "--store", &store, "--like", "later", "-k", "1"]).ok();
    assert!(
        warned.iter().all(|word| run.stderr.contains(word)),
        "{}",
        run.stderr
    );
    let run = cortica(&["stats", "--store", &store, "--json"]).ok();
    assert!(
        warned.iter().all(|word| run.stderr.contains(word)),
        "{}",
        run.stderr
    );
    let held = run.json().remove(0);
    assert_eq!(
        (&held["episodes"], &held["writable"]),
        (&20.into(), &false.into())
    );
    let new = folder.write(
        "new.jsonl",
        r#"{"id":"new","what":"new","embedding":[4,3,2,1]}"#,
    );
    for args in [
        vec!["ingest", &new, "--store", &store],
        vec!["forget", "later", "--store", &store],
        vec!["compact", "--store", &store],
        vec!["snapshot", &folder.path("snapshot"), "--store", &store],
    ] {
        cortica(&args).failed(1, &["damaged", "next:", "check --repair"]);
    }
    cortica(&["restore", &store, "--store", &folder.path("to")]).failed(1, &["damaged in 1"]);
    assert_eq!(fs::read(&path).unwrap(), bytes, "left as it was");

    cortica(&["check", "--repair", "--store", &store])
        .ok()
        .says(&["lost in", "kept as", "quarantine", "were saved", "sound"]);
    cortica(&["check", "--store", &store]).ok();
    cortica(&["ingest", &new, "--store", &store]).ok();
    let held = stats(&store);
    assert_eq!(
        (&held["episodes"], &held["writable"]),
        (&21.into(), &true.into())
    );
    assert_eq!(held["recovery"]["quarantined"], 1);
    cortica(&["check", "--repair", "--store", &store])
        .ok()
        .says(&["nothing was damaged"]);
}

/// One log file of many is dead from its first byte to its last: all that is in the others is shown,
/// exported and kept.
#[test]
fn one_dead_file_of_many_costs_what_was_in_it() {
    let folder = Folder::new();
    let store = folder.path("store");
    let builder = cortica::Cortica::builder().segment_bytes(16 << 10);
    let memory = builder.dimension(4).open(&store).unwrap();
    let episode = |id: usize| {
        let text = format!("text {id} {}", "word ".repeat(40));
        cortica::Episode::new(id.to_string(), text).with_embedding(vec![1.0, id as f32, 2.0, 3.0])
    };
    for id in 0..400 {
        memory.store(episode(id)).unwrap();
    }
    memory.close().unwrap();
    let mut logs = files(&Path::new(&store).join("log"));
    logs.retain(|path| path.extension().is_some_and(|end| end == "log"));
    logs.sort();
    assert!(logs.len() > 5, "{logs:?}");
    let dead = &logs[logs.len() / 2];
    let len = fs::metadata(dead).unwrap().len() as usize;
    fs::write(dead, vec![0xa5; len]).unwrap();

    let held = cortica(&["stats", "--store", &store, "--json"]).ok().json();
    let episodes = held[0]["episodes"].as_u64().unwrap();
    let lost = 400 - episodes;
    assert!(lost > 10 && lost < 100, "{lost} lost");
    let export = folder.path("rest.jsonl");
    // All that is whole is in it, and nobody takes it for everything.
    cortica(&["export", &export, "--store", &store]).failed(1, &["is damaged in"]);
    let rest = folder.path("rest");
    cortica(&["import", &export, "--store", &rest]).ok();
    assert_eq!(stats(&rest)["episodes"], episodes);
    cortica(&["recall", "--store", &store, "--like", "0"]).ok();
    let repaired = cortica(&["check", "--repair", "--store", &store]).ok();
    let told = !repaired.stdout.contains("end of its report");
    assert!(told, "{}", repaired.stdout);
    assert_eq!(stats(&store)["episodes"], episodes);
    println!(
        "one dead file of {}: {episodes} of 400 episodes saved",
        logs.len()
    );
    cortica(&["check", "--store", &store]).ok();
}
