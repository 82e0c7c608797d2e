//! Makes a damaged log one that can be written, keeping all that is whole.

use crate::cache::sweep;
use crate::check::Survey;
use crate::closing::{CLOSED, Closing};
use crate::durability::Durability;
use crate::error::CompactError;
use crate::folder::{Folder, OpenMode, io_error};
use crate::header::{FileName, SegmentHeader};
use crate::loss::{self, untold};
use crate::mending::{clear, quarantine};
use crate::record::{ALIGNMENT, Record};
use crate::recovery::{Damage, Part};
use crate::reserve::RESERVE;
use crate::scanner::{Found, Positions, Scanner};
use crate::writer::Writer;
use cortica_env::{Disk, Open};
use std::collections::BTreeSet;
use std::io::ErrorKind::{IsADirectory, NotFound};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What [`repair`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RepairReport {
    /// What was damaged, and is no longer part of the log. What an earlier repair found is among it,
    /// unless that was [told](repair_told).
    pub damage: Vec<Damage>,
    /// The files it was in, as they were, at their new place. Nothing ever reads them again.
    pub quarantined: Vec<PathBuf>,
    /// Records that were saved from them.
    pub saved: u64,
    /// What the repair reached: always durable.
    pub durability: Durability,
}

/// Writes what is whole in each damaged file of the store at `dir` into a new one, and moves the
/// damaged one into the folder `quarantine`, so that the store can be opened for writing again.
///
/// Records that `visit` refuses count as damaged; it sees all that are whole, in order. What was
/// lost stays lost, and where that is a record that made an earlier one void, the earlier one
/// counts again. Changes nothing about a log without damage.
///
/// What was found is kept in the store, so that a repair that is interrupted, at whatever moment, and
/// run anew reports it again. Call [`repair_told`] when it has been passed on.
pub fn repair(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    visit: impl FnMut(Record<'_>) -> Result<(), String>,
) -> Result<RepairReport, CompactError> {
    let folder = Folder::open(&**disk, dir, OpenMode::MustExist)?;
    let mut survey = Survey::take(&**disk, &folder, visit)?;
    let mut report = RepairReport::default();
    let earlier = untold(&**disk, dir)?;
    if let Some(earlier) = &earlier {
        resume(&**disk, &folder, &survey, earlier, &mut report)?;
    }
    let closing_bad = survey.closing == Closing::Bad;
    let found = &survey.scan.recovery.damage;
    if found.is_empty() && !closing_bad {
        return Ok(report);
    }
    // It holds nothing, and on a full disk there is need of the room. The next opening makes it anew.
    let reserve = dir.join(RESERVE);
    match disk.remove(&reserve) {
        Err(error) if matches!(error.kind(), NotFound | IsADirectory) => {}
        removed => removed.map_err(io_error("remove", &reserve))?,
    }
    let new = found
        .iter()
        .filter(|damage| !report.damage.contains(damage));
    let new: Vec<Damage> = new.cloned().collect();
    if !new.is_empty() {
        report.damage.extend(new);
        loss::keep(&**disk, dir, &report.damage)?;
    }
    // They may stand for what is lost.
    sweep(&**disk, &folder, |_| true)?;
    clear(&**disk, &folder, &mut survey.listing)?;
    for part in survey.scan.parts.iter().filter(|part| part.damaged) {
        report.saved += rewrite(disk, &folder, &survey, part)?;
        if let Some(at) = part.file {
            let path = &survey.listing.files[at].path;
            report.quarantined.push(quarantine(&**disk, &folder, path)?);
        }
    }
    let used: Vec<_> = survey
        .scan
        .parts
        .iter()
        .filter_map(|part| part.file)
        .collect();
    let tail_from = survey.scan.tail.as_ref().map(|tail| tail.file);
    let unused = (0..tail_from.unwrap_or(survey.listing.files.len()))
        .filter(|at| !used.contains(at))
        .map(|at| &survey.listing.files[at]);
    let strays = unused
        .chain(&survey.listing.rejected)
        .map(|file| &file.path);
    let closed = folder.log_dir().join(CLOSED);
    for path in strays.chain(closing_bad.then_some(&closed)) {
        report.quarantined.push(quarantine(&**disk, &folder, path)?);
    }
    Ok(report)
}

/// Says that what [`repair`] found has been passed on, so that it is not reported again: always
/// durably.
pub fn repair_told(disk: &dyn Disk, dir: &Path) -> Result<Durability, CompactError> {
    let _folder = Folder::open(disk, dir, OpenMode::MustExist)?;
    loss::told(disk, dir)?;
    Ok(Durability::Durable)
}

/// Adds what a repair that was interrupted had found and done.
fn resume(
    disk: &dyn Disk,
    folder: &Folder,
    survey: &Survey,
    earlier: &[Damage],
    report: &mut RepairReport,
) -> Result<(), CompactError> {
    report.damage = earlier.to_vec();
    let names = earlier.iter().filter_map(|damage| damage.file.file_name());
    let names: BTreeSet<String> = names.map(|it| it.to_string_lossy().into_owned()).collect();
    let dir = folder.quarantine_dir();
    let moved = match disk.list(&dir) {
        Err(error) if error.kind() == NotFound => Vec::new(),
        listed => listed.map_err(io_error("list the folder", &dir))?,
    };
    let was = |moved: &&String| {
        let name = moved.rsplit_once('-').map(|(name, _)| name);
        name.is_some_and(|name| names.contains(name))
    };
    report
        .quarantined
        .extend(moved.iter().filter(was).map(|name| dir.join(name)));
    let starts = names.iter().filter_map(|name| FileName::parse(name));
    let starts: BTreeSet<u64> = starts.map(|name| name.start).collect();
    for file in &survey.listing.files {
        if let Ok(header) = file.header
            && header.repaired
            && starts.contains(&file.name.start)
        {
            report.saved += header.records;
        }
    }
    Ok(())
}

/// Writes the whole records of a part of the log into a file that takes the part's place. Returns
/// how many there are.
fn rewrite(
    disk: &Arc<dyn Disk>,
    folder: &Folder,
    survey: &Survey,
    part: &Part,
) -> Result<u64, CompactError> {
    let log_dir = folder.log_dir();
    let log_file = part.file.map(|at| &survey.listing.files[at]);
    let old = log_file.and_then(|file| file.header.ok());
    let generation = log_file.map_or(0, |file| file.name.generation);
    // A file may be named as cut that is missing; this one is not cut.
    let headers = survey.listing.files.iter().map(|file| file.header);
    let cut = headers.filter_map(|header| Some(header.ok()?.cut?.name));
    let same = cut.filter(|name| name.start == part.start);
    let newest = same.fold(generation, |newest, name| newest.max(name.generation));
    let header = SegmentHeader {
        repaired: true,
        start: part.start,
        // A file that covers nothing would leave the log without one.
        end: part.end.max(part.start + ALIGNMENT),
        durable_to: part.start,
        known_to: old.map_or(0, |header| header.known_to),
        seq_high: survey.scan.recovery.seq_high,
        generation: newest.saturating_add(1),
        cut: old.and_then(|header| header.cut),
        ..SegmentHeader::default()
    };
    let mut writer = Writer::create(disk.clone(), &log_dir, header, None)?;
    if let Some(log_file) = log_file {
        let read = |error| io_error("read", &log_file.path)(error);
        let file = disk.open(&log_file.path, Open::Read).map_err(read)?;
        let start = part.start;
        let (positions, end) = if generation == 0 {
            let end = crate::log::HEADER + (part.end - start);
            (Positions::Dense { start }, end)
        } else {
            let below = part.end;
            (Positions::Rising { from: start, below }, log_file.len)
        };
        let mut scanner = Scanner::new(&*file, positions, end).map_err(read)?;
        while scanner.offset() < scanner.end() {
            match scanner.next().map_err(read)? {
                Found::Record(record) if survey.refused.contains(&record.position) => {}
                Found::Record(record) => writer.push(&record)?,
                Found::Version(_) | Found::Bad { .. } => {
                    // Not `resync` alone: it stays where a record of another format is.
                    scanner.step();
                    scanner.resync().map_err(read)?;
                }
            }
        }
    }
    let mut written = writer.finish()?;
    written.place()?;
    disk.sync_dir(&log_dir)
        .map_err(io_error("sync the folder", &log_dir))?;
    Ok(written.header.records)
}
