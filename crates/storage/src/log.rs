//! The log: append and commit. How it is opened is in `open.rs`.

use crate::closing::Closing;
use crate::courier::Courier;
use crate::durability::Durability;
use crate::error::{AppendError, CommitError};
use crate::folder::{Folder, is_full};
use crate::header::SEGMENT_HEADER_LEN;
use crate::log_stats::LogStats;
use crate::record::{
    ALIGNMENT, Entry, FORMAT_PLAIN, HEADER_LEN, Header, KIND_OWN, Location, PAYLOAD_MAX, checksums,
};
use crate::reserve::Reserve;
use crate::rolling::{Active, Break};
use crate::segment::{Segment, retire};
use cortica_env::Disk;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The buffer's memory that is kept from one commit to the next.
const BUFFER_KEPT_MAX: usize = 32 << 20;

/// Under [`Durability::None`], records wait in memory until there are this many bytes of them.
const UNWRITTEN_MAX: usize = 1 << 20;

pub(crate) const HEADER: u64 = SEGMENT_HEADER_LEN as u64;

/// Why nothing more is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Halt {
    Stopped,
    Damaged,
    ReadOnly,
}

impl Halt {
    pub(crate) fn error(self) -> CommitError {
        match self {
            Self::Stopped => CommitError::Stopped,
            Self::Damaged => CommitError::Damaged,
            Self::ReadOnly => CommitError::ReadOnly,
        }
    }
}

/// Why bytes were not written.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There was no room, and nothing was written.
    Full,
    Io(&'static str, io::Error),
}

/// Records that count together.
#[derive(Debug, Default)]
struct Frame {
    /// Where in the buffer the last one lies, and its header as it would be as the last one.
    last: Option<(usize, Header)>,
}

/// An open log. One process has it at a time; dropping it releases it.
#[derive(Debug)]
pub struct Log {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) segment_bytes: u64,
    /// The files, in order. The last of them is the active one, if there is one.
    pub(crate) segments: Vec<Segment>,
    pub(crate) active: Option<Active>,
    /// Files that are full and not synced yet.
    pub(crate) unsynced: Vec<Active>,
    /// Whether a file was made whose name is not durable yet.
    pub(crate) names_changed: bool,
    /// Log position behind the last byte that was written.
    pub(crate) written: u64,
    /// Log position up to which the log is durable.
    pub(crate) durable: u64,
    /// Where the last clean close said that the log ends.
    pub(crate) closed: Option<u64>,
    /// Bytes that follow `written`: first what was committed, then what was appended since.
    pub(crate) buffer: Vec<u8>,
    pub(crate) committed: usize,
    /// Writes the parts of a large commit while the next one is made.
    pub(crate) courier: Courier,
    /// Where in the buffer new files begin.
    pub(crate) breaks: Vec<Break>,
    /// Log position behind the room of the file that the next record goes into.
    pub(crate) room_end: u64,
    /// What is known of the frame that is open, if one is.
    frame: Option<Frame>,
    /// Log position where a commit that goes out in parts began.
    pub(crate) parts_from: Option<u64>,
    /// Highest seq of what was committed, and of what was appended since.
    pub(crate) seq_high: u64,
    /// Highest seq of what was committed as a whole: what the header of a new file says, so that a
    /// commit that fails uses up no seqs.
    pub(crate) seq_whole: u64,
    seq_appended: u64,
    /// Records that were retired before they were written.
    pub(crate) retired_early: Vec<Location>,
    /// Whether what is retired is noted, for a file that is being rewritten from its end.
    pub(crate) watching: bool,
    /// What was retired since the last plan of such a file.
    pub(crate) retired_since: Vec<Location>,
    /// Log position behind the last record when one was last retired.
    pub(crate) retired_at: u64,
    pub(crate) halt: Option<Halt>,
    /// Shared with a compaction under way.
    pub(crate) compacting: Arc<()>,
    /// Up to which position a compaction of everything is to know what is dead.
    pub(crate) everything_to: Option<u64>,
    /// Whether a plan of it was made and not yet installed.
    pub(crate) planned: bool,
    pub(crate) stats: LogStats,
    /// Last, because the lock must outlive the files.
    pub(crate) folder: Arc<Folder>,
}

impl Log {
    pub(crate) fn new(disk: Arc<dyn Disk>, folder: Folder, reserve: Reserve) -> Self {
        Self {
            disk,
            reserve: Arc::new(reserve),
            segment_bytes: 0,
            segments: Vec::new(),
            active: None,
            unsynced: Vec::new(),
            names_changed: false,
            written: 0,
            durable: 0,
            closed: None,
            buffer: Vec::new(),
            committed: 0,
            courier: Courier::default(),
            breaks: Vec::new(),
            room_end: 0,
            frame: None,
            parts_from: None,
            seq_high: 0,
            seq_whole: 0,
            seq_appended: 0,
            retired_early: Vec::new(),
            watching: false,
            retired_since: Vec::new(),
            retired_at: 0,
            halt: None,
            compacting: Arc::new(()),
            everything_to: None,
            planned: false,
            stats: LogStats::default(),
            folder: Arc::new(folder),
        }
    }

