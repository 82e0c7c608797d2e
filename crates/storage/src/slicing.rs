//! Rewriting a file from its end, where there is no room for all that is wanted of it.
//!
//! As much of the end as fits goes into a compacted file of its own; when that has its name, durably,
//! the old file is cut there, and what was behind is free. Then the next piece fits. The new file's
//! header says what is left of the old one, so that a file that was cut is told from one that
//! somebody cut, and what a crash left uncut is cut by the next opening.

use crate::compaction::{Fate, Freed, Plan, Rewritten};
use crate::error::CompactError;
use crate::header::Cut;
use crate::log::{Failure, HEADER, Log};
use crate::record::{Location, Record, span};
use crate::recovery::Sum;
use crate::segment::{Segment, SegmentFile};
use crate::writer::{Writer, Written, io_error, read_segment};
use cortica_env::Open;

/// What stays of a file whose end was rewritten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Front {
    cut: Cut,
    /// Bytes of its records that still mean something.
    live: u64,
}

impl Plan {
    /// Rewrites as much of the end of its one file as there is room for.
    pub(crate) fn rewrite_end(
        self,
        mut keep: impl FnMut(&Record<'_>) -> Fate,
    ) -> Result<Rewritten, CompactError> {
        let Some(source) = self.sources.first() else {
            return Err(CompactError::OtherLog);
        };
        let mut wanted = 0;
        read_segment(source, &mut |record| {
            wanted += kept_bytes(record, &keep(record));
            Ok(())
        })?;
        let log_dir = self.folder.log_dir();
        let reserve = Some(self.reserve);
        let mut writer = Writer::create(self.disk, &log_dir, self.header, reserve)?;
        let room = writer.reserve_room(wanted)?;
        let mut sum = Sum::default();
        let (mut length, mut live) = (HEADER, 0);
        let mut begun = false;
        read_segment(source, &mut |record| {
            let fate = keep(record);
            // `keep` may say something else the second time, so it may not be subtracted blindly.
            if !begun && wanted.saturating_sub(live) > room {
                sum.add(&record.header());
                length += u64::from(record.location().bytes);
                live += kept_bytes(record, &fate);
                return Ok(());
            }
            if !begun && sum.records > 0 {
                let cut = Cut {
                    name: source.name,
                    length,
                    records: sum.records,
                    headers_crc: sum.crc(),
                };
                writer.cover_from(record.position, cut);
            }
            begun = true;
            match fate {
                Fate::Keep => writer.push(record),
                Fate::Drop => Ok(()),
                Fate::Replace(payload) => writer.push_replaced(record, &payload),
            }
        })?;
        if !begun && sum.records > 0 {
            return Err(CompactError::Full); // Not even for the last record.
        }
        let written = writer.finish()?;
        let cut = written.header.cut.filter(|cut| cut.name == source.name);
        Ok(Rewritten {
            sources: self.sources,
            written,
            front: cut.map(|cut| Front { cut, live }),
            folder: self.folder,
            busy: self.busy,
        })
    }
}

/// Bytes that a record takes in a new file.
fn kept_bytes(record: &Record<'_>, fate: &Fate) -> u64 {
    match fate {
        Fate::Keep => u64::from(record.location().bytes),
        Fate::Drop => 0,
        Fate::Replace(payload) => span(payload.len()),
    }
}

impl Log {
    /// Puts a rewritten end in its place, durably, and cuts the file it was the end of.
    pub(crate) fn install_end(
        &mut self,
        at: usize,
        mut written: Written,
        front: Front,
    ) -> Result<Freed, CompactError> {
        if self.segments[at].is_pinned() {
            return Err(CompactError::Full); // A snapshot that was begun meanwhile reads the end.
        }
        written.place()?;
        let log_dir = self.folder.log_dir();
        if let Err(error) = self.disk.sync_dir(&log_dir) {
            // Whether it is there after a power cut, nobody knows. The old file stays as it is.
            return Err(self.stop(Failure::Io("sync the folder of", error)).into());
        }
        let header = written.header;
        let retired = std::mem::take(&mut self.retired_since);
        let retired_in = |range: std::ops::Range<u64>| {
            let inside = |location: &&Location| range.contains(&location.position);
            let bytes = retired.iter().filter(inside).map(|it| u64::from(it.bytes));
            bytes.sum::<u64>()
        };
        let total = header.length - HEADER;
        let end = Segment {
            name: written.name,
            end: header.end,
            known_to: header.known_to,
            total,
            live: total.saturating_sub(retired_in(header.start..header.end)),
            file_bytes: header.length,
            cut: header.cut,
            file: SegmentFile::new(self.disk.clone(), written.path.clone()),
        };
        let old = &mut self.segments[at];
        let was = old.file_bytes;
        old.end = header.start;
        old.total = front.cut.length - HEADER;
        old.live = front
            .live
            .saturating_sub(retired_in(old.name.start..old.end));
        let path = old.file.path.clone();
        self.segments.insert(at + 1, end);
        self.planned = false;
        self.stats.compactions += 1;
        // Left uncut, it is cut by the next opening; but whoever wants bytes gone must hear of it.
        let file = self.disk.open(&path, Open::Write);
        file.and_then(|file| {
            file.set_len(front.cut.length)?;
            file.sync()
        })
        .map_err(io_error("cut", &path))?;
        self.segments[at].file_bytes = front.cut.length;
        let freed = was.saturating_sub(front.cut.length + header.length);
        self.stats.freed_bytes += freed;
        Ok(Freed {
            files: 0,
            bytes: freed,
            ..Freed::default()
        })
    }
}
