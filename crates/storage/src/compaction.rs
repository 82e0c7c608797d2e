//! Rewriting files without what is dead, in three steps of which the long one needs no log.

use crate::cache::sweep;
use crate::durability::Durability;
use crate::error::{CommitError, CompactError};
use crate::folder::Folder;
use crate::header::SegmentHeader;
use crate::log::{Failure, HEADER, Log};
use crate::planning::{Effort, Situation, everything, waste, worthwhile};
use crate::record::Record;
use crate::reserve::Reserve;
use crate::segment::{Segment, SegmentFile};
use crate::slicing::Front;
use crate::writer::{Writer, Written, read_segment};
use cortica_env::Disk;
use std::ops::Range;
use std::sync::Arc;

/// What becomes of a record when its file is rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays as it is.
    Keep,
    /// It is dead.
    Drop,
    /// It stays with this payload.
    Replace(Vec<u8>),
}

/// Neighbouring files that are worth rewriting as one.
#[derive(Debug)]
pub struct Plan {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) folder: Arc<Folder>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) sources: Vec<Segment>,
    pub(crate) header: SegmentHeader,
    earlier_known_to: u64,
    /// Whether it may be rewritten from its end, for want of room for all of it.
    by_its_end: bool,
    pub(crate) busy: Arc<()>,
}

/// A file that was rewritten and is not yet part of the log. Dropped, it is removed.
#[derive(Debug)]
pub struct Rewritten {
    pub(crate) sources: Vec<Segment>,
    pub(crate) written: Written,
    /// What is left of its one source, if that is only cut.
    pub(crate) front: Option<Front>,
    #[expect(dead_code, reason = "held, not read: the store stays locked")]
    pub(crate) folder: Arc<Folder>,
    #[expect(dead_code, reason = "held, not read: one compaction at a time")]
    pub(crate) busy: Arc<()>,
}

/// What a compaction freed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Freed {
    /// Files that one new file took the place of.
    pub files: u64,
    /// Bytes on disk that went, less those of the new file.
    pub bytes: u64,
    /// Bytes among them that go only when a snapshot that is under way is done.
    pub pinned_bytes: u64,
    /// What the new files reached: always durable, because old ones go only then.
    pub durability: Durability,
}

impl Log {
    /// Chooses files to rewrite, if there are any that `effort` calls for. Writes and syncs what
    /// was committed, because what is dead may be so only by the newest records; forgets what was
    /// appended and not committed.
    ///
    /// [`Effort::Everything`] takes several plans: ask until there is none, and let none of the
    /// three steps be skipped. O(files).
    ///
    /// Where a step says [`CompactError::Full`], what is kept back for this is used up, and the next
    /// plan is for the file that needs the least room, from its end, as far as there is room: each
    /// step frees some for the next.
    pub fn plan_compaction(&mut self, effort: Effort) -> Result<Option<Plan>, CompactError> {
        self.check_halt()?;
        if Arc::strong_count(&self.compacting) > 1 {
            return match effort {
                Effort::Worthwhile => Ok(None),
                Effort::Everything => Err(CompactError::Busy),
            };
        }
        self.rollback();
        if effort == Effort::Everything {
            if self.everything_to.is_none() || self.planned {
                // Begun, or begun again because the last plan came to nothing.
                self.seal()?;
                self.everything_to = Some(self.retired_at);
            }
            self.planned = true;
        }
        let sealed = &self.segments[..self.segments.len() - usize::from(self.active.is_some())];
        let tight = !self.reserve.is_whole();
        if tight && sealed.iter().all(|segment| waste(segment) == 0) {
            self.reserve.refill(); // What was freed may do to have fewer files.
        }
        let situation = Situation {
            file_bytes: self.file_bytes(),
            live: self.segments.iter().map(|segment| segment.live).sum(),
            tight,
            room: self.reserve.held(),
        };
        let chosen = match effort {
            Effort::Worthwhile => worthwhile(sealed, situation),
            Effort::Everything => everything(sealed, self.everything_to.unwrap_or(0), situation),
        };
        let Some(chosen) = chosen else {
            if effort == Effort::Everything {
                self.forget_caches(self.everything_to.unwrap_or(0))?;
                (self.everything_to, self.planned) = (None, false);
                self.reserve.refill();
            }
            return Ok(None);
        };
        self.make_durable()?;
        self.retired_since.clear();
        self.watching = tight;
        Ok(self.plan(chosen, tight))
    }

