//! `cortica recall`: the episodes nearest to vectors, or to an episode.

use std::path::Path;

use anyhow::{Context, anyhow};
use cortica::{
    Accuracy, Answered, Cortica, Cue, EF_DEFAULT, Hit, ItemError, Operation, Recalled, VectorError,
};
use serde::Serialize;

use crate::advice::Usage;
use crate::args::{self, RecallArgs};
use crate::figures::plain;
use crate::folder;
use crate::output::{Out, Outcome};
use crate::recalled;
use crate::vectors::Vectors;

/// Queries handed over at once: enough for the engine to work on many together, few enough
/// that a file of any length needs little memory.
const QUERIES_PER_BATCH: usize = 256;

const TEXT_WIDTH: usize = 100;

#[derive(Serialize)]
#[serde(untagged)]
enum Line<'a> {
    Found {
        query: u64,
        results: Vec<recalled::Result<'a>>,
    },
    Refused {
        query: u64,
        error: String,
    },
}

pub(crate) fn run(args: &RecallArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let memory = folder::open_to_read(&args.store)?;
    folder::tell_found(&memory, out);
    let mut answers = Answers {
        memory: &memory,
        args,
        accuracy: accuracy(args)?,
        query: 0,
        outcome: Outcome::Done,
    };
    match (&args.cue.like, &args.cue.vectors) {
        (Some(id), _) => {
            let missing = || {
                anyhow!(match memory.get(id) {
                    Some(_) => format!("the episode `{id}` has no embedding to look around"),
                    None => format!(
                        "no episode `{id}` in {}; a row that was stored without --ids has its number as its id",
                        args.store.display()
                    ),
                })
            };
            let embedding = memory.embedding(id).ok_or_else(missing)?;
            out.line(format!("like {}", plain(id)))?;
            answers.give(vec![embedding], out)?;
        }
        (None, Some(file)) => from_file(file, &mut answers, out)?,
        (None, None) => {} // The command line asks for one of them.
    }
    Ok(answers.outcome)
}

fn accuracy(args: &RecallArgs) -> anyhow::Result<Accuracy> {
    match (args.accuracy, args.ef) {
        (args::Accuracy::Exact, None) => Ok(Accuracy::Exact),
        (args::Accuracy::Exact, Some(_)) => {
            let why = "--ef: an exact recall keeps no candidates; give --accuracy approximate too";
            Err(Usage(why.to_owned()).into())
        }
        (args::Accuracy::Approximate, ef) => Ok(Accuracy::Approximate {
            ef: ef.map_or(EF_DEFAULT, |ef| ef as usize),
        }),
    }
}

fn from_file(path: &Path, answers: &mut Answers<'_>, out: &mut Out) -> anyhow::Result<()> {
    let mut file = Vectors::open(path)?;
    if let Some(space) = answers.memory.stats().space
        && space.dimension != file.dimension()
    {
        let (got, expected) = (file.dimension(), space.dimension);
        return Err(VectorError::Dimension { got, expected })
            .with_context(|| path.display().to_string());
    }
    for from in (0..file.rows()).step_by(QUERIES_PER_BATCH) {
        answers.give(file.read(from, QUERIES_PER_BATCH)?, out)?;
    }
    Ok(())
}

/// Recalls batch after batch and writes the results in the order of the queries.
struct Answers<'a> {
    memory: &'a Cortica,
    args: &'a RecallArgs,
    accuracy: Accuracy,
    query: u64,
    outcome: Outcome,
}

impl Answers<'_> {
    fn give(&mut self, queries: Vec<Vec<f32>>, out: &mut Out) -> anyhow::Result<()> {
        let recall = |query| Operation::recall(self.cue(query));
        let cues = queries.into_iter().map(recall).collect();
        for answer in self.memory.batch().run(cues)?.answers {
            match answer {
                Ok(Answered::Recalled(hits)) => self.found(&self.recalled(&hits), out)?,
                Ok(_) => {} // A recall is answered in kind.
                Err(error) => self.refused(&error, out)?,
            }
            self.query += 1;
        }
        Ok(())
    }

    fn cue(&self, query: Vec<f32>) -> Cue {
        let cue = Cue::embedding(query).max_results(self.args.k as usize);
        let cue = cue.accuracy(self.accuracy);
        match self.args.threshold {
            Some(threshold) => cue.result_threshold(threshold),
            None => cue,
        }
    }

    /// What the hits are about. The store was opened for reading: nothing has gone since.
    fn recalled(&self, hits: &[Hit]) -> Vec<Recalled> {
        let memory = |hit: &Hit| Some(Recalled::new(hit.score, self.memory.get(&hit.id)?));
        hits.iter().filter_map(memory).collect()
    }

    fn found(&self, results: &[Recalled], out: &mut Out) -> anyhow::Result<()> {
        if out.json() {
            let query = self.query;
            return out.object(&Line::Found {
                query,
                results: results.iter().map(Into::into).collect(),
            });
        }
        if self.args.cue.like.is_none() {
            out.line(format!("query {}", self.query))?;
        }
        if results.is_empty() {
            return out.line("      nothing found");
        }
        out.line(recalled::rows(results, TEXT_WIDTH).join("\n"))
    }

    fn refused(&mut self, error: &ItemError, out: &mut Out) -> anyhow::Result<()> {
        self.outcome = Outcome::Failed;
        out.object(&Line::Refused {
            query: self.query,
            error: error.to_string(),
        })?;
        out.note(format!("query {}: {error}", self.query));
        Ok(())
    }
}
