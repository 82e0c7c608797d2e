//! `kill -9` in the middle of updates, forgetting, compaction, snapshots and restores.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use common::{Folder, command, cortica};
use cortica::{Association, Cortica};
use cortica_testkit::{Rng, report, size};
use serde_json::Value;

/// So many, whatever time it takes.
const KILLS: u64 = 200;
/// The control kills at most so often before it has lost something.
const KILLS_CONTROL: usize = 100;
/// A command that ends before the kill is followed by another one, but not for ever: so often for
/// each kill.
const TRIES_PER_KILL: usize = 20;
const SEED: u64 = 0xfeed;
const IDS: usize = 120;
const BATCH: usize = 8;

/// What the store must hold, known outside the engine: the version of each id, if it is there.
struct World {
    folder: Folder,
    store: String,
    rng: Rng,
    held: HashMap<String, usize>,
    versions: usize,
    kills: HashMap<&'static str, usize>,
    /// Acknowledged changes of killed commands, and those that were there without.
    acked: usize,
    beyond: usize,
    /// What the commands are told to promise, and how many acknowledged changes are gone; those of
    /// `durable` may not be.
    durability: &'static str,
    lost: usize,
}

fn text(version: usize) -> String {
    format!("version {version} {}", "word ".repeat(version % 50))
}

/// The version whose text this is.
fn version_of(text: &str) -> usize {
    let version = text.split(' ').nth(1).expect("a version");
    version.parse().expect("a number")
}

