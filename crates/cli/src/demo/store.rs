//! The demo's store: made, completed after an interruption, or used as it is.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use cortica::{
    AllocationOptions, AssociateOutcome, Association, Cortica, Durability, Episode, Metric, Stats,
    StoredColumn, Value,
};

use crate::bundle::{Bundle, Concept};
use crate::folder;
use crate::output::Out;

/// Episodes or associations per batch: one sync each.
const BATCH: usize = 512;

/// What the first half of the demo did.
#[derive(Debug)]
pub(crate) struct Stored {
    /// Episodes of the demo that were there before.
    pub(crate) episodes_found: u64,
    pub(crate) episodes: u64,
    pub(crate) episodes_time: Duration,
    /// Of these, those that were given a column, and those whose concept had one.
    pub(crate) allocated: u64,
    pub(crate) duplicates: u64,
    pub(crate) associations: u64,
    pub(crate) associations_time: Duration,
    /// The least that was promised for any of them.
    pub(crate) durability: Durability,
}

/// What opening the finished store took, and what it then held.
#[derive(Debug)]
pub(crate) struct Reopened {
    pub(crate) time: Duration,
    pub(crate) stats: Stats,
    pub(crate) bytes: u64,
}

/// Stores what is missing. A folder that holds anything else is refused, and nothing is stored in it.
pub(crate) fn run(dir: &Path, bundle: &Bundle, out: &Out) -> anyhow::Result<Stored> {
    let occupied = folder::is_occupied(dir)?;
    if occupied {
        // Looked at before it is opened with the demo's space, which an empty store would take on.
        let memory = Cortica::builder().must_exist(true).open(dir)?;
        folder::tell_found(&memory, out);
        check_ours(&memory, bundle, dir)?;
        memory.close()?;
    }
    let memory = open(dir, bundle, occupied)?;
    let missing: Vec<usize> = (0..bundle.concepts.len())
        .filter(|row| memory.get(&bundle.concepts[*row].id).is_none())
        .collect();
    let mut stored = Stored {
        episodes_found: (bundle.concepts.len() - missing.len()) as u64,
        episodes: missing.len() as u64,
        episodes_time: Duration::ZERO,
        allocated: 0,
        duplicates: 0,
        associations: 0,
        associations_time: Duration::ZERO,
        durability: memory.stats().durability,
    };

    let progress = out.progress(Some(missing.len() as u64), "storing concepts");
    for rows in missing.chunks(BATCH) {
        let episodes = rows.iter().map(|row| episode(bundle, *row)).collect();
        let started = Instant::now();
        let answers = memory.store_many(episodes);
        stored.episodes_time += started.elapsed();
        for (row, answer) in rows.iter().zip(answers) {
            let answer = answer.with_context(|| format!("concept {}", bundle.concepts[*row].id))?;
            stored.durability = stored.durability.min(answer.durability);
            match answer.allocation {
                Some(StoredColumn::Allocated { .. }) => stored.allocated += 1,
                Some(StoredColumn::Duplicate { .. }) => stored.duplicates += 1,
                _ => {}
            }
        }
        progress.advance(rows.len() as u64);
    }
    drop(progress);

    let mut associations = bundle
        .edges
        .iter()
        .map(|edge| association(bundle, edge))
        .peekable();
    let progress = out.progress(Some(bundle.edges.rows() as u64), "storing relations");
    while associations.peek().is_some() {
        let batch: Vec<Association> = associations.by_ref().take(BATCH).collect();
        let started = Instant::now();
        let answers = memory.associate_many(&batch);
        stored.associations_time += started.elapsed();
        for (answer, association) in answers.into_iter().zip(&batch) {
            let answer = answer
                .with_context(|| format!("relation {} -> {}", association.from, association.to))?;
            stored.associations += u64::from(answer.outcome == AssociateOutcome::Added);
            stored.durability = stored.durability.min(answer.durability);
        }
        progress.advance(batch.len() as u64);
    }
    memory.close()?;
    Ok(stored)
}

/// Opens the store the way any later program would.
pub(crate) fn reopen(dir: &Path) -> anyhow::Result<(Cortica, Reopened)> {
    let bytes = folder::bytes(dir)?;
    let started = Instant::now();
    let memory = Cortica::builder().must_exist(true).open(dir)?;
    let time = started.elapsed();
    let stats = memory.stats();
    Ok((memory, Reopened { time, stats, bytes }))
}

fn open(dir: &Path, bundle: &Bundle, must_exist: bool) -> anyhow::Result<Cortica> {
    Ok(Cortica::builder()
        .dimension(bundle.dimension)
        .metric(Metric::Cosine)
        .model(Bundle::MODEL)
        .durability(Durability::Durable)
        .allocation(AllocationOptions::for_concepts(bundle.concepts.len()))
        .must_exist(must_exist)
        .open(dir)?)
}

/// A store is the demo's if it holds some of the bundled concepts, unchanged, and nothing else.
fn check_ours(memory: &Cortica, bundle: &Bundle, dir: &Path) -> anyhow::Result<()> {
    let stats = memory.stats();
    let ours = (0..bundle.concepts.len())
        .filter(|row| is_there(memory, bundle, *row))
        .count();
    let strange = stats.episodes - ours as u64;
    if strange > 0 || stats.associations > bundle.edges.rows() as u64 {
        bail!(
            "{} holds a store with {strange} episodes that are not the demo's, or were changed; \
             nothing was stored in it. Choose another folder with --dir",
            dir.display()
        );
    }
    Ok(())
}

fn is_there(memory: &Cortica, bundle: &Bundle, row: usize) -> bool {
    let Concept { id, text, .. } = &bundle.concepts[row];
    let same_text = memory.get(id).is_some_and(|there| there.what == *text);
    let bits = |values: &[f32]| values.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
    let same_bits = || {
        memory
            .embedding(id)
            .is_some_and(|there| bits(&there) == bits(bundle.row(row)))
    };
    same_text && same_bits()
}

fn episode(bundle: &Bundle, row: usize) -> Episode {
    let Concept {
        id,
        text,
        part_of_speech,
        split,
    } = &bundle.concepts[row];
    Episode::new(id, text)
        .with_embedding(bundle.row(row).to_vec())
        .with_metadata("part_of_speech", Value::Text((*part_of_speech).to_owned()))
        .with_metadata("split", Value::Text(split.clone()))
}

fn association(bundle: &Bundle, edge: &[u32]) -> Association {
    let id = |end: usize| bundle.concepts[edge[end] as usize].id.clone();
    Association::new(id(0), id(1), edge[2])
}
