//! The columns of a store: what gives them, and how what was learned is kept in the log.

use crate::checkpoint::Checkpoint;
use crate::codec::{self, COLUMNS_MAX};
use crate::error::OpenError;
use crate::options::StoreOptions;
use crate::replay::SPACE;
use crate::store::MemoryStore;
use cortica_cortex::{
    Allocate, CODE_DIMENSION, Code, ColumnId, ConceptRequest, Cortex, Learned, Windows,
};
use cortica_env::Seed;
use cortica_storage::{AppendError, CommitError, Durability, Entry, Location, Log};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Bytes of traces beside what a checkpoint takes, from which on a new one is worthwhile.
const TRACE_BYTES_MAX: u64 = 1 << 20;

/// What a store's columns are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Columns {
    /// Columns along x, y and z.
    pub sides: [u32; 3],
    /// How many hold a concept.
    pub held: u64,
    /// Whether new episodes are given columns.
    pub allocates: bool,
}

/// What gives columns, or brings back those that were given.
#[derive(Clone, Debug)]
pub(crate) struct Allocator {
    pub(crate) door: Arc<dyn Allocate>,
    /// Whether it decides for new episodes.
    pub(crate) decides: bool,
    pub(crate) search_radius: f32,
}

/// Refuses what cannot be.
pub(crate) fn check_allocator(options: &StoreOptions) -> Result<(), OpenError> {
    let Some(door) = &options.allocator else {
        return Ok(());
    };
    let (got, max) = (door.cortex().grid().len(), COLUMNS_MAX);
    if got > max {
        return Err(OpenError::GridTooLarge { got, max });
    }
    let got = options.search_radius;
    if got.is_finite() && got > 0.0 {
        Ok(())
    } else {
        Err(OpenError::SearchRadius { got })
    }
}

/// What the log and the caller say about the grid, brought together; a log that says nothing is told.
pub(crate) fn agree_columns(
    log: &mut Log,
    options: &StoreOptions,
    allocator: Option<&Allocator>,
    found: Option<[u32; 3]>,
) -> Result<(), OpenError> {
    let asked = options
        .allocator
        .as_ref()
        .map(|door| door.cortex().grid().sides());
    match (asked, found, allocator) {
        (Some(asked), Some(found), _) if asked != found => Err(OpenError::Grid { asked, found }),
        (_, None, Some(Allocator { door, .. })) if log.is_writable() => write_columns(log, &**door),
        _ => Ok(()),
    }
}

/// Writes into the log what the grid of its columns is: twice, so that no single bad place can lose it.
fn write_columns(log: &mut Log, door: &dyn Allocate) -> Result<(), OpenError> {
    let entry = entry(codec::KIND_COLUMNS);
    for _ in 0..2 {
        let encode = |out: &mut Vec<u8>| codec::encode_columns(door.cortex().grid(), out);
        // Cannot fail: it is short, and of a kind of ours.
        log.append(entry, encode)
            .map_err(|_| OpenError::Commit(CommitError::Stopped))?;
    }
    log.commit(Durability::Durable)?;
    Ok(())
}

fn entry(kind: u16) -> Entry {
    Entry {
        space: SPACE,
        kind,
        dimension: 0,
        seq: 0,
    }
}

/// A stream by its name, the same in every process.
pub(crate) fn stream_number(name: &str) -> u64 {
    Seed(0).derive(name).0
}

impl Allocator {
    /// What the options have, which decides.
    pub(crate) fn of(options: &StoreOptions) -> Option<Allocator> {
        let door = options.allocator.clone()?;
        Some(Allocator {
            door,
            decides: true,
            search_radius: options.search_radius,
        })
    }

    /// One that decides nothing.
    pub(crate) fn only_reading(door: Arc<dyn Allocate>) -> Allocator {
        Allocator {
            door,
            decides: false,
            search_radius: 1.0,
        }
    }

