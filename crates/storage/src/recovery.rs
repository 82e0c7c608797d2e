//! Reads a whole log and says what of it is whole, what is damaged, and where it ends.
//!
//! A bad place is *damage* where something proves that it was durable once: a record or a file
//! header written later that says so, a compacted file, or the closing file. Otherwise it is the
//! end of a commit that never finished, whose parts may have reached the disk out of order. A frame
//! whose last record is missing there belongs to that end with all its records.

mod proof;
mod reader;

use self::reader::Reader;
use crate::ahead::{Pace, reading_ahead};
use crate::closing::Closing;
use crate::error::OpenError;
use crate::folder::io_error;
use crate::header::{SEGMENT_HEADER_LEN, SegmentHeader};
use crate::listing::Listing;
use crate::record::{Header, Record};
use crate::scanner::{Positions, Scanner};
use cortica_env::{Disk, DiskFile};
use std::path::{Path, PathBuf};

const HEADER: u64 = SEGMENT_HEADER_LEN as u64;

/// A stretch of the log that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The file it is in, or that is missing.
    pub file: PathBuf,
    /// File offset of its first byte.
    pub offset: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// What is wrong with it.
    pub why: String,
    /// The seq of the record that was there, where its header is whole.
    pub seq: Option<u64>,
    /// The kind of that record.
    pub kind: Option<u16>,
}

/// What opening a log found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovery {
    /// Whole records.
    pub records: u64,
    /// Bytes after the last whole record that were cut off: a commit that never finished, or the
    /// last one before a crash, damaged since. A log that is opened for reading keeps them.
    pub dropped_tail_bytes: u64,
    /// Whole records among those bytes.
    pub set_aside_records: u64,
    /// The files that keep those bytes, if there were whole records among them.
    pub set_aside: Vec<PathBuf>,
    /// Bytes that were durable once and are not as they were. If there are any, the log is open
    /// for reading only, and nothing was changed.
    pub damage: Vec<Damage>,
    /// The highest seq any record of the log ever had, those that are gone included.
    pub seq_high: u64,
    /// Files that repairs moved into the folder `quarantine`.
    pub quarantined: u64,
    /// What else there is to say, in words.
    pub notes: Vec<String>,
}

/// A stretch of the log, and the file that holds it.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Which of the listing's files; none for one that is missing.
    pub(crate) file: Option<usize>,
    /// Bytes of whole records.
    pub(crate) total: u64,
    pub(crate) damaged: bool,
}

/// The end of a log that nothing proves durable.
#[derive(Clone, Debug)]
pub(crate) struct Tail {
    /// Which file it begins in, and where in it; offset 0 where all of that file belongs to it.
    pub(crate) file: usize,
    pub(crate) offset: u64,
    /// For that file and each after it: the offset behind its last byte in use, and its whole
    /// records.
    pub(crate) files: Vec<(u64, u64)>,
}

/// What a log turned out to hold.
#[derive(Debug)]
pub(crate) struct Scan {
    pub(crate) recovery: Recovery,
    pub(crate) parts: Vec<Part>,
    /// Log position behind the last whole record.
    pub(crate) end: u64,
    /// Log position up to which the log itself proves that it is durable.
    pub(crate) proven: u64,
    /// Where the log ended when it was last closed.
    closed: Option<u64>,
    /// Bytes of whole records.
    pub(crate) bytes: u64,
    pub(crate) tail: Option<Tail>,
}

/// What is shown every whole record, with the file and the offset it is at.
pub(crate) type Visit<'a> = dyn FnMut(Record<'_>, &Path, u64) -> Result<(), OpenError> + 'a;

/// Reads the files of a log. `made` says that the first one was durable once.
pub(crate) fn scan(
    disk: &dyn Disk,
    log_dir: &Path,
    listing: &Listing,
    closing: Closing,
    made: bool,
    visit: &mut Visit<'_>,
) -> Result<Scan, OpenError> {
    reading_ahead(disk, &listing.files, |pace| {
        look_at_all(disk, log_dir, listing, closing, made, pace, visit)
    })
}

fn look_at_all(
    disk: &dyn Disk,
    log_dir: &Path,
    listing: &Listing,
    closing: Closing,
    made: bool,
    pace: &Pace,
    visit: &mut Visit<'_>,
) -> Result<Scan, OpenError> {
    let mut reader = Reader {
        pace,
        disk,
        log_dir,
        files: &listing.files,
        made,
        visit,
        frame: None,
        scan: Scan {
            recovery: Recovery {
                notes: listing.notes.clone(),
                ..Recovery::default()
            },
            parts: Vec::new(),
            end: 0,
            proven: closing.end(),
            closed: match closing {
                Closing::End(end) => Some(end),
                Closing::Absent | Closing::Bad => None,
            },
            bytes: 0,
            tail: None,
        },
    };
    if closing == Closing::Bad {
        let path = log_dir.join(crate::closing::CLOSED);
        let note = format!(
            "{} is damaged; the next clean close replaces it",
            path.display()
        );
        reader.scan.recovery.notes.push(note);
    }
    for file in &listing.rejected {
        let why = file.header.err();
        let why = why.unwrap_or("another file has its place in the log");
        reader.damage(&file.path, 0..file.len, why, None);
    }
    reader.read()?;
    Ok(reader.scan)
}

impl Scan {
    /// Whether the log was closed in the file that starts there.
    pub(crate) fn closed_in(&self, start: u64) -> bool {
        self.closed.is_some_and(|end| end >= start)
    }
}

/// What a compacted file's header says about its records.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) records: u64,
    crc: crc32fast::Hasher,
}

impl Sum {
    pub(crate) fn add(&mut self, header: &Header) {
        self.records += 1;
        self.crc.update(&header.encode());
    }

    pub(crate) fn crc(&self) -> u32 {
        self.crc.clone().finalize()
    }
}

/// A scanner over a file's records.
pub(crate) fn scanner<'a>(
    file: &'a dyn DiskFile,
    positions: Positions,
    end: u64,
    path: &Path,
) -> Result<Scanner<'a>, OpenError> {
    Scanner::new(file, positions, end).map_err(io_error("measure", path))
}

/// The positions a file's records may have, and the offset behind the last of them.
pub(crate) fn extent(header: &SegmentHeader, end: u64) -> (Positions, u64) {
    if header.compacted() {
        let positions = Positions::Rising {
            from: header.start,
            below: header.end,
        };
        (positions, header.length)
    } else {
        let positions = Positions::Dense {
            start: header.start,
        };
        (positions, HEADER + (end - header.start))
    }
}