    /// Keeps back again, as far as there is room, what compaction has used of it. To be called when no further
    /// plan is asked for before there was none left: the last step of several does it by itself.
    pub fn keep_room_back(&self) {
        self.reserve.refill();
    }

    fn plan(&self, chosen: Range<usize>, tight: bool) -> Option<Plan> {
        let by_its_end = tight && chosen.len() == 1;
        // What is left of a file that is cut comes before its end, and was not rewritten.
        let earlier = chosen.start + usize::from(by_its_end);
        let earlier = self.segments[..earlier].iter();
        let earlier_known_to = earlier.map(|segment| segment.known_to).min();
        let before = chosen.start.checked_sub(1).map(|at| &self.segments[at]);
        let sources = self.segments[chosen].to_vec();
        let (first, last) = (sources.first()?, sources.last()?);
        // What the first one says about the file before it, somebody must go on saying.
        let cut = first
            .cut
            .filter(|cut| before.is_some_and(|before| before.name == cut.name));
        let newest = sources.iter().map(|source| source.name.generation).max()?;
        let header = SegmentHeader {
            start: first.name.start,
            end: last.end,
            durable_to: self.durable,
            known_to: self.end(),
            seq_high: self.seq_high,
            generation: newest.checked_add(1)?,
            cut,
            ..SegmentHeader::default()
        };
        Some(Plan {
            disk: self.disk.clone(),
            folder: self.folder.clone(),
            reserve: self.reserve.clone(),
            sources,
            header,
            earlier_known_to: earlier_known_to.unwrap_or(u64::MAX),
            by_its_end,
            busy: self.compacting.clone(),
        })
    }

    /// Puts a rewritten file in the place of those it was made from, durably, and removes them.
    pub fn install(&mut self, rewritten: Rewritten) -> Result<Freed, CompactError> {
        self.check_halt()?;
        let Rewritten {
            sources,
            mut written,
            front,
            ..
        } = rewritten;
        let Some(at) = self.find(&sources) else {
            return Err(CompactError::OtherLog);
        };
        if let Some(front) = front {
            drop(sources);
            return self.install_end(at.start, written, front);
        }
        written.place()?;
        let log_dir = self.folder.log_dir();
        if let Err(error) = self.disk.sync_dir(&log_dir) {
            // Which of the files are there after a power cut, nobody knows. The old ones stay.
            return Err(self.stop(Failure::Io("sync the folder of", error)).into());
        }
        let header = written.header;
        let total = header.length - HEADER;
        let was = sources.iter().map(|source| source.live).sum::<u64>();
        let is = self.segments[at.clone()]
            .iter()
            .map(|it| it.live)
            .sum::<u64>();
        let new = Segment {
            name: written.name,
            end: header.end,
            known_to: header.known_to,
            total,
            // What was retired since the plan was made is in the new file too.
            live: total.saturating_sub(was.saturating_sub(is)),
            file_bytes: header.length,
            cut: header.cut,
            file: SegmentFile::new(self.disk.clone(), written.path.clone()),
        };
        drop(sources);
        let old: Vec<_> = self.segments.splice(at, [new]).collect();
        let mut freed = Freed {
            files: old.len() as u64,
            ..Freed::default()
        };
        let mut removed = Ok(());
        let mut bytes = 0;
        for segment in old {
            bytes += segment.file_bytes;
            let path = segment.file.path.clone();
            match Arc::try_unwrap(segment.file) {
                Ok(_) => removed = removed.and(self.disk.remove(&path)),
                Err(pinned) => {
                    pinned.doom();
                    freed.pinned_bytes += segment.file_bytes;
                }
            }
        }
        freed.bytes = bytes.saturating_sub(header.length);
        self.planned = false;
        self.stats.compactions += 1;
        self.stats.freed_bytes += freed.bytes;
        // Left behind, a file is removed by the next opening; but whoever wants bytes gone must
        // hear of it.
        removed
            .and_then(|()| self.disk.sync_dir(&log_dir))
            .map_err(crate::writer::io_error("remove files from", &log_dir))?;
        self.reserve.refill();
        Ok(freed)
    }

