//! From the log's records back to what a store holds.

use crate::codec;
use crate::space::Space;
use crate::table::Table;
use cortica_simd::Isa;
use cortica_storage::Entry;

/// The number of a store's one vector space in the log.
pub(crate) const SPACE: u32 = 0;

/// Takes one record of the log into memory.
pub(crate) fn replay(
    entry: &Entry,
    payload: &[u8],
    isa: Isa,
    space: &mut Option<Space>,
    table: &mut Table,
) -> Result<(), String> {
    if entry.space != SPACE {
        return Err(format!("a record of the unknown space {}", entry.space));
    }
    match entry.kind {
        codec::KIND_SPACE if space.is_some() => Err("a second vector space".to_owned()),
        codec::KIND_SPACE => {
            let info = codec::decode_space(entry.dimension, payload)?;
            *space = Some(Space::new(info, isa).map_err(|error| error.to_string())?);
            Ok(())
        }
        codec::KIND_EPISODE => {
            let (memory, embedding) = codec::decode_episode(entry.seq, entry.dimension, payload)?;
            let index = space.as_ref().map(|space| &*space.index);
            table.replay(memory, embedding.as_deref(), index)
        }
        codec::KIND_ASSOCIATIONS => {
            codec::decode_links(payload)?.try_for_each(|link| table.replay_link(link))
        }
        other => Err(format!("a record of the unknown kind {other}")),
    }
}
