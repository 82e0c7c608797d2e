//! Columns for new episodes, and for those that are replaced.

use super::Round;
use crate::codec;
use crate::columns::Allocator;
use crate::draft::Found;
use crate::episode::Episode;
use crate::error::StoreError;
use crate::outcome::StoredColumn;
use crate::trace::Trace;
use cortica_cortex::Allocation;
use cortica_storage::PAYLOAD_MAX;

impl<'a> Round<'a> {
    /// Has a column given to the concept of a new episode.
    pub(super) fn give_column(
        &mut self,
        episode: &'a Episode,
    ) -> Result<(Option<StoredColumn>, Option<Trace>), StoreError> {
        let deciding = |allocator: &&Allocator| allocator.decides;
        let allocator = self.store.allocator.as_ref().filter(deciding);
        let (Some(allocator), Some(columns), Some(embedding)) =
            (allocator, &mut self.columns, &episode.embedding)
        else {
            return Ok((None, None));
        };
        // Once it has a column, nothing may be in the way of its record.
        let bytes = codec::episode_bytes_at_most(episode);
        if bytes > PAYLOAD_MAX {
            return Err(StoreError::TooLarge {
                field: "episode",
                got: bytes,
                max: PAYLOAD_MAX,
            });
        }
        let request = allocator.request(&episode.id, embedding, episode.stream.as_deref());
        let reserved = match columns.reserve(&request) {
            Ok(reserved) => reserved,
            Err(refused) => return Ok((Some(StoredColumn::Refused(refused)), None)),
        };
        let answer = match reserved.allocation {
            Allocation::Allocated {
                column,
                activation,
                score,
                candidates,
                inhibited,
                ..
            } => StoredColumn::Allocated {
                column,
                activation,
                score,
                candidates,
                inhibited,
            },
            Allocation::Duplicate {
                column, similarity, ..
            } => StoredColumn::Duplicate {
                column,
                similarity,
                of: self.draft.holder(column).unwrap_or_default().into(),
            },
            _ => StoredColumn::NoSuitableColumn,
        };
        if let Some(decision) = &reserved.decision {
            self.draft
                .place(decision.column, decision.code, &episode.id);
        }
        Ok((Some(answer), Trace::of(&reserved)))
    }

    /// An episode that is replaced keeps its column and its code.
    pub(super) fn keep_column(&mut self, there: &Found<'_>, episode: &Episode) -> Option<Trace> {
        let (column, concept) = there.placed?;
        if episode.embedding.is_some() {
            self.revised.push((concept, there.seq));
        }
        let code = self.draft.code(there.seq).copied();
        let code = code.or_else(|| self.store.allocator.as_ref()?.exemplar(column))?;
        Some(Trace::kept(column, concept, code))
    }
}
