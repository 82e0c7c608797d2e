//! `cortica allocate`: concepts into a store that gives each a column.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use cortica::{AllocationOptions, Cortica, Episode, StoreOutcome, Stored, StoredColumn};
use serde::Serialize;

use crate::advice::Usage;
use crate::args::{AllocateArgs, IngestArgs};
use crate::bundle::Bundle;
use crate::figures::{count, per_second, plain};
use crate::folder;
use crate::ingest::batch::Item;
use crate::ingest::source::Source;
use crate::output::{Out, Outcome};

/// What became of one concept.
#[derive(Debug, Default, Serialize)]
struct Line {
    id: String,
    outcome: &'static str,
    column: Option<u32>,
    place: Option<[u32; 3]>,
    score: Option<f32>,
    similarity: Option<f32>,
    semantic: Option<f32>,
    temporal: Option<f32>,
    of: Option<String>,
    /// What the write reached; none where it failed.
    durability: Option<String>,
    error: Option<String>,
}

#[derive(Debug, Default, Serialize)]
pub(crate) struct Totals {
    pub(crate) concepts: u64,
    pub(crate) allocated: u64,
    pub(crate) duplicates: u64,
    /// For which no column was free.
    pub(crate) none: u64,
    /// Stored before.
    pub(crate) there: u64,
    pub(crate) failed: u64,
    /// Episodes that were forgotten to make room; left out where there are none.
    #[serde(skip_serializing_if = "crate::ingest::is_zero")]
    pub(crate) evicted: u64,
    pub(crate) sides: [u32; 3],
    /// Columns that hold a concept now.
    pub(crate) held: u64,
    pub(crate) durability: String,
    pub(crate) seconds: f64,
    pub(crate) concepts_s: Option<f64>,
}

#[derive(Serialize)]
struct Last<'a> {
    summary: &'a Totals,
}

/// Where concepts come from.
enum From {
    Bundle(Box<Bundle>, usize),
    File(Box<Source>),
}

impl From {
    fn open(args: &AllocateArgs) -> anyhow::Result<From> {
        let Some(from) = &args.from else {
            return Ok(From::Bundle(Box::new(Bundle::read()?), 0));
        };
        let (mut file, mut ids) = (from.clone(), args.ids.clone());
        if from.is_dir() {
            file = from.join("X.npy");
            ids =
                ids.or_else(|| Some(from.join("items.tsv")).filter(|path: &PathBuf| path.exists()));
        }
        let ingest = IngestArgs::of_file(file, ids, args);
        Ok(From::File(Box::new(Source::open(&ingest)?.0)))
    }

    /// How many there are, and of how many values, where that is known.
    fn shape(&self) -> Option<(usize, usize)> {
        match self {
            From::Bundle(bundle, _) => Some((bundle.concepts.len(), bundle.dimension)),
            From::File(source) => source.shape(),
        }
    }

    fn next_batch(&mut self, max: usize) -> anyhow::Result<Vec<Item>> {
        match self {
            From::Bundle(bundle, next) => {
                let rows = *next..bundle.concepts.len().min(*next + max);
                *next = rows.end;
                let item = |row: usize| {
                    let concept = &bundle.concepts[row];
                    let episode = Episode::new(&concept.id, &concept.text);
                    Item {
                        row: row as u64,
                        offered: Ok(episode.with_embedding(bundle.row(row).to_vec())),
                    }
                };
                Ok(rows.map(item).collect())
            }
            From::File(source) => source.next_batch(max),
        }
    }
}

pub(crate) fn run(args: &AllocateArgs, out: &mut Out) -> anyhow::Result<Outcome> {
    let mut from = From::open(args)?;
    let first = from.next_batch(args.batch as usize)?;
    let dimension = from.shape().map(|(_, dimension)| dimension);
    let dimension = dimension.or_else(|| dimension_of(&first));
    let memory = open(args, &from, &first, dimension)?;
    folder::tell_found(&memory, out);
    out.outlive_reader();
    let progress = out.progress(from.shape().map(|(rows, _)| rows as u64), "allocating");
    let (mut totals, mut batch) = (Totals::default(), first);
    let started = Instant::now();
    while !batch.is_empty() {
        let read = batch.len() as u64;
        for line in store(&memory, batch) {
            totals.add(&line);
            if !args.totals {
                let mut said = Ok(());
                progress.above(|| {
                    said = out.object(&line).and_then(|()| out.line(line.words()));
                });
                said?;
            } else if let Some(error) = &line.error {
                progress.above(|| out.note(format!("{}: {}", plain(&line.id), plain(error))));
            }
        }
        progress.advance(read);
        batch = from.next_batch(args.batch as usize)?;
    }
    drop(progress);
    let time = started.elapsed();
    let stats = memory.stats();
    totals.durability = stats.durability.to_string();
    totals.evicted = stats.evictions;
    let columns = stats.columns.context("the store has no columns")?;
    (totals.sides, totals.held) = (columns.sides, columns.held);
    totals.seconds = time.as_secs_f64();
    totals.concepts_s = per_second(totals.concepts, time).filter(|rate| *rate > 0.0);
    memory.close()?;
    out.object(&Last { summary: &totals })?;
    out.line(totals.words())?;
    out.line(format!(
        "next: cortica map --store {} map.svg",
        args.store.display()
    ))?;
    Ok(if totals.failed == 0 {
        Outcome::Done
    } else {
        Outcome::Failed
    })
}

fn dimension_of(items: &[Item]) -> Option<usize> {
    let embedding = |item: &Item| Some(item.offered.as_ref().ok()?.embedding.as_ref()?.len());
    items.iter().find_map(embedding)
}

