//! From one log file to the next: room, writing, syncing, and taking it back.

use crate::courier::Stretch;
use crate::folder::is_full;
use crate::header::{FileName, SegmentHeader};
use crate::log::{Failure, HEADER, Log};
use crate::segment::{Segment, SegmentFile};
use cortica_env::{DiskFile, Open};
use std::io;
use std::mem;
use std::sync::Arc;

/// The least a log file is made with, unless the options say that files are smaller: a few durable
/// batches of a thousand episodes fit, so that most commits need no new file.
pub(crate) const SEGMENT_MIN: u64 = 8 << 20;

/// Files that may wait for a sync at once; each is an open file.
const UNSYNCED_MAX: usize = 16;

/// How much of a file is filled with zeros at a time.
const ZEROS: usize = 64 << 10;

/// A file that is being written, or was and is not synced yet.
#[derive(Debug)]
pub(crate) struct Active {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) start: u64,
    /// Bytes of records it is meant for.
    pub(crate) room: u64,
    /// Its length.
    pub(crate) allocated: u64,
}

/// Where in what waits a new file begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Break {
    pub(crate) start: u64,
    pub(crate) room: u64,
}

impl Log {
    /// Finds a file for the record from `position` to `end`, for which there is no room.
    pub(crate) fn make_room(&mut self, position: u64, end: u64) {
        if let Some(last) = self.breaks.last_mut() {
            if last.start == position {
                last.room = end - position; // A record larger than a file has one of its own.
                self.room_end = end;
                return;
            }
        } else if let Some(active) = &mut self.active
            && active.start == position
        {
            active.room = end - position;
            self.room_end = end;
            return;
        }
        let room = (self.file_bytes() - HEADER).max(end - position);
        self.breaks.push(Break {
            start: position,
            room,
        });
        self.room_end = position + room;
    }

    /// The size of the next log file.
    pub(crate) fn file_bytes(&self) -> u64 {
        let live: u64 = self.segments.iter().map(|segment| segment.live).sum();
        let max = self.segment_bytes.max(2 * HEADER);
        (live / 4).clamp(max.min(SEGMENT_MIN), max)
    }

    /// Forgets the files that would begin behind what is committed.
    pub(crate) fn drop_breaks(&mut self) {
        let end = self.written + self.committed as u64;
        self.breaks.retain(|file| file.start < end);
        self.room_end = match (self.breaks.last(), &self.active) {
            (Some(last), _) => last.start + last.room,
            (None, Some(active)) => active.start + active.room,
            (None, None) => 0,
        };
    }

    /// Hands what was committed to the operating system.
    pub(crate) fn write(&mut self, freeing: bool) -> Result<(), Failure> {
        self.settle()?;
        if self.buffer.is_empty() {
            return Ok(());
        }
        for stretch in self.place(freeing)? {
            let written = stretch.write(&self.buffer);
            written.map_err(|error| Failure::Io("write", error))?;
        }
        self.emptied();
        self.sync_oldest()
    }

