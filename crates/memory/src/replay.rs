//! From the log's records back to what a store holds.

use crate::checkpoint::Assembly;
use crate::codec::{self, LINK_LEN, Link};
use crate::columns::Allocator;
use crate::content::Content;
use crate::episode::Memory;
use crate::error::OpenError;
use crate::options::{SpaceSpec, StoreOptions};
use crate::space::Space;
use crate::table::{EPISODES_MAX, Put, SEQ_MAX, Table};
use crate::trace::Trace;
use crate::waiting::Waiting;
use cortica_cortex::{
    Allocate, ConceptId, Cortex, CortexOptions, Decision, Logged, Observed, Replayer,
};
use cortica_index::{Checked, HnswOptions, Row, VectorError, VectorIndex};
use cortica_simd::Isa;
use cortica_storage::{Location, Record};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

/// The number of a store's one vector space in the log.
pub(crate) const SPACE: u32 = 0;

/// Takes the log's records one after the other, refusing what the log cannot rightly hold.
#[derive(Debug)]
pub(crate) struct Replay {
    isa: Isa,
    graph: HnswOptions,
    /// Whether the embeddings go into the index, or are only looked at.
    keep_embeddings: bool,
    space: Option<Space>,
    /// What came before a space did.
    waiting: Option<Waiting>,
    table: Table,
    /// Links wait for the end: where the log was compacted, the episodes they join may come later.
    links: Vec<(Link, Location)>,
    forgotten: HashSet<u64>,
    lost_forgets: u64,
    allocator: Option<Allocator>,
    /// The grid that the log says it has columns in.
    grid: Option<[u32; 3]>,
    /// Allocations of episodes that are there, each with its place in the log.
    traces: HashMap<u64, (u64, Trace)>,
    assembly: Assembly,
    /// Records of the checkpoint that is coming.
    parts: Vec<Location>,
    /// Why a record was refused that is right: there is no memory for it.
    no_memory: Option<OpenError>,
}

/// What all the records of a log come to.
#[derive(Debug)]
pub(crate) struct Replayed {
    pub(crate) space: Option<Space>,
    /// Whether the space is a guess, because the record that said what it is was lost.
    pub(crate) space_guessed: bool,
    pub(crate) table: Table,
    /// Links between episodes that were neither there nor forgotten.
    pub(crate) lost_associations: u64,
    /// Episodes that must have been forgotten, though no record says so.
    pub(crate) lost_forgets: u64,
    /// Concepts that have no column any more, because another one has it.
    pub(crate) lost_columns: u64,
    pub(crate) allocator: Option<Allocator>,
    /// The grid that the log says it has columns in.
    pub(crate) grid: Option<[u32; 3]>,
}

impl Replay {
    /// Rebuilds a store.
    pub(crate) fn into_memory(isa: Isa, graph: HnswOptions) -> Self {
        Self {
            isa,
            graph,
            keep_embeddings: true,
            space: None,
            waiting: None,
            table: Table::default(),
            links: Vec::new(),
            forgotten: HashSet::new(),
            lost_forgets: 0,
            allocator: None,
            grid: None,
            traces: HashMap::new(),
            assembly: Assembly::default(),
            parts: Vec::new(),
            no_memory: None,
        }
    }

    /// Why the log could not be taken, where that is nothing about the log.
    pub(crate) fn no_memory(&mut self) -> Option<OpenError> {
        self.no_memory.take()
    }

    /// With what gives columns from now on.
    pub(crate) fn allocate(&mut self, options: &StoreOptions) {
        self.allocator = Allocator::of(options);
    }

    /// Applies the same rules without the memory for the embeddings.
    pub(crate) fn only_looking(isa: Isa) -> Self {
        Self {
            keep_embeddings: false,
            ..Self::into_memory(isa, HnswOptions::default())
        }
    }

    /// What all the records come to. Where none of them says what the vector space of the
    /// embeddings is, it is the one that is asked for if that holds them, or else a guess.
    pub(crate) fn finish(mut self, asked: Option<&SpaceSpec>) -> Result<Replayed, OpenError> {
        let mut space_guessed = false;
        if let Some(waiting) = self.waiting.take()
            && let Some(info) = waiting.guess(asked)
        {
            space_guessed = true;
            let space = Space::new(info, self.isa, self.graph)?;
            self.place(waiting, &space)?;
            self.space = Some(space);
        }
        let lost_columns = self.hold();
        let mut lost_associations = 0;
        for (link, record) in self.links {
            let ends = [link.from, link.to];
            if ends.iter().all(|&end| self.table.by_seq(end).is_some()) {
                self.table.link(link, record);
            } else {
                let gone = ends.iter().any(|end| self.forgotten.contains(end));
                lost_associations += u64::from(!gone);
                let bytes = LINK_LEN as u32;
                self.table.retire_record(Location { bytes, ..record });
            }
        }
        Ok(Replayed {
            space: self.space,
            space_guessed,
            table: self.table,
            lost_associations,
            lost_forgets: self.lost_forgets,
            lost_columns,
            allocator: self.allocator,
            grid: self.grid,
        })
    }