fn open(
    args: &AllocateArgs,
    from: &From,
    first: &[Item],
    dimension: Option<usize>,
) -> anyhow::Result<Cortica> {
    let found = if folder::is_occupied(&args.store)? {
        let there = folder::open_to_read(&args.store)?;
        there.stats().columns.map(|columns| columns.sides)
    } else {
        None
    };
    let mut allocation = match (args.grid.map(|sides| sides.0), found) {
        (Some([nx, ny, nz]), _) | (None, Some([nx, ny, nz])) => AllocationOptions::new(nx, ny, nz),
        _ => {
            let concepts = from.shape().map_or(first.len(), |(rows, _)| rows);
            if from.shape().is_none() {
                return Err(Usage(
                    "name the grid with --grid X,Y,Z: how many concepts JSON Lines hold is not \
                     known before they are read"
                        .to_owned(),
                )
                .into());
            }
            AllocationOptions::for_concepts(concepts)
        }
    };
    allocation = allocation.with_search_radius(args.radius);
    if let Some(weights) = &args.weights {
        allocation = allocation.with_weights(weights)?;
    }
    let builder = Cortica::builder().durability(args.durability.into());
    let mut builder = args.room.tell(builder).allocation(allocation);
    if let Some(dimension) = dimension {
        builder = builder.dimension(dimension);
    }
    if matches!(from, From::Bundle(..)) && dimension.is_some() {
        builder = builder.model(Bundle::MODEL);
    }
    Ok(builder.open(&args.store)?)
}

fn store(memory: &Cortica, items: Vec<Item>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let mut episodes = Vec::new();
    for item in items {
        match item.offered {
            Ok(episode) => {
                lines.push(Line {
                    id: episode.id.clone(),
                    ..Line::default()
                });
                episodes.push(episode);
            }
            Err(why) => lines.push(Line {
                id: format!("row {}", item.row),
                outcome: "failed",
                error: Some(why),
                ..Line::default()
            }),
        }
    }
    let mut answers = memory.store_many(episodes).into_iter();
    for line in lines.iter_mut().filter(|line| line.outcome.is_empty()) {
        match answers.next() {
            Some(Ok(stored)) => line.take(&stored, memory),
            Some(Err(error)) => {
                line.outcome = "failed";
                line.error = Some(format!("{:#}", anyhow::Error::new(error)));
            }
            None => line.outcome = "failed", // Never: there is an answer for each.
        }
    }
    lines
}

impl Line {
    fn take(&mut self, stored: &Stored, memory: &Cortica) {
        self.durability = Some(stored.durability.to_string());
        let column = match &stored.allocation {
            Some(StoredColumn::Allocated { column, score, .. }) => {
                self.outcome = "allocated";
                self.score = Some(score.total);
                self.similarity = Some(score.similarity);
                self.semantic = Some(score.semantic);
                self.temporal = Some(score.temporal);
                Some(*column)
            }
            Some(StoredColumn::Duplicate {
                column,
                similarity,
                of,
            }) => {
                self.outcome = "duplicate";
                self.similarity = Some(*similarity);
                self.of = Some(of.to_string());
                Some(*column)
            }
            Some(StoredColumn::NoSuitableColumn) => {
                self.outcome = "none";
                None
            }
            Some(StoredColumn::Refused(why)) => {
                self.outcome = "failed";
                self.error = Some(why.to_string());
                None
            }
            _ => {
                self.outcome = "there";
                if let StoreOutcome::Reinforced { of } = &stored.outcome {
                    self.of = Some(of.to_string()).filter(|of| *of != self.id);
                }
                memory.column(&self.id)
            }
        };
        let grid = memory.cortex().map(cortica::Cortex::grid);
        self.column = column.map(cortica::ColumnId::get);
        self.place = column.and_then(|column| grid?.place(column).ok());
    }

    fn words(&self) -> String {
        let id = plain(&self.id);
        let at = self
            .place
            .map_or(String::new(), |[x, y, z]| format!(" at ({x}, {y}, {z})"));
        match (self.outcome, &self.of, self.score, &self.error) {
            ("allocated", _, Some(score), _) => format!("{id}  column{at}, score {score:.3}"),
            ("duplicate", Some(of), ..) => {
                let similarity = self.similarity.unwrap_or_default();
                format!("{id}  is {}{at}, cosine {similarity:.3}", plain(of))
            }
            ("none", ..) => format!("{id}  no column is free"),
            (_, _, _, Some(error)) => format!("{id}  failed: {}", plain(error)),
            _ => format!("{id}  was there{at}"),
        }
    }
}

impl Totals {
    fn add(&mut self, line: &Line) {
        self.concepts += 1;
        *match line.outcome {
            "allocated" => &mut self.allocated,
            "duplicate" => &mut self.duplicates,
            "none" => &mut self.none,
            "there" => &mut self.there,
            _ => &mut self.failed,
        } += 1;
    }

    fn words(&self) -> String {
        let [nx, ny, nz] = self.sides;
        let columns = u64::from(nx) * u64::from(ny) * u64::from(nz);
        let rate = self
            .concepts_s
            .map_or(String::new(), |rate| format!(" ({rate:.0}/s)"));
        let evicted = match self.evicted {
            0 => String::new(),
            evicted => format!("\n{} were forgotten to make room", count(evicted)),
        };
        format!(
            "{} concepts{rate}, {}: {} allocated, {} duplicates, {} without a column, {} there before, {} failed{evicted}\n{} of {} columns \
             ({nx} x {ny} x {nz}) hold a concept",
            count(self.concepts),
            self.durability,
            count(self.allocated),
            count(self.duplicates),
            count(self.none),
            count(self.there),
            count(self.failed),
            count(self.held),
            count(columns),
        )
    }
}
