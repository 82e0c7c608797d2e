//! Verifies a store from outside, changing nothing.

use crate::error::OpenError;
use crate::replay::{Replay, Replayed};
use cortica_env::Disk;
use cortica_simd::Isa;
use cortica_storage::{Damage, FoundCache};
use std::path::Path;

/// What [`check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Whole records in the log.
    pub records: u64,
    /// Episodes that they come to.
    pub episodes: u64,
    /// Associations that they come to.
    pub associations: u64,
    /// Associations whose episodes are not among them, though nothing says that they were forgotten.
    pub lost_associations: u64,
    /// Episodes that were not counted because another one was stored under their id later, though
    /// nothing says that they were forgotten.
    pub lost_forgets: u64,
    /// Episodes whose concept has no column any more, though it was given one: another one has it, or nothing says
    /// what grid it is of. They are whole but for that.
    pub lost_columns: u64,
    /// Whether there are embeddings and nothing says what their vector space is. Their dimension is
    /// known; metric and model have to be named when the store is opened for writing.
    pub space_lost: bool,
    /// Bytes of whole records.
    pub bytes: u64,
    /// Log files.
    pub files: u64,
    /// Damaged stretches of the log, and records that make no sense.
    pub damage: Vec<Damage>,
    /// Bytes behind the last whole record that the next open will drop or set aside: a commit that
    /// never finished, or the last one before a crash, damaged since.
    pub tail_bytes: u64,
    /// Files that repairs moved into the folder `quarantine`.
    pub quarantined: u64,
    /// What an earlier repair found and mended, if nobody said that it was
    /// [told](crate::repair_told): perhaps it was interrupted. A repair reports it again.
    pub untold: Vec<Damage>,
    /// What was made from the log and lies beside it, such as the graph index. One that is of no use
    /// is no damage: it is made anew.
    pub caches: Vec<FoundCache>,
    /// What else there is to say, in words.
    pub notes: Vec<String>,
}

impl CheckReport {
    /// Whether nothing is damaged. An unfinished commit at the end is no damage.
    pub fn is_sound(&self) -> bool {
        self.places() == 0
    }

    /// How much there is that is not as it should be.
    pub(crate) fn places(&self) -> u64 {
        let damaged = self.damage.len() as u64 + u64::from(self.space_lost);
        damaged + self.lost_associations + self.lost_forgets
    }
}

/// Verifies every checksum and the meaning of every record of the store at `dir`, by the rules that
/// opening it follows. Changes nothing but the process id in the lock file; takes the store's lock
/// for as long as it runs. Memory: the episodes without their embeddings.
pub fn check(disk: &dyn Disk, dir: &Path) -> Result<CheckReport, OpenError> {
    let mut replay = Replay::only_looking(Isa::best());
    let log = cortica_storage::check(disk, dir, |record| replay.take(&record))?;
    let Replayed {
        table,
        space_guessed,
        lost_associations,
        lost_forgets,
        lost_columns,
        grid,
        ..
    } = replay.finish(None)?;
    let of_no_grid = if grid.is_none() {
        table.columns_held() as u64
    } else {
        0
    };
    Ok(CheckReport {
        records: log.records,
        episodes: table.len() as u64,
        associations: table.links.len() as u64,
        lost_associations,
        lost_forgets,
        lost_columns: lost_columns + of_no_grid,
        space_lost: space_guessed,
        bytes: log.bytes,
        damage: log.damage,
        files: log.files,
        tail_bytes: log.tail_bytes,
        quarantined: log.quarantined,
        untold: log.untold,
        caches: log.caches,
        notes: log.notes,
    })
}
