//! `cortica forget`: episodes taken out of a store.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::Context;
use cortica::{Cortica, ForgetError};
use serde::Serialize;
use serde_json::json;

use crate::args::ForgetArgs;
use crate::figures::{count, plain};
use crate::folder;
use crate::output::{Out, Outcome};

/// Ids handed over at once: one sync each time.
const BATCH: usize = 1_000;

#[derive(Serialize)]
struct Answer<'a> {
    id: &'a str,
    forgotten: bool,
    seq: Option<u64>,
    durability: Option<String>,
    error: Option<String>,
}

pub(crate) fn run(args: &ForgetArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let mut ids = args.ids.clone();
    if let Some(file) = &args.file {
        ids.extend(read(file)?);
    }
    let memory = Cortica::builder()
        .must_exist(true)
        .durability(args.durability.into())
        .open(&args.store)?;
    folder::tell_found(&memory, out);
    let (mut forgotten, mut failed) = (0, 0);
    for ids in ids.chunks(BATCH) {
        for (id, answer) in ids.iter().zip(memory.forget_many(ids)) {
            let (seq, durability, error) = match answer {
                Ok(answer) => (Some(answer.seq), Some(answer.durability.to_string()), None),
                Err(error @ ForgetError::UnknownId { .. }) => (None, None, Some(error.to_string())),
                Err(error) => {
                    let done = format!("stopped after {} were forgotten", count(forgotten));
                    return Err(anyhow::Error::new(error).context(done));
                }
            };
            forgotten += u64::from(seq.is_some());
            failed += u64::from(error.is_some());
            if let Some(error) = &error {
                out.note(plain(error));
            }
            out.object(&Answer {
                id,
                forgotten: seq.is_some(),
                seq,
                durability,
                error,
            })?;
        }
    }
    let stats = memory.stats();
    memory.close()?;
    let durability = stats.durability.to_string();
    out.object(&json!({ "summary": {
        "forgotten": forgotten,
        "failed": failed,
        "durability": durability,
        "episodes": stats.episodes,
    }}))?;
    out.line(format!(
        "forgot {} of {} episodes ({durability}); the store holds {}",
        count(forgotten),
        count(ids.len() as u64),
        count(stats.episodes)
    ))?;
    if forgotten > 0 {
        out.line(format!(
            "next: cortica compact --store {}, which takes their bytes out of the files",
            args.store.display()
        ))?;
    }
    Ok(if failed == 0 {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

/// An id on every line; empty lines are passed over.
fn read(file: &Path) -> anyhow::Result<Vec<String>> {
    let in_file = || file.display().to_string();
    let reader: Box<dyn BufRead> = if file == Path::new("-") {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(file).with_context(in_file)?))
    };
    let lines: Result<Vec<String>, _> = reader.lines().collect();
    let lines = lines.with_context(in_file)?;
    Ok(lines.into_iter().filter(|line| !line.is_empty()).collect())
}
