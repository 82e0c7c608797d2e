//! `cortica ingest`: a file into a store, batch after batch.
//!
//! Memory holds one batch of rows, the ids and the relations, whatever the length of the file.

pub(crate) mod batch;
mod edges;
mod ids;
pub(crate) mod source;
mod summary;
mod target;

use std::collections::HashMap;
use std::time::Instant;

use cortica::Cortica;
use serde::Serialize;

use crate::args::IngestArgs;
use crate::figures::{count, per_second, plain};
use crate::folder;
use crate::ingest::batch::{Answered, Failure};
use crate::ingest::source::Source;
use crate::ingest::summary::Summary;
use crate::ingest::target::Target;
use crate::output::{Out, Outcome, Progress};

/// Failures written out in words for one batch; `--json` lists every one.
const SHOWN_MAX: usize = 20;

/// The line for one acknowledged batch.
#[derive(Serialize)]
struct Acknowledged<'a> {
    batch: u64,
    rows_from: u64,
    rows_to: u64,
    acked: u64,
    stored: u64,
    already_there: u64,
    /// Left out where there are none.
    #[serde(skip_serializing_if = "is_zero")]
    updated: u64,
    #[serde(skip_serializing_if = "is_zero")]
    duplicates: u64,
    #[serde(skip_serializing_if = "is_zero")]
    evicted: u64,
    failed: u64,
    durability: &'a str,
    failures: &'a [Failure],
}

/// The line after the last batch.
#[derive(Serialize)]
struct Last<'a> {
    summary: &'a Summary,
}

pub(crate) fn run(args: &IngestArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let (mut source, remark) = Source::open(args)?;
    let edges = args.edges.as_deref().map(edges::read).transpose()?;
    if let (Some(path), Some(edges)) = (&args.edges, &edges)
        && let Some(rows) = source.count_rows()?
    {
        edges::check_rows(path, edges, rows, "nothing was stored")?;
    }
    let mut target = Target::open(args)?;
    folder::tell_found(&target.memory, out);
    if let Some((_, dimension)) = source.shape() {
        target = target.with_dimension(dimension)?;
    }
    out.outlive_reader();
    out.line(format!("{} -> {}", source.describe(), args.store.display()))?;
    if let Some(remark) = remark {
        out.note(remark);
    }

    let started = Instant::now();
    let mut summary;
    let duplicates;
    (target, summary, duplicates) = store_rows(&mut source, target, args, out)?;
    let time = started.elapsed();
    summary.seconds = time.as_secs_f64();
    summary.rows_s = per_second(summary.stored, time).filter(|rate| *rate > 0.0);
    if let (Some(path), Some(edges)) = (&args.edges, &edges) {
        let so_far = format!(
            "no relation was stored; of the rows {} were stored, {} were there already, {} failed",
            count(summary.stored),
            count(summary.already_there),
            count(summary.failed)
        );
        edges::check_rows(path, edges, summary.rows, &so_far)?;
        let batch = args.batch as usize;
        summary.edges = Some(edges::store(
            &target.memory,
            &source,
            &duplicates,
            edges,
            batch,
            out,
        )?);
    }
    let stats = target.memory.stats();
    summary.durability = stats.durability.to_string();
    summary.episodes = stats.episodes;
    if args.index {
        target.memory.wait_indexed()?;
    }
    target.memory.close()?;
    summary.bytes = folder::bytes(&args.store)?;

    out.object(&Last { summary: &summary })?;
    out.line(&summary)?;
    out.line(format!(
        "next: cortica stats --store {}",
        args.store.display()
    ))?;
    Ok(if summary.all_there() {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

fn store_rows<'a>(
    source: &mut Source,
    mut target: Target<'a>,
    args: &IngestArgs,
    out: &mut Out,
) -> anyhow::Result<(Target<'a>, Summary, HashMap<u64, String>)> {
    let progress = out.progress(source.shape().map(|(rows, _)| rows as u64), "storing");
    let mut totals = Summary::default();
    let mut duplicates = HashMap::new();
    for batch in 0.. {
        let items = source.next_batch(args.batch as usize)?;
        if items.is_empty() {
            break;
        }
        target = target.with_space_for(&items)?;
        let read = items.len() as u64;
        let answered = batch::store(&target.memory, items, args.update);
        let from = totals.rows;
        totals.rows += read;
        totals.stored += answered.stored;
        totals.updated += answered.updated;
        totals.already_there += answered.already_there;
        totals.duplicates += answered.duplicates.len() as u64;
        totals.evicted += answered.evicted;
        totals.failed += answered.failures.len() as u64;
        progress.advance(read);
        show_failures(&answered.failures, &progress, out);
        acknowledge(batch, from, &totals, &answered, &target.memory, out)?;
        if let Some(error) = answered.log_refused {
            return Err(anyhow::Error::new(error).context(format!(
                "stopped after {} of the rows were acknowledged",
                count(totals.acked())
            )));
        }
        // Only relations ask what became of a row.
        if args.edges.is_some() {
            duplicates.extend(answered.duplicates);
        }
    }
    Ok((target, totals, duplicates))
}

fn acknowledge(
    batch: u64,
    rows_from: u64,
    totals: &Summary,
    answered: &Answered,
    memory: &Cortica,
    out: &mut Out,
) -> anyhow::Result<()> {
    let durability = answered.durability.unwrap_or(memory.stats().durability);
    out.object(&Acknowledged {
        batch,
        rows_from,
        rows_to: totals.rows,
        acked: totals.acked(),
        stored: answered.stored,
        already_there: answered.already_there,
        updated: answered.updated,
        duplicates: answered.duplicates.len() as u64,
        evicted: answered.evicted,
        failed: answered.failures.len() as u64,
        durability: &durability.to_string(),
        failures: &answered.failures,
    })
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks for a reference"
)]
pub(crate) fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn show_failures(failures: &[Failure], progress: &Progress, out: &Out) {
    if failures.is_empty() {
        return;
    }
    progress.above(|| {
        for Failure { row, id, reason } in failures.iter().take(SHOWN_MAX) {
            let id = id
                .as_ref()
                .map(|id| format!(" ({})", plain(id)))
                .unwrap_or_default();
            out.note(format!("row {row}{id}: {}", plain(reason)));
        }
        if failures.len() > SHOWN_MAX {
            out.note(format!(
                "... and {} more; --json lists them all",
                failures.len() - SHOWN_MAX
            ));
        }
    });
}