    /// Has the columns hold the concepts that are there in the end. Of two with one column the later one has it.
    /// Gives how many have lost theirs.
    fn hold(&mut self) -> u64 {
        let all = std::mem::take(&mut self.traces).into_iter();
        let held = |(seq, (position, trace)): (u64, (u64, Trace))| {
            let there = self.table.by_seq(seq).is_some();
            let decision = trace.decision().filter(|_| there)?;
            // Its column was led to by another embedding than it has now.
            let replaced = trace.learned.is_none();
            Some((position, seq, decision, replaced))
        };
        let mut all: Vec<(u64, u64, Decision, bool)> = all.filter_map(held).collect();
        all.sort_unstable_by_key(|&(position, ..)| position);
        let (mut columns, mut concepts) = (HashSet::new(), HashSet::new());
        let mut lost = Vec::new();
        for at in (0..all.len()).rev() {
            let (
                _,
                seq,
                Decision {
                    column, concept, ..
                },
                _,
            ) = all[at];
            if !(columns.insert(column) && concepts.insert(concept)) {
                lost.push(seq);
                all.remove(at);
            }
        }
        for (_, seq, decision, replaced) in &all {
            if !self.holds(*seq, decision) {
                lost.push(*seq);
            } else if *replaced {
                self.revise(*seq, decision.concept);
            }
        }
        for &seq in &lost {
            self.table.displace(seq);
        }
        lost.len() as u64
    }

    /// Has a column hold the concept of an episode; whether it could be.
    fn holds(&self, seq: u64, decision: &Decision) -> bool {
        let Some(Allocator { door, .. }) = &self.allocator else {
            // Nobody wants to know, or nothing says which grid it is of.
            return !self.keep_embeddings;
        };
        let Some(held) = self.table.by_seq(seq) else {
            return false;
        };
        let embedding = held.row.and_then(|row| self.index()?.vector(row));
        let logged = Logged::Held {
            decision,
            concept_id: &held.memory.id,
            features: embedding.as_deref().unwrap_or_default(),
        };
        // One whose embedding is gone, or leads nowhere, keeps its column and its number, which nothing else may get.
        door.replay(&logged).is_ok()
    }

    /// Has what means the same as the new embedding of an episode be found by it, where there are networks.
    fn revise(&self, seq: u64, concept: ConceptId) {
        let Some(Allocator { door, .. }) = &self.allocator else {
            return;
        };
        let row = self.table.by_seq(seq).and_then(|held| held.row);
        let embedding = row.and_then(|row| self.index()?.vector(row));
        if let Some(embedding) = embedding
            && let Err(error) = door.revise(concept, &embedding)
        {
            tracing::warn!(%error, seq, "what means the same as it is not found");
        }
    }

    /// Takes one record.
    pub(crate) fn take(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record { entry, payload, .. } = *record;
        let location = record.location();
        if entry.space != SPACE {
            return Err(format!("a record of the unknown space {}", entry.space));
        }
        match entry.kind {
            codec::KIND_SPACE => self.take_space(entry.dimension, payload),
            codec::KIND_EPISODE => {
                let decoded = codec::decode_episode(entry.seq, entry.dimension, payload)?;
                self.take_episode(record, decoded, None)
            }
            codec::KIND_PLACED => self.take_placed(record),
            codec::KIND_COLUMNS => self.take_columns(payload),
            codec::KIND_CHECKPOINT => self.take_checkpoint(payload, location),
            codec::KIND_ASSOCIATIONS => {
                for link in codec::decode_links(payload)? {
                    check_link(&link)?;
                    self.links.push((link, location));
                }
                Ok(())
            }
            codec::KIND_FORGET if !payload.is_empty() => {
                Err(format!("a forgetting has {} bytes", payload.len()))
            }
            codec::KIND_FORGET => {
                check_seq(entry.seq)?;
                self.forget(entry.seq);
                self.table.retire_record(location);
                self.table.raise_seq(entry.seq);
                Ok(())
            }
            codec::KIND_ACTIVATION => {
                check_seq(entry.seq)?;
                let activation = codec::decode_activation(payload)?;
                self.table.activate(entry.seq, activation, location);
                Ok(())
            }
            other => Err(format!("a record of the unknown kind {other}")),
        }
    }

