//! Where the items come from: rows of an npy file, or lines of JSON.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::Context;
use cortica::{DIMENSION_MAX, Episode, VectorError};
use cortica_formats::jsonl;

use crate::advice::Usage;
use crate::args::IngestArgs;
use crate::figures::count;
use crate::ingest::batch::Item;
use crate::ingest::ids::Ids;
use crate::ingest::line::EpisodeLine;
use crate::vectors::Vectors;

type Lines = jsonl::Reader<Box<dyn BufRead>, EpisodeLine>;

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
        let lines = Box::new(jsonl::Reader::new(reader));
        // Only edges ask for the id of a row that has gone by.
        let ids = args.edges.is_some().then(Vec::new);
        Ok((
            Self::Lines {
                path,
                lines,
                next: 0,
                ids,
            },
            None,
        ))
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

    /// The next items, at most `max` of them; none at the end.
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
                next,
                ids,
            } => {
                let mut items = Vec::new();
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
