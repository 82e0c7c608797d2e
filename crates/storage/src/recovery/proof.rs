//! Tells damage from the end of a commit that never finished, by what is written behind the place.

use super::reader::Reader;
use super::{HEADER, Scan, Tail, scanner};
use crate::error::OpenError;
use crate::folder::{io_error, other_version};
use crate::frames::Unfinished;
use crate::listing::LogFile;
use crate::scanner::{Found, Positions};
use std::path::PathBuf;

impl Reader<'_, '_> {
    /// Whether the bad place at an offset of a file was durable once. If not, the log ends there, or
    /// where the frame begins that is not whole.
    pub(super) fn was_durable(&mut self, at: usize, offset: u64) -> Result<bool, OpenError> {
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
}
