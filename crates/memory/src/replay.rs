//! From the log's records back to what a store holds.

use crate::codec::{self, LINK_LEN, Link};
use crate::content::Content;
use crate::episode::Memory;
use crate::error::OpenError;
use crate::options::SpaceSpec;
use crate::space::Space;
use crate::table::{EPISODES_MAX, Put, SEQ_MAX, Table};
use crate::waiting::Waiting;
use cortica_index::{Checked, HnswOptions, Row, VectorError, VectorIndex};
use cortica_simd::Isa;
use cortica_storage::{Location, Record};
use std::collections::HashSet;

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
        }
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
        })
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
            codec::KIND_EPISODE => self.take_episode(record),
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
            self.place(waiting, &space)
                .map_err(|error| error.to_string())?;
        }
        self.space = Some(space);
        Ok(())
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
            return Ok((row.map_err(|error| error.to_string())?, checked));
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

    fn take_episode(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record { entry, payload, .. } = *record;
        let (memory, embedding) = codec::decode_episode(entry.seq, entry.dimension, payload)?;
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
        let old = self.table.put(Put {
            memory: memory.into(),
            row,
            id_hash,
            fingerprint,
            embedding_crc: record.embedding_crc,
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
