//! `kill -9` in the middle of an allocation: acknowledged columns are kept, no column has two concepts, and what
//! was interrupted ends as if it had not been.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a panic is how a test reports"
)]

mod common;

use std::collections::{BTreeMap, HashSet};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::{Folder, command, cortica};
use cortica::Cortica;
use cortica_testkit::{Rng, bundle};
use serde_json::Value;

const SEED: u64 = 0xa110c;
const KILLS: usize = 25;
const BATCH: usize = 64;

/// For each concept the column that it has, or that of its like.
type Columns = BTreeMap<String, u64>;

fn start(store: &str) -> Child {
    let batch = BATCH.to_string();
    let args = ["allocate", "--store", store, "--batch", &batch, "--json"];
    command(&args)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary runs")
}

/// Takes a line in; whether it is a concept that was stored by this run.
fn hear(line: &str, told: &mut Columns) -> bool {
    let line: Value = serde_json::from_str(line).expect("a whole line of JSON");
    let Some(outcome) = line["outcome"].as_str() else {
        return false; // The summary.
    };
    assert!(
        ["allocated", "duplicate", "there"].contains(&outcome),
        "{line}"
    );
    if let Some(column) = line["column"].as_u64() {
        let id = line["id"].as_str().expect("an id").to_owned();
        let before = told.insert(id, column);
        assert!(before.is_none_or(|before| before == column), "{line}");
    }
    outcome != "there"
}

/// Kills it after so many concepts that it stored and a pause; whether it had ended by itself.
fn run_and_kill(mut child: Child, concepts: usize, pause: Duration, told: &mut Columns) -> bool {
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let (mut line, mut heard) = (String::new(), 0);
    while heard < concepts && stdout.read_line(&mut line).expect("a readable pipe") > 0 {
        heard += usize::from(hear(&line, told));
        line.clear();
    }
    sleep(pause);
    child.kill().expect("a kill"); // SIGKILL: no handler, no flush, no goodbye.
    while stdout.read_line(&mut line).expect("a readable pipe") > 0 {
        if line.ends_with('\n') {
            hear(&line, told);
        }
        line.clear();
    }
    child.wait().expect("an end").success()
}

/// What the store holds: every acknowledged concept in its column, none of which has two.
fn verify(store: &str, told: &Columns) -> Columns {
    let memory = Cortica::open(store).expect("it opens");
    let ids = bundle().items.iter().map(|item| &item.id);
    let there: Vec<&String> = ids.take_while(|id| memory.get(id).is_some()).collect();
    let stats = memory.stats();
    assert_eq!(
        there.len() as u64,
        stats.episodes,
        "a hole, or more than was asked for"
    );
    let mut held = Columns::new();
    let mut taken = HashSet::new();
    for id in there {
        if let Some(column) = memory.column(id) {
            assert!(taken.insert(column), "{column} has two concepts");
            let cortex = memory.cortex().expect("columns");
            assert!(cortex.held(column).expect("a column").is_some());
            held.insert(id.clone(), u64::from(column.get()));
        }
    }
    let columns = stats.columns.map_or(0, |columns| columns.held);
    assert_eq!(columns, held.len() as u64, "a column without an episode");
    for (id, column) in told {
        assert!(
            memory.get(id).is_some(),
            "{id} was acknowledged and is lost"
        );
        // Those without a column of their own were told that of their like.
        let has = held.get(id).copied();
        assert!(
            has.is_none_or(|has| has == *column),
            "{id}: {has:?}, {column}"
        );
        assert!(has.is_some() || held.values().any(|held| held == column));
    }
    memory.close().expect("a close");
    held
}

#[test]
fn interrupted_allocations_end_as_if_they_had_not_been() {
    let folder = Folder::new();
    let whole = folder.path("whole");
    let mut told = Columns::new();
    assert!(run_and_kill(
        start(&whole),
        usize::MAX,
        Duration::from_secs(1),
        &mut told
    ));
    let want = verify(&whole, &told);
    assert_eq!(want.len(), 4_092);

    let mut rng = Rng::new(SEED);
    let (mut kills, mut acknowledged, mut beyond, mut stores) = (0, 0, 0, 0);
    while kills < KILLS {
        stores += 1;
        let store = folder.path(&format!("store-{stores}"));
        let mut told = Columns::new();
        loop {
            let concepts = rng.below(10 * BATCH);
            let pause = Duration::from_micros(rng.below(8_000) as u64);
            if run_and_kill(start(&store), concepts, pause, &mut told) {
                break;
            }
            kills += 1;
            acknowledged += concepts;
            let held = verify(&store, &told);
            beyond += held.keys().filter(|id| !told.contains_key(*id)).count();
            if kills % 8 == 0 {
                cortica(&["check", "--store", &store]).ok();
            }
        }
        assert_eq!(verify(&store, &told), want, "after {kills} kills");
    }
    let line = format!(
        "kill -9 during allocate: {kills} kills on {stores} stores, {acknowledged} concepts waited for, none \
         lost, none twice ({beyond} held beyond the acknowledged); all ended as the one that ran through\n"
    );
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    // Only what had not ended by itself counts as killed, so each was in the middle of its work.
    assert!(
        stores > 1 && acknowledged > 0,
        "{stores} stores, {acknowledged}"
    );
}
