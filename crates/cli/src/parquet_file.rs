//! An export as Parquet: one table, of episodes and then of relations.
//!
//! A row is an episode where `id` is there, and a relation where `from` is. Numbers and texts of the
//! columns are those of the lines of JSON, but for times and lists, which Parquet has kinds for.

use std::borrow::Cow;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, anyhow, bail};
use cortica::{
    Activation, Association, Confidence, Cortica, Episode, Exported, Import, Memory, Timestamp,
};
use cortica_formats::parquet::{Cell, Column, Kind, ParquetError, Reader, Writer};

use crate::episode_line;
use crate::export::{End, Head};
use crate::import::Line;

const COLUMNS: &[Column; 15] = &[
    Column::new("id", Kind::Text),
    Column::new("what", Kind::Text),
    Column::new("when", Kind::Micros),
    Column::new("place", Kind::Text),
    Column::new("who", Kind::Texts),
    Column::new("embedding", Kind::Floats),
    Column::new("encoding_confidence", Kind::Float),
    Column::new("metadata", Kind::Json),
    Column::new("stream", Kind::Text),
    Column::new("stored_at", Kind::Micros),
    Column::new("activation", Kind::Float),
    Column::new("from", Kind::Text),
    Column::new("to", Kind::Text),
    Column::new("relation", Kind::Count),
    Column::new("weight", Kind::Float),
];

/// The key of the file's metadata under which the first line of JSON Lines would be.
const HEAD: &str = "cortica.export";
/// That of the last line.
const END: &str = "cortica.end";

type Row<'a> = [Cell<'a>; COLUMNS.len()];

/// Writes all that a store holds; counts it in `end`.
pub(crate) fn write(
    memory: &Cortica,
    head: &Head,
    out: impl Write + Send,
    end: &mut End,
) -> io::Result<()> {
    let mut rows = Writer::new(out, COLUMNS).map_err(as_io)?;
    memory.export(|item| {
        let row = match item {
            Exported::Episode { memory, embedding } => {
                end.episodes += 1;
                episode_row(memory, embedding)?
            }
            Exported::Association(association) => {
                end.associations += 1;
                association_row(association)
            }
            _ => {
                let why = "the store holds what this build cannot export";
                return Err(io::Error::other(why));
            }
        };
        rows.write(&row).map_err(as_io)
    })?;
    let (head, end) = (serde_json::to_string(head)?, serde_json::to_string(end)?);
    let mut out = rows.finish(&[(HEAD, &head), (END, &end)]).map_err(as_io)?;
    out.flush()
}

fn as_io(error: ParquetError) -> io::Error {
    match error {
        ParquetError::Io(error) => error,
        error => io::Error::other(error),
    }
}

fn episode_row<'a>(memory: &'a Memory, embedding: Option<&'a [f32]>) -> io::Result<Row<'a>> {
    let metadata = if memory.metadata.is_empty() {
        Cell::Null
    } else {
        Cell::Text(serde_json::to_string(&memory.metadata)?.into())
    };
    let when = memory.when.map(Timestamp::as_micros);
    Ok([
        Cell::from(&*memory.id),
        Cell::from(&*memory.what),
        when.map_or(Cell::Null, Cell::Micros),
        memory.place.as_deref().into(),
        Cell::Texts(Cow::Borrowed(&memory.who)),
        embedding.into(),
        Cell::Float(memory.encoding_confidence.get()),
        metadata,
        memory.stream.as_deref().into(),
        Cell::Micros(memory.stored_at.as_micros()),
        Cell::Float(memory.activation.get()),
        Cell::Null,
        Cell::Null,
        Cell::Null,
        Cell::Null,
    ])
}

fn association_row(association: &Association) -> Row<'_> {
    let mut row = [const { Cell::Null }; COLUMNS.len()];
    row[11] = Cell::from(&*association.from);
    row[12] = Cell::from(&*association.to);
    row[13] = Cell::Count(association.relation);
    row[14] = Cell::Float(association.weight);
    row
}

