//! Verifies a store from outside, changing nothing.

use crate::codec;
use crate::error::OpenError;
use crate::table::Table;
use cortica_env::Disk;
use cortica_storage::{Damage, Record};
use std::path::Path;

/// What [`check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Whole records in the log.
    pub records: u64,
    /// Episodes among them.
    pub episodes: u64,
    /// Associations among them.
    pub associations: u64,
    /// Bytes of whole records.
    pub bytes: u64,
    /// Damaged stretches of the log, and records that make no sense.
    pub damage: Vec<Damage>,
    /// Bytes of a commit that never finished; the next open drops them.
    pub tail_bytes: u64,
}

impl CheckReport {
    /// Whether nothing is damaged. An unfinished commit at the end is no damage.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Verifies every checksum and the meaning of every record of the store at `dir`. Changes nothing;
/// takes the store's lock for as long as it runs.
pub fn check(disk: &dyn Disk, dir: &Path) -> Result<CheckReport, OpenError> {
    let mut table = Table::default();
    let mut space = None;
    let log = cortica_storage::check(disk, dir, |record| {
        check_record(&record, &mut space, &mut table)
    })?;
    Ok(CheckReport {
        records: log.records,
        episodes: table.len() as u64,
        associations: table.links() as u64,
        bytes: log.bytes,
        damage: log.damage,
        tail_bytes: log.tail_bytes,
    })
}

/// The rules of replay, without keeping the embeddings.
fn check_record(
    record: &Record<'_>,
    space: &mut Option<usize>,
    table: &mut Table,
) -> Result<(), String> {
    let entry = record.entry;
    match entry.kind {
        codec::KIND_SPACE => {
            *space = Some(codec::decode_space(entry.dimension, record.payload)?.dimension);
            Ok(())
        }
        codec::KIND_EPISODE => {
            let (memory, embedding) =
                codec::decode_episode(entry.seq, entry.dimension, record.payload)?;
            if let Some(embedding) = &embedding {
                if *space != Some(embedding.len()) {
                    return Err(format!("an embedding of {} values", embedding.len()));
                }
                if embedding.iter().any(|value| !value.is_finite()) {
                    return Err("an embedding with a value that is not finite".to_owned());
                }
            }
            table.replay(memory, None, None)
        }
        codec::KIND_ASSOCIATIONS => {
            codec::decode_links(record.payload)?.try_for_each(|link| table.replay_link(link))
        }
        other => Err(format!("a record of the unknown kind {other}")),
    }
}