    /// Where these files are in the log.
    fn find(&self, sources: &[Segment]) -> Option<Range<usize>> {
        let first = sources.first()?;
        let at = self.segments.iter().position(|it| it.name == first.name)?;
        let here = self.segments.get(at..at + sources.len())?;
        let same = here
            .iter()
            .zip(sources)
            .all(|(a, b)| Arc::ptr_eq(&a.file, &b.file));
        same.then_some(at..at + sources.len())
    }

    pub(crate) fn check_halt(&self) -> Result<(), CommitError> {
        self.halt.map_or(Ok(()), |halt| Err(halt.error()))
    }

    /// Makes durable all that was committed.
    pub(crate) fn make_durable(&mut self) -> Result<(), CommitError> {
        match self.write(false).and_then(|()| self.sync()) {
            Ok(()) => Ok(()),
            Err(Failure::Full) => Err(CommitError::Full),
            Err(failure) => Err(self.stop(failure)),
        }
    }

    /// Removes caches that may hold what was forgotten before a position.
    fn forget_caches(&self, before: u64) -> Result<(), CompactError> {
        let mut writing = self.folder.writing();
        writing.from = writing.from.max(before);
        drop(writing);
        let old = |position: Option<u64>| position.is_none_or(|position| position < before);
        sweep(&*self.disk, &self.folder, old)?;
        Ok(())
    }

    /// Ends the active file, so that it can be rewritten too.
    fn seal(&mut self) -> Result<(), CommitError> {
        self.make_durable()?;
        if self
            .active
            .as_ref()
            .is_none_or(|active| active.start == self.written)
        {
            return Ok(());
        }
        self.finish()?;
        self.active = None;
        self.drop_breaks();
        Ok(())
    }
}

impl Plan {
    /// The log positions it covers.
    pub fn range(&self) -> Range<u64> {
        self.header.start..self.header.end
    }

    /// Up to which position it was known what is dead when the files before the range were
    /// written: the least of them all; 0 where one of them was never rewritten, `u64::MAX` where
    /// there is none. What a record before that position says to be dead is in none of them, so
    /// the record itself is needed no more.
    pub fn earlier_known_to(&self) -> u64 {
        self.earlier_known_to
    }

    /// Bytes of records in its files.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.total).sum()
    }

    /// Writes the records that `keep` keeps into a new file, syncs it and reads it again. What is
    /// dead must be judged as of the moment the plan was made, or later. `keep` is asked about each
    /// record once or, where space is short, twice, and says the same both times.
    ///
    /// Reads and writes without the log; memory is bounded by the largest record.
    pub fn rewrite(
        self,
        mut keep: impl FnMut(&Record<'_>) -> Fate,
    ) -> Result<Rewritten, CompactError> {
        if self.by_its_end {
            return self.rewrite_end(keep);
        }
        let log_dir = self.folder.log_dir();
        let reserve = Some(self.reserve);
        let mut writer = Writer::create(self.disk, &log_dir, self.header, reserve)?;
        for source in &self.sources {
            read_segment(source, &mut |record| match keep(record) {
                Fate::Keep => writer.push(record),
                Fate::Drop => Ok(()),
                Fate::Replace(payload) => writer.push_replaced(record, &payload),
            })?;
        }
        Ok(Rewritten {
            sources: self.sources,
            written: writer.finish()?,
            front: None,
            folder: self.folder,
            busy: self.busy,
        })
    }
}