/// Runs a command, kills it after a while, and gives what it said; true if it was killed.
fn run_and_kill(args: &[&str], pause: Duration) -> (String, bool) {
    let mut child = command(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs");
    sleep(pause);
    child.kill().expect("a kill"); // SIGKILL: no handler, no flush, no goodbye.
    let mut said = String::new();
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_to_string(&mut said).expect("UTF-8");
    let killed = child.wait().expect("an end").code().is_none();
    // A line cut off by the kill was heard by nobody.
    said.truncate(said.rfind('\n').map_or(0, |end| end + 1));
    (said, killed)
}

fn lines(said: &str) -> Vec<Value> {
    let parse = |line| serde_json::from_str(line).expect("a whole line of JSON");
    said.lines().map(parse).collect()
}

fn open(store: &str) -> Cortica {
    let opened = Cortica::builder().must_exist(true).open(store);
    opened.expect("it opens after any kill")
}

impl World {
    fn new(durability: &'static str) -> Self {
        let folder = Folder::new();
        let store = folder.path("store");
        let mut world = Self {
            folder,
            store,
            rng: Rng::new(SEED),
            held: HashMap::new(),
            versions: 0,
            kills: HashMap::new(),
            acked: 0,
            beyond: 0,
            durability,
            lost: 0,
        };
        let ids: Vec<_> = (0..IDS).map(|n| format!("id-{n}")).collect();
        let (file, changes) = world.changes(&ids);
        cortica(&["ingest", &file, "--store", &world.store.clone()]).ok();
        world.held.extend(changes);
        world
    }

    fn pause(&mut self) -> Duration {
        Duration::from_micros(self.rng.below(14_000) as u64)
    }

    /// Some ids, each once.
    fn some(&mut self) -> Vec<String> {
        let from = self.rng.below(IDS);
        let ids = (0..IDS / 2).map(|n| format!("id-{}", (from + 7 * n) % IDS));
        ids.collect()
    }

    /// A file that gives each id a new version.
    fn changes(&mut self, ids: &[String]) -> (String, Vec<(String, usize)>) {
        let mut changes = Vec::new();
        for id in ids {
            self.versions += 1;
            changes.push((id.clone(), self.versions));
        }
        let line = |(id, version): &(String, usize)| {
            let what = text(*version);
            format!(r#"{{"id":"{id}","what":"{what}","embedding":[1,{version},2,0.5]}}"#)
        };
        let all: Vec<String> = changes.iter().map(line).collect();
        (self.folder.write("changes.jsonl", all.join("\n")), changes)
    }

    /// Holds the store against what it must hold, where each id of `open` may be either. Gives what
    /// became of those.
    fn verify(&mut self, either: &HashMap<String, Option<usize>>) {
        let memory = open(&self.store);
        let mut known = 0;
        for n in 0..IDS {
            let id = format!("id-{n}");
            let there = memory.get(&id).map(|memory| memory.what.clone());
            let must = self.held.get(&id).copied();
            known += u64::from(there.is_some());
            if there == must.map(text) {
                if let (Some(version), Some(there)) = (must, &there) {
                    assert_eq!(*there, text(version));
                    let embedding = memory.embedding(&id).expect("an embedding");
                    assert_eq!(embedding, [1.0, version as f32, 2.0, 0.5]);
                }
                continue;
            }
            let Some(may) = either.get(&id).filter(|may| there == may.map(text)) else {
                assert_ne!(
                    self.durability, "durable",
                    "{id} is {there:?}, not {must:?}"
                );
                self.lost += 1;
                match &there {
                    Some(there) => self.held.insert(id, version_of(there)),
                    None => self.held.remove(&id),
                };
                continue;
            };
            self.beyond += 1;
            match may {
                Some(version) => self.held.insert(id, *version),
                None => self.held.remove(&id),
            };
        }
        assert_eq!(memory.stats().episodes, known, "something was invented");
        memory.close().expect("a close");
    }

    fn killed(&mut self, what: &'static str) {
        *self.kills.entry(what).or_default() += 1;
    }

    fn update(&mut self) {
        let ids = self.some();
        let (file, changes) = self.changes(&ids);
        let batch = BATCH.to_string();
        let store = self.store.clone();
        let args = [
            "ingest",
            &file,
            "--store",
            &store,
            "--update",
            "--batch",
            &batch,
            "--json",
            "--durability",
            self.durability,
        ];
        let (said, killed) = run_and_kill(&args, self.pause());
        let acked = lines(&said)
            .iter()
            .filter_map(|line| line["rows_to"].as_u64())
            .max();
        let (sure, open) = changes.split_at(acked.unwrap_or(0) as usize);
        self.held.extend(sure.iter().cloned());
        if killed {
            self.acked += sure.len();
            self.killed("ingest --update");
        }
        let open = open
            .iter()
            .map(|(id, version)| (id.clone(), Some(*version)));
        self.verify(&open.collect());
    }

    fn forget(&mut self) {
        let ids: Vec<String> = self.some().into_iter().take(IDS / 4).collect();
        let file = self.folder.write("ids", ids.join("\n"));
        let store = self.store.clone();
        let args = [
            "forget",
            "--file",
            &file,
            "--store",
            &store,
            "--json",
            "--durability",
            self.durability,
        ];
        let (said, killed) = run_and_kill(&args, self.pause());
        let mut open: HashMap<_, _> = ids.into_iter().map(|id| (id, None)).collect();
        for line in lines(&said) {
            if let Some(id) = line["id"].as_str() {
                open.remove(id);
                self.held.remove(id);
                self.acked += usize::from(killed);
            }
        }
        if killed {
            self.killed("forget");
        }
        self.verify(&open);
    }

    fn compact(&mut self) {
        let memory = open(&self.store);
        // So that there are links to rewrite, too.
        let links = (0..20).map(|_| {
            let [from, to] = [0, 1].map(|_| format!("id-{}", self.rng.below(IDS)));
            Association::new(from, to, self.rng.below(2) as u32)
        });
        let links: Vec<_> = links.collect();
        memory.associate_many(&links);
        let before = memory.state_digest();
        memory.close().expect("a close");
        let store = self.store.clone();
        if run_and_kill(&["compact", "--store", &store], self.pause()).1 {
            self.killed("compact");
        }
        let memory = open(&self.store);
        assert_eq!(
            memory.state_digest(),
            before,
            "after a kill in a compaction"
        );
        memory.close().expect("a close");
        self.verify(&HashMap::new());
    }

    /// A copy is whole, or cannot be opened; what was copied is as it was.
    fn copy(&mut self) {
        let (store, to) = (self.store.clone(), self.folder.path("copy"));
        let memory = open(&store);
        let before = memory.state_digest();
        let restore = self.rng.below(2) == 0;
        let from = self.folder.path("snapshot");
        if restore {
            memory.snapshot(&from).expect("a snapshot");
        }
        memory.close().expect("a close");
        let args = if restore {
            ["restore", &from, "--store", &to]
        } else {
            ["snapshot", &to, "--store", &store]
        };
        let (_, killed) = run_and_kill(&args, self.pause());
        if killed {
            self.killed(if restore { "restore" } else { "snapshot" });
        }
        match Cortica::builder().must_exist(true).open(&to) {
            Ok(copy) => assert_eq!(copy.state_digest(), before, "half a copy"),
            Err(error) => assert!(killed, "a copy that was not killed: {error}"),
        }
        for source in [&store, &from] {
            if Path::new(source).exists() {
                assert_eq!(open(source).state_digest(), before);
            }
        }
        for folder in [&to, &from] {
            if Path::new(folder).exists() {
                fs::remove_dir_all(folder).expect("no more of it");
            }
        }
        self.verify(&HashMap::new());
    }
}

#[test]
fn updates_forgetting_and_upkeep_survive_every_kill() {
    let mut world = World::new("durable");
    let kills = |world: &World| world.kills.values().sum::<usize>();
    let wanted = size("KILLS_UPKEEP", KILLS) as usize;
    let mut tries = 0;
    while kills(&world) < wanted {
        tries += 1;
        assert!(
            tries <= wanted * TRIES_PER_KILL,
            "nearly every command is faster than its kill: {:?}",
            world.kills
        );
        match world.rng.below(5) {
            0 => world.forget(),
            1 => world.compact(),
            2 => world.copy(),
            _ => world.update(),
        }
    }
    cortica(&["check", "--store", &world.store]).ok();
    let mut counts: Vec<_> = world.kills.iter().collect();
    counts.sort();
    let line = format!(
        "kill -9 during upkeep: {} kills {counts:?}, {} changes acknowledged before them, 0 lost, \
         none invented ({} held beyond the acknowledged)\n",
        kills(&world),
        world.acked,
        world.beyond
    );
    // To standard error itself: the test runner hides what `println!` says.
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    let counts = [
        ("kills", kills(&world)),
        ("changes_acknowledged", world.acked),
        ("changes_kept_unacknowledged", world.beyond),
        ("lost", world.lost),
    ];
    report(
        "kill_upkeep",
        SEED,
        &counts.map(|(what, n)| (what, n as u64)),
    );
    assert_eq!((kills(&world), world.lost), (wanted, 0));
    assert_eq!(world.kills.len(), 5, "not every command was killed");
    assert!(
        world.acked > 100 && world.beyond > 0,
        "no kill came at work"
    );
}

/// The control: `none` promises nothing, and these same kills must be seen to take it away.
#[test]
fn without_durability_the_same_kills_lose() {
    let mut world = World::new("none");
    let kills = |world: &World| world.kills.values().sum::<usize>();
    while world.lost == 0 && kills(&world) < KILLS_CONTROL {
        match world.rng.below(3) {
            0 => world.forget(),
            _ => world.update(),
        }
    }
    let lost = ("lost_by_the_control_without_durability", world.lost as u64);
    report("kill_upkeep", SEED, &[lost]);
    assert!(
        world.lost > 0,
        "{} kills took nothing: would they see a loss?",
        kills(&world)
    );
}
