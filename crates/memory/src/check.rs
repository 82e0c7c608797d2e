//! Verifies a store from outside, changing nothing.

use crate::error::OpenError;
use crate::replay::Replay;
use cortica_env::Disk;
use cortica_simd::Isa;
use cortica_storage::Damage;
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
    /// Bytes behind the last whole record that the next open will drop or set aside: a commit that
    /// never finished, or the last one before a crash, damaged since.
    pub tail_bytes: u64,
}

impl CheckReport {
    /// Whether nothing is damaged. An unfinished commit at the end is no damage.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Verifies every checksum and the meaning of every record of the store at `dir`, by the rules that
/// opening it follows. Changes nothing but the process id in the lock file; takes the store's lock
/// for as long as it runs. Memory: the episodes without their embeddings.
pub fn check(disk: &dyn Disk, dir: &Path) -> Result<CheckReport, OpenError> {
    let mut replay = Replay::only_looking(Isa::best());
    let log = cortica_storage::check(disk, dir, |record| {
        replay.take(&record.entry, record.payload)
    })?;
    Ok(CheckReport {
        records: log.records,
        episodes: replay.table.len() as u64,
        associations: replay.table.links() as u64,
        bytes: log.bytes,
        damage: log.damage,
        tail_bytes: log.tail_bytes,
    })
}
