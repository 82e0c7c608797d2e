//! Columns for new episodes, and for those that are replaced.

use super::{Round, check_size};
use crate::columns::Allocator;
use crate::draft::Found;
use crate::episode::Episode;
use crate::error::StoreError;
use crate::outcome::StoredColumn;
use crate::trace::Trace;
use cortica_cortex::Allocation;

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
        check_size(episode)?; // Once it has a column, nothing may be in the way of its record.
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

    /// An episode that is replaced keeps its column and its code. It is known by its new embedding from here on, or without one by
    /// its id alone.
    pub(super) fn keep_column(
        &mut self,
        there: &Found<'_>,
        episode: &Episode,
    ) -> Result<Option<Trace>, StoreError> {
        let Some((column, concept)) = there.placed else {
            return Ok(None);
        };
        if let Some(columns) = &mut self.columns {
            check_size(episode)?; // Once it is known otherwise, too.
            let features = episode.embedding.as_deref().unwrap_or_default();
            if let Err(error) = columns.revise(concept, features) {
                let seq = there.seq;
                tracing::warn!(%error, seq, "known by its old embedding until the store is opened again");
            }
        }
        let code = self.draft.code(there.seq).copied();
        let code = code.or_else(|| self.store.allocator.as_ref()?.exemplar(column));
        Ok(code.map(|code| Trace::kept(column, concept, code)))
    }
}
