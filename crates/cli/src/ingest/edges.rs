//! The relations that go with a file: row numbers on disk, ids in the store.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, bail};
use cortica::{AssociateError, AssociateOutcome, Association, Cortica, ItemError, Operation};
use cortica_formats::U32Table;
use serde::Serialize;

use crate::figures::{count, plain};
use crate::ingest::batch::run_whole;
use crate::ingest::source::Source;
use crate::output::Out;

/// Columns of a relation: source row, destination row, type.
const COLUMNS: usize = 3;

/// A relation that was not stored.
#[derive(Debug, Serialize)]
pub(crate) struct EdgeFailure {
    /// Counted from 0 over the whole file.
    pub(crate) edge: u64,
    pub(crate) reason: String,
}

/// How the relations were answered.
#[derive(Debug, Default, Serialize)]
pub(crate) struct EdgeTotals {
    pub(crate) edges: u64,
    pub(crate) stored: u64,
    pub(crate) already_there: u64,
    pub(crate) failed: u64,
}

#[derive(Serialize)]
struct Acknowledged<'a> {
    batch: u64,
    edges_from: u64,
    edges_to: u64,
    acked: u64,
    stored: u64,
    already_there: u64,
    failed: u64,
    durability: &'a str,
    failures: Vec<EdgeFailure>,
}

/// Reads the relations whole: 12 bytes each.
pub(crate) fn read(path: &Path) -> anyhow::Result<U32Table> {
    U32Table::read(path, COLUMNS).with_context(|| path.display().to_string())
}

/// Holds the rows that the relations name against the number there are; `so_far` says what was
/// stored when it turns out that they do not fit.
pub(crate) fn check_rows(
    path: &Path,
    edges: &U32Table,
    rows: u64,
    so_far: &str,
) -> anyhow::Result<()> {
    for (edge, ends) in edges.iter().enumerate() {
        for (end, row) in ["source", "destination"].into_iter().zip(ends) {
            if u64::from(*row) >= rows {
                bail!(
                    "{}: edge {edge}: {end}: row {row} is not in the file, which has {rows} rows; \
                     {so_far}",
                    path.display()
                );
            }
        }
    }
    Ok(())
}

/// Stores the relations in batches and writes a line for each one that was acknowledged.
pub(crate) fn store(
    memory: &Cortica,
    source: &Source,
    duplicates: &HashMap<u64, String>,
    edges: &U32Table,
    batch: usize,
    out: &mut Out,
) -> anyhow::Result<EdgeTotals> {
    let durability = memory.stats().durability.to_string();
    let progress = out.progress(Some(edges.rows() as u64), "relations");
    let mut totals = EdgeTotals {
        edges: edges.rows() as u64,
        ..EdgeTotals::default()
    };
    let triples: Vec<&[u32]> = edges.iter().collect();
    for (i, triples) in triples.chunks(batch).enumerate() {
        let from = (i * batch) as u64;
        let answered = store_batch(memory, source, duplicates, triples, from);
        totals.stored += answered.stored;
        totals.already_there += answered.already_there;
        totals.failed += answered.failures.len() as u64;
        progress.advance(triples.len() as u64);
        progress.above(|| {
            for EdgeFailure { edge, reason } in answered.failures.iter().take(super::SHOWN_MAX) {
                out.note(format!("edge {edge}: {}", plain(reason)));
            }
        });
        out.object(&Acknowledged {
            batch: i as u64,
            edges_from: from,
            edges_to: from + triples.len() as u64,
            acked: totals.stored + totals.already_there,
            stored: answered.stored,
            already_there: answered.already_there,
            failed: answered.failures.len() as u64,
            durability: &durability,
            failures: answered.failures,
        })?;
        if let Some(error) = answered.log_refused {
            let acked = count(totals.stored + totals.already_there);
            return Err(anyhow::Error::new(error).context(format!(
                "stopped after {acked} of the relations were acknowledged"
            )));
        }
    }
    Ok(totals)
}

#[derive(Default)]
struct Answered {
    stored: u64,
    already_there: u64,
    failures: Vec<EdgeFailure>,
    /// Set when the log took nothing: no later batch can succeed either.
    log_refused: Option<AssociateError>,
}

fn store_batch(
    memory: &Cortica,
    source: &Source,
    duplicates: &HashMap<u64, String>,
    triples: &[&[u32]],
    from: u64,
) -> Answered {
    let mut answered = Answered::default();
    let mut offered = Vec::with_capacity(triples.len());
    let mut operations = Vec::with_capacity(triples.len());
    for (edge, triple) in (from..).zip(triples) {
        match association(source, duplicates, triple) {
            Ok(association) => {
                offered.push(edge);
                operations.push(Operation::Associate(association));
            }
            Err(reason) => answered.failures.push(EdgeFailure { edge, reason }),
        }
    }
    let answers = match run_whole(memory, operations) {
        Ok(answers) => answers,
        Err(error) => {
            // Cannot be: the configuration asks for nothing special.
            let refused = offered.into_iter().map(|edge| EdgeFailure {
                edge,
                reason: error.to_string(),
            });
            answered.failures.extend(refused);
            return answered;
        }
    };
    for (edge, answer) in offered.into_iter().zip(answers) {
        match answer {
            Ok(cortica::Answered::Associated(answer)) => match answer.outcome {
                AssociateOutcome::Added => answered.stored += 1,
                _ => answered.already_there += 1,
            },
            Ok(_) => {} // An association is answered in kind.
            Err(error) => {
                let reason = error.to_string();
                answered.failures.push(EdgeFailure { edge, reason });
                if let ItemError::Associate(error @ AssociateError::Log(_)) = error {
                    answered.log_refused = Some(error);
                }
            }
        }
    }
    answered.failures.sort_by_key(|failure| failure.edge);
    answered
}

fn association(
    source: &Source,
    duplicates: &HashMap<u64, String>,
    triple: &[u32],
) -> Result<Association, String> {
    let &[from, to, relation] = triple else {
        return Err("not a triple".to_owned());
    };
    let id_of = |row| {
        // Of equal rows one stands for all.
        if let Some(id) = duplicates.get(&u64::from(row)) {
            return Ok(id.clone());
        }
        source
            .id_of(row)
            .ok_or_else(|| format!("row {row} could not be read"))
    };
    Ok(Association::new(id_of(from)?, id_of(to)?, relation))
}
