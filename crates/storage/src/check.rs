//! Walks over a whole log and lists what is wrong, changing nothing.

use crate::cache_check::{self, FoundCache};
use crate::closing::Closing;
use crate::error::OpenError;
use crate::folder::{Folder, OpenMode, io_error};
use crate::listing::Listing;
use crate::loss::left_by_repairs;
use crate::record::Record;
use crate::recovery::{Damage, Scan, scan};
use cortica_env::Disk;
use std::path::Path;

/// What [`check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Whole records.
    pub records: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// Log files.
    pub files: u64,
    /// Places that were durable once and are not whole now, or a record that its reader refused.
    pub damage: Vec<Damage>,
    /// Bytes behind the last whole record that the next open will drop or set aside: a commit that
    /// never finished, or the last one before a crash, damaged since.
    pub tail_bytes: u64,
    /// Files that repairs moved into the folder `quarantine`.
    pub quarantined: u64,
    /// What an earlier repair found and mended, if nobody said that it was
    /// [told](crate::repair_told): perhaps it was interrupted. A repair reports it again.
    pub untold: Vec<Damage>,
    /// What was made from the log and lies beside it. One that is of no use is no damage: it is made
    /// anew.
    pub caches: Vec<FoundCache>,
    /// What else there is to say, in words.
    pub notes: Vec<String>,
}

impl CheckReport {
    /// Whether nothing is damaged. An unfinished commit at the end is no damage.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Verifies every checksum of the store at `dir` and shows every whole record to `visit`, whose
/// refusals are listed as damage. Changes nothing. The store must not be open for writing.
pub fn check(
    disk: &dyn Disk,
    dir: &Path,
    visit: impl FnMut(Record<'_>) -> Result<(), String>,
) -> Result<CheckReport, OpenError> {
    let folder = Folder::open(disk, dir, OpenMode::ReadOnly)?;
    let survey = Survey::take(disk, &folder, visit)?;
    let unmade = survey.scan.parts.is_empty() && survey.scan.recovery.damage.is_empty();
    if unmade && !folder.made {
        return Err(OpenError::Missing {
            path: dir.to_owned(),
        });
    }
    let mut recovery = survey.scan.recovery;
    let by_repairs = left_by_repairs(disk, &folder, dir, &mut recovery.notes);
    let damaged = !recovery.damage.is_empty();
    let unfinished = survey.listing.unfinished.iter();
    let left = unfinished.chain(survey.listing.superseded.iter().map(|file| &file.path));
    let left = left.map(|path| format!("{} goes at the next opening", path.display()));
    let ends = survey.listing.files.iter().filter_map(|file| {
        let (path, bytes) = (file.path.display(), file.left_over()?);
        Some(format!(
            "the last {bytes} bytes of {path} go at the next opening"
        ))
    });
    Ok(CheckReport {
        records: recovery.records,
        bytes: survey.scan.bytes,
        files: survey
            .scan
            .parts
            .iter()
            .filter(|it| it.file.is_some())
            .count() as u64,
        damage: recovery.damage,
        tail_bytes: recovery.dropped_tail_bytes,
        quarantined: by_repairs.quarantined,
        caches: cache_check::found(disk, &folder, survey.scan.end, damaged)?,
        notes: recovery.notes.into_iter().chain(left).chain(ends).collect(),
        untold: by_repairs.untold.unwrap_or_default(),
    })
}

/// A log's files, and what reading them found.
pub(crate) struct Survey {
    pub(crate) listing: Listing,
    pub(crate) closing: Closing,
    pub(crate) scan: Scan,
    /// Log positions of the records that their reader refused.
    pub(crate) refused: Vec<u64>,
}

impl Survey {
    /// Reads a whole log; what `visit` refuses counts as damage.
    pub(crate) fn take(
        disk: &dyn Disk,
        folder: &Folder,
        mut visit: impl FnMut(Record<'_>) -> Result<(), String>,
    ) -> Result<Self, OpenError> {
        let log_dir = folder.log_dir();
        let closing = Closing::read(disk, &log_dir).map_err(io_error("read", &log_dir))?;
        let listing = Listing::read(disk, &log_dir)?;
        let mut refusals = Vec::new();
        let mut refused = Vec::new();
        let mut show = |record: Record<'_>, path: &Path, offset| {
            if let Err(why) = visit(record) {
                refused.push(record.position);
                refusals.push(Damage {
                    file: path.to_owned(),
                    offset,
                    bytes: u64::from(record.location().bytes),
                    why,
                    seq: Some(record.entry.seq),
                    kind: Some(record.entry.kind),
                });
            }
            Ok(())
        };
        let mut scan = scan(disk, &log_dir, &listing, closing, folder.made, &mut show)?;
        for part in &mut scan.parts {
            let inside = |at: &u64| (part.start..part.end).contains(at);
            part.damaged |= refused.iter().any(inside);
        }
        scan.recovery.damage.extend(refusals);
        let place = |damage: &Damage| (damage.file.clone(), damage.offset);
        scan.recovery.damage.sort_by_key(place);
        Ok(Self {
            listing,
            closing,
            scan,
            refused,
        })
    }
}
