//! `cortica export`: everything that a store holds, as JSON Lines or as Parquet.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use cortica::{Cortica, Durability, Exported, Memory, SpaceInfo, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::advice::Usage;
use crate::args::{ExportArgs, ExportFormat};
use crate::figures::count;
use crate::folder;
use crate::output::{Out, Outcome};

/// What the first line says.
pub(crate) const FORMAT: &str = "cortica-export";
/// The version this build writes, and the newest it reads.
pub(crate) const VERSION: u32 = 1;

/// The first line.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Head {
    pub(crate) format: String,
    pub(crate) version: u32,
    pub(crate) space: Option<SpaceLine>,
}

/// The vector space of the store.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpaceLine {
    pub(crate) dimension: usize,
    pub(crate) metric: String,
    pub(crate) model: String,
}

/// An association.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssociationLine {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) relation: u32,
    pub(crate) weight: f32,
}

/// The last line: how much there was, and in how many places the store was damaged, so that the export may lack
/// what was there.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct End {
    pub(crate) episodes: u64,
    pub(crate) associations: u64,
    #[serde(default, skip_serializing_if = "is_none")]
    pub(crate) damage: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "as serde asks for it")]
fn is_none(damage: &u64) -> bool {
    *damage == 0
}

/// The last line as it is written.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EndLine {
    pub(crate) end: End,
}

/// An episode. Fields it does not have are left out.
#[derive(Serialize)]
struct EpisodeOut<'a> {
    id: &'a str,
    what: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    when: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    who: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    embedding: Option<&'a [f32]>,
    encoding_confidence: f32,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    stored_at: i64,
    activation: f32,
}

pub(crate) fn run(args: &ExportArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let to_stdout = args.file == Path::new("-");
    if to_stdout && out.json() {
        let why = "--json and - both want standard output; give export a file";
        return Err(Usage(why.to_owned()).into());
    }
    let format = args.format();
    if format == ExportFormat::Parquet && !cfg!(feature = "parquet") {
        let why = "this build writes no Parquet; build it with `--features parquet`, or export as \
                   JSON Lines with `--format jsonl`";
        return Err(Usage(why.to_owned()).into());
    }
    if !to_stdout {
        folder::refuse_inside(&args.store, &args.file)?;
    }
    let memory = folder::open_to_read(&args.store)?;
    folder::tell_found(&memory, out);
    let mut end = End {
        damage: memory.stats().recovery.damage.len() as u64,
        ..End::default()
    };
    if to_stdout {
        // Not locked: a lock stays on its thread, and Parquet asks for what need not.
        let mut stdout = BufWriter::with_capacity(1 << 18, io::stdout());
        let written = write(&memory, format, &mut stdout, &mut end);
        let written = written.and_then(|()| stdout.flush());
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(crate::output::Hangup.into());
            }
            written => written.context("cannot write the export")?,
        }
    } else {
        cortica_formats::replace(&args.file, |file| write(&memory, format, file, &mut end))
            .with_context(|| format!("cannot write {}", args.file.display()))?;
    }
    let columns = memory.stats().columns.is_some();
    memory.close()?;
    if columns {
        out.note("The store's columns are not in an export; `cortica snapshot` copies them too.");
    }
    let told = format!(
        "exported {} episodes and {} relations",
        count(end.episodes),
        count(end.associations)
    );
    // Told above: what is whole is there, and perhaps not all that was.
    let outcome = if end.damage == 0 {
        Outcome::Done
    } else {
        Outcome::Failed
    };
    if to_stdout {
        out.note(told);
        return Ok(outcome);
    }
    let file = args.file.display().to_string();
    out.object(&json!({ "summary": {
        "file": file,
        "episodes": end.episodes,
        "associations": end.associations,
        "damage": end.damage,
        "durability": Durability::Durable.to_string(), // `replace` has synced it, and its name.
    }}))?;
    out.line(format!("{told} to {file}, {}", Durability::Durable))?;
    out.line(format!("next: cortica import {file} --store DIR"))?;
    Ok(outcome)
}

fn write(
    memory: &Cortica,
    format: ExportFormat,
    out: &mut (impl Write + Send),
    end: &mut End,
) -> io::Result<()> {
    let head = Head {
        format: FORMAT.to_owned(),
        version: VERSION,
        space: memory.stats().space.as_ref().map(space_line),
    };
    match format {
        ExportFormat::Jsonl => write_lines(memory, &head, out, end),
        #[cfg(feature = "parquet")]
        ExportFormat::Parquet => crate::parquet_file::write(memory, &head, out, end),
        #[cfg(not(feature = "parquet"))]
        ExportFormat::Parquet => Err(io::ErrorKind::Unsupported.into()), // Refused before.
    }
}

fn write_lines(
    memory: &Cortica,
    head: &Head,
    out: &mut impl Write,
    end: &mut End,
) -> io::Result<()> {
    line(out, head)?;
    memory.export(|item| match item {
        Exported::Episode { memory, embedding } => {
            end.episodes += 1;
            line(out, &episode_line(memory, embedding))
        }
        Exported::Association(association) => {
            end.associations += 1;
            let line_of = AssociationLine {
                from: association.from.clone(),
                to: association.to.clone(),
                relation: association.relation,
                weight: association.weight,
            };
            line(out, &line_of)
        }
        _ => Err(io::Error::other(
            "the store holds what this build cannot export",
        )),
    })?;
    line(out, &EndLine { end: *end })
}

fn space_line(space: &SpaceInfo) -> SpaceLine {
    SpaceLine {
        dimension: space.dimension,
        metric: space.metric.to_string(),
        model: space.model.clone(),
    }
}

fn episode_line<'a>(memory: &'a Memory, embedding: Option<&'a [f32]>) -> EpisodeOut<'a> {
    EpisodeOut {
        id: &memory.id,
        what: &memory.what,
        when: memory.when.map(cortica::Timestamp::as_micros),
        place: memory.place.as_deref(),
        who: &memory.who,
        embedding,
        encoding_confidence: memory.encoding_confidence.get(),
        metadata: &memory.metadata,
        stream: memory.stream.as_deref(),
        stored_at: memory.stored_at.as_micros(),
        activation: memory.activation.get(),
    }
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