    /// A space is written twice, so that one bad place does not lose it.
    fn take_space(&mut self, dimension: u32, payload: &[u8]) -> Result<(), String> {
        let info = codec::decode_space(dimension, payload)?;
        match &self.space {
            Some(space) if space.info == info => return Ok(()),
            Some(_) => return Err("a second vector space".to_owned()),
            None => {}
        }
        let space = Space::new(info, self.isa, self.graph).map_err(|error| error.to_string())?;
        if let Some(waiting) = self.waiting.take() {
            if !waiting.fits(space.info.dimension, space.info.metric) {
                self.waiting = Some(waiting);
                return Err("a vector space that does not hold what came before it".to_owned());
            }
            if let Err(error) = self.place(waiting, &space) {
                return Err(self.refused(error));
            }
        }
        self.space = Some(space);
        Ok(())
    }

    /// In words; remembers that there was no memory, for that is no damage.
    fn refused(&mut self, error: VectorError) -> String {
        let why = error.to_string();
        if let VectorError::OutOfMemory { .. } = error {
            self.no_memory = Some(OpenError::NoMemory(error.into()));
        }
        why
    }

    /// Puts what has waited into the space.
    fn place(&mut self, waiting: Waiting, space: &Space) -> Result<(), VectorError> {
        for (seq, embedding) in waiting.embeddings {
            let row = space.index.insert(&embedding)?;
            self.table.place(seq, row);
        }
        Ok(())
    }

    /// The row of an embedding, unless it has to wait for one, and what an index found out about it.
    fn take_embedding(
        &mut self,
        seq: u64,
        embedding: &[f32],
    ) -> Result<(Option<Row>, Checked), String> {
        if let Some(index) = self.index() {
            let checked = index.check(embedding).map_err(|error| error.to_string())?;
            let insert = || index.insert_checked(embedding, checked);
            let row = self.keep_embeddings.then(insert).transpose();
            return match row {
                Ok(row) => Ok((row, checked)),
                Err(error) => Err(self.refused(error)),
            };
        }
        let mut waiting = match self.waiting.take() {
            Some(waiting) => waiting,
            None => Waiting::new(embedding.len(), self.isa)?,
        };
        let checked = waiting.check(embedding);
        if self.keep_embeddings && checked.is_ok() {
            waiting.embeddings.insert(seq, embedding.to_vec());
        }
        self.waiting = Some(waiting);
        Ok((None, checked?))
    }

    /// The columns are of one grid; it is written twice.
    fn take_columns(&mut self, payload: &[u8]) -> Result<(), String> {
        let grid = codec::decode_columns(payload)?;
        match self.grid {
            Some(sides) if sides == grid.sides() => return Ok(()),
            Some(_) => return Err("a second grid of columns".to_owned()),
            None => self.grid = Some(grid.sides()),
        }
        if self.allocator.is_none() && self.keep_embeddings {
            let options = CortexOptions {
                isa: self.isa,
                ..CortexOptions::default()
            };
            let cortex = Cortex::new(grid, options).map_err(|error| {
                let why = error.to_string();
                // The grid is one that a log may have.
                self.no_memory = Some(OpenError::NoMemory(error.into()));
                why
            })?;
            let door: Arc<dyn Allocate> = Arc::new(Replayer::new(Arc::new(cortex)));
            self.allocator = Some(Allocator::only_reading(door));
        }
        Ok(())
    }

    fn take_checkpoint(&mut self, payload: &[u8], location: Location) -> Result<(), String> {
        let taken = self.assembly.take(payload)?;
        if taken.begins {
            // One that was not finished means nothing.
            for part in std::mem::take(&mut self.parts) {
                self.table.retire_record(part);
            }
        }
        self.parts.push(location);
        if let Some(checkpoint) = taken.whole {
            if let Some(allocator) = self.its_allocator() {
                allocator.restore(&checkpoint)?;
            }
            self.table.checkpointed(std::mem::take(&mut self.parts));
        }
        Ok(())
    }

    /// What gives columns, if it is of the grid that the log says; opening is refused later where it is not.
    fn its_allocator(&self) -> Option<&Allocator> {
        let own = |one: &&Allocator| {
            let sides = one.door.cortex().grid().sides();
            self.grid.is_none_or(|grid| grid == sides)
        };
        self.allocator.as_ref().filter(own)
    }

