//! Opening a log: read it all, mend its end, make it ready for writing.

use crate::cache::sweep;
use crate::closing::Closing;
use crate::error::OpenError;
use crate::folder::{Folder, LogOptions, OpenMode, first_file, io_error, is_full};
use crate::listing::Listing;
use crate::log::{HEADER, Halt, Log};
use crate::loss::{UNTOLD, left_by_repairs};
use crate::mending::{Mended, mend};
use crate::record::Record;
use crate::recovery::{Recovery, Scan, scan};
use crate::reserve::{Reserve, reserve_bytes};
use crate::rolling::{Active, SEGMENT_MIN};
use crate::segment::{Segment, SegmentFile};
use cortica_env::{Disk, Open};
use std::path::Path;
use std::sync::Arc;

impl Log {
    /// Opens the log of the store at `dir`, showing every record to `visit` in order.
    ///
    /// A commit that never finished is cut off and counted; whole records in it are set aside in
    /// files beside the log. Where bytes that were durable once are damaged, nothing is changed:
    /// the rest is shown, the damage is listed, and the log is open for reading only. Reads the
    /// log once; memory is bounded by the largest record. When `visit` refuses a record, the log
    /// does not open and names it.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        options: impl Into<LogOptions>,
        mut visit: impl FnMut(Record<'_>) -> Result<(), String>,
    ) -> Result<(Log, Recovery), OpenError> {
        let LogOptions {
            mode,
            segment_bytes,
        } = options.into();
        let folder = Folder::open(&*disk, dir, mode)?;
        let log_dir = folder.log_dir();
        let read = io_error("read", &log_dir);
        let closing = Closing::read(&*disk, &log_dir).map_err(read)?;
        let mut listing = Listing::read(&*disk, &log_dir)?;
        let mut show = |record: Record<'_>, path: &Path, offset| {
            visit(record).map_err(|why| OpenError::Corrupt {
                path: path.to_owned(),
                offset,
                why,
            })
        };
        let mut scan = scan(&*disk, &log_dir, &listing, closing, folder.made, &mut show)?;
        let by_repairs = left_by_repairs(&*disk, &folder, dir, &mut scan.recovery.notes);
        scan.recovery.quarantined = by_repairs.quarantined;
        if by_repairs.untold.is_some() {
            scan.recovery.notes.push(UNTOLD.to_owned());
        }
        let unmade = !folder.made && scan.end == 0 && scan.recovery.damage.is_empty();
        if unmade && mode != OpenMode::CreateIfMissing {
            // Making it was interrupted before it could hold anything.
            return Err(OpenError::Missing {
                path: dir.to_owned(),
            });
        }
        let mut halt = None;
        let writable = mode != OpenMode::ReadOnly && scan.recovery.damage.is_empty();
        if writable {
            if mend(&*disk, &folder, &mut listing, &mut scan)? == Mended::NoRoom {
                halt = Some(Halt::Stopped);
            } else if unmade {
                create(&*disk, &folder, segment_bytes)?;
                listing = Listing::read(&*disk, &log_dir)?;
                scan = rescan(&*disk, &folder, &listing)?;
            } else {
                // For a store that was there before it can wait for another time.
                let _ = folder.mark_made(&*disk);
            }
        } else if mode == OpenMode::ReadOnly {
            halt = Some(Halt::ReadOnly);
        } else {
            halt = Some(Halt::Damaged);
        }
        if halt.is_none() {
            // Kept, it could be taken for one of this log when the log has grown.
            let ahead = |position: Option<u64>| position.is_none_or(|it| it > scan.end);
            for name in sweep(&*disk, &folder, ahead)? {
                let note =
                    format!("the cache {name} was not of this log or damaged, and is removed");
                scan.recovery.notes.push(note);
            }
        }
        let reserve = if halt.is_none() {
            Reserve::new(disk.clone(), dir, reserve_bytes(segment_bytes))
        } else {
            Reserve::none(disk.clone())
        };
        let mut log = Log::new(disk, folder, reserve);
        log.halt = halt;
        log.segment_bytes = segment_bytes;
        log.written = scan.end;
        log.durable = scan.end;
        log.seq_high = scan.recovery.seq_high;
        log.seq_whole = log.seq_high;
        log.stats.quarantined = scan.recovery.quarantined;
        log.stats.damaged = scan.recovery.damage.len() as u64;
        if let Closing::End(end) = closing {
            log.closed = Some(end);
        }
        log.take_segments(&listing, &scan)?;
        log.rollback(); // Finds the room of the active file.
        Ok((log, scan.recovery))
    }

    fn take_segments(&mut self, listing: &Listing, scan: &Scan) -> Result<(), OpenError> {
        for part in &scan.parts {
            let Some(log_file) = part.file.and_then(|at| listing.files.get(at)) else {
                continue;
            };
            let compacted = log_file.name.generation > 0;
            let known_to = log_file.header.map_or(0, |header| header.known_to);
            self.segments.push(Segment {
                name: log_file.name,
                end: part.end,
                known_to: if compacted { known_to } else { 0 },
                total: part.total,
                live: part.total,
                file_bytes: log_file.len,
                cut: log_file.header.ok().and_then(|header| header.cut),
                file: SegmentFile::new(self.disk.clone(), log_file.path.clone()),
            });
            if compacted || self.halt.is_some() || part.end != scan.end {
                continue;
            }
            let path = &log_file.path;
            let file = self
                .disk
                .open(path, Open::Write)
                .map_err(io_error("open", path))?;
            let allocated = file.len().map_err(io_error("measure", path))?;
            self.active = Some(Active {
                file: file.into(),
                start: part.start,
                room: log_file.made_with().saturating_sub(HEADER),
                allocated,
            });
            if let Some(segment) = self.segments.last_mut() {
                segment.file_bytes = allocated;
            }
        }
        Ok(())
    }
}

/// Makes the first file of a log that has none, and says that the store was made.
fn create(disk: &dyn Disk, folder: &Folder, segment_bytes: u64) -> Result<(), OpenError> {
    let least = segment_bytes.clamp(2 * HEADER, SEGMENT_MIN);
    folder.create_first(disk, least - HEADER)?;
    match folder.mark_made(disk) {
        Err(OpenError::Io { ref source, .. }) if is_full(source) => {
            // All that was left went into the file; it can grow when there is something to write.
            folder.create_first(disk, 0)?;
            folder.mark_made(disk)
        }
        marked => marked,
    }
}

/// Reads a log that holds nothing.
fn rescan(disk: &dyn Disk, folder: &Folder, listing: &Listing) -> Result<Scan, OpenError> {
    let log_dir = folder.log_dir();
    let empty = scan(
        disk,
        &log_dir,
        listing,
        Closing::Absent,
        true,
        &mut |_, path, _| {
            let why = format!("{} holds a record already", first_file());
            Err(io_error("make", path)(std::io::Error::other(why)))
        },
    )?;
    Ok(empty)
}