/// The first line, and the others up to the last, of a file that was verified first.
pub(crate) fn open(
    path: &Path,
) -> anyhow::Result<(Head, impl Iterator<Item = anyhow::Result<Line>> + use<>)> {
    let in_file = || path.display().to_string();
    let rows = match Reader::open(path, COLUMNS) {
        Ok(rows) => rows,
        Err(error @ (ParquetError::Unsealed | ParquetError::Columns { .. })) => {
            return Err(anyhow!(error).context(format!(
                "{} is no export of a store, or another program has changed it since: `cortica \
                 import` takes what `cortica export --format parquet` wrote, as it is. Write the \
                 rows as JSON Lines with the fields of `cortica ingest --help`, and ingest those",
                in_file()
            )));
        }
        Err(error) => return Err(error).with_context(in_file),
    };
    let Some(head) = rows.metadata(HEAD) else {
        bail!("{}: the file's metadata has no {HEAD}", in_file());
    };
    let head = serde_json::from_str(head).with_context(|| format!("{}: {HEAD}", in_file()))?;
    let end = rows.metadata(END).map(serde_json::from_str);
    let end = end.transpose();
    let end = end.with_context(|| format!("{}: {END}", in_file()))?;
    let lines = rows.zip(1_u64..).map(|(row, number)| {
        let line = line(row?).map_err(|why| anyhow!("row {number}: {why}"))?;
        Ok(line)
    });
    Ok((head, lines.chain(end.map(|end| Ok(Line::End(end))))))
}

fn line(row: Vec<Cell<'static>>) -> Result<Line, String> {
    let row = Row::try_from(row).map_err(|row| format!("{} cells", row.len()))?;
    let [
        id,
        what,
        when,
        place,
        who,
        embedding,
        confidence,
        metadata,
        stream,
        stored_at,
        rest @ ..,
    ] = row;
    let [activation, from, to, relation, weight] = rest;
    if from != Cell::Null {
        let others = [
            &id,
            &what,
            &when,
            &place,
            &who,
            &embedding,
            &confidence,
            &metadata,
        ];
        let others = others.into_iter().chain([&stream, &stored_at, &activation]);
        if others.into_iter().any(|cell| *cell != Cell::Null) {
            return Err("an episode and a relation in one".to_owned());
        }
        let (from, to) = (needed(text(from), "from")?, needed(text(to), "to")?);
        let Cell::Count(relation) = relation else {
            return Err("field `relation` is missing".to_owned());
        };
        let weight = needed(number(&weight), "weight")?;
        let association = Association::new(from, to, relation).with_weight(weight);
        return Ok(Line::Association(association));
    }
    if [to, relation, weight]
        .iter()
        .any(|cell| *cell != Cell::Null)
    {
        return Err("field `from` is missing".to_owned());
    }
    let mut episode = Episode::new(needed(text(id), "id")?, needed(text(what), "what")?);
    episode.when = moment(&when);
    episode.place = text(place);
    if let Cell::Texts(who) = who {
        episode.who = who.into_owned();
    }
    if let Cell::Floats(embedding) = embedding {
        episode.embedding = Some(embedding.into_owned());
    }
    let confidence = needed(number(&confidence), "encoding_confidence")?;
    episode.encoding_confidence = Confidence::new(confidence)
        .map_err(|error| format!("field `encoding_confidence`: {error}"))?;
    let metadata = text(metadata);
    if let Some(text) = &metadata {
        episode.metadata =
            episode_line::metadata(text).map_err(|why| format!("field `metadata`: {why}"))?;
    }
    episode.stream = text(stream);
    let stored_at = needed(moment(&stored_at), "stored_at")?;
    let activation = needed(number(&activation), "activation")?;
    let activation =
        Activation::new(activation).map_err(|error| format!("field `activation`: {error}"))?;
    let texts = [&episode.id, &episode.what].into_iter().chain(&episode.who);
    let texts = texts
        .chain(&episode.place)
        .chain(&episode.stream)
        .chain(&metadata);
    let values = episode.embedding.as_ref().map_or(0, Vec::len);
    let bytes = texts.map(String::len).sum::<usize>() + values * size_of::<f32>();
    let import = Import::new(episode, stored_at, activation);
    Ok(Line::Episode(Box::new(import), bytes))
}

fn needed<T>(found: Option<T>, field: &str) -> Result<T, String> {
    found.ok_or_else(|| format!("field `{field}` is missing"))
}

fn text(cell: Cell<'_>) -> Option<String> {
    match cell {
        Cell::Text(text) => Some(text.into_owned()),
        _ => None,
    }
}

fn number(cell: &Cell<'_>) -> Option<f32> {
    match cell {
        Cell::Float(number) => Some(*number),
        _ => None,
    }
}

fn moment(cell: &Cell<'_>) -> Option<Timestamp> {
    match cell {
        Cell::Micros(micros) => Some(Timestamp::from_micros(*micros)),
        _ => None,
    }
}