    fn take_placed(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record { entry, payload, .. } = *record;
        check_seq(entry.seq)?;
        let (trace, episode) = codec::decode_placed(entry.seq, entry.dimension, payload)?;
        if let Some(Allocator { door, .. }) = self.its_allocator() {
            let replayed = match (trace.decision(), trace.stream) {
                (Some(decision), _) if trace.learned.is_some() => {
                    door.replay(&Logged::Learned(&decision))
                }
                (_, Some(stream)) => {
                    let code = trace.code;
                    door.replay(&Logged::Observed(&Observed { stream, code }))
                }
                _ => Ok(()),
            };
            replayed.map_err(|error| error.to_string())?;
        }
        if let Some(episode) = episode {
            return self.take_episode(record, episode, Some(Box::new(trace)));
        }
        self.table.leave_trace(record.location());
        self.table.raise_seq(entry.seq);
        Ok(())
    }

    fn take_episode(
        &mut self,
        record: &Record<'_>,
        (memory, embedding): (Memory, Option<Vec<f32>>),
        trace: Option<Box<Trace>>,
    ) -> Result<(), String> {
        let stale = self.check_episode(&memory)?;
        if let Some(waiting) = &mut self.waiting {
            waiting.embeddings.remove(&memory.seq);
        }
        let (row, checked) = match &embedding {
            None => (None, None),
            Some(embedding) => {
                let taken = self.take_embedding(memory.seq, embedding);
                let (row, checked) = taken
                    .map_err(|why| format!("the embedding of episode {:?}: {why}", memory.id))?;
                (row, Some(checked))
            }
        };
        if let Some(seq) = stale {
            self.forget(seq);
            self.lost_forgets += 1;
        }
        let hashing = &self.table.hashing;
        let checked = embedding.as_deref().zip(checked);
        let fingerprint = hashing.fingerprint(checked, &Content::from(&memory));
        let id_hash = hashing.id(&memory.id);
        let placed = trace.as_ref().and_then(|trace| trace.held);
        let lasts = trace.as_ref().is_some_and(|trace| trace.lasts());
        match trace {
            Some(trace) => self.traces.insert(memory.seq, (record.position, *trace)),
            None => self.traces.remove(&memory.seq),
        };
        let old = self.table.put(Put {
            memory: memory.into(),
            row,
            id_hash,
            fingerprint,
            embedding_crc: record.embedding_crc,
            placed,
            lasts,
            location: record.location(),
        });
        self.free(old);
        Ok(())
    }

    /// Refuses an episode that the log cannot rightly hold at this place. Gives the seq of an older
    /// one of the same id: the record that says that it was forgotten is lost.
    fn check_episode(&self, memory: &Memory) -> Result<Option<u64>, String> {
        let (seq, id) = (memory.seq, &memory.id);
        check_seq(seq)?;
        if self.forgotten.contains(&seq) {
            return Err(format!(
                "episode {id:?} has the seq {seq}, which was forgotten"
            ));
        }
        match (self.table.by_seq(seq), self.table.get(id)) {
            (Some(held), _) if held.memory.id != *id => {
                Err(format!("episode {id:?} has the seq {seq} of another one"))
            }
            (None, Some(held)) if held.memory.seq < seq => Ok(Some(held.memory.seq)),
            (None, Some(_)) => Err(format!("episode {id:?} was stored twice")),
            (None, None) if self.table.len() >= EPISODES_MAX => {
                Err(format!("there are more than {EPISODES_MAX} episodes"))
            }
            _ => Ok(None),
        }
    }

    fn forget(&mut self, seq: u64) {
        let row = self.table.forget(seq).and_then(|held| held.row);
        self.free(row);
        if let Some(waiting) = &mut self.waiting {
            waiting.embeddings.remove(&seq);
        }
        self.forgotten.insert(seq);
    }

    fn index(&self) -> Option<&dyn VectorIndex> {
        let space = self.space.as_ref()?;
        Some(&*space.index)
    }

    fn free(&self, row: Option<Row>) {
        if let (Some(index), Some(row)) = (self.index(), row) {
            index.remove(row);
        }
    }
}

fn check_seq(seq: u64) -> Result<(), String> {
    if (1..=SEQ_MAX).contains(&seq) {
        Ok(())
    } else {
        Err(format!("a record has the seq {seq}"))
    }
}

fn check_link(link: &Link) -> Result<(), String> {
    if link.weight > 0.0 && link.weight <= 1.0 {
        Ok(())
    } else {
        Err(format!("an association has the weight {}", link.weight))
    }
}