    /// As [`write`](Self::write), by a thread beside this one, which has the disk start on it too.
    pub(crate) fn hand_over(&mut self) -> Result<(), Failure> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        if !self.has_room() {
            // It may be refused, and then what was handed over is taken back.
            self.settle()?;
        }
        let stretches = self.place(false)?;
        let buffer = mem::take(&mut self.buffer);
        let bytes = buffer.len() as u64;
        let next = self.courier.hand_over(buffer, stretches);
        self.buffer = next.map_err(|error| Failure::Io("write", error))?;
        self.passed_on(bytes);
        self.sync_oldest()
    }

    /// Returns when all that was handed over is written.
    fn settle(&mut self) -> Result<(), Failure> {
        let settled = self.courier.settle();
        settled.map_err(|error| Failure::Io("write", error))
    }

    /// Whether the active file has the space for what waits.
    fn has_room(&self) -> bool {
        let end = self.written + self.buffer.len() as u64;
        let fits = |active: &Active| HEADER + (end - active.start) <= active.allocated;
        self.breaks.is_empty() && self.active.as_ref().is_some_and(fits)
    }

    /// Finds a place for what was committed, in files that are made for it where they are missing.
    fn place(&mut self, freeing: bool) -> Result<Vec<Stretch>, Failure> {
        let end = self.written + self.buffer.len() as u64;
        let first = self.breaks.first().map_or(end, |file| file.start);
        // All the room first: when there is none, nothing was written.
        if first > self.written {
            self.grow_active(first, freeing)?;
        }
        let made = self.make_files(end, freeing)?;
        let mut stretches = Vec::with_capacity(1 + made.len());
        let mut from = self.written;
        if first > from {
            stretches.push(self.place_active(from, first)?);
            from = first;
        }
        for (at, (active, segment)) in made.into_iter().enumerate() {
            let stop = self.breaks.get(at + 1).map_or(end, |next| next.start);
            self.unsynced.extend(self.active.replace(active));
            self.segments.push(segment);
            stretches.push(self.place_active(from, stop)?);
            from = stop;
        }
        Ok(stretches)
    }

    /// Appends what waits between two log positions to the active file.
    fn place_active(&mut self, from: u64, to: u64) -> Result<Stretch, Failure> {
        let (Some(active), Some(segment)) = (&self.active, self.segments.last_mut()) else {
            let error = io::Error::other("there is no file to write to");
            return Err(Failure::Io("write", error));
        };
        segment.end = to;
        segment.total += to - from;
        segment.live += to - from;
        segment.file_bytes = active.allocated;
        Ok(Stretch {
            file: active.file.clone(),
            bytes: (from - self.written) as usize..(to - self.written) as usize,
            offset: HEADER + (from - active.start),
        })
    }

    /// Syncs files that too many others wait behind.
    fn sync_oldest(&mut self) -> Result<(), Failure> {
        while self.unsynced.len() > UNSYNCED_MAX {
            self.settle()?;
            let oldest = self.unsynced.remove(0);
            let synced = oldest.file.sync();
            synced.map_err(|error| Failure::Io("sync", error))?;
        }
        Ok(())
    }

    /// Reserves the active file's space up to a log position.
    fn grow_active(&mut self, to: u64, freeing: bool) -> Result<(), Failure> {
        let Some(active) = &mut self.active else {
            return Ok(()); // Refused when it is written.
        };
        let tight = HEADER + (to - active.start);
        if tight <= active.allocated {
            return Ok(());
        }
        let roomy = (HEADER + active.room).max(tight);
        let give_up = || freeing && self.reserve.give_piece();
        active.allocated = allocate(&*active.file, roomy, tight, give_up)?;
        Ok(())
    }

    /// Makes the files that begin in the buffer, or none of them.
    fn make_files(&mut self, end: u64, freeing: bool) -> Result<Vec<(Active, Segment)>, Failure> {
        let mut made = Vec::new();
        for at in 0..self.breaks.len() {
            let stop = self.breaks.get(at + 1).map_or(end, |next| next.start);
            match self.make_file(self.breaks[at], stop, freeing) {
                Ok(file) => made.push(file),
                Err(Failure::Full) => {
                    let paths = made.iter().map(|(_, segment)| &segment.file.path);
                    for path in paths {
                        let removed = self.disk.remove(path);
                        removed.map_err(|error| Failure::Io("remove a new file of", error))?;
                    }
                    return Err(Failure::Full);
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(made)
    }

    fn make_file(
        &mut self,
        new: Break,
        stop: u64,
        freeing: bool,
    ) -> Result<(Active, Segment), Failure> {
        let name = FileName {
            start: new.start,
            generation: 0,
        };
        let path = self.file_path(name);
        let file = match self.disk.open(&path, Open::CreateNew) {
            Err(error) if is_full(&error) => return Err(Failure::Full),
            opened => opened.map_err(|error| Failure::Io("make a file of", error))?,
        };
        self.names_changed = true;
        let (roomy, tight) = (HEADER + new.room, HEADER + (stop - new.start));
        let give_up = || freeing && self.reserve.give_piece();
        let allocated = match allocate(&*file, roomy, tight, give_up) {
            Ok(allocated) => allocated,
            Err(failure) => {
                let removed = self.disk.remove(&path);
                removed.map_err(|error| Failure::Io("remove a new file of", error))?;
                return Err(failure);
            }
        };
        let header = SegmentHeader {
            start: new.start,
            length: allocated,
            durable_to: self.durable,
            seq_high: self.seq_whole,
            ..SegmentHeader::default()
        };
        file.write_at(&header.encode(), 0)
            .map_err(|error| Failure::Io("write", error))?;
        let active = Active {
            file: file.into(),
            start: new.start,
            room: new.room,
            allocated,
        };
        let segment = Segment {
            name,
            end: new.start,
            known_to: 0,
            total: 0,
            live: 0,
            file_bytes: allocated,
            cut: None,
            file: SegmentFile::new(self.disk.clone(), path),
        };
        Ok((active, segment))
    }

    /// Makes durable what was written.
    pub(crate) fn sync(&mut self) -> Result<(), Failure> {
        if self.durable == self.written {
            return Ok(());
        }
        for file in self.unsynced.iter().chain(&self.active) {
            file.file
                .sync()
                .map_err(|error| Failure::Io("sync", error))?;
        }
        self.unsynced.clear();
        if self.names_changed {
            self.disk
                .sync_dir(&self.folder.log_dir())
                .map_err(|error| Failure::Io("sync the folder of", error))?;
            self.names_changed = false;
        }
        self.durable = self.written;
        Ok(())
    }

    /// Gives back the space that the active file does not use. A closing file must say so first.
    pub(crate) fn trim(&mut self) -> io::Result<()> {
        if let Some(active) = &mut self.active {
            let used = HEADER + (self.written - active.start);
            if active.allocated > used {
                active.file.set_len(used)?;
                active.allocated = used;
                if let Some(segment) = self.segments.last_mut() {
                    segment.file_bytes = used;
                }
            }
        }
        Ok(())
    }

    /// Takes back everything from a log position on: the parts of a commit that found no room.
    pub(crate) fn undo(&mut self, to: u64) -> Result<(), Failure> {
        if to >= self.written {
            self.buffer.truncate((to - self.written) as usize);
            self.committed = self.buffer.len();
            self.rollback();
            return Ok(());
        }
        self.buffer.clear();
        self.committed = 0;
        self.breaks.clear();
        let io = |action| move |error| Failure::Io(action, error);
        while let Some(segment) = self.segments.pop_if(|segment| segment.name.start > to) {
            self.active = None;
            self.disk
                .remove(&segment.file.path)
                .map_err(io("remove a file of"))?;
            self.active = self.unsynced.pop();
        }
        if let (None, Some(segment)) = (&self.active, self.segments.last())
            && segment.end > to
        {
            // It was synced on the way, and given up.
            let file = self.disk.open(&segment.file.path, Open::Write);
            self.active = Some(Active {
                file: file.map_err(io("open a file of"))?.into(),
                start: segment.name.start,
                room: segment.file_bytes.saturating_sub(HEADER),
                allocated: segment.file_bytes,
            });
        }
        // Zeros, and synced: left in place, the bytes could line up behind records written later.
        if let (Some(active), Some(segment)) = (&self.active, self.segments.last_mut()) {
            let zeros = vec![0; ZEROS];
            let mut from = to;
            while from < segment.end {
                let len = zeros.len().min((segment.end - from) as usize);
                let offset = HEADER + (from - active.start);
                active
                    .file
                    .write_at(&zeros[..len], offset)
                    .map_err(io("write"))?;
                from += len as u64;
            }
            active.file.sync().map_err(io("sync"))?;
            let undone = segment.end - to;
            segment.end = to;
            segment.total -= undone;
            segment.live = segment.live.saturating_sub(undone);
        }
        self.disk
            .sync_dir(&self.folder.log_dir())
            .map_err(io("sync the folder of"))?;
        self.written = to;
        self.rollback();
        Ok(())
    }
}

/// Reserves space for a file: as much as it should have, or as much as it must.
fn allocate(
    file: &dyn DiskFile,
    roomy: u64,
    tight: u64,
    give_up: impl Fn() -> bool,
) -> Result<u64, Failure> {
    let try_both = || {
        for len in [roomy, tight] {
            match file.allocate(len) {
                Ok(()) => return Ok(len),
                Err(error) if is_full(&error) => {}
                Err(error) => return Err(Failure::Io("reserve space for", error)),
            }
        }
        Err(Failure::Full)
    };
    let mut done = try_both();
    while matches!(done, Err(Failure::Full)) && give_up() {
        done = match file.allocate(tight) {
            Ok(()) => Ok(tight),
            Err(error) if is_full(&error) => Err(Failure::Full),
            Err(error) => Err(Failure::Io("reserve space for", error)),
        };
    }
    done
}
