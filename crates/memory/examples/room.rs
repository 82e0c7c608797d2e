//! What a capacity costs those who store, and what strengthening costs those who recall.
//!
//! `cargo run --release -p cortica-memory --example room`: medians of rounds in which all take turns.
#![allow(clippy::print_stdout, reason = "this is what it is for")]

use cortica_memory::{
    Accuracy, AtCapacity, Confidence, Cue, Episode, IndexLag, MemoryStore, SpaceSpec, StoreOptions,
};
use cortica_storage::Durability;
use cortica_testkit::{Allocations, CountingAllocator, Rng};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

const DIMENSION: usize = 128;
const EPISODES: usize = 40_000;
const BATCH: usize = 1_000;
const ROUNDS: usize = 9;

fn options(capacity: Option<usize>) -> StoreOptions {
    StoreOptions {
        space: Some(SpaceSpec::new(DIMENSION)),
        durability: Durability::Buffered,
        index_lag: IndexLag::OnDemand,
        capacity,
        at_capacity: AtCapacity::Forget,
        ..StoreOptions::default()
    }
}

fn episode(rng: &mut Rng, number: usize) -> Episode {
    let confidence = Confidence::new(rng.below(1_000) as f32 / 1_000.0).unwrap_or_default();
    Episode::new(format!("e{number}"), format!("text {number}"))
        .with_embedding(rng.vector(DIMENSION))
        .with_confidence(confidence)
}

/// Stores per second.
fn store(capacity: Option<usize>, folder: Option<&Path>) -> Result<f64, Box<dyn Error>> {
    let store = match folder {
        Some(folder) => MemoryStore::open(&folder.join("store"), options(capacity))?,
        None => MemoryStore::in_memory(options(capacity))?,
    };
    let mut rng = Rng::new(7);
    let mut batches = Vec::new();
    for from in (0..EPISODES).step_by(BATCH) {
        let batch = (from..from + BATCH).map(|number| episode(&mut rng, number));
        batches.push(batch.collect::<Vec<_>>());
    }
    let start = Instant::now();
    for batch in batches {
        for answer in store.store_many(batch) {
            answer?;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(EPISODES as f64 / seconds)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn storing() -> Result<(), Box<dyn Error>> {
    for on_disk in [false, true] {
        let kinds = [None, Some(EPISODES), Some(EPISODES / 2), Some(BATCH)];
        let mut rates = vec![Vec::new(); kinds.len()];
        for _ in 0..ROUNDS {
            for (rates, capacity) in rates.iter_mut().zip(kinds) {
                let folder = tempfile::tempdir()?;
                let folder = on_disk.then(|| folder.path());
                rates.push(store(capacity, folder)?);
            }
        }
        let place = if on_disk { "buffered" } else { "in memory" };
        let rates: Vec<f64> = rates.into_iter().map(median).collect();
        for (rate, capacity) in rates.iter().zip(kinds) {
            let capacity = capacity.map_or("none".to_owned(), |most| most.to_string());
            let share = rate / rates[0];
            println!(
                "{EPISODES} stores {place}, capacity {capacity}: {rate:.0}/s, {share:.3} of none"
            );
        }
    }
    Ok(())
}

fn recalling() -> Result<(), Box<dyn Error>> {
    let open = |strengthen| {
        MemoryStore::in_memory(StoreOptions {
            recalls_strengthen: strengthen,
            ..options(None)
        })
    };
    let stores = [open(false)?, open(true)?];
    for store in &stores {
        let mut rng = Rng::new(7);
        for from in (0..EPISODES).step_by(BATCH) {
            let batch = (from..from + BATCH).map(|number| episode(&mut rng, number));
            for answer in store.store_many(batch.collect()) {
                answer?;
            }
        }
        store.wait_indexed()?;
    }
    let mut rng = Rng::new(8);
    let cue = |rng: &mut Rng| {
        let cue = Cue::embedding(rng.vector(DIMENSION)).max_results(10);
        cue.accuracy(Accuracy::approximate())
    };
    let cues: Vec<Cue> = (0..2_000).map(|_| cue(&mut rng)).collect();
    let (mut times, mut counts) = ([Vec::new(), Vec::new()], [0, 0]);
    for _ in 0..ROUNDS {
        for (at, store) in stores.iter().enumerate() {
            let (before, start) = (Allocations::of_this_thread(), Instant::now());
            for cue in &cues {
                store.recall(cue)?;
            }
            times[at].push(start.elapsed().as_secs_f64() * 1e6 / cues.len() as f64);
            counts[at] = Allocations::of_this_thread().since(before).allocations;
        }
    }
    let [without, with] = times.map(median);
    let [few, more] = counts.map(|count| count as f64 / cues.len() as f64);
    println!(
        "a recall of 10 of {EPISODES}: {without:.2} us and {few:.2} allocations without strengthening"
    );
    println!("a recall of 10 of {EPISODES}: {with:.2} us and {more:.2} allocations with it");
    let start = Instant::now();
    let ticked = stores[1].tick()?;
    let micros = start.elapsed().as_secs_f64() * 1e6;
    let (memories, uses) = (ticked.strengthened, ticked.uses);
    println!("a tick: {uses} uses of {memories} memories in {micros:.0} us, in memory");
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    storing()?;
    recalling()
}
