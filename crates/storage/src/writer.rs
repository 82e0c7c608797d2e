//! Writes a compacted file: some records of a stretch of the log, at their own positions.

use crate::error::CompactError;
use crate::folder::{create_anew, is_full};
use crate::header::{Cut, FileName, SEGMENT_HEADER_LEN, SegmentHeader};
use crate::log::HEADER;
use crate::record::{ALIGNMENT, HEADER_LEN, PAYLOAD_MAX, Record};
use crate::recovery::{Sum, extent};
use crate::reserve::Reserve;
use crate::scanner::{Found, Scanner};
use crate::segment::Segment;
use cortica_env::{Disk, DiskFile, Open};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes that are written at once.
const PIECE: usize = 1 << 20;

pub(crate) fn io_error<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> CompactError + use<'a> {
    move |source| {
        if is_full(&source) {
            return CompactError::Full;
        }
        CompactError::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// A compacted file on its way to the disk, under a name that no opening takes for the log's.
#[derive(Debug)]
pub(crate) struct Writer {
    file: Box<dyn DiskFile>,
    reserve: Option<Arc<Reserve>>,
    buffer: Vec<u8>,
    /// Where in the file the buffer goes.
    offset: u64,
    /// Bytes that were reserved.
    allocated: u64,
    sum: Sum,
    written: Written,
}

/// A compacted file that is whole on the disk, and not yet part of the log. Dropped like this, it
/// is removed.
#[derive(Debug)]
pub(crate) struct Written {
    disk: Arc<dyn Disk>,
    new: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) name: FileName,
    pub(crate) header: SegmentHeader,
    placed: bool,
}

impl Writer {
    /// Begins a file. Of the header, counts and length are filled in later.
    pub(crate) fn create(
        disk: Arc<dyn Disk>,
        log_dir: &Path,
        header: SegmentHeader,
        reserve: Option<Arc<Reserve>>,
    ) -> Result<Self, CompactError> {
        let name = FileName {
            start: header.start,
            generation: header.generation,
        };
        let path = log_dir.join(name.to_string());
        let new = log_dir.join(format!("{name}.new"));
        let mut file = create_anew(&*disk, &new);
        if let (Err((_, error)), Some(reserve)) = (&file, &reserve)
            && is_full(error)
            && reserve.give_up()
        {
            // Where there is no room for another file, there is now.
            file = create_anew(&*disk, &new);
        }
        let file = file.map_err(|(action, error)| io_error(action, &new)(error))?;
        Ok(Self {
            file,
            reserve,
            buffer: vec![0; SEGMENT_HEADER_LEN],
            offset: 0,
            allocated: 0,
            sum: Sum::default(),
            written: Written {
                disk,
                new,
                path,
                name,
                header,
                placed: false,
            },
        })
    }

    /// Reserves space for `want` bytes of records or, where there is not so much, for a part of
    /// them. Returns how many records' bytes there is room for.
    pub(crate) fn reserve_room(&mut self, want: u64) -> Result<u64, CompactError> {
        let mut room = want;
        loop {
            match self.file.allocate(HEADER + room) {
                Ok(()) => break,
                Err(error) if is_full(&error) => {
                    let more = self.reserve.as_ref().is_some_and(|it| it.give_up());
                    room = if more { room } else { room / 2 };
                    if room < HEADER_LEN as u64 {
                        return Err(CompactError::Full);
                    }
                }
                Err(error) => return Err(io_error("reserve space for", &self.written.new)(error)),
            }
        }
        self.allocated = HEADER + room;
        Ok(room)
    }

    /// From here on the file covers what there is, and has its name.
    pub(crate) fn cover_from(&mut self, start: u64, cut: Cut) {
        let written = &mut self.written;
        written.name.start = start;
        written.path.set_file_name(written.name.to_string());
        (written.header.start, written.header.cut) = (start, Some(cut));
    }

