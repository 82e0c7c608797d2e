//! What was decided goes to the log, record by record, in frames and pieces.

use super::{Effect, Round};
use crate::codec;
use crate::draft::Offer;
use crate::error::StoreError;
use crate::level::Activation;
use crate::replay::SPACE;
use crate::trace::Trace;
use cortica_env::Timestamp;
use cortica_storage::{AppendError, Entry, Location};
use std::sync::Arc;

/// A large batch reaches the operating system in pieces of about this many bytes, while they are
/// still in the cache.
const PIECE_BYTES: usize = 1 << 20;

impl Round<'_> {
    /// Gives the record's place and the checksum of the embedding in it.
    pub(super) fn append_episode(
        &mut self,
        offer: &Offer<'_>,
        trace: Option<&Trace>,
        seq: u64,
        stored_at: Timestamp,
    ) -> Result<(Location, u32), StoreError> {
        let episode = offer.episode;
        let dimension = episode.embedding.as_ref().map_or(0, Vec::len) as u32;
        let encode = |out: &mut Vec<u8>| codec::encode_episode(episode, trace, stored_at, out);
        let kind = match trace {
            Some(_) => codec::KIND_PLACED,
            None => codec::KIND_EPISODE,
        };
        let appended = self.append(kind, dimension, seq, encode);
        match appended {
            Ok((location, crc)) => Ok((location, crc.unwrap_or_else(|| offer.embedding_crc()))),
            Err(AppendError::TooLarge { got, max }) => Err(StoreError::TooLarge {
                field: "episode",
                got,
                max,
            }),
            Err(other) => Err(StoreError::Append(Arc::new(other))),
        }
    }

    pub(super) fn append_activation(
        &mut self,
        seq: u64,
        activation: Activation,
    ) -> Result<(), StoreError> {
        let appended = self.append_activated(seq, activation);
        appended.map_err(|error| StoreError::Append(Arc::new(error)))
    }

    pub(super) fn append_activated(
        &mut self,
        seq: u64,
        activation: Activation,
    ) -> Result<(), AppendError> {
        let encode = |out: &mut Vec<u8>| codec::encode_activation(activation, out);
        let (location, _) = self.append(codec::KIND_ACTIVATION, 0, seq, encode)?;
        self.effects.push(Effect::Activate {
            seq,
            activation,
            location,
        });
        Ok(())
    }

    /// Gives the record's place, and the checksum of the embedding in it if there is a log to
    /// compute one.
    pub(super) fn append(
        &mut self,
        kind: u16,
        dimension: u32,
        seq: u64,
        encode: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(Location, Option<u32>), AppendError> {
        let Some(log) = &mut self.log else {
            return Ok((Location::default(), None));
        };
        let entry = Entry {
            space: SPACE,
            kind,
            dimension,
            seq,
        };
        let (location, embedding_crc) = log.append_with_crc(entry, encode)?;
        Ok((location, Some(embedding_crc)))
    }

    /// What is appended until the end of this write is in the log as a whole or not at all.
    pub(super) fn begin_frame(&mut self) {
        if let Some(log) = &mut self.log {
            log.begin_frame();
        }
    }

    pub(super) fn end_frame(&mut self) {
        if let Some(log) = &mut self.log
            && !self.whole
        {
            log.end_frame();
        }
    }

    /// Hands over what has come together, if that is much.
    pub(super) fn write_piece(&mut self) {
        if let Some(log) = &mut self.log
            && log.waiting() >= self.piece
        {
            self.piece = PIECE_BYTES;
            if self.written.is_ok() {
                self.written = log.commit_part(self.store.durability);
            } else {
                log.rollback(); // Nothing of this round counts any more.
            }
        }
    }
}
