//! From the log's records back to what a store holds.

use crate::codec::{self, LINK_LEN, Link};
use crate::content::Content;
use crate::episode::Memory;
use crate::space::Space;
use crate::table::{EPISODES_MAX, Put, SEQ_MAX, Table};
use cortica_index::{Row, VectorIndex};
use cortica_simd::Isa;
use cortica_storage::{Location, Record};
use std::collections::HashSet;

/// The number of a store's one vector space in the log.
pub(crate) const SPACE: u32 = 0;

/// Takes the log's records one after the other, refusing what the log cannot rightly hold.
#[derive(Debug)]
pub(crate) struct Replay {
    isa: Isa,
    /// Whether the embeddings go into the index, or are only looked at.
    keep_embeddings: bool,
    space: Option<Space>,
    table: Table,
    /// Links wait for the end: where the log was compacted, the episodes they join may come later.
    links: Vec<(Link, Location)>,
    forgotten: HashSet<u64>,
}

impl Replay {
    /// Rebuilds a store.
    pub(crate) fn into_memory(isa: Isa) -> Self {
        Self {
            isa,
            keep_embeddings: true,
            space: None,
            table: Table::default(),
            links: Vec::new(),
            forgotten: HashSet::new(),
        }
    }

    /// Applies the same rules without the memory for the embeddings.
    pub(crate) fn only_looking(isa: Isa) -> Self {
        Self {
            keep_embeddings: false,
            ..Self::into_memory(isa)
        }
    }

    /// What all the records come to: space, table, and the number of links between episodes that
    /// were neither there nor forgotten.
    pub(crate) fn finish(mut self) -> (Option<Space>, Table, u64) {
        let mut lost = 0;
        for (link, record) in self.links {
            let ends = [link.from, link.to];
            if ends.iter().all(|&end| self.table.by_seq(end).is_some()) {
                self.table.link(link, record);
            } else {
                let gone = ends.iter().any(|end| self.forgotten.contains(end));
                lost += u64::from(!gone);
                let bytes = LINK_LEN as u32;
                self.table.retire_record(Location { bytes, ..record });
            }
        }
        (self.space, self.table, lost)
    }

    /// Takes one record.
    pub(crate) fn take(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record { entry, payload, .. } = *record;
        let location = record.location();
        if entry.space != SPACE {
            return Err(format!("a record of the unknown space {}", entry.space));
        }
        match entry.kind {
            codec::KIND_SPACE if self.space.is_some() => Err("a second vector space".to_owned()),
            codec::KIND_SPACE => {
                let info = codec::decode_space(entry.dimension, payload)?;
                let space = Space::new(info, self.isa).map_err(|error| error.to_string())?;
                self.space = Some(space);
                Ok(())
            }
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
                let row = self.table.forget(entry.seq).and_then(|held| held.row);
                self.free(row);
                self.table.retire_record(location);
                self.table.raise_seq(entry.seq);
                self.forgotten.insert(entry.seq);
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

    fn take_episode(&mut self, record: &Record<'_>) -> Result<(), String> {
        let Record { entry, payload, .. } = *record;
        let (memory, embedding) = codec::decode_episode(entry.seq, entry.dimension, payload)?;
        self.check_episode(&memory)?;
        let refused = |error| format!("the embedding of episode {:?}: {error}", memory.id);
        let (row, checked) = match (&embedding, self.index()) {
            (None, _) => (None, None),
            (Some(_), None) => return Err("an embedding without a vector space".to_owned()),
            (Some(embedding), Some(index)) => {
                let checked = index.check(embedding).map_err(&refused)?;
                let insert = || index.insert_checked(embedding, checked).map_err(&refused);
                let row = self.keep_embeddings.then(insert).transpose()?;
                (row, Some(checked))
            }
        };
        let hashing = &self.table.hashing;
        let checked = embedding.as_deref().zip(checked);
        let fingerprint = hashing.fingerprint(checked, &Content::from(&memory));
        let id_hash = hashing.id(&memory.id);
        let old = self.table.put(Put {
            memory,
            row,
            id_hash,
            fingerprint,
            embedding_crc: record.embedding_crc,
            location: record.location(),
        });
        self.free(old);
        Ok(())
    }

    /// Refuses an episode that the log cannot rightly hold at this place.
    fn check_episode(&self, memory: &Memory) -> Result<(), String> {
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
            (None, Some(_)) => Err(format!("episode {id:?} was stored twice")),
            (None, None) if self.table.len() >= EPISODES_MAX => {
                Err(format!("there are more than {EPISODES_MAX} episodes"))
            }
            _ => Ok(()),
        }
    }

    fn index(&self) -> Option<&dyn VectorIndex> {
        self.space.as_ref().map(|space| &*space.index)
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
