//! `kill -9` in the middle of an ingest: what was acknowledged is there, and nothing else is.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::{Folder, command, cortica};
use cortica::{Cortica, Durability};
use cortica_testkit::{Rng, report, size};
use serde_json::Value;

/// Kills while small batches are stored durably: so many, whatever time it takes.
const KILLS: u64 = 200;
/// And with batches in pieces, and of the control.
const KILLS_MORE: usize = 50;
/// An ingest that ends before the kill is tried again, but not for ever: so often for each kill.
const TRIES_PER_KILL: usize = 20;
const SEED: u64 = 0x5eed;
const EDGES: usize = 480;

/// Many small batches, each one write.
const SMALL: Shape = Shape {
    rows: 960,
    dimension: 16,
    batch: 32,
    pause_us: 2_500,
};

/// Batches of several MiB, which reach the file in pieces.
const LARGE: Shape = Shape {
    rows: 4_000,
    dimension: 768,
    batch: 1_000,
    pause_us: 12_000,
};

#[derive(Clone, Copy, Debug)]
struct Shape {
    rows: usize,
    dimension: usize,
    batch: usize,
    /// A kill comes so long after a batch was acknowledged, at most: about what the next one takes.
    pause_us: usize,
}

/// The file that is ingested, as it is known outside the engine.
struct World {
    shape: Shape,
    folder: Folder,
    rows: Vec<f32>,
    edges: Vec<[u32; 3]>,
    npy: String,
    ids: String,
    edges_file: String,
}

impl World {
    fn new(shape: Shape) -> Self {
        let folder = Folder::new();
        let rows = cortica_testkit::clustered(shape.rows, shape.dimension, SEED);
        let npy = folder.npy("rows.npy", shape.dimension, &rows);
        let tsv: Vec<String> = (0..shape.rows)
            .map(|row| format!("{row}\t{}\t{}", id(row), text(row)))
            .collect();
        let ids = folder.write("ids.tsv", tsv.join("\n"));
        // Each is another one: the distance differs, or the source does.
        let edges: Vec<[u32; 3]> = (0..EDGES as u32)
            .map(|edge| {
                [
                    edge % 200,
                    (edge + 1 + edge / 200) % shape.rows as u32,
                    edge % 7,
                ]
            })
            .collect();
        let edges_file = folder.u32s("edges.u32", edges.as_flattened());
        Self {
            shape,
            folder,
            rows,
            edges,
            npy,
            ids,
            edges_file,
        }
    }

    fn start(&self, store: &str, durability: &str) -> Child {
        let batch = self.shape.batch.to_string();
        let args = [
            "ingest",
            &self.npy,
            "--ids",
            &self.ids,
            "--edges",
            &self.edges_file,
            "--store",
            store,
            "--batch",
            &batch,
            "--durability",
            durability,
            "--json",
        ];
        command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary runs")
    }
}

fn id(row: usize) -> String {
    format!("concept-{row}")
}

fn text(row: usize) -> String {
    // Of many lengths, so that records end at all places of a page.
    format!("row {row}: {}", "word ".repeat(row % 60))
}

/// The most that was acknowledged for a store so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Acked {
    rows: usize,
    edges: usize,
}

impl Acked {
    fn hear(&mut self, line: &str) {
        let line: Value = serde_json::from_str(line).expect("a whole line of JSON");
        let number = |field: &str| line[field].as_u64().map(|n| n as usize);
        assert_eq!(number("failed").unwrap_or(0), 0, "{line}");
        self.rows = self.rows.max(number("rows_to").unwrap_or(0));
        self.edges = self.edges.max(number("edges_to").unwrap_or(0));
    }
}

