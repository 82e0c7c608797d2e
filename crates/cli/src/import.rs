//! `cortica import`: what `cortica export` wrote, into a store.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, bail};
use cortica::{
    AssociateError, AssociateOutcome, Association, Cortica, Import, StoreError, StoreOutcome,
};
use cortica_formats::jsonl;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error};
use serde_json::value::RawValue;

use crate::args::ImportArgs;
use crate::episode_line::ImportLine;
use crate::export::{AssociationLine, End, EndLine, FORMAT, Head, VERSION};
use crate::figures::{count, plain};
use crate::folder;
use crate::output::{Out, Outcome};

/// Items handed over at once: one sync each time.
const BATCH: usize = 1_000;
/// Bytes of episodes after which a batch is closed, however few they are.
const BATCH_BYTES_MAX: usize = 32 << 20;
/// The longest line: an episode of the largest size, every byte of which may take six as JSON.
const LINE_BYTES_MAX: usize = 128 << 20;
/// What a Parquet file begins with.
const PARQUET: &[u8] = b"PAR1";
/// Failures written out in words.
const SHOWN_MAX: u64 = 20;

/// A line, known by a field that only its kind has.
pub(crate) enum Line {
    Head(Head),
    Episode(Box<Import>, usize),
    Association(Association),
    End(End),
}

impl<'de> Deserialize<'de> for Line {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text: Box<RawValue> = Box::deserialize(deserializer)?;
        let text = text.get();
        let field = text.trim_start_matches(['{', ' ', '\t']).split('"').nth(1);
        let read = match field {
            Some("format") => serde_json::from_str(text).map(Line::Head),
            Some("from") => serde_json::from_str(text).map(|line: AssociationLine| {
                let AssociationLine {
                    from,
                    to,
                    relation,
                    weight,
                } = line;
                Line::Association(Association::new(from, to, relation).with_weight(weight))
            }),
            Some("end") => serde_json::from_str(text).map(|EndLine { end }| Line::End(end)),
            _ => serde_json::from_str(text)
                .map(|ImportLine(import)| Line::Episode(Box::new(import), text.len())),
        };
        read.map_err(D::Error::custom)
    }
}

#[derive(Debug, Default, Serialize)]
struct Summary {
    episodes: u64,
    stored: u64,
    already_there: u64,
    associations: u64,
    associations_stored: u64,
    failed: u64,
    durability: String,
}

/// A store that takes items in, batch after batch.
struct Importer<'a> {
    memory: Cortica,
    out: &'a mut Out,
    summary: Summary,
    episodes: Vec<Import>,
    bytes: usize,
    associations: Vec<Association>,
}

/// What comes behind the first line of a file.
type Lines = Box<dyn Iterator<Item = anyhow::Result<Line>>>;

pub(crate) fn run(args: &ImportArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let in_file = || args.file.display().to_string();
    let (head, lines) = read(&args.file)?;
    if head.version > VERSION {
        bail!(
            "{} has version {}, newer than {VERSION}, the newest this build reads; use the release \
             that wrote it, or a newer one",
            in_file(),
            head.version
        );
    }
    // A file that is none of ours from its second line on leaves no store behind.
    let mut lines = lines.peekable();
    if let Some(Err(error)) = lines.next_if(Result::is_err) {
        return Err(error.context(format!("nothing of {} is stored", in_file())));
    }
    let mut importer = Importer {
        memory: open(args, &head)?,
        out,
        summary: Summary::default(),
        episodes: Vec::new(),
        bytes: 0,
        associations: Vec::new(),
    };
    folder::tell_found(&importer.memory, importer.out);
    importer.out.outlive_reader();
    let mut end = None;
    for line in lines {
        let line = line.with_context(|| importer.so_far(&in_file()))?;
        if end.is_some() {
            bail!("{}: there are lines behind the last one", in_file());
        }
        match line {
            Line::Head(_) => bail!("{}: a second first line", in_file()),
            Line::Episode(import, bytes) => importer.episode(*import, bytes)?,
            Line::Association(association) => importer.association(association)?,
            Line::End(found) => end = Some(found),
        }
    }
    importer.flush()?;
    let Importer {
        memory,
        out,
        mut summary,
        ..
    } = importer;
    summary.durability = memory.stats().durability.to_string();
    memory.close()?;
    let read = End {
        episodes: summary.episodes,
        associations: summary.associations,
        damage: end.map_or(0, |end| end.damage),
    };
    if read.damage > 0 {
        out.note(format!(
            "warning: the store that {} was made of was damaged in {} places; what it had lost is not in it",
            in_file(),
            count(read.damage)
        ));
    }
    if end != Some(read) {
        bail!(
            "{} was cut: it has {} episodes and {} relations, {}; what it has is stored. Export it \
             again, and import that",
            in_file(),
            count(read.episodes),
            count(read.associations),
            end.map_or_else(
                || "and no last line".to_owned(),
                |end| format!(
                    "not {} and {}",
                    count(end.episodes),
                    count(end.associations)
                )
            )
        );
    }
    tell(&summary, args, out)
}