    /// Bytes of records so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.offset + self.buffer.len() as u64 - HEADER
    }

    /// From here on the file covers nothing.
    pub(crate) fn cover_until(&mut self, end: u64) {
        self.written.header.end = end;
    }

    /// Adds a record.
    pub(crate) fn push(&mut self, record: &Record<'_>) -> Result<(), CompactError> {
        // All of a frame is there, or it would not be in a file that is rewritten.
        let header = record.header().with_goes_on(false);
        self.buffer.extend_from_slice(&header.encode());
        self.buffer.extend_from_slice(record.payload);
        let padded = self.buffer.len().next_multiple_of(ALIGNMENT as usize);
        self.buffer.resize(padded, 0);
        self.sum.add(&header);
        if self.buffer.len() >= PIECE {
            self.flush()?;
        }
        Ok(())
    }

    /// Adds a record with another payload.
    pub(crate) fn push_replaced(
        &mut self,
        record: &Record<'_>,
        payload: &[u8],
    ) -> Result<(), CompactError> {
        if payload.len() > PAYLOAD_MAX {
            return Err(CompactError::TooLarge {
                got: payload.len(),
                max: PAYLOAD_MAX,
            });
        }
        self.push(&Record {
            payload,
            payload_crc: crc32fast::hash(payload),
            ..*record
        })
    }

    /// Makes the file durable, reads it again and compares. It is not part of the log yet.
    pub(crate) fn finish(mut self) -> Result<Written, CompactError> {
        self.flush()?;
        let header = SegmentHeader {
            length: self.offset,
            records: self.sum.records,
            headers_crc: self.sum.crc(),
            ..self.written.header
        };
        self.written.header = header;
        let new = &self.written.new;
        self.file
            .write_at(&header.encode(), 0)
            .map_err(io_error("write", new))?;
        if self.allocated > self.offset {
            self.file
                .set_len(self.offset)
                .map_err(io_error("cut", new))?;
        }
        self.file.sync().map_err(io_error("sync", new))?;
        self.written.verify()?;
        Ok(self.written)
    }

    fn flush(&mut self) -> Result<(), CompactError> {
        let mut written = self.file.write_at(&self.buffer, self.offset);
        if let (Err(error), Some(reserve)) = (&written, &self.reserve)
            && is_full(error)
            && reserve.give_up()
        {
            written = self.file.write_at(&self.buffer, self.offset);
        }
        written.map_err(io_error("write", &self.written.new))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

impl Written {
    /// Gives the file its name in the log. Durable when the folder was synced.
    pub(crate) fn place(&mut self) -> Result<(), CompactError> {
        self.disk
            .rename(&self.new, &self.path)
            .map_err(io_error("move", &self.new))?;
        self.placed = true;
        Ok(())
    }

    /// Reads the file as an opening does.
    fn verify(&self) -> Result<(), CompactError> {
        let path = &self.new;
        let damaged = |offset, why| CompactError::Damaged {
            path: path.clone(),
            offset,
            why,
        };
        let read = |error| io_error("read", path)(error);
        let file = self.disk.open(path, Open::Read).map_err(read)?;
        let head = crate::folder::head(&*file).map_err(read)?;
        if SegmentHeader::decode(&head, self.name) != Ok(self.header) {
            return Err(damaged(0, "the new file's header did not come back"));
        }
        let (positions, data_end) = extent(&self.header, self.header.end);
        let mut scanner = Scanner::new(&*file, positions, data_end).map_err(read)?;
        let mut sum = Sum::default();
        while scanner.offset() < data_end {
            let offset = scanner.offset();
            match scanner.next().map_err(read)? {
                Found::Record(record) => sum.add(&record.header()),
                Found::Version(_) | Found::Bad { .. } => {
                    return Err(damaged(offset, "a new record did not come back"));
                }
            }
        }
        if (sum.records, sum.crc()) != (self.header.records, self.header.headers_crc) {
            return Err(damaged(0, "the new file does not hold what was written"));
        }
        Ok(())
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        if !self.placed {
            // Left behind, it is removed by the next opening.
            let _ = self.disk.remove(&self.new);
        }
    }
}

/// Shows the records of a whole file to `take`, in order.
pub(crate) fn read_segment(
    segment: &Segment,
    take: &mut dyn FnMut(&Record<'_>) -> Result<(), CompactError>,
) -> Result<(), CompactError> {
    let path = &segment.file.path;
    let read = |error| io_error("read", path)(error);
    let file = segment.file.disk.open(path, Open::Read).map_err(read)?;
    let header = SegmentHeader {
        start: segment.name.start,
        end: segment.end,
        generation: segment.name.generation,
        length: HEADER + segment.total,
        ..SegmentHeader::default()
    };
    let (positions, data_end) = extent(&header, segment.end);
    let mut scanner = Scanner::new(&*file, positions, data_end).map_err(read)?;
    while scanner.offset() < data_end {
        let offset = scanner.offset();
        let damaged = |why| CompactError::Damaged {
            path: path.clone(),
            offset,
            why,
        };
        match scanner.next().map_err(read)? {
            Found::Record(record) => take(&record)?,
            Found::Version(_) => return Err(damaged("a record of another format")),
            Found::Bad { why, .. } => return Err(damaged(why)),
        }
    }
    Ok(())
}