/// Lets the ingest run until `lines` acknowledgements and `pause` have gone by, then kills it.
/// True if it had come to its end by itself.
fn run_and_kill(mut child: Child, lines: usize, pause: Duration, acked: &mut Acked) -> bool {
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    let mut heard = 0;
    while heard < lines && stdout.read_line(&mut line).expect("a readable pipe") > 0 {
        acked.hear(&line);
        line.clear();
        heard += 1;
    }
    sleep(pause);
    child.kill().expect("a kill"); // SIGKILL: no handler, no flush, no goodbye.
    // What had entered the pipe was acknowledged too, but for a line cut off by the kill.
    while stdout.read_line(&mut line).expect("a readable pipe") > 0 {
        if line.ends_with('\n') {
            acked.hear(&line);
        }
        line.clear();
    }
    child.wait().expect("an end").success()
}

/// Reads the store back; gives what it holds, and what of the acknowledged it has lost.
fn verify(world: &World, store: &str, acked: Acked) -> (Acked, usize) {
    // A kill before the store was finished must leave something that opens all the same.
    let memory = Cortica::builder()
        .durability(Durability::Durable)
        .open(store)
        .expect("it opens");
    let stats = memory.stats();
    let held = stats.episodes as usize;
    let dimension = world.shape.dimension;

    // A batch is written in the order of its rows, so what is there is the beginning of the file:
    // no holes, and since the counts agree nothing invented.
    for row in 0..held {
        let there = memory
            .get(&id(row))
            .unwrap_or_else(|| panic!("row {row} of {held} is a hole"));
        assert_eq!(there.what, text(row));
        let embedding = memory.embedding(&id(row)).expect("an embedding");
        let offered = &world.rows[row * dimension..][..dimension];
        let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&embedding), bits(offered), "row {row}");
    }
    assert_eq!(stats.embedded as usize, held);

    let mut edges = HashSet::new();
    for row in 0..held {
        for association in memory.associations(&id(row)) {
            assert_eq!(association.weight, 1.0);
            edges.insert((association.from, association.to, association.relation));
        }
    }
    assert_eq!(edges.len() as u64, stats.associations);
    let offered = world
        .edges
        .iter()
        .map(|[from, to, relation]| (id(*from as usize), id(*to as usize), *relation));
    let kept = offered.take_while(|edge| edges.contains(edge)).count();
    assert_eq!(
        kept,
        edges.len(),
        "the relations are not the beginning of the file"
    );

    memory.close().expect("a close");
    let lost = acked.rows.saturating_sub(held) + acked.edges.saturating_sub(kept);
    (
        Acked {
            rows: held,
            edges: kept,
        },
        lost,
    )
}

/// What a number of kills came to.
#[derive(Debug, Default)]
struct Tally {
    kills: usize,
    stores: usize,
    /// Kills after which there was something to lose.
    at_work: usize,
    acked: Acked,
    lost: usize,
    /// Rows that were there although nobody had heard of them yet.
    beyond: usize,
    /// The store of the last kill.
    store: String,
}

/// Kills ingests, some soon after their start, most after an acknowledgement: exactly so many, or
/// fewer where something was lost.
fn kill_many(world: &World, durability: &str, kills: usize) -> Tally {
    let mut rng = Rng::new(SEED);
    let mut tally = Tally::default();
    let (mut acked, mut ended) = (Acked::default(), true);
    let mut tries = 0;
    while tally.kills < kills && tally.lost == 0 {
        tries += 1;
        assert!(
            tries <= kills * TRIES_PER_KILL,
            "nearly every ingest is faster than its kill: {tally:?}"
        );
        // Every third time or so another folder, otherwise the one that was hit goes on.
        if ended || rng.below(3) == 0 {
            tally.stores += 1;
            let name = format!("{durability}-{}", tally.stores);
            tally.store = world.folder.path(&name);
            acked = Acked::default();
        }
        let before = acked;
        let heard_before =
            acked.rows.div_ceil(world.shape.batch) + acked.edges.div_ceil(world.shape.batch);
        let many = 16.min(world.shape.rows / world.shape.batch);
        let (lines, pause_us) = match rng.below(6) {
            0 => (0, rng.below(12_000)),
            _ => (
                heard_before + 1 + rng.below(many),
                rng.below(world.shape.pause_us),
            ),
        };
        let child = world.start(&tally.store, durability);
        let pause = Duration::from_micros(pause_us as u64);
        ended = run_and_kill(child, lines, pause, &mut acked);
        if ended {
            continue; // It was faster than the kill, which therefore does not count.
        }
        tally.kills += 1;
        tally.at_work += usize::from(acked.rows > 0);
        tally.acked.rows += acked.rows - before.rows;
        tally.acked.edges += acked.edges - before.edges;
        let (held, lost) = verify(world, &tally.store, acked);
        tally.lost += lost;
        tally.beyond += held.rows.saturating_sub(acked.rows);
        acked = held; // What a reopened store has shown may not go away either.
        if tally.kills.is_multiple_of(10) {
            cortica(&["check", "--store", &tally.store]).ok();
        }
    }
    tally
}