/// Opens a file of either format, known by how it begins.
fn read(path: &Path) -> anyhow::Result<(Head, Lines)> {
    let in_file = || path.display().to_string();
    let from_stdin = path == Path::new("-");
    let mut reader: Box<dyn BufRead> = if from_stdin {
        Box::new(BufReader::new(io::stdin()))
    } else {
        Box::new(BufReader::new(File::open(path).with_context(in_file)?))
    };
    // Looked at and not taken: a pipe gives it once.
    if reader
        .fill_buf()
        .with_context(in_file)?
        .starts_with(PARQUET)
    {
        return read_parquet(path, from_stdin);
    }
    let mut lines = jsonl::Reader::<_, Line>::with_line_bytes_max(reader, LINE_BYTES_MAX);
    match lines.next() {
        Some(Ok(Line::Head(head))) if head.format == FORMAT => {
            Ok((head, Box::new(lines.map(|line| Ok(line?)))))
        }
        Some(Err(error)) if error.line().is_none() => Err(error).with_context(in_file),
        _ => bail!(
            "{}: line 1 does not say \"format\":\"{FORMAT}\": this is no export of a store; \
             `cortica ingest` takes episodes as JSON Lines",
            in_file()
        ),
    }
}

#[cfg(feature = "parquet")]
fn read_parquet(path: &Path, from_stdin: bool) -> anyhow::Result<(Head, Lines)> {
    if from_stdin {
        bail!("Parquet is read from its end, not from standard input; give import a file");
    }
    let (head, lines) = crate::parquet_file::open(path)?;
    if head.format != FORMAT {
        bail!("{} is no export of a store", path.display());
    }
    Ok((head, Box::new(lines)))
}

#[cfg(not(feature = "parquet"))]
fn read_parquet(path: &Path, _: bool) -> anyhow::Result<(Head, Lines)> {
    bail!(
        "{} is Parquet, which this build does not read; build it with `--features parquet`, or \
         export the store as JSON Lines",
        path.display()
    )
}

fn tell(summary: &Summary, args: &ImportArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    #[derive(Serialize)]
    struct Last<'a> {
        summary: &'a Summary,
    }
    out.object(&Last { summary })?;
    out.line(format!(
        "imported {} of {} episodes and {} of {} relations ({})",
        count(summary.stored),
        count(summary.episodes),
        count(summary.associations_stored),
        count(summary.associations),
        summary.durability
    ))?;
    if summary.already_there > 0 {
        out.line(format!(
            "{} episodes were there already and stay as they are",
            count(summary.already_there)
        ))?;
    }
    if summary.failed > 0 {
        let failed = count(summary.failed);
        out.line(format!(
            "{failed} failed, as named above; the others are stored"
        ))?;
    }
    out.line(format!(
        "next: cortica stats --store {}",
        args.store.display()
    ))?;
    Ok(if summary.failed == 0 {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

fn open(args: &ImportArgs, head: &Head) -> anyhow::Result<Cortica> {
    let mut builder = Cortica::builder().durability(args.durability.into());
    if let Some(space) = &head.space {
        builder = builder
            .dimension(space.dimension)
            .metric(space.metric.parse()?)
            .model(&space.model);
    }
    Ok(builder.open(&args.store)?)
}

impl Importer<'_> {
    fn so_far(&self, file: &str) -> String {
        let Summary {
            stored,
            associations_stored,
            ..
        } = &self.summary;
        format!(
            "{file}: stopped after {} episodes and {} relations were stored",
            count(*stored),
            count(*associations_stored)
        )
    }

    fn episode(&mut self, import: Import, bytes: usize) -> anyhow::Result<()> {
        self.summary.episodes += 1;
        self.episodes.push(import);
        self.bytes += bytes;
        if self.episodes.len() >= BATCH || self.bytes >= BATCH_BYTES_MAX {
            self.flush()?;
        }
        Ok(())
    }

    fn association(&mut self, association: Association) -> anyhow::Result<()> {
        self.summary.associations += 1;
        self.associations.push(association);
        if self.associations.len() >= BATCH {
            self.flush()?;
        }
        Ok(())
    }

    /// Stores what has come together: episodes first, which the associations need.
    fn flush(&mut self) -> anyhow::Result<()> {
        let episodes = std::mem::take(&mut self.episodes);
        self.bytes = 0;
        let ids: Vec<String> = episodes.iter().map(|it| it.episode.id.clone()).collect();
        for (id, answer) in ids.iter().zip(self.memory.import_many(episodes)) {
            match answer {
                Ok(stored) if stored.outcome == StoreOutcome::AlreadyThere => {
                    self.summary.already_there += 1;
                }
                Ok(_) => self.summary.stored += 1,
                Err(error @ StoreError::Log(_)) => {
                    return Err(anyhow::Error::new(error).context(self.so_far("the log failed")));
                }
                Err(error) => self.failed(id, &error.to_string())?,
            }
        }
        let associations = std::mem::take(&mut self.associations);
        let answers = self.memory.associate_many(&associations);
        for (association, answer) in associations.iter().zip(answers) {
            match answer {
                Ok(made) if made.outcome == AssociateOutcome::AlreadyThere => {}
                Ok(_) => self.summary.associations_stored += 1,
                Err(error @ AssociateError::Log(_)) => {
                    return Err(anyhow::Error::new(error).context(self.so_far("the log failed")));
                }
                Err(error) => {
                    let name = format!("{} -> {}", association.from, association.to);
                    self.failed(&name, &error.to_string())?;
                }
            }
        }
        Ok(())
    }

    fn failed(&mut self, what: &str, why: &str) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Failed<'a> {
            failed: &'a str,
            reason: &'a str,
        }
        self.summary.failed += 1;
        if self.summary.failed <= SHOWN_MAX {
            self.out.note(format!("{}: {}", plain(what), plain(why)));
        }
        self.out.object(&Failed {
            failed: what,
            reason: why,
        })
    }
}
