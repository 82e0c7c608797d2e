//! Where the items come from: rows of an npy file, or lines of JSON.

use std::cell::Cell;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context;
use cortica::{DIMENSION_MAX, Episode, VectorError};
use cortica_formats::jsonl;
use serde::de::IgnoredAny;

use crate::advice::Usage;
use crate::args::IngestArgs;
use crate::episode_line::EpisodeLine;
use crate::figures::count;
use crate::ingest::batch::Item;
use crate::ingest::ids::Ids;
use crate::vectors::Vectors;

/// Bytes of JSON Lines after which a batch is closed, however few its lines: what a batch takes in
/// memory follows from them.
const BATCH_LINE_BYTES_MAX: u64 = 32 << 20;

type Lines = jsonl::Reader<Counted, EpisodeLine>;

/// A file that is read batch after batch, never whole.
pub(crate) enum Source {
    /// Rows of vectors, whose number and dimension are known from the start.
    Npy {
        file: Vectors,
        ids: Ids,
        next: usize,
    },
    /// One episode per line, as many as come.
    Lines {
        path: PathBuf,
        lines: Box<Lines>,
        /// What has been read of the file.
        bytes: Rc<Cell<u64>>,
        batch_bytes_max: u64,
        next: u64,
        ids: Option<Vec<Option<String>>>,
    },
}

impl Source {
    /// Opens the file and checks all that can be checked before anything is stored. The text is
    /// a remark for people, if there is one to make.
    pub(crate) fn open(args: &IngestArgs) -> anyhow::Result<(Self, Option<String>)> {
        let path = args.file.clone();
        let kind = path
            .extension()
            .and_then(|e| e.to_str())
            .map(str::to_ascii_lowercase);
        match kind.as_deref() {
            Some("npy") => Self::open_npy(&path, args.ids.as_deref()),
            Some("jsonl" | "ndjson") => {
                let file = File::open(&path).with_context(|| path.display().to_string())?;
                Self::open_lines(path, Box::new(BufReader::new(file)), args)
            }
            None if path == Path::new("-") => {
                Self::open_lines(path, Box::new(BufReader::new(io::stdin())), args)
            }
            _ => Err(Usage(format!(
                "cannot tell what {} holds; name it FILE.npy or FILE.jsonl, or give - for JSON \
                 Lines from standard input",
                path.display()
            ))
            .into()),
        }
    }

    fn open_npy(path: &Path, ids: Option<&Path>) -> anyhow::Result<(Self, Option<String>)> {
        let file = Vectors::open(path)?;
        let got = file.dimension();
        if got > DIMENSION_MAX {
            return Err(VectorError::DimensionRange { got })
                .with_context(|| path.display().to_string());
        }
        let (ids, beyond) = match ids {
            Some(ids) => Ids::read(ids, file.rows())?,
            None => (Ids::Numbers, 0),
        };
        let remark = (beyond > 0)
            .then(|| format!("{beyond} lines of the ids are about rows the file does not have"));
        Ok((Self::Npy { file, ids, next: 0 }, remark))
    }

    fn open_lines(
        path: PathBuf,
        reader: Box<dyn BufRead>,
        args: &IngestArgs,
    ) -> anyhow::Result<(Self, Option<String>)> {
        if args.ids.is_some() {
            let why = "--ids goes with FILE.npy; lines of JSON carry their own ids";
            return Err(Usage(why.to_owned()).into());
        }
        // Only edges ask for the id of a row that has gone by.
        let ids = args.edges.is_some().then(Vec::new);
        Ok((Self::lines(path, reader, ids, BATCH_LINE_BYTES_MAX), None))
    }

    fn lines(
        path: PathBuf,
        reader: Box<dyn BufRead>,
        ids: Option<Vec<Option<String>>>,
        batch_bytes_max: u64,
    ) -> Self {
        let bytes = Rc::new(Cell::new(0));
        let counted = Counted {
            reader,
            bytes: Rc::clone(&bytes),
        };
        Self::Lines {
            path,
            lines: Box::new(jsonl::Reader::new(counted)),
            bytes,
            batch_bytes_max,
            next: 0,
            ids,
        }
    }

    /// How many rows there are, read from a file that does not say so by going through it; None
    /// for what can be read only once.
    pub(crate) fn count_rows(&self) -> anyhow::Result<Option<u64>> {
        let path = match self {
            Self::Npy { file, .. } => return Ok(Some(file.rows() as u64)),
            Self::Lines { path, .. } => path,
        };
        if path == Path::new("-") {
            return Ok(None);
        }
        let in_file = || path.display().to_string();
        if !fs::metadata(path).with_context(in_file)?.is_file() {
            return Ok(None); // A pipe with a name.
        }
        let file = File::open(path).with_context(in_file)?;
        let mut rows = 0;
        for line in jsonl::Reader::<_, IgnoredAny>::new(BufReader::new(file)) {
            match line {
                Err(error) if error.line().is_none() => return Err(error).with_context(in_file),
                _ => rows += 1, // A line that cannot be read is a row as well.
            }
        }
        Ok(Some(rows))
    }