/// To standard error itself: the test runner hides what `println!` says.
fn tell(durability: &str, tally: &Tally) {
    let Tally {
        kills,
        stores,
        acked: Acked { rows, edges },
        lost,
        beyond,
        ..
    } = tally;
    let line = format!(
        "kill -9 during ingest --durability {durability}: {kills} kills on {stores} stores, {rows} \
         rows and {edges} relations acknowledged, {lost} lost, none invented ({beyond} rows held \
         beyond the acknowledged)\n"
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let world = World::new(SMALL);
    let kills = size("KILLS_INGEST", KILLS) as usize;
    let tally = kill_many(&world, "durable", kills);
    tell("durable", &tally);
    let counts = [
        ("kills", tally.kills),
        ("rows_acknowledged", tally.acked.rows),
        ("relations_acknowledged", tally.acked.edges),
        ("lost", tally.lost),
    ];
    report(
        "kill_ingest",
        SEED,
        &counts.map(|(what, n)| (what, n as u64)),
    );
    assert_eq!((tally.kills, tally.lost), (kills, 0));
    assert!(tally.at_work > tally.kills / 2, "{tally:?}");
    assert!(
        tally.acked.edges > 0,
        "no kill came while relations were stored"
    );

    // The last store, run to its end, is the whole file.
    let output = world
        .start(&tally.store, "durable")
        .wait_with_output()
        .expect("an end");
    let mut whole = Acked::default();
    for line in String::from_utf8(output.stdout).expect("UTF-8").lines() {
        whole.hear(line);
    }
    assert_eq!((whole.rows, whole.edges), (world.shape.rows, EDGES));
    assert_eq!(verify(&world, &tally.store, whole), (whole, 0));
}

#[test]
fn batches_that_are_written_in_pieces_survive_too() {
    let world = World::new(LARGE);
    let tally = kill_many(&world, "durable", KILLS_MORE);
    tell("durable, in pieces", &tally);
    assert_eq!((tally.kills, tally.lost), (KILLS_MORE, 0));
    assert!(tally.beyond > 0, "no kill came between two pieces");
}

#[test]
fn buffered_survives_the_end_of_the_process_too() {
    let world = World::new(SMALL);
    let tally = kill_many(&world, "buffered", KILLS_MORE);
    tell("buffered", &tally);
    assert_eq!((tally.kills, tally.lost), (KILLS_MORE, 0));
}

/// The control: `none` promises nothing, and these same kills must be seen to take it away.
#[test]
fn without_durability_the_same_kills_lose() {
    let world = World::new(SMALL);
    let tally = kill_many(&world, "none", KILLS_MORE);
    tell("none", &tally);
    let lost = ("lost_by_the_control_without_durability", tally.lost as u64);
    report("kill_ingest", SEED, &[lost]);
    assert!(
        tally.lost > 0,
        "{} kills took nothing: would they see a loss?",
        tally.kills
    );
}
