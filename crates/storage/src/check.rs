//! Walks over a whole log and lists what is wrong, changing nothing.

use crate::error::OpenError;
use crate::folder::{Folder, OpenMode, SEGMENT_HEADER_LEN, Segment, io_error};
use crate::record::{KIND_MARK, Record};
use crate::recovery::{Tail, newer};
use crate::scanner::{Found, Scanner};
use cortica_env::{Disk, Open};
use std::path::Path;

/// A stretch of the log that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// File offset of its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// What is wrong with it.
    pub why: String,
}

/// What [`check`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Whole records.
    pub records: u64,
    /// Their bytes, headers included.
    pub bytes: u64,
    /// Places that were durable once and are not whole now, or a record that its reader refused.
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

/// Verifies every checksum of the store at `dir` and shows every whole record to `visit`, whose
/// refusals are listed as damage. Changes nothing. The store must not be open elsewhere.
pub fn check(
    disk: &dyn Disk,
    dir: &Path,
    mut visit: impl FnMut(Record<'_>) -> Result<(), String>,
) -> Result<CheckReport, OpenError> {
    let folder = Folder::open(disk, dir, OpenMode::MustExist)?;
    let path = folder.segment_path();
    let Segment { file, position } =
        folder
            .open_segment(disk, Open::Read)?
            .ok_or_else(|| OpenError::Missing {
                path: dir.to_owned(),
            })?;
    let read = |error| io_error("read", &path)(error);
    let mut scanner = Scanner::new(&*file, SEGMENT_HEADER_LEN as u64, position).map_err(read)?;
    let mut report = CheckReport::default();
    loop {
        let offset = scanner.offset();
        let why = match scanner.next().map_err(read)? {
            Found::Record(record) if record.entry.kind == KIND_MARK => {
                report.bytes += scanner.offset() - offset;
                continue;
            }
            Found::Record(record) => {
                let refusal = visit(record).err();
                let bytes = scanner.offset() - offset;
                report.records += 1;
                report.bytes += bytes;
                report
                    .damage
                    .extend(refusal.map(|why| Damage { offset, bytes, why }));
                continue;
            }
            Found::Newer { version } => {
                return Err(newer(&path, version));
            }
            Found::Bad { why } => why.to_owned(),
        };
        let tail = Tail::behind(&mut scanner).map_err(read)?;
        if let Some(version) = tail.newer {
            return Err(newer(&path, version));
        }
        if !tail.damaged || !scanner.resync().map_err(read)? {
            report.tail_bytes = tail.used - offset;
            return Ok(report);
        }
        report.damage.push(Damage {
            offset,
            bytes: scanner.offset() - offset,
            why,
        });
    }
}
