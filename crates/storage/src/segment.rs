//! The log's files as an open log knows them.

use crate::header::{Cut, FileName};
use crate::record::Location;
use cortica_env::Disk;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A log file by its path. Removed with the last of those who still read it, once it is doomed.
#[derive(Debug)]
pub(crate) struct SegmentFile {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) path: PathBuf,
    doomed: AtomicBool,
}

impl SegmentFile {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> Arc<Self> {
        Arc::new(Self {
            disk,
            path,
            doomed: AtomicBool::new(false),
        })
    }

    /// From now on nobody needs it but those who read it already.
    pub(crate) fn doom(&self) {
        self.doomed.store(true, Relaxed);
    }
}

impl Drop for SegmentFile {
    fn drop(&mut self) {
        if self.doomed.load(Relaxed) {
            // Left behind, it is removed by the next opening.
            let _ = self.disk.remove(&self.path);
        }
    }
}

/// A log file and what it is known to hold.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) name: FileName,
    /// Log position behind the last byte it covers.
    pub(crate) end: u64,
    /// Position up to which it was known what is dead when it was written; 0 for a plain file.
    pub(crate) known_to: u64,
    /// Bytes of records in it.
    pub(crate) total: u64,
    /// Those of them that still mean something.
    pub(crate) live: u64,
    /// Bytes of the file.
    pub(crate) file_bytes: u64,
    /// What it left of the file before it, if it took over the end of that.
    pub(crate) cut: Option<Cut>,
    pub(crate) file: Arc<SegmentFile>,
}

impl Segment {
    pub(crate) fn dead(&self) -> u64 {
        self.total.saturating_sub(self.live)
    }

    /// Whether a snapshot reads it, besides the log.
    pub(crate) fn is_pinned(&self) -> bool {
        Arc::strong_count(&self.file) > 1
    }
}

/// The segment a position is in, of segments in order.
pub(crate) fn segment_of(segments: &mut [Segment], position: u64) -> Option<&mut Segment> {
    let at = segments.partition_point(|segment| segment.name.start <= position);
    segments
        .get_mut(at.checked_sub(1)?)
        .filter(|segment| position < segment.end)
}

/// Counts a record as dead.
pub(crate) fn retire(segments: &mut [Segment], location: Location) {
    if let Some(segment) = segment_of(segments, location.position) {
        segment.live = segment.live.saturating_sub(u64::from(location.bytes));
    }
}
