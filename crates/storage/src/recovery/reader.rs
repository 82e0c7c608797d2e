//! Goes over the files of a log in their order, and takes every record.

use super::{Damage, HEADER, Part, Scan, Sum, Visit, scanner};
use crate::ahead::Pace;
use crate::error::OpenError;
use crate::folder::{io_error, other_version};
use crate::frames::{Place, Unfinished};
use crate::header::FileName;
use crate::listing::LogFile;
use crate::record::{ALIGNMENT, Header};
use crate::scanner::{Found, Positions, Scanner};
use cortica_env::{Disk, DiskFile, Open};
use std::path::Path;

type Bad = (&'static str, Option<Header>);

pub(super) struct Reader<'a, 'v> {
    pub(super) disk: &'a dyn Disk,
    pub(super) log_dir: &'a Path,
    pub(super) files: &'a [LogFile],
    pub(super) made: bool,
    pub(super) pace: &'a Pace,
    pub(super) visit: &'a mut Visit<'v>,
    /// The frame whose last record has not come yet.
    pub(super) frame: Option<Unfinished>,
    pub(super) scan: Scan,
}

impl Reader<'_, '_> {
    pub(super) fn read(&mut self) -> Result<(), OpenError> {
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
        self.pace.reached(at, offset);
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
    pub(super) fn show_frame(&mut self) -> Result<(), OpenError> {
        let Some(frame) = self.frame.take() else {
            return Ok(());
        };
        let (files, visit) = (self.files, &mut *self.visit);
        frame.show(|record, Place { file, offset }| visit(record, &files[file].path, offset))
    }

    pub(super) fn open(&self, log_file: &LogFile) -> Result<Box<dyn DiskFile>, OpenError> {
        let opened = self.disk.open(&log_file.path, Open::Read);
        opened.map_err(io_error("open", &log_file.path))
    }

    pub(super) fn damage(
        &mut self,
        file: &Path,
        at: std::ops::Range<u64>,
        why: &str,
        header: Option<Header>,
    ) {
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