    /// What is asked for an episode.
    pub(crate) fn request<'a>(
        &self,
        id: &'a str,
        embedding: &'a [f32],
        stream: Option<&str>,
    ) -> ConceptRequest<'a> {
        let mut request = ConceptRequest::new(id, embedding);
        request.search_radius = self.search_radius;
        request.stream = stream.map(stream_number);
        request
    }

    /// A code that makes a column's exemplar again, to the bit.
    pub(crate) fn exemplar(&self, column: ColumnId) -> Option<Code> {
        let exemplar = self.door.cortex().exemplar(column).ok()?;
        (exemplar != [0; CODE_DIMENSION]).then(|| exemplar.map(f32::from))
    }

    /// All that was learned.
    fn checkpoint(&self) -> Checkpoint {
        let cortex = self.door.cortex();
        let learned = |column| cortex.learned(column).ok();
        let columns = cortex.grid().columns().filter_map(learned);
        let windows = self.door.windows();
        let streams = windows
            .iter()
            .map(|(stream, codes)| (stream, codes.to_vec()));
        Checkpoint {
            columns: columns.filter(|learned| learned.learnings > 0).collect(),
            streams: streams.collect(),
        }
    }

    /// Puts all that was learned back, in the place of what is there.
    pub(crate) fn restore(&self, checkpoint: &Checkpoint) -> Result<(), String> {
        let cortex = self.door.cortex();
        let beyond = |learned: &Learned| learned.column.get() as usize >= cortex.grid().len();
        if let Some(Learned { column, .. }) = checkpoint.columns.iter().find(|one| beyond(one)) {
            return Err(format!("a checkpoint has {column}, which is none"));
        }
        let nothing = |column| Learned {
            column,
            prototype: [0; CODE_DIMENSION],
            learnings: 0,
        };
        let all: Vec<Learned> = cortex.grid().columns().map(nothing).collect();
        cortex.unlearn(&all);
        cortex.unlearn(&checkpoint.columns);
        self.door.set_windows(checkpoint.windows());
        Ok(())
    }

    /// Everything that decisions depend on but what is held, which the episodes say.
    pub(crate) fn hash(&self, state: &mut impl Hasher) {
        let Checkpoint { columns, streams } = self.checkpoint();
        let cortex = self.door.cortex();
        cortex.grid().sides().hash(state);
        for learned in columns {
            (learned.column, learned.prototype, learned.learnings).hash(state);
        }
        for column in cortex.grid().columns() {
            let held = cortex.held(column).is_ok_and(|held| held.is_some());
            (held, cortex.exemplar(column).ok()).hash(state);
        }
        for (stream, codes) in streams {
            stream.hash(state);
            codes
                .iter()
                .flatten()
                .for_each(|value| value.to_bits().hash(state));
        }
    }
}

impl MemoryStore {
    /// What the store's columns are, if it has any.
    pub(crate) fn columns(&self) -> Option<Columns> {
        let allocator = self.allocator.as_ref()?;
        Some(Columns {
            sides: allocator.door.cortex().grid().sides(),
            held: self.table.read().columns_held() as u64,
            allocates: allocator.decides,
        })
    }

    /// The column that holds the concept of the episode with this id; none where it has none.
    pub fn column(&self, id: &str) -> Option<ColumnId> {
        Some(self.table.read().get(id)?.placed?.0)
    }

    /// The columns themselves: prototypes, states and what they hold.
    pub fn cortex(&self) -> Option<&Cortex> {
        Some(self.allocator.as_ref()?.door.cortex())
    }

    /// The windows of all streams: the last codes of each.
    pub fn windows(&self) -> Option<Windows> {
        Some(self.allocator.as_ref()?.door.windows())
    }

    /// Writes all that was learned into the log, so that what forgotten episodes taught needs no record of
    /// its own any more. Nothing where there is no such record.
    pub(crate) fn checkpoint(&self, log: &mut Log) -> Result<(), CommitError> {
        let Some(allocator) = &self.allocator else {
            return Ok(());
        };
        if self.table.read().trace_bytes() == 0 {
            return Ok(());
        }
        let mut locations = Vec::new();
        for payload in allocator.checkpoint().encode() {
            let append = log.append(entry(codec::KIND_CHECKPOINT), |out| out.extend(payload));
            match append {
                Ok(location) => locations.push(location),
                Err(AppendError::TooLarge { .. } | AppendError::ReservedKind) => {
                    log.rollback();
                    return Ok(()); // Never: a part is 2.2 MB at most.
                }
                Err(_) => {
                    log.rollback();
                    return Ok(());
                }
            }
        }
        if let Err(error) = log.commit(self.durability) {
            log.rollback();
            return Err(error);
        }
        self.checkpointed(log, locations);
        Ok(())
    }

    fn checkpointed(&self, log: &mut Log, locations: Vec<Location>) {
        let mut table = self.table.write();
        table.checkpointed(locations);
        for location in table.take_dead() {
            log.retire(location);
        }
    }

    /// Writes a checkpoint if that frees much more than it takes.
    pub(crate) fn checkpoint_a_little(&self, log: &mut Option<Log>) {
        let (Some(log), Some(_)) = (log, &self.allocator) else {
            return;
        };
        let worthwhile = {
            let table = self.table.read();
            table.trace_bytes() > TRACE_BYTES_MAX + 2 * table.checkpoint_bytes()
        };
        if worthwhile && let Err(error) = self.checkpoint(log) {
            tracing::warn!(%error, "what was learned could not be written at once");
        }
    }
}
