//! Reads a whole log and says what of it is whole, what is damaged, and where it ends.
//!
//! A bad place is *damage* where something proves that it was durable once: a record or a file
//! header written later that says so, a compacted file, or the closing file. Otherwise it is the
//! end of a commit that never finished, whose parts may have reached the disk out of order. A frame
//! whose last record is missing there belongs to that end with all its records.

use crate::closing::Closing;
use crate::error::OpenError;
use crate::folder::{io_error, other_version};
use crate::frames::{Place, Unfinished};
use crate::header::{FileName, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::listing::{Listing, LogFile};
use crate::record::{ALIGNMENT, Header, Record};
use crate::scanner::{Found, Positions, Scanner};
use cortica_env::{Disk, DiskFile, Open};
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
    let mut reader = Reader {
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

struct Reader<'a, 'v> {
    disk: &'a dyn Disk,
    log_dir: &'a Path,
    files: &'a [LogFile],
    made: bool,
    visit: &'a mut Visit<'v>,
    /// The frame whose last record has not come yet.
    frame: Option<Unfinished>,
    scan: Scan,
}

impl Reader<'_, '_> {
    fn read(&mut self) -> Result<(), OpenError> {
        for at in 0..self.files.len() {
            let start = self.files[at].name.start;
            if start < self.scan.end {
                let file = &self.files[at];
                let why = file.header.err();
                let why = why.unwrap_or("it overlaps the file before it");
                self.damage(&file.path, 0..file.len, why, None);
                continue;
            }
            if start > self.scan.end && !self.bridge(at, start)? {
                return Ok(());
            }
            if !self.read_file(at)? {
                return Ok(());
            }
        }
        if self.scan.proven > self.scan.end {
            self.missing(self.scan.proven);
        }
        // A rewritten file is the last one: what it has was there as a whole.
        self.show_frame()
    }

    /// Goes over a gap before a file, which is damage or the end of the log.
    fn bridge(&mut self, at: usize, start: u64) -> Result<bool, OpenError> {
        if !self.was_durable(at, 0)? {
            return Ok(false);
        }
        self.missing(start);
        Ok(true)
    }

    fn missing(&mut self, until: u64) {
        let start = self.scan.end;
        let name = FileName {
            start,
            generation: 0,
        };
        let path = self.log_dir.join(name.to_string());
        self.damage(&path, 0..until - start, "the file is missing", None);
        self.scan.parts.push(Part {
            start,
            end: until,
            file: None,
            total: 0,
            damaged: true,
        });
        self.scan.end = until;
    }

    /// Reads one file. Returns whether the log goes on behind it.
    fn read_file(&mut self, at: usize) -> Result<bool, OpenError> {
        let log_file = &self.files[at];
        let start = log_file.name.start;
        let before = self.scan.recovery.damage.len();
        let bytes_before = self.scan.bytes;
        match log_file.header {
            Ok(header) => {
                let seq_high = &mut self.scan.recovery.seq_high;
                *seq_high = header.seq_high.max(*seq_high);
                let proves = if header.compacted() {
                    header.end
                } else {
                    header.durable_to.min(start)
                };
                self.scan.proven = self.scan.proven.max(proves);
            }
            Err(why) => {
                let named = log_file.name.generation > 0 || (start == 0 && self.made);
                if !named && !self.was_durable(at, 0)? {
                    return Ok(false);
                }
                self.damage(&log_file.path, 0..HEADER.min(log_file.len), why, None);
            }
        }
        let file = self.open(log_file)?;
        let goes_on = if log_file.name.generation > 0 {
            self.read_compacted(at, &*file)?;
            true
        } else {
            self.read_plain(at, &*file)?
        };
        if self.scan.end < start {
            return Ok(false); // The log ends in an earlier file, where a frame begins.
        }
        self.scan.parts.push(Part {
            start,
            end: self.scan.end,
            file: Some(at),
            total: self.scan.bytes - bytes_before,
            damaged: self.scan.recovery.damage.len() > before,
        });
        Ok(goes_on)
    }

    fn read_plain(&mut self, at: usize, file: &dyn DiskFile) -> Result<bool, OpenError> {
        let log_file = &self.files[at];
        let start = log_file.name.start;
        let next = self.files.get(at + 1).map(|next| next.name.start);
        let cut = log_file.cut.map(|(end, _)| end);
        let limit = next.into_iter().chain(cut).min();
        let data_end = cut.map_or(u64::MAX, |end| HEADER + (end - start));
        let positions = Positions::Dense { start };
        let mut scanner = scanner(file, positions, data_end, &log_file.path)?;
        loop {
            let offset = scanner.offset();
            let Some((why, header)) = self.take(&mut scanner, at, &mut Sum::default())? else {
                continue;
            };
            if limit.is_some_and(|limit| self.scan.end >= limit) {
                return Ok(true);
            }
            if !self.was_durable(at, offset)? {
                self.check_length(at);
                return Ok(false);
            }
            let found = scanner.resync().map_err(io_error("read", &log_file.path))?;
            let mut behind = start + scanner.offset().saturating_sub(HEADER);
            if !found {
                scanner.move_to(offset);
                let used = scanner.used_until();
                let used = used.map_err(io_error("read", &log_file.path))?;
                let used = start + (used.max(HEADER) - HEADER).next_multiple_of(ALIGNMENT);
                // Behind it no record may ever be written that could be taken for what was here.
                behind = limit.unwrap_or(self.scan.proven.max(used));
                scanner.move_to(scanner.end());
            }
            if let Some(limit) = limit {
                behind = behind.min(limit);
            }
            let to = HEADER + (behind - start);
            self.damage(&log_file.path, offset..to, why, header);
            self.scan.end = behind;
            if !found || limit.is_some_and(|limit| behind >= limit) {
                return Ok(true);
            }
        }
    }

    /// A last file that is shorter than it was made, although nobody closed the log since, was cut.
    fn check_length(&mut self, at: usize) {
        let log_file = &self.files[at];
        let start = log_file.name.start;
        let Ok(header) = log_file.header else { return };
        let proven = self.scan.proven;
        // A clean close gives back what is not used. It proves the log's end, too.
        let closed = self.scan.closed_in(start);
        let durable = proven > start || (start == 0 && self.made);
        if at + 1 == self.files.len() && durable && !closed && log_file.len < header.length {
            let cut = log_file.len..header.length;
            self.damage(
                &log_file.path,
                cut,
                "it is shorter than it was made, and nothing says that the log was closed here",
                None,
            );
        }
    }

    fn read_compacted(&mut self, at: usize, file: &dyn DiskFile) -> Result<(), OpenError> {
        let log_file = &self.files[at];
        let start = log_file.name.start;
        let limit = self.files.get(at + 1).map(|next| next.name.start);
        let (below, data_end) = match (log_file.cut, log_file.header) {
            (Some((end, cut)), _) => (end, cut.length),
            (None, Ok(header)) => (header.end, header.length),
            (None, Err(_)) => (limit.unwrap_or(u64::MAX), log_file.len),
        };
        let positions = Positions::Rising { from: start, below };
        let mut scanner = scanner(file, positions, data_end, &log_file.path)?;
        let mut sum = Sum::default();
        let mut whole = true;
        while scanner.offset() < data_end {
            let offset = scanner.offset();
            let bad = self.take(&mut scanner, at, &mut sum)?;
            let Some((why, header)) = bad else { continue };
            whole = false;
            let found = scanner.resync().map_err(io_error("read", &log_file.path))?;
            let to = if found { scanner.offset() } else { data_end };
            self.damage(&log_file.path, offset..to, why, header);
            if !found {
                break;
            }
        }
        let want = match (log_file.cut, log_file.header) {
            (Some((_, cut)), _) => Some((cut.records, cut.headers_crc, cut.length)),
            (None, Ok(header)) => Some((header.records, header.headers_crc, header.length)),
            (None, Err(_)) => None,
        };
        if let Some(want) = want {
            let len = log_file.len - log_file.left_over().unwrap_or(0);
            if whole && want != (sum.records, sum.crc(), len) {
                whole = false;
                let all = 0..log_file.len;
                self.damage(&log_file.path, all, "it does not hold what it should", None);
            }
        }
        let known = log_file.cut.is_some() || log_file.header.is_ok();
        self.scan.end = match limit {
            // The next file may have taken over its end, and be too damaged to say so.
            Some(limit) if !whole && (self.scan.end..below).contains(&limit) => limit,
            _ if known => below,
            _ => limit.unwrap_or(self.scan.proven.max(self.scan.end)),
        };
        Ok(())
    }

    /// Takes the record at the scanner's place, or says what is wrong there.
    fn take(
        &mut self,
        scanner: &mut Scanner<'_>,
        at: usize,
        sum: &mut Sum,
    ) -> Result<Option<Bad>, OpenError> {
        let file = &self.files[at];
        let offset = scanner.offset();
        match scanner.next().map_err(io_error("read", &file.path))? {
            Found::Record(record) => {
                let scan = &mut self.scan;
                let place = Place { file: at, offset };
                if record.goes_on && self.frame.is_none() {
                    let (records, seq_high) = (scan.recovery.records, scan.recovery.seq_high);
                    let from = record.position;
                    let frame = Unfinished::new(place, from, records, scan.bytes, seq_high);
                    self.frame = Some(frame);
                }
                let bytes = u64::from(record.location().bytes);
                scan.proven = scan.proven.max(record.durable_to.min(record.position));
                scan.recovery.records += 1;
                scan.recovery.seq_high = scan.recovery.seq_high.max(record.entry.seq);
                scan.bytes += bytes;
                scan.end = record.position + bytes;
                if file.name.generation > 0 {
                    sum.add(&record.header());
                }
                match &mut self.frame {
                    None => (self.visit)(record, &file.path, offset)?,
                    Some(frame) => {
                        frame.keep(&record, place);
                        if !record.goes_on {
                            self.show_frame()?;
                        }
                    }
                }
                Ok(None)
            }
            Found::Version(version) => Err(other_version(&file.path, u32::from(version))),
            Found::Bad { why, header } => Ok(Some((why, header))),
        }
    }

    /// Shows the records of a frame that is whole, or of which something was lost.
    fn show_frame(&mut self) -> Result<(), OpenError> {
        let Some(frame) = self.frame.take() else {
            return Ok(());
        };
        let (files, visit) = (self.files, &mut *self.visit);
        frame.show(|record, Place { file, offset }| visit(record, &files[file].path, offset))
    }

    /// Whether the bad place at an offset of a file was durable once. If not, the log ends there, or
    /// where the frame begins that is not whole.
    fn was_durable(&mut self, at: usize, offset: u64) -> Result<bool, OpenError> {
        let frame = self.frame.as_ref();
        let begins = frame.map(|frame| (frame.file, frame.offset, frame.start));
        let (at, offset, end) = begins.unwrap_or((at, offset, self.scan.end));
        if self.scan.proven > end {
            self.show_frame()?;
            return Ok(true);
        }
        let mut tail = Tail {
            file: at,
            offset,
            files: Vec::new(),
        };
        let mut version = None;
        for (number, log_file) in self.files.iter().enumerate().skip(at) {
            let from = if number == at { offset } else { 0 };
            if let Ok(header) = log_file.header
                && from == 0
            {
                let proves = if header.compacted() {
                    header.end
                } else {
                    header.durable_to.min(header.start)
                };
                self.scan.proven = self.scan.proven.max(proves);
            }
            tail.files
                .push(self.look_ahead(log_file, from, &mut version)?);
        }
        if self.scan.proven > end {
            self.show_frame()?;
            return Ok(true);
        }
        if let Some((path, version)) = version {
            return Err(other_version(&path, u32::from(version)));
        }
        let recovery = &mut self.scan.recovery;
        recovery.set_aside_records = tail.files.iter().map(|(_, whole)| whole).sum();
        let used = tail.files.iter().map(|(used, _)| used).sum::<u64>();
        recovery.dropped_tail_bytes = used - offset;
        self.scan.tail = Some(tail);
        if let Some(frame) = self.frame.take() {
            self.end_before(&frame);
        }
        Ok(false)
    }

    /// Takes back what was counted of a frame that is not whole.
    fn end_before(&mut self, frame: &Unfinished) {
        let Scan {
            recovery,
            parts,
            end,
            bytes,
            ..
        } = &mut self.scan;
        (*end, *bytes) = (frame.start, frame.bytes);
        (recovery.records, recovery.seq_high) = (frame.records, frame.seq_high);
        parts.retain(|part| part.start < frame.start || part.file == Some(frame.file));
        if let Some(part) = parts.last_mut()
            && part.end > frame.start
        {
            part.total = part.total.saturating_sub(part.end - frame.start);
            part.end = frame.start;
        }
    }

    /// Takes what records behind a place prove. Returns the offset behind the last byte in use,
    /// and how many whole records there are.
    fn look_ahead(
        &mut self,
        log_file: &LogFile,
        from: u64,
        version: &mut Option<(PathBuf, u16)>,
    ) -> Result<(u64, u64), OpenError> {
        let read = |error| io_error("read", &log_file.path)(error);
        let file = self.open(log_file)?;
        let start = log_file.name.start;
        let positions = if log_file.name.generation > 0 {
            Positions::Rising {
                from: start,
                below: u64::MAX,
            }
        } else {
            Positions::Dense { start }
        };
        let mut scanner = scanner(&*file, positions, u64::MAX, &log_file.path)?;
        scanner.move_to(from);
        let mut used = scanner.used_until().map_err(read)?;
        let mut whole = 0;
        scanner.move_to(from.max(HEADER));
        while scanner.offset() < used && scanner.resync().map_err(read)? {
            match scanner.next().map_err(read)? {
                Found::Record(record) => {
                    whole += 1;
                    let proves = record.durable_to.min(record.position);
                    self.scan.proven = self.scan.proven.max(proves);
                    // Its last bytes may be zeros, and belong to it all the same.
                    used = used.max(scanner.offset());
                }
                Found::Version(found) => {
                    // Its header is whole, but this build cannot know where it ends.
                    *version = Some((log_file.path.clone(), found));
                    scanner.step();
                }
                Found::Bad { .. } => scanner.step(),
            }
        }
        Ok((used, whole))
    }

    fn open(&self, log_file: &LogFile) -> Result<Box<dyn DiskFile>, OpenError> {
        let opened = self.disk.open(&log_file.path, Open::Read);
        opened.map_err(io_error("open", &log_file.path))
    }

    fn damage(&mut self, file: &Path, at: std::ops::Range<u64>, why: &str, header: Option<Header>) {
        self.scan.recovery.damage.push(Damage {
            file: file.to_owned(),
            offset: at.start,
            bytes: at.end.saturating_sub(at.start),
            why: why.to_owned(),
            seq: header.map(|header| header.entry.seq),
            kind: header.map(|header| header.entry.kind),
        });
    }
}

type Bad = (&'static str, Option<Header>);

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
