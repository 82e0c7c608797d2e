//! A copy of a log while it goes on, and back.

use crate::closing::Closing;
use crate::compaction::Fate;
use crate::durability::Durability;
use crate::error::{CommitError, CompactError, OpenError};
use crate::folder::{Folder, OpenMode};
use crate::header::SegmentHeader;
use crate::log::{Halt, Log};
use crate::record::Record;
use crate::segment::Segment;
use crate::unfinished::Unfinished;
use crate::writer::{Writer, Written, io_error, read_segment};
use cortica_env::Disk;
use std::path::Path;
use std::sync::Arc;

/// A log as it was at one moment. Its files stay for as long as this is there, whatever becomes of
/// the log meanwhile; the store stays locked.
#[derive(Debug)]
pub struct Snapshot {
    sources: Vec<Segment>,
    end: u64,
    seq_high: u64,
    segment_bytes: u64,
    #[expect(dead_code, reason = "held, not read: the store stays locked")]
    folder: Arc<Folder>,
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// Records.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Files they are in.
    pub files: u64,
    /// What the copy reached: always durable, because it counts only then.
    pub durability: Durability,
}

impl Log {
    /// Holds on to the log as it is now. Writes and syncs what was committed; forgets what was
    /// appended and not committed. The copying itself needs no log.
    pub fn plan_snapshot(&mut self) -> Result<Snapshot, CompactError> {
        match self.halt {
            None => {
                self.rollback();
                self.make_durable()?;
            }
            Some(Halt::ReadOnly) if self.stats.damaged == 0 => {}
            Some(Halt::ReadOnly) => return Err(CommitError::Damaged.into()),
            Some(_) => self.check_halt()?,
        }
        Ok(Snapshot {
            sources: self.segments.clone(),
            end: self.written,
            seq_high: self.seq_high,
            segment_bytes: self.segment_bytes,
            folder: self.folder.clone(),
        })
    }
}

impl Snapshot {
    /// Log position up to which it goes.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Makes a store of the records that `keep` keeps, in a folder that is absent or empty. They
    /// keep their positions. Every file is read again before it counts; until all are there, the
    /// folder says that it is unfinished and cannot be opened. On an error what was written is removed,
    /// unless only the last sync failed: the store is there then, and a power cut may bring back that it is unfinished.
    pub fn write(
        &self,
        disk: &Arc<dyn Disk>,
        dest: &Path,
        keep: impl FnMut(&Record<'_>) -> Fate,
    ) -> Result<Copied, CompactError> {
        let unfinished = Unfinished::begin(&**disk, dest)?;
        match self.write_log(disk, &unfinished.log_dir(), keep) {
            Ok(copied) => {
                unfinished.finish()?;
                Ok(copied)
            }
            Err(error) => {
                unfinished.abandon();
                Err(error)
            }
        }
    }

    fn write_log(
        &self,
        disk: &Arc<dyn Disk>,
        log_dir: &Path,
        mut keep: impl FnMut(&Record<'_>) -> Fate,
    ) -> Result<Copied, CompactError> {
        let mut copied = Copied::default();
        let mut writer = self.begin(disk, log_dir, 0)?;
        for source in &self.sources {
            read_segment(source, &mut |record| {
                let payload = match keep(record) {
                    Fate::Drop => return Ok(()),
                    Fate::Keep => None,
                    Fate::Replace(payload) => Some(payload),
                };
                if writer.bytes() >= self.segment_bytes {
                    writer.cover_until(record.position);
                    let next = self.begin(disk, log_dir, record.position)?;
                    add(&mut copied, std::mem::replace(&mut writer, next))?;
                }
                match payload {
                    None => writer.push(record),
                    Some(payload) => writer.push_replaced(record, &payload),
                }
            })?;
        }
        add(&mut copied, writer)?;
        // Its folder is synced with it, so the files' names are durable too.
        Closing::write(&**disk, log_dir, self.end).map_err(io_error("close", log_dir))?;
        Ok(copied)
    }

    fn begin(&self, disk: &Arc<dyn Disk>, dir: &Path, start: u64) -> Result<Writer, CompactError> {
        let header = SegmentHeader {
            start,
            end: self.end,
            durable_to: self.end,
            known_to: self.end,
            seq_high: self.seq_high,
            generation: 1,
            ..SegmentHeader::default()
        };
        Writer::create(disk.clone(), dir, header, None)
    }
}

fn add(copied: &mut Copied, writer: Writer) -> Result<(), CompactError> {
    copied.bytes += writer.bytes();
    let mut written: Written = writer.finish()?;
    copied.records += written.header.records;
    copied.files += 1;
    written.place()
}

/// Copies the store in the folder `from`, such as a snapshot, into the folder `to`, which is absent
/// or empty. Verifies every checksum of it first, and changes nothing about it.
pub fn restore(disk: &Arc<dyn Disk>, from: &Path, to: &Path) -> Result<Copied, CompactError> {
    let (mut log, recovery) = Log::open(disk.clone(), from, OpenMode::ReadOnly, |_| Ok(()))?;
    if let Some(damage) = recovery.damage.into_iter().next() {
        return Err(OpenError::Corrupt {
            path: damage.file,
            offset: damage.offset,
            why: damage.why,
        }
        .into());
    }
    log.plan_snapshot()?.write(disk, to, |_| Fate::Keep)
}
