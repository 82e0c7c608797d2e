//! Records of a frame are kept back until its last one is there.

use crate::record::{Entry, Record};

/// What of a frame was read, and where the log ends if no more of it comes.
#[derive(Debug)]
pub(crate) struct Unfinished {
    /// The number of the file that it begins in, and where in that.
    pub(crate) file: usize,
    pub(crate) offset: u64,
    /// Log position of its first record.
    pub(crate) start: u64,
    /// What was counted before it.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    pub(crate) seq_high: u64,
    kept: Vec<Kept>,
    payloads: Vec<u8>,
}

/// A record whose payload lies in `payloads`.
#[derive(Clone, Copy, Debug)]
struct Kept {
    entry: Entry,
    position: u64,
    durable_to: u64,
    embedding_crc: u32,
    payload_crc: u32,
    version: u16,
    length: usize,
    file: usize,
    offset: u64,
}

/// Where a record was found.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The number of the file.
    pub(crate) file: usize,
    pub(crate) offset: u64,
}

impl Unfinished {
    /// A frame that begins at a place, with what was counted before.
    pub(crate) fn new(place: Place, start: u64, records: u64, bytes: u64, seq_high: u64) -> Self {
        Self {
            file: place.file,
            offset: place.offset,
            start,
            records,
            bytes,
            seq_high,
            kept: Vec::new(),
            payloads: Vec::new(),
        }
    }

    pub(crate) fn keep(&mut self, record: &Record<'_>, place: Place) {
        self.payloads.extend_from_slice(record.payload);
        self.kept.push(Kept {
            entry: record.entry,
            position: record.position,
            durable_to: record.durable_to,
            embedding_crc: record.embedding_crc,
            payload_crc: record.payload_crc,
            version: record.version,
            length: record.payload.len(),
            file: place.file,
            offset: place.offset,
        });
    }

    /// Shows all of its records, in their order.
    pub(crate) fn show<E>(
        &self,
        mut show: impl FnMut(Record<'_>, Place) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut from = 0;
        for kept in &self.kept {
            let payload = &self.payloads[from..from + kept.length];
            from += kept.length;
            let record = Record {
                entry: kept.entry,
                position: kept.position,
                durable_to: kept.durable_to,
                payload,
                embedding_crc: kept.embedding_crc,
                payload_crc: kept.payload_crc,
                version: kept.version,
                goes_on: false,
            };
            let place = Place {
                file: kept.file,
                offset: kept.offset,
            };
            show(record, place)?;
        }
        Ok(())
    }
}
