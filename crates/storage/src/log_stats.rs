//! What a log holds, in figures.

use crate::log::Log;
use crate::segment::Segment;

/// What a log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// Bytes of whole records, those still in memory included.
    pub bytes: u64,
    /// Bytes on disk, reserved space included.
    pub file_bytes: u64,
    /// Bytes in memory that no commit has written yet.
    pub waiting_bytes: u64,
    /// Bytes of records that nobody has [retired](Log::retire), those in memory included.
    pub live_bytes: u64,
    /// Bytes of records that were retired and are still in a file.
    pub dead_bytes: u64,
    /// Log files.
    pub segments: u64,
    /// Compactions since the log was opened.
    pub compactions: u64,
    /// Bytes of files they freed.
    pub freed_bytes: u64,
    /// Files in the folder `quarantine`.
    pub quarantined: u64,
    /// Damaged stretches that opening found.
    pub damaged: u64,
    /// Log position behind the last committed record.
    pub end: u64,
}

impl Log {
    /// What the log holds.
    pub fn stats(&self) -> LogStats {
        let sum = |of: fn(&Segment) -> u64| self.segments.iter().map(of).sum::<u64>();
        let early: u64 = self
            .retired_early
            .iter()
            .map(|it| u64::from(it.bytes))
            .sum();
        let (total, live) = (sum(|it| it.total), sum(|it| it.live));
        let committed = self.committed as u64;
        LogStats {
            bytes: total + committed,
            file_bytes: sum(|it| it.file_bytes),
            waiting_bytes: self.buffer.len() as u64,
            live_bytes: (live + committed).saturating_sub(early),
            dead_bytes: total - live + early,
            segments: self.segments.len() as u64,
            end: self.end(),
            ..self.stats
        }
    }
}