    /// How many rows there are and how long each is, where the file says so.
    pub(crate) fn shape(&self) -> Option<(usize, usize)> {
        match self {
            Self::Npy { file, .. } => Some((file.rows(), file.dimension())),
            Self::Lines { .. } => None,
        }
    }

    /// What the source is, for people.
    pub(crate) fn describe(&self) -> String {
        match self {
            Self::Npy { file, .. } => {
                let (path, rows) = (file.path().display(), count(file.rows() as u64));
                format!("{path}: {rows} rows of {} numbers", file.dimension())
            }
            Self::Lines { path, .. } if path == Path::new("-") => {
                "lines of JSON from standard input".to_owned()
            }
            Self::Lines { path, .. } => format!("{}: lines of JSON", path.display()),
        }
    }

    /// The next items, at most `max` of them and fewer where lines are long; none at the end.
    pub(crate) fn next_batch(&mut self, max: usize) -> anyhow::Result<Vec<Item>> {
        match self {
            Self::Npy { file, ids, next } => {
                let embeddings = file.read(*next, max)?;
                let items = embeddings.into_iter().zip(*next..).map(|(embedding, row)| {
                    let episode = Episode::new(ids.id(row), ids.text(row));
                    Item {
                        row: row as u64,
                        offered: Ok(episode.with_embedding(embedding)),
                    }
                });
                let items: Vec<Item> = items.collect();
                *next += items.len();
                Ok(items)
            }
            Self::Lines {
                path,
                lines,
                bytes,
                batch_bytes_max,
                next,
                ids,
            } => {
                let mut items = Vec::new();
                let full = bytes.get() + *batch_bytes_max;
                for line in lines.by_ref().take(max) {
                    let offered = match line {
                        Ok(EpisodeLine(episode)) => Ok(episode),
                        Err(error) if error.line().is_some() => Err(error.to_string()),
                        Err(error) => {
                            return Err(error).with_context(|| path.display().to_string());
                        }
                    };
                    if let Some(ids) = ids {
                        ids.push(offered.as_ref().ok().map(|episode| episode.id.clone()));
                    }
                    items.push(Item {
                        row: *next,
                        offered,
                    });
                    *next += 1;
                    if bytes.get() >= full {
                        break;
                    }
                }
                Ok(items)
            }
        }
    }

    /// The id of a row that has gone by; None if there is no such row or it could not be read.
    pub(crate) fn id_of(&self, row: u32) -> Option<String> {
        let row = row as usize;
        match self {
            Self::Npy { file, ids, .. } => (row < file.rows()).then(|| ids.id(row)),
            Self::Lines { ids, .. } => ids.as_ref()?.get(row)?.clone(),
        }
    }
}

/// A reader that tells how far it has been read.
pub(crate) struct Counted {
    reader: Box<dyn BufRead>,
    bytes: Rc<Cell<u64>>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        self.bytes.set(self.bytes.get() + read as u64);
        Ok(read)
    }
}

impl BufRead for Counted {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.reader.fill_buf()
    }

    fn consume(&mut self, used: usize) {
        self.reader.consume(used);
        self.bytes.set(self.bytes.get() + used as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_of_long_lines_ends_early() {
        let line = |id: &str, length: usize| {
            let what = "x".repeat(length);
            format!("{{\"id\":\"{id}\",\"what\":\"{what}\"}}\n")
        };
        let text = [
            line("a", 10),
            line("b", 10),
            line("c", 500), // Passes the 200 bytes that a batch may have, and is kept whole.
            line("d", 10),
            "\n".repeat(300), // Nothing is kept of blank lines, yet a batch is never empty.
            line("e", 300),
            line("f", 10),
            line("g", 10),
            line("h", 10),
        ];
        let reader = Box::new(io::Cursor::new(text.concat()));
        let mut source = Source::lines("-".into(), reader, None, 200);
        let mut batches = Vec::new();
        loop {
            let items = source.next_batch(3).unwrap();
            if items.is_empty() {
                break;
            }
            let ids = items.into_iter().map(|item| item.offered.unwrap().id);
            batches.push(ids.collect::<String>());
        }
        assert_eq!(batches, ["abc", "de", "fgh"]);
    }
}
