//! From the log's records back to what a store holds.

use crate::codec;
use crate::space::Space;
use crate::table::Table;
use cortica_index::VectorIndex;
use cortica_simd::Isa;
use cortica_storage::Entry;

/// The number of a store's one vector space in the log.
pub(crate) const SPACE: u32 = 0;

/// Takes the log's records one after the other, refusing what the log cannot rightly hold.
#[derive(Debug)]
pub(crate) struct Replay {
    isa: Isa,
    /// Whether the embeddings go into the index, or are only looked at.
    keep_embeddings: bool,
    pub(crate) space: Option<Space>,
    pub(crate) table: Table,
}

impl Replay {
    /// Rebuilds a store.
    pub(crate) fn into_memory(isa: Isa) -> Self {
        Self {
            isa,
            keep_embeddings: true,
            space: None,
            table: Table::default(),
        }
    }

    /// Applies the same rules without the memory for the embeddings.
    pub(crate) fn only_looking(isa: Isa) -> Self {
        Self {
            keep_embeddings: false,
            ..Self::into_memory(isa)
        }
    }

    /// Takes one record.
    pub(crate) fn take(&mut self, entry: &Entry, payload: &[u8]) -> Result<(), String> {
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
            codec::KIND_EPISODE => self.take_episode(entry, payload),
            codec::KIND_ASSOCIATIONS => {
                let table = &mut self.table;
                codec::decode_links(payload)?.try_for_each(|link| table.replay_link(link))
            }
            other => Err(format!("a record of the unknown kind {other}")),
        }
    }

    fn take_episode(&mut self, entry: &Entry, payload: &[u8]) -> Result<(), String> {
        let (memory, embedding) = codec::decode_episode(entry.seq, entry.dimension, payload)?;
        let refused = |error| format!("the embedding of episode {:?}: {error}", memory.id);
        self.table.check_replayed(&memory)?;
        let index: Option<&dyn VectorIndex> = self.space.as_ref().map(|space| &*space.index);
        let row = match (embedding, index) {
            (None, _) => None,
            (Some(_), None) => return Err("an embedding without a vector space".to_owned()),
            (Some(embedding), Some(index)) if self.keep_embeddings => {
                Some(index.insert(&embedding).map_err(refused)?)
            }
            (Some(embedding), Some(index)) => {
                index.check(&embedding).map_err(refused)?;
                None
            }
        };
        self.table.push(memory, row);
        Ok(())
    }
}