    /// Adds a record to the next commit. `write` appends the payload, at most
    /// [`PAYLOAD_MAX`] bytes, to the buffer it is given. Returns where the record lies.
    pub fn append(
        &mut self,
        entry: Entry,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<Location, AppendError> {
        self.append_with_crc(entry, write)
            .map(|(location, _)| location)
    }

    /// As [`append`](Self::append), and returns the CRC-32 of the payload's embedding too, its
    /// first 4 x dimension bytes: it comes for free.
    pub fn append_with_crc(
        &mut self,
        entry: Entry,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(Location, u32), AppendError> {
        if entry.kind == KIND_OWN {
            return Err(AppendError::ReservedKind);
        }
        let start = self.buffer.len();
        let position = self.written + start as u64;
        self.buffer.extend_from_slice(&[0; HEADER_LEN]);
        write(&mut self.buffer);
        let payload = &self.buffer[start + HEADER_LEN..];
        let got = payload.len();
        if got > PAYLOAD_MAX {
            self.buffer.truncate(start);
            return Err(AppendError::TooLarge {
                got,
                max: PAYLOAD_MAX,
            });
        }
        let (embedding_crc, payload_crc) = checksums(entry.dimension, payload);
        let header = Header {
            version: FORMAT_PLAIN,
            entry,
            position,
            durable_to: self.durable,
            length: got as u32,
            payload_crc,
            goes_on: false,
        };
        let header = match &mut self.frame {
            Some(frame) => {
                frame.last = Some((start, header));
                header.with_goes_on(true)
            }
            None => header,
        };
        self.buffer[start..start + HEADER_LEN].copy_from_slice(&header.encode());
        self.buffer
            .resize(self.buffer.len().next_multiple_of(ALIGNMENT as usize), 0);
        let end = self.written + self.buffer.len() as u64;
        if end > self.room_end {
            self.make_room(position, end);
        }
        self.seq_appended = self.seq_appended.max(entry.seq);
        let location = Location {
            position,
            bytes: (end - position) as u32,
        };
        Ok((location, embedding_crc))
    }

    /// Begins a frame: what is appended until [`end_frame`](Self::end_frame) is in the log as a whole
    /// or not at all, whatever happens. Opening a log holds as many bytes in memory as its largest frame
    /// has. Nothing where one is open: frames do not nest.
    pub fn begin_frame(&mut self) {
        self.frame.get_or_insert_default();
    }

    /// Ends the frame that is open. So does a commit.
    pub fn end_frame(&mut self) {
        if let Some((start, last)) = self.frame.take().and_then(|frame| frame.last) {
            // It is still there: while a frame is open, nothing is handed over.
            self.buffer[start..start + HEADER_LEN].copy_from_slice(&last.encode());
        }
    }

    /// Forgets what was appended since the last commit, and the frame that is open.
    pub fn rollback(&mut self) {
        self.frame = None;
        self.buffer.truncate(self.committed);
        self.seq_appended = self.seq_high;
        self.drop_breaks();
    }

    /// Makes the appended records part of the log: one write and, for
    /// [`Durability::Durable`], one sync. Returns what was reached, which is what was asked for.
    /// (Where the records fill a log file, one write for each file begun, and for a durable commit
    /// a sync of each file and of the folder.)
    ///
    /// On a full disk the answer is [`CommitError::Full`], and the log is as it was before the
    /// records were appended. After any other error nothing more is written: every later commit
    /// answers [`CommitError::Stopped`], and the records of this one count as not stored.
    pub fn commit(&mut self, durability: Durability) -> Result<Durability, CommitError> {
        self.commit_with(durability, false)
    }

    /// As [`commit`](Self::commit), for few and small records that let space be freed later, such
    /// as that something is forgotten: on a full disk it may use a little space that is kept back
    /// for this.
    pub fn commit_freeing(&mut self, durability: Durability) -> Result<Durability, CommitError> {
        self.commit_with(durability, true)
    }

    fn commit_with(
        &mut self,
        durability: Durability,
        freeing: bool,
    ) -> Result<Durability, CommitError> {
        let here = self.written + self.committed as u64;
        let from = self.parts_from.take().unwrap_or(here);
        self.end_frame();
        self.commit_from(from, |log| match durability {
            Durability::None if log.buffer.len() < UNWRITTEN_MAX => Ok(()),
            Durability::None | Durability::Buffered => log.write(freeing),
            Durability::Durable => log.write(freeing).and_then(|()| log.sync()),
        })?;
        self.seq_whole = self.seq_high;
        Ok(durability)
    }

    /// Has what was appended committed by `write`, as the end of what began at `from`.
    fn commit_from(
        &mut self,
        from: u64,
        write: impl FnOnce(&mut Self) -> Result<(), Failure>,
    ) -> Result<(), CommitError> {
        if let Some(halt) = self.halt {
            self.rollback();
            return Err(halt.error());
        }
        self.committed = self.buffer.len();
        self.seq_high = self.seq_high.max(self.seq_appended);
        let failure = match write(self) {
            Ok(()) => return Ok(()),
            Err(Failure::Full) => match self.undo(from) {
                Ok(()) => {
                    self.seq_high = self.seq_whole;
                    self.seq_appended = self.seq_whole;
                    return Err(CommitError::Full);
                }
                Err(failure) => failure,
            },
            Err(failure) => failure,
        };
        Err(self.stop(failure))
    }

    /// Stops all writing for good.
    pub(crate) fn stop(&mut self, failure: Failure) -> CommitError {
        self.halt = Some(Halt::Stopped);
        self.buffer.clear();
        self.breaks.clear();
        self.committed = 0;
        match failure {
            Failure::Full => CommitError::Full,
            Failure::Io(action, source) => CommitError::Io { action, source },
        }
    }

    /// Hands what was appended to the operating system as the first part of a larger commit, so
    /// that memory stays bounded and the disk can start on it. The commit that follows, at
    /// `durability`, covers it; until then nothing is promised. For a durable commit a thread of the
    /// log's own writes the part while the next one is appended; at most two parts wait for it.
    ///
    /// Errors as [`commit`](Self::commit), those of a part perhaps only with a later one or with the
    /// commit; a full disk undoes the earlier parts, too, and what is
    /// appended after such an error belongs to another commit: call [`rollback`](Self::rollback)
    /// first. Parts that were handed over are not rolled back. Where a frame is open, nothing is
    /// handed over before its end.
    pub fn commit_part(&mut self, durability: Durability) -> Result<(), CommitError> {
        if self.frame.is_some() {
            return Ok(());
        }
        let from = *self
            .parts_from
            .get_or_insert(self.written + self.committed as u64);
        let part = self.commit_from(from, |log| match durability {
            Durability::None if log.buffer.len() < UNWRITTEN_MAX => Ok(()),
            Durability::None | Durability::Buffered => log.write(false),
            Durability::Durable => log.hand_over(),
        });
        if part.is_err() {
            self.parts_from = None;
        }
        part
    }

    /// Bytes that wait in memory for a commit to write them.
    pub fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Says that a committed record means nothing any more, so that a later compaction may drop it.
    pub fn retire(&mut self, location: Location) {
        if location.position < self.written {
            retire(&mut self.segments, location);
            if self.watching {
                self.retired_since.push(location);
            }
        } else {
            self.retired_early.push(location);
        }
        self.retired_at = self.end();
    }

    /// Log position behind the last committed record.
    pub fn end(&self) -> u64 {
        self.written + self.committed as u64
    }

    /// Log position up to which the log is durable.
    pub fn durable_to(&self) -> u64 {
        self.durable
    }

    /// Whether records can be written, as far as is known.
    pub fn is_writable(&self) -> bool {
        self.halt.is_none()
    }

    /// Writes and syncs all that was committed, leaves a proof of how far the log reaches, returns
    /// reserved space, and releases the lock. Says what all that was committed has reached:
    /// [`Durability::None`] where the log could only be read, for then nothing was committed and
    /// nothing is done.
    pub fn close(mut self) -> Result<Durability, CommitError> {
        if matches!(self.halt, Some(Halt::Damaged | Halt::ReadOnly)) {
            return Ok(Durability::None);
        }
        self.rollback();
        self.commit(Durability::Durable)?;
        let finished = self.finish();
        // What nobody uses any more is kept back before somebody else takes it.
        self.reserve.refill();
        self.halt = Some(Halt::Stopped); // Nothing is left for `drop` to do.
        finished.map(|()| Durability::Durable)
    }

    /// Says durably how far the log reaches, and gives back what is reserved behind it.
    pub(crate) fn finish(&mut self) -> Result<(), CommitError> {
        let (disk, log_dir) = (&*self.disk, self.folder.log_dir());
        if self.closed != Some(self.written) {
            match Closing::write(disk, &log_dir, self.written) {
                Ok(()) => self.closed = Some(self.written),
                // It promises nothing to anybody, so a disk without room for it is no error. But
                // without it a file that was cut looks damaged.
                Err(error) if is_full(&error) => return Ok(()),
                Err(source) => {
                    return Err(self.stop(Failure::Io("close", source)));
                }
            }
        }
        self.trim()
            .map_err(|error| self.stop(Failure::Io("cut", error)))
    }

    pub(crate) fn file_path(&self, name: crate::header::FileName) -> PathBuf {
        self.folder.log_dir().join(name.to_string())
    }

    /// Takes the bytes of the buffer as written.
    pub(crate) fn emptied(&mut self) {
        let bytes = self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(BUFFER_KEPT_MAX);
        self.passed_on(bytes);
    }

    /// Goes on behind so many bytes that were in the buffer and are not any more.
    pub(crate) fn passed_on(&mut self, bytes: u64) {
        self.written += bytes;
        self.committed = 0;
        self.breaks.clear();
        for location in std::mem::take(&mut self.retired_early) {
            retire(&mut self.segments, location);
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.halt.is_none() {
            self.rollback();
            // Nobody is left to hear of an error, and nothing that was promised depends on it.
            let _ = self.write(false);
        }
    }
}
